"""Commands of the price store: fetch prices into it, list, verify, export and prune it."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from marketimpact.cli.options import AsJson, Directory
from marketimpact.cli.printing import json_rows, json_text, print_frame, print_table
from marketimpact.cli.study_file import read_study
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources import PriceStore, StoredPrices, YahooPrices

__all__ = ["existing_store", "fetch", "open_store", "store"]

store = typer.Typer(help="List, verify, export and prune the price store.", no_args_is_help=True)


def open_store(directory: Path | None) -> PriceStore:
    """Open the store in a folder, by default in the user's cache."""
    return PriceStore() if directory is None else PriceStore(directory)


def existing_store(directory: Path | None) -> PriceStore:
    """Open a store that must exist already, for commands that only read.

    Raises
    ------
    DataError
        If the folder does not exist.
    """
    price_store = open_store(directory)
    if not price_store.directory.is_dir():
        raise DataError(
            f"There is no price store at {price_store.directory}. Make one with marketimpact fetch, or name another "
            "folder with --store."
        )
    return price_store


def fetch(
    symbols: Annotated[list[str] | None, typer.Argument(help="Yahoo symbols, such as NVDA 2330.TW ^GSPC.")] = None,
    study: Annotated[str | None, typer.Option(help="Also fetch every symbol that this study file needs.")] = None,
    directory: Directory = None,
    first: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First date.")] = None,
    last: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last date.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch missing prices from Yahoo Finance into the price store."""
    requested = [*(symbols or []), *(read_study(study).symbols() if study else [])]
    if not requested:
        raise SpecificationError(
            "Nothing to fetch: no symbol and no study was given. Name symbols, or a study with --study."
        )
    source = StoredPrices(YahooPrices(), open_store(directory))
    table = source.read(requested, _date(first), _date(last))
    if table.outcomes is not None and not as_json:
        print_table(table.outcomes)
    for note in table.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        outcomes = [] if table.outcomes is None else json_rows(table.outcomes)
        typer.echo(json_text({"snapshot": table.snapshot, "symbols": outcomes}))
        return
    typer.echo(f"Snapshot {table.snapshot}: run a study on it with --snapshot {table.snapshot}")


@store.command("ls")
def list_store(directory: Directory = None, as_json: AsJson = False) -> None:
    """List symbols and snapshots."""
    price_store = existing_store(directory)
    symbols = price_store.symbols().drop("file", "time_zone")
    if as_json:
        typer.echo(json_text({"symbols": json_rows(symbols), "snapshots": json_rows(price_store.snapshots())}))
        return
    print_table(symbols)
    print_table(price_store.snapshots())


@store.command()
def verify(directory: Directory = None, as_json: AsJson = False) -> None:
    """Check every file against its hash; exit code 1 when one is damaged or missing."""
    price_store = existing_store(directory)
    damaged = price_store.verify()
    if as_json:
        print_frame(damaged, as_json=True)
        raise typer.Exit(1 if damaged.height else 0)
    if damaged.height:
        print_table(damaged)
        raise typer.Exit(1)
    typer.echo(
        f"Every file is whole. Symbols: {price_store.symbols().height}; snapshots: {price_store.snapshots().height}."
    )


@store.command()
def export(
    file: Annotated[Path, typer.Argument(help="A .parquet or .csv file that FilePrices reads.")],
    symbols: Annotated[str | None, typer.Option(help="Symbols, comma-separated; all by default.")] = None,
    directory: Directory = None,
) -> None:
    """Write current prices as one file."""
    selected = [s.strip() for s in symbols.split(",") if s.strip()] if symbols else None
    typer.echo(f"Written: {existing_store(directory).export(file, selected)}")


@store.command()
def prune(
    forget: Annotated[list[str] | None, typer.Option(help="Snapshots to delete first.")] = None,
    directory: Directory = None,
) -> None:
    """Remove files that no snapshot needs and that are not current."""
    price_store = existing_store(directory)
    for snapshot in forget or []:
        price_store.forget(snapshot)
    typer.echo(f"Snapshots dropped: {len(forget or [])}; files removed: {price_store.prune()}")


def _date(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
