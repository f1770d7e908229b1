"""The command that registers a study before its events are looked at."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from marketimpact.cli.options import Directory
from marketimpact.cli.price_options import Prices, Snapshot, Yahoo, price_source
from marketimpact.cli.printing import print_table
from marketimpact.cli.registration import SIMULATED, parse_record, registration_text
from marketimpact.cli.study_file import StudyFile, read_study
from marketimpact.core.outputs import write_together
from marketimpact.errors import SpecificationError

__all__ = ["register", "write_new"]


def register(
    study: Annotated[str, typer.Argument(help="Study file (TOML) with a table [registration].")],
    prices: Prices = None,
    yahoo: Yahoo = False,
    snapshot: Snapshot = None,
    directory: Directory = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; STUDY with the ending .registration.toml by default.")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", help="Date of the registration, such as 2026-11-29; today by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> None:
    """Register a study: freeze what it declares, with a hash, and write its power.

    Prices are read up to the end of the first estimation window, and no later one: no event window is looked at.
    Without --prices, --yahoo or --snapshot they are the embedded sample, which is simulated.
    """
    registered_on = _date(day)
    source = price_source(prices, snapshot, directory, yahoo=yahoo)
    plan = read_study(study)
    target = out if out is not None else _default_target(study, plan)
    refuse_existing(target, force=force)
    text = registration_text(plan, source, registered_on, date_given=day is not None)
    write_new(target, text.encode())
    _print(parse_record(text), target)


def refuse_existing(target: Path, *, force: bool) -> None:
    """Raise SpecificationError for a target that is a folder, is in none, or is there and not to be overwritten."""
    above = next(folder for folder in target.absolute().parents if folder.exists())
    if not above.is_dir():
        raise SpecificationError(f"{target} cannot be written, since {above.name} is no folder. Choose another name.")
    if target.is_dir():
        raise SpecificationError(f"{target} is a folder. Name a file in it.")
    if target.exists() and not force:
        raise SpecificationError(f"{target} exists already. Choose another name, or overwrite it with --force.")


def write_new(target: Path, data: bytes) -> None:
    """Write a file in one step, never half-written."""
    with write_together(target.parent) as folder:
        (folder / target.name).write_bytes(data)


def _default_target(study: str, plan: StudyFile) -> Path:
    """Name the registration beside the study file; of an embedded study in the current folder."""
    given = Path(study).expanduser()
    return given.with_suffix(".registration.toml") if given.is_file() else Path(f"{plan.name}.registration.toml")


def _date(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SpecificationError(f"--date {text!r} is no date. Write it as 2026-11-29.") from error


def _print(record: dict[str, Any], target: Path) -> None:
    """Say what was registered, its hash and its power."""
    primary, prices, events = record["primary"], record["prices"], record["events"]
    if prices["simulated"]:
        typer.echo(SIMULATED)
    typer.echo(
        f"Primary test over {primary['window']}, {events['n_events']} events, prices of {prices['source']} up to "
        f"{prices['last_date_read']}. Effects as mean CARs; detectable: 80% power, 5% level. Power is that of the "
        "primary test at earlier dates; on the days of the events the rule may choose another."
    )
    rows = [
        {
            "announcement": row["announcement_id"],
            "group": row["group"],
            "events": f"{row['n_used']} of {row['n_events']}",
            "detectable": _percent(row.get("detectable_effect"), 2),
            "of interest": _percent(row["smallest_effect"], 2),
            "power": _percent(row.get("power"), 0),
            "primary test at the earlier dates": _test(row),
        }
        for row in record["power"]
    ]
    print_table(pl.DataFrame(rows))
    if not events["registered_before_first_day0"]:
        typer.echo(
            f"Note: the first event was on {events['first_day0']}, and this registration is of "
            f"{record['registered_on']}: it shows that the analysis was fixed, not that its outcome was unknown."
        )
    if record["date_given"]:
        typer.echo(
            f"Note: the date of registration, {record['registered_on']}, was given by hand with --date, and no clock "
            "confirms it. The file and the outputs of runs say so."
        )
    typer.echo(f"Hash: {record['hash']}\nRegistration: {target}")
    typer.echo("Deposit the file where its date can be proved, such as a registry or a public repository.")


def _percent(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}%}"


def _test(row: dict[str, Any]) -> str:
    """Name the test whose power a row has, with its degrees of freedom."""
    if "power" not in row:
        return str(row.get("primary_test", "unknown"))
    law = f"{row['df']:g} degrees of freedom" if "df" in row else "normal"
    return f"{row['primary_test']}, {law}"
