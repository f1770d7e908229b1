"""Tables inside the page, so that the file is of use when mailed alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

__all__ = ["Download", "downloads"]

#: Bytes of a file beyond which it stays out of the page.
MOST = 600_000
#: What a spreadsheet takes for the start of a formula.
FORMULA = r"^[=+\-@\t\r]"
WHAT = {
    "events": "every event with its columns, day 0 and how sure it is",
    "estimates": "the model's coefficients per event, from the estimation window",
    "abnormal_returns": "returns, expectations and abnormal returns, fractions per session",
    "car": "cumulative abnormal returns per event and window, fractions",
    "caar": "their means session by session, fractions, with 95% intervals",
    "tests": "every test per group and window, with its validity",
    "specifications": "every specification of the curve: its choices, what it found, whether its test holds",
    "specifications_joint": "the curve as a whole against curves on placebo days",
    "attrition": "events that could not be used, and why",
    "findings": "what is doubtful about the prices",
    "price_repairs": "what was changed in the prices",
}


@dataclass(frozen=True, slots=True)
class Download:
    """One table: its name, what it holds, and its files as (format, data URI, size in kB)."""

    name: str
    what: str
    rows: int
    files: tuple[tuple[str, str, str], ...]


def downloads(tables: Mapping[str, pl.DataFrame]) -> list[Download]:
    """Every table as CSV and Parquet in data URIs; a file of more than `MOST` bytes is left out."""
    made = []
    for name, frame in tables.items():
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        kinds = (
            ("csv", "text/csv", flattened(frame).write_csv().encode()),
            ("parquet", "application/vnd.apache.parquet", buffer.getvalue()),
        )
        files = tuple(
            (kind, f"data:{mime};base64,{base64.b64encode(data).decode()}", f"{max(1, round(len(data) / 1000)):,}")
            for kind, mime, data in kinds
            if len(data) <= MOST
        )
        made.append(Download(name, WHAT.get(name, name), frame.height, files))
    return made


def flattened(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as a CSV can hold it: lists joined by ';', no text that a spreadsheet would compute.

    Text that begins like a formula gets an apostrophe in front; Parquet keeps it as it was.
    """
    lists = [c for c, kind in frame.schema.items() if isinstance(kind, pl.List)]
    frame = frame.with_columns(pl.col(c).list.join(";") for c in lists)
    cell = pl.col(pl.String)
    return frame.with_columns(pl.when(cell.str.contains(FORMULA)).then("'" + cell).otherwise(cell).name.keep())
