"""The command that looks for what is wrong with prices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from marketimpact.cli.options import AsCsv, AsJson
from marketimpact.cli.printing import put, show
from marketimpact.events.catalogue import securities
from marketimpact.market import checks

__all__ = ["check"]

UNCHECKED = "not_checked"


def check(
    file: Annotated[Path, typer.Argument(help="Prices: a Parquet or CSV file, one row per symbol and date.")],
    universe: Annotated[
        Path | None, typer.Option("--securities", help="Your own securities file; the embedded one by default.")
    ] = None,
    notes: Annotated[bool, typer.Option("--notes", help="List notes one by one too.")] = False,
    csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with a file of prices; exit code 1 when something certainly is.

    The table has one row per symbol and kind of finding, worst first; notes are counted below it. --csv and
    --json have every finding.
    """
    findings = checks.check_prices(file, securities(universe))
    if csv or as_json:
        put(findings, csv=csv, as_json=as_json)
    else:
        _print(findings, notes=notes)
    if (findings["severity"] == checks.ERROR).any():
        raise typer.Exit(1)


def _print(findings: pl.DataFrame, *, notes: bool) -> None:
    """The findings of every symbol and kind, what was not checked, and how many there are."""
    note, unchecked = pl.col("severity") == checks.NOTE, pl.col("finding") == UNCHECKED
    rows = checks.summary(findings.filter(~unchecked, ~note | notes))
    dates = pl.when(pl.col("first") == pl.col("last")).then("first").otherwise(pl.format("{} to {}", "first", "last"))
    most = pl.when(pl.col("rows") > 1).then(pl.format("{} One of {}.", "detail", "rows")).otherwise("detail")
    said = most.alias("what was seen, and what to do")
    if rows.height:
        show(rows.select("severity", "finding", "symbol", dates.alias("dates"), said))
    for line in [] if notes else checks.sentences(findings.filter(~unchecked), checks.NOTE):
        typer.echo(f"note: {line}")
    for line in findings.filter(unchecked)["detail"]:
        typer.echo(f"not checked: {line}")
    counted = {name: (findings["severity"] == name).sum() for name in (checks.ERROR, checks.WARNING, checks.NOTE)}
    typer.echo(", ".join(f"{count} {name}{'s' if count != 1 else ''}" for name, count in counted.items()))
