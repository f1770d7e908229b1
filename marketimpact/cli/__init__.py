"""The command line: reads files, builds values, nothing else."""

from __future__ import annotations

import sys
import warnings

import typer

from marketimpact.cli import check, store, studies
from marketimpact.errors import MarketImpactError, MarketImpactWarning

__all__ = ["main"]

app = typer.Typer(
    help="Event studies of semiconductor policy: who moved, how far, and whether it can be told from chance.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(studies.run)
app.command("align")(studies.align_command)
app.command("list")(studies.list_command)
app.command("check")(check.check)
app.command("fetch")(store.fetch)
app.add_typer(store.store, name="store")


def main() -> None:
    """Run the command line; a foreseen error is one message on stderr and exit code 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", MarketImpactWarning)
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        try:
            app()
        except MarketImpactError as error:
            typer.echo(f"error: {error}", err=True)
            sys.exit(1)
