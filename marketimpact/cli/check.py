"""The command that checks a file of prices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from marketimpact.cli.options import AsCsv, AsJson
from marketimpact.cli.printing import print_frame, print_table
from marketimpact.events.catalogue import securities
from marketimpact.events.session_overrides import calendar_overrides
from marketimpact.market import checks

__all__ = ["check"]

UNCHECKED = "not_checked"


def check(
    file: Annotated[Path, typer.Argument(help="Prices: a Parquet or CSV file, one row per symbol and date.")],
    universe: Annotated[
        Path | None, typer.Option("--securities", help="Your own securities file; the embedded one by default.")
    ] = None,
    overrides: Annotated[
        Path | None,
        typer.Option(
            "--calendar-overrides", help="Your own sessions, closures and trading hours (CSV, Parquet or Excel)."
        ),
    ] = None,
    notes: Annotated[bool, typer.Option("--notes", help="List every note as well.")] = False,
    csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Check a file of prices for errors; exit code 1 when there are any.

    The table has one row per symbol and kind of finding, most severe first; notes are counted below it. --csv and
    --json list every finding.
    """
    own = None if overrides is None else calendar_overrides(overrides)
    findings = checks.check_prices(file, securities(universe), calendar_overrides=own)
    if csv or as_json:
        print_frame(findings, csv=csv, as_json=as_json)
    else:
        _print_findings(findings, notes=notes)
    if (findings["severity"] == checks.ERROR).any():
        raise typer.Exit(1)


def _print_findings(findings: pl.DataFrame, *, notes: bool) -> None:
    """Print the findings per symbol and kind, what was not checked, and the counts."""
    note, unchecked = pl.col("severity") == checks.NOTE, pl.col("finding") == UNCHECKED
    rows = checks.summary(findings.filter(~unchecked, ~note | notes))
    dates = pl.when(pl.col("first") == pl.col("last")).then("first").otherwise(pl.format("{} to {}", "first", "last"))
    detail = pl.when(pl.col("rows") > 1).then(pl.format("{} One of {}.", "detail", "rows")).otherwise("detail")
    message = detail.alias("what was seen, and what to do")
    if rows.height:
        print_table(rows.select("severity", "finding", "symbol", dates.alias("dates"), message))
    for line in [] if notes else checks.sentences(findings.filter(~unchecked), checks.NOTE):
        typer.echo(f"note: {line}")
    for line in findings.filter(unchecked)["detail"]:
        typer.echo(f"not checked: {line}")
    counts = {name: (findings["severity"] == name).sum() for name in (checks.ERROR, checks.WARNING, checks.NOTE)}
    typer.echo(", ".join(f"{count} {name}{'s' if count != 1 else ''}" for name, count in counts.items()))
