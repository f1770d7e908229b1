"""Rank tests: event days ranked among the estimation days of the same security."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marketimpact.core import limits
from marketimpact.core.arrays import Bools
from marketimpact.core.lazy_matrix import LazyMatrix, RowIndex, sum_by_day
from marketimpact.inference.compiled import kernels
from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.families.parametric import TOO_FEW, normal_p, student_p
from marketimpact.inference.families.placebo import day_block_sums
from marketimpact.inference.protocol import (
    ESTIMATION_VARIANCE,
    SPREAD_OF_EVENTS,
    Assumption,
    Holds,
    Outcome,
    SignificanceTest,
    no_result,
)
from marketimpact.inference.sample import Floats, Ints, Sample

__all__ = [
    "CORRADO_RANK", "CORRADO_ZIVNEY", "CORRADO_ZIVNEY_ADJ", "GRANK_T", "GRANK_T_R", "GRANK_Z", "GSIGN_T", "RANK_BLOCKS",
]  # fmt: skip


#: From the numbers of K events and their estimation days (K, M) to values or scores of days (K, D).
Values = Callable[[RowIndex, Floats], Floats]

#: Fewest blocks: the ranks among fewer are too coarse for a normal distribution.
MIN_RANKED = 30


def corrado_rank(sample: Sample) -> Outcome:
    """Divide the mean excess rank of the window's days by the root mean square of all days'."""
    all_days = _all_days(sample)

    def excess(rows: RowIndex, part: Floats) -> Floats:
        ranks, n_days = _ranks(all_days(rows, part))
        return ranks - (n_days + 1.0) / 2.0

    mean, used, _ = _mean_by_day(sample.pool.placebo, excess)
    spread = float(np.sqrt((mean[used] ** 2).mean()))
    window = _window_of(mean, used, sample)
    if not len(window) or not spread > 0:
        return no_result("no day of the window has a rank")
    z = float(window.sum() / (np.sqrt(len(window)) * spread))
    return Outcome(float(window.mean()), z, normal_p(z), se=spread)


def corrado_zivney(sample: Sample) -> Outcome:
    """Sum ranks over events on each day, each event's scaled to its own number of days."""
    return _zivney(sample, _all_days(sample))


def corrado_zivney_adj(sample: Sample) -> Outcome:
    """Run `corrado_zivney` on standardised returns, the event days divided by their cross-sectional spread."""
    if sample.n < 2:
        return no_result(TOO_FEW)
    pool = sample.pool
    sar = pool.event_ar.to_array() / pool.event_se.to_array()
    n_events = (~np.isnan(sar)).sum(axis=0)
    if (n_events[sample.columns] < 2).any():
        return no_result("needs at least 2 events on every day of the window")
    deviation = np.where(np.isnan(sar), 0.0, sar - _column_means(sar))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt((deviation**2).sum(axis=0) / (n_events - 1.0))
        adjusted = np.where(spread > 0, sar / spread, np.nan)
    return _zivney(sample, lambda rows, part: np.column_stack([part / pool.sigma[rows, None], adjusted[rows]]))


def rank_blocks(sample: Sample) -> Outcome:
    """Rank the window's return among the non-overlapping blocks of the estimation window.

    Blocks end with the estimation window; a block with a missing day is left out, an event with a
    missing day in the window too.
    """
    length, complete = sample.length, sample.n_days == sample.length
    residuals, car = sample.placebo.take(np.flatnonzero(complete)), sample.car[complete]
    if not residuals.n:
        return no_result("no event has every day of the window")

    def scores(rows: RowIndex, part: Floats) -> Floats:
        sums, present = day_block_sums(part[:, part.shape[1] % length :], length)
        blocks = np.where(present == length, sums, np.nan)[:, ::length]
        return _scores(np.column_stack([blocks, car[rows]]))

    total, used = _sum_by_day(residuals, scores)
    if used.sum() < 3:
        return no_result("needs at least 2 blocks in the estimation window")
    spread = float(np.sqrt((total[used] ** 2).mean()))
    if not spread > 0:
        return no_result("the scores do not vary")
    z = float(total[-1] / spread)
    return Outcome(
        np.nan,
        z,
        normal_p(z),
        se=spread,
        note=f"{int(used.sum())} blocks of {length} days",
        unreliable_because=f"needs {MIN_RANKED} blocks to rank among" if used.sum() < MIN_RANKED else "",
    )


def grank_t(sample: Sample) -> Outcome:
    """Rank the re-standardised SCAR among the standardised residuals: the generalised rank t.

    With few events the cross-sectional standard deviation that re-standardises is itself uncertain:
    simulated size at nominal 5% was 0.26 with 2 events, 0.14 with 4, 0.10 with 8, 0.08 with 24.
    """
    spread = _spread(sample)
    if isinstance(spread, Outcome):
        return spread
    return _generalised_t(_grank_scores(sample, spread), sample)


def grank_t_r(sample: Sample) -> Outcome:
    """Compute GRANK-T with the spread of SCARs divided by ``sqrt(1 - r)``: specified here, not in the literature."""
    spread = _spread(sample)
    if isinstance(spread, Outcome):
        return spread
    r = mean_correlation(sample).value
    if not r < 1:
        return no_result("the average correlation is not known or not below 1")
    plain = _generalised_t(_grank_scores(sample, spread / float(np.sqrt(1.0 - r))), sample)
    note = f"average correlation {r:.3f}"
    return Outcome(plain.estimate, plain.statistic, plain.p_value, plain.df, plain.se, plain.note or note)


def grank_z(sample: Sample) -> Outcome:
    """Compute GRANK with the variance of independent uniform ranks."""
    spread = _spread(sample)
    if isinstance(spread, Outcome):
        return spread
    mean, used, _ = _mean_by_day(sample.placebo, _grank_scores(sample, spread))
    days = int(used.sum())
    se = float(np.sqrt((days - 1) / (12.0 * sample.n * (days + 1))))
    z = float(mean[-1] / se)
    return Outcome(float(mean[-1]), z, normal_p(z), se=se)


def gsign_t(sample: Sample) -> Outcome:
    """Compute GRANK-T on signs: whether each day lies above or below the event's own median."""
    spread = _spread(sample)
    if isinstance(spread, Outcome):
        return spread

    def signs(rows: RowIndex, part: Floats) -> Floats:
        values = _grank_values(sample, spread, rows, part)
        return np.asarray(np.sign(values - np.nanmedian(values, axis=1, keepdims=True)))

    return _generalised_t(signs, sample)


def _spread(sample: Sample) -> float | Outcome:
    """Compute the standard deviation of SCARs across events, or say why there is none."""
    if sample.n < 2:
        return no_result(TOO_FEW)
    spread = float(sample.scar.std(ddof=1))
    return spread if spread > 0 else no_result("every event has the same SCAR, so it cannot be re-standardised")


def _grank_values(sample: Sample, spread: float, rows: RowIndex, part: Floats) -> Floats:
    """Put the standardised residuals of K events and, last, their re-standardised SCAR side by side, (K, M + 1)."""
    values = np.empty((len(part), part.shape[1] + 1))
    np.divide(part, sample.sigma[rows, None], out=values[:, :-1])
    values[:, -1] = sample.scar[rows] / spread
    return values


def _grank_scores(sample: Sample, spread: float) -> Values:
    return lambda rows, part: _scores(_grank_values(sample, spread, rows, part))


def _scores(values: Floats) -> Floats:
    """Rank days, scaled to each event's own number of days and centred on 0, (K, D)."""
    return _ranks(values, scored=True)[0]


def _generalised_t(scores: Values, sample: Sample) -> Outcome:
    """Divide the mean score of the last day by the spread of all days', in the t(T-2) form."""
    mean, used, count = _mean_by_day(sample.placebo, scores)
    n_t = count[used]
    days = int(used.sum())
    if days < 4:
        return no_result("needs at least 3 days of the estimation window")
    spread = float(np.sqrt(((n_t / sample.n) * mean[used] ** 2).mean()))
    if not spread > 0:
        return no_result("the scores do not vary", float(mean[-1]))
    z = float(mean[-1] / spread)
    remainder = days - 1 - z**2
    if remainder <= 0:
        return no_result("the event day's mean score exceeds what the t form allows", float(mean[-1]))
    t = z * float(np.sqrt((days - 2) / remainder))
    return Outcome(float(mean[-1]), t, student_p(t, days - 2), df=days - 2, se=spread)


def _all_days(sample: Sample) -> Values:
    """Put estimation and event days of all usable events side by side, (K, M + W) of K events at a time."""
    return lambda rows, part: np.column_stack([part, sample.pool.event_ar.rows(rows)])


def _zivney(sample: Sample, values: Values) -> Outcome:
    total, used = _sum_by_day(sample.pool.placebo, lambda rows, part: _scores(values(rows, part)))
    spread = float(np.sqrt((total[used] ** 2).mean()))
    window = _window_of(total, used, sample)
    if not len(window) or not spread > 0:
        return no_result("no day of the window has a rank")
    z = float(window.sum() / (np.sqrt(len(window)) * spread))
    return Outcome(np.nan, z, normal_p(z), se=spread)


def _ranks(values: Floats, *, scored: bool = False) -> tuple[Floats, Floats]:
    """Rank each event's own days, ties averaged and NaN left out, and count its days, (N, D) and (N, 1).

    Where `scored`, ranks are divided by one more than the number of days and centred on 0.
    """
    rank_rows = _compiled_ranks if len(values) >= limits.COMPILED_FROM_ROWS else _simple_ranks
    ranks, n_days, unsure = rank_rows(values, scored=scored)
    n_days = n_days[:, None]
    if len(unsure):
        from scipy.stats import rankdata  # noqa: PLC0415  # scipy.stats costs a third of a second to import

        shared = rankdata(values[unsure], axis=1, nan_policy="omit")
        ranks[unsure] = shared / (n_days[unsure] + 1.0) - 0.5 if scored else shared
    return ranks, n_days


def _simple_ranks(values: Floats, *, scored: bool) -> tuple[Floats, Floats, Ints]:
    """Rank days, count them, and find the rows with ties, whose ranks are not final."""
    order = np.argsort(values, axis=1)
    ranks = np.empty_like(values)
    np.put_along_axis(ranks, order, np.arange(1.0, values.shape[1] + 1.0)[None, :], axis=1)
    missing = np.isnan(values)
    n_days = (values.shape[1] - missing.sum(axis=1)).astype(np.float64)
    if scored:
        ranks = ranks / (n_days[:, None] + 1.0) - 0.5
    ranks[missing] = np.nan
    in_order = np.take_along_axis(values, order, axis=1)
    return ranks, n_days, np.flatnonzero((in_order[:, 1:] == in_order[:, :-1]).any(axis=1))


def _compiled_ranks(values: Floats, *, scored: bool) -> tuple[Floats, Floats, Ints]:
    """Rank by sorting integers that carry the day's number; rows with nearly equal values are not final."""
    low = int(values.shape[1] - 1).bit_length()
    keys = kernels().sort_keys(values, low)
    keys.sort(axis=1)
    ranks, n_days, has_close = kernels().ranks(keys, low, scored)
    return ranks, n_days, np.flatnonzero(has_close)


def _column_means(values: Floats) -> Floats:
    """Average the values present on each day; NaN where there is none."""
    present = ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(present, values, 0.0).sum(axis=0) / present.sum(axis=0))


def _mean_by_day(source: LazyMatrix, scores: Values) -> tuple[Floats, Bools, Ints]:
    """Average the scores on each day; which days have events, and how many."""
    total, count = sum_by_day(source, scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / count, count > 0, count


def _sum_by_day(source: LazyMatrix, scores: Values) -> tuple[Floats, Bools]:
    """Divide the sum of scores on each day by the root of their number; which days have events."""
    total, count = sum_by_day(source, scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / np.sqrt(count), count > 0


def _window_of(daily: Floats, used: Bools, sample: Sample) -> Floats:
    """Select the days of the window that have a value, from estimation and event days side by side."""
    start = sample.residuals.width
    picked = slice(start + sample.columns.start, start + sample.columns.stop)
    return np.asarray(daily[picked][used[picked]])


LIBERAL_ON_SHARED_DAYS = "rejects a true null in 8 to 9 of 100 samples where events share days"
#: Ranks of days in event time.
DAILY_RANKS: frozenset[Assumption] = ESTIMATION_VARIANCE | {"windows apart"}
#: Ranks of abnormal returns over their spread across events.
RESCALED_RANKS: frozenset[Assumption] = SPREAD_OF_EVENTS | {"windows apart", "symmetry"}

CORRADO_RANK = SignificanceTest(
    "corrado_rank", "no location shift of the window's ranks", "mean excess rank", "N(0,1)",
    "Corrado (1989); Cowan (1992) for several days",
    Holds("yes", "no", "yes", "yes", windows_alike=True, min_events=5, exchanges_apart="one session",
          assumes=DAILY_RANKS),
    corrado_rank,
)  # fmt: skip
CORRADO_ZIVNEY = SignificanceTest(
    "corrado_zivney", "no location shift of the window's ranks", "none", "N(0,1)",
    "Corrado and Zivney (1992)",
    Holds("yes", "no", "yes", "yes", windows_alike=True, min_events=5, exchanges_apart="one session",
          assumes=DAILY_RANKS),
    corrado_zivney,
)  # fmt: skip
CORRADO_ZIVNEY_ADJ = SignificanceTest(
    "corrado_zivney_adj", "no location shift of the window's ranks", "none", "N(0,1)",
    "Corrado and Zivney (1992), adjusted for event variance",
    Holds("yes", "nearly", "no", "yes", windows_alike=True, min_events=12, exchanges_apart="one session",
          assumes=RESCALED_RANKS | {"no autocorrelation"}, because=LIBERAL_ON_SHARED_DAYS),
    corrado_zivney_adj,
)  # fmt: skip
RANK_BLOCKS = SignificanceTest(
    "rank_blocks", "the window ranks as any other block of days", "none", "N(0,1)",
    "After Corrado (2011); statistic specified here",
    Holds("yes", "no", "yes", "yes", windows_alike=True, min_events=5, exchanges_apart="one session",
          assumes=ESTIMATION_VARIANCE | {"many blocks"}),
    rank_blocks,
)  # fmt: skip
GRANK_T = SignificanceTest(
    "grank_t", "no location shift of the cumulated event day's rank", "mean rank score", "t(T-2)",
    "Kolari and Pynnönen (2011)",
    Holds("yes", "nearly", "no", "yes", windows_alike=True, min_events=12, exchanges_apart="no", assumes=RESCALED_RANKS,
          because=LIBERAL_ON_SHARED_DAYS),
    grank_t,
)  # fmt: skip
GRANK_T_R = SignificanceTest(
    "grank_t_r", "no location shift of the cumulated event day's rank", "mean rank score", "t(T-2)",
    "GRANK-T of Kolari and Pynnönen (2011), rescaled here for cross-correlation",
    Holds("yes", "nearly", "yes", "yes", windows_alike=True, min_events=12, exchanges_apart="one session",
          assumes=RESCALED_RANKS),
    grank_t_r,
)  # fmt: skip
GRANK_Z = SignificanceTest(
    "grank_z", "no location shift of the cumulated event day's rank", "mean rank score", "N(0,1)",
    "Kolari and Pynnönen (2011)",
    Holds("yes", "nearly", "no", "no", windows_alike=True, min_events=12, exchanges_apart="no", assumes=RESCALED_RANKS),
    grank_z,
)  # fmt: skip
GSIGN_T = SignificanceTest(
    "gsign_t", "no location shift of the cumulated event day's sign", "mean sign", "t(T-2)",
    "Luoma (2011), SIGN-GSAR-T",
    Holds("yes", "yes", "yes", "yes", windows_alike=True, min_events=5, assumes=RESCALED_RANKS),
    gsign_t,
)  # fmt: skip
