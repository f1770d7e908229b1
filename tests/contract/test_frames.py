"""Every door takes every kind of frame, and gives the same for each; a frame that cannot be read says why."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from marketimpact.core.frames import to_pandas
from tests.conftest import golden
from tests.contract.frame_doors import DOORS, SLOW, Door, build_doors

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow, one of the kinds of frames, is not installed"
)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Door]:
    return build_doors(tmp_path_factory.mktemp("frames"))


class ArrowOnly:
    """A table that shows nothing but its Arrow stream, as those of other libraries may."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.frame.__arrow_c_stream__(requested_schema)


def with_key_as_index(frame: pl.DataFrame) -> pd.DataFrame:
    """Set the dates, or the first column, as index."""
    key = next((name for name, kind in frame.schema.items() if kind == pl.Date), frame.columns[0])
    return to_pandas(frame).set_index(key)


def with_keys_as_levels(frame: pl.DataFrame) -> pd.DataFrame:
    return to_pandas(frame).set_index(frame.columns[:2])


def after_filter(frame: pl.DataFrame) -> pd.DataFrame:
    """Leave an index of row numbers that does not begin at 0."""
    return pd.concat([to_pandas(frame), to_pandas(frame)], ignore_index=True).iloc[frame.height :]


def of_python_values(frame: pl.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(frame[name].to_list(), dtype=object) for name in frame.columns})


def of_categories(frame: pl.DataFrame) -> pd.DataFrame:
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return to_pandas(frame).astype(dict.fromkeys(texts, "category"))


def as_pyarrow(frame: pl.DataFrame) -> Any:
    return frame.to_arrow()


def as_reader(frame: pl.DataFrame) -> Any:
    """Give rows that can be read once."""
    return frame.to_arrow().to_reader()


def of_arrow_types(frame: pl.DataFrame) -> pd.DataFrame:
    return frame.to_arrow().to_pandas(types_mapper=pd.ArrowDtype)


KINDS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "lazy": pl.DataFrame.lazy,
    "arrow stream": ArrowOnly,
    "pandas": to_pandas,
    "pandas, index": with_key_as_index,
    "pandas, levels": with_keys_as_levels,
    "pandas, filtered": after_filter,
    "pandas, objects": of_python_values,
    "pandas, nullable": lambda frame: to_pandas(frame).convert_dtypes(),
    "pandas, categories": of_categories,
}
ARROW_KINDS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "pyarrow": as_pyarrow,
    "pyarrow, reader": as_reader,
    "pandas, pyarrow": of_arrow_types,
}


def _emptied(answer: pl.DataFrame, name: str, kind: pl.DataType) -> pl.Expr:
    assert not answer[name].count()
    return pl.lit(None, kind).alias(name)


def same(answer: Any, expected: Any) -> None:
    """Compare answers of a door: frames by value, markets by their content, results by their CARs."""
    if isinstance(expected, pl.DataFrame):
        # the type of a column without any value is not known in pandas, and an index becomes the first column
        empty = [name for name in expected.columns if not expected[name].count()]
        typed = answer.with_columns(_emptied(answer, name, expected.schema[name]) for name in empty)
        assert_frame_equal(typed, expected, check_column_order=False)
    elif isinstance(expected, mi.Market):
        assert answer.fingerprint == expected.fingerprint
        assert answer.notes == expected.notes
        assert_frame_equal(answer.panel, expected.panel)
    elif isinstance(expected, mi.StudyResult):
        same(answer.car(0, 1), expected.car(0, 1))
        same(answer.attrition, expected.attrition)
    else:
        assert is_dataclass(expected)
        for each in fields(expected):
            value = getattr(expected, each.name)
            if isinstance(value, pl.DataFrame):
                same(getattr(answer, each.name), value)


@pytest.mark.parametrize("kind", [*KINDS, *[pytest.param(kind, marks=needs_pyarrow) for kind in ARROW_KINDS]])
@pytest.mark.parametrize("door", [pytest.param(d, marks=[pytest.mark.slow] * (d in SLOW)) for d in DOORS])
@pytest.mark.filterwarnings("ignore::marketimpact.MarketImpactWarning")
def test_every_door_takes_every_kind_of_frame(door: str, kind: str, doors: dict[str, Door]) -> None:
    good, use = doors[door]
    same(use((KINDS | ARROW_KINDS)[kind](good)), use(good))


#: Two securities in New York and one in Hong Kong, whose sessions differ; the prices are simulated.
LISTED = ["AMD", "NVDA", "0981.HK"]


@pytest.fixture(scope="module")
def sample() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return securities, and their prices and benchmarks' of half a year."""
    securities = mi.securities().filter(pl.col("symbol").is_in(LISTED))
    symbols = [*LISTED, *securities["benchmark"].unique().sort()]
    return securities, mi.SamplePrices().read(symbols, date(2024, 1, 2), date(2024, 6, 28)).frame


def matrix(rows: pl.DataFrame, value: str, columns: str = "symbol") -> pd.DataFrame:
    return to_pandas(rows).pivot(index="date", columns=columns, values=value)


def downloaded(prices: pl.DataFrame) -> pd.DataFrame:
    """Build what `yfinance.download` gives: dates of both exchanges in one index, NaN where one is shut."""
    fields = {"Close": matrix(prices, "close"), "Volume": matrix(prices, "volume")}
    return pd.concat(fields, axis=1, names=["Price", "Ticker"]).rename_axis(index="Date")


@pytest.mark.parametrize(
    "shape",
    [
        downloaded,
        lambda prices: downloaded(prices).swaplevel(axis=1).sort_index(axis=1),
        lambda prices: downloaded(prices).stack(level="Ticker", future_stack=True),
        lambda prices: downloaded(prices)["Close"],
    ],
    ids=["download", "by ticker", "stacked", "closes"],
)
@pytest.mark.filterwarnings("ignore::marketimpact.MarketImpactWarning")
def test_a_market_of_a_download_is_that_of_the_long_rows(shape: Callable[[pl.DataFrame], Any], sample: Any) -> None:
    securities, prices = sample
    market = mi.Market.load(securities, mi.FilePrices(shape(prices)))
    expected = mi.Market.load(securities, mi.FilePrices(prices.drop("unadjusted_close", strict=False)))
    columns = ["symbol", "date", "ret", "market"]
    assert_frame_equal(market.panel.select(columns), expected.panel.select(columns))
    assert set(market.panel["mic"]) == set(securities["mic"])


@pytest.mark.filterwarnings("ignore::marketimpact.MarketImpactWarning")
def test_dividends_beside_closes_that_include_them_do_not_count_twice(sample: Any) -> None:
    securities, prices = sample
    closes = downloaded(prices)
    paid = closes["Close"] * 0.0
    paid.iloc[60] = 2.0
    actions = pd.concat({"Dividends": paid, "Stock Splits": paid * 0.0}, axis=1, names=["Price", "Ticker"])
    market = mi.Market.load(securities, mi.FilePrices(pd.concat([closes, actions], axis=1)))
    expected = mi.Market.load(securities, mi.FilePrices(closes))
    assert_frame_equal(market.panel.select("symbol", "date", "ret"), expected.panel.select("symbol", "date", "ret"))
    assert market.price_repairs.is_empty()


def test_matrices_of_returns_of_two_calendars_are_the_long_rows(sample: Any) -> None:
    securities, prices = sample
    rows = prices.sort("symbol", "date").with_columns(
        (pl.col("close") / pl.col("close").shift(1).over("symbol") - 1.0).alias("ret")
    )
    owners = securities.select("symbol", "benchmark")
    returns = rows.join(owners, on="symbol", how="inner", maintain_order="left").select(
        "date", "symbol", "benchmark", "ret"
    )
    benchmark = rows.filter(pl.col("symbol").is_in(owners["benchmark"].implode())).select("date", "symbol", "ret")
    dated = benchmark.drop_nulls()
    expected = mi.Market.from_returns(
        returns.join(dated.rename({"symbol": "benchmark"}).drop("ret"), on=["date", "benchmark"], how="semi"), dated
    )
    market = mi.Market.from_returns(returns, matrix(benchmark, "ret"))
    assert_frame_equal(market.panel, expected.panel)
    assert market.fingerprint == expected.fingerprint


def test_a_matrix_of_returns_and_a_series_make_the_market_of_the_long_rows() -> None:
    returns, benchmark = golden("returns"), golden("market")
    expected = mi.Market.from_returns(returns, benchmark)
    market = mi.Market.from_returns(matrix(returns, "ret"), to_pandas(benchmark).set_index("date")["ret"])
    assert_frame_equal(market.panel, expected.panel)
    assert market.fingerprint == expected.fingerprint


def test_matrices_of_rates_and_shares_are_the_long_rows(sample: Any) -> None:
    securities, prices = sample
    market = mi.Market.load(securities, mi.FilePrices(prices))
    days = market.panel["date"].unique().sort()
    rates = pl.DataFrame({"date": days, "currency": ["HKD"] * len(days), "rate": np.linspace(0.127, 0.129, len(days))})
    converted = market.in_currency("USD", matrix(rates, "rate", "currency"))
    assert_frame_equal(converted.panel, market.in_currency("USD", rates).panel)
    shares = pl.DataFrame({"symbol": LISTED * 2, "date": [days[0]] * 3 + [days[50]] * 3, "shares": np.arange(6) + 1e9})
    assert_frame_equal(market.volumes(matrix(shares, "shares")).panel, market.volumes(shares).panel)
