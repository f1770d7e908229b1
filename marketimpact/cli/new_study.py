"""Write a commented study file: the template as it is, or for announcements of one's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from marketimpact.cli.study_file import refuse_unknown_targets
from marketimpact.errors import SpecificationError
from marketimpact.events.catalogue import announcements, securities

__all__ = ["TEMPLATE", "new"]

TEMPLATE = Path(__file__).with_name("template.toml")
#: First line of the part of the template that is about groups of securities.
ABOUT_GROUPS = "# Robustness:"


def new(
    file: Annotated[
        Path | None,
        typer.Argument(help="Study file to write, such as my_study.toml; beside --announcements by default."),
    ] = None,
    own: Annotated[
        Path | None,
        typer.Option("--announcements", help="Your own announcements (CSV, Parquet or Excel), checked first."),
    ] = None,
    universe: Annotated[
        Path | None,
        typer.Option("--securities", help="Your own securities (CSV, Parquet or Excel); goes with --announcements."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> None:
    """Write a commented study file that runs as it is; change it to your own question."""
    if file is None and own is None:
        raise typer.BadParameter("name the study file to write, or give --announcements", param_hint="FILE")
    target = file if file is not None else Path(str(own)).with_suffix(".toml")
    if target.suffix != ".toml":
        raise typer.BadParameter(f"{target} must end in .toml", param_hint="FILE")
    text = TEMPLATE.read_text(encoding="utf-8")
    if own is not None:
        facts = announcements(own)
        refuse_unknown_targets(facts, securities(universe), own.name)
        text = _study_of(facts, text, os.path.relpath(own, target.parent))
    if universe is not None:
        path = _quoted(os.path.relpath(universe, target.parent))
        text = text.replace('# file = "my_securities.csv"', f"file = {path}")
    if target.exists() and not force:
        raise SpecificationError(f"{target} exists already. Choose another name, or overwrite it with --force.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    quoted = f'"{target}"' if " " in str(target) else str(target)
    typer.echo(f"Written: {target}\nRun it with: marketimpact run {quoted}")


def _quoted(file: str) -> str:
    """Write a path as TOML has it."""
    return json.dumps(Path(file).as_posix(), ensure_ascii=False)


def _study_of(facts: pl.DataFrame, template: str, file: str) -> str:
    """Change the template to announcements of one's own; where they name targets, these are studied, not groups."""
    beginning = template.index(ABOUT_GROUPS)
    settings, groups = template[:beginning], template[beginning:]
    first = json.dumps(facts["announcement_id"][0])
    values = {
        "question = ": 'question = "Which firms moved, by how much, and is it significant?"',
        "ids = ": f"# ids = [{first}]",
        '# file = "my_announcements.csv"': f"file = {_quoted(file)}",
    }
    lines = [
        next((value for begins, value in values.items() if line.startswith(begins)), line)
        for line in settings.splitlines()
    ]
    if facts["targets"].explode().count():
        groups = "\n".join(f"# {line}" if line and not line.startswith("#") else line for line in groups.splitlines())
    return "\n".join([*lines, groups.rstrip("\n"), ""])
