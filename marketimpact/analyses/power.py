"""The power of a study as it stands: its firms, dates, window and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy

from marketimpact.errors import SpecificationError
from marketimpact.inference import band_of, blocks, minimum_detectable_effect, power_of, structure

if TYPE_CHECKING:
    from marketimpact.study.result import StudyResult

__all__ = ["power"]

#: Effects asked about where none are named, as shares of the minimum detectable one.
SHARES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
#: With fewer placebo blocks their share says little.
MIN_BLOCKS = 50


def power(
    result: StudyResult, first: int, last: int, *, effects: Sequence[float] | None = None, level: float = 0.05
) -> pl.DataFrame:
    """How often this design would find a mean effect of a given size.

    Parameters
    ----------
    result : StudyResult
        The study; `where` and `by` ask of parts of it.
    first, last : int
        The window.
    effects : sequence of float, optional
        Mean CARs (fractions); by default shares of the one that is found in 80 of 100 samples.
    level : float
        Of the two-sided test.

    Returns
    -------
    polars.DataFrame
        ``effect, power, power_placebo, se, band, n_events, n_blocks``. `power` is that of a t (or normal) test with
        the standard error of `StudyResult.caar`, which `band` names. `power_placebo` is the share of the
        estimation window's blocks of this length in which the same test rejects after the effect is added: it keeps
        the fat tails and the common shocks of the returns, and for an effect of zero it is the test's size there.
        Null with fewer than 50 blocks.

    Raises
    ------
    SpecificationError
        For a level outside (0, 1), or when no event has a return in the window.

    Notes
    -----
    The effect is added to every event alike and does not raise the variance; where events react differently power is
    lower. Power computed for the effect that was estimated says nothing beyond its p-value (Hoenig and Heisey 2001):
    ask about effects that would matter.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> result = mi.EventStudy().run(mi.align(h20, market), market)
    >>> mi.power(result, 0, 1, effects=[0.0, 0.05])["power"].round(2).to_list()[0]
    0.05
    """
    if not 0.0 < level < 1.0:
        raise SpecificationError(f"level={level!r} must lie between 0 and 1, such as 0.05.")
    sample = result.sample(first, last)
    if not sample.n:
        raise SpecificationError(f"No event has a return in ({first}, {last}), so there is no power to speak of.")
    se, df, band = band_of(sample, variance_rose=structure(sample).variance_rose)
    asked = (
        [share * float(minimum_detectable_effect(se, df, level=level)) for share in SHARES]
        if effects is None
        else list(effects)
    )
    tail = 1.0 - level / 2.0
    critical = float(scipy.special.stdtrit(df, tail) if np.isfinite(df) else scipy.special.ndtri(tail))
    car, _ = blocks(sample)
    placebo = car[:, ~np.isnan(car).any(axis=0)].mean(axis=0)
    enough = len(placebo) >= MIN_BLOCKS
    return pl.DataFrame(
        {
            "effect": asked,
            "power": power_of(np.array(asked), se, df, level=level),
            "power_placebo": [
                float((np.abs(placebo + effect) / se > critical).mean()) if enough else None for effect in asked
            ],
            "se": [se] * len(asked),
            "band": [band] * len(asked),
            "n_events": [sample.n] * len(asked),
            "n_blocks": [len(placebo)] * len(asked),
        },
        schema_overrides={"effect": pl.Float64, "power_placebo": pl.Float64},
    )
