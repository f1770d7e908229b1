"""The mean path of a result, session by session, with its band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from marketimpact.estimation.windows import Floats
from marketimpact.inference import band_of, detectable, quantile_of, structure

if TYPE_CHECKING:
    from marketimpact.inference import Sample
    from marketimpact.study.result import StudyResult

__all__ = ["mean_path"]

_SCHEMA = {
    "tau": pl.Int64, "aar": pl.Float64, "caar": pl.Float64, "se": pl.Float64, "ci_low": pl.Float64,
    "ci_high": pl.Float64, "mde": pl.Float64, "n_events": pl.Int64, "band": pl.String,
}  # fmt: skip


def mean_path(result: StudyResult, first: int, last: int, level: float) -> pl.DataFrame:
    """One row per session of the window; see `StudyResult.caar`."""
    whole = result.sample(first, last)
    rose = whole.n > 0 and structure(whole).variance_rose
    zero = result.estimates_.windows.event[0]
    steps = [
        _step(tau, result.estimates_.ar[:, tau - zero], result.sample(first, tau), level, variance_rose=rose)
        for tau in range(first, last + 1)
    ]
    return pl.DataFrame(steps, schema=_SCHEMA, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


def _step(tau: int, day: Floats, sample: Sample, level: float, *, variance_rose: bool) -> tuple[Any, ...]:
    """One row: the abnormal returns of the session, (N,), and what the sessions up to it came to."""
    aar = float(day[~np.isnan(day)].mean()) if (~np.isnan(day)).any() else np.nan
    if sample.n == 0:
        return tau, aar, np.nan, np.nan, np.nan, np.nan, np.nan, 0, "none"
    caar = float(sample.car.mean())
    se, df, name = band_of(sample, variance_rose=variance_rose)
    quantile = quantile_of(df, level)
    found = float(detectable(se, df))
    return tau, aar, caar, se, caar - quantile * se, caar + quantile * se, found, sample.n, name
