"""The benchmark of price files at tiny sizes: shapes, rows, tables; nothing is timed here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from benchmarks import file_readers, from_file, from_file_page, page, processes
from benchmarks.file_readers import FILE_READERS, FileReader
from benchmarks.plain_pass import plain_pass
from benchmarks.price_file import BENCHMARK, MIC, TOGETHER, events, hand_over, securities, trading_days, write_prices
from benchmarks.simulated import ESTIMATION, WINDOW
from marketimpact.inference import DEFAULT_TESTS
from tests.tooling.test_benchmarks import found

SESSIONS = 500
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc")


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dirty")
    hand_over(folder, 20_000, dirty=True, n_events=120, sessions=SESSIONS)
    return folder


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    hand_over(folder, 20_000, dirty=False, n_events=120, sessions=SESSIONS)
    return folder


def test_a_complete_file_has_every_firm_on_every_day(complete: Path) -> None:
    prices = pl.read_parquet(complete / "prices.parquet")
    assert prices.columns == ["symbol", "date", "close", "volume"]
    assert prices["symbol"].n_unique() == 41
    assert prices.group_by("symbol").len()["len"].unique().to_list() == [SESSIONS]
    assert not prices.select("symbol", "date").is_duplicated().any()
    assert prices["close"].min() > 0


def test_a_dirty_file_has_unequal_lives_and_missing_days(dirty: Path) -> None:
    prices = pl.read_parquet(dirty / "prices.parquet")
    days = trading_days(SESSIONS)
    assert prices.filter(pl.col("symbol") == BENCHMARK)["date"].to_list() == days.to_list()
    lives = (
        prices.filter(pl.col("symbol") != BENCHMARK)
        .group_by("symbol")
        .agg(pl.len(), first=pl.col("date").min(), last=pl.col("date").max())
    )
    assert (lives["first"] > days[0]).sum() > 10
    assert (lives["last"] < days[-1]).sum() > 10
    spans = np.searchsorted(days.to_numpy(), lives["last"].to_numpy()) + 1
    spans = spans - np.searchsorted(days.to_numpy(), lives["first"].to_numpy())
    missing = 1 - lives["len"].to_numpy().sum() / spans.sum()
    assert 0.005 < missing < 0.015
    assert lives["len"].min() >= 0.95 * 300


def test_a_file_by_date_has_the_same_rows(tmp_path: Path, dirty: Path) -> None:
    number = write_prices(tmp_path / "by_date.parquet", 20_000, sessions=SESSIONS, order="date")
    by_symbol, by_date = pl.read_parquet(dirty / "prices.parquet"), pl.read_parquet(tmp_path / "by_date.parquet")
    assert number == by_date.height
    assert by_date.select("date", "symbol").equals(by_date.select("date", "symbol").sort("date", "symbol"))
    assert by_symbol["symbol"].rle_id().max() + 1 == by_symbol["symbol"].n_unique()
    assert by_date.equals(by_symbol.sort("date", "symbol"))
    assert [path.name for path in tmp_path.iterdir()] == ["by_date.parquet"]


def test_firms_are_written_some_at_a_time(tmp_path: Path, dirty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TOGETHER > 64
    monkeypatch.setattr("benchmarks.price_file.TOGETHER", 7)
    write_prices(tmp_path / "prices.parquet", 20_000, sessions=SESSIONS)
    assert pl.read_parquet(tmp_path / "prices.parquet").equals(pl.read_parquet(dirty / "prices.parquet"))


def test_events_repeat_firms_and_dates_inside_lives(dirty: Path) -> None:
    prices, drawn = pl.read_parquet(dirty / "prices.parquet"), pl.read_parquet(dirty / "events.parquet")
    assert drawn.height == drawn["event_id"].n_unique() == 120
    assert drawn["date"].n_unique() == 5
    assert drawn["symbol"].n_unique() < 120
    assert not drawn.select("symbol", "date").is_duplicated().any()
    lives = prices.group_by("symbol").agg(first=pl.col("date").min(), last=pl.col("date").max())
    days = trading_days(SESSIONS).to_numpy()
    joined = drawn.join(lives, on="symbol", how="left", validate="m:1")
    at, first, last = (np.searchsorted(days, joined[name].to_numpy()) for name in ("date", "first", "last"))
    assert (at + ESTIMATION[0] > first).all()  # the first day of a life has no return
    assert (at + WINDOW[1] <= last).all()


def test_a_file_with_too_few_sessions_has_fewer_events(dirty: Path) -> None:
    drawn = events(dirty / "prices.parquet", 1_000_000)
    assert 120 < drawn.height < 1_000_000


def test_securities_are_the_firms(dirty: Path) -> None:
    own = securities(dirty / "prices.parquet")
    firms = set(pl.read_parquet(dirty / "prices.parquet")["symbol"]) - {BENCHMARK}
    assert set(own["symbol"]) == firms
    assert own["symbol"].is_sorted()
    assert own.select("mic", "currency", "benchmark").unique().rows() == [(MIC, "USD", BENCHMARK)]


def test_the_plain_pass_makes_returns_beside_the_benchmarks(dirty: Path) -> None:
    prices = pl.read_parquet(dirty / "prices.parquet")
    frame = plain_pass(dirty / "prices.parquet", BENCHMARK)
    assert frame.height == prices.height
    firm = frame.filter(pl.col("symbol") == "F00003").sort("date")
    close = prices.filter(pl.col("symbol") == "F00003").sort("date")["close"].to_numpy()
    np.testing.assert_allclose(firm["ret"].to_numpy()[1:], close[1:] / close[:-1] - 1, rtol=0, atol=1e-15)
    level = prices.filter(pl.col("symbol") == BENCHMARK).sort("date")
    moves = dict(
        zip(level["date"][1:], level["close"].to_numpy()[1:] / level["close"].to_numpy()[:-1] - 1, strict=True)
    )
    for date, market in firm.select("date", "market").rows():
        assert market == pytest.approx(moves[date], abs=1e-15) if date in moves else market is None


@linux
def test_rows_of_a_study_parse_and_leave_cars(
    dirty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(from_file, "TIMES", 1)
    from_file.study(dirty, cars=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["part"] for row in rows] == [*from_file.STEPS, *from_file.STEPS]
    kept = from_file.final(rows)
    assert tuple(row["part"] for row in kept) == from_file.STEPS
    assert not any(row.get("provisional") for row in kept)
    assert {row["used"] for row in kept} == {120}
    assert all(row["peak"] + row["before"] > 0 for row in kept)
    given = pl.read_parquet(dirty / "events.parquet")
    with np.load(dirty / "cars.npz") as cars:
        np.testing.assert_allclose(cars["whole"], cars_by_hand(dirty, given), rtol=0, atol=1e-12)
        assert np.isfinite(cars["even"]).all()


def cars_by_hand(folder: Path, drawn: pl.DataFrame) -> np.ndarray:
    """One least squares per event on a pivoted file; days without a return are left out."""
    wide = pl.read_parquet(folder / "prices.parquet").pivot("symbol", index="date", values="close").sort("date")
    returns = wide.select("date", pl.exclude("date") / pl.exclude("date").shift(1) - 1)
    dates, cars = returns["date"].to_list(), []
    market = returns[BENCHMARK].to_numpy()
    for symbol, date in drawn.select("symbol", "date").rows():
        y, day = returns[symbol].cast(pl.Float64).fill_null(float("nan")).to_numpy(), dates.index(date)
        before, around = (slice(day + first, day + last + 1) for first, last in (ESTIMATION, WINDOW))
        seen = ~np.isnan(y[before])
        beta, alpha = np.polyfit(market[before][seen], y[before][seen], 1)
        cars.append(np.nansum(y[around] - alpha - beta * market[around]))
    return np.array(cars)


@linux
def test_rows_of_the_plain_pass_parse(
    complete: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(from_file, "TIMES", 2)
    from_file.plain(complete)
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (row["part"], row["times"]) == ("plain pass", 2)
    assert {"wall", "cpu", "peak", "kept", "before"} < set(row)


def test_what_was_measured_before_a_process_died_is_kept() -> None:
    first = {"part": "Market.load", "wall": 1.0, "provisional": True}
    died = {"part": "the rest", "reason": "ended by SIGKILL, as when memory runs out"}
    assert from_file.final([first, died]) == [first, died]
    again = {"part": "Market.load", "wall": 0.9}
    assert from_file.final([first, again, died]) == [again, died]


def test_a_process_that_fails_or_is_late_says_why(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text('print(\'{"part": "a"}\', flush=True); import os; os.kill(os.getpid(), 9)')
    (tmp_path / "waits.py").write_text('print(\'{"part": "a"}\', flush=True); import time; time.sleep(60)')
    path = {"PYTHONPATH": str(tmp_path)}
    rows = processes.child("dies", environment=path)
    assert rows == [{"part": "a"}, {"part": "the rest", "reason": "ended by SIGKILL, as when memory runs out"}]
    rows = processes.child("waits", environment=path, patience=2)
    assert rows[-1]["reason"] == "ended after 2 s"
    assert processes.why(1, "Traceback\nValueError: no such file\n") == "ValueError: no such file"
    assert processes.why(3, "") == "exit code 3"


def test_a_size_whose_file_cannot_be_written_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    (row,) = from_file.of_size(tmp_path / "taken", 20_000, True, 100, others=False)
    assert row["rows"] == 20_000
    assert "taken" in row["reason"]
    told = from_file_page.tables({"rows": [row]})
    assert "marketimpact: " in told
    assert "(0.02 M rows)" in told


RUNNER = """
import sys
import numpy as np
cars = np.load(sys.argv[1] + "/cars.npz")["whole"][: int(sys.argv[3])]
{harm}
np.savez(sys.argv[2], cars=cars, load=1.0, estimate=2.0, peak=3.0)
"""


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("", None),
        ("cars[1] += 1e-8", "its CARs differ from ours by up to 1e-08"),
        ("raise ValueError('no')", "fails: ValueError: no"),
    ],
)
def test_a_program_has_a_time_only_with_equal_cars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, reason: str | None
) -> None:
    (tmp_path / "runner.py").write_text(RUNNER.format(harm=harm), encoding="utf-8")
    np.savez(tmp_path / "cars.npz", whole=np.arange(9.0), even=np.zeros(9))
    monkeypatch.setattr(file_readers, "environment", lambda reader: Path(sys.executable))
    reader = FileReader("copy", "none", str(tmp_path / "runner.py"), events=5, timed="a copy")
    row = file_readers.measured(reader, tmp_path)
    if reason is None:
        assert row == {"part": "copy", "measured": 5, "load": 1.0, "estimate": 2.0, "peak": 3.0, "difference": 0.0}
    else:
        assert row == {"part": "copy", "measured": 5, "reason": reason}


def test_pins_of_programs_that_read_files_name_versions() -> None:
    pins = Path(file_readers.__file__).parent / "pins"
    for reader in FILE_READERS:
        lines = (pins / reader.pins).read_text(encoding="utf-8").splitlines()
        assert all(len(line.split("==")) == 2 for line in lines)
        assert {"pandas", "pyarrow"} <= {line.split("==")[0] for line in lines}


@pytest.mark.slow
@linux
@pytest.mark.parametrize("reader", FILE_READERS, ids=lambda reader: reader.name)
def test_programs_agree_on_a_complete_file(reader: FileReader, complete: Path) -> None:
    """Makes their environments where they are not made yet; needs the network then."""
    result, given = from_file.story(complete), pl.read_parquet(complete / "events.parquet")
    cars = {name: from_file.in_order(given, result.car(*w)) for name, w in {"whole": WINDOW, "even": (-5, 4)}.items()}
    np.savez(complete / "cars.npz", **cars)
    row = file_readers.measured(reader, complete)
    if "not installed" in row.get("reason", ""):
        pytest.skip(row["reason"])
    assert row["difference"] < 1e-10


def files() -> dict:
    """Results as `from_file` leaves them: 2 and 4 million rows, complete, and one dirty size that was killed."""
    rows = []
    for size, wall in ((2_000_000, 1.0), (4_000_000, 2.1)):
        facts = {"rows": size, "dirty": False, "written": size, "n_events": size // 100}
        memory = {"peak": size * 100, "before": 10**8}
        rows.append({"kind": "plain", "part": "plain pass", "wall": wall / 4, "cpu": wall / 2, **memory, **facts})
        rows += [
            {
                "kind": "ours",
                "part": part,
                "wall": wall,
                "cpu": 1.5 * wall,
                **memory,
                "peak": size * (200 + 100 * n),
                **facts,
            }
            for n, part in enumerate(from_file.STEPS)
        ]
    other = {"kind": "other", "rows": 2_000_000, "dirty": False, "n_events": 20_000, "measured": 1000}
    numbers = {"load": 5.0, "estimate": 1.0, "peak": 10**9, "difference": 0.0}
    rows += [{**other, "part": FILE_READERS[0].name, **numbers}]
    rows += [{**other, "part": FILE_READERS[1].name, "reason": "not installed: no such thing"}]
    dead = {"rows": 25_000_000, "dirty": True, "n_events": 1_000_000}
    rows += [{"kind": "plain", "part": "plain pass", "wall": 6.0, "peak": 4e9, "before": 10**8, **dead}]
    rows += [{"kind": "ours", "part": "Market.load", "wall": 30.0, "peak": 6e9, "before": 10**8, **dead}]
    rows += [{"kind": "ours", "part": "the rest", "reason": "ended after 1200 s", **dead}]
    return {"rows": rows, "cold": {"times": 3, "plain": 0.5, "story": 2.5}}


def test_the_page_begins_with_price_files(tmp_path: Path) -> None:
    page.write({**found(), "files": files()}, tmp_path)
    told = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    headings = [line for line in told.splitlines() if line.startswith("## ")]
    assert headings[:2] == ["## From a price file", "## Aims and results"]
    first = next(line for line in told.splitlines() if line.startswith("|"))
    assert first == "|  | 2 M rows, 20,000 events | 4 M rows, 40,000 events | 4 M over 2 M rows |"
    assert "**simulated**" in told.split("|")[0]
    assert "| plain pass | 1 (0.25 s, CPU 0.5) | 1 (0.525 s, CPU 1.05) | 2.10 times |" in told
    assert "| `Market.load` | 4 (1 s, CPU 1.5) | 4 (2.1 s, CPU 3.15) | 2.10 times |" in told
    # three steps of a second each, and four with loading
    assert "| run, CARs and default tests | 12 (3 s, CPU 4.5) |" in told
    assert "| **from the file to the tests** | 16 (4 s, CPU 6) |" in told
    # five seconds of loading and a millisecond for each of 20,000 events
    assert "| pandas, statsmodels loop | 100 (25 s) |  |  |" in told
    assert "* eventstudy 0.1a12: not installed: no such thing (2 M rows)" in told
    # peaks: loading twice the plain pass's 0.2 GB, the tests five times
    assert "| plain pass | 1 (0.20 GB) | 1 (0.40 GB) |" in told
    assert "| `Market.load` | 2 (0.40 GB) | 2 (0.80 GB) |" in told
    assert "| **from the file to the tests** | 5 (1.00 GB) | 5 (2.00 GB) |" in told
    assert "takes 2.5 s from the file to the tests, and the plain pass 0.5 s (medians of 3)" in told
    assert f"all {len(DEFAULT_TESTS)} default tests" in told


def test_a_size_that_died_keeps_what_it_measured_and_says_why() -> None:
    told = from_file_page.tables(files())
    dirty = told.split("### Dirty files")[1]
    assert "| `Market.load` | 5 (30 s) |" in dirty
    assert "from the file to the tests" not in dirty
    assert "* marketimpact: ended after 1200 s (25 M rows)" in dirty


def test_aims_of_loading_take_the_worst_file() -> None:
    limits = {name: (limit, value, unit) for name, limit, value, unit in from_file_page.aims(files())}
    assert list(limits.values())[:3] == [(6.0, 5.0, " times"), (3.0, 2.0, " times"), (2.2, 2.1, " times")]
    assert list(limits.values())[3] == (8.0, None, " GB")
    nothing = from_file_page.aims({"rows": []})
    assert [value for _, _, value, _ in nothing] == [None] * 4


def test_the_default_study_is_that_of_a_user(dirty: Path) -> None:
    steps: list[str] = []
    result = from_file.story(dirty, steps.append)
    assert tuple(steps) == from_file.STEPS
    assert isinstance(result, mi.StudyResult)
    assert result.events.height == 120
