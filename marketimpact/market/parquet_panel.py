"""Keep the return panel of a market on disk, as a Parquet dataset partitioned by symbol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.outputs import parquet_bytes, write_together
from marketimpact.core.text import listed
from marketimpact.errors import DataError
from marketimpact.market.panel import FramePanel, first_rows, renumber_rows, series_begins

__all__ = ["ParquetPanel", "read_columns", "scan_market_fields", "write_panel"]

#: Folder of what belongs to the market as a whole; hive readers pass over names with an underscore.
MARKET_FOLDER = "_market"
#: Frames of a market that are kept beside its panel.
FRAMES = (
    "securities", "sessions", "repairs", "unpriced_sessions", "spans", "truth", "fills", "traded", "findings",
    "price_repairs", "implausible", "benchmark_legs",
)  # fmt: skip
#: Other fields of a market, kept as JSON.
FACTS = ("missing", "factors", "source", "simulated", "notes", "unit", "leg", "fingerprint")


@dataclass(frozen=True, eq=False)
class ParquetPanel:
    """A return panel on disk, with the small frames that describe it in memory.

    Attributes
    ----------
    folder : pathlib.Path
        With a folder ``symbol=...`` for each security; every worker must be able to read it.
    securities : polars.DataFrame
        See `ReturnPanel.securities`.
    sessions : polars.DataFrame
        ``mic, session, date``.
    limit_hits : polars.DataFrame
        See `Market.limit_hits`.
    columns : tuple of str
        Names of the columns.
    """

    folder: Path
    securities: pl.DataFrame
    sessions: pl.DataFrame
    limit_hits: pl.DataFrame
    columns: tuple[str, ...]

    on_disk = True

    def values(self, column: str) -> Floats:
        """Read a column row by row; NaN where missing."""
        return self.to_frame([column])[column].cast(pl.Float64).to_numpy()

    def series(self, column: str) -> tuple[Floats, Ints]:
        """Read a column, and return at which of its rows each security reads it; see `ReturnPanel.series`."""
        return self.values(column), series_begins(self.securities, column)

    def dates(self) -> tuple[Ints, Ints]:
        """Read the date of every row as days since 1970-01-01, and return where each security begins."""
        days = self.to_frame(["date"])["date"].to_physical().to_numpy().astype("int64")
        return days, first_rows(self.securities)

    def take(self, securities: Ints, columns: Sequence[str]) -> ParquetPanel:
        """Return the panel of some securities with some columns; nothing is read."""
        hits = self.limit_hits.clear()
        return ParquetPanel(
            self.folder, renumber_rows(self.securities[securities]), self.sessions.clear(), hits, tuple(columns)
        )

    def load(self) -> FramePanel:
        """Read all of it into memory."""
        return FramePanel(self.to_frame(), self.securities)

    def to_frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read some or all columns as a frame."""
        return read_columns(
            self.folder, self.securities["symbol"].to_list(), self.columns if columns is None else columns
        )


def read_columns(folder: Path, symbols: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """Read some columns of some securities, one security after another.

    Raises
    ------
    DataError
        For a security whose file is missing or damaged.
    """
    parts = []
    names = [name for name in columns if name != "symbol"] or ["session"]
    for symbol in symbols:
        path = _path(folder, symbol)
        try:
            part = pl.read_parquet(path, columns=names, hive_partitioning=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{symbol}: its file {path.parent.name}/{path.name} cannot be read: {error} Write the dataset anew, "
                "and see that every worker reads the same folder."
            ) from error
        parts.append(part.with_columns(pl.lit(symbol).alias("symbol")) if "symbol" in columns else part)
    return pl.concat(parts, rechunk=True).select(columns)


def write_panel(folder: Path, market: Any, *, append: bool) -> None:
    """Write a market's panel and the frames beside it; with `append`, add its securities to those of the folder."""
    about = folder / MARKET_FOLDER
    written = sorted(about.glob("*/facts.json")) if about.exists() else []
    if folder.exists() and any(folder.iterdir()) and not (append and written):
        raise DataError(
            f"{folder.name} is not empty{'' if written else ' and holds no market'}. Name an empty folder"
            f"{', or write append=True to add securities to it' if written else ''}."
        )
    if written:
        _check_fit(folder, market, json.loads(written[0].read_text(encoding="utf-8")))
    with write_together(folder) as aside:
        for (symbol,), rows in market.panel.partition_by("symbol", as_dict=True, include_key=False).items():
            path = _path(aside, symbol)
            path.parent.mkdir(parents=True)
            path.write_bytes(parquet_bytes(rows, statistics=False))
        part = aside / MARKET_FOLDER / f"{len(written):05d}"
        part.mkdir(parents=True)
        _write_facts(part, market)


def _write_facts(part: Path, market: Any) -> None:
    """Write the frames and other fields of a market beside its panel."""
    panel = market.return_panel
    frames = {name: getattr(market, name) for name in FRAMES}
    frames |= {"panel_securities": panel.securities, "panel_sessions": panel.sessions, "limit_hits": market.limit_hits}
    for name, frame in frames.items():
        if frame is not None:
            (part / f"{name}.parquet").write_bytes(parquet_bytes(frame))
    facts = {name: getattr(market, name) for name in FACTS} | {"columns": panel.columns}
    # last: a part without this file is not complete
    (part / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")


def scan_market_fields(folder: Path) -> dict[str, Any]:
    """Read the fields of a market over a dataset, with a `ParquetPanel` for its panel."""
    written = sorted((folder / MARKET_FOLDER).glob("*/facts.json"))
    if not written:
        raise DataError(f"{folder.name} holds no market; write one with market.to_dataset(folder).")
    facts = [json.loads(path.read_text(encoding="utf-8")) for path in written]
    parts = [path.parent for path in written]
    securities = _panel_securities(parts)
    sessions = pl.concat(_frames(parts, "panel_sessions")).unique().sort("date")
    if sessions.select("mic", "session").is_duplicated().any():
        raise DataError(f"{folder.name}: its parts number the sessions of an exchange differently; load them alike.")
    columns = tuple(facts[0]["columns"])
    panel = ParquetPanel(folder, securities, sessions, _combine(_frames(parts, "limit_hits")), columns)
    frames = {name: _combine(_frames(parts, name)) for name in FRAMES if name != "truth"}
    frames |= {name: frames[name].sort("symbol") for name in ("securities", "spans")}
    truth = [path for path in parts if (path / "truth.parquet").exists()]
    return {
        "return_panel": panel,
        **frames,
        "truth": _combine(_frames(truth, "truth")) if truth else None,
        **_combine_facts(facts, set(securities["symbol"])),
    }


def _frames(parts: Sequence[Path], name: str) -> list[pl.DataFrame]:
    """Read one frame of each part."""
    files = [part / f"{name}.parquet" for part in parts]
    if not all(file.exists() for file in files):
        raise DataError(f"The dataset lacks a {name}.parquet in its folder {MARKET_FOLDER}; write it anew.")
    return [pl.read_parquet(file) for file in files]


def _panel_securities(parts: Sequence[Path]) -> pl.DataFrame:
    """Read where each security lies; only securities that were written together share a benchmark or factors."""
    frames = [frame.with_columns(_part=number) for number, frame in enumerate(_frames(parts, "panel_securities"))]
    securities = renumber_rows(pl.concat(frames).sort("symbol"))
    first = pl.col("first_row").first()
    names = ("series_of_benchmark", "series_of_factors")
    return securities.with_columns(first.over("_part", name).alias(name) for name in names).drop("_part")


def _combine(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Combine frames of several parts; rows of a benchmark or an exchange stand in more than one of them."""
    combined = frames[0]
    for other in frames[1:]:
        if "symbol" in combined.columns:
            new = other.join(combined, on="symbol", how="anti", maintain_order="left")
            combined = pl.concat([combined, new], how="diagonal")
        else:
            combined = pl.concat([combined, other], how="diagonal").unique(maintain_order=True)
    return combined


def _combine_facts(facts: list[dict[str, Any]], known: set[str]) -> dict[str, Any]:
    fingerprints = [part["fingerprint"] for part in facts]
    combined = hashlib.sha256("".join(sorted(fingerprints)).encode()).hexdigest()
    return {
        "missing": tuple(dict.fromkeys(name for part in facts for name in part["missing"] if name not in known)),
        "factors": tuple(facts[0]["factors"]),
        "source": "; ".join(dict.fromkeys(part["source"] for part in facts)),
        "simulated": any(part["simulated"] for part in facts),
        "notes": tuple(dict.fromkeys(note for part in facts for note in part["notes"])),
        "unit": facts[0]["unit"],
        "leg": facts[0]["leg"],
        "fingerprint": fingerprints[0] if len(fingerprints) == 1 else combined,
    }


def _check_fit(folder: Path, market: Any, facts: dict[str, Any]) -> None:
    """Check that a market's securities can be added to a dataset."""
    for name, own in (("columns", list(market.panel_columns)), ("unit", market.unit), ("leg", market.leg)):
        if own != facts[name]:
            raise DataError(f"{folder.name} has the {name} {facts[name]}, this market {own}: they must agree.")
    repeated = [symbol for symbol in market.return_panel.securities["symbol"] if _path(folder, symbol).exists()]
    if repeated:
        raise DataError(
            f"{folder.name} has {listed(repeated, quoted=False)} already; add securities that are new to it."
        )


def _path(folder: Path, symbol: str) -> Path:
    return folder / f"symbol={quote(symbol, safe='')}" / "0.parquet"
