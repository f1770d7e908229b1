"""Measure the speed of a specification curve: specifications per second, and placebo curves per second.

    .venv/bin/python benchmarks/specification_curve.py [PRICES] [--profile]

PRICES is a long Parquet or CSV file with date, symbol and close or adj_close; the embedded, simulated prices
otherwise. --profile adds what took the time.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from typing import Any

import polars as pl

import marketimpact as mi

MODELS = [mi.MarketModel(), mi.MarketAdjusted(), mi.MeanAdjusted(), mi.Dimson()]
ESTIMATION_WINDOWS = [(-250, -21), (-200, -21), (-140, -21)]
EVENT_WINDOWS = [(0, 0), (0, 1), (-1, 1), (0, 2), (-3, 3), (0, 5), (-5, 5)]
FILTERS = {
    "all": pl.lit(value=True),
    "restrictive": pl.col("stance") == "restrictive",
    "permissive": pl.col("stance") == "permissive",
    "no confounders": ~pl.col("is_confounder"),
    "not anticipated": pl.col("anticipated") == "no",
    "known to the minute": pl.col("time_precision") == "minute",
}
DRAWS = 199


def markets(prices: str | None) -> tuple[mi.Market, mi.Market]:
    source: Any = mi.FilePrices(prices) if prices else mi.SamplePrices()
    first, second = (mi.Market.load(mi.securities(), source, benchmark=b) for b in ("benchmark", "sector_proxy"))
    return first, second


def curve(market: mi.Market, proxy: mi.Market, events: pl.DataFrame) -> mi.SpecificationCurve:
    return mi.specification_curve(
        events,
        market,
        models=MODELS,
        estimation_windows=ESTIMATION_WINDOWS,
        event_windows=EVENT_WINDOWS,
        benchmarks={"sector proxy": proxy},
        filters=FILTERS,
    )


def main(arguments: list[str]) -> None:
    paths = [argument for argument in arguments if not argument.startswith("--")]
    market, proxy = markets(paths[0] if paths else None)
    events = mi.align(mi.announcements(), market)
    profile = cProfile.Profile()
    if "--profile" in arguments:
        profile.enable()
    start = time.perf_counter()
    made = curve(market, proxy, events)
    seconds = time.perf_counter() - start
    number = made.frame.height
    print(f"{number} specifications of {events.height} events: {seconds:.1f} s, {number / seconds:.0f} per second")
    start = time.perf_counter()
    found = made.joint_test(draws=DRAWS)
    seconds = time.perf_counter() - start
    each = 1e6 * seconds / found.draws / number
    print(f"{found.draws} placebo curves: {seconds:.1f} s, {each:.0f} us per curve and specification")
    print(made)
    print(found)
    if "--profile" in arguments:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main(sys.argv[1:])
