"""Sessions that follow from calendars, prices and overrides: dates are facts, returns come by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.events import calendars
from marketimpact.sources.protocol import PriceTable, price_table

HONG_KONG = pl.DataFrame({"symbol": ["0981.HK"], "mic": ["XHKG"], "benchmark": ["^HSI"]})
TAIWAN = pl.DataFrame({"symbol": ["2330.TW", "2303.TW"], "mic": ["XTAI", "XTAI"], "benchmark": ["^TWII", "^TWII"]})
SHANGHAI = pl.DataFrame({"symbol": ["A.SS", "B.SS"], "mic": ["XSHG", "XSHG"], "benchmark": ["^SH", "^SH"]})
#: Neither is in the embedded overrides.
STORM, SATURDAY = date(2023, 9, 13), date(2019, 1, 19)
TYPHOON, BLACK_RAIN = date(2023, 9, 1), date(2023, 9, 8)


def listed(mic: str, first: date, last: date) -> list[date]:
    days = calendars.sessions([mic], first, last)["date"]
    return [day for day in days if first <= day <= last]


def prices(days: Iterable[date], *symbols: str, without: dict[str, Iterable[date]] | None = None) -> pl.DataFrame:
    """A new close on every day, but for the days left out."""
    days, left_out = list(days), without or {}
    frames = []
    for number, symbol in enumerate(symbols):
        returns = np.random.default_rng(number).uniform(-0.02, 0.02, len(days))
        frame = pl.DataFrame({"symbol": symbol, "date": days, "close": np.round(100 * np.cumprod(1 + returns), 6)})
        frames.append(frame.filter(~pl.col("date").is_in(list(left_out.get(symbol, [])))))
    return pl.concat(frames)


def with_copies(frame: pl.DataFrame, symbol: str, days: Iterable[date]) -> pl.DataFrame:
    """Add rows that repeat the close before."""
    own = frame.filter(pl.col("symbol") == symbol)
    rows = [(symbol, day, own.filter(pl.col("date") < day)["close"][-1]) for day in days]
    return pl.concat([frame, pl.DataFrame(rows, schema=frame.schema, orient="row")]).sort("symbol", "date")


HK_DAYS = listed("XHKG", date(2023, 5, 2), date(2023, 12, 29))
SHUT = [TYPHOON, BLACK_RAIN, STORM]
ALONE = prices(HK_DAYS, "0981.HK", "^HSI", without=dict.fromkeys(("0981.HK", "^HSI"), SHUT))
TW_DAYS = sorted([*listed("XTAI", date(2018, 9, 3), date(2019, 4, 30)), SATURDAY])
BOTH = prices(TW_DAYS, "2330.TW", "2303.TW", "^TWII")


@dataclass(frozen=True)
class Custom:
    """A source of a researcher's own."""

    frame: pl.DataFrame

    def read(self, symbols, first=None, last=None) -> PriceTable:
        own = self.frame.filter(pl.col("symbol").is_in(list(symbols)))
        return price_table(own.with_columns(volume=pl.lit(None, pl.Float64)), requested=symbols, source="custom")


def folder(frame: pl.DataFrame, path: Path) -> mi.FolderPrices:
    for (symbol,), rows in frame.partition_by("symbol", as_dict=True).items():
        own = rows.select(pl.col("date").alias("Date"), *(pl.col("close").alias(c) for c in ("Open", "High", "Low")),
                          pl.col("close").alias("Close"), pl.lit(1000).alias("Volume"))  # fmt: skip
        own.with_columns(pl.int_range(pl.len()).alias("Volume") + 1000).write_csv(path / f"{symbol}.csv")
    return mi.FolderPrices(path)


def csv(frame: pl.DataFrame, path: Path) -> mi.FilePrices:
    frame.write_csv(path / "prices.csv")
    return mi.FilePrices(path / "prices.csv")


def parquet(frame: pl.DataFrame, path: Path) -> mi.FilePrices:
    frame.write_parquet(path / "prices.parquet")
    return mi.FilePrices(path / "prices.parquet")


DOORS: dict[str, Callable] = {
    "frame": lambda frame, path: mi.FilePrices(frame), "csv": csv, "parquet": parquet, "folder": folder,
    "custom": lambda frame, path: Custom(frame),
}  # fmt: skip


def load(frame: pl.DataFrame, firms: pl.DataFrame, **options) -> mi.Market:
    return mi.Market.load(firms, mi.FilePrices(frame), **options)


def days_with(market: mi.Market, action: str) -> list[date]:
    return market.repairs.filter(pl.col("action") == action)["date"].to_list()


def found(frame: pl.DataFrame, firms: pl.DataFrame, name: str, **options) -> list[date]:
    findings = mi.check_prices(frame, firms, **options).filter(pl.col("finding") == name)
    return findings["date"].sort().to_list()


def agree(frame: pl.DataFrame, firms: pl.DataFrame, **options) -> mi.Market:
    """The market, whose closed and opened sessions are those that the checks report."""
    market = load(frame, firms, **options)
    assert found(frame, firms, "unlisted_closure", **options) == days_with(market, "closed")
    beyond = market.repairs.filter(pl.col("detail").str.contains("calendar ends|calendar begins"))["date"].to_list()
    opened = [day for day in days_with(market, "opened") if day not in beyond]
    assert found(frame, firms, "opened_session", **options) == opened
    return market


def is_session(market: mi.Market, day: date) -> bool:
    return day in market.sessions["date"].to_list()


def news(at: str, **more) -> pl.DataFrame:
    moment = datetime.fromisoformat(at).astimezone(UTC)
    row = {"announcement_id": "a", "announced_at": moment, "time_precision": "minute", "stance": "restrictive",
           "headline": "x", **more}  # fmt: skip
    return pl.DataFrame([row], schema_overrides={"announced_at": pl.Datetime("us", "UTC")})


# --- closures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_a_security_and_its_benchmark_without_a_price_are_a_closure_at_every_door(door, tmp_path):
    market = mi.Market.load(HONG_KONG, DOORS[door](ALONE, tmp_path))
    assert days_with(market, "closed") == [TYPHOON, BLACK_RAIN, STORM]
    assert not any(is_session(market, day) for day in SHUT)
    assert market.findings.filter(pl.col("finding") == "unlisted_closure")["date"].to_list() == SHUT


def test_a_return_spans_the_closure_and_day_0_is_not_empty():
    market = agree(ALONE, HONG_KONG)
    close = dict(ALONE.filter(pl.col("symbol") == "0981.HK").select("date", "close").iter_rows())
    monday = market.panel.filter(pl.col("date") == date(2023, 9, 4))["ret"].item()
    assert monday == pytest.approx(close[date(2023, 9, 4)] / close[date(2023, 8, 31)] - 1, abs=1e-12)
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["0981.HK"] * 2, "date": [date(2023, 9, 4), STORM]})
    study = mi.EventStudy(estimation_window=(-60, -11), event_window=(-1, 1), min_observations=30)
    result = study.run(events, market)
    assert result.car(0, 0)["car"].null_count() == 0
    assert result.events.sort("event_id")["date"].to_list() == [date(2023, 9, 4), date(2023, 9, 14)]


def test_a_suspended_security_whose_benchmark_trades_closes_nothing():
    suspended = [day for day in HK_DAYS if date(2023, 6, 5) <= day <= date(2023, 6, 16)]
    frame = prices(HK_DAYS, "0981.HK", "^HSI", without={"0981.HK": suspended})
    market = agree(frame, HONG_KONG)
    assert days_with(market, "closed") == []
    assert days_with(market, "kept") == [TYPHOON, BLACK_RAIN]
    assert market.unpriced_sessions["date"].to_list() == suspended


def test_a_benchmark_of_another_exchange_is_no_evidence():
    """New York was shut on Thanksgiving, and the security has no price that day."""
    days = listed("XNYS", date(2023, 5, 1), date(2023, 12, 29))
    thanksgiving = date(2023, 11, 23)
    own = prices(HK_DAYS, "0981.HK", without={"0981.HK": [thanksgiving]})
    for name in ("^GSPC", "^SPX"):  # one is known from the embedded universe, the other only by its dates
        frame = pl.concat([own, prices(days, name)])
        market = agree(frame, HONG_KONG.with_columns(pl.lit(name).alias("benchmark")))
        assert days_with(market, "closed") == []
        assert is_session(market, thanksgiving)


def test_a_benchmark_that_ends_earlier_is_no_evidence_after_its_end():
    last = date(2023, 8, 31)
    frame = ALONE.filter((pl.col("symbol") != "^HSI") | (pl.col("date") <= last))
    market = agree(frame, HONG_KONG)
    # the embedded overrides know two of the three days
    assert days_with(market, "closed") == [TYPHOON, BLACK_RAIN]
    assert market.unpriced_sessions["date"].to_list() == [STORM]


def test_a_benchmark_that_the_vendor_copied_on_closed_days_is_no_price():
    market = agree(with_copies(ALONE, "^HSI", SHUT), HONG_KONG)
    assert days_with(market, "closed") == SHUT


def test_a_benchmark_that_trades_keeps_the_session_that_two_securities_lack():
    firms = pl.concat([HONG_KONG, HONG_KONG.with_columns(pl.lit("0700.HK").alias("symbol"))])
    frame = prices(HK_DAYS, "0981.HK", "0700.HK", "^HSI", without={symbol: [STORM] for symbol in firms["symbol"]})
    market = agree(frame, firms)
    assert days_with(market, "closed") == []
    assert market.unpriced_sessions["date"].to_list() == [STORM]


def test_exchanges_of_one_calendar_are_closed_together():
    firms = TAIWAN.with_columns(pl.Series("mic", ["XTAI", "ROCO"]), pl.lit("^NONE").alias("benchmark"))
    day = date(2019, 3, 13)
    frame = prices(TW_DAYS, "2330.TW", "2303.TW", without={symbol: [day] for symbol in firms["symbol"]})
    with pytest.warns(mi.MarketImpactWarning, match="No prices of the benchmark"):
        market = load(frame.filter(pl.col("date") != SATURDAY), firms)
    assert market.repairs.filter(date=day).select("mic", "action").rows() == [("ROCO", "closed"), ("XTAI", "closed")]


# --- sessions that the calendar lacks -----------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_several_securities_and_their_benchmark_open_a_session_at_every_door(door, tmp_path):
    market = mi.Market.load(TAIWAN, DOORS[door](BOTH, tmp_path))
    assert SATURDAY in days_with(market, "opened")
    session = market.sessions.filter(date=SATURDAY).row(0, named=True)
    assert (session["open"].isoformat(), session["close"].isoformat()) == (
        "2019-01-19T01:00:00+00:00", "2019-01-19T05:30:00+00:00",
    )  # fmt: skip
    close = dict(BOTH.filter(pl.col("symbol") == "2330.TW").select("date", "close").iter_rows())
    ret = market.panel.filter(symbol="2330.TW", date=SATURDAY)["ret"].item()
    assert ret == pytest.approx(close[SATURDAY] / close[date(2019, 1, 18)] - 1, abs=1e-12)
    assert market.findings.filter(pl.col("finding") == "opened_session").filter(date=SATURDAY).height == 1
    assert market.price_repairs.is_empty()
    assert any(f"sessions of XTAI that its calendar lacks: {SATURDAY}" in note for note in market.notes)


def test_the_checks_open_the_same_sessions():
    assert days_with(agree(BOTH, TAIWAN), "opened") == [SATURDAY]


@pytest.mark.parametrize("lacking", [["2303.TW"], ["^TWII"], ["2303.TW", "^TWII"]])
def test_one_security_or_no_benchmark_opens_nothing(lacking):
    frame = BOTH.filter(~(pl.col("symbol").is_in(lacking) & (pl.col("date") == SATURDAY)))
    market = agree(frame, TAIWAN)
    assert not is_session(market, SATURDAY)
    assert SATURDAY in days_with(market, "ignored_prices")
    assert SATURDAY in market.price_repairs["date"].to_list()


def test_an_unchanged_close_with_a_new_volume_is_no_copy():
    friday = BOTH.filter(symbol="2330.TW", date=date(2019, 1, 18))["close"].item()
    same = pl.when((pl.col("symbol") == "2330.TW") & (pl.col("date") == SATURDAY)).then(friday).otherwise("close")
    frame = BOTH.with_columns(same.alias("close"))
    assert not is_session(agree(frame, TAIWAN), SATURDAY)
    traded = frame.with_columns((pl.int_range(pl.len()) + 1000).alias("volume"))
    assert is_session(agree(traded, TAIWAN), SATURDAY)


def test_copies_open_nothing():
    frame = BOTH.filter(pl.col("date") != SATURDAY)
    for symbol in ("2330.TW", "2303.TW", "^TWII"):
        frame = with_copies(frame, symbol, [SATURDAY])
    market = agree(frame, TAIWAN)
    assert not is_session(market, SATURDAY)


@pytest.mark.parametrize("shift", [1, -1])
@pytest.mark.parametrize("moved", [["2330.TW", "2303.TW", "^TWII"], ["2330.TW", "2303.TW"]])
def test_dates_that_are_a_day_off_open_nothing(shift, moved):
    days = sorted([*listed("XTAI", date(2016, 1, 4), date(2019, 4, 30)), SATURDAY])
    month = pl.col("date").is_between(date(2019, 3, 4), date(2019, 3, 29)) & pl.col("symbol").is_in(moved)
    shifted = pl.when(month).then(pl.col("date") + timedelta(days=shift)).otherwise("date").alias("date")
    frame = prices(days, "2330.TW", "2303.TW", "^TWII").with_columns(shifted)
    frame = frame.unique(["symbol", "date"], keep="first").sort("symbol", "date")
    assert days_with(agree(frame, TAIWAN), "opened") == [SATURDAY]


# --- the embedded overrides -----------------------------------------------------------------------------


def test_an_embedded_make_up_saturday_is_a_session_where_there_is_a_price():
    saturday = date(2018, 12, 22)
    days = sorted([*TW_DAYS, saturday])
    firm = TAIWAN.head(1)
    market = agree(prices(days, "2330.TW", "^TWII"), firm)
    assert is_session(market, saturday)
    assert days_with(market, "opened") == [saturday]
    # friday's evening news reaches Taipei on the Saturday
    event = mi.align(news("2018-12-21T16:30-05:00"), market, symbols="all").row(0, named=True)
    assert (event["date"], event["day0_certainty"]) == (saturday, "likely")
    absent = agree(prices(days, "2330.TW", "^TWII", without={"2330.TW": [saturday]}), firm)
    assert not is_session(absent, saturday)
    assert saturday in absent.unpriced_sessions["date"].to_list()


def test_an_embedded_closure_holds_unless_the_prices_contradict_it():
    firm = HONG_KONG.with_columns(pl.lit("^GSPC").alias("benchmark"))
    days = listed("XNYS", date(2023, 5, 1), date(2023, 12, 29))
    alone = prices(HK_DAYS, "0981.HK", without={"0981.HK": SHUT})
    market = agree(pl.concat([alone, prices(days, "^GSPC")]), firm)
    assert days_with(market, "closed") == [TYPHOON, BLACK_RAIN]
    traded = agree(prices(HK_DAYS, "0981.HK", "^HSI"), HONG_KONG)
    assert is_session(traded, TYPHOON)
    assert traded.repairs.select("date", "action").rows() == [(TYPHOON, "kept"), (BLACK_RAIN, "kept")]


# --- the user's overrides ---------------------------------------------------------------------------------


def overrides(**columns) -> pl.DataFrame:
    return pl.DataFrame(columns)


def test_a_users_closure_wins_over_prices_and_calendar():
    day = date(2019, 3, 13)
    own = overrides(mic=["XTAI"] * 2, date=[SATURDAY, day], is_session=[False, False])
    market = agree(BOTH, TAIWAN, calendar_overrides=own)
    assert not is_session(market, SATURDAY)
    assert not is_session(market, day)
    assert {SATURDAY, day} <= set(days_with(market, "ignored_prices"))
    assert any("calendar_overrides" in note for note in market.notes)
    assert market.fingerprint != load(BOTH, TAIWAN).fingerprint


def test_a_users_session_stays_without_prices_and_wins_over_the_embedded_rows():
    own = overrides(mic=["XHKG", "XHKG"], date=["2023-09-01", "2023-09-13"])
    market = agree(ALONE, HONG_KONG, calendar_overrides=own)
    assert days_with(market, "closed") == [BLACK_RAIN]
    assert is_session(market, TYPHOON)
    assert is_session(market, STORM)


def test_a_users_hours_decide_day_0():
    own = overrides(mic=["XTAI"], date=["2019-03-13"], open=["10:00"], close=["14:30"])
    late = news("2019-03-13T14:00+08:00")
    before = mi.align(late, load(BOTH, TAIWAN), symbols=["2330.TW"])["date"].item()
    after = mi.align(late, load(BOTH, TAIWAN, calendar_overrides=own), symbols=["2330.TW"]).row(0, named=True)
    assert before == date(2019, 3, 14)
    assert (after["date"], after["phase"], after["day0_certainty"]) == (date(2019, 3, 13), "in_session", "sure")


def test_study_files_and_the_command_line_take_overrides(tmp_path):
    from tests.command import marketimpact  # noqa: PLC0415

    overrides(mic=["XHKG"], date=["2023-09-13"], is_session=["true"]).write_csv(tmp_path / "own.csv")
    ALONE.write_parquet(tmp_path / "prices.parquet")
    HONG_KONG.write_csv(tmp_path / "firms.csv")
    words = ("check", "prices.parquet", "--securities", "firms.csv", "--json")
    days = [pl.read_json(marketimpact(*words, *more, cwd=tmp_path).stdout.encode()).filter(
        pl.col("finding") == "unlisted_closure")["date"].to_list()
        for more in ((), ("--calendar-overrides", "own.csv"))]  # fmt: skip
    assert [[str(day)[:10] for day in each] for each in days] == [
        ["2023-09-01", "2023-09-08", "2023-09-13"], ["2023-09-01", "2023-09-08"],
    ]  # fmt: skip
    study = tmp_path / "study.toml"
    text = (
        '[announcements]\nids = ["2023-08-31-nvidia-middle-east-licence"]\n[prices]\ncalendar_overrides = "own.csv"\n'
    )
    study.write_text(text)
    assert mi.read_study(study).overrides_file == tmp_path / "own.csv"


# --- day 0 in doubt -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "firms", "at", "day0", "words"),
    [
        # a closure that the prices show, before day 0
        (ALONE, HONG_KONG, "2023-09-12T20:00+08:00", date(2023, 9, 14), "2023-09-13: calendar lists a session"),
        # a session that the prices show, on day 0
        (BOTH, TAIWAN, "2019-01-18T20:00+08:00", SATURDAY, "2019-01-19: calendar has no session"),
        # a price that is ignored, before day 0
        (BOTH.filter((pl.col("symbol") != "2303.TW") | (pl.col("date") != SATURDAY)), TAIWAN,
         "2019-01-18T20:00+08:00", date(2019, 1, 21), "prices of 2330.TW ignored"),
        # no price of the exchange on day 0
        (prices(HK_DAYS, "0981.HK", "^HSI", without={"0981.HK": [STORM]}), HONG_KONG,
         "2023-09-12T20:00+08:00", STORM, "2023-09-13: no security of the exchange has a price"),
    ],
)  # fmt: skip
def test_day_0_is_never_sure_where_prices_and_calendar_disagree(frame, firms, at, day0, words):
    market = load(frame, firms)
    event = mi.align(news(at), market, symbols=[firms["symbol"][0]]).row(0, named=True)
    assert (event["date"], event["day0_certainty"]) == (day0, "likely")
    assert words in event["day0_doubt"]
    later = mi.align(news("2023-09-20T20:00+08:00"), market, symbols=[firms["symbol"][0]]).row(0, named=True)
    assert later["day0_doubt"] is None
    assert later["day0_certainty"] in ("sure", None)


# --- where calendars end --------------------------------------------------------------------------------------

NEW_YEAR = [date(2027, 1, day) for day in (4, 5, 6, 7, 8, 11, 12, 13)]
BEYOND = prices([*listed("XSHG", date(2026, 6, 1), date(2026, 12, 31)), *NEW_YEAR], "A.SS", "B.SS", "^SH")


@pytest.mark.parametrize("door", [name for name in DOORS if name != "folder"])
def test_sessions_after_the_calendars_end_follow_from_the_prices(door, tmp_path):
    market = mi.Market.load(SHANGHAI, DOORS[door](BEYOND, tmp_path))
    assert days_with(market, "opened") == NEW_YEAR
    assert market.sessions["date"].max() == NEW_YEAR[-1]
    close = dict(BEYOND.filter(pl.col("symbol") == "A.SS").select("date", "close").iter_rows())
    ret = market.panel.filter(symbol="A.SS", date=date(2027, 1, 4))["ret"].item()
    assert ret == pytest.approx(close[date(2027, 1, 4)] / close[date(2026, 12, 31)] - 1, abs=1e-12)
    assert any("upgrade exchange_calendars" in note and "8 days" in note for note in market.notes)
    told = market.findings.filter(pl.col("finding") == "beyond_calendar")
    assert told.select("date", "value", "severity").rows() == [(date(2027, 1, 4), 8.0, "warning")]
    event = mi.align(news("2027-01-05T20:00+08:00"), market, symbols=["A.SS"]).row(0, named=True)
    assert (event["date"], event["day0_certainty"]) == (date(2027, 1, 6), "likely")
    after = mi.align(news("2027-03-01T20:00+08:00"), market, symbols=["A.SS"]).row(0, named=True)
    assert after["align_reason"] == "after_data"


def test_prices_of_one_security_after_the_end_are_left_out_and_told():
    market = agree(BEYOND.filter(pl.col("symbol") != "B.SS"), SHANGHAI.head(1))
    assert market.sessions["date"].max() == date(2026, 12, 31)
    assert days_with(market, "ignored_prices") == NEW_YEAR
    assert market.price_repairs["date"].to_list() == NEW_YEAR
    assert market.repairs["detail"].str.starts_with("calendar ends on 2026-12-31").all()
    assert market.findings.filter(pl.col("finding") == "closed_day_price").is_empty()
    assert any("prices of 8 days are not used" in note for note in market.notes)
    with pytest.raises(mi.DataError, match="calendar ends on 2026-12-31"):
        load(BEYOND.filter(pl.col("symbol") != "B.SS"), SHANGHAI.head(1), repair=())


def test_sessions_after_the_end_that_the_user_names_are_sessions():
    own = overrides(mic=["XSHG"] * len(NEW_YEAR), date=NEW_YEAR)
    market = agree(BEYOND.filter(pl.col("symbol") != "B.SS"), SHANGHAI.head(1), calendar_overrides=own)
    assert market.sessions["date"].max() == NEW_YEAR[-1]
    assert market.repairs.is_empty()
    assert market.findings.filter(pl.col("finding") == "beyond_calendar").is_empty()
    event = mi.align(news("2027-01-05T20:00+08:00"), market, symbols=["A.SS"]).row(0, named=True)
    assert (event["date"], event["day0_certainty"]) == (date(2027, 1, 6), "sure")


def test_a_weekend_after_the_end_is_no_session():
    extra = BEYOND.filter(date=NEW_YEAR[4]).with_columns(pl.lit(date(2027, 1, 9)).alias("date"), pl.col("close") + 1)
    market = agree(pl.concat([BEYOND, extra]).sort("symbol", "date"), SHANGHAI)
    assert days_with(market, "opened") == NEW_YEAR
    assert days_with(market, "ignored_prices") == [date(2027, 1, 9)]


def test_special_weekends_within_the_calendar_make_no_weekend_usual_after_its_end():
    firms = SHANGHAI.with_columns(pl.lit("XNSE").alias("mic"))
    budget, days = date(2026, 2, 1), listed("XBOM", date(2026, 1, 5), date(2026, 12, 31))
    sunday = date(2027, 1, 10)
    market = agree(prices(sorted([*days, budget, *NEW_YEAR, sunday]), "A.SS", "B.SS", "^SH"), firms)
    assert days_with(market, "opened") == [budget, *NEW_YEAR]
    assert days_with(market, "ignored_prices") == [sunday]


def test_an_end_in_the_past_and_a_beginning_are_the_same(monkeypatch):
    days = listed("XSHG", date(2024, 1, 2), date(2024, 12, 31))
    frame = prices(days, "A.SS", "B.SS", "^SH")
    whole = load(frame, SHANGHAI)
    first, last = date(2024, 3, 1), date(2024, 9, 30)
    monkeypatch.setattr(calendars, "_bounds", lambda name: (first, last))
    market = agree(frame, SHANGHAI)
    columns = ["symbol", "date", "ret", "market", "close"]
    inside = pl.col("date").is_between(days[0], days[-1])
    assert market.panel.filter(inside).select(columns).equals(whole.panel.filter(inside).select(columns))
    assert days_with(market, "opened") == [day for day in days if not first <= day <= last]
    assert market.sessions.filter(pl.col("date").is_in(days)).equals(whole.sessions.filter(pl.col("date").is_in(days)))


def test_all_prices_beyond_the_end_still_make_a_market():
    late = BEYOND.filter(pl.col("date") > date(2026, 12, 31))
    assert days_with(agree(late, SHANGHAI), "opened") == NEW_YEAR


def test_a_foreign_factor_beyond_its_calendar_is_left_out_and_told():
    days = [*listed("XNYS", date(2026, 6, 1), date(2026, 12, 31)), *NEW_YEAR]
    firm = pl.DataFrame({"symbol": ["NVDA"], "mic": ["XNAS"], "benchmark": ["^GSPC"]})
    market = load(prices(days, "NVDA", "^GSPC"), firm)
    abroad = BEYOND.filter(pl.col("symbol") == "^SH").select("date", (pl.col("close") / 100 - 1).alias("ret"))
    with_shanghai = market.with_factor("shanghai", abroad, mic="XSHG")
    factor = with_shanghai.select("date", "shanghai").filter(pl.col("date") > date(2026, 12, 31))
    assert factor["shanghai"].null_count() == factor.height > 0
    assert any("8 returns outside of it are not used" in note for note in with_shanghai.notes)


def test_a_market_on_disk_keeps_what_is_in_doubt(tmp_path):
    frame = prices(HK_DAYS, "0981.HK", "^HSI", without={"0981.HK": [STORM]})
    kept = load(frame, HONG_KONG).to_dataset(tmp_path / "market")
    assert kept.unpriced_sessions["date"].to_list() == [STORM]


def test_results_do_not_depend_on_the_order_of_rows():
    shuffled = load(BOTH.sample(fraction=1.0, shuffle=True, seed=3), TAIWAN)
    plain = load(BOTH, TAIWAN)
    assert shuffled.panel.equals(plain.panel)
    assert shuffled.repairs.equals(plain.repairs)
