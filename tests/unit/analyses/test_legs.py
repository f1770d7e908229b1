"""Reactions by leg: sessions, nights and days side by side, without the legs of day 0 that came before the news."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.unit.market.bars import FIRMS, Bars, drawn, load
from tests.unit.market.test_legs import STUDY, bars_of

DAY = date(2024, 11, 5)
#: One announcement before New York's open (in Shanghai's session), one in New York's session (before Shanghai's).
AT = {"before": "2024-11-05T09:00-05:00", "within": "2024-11-05T11:00-05:00", "hour": "2024-11-05T09:45-05:00"}


@pytest.fixture(scope="module")
def market() -> mi.Market:
    return load(drawn())


@pytest.fixture(scope="module")
def events(market) -> pl.DataFrame:
    rows = [
        {
            "announcement_id": name, "announced_at": datetime.fromisoformat(at), "stance": "restrictive",
            "time_precision": "hour" if name == "hour" else "minute", "headline": "x",
            "targets": ["NYA", "NYB", "600001.SS"],
        }
        for name, at in AT.items()
    ]  # fmt: skip
    frame = pl.DataFrame(rows).with_columns(pl.col("announced_at").dt.convert_time_zone("UTC"))
    return mi.align(frame, market)


def row(found: mi.CarByLeg, event: str, leg: str) -> dict[str, object]:
    return found.frame.filter(pl.col("event_id") == event, pl.col("leg") == leg).row(0, named=True)


def plain(symbol: str, leg: str) -> dict[date, tuple[float, float]]:
    """Date -> return of a leg of a security and of its fund, by plain numpy."""
    prices = drawn()
    fund = "FUND.SS" if symbol.endswith("SS") else "FUND"
    dates = prices.filter(pl.col("symbol") == symbol).sort("date")["date"].to_list()
    legs = []
    for name in (symbol, fund):
        opens, closes = bars_of(prices, name)
        night, day = np.append(np.nan, opens[1:] / closes[:-1] - 1), closes / opens - 1
        legs.append({"overnight": night, "day": day, "session": (1 + night) * (1 + day) - 1}[leg])
    return dict(zip(dates, zip(*legs, strict=True), strict=True))


@pytest.mark.parametrize("leg", ["session", "overnight", "day"])
@pytest.mark.parametrize(
    ("event", "day0", "starts"),
    [("before:NYA", DAY, 0), ("within:NYA", DAY, 1), ("within:600001.SS", date(2024, 11, 6), 0)],
)
def test_cars_are_sums_over_the_legs_with_the_news(market, events, leg, event, day0, starts):
    """`starts`: the first session whose overnight leg has the news."""
    found = row(mi.car_by_leg(STUDY, events, market, (0, 1)), event, leg)
    returns = plain(event.split(":")[1], leg)
    dates = list(returns)
    first = starts if leg == "overnight" else 0
    at = dates.index(day0)
    y, x = (np.array([returns[day][k] for day in dates]) for k in (0, 1))
    past = slice(at - 120, at - 10)
    beta, alpha = np.polyfit(x[past], y[past], 1)
    window = slice(at + first, at + 2)
    assert found["car"] == pytest.approx(np.sum(y[window] - alpha - beta * x[window]), rel=1e-9)
    assert found["raw"] == pytest.approx(np.prod(1 + y[window]) - 1, rel=1e-9)
    assert (found["first"], found["last"], found["n_legs"]) == (first, 1, 2 - first)


def test_what_came_before_the_news_is_left_out_and_said(market, events):
    found = mi.car_by_leg(STUDY, events, market, (0, 0))
    night, session = row(found, "within:NYA", "overnight"), row(found, "within:NYA", "session")
    assert [night[name] for name in ("n_legs", "raw", "car", "p")] == [None] * 4
    assert night["note"] == "the window has no overnight leg after the news"
    assert session["note"] == "has the overnight leg of day 0, which came before the news"
    assert row(found, "before:NYA", "overnight")["note"] is None
    longer = row(mi.car_by_leg(STUDY, events, market, (0, 1)), "within:NYA", "overnight")
    assert longer["note"] == "the overnight leg of day 0 came before the news and is left out"


def test_three_rows_per_event_with_its_own_columns(market, events):
    named = events.with_columns(leg=pl.lit("mine"), size=pl.int_range(pl.len()))
    with pytest.warns(mi.MarketImpactWarning, match="leg_event"):
        found = mi.car_by_leg(STUDY, named, market)
    assert found.frame.height == 3 * events.height
    assert found.frame["leg"].to_list() == ["session", "overnight", "day"] * events.height
    assert found.frame["leg_event"].unique().to_list() == ["mine"]
    assert found.frame["size"].to_list() == sorted(list(range(events.height)) * 3)
    assert found.frame["event_id"].is_sorted()


def test_an_uncertain_leg_is_said(market, events):
    found = mi.car_by_leg(STUDY, events, market)
    for leg in ("overnight", "day"):
        assert "the leg of day 0 with the news is assumed, no more" in row(found, "hour:NYA", leg)["note"]
    assert "assumed" not in (row(found, "hour:NYA", "session")["note"] or "")


def test_an_event_without_a_known_leg_has_its_session_alone(market):
    events = pl.DataFrame(
        {
            "event_id": ["a:NYA", "a:NYB", "b:NYA"], "symbol": ["NYA", "NYB", "NYA"],
            "date": [DAY, DAY, date(2025, 2, 11)], "day0_leg": ["overnight", None, "day"],
        }
    )  # fmt: skip
    found = mi.car_by_leg(STUDY, events, market)
    for leg in ("overnight", "day"):
        unknown = row(found, "a:NYB", leg)
        assert (unknown["car"], unknown["raw"]) == (None, None)
        assert unknown["note"] == "day0_leg is empty: the legs of day 0 may have come before the news"
    assert row(found, "a:NYB", "session")["car"] is not None
    assert row(found, "a:NYA", "overnight")["note"] is None
    later = mi.car_by_leg(STUDY, events.drop("day0_leg"), market, (1, 2))
    assert later.frame["car"].null_count() == 0


def test_unusable_events_keep_their_rows_with_the_reason(market, events):
    more = pl.concat(
        [
            events,
            events.head(1).with_columns(event_id=pl.lit("x:ZZZ"), symbol=pl.lit("ZZZ")),
        ]
    )
    found = mi.car_by_leg(STUDY, more, market)
    assert row(found, "x:ZZZ", "overnight")["note"] == "unknown_symbol: no returns of ZZZ in this market"
    prices = drawn().with_columns(pl.when(pl.col("symbol") != "NYB").then("open").alias("open"))
    without = mi.car_by_leg(STUDY, events, load(prices))
    assert row(without, "before:NYB", "overnight")["note"].startswith("too_few_observations: ")
    assert row(without, "before:NYB", "session")["car"] is not None


def test_results_of_each_leg_are_studies_to_go_on_with(market, events):
    found = mi.car_by_leg(STUDY, events, market, (0, 0))
    for leg, result in found.results.items():
        again = STUDY.run(events, market.legs(leg))
        assert result.test(0, 0).equals(again.test(0, 0))
        assert result.market.leg == leg


def test_markets_of_ones_own_may_be_given_by_leg(market, events):
    american = events.filter(pl.col("symbol").is_in(["NYA", "NYB"]))
    markets = {}
    for leg in ("session", "overnight", "day"):
        panel = market.legs(leg).panel.filter(pl.col("mic") == "XNYS")
        benchmark = panel.filter(pl.col("symbol") == "NYA").select("date", pl.col("market").alias("ret"))
        markets[leg] = mi.Market.from_returns(panel.select("date", "symbol", "ret"), benchmark)
    found, expected = (mi.car_by_leg(STUDY, american.drop("mic"), one) for one in (markets, market))
    columns = ["event_id", "leg", "n_legs", "raw", "car", "t", "note"]
    assert found.frame.select(columns).equals(expected.frame.select(columns))


def test_wrong_input_is_refused(market, events):
    refused = {
        "begins before day 0": lambda: mi.car_by_leg(STUDY, events, market, (-1, 1)),
        "outside the study's event_window": lambda: mi.car_by_leg(STUDY, events, market, (0, 9)),
        "Bars has no opens": lambda: mi.car_by_leg(STUDY, events, load(drawn().drop("open"))),
        "Give one Market, or a dict with one for each": lambda: mi.car_by_leg(STUDY, events, {"day": market}),
        "these have their own": lambda: mi.car_by_leg(
            STUDY, events, dict.fromkeys(["session", "overnight", "day"], market), benchmark="benchmark"
        ),
    }
    for words, call in refused.items():
        with pytest.raises(mi.SpecificationError, match=words):
            call()
    with pytest.raises(mi.DataError, match="events lacks day0_leg"):
        mi.car_by_leg(STUDY, events.drop("day0_leg"), market)
    with pytest.raises(mi.DataError, match="day0_leg is 'night' in 9 rows"):
        mi.car_by_leg(STUDY, events.with_columns(day0_leg=pl.lit("night")), market)


def test_the_table_shows_percent_and_the_notes(market, events):
    found = mi.car_by_leg(STUDY, events, market)
    raw = row(found, "before:NYA", "overnight")["raw"]
    text = repr(found)
    assert f"{100 * raw:+.2f}%" in text.replace("−", "-")
    assert "overnight: previous close to open" in text
    assert "left out" in text
    assert "<table" in found._repr_html_()


def test_columns_of_exchanges_without_a_fund(market, events):
    """Without funds both columns name the same benchmark."""
    firms = FIRMS.drop("leg_benchmark")
    without = mi.Market.load(firms, Bars(drawn()))
    by_index = mi.car_by_leg(STUDY, events, market, benchmark="benchmark").frame
    assert mi.car_by_leg(STUDY, events, without).frame.select("car", "t").equals(by_index.select("car", "t"))
