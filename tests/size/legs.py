"""Rejection rates in whole sessions and in legs, against a traded fund and an index whose open is stale.

    POLARS_MAX_THREADS=1 python -m tests.size.legs 1000       writes docs/size/legs.csv

Two processes, a quarter of an hour. Six firms on one date; legs of firms and market have volatilities of their own.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

import marketimpact as mi
from marketimpact.inference import primary_test, structure

SEED = 20261129
NOMINAL = 0.05
FIRMS, BETA = 6, 1.3
#: Sessions, and the one that is day 0.
SESSIONS, DAY0 = 262, 260
#: Standard deviations overnight and in the day, of the market and of a firm's own returns.
MARKET_SD, OWN_SD = (0.006, 0.009), (0.012, 0.018)
#: Degrees of freedom of Student's t.
TAILS = 5
#: Largest share of the members of the index that have not traded at its open.
MOST_STALE = 0.6
#: Sessions, day 0 the last, in which nights are twice as volatile.
TURBULENT = 20
#: Overnight return of the market on day 0 in the situation *gap*.
GAP = -0.03
#: What the announcement does overnight.
EFFECT = -0.02
SITUATIONS = {
    "calm": "calm",
    "turbulent": f"nights twice as volatile for {TURBULENT} sessions, days as before",
    "gap": f"the market opens {abs(GAP):.0%} lower on day 0",
}
#: Leg and benchmark.
CELLS = (("session", "fund"), ("overnight", "fund"), ("overnight", "index"), ("day", "fund"), ("day", "index"))
TESTS = ("t", "filtered", "primary")
STUDY = mi.EventStudy(estimation_window=(-250, -11), event_window=(0, 0))
CHUNK = 20
RATES = Path(__file__).parents[2] / "docs" / "size" / "legs.csv"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Legs:
    """Overnight and day legs, (2, days) of fund and index, (2, days, firms) of firms."""

    fund: Floats
    index: Floats
    firms: Floats


def student(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw Student's t with unit variance."""
    return rng.standard_t(TAILS, shape) * np.sqrt((TAILS - 2) / TAILS)


def draw(situation: str, effect: float, rng: np.random.Generator) -> Legs:
    """Draw legs of the market, of an index with a stale open, and of firms with `effect` in the night of day 0."""
    scale = np.ones((2, SESSIONS))
    if situation == "turbulent":
        scale[0, DAY0 - TURBULENT + 1 : DAY0 + 1] = 2.0
    market = student(rng, (2, SESSIONS)) * np.array(MARKET_SD)[:, None] * scale
    if situation == "gap":
        market[0, DAY0] = GAP
    own = student(rng, (2, SESSIONS, FIRMS)) * np.array(OWN_SD)[:, None, None] * scale[:, :, None]
    firms = BETA * market[:, :, None] + own
    firms[0, DAY0] += effect
    # members that have not traded enter the index's open at their last close
    night = (1.0 - rng.uniform(0.0, MOST_STALE, SESSIONS)) * market[0]
    day = np.prod(1.0 + market, axis=0) / (1.0 + night) - 1.0
    return Legs(market, np.stack([night, day]), firms)


def returns_of(leg: str, legs: Floats) -> Floats:
    """Choose a leg, or compound both."""
    return {"overnight": legs[0], "day": legs[1], "session": (1.0 + legs[0]) * (1.0 + legs[1]) - 1.0}[leg]


def market_of(leg: str, benchmark: str, samples: Sequence[Legs]) -> mi.Market:
    """Make a market of one leg against one benchmark; each sample is an exchange of its own."""
    days = pl.date_range(date(2020, 1, 1), date(2020, 1, 1) + timedelta(SESSIONS - 1), eager=True).alias("date")
    returns, benchmarks = [], []
    for number, legs in enumerate(samples):
        mic = pl.lit(f"S{number:03d}").alias("mic")
        firms = pl.DataFrame(returns_of(leg, legs.firms), schema=[f"S{number:03d}F{firm}" for firm in range(FIRMS)])
        long = firms.with_columns(days).unpivot(index="date", variable_name="symbol", value_name="ret")
        returns.append(long.with_columns(mic))
        own = returns_of(leg, legs.fund if benchmark == "fund" else legs.index)
        benchmarks.append(pl.DataFrame({"date": days, "ret": own}).with_columns(mic))
    return mi.Market.from_returns(pl.concat(returns), pl.concat(benchmarks))


def rows(situation: str, effect: float, first: int, last: int) -> pl.DataFrame:
    """Test samples `first` to `last` (excluded): ``situation, effect, leg, benchmark, test, sample, p_value, valid``.

    The primary test of the group is counted where it is valid, tests of single firms where they are defined.
    """
    seeds = [[SEED, crc32(situation.encode()), sample] for sample in range(first, last)]
    samples = [draw(situation, effect, np.random.default_rng(seed)) for seed in seeds]
    named = [(f"S{k:03d}F{firm}", f"S{k:03d}") for k in range(len(samples)) for firm in range(FIRMS)]
    events = pl.DataFrame(named, schema=["symbol", "announcement_id"], orient="row").with_columns(
        pl.col("symbol").alias("event_id"), pl.lit(date(2020, 1, 1) + timedelta(DAY0)).alias("date")
    )
    found: list[tuple[object, ...]] = []
    for leg, benchmark in CELLS:
        result = STUDY.run(events, market_of(leg, benchmark, samples))
        key = situation, effect, leg, benchmark
        for (name,), part in result.by("announcement_id").groups():
            primary = primary_test(structure(part.sample(0, 0))).name
            group = part.test(0, 0, tests=[primary]).row(0, named=True)
            found.append((*key, "primary", first + int(name[1:]), group["p_value"], group["valid"]))
        for row in result.car(0, 0).iter_rows(named=True):
            sample = first + int(row["announcement_id"][1:])
            found.append((*key, "t", sample, row["p"], row["p"] is not None))
            found.append((*key, "filtered", sample, row["p_filtered"], row["p_filtered"] is not None))
    names = ["situation", "effect", "leg", "benchmark", "test", "sample", "p_value", "valid"]
    return pl.DataFrame(found, schema=names, orient="row", infer_schema_length=None)


def counts(frame: pl.DataFrame) -> pl.DataFrame:
    """Compute rates with Monte-Carlo errors: firms of one sample are not independent, samples are."""
    keys = ["situation", "effect", "leg", "benchmark", "test"]
    by_sample = frame.group_by(*keys, "sample").agg(
        (pl.col("valid") & (pl.col("p_value") < NOMINAL)).mean().alias("rate"), pl.col("valid").mean().alias("valid")
    )
    return (
        by_sample.group_by(keys)
        .agg(
            pl.len().cast(pl.Int64).alias("samples"),
            pl.col("rate").mean(),
            (pl.col("rate").std() / pl.len().sqrt()).alias("mc_error"),
            pl.col("valid").mean(),
        )
        .sort(
            pl.col("situation").cast(pl.Enum(list(SITUATIONS))),
            pl.col("effect").abs(),
            pl.concat_str("leg", "benchmark").cast(pl.Enum([leg + benchmark for leg, benchmark in CELLS])),
            pl.col("test").cast(pl.Enum(TESTS)),
        )
    )


def run(samples: int, situations: Sequence[str] = tuple(SITUATIONS), *, workers: int = 2) -> pl.DataFrame:
    """Draw `samples` of each situation without an effect and with it, and count rejections."""
    work = [
        (situation, effect, start, min(start + CHUNK, samples))
        for situation, effect in product(situations, (0.0, EFFECT))
        for start in range(0, samples, CHUNK)
    ]
    if workers == 1:
        return counts(pl.concat(rows(*task) for task in work))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return counts(pl.concat(pool.map(rows, *zip(*work, strict=True))))


if __name__ == "__main__":
    run(int(sys.argv[1])).with_columns(pl.col("rate", "mc_error", "valid").round(4)).write_csv(RATES)
