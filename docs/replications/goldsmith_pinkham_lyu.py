"""Compute the tables of goldsmith_pinkham_lyu.md: bias and rejections of four estimators in four simulated panels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

import marketimpact as mi
from docs.replications.printed import cell_table, compared, counts

FOLDER = "goldsmith_pinkham_lyu_2025"
PANELS = {
    "none": "A: random firms, random day", "assignment": "B: chosen firms, random day",
    "timing": "C: random firms, chosen day", "both": "D: chosen firms, chosen day",
}  # fmt: skip
EFFECT, LEVEL = 0.03, 0.05
LAST = 10
WINDOWS = {"estimation_window": (-239, -1), "event_window": (0, LAST)}
#: Days from the first of one simulated panel to that of the next: 239 before the event, 11 from it on, and one free.
SPAN = 251
DECIMALS = 2
NAMES = {"panel": "panel", "estimator": "estimator", "periods": "periods", "statistic": "statistic"}
SIMULATION = ["panel", "seed", "tau"]
SIMPLE, CAPM, FACTORS = "Simple Means", "CAPM", "Correct Factor Structure"


def remake(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page, and no figures."""
    cells = compared(replicated(folder / FOLDER), DECIMALS)
    named = cells.with_columns(pl.col("panel").replace_strict(PANELS).str.head(1))
    return {"counts": counts(cells, "estimator", "estimator"), "cells": cell_table(named, NAMES, DECIMALS)}, {}


def replicated(folder: Path) -> pl.DataFrame:
    """Return every printed cell beside ours: ``panel, estimator, periods, statistic, printed, ours``."""
    treated, factors = (_dated(pl.read_parquet(folder / f"{name}.parquet")) for name in ("treated", "factors"))
    ours = pl.concat(
        [
            _statistics(_rejections(_averages(result), factors, estimator), estimator)
            for estimator, result in run(treated, factors).items()
        ]
    )
    printed = pl.read_csv(folder / "table1.csv").rename({"published": "printed"}).drop("unit")
    keys = ["panel", "estimator", "periods", "statistic"]
    return printed.join(ours, on=keys, how="left", validate="1:1", maintain_order="left")


def run(treated: pl.DataFrame, factors: pl.DataFrame) -> dict[str, mi.StudyResult]:
    """Run the three estimators on all simulated panels at once, each panel on dates of its own."""
    returns = treated.select("symbol", "date", "ret", "benchmark")
    market_return = factors.select("date", symbol="benchmark", ret=pl.col("mktrf") + pl.col("rf"))
    controls = factors.select("date", symbol="benchmark", ret="control_mean")
    priced = mi.Market.from_returns(returns, market_return, factors.select("date", "mktrf", "smb", "rf"))
    compared_with_controls = mi.Market.from_returns(returns, controls)
    events = treated.filter(tau=0).select("date", "symbol", "panel", "seed", event_id="symbol")
    studies = {
        SIMPLE: (mi.MarketAdjusted(), compared_with_controls),
        CAPM: (mi.Capm(), priced),
        FACTORS: (mi.FactorModel(("mktrf", "smb")), priced),
    }
    return {
        name: mi.EventStudy(model=model, **WINDOWS).run(events, market) for name, (model, market) in studies.items()
    }


def _dated(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every simulated panel dates of its own, and its firms names of their own."""
    typed = frame.with_columns(pl.col("panel").cast(pl.String), pl.col("seed", "tau").cast(pl.Int64))
    number = pl.col("panel").replace_strict({name: n for n, name in enumerate(PANELS)}, return_dtype=pl.Int64)
    day = (number * 50 + pl.col("seed") - 1234) * SPAN + pl.col("tau")
    named = typed.with_columns(
        benchmark=pl.format("{}-{}", "panel", "seed"), date=pl.date(1901, 1, 1).dt.offset_by(pl.format("{}d", day))
    )
    return named.with_columns(symbol=pl.format("{}-{}", "benchmark", "firm")) if "firm" in named.columns else named


def _averages(result: mi.StudyResult) -> pl.DataFrame:
    """Average abnormal returns over the treated firms of a simulation: ``panel, seed, tau, mean, se, n``."""
    returns = result.abnormal_returns.join(
        result.events.select("event_id", "panel", "seed"), on="event_id", how="left", validate="m:1"
    )
    return returns.group_by(SIMULATION).agg(
        mean=pl.col("ar").mean(), se=pl.col("ar").std() / pl.len().sqrt(), n=pl.len()
    )


def _rejections(averages: pl.DataFrame, factors: pl.DataFrame, estimator: str) -> pl.DataFrame:
    """Add ``bias`` and ``rejects``: two-sided at 5%, on the degrees of freedom of the paper's pooled regression."""
    joined = averages.join(factors.select(*SIMULATION, "rf"), on=SIMULATION, how="left", validate="1:1")
    if estimator == FACTORS:  # the paper estimates on returns and takes the risk-free rate off afterwards
        joined = joined.with_columns(pl.col("mean") - pl.col("rf"))
    n_days = LAST + 1
    df = n_days * (joined["n"].to_numpy() - 1)
    p = 2 * stats.t.sf(np.abs((joined["mean"] / joined["se"]).to_numpy()), df)
    effect = pl.when(pl.col("tau") == 0).then(EFFECT).otherwise(0.0)
    return joined.with_columns(bias=pl.col("mean") - effect, rejects=pl.Series(p < LEVEL))


def _statistics(simulations: pl.DataFrame, estimator: str) -> pl.DataFrame:
    """Summarise bias and rejections over the 50 simulations of a panel as the paper does, in percentage points.

    The rejections of simple means need the returns of every control firm, of which the data has five simulations.
    """
    is_day0 = pl.col("tau") == 0
    sums = simulations.group_by("panel", "seed").agg(
        all=pl.col("bias").sum(),
        squares=(pl.col("bias") ** 2).sum(),
        treated=pl.col("bias").filter(is_day0).sum(),
        untreated=pl.col("bias").filter(~is_day0).sum(),
        treated_rejects=pl.col("rejects").filter(is_day0).mean(),
        untreated_rejects=pl.col("rejects").filter(~is_day0).mean(),
    )
    cells = {
        ("All Periods", "E(Bias)"): 100 * pl.col("all").mean() / (LAST + 1),
        ("All Periods", "MAD"): 100 * pl.col("all").abs().mean() / (LAST + 1),
        ("All Periods", "RMSE"): 100 * pl.col("squares").mean().sqrt(),
        ("Treated Periods", "E(Bias)"): 100 * pl.col("treated").mean(),
        ("Treated Periods", "MAD"): 100 * pl.col("treated").abs().mean(),
        ("Treated Periods", "Coverage"): pl.col("treated_rejects").mean(),
        ("Untreated Periods", "E(Bias)"): 100 * pl.col("untreated").mean() / LAST,
        ("Untreated Periods", "MAD"): 100 * pl.col("untreated").abs().mean() / LAST,
        ("Untreated Periods", "Coverage"): pl.col("untreated_rejects").mean(),
    }
    if estimator == SIMPLE:
        cells = {key: value for key, value in cells.items() if key[1] != "Coverage"}
    wide = sums.group_by("panel").agg(**{"|".join(key): value for key, value in cells.items()})
    long = wide.unpivot(index="panel", variable_name="cell", value_name="ours")
    parts = pl.col("cell").str.split("|")
    return long.select(
        "panel", pl.lit(estimator).alias("estimator"), parts.list.get(0).alias("periods"),
        parts.list.get(1).alias("statistic"), "ours",
    )  # fmt: skip
