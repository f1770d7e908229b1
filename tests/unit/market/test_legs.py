"""Legs of sessions: overnight and day, by plain numpy on prices whose legs are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import marketimpact as mi
from marketimpact.market.legs import day_returns
from tests.unit.market.bars import FIRMS, FIRST, LAST, Bars, drawn, load

STUDY = mi.EventStudy(estimation_window=(-120, -11), event_window=(-5, 5), min_observations=60)
#: Two firms on one date, and one of them on another.
EVENTS = pl.DataFrame(
    {
        "event_id": ["a:NYA", "a:NYB", "b:NYA", "a:600001.SS"],
        "announcement_id": ["a", "a", "b", "a"],
        "symbol": ["NYA", "NYB", "NYA", "600001.SS"],
        "date": [date(2024, 11, 5), date(2024, 11, 5), date(2025, 2, 11), date(2024, 11, 5)],
        "size": [1.0, 2.0, 3.0, 4.0],
    }
)


@pytest.fixture(scope="module")
def prices() -> pl.DataFrame:
    return drawn()


@pytest.fixture(scope="module")
def market(prices) -> mi.Market:
    return load(prices)


def own(market: mi.Market, symbol: str, column: str = "ret") -> np.ndarray:
    """Numbers of a security on the sessions of the prices; the panel's sessions reach further."""
    rows = market.panel.filter(pl.col("symbol") == symbol, pl.col("date").is_between(FIRST, LAST))
    return rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()


def bars_of(prices: pl.DataFrame, symbol: str) -> tuple[np.ndarray, np.ndarray]:
    frame = prices.filter(pl.col("symbol") == symbol).sort("date")
    return frame["open"].to_numpy(), frame["close"].to_numpy()


@pytest.mark.parametrize("symbol", FIRMS["symbol"].to_list())
def test_legs_are_ratios_of_opens_and_closes(prices, market, symbol):
    opens, closes = bars_of(prices, symbol)
    fund_opens, fund_closes = bars_of(prices, "FUND" if symbol.startswith("N") else "FUND.SS")
    night, day, session = (market.legs(leg) for leg in ("overnight", "day", "session"))
    np.testing.assert_allclose(own(night, symbol)[1:], opens[1:] / closes[:-1] - 1, atol=1e-14)
    np.testing.assert_allclose(own(day, symbol), closes / opens - 1, atol=1e-14)
    np.testing.assert_allclose(own(session, symbol)[1:], closes[1:] / closes[:-1] - 1, atol=1e-14)
    np.testing.assert_allclose(own(night, symbol, "market")[1:], fund_opens[1:] / fund_closes[:-1] - 1, atol=1e-14)
    np.testing.assert_allclose(own(day, symbol, "market"), fund_closes / fund_opens - 1, atol=1e-14)
    assert np.isnan(own(night, symbol)[0])  # no close before the first


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**16), untraded=st.integers(0, 40), without_open=st.integers(0, 40), paid=st.integers(0, 4))
def test_legs_compound_to_the_total_return(seed, untraded, without_open, paid):
    """Dividends and splits lie in the overnight leg; without an open both legs are missing, after a gap the night."""
    rng = np.random.default_rng(seed)
    frame = drawn(seed).filter(pl.col("symbol") == "NYA")
    n, total = frame.height, frame["close"].to_numpy()
    day = total / frame["open"].to_numpy() - 1
    night = np.append(np.nan, frame["open"].to_numpy()[1:] / total[:-1] - 1)
    # closes as traded fall by what is paid, and to a third at a split
    falls = np.ones(n)
    falls[rng.choice(np.arange(40, n), paid, replace=False)] *= 0.9
    falls[rng.choice(np.arange(40, n), paid, replace=False)] /= 3
    traded = total * np.cumprod(falls)
    has_open, has_close = rng.permutation(n) >= without_open, rng.permutation(n) >= untraded
    rows = frame.with_columns(
        pl.Series("unadjusted_close", traded), pl.Series("open", np.where(has_open, traded / (1 + day), np.nan))
    ).filter(pl.Series(has_close))
    others = drawn(seed).filter(pl.col("symbol") != "NYA").with_columns(pl.col("close").alias("unadjusted_close"))
    market = load(pl.concat([rows, others.select(rows.columns)]).with_columns(pl.col("open").fill_nan(None)))
    legs = own(market.legs("overnight"), "NYA"), own(market.legs("day"), "NYA")
    follows = np.append(False, has_close[:-1])
    np.testing.assert_allclose(legs[1], np.where(has_open & has_close, day, np.nan), atol=1e-12)
    np.testing.assert_allclose(legs[0], np.where(has_open & has_close & follows, night, np.nan), atol=1e-12)
    both = ~np.isnan(legs[0])
    np.testing.assert_allclose(((1 + legs[0]) * (1 + legs[1]) - 1)[both], own(market, "NYA")[both], atol=1e-12)


def test_a_stated_dividend_is_in_the_overnight_leg():
    """Without an adjusted close the ex-day's return is (close + dividend) / close before - 1; its day leg has none."""
    prices = drawn()
    ex = date(2024, 8, 6)
    before = prices.filter(pl.col("symbol") == "NYA", pl.col("date") < ex)["close"][-1]
    is_later = (pl.col("symbol") == "NYA") & (pl.col("date") >= ex)
    paid = prices.with_columns(
        pl.when(is_later).then(pl.col("open", "close") * 0.9).otherwise(pl.col("open", "close")),
        dividend=pl.when(is_later & (pl.col("date") == ex)).then(0.1 * before),
    )
    market = load(paid)
    row = paid.filter(pl.col("symbol") == "NYA", pl.col("date") == ex).row(0, named=True)
    on_ex = pl.col("symbol").eq("NYA") & pl.col("date").eq(ex)
    session = (row["close"] + row["dividend"]) / before - 1
    day = row["close"] / row["open"] - 1
    found = [market.legs(leg).panel.filter(on_ex)["ret"].item() for leg in ("session", "day", "overnight")]
    assert found == pytest.approx([session, day, (1 + session) / (1 + day) - 1], abs=1e-12)


def test_an_open_that_is_no_price_gives_no_leg():
    days = pl.date_range(date(2024, 1, 2), date(2024, 1, 6), eager=True)
    frame = pl.DataFrame(
        {"symbol": "a", "date": days, "close": [10.0, 10.0, 10.0, 10.0, None], "open": [8.0, 0.0, None, np.nan, 9.0]}
    )
    assert day_returns(frame).to_list() == [pytest.approx(0.25), None, None, None, None]


def test_an_open_is_on_the_basis_of_the_unadjusted_close_where_the_row_has_one():
    frame = pl.DataFrame(
        {
            "symbol": ["a", "a", "b"], "date": [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 2)],
            "close": [5.0, 10.0, 10.0], "unadjusted_close": [10.0, None, None], "open": [8.0, 8.0, 8.0],
        }
    )  # fmt: skip
    assert day_returns(frame).to_list() == pytest.approx([0.25, 0.25, 0.25])


def test_an_unusable_open_is_a_finding_and_gives_no_leg(prices):
    """An open of half the price, as after a split that the close is adjusted for, leaves both legs empty."""
    at = pl.col("symbol").eq("NYA") & pl.col("date").eq(date(2024, 11, 5))
    market = load(prices.with_columns(pl.when(at).then(pl.col("open") / 2).otherwise("open").alias("open")))
    found = market.findings.filter(pl.col("symbol") == "NYA", pl.col("date") == date(2024, 11, 5))
    assert found["finding"].to_list() == ["open_on_other_basis"]
    for leg in ("overnight", "day"):
        assert market.legs(leg).panel.filter(at)["ret"].to_list() == [None]
    assert market.legs("session").panel.filter(at)["ret"].null_count() == 0


def test_a_total_loss_has_no_night(prices):
    """A last close of 0 is a return of -1 from the open; nothing says what the night before was."""
    last = prices["date"].max()
    ended = prices.with_columns(
        pl.when(pl.col("symbol").eq("NYA") & pl.col("date").eq(last)).then(0.0).otherwise("close").alias("close"),
        delisted=pl.col("symbol") == "NYA",
    )
    market = load(ended)
    assert own(market.legs("day"), "NYA")[-1] == -1.0
    assert np.isnan(own(market.legs("overnight"), "NYA")[-1])


def test_the_leg_benchmark_is_a_fund_where_one_has_opens(prices, market):
    night = market.legs("overnight")
    assert night.securities["benchmark"].to_list() == ["FUND.SS", "FUND.SS", "FUND", "FUND", "FUND"]
    assert "legs on XNYS are against FUND (a traded fund)" in night.notes
    index = market.legs("overnight", benchmark="benchmark")
    opens, closes = bars_of(prices, "^NY")
    np.testing.assert_allclose(own(index, "NYA", "market")[1:], opens[1:] / closes[:-1] - 1, atol=1e-14)
    assert any("^NY (the benchmark itself; the open of an index can be stale)" in note for note in index.notes)


def test_a_fund_without_prices_is_no_error_and_the_benchmark_stands_in(prices):
    market = load(prices.filter(pl.col("symbol") != "FUND"))
    assert market.missing == ()
    night = market.legs("overnight")
    assert night.securities["benchmark"].to_list() == ["FUND.SS", "FUND.SS", "^NY", "^NY", "^NY"]
    assert "Bars has no opens of FUND, the leg_benchmark on XNYS" in night.notes


def without_opens(prices, symbol, lacking):
    """Prices without the opens of a symbol on the sessions number `lacking` says, of its own."""
    number = pl.int_range(pl.len()).over("symbol")
    is_known = (pl.col("symbol") != symbol) | ~lacking(number)
    return prices.with_columns(pl.when(is_known).then("open").alias("open"))


def test_the_benchmark_stands_in_for_a_fund_with_opens_on_few_sessions(prices):
    n = prices.filter(pl.col("symbol") == "FUND").height
    night = load(without_opens(prices, "FUND", lambda row: row % 5 == 3)).legs("overnight")
    assert night.securities["benchmark"].to_list() == ["FUND.SS", "FUND.SS", "^NY", "^NY", "^NY"]
    known = n - len(range(3, n, 5))
    few = f"Bars has opens of FUND, the leg_benchmark on XNYS, on {known} of the {n} sessions with an open of the"
    assert f"{few} benchmark from 2024-01-02 on, fewer than 90%: the benchmark stands in" in night.notes


def test_a_fund_keeps_its_place_from_its_first_open_on(prices):
    dates = prices.filter(pl.col("symbol") == "FUND")["date"]
    n = len(dates)
    late = load(without_opens(prices, "FUND", lambda row: row < n // 4))
    night = late.legs("overnight")
    assert night.securities["benchmark"].to_list() == ["FUND.SS", "FUND.SS", "FUND", "FUND", "FUND"]
    note = f"from {dates[n // 4]} on only: legs of the {n // 4} sessions before have no benchmark"
    assert any(note in one for one in night.notes)
    assert not any("from " in one and "on only" in one for one in late.legs("session").notes)
    opens, closes = bars_of(prices, "FUND")
    known = own(night, "NYA", "market")
    assert np.isnan(known[: n // 4]).all()
    np.testing.assert_allclose(known[n // 4 :], (opens[1:] / closes[:-1] - 1)[n // 4 - 1 :], atol=1e-14)
    later = load(without_opens(prices, "FUND", lambda row: row < 3 * n // 4)).legs("overnight")
    assert later.securities["benchmark"].to_list() == ["FUND.SS", "FUND.SS", "^NY", "^NY", "^NY"]
    few = f"{n - 3 * n // 4} of the {n} sessions with an open of the benchmark, fewer than 50%"
    assert any(few in note for note in later.notes)


def test_a_benchmark_without_opens_is_warned_about(prices):
    closed = pl.col("symbol").is_in(["FUND", "^NY"])
    market = load(prices.with_columns(pl.when(~closed).then("open").alias("open")))
    with pytest.warns(mi.MarketImpactWarning, match=r"Bars has no opens of the benchmark \^NY: legs of 3 securities"):
        night = market.legs("overnight")
    assert np.isnan(own(night, "NYA", "market")).all()
    assert not np.isnan(own(night, "600001.SS", "market")[1:]).any()


def test_securities_without_opens_are_named(prices):
    night = load(prices.with_columns(pl.when(pl.col("symbol") != "NYC").then("open").alias("open"))).legs("overnight")
    assert "without opens, and so without this leg: NYC" in night.notes
    result = STUDY.run(EVENTS.with_columns(symbol=pl.col("symbol").replace("NYB", "NYC")), night)
    assert result.attrition.select("event_id", "reason").rows() == [("a:NYB", "too_few_observations")]


def test_an_event_without_a_leg_says_which_opens_are_missing(prices):
    # the estimation window of 2024-11-05 is [-120, -11]: 110 sessions, of which NYB has opens on the last 20
    sessions = prices.filter(pl.col("symbol") == "NYB")["date"]
    last = sessions.index_of(date(2024, 11, 5)) - 11
    partly = without_opens(prices, "NYB", lambda row: row < last - 19)
    gone = partly.with_columns(pl.when(pl.col("symbol") != "NYA").then("open").alias("open"))
    reasons = dict(STUDY.run(EVENTS, load(gone).legs("overnight")).attrition.select("event_id", "detail").iter_rows())
    window = "estimation returns in [-120, -11], min_observations is 60"
    nothing = f"the security has no usable opens: 0 {window}"
    few = f"the security has usable opens on 20 of 110 sessions: 20 {window}"
    assert reasons == {"a:NYA": nothing, "b:NYA": nothing, "a:NYB": few}
    closed = prices.with_columns(pl.when(~pl.col("symbol").is_in(["^NY", "FUND"])).then("open").alias("open"))
    with pytest.warns(mi.MarketImpactWarning, match="no opens of the benchmark"):
        night = load(closed).legs("overnight")
    attrition = STUDY.run(EVENTS, night).attrition
    assert attrition["reason"].unique().to_list() == ["no_benchmark"]
    assert attrition["detail"][0] == "the benchmark of NYA has no usable opens"


def test_a_sector_proxy_is_no_index_that_a_fund_stands_for(prices):
    firms = FIRMS.with_columns(sector_proxy="benchmark")
    market = mi.Market.load(firms, Bars(prices), benchmark="sector_proxy")
    assert market.legs("day").securities["benchmark"].to_list() == FIRMS["benchmark"].to_list()


def test_a_source_without_opens_gives_the_same_market(prices, market):
    """Opens and funds change no return or finding of whole sessions, and add one column."""
    closes = load(prices.drop("open"))
    assert market.panel.drop("ret_day").equals(closes.panel)
    assert "ret_day" not in closes.panel_columns
    assert closes.benchmark_legs.is_empty()
    assert closes.missing == market.missing == ()


def test_opens_count_for_the_fingerprint(prices, market):
    """Reports show legs beside sessions, so a study over other opens is another study."""
    is_one = (pl.col("symbol") == "NYA") & (pl.col("date") == pl.date(2024, 11, 5))
    moved = load(prices.with_columns(pl.when(is_one).then(pl.col("open") * 1.001).otherwise("open").alias("open")))
    assert len({market.fingerprint, moved.fingerprint, load(prices.drop("open")).fingerprint}) == 3
    assert load(prices.sample(fraction=1.0, shuffle=True, seed=1)).fingerprint == market.fingerprint


def test_messages_say_why_sessions_cannot_be_split(prices, market):
    returns = market.panel.filter(pl.col("mic") == "XNYS").select("date", "symbol", "ret")
    benchmark = market.panel.filter(pl.col("symbol") == "NYA").select("date", pl.col("market").alias("ret"))
    rates = pl.DataFrame({"date": [date(2024, 1, 2)], "currency": ["CNY"], "rate": [0.14]})
    refused = {
        "Bars has no opens": load(prices.drop("open")),
        "made from returns, which have no opens": mi.Market.from_returns(returns, benchmark),
        "is the day leg already": market.legs("day"),
        "legs starts from simple returns": market.in_logs(),
        "were converted to another currency": market.in_currency("USD", rates),
    }
    for words, other in refused.items():
        with pytest.raises(mi.SpecificationError, match=words):
            other.legs("overnight")
    with pytest.raises(mi.SpecificationError, match="leg='night' does not exist"):
        market.legs("night")
    with pytest.raises(mi.SpecificationError, match="benchmark='sector_proxy': choose"):
        market.legs("day", benchmark="sector_proxy")


def test_what_is_of_whole_sessions_is_refused_on_a_leg(market):
    night = market.legs("overnight")
    rates = pl.DataFrame({"date": [date(2024, 1, 2)], "currency": ["CNY"], "rate": [0.14]})
    for words, call in {
        "in_currency: this market is the overnight leg": lambda: night.in_currency("USD", rates),
        "convert_benchmarks: this market is the overnight leg": lambda: night.convert_benchmarks(rates, "USD"),
        "volumes: this market is the overnight leg": night.volumes,
        "with_factor: this market is the overnight leg": lambda: night.with_factor("x", "NYC"),
        "trade_to_trade needs the factors": lambda: STUDY.but(model=mi.TradeToTrade()).run(EVENTS, night),
    }.items():
        with pytest.raises(mi.SpecificationError, match=words):
            call()


def test_factors_of_sessions_are_left_out_and_those_of_the_leg_taken(prices):
    days = prices["date"].unique().sort()
    rng = np.random.default_rng(3)
    factors = pl.DataFrame({"date": days, **{name: rng.normal(0, 0.01, len(days)) for name in ("smb", "hml")}})
    market = load(prices, factors=factors)
    night = market.legs("overnight")
    assert night.factors == ()
    assert any(
        note.startswith("factors left out, which are returns of whole sessions: smb, hml") for note in night.notes
    )
    with pytest.raises(mi.SpecificationError, match="needs the factor smb"):
        STUDY.but(model=mi.FactorModel(("market", "smb"))).run(EVENTS, night)
    own_factors = factors.select("date", pl.col("smb") / 2)
    taken = market.legs("overnight", factors=own_factors)
    joined = taken.panel.join(own_factors, on="date", how="left", suffix="_given", maintain_order="left")
    assert joined["smb"].to_list() == joined["smb_given"].to_list()
    assert market.legs("session").panel.select("smb", "hml").equals(market.panel.select("smb", "hml"))


def test_logs_of_legs_add_up(market):
    legs = [own(market.legs(leg).in_logs(), "NYB") for leg in ("overnight", "day", "session")]
    np.testing.assert_allclose((legs[0] + legs[1])[1:], legs[2][1:], atol=1e-14)


def test_legs_in_memory_equal_legs_on_disk(market, tmp_path):
    on_disk = market.to_dataset(tmp_path / "sessions")
    for leg in ("session", "overnight", "day"):
        night = market.legs(leg)
        assert on_disk.legs(leg).panel.equals(night.panel)
        stored = night.to_dataset(tmp_path / leg)
        assert stored.leg == leg
        cars = [STUDY.run(EVENTS, one).car(0, 1) for one in (night, stored, on_disk.legs(leg))]
        assert cars[0].equals(cars[1])
        assert cars[0].equals(cars[2])


def test_a_dataset_does_not_mix_legs(market, tmp_path):
    market.legs("day").to_dataset(tmp_path / "day")
    with pytest.raises(mi.DataError, match="has the leg day, this market overnight"):
        market.legs("overnight").to_dataset(tmp_path / "day", append=True)


def test_opens_at_the_limit_are_those_of_the_night(prices):
    """One share opens 10% up and falls back, the other opens unchanged and closes 10% down."""
    jump = date(2024, 11, 5)
    frame = prices.filter(pl.col("symbol").is_in(["600001.SS", "600002.SS"]), pl.col("date") < jump)
    before = dict(frame.sort("date").group_by("symbol").agg(pl.col("close").last()).iter_rows())
    a, b = (round(before[name], 2) for name in ("600001.SS", "600002.SS"))
    bars = pl.DataFrame(
        {"symbol": ["600001.SS", "600002.SS"], "date": jump, "open": [1.1 * a, b], "close": [1.05 * a, 0.9 * b]}
    )
    planted = prices.with_columns(pl.col("open", "close").round(2)).join(
        bars, on=["symbol", "date"], how="left", suffix="_new", maintain_order="left"
    )
    planted = planted.with_columns(pl.coalesce(f"{name}_new", name).alias(name) for name in ("open", "close"))
    market = load(planted.select(prices.columns))
    hits = {leg: market.legs(leg).limit_hits.filter(pl.col("date") == jump) for leg in ("overnight", "day", "session")}
    assert hits["overnight"].select("symbol", "side").rows() == [("600001.SS", "upper")]
    assert hits["day"].select("symbol", "side").rows() == [("600002.SS", "lower")]
    assert hits["session"].equals(hits["day"])


def test_a_leg_beyond_a_factor_of_three_spoils_the_events_it_touches(prices):
    """An open 3.4 times too high is up that much overnight and down as much in the day; the session is unharmed."""
    at = pl.col("symbol").eq("NYA") & pl.col("date").eq(date(2024, 11, 5))
    market = load(prices.with_columns(pl.when(at).then(pl.col("open") * 3.4).otherwise("open").alias("open")))
    assert market.implausible.is_empty()
    for leg in ("overnight", "day"):
        split = market.legs(leg)
        assert split.implausible.select("symbol", "date").rows() == [("NYA", date(2024, 11, 5))]
        attrition = STUDY.run(EVENTS, split).attrition
        assert attrition.select("event_id", "reason").rows() == [
            ("a:NYA", "implausible_return"), ("b:NYA", "implausible_return"),
        ]  # fmt: skip
        accepted = market.legs(leg, accept=[("NYA", "2024-11-05")])
        assert STUDY.run(EVENTS, accepted).attrition.is_empty()
    assert market.legs("session").implausible.is_empty()
    with pytest.raises(mi.SpecificationError, match="where this market has no step"):
        market.legs("day", accept=[("NYA", "2024-11-06")])


def test_a_step_accepted_for_the_session_is_accepted_for_its_night(prices):
    at = pl.col("symbol").eq("NYA") & pl.col("date").ge(date(2024, 11, 5))
    jumped = prices.with_columns(pl.when(at).then(pl.col("open", "close") * 4.1).otherwise(pl.col("open", "close")))
    with pytest.warns(mi.MarketImpactWarning):
        market = load(jumped)
    assert market.legs("overnight").implausible.select("symbol", "date").rows() == [("NYA", date(2024, 11, 5))]
    assert market.legs("day").implausible.is_empty()
    accepted = load(jumped, accept=[("NYA", "2024-11-05")])
    assert accepted.legs("overnight").implausible.is_empty()


def test_every_question_runs_on_a_leg(market, tmp_path):
    """The estimates of a leg are those of a market made from the leg's returns."""
    night = market.legs("overnight")
    result = STUDY.run(EVENTS, night)
    american = pl.col("symbol").is_in(["NYA", "NYB"])
    rows = night.panel.filter(american)
    again = mi.Market.from_returns(
        rows.select("date", "symbol", "ret"),
        night.panel.filter(pl.col("symbol") == "NYA").select("date", pl.col("market").alias("ret")),
    )
    expected = STUDY.run(EVENTS.filter(american), again)
    columns = ["event_id", "n_days", "car", "se", "t", "p", "variance_ratio", "p_filtered"]
    assert result.where(american).car(0, 1).select(columns).equals(expected.car(0, 1).select(columns))
    tests = [one.test(0, 1).select("test", "statistic", "p_value") for one in (result.where(american), expected)]
    assert tests[0].equals(tests[1])
    placebo = mi.placebo_dates(STUDY, EVENTS, night, (0, 0), draws=19)
    same = mi.placebo_dates(STUDY, EVENTS, night, (0, 0), draws=19)
    assert placebo.equals(same)
    assert mi.power(result, 0, 0).height > 0
    assert result.by("announcement_id").test(0, 0)["announcement_id"].unique().sort().to_list() == ["a", "b"]
    with pytest.warns(mi.MarketImpactWarning, match="Only 2 clusters"):
        fitted = result.regress("car ~ size", window=(0, 0))
    cars, sizes = result.car(0, 0)["car"].to_numpy(), EVENTS.sort("event_id")["size"].to_numpy()
    np.testing.assert_allclose(fitted.params["size"], np.polyfit(sizes, cars, 1)[0], rtol=1e-9)
    page = mi.write_report(result, tmp_path / "night.html").read_text(encoding="utf-8")
    assert "one leg of each session, overnight" in page
    assert "leg: overnight" in repr(night)
    assert result.record["leg"] == "overnight"


def plain_fit(y: np.ndarray, x: np.ndarray, day0: int, window: tuple[int, int]) -> tuple[float, float]:
    """CAR and t of the market model by a loop over days: estimation [-250, -11], forecast errors."""
    days = [d for d in range(day0 - 250, day0 - 10) if np.isfinite(y[d]) and np.isfinite(x[d])]
    design = np.column_stack([np.ones(len(days)), x[days]])
    beta = np.linalg.solve(design.T @ design, design.T @ y[days])
    s2 = np.sum((y[days] - design @ beta) ** 2) / (len(days) - 2)
    span = list(range(day0 + window[0], day0 + window[1] + 1))
    future = np.column_stack([np.ones(len(span)), x[span]])
    total = future.sum(axis=0)
    variance = s2 * (len(span) + total @ np.linalg.inv(design.T @ design) @ total)
    car = sum(y[d] - (beta[0] + beta[1] * x[d]) for d in span)
    return car, car / np.sqrt(variance)


@pytest.mark.shared
def test_legs_of_real_prices_by_a_loop(shared):
    """Nvidia and AMD after the 8-K on the H20 licence of 15 April 2025, and another day of Nvidia."""
    raw = pl.read_parquet(shared / "data" / "prices.parquet").with_columns(
        pl.col("close").alias("unadjusted_close"), pl.coalesce("adj_close", "close").alias("close")
    )
    source = Bars(raw.select("symbol", "date", "open", "close", "volume", "unadjusted_close").drop_nulls("close"))
    firms = pl.DataFrame({"symbol": ["NVDA", "AMD"], "mic": "XNAS", "benchmark": "^GSPC", "leg_benchmark": "SPY"})
    market = mi.Market.load(firms, source)
    days = {"h20:NVDA": date(2025, 4, 16), "h20:AMD": date(2025, 4, 16), "x:NVDA": date(2025, 8, 12)}
    events = pl.DataFrame(
        {"event_id": list(days), "symbol": [name[-4:].lstrip(":") for name in days], "date": list(days.values())}
    )
    study = mi.EventStudy(event_window=(-5, 5))
    wide = {
        symbol: raw.filter(pl.col("symbol") == symbol).sort("date").select("date", "open", "close", "unadjusted_close")
        for symbol in ("NVDA", "AMD", "SPY", "^GSPC")
    }
    for benchmark, column in (("SPY", "leg_benchmark"), ("^GSPC", "benchmark")):
        for leg in ("session", "overnight", "day"):
            result = study.run(events, market.legs(leg, benchmark=column))
            for window in ((0, 0), (0, 1), (-2, 3)):
                cars = {row["event_id"]: (row["car"], row["t"]) for row in result.car(*window).iter_rows(named=True)}
                for event, day in days.items():
                    dates, y, x = plain_legs(wide[event[-4:].lstrip(":")], wide[benchmark], leg)
                    assert cars[event] == pytest.approx(plain_fit(y, x, dates.index(day), window), rel=1e-8)


def plain_legs(own: pl.DataFrame, other: pl.DataFrame, leg: str) -> tuple[list[date], np.ndarray, np.ndarray]:
    """Dates on which both have prices, and the leg of each, by their closes, opens and total returns."""
    dates = sorted(set(own["date"]) & set(other["date"]))
    legs = []
    for frame in (own, other):
        rows = frame.filter(pl.col("date").is_in(dates)).sort("date")
        closes, opens, traded = (rows[name].to_numpy() for name in ("close", "open", "unadjusted_close"))
        total, day = np.append(np.nan, closes[1:] / closes[:-1] - 1), traded / opens - 1
        legs.append({"session": total, "day": day, "overnight": (1 + total) / (1 + day) - 1}[leg])
    return dates, *legs


def test_simulated_effects_are_split_at_the_open(prices):
    effects = pl.DataFrame(
        {
            "symbol": ["NYA", "NYB", "NYA"], "date": [date(2024, 11, 5), date(2024, 11, 5), date(2025, 2, 11)],
            "abnormal_return": [-0.05, 0.03, 0.01], "abnormal_overnight": [-0.02, 0.0, 0.01],
        }
    )  # fmt: skip

    class Simulated(Bars):
        def read(self, *arguments):
            return replace(super().read(*arguments), truth=effects, simulated=True)

    market = mi.Market.load(FIRMS, Simulated(prices))
    found = {
        leg: STUDY.run(EVENTS, market.legs(leg)).car(0, 0).sort("event_id")["true_car"].to_list()
        for leg in ("session", "overnight", "day")
    }
    # events a:600001.SS, a:NYA, a:NYB, b:NYA
    assert found["session"] == pytest.approx([0.0, -0.05, 0.03, 0.01])
    assert found["overnight"] == pytest.approx([0.0, -0.02, 0.0, 0.01])
    assert found["day"] == pytest.approx([0.0, -0.03, 0.03, 0.0])
