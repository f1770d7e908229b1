"""Table 1 of Goldsmith-Pinkham and Lyu (2025, arXiv 2511.15123) through the API: three estimators, all 50 seeds.

Of the 108 cells, those of generalised synthetic control apart, all but the following agree to the printed digits.
*Correct factor structure*: the printed biases are about 0.012 points lower, the mean risk-free rate of a day, which
their program seems to subtract once more. *Simple means*: their rejection rates use the spread of controls too, which
are at hand for five seeds only; that of the treated stands in for it here.

The printed RMSE is of the sum of squares over the 11 days, not of their mean. A rejection is |t| > 1.96 here, close to
the 11 (n - 1) degrees of freedom of their regression; on the n - 1 of `cross_sectional_t` five printed rates of the
CAPM and the correct factor structure are not met (docs/replications/goldsmith_pinkham_lyu.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.conftest import SHARED

GPL = SHARED / "replications" / "goldsmith_pinkham_lyu_2025"
ESTIMATORS = {
    "Simple Means": mi.MarketAdjusted(),
    "CAPM": mi.Capm(),
    "Correct Factor Structure": mi.FactorModel(("mktrf", "smb"), excess=True),
}
EFFECT, TAUS, FIRMS = 0.03, 11, 500
#: Bias of the printed correct factor structure, in points, and the other half of a printed digit.
RISK_FREE, DIGIT = 0.015, 0.0051
pytestmark = [
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.skipif(not GPL.exists(), reason="needs ../shared/replications, which is not here"),
]


def markets(panel: str, seed: int) -> tuple[mi.Market, mi.Market, pl.DataFrame]:
    """Return the market with the mean control and the one with the market return as benchmark, and the events."""
    own = pl.col("panel").cast(pl.String) == panel, pl.col("seed") == seed
    date = (pl.date(2000, 1, 1) + pl.duration(days=pl.col("tau") + 239)).alias("date")
    factors = pl.scan_parquet(GPL / "factors.parquet").filter(*own).with_columns(date).collect()
    rows = pl.scan_parquet(GPL / "treated.parquet").filter(*own).with_columns(date, symbol=pl.format("F{}", "firm"))
    rows = rows.select("tau", "date", "symbol", "ret").collect()
    returns, named = rows.drop("tau"), factors.select("date", "mktrf", "smb", "rf")
    events = rows.filter(pl.col("tau") == 0).select("date", "symbol", event_id="symbol")
    return (
        mi.Market.from_returns(returns, factors.select("date", ret="control_mean"), named),
        mi.Market.from_returns(returns, factors.select("date", ret=pl.col("mktrf") + pl.col("rf")), named),
        events,
    )


def estimates(panel: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each estimator's biases in points and whether it rejects, (seeds, days)."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in ESTIMATORS}
    truth = np.eye(1, TAUS)[0] * EFFECT
    for seed in range(1234, 1284):
        with_controls, with_market, events = markets(panel, seed)
        for name, model in ESTIMATORS.items():
            study = mi.EventStudy(model, estimation_window=(-239, -1), event_window=(0, TAUS - 1))
            result = study.run(events, with_controls if name == "Simple Means" else with_market)
            by_day = result.abnormal_returns.group_by("tau").agg(
                pl.col("ar").mean().alias("mean"), (pl.col("ar").std() / pl.len().sqrt()).alias("se")
            )
            mean, se = by_day.sort("tau").select("mean", "se").to_numpy().T
            n = result.events.height
            assert n == events.height > 30
            se = se * (np.sqrt(1 + n / (FIRMS - n)) if name == "Simple Means" else 1.0)
            found[name].append((100 * (mean - truth), np.abs(mean / se) > 1.96))
    for name, each in found.items():
        yield name, np.array([bias for bias, _ in each]), np.array([rejects for _, rejects in each])


def statistics(bias: np.ndarray, rejects: np.ndarray) -> dict[tuple[str, str], float]:
    """Compute the table's nine statistics; its "coverage" is the share of rejections."""
    cells = {}
    for period, days in {"All": slice(None), "Treated": slice(0, 1), "Untreated": slice(1, None)}.items():
        own = bias[:, days]
        cells[f"{period} Periods", "E(Bias)"] = own.mean()
        cells[f"{period} Periods", "MAD"] = np.abs(own.mean(axis=1)).mean()
        if period == "All":
            cells[f"{period} Periods", "RMSE"] = np.sqrt((own**2).sum(axis=1).mean())
        else:
            cells[f"{period} Periods", "Coverage"] = rejects[:, days].mean()
    return cells


@pytest.mark.parametrize("panel", ["none", "assignment", "timing", "both"])
def test_table_1(panel):
    printed = pl.read_csv(GPL / "table1.csv").filter(pl.col("panel") == panel)
    met = 0
    for name, bias, rejects in estimates(panel):
        cells = statistics(bias, rejects)
        rows = printed.filter(pl.col("estimator") == name)
        assert rows.height == len(cells) == 9
        for row in rows.iter_rows(named=True):
            ours = cells[row["periods"], row["statistic"]]
            gap = abs(ours - row["published"])
            met += gap <= DIGIT
            if name == "Correct Factor Structure":
                allowed = RISK_FREE + DIGIT
            elif name == "Simple Means" and row["statistic"] == "Coverage":
                allowed = 0.01 + DIGIT
            else:
                allowed = DIGIT
            assert gap <= allowed, (name, row, ours)
    assert met >= 19  # of 27: the correct factor structure has at most eight cells that are not rejections on day 0
