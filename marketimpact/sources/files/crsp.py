"""Read daily extracts of CRSP: returns with their missing codes and delisting returns, prices, index returns."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike
from marketimpact.core.text import listed
from marketimpact.errors import DataError, MarketImpactWarning
from marketimpact.sources.files.database_extracts import coded_numbers, dates, identifiers, numbers, read_extract

__all__ = ["crsp_benchmark", "crsp_prices", "crsp_returns"]

LABEL = "the CRSP extract"
#: Columns of the format of 2025 (CIZ), whose daily returns include the delisting return -> those of the older one.
NAMES = {
    "dlycaldt": "date", "caldt": "date", "dlyret": "ret", "dlyprc": "prc", "dlyvol": "vol",
    "dlyopen": "openprc", "dlyhigh": "askhi", "dlylow": "bidlo",
}  # fmt: skip
#: Column of CRSP -> column of prices.
SESSION_PRICES = {"openprc": "open", "askhi": "high", "bidlo": "low"}
#: Why a daily return is missing, in letters and in numbers.
RETURN_LETTERS, RETURN_CODES = ("A", "B", "C", "D", "E"), (-44.0, -55.0, -66.0, -77.0, -88.0, -99.0)
#: Why a delisting return is missing.
DELISTING_LETTERS = ("A", "B", "C", "D", "E", "P", "S", "T")
#: Codes of delistings for performance, of which Shumway (1997) finds large losses that are not in the data.
PERFORMANCE = (500, 520, 584)


def crsp_returns(extract: FrameLike | str | Path) -> pl.DataFrame:
    """Read returns from a daily extract of CRSP, for `Market.from_returns`.

    Parameters
    ----------
    extract : FrameLike, str or pathlib.Path
        Rows of the daily stock file, as a frame or as a CSV, Parquet or Excel file: ``PERMNO, date, RET`` and, where
        the extract has them, ``DLRET, DLSTCD, PRC``; upper or lower case. In the newer format ``DlyCalDt``, ``DlyRet``
        and ``DlyPrc``, whose returns include the delisting return.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, ret``, sorted: the PERMNO as text, and the simple return per session. ``ret_code`` is why a
        return is missing: a letter, such as *B* (not on this exchange) or *C* (no price in the ten sessions before),
        or one of the numbers -44 to -99 that stand for it. With ``DLRET`` also ``dlret`` and ``dlret_code``; with
        ``PRC`` also ``close``, its absolute value, and ``is_quote``, whether it is negative: the average of bid and
        ask on a day without a trade. Further columns are kept.

    Raises
    ------
    DataError
        For an extract that cannot be read, a column that is absent, a repeated PERMNO and date, a value that is neither
        a return nor a code, and a delisting return on another row than the security's last.

    Warns
    -----
    MarketImpactWarning
        Of securities that were delisted for performance and have no delisting return.

    Notes
    -----
    On the row of a delisting return the return is ``(1 + RET)(1 + DLRET) - 1``, or DLRET where RET is missing, so that
    -1, a total loss, enters. No delisting return is made up. Shumway, *Journal of Finance* 52 (1997) 327.

    Examples
    --------
    >>> import marketimpact as mi
    >>> rows = {"PERMNO": [10107, 10107], "date": [20240102, 20240103], "RET": ["C", "-0.50"], "DLRET": [None, "-0.9"]}
    >>> mi.crsp_returns(pl.DataFrame(rows)).select("symbol", "ret", "ret_code").rows()
    [('10107', None, 'C'), ('10107', -0.95, None)]
    """
    table = _keyed(_read(extract, ["permno", "date", "ret"]))
    table = table.with_columns(coded_numbers(table["ret"], LABEL, RETURN_LETTERS, RETURN_CODES))
    if "dlret" in table.columns:
        table = _with_delisting_returns(table)
    if "prc" in table.columns:
        table = _with_close(table)
    leading = ("symbol", "date", "ret", "ret_code", "dlret", "dlret_code", "close", "is_quote")
    chosen = [name for name in leading if name in table.columns]
    checked = schema.check(schema.Returns, table, LABEL)
    return checked.select(*chosen, pl.exclude(chosen)).sort("symbol", "date")


def crsp_prices(extract: FrameLike | str | Path) -> pl.DataFrame:
    """Read prices from a daily extract of CRSP, for `FilePrices` and `Market.load`.

    Parameters
    ----------
    extract : FrameLike, str or pathlib.Path
        As for `crsp_returns`, with ``PRC``, and where the extract has them ``VOL``, ``OPENPRC``, ``ASKHI`` and
        ``BIDLO``, in the newer format ``DlyVol``, ``DlyOpen``, ``DlyHigh`` and ``DlyLow``.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, close, adj_close, volume, delisted``, sorted. ``close`` is the absolute value of PRC, empty
        where it is 0. ``adj_close`` begins at the first close, and its returns are those of `crsp_returns`, delisting
        returns included; it is 0 after a total loss. ``delisted`` is true for securities with a delisting return.
        Where the extract has them also ``open``, ``high`` and ``low``, as traded like ``close``: empty where they are
        0, and on a day without a trade, on which CRSP gives the closing ask and bid in place of high and low.

    Raises
    ------
    DataError
        As `crsp_returns`.

    Notes
    -----
    Where a return is missing though the row before has a price, both closes are empty, so that no return is made up.
    Securities for `Market.load` are named by their PERMNO, with the exchange (``mic``).

    Examples
    --------
    >>> import marketimpact as mi
    >>> rows = {"PERMNO": [10107] * 2, "date": [20240102, 20240103], "RET": ["C", "0.10"], "PRC": [-20.0, 21.5]}
    >>> mi.crsp_prices(pl.DataFrame(rows)).select("close", "adj_close").rows()
    [(20.0, 20.0), (21.5, 22.0)]
    """
    table = _read(extract, ["permno", "date", "ret", "prc"])
    rows = crsp_returns(table)
    dlret = pl.col("dlret").is_not_null() if "dlret" in rows.columns else pl.lit(value=False)
    volume = numbers(rows["vol"], LABEL) if "vol" in rows.columns else pl.Series([None] * rows.height, dtype=pl.Float64)
    growth = (1.0 + pl.col("ret").fill_null(0.0)).cum_prod().over("symbol")
    has_close = pl.col("close").is_not_null()
    base = (pl.col("close") / growth).filter(has_close).first().over("symbol")
    follows = pl.col("close").shift(1).over("symbol").is_not_null()
    is_known = (has_close | dlret) & ~(pl.col("ret").is_null() & follows)
    return rows.select(
        "symbol",
        "date",
        pl.when(is_known).then("close").alias("close"),
        pl.when(is_known).then(base * growth).alias("adj_close"),
        pl.when(volume >= 0).then(volume).alias("volume"),
        dlret.any().over("symbol").alias("delisted"),
        *_session_prices(rows),
    )


def crsp_benchmark(extract: FrameLike | str | Path, index: str = "vwretd") -> pl.DataFrame:
    """Read the return of an index from a daily extract of CRSP, as a benchmark for `Market.from_returns`.

    Parameters
    ----------
    extract : FrameLike, str or pathlib.Path
        A daily extract with the index beside the securities, or the index file.
    index : str
        Column of the index: ``"vwretd"`` or ``"ewretd"`` (value- or equal-weighted, with dividends), ``"sprtrn"`` (S&P
        500), in any case.

    Returns
    -------
    polars.DataFrame
        ``date, ret``, one row per date, sorted.

    Raises
    ------
    DataError
        For an extract that cannot be read, a column that is absent, and a date with two different returns.

    Examples
    --------
    >>> import marketimpact as mi
    >>> rows = {"PERMNO": [10107, 14593], "date": [20240102] * 2, "RET": [0.01, 0.02], "VWRETD": [0.015] * 2}
    >>> mi.crsp_benchmark(pl.DataFrame(rows)).rows()
    [(datetime.date(2024, 1, 2), 0.015)]
    """
    column = str(index).lower()
    table = _read(extract, ["date", column])
    rows = pl.DataFrame([dates(table["date"], LABEL), numbers(table[column], LABEL).alias("ret")]).unique()
    several = rows.filter(pl.col("date").is_duplicated())
    if several.height:
        raise DataError(
            f"{LABEL} has more than one {column} on {several['date'].n_unique()} dates, the first "
            f"{several['date'].min()!s}. An index has one return a day: look for rows of other databases.",
            rows=several,
        )
    return rows.sort("date")


def _read(extract: FrameLike | str | Path, required: Sequence[str]) -> pl.DataFrame:
    """Read an extract of either format; stop where the delisting return would count twice."""
    table = read_extract(extract, LABEL, {}, ())
    if {"dlyret", "dlret"} <= set(table.columns):
        raise DataError(
            f"{LABEL} has both DlyRet, which includes the delisting return, and DLRET: it would count "
            "twice. Drop DLRET."
        )
    return read_extract(table, LABEL, NAMES, required)


def _keyed(table: pl.DataFrame) -> pl.DataFrame:
    """Put ``symbol`` and ``date`` in place of PERMNO and date."""
    symbols = identifiers(table["permno"], LABEL).alias("symbol")
    return table.drop("permno", "symbol", strict=False).with_columns(symbols, dates(table["date"], LABEL))


def _with_delisting_returns(table: pl.DataFrame) -> pl.DataFrame:
    """Combine the delisting return with the return of its row; stop where it is not the security's last."""
    table = table.with_columns(coded_numbers(table["dlret"], LABEL, DELISTING_LETTERS, RETURN_CODES))
    has_return = pl.col("ret").is_not_null() | pl.col("dlret").is_not_null()
    last = pl.col("date") == pl.col("date").filter(has_return).max().over("symbol")
    misplaced = table.filter(pl.col("dlret").is_not_null() & ~last)
    if misplaced.height:
        raise DataError(
            f"{LABEL} has a DLRET on {misplaced.height} rows that are not the last of their PERMNO, such as "
            f"{misplaced['symbol'][0]} on {misplaced['date'][0]}: it would be earned more than once. Join the "
            "delisting file by PERMNO and date (date = DLSTDT), not by PERMNO alone.",
            rows=misplaced,
        )
    _warn_of_missing_losses(table)
    both = (1.0 + pl.col("ret")) * (1.0 + pl.col("dlret")) - 1.0
    return table.with_columns(pl.coalesce(both, "ret", "dlret").alias("ret"))


def _session_prices(rows: pl.DataFrame) -> list[pl.Series]:
    """Read open, high and low where the extract has them; a price of 0, and one of a day without a trade, is none."""
    parsed = [numbers(rows[name], LABEL).alias(own) for name, own in SESSION_PRICES.items() if name in rows.columns]
    is_traded = ~rows["is_quote"].fill_null(value=False)
    return [pl.select(pl.when(is_traded & (price != 0.0)).then(price)).to_series() for price in parsed]


def _warn_of_missing_losses(table: pl.DataFrame) -> None:
    """Warn of delistings for performance without a return."""
    if "dlstcd" not in table.columns:
        return
    code = numbers(table["dlstcd"], LABEL)
    is_performance = (code == PERFORMANCE[0]) | code.is_between(*PERFORMANCE[1:])
    by_symbol = table.select("symbol", is_performance.alias("failed"), pl.col("dlret").is_not_null().alias("known"))
    flags = by_symbol.group_by("symbol").agg(pl.col("failed", "known").any())
    lost = flags.filter(pl.col("failed") & ~pl.col("known"))["symbol"].sort().to_list()
    if lost:
        warnings.warn(
            f"{LABEL}: {len(lost)} securities were delisted for performance (DLSTCD 500, 520 to 584) and have no "
            f"DLRET: {listed(lost, quoted=False)}. Their returns end before "
            "the loss; Shumway (1997) takes -30% for it.",
            MarketImpactWarning,
            stacklevel=4,
        )


def _with_close(table: pl.DataFrame) -> pl.DataFrame:
    """Put the absolute price and whether it is a quote in place of PRC; a price of 0 is none."""
    price = numbers(table["prc"], LABEL)
    close = pl.select(pl.when(price != 0.0).then(price.abs())).to_series()
    return table.drop("prc", "close", strict=False).with_columns(close.alias("close"), (price < 0.0).alias("is_quote"))
