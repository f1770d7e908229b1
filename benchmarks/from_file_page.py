"""Write the tables of `from_file`: time as a multiple of the plain pass, peak memory, growth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.file_readers import FILE_READERS
from benchmarks.from_file import LOAD, STEPS, TIMES
from marketimpact.inference import DEFAULT_TESTS

Row = dict[str, Any]
PLAIN, STUDY, WHOLE = "plain pass", "run, CARs and default tests", "**from the file to the tests**"
NAMES = {LOAD: "`Market.load`", STUDY: STUDY, WHOLE: WHOLE}
#: The files between which growth is measured, and the smallest whose loading the aims are about.
SMALLER, LARGER, FEWEST = 2_000_000, 4_000_000, 2_000_000
#: The largest file, and the events of its study.
LARGEST = 25_000_000

INTRODUCTION = """Most studies begin with a price file. These files are **simulated** in the shape of CRSP: one long
Parquet file of `symbol, date, close, volume`, 2,500 sessions, one benchmark. In the complete files every firm trades
every day; in the dirty ones firms are listed and delisted, and 1% of days are missing. There is one event for each
hundred rows, and a million in the file of 25 million; all lie inside the lives of their firms.

The yardstick is the **plain pass**: scan the file, sort it by symbol and date, compute simple returns, join the
benchmark's on date, collect. It checks nothing and estimates nothing. Figures are multiples of the plain pass on the
same file in the same run; wall seconds are in brackets, and CPU seconds of all threads."""

MEASURED = """* **plain pass**: median of up to {times} passes after a first one, which brings the file into the page
  cache.
* **`Market.load`**: `Market.load(securities, FilePrices(file))`, which also checks prices against the exchange's
  calendar; reading is included. The embedded sample is loaded before, so imports and calendars are not; median of up to
  {times} after a first one.
* **run, CARs and default tests**: `EventStudy.run`, `car` and all {tests} default tests of `test`, on all events.
* **from the file to the tests**: the sum of the two rows above.
* **Other programs** get the files up to 2 million rows, their first 500 or 1,000 events, and returns made by pandas.
  Their time is that of loading, plus the time of an event times the number of events; none runs our tests. No time is
  given where a CAR differs from ours by more than 1e-10.
{others}

Peak memory is the most that was resident in a process of its own, less what was resident after the imports (and the
sample), the first time the work is done. In the row of loading it is the peak of loading alone, in the last row that of
all steps, of which the first to use compiled kernels also loads them."""


def section(files: Row) -> str:
    """Write the whole section of what `from_file` found."""
    others = "\n".join(f"    * **{reader.name}**: {reader.timed}." for reader in FILE_READERS)
    how = MEASURED.format(times=TIMES, tests=len(DEFAULT_TESTS), others=others)
    return "\n\n".join([INTRODUCTION, tables(files), "What is measured:", how, fresh(files)]).strip()


def tables(files: Row) -> str:
    """Write time and memory of complete and of dirty files, and why what is missing is missing."""
    rows, parts = files["rows"], []
    for dirty, name in ((False, "Complete files"), (True, "Dirty files")):
        own = pick(rows, dirty=dirty)
        if own:
            parts += [f"### {name}", times(own), "Peak memory:", peaks(own), not_run(own)]
    return "\n\n".join(part for part in parts if part)


def fresh(files: Row) -> str:
    """Say what a fresh interpreter takes, imports included."""
    cold = files.get("cold", {})
    if "story" not in cold:
        return f"A fresh interpreter was not timed: {cold['reason']}." if cold else ""
    return (
        f"In a fresh interpreter, imports and calendars included, the smallest dirty file takes {short(cold['story'])} "
        f"s from the file to the tests, and the plain pass {short(cold['plain'])} s (medians of {cold['times']})."
    )


def times(rows: list[Row]) -> str:
    """Write one row per program and one column per size: multiples of the plain pass, seconds in brackets."""
    sizes = sorted({row["rows"] for row in rows})
    lines = []
    for part in (PLAIN, *NAMES):
        cells = [over(total(rows, size, part), plain_of(rows, size), cpu(rows, size, part)) for size in sizes]
        lines.append([NAMES.get(part, part), *cells, grown(rows, part)])
    for reader in FILE_READERS:
        cells = [over(extrapolated(rows, size, reader.name), plain_of(rows, size)) for size in sizes]
        lines.append([reader.name, *cells, ""])
    return table(["", *headings(rows, sizes), "4 M over 2 M rows"], [line for line in lines if any(line[1:])])


def headings(rows: list[Row], sizes: Iterable[int]) -> list[str]:
    drawn = {row["rows"]: row["n_events"] for row in rows}
    return [f"{millions(size)} rows, {drawn[size]:,} events" for size in sizes]


def peaks(rows: list[Row]) -> str:
    """Write peak memory of each program, as a multiple of the plain pass's, gigabytes in brackets."""
    sizes = sorted({row["rows"] for row in rows})
    names = {PLAIN: PLAIN, LOAD: NAMES[LOAD], WHOLE: WHOLE, **{reader.name: reader.name for reader in FILE_READERS}}
    lines = []
    for part, name in names.items():
        cells = [gigabytes(peak(rows, size, part), peak(rows, size, PLAIN)) for size in sizes]
        lines.append([name, *cells])
    return table(["", *(f"{millions(size)} rows" for size in sizes)], [line for line in lines if any(line[1:])])


def not_run(rows: list[Row]) -> str:
    """List what has no figure, with the reason."""
    told: dict[str, list[str]] = {}
    for row in rows:
        if "reason" in row:
            what = {"plain": PLAIN, "ours": "marketimpact"}.get(row["kind"], row["part"])
            told.setdefault(f"{what}: {row['reason']}", []).append(millions(row["rows"]))
    lines = [f"* {reason} ({', '.join(sizes)} rows)" for reason, sizes in told.items()]
    return "\n".join(["Without a figure:", "", *lines]) if lines else ""


def pick(rows: list[Row], /, **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def one_of(rows: list[Row], size: int, part: str, figure: str) -> Row | None:
    """Return the row of a part at a size that has this figure, if there is one."""
    return next((row for row in pick(rows, rows=size, part=part) if figure in row), None)


def steps_of(part: str) -> tuple[str, ...]:
    """Return the steps that a line of the table stands for."""
    return {STUDY: STEPS[1:], WHOLE: STEPS}.get(part, (part,))


def total(rows: list[Row], size: int, part: str, figure: str = "wall") -> float | None:
    """Return seconds of a line of the table; None where one of its steps was not measured."""
    found = [one_of(rows, size, step, figure) for step in steps_of(part)]
    return sum(row[figure] for row in found if row) if all(found) else None


def peak(rows: list[Row], size: int, part: str) -> float | None:
    """Return bytes of the highest peak among the steps of a line of the table."""
    found = [one_of(rows, size, step, "peak") for step in steps_of(part)]
    return max(row["peak"] for row in found if row) if all(found) else None


def plain_of(rows: list[Row], size: int) -> float | None:
    return total(rows, size, PLAIN)


def extrapolated(rows: list[Row], size: int, part: str) -> float | None:
    """Return the seconds that another program takes for all events: loading, and its time for an event so often."""
    row = one_of(rows, size, part, "estimate")
    return row["load"] + row["estimate"] / row["measured"] * row["n_events"] if row else None


def grown(rows: list[Row], part: str) -> str:
    ratio = growth(rows, part)
    return "" if ratio is None else f"{ratio:.2f} times"


def growth(rows: list[Row], part: str) -> float | None:
    """Return the time for twice the rows over that for the rows."""
    smaller, larger = total(rows, SMALLER, part), total(rows, LARGER, part)
    return larger / smaller if smaller and larger else None


def cpu(rows: list[Row], size: int, part: str) -> str:
    seconds = total(rows, size, part, "cpu")
    return "" if seconds is None else f", CPU {short(seconds)}"


def over(number: float | None, base: float | None, more: str = "") -> str:
    """Write seconds as a multiple of the plain pass's, and themselves in brackets."""
    if number is None:
        return ""
    return f"{short(number / base) if base else ''} ({short(number)} s{more})".strip()


def gigabytes(number: float | None, base: float | None) -> str:
    """Write bytes as a multiple of the plain pass's, and in gigabytes in brackets."""
    if number is None:
        return ""
    return f"{short(number / base) if base else ''} ({number / 1e9:.2f} GB)".strip()


def millions(size: int) -> str:
    return f"{size / 1e6:g} M"


def short(number: float) -> str:
    """Format a number to three significant digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(names), ["---"] * len(names), *map(list, rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def aims(files: Row) -> list[tuple[str, float, float | None, str]]:
    """Return each aim of loading: what, at most how much, how much it is, in what."""
    rows = files["rows"]
    kinds = [pick(rows, dirty=dirty) for dirty in (False, True)]

    def worst(figure: Any) -> float | None:
        values = [
            figure(own, size, LOAD) / base
            for own in kinds
            for size in {row["rows"] for row in own}
            if size >= FEWEST and figure(own, size, LOAD) and (base := figure(own, size, PLAIN))
        ]
        return max(values, default=None)

    doubled = [ratio for own in kinds if (ratio := growth(own, LOAD))]
    whole = [
        row["peak"] + row["before"]
        for row in pick(rows, kind="ours", rows=LARGEST)
        if "peak" in row and all(one_of(pick(rows, dirty=row["dirty"]), LARGEST, step, "peak") for step in STEPS)
    ]
    return [
        ("`Market.load` of a file of 2 million rows or more, over the plain pass", 6.0, worst(total), " times"),
        ("its peak memory over the plain pass's", 3.0, worst(peak), " times"),
        ("`Market.load` of 4 million rows over that of 2 million", 2.2, max(doubled, default=None), " times"),
        (
            "25 million rows and 1,000,000 events, from the file to the tests: peak memory of the process",
            8.0,
            max(whole) / 1e9 if whole else None,
            " GB",
        ),
    ]
