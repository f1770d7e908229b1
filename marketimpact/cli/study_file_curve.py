"""Read, check and run the specification curve of a study file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from marketimpact.analyses.specification_curve.curve import SpecificationCurve, specification_curve
from marketimpact.analyses.specification_curve.joint_test import JointTest
from marketimpact.cli.study_file_schema import StudyText
from marketimpact.errors import MarketImpactWarning, SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.market.market import Market
from marketimpact.models import MODELS, PEER_MODELS, Egarch, FactorModel, Garch, Model
from marketimpact.study.event_study import EventStudy

__all__ = ["CurvePlan", "CurveRun", "read_curve"]

#: Varied by default: models that need no factors, and windows of the reaction itself.
DEFAULT_MODELS = ("market_model", "market_adjusted", "mean_adjusted")
DEFAULT_ESTIMATION_WINDOWS = ((-250, -11), (-120, -11))
DEFAULT_EVENT_WINDOWS = ((0, 0), (0, 1), (-1, 1))
DEFAULT_DRAWS = 499


@dataclass(frozen=True, slots=True)
class CurveRun:
    """A specification curve, and its test against placebo days where there is one."""

    curve: SpecificationCurve
    joint: JointTest | None


@dataclass(frozen=True, slots=True)
class CurvePlan:
    """The checked ``[specification]`` table of a study file.

    Attributes
    ----------
    models : dict of str to Model
        Models of the normal return.
    estimation_windows, event_windows : tuple of (int, int)
        In sessions.
    tests, benchmarks : tuple of str
        Names of tests, and of columns of the securities.
    announcements, groups : tuple of str
        Which events; all when empty.
    without : tuple of str
        Securities left out, one at a time.
    draws : int
        Placebo curves; 0 for no joint test.
    """

    models: Mapping[str, Model]
    estimation_windows: tuple[tuple[int, int], ...]
    event_windows: tuple[tuple[int, int], ...]
    tests: tuple[str, ...]
    benchmarks: tuple[str, ...]
    announcements: tuple[str, ...]
    groups: tuple[str, ...]
    without: tuple[str, ...]
    draws: int

    def select_events(self, events: pl.DataFrame) -> pl.DataFrame:
        """Select the events of the announcements and groups that the curve is about."""
        if self.announcements:
            events = events.filter(pl.col("announcement_id").is_in(list(self.announcements)))
        if self.groups:
            events = events.filter(pl.col("group").cast(pl.String).is_in(list(self.groups)))
        return events

    def run(self, events: pl.DataFrame, markets: Mapping[str, Market], study: EventStudy) -> CurveRun:
        """Run every specification on the selected events, and test the curve against placebo days.

        Parameters
        ----------
        events : polars.DataFrame
            Every aligned event of the study.
        markets : dict of str to Market
            One for each of `benchmarks`, the first one first.
        study : EventStudy
            Gives the settings that are not varied.

        Returns
        -------
        Curve
            Without a joint test where the file sets ``draws = 0``, or where it is impossible: a warning says why.
        """
        selected = self.select_events(events)
        curve = specification_curve(
            selected,
            next(iter(markets.values())),
            models=self.models,
            estimation_windows=self.estimation_windows,
            event_windows=self.event_windows,
            benchmarks=markets,
            filters={"all": pl.lit(value=True)} | self._leave_one_out(selected),
            tests=self.tests,
            min_observations=study.min_observations,
            missing="strict" if study.missing == "strict" else "available",
        )
        if not self.draws:
            return CurveRun(curve, None)
        try:
            return CurveRun(curve, curve.joint_test(draws=self.draws))
        except SpecificationError as error:  # nothing ran, or the estimation windows have too few placebo days
            warnings.warn(f"The curve is not tested as a whole: {error}", MarketImpactWarning, stacklevel=2)
            return CurveRun(curve, None)

    def _leave_one_out(self, events: pl.DataFrame) -> dict[str, pl.Expr]:
        """Make a filter per security left out, under the security's name where that is unique."""
        known = events.select("symbol", "name").unique() if "name" in events.columns else pl.DataFrame()
        names = dict(known.filter(pl.col("name").is_unique()).iter_rows()) if known.height else {}
        return {f"without {names.get(symbol) or symbol}": pl.col("symbol") != symbol for symbol in self.without}


def read_curve(
    content: Mapping[str, Any],
    study: EventStudy,
    groups: Mapping[str, Sequence[str]],
    source: StudyText,
) -> CurvePlan | None:
    """Read the ``[specification]`` table of a study file with valid keys and types; None where there is none.

    Raises
    ------
    SpecificationError
        For an announcement or group that the study does not have, windows that overlap, a name given twice.
    """
    if "specification" not in content:
        return None
    table = content["specification"]
    _check_distinct(table, source)
    _check_known(table, content, groups, source)
    estimation = _windows(table, "estimation_windows", DEFAULT_ESTIMATION_WINDOWS, source)
    event = _windows(table, "event_windows", DEFAULT_EVENT_WINDOWS, source)
    first, last = min(first for first, _ in event), max(last for _, last in estimation)
    if last >= first:
        raise source.error(
            f"[specification] an estimation window ends at session {last}, and an event window begins at {first}: "
            "the estimation would include the sessions tested. End it before the first of these.",
            ("specification", "estimation_windows" if "estimation_windows" in table else "event_windows"),
        )
    return CurvePlan(
        models=_models(table, study, source),
        estimation_windows=estimation,
        event_windows=event,
        tests=tuple(table.get("tests", ["bmp_kp"])),
        benchmarks=tuple(table.get("benchmarks", [content.get("securities", {}).get("benchmark", "benchmark")])),
        announcements=tuple(table.get("announcements", [])),
        groups=tuple(table.get("groups", [])),
        without=tuple(table.get("without", [])),
        draws=table.get("draws", DEFAULT_DRAWS),
    )


def _check_distinct(table: Mapping[str, Any], source: StudyText) -> None:
    for key, values in table.items():
        repeated = (
            [value for position, value in enumerate(values) if value in values[:position]]
            if isinstance(values, list)
            else []
        )
        if repeated:
            raise source.error(f"[specification] {key} names {repeated[0]!r} twice.", ("specification", key))


def _check_known(
    table: Mapping[str, Any], content: Mapping[str, Any], groups: Mapping[str, Sequence[str]], source: StudyText
) -> None:
    """Check that announcements, groups and securities of the curve are the study's own."""
    ids = content.get("announcements", {}).get("ids", [])
    selected = table.get("groups", [])
    members = [symbol for name, symbols in groups.items() if not selected or name in selected for symbol in symbols]
    for key, known, what in (
        ("announcements", ids, "is not among the ids of [announcements]"),
        ("groups", list(groups), "is not the name of one of the [[groups]]"),
        ("without", members, "is in none of the groups that the curve is about"),
    ):
        unknown = [value for value in table.get(key, []) if value not in known]
        if unknown and (known or key == "groups"):
            raise source.error(f"[specification] {key}: {unknown[0]!r} {what}.", ("specification", key), unknown[0])


def _windows(
    table: Mapping[str, Any], key: str, default: tuple[tuple[int, int], ...], source: StudyText
) -> tuple[tuple[int, int], ...]:
    try:
        return tuple(check_window(window, f"a window of [specification] {key}") for window in table.get(key, default))
    except SpecificationError as error:
        raise source.error(str(error), ("specification", key)) from error


def _models(table: Mapping[str, Any], study: EventStudy, source: StudyText) -> dict[str, Model]:
    """Make the models by name; those that need or have options of [study] are the study's own."""
    models: dict[str, Model] = {}
    for name in table.get("models", DEFAULT_MODELS):
        if name == "factor_model":
            if not isinstance(study.model, FactorModel):
                raise source.error(
                    "[specification] models: 'factor_model' takes its factors from [study], which has another model. "
                    'Set model = "factor_model" and factors there, or leave it out here.',
                    ("specification", "models"),
                    name,
                )
            models[study.model.name] = study.model
        elif name in PEER_MODELS:
            if type(study.model) is not MODELS[name]:
                raise source.error(
                    f"[specification] models: {name!r} takes its donors from [study], which has another model. Set "
                    f'model = "{name}" and donors there, or leave it out here.',
                    ("specification", "models"),
                    name,
                )
            models[study.model.name] = study.model
        elif isinstance(study.model, Garch | Egarch) and type(study.model) is MODELS[name]:
            models[study.model.name] = study.model
        else:
            models[name] = MODELS[name]()
    return models
