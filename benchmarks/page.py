"""Write the table and the chart of docs/benchmarks.md from out/benchmarks.csv: python -m benchmarks.page."""

from __future__ import annotations

import math
from pathlib import Path

import altair as alt
import polars as pl
import vl_convert

from benchmarks.rivals import RIVALS
from benchmarks.speed import OUT

DOCS = Path(__file__).parent.parent / "docs"
HEAD = """# Benchmarks

All panels are **simulated**: invented returns, firms and dates that repeat, 25 firms or more on each date.
Estimation window of 240 sessions, event window of 11. Each size runs in a fresh process; rivals run on the first events
of the same panel; every part is timed the second time it is done. A rival's time is left out where its CARs differ from
ours by more than 1e-10. Peak memory is that of the process after our parts, the making of the data included.
`make bench` measures anew and rewrites this page.

**Not measured yet**: the packages `eventstudy`, `py-event-studies` and `ffjr-eventstudies`; no runner is written.
"""


def exponents(frame: pl.DataFrame) -> str:
    """Growth of time in events between the smallest and the largest size, per part of ours."""
    lines = ["| part | exponent of time in events |", "| --- | --- |"]
    ours = frame.filter(pl.col("wall").is_not_null() & (pl.col("measured") == pl.col("events")))
    ours = ours.filter((pl.col("missing") == 0) & ~pl.col("part").is_in([*RIVALS, "cold start"]))
    for (part,), rows in ours.sort("events").group_by("part", maintain_order=True):
        first, last = rows.row(0, named=True), rows.row(-1, named=True)
        if last["events"] > first["events"]:
            power = math.log(last["wall"] / first["wall"]) / math.log(last["events"] / first["events"])
            lines.append(f"| {part} | {power:.2f} |")
    return "\n".join(lines)


def ratios(frame: pl.DataFrame) -> str:
    """How many times as many events a second `run` and `car` together do as each rival, in the same process."""
    rates = frame.filter(pl.col("wall").is_not_null()).with_columns(rate=pl.col("measured") / pl.col("wall"))
    lines = ["| events | missing days | " + " | ".join(RIVALS) + " |", "|" + " --- |" * (2 + len(RIVALS))]
    for (number, missing), rows in rates.group_by("events", "missing", maintain_order=True):
        rate = dict(rows.select("part", "rate").iter_rows())
        if "run and car" in rate:
            cells = [f"{rate['run and car'] / rate[name]:.0f}" if name in rate else "" for name in RIVALS]
            lines.append(f"| {number:,} | {missing:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table(frame: pl.DataFrame) -> str:
    lines = ["| events | missing days | part | measured | wall s | CPU s | events/s | peak MB | peak / input | note |"]
    lines.append("|" + " --- |" * 10)
    for row in frame.to_dicts():
        wall, peak = row["wall"], row["peak_bytes"]
        note = row.get("reason") or ("" if row["difference"] is None else f"differs by {row['difference']:.0e}")
        cells = [f"{row['events']:,}", f"{row['missing']:.0%}", row["part"], f"{row['measured'] or 0:,}"]
        cells += ["" if wall is None else f"{wall:.3f}", "" if row["cpu"] is None else f"{row['cpu']:.3f}"]
        cells += ["" if wall is None else f"{row['measured'] / wall:,.0f}"]
        cells += ["", ""] if peak is None else [f"{peak / 1e6:,.0f}", f"{peak / row['input_bytes']:.1f}"]
        lines.append("| " + " | ".join([*cells, note]) + " |")
    return "\n".join(lines)


def chart(frame: pl.DataFrame) -> alt.Chart:
    shown = frame.filter(pl.col("wall").is_not_null() & (pl.col("part") != "cold start") & (pl.col("missing") == 0))
    shown = shown.with_columns((pl.col("measured") / pl.col("wall")).alias("rate"))
    data = alt.Data(values=shown.select("part", "events", "rate").to_dicts())
    title = "Simulated panels: events per second"
    return (
        alt.Chart(data, title=title, width=460, height=320)
        .mark_line(point=True)
        .encode(
            x=alt.X("events:Q", scale=alt.Scale(type="log"), title="events in the study"),
            y=alt.Y("rate:Q", scale=alt.Scale(type="log"), title="events per second"),
            color=alt.Color("part:N", title=None),
        )
    )


def main() -> None:
    frame = pl.read_csv(OUT, infer_schema_length=None)
    day, machine, copy = frame["date"][0], frame["machine"][0], frame["copy_bytes_per_s"].max()
    speed = "" if copy is None else f", numpy copies {copy / 1e9:.0f} GB/s (read and write)"
    measured = f"Measured on {day}: {machine}{speed}."
    said = "Times as many events a second as (`run` and `car` together, one process each):"
    parts = [
        HEAD,
        measured,
        said,
        ratios(frame),
        "![events per second](benchmarks.svg)",
        exponents(frame),
        table(frame),
    ]
    (DOCS / "benchmarks.md").write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    (DOCS / "benchmarks.svg").write_text(vl_convert.vegalite_to_svg(chart(frame).to_json()), encoding="utf-8")


if __name__ == "__main__":
    main()
