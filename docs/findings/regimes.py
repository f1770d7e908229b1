"""Tabulate rejection rates on days without news by what was known about volatility the evening before.

Nine American chip stocks on every day since 2018, as if one announcement had hit them all that day. Rates are split
by the recent variance relative to that of the estimation window, and by the VIX.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import polars as pl

import marketimpact as mi
from docs.findings.cells import table

FIRMS = ("AMAT", "AMD", "AVGO", "INTC", "KLAC", "LRCX", "MU", "NVDA", "QCOM")
FIRST_YEAR = 2018
STUDY = mi.EventStudy(estimation_window=(-250, -11), event_window=(0, 1))
WINDOWS = ((0, 0), (0, 1))
EFFECT, NOMINAL = 0.03, 0.05
#: Tests of the group, by their names in `marketimpact.TESTS`, and the primary one of them.
GROUP_TESTS = ("portfolio_regression", "bmp_kp", "filtered_placebo_t")
PRIMARY = "primary"
#: Tests of single firms: the columns of `StudyResult.single_tests` with the p-value of each and whether it is valid.
FIRM_TESTS = {"t": ("p", "valid_t"), "filtered (primary)": ("p_filtered", "valid_filtered")}
#: Sessions between two days of one batch: more than the estimation window and the event window reach.
APART = 262
#: Every how many batches are run; 1 uses every day.
STEP = 1
#: Fewest days and calendar months of which a rate is given.
LEAST_DAYS, LEAST_MONTHS = 20, 5
VIX = "^VIX"
RATIO_EDGES, VIX_EDGES = (0.5, 2 / 3, 1.5, 2.0), (15.0, 25.0)
RATIO_NAMES = ("below 0.5", "0.5 to 2/3", "2/3 to 1.5", "1.5 to 2", "above 2")
VIX_NAMES = ("below 15", "15 to 25", "above 25")


def group_ratio(result: mi.StudyResult) -> float:
    """Compute the variance of the firms' mean that was known the evening before, relative to the estimation window."""
    return result.sample(0, 0).filtered_mean.variance_ratio


def firm_ratios(result: mi.StudyResult) -> pl.DataFrame:
    """Compute the same of each firm: ``event_id, ratio``."""
    return result.car(0, 0).drop_nulls("car").select("event_id", pl.col("variance_ratio").alias("ratio"))


def tables(prices: mi.FilePrices) -> dict[str, str]:
    """Compute the tables of the page by name."""
    securities = mi.securities().filter(pl.col("symbol").is_in(FIRMS))
    panel = mi.Market.load(securities, prices).panel.drop_nulls(["ret", "market"])
    group, firms = outcomes(panel)
    vix = evening_vix(prices, group["date"].unique().sort())
    group, firms = (frame.join(vix, on="date", how="left") for frame in (group, firms))
    found = {"days": days_table(group)}
    for window in WINDOWS:
        own = group.filter(window=str(list(window))), firms.filter(window=str(list(window)))
        found[f"group {list(window)}"] = regimes_table(own[0], "days", (*GROUP_TESTS, PRIMARY))
        found[f"firms {list(window)}"] = regimes_table(own[1], "firm days", FIRM_TESTS)
    return found


def outcomes(panel: pl.DataFrame, every: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Run days without and with an effect: outcomes of tests of the group, and of single firms.

    Days of one batch lie so far apart that no estimation window has another day's effect in it. Of the batches one in
    `every` is run.
    """
    held = panel.group_by("date").len().filter(pl.col("len") == panel["symbol"].n_unique())["date"].sort()
    days = held.filter(held.dt.year() >= FIRST_YEAR)[:-1]
    group, firms = [], []
    for start in range(0, APART, STEP * every):
        batch = days.gather_every(APART, start)
        for effect in (0.0, EFFECT):
            result = run(panel, batch, effect)
            group.append(group_outcomes(result).with_columns(effect=pl.lit(effect)))
            firms.append(firm_outcomes(result).with_columns(effect=pl.lit(effect)))
    return pl.concat(group), pl.concat(firms)


def run(panel: pl.DataFrame, days: pl.Series, effect: float) -> mi.StudyResult:
    """Run a study of all firms on some days, with `effect` added to every return of these days."""
    hit = pl.when(pl.col("date").is_in(days.implode())).then(effect).otherwise(0.0)
    returns = panel.select("date", "symbol", pl.col("ret") + hit)
    benchmark = panel.select("date", pl.col("market").alias("ret")).unique().sort("date")
    events = returns.filter(pl.col("date").is_in(days.implode())).select(
        pl.format("{}:{}", "date", "symbol").alias("event_id"), "symbol", "date"
    )
    return STUDY.run(events, mi.Market.from_returns(returns, benchmark))


def group_outcomes(result: mi.StudyResult) -> pl.DataFrame:
    """Test the group on each day: ``date, window, test, p, valid, ratio``."""
    by_date = result.by("date")
    ratios = [(day, group_ratio(part)) for (day,), part in by_date.groups()]
    known = pl.DataFrame(ratios, schema={"date": pl.Date, "ratio": pl.Float64}, orient="row")
    tests = []
    for window in WINDOWS:
        frame = by_date.test(*window, tests=GROUP_TESTS).select(
            "date", pl.lit(str(list(window))).alias("window"), "test", pl.col("p_value").alias("p"), "valid", "role"
        )
        primary = frame.filter(role="primary").with_columns(test=pl.lit(PRIMARY))
        tests.append(pl.concat([frame, primary]).drop("role"))
    return pl.concat(tests).join(known, on="date", validate="m:1")


def firm_outcomes(result: mi.StudyResult) -> pl.DataFrame:
    """Test every firm on each day: ``date, window, test, p, valid, ratio``."""
    known, parts = firm_ratios(result), []
    for window in WINDOWS:
        frame = result.by("date").single_tests(*window).join(known, on="event_id", validate="1:1")
        for test, (p, valid) in FIRM_TESTS.items():
            named = {"window": pl.lit(str(list(window))), "test": pl.lit(test), "p": p, "valid": valid}
            parts.append(frame.select("date", "ratio", **named))
    return pl.concat(parts)


def evening_vix(prices: mi.FilePrices, days: pl.Series) -> pl.DataFrame:
    """Find the last close of the VIX before each day: ``date, vix``, empty where the file has none."""
    frame = pl.DataFrame({"date": days})
    try:
        closes = prices.read([VIX]).frame.sort("date").select("date", pl.col("close").alias("vix"))
    except mi.SourceError:
        return frame.with_columns(vix=pl.lit(None, pl.Float64))
    return frame.join_asof(closes, on="date", strategy="backward", allow_exact_matches=False, tolerance="7d")


def days_table(group: pl.DataFrame) -> str:
    """Say which days were used."""
    days = group["date"].unique()
    with_vix = group.drop_nulls("vix")["date"].n_unique()
    row = [", ".join(FIRMS), str(len(days)), str(days.min()), str(days.max()), str(with_vix)]
    return table(["firms", "days", "first", "last", "with a VIX of the evening before"], [row])


def regimes_table(outcome: pl.DataFrame, unit: str, tests: Iterable[str]) -> str:
    """Tabulate rates by regime and test."""
    rows = [
        [name, str(part.filter(effect=0.0).height), test, *rate_cells(part)]
        for name, days in regimes(outcome)
        for test in tests
        for part in [days.filter(test=test)]
    ]
    head = ["the evening before", unit, "test", "rejects", "valid", "rejects if valid"]
    return table([*head, f"finds {EFFECT:+.0%}", f"finds {EFFECT:+.0%} if valid"], rows)


def regimes(outcome: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Split outcomes by variance ratio and by VIX; parts without days are left out."""
    yield "all days", outcome
    for title, column, edges, names in (
        ("variance ratio", "ratio", RATIO_EDGES, RATIO_NAMES),
        ("VIX", "vix", VIX_EDGES, VIX_NAMES),
    ):
        for name, (low, high) in zip(names, pairwise((-np.inf, *edges, np.inf)), strict=True):
            part = outcome.filter(pl.col(column).is_between(low, high, closed="right"))
            if part.height:
                yield f"{title} {name}", part


def rate_cells(part: pl.DataFrame) -> list[str]:
    """Write how often a test rejects without and with an effect, on all days and on those on which it is valid."""
    null, effect = part.filter(effect=0.0), part.filter(effect=EFFECT)
    valid = f"{null['valid'].mean():.0%}"
    return [rate(null), valid, rate(null.filter("valid")), rate(effect), rate(effect.filter("valid"))]


def rate(outcome: pl.DataFrame) -> str:
    """Write the share of rejections with its standard error, clustered by calendar month; of too few days nothing."""
    months = (
        outcome.filter(pl.col("p").is_not_nan(), pl.col("p").is_not_null())
        .group_by(pl.col("date").dt.truncate("1mo"))
        .agg((pl.col("p") < NOMINAL).sum().alias("rejected"), pl.len().alias("n"))
    )
    if outcome["date"].n_unique() < LEAST_DAYS or months.height < LEAST_MONTHS:
        return "few days"
    rejected, n = months["rejected"].to_numpy().astype(float), months["n"].to_numpy()
    share = rejected.sum() / n.sum()
    if share in {0.0, 1.0}:  # no error can be estimated
        return f"{rejected.sum():.0f} of {n.sum()}"
    squares = np.square(rejected - share * n).sum() * months.height / (months.height - 1)
    return f"{share:.1%} ± {np.sqrt(squares) / n.sum():.1%}"
