"""Joint test of a specification curve against curves on placebo days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import scipy

from marketimpact.analyses.specification_curve.placebo_days import PlaceboDays, PlaceboResiduals, placebo_residuals
from marketimpact.core.arrays import Floats
from marketimpact.core.progress import PATIENCE, progress_bar
from marketimpact.inference import SIGNIFICANCE_LEVEL, SignificanceTest
from marketimpact.study.result import StudyResult

__all__ = ["NULL", "JointTest", "compare", "placebo_curves", "signed_z"]

NULL = (
    "No announcement moved the returns of any of its securities, their variance or their correlation: what a chain "
    "of announcements (those whose windows share days) met is as likely as what it would have met on any other "
    "days that all its estimation windows hold, independently of the other chains."
)
#: Draws this close to the observed value count as ties.
TIE_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class JointTest:
    """A specification curve against curves of the same specifications on placebo days.

    Attributes
    ----------
    frame : polars.DataFrame
        ``statistic, observed, null_median, null_low, null_high, p_value``: the median effect (CAAR), the share of
        specifications significant at 5% with the sign of the median, and the mean z (Stouffer). The null's columns are
        the median and the 2.5% and 97.5% points of the placebo curves; for the share, the sign is that of each
        placebo curve's own median. p-values are ``(1 + #{at least as far out}) / (1 + draws)``: of the upper tail
        for the share, twice the smaller tail for the other two, since placebo curves need not centre on zero.
    null : str
        The null hypothesis.
    draws, seed : int
        Placebo curves, and what they were drawn with.
    n_specifications, left_out : int
        Specifications compared, and those that ran but could not be moved, since their test needs the returns of the
        market again.
    n_chains : int
        Groups of announcements that were moved independently of each other.
    notes : tuple of str
        Caveats for the reader.
    median, share, mean_z : (D,) arrays
        The statistics of every placebo curve.
    """

    frame: pl.DataFrame
    null: str
    draws: int
    seed: int
    n_specifications: int
    left_out: int
    n_chains: int
    notes: tuple[str, ...]
    median: Floats = field(repr=False)
    share: Floats = field(repr=False)
    mean_z: Floats = field(repr=False)

    def __repr__(self) -> str:
        """Show the three statistics with their p-values, and the caveats."""
        lines = [
            f"JointTest: {self.n_specifications} specifications, {self.draws} placebo curves (seed {self.seed}), "
            f"{self.n_chains} chain{'s' if self.n_chains != 1 else ''} of announcements"
        ]
        for name, observed, middle, _, _, p in self.frame.iter_rows():
            shown = f"{observed:+.2f}, by chance {middle:+.2f}" if name == "mean z" else (
                f"{observed:.2%}, by chance {middle:.2%}"
            )  # fmt: skip
            lines.append(f"  {name}: {shown}, p = {p:.3f}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def signed_z(p: Floats, sign: Floats) -> Floats:
    """Convert two-sided p-values to standard normal scores with a sign; NaN where there is none."""
    return np.asarray(np.sign(sign) * -scipy.special.ndtri(np.clip(p, 1e-300, 1.0) / 2.0))


def placebo_curves(
    results: Sequence[StudyResult],
    filters: Mapping[str, pl.Expr],
    windows: Sequence[tuple[int, int]],
    tests: Sequence[SignificanceTest],
    shifts: PlaceboDays,
) -> tuple[Floats, Floats]:
    """Compute the estimate and signed z of every specification in every draw.

    Returns
    -------
    estimate, z : (D, R, F, W, T) arrays
        By result, filter, window and test; NaN where a specification has no events, where a test is undefined, and
        for tests that need the returns of the market again.
    """
    shape = (len(shifts.day0), len(results), len(filters), len(windows), len(tests))
    estimate, z = np.full(shape, np.nan), np.full(shape, np.nan)
    with progress_bar(None, "Placebo curves", len(results) * len(filters) * len(windows), patience=PATIENCE) as done:
        for result_index, result in enumerate(results):
            residuals = placebo_residuals(result.estimation, shifts, windows)
            for filter_index, predicate in enumerate(filters.values()):
                rows = result.estimation.rows_where(predicate)
                part = result.where(predicate)
                for window_index, window in enumerate(windows):
                    caar, score = _placebo_specification(part, rows, window, tests, residuals)
                    position = (slice(None), result_index, filter_index, window_index)
                    estimate[position], z[position] = caar[:, None], score
                    done()
    return estimate, z


def _placebo_specification(
    part: StudyResult,
    rows: np.ndarray,
    window: tuple[int, int],
    tests: Sequence[SignificanceTest],
    residuals: PlaceboResiduals,
) -> tuple[Floats, Floats]:
    """Compute the CAAR (D,) and signed z (D, T) of one filter and window in every draw."""
    draws = len(residuals.column)
    caar, z = np.full(draws, np.nan), np.full((draws, len(tests)), np.nan)
    sample, with_car = part.sample(*window), rows[part.estimation.rows_with_car(part.estimation.columns_of(window))]
    if not sample.n:
        return caar, z
    pool_rows = with_car if part.estimation.settings.strict else rows
    movable = [column for column, test in enumerate(tests) if not test.refits]
    p, sign = np.full_like(z, np.nan), np.full_like(z, np.nan)
    for draw in range(draws):
        car = residuals.scar(draw, window, with_car) * sample.se
        caar[draw] = car.mean()
        ar = residuals.event_ar(draw, with_car)
        placebo = sample.with_abnormal_returns(
            car,
            ar,
            ar if len(pool_rows) == len(with_car) else residuals.event_ar(draw, pool_rows),
            residuals.recent_ar(draw, window, with_car),
        )
        for column in movable:
            outcome = tests[column].run(placebo)
            p[draw, column], sign[draw, column] = outcome.p_value, outcome.estimate
    z[:, movable] = signed_z(p, np.where(np.isnan(sign), caar[:, None], sign))[:, movable]
    return caar, z


def compare(
    estimate: Floats,
    z: Floats,
    placebo_estimate: Floats,
    placebo_z: Floats,
    shifts: PlaceboDays,
    *,
    seed: int,
    left_out: int,
) -> JointTest:
    """Compare three statistics of the observed curve, (K,), with those of the placebo curves, (D, K)."""
    median, share, mean_z = _statistics(estimate[None, :], z[None, :])
    drawn = _statistics(placebo_estimate, placebo_z)
    rows = []
    for name, observed, values in zip(
        ("median effect", "share significant", "mean z"), (median[0], share[0], mean_z[0]), drawn, strict=True
    ):
        low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
        above, below = (_tail(values, observed, sign) for sign in (1.0, -1.0))
        p = above if name == "share significant" else min(1.0, 2.0 * min(above, below))
        rows.append((name, observed, middle, low, high, p))
    names = ("statistic", "observed", "null_median", "null_low", "null_high", "p_value")
    return JointTest(
        frame=pl.DataFrame(rows, schema=list(names), orient="row"),
        null=NULL,
        draws=len(placebo_z),
        seed=seed,
        n_specifications=len(z),
        left_out=left_out,
        n_chains=shifts.n_chains,
        notes=_notes(shifts, len(placebo_z), left_out),
        median=drawn[0],
        share=drawn[1],
        mean_z=drawn[2],
    )


def _tail(drawn: Floats, observed: float, sign: float) -> float:
    """Compute the share of draws at least as high (sign 1) or low (-1) as the observed value, which counts too."""
    extreme = int((sign * (drawn - observed) >= -TIE_TOLERANCE).sum())
    return (1 + extreme) / (1 + len(drawn))


def _statistics(estimate: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
    """Compute the median estimate, share significant with its sign, and mean z of each row; (D, K) in, (D,) out."""
    median = np.median(np.nan_to_num(estimate), axis=1)
    z = np.nan_to_num(z)
    critical = -scipy.special.ndtri(SIGNIFICANCE_LEVEL / 2.0)
    share = (z * np.sign(median)[:, None] > critical).mean(axis=1)
    return median, share, z.mean(axis=1)


def _notes(shifts: PlaceboDays, draws: int, left_out: int) -> tuple[str, ...]:
    notes = [f"the smallest possible p is {1 / (1 + draws):.3f}"]
    if shifts.n_chains == 1:
        notes.append(
            "one chain of announcements: a common effect cannot be distinguished from a common shock of its days"
        )
    if shifts.overlapping > 0:
        notes.append(
            f"{shifts.overlapping:.1%} of placebo windows meet another announcement to the same security, "
            "which makes the test cautious where those had effects"
        )
    if shifts.moved_alone > 0:
        notes.append(f"{shifts.moved_alone:.1%} of events had no returns where their chain went and were moved alone")
    if left_out:
        notes.append(f"{left_out} specifications left out: their tests ask the market for the returns again")
    return tuple(notes)
