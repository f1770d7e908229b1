"""Convert benchmark returns to the currency of each security."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.market.panel import FramePanel, ReturnPanel

__all__ = ["COLUMN", "benchmark_currencies", "foreign_benchmarks", "panel_with_local_benchmarks"]

#: Column of the securities that holds the currency of their benchmark's returns.
COLUMN = "benchmark_currency"


def benchmark_currencies(securities: pl.DataFrame, currency: str | Mapping[str, str] | None) -> pl.DataFrame:
    """Find the currency of each security and of its benchmark.

    Parameters
    ----------
    securities : polars.DataFrame
        ``symbol, currency, benchmark`` and, where there is one, ``benchmark_currency``.
    currency : str, mapping or None
        Currency of all benchmarks, or of each by its symbol; None: that of the column.

    Returns
    -------
    polars.DataFrame
        ``symbol, benchmark, currency, benchmark_currency`` of the securities that have a benchmark.

    Raises
    ------
    SpecificationError
        For a market without currencies, a benchmark whose currency is not given, and one that contradicts the column.
    DataError
        For securities whose currency is not known.
    """
    if not {"currency", "benchmark"} <= set(securities.columns):
        raise SpecificationError(
            "This market has no currencies of its securities: use Market.load, or convert the benchmark before "
            "Market.from_returns."
        )
    own = pl.col(COLUMN) if COLUMN in securities.columns else pl.lit(None, pl.String)
    if isinstance(currency, str):
        given = pl.lit(currency)
    else:
        given = pl.col("benchmark").replace_strict(dict(currency or {}), default=None, return_dtype=pl.String)
    pairs = securities.filter(pl.col("benchmark").is_not_null()).select(
        "symbol", "benchmark", "currency", own.alias(COLUMN), given.alias("given")
    )
    _check_pairs(pairs)
    return pairs.select("symbol", "benchmark", "currency", pl.coalesce(COLUMN, "given").alias(COLUMN))


def _check_pairs(pairs: pl.DataFrame) -> None:
    other = pairs.filter(pl.col(COLUMN) != pl.col("given"))
    if other.height:
        symbol, benchmark, _, known, given = other.row(0)
        raise SpecificationError(
            f"currency={given!r} for {benchmark}: the securities say that the benchmark of {symbol} is in {known} "
            f"({COLUMN}). It was converted already, or one of the two is wrong."
        )
    unnamed = pairs.filter(pl.col(COLUMN).is_null() & pl.col("given").is_null())["benchmark"].unique().sort()
    if len(unnamed):
        raise SpecificationError(
            f"The currency of the benchmark {listed(unnamed.to_list(), quoted=False)} is not given. Name it: "
            f"currency={{{unnamed[0]!r}: 'USD'}}, or give the securities a column {COLUMN!r}."
        )
    unknown = pairs.filter(pl.col("currency").is_null()).select("symbol")
    if unknown.height:
        names = listed(unknown["symbol"].to_list(), quoted=False)
        raise DataError(
            f"The currency of {names} is not known, so the benchmark cannot be converted to it. Fill the column "
            "'currency' of the securities.",
            rows=unknown,
        )


def foreign_benchmarks(currencies: pl.DataFrame) -> pl.DataFrame:
    """Select the securities whose benchmark is in another currency."""
    return currencies.filter(pl.col("currency") != pl.col(COLUMN))


def panel_with_local_benchmarks(
    panel: ReturnPanel, currencies: pl.DataFrame, rates: pl.DataFrame, quote: str, max_age_days: int
) -> FramePanel:
    """Convert benchmark returns to the currency of each security: ``(1 + R)(1 + R_fx) - 1``.

    Parameters
    ----------
    panel : ReturnPanel
        Simple returns.
    currencies : polars.DataFrame
        From `benchmark_currencies`.
    rates : polars.DataFrame
        ``date, currency, rate``, checked: units of `quote` for one unit of the row's currency.
    quote : str
        Currency that the rates are in.
    max_age_days : int
        How old the rate of a session can be.

    Raises
    ------
    DataError
        For sessions with a benchmark return without a rate of the session or of the one before.
    """
    frame = panel.to_frame().with_row_index("_row")
    sessions = frame.join(foreign_benchmarks(currencies), on="symbol", how="inner", validate="m:1").sort("date")
    for side in ("currency", COLUMN):
        known = rates.rename({"currency": side, "rate": f"_rate_{side}"})
        tolerance = timedelta(days=int(max_age_days))
        sessions = sessions.join_asof(
            known, on="date", by=side, strategy="backward", tolerance=tolerance, check_sortedness=False
        ).with_columns(pl.when(pl.col(side) == quote).then(1.0).otherwise(f"_rate_{side}").alias(f"_rate_{side}"))
    sessions = sessions.sort("_row")
    _check_rates_of_sessions(sessions, max_age_days)
    value = pl.col(f"_rate_{COLUMN}") / pl.col("_rate_currency")
    change = value / value.shift(1).over("symbol")
    converted = sessions.select("_row", ((1.0 + pl.col("market")) * change - 1.0).alias("_market"))
    frame = frame.join(converted, on="_row", how="left", validate="1:1", maintain_order="left")
    is_foreign = frame["symbol"].is_in(sessions["symbol"].unique().implode())
    frame = frame.with_columns(pl.when(is_foreign).then("_market").otherwise("market").alias("market"))
    return FramePanel.from_frame(frame.select(panel.columns), _series(panel, currencies))


def _check_rates_of_sessions(sessions: pl.DataFrame, max_age_days: int) -> None:
    """Stop at sessions whose benchmark return needs a rate that there is not, on the day or the session before."""
    has_return = pl.col("market").is_not_null() & pl.col("market").is_not_nan()
    is_needed = has_return | has_return.shift(-1, fill_value=False).over("symbol")
    needed = sessions.filter(is_needed)
    lacking = pl.concat(
        needed.filter(pl.col(f"_rate_{side}").is_null()).select(
            pl.format("{}/{}", COLUMN, "currency").alias("pair"), "date", pl.col(side).alias("currency")
        )
        for side in ("currency", COLUMN)
    )
    if lacking.is_empty():
        return
    rows = lacking.unique().sort("pair", "date", "currency")
    days = rows.group_by("pair", maintain_order=True).agg(pl.col("date").unique(maintain_order=True))
    shown = "; ".join(
        f"{pair} on {listed([str(day) for day in own], quoted=False)} ({len(own)} sessions)"
        for pair, own in days.iter_rows()
    )
    raise DataError(
        f"rates lacks a rate that benchmark returns need, of the session or at most {max_age_days} days old: {shown}. "
        "Add the rates; where the currency market was closed, max_age_days=5 takes the last one.",
        rows=rows.select("date", "currency"),
    )


def _series(panel: ReturnPanel, currencies: pl.DataFrame) -> pl.DataFrame:
    """Name the series of each security's benchmark: of one benchmark, those of one currency are the same."""
    own = panel.securities.join(currencies.select("symbol", "currency"), on="symbol", how="left", validate="1:1")
    series = pl.format("{} {}", "series_of_benchmark", pl.col("currency").fill_null(""))
    return own.select("symbol", series.alias("benchmark"))
