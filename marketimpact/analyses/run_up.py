"""Anticipation: the run-up before the announcement, and the effect with day 0 moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

from marketimpact.errors import SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.inference import DEFAULT_TESTS, SignificanceTest
from marketimpact.study.result import StudyResult

__all__ = ["day0_sensitivity", "run_up"]

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
        As for `StudyResult.test`. By default one: the first default test that is valid in all three windows, or,
        where there is none, the first that is valid in each.
    level : float
        Confidence level of the band.

    Returns
    -------
    polars.DataFrame
        ``part, first, last, caar, ci_low, ci_high, mde, test, statistic, df, p_value, n_events, valid, note``: rows
        *run-up*, *effect* and *sum* (of the two windows) of each test. Fractions. `mde` is the minimum detectable
        mean effect (80% power, 5% level) with the band's standard error (`StudyResult.caar`). The sum is that of
        the two CAARs where no event lacks a window.

    Raises
    ------
    SpecificationError
        For windows that do not meet, or reach outside the study's event window.

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
    before, effect = check_window(run_up, "run_up"), check_window(event_window, "event_window")
    if before[1] != effect[0] - 1:
        raise SpecificationError(
            f"run_up={before} and event_window={effect} must meet, or their sum is no window: end the run-up on "
            f"{effect[0] - 1}."
        )
    windows = {"run-up": before, "effect": effect, "sum": (before[0], effect[1])}
    tables = {part: result.test(*window, tests=tests) for part, window in windows.items()}
    if tests is None:
        tables = _common_test(tables)
    rows = []
    for part, table in tables.items():
        first, last = windows[part]
        path = result.caar(first, last, level=level).row(-1, named=True)
        rows.append(
            table.select(
                pl.lit(part).alias("part"),
                pl.lit(first).cast(pl.Int64).alias("first"),
                pl.lit(last).cast(pl.Int64).alias("last"),
                *[pl.lit(path[c], dtype=pl.Float64).alias(c) for c in ("caar", "ci_low", "ci_high", "mde")],
                *_TEST_COLUMNS,
            )
        )
    return pl.concat(rows)


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
        As for `run_up`: by default one test for all shifts.

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
    first, last = check_window(window, "window")
    if not shifts or not all(isinstance(s, int) and not isinstance(s, bool) for s in shifts):
        raise SpecificationError(f"shifts={shifts!r}: give whole numbers of sessions, such as (-1, 0, 1).")
    tables = {str(shift): result.test(first + shift, last + shift, tests=tests) for shift in shifts}
    if tests is None:
        tables = _common_test(tables)
    return pl.concat(
        tables[str(shift)].select(
            pl.lit(shift).cast(pl.Int64).alias("shift"),
            pl.lit(first + shift).cast(pl.Int64).alias("first"),
            pl.lit(last + shift).cast(pl.Int64).alias("last"),
            *_mean_effect(result, first + shift, last + shift),
            *_TEST_COLUMNS,
        )
        for shift in shifts
    )


def _mean_effect(result: StudyResult, first: int, last: int) -> list[pl.Expr]:
    """Compute the mean CAR of a window and its minimum detectable effect."""
    path = result.caar(first, last).row(-1, named=True)
    return [pl.lit(path[c], dtype=pl.Float64).alias(c) for c in ("caar", "mde")]


def _common_test(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Keep the first default test that is valid in every table; else the first row of each."""
    valid = [set(table.filter("valid")["test"]) for table in tables.values()]
    names = [test.name for test in DEFAULT_TESTS if all(test.name in one for one in valid)]
    if not names:
        return {part: table.head(1) for part, table in tables.items()}
    return {part: table.filter(pl.col("test") == names[0]) for part, table in tables.items()}
