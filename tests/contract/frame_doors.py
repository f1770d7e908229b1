"""The doors that take a frame: each with a good frame of its own, and the call that uses another one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

import marketimpact as mi
from tests.conftest import golden
from tests.unit.market.drawn_bars import DAYS, draw_bars

__all__ = ["DOORS", "SLOW", "Door", "build_doors"]

SYMBOLS = ["NVDA", "AMD", "AAPL", "0981.HK", "688981.SS", "2330.TW"]
WINDOW = (0, 1)
STUDY = mi.EventStudy(event_window=(-2, 2))

Door = tuple[pl.DataFrame, Callable[[Any], Any]]


def build_doors(folder: Path) -> dict[str, Door]:
    """Build every door over the embedded sample, whose prices are simulated; `folder` is for what is written."""
    securities = mi.securities().filter(pl.col("symbol").is_in(SYMBOLS))
    market = mi.Market.load(securities, mi.SamplePrices())
    chosen = mi.announcements().filter(pl.col("announced_at").dt.year() == 2025, pl.col("stance") == "restrictive")
    announced = chosen.head(3).with_columns(targets=pl.lit(["NVDA", "AMD"]))
    events = mi.align(announced, market)
    result = STUDY.run(events, market)
    returns, benchmark = golden("returns").filter(pl.col("symbol").is_in(["US01", "US02"])), golden("market")
    days = market.panel.filter(pl.col("symbol") == "NVDA").select("date", "ret").drop_nulls()
    rates = days.select("date").join(pl.DataFrame({"currency": ["HKD", "CNY", "TWD"]}), how="cross")
    facts = pl.DataFrame({"symbol": SYMBOLS, "shares": [1e9 + k + 0.5 for k in range(len(SYMBOLS))]})
    exposures = pl.DataFrame({
        "symbol": ["NVDA", "NVDA", "AMD"], "period_end": [date(2023, 1, 29), date(2024, 1, 28), date(2023, 12, 30)],
        "china_revenue_share": [0.21, 0.17, 0.15],
    })  # fmt: skip
    counts = facts.with_columns(date=pl.lit(date(2025, 5, 23))).rename({"shares": "shares_outstanding"})
    sessions = days.tail(3)["date"]
    prices = pl.DataFrame({"symbol": ["NVDA"] * 3, "date": sessions, "close": [1.0, 1.1, 1.2], "volume": [1.0] * 3})
    numbers = iter(range(10**6))
    calm = result.events["date"].unique().sort().to_list()
    names = [*SYMBOLS, *securities["benchmark"].unique()]
    both = mi.SamplePrices().read(names, date(2023, 6, 1), date(2025, 12, 31)).frame.with_columns(adj_close="close")
    priced = STUDY.run(events, mi.Market.load(securities, mi.FilePrices(both)))
    extract = pl.DataFrame({
        "permno": [10107, 10107, 14593, 14593], "date": list(sessions[:2]) * 2, "ret": [0.01, -0.02, 0.0, 0.01],
        "prc": [10.0, -9.8, 5.0, 5.05], "vwretd": [0.01, 0.02] * 2, "dlret": [None, -0.5, None, None],
    })  # fmt: skip
    secd = pl.DataFrame({
        "gvkey": ["001690"] * 2 + ["012141"] * 2, "iid": ["01"] * 4, "trfd": [1.0] * 4,
        "datadate": list(sessions[:2]) * 2,
        "prccd": [200.0, 50.5, 30.0, 31.5], "ajexdi": [4.0, 1.0, 1.0, 1.0],
    })  # fmt: skip
    american = mi.securities().filter(pl.col("mic") == "XNAS").head(10)
    chips = mi.Market.load(american, mi.SamplePrices())
    hit = mi.align(announced.head(1), chips, symbols="all")
    exposed = american.select("symbol", exposure=pl.int_range(pl.len()) / 10)
    bars = prices.select(日期="date", 收盘="close", 成交量="volume")
    minutes = draw_bars("NVDA", DAYS[:2])
    half_hours = mi.Bars.load(securities, mi.SampleBars(["NVDA", "AMD", "^GSPC"], minutes=30))
    moments = [datetime(2025, 5, 7, 15, 30, tzinfo=UTC), datetime(2025, 5, 8, 3, 0, tzinfo=UTC)]
    news = (
        announced.drop("targets")
        .head(2)
        .with_columns(announced_at=pl.Series(moments), time_precision=pl.lit("minute"), not_before=None, not_after=None)
    )
    paths = mi.bar_path(news, half_hours, last="120min", step="30min")
    return {
        "bars": (minutes, lambda frame: mi.Bars.load(securities, mi.BarFiles(frame)).frame),
        "bar_moves": (
            announced.drop("targets"),
            lambda frame: mi.bar_moves(frame, mi.Bars.load(securities, mi.BarFiles(minutes))),
        ),
        "bar_tests": (announced.drop("targets"), lambda frame: mi.bar_tests(frame, half_hours)),
        "bar_path": (
            announced.drop("targets"),
            lambda frame: mi.bar_path(frame, half_hours, last="120min", step="30min"),
        ),
        "first_movers": (paths.frame, mi.first_movers),
        "from_returns(returns)": (returns, lambda frame: mi.Market.from_returns(frame, benchmark)),
        "from_returns(benchmark)": (benchmark, lambda frame: mi.Market.from_returns(returns, frame)),
        "from_returns(factors)": (golden("factors"), lambda frame: mi.Market.from_returns(returns, benchmark, frame)),
        "load(securities)": (securities.head(2), lambda frame: mi.Market.load(frame, mi.SamplePrices())),
        "load(prices)": (prices, lambda frame: mi.Market.load(securities, mi.FilePrices(frame))),
        "load(overrides)": (
            mi.calendar_overrides().head(3),
            lambda frame: mi.Market.load(securities, mi.FilePrices(prices), calendar_overrides=frame),
        ),
        "check_prices": (prices, mi.check_prices),
        "in_currency": (rates.with_columns(rate=pl.lit(0.1)), lambda frame: market.in_currency("USD", frame)),
        "volumes": (facts, market.volumes),
        "with_factor": (days, lambda frame: market.with_factor("x", frame, mic="XNYS")),
        "legs": (golden("factors"), lambda frame: market.legs("day", factors=frame)),
        "car_by_leg": (events, lambda frame: mi.car_by_leg(STUDY, frame, market, WINDOW).frame),
        "align": (announced, lambda frame: mi.align(frame, market)),
        "announcements": (announced, mi.announcements),
        "run": (events, lambda frame: STUDY.run(frame, market)),
        "exclude": (
            days.head(3).select(pl.lit("NVDA").alias("symbol"), "date"),
            lambda frame: mi.EventStudy(exclude=frame).run(events, market),
        ),
        "calendar_time": (events, lambda frame: mi.calendar_time(frame, market, (-2, 2))),
        "exposure_slope(events)": (hit, lambda frame: mi.exposure_slope(chips, frame, exposed, past=60).frame),
        "exposure_slope": (exposed, lambda frame: mi.exposure_slope(chips, hit, frame, past=60).frame),
        "synthetic_control": (events, lambda frame: mi.synthetic_control(frame, market, ["AAPL", "2330.TW"])),
        "matched_controls(events)": (events, lambda frame: mi.matched_controls(frame, market, ["AAPL"], facts)),
        "matched_controls": (facts, lambda frame: mi.matched_controls(events, market, ["AAPL"], frame)),
        "contaminated_days": (announced, lambda frame: mi.contaminated_days(frame, market)),
        "audit": (announced, lambda frame: mi.audit(result, frame)),
        "with_and_without": (mi.audit(result), lambda frame: mi.with_and_without(result, frame, tests=["bmp"])),
        "one_listing(events)": (events, lambda frame: mi.one_listing(frame, securities, prefer=["XHKG"])),
        "one_listing(securities)": (securities, lambda frame: mi.one_listing(events, frame, prefer=["XHKG"])),
        "placebo_dates": (events, lambda frame: mi.placebo_dates(STUDY, frame, market, WINDOW, draws=3)),
        "day0_bounds": (events, lambda frame: mi.day0_bounds(STUDY, frame, market, WINDOW)),
        "securities": (securities, mi.securities),
        "campaigns": (mi.campaigns(), mi.campaigns),
        "calendar_overrides": (mi.calendar_overrides(), mi.calendar_overrides),
        "read_events": (events, mi.read_events),
        "exposures": (exposures, lambda frame: mi.exposures("2025-08-12", path=frame, all_rows=True)),
        "shares": (counts, lambda frame: mi.shares(path=frame)),
        "dollar_effect(shares)": (facts, lambda frame: mi.dollar_effect(priced, 0, 1, shares=frame)),
        "dollar_effect(rates)": (
            rates.with_columns(rate=pl.lit(0.1)),
            lambda frame: mi.dollar_effect(priced, 0, 1, shares=facts, rates=frame),
        ),
        "crsp_returns": (extract, mi.crsp_returns),
        "crsp_prices": (extract, mi.crsp_prices),
        "crsp_benchmark": (extract, mi.crsp_benchmark),
        "compustat_prices": (secd, mi.compustat_prices),
        "akshare": (bars, lambda frame: mi.AksharePrices({"688981": frame}, adjust="qfq").read(["688981.SS"]).frame),
        "placebo_dates(avoid)": (
            pl.DataFrame({"date": calm}),
            lambda frame: mi.placebo_dates(STUDY, events, market, WINDOW, draws=3, avoid=frame),
        ),
        "placebo_firms": (events, lambda frame: mi.placebo_firms(STUDY, frame, market, WINDOW, draws=3)),
        "specification_curve": (
            events,
            lambda frame: (
                mi.specification_curve(
                    frame,
                    market,
                    models=[mi.MeanAdjusted()],
                    estimation_windows=[(-100, -11)],
                    event_windows=[(0, 1)],
                    tests=["bmp"],
                ).frame
            ),
        ),
        "write_study": (events, lambda frame: mi.write_study(STUDY, frame, market, folder / f"{next(numbers)}")),
    }


#: The doors by name, for one test each.
DOORS = (
    "bars", "bar_moves", "bar_tests", "bar_path", "first_movers",
    "from_returns(returns)", "from_returns(benchmark)", "from_returns(factors)", "load(securities)", "load(prices)",
    "load(overrides)", "check_prices", "in_currency", "volumes", "with_factor", "align", "announcements", "run",
    "exclude", "calendar_time", "exposure_slope(events)", "exposure_slope", "synthetic_control",
    "matched_controls(events)", "matched_controls", "contaminated_days", "audit", "with_and_without",
    "one_listing(events)", "one_listing(securities)", "placebo_dates", "day0_bounds", "write_study", "securities",
    "campaigns", "calendar_overrides", "read_events", "exposures", "shares",
    "dollar_effect(shares)", "dollar_effect(rates)", "crsp_returns", "crsp_prices", "crsp_benchmark",
    "compustat_prices", "akshare", "placebo_dates(avoid)", "placebo_firms", "specification_curve", "legs", "car_by_leg",
)  # fmt: skip
#: Doors that estimate again for every frame, or load prices: minutes each.
SLOW = (
    "load(securities)",
    "car_by_leg",
    "synthetic_control",
    "placebo_dates",
    "day0_bounds",
    "write_study",
    "calendar_time",
    "audit",
    "matched_controls(events)",
    "placebo_dates(avoid)",
    "placebo_firms",
    "specification_curve",
)
