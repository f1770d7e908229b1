"""The command line: commands, and study files in TOML."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from marketimpact.cli import brief, bundle, catalogue, check, new_study, register, store, studies
from marketimpact.core.interrupts import EXIT_CODE, MESSAGE, raising_on_interrupt
from marketimpact.errors import MarketImpactError, MarketImpactWarning

__all__ = ["main"]

#: Commands as the help shows them, in the order in which a newcomer needs them.
SECTIONS = {
    "Studies": ("brief", "run", "new", "schema"),
    "Registered studies": ("register", "bundle"),
    "Announcements and methods": ("list", "align", "catalogue"),
    "Prices": ("check", "fetch", "store"),
}
EPILOG = """\b
Start with: marketimpact run
  (the embedded study on simulated prices; writes out/h20/report.html)
One moment: marketimpact brief NVDA 2025-04-15T17:22:59-04:00 --prices prices.parquet
Your own:   marketimpact new my_study.toml        (or --announcements my.csv)
            marketimpact run my_study.toml --prices prices.parquet

\b
Tables and results go to stdout, warnings and errors to stderr.
Exit codes: 0  success
            1  the input cannot be used, a symbol is unknown, a study differs from its registration,
               or check, catalogue check or store verify found an error
            2  wrong usage of the command
            130  interrupted by Ctrl-C
"""


class _Sections(TyperGroup):
    """A command group whose help lists the commands under headings."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write every command under its heading."""
        for heading, names in SECTIONS.items():
            commands = ((name, self.get_command(ctx, name)) for name in names)
            with formatter.section(heading):
                formatter.write_dl([(name, c.get_short_help_str(100)) for name, c in commands if c is not None])


app = typer.Typer(
    cls=_Sections,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)

app.command("brief")(brief.brief)
app.command()(studies.run)
app.command()(new_study.new)
app.command()(studies.schema)
app.command()(register.register)
app.command()(bundle.bundle)
app.command("align")(studies.align_command)
app.command("list")(studies.list_command)
app.command("check")(check.check)
app.command("fetch")(store.fetch)
app.add_typer(catalogue.catalogue, name="catalogue")
app.add_typer(store.store, name="store")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"marketimpact {version('marketimpact')}")
        raise typer.Exit


@app.callback()
def marketimpact(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Event studies of semiconductor policy: which firms moved, by how much, and whether it is significant."""


def main() -> None:
    """Run the command line; an error of this package is one message on stderr and exit code 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", MarketImpactWarning)
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        try:
            with raising_on_interrupt():
                app(prog_name="marketimpact")
        except MarketImpactError as error:
            typer.echo(f"error: {error}", err=True)
            sys.exit(1)
        except OSError as error:  # a folder that cannot be written to, a full disk
            typer.echo(f"error: {error.strerror or error}: {error.filename or 'no file named'}", err=True)
            sys.exit(1)
        except SystemExit as end:
            if end.code == EXIT_CODE:  # Ctrl-C
                typer.echo(MESSAGE, err=True)
            raise
