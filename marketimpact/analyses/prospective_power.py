"""Power of a study before its events are looked at, from sessions before all of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from marketimpact.inference import (
    band_of,
    mean_correlation,
    minimum_detectable_effect,
    power_of,
    primary_test,
    structure,
)

if TYPE_CHECKING:
    from marketimpact.inference import Sample
    from marketimpact.market.market import Market
    from marketimpact.study.event_study import EventStudy

__all__ = ["ALL_FIRMS", "last_date_before_events", "prospective_power"]

#: Group of all events where the study has no groups.
ALL_FIRMS = "All firms"
_SCHEMA = {
    "announcement_id": pl.String, "group": pl.String, "n_events": pl.Int64, "n_used": pl.Int64, "sigma": pl.Float64,
    "correlation": pl.Float64, "se": pl.Float64, "primary_test": pl.String, "df": pl.Float64,
    "detectable_effect": pl.Float64, "smallest_effect": pl.Float64, "power": pl.Float64,
}  # fmt: skip


def last_date_before_events(events: pl.DataFrame, sessions: pl.DataFrame, estimation_end: int) -> date | None:
    """Find the last date that lies before everything from which events may be judged.

    Parameters
    ----------
    events : polars.DataFrame
        ``mic, date`` of `align`, with ``day0_earliest``.
    sessions : polars.DataFrame
        ``mic, date`` of the exchanges' calendars.
    estimation_end : int
        Last session of the estimation window relative to day 0, below 0.

    Returns
    -------
    datetime.date or None
        The day before the first session after the estimation window of any event, by the earliest admissible day 0 of
        each; None where no event has a day 0 that the calendars reach.
    """
    first = events.select("mic", pl.min_horizontal("date", "day0_earliest").alias("day0")).drop_nulls().unique()
    bounds = []
    for mic, day0 in first.iter_rows():
        before = sessions.filter(pl.col("mic") == mic, pl.col("date") < day0)["date"].sort()
        gap = -estimation_end - 1  # sessions between the estimation window and day 0
        if len(before) > gap:
            bounds.append(day0 if gap == 0 else before[-gap])
    return min(bounds) - timedelta(days=1) if bounds else None


def prospective_power(
    study: EventStudy,
    events: pl.DataFrame,
    market: Market,
    window: tuple[int, int],
    *,
    smallest_effect: float | Mapping[str, float],
    level: float = 0.05,
) -> pl.DataFrame:
    """Compute the power of the test of each group's mean CAR, with no session of an event window.

    Every announcement is moved back by whole weeks, until the windows of all its events lie within the prices of
    `market`; there the study is run. Firms, their common dates and the lengths of windows are those of the study.

    Parameters
    ----------
    study : EventStudy
        The specification.
    events : polars.DataFrame
        From `align`; with ``group`` where the study has groups.
    market : Market
        Prices that end before the events, as `last_date_before_events` says.
    window : tuple of int
        The primary window.
    smallest_effect : float or mapping of str to float
        Smallest mean CAR of interest (a fraction), one for all groups or by group.
    level : float
        Level of the two-sided test.

    Returns
    -------
    polars.DataFrame
        One row per announcement and group: ``announcement_id, group``; ``n_events`` of the study and ``n_used`` that
        have returns in the window moved back; ``sigma``, mean residual standard deviation per session;
        ``correlation``, mean correlation of the residuals of two events; ``se`` of the mean CAR, its forecast error
        from the estimation window; ``primary_test``, which the rule of docs/primary_test.md chooses at the dates moved
        back, and its degrees of freedom ``df`` (null: normal); ``detectable_effect`` (80% power),
        ``smallest_effect``, and ``power`` at it, by the noncentral t with ``df``. Null where no event has prices.

    Notes
    -----
    The standard error contains variances and correlations of the estimation window only. Around the events they may be
    larger; the primary test then says so, and its power is lower.

    On the days of the events the rule may choose another test, with other degrees of freedom, since it looks at the
    variance of the evening before and at how many events have returns: `bmp_kp` has ``N - 1``, `filtered_placebo_t`
    and `portfolio_regression` about as many as the estimation window has days, `date_means_t` the number of dates
    less 1.

    Examples
    --------
    >>> import marketimpact as mi
    >>> from datetime import date
    >>> firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "AMD"]))
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> events = mi.align(h20, mi.Market.load(firms, mi.SamplePrices()), symbols=["NVDA", "AMD"])
    >>> before = mi.Market.load(firms, mi.SamplePrices(), last=date(2025, 7, 25))
    >>> power = prospective_power(mi.EventStudy(), events, before, (0, 1), smallest_effect=0.05)
    >>> power.select("group", "n_events", "n_used").row(0)
    ('All firms', 2, 2)
    """
    after = max(study.event_window[1], window[1], study.estimation_after[1] if study.estimation_after else 0)
    result = study.run(_moved_back(events, market, after), market, progress=False)
    group = pl.col("group") if "group" in events.columns else pl.lit(ALL_FIRMS)
    counted = (
        events.with_columns(group.alias("_group"))
        .group_by("announcement_id", "_group", maintain_order=True)
        .agg(pl.len().alias("n"), pl.col("event_id"))
        .sort("announcement_id", "_group")
    )
    rows = []
    for announcement_id, name, n, members in counted.iter_rows():
        effect = smallest_effect[name] if isinstance(smallest_effect, Mapping) else smallest_effect
        row = {"announcement_id": announcement_id, "group": name, "n_events": n, "smallest_effect": float(effect)}
        part = result.where(pl.col("event_id").is_in(members))
        sample = part.sample(*window) if part.events.height else None
        rows.append(row | ({"n_used": 0} if sample is None or not sample.n else _power(sample, float(effect), level)))
    return pl.DataFrame(rows, schema=_SCHEMA)


def _power(sample: Sample, effect: float, level: float) -> dict[str, Any]:
    """Compute what the primary test of one group detects, from the forecast error of its mean."""
    test = primary_test(structure(sample)).name
    se, _, _ = band_of(sample, "portfolio_regression")
    own_se, df, _ = band_of(sample, test)
    correlation = float(mean_correlation(sample).value) if sample.n > 1 else np.nan
    known = bool(np.isfinite(se) and np.isfinite(own_se))  # a test without a result has no degrees of freedom
    numbers = {
        "sigma": float(sample.sigma.mean()),
        "correlation": correlation,
        "se": se,
        "df": df,
        "detectable_effect": float(minimum_detectable_effect(se, df, level=level)) if known else np.nan,
        "power": float(power_of(effect, se, df, level=level)) if known else np.nan,
    }
    finite = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
    return {"n_used": sample.n, "primary_test": test} | finite


def _moved_back(events: pl.DataFrame, market: Market, after: int) -> pl.DataFrame:
    """Move each announcement back by whole weeks, until `after` sessions with prices follow every day 0.

    Events whose security has no prices keep their date, and go to attrition.
    """
    ends = market.spans.join(market.panel_securities.select("symbol", "mic"), on="symbol").group_by("mic")
    sessions = market.session_numbers.join(ends.agg(pl.col("last").max()), on="mic").filter(
        pl.col("date") <= pl.col("last")
    )
    limits = sessions.group_by("mic").agg(
        pl.col("date").sort(descending=True).get(after, null_on_oob=True).alias("_limit")
    )
    excess = (pl.col("date") - pl.col("_limit")).dt.total_days()
    weeks = ((excess + 6) // 7).max().over("announcement_id").clip(lower_bound=0)
    priced = pl.col("symbol").is_in(market.spans["symbol"].implode())
    own = events.join(limits, on="mic", how="left", validate="m:1", maintain_order="left").with_columns(
        pl.when(priced).then("_limit").alias("_limit")
    )
    moved = pl.col("date").dt.offset_by(pl.format("-{}w", weeks.fill_null(0)))
    return own.with_columns(moved.alias("date")).drop("_limit")
