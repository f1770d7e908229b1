# Two commands matter: `make report` and `make test`. Each sets up what it needs in .venv first.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

# A set-up that was cut short may have left half a package behind: it is begun anew. The file holds the number of its make.
UNFINISHED := $(VENV)/.unfinished
ifneq ($(wildcard $(UNFINISHED)),)
ifneq ($(shell kill -0 "$$(cat $(UNFINISHED))" 2>/dev/null && echo alive),)
$(error Another make (process $(shell cat $(UNFINISHED))) is setting up $(VENV). Wait for it; if there is none, rm -r $(VENV))
endif
$(info The last set-up of $(VENV) was cut short: it is begun anew.)
$(shell rm -rf $(VENV))
endif
INSTALL = echo $$PPID > $(UNFINISHED) && $(PIP) --editable "$(1)" && rm $(UNFINISHED) || { \
	echo "The packages could not be installed: see above. With a network (or PIP_INDEX_URL naming a mirror) run make $(MAKECMDGOALS) again." >&2; exit 1; }

# Environments beside .venv, kept in .cache: the lowest versions that pyproject.toml allows, and another Python.
UV ?= $(shell command -v uv)
VERSION := -c 'import sys; print(*sys.version_info[:2])'
OTHER_PYTHON ?= $(shell used=$$($(BIN)/python $(VERSION) 2>/dev/null || "$(PYTHON)" $(VERSION)); \
	for p in python3.13 python3.12 python3.11; do \
	v=$$("$$p" $(VERSION) 2>/dev/null) && [ "$$v" != "$$used" ] && { echo "$$p"; break; }; done)
ELSEWHERE = PYTHONPATH=. .cache/$@/bin/python -m pytest -n auto -W default tests/unit tests/golden

# Compiled modules are kept whatever the environment says: the processes of a test run would compile them again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help report test test-docs slow lowest other-python lint types layers check docs bench scaling results replicate notebooks lab wheel clean
.DEFAULT_GOAL := help

help:  ## say what can be made
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

report: $(VENV)/.core  ## write the report of the seed study to out/h20/report.html
	@echo "A demo on simulated prices. On real ones: .venv/bin/marketimpact run studies/h20.toml --prices prices.parquet"
	@echo "(columns symbol, date, close or adj_close), or --yahoo."
	$(BIN)/python -m marketimpact.cli run studies/h20.toml --out out/h20

test: $(VENV)/.dev  ## run the tests of the package
	$(BIN)/python -m pytest -n auto

test-docs: docs  ## run the tests of the documentation, benchmarks, wheel, and of reports in a browser
	MARKETIMPACT_SITE=site $(BIN)/python -m pytest -n auto tests/tooling tests/browser

slow: $(VENV)/.dev  ## run the slow tests: simulations in full, JupyterLab in a browser, lowest versions, another Python
	$(BIN)/python -m pytest -n auto -m slow tests
	$(MAKE) lowest other-python

lowest:  ## run the tests with the lowest versions that pyproject.toml allows; needs uv, part of `make slow`
	@if [ -z "$(UV)" ]; then echo "lowest: skipped, since uv, which finds the lowest versions, is not on PATH (pip install uv)."; exit; fi; \
	set -e; mkdir -p .cache; "$(UV)" venv --quiet --clear --python "$(PYTHON)" .cache/$@; \
	"$(UV)" pip compile --quiet --resolution lowest-direct --python "$(PYTHON)" --extra garch --extra pdf --extra dask --extra excel \
		--output-file .cache/$@/lowest.txt pyproject.toml >/dev/null; \
	"$(UV)" pip install --quiet --python .cache/$@/bin/python --requirement .cache/$@/lowest.txt \
		pytest pytest-xdist hypothesis duckdb sqlalchemy linearmodels; \
	"$(UV)" pip install --quiet --python .cache/$@/bin/python --no-deps --editable .; \
	$(ELSEWHERE)

other-python:  ## run the tests with another Python than .venv's; OTHER_PYTHON=/path/to/python3, part of `make slow`
	@if [ -z "$(OTHER_PYTHON)" ]; then echo "other-python: skipped, since PATH has no other Python from 3.11 on (OTHER_PYTHON=/path names one)."; exit; fi; \
	set -e; mkdir -p .cache; "$(OTHER_PYTHON)" -m venv --clear .cache/$@; \
	.cache/$@/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"; \
	$(ELSEWHERE)

lint: $(VENV)/.dev  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## check types
	$(BIN)/mypy

layers: $(VENV)/.dev  ## check that modules import only from the layers below them
	$(BIN)/lint-imports

check: lint types layers test test-docs  ## all of the above but `make slow`

bench: $(VENV)/.dev  ## measure speed and memory from price files and returns, rewrite docs/benchmarks.md; BENCH=--quick for the small sizes
	$(BIN)/python -m benchmarks.speed --date $$(date +%F) $(BENCH)
	$(BIN)/python -m benchmarks.page

scaling: $(VENV)/.dev  ## measure tasks and workers on Dask, rewrite the figures of docs/scaling.md
	$(BIN)/python -m benchmarks.scaling --date $$(date +%F)
	$(BIN)/python -m benchmarks.scaling_page

results: $(VENV)/.dev  ## remake docs/findings from PRICES=FILE, say which numbers changed; PAGES="h20 policy" for some, BARS=FOLDER for minutes too
	@$(BIN)/python -m docs.findings.results "$(PRICES)" $(PAGES) $(if $(BARS),--bars "$(BARS)")

replicate: $(VENV)/.dev  ## compute published tables again from REPLICATIONS=FOLDER, their authors' data, into docs/replications
	@$(BIN)/python -m docs.replications.replicate "$(REPLICATIONS)"

docs: $(VENV)/.dev  ## build the documentation site into site/; runs the notebooks, kept in .cache/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

notebooks: $(VENV)/.dev  ## run the notebooks on simulated prices and store in them what they give
	$(BIN)/python -m docs.notebooks

lab: $(VENV)/.notebooks  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

wheel: $(VENV)/.dev  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## remove the environment and everything made
	rm -rf $(VENV) out dist build site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.python:
	@test -w . || { echo "$(CURDIR) cannot be written to, and the set-up needs to. Copy it to a folder of yours: cp -r \"$(CURDIR)\" ~" >&2; exit 1; }
	@test -n "$(PYTHON)" || { echo "marketimpact needs Python 3.11 or newer; none was found on PATH." >&2; \
		echo "Install one (Debian: apt-get install python3 python3-venv) or say which: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { \
		echo "PYTHON=$(PYTHON) is not a Python 3.11 or newer that runs here. Say another: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "Could not make a virtual environment with $(PYTHON): see above. Where venv or ensurepip is missing, on Debian: apt-get install python3-venv. Or say another Python: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@touch $@

$(VENV)/.core: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Setting up $(VENV): some 75 packages, 1.1 GB once unpacked. A minute or two on a fast line, silent unless something goes wrong ..."
	@$(call INSTALL,.)
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "Adding what the tests and tools need to $(VENV) ..."
	@$(call INSTALL,.[dev])
	@touch $@

$(VENV)/.notebooks: $(VENV)/.core
	@echo "Adding JupyterLab to $(VENV) ..."
	@$(call INSTALL,.[notebooks])
	@touch $@
