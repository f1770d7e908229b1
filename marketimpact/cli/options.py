"""Command-line options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsCsv", "AsJson", "Directory"]

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV with every column instead of a table.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with every column instead of a table.")]
Directory = Annotated[
    Path | None, typer.Option("--store", help="Folder of the price store; in the user's cache by default.")
]
