"""Estimate the market model with GARCH(1,1) or EGARCH(1,1) errors by the package arch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats
from marketimpact.errors import MarketImpactWarning, SpecificationError
from marketimpact.models.linear import Design, Fit, fit, residuals

__all__ = [
    "EGARCH_STATE",
    "GARCH_STATE",
    "egarch11",
    "egarch_forecast",
    "egarch_through_gap",
    "garch11",
    "garch_forecast",
    "garch_through_gap",
]

#: Returns are scaled to percent for the optimiser, as arch recommends.
PERCENT = 100.0
OPTIONS: Mapping[str, float] = {"ftol": 1e-13, "maxiter": 1000}
#: Persistence at or beyond which the variance has no mean to return to.
UNIT_ROOT = 1.0 - 1e-6
#: EGARCH's likelihood has several maxima; from these starts the best is taken. (arch, leverage, persistence)
EGARCH_STARTS = tuple(product((0.1, 0.5), (0.0, -0.15, 0.15), (-0.7, 0.3, 0.8, 0.97)))
#: Tolerances of the last steps to EGARCH's maximum.
POLISH = (1e-13, 1e-11, 1e-9)
#: EGARCH's persistence stays inside plus and minus this.
EGARCH_BOUND = 0.9999
GARCH_STATE = ("omega", "arch", "garch", "h_next", "nll")
EGARCH_STATE = ("omega", "arch", "leverage", "garch", "h_next", "nll")


def garch11(y: Floats, x: Floats, design: Design) -> Fit:
    """Estimate constant and slope with ``h_t = w + p e_{t-1}^2 + q h_{t-1}`` by normal maximum likelihood.

    Returns
    -------
    Fit
        `state` holds w (fraction squared), p, q, h of the session after the estimation window and the
        negative log-likelihood of 100 R; NaN where the variance did not converge, has no mean
        (p + q >= 1) or has w at its bound: the line is then that of least squares.
    """
    return _with_variance_model(y, x, design, _garch_line, len(GARCH_STATE))


def egarch11(y: Floats, x: Floats, design: Design) -> Fit:
    """Estimate as `garch11`, with ``ln h_t = w + p (|z_{t-1}| - sqrt(2/pi)) + g z_{t-1} + q ln h_{t-1}``."""
    fitted = _with_variance_model(y, x, design, _egarch_line, len(EGARCH_STATE))
    alternating = int((fitted.state[:, EGARCH_STATE.index("garch")] < 0.0).sum())
    if alternating:
        warnings.warn(
            f"EGARCH's persistence is negative in {alternating} of {len(y)} regressions: their variance alternates "
            "from session to session, which is usual where it hardly changes, and not a property of returns. They are "
            "the events whose 'garch' is below 0 in result.estimates. Compare with mi.Garch() or mi.MarketModel().",
            MarketImpactWarning,
            stacklevel=2,
        )
    return fitted


def garch_through_gap(fitted: Fit, gap: Floats) -> Fit:
    """Filter the variance through abnormal returns after the estimation window; `h_next` is that of the session after.

    Parameters
    ----------
    fitted : Fit
        Of N events.
    gap : (N, G) array
        Abnormal returns of the sessions in order, NaN where missing: such a session is passed over, as in estimation.
    """
    omega, p, q, h = fitted.state[:, :4].T
    for e in gap.T:
        h = np.where(np.isnan(e), h, omega + p * e**2 + q * h)
    return _with_h_next(fitted, h, GARCH_STATE)


def egarch_through_gap(fitted: Fit, gap: Floats) -> Fit:
    """Filter the log variance as `garch_through_gap` filters the variance."""
    omega, p, g, q, h_next = fitted.state[:, :5].T
    log_h = np.log(h_next)
    for e in gap.T:
        z = e * np.exp(-log_h / 2.0)
        log_h = np.where(np.isnan(e), log_h, omega + p * (np.abs(z) - np.sqrt(2.0 / np.pi)) + g * z + q * log_h)
    return _with_h_next(fitted, np.exp(log_h), EGARCH_STATE)


def _with_h_next(fitted: Fit, h_next: Floats, names: tuple[str, ...]) -> Fit:
    """Replace the variance that forecasts start from."""
    state = fitted.state.copy()
    state[:, names.index("h_next")] = h_next
    return replace(fitted, state=state)


def garch_forecast(fitted: Fit, x: Floats, steps: NDArray[np.int64]) -> Floats:
    """Forecast each event day's variance from the session before `h_next`'s, in units of sigma squared."""
    omega, p, q, h_next = fitted.state[:, :4].T
    mean = omega / (1.0 - p - q)
    h = mean[:, None] + (p + q)[:, None] ** (steps - 1)[None, :] * (h_next - mean)[:, None]
    return _relative(h, fitted)


def egarch_forecast(fitted: Fit, x: Floats, steps: NDArray[np.int64]) -> Floats:
    """Forecast as `garch_forecast`; the log variance returns to its mean."""
    omega, _, _, q, h_next = fitted.state[:, :5].T
    mean = omega / (1.0 - q)
    log_h = mean[:, None] + q[:, None] ** (steps - 1)[None, :] * (np.log(h_next) - mean)[:, None]
    return _relative(np.exp(log_h), fitted)


def _relative(h: Floats, fitted: Fit) -> Floats:
    """Divide variances by sigma squared; 1 where there is no variance model."""
    return np.where(np.isnan(h), 1.0, h / np.where(fitted.sigma > 0, fitted.sigma, 1.0)[:, None] ** 2)


@dataclass(frozen=True, slots=True)
class _Line:
    """Constant, slope and state of one event."""

    alpha: float
    beta: float
    state: tuple[float, ...]


def _with_variance_model(y: Floats, x: Floats, design: Design, line: Any, n_state: int) -> Fit:
    """Replace the least-squares line of every event whose variance model converges."""
    plain = fit(y, x, design)
    alpha, slopes, sigma = plain.alpha.copy(), plain.slopes.copy(), plain.sigma.copy()
    leverage_root, mean_leverage = plain.leverage_root.copy(), plain.mean_leverage.copy()
    plain_residuals = residuals(plain, y, x)
    state = np.full((len(y), n_state), np.nan)
    fallbacks = 0
    for row in np.flatnonzero((plain.n_obs > design.n_parameters + n_state) & ~plain.singular & (plain.sigma > 0)):
        present = ~np.isnan(plain_residuals[row])
        estimate = line(y[row, present], x[row, present, 0], float((plain_residuals[row, present] ** 2).mean()))
        if estimate is None:
            fallbacks += 1
            continue
        alpha[row], slopes[row, 0], state[row] = estimate.alpha, estimate.beta, estimate.state
        errors = y[row, present] - estimate.alpha - estimate.beta * x[row, present, 0]
        sigma[row] = np.sqrt((errors**2).sum() / plain.df[row])
        # the variance of the event day is the forecast h alone, as in the literature
        leverage_root[row], mean_leverage[row] = 0.0, 0.0
    if fallbacks:
        warnings.warn(
            f"The variance model of {fallbacks} of {len(y)} regressions did not converge or has no mean, so least "
            "squares is used for them. They are the events whose 'omega' is null in result.estimates.",
            MarketImpactWarning,
            stacklevel=2,
        )
    return replace(
        plain,
        alpha=alpha,
        slopes=slopes,
        sigma=sigma,
        leverage_root=leverage_root,
        mean_leverage=mean_leverage,
        state=state,
    )


def _garch_line(y: Floats, x: Floats, h0: float) -> _Line | None:
    """Estimate one event's GARCH(1,1), or return None where it has no stationary variance."""
    result = _maximise(y, x, _arch().GARCH(p=1, o=0, q=1), h0, None)
    if result is None:
        return None
    alpha, beta, omega, p, q = result.params
    bound = 1e-8 * PERCENT**2 * h0
    if p + q >= UNIT_ROOT or omega <= 2.0 * bound:
        return None
    h_next = omega + p * result.resid[-1] ** 2 + q * result.conditional_volatility[-1] ** 2
    return _Line(alpha / PERCENT, beta, (omega / PERCENT**2, p, q, h_next / PERCENT**2, -result.loglikelihood))


def _egarch_line(y: Floats, x: Floats, h0: float) -> _Line | None:
    """Estimate one event's EGARCH(1,1) from several starts, or return None without a proper maximum."""
    slope = float(np.cov(x, y)[0, 1] / x.var(ddof=1))
    constant = PERCENT * float(y.mean() - slope * x.mean())
    log_h = float(np.log(PERCENT**2 * h0))
    starts = [np.array([constant, slope, (1.0 - q) * log_h, p, g, q]) for p, g, q in EGARCH_STARTS]
    runs = [_maximise(y, x, _free_egarch(), h0, start, options={}) for start in starts]
    # at the lower bound of persistence the variance alternates every day, which is no property of returns
    inside = [run for run in runs if run is not None and run.params[-1] > -EGARCH_BOUND + 1e-6]
    inside = [run for run in inside if _is_proper_maximum(run, log_h)]
    if not inside:
        return None
    rough = max(inside, key=lambda run: run.loglikelihood)
    # the optimiser may leave the maximum it starts from because of rounding: keep the best seen
    finer = [_maximise(y, x, _free_egarch(), h0, rough.params, options={**OPTIONS, "ftol": ftol}) for ftol in POLISH]
    better = [run for run in finer if run is not None and _is_proper_maximum(run, log_h)]
    best = max([rough, *better], key=lambda run: run.loglikelihood)
    alpha, beta, omega, p, g, q = best.params
    h = float(best.conditional_volatility[-1] ** 2)
    z = float(best.resid[-1]) / np.sqrt(h)
    h_next = np.exp(omega + p * (abs(z) - np.sqrt(2.0 / np.pi)) + g * z + q * np.log(h))
    in_fractions = omega - (1.0 - q) * np.log(PERCENT**2)
    return _Line(alpha / PERCENT, beta, (in_fractions, p, g, q, h_next / PERCENT**2, -best.loglikelihood))


def _is_proper_maximum(run: Any, log_h: float) -> bool:
    """Return whether a maximum is one of the model, and does not depend on rounding.

    Where large shocks of either sign lower the variance (p <= -|g|) the likelihood increases towards a variance
    of zero and has no maximum. Elsewhere the variances that arch reports must be those of the recursion without
    arch's bounds.
    """
    _, _, omega, p, g, q = run.params.tolist()
    if p <= -abs(g):
        return False
    reported = 2.0 * np.log(run.conditional_volatility)
    z = run.resid / run.conditional_volatility
    news = p * (np.abs(z[:-1]) - np.sqrt(2.0 / np.pi)) + g * z[:-1]
    expected = omega + q * np.append(log_h, reported[:-1]) + np.append(0.0, news)
    return bool(np.allclose(reported, expected, rtol=0.0, atol=1e-8))


def _maximise(
    y: Floats, x: Floats, volatility: Any, h0: float, start: Floats | None, *, options: Mapping[str, float] = OPTIONS
) -> Any:
    """Fit with arch, pre-sample variance h0; return None where it did not converge."""
    model = _arch().LS(PERCENT * y, PERCENT * x, volatility=volatility, rescale=False)
    result = model.fit(
        disp="off",
        show_warning=False,
        backcast=PERCENT**2 * h0,
        starting_values=start,
        options=dict(options),
        update_freq=0,
    )
    finite = np.isfinite(result.loglikelihood) and np.isfinite(result.params).all()
    return _ArchResult(result) if result.convergence_flag == 0 and finite else None


class _ArchResult:
    """Estimates of arch as arrays, without its model."""

    def __init__(self, result: Any) -> None:
        self.params = np.asarray(result.params, dtype=np.float64)
        self.resid = np.asarray(result.resid, dtype=np.float64)
        self.conditional_volatility = np.asarray(result.conditional_volatility, dtype=np.float64)
        self.loglikelihood = float(result.loglikelihood)


def _free_egarch() -> Any:
    """Build arch's EGARCH(1,1) with persistence of either sign, since some maxima have a negative one."""
    parent = _arch().EGARCH

    class FreeEgarch(parent):  # type: ignore[misc,valid-type]
        def bounds(self, resids: Floats) -> list[tuple[float, float]]:
            first, *rest = super().bounds(resids)
            wide = (min(first[0], -20.0), max(first[1], 20.0))
            return [wide, *rest[:-1], (-EGARCH_BOUND, EGARCH_BOUND)]

    return FreeEgarch(p=1, o=1, q=1)


def _arch() -> Any:
    """Import arch, which is optional; raise SpecificationError where it is not installed."""
    try:
        from arch import univariate  # noqa: PLC0415  # optional, and slow to import
    except ModuleNotFoundError as error:
        raise SpecificationError(
            "GARCH models need the package arch, which is not installed. Run pip install 'marketimpact[garch]'."
        ) from error
    return univariate
