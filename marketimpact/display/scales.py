"""Scales of charts: domains taken from what a chart is about, and round ticks with zero among them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

__all__ = ["interval_domain", "line_domain", "percent_axis", "round_ticks", "spread"]

#: An interval that ends beyond this many times the 90% quantile of all ends is cut at the frame.
WIDEST, COVERED = 2.0, 0.9
#: Ticks of a scale, at most.
MOST_TICKS = 5
#: Pixels of a label of a horizontal axis.
LABEL_WIDTH = 40
#: Room around lines and estimates, as a share of their range.
MARGIN = 0.25


def interval_domain(frame: pl.DataFrame) -> tuple[float, float]:
    """Choose one scale for estimates with intervals: zero, every estimate, and all intervals but much wider ones.

    Parameters
    ----------
    frame : polars.DataFrame
        ``car, low, high`` and, optionally, ``car_day0`` and ``true_car``, of all charts that share the scale.
    """
    names = [name for name in ("car", "car_day0", "true_car") if name in frame.columns]
    dots = np.concatenate([[0.0], *(frame[name].drop_nulls().to_numpy() for name in names)])
    ends = [frame[name].fill_nan(None).drop_nulls().to_numpy() for name in ("low", "high")]
    low, high = dots.min(), dots.max()
    if len(ends[0]):
        low = min(low, max(ends[0].min(), WIDEST * np.quantile(ends[0], 1 - COVERED)))
        high = max(high, min(ends[1].max(), WIDEST * np.quantile(ends[1], COVERED)))
    margin = 0.03 * (high - low) or 0.01
    return float(low - margin), float(high + margin)


def line_domain(values: Iterable[float]) -> tuple[float, float]:
    """Choose the scale of lines or estimates: zero, all of them, and some room; bands do not widen it."""
    known = np.array([0.0, *values])
    known = known[np.isfinite(known)]
    margin = MARGIN * (known.max() - known.min()) or 0.01
    return float(known.min() - margin), float(known.max() + margin)


def round_ticks(domain: tuple[float, float], base: float = 0.0, most: int = MOST_TICKS) -> list[float]:
    """Choose at most about `most` round ticks inside a domain; `base` is one of them where the domain has it.

    Examples
    --------
    >>> round_ticks((-0.07, 0.12))
    [-0.05, 0.0, 0.05, 0.1]
    """
    step = _step(domain, most)
    low, high = domain[0] - base, domain[1] - base
    return [round(base + n * step, 10) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _step(domain: tuple[float, float], most: int) -> float:
    span = domain[1] - domain[0]
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(factor * power for factor in (1, 2, 5, 10, 20) if span / (factor * power) <= most)


def percent_axis(domain: tuple[float, float], width: int | None = None) -> dict[str, Any]:
    """Write the axis of fractions as signed percentages: round ticks, zero without a sign, no decimals to spare.

    Parameters
    ----------
    domain : (float, float)
        Of the scale.
    width : int, optional
        Pixels of a horizontal axis, on which labels need room beside each other.
    """
    most = MOST_TICKS if width is None else max(2, min(MOST_TICKS, width // LABEL_WIDTH))
    decimals = max(0, -math.floor(math.log10(_step(domain, most)) + 1e-9) - 2)
    label = f"datum.value === 0 ? '0' : format(datum.value, '+.{decimals}%')"
    # all labels are drawn: where they are thinned out, zero can be the one that goes
    return {"values": round_ticks(domain, most=most), "labelExpr": label, "labelOverlap": False}


def spread(pixels: Sequence[float], gap: float, height: float) -> list[float]:
    """Move labels apart so that neighbours keep a gap and stay within the height, as far as there is room.

    Examples
    --------
    >>> spread([50.0, 48.0, 10.0], 13.0, 100.0)
    [61.0, 48.0, 10.0]
    """
    order = sorted(range(len(pixels)), key=lambda n: pixels[n])
    placed = [0.0] * len(pixels)
    below = -gap
    for n in order:
        placed[n] = below = max(pixels[n], below + gap)
    above = max(height, gap * (len(pixels) - 1)) + gap
    for n in reversed(order):
        placed[n] = above = min(placed[n], above - gap)
    return placed
