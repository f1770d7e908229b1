"""Filtered historical simulation: abnormal returns over the volatility known the evening before.

Policy comes in turbulent times, and a variance from an estimation window of a year does not know it. Here the sum of
abnormal returns over a window of L sessions is divided by the volatility of the sessions before it, and compared with
the sums over every L sessions of the estimation window, each divided by the volatility of the sessions before it in
the same way (Barone-Adesi, Giannopoulos and Vosper 1999). The volatility is an exponentially weighted mean of absolute
abnormal returns, which is less noisy than one of squares where tails are fat (Davidian and Carroll 1987), with a part
of the usual volatility where the last sessions were calmer. Half-life and part are fixed, not estimated:
docs/size_and_power.md has the rates of others.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import scipy

from marketimpact.core import limits
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.chunks import chunks
from marketimpact.core.factorize import Factorized, factorize
from marketimpact.core.lazy_matrix import LazyMatrix, RowIndex, run_sums
from marketimpact.inference.date_means import DateMeans

__all__ = [
    "FilteredDates",
    "FilteredErrors",
    "FilteredMean",
    "FilteredSeries",
    "filter_series",
    "filtered_dates",
    "filtered_errors",
    "filtered_errors_of",
    "filtered_family",
    "filtered_mean",
    "own_days_of",
    "relative_estimation_error",
    "why_undefined",
]

#: Sessions after which a weight has halved.
HALF_LIFE = 3
#: Weight of a session relative to that of the session after it.
DECAY = 0.5 ** (1.0 / HALF_LIFE)
#: Share of the usual volatility in the one known before, where the last sessions were calmer than usual: a calm week
#: says less about the next day than a turbulent one.
LONG_RUN = 1.0 / 3.0
#: Share of all weights that must lie on sessions with a return: that of six sessions, or of all but the last.
LEAST_WEIGHT = 0.7
#: Fewest blocks of the estimation window to compare with.
LEAST_BLOCKS = 30
#: Why a volatility is unknown.
NO_RECENT_RETURNS = "too many of the last sessions have no return, are excluded, or have an unchanged price"
#: Share of the variance of the mean on dates whose block is known, below which the block of all dates is left out.
LEAST_SHARE = 0.5


class FilteredEvents(Protocol):
    """Estimation windows and windows of N events; see `Sample` for the shapes."""

    @property
    def n(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def lag(self) -> int: ...
    @property
    def day0(self) -> Ints: ...
    @property
    def car(self) -> Floats: ...
    @property
    def filtered_errors(self) -> FilteredErrors: ...
    @property
    def filtered_dates(self) -> FilteredDates: ...
    @property
    def n_before(self) -> int: ...
    @property
    def own_days(self) -> Floats: ...
    @property
    def n_obs(self) -> Ints: ...
    @property
    def se(self) -> Floats: ...
    @property
    def sigma(self) -> Floats: ...
    @property
    def residuals(self) -> LazyMatrix: ...
    @property
    def placebo(self) -> LazyMatrix: ...
    @property
    def recent_ar(self) -> LazyMatrix: ...
    @property
    def serial_correlation(self) -> bool: ...
    @property
    def changing_variance(self) -> bool: ...
    @property
    def estimation_inflation(self) -> float: ...
    @property
    def shares(self) -> Floats | None: ...
    def mean(self, values: Floats) -> float: ...
    def sums_by(self, codes: Ints, values: Floats) -> Floats: ...
    def sizes_by(self, codes: Ints) -> Floats: ...


class FilteredSeries(NamedTuple):
    """G series of abnormal returns, divided by the volatility known the evening before.

    Attributes
    ----------
    variance_ratio : (G,) array
        Squared mean absolute abnormal return of the last sessions, relative to that of the estimation window; NaN
        where unknown.
    volatility : (G,) array
        Mean absolute abnormal return known before the event (fraction per session), with its long-run part; NaN where
        unknown.
    blocks : (G, B) array
        Sum over each block of sessions of the estimation window over its own volatility and the root of its length;
        NaN where a return or the volatility is unknown.
    """

    variance_ratio: Floats
    volatility: Floats
    blocks: Floats


class FilteredErrors(NamedTuple):
    """Standard errors of the CARs of N events, from the volatility known the evening before.

    Attributes
    ----------
    variance_ratio : (N,) array
        As in `FilteredSeries`.
    se : (N,) array
        Standard error of the CAR (fraction); NaN where it is undefined.
    df : (N,) array
        Degrees of freedom.
    n_blocks : (N,) array
        Blocks of the estimation window that are compared with.
    """

    variance_ratio: Floats
    se: Floats
    df: Floats
    n_blocks: Ints

    def p_values(self, car: Floats) -> Floats:
        """Compute two-sided p-values of Student's t, (N,)."""
        return np.asarray(2.0 * scipy.special.stdtr(self.df, -np.abs(car / self.se)))

    def half_widths(self, level: float = 0.95) -> Floats:
        """Compute half the width of a confidence interval of each CAR, (N,)."""
        return np.asarray(self.se * scipy.special.stdtrit(self.df, 0.5 + level / 2.0))


class FilteredDates(NamedTuple):
    """Estimation windows of the G dates of a sample, each the mean of its events: the same whatever the CARs are.

    Attributes
    ----------
    dates : Factorized
        Day 0 of the events.
    size : (G,) array
        Number of events of each date, or the sum of their weights, whose mean is one.
    n_obs : (G,) array
        Days of the estimation window.
    usual : (G,) array
        Mean absolute abnormal return of the estimation window (fraction per session); NaN where nothing moved.
    blocks : (G, B) array
        As in `FilteredSeries`.
    block_size : (G,) array
        Root mean square of the blocks.
    days : (G,) array
        Days of the window in variances of one session, mean over the events.
    variance : (G,) array
        Variance of each date's part of the mean CAR in the estimation window.
    relative_error : float
        Variance due to estimated coefficients relative to the rest, mean over the events.
    """

    dates: Factorized
    size: Floats
    n_obs: Ints
    usual: Floats
    blocks: Floats
    block_size: Floats
    days: Floats
    variance: Floats
    relative_error: float


class FilteredMean(NamedTuple):
    """The mean CAR of a sample over blocks of estimation days, at the volatility known before the events.

    Attributes
    ----------
    variance_ratio : float
        Variance of the mean known the evening before, relative to that of the estimation windows; nan where unknown.
    blocks : (B,) array
        Mean CAR over each block (fractions).
    date_se : (G,) array
        Standard error of the mean CAR of each day 0, without that of estimated coefficients.
    se, df : float
        Standard error of the mean CAR and its degrees of freedom; nan where it is undefined.
    why_undefined : str
        Why there is no standard error; empty where there is one.
    """

    variance_ratio: float
    blocks: Floats
    date_se: Floats
    se: float
    df: float
    why_undefined: str

    @property
    def widened_blocks(self) -> Floats:
        """Blocks times the factor by which errors of estimation widen the distribution of the mean CAR."""
        return np.asarray(self.blocks * self.se / np.sqrt((self.blocks**2).mean()))


def filter_series(residuals: Floats, recent: Floats, length: int, lag: int = 0) -> FilteredSeries:
    """Divide the sums over blocks of the estimation window by the volatility known the evening before each.

    Parameters
    ----------
    residuals : (G, M) array
        Abnormal returns of the estimation window, in order of time; NaN where missing.
    recent : (G, K) array
        Abnormal returns of the last K sessions before the event window and day 0, also of those between the estimation
        window and the event.
    length : int
        Sessions of the event window, L.
    lag : int
        Sessions between the last one known and the first one of the event window: those from day 0 on.
    """
    usual, blocks = _filtered_blocks(residuals, length, lag)
    return FilteredSeries(*_volatility_now(recent, usual), blocks)


def _filtered_blocks(residuals: Floats, length: int, lag: int) -> tuple[Floats, Floats]:
    """Compute the usual volatility, (G,), and the sums over blocks by the volatility before each, (G, B)."""
    size = np.abs(residuals)
    total = np.nansum(size, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = np.where(total > 0, total, np.nan) / (~np.isnan(size)).sum(axis=1)
        known = _with_long_run(_known_before(size, lag), usual[:, None])
        blocks = run_sums(residuals, length) / known[:, : max(size.shape[1] - length + 1, 0)] / np.sqrt(length)
    return usual, blocks


def _volatility_now(recent: Floats, usual: Floats) -> tuple[Floats, Floats]:
    """Compute the variance ratio and the volatility known before the event, (G,) each; see `FilteredSeries`."""
    recent_size = _recent_mean(np.abs(recent))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (recent_size / usual) ** 2, _with_long_run(recent_size, usual)


def _with_long_run(recent: Floats, usual: Floats) -> Floats:
    """Move a recent volatility below the usual one a part of the way back to it."""
    return np.where(recent >= usual, recent, (1.0 - LONG_RUN) * recent + LONG_RUN * usual)


def _known_before(size: Floats, lag: int) -> Floats:
    """Average the absolute values before each session, the last `lag` of them left out, (G, M) to (G, M)."""
    present = ~np.isnan(size)
    filled = np.where(present, size, 0.0), present.astype(np.float64)
    total, weight = (scipy.signal.lfilter([0.0] * (1 + lag) + [1.0], [1.0, -DECAY], part, axis=1) for part in filled)
    return _weighted_mean(total, weight)


def _recent_mean(size: Floats) -> Floats:
    """Average absolute values, (G, K), the last session weighted most, (G,)."""
    present = ~np.isnan(size)
    weight = DECAY ** np.arange(size.shape[1])[::-1]
    return _weighted_mean(np.where(present, size, 0.0) @ weight, present @ weight)


def _weighted_mean(total: Floats, weight: Floats) -> Floats:
    """Divide sums by weights; NaN where these are less than `LEAST_WEIGHT` of all weights, or nothing has moved."""
    enough = (weight * (1.0 - DECAY) >= LEAST_WEIGHT) & (total > 0)
    return np.where(enough, total / np.where(enough, weight, 1.0), np.nan)


def _block_df(n_blocks: Ints | int, length: int) -> Floats:
    """Compute the degrees of freedom of a variance from overlapping sums of `length` sessions.

    The variance of B such sums has a squared relative error of ``2 (2 L^2 + 1) / (3 L B)`` (Lo and MacKinlay 1988).
    """
    return np.asarray(np.asarray(n_blocks) * 3.0 * length / (2.0 * length**2 + 1.0) - 1.0)


def own_days_of(variance: Floats, sigma: Floats, n_days: Ints, *, by_trade: bool) -> Floats:
    """Count the days of each window in variances of one session, (N,): a return since the last trade has several."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(variance / sigma**2 if by_trade else n_days, dtype=np.float64)


def relative_estimation_error(variance: Floats, sigma: Floats, own_days: Floats, n_obs: Ints, *, exact: bool) -> Floats:
    """Compute the variance of CARs that is due to estimated coefficients, relative to the rest, (N,).

    Parameters
    ----------
    variance, sigma : (N,) arrays
        Forecast variance of each CAR; residual standard deviation per session.
    own_days, n_obs : (N,) arrays
        Sessions of the window; of the estimation window.
    exact : bool
        Whether the rest of `variance` is ``own_days sigma^2``. Where it is not (autocorrelation, changing variance),
        the part due to the constant stands for the whole.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = variance / (sigma**2 * own_days) - 1.0 if exact else own_days / n_obs
        return np.maximum(share, 0.0)


def filtered_errors(
    residuals: LazyMatrix,
    recent: LazyMatrix,
    *,
    length: int,
    lag: int,
    n_before: int,
    own_days: Floats,
    relative_error: Floats,
) -> FilteredErrors:
    """Compute the standard errors of N events' CARs from the volatility known the evening before.

    ``se^2 = d (v^2 mean(z^2) / (1 - L / T) + e s^2)``: d the days of the window, v the volatility now, z the sums over
    blocks, T the estimation days, s^2 their variance, e the relative error of estimation. Sums of residuals vary by
    ``1 - L / T`` less than sums of new returns.

    Parameters
    ----------
    residuals, recent : LazyMatrix (N, M) and (N, K)
        Abnormal returns of the estimation window and of the last sessions before the event.
    length, lag : int
        As for `filter_series`.
    n_before : int
        Sessions of the estimation window that lie before the event.
    own_days, relative_error : (N,) arrays
        From `own_days_of` and `relative_estimation_error`.
    """
    if not residuals.n:
        return FilteredErrors(np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))
    moments = _block_moments if residuals.n < limits.COMPILED_FROM_ROWS else _compiled_block_moments

    def read(rows: RowIndex, values: Floats) -> Floats:
        return moments(values[:, :n_before], recent.rows(rows), length, lag)

    ratio, volatility, squares, n_blocks, usual, n_obs = residuals.map_rows(read).T
    df = _block_df(n_blocks, length)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = volatility**2 * squares / n_blocks / (1.0 - length / n_obs)
        variance = own_days * (own + relative_error * usual / n_obs)
    defined = (n_blocks >= LEAST_BLOCKS) & (n_obs > length) & (own > 0) & (df >= 1.0) & (own_days > 0)
    return FilteredErrors(ratio, np.sqrt(np.where(defined, variance, np.nan)), df, n_blocks.astype(np.int64))


def _block_moments(residuals: Floats, recent: Floats, length: int, lag: int) -> Floats:
    """Summarise K series, (K, M) and (K, R): a row each, (K, 6).

    Variance ratio, volatility now, sum of squares over blocks and their number, sum of squares over days and their
    number.
    """
    series = filter_series(residuals, recent, length, lag)
    columns = [series.variance_ratio, series.volatility]
    for values in (series.blocks, residuals):
        columns += [np.nansum(values**2, axis=1), (~np.isnan(values)).sum(axis=1)]
    return np.column_stack(columns)


def _compiled_block_moments(residuals: Floats, recent: Floats, length: int, lag: int) -> Floats:
    """Do as `_block_moments` in a compiled loop; last bits differ."""
    from marketimpact.inference.volatility_filter_kernels import block_moments  # noqa: PLC0415  # numba is slow to load

    moments: Floats = block_moments(residuals, recent, length, lag, DECAY, LEAST_WEIGHT, LONG_RUN)
    return moments


def filtered_errors_of(sample: FilteredEvents) -> FilteredErrors:
    """Compute the standard errors of the CARs of a sample's events from the volatility known the evening before."""
    return filtered_errors(
        sample.residuals,
        sample.recent_ar,
        length=sample.length,
        lag=sample.lag,
        n_before=sample.n_before,
        own_days=sample.own_days,
        relative_error=_relative_errors(sample),
    )


def _relative_errors(sample: FilteredEvents) -> Floats:
    exact = not (sample.serial_correlation or sample.changing_variance)
    return relative_estimation_error(sample.se**2, sample.sigma, sample.own_days, sample.n_obs, exact=exact)


def filtered_family(sample: FilteredEvents) -> tuple[Floats, Floats]:
    """Standardise the CARs of a family of events, and draw all of them jointly from blocks of estimation days.

    Returns
    -------
    observed : (N,) array
        CAR over its standard error; 0 where that is undefined.
    drawn : (B, N) array
        The same over each block that all of these events have, one shift for all; empty with too few of them.
    """
    observed, drawn = np.zeros(sample.n), np.zeros((max(sample.n_before - sample.length + 1, 0), sample.n))
    se = sample.filtered_errors.se
    defined = np.isfinite(se)
    observed[defined] = sample.car[defined] / se[defined]
    for rows in chunks(sample.n, limits.LAZY_CHUNK_ROWS):
        residuals = sample.placebo.rows(rows)[:, : sample.n_before]
        blocks = filter_series(residuals, sample.recent_ar.rows(rows), sample.length, sample.lag).blocks
        drawn[:, rows] = (blocks / _root_mean_square(blocks)[:, None]).T
    drawn[:, ~defined] = 0.0
    complete = drawn[~np.isnan(drawn).any(axis=1)]
    return observed, complete if len(complete) >= LEAST_BLOCKS else complete[:0]


def filtered_dates(sample: FilteredEvents) -> FilteredDates:
    """Filter the estimation windows of a sample's dates; all that `filtered_mean` needs but the recent volatility."""
    dates, length = factorize(sample.day0), sample.length
    size = sample.sizes_by(dates.codes)
    residuals = _means_of_dates(sample, sample.placebo, dates)[:, : sample.n_before]
    usual, blocks = _filtered_blocks(residuals, length, sample.lag)
    n_obs = (~np.isnan(residuals)).sum(axis=1)
    days = sample.sums_by(dates.codes, sample.own_days) / size
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (size / sample.n) ** 2 * days * np.nansum(residuals**2, axis=1) / n_obs
    relative_error = sample.mean(_relative_errors(sample))
    return FilteredDates(dates, size, n_obs, usual, blocks, _root_mean_square(blocks), days, variance, relative_error)


def _means_of_dates(sample: FilteredEvents, source: LazyMatrix, dates: Factorized) -> Floats:
    """Average the rows of the events of each date, with the weights of the sample, (G, D)."""
    shares = sample.shares
    mean = DateMeans(dates.counts if shares is None else np.bincount(dates.codes, weights=shares), source.width)
    for rows in chunks(sample.n, limits.LAZY_CHUNK_ROWS):
        mean.add(source.rows(rows), dates.codes[rows], None if shares is None else shares[rows])
    return mean.values


def filtered_mean(sample: FilteredEvents) -> FilteredMean:
    """Compute the mean CAR over blocks of estimation days at the volatility known before the events.

    The events of one day 0 are one series, their mean: its volatility has the shock that they share. A block is the
    same sessions before each date, so that dates whose windows overlap keep their correlation.
    """
    usual, length = sample.filtered_dates, sample.length
    n_obs = usual.n_obs
    recent = _means_of_dates(sample, sample.recent_ar, usual.dates)
    variance_ratio, volatility = _volatility_now(recent, usual.usual)
    if why_not := _why_unknown(int((~np.isfinite(volatility)).sum()), n_obs, length):
        return FilteredMean(np.nan, np.empty(0), np.full(len(n_obs), np.nan), np.nan, np.nan, why_not)
    scale = volatility * np.sqrt(usual.days / (1.0 - length / n_obs))
    blocks = _sum_of_dates(usual.size / sample.n * scale, usual.blocks) * np.sqrt(sample.estimation_inflation)
    error = float(usual.variance.sum() * usual.relative_error * sample.estimation_inflation)
    df = float(_block_df(len(blocks), length))
    why_not = _why_few_blocks(len(blocks), length, df)
    return FilteredMean(
        variance_ratio=float((usual.variance * variance_ratio).sum() / usual.variance.sum()),
        blocks=blocks,
        date_se=scale * usual.block_size,
        se=np.nan if why_not else float(np.sqrt((blocks**2).mean() + error)),
        df=df,
        why_undefined=why_not,
    )


def _why_unknown(n_unknown: int, n_obs: Ints, length: int) -> str:
    """Explain why dates have no volatility known the evening before; empty where all have."""
    if (n_obs <= length).any():
        return f"a window of {length} sessions is as long as an estimation window of {int(n_obs.min())}"
    if not n_unknown:
        return ""
    dates = f" of {n_unknown} of {len(n_obs)} dates" if len(n_obs) > 1 else ""
    return f"the volatility before the window{dates} is unknown: {NO_RECENT_RETURNS}"


def _why_few_blocks(n_blocks: int, length: int, df: float) -> str:
    """Explain why the blocks of the estimation window are too few; empty where they are not."""
    if n_blocks < LEAST_BLOCKS:
        return (
            f"needs at least {LEAST_BLOCKS} blocks of estimation sessions, each after six with returns, here are "
            f"{n_blocks}"
        )
    if df < 1.0:
        return f"{n_blocks} blocks of {length} sessions, which overlap, leave less than one degree of freedom"
    return ""


def _root_mean_square(blocks: Floats) -> Floats:
    """Average the squares of each series, (G, B); the root, (G,), NaN without a block."""
    n = (~np.isnan(blocks)).sum(axis=1)
    return np.asarray(np.sqrt(np.nansum(blocks**2, axis=1) / np.where(n > 0, n, np.nan)))


def _sum_of_dates(scale: Floats, blocks: Floats) -> Floats:
    """Add up the dates' blocks, (G, B), at their scales; blocks of few dates are left out, others scaled up, (B,)."""
    present = ~np.isnan(blocks)
    share = (scale**2 @ present) / (scale**2).sum()
    usable = share >= LEAST_SHARE
    total = scale @ np.where(present, blocks, 0.0)
    return np.asarray(total[usable] / np.sqrt(share[usable]))


def why_undefined(errors: FilteredErrors, row: int, length: int) -> str:
    """Explain why an event has no standard error from the volatility known the evening before; empty where it has."""
    if np.isfinite(errors.se[row]):
        return ""
    if not np.isfinite(errors.variance_ratio[row]):
        return f"the volatility before the window is unknown: {NO_RECENT_RETURNS}"
    reason = _why_few_blocks(int(errors.n_blocks[row]), length, float(errors.df[row]))
    return reason or f"a window of {length} sessions is too long for the estimation window"
