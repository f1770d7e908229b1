"""Calendar-time portfolios against statsmodels on portfolios made by hand."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

import marketimpact as mi
from tests.conftest import golden

# firms repeat (US01, US02) and dates repeat
EVENTS = pl.concat([golden("events_mixed").head(12), golden("events_clustered").head(3)]).with_columns(
    pl.format("{}-{}", "event_id", pl.int_range(pl.len())).alias("event_id")
)


def portfolio(market: mi.Market, first: int, last: int) -> pl.DataFrame:
    """``date, ret, market, smb, rf, n``: mean over the distinct firms held on each date, one event at a time."""
    rows = []
    for symbol, day in EVENTS.select("symbol", "date").iter_rows():
        own = market.panel.filter(pl.col("symbol") == symbol).sort("session")
        days = own["date"].to_list()
        at = next(n for n, d in enumerate(days) if d >= day)
        rows.append(own[max(at + first, 0) : at + last + 1].select("symbol", "date", "ret", "market", "smb", "rf"))
    held = pl.concat(rows).drop_nulls("ret").unique(["symbol", "date"])
    return held.group_by("date").agg(pl.col("ret", "market", "smb", "rf").mean(), pl.len().alias("n")).sort("date")


@pytest.mark.filterwarnings("ignore:errors='wls' takes the firms:marketimpact.MarketImpactWarning")
@pytest.mark.parametrize("factors", [("market",), ("market", "smb")])
@pytest.mark.parametrize("excess", [False, True])
@pytest.mark.parametrize("errors", ["ols", "wls", "wls_robust", "hac"])
def test_alpha_is_the_intercept_of_statsmodels(golden_market, factors, excess, errors):
    """The CAPM in excess of rf takes rf from the benchmark too; other factors are returns of two sides already."""
    days = portfolio(golden_market, 0, 20)
    rf = days["rf"].to_numpy() if excess else 0.0
    columns = [days[name].to_numpy() - (rf if name == "market" else 0.0) for name in factors]
    y, x = days["ret"].to_numpy() - rf, sm.add_constant(np.column_stack(columns))
    theirs = {
        "ols": lambda: sm.OLS(y, x).fit(),
        "wls": lambda: sm.WLS(y, x, weights=days["n"].to_numpy().astype(float)).fit(),
        "wls_robust": lambda: sm.WLS(y, x, weights=days["n"].to_numpy().astype(float)).fit(cov_type="HC3", use_t=True),
        "hac": lambda: sm.OLS(y, x).fit(cov_type="HAC", cov_kwds={"maxlags": 5, "use_correction": False}, use_t=True),
    }[errors]()
    ours = mi.calendar_time(EVENTS, golden_market, (0, 20), factors=factors, excess=excess, errors=errors)
    assert ours.n_days == days.height
    assert ours.df == days.height - len(factors) - 1
    assert [ours.alpha, ours.se, ours.t, ours.p_value] == pytest.approx(
        [theirs.params[0], theirs.bse[0], theirs.tvalues[0], theirs.pvalues[0]], rel=1e-9
    )


def test_days_with_fewer_firms_than_requested_are_left_out(golden_market):
    days = portfolio(golden_market, 0, 20)
    for least in sorted(days["n"].unique())[:3]:
        found = mi.calendar_time(EVENTS, golden_market, (0, 20), min_firms=least)
        assert found.n_days == days.filter(pl.col("n") >= least).height
        assert found.portfolio["n_firms"].min() == least


def test_one_session_more_than_the_regression_needs_is_enough(golden_market):
    """A regression on k factors needs k + 3 sessions."""
    one = EVENTS.head(1)
    for factors in (("market",), ("market", "smb")):
        n = len(factors) + 3
        assert mi.calendar_time(one, golden_market, (0, n - 1), factors=factors).n_days == n
        with pytest.raises(mi.DataError, match=f"{n - 1} sessions have a portfolio .* needs {n}"):
            mi.calendar_time(one, golden_market, (0, n - 2), factors=factors)


def test_weights_that_differ_are_warned_of(golden_market):
    """Weighted least squares takes firms as independent; with one firm a day there is nothing to weigh."""
    with pytest.warns(mi.MarketImpactWarning, match=r"independent, here \d+ to \d+ of them.*errors='wls_robust'"):
        plain = mi.calendar_time(EVENTS, golden_market, (0, 20), errors="wls")
    robust = mi.calendar_time(EVENTS, golden_market, (0, 20), errors="wls_robust")
    assert robust.alpha == plain.alpha
    one = EVENTS.head(1)
    alone, ols = (mi.calendar_time(one, golden_market, (0, 20), errors=errors) for errors in ("wls", "ols"))
    assert (alone.alpha, alone.se) == pytest.approx((ols.alpha, ols.se), rel=1e-9)


def sector_market(rng: np.random.Generator, dates: int = 30, held: int = 3, apart: int = 5):
    """Firms of one factor (1.3% a day) beside the market, hit on separate dates, 1 or (one date in five) 20 at once."""
    days = [date(2020, 1, 1) + timedelta(day) for day in range(dates * apart)]
    t5 = np.sqrt(0.6)
    benchmark, sector = 0.011 * t5 * rng.standard_t(5, len(days)), 0.013 * t5 * rng.standard_t(5, len(days))
    symbols = [f"F{i:02d}" for i in range(20)]
    beta, loading, sd = (rng.uniform(*ends, (20, 1)) for ends in ((0.7, 1.5), (0.5, 1.2), (0.012, 0.028)))
    returns = beta * benchmark + loading * sector + sd * t5 * rng.standard_t(5, (20, len(days)))
    size = np.where(rng.random(dates) < 0.2, 20, 1)
    size[:2] = 1, 20
    rows = [(f"{k}:{s}", s, days[k * apart]) for k in range(dates) for s in rng.permutation(symbols)[: size[k]]]
    frame = pl.DataFrame({"symbol": np.repeat(symbols, len(days)), "date": days * 20, "ret": returns.ravel()})
    market = mi.Market.from_returns(frame, pl.DataFrame({"date": days, "ret": benchmark}))
    return pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row"), market, (0, held - 1)


@pytest.mark.filterwarnings("ignore:errors='wls' takes the firms:marketimpact.MarketImpactWarning")
@pytest.mark.parametrize("samples", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_robust_weights_keep_their_size_where_firms_share_a_factor(samples):
    """No effect, 5%: ordinary and robust weighted errors within three Monte Carlo errors, plain weighted ones not."""
    rng, rejected = np.random.default_rng(21), dict.fromkeys(("ols", "wls_robust", "wls"), 0)
    for _ in range(samples):
        events, market, window = sector_market(rng)
        for errors in rejected:
            rejected[errors] += mi.calendar_time(events, market, window, errors=errors).p_value < 0.05
    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / samples)
    assert rejected["ols"] / samples < bound
    assert rejected["wls_robust"] / samples < bound
    assert rejected["wls"] / samples > 0.1
