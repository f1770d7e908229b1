"""The benchmark's own code at tiny sizes: nothing is timed here; equality is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import marketimpact as mi
from benchmarks import bandwidth, ours, packages, page, processes, speed
from benchmarks.packages import EVEN, PACKAGES, Package, UnavailableError, compared, last_word
from benchmarks.rivals import RIVALS
from benchmarks.simulated import ESTIMATION, WINDOW, Panel, panel
from marketimpact.core.threads import cores
from marketimpact.inference import DEFAULT_TESTS, TESTS
from marketimpact.models.kernel_inputs import KernelInputs

RUNNERS = Path(packages.__file__).parent / "runners"


def cars_by_hand(made: Panel, window: tuple[int, int] = WINDOW) -> np.ndarray:
    """One least squares per event of complete returns."""
    cars = []
    for firm, day in zip(made.firm, made.session, strict=True):
        before = slice(day + ESTIMATION[0], day + ESTIMATION[1] + 1)
        around = slice(day + window[0], day + window[1] + 1)
        beta, alpha = np.polyfit(made.market[before], made.returns[before, firm], 1)
        cars.append((made.returns[around, firm] - alpha - beta * made.market[around]).sum())
    return np.array(cars)


def test_firms_and_dates_repeat() -> None:
    made = panel(200, sessions=400)
    assert len(made.firm) == 200
    assert len(set(made.session)) == 8
    assert len(set(made.firm)) <= 50


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_rivals_agree_with_the_package(name: str, missing: float) -> None:
    made = panel(60, sessions=400, missing=missing)
    returns, benchmark, events = made.frames()
    study = mi.EventStudy(estimation_window=ESTIMATION, event_window=WINDOW)
    cars = (
        study.run(events, mi.Market.from_returns(returns, benchmark, allow_missing_sessions=True))
        .car(*WINDOW)
        .sort("event_id")
    )
    own = events.join(cars.select("event_id", "car"), on="event_id", how="left", maintain_order="left", validate="1:1")
    difference = np.abs(own["car"].to_numpy() - RIVALS[name](made, 60))
    assert np.isfinite(difference).sum() > 30
    assert np.nanmax(difference) < 1e-10


@pytest.mark.parametrize("sample", ["of_few_firms", "of_few_dates"])
def test_a_part_of_a_panel_has_the_same_events(sample: str) -> None:
    made = panel(400, sessions=400)
    rows = getattr(made, sample)(60)
    part = made.part(rows)
    assert 20 < len(rows) < 200
    assert len(set(part.firm)) < len(part.firm)
    assert part.returns.shape[1] == len(set(made.firm[rows]))
    np.testing.assert_allclose(cars_by_hand(part), cars_by_hand(made)[rows], rtol=0, atol=1e-15)
    kept = set(made.firm[rows]) if sample == "of_few_firms" else set(made.session[rows])
    of = made.firm if sample == "of_few_firms" else made.session
    assert set(np.flatnonzero(np.isin(of, list(kept)))) == set(rows)


RUNNER = """
import sys
sys.path.insert(0, {runners!r})
import handed
import numpy as np

panel = handed.read()

def estimate():
    cars = []
    for firm, day in zip(panel.firm, panel.session, strict=True):
        y, x = panel.returns[:, firm], panel.market
        beta, alpha = np.polyfit(x[day - 250 : day - 10], y[day - 250 : day - 10], 1)
        cars.append((y - alpha - beta * x)[day - 5 : day + 6].sum())
    {harm}
    return cars

handed.answer(estimate)
"""


def run_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> dict[str, object]:
    """A package that is this interpreter with the runner above."""
    runner = tmp_path / "runner.py"
    runner.write_text(RUNNER.format(runners=str(RUNNERS), harm=harm), encoding="utf-8")
    monkeypatch.setattr(packages, "environment", lambda package: Path(sys.executable))
    package = Package("loop", "none", (str(runner),), WINDOW, dates=False, events=60, timed="a loop")
    made = panel(60, sessions=400)
    return packages.measured(package, made, {WINDOW: cars_by_hand(made)})


def test_a_package_with_equal_cars_has_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = run_of(tmp_path, monkeypatch, "pass")
    assert row["measured"] == 60
    assert row["difference"] < 1e-10
    assert {"wall", "first"} < set(row)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("cars[3] += 1e-9", "its CARs differ from ours by up to 1e-09"),
        ("cars[3] = float('nan')", "no CAR for 1 of 60 events"),
        ("cars.pop()", "gives 59 CARs for 60 events"),
        ("raise ValueError('eleven returns, ten residuals')", "fails: ValueError: eleven returns, ten residuals"),
    ],
)
def test_a_package_without_equal_cars_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, reason: str
) -> None:
    row = run_of(tmp_path, monkeypatch, harm)
    assert reason in str(row["reason"])
    assert "wall" not in row


def test_a_car_that_nobody_can_estimate_is_a_difference() -> None:
    with pytest.raises(UnavailableError, match="CARs for 1 of 2 events that cannot be estimated"):
        compared(np.array([0.1, 0.2]), np.array([0.1, np.nan]))
    assert compared(np.array([0.1, np.nan]), np.array([0.1, np.nan])) == 0.0


def test_the_last_word_is_the_error() -> None:
    first = "Traceback (most recent call last):\n  File 'a', line 1\nKeyError: 'old'\n\nDuring ...\n"
    traceback = first + "numba.core.errors.TypingError: no\n  such overload\n"
    assert last_word(traceback) == "numba.core.errors.TypingError: no such overload"
    assert last_word("ERROR: No matching distribution found for eventstudy==0.1a12\n") == (
        "ERROR: No matching distribution found for eventstudy==0.1a12"
    )
    assert last_word("Killed\n") == "Killed"
    assert last_word("") == ""


def test_pins_name_versions_and_nothing_else() -> None:
    for package in PACKAGES:
        lines = (RUNNERS.parent / "pins" / package.pins).read_text(encoding="utf-8").splitlines()
        name, number = package.name.split(",")[0].split()
        assert f"{name.replace('-', '_')}=={number}" in [line.replace("-", "_") for line in lines]
        assert all(len(line.split("==")) == 2 and "/" not in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_public_packages_agree(package: Package) -> None:
    """Makes their environments where they are not made yet; needs the network then."""
    made = panel(200)
    row = packages.measured(package, made, {window: cars_by_hand(made, window) for window in (WINDOW, EVEN)})
    if "not installed" in row.get("reason", ""):
        pytest.skip(row["reason"])
    assert row["difference"] < 1e-10


def test_parts_ask_for_every_test_that_does_not_draw() -> None:
    drawn = {name for name in TESTS if "bootstrap" in name or name.startswith("wild_") or name.startswith("sign_flip")}
    assert set(ours.RESAMPLING) == drawn
    assert {test.name for test in DEFAULT_TESTS} == {*ours.NO_RANKS, "grank_t", "wild_cluster"}


@pytest.fixture
def handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Panel:
    for name, value in {"WARM": 60, "TIMES": 1}.items():
        monkeypatch.setattr(ours, name, value)
    made = panel(60, sessions=400)
    ours.hand_over(made, tmp_path)
    return made


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc, which Linux has")
def test_a_size_is_measured_and_loops_compared(
    handed_over: Panel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours.study(tmp_path)
    ours.loops(tmp_path, 40)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    timed = [row["part"] for row in rows if "cpu" in row and row.get("kind") != "step"]
    assert timed == ["Market.from_returns", *ours.PARTS, *RIVALS]
    steps = [row["part"] for row in rows if row.get("kind") == "step"]
    assert steps[:4] == ["run", "car", "sample", "structure of the sample"]
    assert set(steps[4:]) == {*ours.NO_RANKS, "grank_t"}
    peaks = [row for row in rows if row.get("kind") == "peak"]
    assert [row["part"] for row in peaks][-2:] == ["GRANK-T", "all tests but resampling"]
    # memory that is returned between the two readings makes the peak a little smaller
    assert all(row["peak"] >= 0.9 * row["before"] > 0 for row in peaks)
    assert peaks[-1]["output_bytes"] > peaks[1]["output_bytes"] > 60 * 11  # a mark per event and day at least
    assert all(row["difference"] < 1e-10 for row in rows if row.get("measured") == 40)
    with np.load(tmp_path / "cars.npz") as found:
        np.testing.assert_allclose(found["whole"], cars_by_hand(handed_over), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found["even"], cars_by_hand(handed_over, EVEN), rtol=0, atol=1e-12)


def test_loops_that_differ_have_no_time(handed_over: Panel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "cars.npz", whole=cars_by_hand(handed_over) + 1e-8)
    ours.loops(tmp_path, 30)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(RIVALS)
    assert all("differ" in row["reason"] and "wall" not in row for row in rows)


def kernel_inputs(n_sessions, day0, spans, *, columns=(), begins=None, rf=None) -> KernelInputs:
    """Inputs of a kernel that reads these columns, where each event's security begins as `begins` says."""
    empty = np.empty(0)
    return KernelInputs(
        columns=columns,
        shifts=np.zeros(len(columns), np.int64),
        rf=empty if rf is None else rf,
        minus_rf=np.zeros(len(columns), np.bool_),
        spans=spans,
        n_sessions=n_sessions,
        day0=day0,
        begins=begins,
        excluded=empty.astype(np.bool_),
        own_spans=np.empty((0, 2), np.int64),
    )


def test_rows_in_windows_are_counted_once() -> None:
    rng = np.random.default_rng(4)
    places = np.column_stack([rng.integers(0, 3, 50) * 100, np.full(50, 100), rng.integers(0, 100, 50)])
    spans = np.array([[-30, -11], [2, 6]])
    seen = {
        first_row + session
        for first_row, n_sessions, day0 in places
        for first, last in spans
        for session in range(day0 + first, day0 + last + 1)
        if 0 <= session < n_sessions
    }
    assert bandwidth.covered(kernel_inputs(places[:, 1], places[:, 2], spans), places[:, 0]) == len(seen)


def test_kernels_are_watched_and_put_back() -> None:
    def sums(inputs):
        return np.zeros(len(inputs.day0)), np.zeros((len(inputs.day0), 2))

    sums.py_func = sums
    kernels = SimpleNamespace(__all__=["sums"], sums=sums)
    column, spans = np.zeros(200), np.array([[-20, -1]])
    # where returns, benchmark and rate begin: two securities of one benchmark
    n_sessions, day0 = np.full(3, 100), np.array([30, 30, 50])
    begins = np.array([[0, 0, 0], [0, 0, 0], [100, 0, 0]])
    with bandwidth.watched(kernels) as calls:
        for _ in range(2):
            kernels.sums(kernel_inputs(n_sessions, day0, spans, columns=(column, column), begins=begins))
    (row,) = bandwidth.by_kernel(calls)
    written = 3 * 8 + 3 * 2 * 8
    assert kernels.sums is sums
    assert (row["kernel"], row["calls"], row["windows"]) == ("sums", 2, 6)
    assert row["wall"] == sum(call["seconds"] for call in calls) / cores()
    assert row["window_bytes"] == 2 * (3 * 20 * 2 * 8 + written)
    assert row["memory_bytes"] == 2 * (2 * 20 * 2 * 8 + written)
    day0[1] = 40  # half of its window is that of the first
    with bandwidth.watched(kernels) as calls:
        one_column = kernel_inputs(n_sessions, day0, spans, columns=(column,), begins=begins[:, [0, 2]], rf=column)
        kernels.sums(one_column)
    assert calls[0]["memory_bytes"] == (30 + 20 + 40) * 8 + written


def test_reading_and_copying_touch_everything() -> None:
    source, target = np.arange(100.0), np.zeros(100)
    bandwidth._copy.py_func(target, source, 2)
    assert bandwidth._read.py_func(source, 2) == 4950.0
    np.testing.assert_array_equal(target, source)


FOUND = {
    "date": "2030-01-31",
    "machine": {
        "processor": "a processor", "cores": 2, "gib": 24, "python": "3.11", "versions": {"polars": "2"}, "load": 0.1
    },
    "load_after": 2.0,
    "cold": {"times": 7, "study": 1.5, "slowest": 1.7, "import": 1.1},
    "compilation": {"events": 5000, "compile": 20.0, "load": 0.4, "warm": 0.1},
    "files": {"rows": []},
    "memory": {"threads": 2, "read_bytes_per_s": 2e10, "copy_bytes_per_s": 3e10},
}  # fmt: skip


def found() -> dict:
    """Results as `speed` leaves them, with round numbers: time in proportion to events."""
    facts = {"before": 10**8, "input_bytes": 10**8, "output_bytes": 10**8}
    rows = [{"kind": "peak", "part": "run", "peak": 7 * 10**8, **facts}]
    rows += [{"kind": "ours", "part": part} for part in ("Market.from_returns", *ours.PARTS)]
    rows = [row | {"events": n, "missing": 0.0, "measured": n} for n in (1_000, 10_000) for row in rows]
    rows = [row | {"wall": row["events"] / 1e5, "cpu": 0.1} if row["kind"] == "ours" else row for row in rows]
    kernel = {"kind": "kernel", "kernel": "sums", "windows": 10_000, "window_bytes": 5e9, "memory_bytes": 1e9}
    rows.append({**kernel, "wall": 1.0, "events": 10_000, "missing": 0.0, "measured": 10_000})
    taken = {"run": 3.0, "car": 0.99, "bmp": 0.01}
    steps = [{"kind": "step", "part": name, "wall": wall, "cpu": 2 * wall} for name, wall in taken.items()]
    rows += [row | {"events": n, "missing": 0.0} for n in (1_000, 10_000) for row in steps]
    other = {"events": 10_000, "missing": 0.0, "measured": 1000}
    rows.append({**other, "kind": "loop", "part": page.LOOPS[1], "wall": 0.5, "cpu": 0.5, "difference": 2e-16})
    rows.append({**other, "kind": "package", "part": PACKAGES[0].name, "reason": "not installed: no such thing"})
    return {**FOUND, "rows": rows}


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    page.write(found(), tmp_path)
    told = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "Measured on 2030-01-31: a processor, 2 cores, 24 GiB" in told
    assert "busy" not in told
    # 1000 in half a second, and ours 10,000 in a tenth: 50 times as fast; at 1,000 it was not run
    assert f"| {page.LOOPS[1]} | 1,000 | 2,000 | 2e-16 |  | 50 |  |" in told
    assert "| not installed: no such thing |" in told
    assert "| run + car | 0.01 (0.1) | 0.1 (0.1) | 1.00 | 10.0 |" in told
    # 600 MB above what was there before, 200 handed in and made
    assert "| 10,000 | 0% | run | 600 | 100 | 100 | 3.0 |" in told
    assert "| run | 3 | 6 | 75% |" in told
    assert "| the other tests together | 0.01 | 0.02 | 0% |" in told
    # 240 numbers of 8 bytes for each event at 20 GB/s, four times
    assert "0.0 GB, which is 0.00 s at the speed of memory" in told
    assert "| `sums` | 10,000 | 1 | 5.0 | 25% | 1.0 | 5% |" in told
    assert "reading speed over its own | 2 times | 4 times | **no** |" in told
    assert "| 50 events from a cold interpreter | 2 s | 1.5 s | yes |" in told
    for name in ("benchmarks.svg", "benchmarks_rivals.svg"):
        assert "simulated" in (tmp_path / name).read_text(encoding="utf-8")


def test_a_busy_machine_is_named() -> None:
    busy = found()
    busy["machine"] = busy["machine"] | {"load": 3.0}
    assert "The machine was busy with other work: load 3.0" in page.head(busy)


def test_the_exponent_is_the_slope_of_logs() -> None:
    assert page.slope([(1_000, 2.0), (10_000, 2.0 * 10**1.25), (100_000, 2.0 * 10**2.5)]) == pytest.approx(1.25)


def test_a_process_that_fails_says_why() -> None:
    (row,) = processes.child(speed.OURS, "study", "/nowhere/at/all")
    assert "No such file" in row["reason"]
    with pytest.raises(RuntimeError, match="No such file"):
        processes.one([row])
