"""Bounds of abnormal returns over every admissible day 0, for announcements without a time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.frames import FrameLike
from marketimpact.core.layouts import EVENTS
from marketimpact.core.own_columns import keep_own_columns
from marketimpact.errors import DataError
from marketimpact.estimation.windows import check_window
from marketimpact.inference import SignificanceTest
from marketimpact.market.market import Market
from marketimpact.study.result import StudyResult

if TYPE_CHECKING:
    from marketimpact.study.event_study import EventStudy

__all__ = ["MAX_COMBINATIONS", "Day0Bounds", "day0_bounds"]

#: Up to this many combinations of admissible days are all tested.
MAX_COMBINATIONS = 64


@dataclass(frozen=True, slots=True)
class Day0Bounds:
    """Ranges of CARs, CAARs and p-values over the admissible days 0.

    Attributes
    ----------
    events : polars.DataFrame
        ``event_id, symbol, earliest, latest, n_days0, n_used, car, car_min, car_max, p, p_min, p_max, note``, one
        row per event: the range over its `n_days0` admissible days 0, of which `n_used` gave a CAR; `car` and
        `p` are those of the day 0 that `align` chose. A CAR of zero width is certain as to the day, no more.
    caar : polars.DataFrame
        ``case, caar, n_events, test, statistic, p_value, valid, note``: *as aligned*, *lowest CAAR*, *highest CAAR*,
        and, where all combinations were tested, *lowest p* and *highest p*.
    n_combinations : int
        Of admissible times, announcement by announcement.
    tested_all : bool
        Whether each of them was tested; the bounds of the CAAR are exact either way.
    attrition : polars.DataFrame
        ``event_id, reason, detail`` of events that could not be used on any admissible day.
    """

    events: pl.DataFrame
    caar: pl.DataFrame
    n_combinations: int
    tested_all: bool
    attrition: pl.DataFrame = field(repr=False)


def day0_bounds(
    study: EventStudy,
    events: FrameLike,
    market: Market,
    window: tuple[int, int] = (0, 1),
    *,
    test: str | SignificanceTest | None = None,
) -> Day0Bounds:
    """Bound CARs and the CAAR over every admissible day 0 of announcements without a time of day.

    Parameters
    ----------
    study : EventStudy
        Run anew, estimation windows included, for every admissible day 0.
    events : FrameLike
        What `align` returns: ``day0_earliest`` and ``day0_latest`` say what is admissible.
    market : Market
        Returns and sessions.
    window : tuple of int
        The window of the CARs.
    test : str or SignificanceTest, optional
        The group's test; by default the primary test for the events as aligned.

    Returns
    -------
    Day0Bounds

    Raises
    ------
    DataError
        For events without the columns of `align`, or all of them unusable.

    Notes
    -----
    An announcement has one time, so its events move together: a later time moves day 0 only on the exchanges
    whose session has closed by then. Each time at which some exchange closes starts a new case. Times
    of different announcements are independent, so the lowest CAAR takes the lowest case of each announcement, and
    its bounds are exact for any number of combinations. The p-value does not separate like that: its range is
    given where there are at most 64 combinations, which are all tested. The bounds are of the estimate, given the
    admissible days; they are no confidence interval.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> dated = mi.announcements().filter(pl.col("announcement_id") == "2025-09-12-entity-list-23-chinese")
    >>> bounds = mi.day0_bounds(mi.EventStudy(), mi.align(dated, market), market, (0, 0))
    >>> bounds.events.select("symbol", "earliest", "latest", "n_days0").row(0)
    ('0981.HK', datetime.date(2025, 9, 12), datetime.date(2025, 9, 15), 2)
    """
    require(study, "EventStudy", "study")
    require(market, "Market", "market")
    window = check_window(window, "window")
    given = keep_own_columns(schema.as_frame(events, "events", EVENTS), ("car", "p"), "events")
    all_days = _admissible_days(given, market)
    result = study.run(all_days.drop("_event", "_close", "_aligned"), market)
    days = all_days.join(result.car(*window).select("event_id", "car", "p"), on="event_id", how="left", validate="1:1")
    days = days.with_columns((pl.col("date") == pl.col("_aligned")).fill_null(value=True).alias("_chosen"))
    cases = [
        _cases(announcement_days)
        for (_,), announcement_days in days.drop_nulls("date").partition_by("announcement_id", as_dict=True).items()
    ]
    aligned = days.filter("_chosen")["event_id"].to_list()
    if not result.where(pl.col("event_id").is_in(aligned)).sample(*window).n:
        reasons = ", ".join(result.attrition["reason"].unique().sort()) or "no return in the window"
        raise DataError(f"No event has a CAR over {window} on its aligned day 0: {reasons}.")
    n_combinations = prod(len(one) for one in cases)
    return Day0Bounds(
        events=_event_table(days),
        caar=_group_table(result, window, aligned, cases, test),
        n_combinations=n_combinations,
        tested_all=n_combinations <= MAX_COMBINATIONS,
        attrition=_attrition(result, days),
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """One possible time of an announcement: ids of its events then, and the sum and number of their CARs."""

    ids: list[str]
    total: float
    count: int


def _admissible_days(events: pl.DataFrame, market: Market) -> pl.DataFrame:
    """List every event on every admissible day 0 under its own event_id; events without a day 0 keep one row."""
    events = schema.check(schema.Events, events, "events")
    lacking = {"announcement_id", "date", "day0_earliest", "day0_latest"}.difference(events.columns)
    if lacking:
        raise DataError(
            f"events lacks {', '.join(sorted(lacking))}: the admissible days 0 are known for what mi.align returns."
        )
    odd = [name for name in ("day0_earliest", "day0_latest") if events.schema[name] not in (pl.Date, pl.Null)]
    if odd:
        raise DataError(
            f"events: {odd[0]!r} has type {events.schema[odd[0]]}, must hold dates, as mi.align returns them."
        )
    clock = pl.coalesce("close", pl.col("date").cast(pl.Datetime("us", "UTC")))
    sessions = market.sessions.select("mic", clock.alias("_close"), pl.col("date").alias("_day"))
    mics = market.panel_securities.select("symbol", pl.col("mic").alias("_mic"))
    own = events.join(mics, on="symbol", how="left", validate="m:1")
    bounds = own.select(
        pl.col("event_id").alias("_event"),
        pl.col("_mic").alias("mic"),
        pl.coalesce("day0_earliest", "date").alias("_from"),
        pl.coalesce("day0_latest", "date").alias("_to"),
    )
    admissible = bounds.join(sessions, on="mic", how="inner").filter(pl.col("_day").is_between("_from", "_to"))
    frame = own.drop("_mic").rename({"event_id": "_event", "date": "_aligned"})
    return (
        frame.join(admissible.select("_event", "_day", "_close"), on="_event", how="left", validate="1:m")
        .with_columns(
            pl.when(pl.col("_aligned").is_not_null()).then("_day").alias("date"),
            pl.concat_str("_event", pl.lit("@"), pl.col("_day").cast(pl.String).fill_null("")).alias("event_id"),
        )
        .drop("_day")
        .sort("_event", "date")
    )


def _cases(days: pl.DataFrame) -> list[_Case]:
    """List the cases of one announcement by time; a new case begins where an exchange closes."""
    days_of_events = days.sort("_event", "_close").partition_by("_event", maintain_order=True)
    closes = [event_days["_close"].to_physical().to_numpy() for event_days in days_of_events]
    changes = np.unique(np.concatenate([close[:-1] for close in closes]))
    cases = []
    for time in (None, *changes):
        rows = [_first_after(close, time) for close in closes]
        cars = [event_days["car"][row] for event_days, row in zip(days_of_events, rows, strict=True)]
        known_cars = [car for car in cars if car is not None]
        ids = [event_days["event_id"][row] for event_days, row in zip(days_of_events, rows, strict=True)]
        cases.append(_Case(ids, float(np.sum(known_cars)), len(known_cars)))
    return cases


def _first_after(closes: NDArray[np.int64], time: np.int64 | None) -> int:
    """Find the position of the first session that closes after `time`."""
    return 0 if time is None else min(int(np.searchsorted(closes, time, side="right")), len(closes) - 1)


def _extreme_ids(cases: list[list[_Case]], sign: int, start: float) -> list[str]:
    """Choose one case per announcement so that the mean CAR is largest (`sign` 1) or smallest (-1); give event ids.

    A mean is a ratio, since a case may lack a CAR: Dinkelbach's iteration, which is exact and ends after
    a few steps; after one where every case has all CARs.
    """
    # a time at which none of an announcement's events has a CAR cannot change the mean
    usable = [[case for case in one if case.count] or one for one in cases]
    mean = start
    while True:
        chosen = [max(one, key=lambda case: sign * (case.total - mean * case.count)) for one in usable]
        new_mean = sum(case.total for case in chosen) / sum(case.count for case in chosen)
        if not sign * (new_mean - mean) > 0:
            return [event for case in chosen for event in case.ids]
        mean = new_mean


def _group_table(
    result: StudyResult,
    window: tuple[int, int],
    aligned: list[str],
    cases: list[list[_Case]],
    test: str | SignificanceTest | None,
) -> pl.DataFrame:
    def tested(case: str, ids: Sequence[str], chosen_test: str | SignificanceTest) -> pl.DataFrame:
        part = result.where(pl.col("event_id").is_in(list(ids)))
        return part.test(*window, tests=[chosen_test]).select(
            pl.lit(case).alias("case"),
            pl.lit(part.car(*window)["car"].mean(), dtype=pl.Float64).alias("caar"),
            "n_events", "test", "statistic", "p_value", "valid", "note",
        )  # fmt: skip

    if test is None:
        test = result.where(pl.col("event_id").is_in(aligned)).test(*window)["test"][0]
    rows = [tested("as aligned", aligned, test)]
    start = float(rows[0]["caar"][0])
    rows += [
        tested(f"{word} CAAR", _extreme_ids(cases, sign, start), test)
        for word, sign in (("lowest", -1), ("highest", 1))
    ]
    if prod(len(one) for one in cases) <= MAX_COMBINATIONS:
        combinations = [tested("", [i for case in one for i in case.ids], test) for one in product(*cases)]
        by_p = pl.concat(combinations).filter(pl.col("p_value").is_not_nan()).sort("p_value", maintain_order=True)
        rows += [by_p.head(1).with_columns(pl.lit("lowest p").alias("case"))]
        rows += [by_p.tail(1).with_columns(pl.lit("highest p").alias("case"))]
    return pl.concat(rows)


def _event_table(days: pl.DataFrame) -> pl.DataFrame:
    chosen = pl.col("_chosen")
    days = days.with_columns(pl.col("car", "p").fill_nan(None))
    one_sided = (pl.col("day0_earliest").is_null() | pl.col("day0_latest").is_null()) & pl.col("date").is_not_null()
    lost = pl.col("n_days0") - pl.col("n_used")
    table = days.group_by(pl.col("_event").alias("event_id")).agg(
        pl.col("symbol").first(),
        pl.col("date").min().alias("earliest"),
        pl.col("date").max().alias("latest"),
        pl.col("date").count().cast(pl.Int64).alias("n_days0"),
        pl.col("car").count().cast(pl.Int64).alias("n_used"),
        *[
            expression.alias(name + ending)
            for name in ("car", "p")
            for expression, ending in (
                (pl.col(name).filter(chosen).first(), ""),
                (pl.col(name).min(), "_min"),
                (pl.col(name).max(), "_max"),
            )
        ],
        one_sided.any().alias("_one_sided"),
    )
    note = pl.concat_str(
        pl.when("_one_sided").then(pl.lit("the calendar ends here: bounded on one side")),
        pl.when(lost > 0).then(pl.format("no CAR on {} of {} days 0", lost, "n_days0")),
        separator="; ",
        ignore_nulls=True,
    )
    return table.with_columns(note.replace("", None).alias("note")).drop("_one_sided").sort("event_id")


def _attrition(result: StudyResult, days: pl.DataFrame) -> pl.DataFrame:
    """List events without a CAR on any admissible day, with the reason on the aligned day where there is one."""
    nowhere = days.group_by("_event").agg(pl.col("car").count().alias("n")).filter(pl.col("n") == 0)
    why = result.attrition.join(
        days.select("event_id", "_event", "_chosen"), on="event_id", how="inner", validate="1:1"
    )
    return (
        why.join(nowhere, on="_event", how="semi")
        .sort("_chosen", "event_id", descending=[True, False])
        .unique("_event", keep="first", maintain_order=True)
        .select(pl.col("_event").alias("event_id"), "reason", "detail")
        .sort("event_id")
    )
