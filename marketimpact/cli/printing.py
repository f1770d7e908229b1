"""How a frame is printed on a terminal, as CSV or as JSON."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import typer

from marketimpact.report.downloads import flattened as flat

__all__ = ["flat", "json_text", "put", "rows", "show"]

#: Width of a table that goes into a file or another program.
PIPE_WIDTH = 160


def show(frame: pl.DataFrame) -> None:
    """Print a table, and how many rows it has."""
    from rich import box  # noqa: PLC0415  # a table is not always printed
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    sheet = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in frame.columns:
        sheet.add_column(name, overflow="fold", no_wrap=name in ("symbol", "mic", "day 0"))
    for row in frame.iter_rows():
        sheet.add_row(*[Text("" if value is None else str(value)) for value in row])
    console.print(sheet)
    typer.echo(f"{frame.height} rows")


def rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A frame as JSON holds it: an object per row, dates and instants as ISO 8601, null for what is not a number."""
    numbers = pl.selectors.float()
    finite = frame.with_columns(pl.when(numbers.is_finite()).then(numbers).name.keep())
    found: list[dict[str, Any]] = json.loads(finite.write_json())
    return found


def json_text(value: Any) -> str:
    """A value as JSON that reads well and is strict: no NaN."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def put(frame: pl.DataFrame, shown: pl.DataFrame | None = None, *, csv: bool = False, as_json: bool = False) -> None:
    """Print a frame as CSV or JSON with every column, or what is `shown` of it as a table.

    Raises
    ------
    typer.BadParameter
        When both are asked for.
    """
    if csv and as_json:
        raise typer.BadParameter("give one of --csv and --json")
    if csv:
        typer.echo(flat(frame).write_csv(), nl=False)
    elif as_json:
        typer.echo(json_text(rows(frame)))
    else:
        show(frame if shown is None else shown)
