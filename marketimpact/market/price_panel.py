"""Make the return panel of prices: a row per security and session of its exchange."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats
from marketimpact.core.symbol_rows import of_symbols
from marketimpact.market.legs import DAY_RETURN
from marketimpact.market.panel import FramePanel
from marketimpact.market.session_returns import SessionGrid

__all__ = ["PricePanel", "price_panel"]


@dataclass(frozen=True, slots=True)
class PricePanel:
    """The return panel, and the returns of each benchmark on each exchange.

    Attributes
    ----------
    panel : FramePanel
        See `Market.panel`.
    benchmarks : polars.DataFrame
        ``symbol, date, ret`` of every benchmark, exchange by exchange.
    """

    panel: FramePanel
    benchmarks: pl.DataFrame


def price_panel(
    securities: pl.DataFrame,
    sessions: pl.DataFrame,
    quotes: pl.DataFrame,
    factors: pl.DataFrame | None,
    benchmark: str,
) -> PricePanel:
    """Compute returns of securities and of their benchmarks, and join the factors of each date.

    Parameters
    ----------
    securities : polars.DataFrame
        ``symbol, mic`` and the column `benchmark`, sorted by symbol.
    sessions : polars.DataFrame
        ``mic, date``, sorted.
    quotes : polars.DataFrame
        ``symbol, date, close, volume`` of securities and benchmarks, sorted by symbol and date; closes may be empty.
        With ``ret_day`` the panel has the day leg too.
    factors : polars.DataFrame or None
        ``date`` and a column per factor.
    benchmark : str
        Column of `securities` that names the benchmark.
    """
    securities = securities.filter(pl.col("mic").is_in(sessions["mic"].unique().implode()))
    grid = SessionGrid(securities["symbol"], securities["mic"], sessions)
    rows = grid.on_sessions(quotes)
    ret, since_trade = grid.place_returns(rows)
    close, volume = grid.place(rows, rows["close"]), grid.place(rows, rows["volume"])
    market, returns_of_benchmarks = _benchmark_returns(securities, sessions, quotes, benchmark)
    columns = [_numbers("ret", ret), _numbers("market", market)]
    if factors is not None:
        by_session = sessions.select("date").join(factors, on="date", how="left", validate="m:1", maintain_order="left")
        columns += [grid.of_sessions(by_session[name]) for name in factors.columns if name != "date"]
    columns += [_numbers("ret_since_trade", since_trade), _numbers("close", close), _numbers("volume", volume)]
    if DAY_RETURN in quotes.columns:
        columns.append(_numbers(DAY_RETURN, grid.place(rows, rows[DAY_RETURN])))
    frame = pl.DataFrame([grid.of_sessions(sessions["date"]), *columns])
    return PricePanel(FramePanel(frame, _securities(securities, grid, market, benchmark)), returns_of_benchmarks)


def _numbers(name: str, values: Floats) -> pl.Series:
    return pl.Series(name, values, nan_to_null=True)


def _benchmark_returns(
    securities: pl.DataFrame, sessions: pl.DataFrame, quotes: pl.DataFrame, benchmark: str
) -> tuple[Floats, pl.DataFrame]:
    """Return the benchmark's return on each row of the panel, and ``symbol, date, ret`` of all benchmarks."""
    named = securities.select("mic", pl.col(benchmark).alias("symbol"))
    # in the order of the securities: it decides between exchanges that give one benchmark different returns
    pairs = named.unique(maintain_order=True)
    prices = of_symbols(quotes, named["symbol"].drop_nulls())
    series: dict[tuple[str, str | None], pl.DataFrame] = {}
    for (mic,), own in pairs.partition_by("mic", as_dict=True).items():
        days, symbols = sessions.filter(pl.col("mic") == mic), own["symbol"].drop_nulls()
        grid = SessionGrid(symbols, pl.Series([mic], dtype=pl.String).new_from_index(0, len(symbols)), days)
        ret, _ = grid.place_returns(grid.on_sessions(prices))
        rows = [*ret.reshape(len(symbols), days.height), np.full(days.height, np.nan)]
        for symbol, values in zip([*symbols, None], rows, strict=True):
            dated = days.select(pl.lit(symbol, pl.String).alias("symbol"), "date", _numbers("ret", values))
            series[str(mic), symbol] = dated
    parts = pl.concat([series[row]["ret"] for row in named.iter_rows()], rechunk=True)
    return parts.to_numpy(), pl.concat([series[row] for row in pairs.iter_rows()])


def _securities(securities: pl.DataFrame, grid: SessionGrid, market: Floats, benchmark: str) -> pl.DataFrame:
    """Describe the rows of each security; see `ReturnPanel.securities`."""
    begins, lengths = grid.begins, grid.lengths
    is_known = [bool(~np.isnan(market[begin : begin + n]).all()) for begin, n in zip(begins, lengths, strict=True)]
    frame = securities.select(
        "symbol",
        "mic",
        first_row=pl.Series(begins),
        first_session=pl.lit(0, dtype=pl.Int64),
        n_sessions=pl.Series(lengths),
        has_benchmark=pl.Series(is_known),
        benchmark=benchmark,
    )
    return frame.with_columns(
        pl.col("first_row").first().over("benchmark", "mic").alias("series_of_benchmark"),
        pl.col("first_row").first().over("mic").alias("series_of_factors"),
    ).drop("benchmark")
