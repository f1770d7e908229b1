"""Simulated prices stay marked, whatever file they travel in."""

from __future__ import annotations

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.sources.sample import are_sample_prices

SYMBOLS = ["NVDA", "AMD", "^GSPC"]


@pytest.fixture(scope="module")
def closes() -> pl.DataFrame:
    return mi.SamplePrices().read(SYMBOLS).frame.select("symbol", "date", "close")


@pytest.fixture(scope="module")
def firms() -> pl.DataFrame:
    return mi.securities().filter(pl.col("symbol").is_in(SYMBOLS))


@pytest.mark.parametrize("columns", [["symbol", "date", "close"], ["date", "symbol", "close"]])
def test_the_sample_in_a_file_is_known_by_its_prices(closes, firms, tmp_path, columns):
    closes.select(columns).write_csv(tmp_path / "prices.csv")
    market = mi.Market.load(firms, mi.FilePrices(tmp_path / "prices.csv"))
    assert market.simulated
    assert any("simulated" in note for note in market.notes)
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["NVDA", "NVDA"], "date": ["2025-07-15", "2025-08-12"]})
    result = mi.EventStudy().run(events.with_columns(pl.col("date").str.to_date()), market)
    assert result.record["simulated"] == "yes"
    assert "[SIMULATED PRICES]" in repr(result)
    page = mi.write_report(result, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "SIMULATED PRICES" in page
    assert "SIMULATED PRICES" in mi.brief(result).source


def test_one_symbol_of_the_sample_among_others_is_enough(closes, firms):
    mixed = closes.with_columns(
        pl.when(pl.col("symbol") == "NVDA").then("close").otherwise(pl.col("close") * 1.37).alias("close")
    )
    assert mi.Market.load(firms, mi.FilePrices(mixed)).simulated


def test_other_prices_are_not_taken_for_the_sample(closes, firms):
    other = closes.with_columns((pl.col("close") * 1.37).alias("close"))
    assert not are_sample_prices(other)
    assert not mi.Market.load(firms, mi.FilePrices(other)).simulated
    few = closes.filter(pl.col("symbol") == "NVDA").head(19)
    assert not are_sample_prices(few)  # too few days to compare
    assert are_sample_prices(closes.filter(pl.col("symbol") == "NVDA").head(20))


def test_real_prices_are_not_taken_for_the_sample(shared):
    real = pl.read_parquet(shared / "data" / "prices.parquet").rename({"adj_close": "c"}, strict=False)
    assert not are_sample_prices(real.select("symbol", "date", pl.col("close").cast(pl.Float64)))


@pytest.mark.parametrize(("values", "simulated"), [("true", True), ("False", False), ("", False), ("1", True)])
def test_a_column_marks_simulated_prices(closes, firms, tmp_path, values, simulated):
    own = closes.with_columns((pl.col("close") * 1.37).alias("close"), pl.lit(values).alias("simulated"))
    own.write_csv(tmp_path / "p.csv")
    assert mi.FilePrices(tmp_path / "p.csv").read(SYMBOLS).simulated is simulated
    assert mi.Market.load(firms, mi.FilePrices(own)).simulated is simulated


def test_only_requested_rows_count(closes):
    own = closes.with_columns((pl.col("symbol") == "AMD").alias("simulated"))
    assert mi.FilePrices(own).read(["AMD"]).simulated
    assert not mi.FilePrices(own).read(["NVDA"]).simulated
