"""Commands of the chronology: check a file of announcements, compare two, add rows to one."""

from __future__ import annotations

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from marketimpact.cli.options import AsCsv, AsJson
from marketimpact.cli.printing import print_frame, print_table
from marketimpact.core import schema
from marketimpact.core.csv_writer import csv_text
from marketimpact.core.outputs import write_together
from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events.catalogue import announcements
from marketimpact.events.catalogue_changes import CLOCKS, compare, transitions
from marketimpact.events.catalogue_checks import from_memory, lacking
from marketimpact.events.catalogue_versions import catalogue_versions
from marketimpact.events.contract_files import load_table

__all__ = ["catalogue"]

#: Letters of a cell that a table shows.
CELL_WIDTH = 48
#: Column -> its name in the summary of a comparison.
COUNTED = {"time_precision": "precision", "verification": "verification", "confidence": "confidence"}

catalogue = typer.Typer(help="Check, compare and extend chronologies of announcements.", no_args_is_help=True)


@catalogue.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(help="Announcements (CSV, Parquet or Excel).")],
    csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Check a file of announcements: its columns, and that each row names its source; exit code 1 when one does not."""
    facts = announcements(file)
    refused = lacking(facts)
    if csv or as_json or refused.height:
        print_frame(refused, csv=csv, as_json=as_json)
    _warn_about_memory(facts)
    if not (csv or as_json):
        typer.echo(
            f"{_count(facts.height, 'announcement')}, {refused.height} refused for want of source, zone or evidence"
        )
    if refused.height:
        raise typer.Exit(1)


@catalogue.command("diff")
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A version of the embedded chronology, or a file.")],
    after: Annotated[str, typer.Argument(metavar="B", help="A version of the embedded chronology, or a file.")],
    out: Annotated[Path | None, typer.Option("--out", help="Also write the changes to this CSV file.")] = None,
    csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show the rows that B adds, removes and changes, field by field."""
    changes = compare(_version_or_file(before), _version_or_file(after))
    if out is not None:
        if out.suffix != ".csv":
            raise typer.BadParameter(f"{out} must end in .csv", param_hint="--out")
        _write(out, csv_text(changes))
    if csv or as_json:
        print_frame(changes, csv=csv, as_json=as_json)
        return
    texts = [pl.when(pl.col(name).str.len_chars() > CELL_WIDTH).then(pl.col(name).str.head(CELL_WIDTH - 1) + "…")
             .otherwise(name).alias(name) for name in ("before", "after")]  # fmt: skip
    print_table(changes.with_columns(texts))
    for line in _summary(changes):
        typer.echo(line)


@catalogue.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="Chronology to extend, a CSV file; made where there is none.")],
    cells: Annotated[
        list[str] | None, typer.Argument(metavar="COLUMN=VALUE...", help="Cells of one row, such as stance=mixed.")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option("--rows", help="Rows to add: a CSV file, or TOML with [[announcements]].")
    ] = None,
) -> None:
    """Add rows to a file of announcements after checking them; exit code 1, and no change, when one is refused."""
    if file.suffix != ".csv":
        raise typer.BadParameter(f"{file} must end in .csv", param_hint="FILE")
    if (rows is None) == (not cells):
        raise typer.BadParameter("give the cells of one row as COLUMN=VALUE, or a file with --rows")
    added = _row_of(cells or []) if rows is None else _rows_of(rows)
    known = load_table(file, "announcements")[0] if file.exists() else None
    _refuse_unknown_columns(added, known)
    if known is not None:
        _refuse_known_ids(added, known, file)
    facts = announcements(added)
    refused = lacking(facts)
    if refused.height:
        for key, lacks in refused.rows():
            typer.echo(f"refused: {key} lacks {lacks}", err=True)
        left = "is as it was" if file.exists() else "was not made"
        typer.echo(f"{file} {left}. Add what is missing, and try again.", err=True)
        raise typer.Exit(1)
    table = added if known is None else pl.concat([known, added], how="diagonal")
    order = announcements(table).select("announcement_id")
    trimmed = table.with_columns(pl.col("announcement_id").str.strip_chars())
    # as plain CSV: the cells that were there, with signs at their beginning too, stay what they are
    _write(
        file, order.join(trimmed, on="announcement_id", how="left", validate="1:1").select(table.columns).write_csv()
    )
    _warn_about_memory(facts)
    typer.echo(f"Added to {file}: {_count(added.height, 'announcement')}; it has {table.height} now.")


def _version_or_file(what: str) -> pl.DataFrame:
    """Read a version of the embedded chronology, with what is from memory, or a file."""
    versions = catalogue_versions()["version"].to_list()
    if what in versions:
        return announcements(version=what, recalled=True)
    if Path(what).suffix not in (".csv", ".parquet", ".xlsx"):
        raise SpecificationError(
            f"{what!r} is no version of the chronology.{did_you_mean(what, versions)} Its versions are "
            f"{', '.join(versions)}; a file ends in .csv, .parquet or .xlsx."
        )
    return announcements(what)


def _summary(changes: pl.DataFrame) -> list[str]:
    """Count what changed, clocks and words that grade a row among it."""
    rows = {
        name: changes.filter(pl.col("change") == name)["announcement_id"].n_unique() for name in ("added", "removed")
    }
    cells = changes.filter(pl.col("change") == "changed")
    clocks = cells.filter(pl.col("field").is_in(CLOCKS))["announcement_id"].n_unique()
    lines = [
        f"{rows['added']} added, {rows['removed']} removed, {cells['announcement_id'].n_unique()} changed in "
        f"{_count(cells.height, 'cell')}; clock or bounds of {clocks}"
    ]
    for field, name in COUNTED.items():
        moved = [f"{old} -> {new} {count}" for old, new, count in transitions(changes, field)]
        lines += [f"{name}: {', '.join(moved)}"] * bool(moved)
    return lines


def _row_of(cells: list[str]) -> pl.DataFrame:
    """Read one row from words such as ``stance=mixed``."""
    row: dict[str, str] = {}
    for cell in cells:
        column, equals, value = cell.partition("=")
        if not equals or not column.strip():
            raise typer.BadParameter(f"{cell!r} is no cell; write COLUMN=VALUE, such as stance=mixed")
        if column.strip() in row:
            raise typer.BadParameter(f"{column.strip()!r} is given twice")
        row[column.strip()] = value
    return pl.DataFrame([row])


def _rows_of(file: Path) -> pl.DataFrame:
    """Read rows from a CSV file, or from the tables ``[[announcements]]`` of a TOML file, as text."""
    if file.suffix == ".csv":
        return load_table(file, "announcements")[0]
    if file.suffix != ".toml":
        raise typer.BadParameter(f"{file} must end in .csv or .toml", param_hint="--rows")
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("announcements")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{file} cannot be read as TOML: {error}.") from error
    if not isinstance(tables, list) or not tables or not all(isinstance(each, dict) for each in tables):
        raise DataError(f"{file} has no rows. Write each as a table [[announcements]], with double brackets.")
    columns = list(dict.fromkeys(name for each in tables for name in each))
    return pl.DataFrame(
        [[_cell(each.get(name)) for name in columns] for each in tables],
        dict.fromkeys(columns, pl.String),
        orient="row",
    )


def _cell(value: Any) -> str | None:
    """Write a value of TOML as the cell of a CSV file."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ";".join(map(str, value))
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def _refuse_unknown_columns(added: pl.DataFrame, known: pl.DataFrame | None) -> None:
    names = [*schema.Announcements.column_names(), *([] if known is None else known.columns)]
    unknown = [name for name in added.columns if name not in names]
    if unknown:
        raise SpecificationError(
            f"A chronology has no column {listed(unknown)}.{did_you_mean(unknown[0], names)} Columns of your own must "
            "be in the file already."
        )


def _refuse_known_ids(added: pl.DataFrame, known: pl.DataFrame, file: Path) -> None:
    ids = [
        frame["announcement_id"].str.strip_chars().str.to_lowercase()
        for frame in (added, known)
        if "announcement_id" in frame.columns
    ]
    if len(ids) < 2:
        return  # which the contract refuses
    repeated = added["announcement_id"].str.strip_chars().filter(ids[0].is_in(ids[1].implode())).to_list()
    if repeated:
        raise SpecificationError(
            f"{file} has {listed(repeated)} already, and an identifier is never given again, nor in other capitals. "
            "Choose another, or change the row in the file."
        )


def _warn_about_memory(facts: pl.DataFrame) -> None:
    recalled = from_memory(facts)
    if recalled:
        typer.echo(
            f"warning: {_count(len(recalled), 'row')} from memory, no page was read: {listed(recalled)}", err=True
        )


def _write(file: Path, text: str) -> None:
    """Write a file aside, then over one of its name."""
    with write_together(file.parent) as aside:
        (aside / file.name).write_text(text, encoding="utf-8", newline="")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
