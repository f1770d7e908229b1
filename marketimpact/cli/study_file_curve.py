"""What a study file asks of a specification curve: read, checked, run."""

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
from marketimpact.models import MODELS, FactorModel, Model
from marketimpact.study.event_study import EventStudy

__all__ = ["Curve", "CurvePlan", "read_curve"]

#: What is varied where a file does not say: models that need no factors, and windows of the reaction itself.
MODELS_VARIED = ("market_model", "market_adjusted", "mean_adjusted")
ESTIMATION_WINDOWS = ((-250, -11), (-120, -11))
EVENT_WINDOWS = ((0, 0), (0, 1), (-1, 1))
DRAWS = 499


@dataclass(frozen=True, slots=True)
class Curve:
    """A specification curve, and its test against placebo days where there is one."""

    found: SpecificationCurve
    joint: JointTest | None


@dataclass(frozen=True, slots=True)
class CurvePlan:
    """A ``[specification]`` table, checked.

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

    def chosen(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events asked for."""
        kept = events
        if self.announcements:
            kept = kept.filter(pl.col("announcement_id").is_in(list(self.announcements)))
        if self.groups:
            kept = kept.filter(pl.col("group").cast(pl.String).is_in(list(self.groups)))
        return kept

    def run(self, events: pl.DataFrame, markets: Mapping[str, Market], study: EventStudy) -> Curve:
        """Every specification on the events asked for, and the curve against placebo days.

        Parameters
        ----------
        events : polars.DataFrame
            Every aligned event of the study.
        markets : dict of str to Market
            One for each of `benchmarks`, the first one first.
        study : EventStudy
            What is not varied.

        Returns
        -------
        Curve
            Without a joint test where none was asked for, or none can be: then a warning says why.
        """
        kept = self.chosen(events)
        curve = specification_curve(
            kept,
            next(iter(markets.values())),
            models=self.models,
            estimation_windows=self.estimation_windows,
            event_windows=self.event_windows,
            benchmarks=markets,
            filters={"all": pl.lit(value=True)} | self._left_out(kept),
            tests=self.tests,
            min_observations=study.min_observations,
            missing="strict" if study.missing == "strict" else "available",
        )
        if not self.draws:
            return Curve(curve, None)
        try:
            return Curve(curve, curve.joint_test(draws=self.draws))
        except SpecificationError as error:  # nothing ran, or there is no room for placebo days
            warnings.warn(f"The curve is not tested as a whole: {error}", MarketImpactWarning, stacklevel=2)
            return Curve(curve, None)

    def _left_out(self, events: pl.DataFrame) -> dict[str, pl.Expr]:
        """A filter per security left out, called by its name where only one has it."""
        known = events.select("symbol", "name").unique() if "name" in events.columns else pl.DataFrame()
        names = dict(known.filter(pl.col("name").is_unique()).iter_rows()) if known.height else {}
        return {f"without {names.get(symbol) or symbol}": pl.col("symbol") != symbol for symbol in self.without}


def read_curve(
    content: Mapping[str, Any],
    study: EventStudy,
    groups: Mapping[str, Sequence[str]],
    source: StudyText,
) -> CurvePlan | None:
    """The ``[specification]`` table of a study file whose keys and types are checked; None where there is none.

    Raises
    ------
    SpecificationError
        For an announcement or group that the study does not have, windows that overlap, a name given twice.
    """
    if "specification" not in content:
        return None
    table = content["specification"]
    _distinct(table, source)
    _known(table, content, groups, source)
    estimation = _windows(table, "estimation_windows", ESTIMATION_WINDOWS, source)
    event = _windows(table, "event_windows", EVENT_WINDOWS, source)
    first, last = min(first for first, _ in event), max(last for _, last in estimation)
    if last >= first:
        raise source.error(
            f"[specification] an estimation window ends at session {last}, and an event window begins at {first}: "
            "what is estimated would hold what is tested. End the estimation before the first session tested.",
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
        draws=table.get("draws", DRAWS),
    )


def _distinct(table: Mapping[str, Any], source: StudyText) -> None:
    for key, values in table.items():
        twice = [value for at, value in enumerate(values) if value in values[:at]] if isinstance(values, list) else []
        if twice:
            raise source.error(f"[specification] {key} names {twice[0]!r} twice.", ("specification", key))


def _known(
    table: Mapping[str, Any], content: Mapping[str, Any], groups: Mapping[str, Sequence[str]], source: StudyText
) -> None:
    """Announcements, groups and securities of the curve must be the study's own."""
    ids = content.get("announcements", {}).get("ids", [])
    chosen = table.get("groups", [])
    members = [symbol for name, symbols in groups.items() if not chosen or name in chosen for symbol in symbols]
    for key, known, what in (
        ("announcements", ids, "is not among the ids of [announcements]"),
        ("groups", list(groups), "is not the name of one of the [[groups]]"),
        ("without", members, "is in none of the groups that the curve is about"),
    ):
        strange = [value for value in table.get(key, []) if value not in known]
        if strange and (known or key == "groups"):
            raise source.error(f"[specification] {key}: {strange[0]!r} {what}.", ("specification", key), strange[0])


def _windows(
    table: Mapping[str, Any], key: str, default: tuple[tuple[int, int], ...], source: StudyText
) -> tuple[tuple[int, int], ...]:
    try:
        return tuple(check_window(window, f"a window of [specification] {key}") for window in table.get(key, default))
    except SpecificationError as error:
        raise source.error(str(error), ("specification", key)) from error


def _models(table: Mapping[str, Any], study: EventStudy, source: StudyText) -> dict[str, Model]:
    """Models by name; `factor_model` is the study's own, whose factors the file names."""
    models: dict[str, Model] = {}
    for name in table.get("models", MODELS_VARIED):
        if name == "factor_model":
            if not isinstance(study.model, FactorModel):
                raise source.error(
                    "[specification] models: 'factor_model' takes its factors from [study], whose model is another. "
                    'Set model = "factor_model" and factors there, or leave it out here.',
                    ("specification", "models"),
                    name,
                )
            models[study.model.name] = study.model
        else:
            models[name] = MODELS[name]()
    return models
