"""Placebo tests: the window against every block of as many estimation days, the same shift for all events of a date."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import scipy

from marketimpact.core import limits
from marketimpact.core.lazy_matrix import LazyMatrix, RowIndex, run_sums, sum_by_day
from marketimpact.inference.families.parametric import mean_over_spread
from marketimpact.inference.protocol import (
    SIGNIFICANCE_LEVEL,
    SPREAD_OF_EVENTS,
    Assumption,
    Holds,
    Outcome,
    SignificanceTest,
    no_result,
)
from marketimpact.inference.sample import Floats, Ints, Sample

__all__ = [
    "CAV",
    "PLACEBO_BMP",
    "PLACEBO_CAAR",
    "PLACEBO_MEDIAN_SCAR",
    "PLACEBO_SCAAR",
    "blocks",
    "day_block_sums",
]

#: Fewest blocks: with fewer no p-value reaches 5%.
MIN_BLOCKS = 20


def day_block_sums(values: Floats, length: int) -> tuple[Floats, Floats]:
    """Sum and count the values present in every run of `length` days.

    Parameters
    ----------
    values : (N, M) array
        NaN where missing.
    length : int
        Days of a block.

    Returns
    -------
    sums, counts : (N, M - length + 1) arrays, empty where the block is longer than the values
    """
    present = ~np.isnan(values)
    return run_sums(np.where(present, values, 0.0), length), run_sums(present.astype(np.float64), length)


def blocks(sample: Sample) -> tuple[Floats, Floats]:
    """Compute CAR and standardised CAR of every event in every placebo block, (N, B); NaN where a day is missing."""
    car = sample.placebo.map_rows(lambda _, residuals: run_sums(residuals, sample.length))
    return car, _standardised(car, sample.sigma, sample.length)


def _scar(sample: Sample, rows: RowIndex, residuals: Floats) -> Floats:
    return _standardised(run_sums(residuals, sample.length), sample.sigma[rows], sample.length)


def _standardised(car: Floats, sigma: Floats, length: int) -> Floats:
    return np.asarray(car / (sigma[:, None] * np.sqrt(length)))


def placebo_caar(sample: Sample) -> Outcome:
    """Compare the CAAR with that of every placebo block."""
    sums = sample.placebo.day_sums(sample.length)
    return _among_blocks(float(sample.car.mean()), _mean(sums.run_total, sums.run_count))


def placebo_scaar(sample: Sample) -> Outcome:
    """Compare the mean SCAR with that of every placebo block."""
    return _among_blocks(float(sample.scar.mean()), _mean(*sum_by_day(sample.placebo, partial(_scar, sample))))


def placebo_median_scar(sample: Sample) -> Outcome:
    """Compare the median SCAR with that of every placebo block.

    The estimate is the common CAR with which the median SCAR would be 0, and the interval holds the CARs with which
    the test would not reject at 5%.

    Notes
    -----
    With an estimated constant, residuals of a block of L among T days have the variance ``sigma^2 L (1 - L/T)``: blocks
    are brought to the variance 1 that SCARs have by their forecast error.
    One outlier hardly moves the median, nor the median absolute deviation: where that is larger than in 95% of the
    blocks, most events vary more than before, and so does the median. That of the events is about the common CAR.
    """
    drawn, deviations = _median_scars(sample)
    observed = float(np.median(sample.scar))
    outcome = _among_blocks(observed, drawn)
    effect = _common_car(sample, 0.0)
    if np.isnan(outcome.p_value):
        return replace(outcome, estimate=effect)
    most = _largest_not_rejected(drawn)
    low, high = _common_car(sample, most), _common_car(sample, -most)
    deviation = float(np.median(np.abs(sample.scar - effect / sample.se)))
    spread = _among_blocks(deviation, deviations, upper=True)
    return replace(outcome, estimate=effect, ci_low=low, ci_high=high, unreliable_because=_wider(spread, deviations))


def _wider(spread: Outcome, deviations: Floats) -> str:
    """Explain that most SCARs lie further apart than in nearly all placebo blocks; empty where they do not."""
    if not spread.p_value < SIGNIFICANCE_LEVEL:
        return ""
    ratio = spread.statistic / float(np.nanmedian(deviations))
    return f"assumes unchanged variance, but the median deviation of SCARs is {ratio:.1f} times its usual size"


def _median_scars(sample: Sample) -> tuple[Floats, Floats]:
    """Compute median and median absolute deviation of the SCARs of every placebo block, (B,) each."""

    def scars(rows: RowIndex, residuals: Floats) -> Floats:
        used = sample.length / sample.n_obs[rows, None] if sample.intercept else 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(_scar(sample, rows, residuals) / np.sqrt(1.0 - used))

    n_blocks = max(sample.placebo.width - sample.length + 1, 0)
    step = max(limits.LAZY_KEPT_VALUES // sample.n, 1)
    parts = [slice(start, start + step) for start in range(0, n_blocks, step)]
    medians, deviations = [np.empty(0)], [np.empty(0)]
    for part in parts:
        values = sample.placebo.map_rows(lambda *chunk, part=part: scars(*chunk)[:, part])
        medians.append(_median_present(values))
        is_several = (~np.isnan(values)).sum(axis=0) > 1  # the SCAR of one event does not deviate from their median
        deviations.append(np.where(is_several, _median_present(np.abs(values - medians[-1])), np.nan))
    return np.concatenate(medians), np.concatenate(deviations)


def _median_present(values: Floats) -> Floats:
    """Compute the median of the values present in every column; NaN where there is none."""
    n = (~np.isnan(values)).sum(axis=0)
    ordered = np.sort(values, axis=0)  # NaN comes last
    column = np.arange(values.shape[1])
    return np.asarray((ordered[np.maximum(n - 1, 0) // 2, column] + ordered[np.maximum(n, 1) // 2, column]) / 2.0)


def _common_car(sample: Sample, median: float) -> float:
    """Find the common CAR to take from every event so that the median SCAR becomes `median`."""

    def excess(car: float) -> float:
        return float(np.median((sample.car - car) / sample.se)) - median

    reach = sample.car - median * sample.se
    low, high = float(reach.min()), float(reach.max())
    return float(scipy.optimize.brentq(excess, low, high, xtol=1e-14)) if low < high else low


def _largest_not_rejected(drawn: Floats) -> float:
    """Find the largest statistic in size that the placebo blocks do not reject at 5%."""
    drawn = np.sort(np.abs(drawn[np.isfinite(drawn)]))
    beyond = int(np.ceil(SIGNIFICANCE_LEVEL * (1 + len(drawn)) - 1 - 1e-9))
    return float(drawn[-beyond])


def placebo_bmp(sample: Sample) -> Outcome:
    """Compare the BMP t with that of every placebo block."""
    plain = mean_over_spread(sample.scar)
    if np.isnan(plain.statistic):
        return plain
    observed = plain.statistic
    total, n = sum_by_day(sample.placebo, partial(_scar, sample))
    mean = _mean(total, n)
    squares, _ = sum_by_day(sample.placebo, lambda rows, values: (_scar(sample, rows, values) - mean) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = mean / np.sqrt(squares / (n - 1.0) / n)
    return _among_blocks(observed, drawn)


def cav(sample: Sample) -> Outcome:
    """Compare cumulative abnormal volatility, of events with every day of the window, with that of placebo blocks."""
    complete = sample.n_days == sample.length
    if complete.sum() < 3:
        return no_result("needs at least 3 events with every day of the window")
    variance = sample.sigma[complete] ** 2
    observed = float(_volatility(LazyMatrix.of(sample.ar[complete]), variance).sum() - sample.length)
    daily = _volatility(sample.placebo.take(np.flatnonzero(complete)), variance)
    drawn, counts = day_block_sums(daily[None, :], sample.length)
    drawn = np.where(counts[0] == sample.length, drawn[0] - sample.length, np.nan)
    return _among_blocks(observed, drawn, upper=True)


def _volatility(ar: LazyMatrix, variance: Floats) -> Floats:
    """Compute lambda_t of Bialkowski, Gottschalk and Wisniewski (2008) for the events present on each day, (D,)."""
    total, n = sum_by_day(ar, lambda _, values: values)
    own, _ = sum_by_day(ar, lambda rows, values: np.where(np.isnan(values), np.nan, variance[rows, None]))

    def ratios(rows: RowIndex, values: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Floats = (n * values - total) ** 2 / (n * (n - 2.0) * variance[rows, None] + own)
            return ratio

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n >= 3, sum_by_day(ar, ratios)[0] / (n - 1.0), np.nan)


def _mean(total: Floats, n: Ints) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / n


def _among_blocks(observed: float, drawn: Floats, *, upper: bool = False) -> Outcome:
    """Compute the p-value of the observed statistic among those of the placebo blocks."""
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < MIN_BLOCKS:
        return no_result(f"needs at least {MIN_BLOCKS} placebo blocks, here are {len(drawn)}", observed)
    extreme = (drawn >= observed) if upper else (np.abs(drawn) >= abs(observed))
    p, p_greater, p_less = (
        float((1 + beyond.sum()) / (1 + len(drawn))) for beyond in (extreme, drawn >= observed, drawn <= observed)
    )
    return Outcome(
        observed,
        observed,
        p,
        note=f"{len(drawn)} placebo blocks; the smallest possible p is {1 / (1 + len(drawn)):.3f}",
        p_greater=p_greater,
        p_less=p_less,
    )


#: The mean CAR among blocks of estimation days.
BLOCKS: frozenset[Assumption] = frozenset(
    {"recent variance", "usual common shock", "many blocks", "own estimation errors"}
)

PLACEBO_CAAR = SignificanceTest(
    "placebo_caar", "CAAR is as in any other block of days", "CAAR", "placebo blocks of the estimation window",
    "Randomisation over dates; Brown and Warner (1980) use the same portfolio variance",
    Holds("yes", "no", "yes", "no", windows_alike=True, assumes=BLOCKS), placebo_caar, sides="own",
)  # fmt: skip
PLACEBO_SCAAR = SignificanceTest(
    "placebo_scaar", "mean SCAR is as in any other block of days", "mean SCAR",
    "placebo blocks of the estimation window", "Randomisation over dates",
    Holds("yes", "no", "yes", "no", windows_alike=True, assumes=BLOCKS), placebo_scaar, sides="own",
)  # fmt: skip
PLACEBO_MEDIAN_SCAR = SignificanceTest(
    "placebo_median_scar", "median SCAR is as in any other block of days", "CAR common to the events",
    "placebo blocks of the estimation window", "Randomisation over dates",
    Holds("yes", "no", "yes", "nearly", windows_alike=True, min_events=6, assumes=BLOCKS),
    placebo_median_scar, sides="own", unit="return",
)  # fmt: skip
PLACEBO_BMP = SignificanceTest(
    "placebo_bmp", "the BMP t is as in any other block of days", "BMP t", "placebo blocks of the estimation window",
    "Randomisation over dates",
    Holds("yes", "yes", "yes", "yes", windows_alike=True, min_events=5, assumes=SPREAD_OF_EVENTS | {"many blocks"}),
    placebo_bmp, sides="own",
)  # fmt: skip
CAV = SignificanceTest(
    "cav", "volatility is as in any other block of days", "cumulative abnormal volatility",
    "placebo blocks of the estimation window, one-sided", "Bialkowski, Gottschalk and Wisniewski (2008)",
    Holds("no", "no", "no", "no", windows_alike=True,
          because="rejects a true null in 8 to 14 of 100 samples with fat tails"),
    cav, sides="none",
)  # fmt: skip
