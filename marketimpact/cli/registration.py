"""Registrations of studies: what is declared, its hash, and what a later study changes."""

from __future__ import annotations

import hashlib
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.analyses.prospective_power import ALL_FIRMS, last_date_before_events, prospective_power
from marketimpact.cli.registered_prices import returns_by_symbol
from marketimpact.cli.study_file import StudyFile
from marketimpact.cli.study_file_schema import study_schema
from marketimpact.cli.toml_text import flat, sorted_keys, toml_text
from marketimpact.core.fingerprint import fingerprint
from marketimpact.errors import DataError, MarketImpactWarning, SpecificationError
from marketimpact.events.catalogue_versions import CURRENT_VERSION, version_file
from marketimpact.inference import RULE_VERSION, SIGNIFICANCE_LEVEL
from marketimpact.inference.detectable_effect import POWER
from marketimpact.market.market import Market
from marketimpact.report import RegisteredAnalysis
from marketimpact.sources.protocol import PriceSource
from marketimpact.study.result import StudyResult

__all__ = [
    "SIMULATED",
    "Registration",
    "compare_with_run",
    "declaration",
    "declaration_hash",
    "differences",
    "file_sha256",
    "parse_record",
    "read_registration",
    "registered_analysis",
    "registration_text",
]

FORMAT = 1
_OF_DONORS = (
    " Or none of the donors can be used: a donor must not be treated, must trade at the hours of the events' exchanges "
    "and have prices."
)
#: Columns of the securities that a result depends on, of which those with any value are hashed.
SECURITY_COLUMNS = (
    "symbol", "mic", "currency", "benchmark", "sector_proxy", "leg_benchmark", "price_limit", "board", "dual_listing",
    "role", "country", "policy_group", "business",
)  # fmt: skip
#: Digits of the numbers of the power table.
DIGITS = 4
#: Characters of a value that messages show.
MOST_SHOWN = 120
RULE = (
    "the primary test of each announcement and group, chosen by the rule of docs/primary_test.md, which does not look "
    "at abnormal returns of events"
)
HEAD = """\
# Registration of a study. `marketimpact run STUDY --registered THIS_FILE` checks that the study is still the one
# declared here, and marks every table of its results as registered or exploratory. Do not edit it: its hash would no
# longer fit. `hash` is the SHA-256 of the tables [declared...] below; date and package version are not part of it.
"""
SIMULATED = "SIMULATED PRICES: the power says nothing about these firms."


@dataclass(frozen=True, slots=True)
class Registration:
    """A registration that was read and whose hashes fit its content.

    Attributes
    ----------
    name : str
        Name of its file.
    hash : str
        SHA-256 of what is declared.
    registered_on : str
        Date, in ISO 8601.
    package : str
        Version of marketimpact that wrote it.
    declared : dict
        Rule, inputs and study, with every default filled in.
    n_events : dict
        Number of events by group.
    simulated : bool
        Whether its power is of simulated prices.
    date_given : bool
        Whether somebody gave its date by hand.
    prices : dict
        Source, last date, fingerprint and returns of the prices it was made with.
    """

    name: str
    hash: str
    registered_on: str
    package: str
    declared: Mapping[str, Any]
    n_events: Mapping[str, int]
    simulated: bool
    date_given: bool
    prices: Mapping[str, Any]


def declaration(plan: StudyFile) -> dict[str, Any]:
    """Collect what a registration of a study fixes: the rule of the primary test, the inputs, and the study itself.

    Keys are sorted and defaults filled in, so that neither the order of keys, comments nor a default written out
    matters. Lists keep their order: the first window is the primary one.
    """
    study = _with_defaults(plan.content, study_schema())
    study.get("announcements", {}).pop("version", None)  # with its hash among the inputs
    return dict(sorted_keys({
        "inputs": _inputs(plan),
        "primary_test_rule": RULE_VERSION,
        "study": {key: value for key, value in study.items() if value != {}},
    }))  # fmt: skip


def declaration_hash(declared: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of a declaration as canonical TOML, in hex."""
    return hashlib.sha256(toml_text(sorted_keys(declared)).encode()).hexdigest()


def differences(registration: Registration, plan: StudyFile) -> list[str]:
    """List what a study has that its registration does not, and the reverse: ``key: before -> now``."""
    before, now = flat(registration.declared), flat(declaration(plan))
    return [
        f"{key}: {_shown(before, key)} -> {_shown(now, key)}"
        for key in sorted({*before, *now})
        if _text(before, key) != _text(now, key)
    ]


def registration_text(plan: StudyFile, source: PriceSource, registered_on: date, *, date_given: bool = False) -> str:
    """Write the registration of a study, with its power from prices that end before all event windows.

    `date_given` records that somebody gave the date by hand, and no clock.

    Raises
    ------
    SpecificationError
        For a study without a smallest effect of interest, without events, or with unknown announcements or symbols.
    DataError
        Where prices before the events do not reach, for any group.
    """
    effect = _smallest_effect(plan)
    _check_windows(plan)
    events, sessions = plan.planned_events()
    last = last_date_before_events(events, sessions, plan.study.estimation_window[1])
    if last is None:
        raise SpecificationError(
            f"{plan.source.name}: no event has a day 0 that the exchanges' calendars reach, so there is nothing to "
            "register. Check the dates of the announcements: marketimpact align."
        )
    market = plan.market_until(last, source)
    power = prospective_power(plan.study, events, market, plan.windows[0], smallest_effect=effect)
    if not power["n_used"].sum():
        of_donors = _OF_DONORS if plan.study.model.design.donors else ""
        raise DataError(
            f"No event of {plan.source.name} has {plan.study.min_observations} sessions with prices up to {last}, the "
            "last day before all event windows, so its power is unknown. Give prices that begin earlier, or register "
            f"without the announcements before which there are none.{of_donors}"
        )
    declared = declaration(plan)
    record = {
        "format": FORMAT,
        "hash": declaration_hash(declared),
        "registered_on": registered_on.isoformat(),
        "date_given": date_given,
        "marketimpact": version("marketimpact"),
        "primary": _primary(plan),
        "events": _events(events, registered_on),
        "prices": _prices(market, last, plan),
        "power": [_rounded(row) for row in power.iter_rows(named=True)],
        "declared": declared,
    }
    sealed = {**{key: record[key] for key in ("format", "hash")}, "record_sha256": _seal(record), **record}
    head = f"{HEAD}# {SIMULATED}\n" if market.simulated else HEAD
    return f"{head}\n{toml_text(sealed)}\n"


def read_registration(path: Path) -> Registration:
    """Read a registration and check that its hashes fit its content.

    Raises
    ------
    SpecificationError
        For a file that is missing or no registration, one of another format, or one that was edited.
    """
    try:
        record = parse_record(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SpecificationError(
            f"There is no registration {str(path)!r}. Make one with: marketimpact register STUDY --out {path}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SpecificationError(f"{path.name} cannot be read as a registration: {error}.") from error
    if not {"hash", "record_sha256", "registered_on", "declared", "format"} <= set(record):
        raise SpecificationError(
            f"{path.name} is no registration. Give the file that marketimpact register wrote, not the study."
        )
    if record["format"] != FORMAT:
        raise SpecificationError(
            f"{path.name} has format {record['format']!r}, and this version of marketimpact reads format {FORMAT}. "
            f"Use marketimpact {record.get('marketimpact', 'that wrote it')}."
        )
    if declaration_hash(record["declared"]) != record["hash"] or _seal(record) != record["record_sha256"]:
        part = "its declared study" if declaration_hash(record["declared"]) != record["hash"] else "its record"
        raise SpecificationError(
            f"{path.name} was changed after it was written: the hash no longer fits {part}. Restore the file as it was "
            "registered; to declare another study, register that one."
        )
    n_events: dict[str, int] = {}
    for row in record["power"]:
        n_events[row["group"]] = n_events.get(row["group"], 0) + row["n_events"]
    return Registration(
        name=path.name,
        hash=record["hash"],
        registered_on=record["registered_on"],
        package=record["marketimpact"],
        declared=record["declared"],
        n_events=n_events,
        simulated=record["prices"]["simulated"],
        date_given=record.get("date_given", False),
        prices=record["prices"],
    )


def registered_analysis(path: Path, plan: StudyFile, *, exploratory: bool) -> RegisteredAnalysis:
    """Compare a study with its registration, for marking its tables.

    Raises
    ------
    SpecificationError
        Where they differ, unless the study goes on as an exploratory one.
    """
    registration = read_registration(path)
    changes = differences(registration, plan)
    if changes and not exploratory:
        raise SpecificationError(
            f"{plan.source.name} is not the study that {path.name} registered on {registration.registered_on} "
            "(before -> now):\n"
            + "\n".join(f"  {change}" for change in changes)
            + f"\nRestore it{_version_hint(registration, plan)}, register the new study, or add --exploratory to go on "
            "with everything marked exploratory."
        )
    if registration.package != (now := version("marketimpact")):
        message = f"{path.name} was written by marketimpact {registration.package}, and this is {now}."
        warnings.warn(message, MarketImpactWarning, stacklevel=2)
    declared = registration.declared["study"]
    return RegisteredAnalysis(
        hash=registration.hash,
        registered_on=registration.registered_on,
        windows=tuple((first, last) for first, last in declared["report"]["windows"]),
        groups=tuple(group["name"] for group in declared.get("groups", [])),
        differences=tuple(changes),
        n_events=registration.n_events,
        simulated=registration.simulated,
        date_given=registration.date_given,
        prices=registration.prices,
    )


def compare_with_run(analysis: RegisteredAnalysis, result: StudyResult, window: tuple[int, int]) -> RegisteredAnalysis:
    """Say how many registered events a result uses, and whether its prices are of another kind than the registered.

    Warns where events have fallen out, and where one of the two has simulated prices.

    Parameters
    ----------
    analysis : RegisteredAnalysis
        Of the study that was run.
    result : StudyResult
        Of the run.
    window : tuple of int
        The primary window.
    """
    notes = []
    if analysis.simulated is not None and analysis.simulated != result.market.simulated:
        kinds = ("real", "simulated") if result.market.simulated else ("simulated", "real")
        notes.append(f"The study was registered on {kinds[0]} prices, and these are {kinds[1]}.")
        warnings.warn(notes[0], MarketImpactWarning, stacklevel=2)
    if not analysis.differences:
        used = result.car(*window).drop_nulls("car")
        group = pl.col("group") if "group" in used.columns else pl.lit(ALL_FIRMS)
        counts = dict(used.group_by(group.cast(pl.String).alias("group")).len().iter_rows())
        shares = {name: (counts.get(name, 0), n) for name, n in analysis.n_events.items()}
        told = {
            name: f"{f'Group {name}' if analysis.groups else name}: {now} of the {n} registered "
            f"{'event has' if n == 1 else 'events have'} an estimate over {list(window)}."
            for name, (now, n) in shares.items()
        }
        if fallen := [told[name] for name, (now, n) in shares.items() if now < n]:
            warnings.warn(
                f"Registered events have fallen out. {' '.join(fallen)} The primary tests are of fewer events than "
                "were registered; result.attrition, or the table attrition, says why.",
                MarketImpactWarning,
                stacklevel=2,
            )
        notes += told.values()
    return replace(analysis, notes=tuple(notes))


def _version_hint(registration: Registration, plan: StudyFile) -> str:
    """Say how to run on the registered version of the chronology, where another is used."""
    before = registration.declared["inputs"]["announcements"].get("catalogue")
    if before is None or plan.announcements_file is not None or before == (plan.version or CURRENT_VERSION):
        return ""
    return f' (with version = "{before}" under [announcements] it uses the registered announcements)'


def parse_record(text: str) -> dict[str, Any]:
    """Read the text of a registration as TOML, unchecked."""
    return tomllib.loads(text)


def _with_defaults(content: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the defaults of the schema in; a table without which there is no curve is not added."""
    filled = {key: value["default"] for key, value in schema["properties"].items() if "default" in value}
    filled |= content
    for key, below in schema["properties"].items():
        if "properties" in below and (key in content or key != "specification"):
            filled[key] = _with_defaults(content.get(key, {}), below)
    return filled


def _inputs(plan: StudyFile) -> dict[str, Any]:
    """Hash the announcements, the studied securities and the calendar overrides of one's own."""
    announcements = plan.announcements_file
    if announcements is None:
        name = plan.version or CURRENT_VERSION
        first = {"catalogue": name, "sha256": file_sha256(version_file(name))}
    else:
        first = {"file": announcements.name, "sha256": file_sha256(announcements)}
    firms = plan.securities()
    # empty columns are as absent ones, since reading a file adds those that it lacks
    filled = [name for name in SECURITY_COLUMNS if name in firms.columns and firms[name].count()]
    rows = firms.select(filled).sort("symbol")
    hashed = {"n_symbols": rows.height, "columns": sorted(rows.columns), "sha256": fingerprint(rows)}
    inputs = {"announcements": first, "securities": hashed}
    if plan.overrides_file is not None:
        inputs["calendar_overrides"] = {"file": plan.overrides_file.name, "sha256": file_sha256(plan.overrides_file)}
    return inputs


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, in hex."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror}). Check the path in the study file.") from error


def _smallest_effect(plan: StudyFile) -> float | Mapping[str, float]:
    if plan.smallest_effect is None:
        raise SpecificationError(
            f"{plan.source.name} has no smallest effect of interest, without which its power says nothing. Add to it:\n"
            "[registration]\nsmallest_effect = 0.02  # a mean abnormal return of 2% over the primary window"
        )
    return plan.smallest_effect


def _check_windows(plan: StudyFile) -> None:
    """Raise SpecificationError for a declared window that a run could not answer."""
    first, last = plan.study.event_window
    outside = [list(window) for window in plan.windows if window[0] < first or window[1] > last]
    if outside:
        raise plan.source.error(
            f"[report] windows: {outside[0]} reaches outside event_window = [{first}, {last}], so it could not be run. "
            "Widen event_window under [study], or declare another window.",
            ("report", "windows"),
        )


def _primary(plan: StudyFile) -> dict[str, Any]:
    return {
        "test": RULE,
        "window": list(plan.windows[0]),
        "registered_windows": [list(window) for window in plan.windows],
        "groups": list(plan.groups) or [ALL_FIRMS],
        "level": SIGNIFICANCE_LEVEL,
        "power_of_detectable_effect": POWER,
    }


def _events(events: pl.DataFrame, registered_on: date) -> dict[str, Any]:
    dates = events["date"].drop_nulls()
    return {
        "n_announcements": events["announcement_id"].n_unique(),
        "n_events": events.height,
        "first_day0": dates.min().isoformat(),  # type: ignore[union-attr]
        "last_day0": dates.max().isoformat(),  # type: ignore[union-attr]
        "registered_before_first_day0": bool(registered_on < dates.min()),  # type: ignore[operator]
    }


def _prices(market: Market, last: date, plan: StudyFile) -> dict[str, Any]:
    """Name the prices that were read: those before all event windows."""
    gap = -plan.study.estimation_window[1] - 1
    return {
        "source": market.source,
        "simulated": market.simulated,
        "last_date_read": last.isoformat(),
        "why": f"the day before the earliest session {gap} before a day 0: no event window is read",
        "sha256": market.fingerprint,
        "without_prices": list(market.missing),
        "returns": returns_by_symbol(market),
    }


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Round the numbers of a row, and leave out those that are not known."""
    return {
        key: float(f"{value:.{DIGITS}g}") if isinstance(value, float) and key != "smallest_effect" else value
        for key, value in row.items()
        if value is not None
    }


def _seal(record: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of everything in a record but this hash."""
    content = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(toml_text(sorted_keys(content)).encode()).hexdigest()


def _text(values: Mapping[str, Any], key: str) -> str:
    return toml_text({"value": values[key]}).removeprefix("value = ") if key in values else "absent"


def _shown(values: Mapping[str, Any], key: str) -> str:
    """Write a value for a message; of a hash its beginning."""
    text = _text(values, key)
    if key.endswith("sha256") and key in values:
        return text.strip('"')[:12]
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
