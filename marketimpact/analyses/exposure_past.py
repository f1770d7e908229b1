"""Slopes of a cross-section of returns on exposures, on the event's sessions and on every window of the past.

A slope is the return of a portfolio: long the firms with much of the exposure, short those with little, all firms'
weights a row of ``(X' W X)^-1 X' W``. Its error on one date is how much that portfolio moves on ordinary days.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.inference import RECENT_SESSIONS

__all__ = [
    "FEWEST_FIRMS",
    "LEAST_ESTIMATION",
    "LEAST_PRESENT",
    "CrossSection",
    "Method",
    "SlopeDesign",
    "is_collinear",
    "return_sums",
    "slopes",
]

Method = Literal["ols", "gls"]

#: Fewest firms of a cross-section.
FEWEST_FIRMS = 8
#: Share of the windows of the past in which a firm must have its returns.
LEAST_PRESENT = 0.8
#: Fewest sessions with returns from which a market model or a covariance is estimated.
LEAST_ESTIMATION = 60
#: Least own variance of a firm in the covariance of GLS, as a share of the firms' mean: no firm gets all the weight.
LEAST_OWN_VARIANCE = 0.1
#: Principal components of the covariance, at most one for so many firms.
FIRMS_PER_COMPONENT = 4


@dataclass(frozen=True, slots=True)
class SlopeDesign:
    """Windows of a slope and how it is estimated; sessions count from day 0, ends included.

    Attributes
    ----------
    window : tuple of int
        Sessions of the event over which returns are summed.
    past : int
        Sessions of the past that slopes are compared with.
    gap : int
        Sessions left out before the event window, and between every window and what is estimated before it.
    method : {"ols", "gls"}
        Least squares, or weighted by the inverse covariance of the firms.
    abnormal : bool
        Whether returns are those beyond a market model.
    estimation : int
        Sessions before each window from which market model or covariance are estimated.
    excluded : array of bool or None
        Rows of the panel that are missing before the event window; None where there are none.
    """

    window: tuple[int, int]
    past: int
    gap: int
    method: Method
    abnormal: bool
    estimation: int
    excluded: Bools | None = field(default=None, repr=False, compare=False)

    @property
    def length(self) -> int:
        """Sessions of the event window."""
        return self.window[1] - self.window[0] + 1

    @property
    def estimates_before(self) -> bool:
        """Check whether something is estimated before each window."""
        return self.abnormal or self.method == "gls"

    @property
    def first_read(self) -> int:
        """First session that is read."""
        first = min(self.window[0] - self.gap - self.past, min(self.window[0], 0) - RECENT_SESSIONS)
        return first - (self.gap + self.estimation) * self.estimates_before

    def past_starts(self, length: int | None = None) -> Ints:
        """List the first sessions of the windows of the past, in order of time; windows of one length do not overlap.

        They begin one after another and the last one ends `gap` sessions before the event window.
        """
        size = self.length if length is None else length
        count = self.past // size
        return np.asarray(self.window[0] - self.gap - size * np.arange(count, 0, -1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class CrossSection:
    """Firms of one announcement: exposures, and returns session by session of each firm's own exchange.

    Attributes
    ----------
    symbols : tuple of str
        Symbols of the N firms.
    x : (N, k) array
        A constant, then the exposures.
    weights : (N,) array or None
        Weights of least squares; None where all are alike.
    first : int
        Session of the first column of the returns, counted from each firm's day 0.
    ret, market : (N, S) arrays
        Returns of the firms and of their benchmarks; NaN where missing.
    """

    symbols: tuple[str, ...]
    x: Floats
    weights: Floats | None
    first: int
    ret: Floats
    market: Floats

    def take(self, firms: Bools) -> CrossSection:
        """Return some of the firms."""
        return replace(
            self,
            symbols=tuple(np.array(self.symbols)[firms].tolist()),
            x=self.x[firms],
            weights=None if self.weights is None else self.weights[firms],
            ret=self.ret[firms],
            market=self.market[firms],
        )

    def before(self, session: int, length: int) -> slice:
        """Return the columns of the `length` sessions before `session`, as far as they were read."""
        end = min(max(session - self.first, 0), self.ret.shape[1])
        return slice(max(end - length, 0), end)


def slopes(
    section: CrossSection, design: SlopeDesign, starts: Ints, length: int = 1, *, anchor: int | None = None
) -> Floats:
    """Regress returns summed over windows on the exposures, window by window.

    Parameters
    ----------
    section : CrossSection
        The firms.
    design : SlopeDesign
        How slopes are estimated.
    starts : (W,) array of int
        First session of each window.
    length : int
        Sessions of each window.
    anchor : int, optional
        Session before which market model and covariance of all windows are estimated; by default before each window.

    Returns
    -------
    (W, k) array
        Constant and slopes; NaN for windows in which fewer than `FEWEST_FIRMS` have a return, the exposures of those
        that have one are collinear, or too little is known before the window.
    """
    anchors = starts if anchor is None else np.full(len(starts), anchor)
    returns = return_sums(section, design, starts, length, anchors)
    found = np.full((len(starts), section.x.shape[1]), np.nan)
    known: dict[bytes, Floats | None] = {}
    for row, (column, before) in enumerate(zip(returns.T, anchors, strict=True)):
        present = ~np.isnan(column)
        key = present.tobytes() + (int(before).to_bytes(8, signed=True) if design.method == "gls" else b"")
        if key not in known:
            known[key] = _portfolios(section, design, int(before), present)
        portfolios = known[key]
        if portfolios is not None:
            found[row] = portfolios @ column[present]
    return found


def return_sums(
    section: CrossSection, design: SlopeDesign, starts: Ints, length: int, anchors: Ints | None = None
) -> Floats:
    """Sum returns, or abnormal returns, over windows, (N, W); NaN where a session has no return."""
    ret = _window_sums(section, section.ret, starts, length)
    if not design.abnormal:
        return ret
    alpha, beta = _market_models(section, design, starts if anchors is None else anchors)
    return np.asarray(ret - length * alpha - beta * _window_sums(section, section.market, starts, length))


def _window_sums(section: CrossSection, values: Floats, starts: Ints, length: int) -> Floats:
    """Sum columns over windows, (N, W); NaN where one is missing or lies outside of what was read."""
    sessions = starts[:, None] + np.arange(length)
    columns = sessions - section.first
    inside = (columns >= 0) & (columns < values.shape[1])
    picked = values[:, np.clip(columns, 0, values.shape[1] - 1)]
    return np.asarray(np.where(inside, picked, np.nan).sum(axis=2))


def _market_models(section: CrossSection, design: SlopeDesign, anchors: Ints) -> tuple[Floats, Floats]:
    """Fit the market model of every firm before each anchor, (N, W) constants and betas, from running sums."""
    known = ~np.isnan(section.ret) & ~np.isnan(section.market)
    counts = known.sum(axis=1, keepdims=True)
    centre = [
        np.where(known, values, 0.0).sum(axis=1, keepdims=True) / np.maximum(counts, 1)
        for values in (section.ret, section.market)
    ]
    y, m = (np.where(known, v - c, 0.0) for v, c in zip((section.ret, section.market), centre, strict=True))
    columns = [section.before(int(anchor) - design.gap, design.estimation) for anchor in anchors]
    begins, ends = np.array([[part.start, part.stop] for part in columns], dtype=np.int64).reshape(-1, 2).T
    n, sum_y, sum_m, sum_ym, sum_mm = (
        _between(part.astype(np.float64), begins, ends) for part in (known, y, m, y * m, m * m)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = sum_mm - sum_m**2 / n
        beta = (sum_ym - sum_y * sum_m / n) / spread
        alpha = sum_y / n - beta * sum_m / n + centre[0] - beta * centre[1]
    defined = (n >= LEAST_ESTIMATION) & (spread > 0)
    return np.where(defined, alpha, np.nan), np.where(defined, beta, np.nan)


def _between(values: Floats, begins: Ints, ends: Ints) -> Floats:
    """Sum columns from `begins` to before `ends`, (N, W)."""
    running = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    return np.asarray(running[:, ends] - running[:, begins])


def is_collinear(x: Floats) -> bool:
    """Check whether a column of regressors, (N, k), is constant or a combination of the others."""
    return bool(np.linalg.matrix_rank(x / np.maximum(np.abs(x).max(axis=0), np.finfo(float).tiny)) < x.shape[1])


def _portfolios(section: CrossSection, design: SlopeDesign, anchor: int, present: Bools) -> Floats | None:
    """Compute the weights of the firms present in constant and slopes, (k, n); None where they are undefined."""
    x = section.x[present]
    if len(x) < FEWEST_FIRMS or is_collinear(x):
        return None
    if design.method == "gls":
        covariance = _covariance(section, design, anchor, present)
        if covariance is None:
            return None
        scaled = np.linalg.inv(np.linalg.cholesky(covariance))
    else:
        weights = np.ones(len(x)) if section.weights is None else section.weights[present]
        scaled = np.diag(np.sqrt(weights))
    return np.asarray(np.linalg.pinv(scaled @ x) @ scaled)


def _covariance(section: CrossSection, design: SlopeDesign, anchor: int, present: Bools) -> Floats | None:
    """Estimate the covariance of the firms present from the sessions before a window, (n, n).

    Principal components of the standardised returns carry what firms share; what is left of each firm is its own
    variance, at least a tenth of the firms' mean, so that the sum is invertible however few sessions there are.
    Components are those whose eigenvalue of the correlation matrix exceeds what unrelated returns reach,
    ``(1 + sqrt(n / T))^2`` (Marchenko and Pastur 1967), one for every four firms at most. None with too few
    complete sessions.
    """
    columns = section.before(anchor - design.gap, design.estimation)
    ret, market = section.ret[present, columns], section.market[present, columns]
    complete = ~np.isnan(ret).any(axis=0)
    if design.abnormal:
        complete &= ~np.isnan(market).any(axis=0)
    if complete.sum() < LEAST_ESTIMATION:
        return None
    own = ret[:, complete] - ret[:, complete].mean(axis=1, keepdims=True)
    if design.abnormal:
        benchmark = market[:, complete] - market[:, complete].mean(axis=1, keepdims=True)
        beta = (own * benchmark).sum(axis=1) / (benchmark**2).sum(axis=1)
        own = own - beta[:, None] * benchmark
    scale = own.std(axis=1, ddof=1)
    return None if (scale == 0).any() else _factor_covariance(own / scale[:, None]) * np.outer(scale, scale)


def _factor_covariance(standardised: Floats) -> Floats:
    """Split the correlation of n standardised series, (n, T), into components and own variances, (n, n)."""
    n, sessions = standardised.shape
    values, vectors = np.linalg.eigh(standardised @ standardised.T / (sessions - 1))
    shared = int((values > (1.0 + np.sqrt(n / sessions)) ** 2).sum())
    count = min(max(shared, 1), n // FIRMS_PER_COMPONENT)
    loadings = vectors[:, n - count :] * np.sqrt(values[n - count :])
    own = 1.0 - (loadings**2).sum(axis=1)
    return np.asarray(loadings @ loadings.T + np.diag(np.maximum(own, LEAST_OWN_VARIANCE * own.mean())))
