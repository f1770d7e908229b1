"""JSON Schema of study files, which checks files and supports editors.

`errorMessage` is read by `check_content` and by editors that know ajv-errors; other programs pass over it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from marketimpact.core.text import closest_name
from marketimpact.errors import SpecificationError
from marketimpact.inference import TESTS
from marketimpact.market.repairs import DEFAULT, REPAIRS
from marketimpact.models import MODELS, ForecastFrom
from marketimpact.report.legs import LEG_CHOICES

__all__ = ["StudyText", "check_content", "study_schema", "suggestion"]

#: Keys and list positions from the top of the file to a value.
Path = tuple[str | int, ...]

_LEGS = "Benchmark of overnight and day legs of day 0, where prices have opens; 'none' leaves them out."
_WINDOWS = "Windows of the report, in sessions; the first is the primary one, declared before looking."
_TEXT_LIST = 'must be a list of strings, such as ["NVDA", "0981.HK"]'


@dataclass(frozen=True, slots=True)
class StudyText:
    """A study file's name and text, for error messages with line numbers.

    Attributes
    ----------
    name : str
        The file's name.
    text : str
        Its content.
    """

    name: str
    text: str

    def error(self, message: str, path: Path = (), word: str | None = None) -> SpecificationError:
        """Make the error about the value at `path`; `word` narrows it to the line with this word."""
        line = self.line(path, word)
        return SpecificationError(f"{self.name}{f', line {line}' if line else ''}: {message}")

    def line(self, path: Path, word: str | None = None) -> int | None:
        """Find the line (from 1) on which the value at `path` is set; None where it is not in the file.

        The line is found with the TOML reader itself: it ends the shortest beginning of the file that is TOML and has
        the value.
        """
        lines = self.text.splitlines()
        start = 0
        for end in range(1, len(lines) + 1 if path else 0):
            try:
                content = tomllib.loads("\n".join(lines[:end]))
            except tomllib.TOMLDecodeError:
                continue  # in the middle of a value that spans lines
            if _has_path(content, path):
                named = (n for n in range(start, end) if word is not None and word in lines[n])
                return next(named, start) + 1
            start = end
        return self.line(path[:-1], word) if path else None


def study_schema() -> dict[str, Any]:
    """Build the JSON Schema (draft 2020-12) of a study file.

    Returns
    -------
    dict
        The schema, as `json.dumps` takes it; the same as ``marketimpact schema`` prints.

    Examples
    --------
    >>> from marketimpact.cli.study_file_schema import study_schema
    >>> list(study_schema()["properties"])[:4]
    ['title', 'question', 'study', 'announcements']
    """
    group = _table(
        "A group of securities. Every announcement is studied for every security of every group.",
        name=_text("Name of the group."),
        symbols=_texts("Yahoo symbols; a security may be in one group.", minItems=1),
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A study file of marketimpact",
        **_table(
            "A study: which announcements, which securities, which model, which windows.",
            title=_text("Head of the report; the file's name by default."),
            question=_text("The question in one sentence."),
            study=_study(),
            announcements=_table(
                "Which announcements.",
                ids=_texts("Their ids; all of the file's when left out."),
                file=_text("Your own announcements (CSV, Parquet or Excel), relative to the study file."),
                version=_text("Version of the embedded chronology, such as 2026.06; the current one when left out."),
            ),
            securities=_table(
                "Which securities exist, and the benchmark of each.",
                file=_text("Your own securities (CSV, Parquet or Excel), relative to the study file."),
                benchmark=_choice(("benchmark", "sector_proxy"), "Column that names the benchmark.", "benchmark"),
            ),
            prices=_table(
                "Repairs of the prices, steps in them that are real, and sessions of your own.",
                repair=_repairs(),
                accept=_accepted(),
                calendar_overrides=_text(
                    "Your own sessions, closures and trading hours (CSV, Parquet or Excel), relative to the study file."
                ),
            ),
            report=_table(
                "Content of the report.",
                windows=_windows(_WINDOWS, [[0, 1], [0, 0]]),
                legs=_choice(LEG_CHOICES, _LEGS, "leg_benchmark"),
            ),
            specification=_specification(),
            registration=_table(
                "What marketimpact register declares besides the study itself.", smallest_effect=_smallest_effect()
            ),
            groups={
                "type": "array",
                "items": group | {"required": ["name", "symbols"], "errorMessage": "needs a name and symbols"},
                "description": "Declared before looking; without groups every announcement has its own targets.",
                "errorMessage": "write each group as [[groups]], with double brackets",
            },
        ),
    }


def check_content(content: Mapping[str, Any], source: StudyText) -> None:
    """Check a study file against the schema; one `SpecificationError` names every invalid value."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415  # only study files need it

    faults = Draft202012Validator(study_schema()).iter_errors(content)
    messages = [_fault_message(fault) for fault in sorted(faults, key=lambda fault: fault.absolute_path)]
    errors = [source.error(message, path) for message, path in messages]
    if errors:
        raise SpecificationError("\n".join(sorted(map(str, errors), key=_line_number_of)))


def suggestion(word: str, known: Sequence[str]) -> str:
    """Suggest the known name most similar to a word, as a question in brackets; empty when none is similar."""
    near = closest_name(word, known)
    return f" (did you mean {near!r}?)" if near else ""


def _line_number_of(message: str) -> int:
    match = re.search(r", line (\d+): ", message)
    return int(match[1]) if match else 0


def _fault_message(fault: Any) -> tuple[str, Path]:
    """Describe a fault found by jsonschema for a researcher; return the message and the path to the value."""
    path, schema = tuple(fault.absolute_path), fault.schema
    if fault.validator == "additionalProperties":
        known = sorted(schema["properties"])
        key = next(key for key in fault.instance if key not in known)
        hint = suggestion(key, known) or ("" if path else _table_of_key(key))
        return f"{_key_text(path)} has no key {key!r}{hint}. Its keys are {', '.join(known)}.", (
            *path,
            key,
        )
    if fault.validator == "required":
        return f"every [[groups]] {schema['errorMessage']}.", path
    if path == ("groups",):
        return f"{schema['errorMessage']}.", path
    near = suggestion(str(fault.instance), schema.get("enum", ())) if fault.validator == "enum" else ""
    return f"{_key_text(path)} = {fault.instance!r}{near}: it {_expected(path, schema)}.", path


def _table_of_key(key: str) -> str:
    """Suggest the table that has a key most similar to one at the top level; empty when none has."""
    tables = {
        name: table["properties"] for name, table in study_schema()["properties"].items() if "properties" in table
    }
    keys = {known: name for name, properties in tables.items() for known in properties}
    near = closest_name(key, keys)
    return f" (did you mean {near!r} in [{keys[near]}]?)" if near else ""


def _expected(path: Path, schema: Mapping[str, Any]) -> str:
    """Describe the values allowed; for an item of a list, what the list must be."""
    if "errorMessage" in schema:
        return str(schema["errorMessage"])
    return f"must be a table, written [{path[0]}]" if path else "must be a table"


def _key_text(path: Path) -> str:
    keys = [str(part) for part in path if isinstance(part, str)]
    if not keys:
        return "the top level"
    if keys[0] == "groups":
        return " ".join(("[[groups]]", *keys[1:]))
    sections = study_schema()["properties"]
    return " ".join((f"[{keys[0]}]" if "properties" in sections[keys[0]] else keys[0], *keys[1:]))


def _has_path(content: Any, path: Path) -> bool:
    for part in path:
        if isinstance(part, str):
            if not isinstance(content, dict) or part not in content:
                return False
        elif not isinstance(content, list) or part >= len(content):
            return False
        content = content[part]
    return True


def _study() -> dict[str, Any]:
    return _table(
        "The specification.",
        model=_choice(tuple(MODELS), "Model of the normal return: marketimpact list models.", "market_model"),
        factors=_texts('With model = "factor_model": the factors.'),
        lagged=_texts('With model = "factor_model": factors that also enter with the value of the session before.'),
        donors=_texts(
            'With model = "peer_mean", "statistical_factors" or "ridge_peers": securities that the announcements did '
            "not affect, chosen before looking."
        ),
        components=_number_or_cv(
            'With model = "statistical_factors": number of components; "cv": the number that forecasts best.',
            {"type": "integer", "minimum": 1},
            "a whole number of at least 1",
        ),
        penalty=_number_or_cv(
            'With model = "ridge_peers": penalty of the donors\' coefficients; "cv": the one that forecasts best.',
            {"type": "number", "exclusiveMinimum": 0},
            "a number above 0",
        ),
        allow=_texts("Donors to use although an event treats them, they are of its firm, or a fund or index."),
        match_sessions={
            "type": "boolean",
            "description": "Whether to use donors of exchanges with other hours, matched by the clock; else not.",
            "errorMessage": "must be true or false",
        },
        forecast_from=_choice(
            get_args(ForecastFrom),
            'With model = "garch11" or "egarch11": where forecasts of the variance start.',
            "estimation_end",
        ),
        estimation_window=_window("Sessions from which the normal return is estimated.", [-250, -11]),
        event_window=_window("Widest span of sessions that a window can cover.", [-10, 10]),
        estimation_after={
            **_pair("must be two whole numbers of sessions, first and last, such as [31, 130]"),
            "description": "Second stretch of estimation sessions, after the event window; none when left out.",
        },
        min_observations={
            "type": "integer",
            "description": "Sessions with a return that an event needs in its estimation window.",
            "default": 60,
            "errorMessage": "must be a whole number of sessions",
        },
        missing=_choice(
            ("available", "strict", "trade_to_trade"), "What a CAR does when a session has no return.", "available"
        ),
        closed_day=_choice(
            ("next", "previous"), "Session that is day 0 of an announcement on a day without one.", "next"
        ),
        serial_correlation={
            "type": "boolean",
            "description": "Whether variances allow for abnormal returns that are correlated from day to day.",
            "default": False,
            "errorMessage": "must be true or false",
        },
    )


def _specification() -> dict[str, Any]:
    reaction = "Windows of the CAAR, in sessions; all should measure the same reaction."
    return _table(
        "The specification curve: all combinations of the choices listed. Without this table there is none.",
        models=_choices(
            tuple(MODELS), "Models of the normal return.", ["market_model", "market_adjusted", "mean_adjusted"]
        ),
        estimation_windows=_windows("Sessions from which the normal return is estimated.", [[-250, -11], [-120, -11]]),
        event_windows=_windows(reaction, [[0, 0], [0, 1], [-1, 1]]),
        tests=_choices(tuple(TESTS), "Tests: marketimpact list tests.", ["bmp_kp"]),
        benchmarks=_choices(("benchmark", "sector_proxy"), "Columns that name the benchmark.", ["benchmark"]),
        announcements=_texts("Ids of the announcements included; all of the study by default.", minItems=1),
        groups=_texts("Names of the groups included; all by default.", minItems=1),
        without=_texts("Securities left out, one at a time, beside all of them together.", minItems=1),
        draws={
            "type": "integer",
            "minimum": 0,
            "description": "Number of placebo curves for the joint test; 0 for no such test.",
            "default": 499,
            "errorMessage": "must be a whole number, 0 or more",
        },
    )


def _smallest_effect() -> dict[str, Any]:
    rule = "must be a fraction above 0 and below 1, such as 0.02 for 2%, or a table of one for each group"
    effect = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "errorMessage": rule}
    description = "Smallest mean abnormal return of interest over the primary window: one for all groups, or by group."
    by_group = {"type": "object", "minProperties": 1, "additionalProperties": effect}
    return {"description": description, "anyOf": [effect, by_group], "errorMessage": rule}


def _table(description: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": description, "properties": properties, "additionalProperties": False}


def _number_or_cv(description: str, number: Mapping[str, Any], words: str) -> dict[str, Any]:
    """Describe a setting that is chosen by cross-validation unless a number is given; it enters no default."""
    rule = f"must be {words}, or 'cv', which chooses it by cross-validation"
    return {"description": description, "anyOf": [dict(number), {"const": "cv"}], "errorMessage": rule}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description, "errorMessage": "must be text in quotes"}


def _texts(description: str, **more: Any) -> dict[str, Any]:
    item = {"type": "string", "errorMessage": _TEXT_LIST}
    return {"type": "array", "items": item, "description": description, "errorMessage": _TEXT_LIST, **more}


def _choice(allowed: tuple[str, ...], description: str, default: str) -> dict[str, Any]:
    words = [f"'{name}'" for name in allowed]
    rule = f"must be one of {', '.join(words)}"
    return {"enum": list(allowed), "description": description, "default": default, "errorMessage": rule}


def _choices(allowed: tuple[str, ...], description: str, default: list[str]) -> dict[str, Any]:
    words = [f"'{name}'" for name in allowed]
    rule = f"must be a list of any of {', '.join(words)}"
    item = {"enum": list(allowed), "errorMessage": rule}
    return {
        "type": "array",
        "items": item,
        "minItems": 1,
        "description": description,
        "default": default,
        "errorMessage": rule,
    }


def _repairs() -> dict[str, Any]:
    rule = f"must be a list of any of {', '.join(REPAIRS)}; [] repairs nothing"
    item = {"enum": list(REPAIRS), "errorMessage": rule}
    description = "Repairs of dirty prices, by name; every change is recorded."
    return {"type": "array", "items": item, "description": description, "default": list(DEFAULT), "errorMessage": rule}


def _accepted() -> dict[str, Any]:
    rule = 'must be a list of pairs of a symbol and a date, such as [["NVDA", "2024-06-10"]]'
    text = {"type": "string", "errorMessage": rule}
    day = {**text, "pattern": r"^\d{4}-\d{2}-\d{2}$"}
    pair = {"type": "array", "prefixItems": [text, day], "minItems": 2, "maxItems": 2, "errorMessage": rule}
    description = "Steps in prices that are real: events that they touch are used."
    return {"type": "array", "items": pair, "description": description, "default": [], "errorMessage": rule}


def _window(description: str, default: list[int]) -> dict[str, Any]:
    rule = f"must be two whole numbers of sessions, first and last, such as {default}"
    return {**_pair(rule), "description": description, "default": default}


def _windows(description: str, default: list[list[int]]) -> dict[str, Any]:
    rule = f"must be a list of pairs of whole numbers, such as {default}"
    return {
        "type": "array",
        "items": _pair(rule),
        "minItems": 1,
        "description": description,
        "default": default,
        "errorMessage": rule,
    }


def _pair(rule: str) -> dict[str, Any]:
    item = {"type": "integer", "errorMessage": rule}
    return {"type": "array", "items": item, "minItems": 2, "maxItems": 2, "errorMessage": rule}
