"""The command that summarises one announcement, or one moment for one firm."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from marketimpact.cli.options import AsCsv, Directory
from marketimpact.cli.price_options import Prices, Snapshot, Yahoo, price_source
from marketimpact.cli.study_file import left_out_reason
from marketimpact.core.csv_writer import csv_text
from marketimpact.core.text import closest_name
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events.alignment import align
from marketimpact.events.catalogue import announcements, securities
from marketimpact.market.market import Market
from marketimpact.report import Brief, require_programs
from marketimpact.report import brief as brief_about
from marketimpact.study.event_study import EventStudy

__all__ = ["brief"]

EXAMPLE = "2025-04-15T17:22:59-04:00"


def brief(
    what: Annotated[
        str, typer.Argument(metavar="SYMBOL|ANNOUNCEMENT", help="A symbol (several by comma), or an announcement's id.")
    ],
    instant: Annotated[
        str | None, typer.Argument(help=f"With a symbol: when it became known, with its offset from UTC ({EXAMPLE}).")
    ] = None,
    prices: Prices = None,
    yahoo: Yahoo = False,
    snapshot: Snapshot = None,
    directory: Directory = None,
    universe: Annotated[
        Path | None, typer.Option("--securities", help="Your own securities file; the embedded one by default.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--announcements", help="Your own announcements file; the embedded one by default.")
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", help="Also write it: .svg or .png (the chart), .html, .csv; repeat it."),
    ] = None,
    csv: AsCsv = False,
) -> None:
    """Say who moved, by how much, and whether significantly: day 0 and the session after it.

    Without --prices, --yahoo or --snapshot the prices are the embedded sample, which is simulated.
    """
    targets = list(out or [])
    if any(target.suffix != ".csv" for target in targets):
        require_programs(targets)
    chronology, known = announcements(file), securities(universe)
    selected = _announcement(what, chronology, file) if instant is None else _moment(what, instant, known)
    needed = set(selected["targets"].explode().drop_nulls())
    market = Market.load(
        known.filter(pl.col("symbol").is_in(sorted(needed))), price_source(prices, snapshot, directory, yahoo=yahoo)
    )
    events = align(selected, market).with_columns(pl.col("role").str.replace_all("_", " "))
    result = EventStudy().run(events, market)
    if result.events.is_empty():
        reason = result.attrition["detail"][0]
        raise DataError(f"{selected['headline'][0]}: no event can be used, since {reason.rstrip('.')}.")
    made = brief_about(
        result,
        title=str(selected["headline"][0]),
        group="role" if instant is None else None,
        chronology=chronology,
    )
    for target in targets:
        made.save(target)
    _print(made, csv=csv)


def _print(made: Brief, *, csv: bool) -> None:
    typer.echo(
        csv_text(made.firms.with_columns(pl.lit(made.source).alias("source"))) if csv else repr(made), nl=not csv
    )


def _announcement(key: str, chronology: pl.DataFrame, file: Path | None) -> pl.DataFrame:
    """Select an announcement by its identifier."""
    found = chronology.filter(pl.col("announcement_id") == key)
    if found.height:
        return found
    if known := left_out_reason(key, file):
        raise SpecificationError(known[0].upper() + known[1:])
    near = closest_name(key, chronology["announcement_id"].to_list())
    hint = f" Did you mean {near!r}?" if near else " List them with: marketimpact list announcements."
    raise SpecificationError(
        f"No announcement is called {key!r}.{hint} For a symbol give the moment too: marketimpact brief {key} {EXAMPLE}"
    )


def _moment(symbols: str, instant: str, known: pl.DataFrame) -> pl.DataFrame:
    """Make an announcement of one moment for some symbols."""
    moment = _instant(instant)
    targets = [symbol.strip() for symbol in symbols.split(",") if symbol.strip()]
    unknown = [symbol for symbol in targets if symbol not in known["symbol"]]
    if unknown or not targets:
        near = closest_name((unknown or [symbols])[0], known["symbol"].to_list())
        hint = f" Did you mean {near!r}?" if near else ""
        raise SpecificationError(
            f"The securities do not name {(unknown or [symbols])[0]!r}.{hint} List them with: marketimpact list "
            "securities, or give your own with --securities."
        )
    row = {
        "announcement_id": f"{moment:%Y-%m-%d-%H%M}".lower(),
        "announced_at": moment,
        "time_precision": "minute",
        "stance": "none",
        "headline": f"{', '.join(targets)} after {instant}",
        "targets": targets,
    }
    return pl.DataFrame([row]).with_columns(pl.col("announced_at").cast(pl.Datetime("us", "UTC")))


def _instant(text: str) -> datetime:
    """Read an instant, which needs its offset from UTC: day 0 depends on it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SpecificationError(f"{text!r} is no date and time. Write it as {EXAMPLE}.") from error
    if moment.tzinfo is None:
        raise SpecificationError(
            f"{text!r} has no offset from UTC, and day 0 depends on it. Add one: {EXAMPLE} for New York in summer, "
            "+08:00 for China, Z for UTC."
        )
    return moment
