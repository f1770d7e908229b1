"""A frame of any content gives an error of this package, or a right answer, at every door that takes one.

Each door is given its own good frame with one column of another type or value, and things that are no polars frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import marketimpact as mi
from tests.conftest import golden

SYMBOLS = ["NVDA", "AMD", "AAPL", "0981.HK", "688981.SS", "2330.TW"]
WINDOW = (0, 1)
STUDY = mi.EventStudy(event_window=(-2, 2))


@pytest.fixture(scope="module")
def securities() -> pl.DataFrame:
    return mi.securities().filter(pl.col("symbol").is_in(SYMBOLS))


@pytest.fixture(scope="module")
def market(securities: pl.DataFrame) -> mi.Market:
    return mi.Market.load(securities, mi.SamplePrices())


@pytest.fixture(scope="module")
def announced() -> pl.DataFrame:
    chosen = mi.announcements().filter(pl.col("announced_at").dt.year() == 2025, pl.col("stance") == "restrictive")
    return chosen.head(3).with_columns(targets=pl.lit(["NVDA", "AMD"]))


@pytest.fixture(scope="module")
def events(announced: pl.DataFrame, market: mi.Market) -> pl.DataFrame:
    return mi.align(announced, market)


@pytest.fixture(scope="module")
def result(events: pl.DataFrame, market: mi.Market) -> mi.StudyResult:
    return STUDY.run(events, market)


Door = tuple[pl.DataFrame, Callable[[Any], object]]


@pytest.fixture(scope="module")
def doors(
    securities: pl.DataFrame,
    market: mi.Market,
    announced: pl.DataFrame,
    events: pl.DataFrame,
    result: mi.StudyResult,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Door]:
    returns, benchmark = golden("returns").filter(pl.col("symbol").is_in(["US01", "US02"])), golden("market")
    days = market.panel.filter(pl.col("symbol") == "NVDA").select("date", "ret").drop_nulls()
    rates = days.select("date").join(pl.DataFrame({"currency": ["HKD", "CNY", "TWD"]}), how="cross")
    facts = pl.DataFrame({"symbol": SYMBOLS, "shares": [1e9 + k for k in range(len(SYMBOLS))]})
    sessions = days.tail(3)["date"]
    prices = pl.DataFrame({"symbol": ["NVDA"] * 3, "date": sessions, "close": [1.0, 1.1, 1.2], "volume": [1.0] * 3})
    folder = tmp_path_factory.mktemp("hostile")
    numbers = iter(range(10**6))
    return {
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
        "align": (announced, lambda frame: mi.align(frame, market)),
        "announcements": (announced, mi.announcements),
        "run": (events, lambda frame: STUDY.run(frame, market)),
        "exclude": (
            days.head(3).select(pl.lit("NVDA").alias("symbol"), "date"),
            lambda frame: mi.EventStudy(exclude=frame).run(events, market),
        ),
        "calendar_time": (events, lambda frame: mi.calendar_time(frame, market, (-2, 2))),
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
        "write_study": (events, lambda frame: mi.write_study(STUDY, frame, market, folder / f"{next(numbers)}")),
    }


#: The doors by name, for one test each.
DOORS = (
    "from_returns(returns)", "from_returns(benchmark)", "from_returns(factors)", "load(securities)", "load(prices)",
    "load(overrides)", "check_prices", "in_currency", "volumes", "with_factor", "align", "announcements", "run",
    "exclude", "calendar_time", "synthetic_control", "matched_controls(events)", "matched_controls",
    "contaminated_days", "audit", "with_and_without", "one_listing(events)", "one_listing(securities)",
    "placebo_dates", "day0_bounds", "write_study",
)  # fmt: skip
#: Columns that the package reads; of a frame's other columns only some are tried, since they are carried along.
READ = {
    "event_id", "symbol", "date", "mic", "announcement_id", "campaign_id", "align_reason", "align_detail", "ret",
    "close", "volume", "rate", "currency", "shares", "benchmark", "price_limit", "board", "listed_on", "dual_listing",
    "announced_at", "time_precision", "time_zone", "not_before", "targets", "stance", "headline", "source_date",
    "day0_earliest", "day0_latest", "is_session", "open", "where", "rf", "mktrf", "role",
}  # fmt: skip


def no_frames(good: pl.DataFrame) -> Iterator[tuple[str, Any]]:
    plain = good.select(c for c, kind in good.schema.items() if not kind.is_nested())
    yield from {
        "None": None, "a number": 5, "a file that is not there": "none.csv", "a dict": {"a": 1}, "a list": [1, 2],
        "an array": np.zeros((2, 2)), "pandas": pd.DataFrame({c: plain[c].to_list() for c in plain.columns}),
        "no rows": good.head(0), "no columns": pl.DataFrame(), "other columns": pl.DataFrame({"a": [1]}),
        "lazy": good.lazy(), "twice": pl.concat([good, good]),
        "working columns": good.with_columns(pl.lit(1).alias(c) for c in ("_row", "_day", "_order", "rank", "_firm")),
    }.items()  # fmt: skip


def changed_columns(good: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    others: dict[str, pl.Expr] = {
        "empty": pl.lit(None), "list": pl.concat_list(pl.lit(1)), "struct": pl.struct(pl.lit(1).alias("q")),
        "number": pl.lit(20240603), "text": pl.lit("x"), "true": pl.lit(value=True), "bytes": pl.lit(b"x"),
        "category": pl.lit("x", dtype=pl.Categorical),
        "instant": pl.lit(datetime(2024, 6, 3, 16, 20)).dt.replace_time_zone("UTC"),
    }  # fmt: skip
    for name in READ.intersection(good.columns):
        yield f"{name}: absent", good.drop(name)
        values = others | _values(good, name)
        for what, value in values.items():
            yield f"{name}: {what}", good.with_columns(value.alias(name))
        odd = pl.Series(name, [object()] * good.height, dtype=pl.Object)
        yield f"{name}: object", good.with_columns(odd)


def _values(good: pl.DataFrame, name: str) -> dict[str, pl.Expr]:
    """Values of the column's own type at which arithmetic or calendars end, in all rows or in one."""
    kind, row = good.schema[name], pl.int_range(pl.len())
    values: list[pl.Expr] = []
    if kind.is_numeric():
        values = [pl.lit(v) for v in (np.inf, -np.inf, np.nan, 1e308, 5e-324, 0.0, -1.0)]
    elif kind == pl.String:
        values = [pl.lit(""), pl.col(name) + "\x0b", pl.col(name) + "\u2028"]
    elif kind == pl.Date:
        values = [pl.lit(date(year, 6, 3)) for year in (1, 1600, 2300, 9999)]
    elif isinstance(kind, pl.Datetime):
        values = [pl.lit(datetime(year, 6, 3)).dt.replace_time_zone("UTC") for year in (1, 1600, 2300, 9999)]
    whole = {f"value {k}": value for k, value in enumerate(values)}
    return whole | {
        f"one {what}": pl.when(row == 1).then(value).otherwise(pl.col(name)) for what, value in whole.items()
    }


#: Doors that estimate again for every frame, or load prices: minutes each.
SLOW = (
    "load(securities)",
    "synthetic_control",
    "placebo_dates",
    "day0_bounds",
    "write_study",
    "calendar_time",
    "audit",
    "matched_controls(events)",
)


@pytest.mark.parametrize("door", [pytest.param(d, marks=[pytest.mark.slow] * (d in SLOW)) for d in DOORS])
def test_every_frame_gives_an_error_of_ours_or_an_answer(door: str, doors: dict[str, Door]) -> None:
    assert set(DOORS) == set(doors)
    good, use = doors[door]
    raw, long = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for what, frame in [*no_frames(good), *changed_columns(good)]:
            try:
                use(frame)
            except mi.MarketImpactError as error:
                if len(str(error)) > 3000:
                    long.append((what, len(str(error))))
            except Exception as error:  # noqa: BLE001  # any other error is what this test looks for
                raw.append((what, f"{type(error).__name__}: {error}"[:100]))
    assert not raw
    assert not long
