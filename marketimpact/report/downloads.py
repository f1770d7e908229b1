"""Embed tables in the page as data URIs, so that one file has everything."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from marketimpact.core.csv_writer import csv_text
from marketimpact.core.outputs import parquet_bytes

__all__ = ["Download", "downloads"]

#: Largest file, in bytes, that is embedded in the page.
MAX_BYTES = 600_000
DESCRIPTIONS = {
    "events": "every event with its columns, day 0 and how sure it is",
    "estimates": "the model's coefficients per event, from the estimation window",
    "abnormal_returns": "returns, expectations and abnormal returns, fractions per session",
    "car": "cumulative abnormal returns per event and window, fractions",
    "car_by_leg": "abnormal returns of day 0 by event: the whole session, overnight and in the day, fractions",
    "caar": "their means session by session, fractions, with 95% intervals",
    "tests": "every test per group and window, with its validity",
    "donors": "which donors each event uses, with their weights, and why not the others",
    "specifications": "every specification of the curve: its choices, its estimate, whether its test is valid",
    "specifications_joint": "the curve as a whole against curves on placebo days",
    "attrition": "events that could not be used, and why",
    "findings": "data quality: errors and warnings about the prices",
    "price_repairs": "what was changed in the prices",
}


@dataclass(frozen=True, slots=True)
class Download:
    """One table: its name, a description, its rows, and its files as (format, data URI, size in kB)."""

    name: str
    what: str
    rows: int
    files: tuple[tuple[str, str, str], ...]


def downloads(tables: Mapping[str, pl.DataFrame]) -> list[Download]:
    """Write every table as CSV and Parquet into data URIs; a file of more than `MAX_BYTES` bytes is left out."""
    entries = []
    for name, frame in tables.items():
        contents = (
            ("csv", "text/csv", csv_text(frame).encode()),
            ("parquet", "application/vnd.apache.parquet", parquet_bytes(frame)),
        )
        files = tuple(
            (kind, f"data:{mime};base64,{base64.b64encode(data).decode()}", f"{max(1, round(len(data) / 1000)):,}")
            for kind, mime, data in contents
            if len(data) <= MAX_BYTES
        )
        entries.append(Download(name, DESCRIPTIONS.get(name, name), frame.height, files))
    return entries
