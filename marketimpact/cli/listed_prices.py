"""The prices of a replication package: read from exactly what its README lists, and described there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from marketimpact.sources import FilePrices, FolderPrices, PriceSource, SamplePrices, StoredPrices

__all__ = ["describe_prices", "only_listed"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _ListedRows(FilePrices):
    """Some rows and columns of a file, under the file's name."""

    name: str = ""

    def __repr__(self) -> str:
        return self.name


@contextmanager
def only_listed(source: PriceSource, symbols: Sequence[str]) -> Iterator[PriceSource]:
    """Leave out of a file or folder whatever a package does not list, since notes and findings may speak of it."""
    if isinstance(source, FilePrices):
        rows = source.rows_as_given(symbols)
        # without a row of any symbol the file itself gives the better message
        yield _ListedRows(rows, source.drop_repeats, source.delisted, name=repr(source)) if rows.height else source
    elif isinstance(source, FolderPrices):
        with TemporaryDirectory() as folder:
            path = Path(source.path).expanduser()
            copied = Path(folder) / Path(os.path.abspath(path)).name  # noqa: PTH100  # a link keeps its own name
            for file in source.files(symbols):
                copy = copied / file.relative_to(path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
            yield replace(source, path=copied)
    else:
        yield source


def describe_prices(source: PriceSource, symbols: Sequence[str]) -> dict[str, Any]:
    """Describe the prices that a study was run on, as its package lists them.

    Returns
    -------
    dict
        ``kind`` (*embedded*, *file*, *folder*, *store* or *other*); ``symbols`` with a row and those ``missing``, which
        have no close; ``first`` and ``last`` date; of a file its ``columns`` and what it says of the ``origin`` of
        its rows; of a folder its ``files``.
    """
    further: dict[str, Any] = {}
    if isinstance(source, FilePrices):
        rows = source.rows(symbols)
        columns = source.rows_as_given(symbols).columns
        origins = rows["origin"].drop_nulls().unique().sort().to_list() if "origin" in rows.columns else []
        further = {"columns": columns, "origin": [text for text in origins if text]}
    else:
        # a store is read as it is now, without the vendor
        reader = replace(source, source=None) if isinstance(source, StoredPrices) else source
        rows = reader.read(symbols).frame
    if isinstance(source, FolderPrices):
        further = {"files": sorted(file.relative_to(source.path).as_posix() for file in source.files(symbols))}
    with_close = set(rows.filter(pl.col("close").is_not_null())["symbol"])
    return {
        "kind": _kind(source),
        "symbols": sorted(set(rows["symbol"])),
        "missing": sorted(set(symbols) - with_close),
        "first": str(rows["date"].min()),
        "last": str(rows["date"].max()),
        **further,
    }


def _kind(source: PriceSource) -> str:
    kinds = {SamplePrices: "embedded", FilePrices: "file", FolderPrices: "folder", StoredPrices: "store"}
    return next((name for kind, name in kinds.items() if isinstance(source, kind)), "other")
