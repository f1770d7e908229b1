"""The command that looks for what is wrong with prices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from marketimpact import checks
from marketimpact.catalogue import securities
from marketimpact.cli.printing import show

__all__ = ["check"]


def check(
    file: Annotated[Path, typer.Argument(help="Prices: a Parquet or CSV file, one row per symbol and date.")],
    universe: Annotated[
        Path | None, typer.Option("--securities", help="Your own securities file; the embedded one by default.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print every finding as CSV instead of a table.")] = False,
) -> None:
    """Look for what is wrong with a file of prices; exit code 1 when something certainly is.

    The table has one row per symbol and kind of finding, worst first; --csv has every finding.
    """
    findings = checks.check_prices(file, securities(universe))
    if csv:
        typer.echo(findings.write_csv(), nl=False)
    else:
        _print(findings)
    if (findings["severity"] == checks.ERROR).any():
        raise typer.Exit(1)


def _print(findings: pl.DataFrame) -> None:
    """The findings of every symbol and kind, then how many there are."""
    rows = checks.summary(findings)
    dates = pl.when(pl.col("first") == pl.col("last")).then("first").otherwise(pl.format("{} to {}", "first", "last"))
    most = pl.when(pl.col("rows") > 1).then(pl.format("{} The largest of {}.", "detail", "rows")).otherwise("detail")
    show(
        rows.select("severity", "finding", "symbol", dates.alias("dates"), most.alias("what was seen, and what to do"))
    )
    counted = {name: (findings["severity"] == name).sum() for name in (checks.ERROR, checks.WARNING, checks.NOTE)}
    typer.echo(", ".join(f"{count} {name}{'s' if count != 1 else ''}" for name, count in counted.items()))
