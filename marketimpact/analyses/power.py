"""Power of a study with its own firms, dates, window and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy

from marketimpact.core.arguments import require
from marketimpact.core.arrays import Floats
from marketimpact.errors import SpecificationError
from marketimpact.inference import (
    Sample,
    band_of,
    blocks,
    minimum_detectable_effect,
    power_of,
    primary_test,
    structure,
)

if TYPE_CHECKING:
    from marketimpact.study.result import StudyResult

__all__ = ["power"]

#: Default effects, as multiples of the minimum detectable one.
SHARES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
#: With fewer placebo blocks than this the share of rejections is too imprecise to give.
MIN_BLOCKS = 50


def power(
    result: StudyResult, first: int, last: int, *, effects: Sequence[float] | None = None, level: float = 0.05
) -> pl.DataFrame:
    """Compute how often this design would detect a mean effect of a given size.

    Parameters
    ----------
    result : StudyResult
        The study, or a part of it by `where` or `by`.
    first, last : int
        The window.
    effects : sequence of float, optional
        Mean CARs (fractions); by default multiples of the minimum detectable effect (80% power).
    level : float
        Level of the two-sided test.

    Returns
    -------
    polars.DataFrame
        ``effect, power, power_placebo, se, band, n_events, n_blocks``. `power` is that of a t (or normal) test with
        the standard error of `StudyResult.caar`, which `band` names. `power_placebo` is the share of the
        estimation window's blocks of this length in which the same test rejects after the effect is added: it includes
        the fat tails and the common shocks of the returns, and for an effect of zero it is the test's size there.
        Null with fewer than 50 blocks. Where the primary test is `filtered_placebo_t` the blocks are scaled to the
        volatility known the evening before.

    Raises
    ------
    SpecificationError
        For a level outside (0, 1), or when no event has a return in the window.

    Notes
    -----
    The effect is added to every event alike and does not raise the variance; where events react differently power is
    lower. Power computed for the effect that was estimated says nothing beyond its p-value (Hoenig and Heisey 2001):
    choose effects that would matter.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> result = mi.EventStudy().run(mi.align(h20, market), market)
    >>> mi.power(result, 0, 1, effects=[0.0, 0.05])["power"].round(2).to_list()[0]
    0.05
    """
    require(result, "StudyResult", "result")
    if not 0.0 < level < 1.0:
        raise SpecificationError(f"level={level!r} must lie between 0 and 1, such as 0.05.")
    sample = result.sample(first, last)
    if not sample.n:
        raise SpecificationError(
            f"No event has a return in ({first}, {last}), so power is undefined. Choose another window."
        )
    primary = primary_test(structure(sample)).name
    se, df, band = band_of(sample, primary)
    sizes = (
        [share * float(minimum_detectable_effect(se, df, level=level)) for share in SHARES]
        if effects is None
        else list(effects)
    )
    tail = 1.0 - level / 2.0
    critical = float(scipy.special.stdtrit(df, tail) if np.isfinite(df) else scipy.special.ndtri(tail))
    placebo = _placebo_means(sample, primary)
    enough = len(placebo) >= MIN_BLOCKS
    return pl.DataFrame(
        {
            "effect": sizes,
            "power": power_of(np.array(sizes), se, df, level=level),
            "power_placebo": [
                float((np.abs(placebo + effect) / se > critical).mean()) if enough else None for effect in sizes
            ],
            "se": [se] * len(sizes),
            "band": [band] * len(sizes),
            "n_events": [sample.n] * len(sizes),
            "n_blocks": [len(placebo)] * len(sizes),
        },
        schema_overrides={"effect": pl.Float64, "power_placebo": pl.Float64},
    )


def _placebo_means(sample: Sample, primary: str) -> Floats:
    """Compute the mean CAR over every block of the estimation window, at today's volatility if the test is."""
    if primary == "filtered_placebo_t":
        return sample.filtered_mean.blocks
    car, _ = blocks(sample)
    return np.asarray(car[:, ~np.isnan(car).any(axis=0)].mean(axis=0))
