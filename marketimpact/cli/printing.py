"""Print frames as a table on the terminal, as CSV or as JSON."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import typer

from marketimpact.core.csv_writer import csv_text

__all__ = ["json_rows", "json_text", "print_frame", "print_table"]

#: Width of a table that goes into a file or another program.
PIPE_WIDTH = 160


def print_table(frame: pl.DataFrame) -> None:
    """Print a frame as a table, and its number of rows."""
    from rich import box  # noqa: PLC0415  # a table is not always printed
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in frame.columns:
        table.add_column(name, overflow="fold", no_wrap=name in ("symbol", "mic", "day 0"))
    for row in frame.iter_rows():
        table.add_row(*[Text("" if value is None else str(value)) for value in row])
    console.print(table)
    typer.echo(f"{frame.height} rows")


def json_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Convert a frame to JSON objects, one per row: dates and instants in ISO 8601, null for NaN and infinity."""
    numbers = pl.selectors.float()
    finite = frame.with_columns(pl.when(numbers.is_finite()).then(numbers).name.keep())
    objects: list[dict[str, Any]] = json.loads(finite.write_json())
    return objects


def json_text(value: Any) -> str:
    """Write a value as indented, strict JSON (no NaN)."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def print_frame(
    frame: pl.DataFrame, shown: pl.DataFrame | None = None, *, csv: bool = False, as_json: bool = False
) -> None:
    """Print a frame as CSV or JSON with every column, or its excerpt `shown` as a table.

    Raises
    ------
    typer.BadParameter
        When both CSV and JSON are requested.
    """
    if csv and as_json:
        raise typer.BadParameter("give one of --csv and --json")
    if csv:
        typer.echo(csv_text(frame), nl=False)
    elif as_json:
        typer.echo(json_text(json_rows(frame)))
    else:
        print_table(frame if shown is None else shown)
