"""Read daily extracts of Compustat: prices adjusted for splits and dividends by its factors."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike
from marketimpact.core.text import listed
from marketimpact.errors import DataError
from marketimpact.sources.files.database_extracts import dates, identifiers, numbers, read_extract
from marketimpact.sources.files.price_rows import type_error
from marketimpact.sources.protocol import BARS

__all__ = ["compustat_prices"]

LABEL = "the Compustat extract"
#: Digits of a GVKEY; a program that reads it as a number drops the zeros in front.
GVKEY_DIGITS = 6
NEEDED = ("gvkey", "datadate", "prccd", "ajexdi")
#: Further columns that are read -> column of prices.
NUMBERS = {"cshtrd": "volume", "prcod": "open", "prchd": "high", "prcld": "low"}


def compustat_prices(extract: FrameLike | str | Path) -> pl.DataFrame:
    """Read prices from a daily extract of Compustat (``secd`` or ``g_secd``), for `FilePrices` and `Market.load`.

    Parameters
    ----------
    extract : FrameLike, str or pathlib.Path
        ``gvkey, datadate, prccd, ajexdi`` and, where the extract has them, ``iid, trfd, cshtrd, curcdd, prcod, prchd,
        prcld``, as a frame or as a CSV, Parquet or Excel file; upper or lower case.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, close, adj_close`` and, where they are known, ``volume``, ``currency``, ``open``, ``high`` and
        ``low``, sorted. The symbol is the GVKEY with six digits and, where there is one, the issue: ``001690.01``.
        ``close`` is PRCCD, as traded, like open, high and low; ``adj_close`` is ``PRCCD / AJEXDI * TRFD``, whose
        returns include dividends. Further columns are kept.

    Raises
    ------
    DataError
        For an extract that cannot be read, a column that is absent, a repeated issue and date, a factor that is not
        above zero, and an issue that has TRFD on some rows only.

    Notes
    -----
    An issue without any TRFD has paid no dividend: its factor is 1. Without the column, returns leave dividends out.
    Compustat has no delisting returns.

    Examples
    --------
    >>> import marketimpact as mi
    >>> rows = {"gvkey": [1690], "iid": ["01"], "datadate": ["2024-01-02"], "prccd": [185.64], "ajexdi": [1.0]}
    >>> mi.compustat_prices(pl.DataFrame(rows)).select("symbol", "adj_close").row(0)
    ('001690.01', 185.64)
    """
    table = read_extract(extract, LABEL, {}, NEEDED)
    symbols = identifiers(table["gvkey"], LABEL, digits=GVKEY_DIGITS)
    if "iid" in table.columns:
        issues = _issues(table["iid"])
        symbols = pl.select(pl.format("{}.{}", symbols, issues)).to_series()
    rows = table.drop("gvkey", "iid", "datadate", "symbol", "date", strict=False).with_columns(
        symbols.alias("symbol"), dates(table["datadate"], LABEL).alias("date")
    )
    rows = rows.with_columns(_factors(rows)).with_columns(numbers(rows["prccd"], LABEL).alias("close"))
    rows = rows.with_columns((pl.col("close") / pl.col("ajexdi") * pl.col("trfd")).alias("adj_close"))
    parsed = [numbers(rows[name], LABEL).alias(own) for name, own in NUMBERS.items() if name in rows.columns]
    rows = rows.with_columns(parsed)
    rows = rows.rename({"curcdd": "currency"}, strict=False)
    names = ("symbol", "date", "close", "adj_close", "volume", "currency", *BARS)
    leading = [c for c in names if c in rows.columns]
    used = {"prccd", "ajexdi", "trfd", *NUMBERS}
    # the contract adds the columns that are absent, as empty ones
    checked = schema.check(schema.Prices, rows, LABEL).select(rows.columns)
    return checked.select(*leading, pl.exclude(*leading, *used)).sort("symbol", "date")


def _issues(iid: pl.Series) -> pl.Series:
    """Write issues with two digits, as ``01``; those of ADRs and others have letters."""
    if not (iid.dtype.is_numeric() or isinstance(iid.dtype, pl.String | pl.Categorical | pl.Enum)):
        raise type_error(iid, "text", LABEL)
    texts = iid.cast(pl.Int64).cast(pl.String) if iid.dtype.is_numeric() else iid.cast(pl.String).str.strip_chars()
    if texts.null_count():
        raise DataError(f"{LABEL}: iid is empty in {texts.null_count()} rows. Fill it in, or drop these rows.")
    return pl.select(pl.when(texts.str.contains(r"^\d$")).then(pl.format("0{}", texts)).otherwise(texts)).to_series()


def _factors(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the factors of splits and dividends, 1 for issues that never paid; refuse those that cannot be."""
    splits = numbers(rows["ajexdi"], LABEL)
    has_dividends = "trfd" in rows.columns
    paid = numbers(rows["trfd"], LABEL) if has_dividends else pl.Series([1.0] * rows.height, dtype=pl.Float64)
    table = pl.DataFrame([rows["symbol"], rows["date"], splits.alias("ajexdi"), paid.alias("trfd")])
    has_price = numbers(rows["prccd"], LABEL).is_not_null()
    n_known = pl.col("trfd").count().over("symbol")
    partly = table.filter(pl.col("trfd").is_null() & (n_known > 0) & has_price)
    wrong = table.filter(
        has_price & ~((pl.col("ajexdi") > 0) & (pl.col("trfd").fill_null(1.0) > 0)).fill_null(value=False)
    )
    for name, broken, why in (
        ("trfd", partly, "is empty on some rows of an issue and not on others, so its returns would jump"),
        ("ajexdi or trfd", wrong, "is empty or not above zero"),
    ):
        if broken.height:
            raise DataError(
                f"{LABEL}: {name} {why}: {broken.height} rows of {listed(broken['symbol'].unique().sort().to_list())}. "
                "Fill it in, or drop these rows.",
                rows=broken,
            )
    return table.select("ajexdi", pl.col("trfd").fill_null(1.0))
