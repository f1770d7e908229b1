"""One row per event: its cumulative abnormal return over a window, and what to know about the window's days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from marketimpact.estimates import Estimates, cumulate, held_events
from marketimpact.inference import detectable
from marketimpact.market import Market
from marketimpact.windows import Floats

__all__ = ["car_table", "true_cars"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Days:
    """The window of every event, days outside an event's own end masked."""

    ar: Floats
    ret: Floats
    expected: Floats
    loading: Floats
    own_variance: Floats


def car_table(estimates: Estimates, market: Market, columns: slice, *, past_limits: bool) -> pl.DataFrame:
    """``event_id, symbol, n_days, car, se, t, df, p, mde, scar, bhar, flags`` of every event; see `StudyResult.car`."""
    hits = limit_sides(estimates, market)
    ends = _ends(estimates, hits, columns, past_limits=past_limits)
    days = _within(estimates, columns.start, ends)
    total, variance = cumulate(days.ar, days.loading, days.own_variance, estimates.fit)
    usable = held_events(days.ar, ends - columns.start, estimates.windows)
    total, variance = np.where(usable, total, np.nan), np.where(usable, variance, np.nan)
    se = np.sqrt(variance)
    t = total / se
    present = ~np.isnan(days.ar)
    held = np.where(present, 1.0 + days.ret, 1.0).prod(axis=1)
    expected = np.where(present, 1.0 + days.expected, 1.0).prod(axis=1)
    # a short position does not compound as a long one
    compounds = usable & (market.unit == "simple") & (estimates.sign > 0)
    frame = pl.DataFrame(
        {
            "event_id": estimates.events["event_id"],
            "symbol": estimates.events["symbol"],
            "n_days": present.sum(axis=1),
            "car": total,
            "se": se,
            "t": t,
            "df": estimates.fit.df,
            "p": 2.0 * scipy.special.stdtr(estimates.fit.df, -np.abs(t)),
            "mde": detectable(se, estimates.fit.df.astype(np.float64)),
            "scar": t,
            "bhar": np.where(compounds, held - expected, np.nan),
            "flags": _flags(estimates, hits, columns, ends),
        }
    ).with_columns(pl.col("car", "se", "t", "p", "mde", "scar", "bhar").fill_nan(None))
    if past_limits:
        last = estimates.windows.event[0] + ends - 1
        frame = frame.with_columns(pl.Series("last", last, dtype=pl.Int64))
    return frame


def true_cars(estimates: Estimates, truth: pl.DataFrame, columns: slice) -> pl.Series:
    """Sum of what was put into simulated prices on each event's sessions of the window, (N,)."""
    days = estimates.dates[:, columns]
    owner = np.repeat(np.arange(len(days)), days.shape[1])
    asked = pl.DataFrame(
        {
            "row": owner,
            "symbol": estimates.events["symbol"].gather(owner),
            "date": pl.Series(days.ravel().astype(np.int32)).cast(pl.Date),
        }
    )
    put_in = truth.group_by("symbol", "date").agg(pl.col("abnormal_return").sum())
    return (
        asked.join(put_in, on=["symbol", "date"], how="left", validate="m:1")
        .group_by("row")
        .agg(pl.col("abnormal_return").fill_null(0.0).sum().alias("true_car"))
        .sort("row")["true_car"]
    ) * pl.Series(estimates.sign)


def limit_sides(estimates: Estimates, market: Market) -> NDArray[np.int8]:
    """+1 where an event day closed at the upper price limit, -1 at the lower, else 0, (N, W)."""
    sides = np.zeros(estimates.ar.shape, dtype=np.int8)
    hits = market.limit_hits.filter(pl.col("symbol").is_in(estimates.events["symbol"].unique().to_list()))
    if hits.is_empty():
        return sides
    width = len(estimates.taus)
    long = pl.DataFrame(
        {
            "symbol": estimates.events["symbol"].gather(np.repeat(np.arange(len(sides)), width)),
            "date": pl.Series(estimates.dates.ravel().astype(np.int32)).cast(pl.Date),
        }
    )
    found = long.join(
        hits.select("symbol", "date", "side"), on=["symbol", "date"], how="left", validate="m:1", maintain_order="left"
    )["side"]
    sides[(found == "upper").fill_null(value=False).to_numpy().reshape(sides.shape)] = 1
    sides[(found == "lower").fill_null(value=False).to_numpy().reshape(sides.shape)] = -1
    return sides


def _ends(estimates: Estimates, sides: NDArray[np.int8], columns: slice, *, past_limits: bool) -> NDArray[np.int64]:
    """Column after each event's last day: past a close at the limit until the first free one, on request."""
    ends = np.full(len(sides), columns.stop, dtype=np.int64)
    if not past_limits:
        return ends
    width = len(estimates.taus)
    for row in np.flatnonzero(sides[:, columns.stop - 1]):
        end = columns.stop
        # a day without a close after one at the limit is not a free one
        while end < width and (sides[row, end - 1] or np.isnan(estimates.ar[row, end - 1])):
            end += 1
        ends[row] = end
    return ends


def _within(estimates: Estimates, start: int, ends: NDArray[np.int64]) -> _Days:
    stop = int(ends.max(initial=start + 1))
    span = slice(start, stop)
    outside = np.arange(start, stop)[None, :] >= ends[:, None]
    return _Days(
        ar=np.where(outside, np.nan, estimates.ar[:, span]),
        ret=estimates.ret[:, span],
        expected=estimates.expected[:, span],
        loading=np.where(outside[:, :, None], 0.0, estimates.loading[:, span]),
        own_variance=np.where(outside, 0.0, estimates.own_variance[:, span]),
    )


def _flags(estimates: Estimates, sides: NDArray[np.int8], columns: slice, ends: NDArray[np.int64]) -> pl.Series:
    """What a reader must know about days of the window, in words; null where there is nothing."""
    span = slice(columns.start, int(ends.max(initial=columns.start + 1)))
    taus = estimates.taus[span]
    inside = np.arange(span.start, span.stop)[None, :] < ends[:, None]
    said: dict[int, list[str]] = {}  # most events have nothing to say
    no_return = np.isnan(estimates.ret[:, span])
    for what, mask in (
        ("no return on", no_return),
        ("no benchmark or factor on", np.isnan(estimates.ar[:, span]) & ~no_return),
        ("at the upper price limit on", sides[:, span] > 0),
        ("at the lower price limit on", sides[:, span] < 0),
    ):
        shown = mask & inside
        for row in np.flatnonzero(shown.any(axis=1)).tolist():
            days = ", ".join(str(tau) for tau in taus[shown[row]])
            said.setdefault(row, []).append(f"{what} {days}")
    return pl.Series([("; ".join(said[row]) if row in said else None) for row in range(len(sides))], dtype=pl.String)
