"""Write frames as CSV that a spreadsheet opens as it is: no cell and no heading is computed as a formula."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

__all__ = ["csv_text", "flat_frame", "safe_text"]

#: First characters that make a spreadsheet read text as a formula, after any spaces.
FORMULA = r"^\s*[=+\-@\t\r\n|%]"
#: A number, which begins with a sign and is no formula.
NUMBER = r"^[+\-]?(\d+\.?\d*|\.\d+)([eE][+\-]?\d+)?$"


def csv_text(frame: pl.DataFrame) -> str:
    """Write a frame as CSV: lists joined by ``;``, structs as JSON, and text by `safe_text`.

    Parquet keeps every value as it was.
    """
    flat = flat_frame(frame)
    texts = [safe_text(pl.col(name)) for name, kind in flat.schema.items() if kind == pl.String]
    headings = safe_text(pl.Series(flat.columns, dtype=pl.String))
    return flat.with_columns(texts).rename(dict(zip(flat.columns, headings, strict=True))).write_csv()


def flat_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """Write categories, lists, structs and durations as text; other columns stay as they are."""
    return frame.with_columns(_as_text(frame[name]) for name, kind in frame.schema.items() if not _is_plain(kind))


def safe_text(text: Any) -> Any:
    """Put an apostrophe in front of text that a spreadsheet would compute; a series or an expression of text.

    Examples
    --------
    >>> safe_text(pl.Series(["=1+1", "-0.5", "NVDA"])).to_list()
    ["'=1+1", '-0.5', 'NVDA']
    """
    if isinstance(text, pl.Series):
        return text.to_frame("text").select(safe_text(pl.col("text"))).to_series().alias(text.name)
    computed = text.str.contains(FORMULA) & ~text.str.contains(NUMBER)
    return pl.when(computed).then(pl.lit("'") + text).otherwise(text).name.keep()


def _is_plain(kind: pl.DataType) -> bool:
    timed = kind.is_temporal() and not isinstance(kind, pl.Duration)
    return kind == pl.String or kind.is_numeric() or timed or kind in (pl.Boolean, pl.Null)


def _as_text(column: pl.Series) -> pl.Series:
    """Convert categories, lists, structs and other values to text."""
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    return pl.Series(column.name, [_cell(value) for value in column.to_list()], dtype=pl.String)


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list) and not any(isinstance(each, list | dict) for each in value):
        return ";".join("" if each is None else str(each) for each in value)
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)
