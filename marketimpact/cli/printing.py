"""How a frame is printed on a terminal, or as CSV."""

from __future__ import annotations

import polars as pl
import typer

__all__ = ["flat", "show"]

#: Width of a table that goes into a file or another program.
PIPE_WIDTH = 160
#: What a spreadsheet takes for the start of a formula.
FORMULA = r"^[=+\-@\t\r]"


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as a CSV can hold it: lists joined by ';', no text that a spreadsheet would compute.

    Text that begins like a formula gets an apostrophe in front; Parquet keeps it as it was.
    """
    lists = [c for c, kind in frame.schema.items() if isinstance(kind, pl.List)]
    frame = frame.with_columns(pl.col(c).list.join(";") for c in lists)
    cell = pl.col(pl.String)
    return frame.with_columns(pl.when(cell.str.contains(FORMULA)).then("'" + cell).otherwise(cell).name.keep())


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
