"""Every block of every page runs: Python in order in one namespace, study files are read, commands are typed.

What cannot run here says so in its fence: ```py needs a cluster and is compiled, ```r needs R. A command that needs
a network, or a snapshot of its own, is held against the options there are.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

import marketimpact as mi
from docs import executed
from marketimpact.cli import app
from marketimpact.cli.study_file import read_study
from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "data/sample/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
LANGUAGES = {"python", "py", "r", "toml", "sh", "text"}
#: Pages whose Python needs more than a file of prices, and where it is run.
RUN_BY = {
    "docs/gallery.md": "tests/tooling/test_gallery.py",
    "docs/scaling.md": "tests/tooling/test_scaling_page.py",
    "docs/sources/README.md": "tests/tooling/test_source_pages.py",
    "data/sample/README.md": "tests/unit/sources/test_simulation.py",
}
#: What must have come of the programs of a page.
GIVEN: dict[str, Callable[[dict], bool]] = {
    "README.md": lambda names: names["result"].events.height > 100 and names["mine"].height == 2,
    "docs/start.md": lambda names: names["result"].events.height == 2,
    "docs/howto/own_prices.md": lambda names: names["result"].events.height == 4,
    "docs/howto/crsp.md": lambda names: names["result"].car(0, 0)["n_days"].to_list() == [1, 1, 1],
    "docs/howto/after_hours_news.md": lambda names: names["legs"].frame.drop_nulls("car").height == 9,
    "docs/howto/many_events.md": lambda names: names["result"].events.height > 100,
    "docs/howto/contaminated_days.md": lambda names: (names["both"]["n_obs_cleaned"] < names["both"]["n_obs"]).any(),
}
#: Packages that an installation has.
READERS = {"altair", "great_tables", "marketimpact", "numpy", "pandas", "polars", "scipy", "statsmodels"}
#: Words of a command that needs a network, or a snapshot that was made before.
NOT_OFFLINE = {"--yahoo", "--snapshot", "fetch"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return [code for name, code in FENCE.findall(page.read_text(encoding="utf-8")) if name == language]


def having(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


def run_here(page: Path) -> bool:
    """Whether the Python of a page is run by `test_python_runs`."""
    by_the_site = executed.is_run(page) and name_of(page) not in GIVEN
    return name_of(page) not in RUN_BY and not by_the_site


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder with what a reader has: simulated prices, announcements, the studies, a store of an invented vendor."""
    (tmp_path / "my.csv").write_text(
        "announcement_id,announced_at,time_zone,stance,headline,targets\n"
        "h20,2025-08-12 12:45,Asia/Shanghai,restrictive,One,NVDA;0981.HK\n"
        "quarter,2025-05-28 AMC,America/New_York,mixed,Two,NVDA;AMD\n",
        encoding="utf-8",
    )
    (tmp_path / "new.csv").write_text(
        "announcement_id,announced_at,time_zone,stance,headline,source_title,source_publisher,source_url,verification,"
        "confidence\n2025-01-13-rule,2025-01-13,America/New_York,mixed,Three,Page,Paper,https://example.org,seen,high\n",
        encoding="utf-8",
    )
    shutil.copy(ROOT / "data" / "sample" / "prices.parquet", tmp_path / "prices.parquet")
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    (tmp_path / "chips.toml").write_text(
        '[announcements]\nids = ["2025-08-12-beijing-discourages-h20"]\n\n[report]\nwindows = [[0, 1]]\n\n'
        '[registration]\nsmallest_effect = 0.02\n\n[[groups]]\nname = "US"\nsymbols = ["NVDA", "AMD", "QCOM"]\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    days = pl.DataFrame({"symbol": "AAA", "date": [f"2024-01-0{n}" for n in (2, 3, 4)], "close": [1.0, 1.1, 1.2]})
    mi.StoredPrices(mi.FilePrices(days.with_columns(pl.col("date").str.to_date()))).read(["AAA"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_says_what_it_is():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for language, code in FENCE.findall(text):
            assert language in LANGUAGES, f"{name_of(page)}: ```{language}\n{code}"
        assert 2 * len(FENCE.findall(text)) == len(re.findall(r"^ *```", text, flags=re.MULTILINE)), name_of(page)


def test_pages_run_elsewhere_are_named_there():
    for page, test in RUN_BY.items():
        text = (ROOT / test).read_text(encoding="utf-8")
        assert all(f'"{part}"' in text for part in Path(page).parts), page
        assert "exec(" in text


@pytest.mark.parametrize("page", [p for p in having("python") if executed.is_run(p)], ids=name_of)
def test_the_site_runs_python_and_shows_what_it_gives(page, site):
    """Building the site stops at an error; outputs of every block are kept."""
    text, _ = executed.from_page(page.read_text(encoding="utf-8"), page.stem)
    assert 'class="output"' in text
    shown = (site / page.relative_to(ROOT / "docs")).with_suffix(".html").read_text(encoding="utf-8")
    assert shown.count('class="output"') == text.count('class="output"')


@pytest.mark.parametrize("page", [p for p in having("python") if run_here(p)], ids=name_of)
def test_python_runs(page, desk):
    names: dict = {"__name__": "page"}
    for code in blocks(page, "python"):
        exec(compile(code, name_of(page), "exec", dont_inherit=True), names)
    assert GIVEN.get(name_of(page), lambda _: True)(names)


@pytest.mark.parametrize("page", having("py"), ids=name_of)
def test_python_that_needs_more_than_a_machine_is_python(page):
    for code in blocks(page, "py"):
        assert ast.parse(code, name_of(page)).body


@pytest.mark.parametrize("page", having("toml"), ids=name_of)
def test_study_files_are_read(page, desk):
    for code in blocks(page, "toml"):
        Path("study.toml").write_text(code, encoding="utf-8")
        assert read_study("study.toml").study


@pytest.mark.parametrize("page", having("sh"), ids=name_of)
def test_commands_do_what_they_say(page, desk):
    for code in blocks(page, "sh"):
        for line in code.splitlines():
            typed(shlex.split(line.removeprefix("$ "), comments=True))


def typed(words: list[str]) -> None:
    """Run a command, or hold it against what there is."""
    program, *others = [word for word in words if "=" not in word or word.startswith("-")] or [""]
    program = program.removeprefix(".venv/bin/")
    if program == "marketimpact":
        command(others)
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert set(others) <= set(targets), words
    elif program == "python" and others[0] == "-m":
        assert importlib.util.find_spec(others[1]), words
    elif program in {"python", "pytest"}:
        path = next(word for word in reversed(others) if "/" in word)
        assert (ROOT / path).exists(), words
    else:
        assert program in {"", "pip"}, f"what does {words} do?"


def command(words: list[str]) -> None:
    """A marketimpact command: run, or parsed where it needs a network or a snapshot."""
    if NOT_OFFLINE.intersection(words):
        entered = typer.main.get_command(app)
        while hasattr(entered, "get_command"):
            entered = entered.get_command(typer.Context(entered), words.pop(0))
            assert entered is not None
        entered.make_context("marketimpact", words)
        return
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{words}: {done.output} {done.exception!r}"


def test_a_wrong_command_is_noticed(desk):
    with pytest.raises(AssertionError):
        command(["run", "no_such_study.toml"])
    with pytest.raises(Exception, match=r"[Nn]o such option"):
        command(["run", "h20", "--yahoo", "--no-such-option"])
    with pytest.raises(AssertionError):
        typed(["make", "coffee"])
    with pytest.raises(AssertionError):
        typed(["rm", "-rf", "out"])


def test_the_reader_has_no_other_package():
    """Pages import what an installation has, and nothing from the tests."""
    for page in having("python"):
        if name_of(page) == "docs/scaling.md":  # needs the extra marketimpact[dask], and says so
            continue
        for code in blocks(page, "python"):
            for module in re.findall(r"^(?:from|import) (\w+)", code, flags=re.MULTILINE):
                known = module in sys.stdlib_module_names
                assert known or module in READERS, module
