"""Write docs/benchmarks.md and its charts from what `benchmarks.speed` found: python -m benchmarks.page [RESULTS]."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np

from benchmarks.from_file_page import aims, pick, section, short, table
from benchmarks.ours import NO_RANKS, PARTS, RESAMPLING
from benchmarks.packages import PACKAGES
from benchmarks.simulated import ESTIMATION
from benchmarks.speed import OUT
from marketimpact.display import charts

DOCS = Path(__file__).parent.parent / "docs"
RUN_CAR, NO_RANK_TESTS, WITH_GRANK, EVERY_TEST = list(PARTS)[1:]
LOOPS = ("numpy lstsq loop", "statsmodels OLS loop", "pandas group-apply")
OTHERS = (*LOOPS, *(package.name for package in PACKAGES))
Row = dict[str, Any]


def page(found: Row) -> str:
    """Write the whole page."""
    rows = found["rows"]
    sections = [
        head(found),
        "## From a price file",
        section(found["files"]),
        "## Aims and results",
        targets(found),
        "## Beside other programs",
        BESIDE,
        "![events per second](benchmarks_rivals.svg)",
        others(rows),
        "What is timed:",
        "\n".join(f"* **{package.name}**: {package.timed}." for package in PACKAGES),
        CONVENTIONS,
        "With 1% of days missing:",
        incomplete(rows),
        "## Time and number of events",
        TIMES.format(without=words(NO_RANKS), resampling=words(RESAMPLING)),
        "![seconds by number of events](benchmarks.svg)",
        by_size(rows, 0.0),
        "The same with 1% of days missing:",
        by_size(rows, 0.01),
        "## Where the time goes" if pick(rows, kind="step") else "",
        steps(found) if pick(rows, kind="step") else "",
        "## Memory",
        MEMORY,
        memory(rows),
        "## Share of the memory's speed",
        bandwidth(found),
        "## The first time",
        first(found),
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


BESIDE = """Every program gets the same simulated returns and events and estimates in a process of its own. Its CARs are
compared with ours first; no time is given where they differ by more than 1e-10. Reading data and imports are not timed,
nor is the first time it does the work, which compiles. Each gets only as many events as take it a few seconds: the
loops the first ones, `eventstudy` and `ffjr-eventstudies` all of some firms, `py-event-studies` all of some dates, as
suits it best; packages get the returns of these firms and no others, from 10,000 events on. The columns *times as fast*
give how many times as many events a second `run` and `car` do together on the whole study; the rate of the others is
that at the largest size."""

CONVENTIONS = """`eventstudy` and `ffjr-eventstudies` count the estimation window back from the event window less a
buffer: 240 sessions with a buffer of 5 are our (-250, -11). They read a wide table and take returns as they are. For
`py-event-studies` the CARs compared are those over (-5, 4): its event window of ten sessions is the only one that does
not crash. It needs prices above 5, one exchange and one industry code throughout, and Fama-French factors, without
which its kernel does not compile; all are invented, and its market model does not use them."""

TIMES = """Wall seconds, in brackets CPU seconds of all threads: the median of up to five repetitions with the kernels
loaded; of `Market.from_returns` the one time it is done. Every part begins with `run`. Default tests without ranks:
{without}. Resampling, left out: {resampling}."""

READING = """In the same run {threads} threads together read {read:.1f} GB/s and copy {copied:.1f} GB/s (bytes read
and bytes written) of arrays far larger than the cache. The kernels at {events:,} events, in seconds of all threads
together: *as read* counts each window again for each event, and what is written. *Once a call* counts every row that
lies in some window of a call, of some thousand events, once, and what is written; little of it is in the cache before
where a call takes events date by date, as for `residuals`, and much where it takes them security by security, as for
`sums`. What is written is read again while it is in the cache, so that shares of the speed of reading can exceed
100%. The test whose residuals are counted is `bmp_kp`."""

STEPS = """A study of {events:,} events done once, step by step; each step uses what those before it have left. The
returns of all estimation windows are read by `run`, by the correlations of pairs (*structure of the sample*), by
`portfolio_regression`, by `crude_dependence` (whose sums two other tests use) and by `grank_t`: each time
{window:.1f} GB, which is {once:.2f} s at the speed of memory in this run. Events of one date lie far apart in memory,
so little of it is found in the cache; only `run` can take events security by security. Four readings alone are
{four:.1f} s, {five:.1f} s with ranks. Correlations of pairs are not bound by memory: every event is scaled anew for
every date whose window overlaps with its own."""

MEMORY = """The most that was resident during each step, in one process and in this order, less what was resident before
the returns were read (Python, the libraries, the loaded kernels). So it counts the returns that a user hands in, the
market, the answers so far, all that comes and goes, and what was freed but not yet given back to the system. *Handed
in*: the frames of returns (date, symbol, return: 28 bytes a row), benchmark and events. *Outputs*: the arrays of the
result, and the frame of CARs once it was computed. The last column divides by their sum, to which the market does not
belong."""


def words(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def head(found: Row) -> str:
    machine, busy = found["machine"], max(found["machine"]["load"], found["load_after"])
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    lines = [
        "# Benchmarks",
        "",
        "All data are **simulated**: invented prices and returns, firms and dates that repeat, 25 firms or more on "
        "each date. Market model, estimation window of 240 sessions, event window of 11. `make bench` measures anew "
        "and rewrites "
        "this page; `make bench BENCH=--quick` does so for the small sizes.",
        "",
        f"Measured on {found['date']}: {machine['processor']}, {machine['cores']} cores, {machine['gib']} GiB, Python "
        f"{machine['python']}, {versions}.",
    ]
    # the benchmark itself keeps the cores busy; what was there before it does not belong to it
    if machine["load"] > machine["cores"] / 4:
        lines += [
            "",
            f"**The machine was busy with other work: load {machine['load']} before, {busy} at most. Do not quote.**",
        ]
    return "\n".join(lines)


def rate(row: Row) -> float:
    return float(row["measured"] / row["wall"])


def sizes(rows: list[Row], missing: float = 0.0) -> list[int]:
    return sorted({row["events"] for row in pick(rows, missing=missing)})


def ours_at(rows: list[Row], part: str, events: int, missing: float = 0.0) -> Row | None:
    """Return our row of one part and size, if it was measured."""
    there = [row for row in pick(rows, kind="ours", part=part, events=events, missing=missing) if "wall" in row]
    return there[0] if there else None


def others(rows: list[Row]) -> str:
    """Write each rival's rate, and how many times as fast `run` and `car` are at each size."""
    columns = sizes(rows)
    lines = []
    for name in OTHERS:
        own = {row["events"]: row for row in pick(rows, part=name, missing=0.0)}
        timed = [row for row in own.values() if "wall" in row]
        if not timed:
            why = {row["reason"] for row in own.values()} or {"not run at these sizes"}
            lines.append([name, "", "", "", *[""] * len(columns), "; ".join(sorted(why))])
            continue
        last, worst = timed[-1], max(row["difference"] for row in timed)
        ratios = [ratio(rows, own.get(events), events) for events in columns]
        lines.append([name, f"{last['measured']:,}", short(rate(last)), f"{worst:.0e}", *ratios, ""])
    names = ["", "events", "events/s", "largest difference", *(f"times as fast at {n:,}" for n in columns), "why not"]
    return table(names, lines)


def ratio(rows: list[Row], other: Row | None, events: int) -> str:
    ours = ours_at(rows, RUN_CAR, events)
    return short(rate(ours) / rate(other)) if ours and other and "wall" in other else ""


def incomplete(rows: list[Row]) -> str:
    lines = []
    for name in OTHERS:
        for row in pick(rows, part=name, missing=0.01)[-1:]:
            outcome = row.get("reason") or f"same CARs, {short(rate(row))} events/s"
            lines.append([name, f"{row['measured']:,}", outcome])
    return table(["", "events", "what comes out"], lines)


def slope(points: Sequence[tuple[int, float]]) -> float:
    """Return the least-squares slope of log time on log events."""
    x, y = np.log(np.array(points, dtype=float)).T
    return float(np.polyfit(x, y, 1)[0])


def by_size(rows: list[Row], missing: float) -> str:
    """Write seconds of each part by size, the exponent of time in events, and the growth over the last step."""
    columns, lines = sizes(rows, missing), []
    for part in ("Market.from_returns", *PARTS):
        there = {n: ours_at(rows, part, n, missing) for n in columns}
        points = [(n, row["wall"]) for n, row in there.items() if row]
        cells = [f"{short(row['wall'])} ({short(row['cpu'])})" if row else "" for row in there.values()]
        grown = ["", ""]
        if len(points) > 1:
            grown = [f"{slope(points):.2f}", f"{points[-1][1] / points[-2][1]:.1f}"]
        lines.append([part, *cells, *grown])
    for row in pick(rows, part="the rest", missing=missing):
        lines.append([f"{row['events']:,} events: {row['reason']}", *[""] * (len(columns) + 2)])
    return table(["", *(f"{n:,} events" for n in columns), "exponent", "last ten times the events"], lines)


def memory(rows: list[Row]) -> str:
    lines = []
    for row in pick(rows, kind="peak"):
        if row["events"] < 10_000:
            continue
        peak, whole = row["peak"] - row["before"], row["input_bytes"] + row["output_bytes"]
        sums = [f"{number / 1e6:,.0f}" for number in (peak, row["input_bytes"], row["output_bytes"])]
        lines.append([f"{row['events']:,}", f"{row['missing']:.0%}", row["part"], *sums, f"{peak / whole:.1f}"])
    names = ["events", "missing days", "step", "peak MB", "handed in MB", "outputs MB", "peak / (handed in + outputs)"]
    return table(names, lines)


def bandwidth(found: Row) -> str:
    """Write the speed of memory, and the share of it that the kernels reach at the largest size."""
    speed, rows = found["memory"], pick(found["rows"], kind="kernel", missing=0.0)
    largest = max((row["events"] for row in rows), default=0)
    lines = []
    for row in pick(rows, events=largest):
        if row["window_bytes"] and row["wall"]:
            window, once = (row[name] / row["wall"] for name in ("window_bytes", "memory_bytes"))
            share = [f"{part / speed['read_bytes_per_s']:.0%}" for part in (window, once)]
            cells = [f"{row['windows']:,}", short(row["wall"]), f"{window / 1e9:.1f}", share[0]]
            lines.append([f"`{row['kernel']}`", *cells, f"{once / 1e9:.1f}", share[1]])
    text = READING.format(
        threads=speed["threads"],
        read=speed["read_bytes_per_s"] / 1e9,
        copied=speed["copy_bytes_per_s"] / 1e9,
        events=largest,
    )
    names = ["kernel", "windows", "s", "as read GB/s", "share", "once a call GB/s", "share"]
    return f"{text}\n\n{table(names, lines)}"


def steps(found: Row) -> str:
    """Write the time of each step of the largest study, and the least time that reading its windows takes."""
    rows = pick(found["rows"], kind="step", missing=0.0)
    largest = max((row["events"] for row in rows), default=0)
    rows = pick(rows, events=largest)
    total = sum(row["wall"] for row in rows)
    shown = [row for row in rows if row["wall"] >= total / 200]
    rest = {name: sum(row[name] for row in rows if row not in shown) for name in ("wall", "cpu")}
    lines = [
        [name, short(row["wall"]), short(row["cpu"]), f"{row['wall'] / total:.0%}"]
        for name, row in [*((row["part"], row) for row in shown), ("the other tests together", rest)]
    ]
    window = largest * (ESTIMATION[1] - ESTIMATION[0] + 1) * 8
    speed = found["memory"]["read_bytes_per_s"]
    text = STEPS.format(
        events=largest, window=window / 1e9, once=window / speed, four=4 * window / speed, five=5 * window / speed
    )
    return f"{text}\n\n{table(['step', 'wall s', 'CPU s', 'share'], lines)}"


def first(found: Row) -> str:
    cold, kernels = found["cold"], found["compilation"]
    study = f"study of 50 events from a cold interpreter, import included, median of {cold['times']}"
    more = f"study of {kernels['events']:,} events: more than later ones"
    lines = [
        (f"import from a cold interpreter, median of {cold['times']}", cold["import"]),
        (study, cold["study"]),
        ("the slowest of these", cold["slowest"]),
        (f"compiling the kernels, in the first {more}, once per installation", kernels["compile"]),
        (f"loading them from disk, in the first {more}, once per process", kernels["load"]),
    ]
    return table(["", "s"], [(name, short(seconds)) for name, seconds in lines])


def targets(found: Row) -> str:
    """Write the performance aimed at, what was measured, and whether it is reached."""
    rows, lines = found["rows"], []

    def add(aim: str, limit: float, value: float | None, unit: str = " s") -> None:
        cell = "not measured" if value is None else f"{short(value)}{unit}"
        lines.append([aim, f"{limit:g}{unit}", cell, "" if value is None else "yes" if value <= limit else "**no**"])

    for aim in aims(found["files"]):
        add(*aim)
    for part, limit in ((NO_RANK_TESTS, 1.0), (WITH_GRANK, 3.0)):
        add(f"1,000,000 events: {part}", limit, wall(ours_at(rows, part, 1_000_000)))
    add(f"100,000 events: {EVERY_TEST}", 5.0, wall(ours_at(rows, EVERY_TEST, 100_000)))
    add("ten times the events take, at most (any part, any size)", 11.0, worst_growth(rows), " times")
    add("peak memory over frames handed in plus outputs, at the largest size", 3.0, worst_peak(rows), " times")
    add("50 events from a cold interpreter", 2.0, found["cold"]["study"])
    add("`sums`, reading speed over its own", 2.0, kernel_gap(found), " times")
    differences = [row["difference"] for row in [*rows, *found["files"]["rows"]] if "difference" in row]
    add("largest difference from another program's CARs", 1e-10, max(differences, default=None), "")
    return table(["", "aim", "measured", "reached"], lines)


def wall(row: Row | None) -> float | None:
    return row["wall"] if row else None


def worst_growth(rows: list[Row]) -> float | None:
    growth = []
    for part in PARTS:
        points = [(n, ours_at(rows, part, n)) for n in sizes(rows)]
        walls = [row["wall"] for _, row in points if row]
        growth += [later / earlier for earlier, later in pairwise(walls)]
    return max(growth, default=None)


def worst_peak(rows: list[Row]) -> float | None:
    largest = max(sizes(rows))
    peaks = pick(rows, kind="peak", missing=0.0, events=largest)
    return max(
        ((row["peak"] - row["before"]) / (row["input_bytes"] + row["output_bytes"]) for row in peaks), default=None
    )


def kernel_gap(found: Row) -> float | None:
    there = pick(found["rows"], kind="kernel", kernel="sums", missing=0.0)
    if not there:
        return None
    largest = max(there, key=lambda row: row["events"])
    return float(found["memory"]["read_bytes_per_s"] / (largest["window_bytes"] / largest["wall"]))


def tens(form: str) -> Any:
    """Make an axis with powers of ten."""
    return alt.Axis(format=form, values=[10.0**power for power in range(-4, 10)])


def growth_chart(rows: list[Row]) -> Any:
    """Draw seconds by number of events, both on log scales, beside growth in proportion."""
    shown = [
        {"part": part, "events": n, "seconds": row["wall"]}
        for part in PARTS
        for n in sizes(rows)
        if (row := ours_at(rows, part, n))
    ]
    few, many = min(row["events"] for row in shown), max(row["events"] for row in shown)
    start = min(row["seconds"] for row in shown) / 2
    guide = [{"events": few, "seconds": start}, {"events": many, "seconds": start * many / few}]
    log = alt.Scale(type="log", nice=False)
    x = alt.X("events:Q", scale=log, title="events in the study", axis=tens("~s"))
    y = alt.Y("seconds:Q", scale=log, title="seconds", axis=tens("~g"))
    parts = list(PARTS)
    colour = alt.Color("part:N", title=None, sort=parts, scale=alt.Scale(domain=parts, range=list(charts.PALETTE[:5])))
    legend = colour.legend(orient="bottom", columns=1, labelLimit=460, symbolType="stroke")
    lines = alt.Chart(_rows(shown)).mark_line(point=alt.OverlayMarkDef(size=34), strokeWidth=2)
    dashes = alt.Chart(_rows(guide)).mark_line(color=charts.GREY, strokeDash=[3, 4])
    word = alt.Chart(_rows(guide[1:])).mark_text(text="in proportion", color=charts.GREY, align="right", dy=26)
    layered = alt.layer(dashes.encode(x=x, y=y), lines.encode(x=x, y=y, color=legend), word.encode(x=x, y=y))
    measure = "seconds by events in the study, log scales"
    return titled(layered, "Time of a study by its number of events", measure, width=520, height=320)


def rivals_chart(rows: list[Row]) -> Any:
    """Draw events per second of every program at the largest size it was measured at."""
    shown = []
    largest = [row for n in sizes(rows) if (row := ours_at(rows, RUN_CAR, n))][-1]
    shown.append(
        {"program": f"marketimpact: run + car, {largest['events']:,} events", "rate": rate(largest), "ours": True}
    )
    for name in OTHERS:
        for row in [row for row in pick(rows, part=name, missing=0.0) if "wall" in row][-1:]:
            shown.append({"program": name, "rate": rate(row), "ours": False})
    shown.sort(key=lambda row: -row["rate"])
    order = [row["program"] for row in shown]
    lowest = 10 ** np.floor(np.log10(shown[-1]["rate"]))
    for row in shown:
        row |= {"from": lowest, "told": short(row["rate"])}
    y = alt.Y("program:N", sort=order, title=None, axis=alt.Axis(labelLimit=320, grid=True, ticks=False))
    scale = alt.Scale(type="log", domain=[lowest, shown[0]["rate"] * 4], nice=False)
    x = alt.X("rate:Q", scale=scale, title="events per second", axis=tens("~s"))
    colour = alt.condition("datum.ours", alt.value(charts.ORANGE), alt.value(charts.BLUE))
    base = alt.Chart(_rows(shown)).encode(y=y, x=x)
    points = base.mark_point(filled=True, size=90, opacity=1).encode(color=colour)
    told = base.mark_text(align="left", dx=9).encode(text="told:N")
    return titled(alt.layer(points, told), "Speed of programs", "events per second, log scale", width=420,
                  height=30 * len(shown))  # fmt: skip


def titled(chart: Any, title: str, measure: str, *, width: int, height: int) -> Any:
    """Give a layered chart its size, the theme of the package, and a title that says that the data are simulated."""
    spec = chart.properties(width=width, height=height).to_dict()
    return charts.altair_chart(spec | charts.look(charts.head(title, [measure], simulated=True, width=width)))


def _rows(rows: list[Row]) -> Any:
    return alt.InlineData(values=rows)


def main() -> None:
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    found = json.loads(results.read_text(encoding="utf-8"))
    write(found, DOCS)


def write(found: Row, folder: Path) -> None:
    """Write the page and its two charts."""
    (folder / "benchmarks.md").write_text(page(found), encoding="utf-8")
    made = {"benchmarks.svg": growth_chart(found["rows"]), "benchmarks_rivals.svg": rivals_chart(found["rows"])}
    for name, chart in made.items():
        (folder / name).write_text(charts.to_svg(chart) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
