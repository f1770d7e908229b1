"""Joint tests of the firms of one date by multivariate regression (SUR with equal regressors)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from marketimpact.inference.protocol import Holds, Outcome, SignificanceTest, no_result
from marketimpact.inference.sample import Floats, Sample
from marketimpact.inference.seed import SEED

__all__ = ["MVRM_AVERAGE_F", "MVRM_EQUAL_F", "MVRM_JOINT_BOOTSTRAP", "MVRM_JOINT_F", "MVRM_JOINT_WALD"]

#: Share of the estimation days of all firms that a firm must have to be in the system.
COVERAGE = 0.9
#: Smallest eigenvalue of a covariance of full rank, as a share of its largest entry.
MIN_EIGENVALUE_SHARE = 1e-12
DRAWS = 999


@dataclass(frozen=True, slots=True)
class _System:
    """CARs of m firms from one system of regressions with a dummy per event day.

    `car` is (m,), `sscp` the (m, m) residual cross products, `q` the variance factor of a CAR, `df`
    the residual degrees of freedom T - k, `residuals` (T, m) and `design` (T, k), event days last.
    """

    car: Floats
    sscp: Floats
    q: float
    df: int
    days: int
    residuals: Floats
    design: Floats


def mvrm_joint_f(sample: Sample) -> Outcome:
    """Test that every CAR is zero: exact F under normality."""
    system = _system(sample)
    return system if isinstance(system, Outcome) else _exact_f(system, np.eye(len(system.car)))


def mvrm_average_f(sample: Sample) -> Outcome:
    """Test that the average CAR is zero: the square of the portfolio regression's t for a balanced panel."""
    system = _system(sample)
    if isinstance(system, Outcome):
        return system
    outcome = _exact_f(system, np.full((1, len(system.car)), 1.0 / len(system.car)))
    # F with one restriction is the square of a t whose sign is the average's
    half = outcome.p_value / 2.0
    above, below = (half, 1.0 - half) if outcome.estimate > 0 else (1.0 - half, half)
    return replace(outcome, p_greater=above, p_less=below)


def mvrm_equal_f(sample: Sample) -> Outcome:
    """Test that all CARs are equal: differences to the first firm are zero."""
    system = _system(sample)
    if isinstance(system, Outcome):
        return system
    m = len(system.car)
    if m < 2:
        return no_result("needs at least 2 firms", float(system.car.mean()))
    return _exact_f(system, np.column_stack([-np.ones(m - 1), np.eye(m - 1)]))


def mvrm_joint_wald(sample: Sample) -> Outcome:
    """Test that every CAR is zero, with the maximum likelihood covariance: rejects too often even under normality."""
    system = _system(sample)
    if isinstance(system, Outcome):
        return system
    m = len(system.car)
    if m > system.df:
        return _too_wide(system, m)
    if _is_singular(system, np.eye(m)):
        return _without_inverse(system)
    form = float(system.car @ scipy.linalg.solve(system.sscp, system.car, assume_a="pos"))
    wald = form / system.q * system.days
    return Outcome(float(system.car.mean()), wald, float(scipy.special.chdtrc(m, wald)), df=m, n_events=m)


def mvrm_joint_bootstrap(sample: Sample) -> Outcome:
    """Compare the joint F with regressions on resampled residual vectors, whole days at a time."""
    system = _system(sample)
    if isinstance(system, Outcome):
        return system
    plain = _exact_f(system, np.eye(len(system.car)))
    if np.isnan(plain.statistic):
        return plain
    length = system.design.shape[1] - np.linalg.matrix_rank(system.design[: -sample.length])
    pool = system.residuals[: system.days - length]
    basis = np.linalg.qr(system.design)[0]
    select = np.concatenate([np.zeros(system.design.shape[1] - length), np.ones(length)])
    contrast = select @ scipy.linalg.pinv(system.design)
    rng = np.random.default_rng(SEED)
    extreme = 0
    for _ in range(DRAWS):
        drawn = pool[rng.integers(0, len(pool), system.days)]
        fitted = basis.T @ drawn
        sscp = drawn.T @ drawn - fitted.T @ fitted
        theta = contrast @ drawn
        # a resample with fewer distinct days than firms has no inverse; it counts as extreme
        with np.errstate(all="ignore"):
            form = float(theta @ np.linalg.lstsq(sscp, theta, rcond=None)[0])
        extreme += form / system.q * plain.df / len(system.car) >= plain.statistic
    p = (1 + extreme) / (1 + DRAWS)
    note = f"{DRAWS} resamples of {len(pool)} days, seed {SEED}"
    return Outcome(plain.estimate, plain.statistic, p, note=note, n_events=plain.n_events)


def _exact_f(system: _System, contrast: Floats) -> Outcome:
    """Test that linear combinations of the CARs, the rows of `contrast`, (r, m), are zero."""
    m = len(contrast)
    denominator = system.df - m + 1
    if denominator < 1:
        return _too_wide(system, m)
    if _is_singular(system, contrast):
        return _without_inverse(system)
    theta = contrast @ system.car
    form = float(theta @ scipy.linalg.solve(contrast @ system.sscp @ contrast.T, theta, assume_a="pos"))
    f = form / system.q * denominator / m
    return Outcome(
        float(system.car.mean()), f, float(scipy.special.fdtrc(m, denominator, f)), df=denominator,
        note=f"F({m}, {denominator}) on {system.days} common days", n_events=len(system.car),
    )  # fmt: skip


def _too_wide(system: _System, m: int) -> Outcome:
    return no_result(
        f"{m} restrictions need more than {m - 1} residual degrees of freedom, here are {system.df}: "
        "take fewer firms or a longer estimation window", float(system.car.mean()),
    )  # fmt: skip


def _is_singular(system: _System, contrast: Floats) -> bool:
    """Check whether the residual covariance of linear combinations of the CARs, (r, m), has no inverse."""
    smallest = np.linalg.eigvalsh(contrast @ system.sscp @ contrast.T)[0]
    largest = (np.abs(contrast) @ np.abs(system.sscp) @ np.abs(contrast).T).max()
    return bool(smallest <= MIN_EIGENVALUE_SHARE * largest)


def _without_inverse(system: _System) -> Outcome:
    return no_result(
        "the residual covariance is singular: needs firms of which each counts once and none is a combination of "
        "others", float(system.car.mean()),
    )  # fmt: skip


def _system(sample: Sample) -> _System | Outcome:
    """Estimate the system of the firms with enough days, on their common days."""
    if sample.n_day0 > 1:
        return no_result("needs one date: the firms' windows differ")
    y, x, y_event, x_event = sample.panel()
    present = ~(np.isnan(y) | np.isnan(x).any(axis=2))
    days = present.any(axis=0)
    complete = ~(np.isnan(y_event) | np.isnan(x_event).any(axis=2)).any(axis=1)
    firms = np.flatnonzero(complete & (present[:, days].mean(axis=1) >= COVERAGE))
    if not len(firms):
        return no_result("no firm has every day of the window and nine tenths of the estimation days")
    if not all(np.array_equal(x[firms[0]], x[firm], equal_nan=True) for firm in firms[1:]):
        return no_result("needs one benchmark: the firms' regressors differ")
    common = present[firms].all(axis=0)
    return _estimate(y[firms][:, common].T, x[firms[0]][common], y_event[firms].T, x_event[firms[0]], sample.intercept)


def _estimate(y: Floats, x: Floats, y_event: Floats, x_event: Floats, intercept: bool) -> _System | Outcome:
    """Regress (T, m) returns on regressors and one dummy per event day."""
    length = len(y_event)
    both, regressors = np.vstack([y, y_event]), np.vstack([x, x_event])
    dummies = np.vstack([np.zeros((len(y), length)), np.eye(length)])
    constant = [np.ones((len(both), 1))] if intercept else []
    design = np.column_stack([*constant, regressors, dummies])
    df = len(both) - design.shape[1]
    if df < 1:
        return no_result("needs more common estimation days than regressors")
    inverse = scipy.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ both
    residuals = both - design @ coefficients
    select = np.concatenate([np.zeros(design.shape[1] - length), np.ones(length)])
    variance = float(select @ inverse @ select)
    return _System(select @ coefficients, residuals.T @ residuals, variance, df, len(both), residuals, design)


MVRM_JOINT_F = SignificanceTest(
    "mvrm_joint_F", "every firm's CAR = 0", "CAAR of the complete firms", "F(m, T-k-m+1)",
    "Schipper and Thompson (1983); Binder (1985)",
    Holds("no", "no", "no", "no", because="exact only under normality, 13 to 15 of 100 with fat tails"),
    mvrm_joint_f, sides="none", refits=True,
)  # fmt: skip
MVRM_AVERAGE_F = SignificanceTest(
    "mvrm_average_F", "the average CAR = 0", "CAAR of the complete firms", "F(1, T-k)",
    "Schipper and Thompson (1983); Binder (1985)", Holds("no", "no", "yes", "no"), mvrm_average_f,
    sides="own", refits=True,
)  # fmt: skip
MVRM_EQUAL_F = SignificanceTest(
    "mvrm_equal_F", "all firms have the same CAR", "CAAR of the complete firms", "F(m-1, T-k-m+2)",
    "Schipper and Thompson (1983); Binder (1985)",
    Holds("no", "no", "no", "no", because="exact only under normality, 13 to 15 of 100 with fat tails"),
    mvrm_equal_f, sides="none", refits=True,
)  # fmt: skip
MVRM_JOINT_BOOTSTRAP = SignificanceTest(
    "mvrm_joint_bootstrap", "every firm's CAR = 0", "CAAR of the complete firms", "resampled days",
    "Hein and Westfall (2004); Chou (2004)",
    Holds("no", "no", "yes", "no", because="rejects when firms' own variances rise, whatever the means"),
    mvrm_joint_bootstrap, sides="none", refits=True,
)  # fmt: skip
MVRM_JOINT_WALD = SignificanceTest(
    "mvrm_joint_wald", "every firm's CAR = 0", "CAAR of the complete firms", "chi2(m), asymptotic",
    "Binder (1985)",
    Holds("no", "no", "no", "no", because="rejects too often even under normality"),
    mvrm_joint_wald, sides="none", refits=True,
)  # fmt: skip
