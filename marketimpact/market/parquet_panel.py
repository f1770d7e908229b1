"""A market's panel as a Parquet dataset partitioned by symbol, for panels larger than memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError

__all__ = ["ParquetPanel", "read", "scan_market_fields", "write_panel"]

#: Folder of what belongs to the market as a whole; hive readers pass over names with an underscore.
ABOUT = "_market"
#: Frames of a market that are kept beside its panel.
FRAMES = ("securities", "sessions", "repairs", "spans", "truth", "fills", "traded", "findings", "price_repairs")
#: What a reader of results must know, as JSON.
FACTS = ("missing", "factors", "source", "simulated", "notes", "unit", "fingerprint")


@dataclass(frozen=True, eq=False)
class ParquetPanel:
    """Where a panel lies, and what is small of it.

    Attributes
    ----------
    folder : pathlib.Path
        With a folder ``symbol=...`` for each security; every worker must be able to read it.
    first_rows : polars.DataFrame
        ``symbol, mic, first_row, first_session, n_sessions``: where each security starts in the panel.
    unpriced : polars.DataFrame
        ``symbol, empty``: whether the security's benchmark has no returns at all.
    numbered : polars.DataFrame
        ``mic, session, date``.
    limit_hits : polars.DataFrame
        See `Market.limit_hits`.
    columns : tuple of str
        Of the panel.
    """

    folder: Path
    first_rows: pl.DataFrame
    unpriced: pl.DataFrame
    numbered: pl.DataFrame
    limit_hits: pl.DataFrame
    columns: tuple[str, ...]

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of the whole panel."""
        return read(self.folder, self.first_rows["symbol"].to_list(), columns)


def read(folder: Path, symbols: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of some securities, one security after another.

    Raises
    ------
    DataError
        For a security whose file is missing or damaged.
    """
    parts = []
    wanted = [name for name in columns if name != "symbol"] or ["session"]
    for symbol in symbols:
        path = _path(folder, symbol)
        try:
            part = pl.read_parquet(path, columns=wanted, hive_partitioning=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{symbol}: its file {path.parent.name}/{path.name} cannot be read: {error} Write the dataset anew, "
                "and see that every worker reads the same folder."
            ) from error
        parts.append(part.with_columns(pl.lit(symbol).alias("symbol")) if "symbol" in columns else part)
    return pl.concat(parts, rechunk=True).select(columns)


def write_panel(folder: Path, market: Any, *, append: bool) -> None:
    """Write a market's panel and what belongs to it; `append`: beside securities that are there already."""
    about = folder / ABOUT
    there = sorted(about.glob("*/facts.json")) if about.exists() else []
    if folder.exists() and any(folder.iterdir()) and not (append and there):
        raise DataError(
            f"{folder.name} is not empty{'' if there else ' and holds no market'}. Name an empty folder"
            f"{', or write append=True to add securities to it' if there else ''}."
        )
    if there:
        _must_fit(folder, market, json.loads(there[0].read_text(encoding="utf-8")))
    for (symbol,), part in market.panel.partition_by("symbol", as_dict=True, include_key=False).items():
        path = _path(folder, symbol)
        path.parent.mkdir(parents=True)
        part.write_parquet(path, statistics=False)
    part_folder = about / f"{len(there):05d}"
    part_folder.mkdir(parents=True)
    own = {name: getattr(market, name) for name in FRAMES}
    own |= {name: getattr(market, name) for name in ("first_rows", "unpriced", "numbered", "limit_hits")}
    for name, frame in own.items():
        if frame is not None:
            frame.write_parquet(part_folder / f"{name}.parquet")
    facts = {name: getattr(market, name) for name in FACTS} | {"columns": market.panel_columns}
    # last, since it says that all the rest is there
    (part_folder / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")


def scan_market_fields(folder: Path) -> dict[str, Any]:
    """What a market over the dataset is made of: its fields, with a `ParquetPanel` for the panel."""
    parts = sorted((folder / ABOUT).glob("*/facts.json"))
    if not parts:
        raise DataError(f"{folder.name} holds no market; write one with market.to_dataset(folder).")
    facts = [json.loads(path.read_text(encoding="utf-8")) for path in parts]

    def frame(name: str) -> pl.DataFrame | None:
        files = [path.parent / f"{name}.parquet" for path in parts]
        frames = [pl.read_parquet(file) for file in files if file.exists()]
        return _beside(frames) if frames else None

    first_rows = _needed(frame("first_rows")).sort("symbol")
    lengths = first_rows["n_sessions"]
    numbered = _needed(frame("numbered")).unique().sort("date")
    if numbered.select("mic", "session").is_duplicated().any():
        raise DataError(f"{folder.name}: its parts number the sessions of an exchange differently; load them alike.")
    dataset = ParquetPanel(
        folder,
        first_rows.with_columns((lengths.cum_sum() - lengths).alias("first_row")),
        _needed(frame("unpriced")).sort("symbol"),
        numbered,
        _needed(frame("limit_hits")),
        tuple(facts[0]["columns"]),
    )
    frames = {name: frame(name) for name in FRAMES}
    frames |= {name: _needed(frames[name]).sort("symbol") for name in ("securities", "spans")}
    return {"panel": dataset, **frames, **_facts(facts, set(first_rows["symbol"]))}


def _beside(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Frames of several parts as one: what is said of a benchmark or an exchange stands in more than one part."""
    one = frames[0]
    for other in frames[1:]:
        if "symbol" in one.columns:
            one = pl.concat([one, other.join(one, on="symbol", how="anti", maintain_order="left")], how="diagonal")
        else:
            one = pl.concat([one, other], how="diagonal").unique(maintain_order=True)
    return one


def _facts(facts: list[dict[str, Any]], known: set[str]) -> dict[str, Any]:
    prints = [one["fingerprint"] for one in facts]
    every = hashlib.sha256("".join(sorted(prints)).encode()).hexdigest()
    return {
        "missing": tuple(dict.fromkeys(name for one in facts for name in one["missing"] if name not in known)),
        "factors": tuple(facts[0]["factors"]),
        "source": "; ".join(dict.fromkeys(one["source"] for one in facts)),
        "simulated": any(one["simulated"] for one in facts),
        "notes": tuple(dict.fromkeys(note for one in facts for note in one["notes"])),
        "unit": facts[0]["unit"],
        "fingerprint": prints[0] if len(prints) == 1 else every,
    }


def _must_fit(folder: Path, market: Any, facts: dict[str, Any]) -> None:
    """Whether a market's securities can stand beside those of a dataset."""
    for name, own in (("columns", list(market.panel_columns)), ("unit", market.unit)):
        if own != facts[name]:
            raise DataError(f"{folder.name} has the {name} {facts[name]}, this market {own}: they must agree.")
    twice = [symbol for symbol in market.first_rows["symbol"] if _path(folder, symbol).exists()]
    if twice:
        raise DataError(f"{folder.name} has {listed(twice, quoted=False)} already; add securities that are new to it.")


def _path(folder: Path, symbol: str) -> Path:
    return folder / f"symbol={quote(symbol, safe='')}" / "0.parquet"


def _needed(frame: pl.DataFrame | None) -> pl.DataFrame:
    if frame is None:
        raise DataError("The dataset lacks a part of its folder _market; write it anew.")
    return frame
