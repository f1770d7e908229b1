"""Compare a window with the same clock window on past days: studentised residuals that are alike for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from marketimpact.core.arrays import Floats

__all__ = ["PathBand", "SameClock", "path_band", "same_clock"]


@dataclass(frozen=True, slots=True, eq=False)
class SameClock:
    """Abnormal return of a window, and its place among the same windows of past days.

    Attributes
    ----------
    ar, se, beta : float
        Forecast error of the window, its standard error, and the coefficient of the benchmark (nan without one).
    statistic, df, p_value : float
        ``ar / se``, t distributed under normal returns of constant variance, given the scale.
    rank_p : float
        Share of all windows, the event's too, whose studentised residual is at least as large in absolute terms.
    n_days : int
        Past days.
    studentised : (K + 1,) array
        Residuals over the square root of one less their leverage, the event's first.
    """

    ar: float
    se: float
    beta: float
    statistic: float
    df: float
    p_value: float
    rank_p: float
    n_days: int
    studentised: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PathBand:
    """Band that the paths of past days leave at no point, but for a share `level` of them.

    Attributes
    ----------
    ar, half_width, pointwise : (T,) arrays
        Cumulative abnormal return of the event; half the width of the band for the whole path, and for each point.
    p_value : float
        Share of all paths, the event's too, whose largest excursion is at least as large.
    """

    ar: Floats
    half_width: Floats
    pointwise: Floats
    p_value: float


def same_clock(returns: Floats, benchmark: Floats | None, scale: Floats) -> SameClock:
    """Test one window against the same window of K past days.

    Parameters
    ----------
    returns : (K + 1,) array
        The event's window first, fractions.
    benchmark : (K + 1,) array or None
        Returns of the benchmark over the same windows.
    scale : (K + 1,) array
        Volatility known before each window, above zero; a constant factor does not matter.

    Notes
    -----
    Least squares weighted by ``1 / scale`` over all K + 1 windows. The event's residual over one less its leverage is
    its error of forecast from the past days alone; every other day is treated alike. So the rank is exact where days
    are exchangeable once divided by their scale, whatever their distribution (Vovk, Gammerman and Shafer 2005); the
    statistic is the externally studentised residual, t with K - p degrees of freedom under normality.
    """
    residual, leverage, beta = _fit(returns, benchmark, scale)
    free = np.sqrt(1.0 - leverage)
    n_coefficients = 1 if benchmark is None else 2
    df = float(len(returns) - n_coefficients - 1)
    rest = (residual @ residual - (residual[0] / free[0]) ** 2) / df
    sigma = float(np.sqrt(max(rest, 0.0)))
    ar, se = residual[0] / free[0] ** 2 * scale[0], sigma / free[0] * scale[0]
    statistic = float(ar / se) if se > 0 else float("nan")
    studentised = residual / free
    return SameClock(
        ar=float(ar), se=float(se), beta=beta, statistic=statistic, df=df,
        p_value=float(2.0 * scipy.special.stdtr(df, -abs(statistic))), rank_p=_share_as_large(np.abs(studentised)),
        n_days=len(returns) - 1, studentised=studentised,
    )  # fmt: skip


def _fit(returns: Floats, benchmark: Floats | None, scale: Floats) -> tuple[Floats, Floats, float]:
    """Fit by weighted least squares: residuals over the scale, leverages, and the past days' benchmark coefficient."""
    columns = [1.0 / scale] if benchmark is None else [1.0 / scale, benchmark / scale]
    basis, triangle = np.linalg.qr(np.column_stack(columns))
    projected = basis.T @ (returns / scale)
    residual = returns / scale - basis @ projected
    leverage = np.minimum((basis**2).sum(axis=1), 1.0 - 1e-9)
    without_event = projected - basis[0] * residual[0] / (1.0 - leverage[0])
    coefficients = np.linalg.solve(triangle, without_event)
    return residual, leverage, float(coefficients[1]) if len(columns) > 1 else float("nan")


def _share_as_large(size: Floats) -> float:
    """Rank the first value among all: the share at least as large, equal ones counted."""
    return float((size >= size[0] * (1.0 - 1e-12)).mean())


def path_band(paths: Floats, benchmark: Floats | None, scale: Floats, level: float = 0.05) -> PathBand:
    """Bound a cumulative path by those of the same clock on K past days.

    Parameters
    ----------
    paths : (K + 1, T) array
        Cumulative returns, the event's first.
    benchmark : (K + 1, T) array or None
        Of the benchmark.
    scale : (K + 1,) array
        Volatility known before each path.
    level : float
        Share of past paths that may leave the band somewhere.
    """
    n, width = paths.shape
    ar, unit, size = np.zeros(width), np.zeros(width), np.zeros((n, width))
    for k in range(width):
        if not np.ptp(paths[:, k]) > 0:
            continue
        other = None if benchmark is None or not np.ptp(benchmark[:, k]) > 0 else benchmark[:, k]
        residual, leverage, _ = _fit(paths[:, k], other, scale)
        free = np.sqrt(1.0 - leverage)
        studentised = residual / free
        spread = np.sqrt((studentised**2).mean())
        ar[k], unit[k] = residual[0] / free[0] ** 2 * scale[0], spread / free[0] * scale[0]
        size[:, k] = np.abs(studentised) / spread if spread > 0 else 0.0
    row = min(int(np.ceil((1.0 - level) * n)), n - 1) - 1
    largest = size.max(axis=1)
    sup, points = np.sort(largest[1:])[row], np.sort(size[1:], axis=0)[row]
    return PathBand(ar, sup * unit, points * unit, _share_as_large(largest))
