"""Suspensions, thin trading, price limits, currency, logs and volume: from prices to a CAR."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.events import calendars
from marketimpact.market.trading_rules import limit_hits
from tests.conftest import golden

FIRMS = pl.DataFrame(
    {
        "symbol": ["300474.SZ", "688256.SS", "603986.SS"],
        "mic": ["XSHG", "XSHG", "XSHG"],
        "benchmark": ["000300.SS"] * 3,
        "board": ["ChiNext", "STAR", "main"],
        "currency": ["CNY"] * 3,
        "price_limit": [0.20, 0.20, 0.10],
        "listed_on": [date(2016, 3, 31), date(2020, 7, 20), date(2016, 8, 18)],
    }
)
DAYS = calendars.sessions(["XSHG"], date(2024, 1, 2), date(2025, 9, 30))["date"].to_list()
DAY0 = DAYS.index(date(2025, 8, 12))
EVENTS = pl.DataFrame(
    {
        "event_id": ["limit", "free", "again"],
        "symbol": ["688256.SS", "603986.SS", "688256.SS"],
        "date": [DAYS[DAY0], DAYS[DAY0], DAYS[DAY0 - 30]],
    }
)
STUDY = mi.EventStudy(estimation_window=(-210, -41), event_window=(-5, 10))


def closes(changes: dict[tuple[str, int], float | None] | None = None, seed: int = 3) -> pl.DataFrame:
    """Closes rounded to 0.01 with given returns (or none: suspended) on some sessions, and volumes."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0, 0.01, len(DAYS))
    rows = []
    for symbol in ("000300.SS", *FIRMS["symbol"]):
        own = np.zeros(len(DAYS)) if symbol == "000300.SS" else rng.normal(0, 0.015, len(DAYS))
        price = 100.0
        for n, day in enumerate(DAYS):
            ret = (changes or {}).get((symbol, n), float(market[n] + own[n]))
            if ret is None:
                continue
            price = math.floor(price * (1.0 + ret) * 100 + 0.5) / 100
            rows.append((symbol, day, price, float(rng.integers(100_000, 200_000))))
    schema = {"symbol": pl.String, "date": pl.Date, "close": pl.Float64, "volume": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def load(frame: pl.DataFrame) -> mi.Market:
    return mi.Market.load(FIRMS, mi.FilePrices(frame))


# --- price limits -------------------------------------------------------------------------------

RUN = {("688256.SS", DAY0): 0.20, ("688256.SS", DAY0 + 1): 0.20, ("688256.SS", DAY0 + 2): 0.05}


def test_closes_at_the_limit_are_found_by_price_and_band():
    market = load(closes({**RUN, ("603986.SS", DAY0): -0.10, ("300474.SZ", DAY0): 0.10}))
    found = market.limit_hits.select("symbol", "date", "side", "band").rows()
    assert sorted(found) == [
        ("603986.SS", DAYS[DAY0], "lower", 0.10),
        ("688256.SS", DAYS[DAY0], "upper", 0.20),
        ("688256.SS", DAYS[DAY0 + 1], "upper", 0.20),
    ]


def test_chinext_had_a_narrower_band_before_august_2020():
    days = calendars.sessions(["XSHG"], date(2020, 8, 17), date(2020, 8, 28))["date"].to_list()
    rows = [(s, d, 50.0 * 1.1**n) for s in ("300474.SZ", "000300.SS") for n, d in enumerate(days)]
    frame = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date, "close": pl.Float64}, orient="row")
    market = mi.Market.load(FIRMS.head(1), mi.FilePrices(frame))
    hit = market.limit_hits["date"].to_list()
    assert hit == [d for d in days[1:] if d < date(2020, 8, 24)]


def test_the_first_five_sessions_after_a_listing_are_free():
    days = calendars.sessions(["XSHG"], date(2020, 7, 20), date(2020, 7, 31))["date"].to_list()
    days = [day for day in days if day >= date(2020, 7, 20)]
    rows = [(s, d, 50.0 * 1.2**n) for s in ("688256.SS", "000300.SS") for n, d in enumerate(days)]
    frame = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date, "close": pl.Float64}, orient="row")
    market = mi.Market.load(FIRMS[1:2], mi.FilePrices(frame))
    assert market.limit_hits["date"].to_list() == days[5:]


def test_an_event_at_its_limit_is_flagged_and_followed_to_its_first_free_close():
    result = STUDY.run(EVENTS, load(closes(RUN)))
    plain = {row["event_id"]: row for row in result.car(0, 0).iter_rows(named=True)}
    assert plain["limit"]["flags"] == "at the upper price limit on 0"
    assert plain["free"]["flags"] is None
    followed = {row["event_id"]: row for row in result.car(0, 0, past_limits=True).iter_rows(named=True)}
    assert (followed["limit"]["last"], followed["free"]["last"]) == (2, 0)
    whole = {row["event_id"]: row for row in result.car(0, 2).iter_rows(named=True)}
    for column in ("car", "se", "t", "p", "bhar", "n_days"):
        assert followed["limit"][column] == whole["limit"][column]
        assert followed["free"][column] == plain["free"][column]
    assert plain["limit"]["car"] < followed["limit"]["car"]


def test_a_limit_is_followed_to_the_last_day_of_the_event_window():
    """The first free close is the window's last day, and where the limits go on there is no day after it."""
    study = STUDY.but(event_window=(-2, 2))
    for changes in (RUN, {**RUN, ("688256.SS", DAY0 + 2): 0.20}):
        row = study.run(EVENTS, load(closes(changes))).car(0, 0, past_limits=True).row(2, named=True)
        assert (row["event_id"], row["last"]) == ("limit", 2)


def test_a_suspension_after_a_limit_is_no_free_close():
    changes = {**RUN, ("688256.SS", DAY0 + 1): None, ("688256.SS", DAY0 + 2): 0.05}
    row = STUDY.run(EVENTS, load(closes(changes))).car(0, 0, past_limits=True).row(1, named=True)
    assert row["event_id"] == "free"
    row = STUDY.run(EVENTS, load(closes(changes))).car(0, 0, past_limits=True).row(2, named=True)
    # the session after the suspension has no one-session return, the one after it does
    assert (row["event_id"], row["last"]) == ("limit", 3)
    assert row["flags"] == "no return on 1, 2; at the upper price limit on 0"


def test_a_market_of_returns_has_no_limits(golden_market):
    assert golden_market.limit_hits.is_empty()
    with pytest.raises(mi.SpecificationError, match="made from returns"):
        _ = golden_market.quality


# --- fills and thin trading -----------------------------------------------------------------------


def test_a_copied_close_without_volume_is_no_trade():
    frame = closes()
    held = frame.filter((pl.col("symbol") == "688256.SS") & (pl.col("date") == DAYS[DAY0 - 1]))["close"].item()
    at = (pl.col("symbol") == "688256.SS") & (pl.col("date") == DAYS[DAY0])
    copied = frame.with_columns(
        pl.when(at).then(held).otherwise("close").alias("close"),
        pl.when(at).then(0.0).otherwise("volume").alias("volume"),
    )
    market = load(copied)
    assert market.fills.rows() == [("688256.SS", DAYS[DAY0], held)]
    assert any("copies" in note for note in market.notes)
    car = STUDY.run(EVENTS, market).car(0, 1).filter(pl.col("event_id") == "limit").row(0, named=True)
    assert (car["n_days"], car["car"], car["flags"]) == (0, None, "no return on 0, 1")
    # the same close with volume is a trade at an unchanged price
    traded = load(copied.with_columns(pl.lit(5.0).alias("volume")))
    assert traded.fills.is_empty()


def test_an_index_without_volume_keeps_its_closes():
    frame = closes().with_columns(
        pl.when(pl.col("symbol") == "000300.SS").then(0.0).otherwise("volume").alias("volume"),
        pl.when(pl.col("symbol") == "000300.SS").then(100.0).otherwise("close").alias("close"),
    )
    assert load(frame).fills.is_empty()


def test_quality_counts_what_did_not_trade():
    gone = {("603986.SS", n): None for n in range(100, 220)}
    table = load(closes(gone)).quality
    row = table.row(0, named=True)
    assert (row["symbol"], row["sessions"], row["untraded"], row["thin"]) == ("603986.SS", len(DAYS), 120, True)
    assert table.filter(pl.col("symbol") == "688256.SS")["thin"].item() is False


# --- suspensions and trade-to-trade returns --------------------------------------------------------

SUSPENDED = {("688256.SS", n): None for n in (DAY0 - 90, DAY0 - 89, DAY0 - 60, DAY0, DAY0 + 1)}


def test_trade_to_trade_puts_a_suspension_on_the_session_trading_resumed():
    market = load(closes(SUSPENDED)).in_logs()
    result = STUDY.but(missing="trade_to_trade").run(EVENTS, market)
    assert result.model == mi.TradeToTrade()
    days = result.abnormal_returns.filter(pl.col("event_id") == "limit").select("tau", "ret", "se")
    by_tau = {tau: (ret, se) for tau, ret, se in days.iter_rows()}
    assert by_tau[0][0] is None
    assert by_tau[1][0] is None
    frame = closes(SUSPENDED).filter(pl.col("symbol") == "688256.SS")
    price = dict(frame.select("date", "close").iter_rows())
    assert by_tau[2][0] == pytest.approx(math.log(price[DAYS[DAY0 + 2]] / price[DAYS[DAY0 - 1]]), rel=1e-12)
    # three sessions' variance in one return
    assert by_tau[2][1] / by_tau[3][1] == pytest.approx(math.sqrt(3), rel=0.02)


def test_missing_returns_available_or_strict():
    market = load(closes({("688256.SS", DAY0 + 3): None}))
    available, strict = (STUDY.but(missing=way).run(EVENTS, market) for way in ("available", "strict"))
    some, none = (r.car(0, 5).filter(pl.col("event_id") == "limit").row(0, named=True) for r in (available, strict))
    # a missing close takes two returns with it
    assert (some["n_days"], some["flags"]) == (4, "no return on 3, 4")
    assert (none["n_days"], none["car"], none["flags"]) == (4, None, "no return on 3, 4")
    assert strict.test(0, 5)["n_events"].max() == 2
    assert available.test(0, 5)["n_events"].max() == 3
    assert strict.car(0, 2).filter(pl.col("event_id") == "limit")["car"].item() is not None
    assert strict.attrition.is_empty()


def test_a_wrong_way_with_missing_returns_is_refused():
    with pytest.raises(mi.SpecificationError, match="choose 'available', 'strict' or 'trade_to_trade'"):
        mi.EventStudy(missing="zero")
    with pytest.raises(mi.SpecificationError, match="form of the market model; ff3 has none"):
        mi.EventStudy(missing="trade_to_trade", model=mi.FamaFrench3())


# --- currency, logs, volume ---------------------------------------------------------------------------


def rates(days: list[date]) -> pl.DataFrame:
    growth = np.random.default_rng(5).normal(0, 0.002, len(days))
    return pl.DataFrame({"date": days, "currency": ["CNY"] * len(days), "rate": 0.14 * np.exp(np.cumsum(growth))})


def test_a_common_currency_compounds_the_exchange_rate():
    market, fx = load(closes(SUSPENDED)), rates(DAYS)
    dollars = market.in_currency("USD", fx)
    rate = dict(fx.select("date", "rate").iter_rows())
    both = market.panel.join(dollars.panel, on=["symbol", "session"], suffix="_usd", validate="1:1")
    compared = 0
    for row in both.drop_nulls("ret").iter_rows(named=True):
        position = DAYS.index(row["date"])
        change = rate[row["date"]] / rate[DAYS[position - 1]]
        assert row["ret_usd"] == pytest.approx((1 + row["ret"]) * change - 1, rel=1e-12, abs=1e-15)
        assert row["market_usd"] == pytest.approx((1 + row["market"]) * change - 1, rel=1e-12, abs=1e-15)
        compared += 1
    assert compared > 1000
    resumed = both.filter((pl.col("symbol") == "688256.SS") & (pl.col("date") == DAYS[DAY0 + 2])).row(0, named=True)
    change = rate[DAYS[DAY0 + 2]] / rate[DAYS[DAY0 - 1]]
    assert resumed["ret_since_trade_usd"] == pytest.approx((1 + resumed["ret_since_trade"]) * change - 1, rel=1e-12)
    assert dollars.fingerprint != market.fingerprint


def test_currencies_that_cannot_be_converted_are_refused(golden_market):
    market = load(closes())
    with pytest.raises(mi.DataError, match="no rows of CNY"):
        market.in_currency("USD", rates(DAYS).with_columns(pl.lit("EUR").alias("currency")))
    with pytest.raises(mi.DataError, match="rates lacks rate"):
        market.in_currency("USD", rates(DAYS).drop("rate"))
    with pytest.raises(mi.SpecificationError, match="has no currencies of its securities"):
        golden_market.in_currency("USD", rates(DAYS))


def test_log_returns_and_what_refuses_them(golden_market):
    logs = golden_market.in_logs()
    plain = golden_market.panel["ret"].drop_nulls()
    assert logs.panel["ret"].drop_nulls().to_list() == pytest.approx([math.log1p(r) for r in plain])
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
    result = study.run(golden("events_mixed"), logs)
    assert result.car(0, 1)["bhar"].null_count() == result.events.height
    with pytest.raises(mi.SpecificationError, match="must not be mixed"):
        study.but(model=mi.FamaFrench3()).run(golden("events_mixed"), logs)
    with pytest.raises(mi.SpecificationError, match="starts from simple returns"):
        logs.in_logs()
    with pytest.raises(mi.SpecificationError, match="needs simple returns"):
        mi.calendar_time(golden("events_mixed"), logs, (0, 5))


def test_abnormal_volume_is_the_log_against_its_mean():
    frame, shares = closes(), pl.DataFrame({"symbol": FIRMS["symbol"], "shares": [1e6, 2e6, 3e6]})
    surge = (pl.col("symbol") == "688256.SS") & (pl.col("date") == DAYS[DAY0])
    frame = frame.with_columns(pl.when(surge).then(9e5).otherwise("volume").alias("volume"))
    result = STUDY.but(model=mi.MeanAdjusted(), serial_correlation=True).run(EVENTS, load(frame).volumes(shares))
    volume = frame.filter(pl.col("symbol") == "688256.SS")["volume"].to_numpy()
    v = np.log(100 * volume / 2e6 + 0.000255)
    expected = v[DAY0] - v[DAY0 - 210 : DAY0 - 40].mean()
    row = result.car(0, 0).filter(pl.col("event_id") == "limit").row(0, named=True)
    assert row["car"] == pytest.approx(expected, rel=1e-12)
    assert row["bhar"] is None
    assert "log points" in repr(result)
    with pytest.raises(mi.DataError, match=r"no row of 300474\.SZ"):
        load(frame).volumes(shares.tail(2))


def test_a_market_without_volumes_says_so(golden_market):
    with pytest.raises(mi.SpecificationError, match="no volumes"):
        golden_market.volumes()


def test_serial_correlation_widens_the_variance_of_sums_and_of_the_constant():
    """Var(sum) with AR(1): the quadratic form of the Toeplitz matrix, plus the variance of the estimated mean."""
    rng = np.random.default_rng(11)
    n, rho = 400, 0.5
    e = np.zeros(n)
    for t in range(1, n):
        e[t] = rho * e[t - 1] + rng.normal(0, 0.01)
    days = golden("market")["date"].to_list()[:380]
    returns = pl.DataFrame({"date": days * 2, "symbol": ["A"] * 380 + ["B"] * 380, "ret": [*e[:380], *e[20:400]]})
    market = mi.Market.from_returns(returns, golden("market"))
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["A", "B"], "date": [days[300], days[300]]})
    study = mi.EventStudy(model=mi.MeanAdjusted(), estimation_window=(-200, -11), event_window=(0, 4))
    plain, serial = study.run(events, market), study.but(serial_correlation=True).run(events, market)
    residual = e[100:290] - e[100:290].mean()
    r = (residual[1:] * residual[:-1]).sum() / (residual**2).sum()
    toeplitz = r ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    sigma = residual.std(ddof=1)
    mean = (1 + r) / (1 - r) / 190
    expected = sigma * math.sqrt(toeplitz.sum() + 25 * mean)
    assert serial.car(0, 4)["se"][0] == pytest.approx(expected, rel=1e-10)
    assert serial.car(0, 0)["se"][0] == pytest.approx(sigma * math.sqrt(1 + mean), rel=1e-10)
    assert plain.car(0, 0)["se"][0] == pytest.approx(sigma * math.sqrt(1 + 1 / 190), rel=1e-10)


def test_a_factor_missing_on_an_event_day_is_distinguished_from_a_missing_return():
    factors = golden("factors")
    days = factors["date"].to_list()
    holed = factors.with_columns(pl.when(pl.col("date") != days[250]).then("sox").alias("sox"))
    market = mi.Market.from_returns(golden("returns"), golden("market"), holed)
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["US01", "US02"], "date": [days[249], days[300]]})
    study = mi.EventStudy(mi.FactorModel(("market", "sox")), estimation_window=(-200, -11), event_window=(-5, 5))
    result = study.run(events, market)
    car = {row["event_id"]: row for row in result.car(0, 2).iter_rows(named=True)}
    assert (car["a"]["n_days"], car["a"]["flags"]) == (2, "no benchmark or factor on 1")
    assert (car["b"]["n_days"], car["b"]["flags"]) == (3, None)
    # the day is left out of the second event's estimation window
    full = study.run(events, mi.Market.from_returns(golden("returns"), golden("market"), factors))
    assert (full.estimates["n_obs"] - result.estimates["n_obs"]).to_list() == [0, 1]


def test_constant_returns_and_constant_factors_are_attrition():
    days = golden("market")["date"].to_list()
    flat = pl.DataFrame(
        {"date": days * 2, "symbol": ["A"] * len(days) + ["B"] * len(days), "ret": [0.0] * 2 * len(days)}
    )
    factors = golden("factors").with_columns(pl.lit(0.01).alias("sox"))
    market = mi.Market.from_returns(pl.concat([flat, golden("returns")]), golden("market"), factors)
    events = pl.DataFrame({"event_id": ["flat", "real"], "symbol": ["A", "US01"], "date": [days[300]] * 2})
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
    assert study.run(events, market).attrition.select("event_id", "reason").rows() == [("flat", "no_variation")]
    constant = study.but(model=mi.FactorModel(("market", "sox"))).run(events, market).attrition
    assert set(constant["reason"]) == {"singular_regressors"}
    assert constant.height == 2


# --- thresholds from both sides --------------------------------------------------------------------

#: Smallest price steps (last price from which, tick), as the Taiwan Stock Exchange and the Korea Exchange (since
#: January 2023) publish them.
TAIWAN = [(0.01, 0.01), (10.0, 0.05), (50.0, 0.1), (100.0, 0.5), (500.0, 1.0), (1000.0, 5.0)]
KOREA = [(1.0, 1.0), (2e3, 5.0), (5e3, 10.0), (2e4, 50.0), (5e4, 100.0), (2e5, 500.0), (5e5, 1000.0)]
STEPS = [
    *((mic, n, *row, TAIWAN) for mic in ("XTAI", "ROCO") for n, row in enumerate(TAIWAN)),
    *((mic, n, *row, KOREA) for mic in ("XKRX", "XKOS") for n, row in enumerate(KOREA)),
    ("XSHG", 0, 1.0, 0.01, [(1.0, 0.01)]),
    ("XSHG", 1, 1000.0, 0.01, [(1.0, 0.01), (1000.0, 0.01)]),
]
BANDS = {"XTAI": 0.1, "ROCO": 0.1, "XKRX": 0.3, "XKOS": 0.3, "XSHG": 0.1}


def hits_of(mic: str, band: float, rows: list[tuple[str, date, float]]) -> pl.DataFrame:
    """Limit hits of closes on one exchange; without its calendar, which takes long to build for Korea."""
    panel = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date, "close": pl.Float64}, orient="row")
    panel = panel.sort("symbol", "date").with_columns(
        pl.lit(mic).alias("mic"), pl.int_range(pl.len(), dtype=pl.Int64).over("symbol").alias("session")
    )
    firms = panel.select("symbol").unique().with_columns(pl.lit(band).alias("price_limit"))
    spans = panel.group_by("symbol").agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))
    return limit_hits(panel, firms, spans)


@pytest.mark.parametrize(("mic", "n", "start", "tick", "table"), STEPS)
def test_a_close_within_one_tick_of_the_limit_is_at_it(mic, n, start, tick, table):
    """At and just below every price from which a tick holds: closes at the limit, and off it by a tick or so."""
    days, rows, wanted = (date(2024, 5, 30), date(2024, 5, 31)), [], {}
    places = {"at": (start if n else 100 * tick, tick)}
    if n:
        places["below"] = (start - table[n - 1][1], table[n - 1][1])
    for place, (last, step) in places.items():
        for side, sign in (("upper", 1), ("lower", -1)):
            for off, hit in ((0.0, True), (0.99, True), (1.01, False)):
                name = f"{place} {side} {off}"
                rows += [(name, days[0], last), (name, days[1], last * (1 + sign * BANDS[mic]) - sign * off * step)]
                wanted[name] = side if hit else None
    found = dict(hits_of(mic, BANDS[mic], rows).select("symbol", "side").iter_rows())
    assert {name: found.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("mic", "before", "since", "changed"),
    [
        ("XTAI", 0.07, 0.10, date(2015, 6, 1)),
        ("ROCO", 0.07, 0.10, date(2015, 6, 1)),
        ("XKRX", 0.15, 0.30, date(2015, 6, 15)),
        ("XKOS", 0.15, 0.30, date(2015, 6, 15)),
    ],
)
def test_a_band_changed_on_its_day(mic, before, since, changed):
    """Taiwan widened its band from 7 to 10% on 2015-06-01, Korea from 15 to 30% on 2015-06-15."""
    days = [changed - timedelta(days=3), changed - timedelta(days=2), changed - timedelta(days=1), changed]
    # moves by the old band on every day, and by the new one on the last
    narrow = [("narrow", day, 50_000.0 * (1 + before) ** n) for n, day in enumerate(days)]
    wide = [("wide", day, 50_000.0 * (1 + since if day == changed else 1)) for day in days]
    hits = hits_of(mic, since, narrow + wide).select("symbol", "date", "band").rows()
    assert hits == [("narrow", days[1], before), ("narrow", days[2], before), ("wide", changed, since)]


@pytest.mark.parametrize(("late", "free"), [(5, True), (6, False)])
def test_a_history_that_begins_days_after_the_listing_is_limited_from_the_start(late, free):
    days = calendars.sessions(["XSHG"], date(2021, 7, 1), date(2021, 8, 31))["date"].to_list()
    start = days.index(date(2021, 7, 20))
    rows = [(s, d, 50.0 * 1.2**n) for s in ("688256.SS", "000300.SS") for n, d in enumerate(days[start : start + 8])]
    frame = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date, "close": pl.Float64}, orient="row")
    firms = FIRMS[1:2].with_columns(pl.lit(date(2021, 7, 20 - late)).alias("listed_on"))
    hits = mi.Market.load(firms, mi.FilePrices(frame)).limit_hits["date"].to_list()
    assert hits == (days[start + 5 : start + 8] if free else days[start + 1 : start + 8])


@pytest.mark.parametrize(("n_gone", "thin"), [(79, False), (80, False), (81, True)])
def test_thin_is_more_than_a_fifth_without_a_trade(n_gone, thin):
    """400 sessions between the first and the last price."""
    frame = closes({("603986.SS", n): None for n in range(100, 100 + n_gone)})
    table = load(frame.filter(pl.col("date") < DAYS[400])).quality
    row = table.row(by_predicate=pl.col("symbol") == "603986.SS", named=True)
    assert (row["sessions"], row["untraded"], row["thin"]) == (400, n_gone, thin)


@pytest.mark.parametrize(("n_silent", "filled"), [(199, True), (200, True), (201, False)])
def test_volume_of_fewer_than_half_of_the_rows_says_nothing(n_silent, filled):
    """400 rows, the last `n_silent` without volume, of which one repeats the close before."""
    frame = closes().filter(pl.col("date") < DAYS[400])
    own = pl.col("symbol") == "603986.SS"
    held = frame.filter(own & (pl.col("date") == DAYS[398]))["close"].item()
    frame = frame.with_columns(
        pl.when(own & (pl.col("date") >= DAYS[400 - n_silent])).then(0.0).otherwise("volume").alias("volume"),
        pl.when(own & (pl.col("date") == DAYS[399])).then(held).otherwise("close").alias("close"),
    )
    fills = load(frame).fills.filter(pl.col("symbol") == "603986.SS")
    assert (DAYS[399] in fills["date"].to_list()) == filled


# --- currency, volume and suspensions by hand --------------------------------------------------------


def test_an_exchange_rate_counts_for_five_days():
    """Rates end on Wednesday 2025-08-06 and begin again on Thursday 2025-08-14."""
    market, fx = load(closes()), rates(DAYS)
    gap = pl.col("date").is_between(date(2025, 8, 6), date(2025, 8, 14), closed="none")
    panel = market.in_currency("USD", fx.filter(~gap)).panel
    local = market.panel.filter(pl.col("symbol") == "603986.SS")
    own = panel.filter(pl.col("symbol") == "603986.SS").select("date", "ret", "market")
    here = {row["date"]: row for row in local.iter_rows(named=True)}
    there = {row["date"]: row for row in own.iter_rows(named=True)}
    rate = dict(fx.select("date", "rate").iter_rows())
    change = rate[date(2025, 8, 6)] / rate[date(2025, 8, 5)]
    # on the 7th, 8th and 11th the rate is one, two and five days old: it does not change
    for day, ratio in ((6, change), (7, 1.0), (8, 1.0), (11, 1.0)):
        for column in ("ret", "market"):
            want = (1 + here[date(2025, 8, day)][column]) * ratio - 1
            assert there[date(2025, 8, day)][column] == pytest.approx(want, rel=1e-9, abs=1e-14)
    # on the 12th and 13th it is six and seven days old, and the 14th has none to compare with
    for day in (12, 13, 14):
        assert there[date(2025, 8, day)]["ret"] is None
        assert there[date(2025, 8, day)]["market"] is None
    assert there[date(2025, 8, 15)]["ret"] is not None


@pytest.mark.parametrize("with_shares", [True, False])
def test_the_market_s_volume_is_the_mean_of_the_others(with_shares):
    """Day by day: a security without a volume is not counted, and one alone has no market."""
    frame = closes().filter(pl.col("date") < DAYS[6])
    gone = {DAYS[2]: ["603986.SS"], DAYS[3]: ["603986.SS", "688256.SS"], DAYS[4]: ["300474.SZ"]}
    empty = pl.any_horizontal(*[(pl.col("date") == day) & pl.col("symbol").is_in(names) for day, names in gone.items()])
    frame = frame.with_columns(pl.when(~empty).then(pl.col("volume")).alias("volume"))
    shares = {"300474.SZ": 1e6, "688256.SS": 2e6, "603986.SS": 3e6}
    counts = pl.DataFrame({"symbol": list(shares), "shares": list(shares.values())})
    panel = load(frame).volumes(counts if with_shares else None).panel
    volume = {(s, d): v for s, d, v in frame.select("symbol", "date", "volume").iter_rows()}

    def measure(symbol: str, day: date) -> float | None:
        own = volume[symbol, day]
        if own is None:
            return None
        return math.log(100 * own / shares[symbol] + 0.000255) if with_shares else math.log(own)

    for row in panel.filter(pl.col("date").is_in(DAYS[:6])).iter_rows(named=True):
        others = [measure(s, row["date"]) for s in shares if s != row["symbol"]]
        others = [value for value in others if value is not None]
        assert row["ret"] == (
            measure(row["symbol"], row["date"]) and pytest.approx(measure(row["symbol"], row["date"]))
        )
        assert row["market"] == (pytest.approx(sum(others) / len(others), rel=1e-12) if others else None)


def test_shares_that_change_are_those_of_the_day():
    frame = closes().filter(pl.col("date") < DAYS[4])
    steps = pl.DataFrame(
        [(s, d, 1e6 * (n + k)) for n, s in enumerate(FIRMS["symbol"], 1) for k, d in enumerate((DAYS[0], DAYS[2]))],
        schema=["symbol", "date", "shares"], orient="row",
    )  # fmt: skip
    panel = load(frame).volumes(steps).panel.filter(pl.col("symbol") == "688256.SS")
    volume = dict(frame.filter(pl.col("symbol") == "688256.SS").select("date", "volume").iter_rows())
    want = [math.log(100 * volume[d] / (2e6 if d < DAYS[2] else 3e6) + 0.000255) for d in DAYS[:4]]
    assert panel.filter(pl.col("date").is_in(DAYS[:4]))["ret"].to_list() == pytest.approx(want, rel=1e-12)


def test_a_suspension_over_an_unknown_benchmark_day_has_no_benchmark_return():
    """Two suspensions of three sessions: over known benchmark days their sum, over an unknown one nothing."""
    first, second, unknown = DAY0 - 60, DAY0 - 30, DAY0 - 29
    frame = closes({("688256.SS", n): None for start in (first, second) for n in range(start, start + 3)})
    frame = frame.filter(~((pl.col("symbol") == "000300.SS") & (pl.col("date") == DAYS[unknown])))
    market = load(frame)
    index = dict(frame.filter(pl.col("symbol") == "000300.SS").select("date", "close").iter_rows())
    price = dict(frame.filter(pl.col("symbol") == "688256.SS").select("date", "close").iter_rows())
    moves = [
        index[DAYS[n]] / index[DAYS[n - 1]] - 1 if n and DAYS[n] in index and DAYS[n - 1] in index else None
        for n in range(len(DAYS))
    ]
    rows = pl.concat([market.panel.select("symbol", "date"), market.since_trade], how="horizontal")
    own = {row["date"]: row for row in rows.filter(pl.col("symbol") == "688256.SS").iter_rows(named=True)}
    for start, known in ((first, True), (second, False)):
        row = own[DAYS[start + 3]]
        assert row["sessions_since_trade"] == 4
        assert row["ret_since_trade"] == pytest.approx(price[DAYS[start + 3]] / price[DAYS[start - 1]] - 1, rel=1e-12)
        total = sum(moves[start : start + 4]) if known else None
        assert row["market_since_trade"] == (pytest.approx(total, rel=1e-9) if known else None)
        assert all(own[DAYS[n]]["market_since_trade"] is None for n in range(start, start + 3))
    usual = own[DAYS[DAY0]]
    assert usual["sessions_since_trade"] == 1
    assert usual["market_since_trade"] == pytest.approx(moves[DAY0], rel=1e-9)
