"""The specification curve: the mean CAR across all combinations of choices, and its joint test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
import polars as pl

from marketimpact.analyses.specification_curve import choices
from marketimpact.analyses.specification_curve import joint_test as joint
from marketimpact.analyses.specification_curve.choices import Choices
from marketimpact.analyses.specification_curve.placebo_days import draw_shifts
from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.frames import FrameLike
from marketimpact.core.layouts import EVENTS
from marketimpact.core.progress import PATIENCE, progress_bar
from marketimpact.display import curve_chart as curvechart
from marketimpact.display.formats import short_percent
from marketimpact.display.tables import Table, lines_to_html
from marketimpact.errors import SpecificationError
from marketimpact.estimation.attrition import REASONS
from marketimpact.estimation.own_windows import FIRST, LAST, has_own_windows
from marketimpact.inference import (
    SIGNIFICANCE_LEVEL,
    JudgedOutcome,
    Sample,
    SignificanceTest,
    band_of,
    minimum_detectable_effect,
    primary_test,
    quantile_of,
    run_tests,
    structure,
)
from marketimpact.inference.validity import interval
from marketimpact.market.market import Market
from marketimpact.models import MarketModel, Model
from marketimpact.study.event_study import EventStudy
from marketimpact.study.result import StudyResult

__all__ = ["SpecificationCurve", "specification_curve"]

#: Choices of a specification, in the order of the frame and of the chart.
CHOICES = ("model", "estimation_window", "event_window", "benchmark", "filter", "test")
#: Note of a row whose interval is not of its test.
BAND_NOTE = "this test has no interval: that of the CAAR's band is given"
_SCHEMA = {
    "specification": pl.Int64,
    **dict.fromkeys(CHOICES, pl.String),
    **dict.fromkeys(("estimate", "se", "ci_low", "ci_high", "mde", "statistic", "p_value", "z"), pl.Float64),
    "valid": pl.Boolean,
    "n_events": pl.Int64,
    "reason": pl.String,
    "note": pl.String,
}


@dataclass(frozen=True, eq=False)
class SpecificationCurve:
    """Every specification with its estimate, its test and whether the test is valid.

    Attributes
    ----------
    frame : polars.DataFrame
        One row per specification, sorted by ``estimate``, those that could not be run last: ``specification``
        (its number in the order run), ``model, estimation_window, event_window, benchmark, filter, test``,
        ``estimate`` (CAAR, a fraction), ``se, ci_low, ci_high, mde`` (standard error, interval and minimum detectable
        effect of the abnormal return that the test estimates, fractions: the interval contains zero where p is at
        least 1 - `level`. It need not be centred on the CAAR: tests of SCARs weigh CARs by 1/se. For a test without an
        interval they are of the band of `StudyResult.caar`, and the note says so), ``statistic, p_value`` (of the
        test), ``z`` (the p-value as a standard normal score with the sign of what the test estimates), ``valid``
        (whether the test is valid for these events), ``n_events``, ``reason`` (why not valid, or why not run; empty
        otherwise) and ``note``.
    level : float
        Confidence level of the intervals.
    """

    frame: pl.DataFrame
    level: float
    _plan: Choices = field(repr=False)
    _results: tuple[StudyResult | None, ...] = field(repr=False)

    @property
    def events(self) -> pl.DataFrame:
        """Events of the first study that could be run; empty where none could."""
        return next((result.events for result in self._results if result is not None), pl.DataFrame())

    def summary(self) -> pl.DataFrame:
        """Summarise the curve in two rows: all specifications that ran, and those with a valid test.

        Returns
        -------
        polars.DataFrame
            ``among, n, median, lowest, highest, share_positive, significant_positive, significant_negative,
            share_of_all``. Shares are fractions; significant is p < 5%, the sign that of what the test estimates;
            ``share_of_all`` is n over the number of specifications. `reasons` counts the others.
        """
        ran = self.frame.drop_nulls("estimate")
        significant = (pl.col("p_value") < SIGNIFICANCE_LEVEL).fill_null(value=False)
        return pl.concat(
            part.select(
                pl.lit(among).alias("among"),
                pl.len().cast(pl.Int64).alias("n"),
                pl.col("estimate").median().alias("median"),
                pl.col("estimate").min().alias("lowest"),
                pl.col("estimate").max().alias("highest"),
                (pl.col("estimate") > 0).mean().alias("share_positive"),
                (significant & (pl.col("z") > 0)).mean().alias("significant_positive"),
                (significant & (pl.col("z") < 0)).mean().alias("significant_negative"),
                (pl.len() / max(self.frame.height, 1)).alias("share_of_all"),
            )
            for among, part in (("that ran", ran), ("with a valid test", ran.filter("valid")))
        )

    def reasons(self) -> pl.DataFrame:
        """Count why specifications failed or their test is not valid: ``status, test, reason, n, share``.

        `status` is *failed* (there is no estimate), *undefined* (the test is undefined) or *not valid* (the p-value is
        unreliable). Numbers in reasons are replaced by ``#``, so that similar reasons are counted together.
        """
        status = (
            pl.when(pl.col("estimate").is_null())
            .then(pl.lit("failed"))
            .when(pl.col("statistic").is_null())
            .then(pl.lit("undefined"))
            .otherwise(pl.lit("not valid"))
        )
        return (
            self.frame.filter(~pl.col("valid"))
            .select(
                status.alias("status"),
                "test",
                pl.col("reason").str.replace_all(r"\b\d+(\.\d+)?\b", "#"),
            )
            .group_by("status", "test", "reason")
            .agg(pl.len().cast(pl.Int64).alias("n"))
            .with_columns((pl.col("n") / self.frame.height).alias("share"))
            .sort("n", "status", "test", "reason", descending=[True, False, False, False])
        )

    def joint_test(self, *, draws: int = 499, seed: int = 0) -> joint.JointTest:
        """Test the curve as a whole against curves of placebo days.

        Every chain of announcements (those whose windows share days) is moved to random other days of the stretch
        that all estimation windows share, all securities of an announcement together, away from other announcements
        to the same securities where possible, and the same in every specification. See
        docs/procedures/specification_curve.md for when this fails.

        Parameters
        ----------
        draws : int
            Placebo curves. With a single chain there are only as many as it has positions.
        seed : int
            Seed of numpy's generator.

        Raises
        ------
        SpecificationError
            When nothing ran, or the estimation windows have too few sessions in common.
        """
        if draws < 1 or seed < 0:
            raise SpecificationError(f"draws={draws}, seed={seed}: draw at least one curve, with a seed of 0 or more.")
        has_events = [result is not None and result.events.height > 0 for result in self._results]
        results = [result for result in self._results if result is not None and result.events.height]
        if not results:
            raise SpecificationError("No specification could be run, so there is no curve to test; see .reasons().")
        plan, ordered = self._plan, self.frame.sort("specification")
        can_move = ~ordered["test"].is_in([test.name for test in plan.tests if test.refits]).to_numpy()
        has_statistic = ordered["statistic"].is_not_null().to_numpy()
        used = has_statistic & can_move
        if not used.any():
            raise SpecificationError(
                "Every test that ran needs returns of the market again, which placebo days do not have; add another."
            )
        days = np.unique(np.concatenate([market.days for market in plan.benchmarks.values()]))
        shifts = draw_shifts([result.estimation for result in results], days, draws, seed)
        curves = joint.placebo_curves(results, plan.filters, plan.event_windows, plan.tests, shifts)
        rows = used[np.repeat(has_events, ordered.height // len(has_events))]
        estimate, z = (curve.reshape(len(curve), -1)[:, rows] for curve in curves)
        observed = ordered.filter(pl.Series(used)).select("estimate", "z").to_numpy()
        left_out = int((has_statistic & ~can_move).sum())
        return joint.compare(observed[:, 0], observed[:, 1], estimate, z, shifts, seed=seed, left_out=left_out)

    def plot(self, *, compact: bool = False) -> Any:
        """Draw the sorted curve, and beneath it the choices of each specification, as an Altair chart.

        Parameters
        ----------
        compact : bool
            Whether to leave out the choices, for narrow screens.
        """
        return curvechart.specification_curve(
            self.frame,
            () if compact else CHOICES,
            title=self._finding(),
            subtitle="mean CAR in order of size, 95% intervals",
            simulated=self._simulated,
            width=curvechart.COMPACT if compact else curvechart.WIDTH,
        )

    def _finding(self) -> str:
        """Write what the curve shows in one line."""
        ran = self.frame.drop_nulls("estimate")["estimate"].to_numpy()
        if not len(ran):
            return f"None of {self.frame.height:,} specifications could be run"
        above, below = int((ran > 0).sum()), int((ran < 0).sum())
        side = f"{above:,} of {len(ran):,} specifications lie above zero"
        if below > above:
            side = f"{below:,} of {len(ran):,} specifications lie below zero"
        return f"{side}, with a median of {short_percent(float(np.median(ran)))}"

    def __repr__(self) -> str:
        """Describe the curve in a few lines."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        html = Table(
            self.summary(), "The curve", notes=("Significant: p < 5%, with the sign of the estimate.",)
        )._repr_html_()
        reasons = self.reasons()
        if reasons.height:
            html += Table(reasons, "Without an estimate, or without a valid test")._repr_html_()
        return lines_to_html(self._lines()) + html

    @property
    def _simulated(self) -> bool:
        return any(market.simulated for market in self._plan.benchmarks.values())

    def _lines(self) -> list[str]:
        counts = [f"{self.frame[choice].n_unique()} {choice.replace('_', ' ')}s" for choice in CHOICES]
        lines = [
            f"SpecificationCurve: {self.frame.height:,} specifications{'   [SIMULATED PRICES]' * self._simulated}",
            f"  {', '.join(count for count in counts if not count.startswith('1 '))}",
        ]
        for row in self.summary().filter(pl.col("n") > 0).iter_rows(named=True):
            lines.append(
                f"  {row['n']:,} {row['among']}: CAAR median {row['median']:+.2%}, from {row['lowest']:+.2%} to "
                f"{row['highest']:+.2%}; significant at 5%: {row['significant_positive']:.0%} above zero, "
                f"{row['significant_negative']:.0%} below"
            )
        statuses = self.reasons().group_by("status", maintain_order=True).agg(pl.col("n").sum())
        lines += [f"  {status}: {n:,}; see .reasons()" for status, n in statuses.iter_rows()]
        return lines


def specification_curve(
    events: FrameLike,
    market: Market,
    *,
    models: Sequence[Model] | Mapping[str, Model] = (MarketModel(),),
    estimation_windows: Sequence[tuple[int, int]] = ((-250, -11),),
    event_windows: Sequence[tuple[int, int]] = ((0, 0), (0, 1), (-1, 1)),
    benchmarks: Mapping[str, Market] | None = None,
    filters: Mapping[str, pl.Expr] | None = None,
    tests: Sequence[str | SignificanceTest] | Literal["all"] = ("bmp_kp",),
    min_observations: int = 60,
    missing: Literal["available", "strict"] = "available",
    level: float = 0.95,
) -> SpecificationCurve:
    """Run every combination of models, windows, benchmarks, filters and tests.

    One study is estimated per model, estimation window and benchmark, and used for all windows, filters and tests.

    Parameters
    ----------
    events : FrameLike
        As for `EventStudy.run`.
    market : Market
        Returns, benchmarks and factors.
    models : sequence of Model, or mapping of str to Model
        Models of the normal return, by their own names or yours.
    estimation_windows, event_windows : sequences of (int, int)
        Sessions relative to day 0. The studies' event window is the narrowest that holds all `event_windows`.
    benchmarks : mapping of str to Market, optional
        Further markets with the same securities and other benchmarks, such as ``{"sector proxy":
        Market.load(securities, prices, benchmark="sector_proxy")}``: a market needs its price source to change
        benchmark, so that markets are given and not names. `market` itself is called "own" unless it is among
        them under a name of yours.
    filters : mapping of str to polars.Expr, optional
        Conditions on the columns of `events`, such as ``{"all": pl.lit(True), "no confounders":
        ~pl.col("is_confounder")}``. All events by default.
    tests : sequence of str or SignificanceTest, or "all"
        As for `StudyResult.test`; by default one that is valid under shared days and event-induced variance.
    min_observations, missing
        As for `EventStudy`.
    level : float
        Confidence level of the intervals.

    Returns
    -------
    SpecificationCurve

    Raises
    ------
    DataError
        For a broken events frame.
    SpecificationError
        For nothing to vary, two choices of one name, a filter on a column that events do not have, or an unknown test.
        A combination that cannot be run raises nothing: it is a row with its reason.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> events = mi.align(mi.announcements().filter(pl.col("stance") == "restrictive"), market)
    >>> curve = mi.specification_curve(
    ...     events,
    ...     market,
    ...     models=[mi.MarketModel(), mi.MarketAdjusted(), mi.FamaFrench3()],
    ...     filters={"all": pl.lit(True), "no confounders": ~pl.col("is_confounder")},
    ... )
    >>> curve.frame.height
    18
    >>> curve.reasons().select("status", "n").row(0)  # this market has no factors for FamaFrench3
    ('failed', 6)
    """
    require(market, "Market", "market")
    events = schema.as_frame(events, "events", EVENTS)
    plan = choices.check_choices(
        events,
        market,
        models=models,
        estimation_windows=estimation_windows,
        event_windows=event_windows,
        benchmarks=benchmarks,
        filters=filters,
        tests=tests,
    )
    if not 0 < level < 1:
        raise SpecificationError(f"level={level} must lie between 0 and 1, such as 0.95.")
    if len(plan.estimation_windows) > 1 and has_own_windows(events):
        raise SpecificationError(
            f"estimation_windows={list(plan.estimation_windows)}: events have windows of their own in {FIRST} and "
            f"{LAST}, which the choice would not change. Drop the two columns, or give one estimation window."
        )

    rows, results = _run_all(plan, events, {"min_observations": min_observations, "missing": missing}, level)
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))
    ordered = frame.sort("estimate", "specification", nulls_last=True)
    return SpecificationCurve(ordered, level, _plan=plan, _results=tuple(results))


def _run_all(
    plan: Choices, events: pl.DataFrame, options: Mapping[str, Any], level: float
) -> tuple[list[tuple[Any, ...]], list[StudyResult | None]]:
    """Run one study per benchmark, model and estimation window; give the rows of the frame, and the results."""
    rows: list[tuple[Any, ...]] = []
    results: list[StudyResult | None] = []
    studies = list(product(plan.benchmarks, plan.models, plan.estimation_windows))
    with progress_bar(None, "Studies", len(studies), patience=PATIENCE) as done:
        for benchmark, model, window in studies:
            specification = {"model": plan.models[model], "estimation_window": window, "event_window": plan.span}
            result, why = _run_study({**specification, **options}, events, plan.benchmarks[benchmark])
            results.append(result)
            for event_window, name, columns in _rows_of_study(plan, result, why, level):
                rows.append((len(rows), model, str(list(window)), str(list(event_window)), benchmark, name, *columns))
            done()
    return rows, results


def _run_study(specification: dict[str, Any], events: pl.DataFrame, market: Market) -> tuple[StudyResult | None, str]:
    """Run one study; give its result, or why there is none."""
    try:
        return EventStudy(**specification).run(events, market, progress=False), ""
    except SpecificationError as error:
        return None, str(error)


def _rows_of_study(
    plan: Choices, result: StudyResult | None, why: str, level: float
) -> Iterator[tuple[tuple[int, int], str, tuple[Any, ...]]]:
    """Return window, filter name and the rest of each row: filters outside, windows in between, tests inside."""
    for name, condition in plan.filters.items():
        part = None if result is None else result.where(condition)
        for window in plan.event_windows:
            rows = _rows_without_result(plan, why) if part is None else _rows_of_tests(plan, part, window, level)
            for columns in rows:
                yield window, name, columns


def _rows_without_result(plan: Choices, why: str) -> list[tuple[Any, ...]]:
    """Make the rows of specifications without an estimate."""
    return [(test.name, *[None] * 8, False, 0, why, why) for test in plan.tests]


def _rows_of_tests(plan: Choices, part: StudyResult, window: tuple[int, int], level: float) -> list[tuple[Any, ...]]:
    sample = part.sample(*window)
    if not sample.n:
        return _rows_without_result(plan, _why_empty(part))
    caar = float(sample.car.mean())
    return [
        (judged.test.name, caar, *_interval_columns(judged, sample, level), *_test_columns(judged, caar, level))
        for judged in run_tests(plan.tests, sample)
    ]


def _why_empty(part: StudyResult) -> str:
    """Say why no event has a CAR: no event meets the filter, or those that do were lost, with the commonest reason."""
    if part.events.height:
        return "no event has a return in this window"
    if part.attrition.is_empty():
        return "no usable event meets the filter"
    counted = part.attrition["reason"].value_counts(name="n").sort("n", "reason", descending=[True, False])
    reason = counted["reason"][0]
    return f"no usable event: {REASONS.get(reason, reason)}"


def _interval_columns(judged: JudgedOutcome, sample: Sample, level: float) -> tuple[float, float, float, float]:
    """Compute standard error, interval and minimum detectable effect of a test; of the band where it has none."""
    outcome, per_unit = judged.outcome, judged.per_unit
    low, high = (end * per_unit for end in interval(judged.test, outcome, level=level))
    if np.isfinite(low):
        df = outcome.df if np.isfinite(outcome.df) else np.inf
        return outcome.se * per_unit, low, high, float(minimum_detectable_effect(outcome.se, df)) * per_unit
    caar = float(sample.car.mean())
    se, df, _ = band_of(sample, primary_test(structure(sample)).name)
    half = quantile_of(df, level) * se
    return se, caar - half, caar + half, float(minimum_detectable_effect(se, df))


def _test_columns(judged: JudgedOutcome, caar: float, level: float) -> tuple[Any, ...]:
    outcome = judged.outcome
    sign = caar if np.isnan(outcome.estimate) else outcome.estimate
    z = float(joint.signed_z(np.asarray(outcome.p_value), np.asarray(sign)))
    has_interval = np.isfinite(interval(judged.test, outcome, level=level)[0] * judged.per_unit)
    note = judged.note if has_interval else "; ".join(filter(None, (judged.note, BAND_NOTE)))
    return outcome.statistic, outcome.p_value, z, judged.valid, judged.n_events, judged.why_not, note
