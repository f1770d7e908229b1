"""What a notebook shows besides tables: short errors, and a bar under the cell while work goes on."""

from __future__ import annotations

import re
from types import SimpleNamespace

import IPython
import polars as pl
import pytest
from IPython.core.interactiveshell import InteractiveShell

import marketimpact as mi
from marketimpact.core import progress


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_an_error_is_its_message_and_the_line_that_led_to_it(shell, capsys):
    shell.run_cell("import marketimpact as mi\nstudy = mi.EventStudy(\n    event_window=(-300, 5))\n", silent=True)
    out, _ = capsys.readouterr()
    first, *rest = re.sub(r"\x1b\[[0-9;]*m", "", out).strip().splitlines()
    assert first.startswith("SpecificationError: estimation_window=(-250, -11) reaches into event_window=(-300, 5)")
    assert rest == ["  line 2: study = mi.EventStudy("]


def test_an_error_from_a_function_of_ones_own_names_the_line_in_it(shell, capsys):
    shell.run_cell("import polars as pl\nimport marketimpact as mi\n", silent=True)
    shell.run_cell(
        "def mine():\n    return mi.Market.from_returns(pl.DataFrame({'a': [1]}), None)\n\nmine()", silent=True
    )
    out, _ = capsys.readouterr()
    assert out.rstrip().splitlines()[-1] == "  line 2: return mi.Market.from_returns(pl.DataFrame({'a': [1]}), None)"
    assert "Traceback" not in out


def test_an_error_that_was_never_raised_shows_its_message():
    assert mi.DataError("no rows")._render_traceback_() == ["DataError: no rows"]


class Cell:
    """What stands under a cell: elements in the order in which they came to stand there."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, element, *, display_id):
        assert display_id
        self.shown.append(element.data)
        return SimpleNamespace(update=lambda later: self.shown.append(later.data))


@pytest.fixture
def cell(monkeypatch) -> Cell:
    cell = Cell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", cell.display)
    return cell


def test_a_bar_under_the_cell_grows_and_is_gone_at_the_end(cell):
    with progress.progress_bar(None, "Ev<ents", 250) as done:
        for _ in range(250):
            done()
    counts = [int(n) for n in re.findall(r"value='(\d+)' max='250'", "".join(cell.shown))]
    assert counts[0] == 0
    assert counts[-1] == 250
    assert len(counts) == 101  # one per hundredth
    assert counts == sorted(counts)
    assert "Ev&lt;ents: 250 of 250" in cell.shown[-2]
    assert cell.shown[-1] == ""


def test_a_bar_is_gone_after_an_error_too(cell):
    with pytest.raises(KeyError), progress.progress_bar(None, "Events", 3):
        raise KeyError
    assert cell.shown[-1] == ""


@pytest.mark.parametrize(("seconds", "wanted", "shown"), [(0.5, None, False), (2.0, None, True), (0.5, True, True)])
def test_short_work_has_no_bar_unless_it_is_wanted(cell, monkeypatch, seconds, wanted, shown):
    clock = iter([0.0, seconds, seconds])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress.progress_bar(wanted, "Events", 2, patience=1.0) as done:
        done()
    assert bool(cell.shown) is shown


def test_long_questions_have_a_bar(cell, monkeypatch, golden_market, golden_study):
    from tests.conftest import golden  # noqa: PLC0415

    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=iter(range(10_000)).__next__))
    events = golden("events_mixed")
    curve = mi.specification_curve(
        events,
        golden_market,
        estimation_windows=[(-200, -11)],
        event_windows=[(0, 0)],
        filters={"all": pl.lit(value=True)},
    )
    assert "Studies: 1 of 1" in cell.shown[-2]
    curve.joint_test(draws=3)
    assert "Placebo curves: 1 of 1" in cell.shown[-2]
    mi.placebo_dates(golden_study, events.head(3), golden_market, draws=3, avoid=events.head(1))
    assert "Placebo dates: 1 of 1" in cell.shown[-2]
    golden_study.run(events, golden_market, chunk=20)
    assert "Events in chunks: 2 of 2" in cell.shown[-2]
