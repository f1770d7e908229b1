"""Convert a panel of returns to another currency, to logs, or to trading volume."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from marketimpact.core.frames import FrameLike
from marketimpact.core.layouts import SHARES
from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.market.benchmark_currency import COLUMN, foreign_benchmarks
from marketimpact.market.exchange_rates import RATE_AGE
from marketimpact.market.panel import FramePanel, ReturnPanel
from marketimpact.market.plausibility import LARGEST_FACTOR
from marketimpact.sources.files.tables import read_table

__all__ = ["check_shares", "convert_currency", "panel_in_currency", "panel_in_logs", "read_shares", "volume_panel"]

#: Campbell and Wasley (1996): keeps the log of days without trade finite; percent of shares outstanding.
VOLUME_FLOOR = 0.000255


def panel_in_currency(panel: ReturnPanel, securities: pl.DataFrame, rates: pl.DataFrame, currency: str) -> FramePanel:
    """Convert a panel of simple returns to one currency, `rates` checked; see `Market.in_currency`."""
    if "currency" not in securities.columns:
        raise SpecificationError("This market has no currencies of its securities: use Market.load.")
    if COLUMN in securities.columns and (foreign := foreign_benchmarks(securities)["symbol"].to_list()):
        raise SpecificationError(
            f"in_currency: the benchmark of {listed(foreign, quoted=False)} is in another currency ({COLUMN}). Convert "
            "it first: market.convert_benchmarks(rates, quote=...).in_currency(...)."
        )
    currency_of = securities.select("symbol", "currency")
    converted = _to_currency(panel.to_frame(), currency_of, rates, currency)
    # the returns of one benchmark differ where they were converted from different currencies
    benchmarks = panel.securities.join(currency_of, on="symbol", how="left", validate="1:1").select(
        "symbol", pl.format("{} {}", "series_of_benchmark", "currency").alias("benchmark")
    )
    return FramePanel.from_frame(converted, benchmarks)


def convert_currency(securities: pl.DataFrame, currency: str) -> pl.DataFrame:
    """Set the currency of returns; ``price_currency`` keeps that of prices."""
    prices = "price_currency" if "price_currency" in securities.columns else "currency"
    benchmarks = [pl.lit(currency).alias(COLUMN)] if COLUMN in securities.columns else []
    return securities.with_columns(
        pl.lit(currency).alias("currency"), pl.col(prices).alias("price_currency"), *benchmarks
    )


def panel_in_logs(panel: ReturnPanel) -> FramePanel:
    """Convert returns of securities and benchmarks to continuously compounded ones; factors stay as they are.

    Raises
    ------
    DataError
        For a total loss, whose log return is not finite.
    """
    names = [c for c in ("ret", "market", "ret_since_trade") if c in panel.columns]
    frame = panel.to_frame()
    lost = frame.filter(pl.any_horizontal(pl.col(names) <= -1.0)).select("symbol", "date", *names)
    if lost.height:
        rows = [f"{symbol} on {day}" for symbol, day in lost.select("symbol", "date").iter_rows()]
        raise DataError(
            f"A total loss (return of -1) has no log return: {listed(rows, quoted=False)}. Keep simple returns, or "
            "leave these cells empty and say so.",
            rows=lost,
        )
    return FramePanel(
        frame.with_columns((1.0 + pl.col(c)).log().alias(c) for c in names), panel.securities, panel.limit_hits
    )


def volume_panel(panel: ReturnPanel, shares: pl.DataFrame | None) -> FramePanel:
    """Put log trading volume in place of returns; see `Market.volumes`."""
    return FramePanel.from_frame(_log_volume(panel.to_frame(), shares))


def _to_currency(panel: pl.DataFrame, currency_of: pl.DataFrame, rates: pl.DataFrame, currency: str) -> pl.DataFrame:
    """Convert returns and benchmark returns to one currency: ``(1 + R)(1 + R_fx) - 1``.

    Parameters
    ----------
    panel : polars.DataFrame
        A market's panel of simple returns.
    currency_of : polars.DataFrame
        ``symbol, currency`` the returns are in.
    rates : polars.DataFrame
        ``date, currency, rate``: units of `currency` for one unit of the row's currency.
    currency : str
        The common currency.
    """
    others = currency_of.filter(pl.col("currency") != currency)
    lacking = sorted(set(others["currency"].drop_nulls()).difference(rates["currency"]))
    unknown = currency_of.filter(pl.col("currency").is_null())["symbol"].to_list()
    if lacking or unknown:
        raise DataError(
            f"rates has no rows of {', '.join(lacking)}; give units of {currency} for one unit of each."
            if lacking
            else f"The currency of {listed(unknown, quoted=False)} is not known, so its returns cannot be converted."
        )
    frame = panel.join(currency_of, on="symbol", how="left", validate="m:1").with_row_index("_row")
    frame = frame.sort("date").join_asof(
        rates, on="date", by="currency", strategy="backward", tolerance=RATE_AGE, check_sortedness=False
    )
    rate = pl.when(pl.col("currency") == currency).then(1.0).otherwise(pl.col("rate"))
    frame = frame.sort("_row").with_columns(rate.alias("rate"))
    fx = pl.col("rate") / pl.col("rate").shift(1).over("symbol") - 1.0
    converted = [((1 + pl.col(c)) * (1 + fx) - 1).alias(c) for c in ("ret", "market")]
    if "ret_since_trade" in panel.columns:
        traded = pl.when(pl.col("close").is_not_null()).then(pl.col("rate"))
        gap = pl.col("rate") / traded.forward_fill().shift(1).over("symbol")
        converted.append(((1 + pl.col("ret_since_trade")) * gap - 1).alias("ret_since_trade"))
    return frame.with_columns(converted).select(panel.columns)


def _log_volume(panel: pl.DataFrame, shares: pl.DataFrame | None) -> pl.DataFrame:
    """Put log trading volume in place of returns, and its mean over the exchange's other securities beside it.

    With shares outstanding ``ln(100 volume / shares + 0.000255)``, Campbell and Wasley (1996); without,
    ``ln(volume)``, and a session without trade is missing.
    """
    if "volume" not in panel.columns or panel["volume"].null_count() == panel.height:
        raise SpecificationError("This market has no volumes: load it from prices that come with them.")
    if shares is None:
        volumes = panel.with_columns(pl.when(pl.col("volume") > 0).then(pl.col("volume").log()).alias("ret"))
    else:
        volumes = _shares_on(panel, shares).with_columns(
            (100.0 * pl.col("volume") / pl.col("shares") + VOLUME_FLOOR).log().alias("ret")
        )
    others = pl.col("ret").sum().over("mic", "date") - pl.col("ret").fill_null(0.0)
    count = pl.col("ret").count().over("mic", "date") - pl.col("ret").is_not_null().cast(pl.Int64)
    market = pl.when(count > 0).then(others / count)
    names = [c for c in panel.columns if c != "ret_since_trade"]
    return volumes.with_columns(market.alias("market")).select(names)


def _shares_on(panel: pl.DataFrame, shares: pl.DataFrame) -> pl.DataFrame:
    """Join shares outstanding to every session: one number per security, or the latest known on each date."""
    counts = check_shares(shares)
    lacking = sorted(set(panel["symbol"].unique()).difference(counts["symbol"]))
    if lacking:
        raise DataError(
            f"shares has no row of {listed(lacking, quoted=False)}: every security of the market needs one."
        )
    if "date" not in counts.columns:
        return panel.join(counts, on="symbol", how="left", validate="m:1")
    frame = panel.with_row_index("_row").sort("date")
    joined = frame.join_asof(counts.sort("date"), on="date", by="symbol", strategy="backward", check_sortedness=False)
    return joined.sort("_row").drop("_row")


def read_shares(shares: FrameLike | str | Path) -> pl.DataFrame:
    """Read a table of shares, whether counts of one's own or those of filings, from a frame or a file."""
    return read_table(shares, "shares", {}, ["symbol", "date"], SHARES)


def check_shares(shares: FrameLike | str | Path) -> pl.DataFrame:
    """Check counts of shares: ``symbol, shares`` and, where there is one, ``date``; without empty counts.

    Raises
    ------
    DataError
        For a column that is absent or unreadable, a repeated key, or a count that is not above zero and finite.
    """
    table = read_table(shares, "shares", {"symbol": pl.String(), "shares": pl.Float64()}, ["symbol", "date"], SHARES)
    names = [name for name in ("symbol", "date", "shares") if name in table.columns]
    counts = table.select(names).drop_nulls()
    wrong = counts.filter(~pl.col("shares").is_between(1.0 / LARGEST_FACTOR, LARGEST_FACTOR))
    if wrong.height:
        raise DataError(
            f"shares has {wrong.height} counts that are not above zero and finite, the first of {wrong['symbol'][0]}. "
            "Leave out securities whose count is not known.",
            rows=wrong,
        )
    return counts
