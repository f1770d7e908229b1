# Two commands matter: `make report` and `make test`. Each sets up what it needs in .venv first.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

.PHONY: help report test lint types floors check docs bench scaling lab notebooks wheel clean
.DEFAULT_GOAL := help

help:  ## say what can be made
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

report: $(VENV)/.core  ## write the report of the seed study to out/h20/report.html
	$(BIN)/marketimpact run studies/h20.toml --out out/h20

test: $(VENV)/.dev  ## run the tests
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## check types
	$(BIN)/mypy

floors: $(VENV)/.dev  ## check that imports point down only
	$(BIN)/lint-imports

check: test lint types floors  ## all of the above

bench: $(VENV)/.dev  ## measure speed and memory, rewrite docs/benchmarks.md; BENCH=--quick for the small sizes
	$(BIN)/python -m benchmarks.speed --date $$(date +%F) $(BENCH)
	$(BIN)/python -m benchmarks.page

scaling: $(VENV)/.dev  ## measure tasks and workers on Dask, rewrite the figures of docs/scaling.md
	$(BIN)/python -m benchmarks.scaling --date $$(date +%F)
	$(BIN)/python -m benchmarks.scaling_page

docs: $(VENV)/.dev  ## build the documentation site into site/; runs the notebooks, kept in .cache/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lab: $(VENV)/.notebooks  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

wheel: $(VENV)/.dev  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## remove the environment and everything made
	rm -rf $(VENV) out dist build site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "marketimpact needs Python 3.11 or newer; none was found on PATH." >&2; \
		echo "Install one (Debian: apt-get install python3 python3-venv) or say which: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "PYTHON=$(PYTHON) is not a Python 3.11 or newer that runs here. Say another: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "Could not make a virtual environment with $(PYTHON). On Debian: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.core: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (the first time takes a minute) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@$(PIP) --editable ".[dev]"
	@touch $@

$(VENV)/.notebooks: $(VENV)/.core
	@$(PIP) --editable ".[notebooks]"
	@touch $@
