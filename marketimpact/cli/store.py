"""Commands about the price store: fetch, and what it holds."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from marketimpact.cli.options import AsJson, Directory
from marketimpact.cli.printing import json_text, put, rows, show
from marketimpact.cli.study_file import read_study
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources import PriceStore, StoredPrices, YahooPrices

__all__ = ["existing_store", "fetch", "open_store", "store"]

store = typer.Typer(help="What the price store holds.", no_args_is_help=True)


def open_store(directory: Path | None) -> PriceStore:
    """The store in a folder, or the one in the user's cache."""
    return PriceStore() if directory is None else PriceStore(directory)


def existing_store(directory: Path | None) -> PriceStore:
    """The same, for commands that only look: a folder that is not there is a slip.

    Raises
    ------
    DataError
        If there is none.
    """
    held = open_store(directory)
    if not held.directory.is_dir():
        raise DataError(
            f"There is no price store at {held.directory}. marketimpact fetch makes one; --store names another folder."
        )
    return held


def fetch(
    symbols: Annotated[list[str] | None, typer.Argument(help="Yahoo symbols, such as NVDA 2330.TW ^GSPC.")] = None,
    study: Annotated[str | None, typer.Option(help="Fetch what this study file needs as well.")] = None,
    directory: Directory = None,
    first: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First date.")] = None,
    last: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last date.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch prices from Yahoo Finance into the price store, only what it lacks."""
    wanted = [*(symbols or []), *(read_study(study).symbols() if study else [])]
    if not wanted:
        raise SpecificationError("Nothing to fetch: name symbols, or a study with --study.")
    source = StoredPrices(YahooPrices(), open_store(directory))
    table = source.read(wanted, _day(first), _day(last))
    if table.outcomes is not None and not as_json:
        show(table.outcomes)
    for note in table.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        outcomes = [] if table.outcomes is None else rows(table.outcomes)
        typer.echo(json_text({"snapshot": table.snapshot, "symbols": outcomes}))
        return
    typer.echo(f"Snapshot {table.snapshot}: run a study on it with --snapshot {table.snapshot}")


@store.command("ls")
def list_store(directory: Directory = None, as_json: AsJson = False) -> None:
    """List symbols and snapshots."""
    held = existing_store(directory)
    symbols = held.symbols().drop("file", "time_zone")
    if as_json:
        typer.echo(json_text({"symbols": rows(symbols), "snapshots": rows(held.snapshots())}))
        return
    show(symbols)
    show(held.snapshots())


@store.command()
def verify(directory: Directory = None, as_json: AsJson = False) -> None:
    """Check every file against its hash; exit code 1 when one is damaged or gone."""
    held = existing_store(directory)
    found = held.verify()
    if as_json:
        put(found, as_json=True)
        raise typer.Exit(1 if found.height else 0)
    if found.height:
        show(found)
        raise typer.Exit(1)
    typer.echo(f"Every file is whole. Symbols: {held.symbols().height}; snapshots: {held.snapshots().height}.")


@store.command()
def export(
    file: Annotated[Path, typer.Argument(help="A .parquet or .csv file that FilePrices reads.")],
    symbols: Annotated[str | None, typer.Option(help="Symbols, comma-separated; all by default.")] = None,
    directory: Directory = None,
) -> None:
    """Write current prices as one file."""
    chosen = [s.strip() for s in symbols.split(",") if s.strip()] if symbols else None
    typer.echo(f"Written: {existing_store(directory).export(file, chosen)}")


@store.command()
def prune(
    forget: Annotated[list[str] | None, typer.Option(help="Snapshots to drop first.")] = None,
    directory: Directory = None,
) -> None:
    """Remove files that no snapshot needs and that are not current."""
    held = existing_store(directory)
    for snapshot in forget or []:
        held.forget(snapshot)
    typer.echo(f"Snapshots dropped: {len(forget or [])}; files removed: {held.prune()}")


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
