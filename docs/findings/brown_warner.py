"""Compute the tables of brown_warner.md: rejection rates on real returns.

Brown and Warner's (1985) protocol: random securities on random dates, where nothing happened on average,
with a known effect added on day 0; and rates by what was known about volatility (regimes.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

import marketimpact as mi
from docs.findings import regimes
from docs.findings.cells import table

SAMPLES = 2000
SEED = 19850301
N = 24
NOMINAL = 0.05
ESTIMATION, EVENT = (-244, -6), (-5, 5)
EFFECTS = (0.0, 0.005, 0.01, 0.02)
MODELS = (mi.MeanAdjusted(), mi.MarketAdjusted(), mi.MarketModel())
TESTS = (
    "crude_dependence", "cross_sectional_t", "patell_scar", "bmp", "generalized_sign", "corrado_rank", "grank_t",
    "patell_kp", "bmp_kp",
)  # fmt: skip


def candidates(market: mi.Market) -> pl.DataFrame:
    """List every security and session with a full estimation window before it and an event window after it."""
    usable = market.panel.filter(pl.col("ret").is_not_null() & pl.col("market").is_not_null())
    rank = pl.int_range(pl.len()).over("symbol")
    return usable.filter((rank >= -ESTIMATION[0]) & (rank < pl.len().over("symbol") - EVENT[1])).select(
        "symbol", "date"
    )


def draw(rng: np.random.Generator, pool: pl.DataFrame, samples: int, *, one_date: bool) -> pl.DataFrame:
    """Draw the events of all samples: ``event_id, symbol, date, sample``, each security once in a sample."""
    by_date = {key[0]: part["symbol"].to_list() for key, part in pool.partition_by("date", as_dict=True).items()}
    dates = sorted(date for date, symbols in by_date.items() if len(symbols) >= N)
    by_symbol = {key[0]: part["date"].to_list() for key, part in pool.partition_by("symbol", as_dict=True).items()}
    rows = []
    for sample in range(samples):
        if one_date:
            date = dates[rng.integers(len(dates))]
            chosen = [(s, date) for s in rng.choice(sorted(by_date[date]), N, replace=False)]
        else:
            symbols = rng.choice(sorted(by_symbol), N, replace=False)
            chosen = [(s, by_symbol[s][rng.integers(len(by_symbol[s]))]) for s in symbols]
        rows += [(f"{sample:05d}-{n:02d}", str(s), d, sample) for n, (s, d) in enumerate(chosen)]
    return pl.DataFrame(
        rows, schema={"event_id": pl.String, "symbol": pl.String, "date": pl.Date, "sample": pl.Int64}, orient="row"
    )


def with_effect(result: mi.StudyResult, effect: float) -> mi.StudyResult:
    """Add `effect` to every day-0 return; estimation windows are unchanged.

    Tests that read the market's returns again, such as portfolio_regression, would not see it either.
    """
    values = result.estimation
    days = values.event_window
    added = np.zeros(days.ar.shape[1])
    added[-EVENT[0]] = effect
    hit = replace(days, ret=days.ret + added, ar=days.ar + added)
    return replace(result, estimation=replace(values, stored_event_window=hit))


def rates(result: mi.StudyResult, effects: tuple[float, ...]) -> dict[tuple[str, float], float]:
    """Compute the share of samples in which a test rejects, one-sided upper 5%, day 0."""
    rejected = {(test, effect): 0 for test in TESTS for effect in effects}
    samples = result.events["sample"].to_numpy()
    starts = np.flatnonzero(np.diff(samples, prepend=-1))
    for rows in np.split(np.arange(len(samples)), starts[1:]):
        part = replace(result, estimation=result.estimation.take(rows))
        for effect in effects:
            sample = with_effect(part, effect).sample(0, 0)
            for test in TESTS:
                outcome = mi.TESTS[test].run(sample)
                rejected[test, effect] += outcome.statistic > 0 and outcome.p_value / 2 < NOMINAL
    return {key: count / len(starts) for key, count in rejected.items()}


def drawn_table(market: mi.Market, events: pl.DataFrame) -> str:
    """Tabulate rates without an effect under each model, and with one under the market model."""
    study = mi.EventStudy(estimation_window=ESTIMATION, event_window=EVENT, min_observations=150)
    sizes = {}
    for model in MODELS:
        result = study.but(model=model).run(events, market)
        sizes[model.name] = rates(result, EFFECTS if model.name == "market_model" else EFFECTS[:1])
    rows = [
        [test, *(f"{sizes[model.name][test, 0.0]:.3f}" for model in MODELS),
         *(f"{sizes['market_model'][test, effect]:.3f}" for effect in EFFECTS[1:])]
        for test in TESTS
    ]  # fmt: skip
    head = ["test", *(model.name for model in MODELS), *(f"+{100 * effect:g}%" for effect in EFFECTS[1:])]
    return table(head, rows) + f"\n{result.events.height} of {events.height} events are used.\n"


def remake(prices: mi.FilePrices) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page by name; it has no figures."""
    market = mi.Market.load(mi.securities(), prices)
    pool = candidates(market)
    names = pool["symbol"].n_unique()
    row = [str(SAMPLES), str(N), str(names), str(pool["date"].min()), str(pool["date"].max())]
    tables = {"samples": table(["samples", "securities in each", "of", "first day", "last day"], [row])}
    for name, one_date in (("random dates", False), ("one random date", True)):
        events = draw(np.random.default_rng([SEED, one_date]), pool, SAMPLES, one_date=one_date)
        tables[name] = drawn_table(market, events)
    return tables | regimes.tables(prices), {}
