"""How a frame is printed on a terminal, or as CSV."""

from __future__ import annotations

import polars as pl
import typer

from marketimpact.report.downloads import flattened as flat

__all__ = ["flat", "show"]

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
