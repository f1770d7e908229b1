"""The table of legs: return and abnormal return of day 0 in the whole session, overnight and in the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from marketimpact.analyses.legs import LEGS, CarByLeg
from marketimpact.core.text import listed
from marketimpact.display.formats import MISSING_TEXT, short_percent
from marketimpact.display.tables import cut
from marketimpact.report.blocks import ReportTable
from marketimpact.report.content import ReportContent
from marketimpact.study.result import StudyResult

__all__ = ["Legs", "leg_columns", "legs_of"]

#: Where the news came before a leg, `car_by_leg` writes this, and the table the second.
BEFORE = ("the window has no overnight leg after the news", "the news came after the open of day 0")
UNKNOWN = ("day0_leg is empty", "not known whether the news came before or after the open of day 0")
#: Reasons for a dash that are written out.
MOST_REASONS = 4
#: Widths of the lines of a terminal.
NAME, EVENTS, CELL = 23, 7, 16
#: Mark of a mean of some of a group's events.
PART = "°"
CAPTION = "Day 0, overnight and in the day: return (abnormal return)"


@dataclass(frozen=True, slots=True)
class Legs:
    """Means of the legs of day 0, by announcement and group.

    Attributes
    ----------
    frame : polars.DataFrame
        ``announcement, group, leg, n_events, n_legs, ret, ar``: events, those of them with the leg, and the means of
        their returns and abnormal returns, fractions.
    notes : tuple of str
        What each leg is, its benchmarks, and why cells are empty.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...]

    def _rows(self) -> list[tuple[str, int, list[str]]]:
        """Write each group's name, events, and its cells in the order of the legs."""
        several = self.frame["announcement"].n_unique() > 1
        rows = []
        parts = self.frame.partition_by("announcement", "group", maintain_order=True)
        for part in parts:
            n, name = part["announcement"][0], part["group"][0]
            cells = {row["leg"]: _cell(row) for row in part.iter_rows(named=True)}
            rows.append((f"{n}. {name}" if several else str(name), part["n_events"][0], [cells[leg] for leg in LEGS]))
        return rows

    def table(self) -> ReportTable:
        """Write the table."""
        rows = [[name, f"{n:,}", *cells] for name, n, cells in self._rows()]
        columns = ["group", "events", *LEGS]
        note = " ".join(f"{sentence}." for sentence in self.notes)
        return ReportTable.of(columns, rows, numeric=range(1, len(columns)), caption=CAPTION, note=note, kind="legs")

    def lines(self) -> list[str]:
        """Write the table as lines of 80 columns."""
        head = f"{'day 0: raw (abnormal)':<{NAME}}{'events':>{EVENTS}}" + "".join(f"{leg:>{CELL}}" for leg in LEGS)
        lines = [
            f"{cut('  ' + name, NAME - 1):<{NAME}}{n:>{EVENTS}}" + "".join(f"{cell:>{CELL}}" for cell in cells)
            for name, n, cells in self._rows()
        ]
        return [head, *lines]


def legs_of(content: ReportContent) -> Legs | None:
    """Average the legs of every group of the announcements shown in detail; None where there are no legs."""
    if content.legs is None:
        return None
    cars, messages = content.legs
    sign = content.result.events.select("event_id", pl.Series("_sign", content.result.estimation.sign))
    frame = cars.frame.join(sign, on="event_id", how="left", validate="m:1", maintain_order="left")
    numbers = {one.key: n for n, one in enumerate(content.announcements, 1)}
    rows: list[dict[str, Any]] = []
    empty = []
    for announcement in content.detailed:
        for group in announcement.groups:
            own = frame.filter(pl.col("event_id").is_in(group.result.events["event_id"].implode()))
            for leg in LEGS:
                part = own.filter(pl.col("leg") == leg)
                rows.append({"announcement": numbers[announcement.key], "group": group.name, "leg": leg} | _means(part))
            empty.append(own.filter(pl.col("car").is_null()).with_columns(pl.lit(group.name).alias("_group")))
    partly = [f"{PART} mean of the events that have the leg"] * any(0 < row["n_legs"] < row["n_events"] for row in rows)
    notes = [
        "overnight: previous close to open; day: open to close",
        *partly,
        _benchmarks(content.result, cars),
        *messages,
    ]
    return Legs(pl.DataFrame(rows), (*(note.rstrip(".") for note in notes), *_reasons(pl.concat(empty))))


def leg_columns(content: ReportContent) -> pl.DataFrame | None:
    """List the legs of day 0 of every event, one row each; None where there are no legs.

    Returns
    -------
    polars.DataFrame
        ``event_id``, ``ret_<leg>_leg`` (as traded) and ``car_<leg>_leg`` (signed as in the result) of *session*,
        *overnight* and *day*, and ``legs_note``, why a leg is missing and what is uncertain.
    """
    if content.legs is None:
        return None
    cars, _ = content.legs
    sign = content.result.events.select("event_id", pl.Series("_sign", content.result.estimation.sign))
    frame = sign.drop("_sign")
    for leg in LEGS:
        own = cars.frame.filter(pl.col("leg") == leg).join(sign, on="event_id", how="inner", validate="1:1")
        columns = own.select(
            "event_id",
            pl.when(pl.col("car").is_not_null()).then("raw").alias(f"ret_{leg}_leg"),
            (pl.col("car") * pl.col("_sign")).alias(f"car_{leg}_leg"),
            pl.format("{}: {}", pl.lit(leg), "note").alias(f"_{leg}"),
        )
        frame = frame.join(columns, on="event_id", how="left", validate="1:1", maintain_order="left")
    notes = [f"_{leg}" for leg in LEGS]
    return frame.with_columns(legs_note=pl.concat_str(notes, separator="; ", ignore_nulls=True)).drop(notes)


def _means(part: pl.DataFrame) -> dict[str, Any]:
    """Average the events of a group that have a leg; returns are as traded, abnormal ones signed as in the result."""
    known = part.drop_nulls("car")
    means = known.select(pl.col("raw").mean().alias("ret"), (pl.col("car") * pl.col("_sign")).mean().alias("ar"))
    return {"n_events": part.height, "n_legs": known.height} | means.row(0, named=True)


def _cell(row: dict[str, Any]) -> str:
    if not row["n_legs"]:
        return MISSING_TEXT
    part = PART if row["n_legs"] < row["n_events"] else ""
    return f"{short_percent(row['ret'])} ({short_percent(row['ar'])}){part}"


def _benchmarks(result: StudyResult, cars: CarByLeg) -> str:
    """Name the benchmarks of the legs, and which of them are no traded funds."""
    own = result.events.select(pl.col("symbol").unique())
    chosen = cars.results["overnight"].market.securities.join(own, on="symbol", how="semi")
    names = chosen["benchmark"].drop_nulls().unique().sort().to_list()
    known = result.market.securities
    funds = set(known["leg_benchmark"].drop_nulls()) if "leg_benchmark" in known.columns else set()
    indices = [name for name in names if name not in funds]
    stale = f"; the open of an index ({listed(indices, quoted=False)}) can be stale" if indices else ""
    return f"Abnormal returns of the legs are against {listed(names, quoted=False)}{stale}"


def _reasons(empty: pl.DataFrame) -> Sequence[str]:
    """Write why cells are empty, or leave events out: the reason, the leg, and the groups."""
    note = pl.col("note").fill_null("no return")
    reason = (
        pl.when(note.str.contains(BEFORE[0], literal=True)).then(pl.lit(BEFORE[1]))
        .when(note.str.contains(UNKNOWN[0], literal=True)).then(pl.lit(UNKNOWN[1]))
        .otherwise(note)
    )  # fmt: skip
    found = (
        empty.with_columns(reason.alias("reason"))
        .group_by("reason", maintain_order=True)
        .agg(
            pl.col("leg").unique(maintain_order=True),
            pl.col("_group").unique(maintain_order=True),
            pl.col("event_id").n_unique().alias("n"),
        )
    )
    more = found.height - MOST_REASONS
    sentences = [
        f"Without {' and '.join(leg for leg in LEGS if leg in row['leg'])} ({listed(row['_group'], quoted=False)}; "
        f"{row['n']} event{'s' if row['n'] > 1 else ''}): {row['reason']}"
        for row in found.head(MOST_REASONS).iter_rows(named=True)
    ]
    return [*sentences, *([f"Legs are missing for {more} more reasons, which mi.car_by_leg has"] if more > 0 else [])]
