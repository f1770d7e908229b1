"""Placebo days: announcements moved to random other days of their estimation windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.errors import SpecificationError
from marketimpact.estimation.estimates import Estimates
from marketimpact.inference import RECENT_SESSIONS, connected_groups, day_block_sums, overlap_of
from marketimpact.market.market import Market
from marketimpact.models import forecast
from marketimpact.study.event_groups import exchanges, securities_of

__all__ = [
    "MIN_POSITIONS",
    "PlaceboDays",
    "PlaceboResiduals",
    "draw_shifts",
    "placebo_residuals",
    "with_forecast_variance",
]


#: Fewer placebo positions than this cannot give a p-value of 5%.
MIN_POSITIONS = 20
#: Residuals of a whole estimation window add up to zero: a block sum with less variance a day than this is rounding.
MIN_VARIANCE_PER_DAY = 1e-6


@dataclass(frozen=True, slots=True)
class PlaceboDays:
    """Placebo day 0 of every event in every draw.

    Attributes
    ----------
    event_ids : polars.Series
        N events, sorted.
    day0 : (D, N) array
        Dates as days since 1970-01-01.
    common_window : tuple of int
        First and last session that all estimation windows share; placebo windows lie inside.
    n_chains : int
        Groups of announcements that moved together, since their windows share days.
    n_positions : (C,) array
        Positions each chain could be moved to.
    overlapping : float
        Share of moved events whose placebo window overlaps the event window of another announcement to the
        same security.
    moved_alone : float
        Share of moved events that were moved by themselves, since they had no returns where their
        announcement was moved to.
    """

    event_ids: pl.Series
    day0: Ints
    common_window: tuple[int, int]
    n_chains: int
    n_positions: Ints
    overlapping: float
    moved_alone: float


@dataclass(frozen=True, slots=True)
class _CommonWindow:
    """N events on the sessions that every estimation window has in common, ``first`` to ``last`` in tau."""

    first: int
    last: int
    event: tuple[int, int]
    events: pl.DataFrame
    #: Number of day 0 among the sessions of the exchange, (N,).
    session: Ints
    #: Dates of the event window, (N, L), and of the common window, (N, S).
    window_dates: Ints
    dates: Ints
    #: Whether there is a residual, (N, S).
    present: Bools


def draw_shifts(estimates: Sequence[Estimates], days: Ints, draws: int, seed: int) -> PlaceboDays:
    """Move every chain of announcements to random days of the common window that all estimation windows share.

    Parameters
    ----------
    estimates : sequence of Estimates
        Of the same events under several models, estimation windows and benchmarks; the first one's market has the
        exchanges.
    days : (T,) array
        Dates, sorted, on which any exchange was open: chains are moved along them.
    draws : int
        D. A single chain has only so many positions and takes each at most once.
    seed : int

    Raises
    ------
    SpecificationError
        When a chain has fewer than `MIN_POSITIONS` positions.
    """
    common = _common_window(estimates)
    chain = _chains(common, estimates[0].market)
    dates, column = _shifted_dates(common, days)
    start = column + common.event[0]
    length = common.event[1] - common.event[0] + 1
    inside = (start >= 0) & (start + length <= common.dates.shape[1])
    overlaps_other = _meets_other_event(common, column)
    returns = _return_counts(common, start, length)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(chain == number) for number in range(int(chain.max()) + 1)]
    positions = [_admissible_shifts(common, inside[rows], overlaps_other[rows]) for rows in members]
    draws_of_chains = _draw_positions(rng, positions, draws)
    shifts = np.empty((len(draws_of_chains[0]), len(chain)), dtype=np.int64)
    for rows, steps in zip(members, draws_of_chains, strict=True):
        shifts[:, rows] = steps[:, None]
    moved_alone = _move_alone(shifts, inside, returns, length, rng)
    row = np.arange(len(chain))
    return PlaceboDays(
        event_ids=common.events["event_id"],
        day0=dates[row, shifts],
        common_window=(common.first, common.last),
        n_chains=len(members),
        n_positions=np.array([len(choices) for choices in positions]),
        overlapping=float(overlaps_other[row, shifts].mean()),
        moved_alone=moved_alone,
    )


def _draw_positions(rng: np.random.Generator, positions: Sequence[Ints], draws: int) -> list[Ints]:
    """Draw each chain's position in every draw; a single chain takes each position once."""
    if len(positions) == 1:
        return [rng.permutation(positions[0])[:draws]]
    return [rng.choice(choices, draws) for choices in positions]


def _common_window(estimates: Sequence[Estimates]) -> _CommonWindow:
    first = max(values.settings.estimation[0] for values in estimates)
    last = min(values.settings.estimation[1] for values in estimates)
    event = estimates[0].settings.event
    if any(values.positions.estimation_differs for values in estimates):
        raise SpecificationError(
            "The events have estimation windows of their own that differ, and placebo days are taken from sessions "
            "that all share. Drop estimation_first and estimation_last, or give all events one window."
        )
    if last - first + 1 < MIN_POSITIONS + event[1] - event[0]:
        raise SpecificationError(
            f"The estimation windows share the sessions {first} to {last} only, which leaves fewer than "
            f"{MIN_POSITIONS} positions for a placebo window as wide as {event}. Leave out the estimation window "
            "that shares least with the others, or the widest event window."
        )
    frames, session, window_dates, dates, present = [], [], [], [], []
    seen: set[str] = set()
    for values in estimates:
        ids = values.events["event_id"].to_list()
        new = np.array([row for row, name in enumerate(ids) if name not in seen], dtype=np.int64)
        seen.update(ids)
        columns = slice(first - values.settings.estimation[0], last - values.settings.estimation[0] + 1)
        frames.append(values.events[new])
        session.append(values.positions.day0[new])
        window_dates.append(values.dates[new])
        dates.append(values.estimation_dates[new, columns])
        present.append(~np.isnan(values.residuals[new, columns]))
    events = pl.concat(frames, how="diagonal")
    order = events["event_id"].arg_sort().to_numpy().astype(np.int64)
    return _CommonWindow(
        first,
        last,
        event,
        events=events[order],
        session=np.concatenate(session)[order],
        window_dates=np.concatenate(window_dates)[order],
        dates=np.concatenate(dates)[order],
        present=np.concatenate(present)[order],
    )


def _chains(common: _CommonWindow, market: Market) -> Ints:
    """Assign each event to a chain: events of one announcement, and of announcements whose windows share days."""
    column = "announcement_id" if "announcement_id" in common.events.columns else "date"
    cluster = common.events[column].rank("dense").to_numpy().astype(np.int64)
    shared = overlap_of(common.window_dates, *exchanges(securities_of(common.events, market), market))
    order = np.argsort(cluster, kind="stable")
    next_to = np.flatnonzero(np.diff(cluster[order]) == 0)
    one = np.concatenate([shared.one, order[next_to]])
    return connected_groups(len(cluster), one, np.concatenate([shared.other, order[next_to + 1]]))[1]


def _shifted_dates(common: _CommonWindow, days: Ints) -> tuple[Ints, Ints]:
    """Move day 0 back by k = 0, 1, ... open days; give the dates (N, K) and their columns in the common window (N, K).

    A date on which the exchange was shut becomes its next session.
    """
    day0 = common.events["date"].to_physical().to_numpy().astype(np.int64)
    position = np.searchsorted(days, day0)
    first_day = np.where(common.dates[:, 0] != NO_DAY, common.dates[:, 0], day0)
    steps = int((position - np.searchsorted(days, first_day)).max()) + 1
    target = days[np.maximum(position[:, None] - np.arange(steps)[None, :], 0)]
    column = np.stack([np.searchsorted(row, dates) for row, dates in zip(common.dates, target, strict=True)])
    return target, column


def _meets_other_event(common: _CommonWindow, column: Ints) -> Bools:
    """Check whether a placebo window overlaps the event window of any event of the same security, (N, K)."""
    session = common.session[:, None] + common.first + column
    width = common.event[1] - common.event[0]
    symbol = common.events["symbol"].rank("dense").to_numpy()
    overlaps = np.zeros(session.shape, dtype=bool)
    for number in np.unique(symbol):
        rows = np.flatnonzero(symbol == number)
        for other in common.session[rows]:
            overlaps[rows] |= np.abs(session[rows] - other) <= width
    return overlaps


def _return_counts(common: _CommonWindow, start: Ints, length: int) -> Ints:
    """Count the days with a residual in each placebo window, (N, K)."""
    _, counts = day_block_sums(np.where(common.present, 1.0, np.nan), length)
    row = np.arange(len(start))[:, None]
    return np.asarray(counts[row, np.clip(start, 0, counts.shape[1] - 1)], dtype=np.int64)


def _admissible_shifts(common: _CommonWindow, inside: Bools, overlaps_other: Bools) -> Ints:
    """List the shifts of a chain: those without overlaps, or with the fewest where these are too few."""
    possible = np.flatnonzero(inside.all(axis=0))
    if len(possible) < MIN_POSITIONS:
        raise SpecificationError(
            f"A chain of announcements has {len(possible)} positions for a placebo window as wide as {common.event} "
            f"between the sessions {common.first} and {common.last} that all estimation windows share; it "
            f"needs {MIN_POSITIONS}. Use longer estimation windows, or narrower event windows."
        )
    share = overlaps_other[:, possible].mean(axis=0)
    limit = np.sort(share)[MIN_POSITIONS - 1]
    return np.asarray(possible[share <= limit])


def _move_alone(shifts: Ints, inside: Bools, returns: Ints, length: int, rng: np.random.Generator) -> float:
    """Move events without returns at their chain's position by themselves, in place; give their share."""
    has_returns = inside & (2 * returns >= length)
    without_any = np.flatnonzero(~has_returns.any(axis=1))
    has_returns[without_any] = inside[without_any] & (
        returns[without_any] == returns[without_any].max(axis=1, keepdims=True)
    )
    row = np.arange(shifts.shape[1])
    without_returns = ~has_returns[row, shifts]
    for event in np.flatnonzero(without_returns.any(axis=0)):
        draws = np.flatnonzero(without_returns[:, event])
        shifts[draws, event] = rng.choice(np.flatnonzero(has_returns[event]), len(draws))
    return float(without_returns.mean())


@dataclass(frozen=True, slots=True)
class PlaceboResiduals:
    """Abnormal returns at placebo positions, under one model, estimation window and benchmark.

    Attributes
    ----------
    column : (D, N) array
        Column of the placebo day 0 among the N events' estimation windows.
    residual : (N, M) array
        Abnormal returns of the estimation window in units of their own standard error there.
    event : tuple of int
        First and last session of the event window, W sessions.
    event_se : (N, W) array
        Forecast standard errors of the abnormal returns of the event window, fractions.
    sums : dict
        Window -> standardised sums of every block of its length, (N, B).
    unscaled : (N, M) array
        Abnormal returns of the estimation window, fractions; NaN where missing.
    """

    column: Ints
    residual: Floats
    event: tuple[int, int]
    event_se: Floats
    sums: dict[tuple[int, int], Floats]
    unscaled: Floats

    def scar(self, draw: int, window: tuple[int, int], rows: Ints) -> Floats:
        """Look up the standardised sum over a placebo window, (n,), for some events; 0 without any return there."""
        return np.asarray(self.sums[window][rows, self.column[draw, rows] + window[0]])

    def recent_ar(self, draw: int, window: tuple[int, int], rows: Ints) -> Floats:
        """Look up abnormal returns of the `RECENT_SESSIONS` before the placebo window and day 0, (n, K)."""
        last = self.column[draw, rows] + min(window[0], 0)
        column = last[:, None] + np.arange(-RECENT_SESSIONS, 0)
        return np.where(column >= 0, self.unscaled[rows[:, None], np.maximum(column, 0)], np.nan)

    def event_ar(self, draw: int, rows: Ints) -> Floats:
        """Scale abnormal returns around the placebo day 0 to those of the event window, (n, W)."""
        taus = np.arange(self.event[0], self.event[1] + 1)
        residuals = self.residual[rows[:, None], self.column[draw, rows][:, None] + taus]
        return np.asarray(residuals * self.event_se[rows])


def placebo_residuals(
    estimates: Estimates, shifts: PlaceboDays, windows: Sequence[tuple[int, int]]
) -> PlaceboResiduals:
    """Look up the residuals at placebo positions.

    A residual varies less than an abnormal return outside the estimation window: a sum of n of them has the
    variance ``sigma^2 (n - |z|^2)``, z the sum of their forecast loadings, where outside it is ``sigma^2 (n +
    |z|^2)``. So sums are divided by their own standard error; multiplied by that of an event's CAR they are CARs. The
    common window has a mean of its own, about which placebo sums vary less than a sum from outside does;
    see `with_forecast_variance`.
    """
    first, last = estimates.settings.estimation
    width = last - first + 1
    _, x, _ = estimates.problem.design()
    residuals = estimates.residuals[:, :width]
    _, loading = forecast(estimates.fit, x[:, :width])
    loading = np.where(np.isnan(residuals)[:, :, None], 0.0, loading)
    inside = slice(shifts.common_window[0] - first, shifts.common_window[1] - first + 1)

    def standardised(length: int) -> Floats:
        values = _standardised_block_sums(residuals, loading, estimates.fit.sigma, length)
        return with_forecast_variance(
            values, inside, (~np.isnan(residuals[:, inside])).sum(axis=1), estimates.fit.mean_leverage, length
        )

    sums = {window: standardised(window[1] - window[0] + 1) for window in windows}
    order = shifts.event_ids.to_frame().with_row_index("_at")
    rows = estimates.events.select("event_id").join(
        order, on="event_id", how="left", validate="1:1", maintain_order="left"
    )
    day0 = shifts.day0[:, rows["_at"].to_numpy().astype(np.int64)]
    dates = estimates.estimation_dates[:, :width]
    column = np.stack([np.searchsorted(row, days) for row, days in zip(dates, day0.T, strict=True)], axis=1)
    event = estimates.settings.event
    column = np.clip(column, -event[0], width - 1 - event[1])
    return PlaceboResiduals(column, standardised(1), event, estimates.se, sums, residuals)


def with_forecast_variance(sums: Floats, inside: slice, n_days: Ints, base: Floats, length: int) -> Floats:
    """Scale standardised block sums about their mean to the variance of a sum outside the estimation window.

    Parameters
    ----------
    sums : (N, B) array
        Of `length` days each, with variance one.
    inside : slice
        Days of the common window.
    n_days : (N,) array
        S, those with a return.
    base : (N,) array
        ``1 / M`` where the model estimates a constant from M days, else 0.
    length : int
        L, days of a block.

    Notes
    -----
    The mean of the sums over the common window has about the variance ``c = L (1/S - base)``. The sums vary about
    it with ``1 - c``, one from outside with ``1 + c``.
    """
    blocks = sums[:, inside.start : max(inside.stop - length + 1, inside.start + 1)]
    mean = blocks.mean(axis=1, keepdims=True)
    c = np.clip(length * (1.0 / np.maximum(n_days, 1) - base), 0.0, 0.5)
    return np.asarray(mean + (sums - mean) * np.sqrt((1.0 + c) / (1.0 - c))[:, None])


def _standardised_block_sums(residuals: Floats, loading: Floats, sigma: Floats, length: int) -> Floats:
    """Divide the sum of every block by its standard error in the estimation window, (N, B); 0 without returns."""
    total, count = day_block_sums(residuals, length)
    leverage = np.zeros(total.shape)
    for column in range(loading.shape[2]):
        leverage += day_block_sums(loading[:, :, column], length)[0] ** 2
    variance = count - leverage
    has_variance = variance > MIN_VARIANCE_PER_DAY * np.maximum(count, 1.0)
    return np.where(has_variance, total / (sigma[:, None] * np.sqrt(np.where(has_variance, variance, 1.0))), 0.0)
