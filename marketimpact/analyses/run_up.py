"""Anticipation: the run-up before the announcement, and the effect with day 0 moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import polars as pl

from marketimpact.core.arguments import require
from marketimpact.errors import SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.inference import SignificanceTest, quantile_of
from marketimpact.study.result import StudyResult

__all__ = ["day0_sensitivity", "run_up"]

K = TypeVar("K")
Tests = Sequence[str | SignificanceTest] | Literal["all"] | None
_TEST_COLUMNS = ("test", "statistic", "df", "p_value", "n_events", "valid", "note")


def run_up(
    result: StudyResult,
    event_window: tuple[int, int] = (0, 1),
    run_up: tuple[int, int] = (-5, -1),
    *,
    tests: Tests = None,
    level: float = 0.95,
) -> pl.DataFrame:
    """Compare abnormal returns before the announcement with those on it.

    Parameters
    ----------
    result : StudyResult
        The study.
    event_window : tuple of int
        Window of the effect.
    run_up : tuple of int
        Window of the anticipation; it ends on the session before `event_window` begins.
    tests : sequence of str or SignificanceTest, or "all", optional
        As for `StudyResult.test`. By default one: the primary test of the sum, the longest window.
    level : float
        Confidence level of the interval.

    Returns
    -------
    polars.DataFrame
        ``part, first, last, caar, ci_low, ci_high, mde, test, statistic, df, p_value, n_events, valid, note``: rows
        *run-up*, *effect* and *sum* (of the two windows) of each test. Fractions. Interval and `mde`, the minimum
        detectable effect (80% power, 5% level), are of the abnormal return that the test estimates
        (`StudyResult.test`), null where it has none. The sum is that of the two CAARs where no event lacks a window.

    Raises
    ------
    SpecificationError
        For windows that do not meet, or reach outside the study's event window, and a level outside 0 to 1.

    Notes
    -----
    A run-up is anticipation, leakage, or other news; it is no part of the effect, and an effect measured
    from day 0 on is too small by what was anticipated. A test of the run-up has less power: five sessions of
    run-up vary more than two of effect.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> year = mi.announcements().filter(pl.col("announced_at").dt.year() == 2023, ~pl.col("is_confounder"))
    >>> result = mi.EventStudy().run(mi.align(year, market), market)
    >>> mi.run_up(result)["part"].to_list()
    ['run-up', 'effect', 'sum']
    """
    require(result, "StudyResult", "result")
    before, effect = check_window(run_up, "run_up"), check_window(event_window, "event_window")
    if before[1] != effect[0] - 1:
        raise SpecificationError(
            f"run_up={before} and event_window={effect} must meet, or their sum is no window: end the run-up on "
            f"{effect[0] - 1}."
        )
    if not 0 < level < 1:
        raise SpecificationError(f"level={level} must lie between 0 and 1, such as 0.95.")
    windows = {"run-up": before, "effect": effect, "sum": (before[0], effect[1])}
    tables = {part: result.test(*window, tests=tests) for part, window in windows.items()}
    if tests is None:
        tables = _one_test(tables, tables["sum"])
    return pl.concat(
        _at_level(table, level).select(
            pl.lit(part).alias("part"),
            *_window_columns(result, windows[part]),
            "ci_low",
            "ci_high",
            pl.col("effect_mde").alias("mde"),
            *_TEST_COLUMNS,
        )
        for part, table in tables.items()
    )


def day0_sensitivity(
    result: StudyResult, window: tuple[int, int] = (0, 1), *, shifts: Sequence[int] = (-1, 0, 1), tests: Tests = None
) -> pl.DataFrame:
    """Test the effect with day 0 moved by some sessions.

    Parameters
    ----------
    result : StudyResult
        The study; its event window must hold the shifted windows.
    window : tuple of int
        Relative to the moved day 0.
    shifts : sequence of int
        Sessions by which day 0 of every event is moved; on each security's own exchange.
    tests : sequence of str or SignificanceTest, or "all", optional
        As for `StudyResult.test`; by default one for all shifts, the primary test of the day 0 not moved (of the first
        shift where 0 is none).

    Returns
    -------
    polars.DataFrame
        ``shift, first, last, caar, mde, test, statistic, df, p_value, n_events, valid, note``: `first` and `last` are
        the sessions tested, counted from the day 0 of `result`. `mde` as for `run_up`. The estimation windows stay
        where they are.

    Raises
    ------
    SpecificationError
        For no shifts, or one that leads outside the study's event window.

    Notes
    -----
    The largest effect of several shifts is no estimate: it is selected on the outcome. See `day0_bounds` where
    the calendar leaves the day open.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> year = mi.announcements().filter(pl.col("announced_at").dt.year() == 2023, ~pl.col("is_confounder"))
    >>> result = mi.EventStudy().run(mi.align(year, market), market)
    >>> mi.day0_sensitivity(result, (0, 0))["shift"].to_list()
    [-1, 0, 1]
    """
    require(result, "StudyResult", "result")
    first, last = check_window(window, "window")
    if not shifts or not all(isinstance(s, int) and not isinstance(s, bool) for s in shifts):
        raise SpecificationError(f"shifts={shifts!r}: give whole numbers of sessions, such as (-1, 0, 1).")
    tables = {shift: result.test(first + shift, last + shift, tests=tests) for shift in shifts}
    if tests is None:
        tables = _one_test(tables, tables[0 if 0 in tables else shifts[0]])
    return pl.concat(
        table.select(
            pl.lit(shift).cast(pl.Int64).alias("shift"),
            *_window_columns(result, (first + shift, last + shift)),
            pl.col("effect_mde").alias("mde"),
            *_TEST_COLUMNS,
        )
        for shift, table in ((shift, tables[shift]) for shift in shifts)
    )


def _window_columns(result: StudyResult, window: tuple[int, int]) -> list[pl.Expr]:
    """Name a window and its mean CAR."""
    caar = pl.lit(result.car(*window)["car"].mean(), dtype=pl.Float64).alias("caar")
    return [
        *(pl.lit(end, dtype=pl.Int64).alias(name) for name, end in zip(("first", "last"), window, strict=True)),
        caar,
    ]


def _one_test(tables: dict[K, pl.DataFrame], chosen: pl.DataFrame) -> dict[K, pl.DataFrame]:
    """Keep the same test in every table: the primary one of the table chosen."""
    name = chosen["test"][0]  # the primary test comes first
    return {key: table.filter(pl.col("test") == name) for key, table in tables.items()}


def _at_level(table: pl.DataFrame, level: float) -> pl.DataFrame:
    """Scale the 95% intervals of tests to another level."""
    df = table["df"].fill_null(np.inf).to_list()
    scale = pl.Series([quantile_of(one, level) / quantile_of(one, 0.95) for one in df], dtype=pl.Float64)
    return table.with_columns(
        (pl.col("effect") + (pl.col(end) - pl.col("effect")) * scale).alias(end) for end in ("ci_low", "ci_high")
    )
