"""Compute the tables of peers.md: detectable effects, effects and rejection rates with and without donors.

The rule of effects stands in `peers_effects`, that of the rest on the page.
"""

from __future__ import annotations

import numpy as np
import polars as pl

import marketimpact as mi
from docs.findings import peers_effects, peers_legs
from docs.findings.cells import table
from docs.findings.peer_groups import MODELS, STUDY, TEST, cells, detectable_effects, sure_events
from docs.size.peers import coverage_table

PRIMARY = (0, 1)
#: Every how many sessions a placebo day is taken, the same for nights, and the first year.
STEP, NIGHTS_STEP, FIRST_YEAR = 5, 10, 2018
#: Simulated samples of the table of coverage.
SAMPLES = 300
PLACEBO = {"group": pl.String, "model": pl.String, "ratio": pl.Float64, "p": pl.Float64, "valid": pl.Boolean}
RATIO_EDGES, RATIO_NAMES = (2 / 3, 1.5), ("below 2/3", "2/3 to 1.5", "above 1.5")


def remake(prices: mi.FilePrices) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page, and no figures."""
    market = mi.Market.load(mi.securities(), prices)
    days = placebo(market)
    nights = placebo(market.legs("overnight"), (0, 0), NIGHTS_STEP)
    tables = {
        "detectable": detectable_table(detectable(market, sure_events(market))),
        "size": size_table(days),
        "size by group": group_table(days),
        "legs": peers_legs.detectable_table(peers_legs.detectable(market)),
        "size of nights": size_table(nights),
        "coverage": coverage_table(SAMPLES),
    }
    return tables | peers_effects.tables(market, days), {}


def detectable(market: mi.Market, events: pl.DataFrame) -> pl.DataFrame:
    """Compute the detectable effect of every group and announcement under every model, for the same events."""
    rows: list[tuple[object, ...]] = []
    for name, own, donors in cells(market):
        given = events.filter(pl.col("symbol").is_in(own))
        results = {model: STUDY.but(model=make(donors)).run(given, market) for model, make in MODELS.items()}
        for announcement, model, n_events, mde in detectable_effects(results, dict.fromkeys(MODELS, PRIMARY)):
            rows.append((name, announcement, model, n_events, mde))
    schema = {"group": pl.String, "announcement": pl.String, "model": pl.String, "events": pl.Int64, "mde": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").drop_nulls("mde")


def detectable_table(found: pl.DataFrame) -> str:
    """Tabulate median detectable effects, and the median ratio to the market model, by group."""
    head = [
        "group",
        "announcements",
        "market model",
        "statistical factors",
        *(f"change, {m}" for m in list(MODELS)[1:]),
    ]
    if found.is_empty():
        return table(head, [])
    wide = found.pivot("model", index=["group", "announcement"], values="mde").drop_nulls()
    ratios = wide.with_columns(pl.col(m) / pl.col("market model") for m in list(MODELS)[1:])
    rows = []
    for (group,), part in wide.group_by("group", maintain_order=True):
        own = ratios.filter(pl.col("group") == group)
        changes = [f"{own[m].median() - 1:+.0%}" for m in list(MODELS)[1:]]
        effects = [f"{part[m].median():.2%}" for m in list(MODELS)[:2]]
        rows.append([str(group), str(part.height), *effects, *changes])
    medians = ratios.group_by("group").agg(pl.col(m).median() for m in list(MODELS)[1:])
    overall = [f"{medians[m].median() - 1:+.0%}" for m in list(MODELS)[1:]]
    rows.append(["median of groups", "", "", "", *overall])
    return table(head, rows)


def placebo(market: mi.Market, window: tuple[int, int] = PRIMARY, step: int | None = None) -> pl.DataFrame:
    """Run every group on placebo days under the market model and the primary peer model."""
    rows = []
    for name, own, donors in cells(market):
        days = market.panel.filter(pl.col("symbol").is_in(own), pl.col("date").dt.year() >= FIRST_YEAR)["date"]
        chosen = days.unique().sort().gather_every(step or STEP)
        pairs = pl.DataFrame({"date": chosen}).join(pl.DataFrame({"symbol": own}), how="cross")
        given = pairs.with_columns(pl.format("{}:{}", "date", "symbol").alias("event_id"), day=pl.col("date"))
        for model in list(MODELS)[:2]:
            result = STUDY.but(model=MODELS[model](donors)).run(given, market)
            for _, part in result.by("day").groups():
                sample = part.sample(*window)
                if len(sample.car):
                    row = part.test(*window, tests=[TEST]).row(0, named=True)
                    rows.append((name, model, sample.filtered_mean.variance_ratio, row["p_value"], row["valid"]))
    frame = pl.DataFrame(rows, schema=PLACEBO, orient="row")
    return frame.filter(pl.col("p").is_not_nan() & pl.col("ratio").is_not_nan())


def size_table(found: pl.DataFrame) -> str:
    """Tabulate rejection rates at 5% by model and variance ratio."""
    ratio, (low, high), (below, between, above) = pl.col("ratio"), RATIO_EDGES, map(pl.lit, RATIO_NAMES)
    regime_of = pl.when(ratio <= low).then(below).when(ratio <= high).then(between).otherwise(above)
    rows = []
    for model in list(MODELS)[:2]:
        own = found.filter(pl.col("model") == model).with_columns(regime_of.alias("regime"))
        for regime in (*RATIO_NAMES, "all"):
            part = own if regime == "all" else own.filter(pl.col("regime") == regime)
            rows.append([model, regime, str(part.height), rate(part["p"])])
    return table(["model", "variance ratio", "group days", "rejects at 5% (Monte-Carlo error)"], rows)


def group_table(found: pl.DataFrame) -> str:
    """Tabulate rejection rates at 5% by group under both models."""
    rows = []
    for (group,), part in found.group_by("group", maintain_order=True):
        of_model = [part.filter(pl.col("model") == model)["p"] for model in list(MODELS)[:2]]
        rows.append([str(group), str(len(of_model[0])), *map(rate, of_model)])
    return table(["group", "days", *list(MODELS)[:2]], rows)


def rate(p: pl.Series) -> str:
    """Write the share of p-values below 5%, with its binomial error."""
    share = float((p < 0.05).mean() or 0.0)
    return f"{share:.1%} ({np.sqrt(share * (1 - share) / max(len(p), 1)):.1%})"
