"""The prices that a registration was made with, and how those of a later run differ from them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl

from marketimpact.cli.study_file import StudyFile
from marketimpact.core.text import first_line, listed
from marketimpact.errors import MarketImpactError, MarketImpactWarning
from marketimpact.market.market import Market
from marketimpact.report import RegisteredAnalysis
from marketimpact.sources.protocol import PriceSource

__all__ = ["compare_prices", "returns_by_symbol"]

#: Relative difference of standard deviations from which returns are others: closes of two digits after the point,
#: adjusted anew, change them by less.
TOLERANCE = 1e-4
#: Digits of the standard deviations recorded.
DIGITS = 8


def returns_by_symbol(market: Market) -> dict[str, list[float]]:
    """Count the returns of each security and benchmark, and give their standard deviation: ``symbol: [n, sd]``.

    Without two returns there is only the count.
    """
    rows = market.select("symbol", "date", "ret", "market")
    named = market.securities.select("symbol", "benchmark")
    of_benchmarks = (
        rows.join(named, on="symbol", how="inner", validate="m:1")
        .select(pl.col("benchmark").alias("symbol"), "date", pl.col("market").alias("ret"))
        .drop_nulls("symbol")
        .unique(["symbol", "date"], keep="first", maintain_order=True)
    )
    returns = pl.concat([rows.select("symbol", "date", "ret"), of_benchmarks]).unique(["symbol", "date"]).drop_nulls()
    found = returns.sort("symbol", "date").group_by("symbol", maintain_order=True).agg(pl.len(), pl.col("ret").std())
    return {
        symbol: [n] if sd is None else [n, float(f"{sd:.{DIGITS}g}")] for symbol, n, sd in found.sort("symbol").rows()
    }


def compare_prices(
    analysis: RegisteredAnalysis, plan: StudyFile, source: PriceSource, used: Market
) -> RegisteredAnalysis:
    """Read the prices that a registration was made with again, and note and warn where they have changed.

    Its results stay registered: vendors adjust all closes anew after a dividend or split.

    Parameters
    ----------
    analysis : RegisteredAnalysis
        Of the study that was run.
    plan : StudyFile
        The study.
    source : PriceSource
        Prices of the run.
    used : Market
        Of the run.
    """
    # another study reads other prices; that simulated prices are not real ones is noted elsewhere
    if analysis.differences or not analysis.prices or analysis.simulated != used.simulated:
        return analysis
    last = date.fromisoformat(analysis.prices["last_date_read"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MarketImpactWarning)  # the run warns of these prices itself
            change = _change(analysis.prices, plan.market_until(last, source))
    except MarketImpactError as error:
        change = f"cannot be read any more. {first_line(error)}"
    if change is None:
        return analysis
    note = f"The prices up to {last}, with which the study was registered, {change}"
    warnings.warn(note, MarketImpactWarning, stacklevel=2)
    return replace(analysis, notes=(*analysis.notes, note))


def _change(before: Mapping[str, Any], now: Market) -> str | None:
    """Say how prices differ from those registered; None where they do not."""
    if now.fingerprint == before["sha256"]:
        return None
    fingerprints = f"(fingerprint {now.fingerprint[:12]}, not {before['sha256'][:12]})"
    if "returns" not in before:
        return f"have changed since {fingerprints}: the vendor may have adjusted them anew, or somebody changed them."
    recorded, own = before["returns"], returns_by_symbol(now)
    others = [
        f"{symbol} ({_shown(recorded.get(symbol))} -> {_shown(own.get(symbol))})"
        for symbol in sorted({*recorded, *own})
        if not _is_same(recorded.get(symbol), own.get(symbol))
    ]
    if others:
        return f"have changed since {fingerprints}, and so have returns of {listed(others, quoted=False)}."
    return (
        f"have changed since {fingerprints}, but no security has another number or standard deviation of returns: as "
        "where a vendor adjusts closes anew after a dividend or split."
    )


def _is_same(one: list[float] | None, other: list[float] | None) -> bool:
    if one is None or other is None or len(one) != len(other):
        return False
    return one[0] == other[0] and all(
        math.isclose(a, b, rel_tol=TOLERANCE) for a, b in zip(one[1:], other[1:], strict=True)
    )


def _shown(returns: list[float] | None) -> str:
    if not returns:
        return "none"
    return f"{returns[0]:,} of sd {returns[1]:.3%}" if len(returns) > 1 else f"{returns[0]:,}"
