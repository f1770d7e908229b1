"""Command-line options that choose where prices come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marketimpact.cli.store import existing_store, open_store
from marketimpact.sources import FilePrices, FolderPrices, PriceSource, SamplePrices, StoredPrices, YahooPrices

__all__ = ["Prices", "Snapshot", "Yahoo", "price_source"]

Prices = Annotated[Path | None, typer.Option(help="Prices: a Parquet or CSV file, or a folder with a file per symbol.")]
Yahoo = Annotated[bool, typer.Option("--yahoo", help="Fetch prices from Yahoo Finance.")]
Snapshot = Annotated[str | None, typer.Option(help="Prices of this snapshot of the price store; no network.")]


def price_source(prices: Path | None, snapshot: str | None, directory: Path | None, *, yahoo: bool) -> PriceSource:
    """Choose the source that the options name; the embedded sample without any."""
    if (prices is not None) + yahoo + (snapshot is not None) > 1:
        raise typer.BadParameter("give one of --prices, --yahoo and --snapshot")
    if directory is not None and not (yahoo or snapshot is not None):
        raise typer.BadParameter("--store goes with --yahoo or --snapshot")
    if yahoo:
        return StoredPrices(YahooPrices(), open_store(directory))
    if snapshot is not None:
        return StoredPrices(store=existing_store(directory), snapshot=snapshot)
    if prices is not None:
        return FolderPrices(prices) if prices.is_dir() else FilePrices(prices)
    return SamplePrices()
