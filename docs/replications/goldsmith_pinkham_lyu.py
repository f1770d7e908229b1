"""Compute the tables of goldsmith_pinkham_lyu.md: bias and rejections of four estimators in four simulated panels.

Two estimators are computed on all 50 seeds in full, simple means but for their rejections. Those, and the generalised
synthetic control, need the returns of every control firm, which the data has for five seeds: their cells come with a
Monte-Carlo error.

Abnormal returns are those of the public functions. Means over firms, and p-values by the paper's degrees of freedom,
are computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

import marketimpact as mi
from docs.findings.cells import table
from docs.replications.printed import ERRORS, cell_table, compared, counts

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
NAMES = {name: name for name in ("panel", "estimator", "periods", "statistic")}
SIMULATION = ["panel", "seed", "tau"]
SIMPLE, CAPM, FACTORS, GSYNTH = "Simple Means", "CAPM", "Correct Factor Structure", "Gsynth (PCA)"
ESTIMATORS = (SIMPLE, CAPM, FACTORS, GSYNTH)
#: Estimators whose rejections need no controls.
KNOWN = (CAPM, FACTORS)
#: Cells that are compared within Monte-Carlo error.
IS_SAMPLED = (pl.col("estimator") == GSYNTH) | ((pl.col("estimator") == SIMPLE) & (pl.col("statistic") == "Coverage"))
N_FIRMS, N_DAYS, N_SEEDS, N_SAMPLED = 500, LAST + 1, 50, 5
#: Name of simple means with the spread of the controls in their errors.
WITH_CONTROLS = "Simple Means, controls known"
CELL = ["panel", "estimator", "periods", "statistic"]


def remake(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page, and no figures."""
    found = simulated(folder / FOLDER)
    cells = compared(beside_printed(folder / FOLDER, found), DECIMALS)
    named = cells.with_columns(pl.col("panel").replace_strict(PANELS).str.head(1))
    tables = {
        "counts": counts(cells, "estimator", "estimator"),
        "sampled": sampled_table(cells.filter(IS_SAMPLED)),
        "paired": paired_table(cells, found[GSYNTH], found[FACTORS]),
        "rmse": rmse_table(found),
        "rejections": rejections_table(cells, found),
        "cells": cell_table(named, NAMES, DECIMALS),
    }
    return tables, {}


def remake_alarm(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the table of docs/procedures/factor_alarm.md: how often the alarm rings in the four panels."""
    result = run(*_read(folder / FOLDER), [CAPM])[CAPM]
    days = result.events.select("date", "panel").unique()
    found = mi.factor_alarm(result).table.join(days, on="date", how="left", validate="1:1")
    rows = []
    for panel, title in PANELS.items():
        own = found.filter(panel=panel)
        share, bias = float(own["rings"].cast(pl.Float64).mean()), own["bias"]
        error = float(np.sqrt(share * (1 - share) / own.height))
        rows.append(
            [title, str(own.height), f"{share:.0%} ({error:.0%})", f"{own['z'].abs().median():.1f}",
             f"{100 * bias.mean():.2f} ({100 * bias.std() / np.sqrt(own.height):.2f})"]
        )  # fmt: skip
    return {"alarm": table(["panel", "seeds", "rings", "median of abs(z)", "mean bias, points"], rows)}, {}


def replicated(folder: Path) -> pl.DataFrame:
    """Return every printed cell beside ours, as `beside_printed` does."""
    return beside_printed(folder, simulated(folder))


def simulated(folder: Path) -> dict[str, pl.DataFrame]:
    """Compute every estimator's bias and rejections by ``panel, seed, tau``; see `_rejections`."""
    treated, factors = _read(folder)
    controls = _dated(pl.read_parquet(folder / "controls_5_seeds.parquet"))
    averages = {estimator: _averages(result) for estimator, result in run(treated, factors).items()}
    averages[GSYNTH] = synthetic_averages(treated, controls, factors)
    found = {estimator: _rejections(frame, factors, estimator) for estimator, frame in averages.items()}
    has_controls = controls.select("panel", "seed").unique()
    of_five = found[SIMPLE].join(has_controls, on=["panel", "seed"], how="semi")
    return {**found, WITH_CONTROLS: _two_samples(of_five, controls)}


def beside_printed(folder: Path, found: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the printed cells beside ours: ``panel, estimator, periods, statistic, printed, ours, error, n_seeds``.

    ``error`` is the Monte-Carlo error of a cell that has five of the 50 seeds, null for one that has them all.
    """
    whole = pl.concat([_statistics(found[estimator], estimator) for estimator in ESTIMATORS])
    rejections = _statistics(found[WITH_CONTROLS], SIMPLE).filter(IS_SAMPLED)
    is_replaced = (pl.col("estimator") == SIMPLE) & IS_SAMPLED
    printed = pl.read_csv(folder / "table1.csv").rename({"published": "printed"}).drop("unit")
    joined = printed.join(
        pl.concat([whole.filter(~is_replaced), rejections]), on=CELL, how="left", validate="1:1", maintain_order="left"
    )
    return joined.with_columns(error=pl.when(IS_SAMPLED).then(_larger_error()))


def sampled_table(cells: pl.DataFrame) -> str:
    """Count the cells of five seeds by how many Monte-Carlo errors, and half a printed digit, they are off."""
    off = pl.col("difference").abs() - 0.5 * 10**-DECIMALS
    measured = cells.with_columns(off=off - 1e-9, twice=2 * pl.col("error"), most=ERRORS * pl.col("error"))
    rows = []
    for (estimator, statistic), part in measured.group_by("estimator", "statistic", maintain_order=True):
        near, within = (int((part["off"] <= part[name]).sum()) for name in ("twice", "most"))
        rows.append(
            [str(estimator), str(statistic), *map(str, (part.height, near, within - near, part.height - within))]
        )
    return table(["estimator", "statistic", "cells", "within two errors", "within three", "further off"], rows)


def paired_table(cells: pl.DataFrame, synthetic: pl.DataFrame, known: pl.DataFrame) -> str:
    """Set the five seeds of the synthetic control beside the printed 50, less what made these seeds unlike the 50.

    Both estimators see the same shocks of the treated firms. The correct factor structure is known for all 50 seeds:
    its mean over the 50, and the mean difference of the two estimators over the five, estimate the synthetic control
    over the 50. The error of that difference, of five out of 50, is the estimate's (a control variate).
    """
    both = _of_seeds(synthetic).join(_of_seeds(known), on=["panel", "seed", "cell"], validate="1:1", suffix="_known")
    spread = (pl.col("value") - pl.col("value_known")).std() * np.sqrt(1 / N_SAMPLED - 1 / N_SEEDS)
    differences = both.group_by("panel", "cell").agg(
        difference_mean=(pl.col("value") - pl.col("value_known")).mean(), spread_error=spread
    )
    means = _of_seeds(known).group_by("panel", "cell").agg(pl.col("value").mean())
    joined = means.join(differences, on=["panel", "cell"], validate="1:1")
    found = _cells(joined.with_columns(ours=pl.col("value") + pl.col("difference_mean"), n_seeds=N_SAMPLED), GSYNTH)
    ours = cells.select(*CELL, "printed").join(found, on=CELL, how="inner", validate="1:1", maintain_order="left")
    ours = ours.filter(pl.col("statistic") != "Coverage").with_columns(error="spread_error")
    off = (pl.col("ours") - pl.col("printed")).abs() - 0.5 * 10**-DECIMALS
    rows = [
        [PANELS[row["panel"]][0], row["periods"], row["statistic"], f"{row['printed']:.2f}",
         f"{row['ours']:.3f} ({row['error']:.3f})", f"{max(row['off'], 0) / row['error']:.1f}"]
        for row in ours.with_columns(off=off).iter_rows(named=True)
    ]  # fmt: skip
    return table(["panel", "periods", "statistic", "printed", "ours, for 50 seeds (error)", "errors off"], rows)


def rmse_table(found: Mapping[str, pl.DataFrame]) -> str:
    """Tabulate the root mean squared error of one day, over simulations and days, in points.

    The printed one is of the sum of squares over the 11 days.
    """
    root = 100 * (pl.col("bias") ** 2).mean().sqrt()
    errors = {name: dict(found[name].group_by("panel").agg(root).iter_rows()) for name in ESTIMATORS}
    rows = [[title[0], *(f"{errors[name][panel]:.2f}" for name in ESTIMATORS)] for panel, title in PANELS.items()]
    return table(["panel", *ESTIMATORS], rows)


def rejections_table(cells: pl.DataFrame, found: Mapping[str, pl.DataFrame]) -> str:
    """Set rejections on days without effect by our own t, on n - 1 degrees of freedom, beside those of the paper's."""
    quiet = pl.col("tau") != 0
    means = pl.col("rejects_n_1", "rejects_test").mean()
    shares = [
        found[name].filter(quiet).group_by("panel").agg(means).with_columns(estimator=pl.lit(name))
        for name in ESTIMATORS
    ]
    printed = cells.filter(pl.col("periods") == "Untreated Periods", pl.col("statistic") == "Coverage")
    own = (
        printed.rename({"ours": "theirs", "state": "state_theirs"})
        .drop("difference", "error")
        .join(pl.concat(shares), on=["panel", "estimator"], how="left", validate="1:1", maintain_order="left")
    )
    beside = compared(own.with_columns(ours="rejects_n_1"), DECIMALS)
    rows = [
        [PANELS[row["panel"]][0], row["estimator"], f"{row['printed']:.2f}", f"{row['theirs']:.3f}",
         f"{row['ours']:.3f}", f"{row['rejects_test']:.3f}", row["state"] if row["estimator"] in KNOWN else ""]
        for row in beside.iter_rows(named=True)
    ]  # fmt: skip
    head = ["panel", "estimator", "printed", "the paper's test (the table of cells)", "n - 1"]
    return table([*head, "`cross_sectional_t`", "n - 1 beside printed"], rows)


def _read(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the treated firms and the factors of all seeds, on their own dates."""
    treated, factors = (_dated(pl.read_parquet(folder / f"{name}.parquet")) for name in ("treated", "factors"))
    return treated, factors


def run(
    treated: pl.DataFrame, factors: pl.DataFrame, estimators: Sequence[str] = (SIMPLE, CAPM, FACTORS)
) -> dict[str, mi.StudyResult]:
    """Run three estimators on all simulated panels at once, each panel on dates of its own."""
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
        name: mi.EventStudy(model=model, **WINDOWS).run(events, market)
        for name, (model, market) in studies.items()
        if name in estimators
    }


def synthetic_averages(treated: pl.DataFrame, controls: pl.DataFrame, factors: pl.DataFrame) -> pl.DataFrame:
    """Average abnormal returns given components of the controls, panel by panel; see `_averages`."""
    averages = []
    for (benchmark,), untreated in controls.group_by("benchmark", maintain_order=True):
        own, moves = treated.filter(benchmark=benchmark), factors.filter(benchmark=benchmark)
        donors = untreated.with_columns(symbol=pl.format("{}-control", "symbol"))
        returns = pl.concat([own, donors]).select("date", "symbol", "ret")
        market = mi.Market.from_returns(returns, moves.select("date", ret=pl.col("mktrf") + pl.col("rf")))
        model = mi.StatisticalFactors(donors["symbol"].unique().sort().to_list())
        events = own.filter(tau=0).select("date", "symbol", "panel", "seed", event_id="symbol")
        averages.append(_averages(mi.EventStudy(model=model, **WINDOWS).run(events, market)))
    return pl.concat(averages)


def _dated(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every simulated panel dates of its own, and its firms names of their own."""
    typed = frame.with_columns(pl.col("panel").cast(pl.String), pl.col("seed", "tau").cast(pl.Int64))
    number = pl.col("panel").replace_strict({name: n for n, name in enumerate(PANELS)}, return_dtype=pl.Int64)
    day = (number * N_SEEDS + pl.col("seed") - 1234) * SPAN + pl.col("tau")
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
    """Add ``bias`` and ``rejects``: two-sided at 5%, on the degrees of freedom of the paper's pooled regression.

    ``rejects_n_1`` is the same t on n - 1 degrees of freedom, and ``rejects_test`` what `StudyResult.test` gives for
    each day as cross_sectional_t, from abnormal returns as they are.
    """
    joined = averages.join(factors.select(*SIMULATION, "rf"), on=SIMULATION, how="left", validate="1:1")
    mean, own_df = joined["mean"], joined["n"] - 1
    if estimator == FACTORS:  # the paper estimates on returns and takes the risk-free rate off afterwards
        joined = joined.with_columns(pl.col("mean") - pl.col("rf"))
    effect = pl.when(pl.col("tau") == 0).then(EFFECT).otherwise(0.0)
    return joined.with_columns(
        bias=pl.col("mean") - effect,
        rejects=_rejects(joined["mean"] / joined["se"], N_DAYS * own_df),
        rejects_n_1=_rejects(joined["mean"] / joined["se"], own_df),
        rejects_test=_rejects(mean / joined["se"], own_df),
    )


def _rejects(t: pl.Series, df: pl.Series) -> pl.Series:
    return pl.Series(2 * stats.t.sf(np.abs(t.to_numpy()), df.to_numpy()) < LEVEL)


def _two_samples(simulations: pl.DataFrame, controls: pl.DataFrame) -> pl.DataFrame:
    """Replace ``rejects`` by the paper's for simple means, whose errors count the spread of the controls too.

    Treated less controls on each day from one regression over 11 days, with HC1 errors.
    """
    spread = controls.group_by(SIMULATION).agg(control_squares=pl.col("ret").var(ddof=0) / pl.len())
    joined = simulations.join(spread, on=SIMULATION, how="left", validate="1:1")
    df = N_DAYS * (N_FIRMS - 2)
    treated_squares = pl.col("se") ** 2 * (pl.col("n") - 1) / pl.col("n")
    error = ((treated_squares + pl.col("control_squares")) * N_FIRMS / (N_FIRMS - 2)).sqrt()
    t = joined.select((pl.col("mean") / error).abs()).to_series().to_numpy()
    return joined.with_columns(rejects=pl.Series(2 * stats.t.sf(t, df) < LEVEL))


def _statistics(simulations: pl.DataFrame, estimator: str) -> pl.DataFrame:
    """Summarise bias and rejections over the simulations of a panel as the paper does, in percentage points.

    ``spread_error`` is the standard error of each over the simulations.
    """
    summary = _of_seeds(simulations).group_by("panel", "cell").agg(
        ours=pl.col("value").mean(), spread_error=pl.col("value").std() / pl.len().sqrt(), n_seeds=pl.len()
    )  # fmt: skip
    return _cells(summary, estimator)


def _of_seeds(simulations: pl.DataFrame) -> pl.DataFrame:
    """Compute what each simulation adds to the mean that is a cell: ``panel, seed, cell, value``."""
    is_day0 = pl.col("tau") == 0
    all_days, day0, others = pl.col("bias").sum(), pl.col("bias").filter(is_day0), pl.col("bias").filter(~is_day0).sum()
    values = {
        "All Periods|E(Bias)": 100 * all_days / N_DAYS,
        "All Periods|MAD": 100 * all_days.abs() / N_DAYS,
        "All Periods|RMSE": 100**2 * (pl.col("bias") ** 2).sum(),  # the root is of the mean over simulations
        "Treated Periods|E(Bias)": 100 * day0.sum(),
        "Treated Periods|MAD": 100 * day0.sum().abs(),
        "Treated Periods|Coverage": pl.col("rejects").filter(is_day0).mean(),
        "Untreated Periods|E(Bias)": 100 * others / LAST,
        "Untreated Periods|MAD": 100 * others.abs() / LAST,
        "Untreated Periods|Coverage": pl.col("rejects").filter(~is_day0).mean(),
    }
    wide = simulations.group_by("panel", "seed").agg(**values)
    return wide.unpivot(index=["panel", "seed"], variable_name="cell", value_name="value")


def _cells(summary: pl.DataFrame, estimator: str) -> pl.DataFrame:
    """Name the cells as the paper's table does, and take the root of mean squares and its error."""
    is_root, root = pl.col("cell").str.ends_with("RMSE"), pl.col("ours").sqrt()
    parts = pl.col("cell").str.split("|")
    return summary.select(
        "panel", pl.lit(estimator).alias("estimator"), parts.list.get(0).alias("periods"),
        parts.list.get(1).alias("statistic"), pl.when(is_root).then(root).otherwise("ours").alias("ours"),
        pl.when(is_root).then(pl.col("spread_error") / (2 * root)).otherwise("spread_error").alias("spread_error"),
        "n_seeds",
    )  # fmt: skip


def _larger_error() -> pl.Expr:
    """Take the spread over seeds; for rejections at least the binomial error of the printed rate.

    Five seeds may agree by chance, which would leave a rejection rate without error.
    """
    days = pl.col("n_seeds") * pl.when(pl.col("periods") == "Treated Periods").then(1).otherwise(LAST)
    binomial = (pl.col("printed") * (1 - pl.col("printed")) / days).sqrt()
    is_rate = pl.col("statistic") == "Coverage"
    return pl.when(is_rate).then(pl.max_horizontal("spread_error", binomial)).otherwise("spread_error")
