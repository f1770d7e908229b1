"""The mean slope over several dates: Fama and MacBeth, the same dates of the past, and pooled with date effects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import scipy

from marketimpact.analyses.exposure_frames import variance_doubt
from marketimpact.analyses.exposure_past import SlopeDesign, return_sums
from marketimpact.analyses.exposure_sections import LEAST_WINDOWS, Cut
from marketimpact.analyses.exposure_tests import Past, against_past, filtered
from marketimpact.core.arrays import Floats
from marketimpact.inference import minimum_detectable_effect, quantile_of
from marketimpact.market.market import Market

__all__ = ["MEAN_SLOPES", "mean_slopes"]

#: Fewest dates with which a t over dates has about its nominal size, and a variance clustered by date.
MIN_DATES, MIN_CLUSTERS = 5, 20
#: Largest standard error, as a share of the slope, that is a rounding error: all dates have the same slope.
NO_SPREAD = 1e-12
MEAN_SLOPES = {
    "regressor": pl.String, "test": pl.String, "slope": pl.Float64, "se": pl.Float64, "statistic": pl.Float64,
    "df": pl.Float64, "p_value": pl.Float64, "ci_low": pl.Float64, "ci_high": pl.Float64, "mde": pl.Float64,
    "n_dates": pl.Int64, "n_firms": pl.Int64, "valid": pl.Boolean, "note": pl.String,
}  # fmt: skip


def mean_slopes(market: Market, cuts: Sequence[Cut], design: SlopeDesign, found: Sequence[Past]) -> pl.DataFrame:
    """Test the mean slope over dates: a row per exposure and test; see `ExposureSlopes.frame`."""
    event = np.array([one.slope for one in found])
    doubt = "" if _are_apart(market, cuts, design) else "windows of some announcements overlap"
    n_dates = len({tuple(cut.announcement.firms["date"].unique().sort()) for cut in cuts})
    n_firms = len({symbol for cut in cuts for symbol in cut.section.symbols})
    rows = []
    for column, name in enumerate(cuts[0].announcement.exposures):
        for row in (
            _fama_macbeth(event[:, column], n_dates, doubt),
            *_placebo(column, design, found),
            _pooled(cuts, design, column, n_dates, doubt),
        ):
            rows.append({"regressor": name, "n_dates": n_dates, "n_firms": n_firms, **row})
    return pl.DataFrame(rows, schema=MEAN_SLOPES).with_columns(pl.col(pl.Float64).fill_nan(None))


def _row(
    test: str, slope: float, *, se: float, df: float, doubt: str, p: float | None = None, mean: float = 0.0
) -> dict[str, Any]:
    """Write one test of a mean slope, with the p-value of its t unless given; `mean` is that of the past."""
    if se <= NO_SPREAD * abs(slope):
        se, p, doubt = np.nan, np.nan, "; ".join(filter(None, (doubt, "the same slope on every date")))
    if p is None:
        p = float(2.0 * scipy.special.stdtr(df, -abs(slope - mean) / se))
    half = se * quantile_of(df, 0.95)
    return {
        "test": test, "slope": slope, "se": se, "statistic": (slope - mean) / se if se > 0 else np.nan, "df": df,
        "p_value": p, "ci_low": slope - mean - half, "ci_high": slope - mean + half,
        "mde": float(minimum_detectable_effect(se, df)) if se > 0 else np.nan,
        "valid": not doubt, "note": doubt or None,
    }  # fmt: skip


def _fama_macbeth(slopes: Floats, n_dates: int, doubt: str) -> dict[str, Any]:
    """Divide the mean slope by its standard error over dates; t(D - 1)."""
    count = len(slopes)
    se = float(slopes.std(ddof=1) / np.sqrt(count))
    few = f"{_counted(n_dates)}; a t over dates needs {MIN_DATES}" if n_dates < MIN_DATES else ""
    return _row(
        "fama_macbeth",
        float(slopes.mean()),
        se=se,
        df=count - 1.0,
        doubt="; ".join(filter(None, (few, doubt))),
    )


def _placebo(column: int, design: SlopeDesign, found: Sequence[Past]) -> list[dict[str, Any]]:
    """Compare the mean slope with that of all dates moved by the same number of sessions: z and rank.

    A date moves with all others, so that dates whose windows overlap keep their correlation.
    """
    slope = np.array([np.mean([one.slope[column] for one in found])])
    past = np.mean([one.past[:, [column]] for one in found], axis=0)
    count = int((~np.isnan(past)).sum())
    if count < LEAST_WINDOWS:
        few = f"{count} windows of the past have a slope on every date; {LEAST_WINDOWS} are needed"
        return [_row(test, float(slope[0]), se=np.nan, df=1.0, p=np.nan, doubt=few) for test in ("past_z", "past_rank")]
    tests = {name: float(values[0]) for name, values in against_past(slope, past).items()}
    variances = np.array([np.nanvar(one.past[:, column]) for one in found])
    ratios = np.array([filtered(one, design).variance_ratio[column] for one in found])
    doubt = variance_doubt(float((variances * ratios).sum() / variances.sum())).partition(": read")[0]
    return [
        _row(test, float(slope[0]), se=tests["se"], df=tests["df"], p=tests[p], doubt=doubt, mean=tests["past_mean"])
        for test, p in (("past_z", "p_value"), ("past_rank", "p_rank"))
    ]


def _pooled(cuts: Sequence[Cut], design: SlopeDesign, column: int, n_dates: int, doubt: str) -> dict[str, Any]:
    """Regress all returns on the exposures with an effect of each date; errors clustered by date, t(D - 1)."""
    import statsmodels.api as sm  # noqa: PLC0415  # a second of import that most runs do not need

    y, x, group = [], [], []
    for number, cut in enumerate(cuts):
        ret = return_sums(cut.section, design, np.array([design.window[0]]), design.length)[:, 0]
        weights = np.ones(len(ret)) if cut.section.weights is None else cut.section.weights
        root = np.sqrt(weights)[:, None]
        both = np.column_stack([ret, cut.section.x[:, 1:]])
        within = root * (both - np.average(both, axis=0, weights=weights))
        y.append(within[:, 0])
        x.append(within[:, 1:])
        group.append(np.full(len(ret), number))
    fitted = sm.OLS(np.concatenate(y), np.vstack(x)).fit(
        cov_type="cluster", cov_kwds={"groups": np.concatenate(group)}, use_t=True
    )
    few = f"{_counted(n_dates)}; a variance clustered by date needs {MIN_CLUSTERS}" if n_dates < MIN_CLUSTERS else ""
    return _row(
        "pooled",
        float(fitted.params[column]),
        se=float(fitted.bse[column]),
        df=len(cuts) - 1.0,
        doubt="; ".join(filter(None, (few, doubt))),
    )


def _counted(n_dates: int) -> str:
    """Count dates in words."""
    return f"{n_dates} date" if n_dates == 1 else f"{n_dates} dates"


def _are_apart(market: Market, cuts: Sequence[Cut], design: SlopeDesign) -> bool:
    """Check that the windows of no two announcements have a day in common."""
    spans = []
    for cut in cuts:
        firms = cut.announcement.firms
        row, end = firms["_row"].to_numpy(), firms["_last"].to_numpy()
        first, last = (market.days[np.minimum(row + tau, end)] for tau in design.window)
        spans.append((int(first.min()), int(last.max())))
    spans.sort()
    return all(one[1] < other[0] for one, other in pairwise(spans))
