"""Columns of CARs whose standard error is from the volatility known the evening before."""

from __future__ import annotations

import numpy as np
import polars as pl
import scipy

from marketimpact.core.arrays import Floats, Ints
from marketimpact.estimation.estimates import Estimates
from marketimpact.inference import (
    FilteredErrors,
    Sample,
    filtered_errors,
    own_days_of,
    relative_estimation_error,
    single_event_errors,
)
from marketimpact.study.samples import recent_abnormal_returns

__all__ = ["FILTERED_COLUMNS", "filtered_columns", "filtered_errors_by_length", "single_intervals"]

FILTERED_COLUMNS = ("variance_ratio", "se_filtered", "p_filtered", "ci_low_filtered", "ci_high_filtered")


def filtered_columns(errors: FilteredErrors, car: Floats) -> dict[str, pl.Series]:
    """Build the columns `FILTERED_COLUMNS` beside CARs, (N,); null where undefined."""
    half = errors.half_widths()
    values = (errors.variance_ratio, errors.se, errors.p_values(car), car - half, car + half)
    return {name: pl.Series(name, value).fill_nan(None) for name, value in zip(FILTERED_COLUMNS, values, strict=True)}


def filtered_errors_by_length(
    estimates: Estimates, first: int, lengths: Ints, *, variance: Floats, n_days: Ints
) -> FilteredErrors:
    """Compute the standard errors of all N events, whose windows begin at session `first` and have these lengths.

    Parameters
    ----------
    estimates : Estimates
        N events.
    first : int
        First session of the windows.
    lengths, n_days : (N,) arrays
        Sessions of each event's window; those with an abnormal return.
    variance : (N,) array
        Forecast variance of each CAR.
    """
    design, fit, settings = estimates.model.design, estimates.fit, estimates.settings
    own_days = own_days_of(variance, fit.sigma, n_days, by_trade=design.variance_by_trade)
    exact = not (settings.serial_correlation or design.state)
    relative_error = relative_estimation_error(variance, fit.sigma, own_days, fit.n_obs, exact=exact)
    recent = recent_abnormal_returns(estimates, min(first, 0))
    n = len(lengths)
    whole = FilteredErrors(np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=np.int64))
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        part = filtered_errors(
            estimates.residual_rows.take(rows),
            recent.take(rows),
            length=length,
            lag=max(first, 0),
            n_before=settings.estimation[1] - settings.estimation[0] + 1,
            own_days=own_days[rows],
            relative_error=relative_error[rows],
        )
        for target, source in zip(whole, part, strict=True):
            target[rows] = source
    return whole


def single_intervals(sample: Sample, level: float = 0.95) -> pl.DataFrame:
    """Give the interval and the p-value of each event's own primary test: ``low, high, p_primary``, event by event."""
    se, df = single_event_errors(sample)
    half = se * scipy.special.stdtrit(df, 0.5 + level / 2.0)
    p = 2.0 * scipy.special.stdtr(df, -np.abs(sample.car / se))
    return pl.DataFrame({"low": sample.car - half, "high": sample.car + half, "p_primary": p})
