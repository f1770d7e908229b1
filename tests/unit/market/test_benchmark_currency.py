"""A benchmark in another currency than the security: converted as its prices would be."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi

FIRST, N = date(2023, 1, 2), 1100
DAYS = [FIRST + timedelta(days=k) for k in range(N)]
#: US dollars for one unit, every calendar day.
RATES = pl.DataFrame(
    {
        "date": DAYS * 2,
        "currency": ["HKD"] * N + ["TWD"] * N,
        "rate": np.exp(np.random.default_rng(1).normal(0.0, 0.004, 2 * N).cumsum() * 0.2) * 0.12,
    }
)
FIRMS = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "0981.HK", "2330.TW"]))


def prices(extra: pl.DataFrame | None = None) -> mi.FilePrices:
    table = mi.SamplePrices().read([*FIRMS["symbol"], "^GSPC"]).frame.select("symbol", "date", "close", "volume")
    frame = table if extra is None else pl.concat([table, extra])
    return mi.FilePrices(frame.with_columns(adj_close="close"))


@pytest.fixture(scope="module")
def market() -> mi.Market:
    """A world index in dollars as the benchmark of three firms."""
    return mi.Market.load(FIRMS.with_columns(benchmark=pl.lit("^GSPC")), prices())


@pytest.fixture(scope="module")
def local(market) -> mi.Market:
    return market.convert_benchmarks(RATES, "USD")


def test_the_returns_are_those_of_the_index_priced_in_the_other_currency(local):
    index = mi.SamplePrices().read(["^GSPC"]).frame.select("symbol", "date", "close", "volume")
    per_dollar = RATES.filter(pl.col("currency") == "HKD").select("date", hkd=1.0 / pl.col("rate"))
    in_hkd = index.join(per_dollar, on="date").with_columns(
        symbol=pl.lit("GSPC_HKD"), close=pl.col("close") * pl.col("hkd")
    )
    firm = FIRMS.filter(pl.col("symbol") == "0981.HK").with_columns(benchmark=pl.lit("GSPC_HKD"))
    by_price = mi.Market.load(firm, prices(in_hkd.drop("hkd"))).panel
    converted = local.panel.filter(pl.col("symbol") == "0981.HK")
    assert converted["date"].equals(by_price["date"])
    assert converted["market"].null_count() == by_price["market"].null_count()
    np.testing.assert_allclose(converted["market"].to_numpy(), by_price["market"].to_numpy(), rtol=1e-9, atol=1e-13)


def test_each_security_has_its_own_currency_and_others_stay(market, local):
    before, after = market.panel, local.panel
    assert after.drop("market").equals(before.drop("market"))
    american = pl.col("symbol") == "NVDA"
    assert after.filter(american).equals(before.filter(american))
    rates = {key: dict(own.select("date", "rate").iter_rows()) for (key,), own in RATES.group_by("currency")}
    compared = 0
    for symbol, currency in (("0981.HK", "HKD"), ("2330.TW", "TWD")):
        rows = before.filter(pl.col("symbol") == symbol)
        days, old = rows["date"].to_list(), rows["market"].to_list()
        new = after.filter(pl.col("symbol") == symbol)["market"].to_list()
        for k in range(1, len(days)):
            if old[k] is None:
                assert new[k] is None
                continue
            change = rates[currency][days[k - 1]] / rates[currency][days[k]]
            assert new[k] == pytest.approx((1.0 + old[k]) * change - 1.0, rel=1e-10, abs=1e-14)
            compared += 1
    assert compared > 500


def test_what_was_converted_is_recorded_and_not_converted_again(market, local):
    assert local.securities["benchmark_currency"].to_list() == local.securities["currency"].to_list()
    note = "benchmark returns converted to the security's currency: ^GSPC from USD to HKD, ^GSPC from USD to TWD"
    assert note in local.notes
    assert local.fingerprint != market.fingerprint
    with pytest.raises(mi.SpecificationError, match="converted already"):
        local.convert_benchmarks(RATES, "USD")
    with pytest.warns(mi.MarketImpactWarning, match="nothing is converted"):
        assert local.convert_benchmarks(RATES, quote="USD") is local


def test_the_currency_may_be_a_column_or_given_by_benchmark(market, local):
    column = FIRMS.with_columns(benchmark=pl.lit("^GSPC"), benchmark_currency=pl.lit("USD"))
    with pytest.warns(mi.MarketImpactWarning, match=r"Benchmarks of 2 securities .* \^GSPC in USD\)"):
        loaded = mi.Market.load(column, prices())
    assert loaded.convert_benchmarks(RATES, quote="USD").panel.equals(local.panel)
    assert market.convert_benchmarks(RATES, {"^GSPC": "USD"}, quote="USD").panel.equals(local.panel)
    with pytest.raises(mi.SpecificationError, match=r"the benchmark of .* is in another currency"):
        loaded.in_currency("USD", RATES)


def test_rates_in_a_third_currency_are_crossed(market, local):
    euro = pl.concat(
        [
            RATES.with_columns(pl.col("rate") * 0.9),
            pl.DataFrame({"date": DAYS, "currency": "USD", "rate": 0.9}),
        ]
    )
    crossed = market.convert_benchmarks(euro, "USD", quote="EUR").panel
    np.testing.assert_allclose(crossed["market"].to_numpy(), local.panel["market"].to_numpy(), rtol=1e-9, atol=1e-13)


def test_all_in_one_currency_afterwards_is_the_index_in_that_currency(market, local):
    """Local benchmarks converted on to dollars are the dollar index again."""
    back = local.in_currency("USD", RATES).panel
    np.testing.assert_allclose(back["market"].to_numpy(), market.panel["market"].to_numpy(), rtol=1e-9, atol=1e-12)


def test_a_study_runs_on_converted_benchmarks(market, local):
    day = local.panel.filter(pl.col("symbol") == "0981.HK")["date"][500]
    events = pl.DataFrame({"event_id": ["h", "n"], "symbol": ["0981.HK", "NVDA"], "date": [day, day]})
    study = mi.EventStudy(model=mi.MarketAdjusted(), event_window=(-1, 1))
    plain, converted = study.run(events, market).abnormal_returns, study.run(events, local).abnormal_returns
    panel = local.panel.filter(pl.col("symbol") == "0981.HK").select("date", expected="market")
    hong_kong = converted.filter(pl.col("symbol") == "0981.HK").select("date", "expected").drop_nulls()
    assert hong_kong.height
    assert hong_kong.equals(hong_kong.select("date").join(panel, on="date", how="left"))
    american = pl.col("symbol") == "NVDA"
    assert converted.filter(american).equals(plain.filter(american))


def test_a_missing_rate_is_an_error_with_the_pair_and_the_days(market, local):
    needed = local.panel.filter((pl.col("symbol") == "2330.TW") & pl.col("market").is_not_null())["date"]
    gap = [needed[10], needed[200]]
    lacking = RATES.filter(~((pl.col("currency") == "TWD") & pl.col("date").is_in(gap)))
    with pytest.raises(mi.DataError, match=rf"USD/TWD on {gap[0]}, {gap[1]} \(2 sessions\).*max_age_days=5") as error:
        market.convert_benchmarks(lacking, "USD")
    assert error.value.rows.rows() == [(gap[0], "TWD"), (gap[1], "TWD")]
    filled = market.convert_benchmarks(lacking, "USD", max_age_days=5)
    assert filled.panel["market"].null_count() == market.panel["market"].null_count()


def test_no_rates_of_a_currency_name_all_of_its_days(market):
    with pytest.raises(mi.DataError, match=r"USD/TWD on \d.* and \d+ more"):
        market.convert_benchmarks(RATES.filter(pl.col("currency") == "HKD"), "USD")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "quote= says which currency"),
        ({"quote": "USD"}, r"The currency of the benchmark \^GSPC is not given"),
        ({"currency": {"ACWI": "USD"}, "quote": "USD"}, r"The currency of the benchmark \^GSPC is not given"),
        ({"currency": "USD", "max_age_days": -1}, "max_age_days=-1 must be a whole number"),
    ],
)
def test_what_is_not_said_is_asked_for(market, options, message):
    with pytest.raises(mi.SpecificationError, match=message):
        market.convert_benchmarks(RATES, **options)


def test_markets_without_currencies_or_simple_returns_are_refused(market):
    days = DAYS[:300]
    returns = pl.DataFrame({"date": days, "symbol": "A", "ret": np.random.default_rng(2).normal(0, 0.01, 300)})
    handed_in = mi.Market.from_returns(returns, returns.select("date", ret=pl.col("ret") * 0.5))
    with pytest.raises(mi.SpecificationError, match="no currencies of its securities"):
        handed_in.convert_benchmarks(RATES, "USD")
    with pytest.raises(mi.SpecificationError, match="starts from simple returns"):
        market.in_logs().convert_benchmarks(RATES, "USD")
