"""Daily bars of mainland Chinese shares as AkShare gives them, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Literal

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources.files.price_rows import no_symbols_error, parse_rows, require_readable
from marketimpact.sources.files.ticker_symbols import ashare_symbol, is_index_or_share
from marketimpact.sources.files.vendor_formats import AKSHARE, normalise_name, require_format
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table, within

__all__ = ["AksharePrices"]

LOT = 100.0
CODES = ("股票代码", "代码", "symbol", "code")
ADJUSTMENTS = {
    "qfq": "Forward-adjusted (qfq), as of the day of the download: the latest prices are those traded.",
    "hfq": "Backward-adjusted (hfq): the first prices are those traded, volume times price is not turnover.",
    "none": "Not adjusted: returns of ex-dividend and split days are those of the quoted price.",
}
ADJUSTED_BY_DIFFERENCES = (
    "Eastmoney adjusts by adding and subtracting dividends, not by factors: the further from the anchor, the "
    "more its returns differ from those of a holder."
)
#: How far turnover over (volume times close) may be from what the unit says, as a factor.
TOLERANCE = 10.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AksharePrices:
    """Daily bars from AkShare's functions, such as ``stock_zh_a_hist`` and ``stock_zh_a_daily``.

    Parameters
    ----------
    frames : polars.DataFrame or pandas.DataFrame, or mapping of str to either
        By code, or one frame with a column of codes (``股票代码``, ``代码``, ``symbol`` or ``code``). Codes are six
        digits as text, with or without their exchange (``sh600519``, ``600519.SH``). A bare ``000001`` is taken
        for the share in Shenzhen, which a note says; Shanghai's index is ``sh000001``. Frames are copied.
    adjust : {"qfq", "hfq", "none"}
        The `adjust` that the frames were asked with (``""`` there is "none" here); frames do not say it.
    volume_unit : {"lots", "shares"}, optional
        Unit of the volumes; lots of 100 are converted to shares. By default lots where columns are Chinese
        (Eastmoney's functions) and shares where they are English (Sina's). Unadjusted frames that have turnover
        are refused where it contradicts the unit.

    Raises
    ------
    SpecificationError
        If the adjustment is not stated, or `frames` are no frames by code.
    DataError
        If codes are numbers, which have lost their zeros.

    Examples
    --------
    >>> bars = pl.DataFrame({"日期": ["2024-01-02"], "开盘": [8.0], "收盘": [8.1], "成交量": [5120]})
    >>> table = AksharePrices({"688981": bars}, adjust="qfq").read(["688981.SS"])
    >>> table.frame.select("symbol", "close", "volume").row(0)
    ('688981.SS', 8.1, 512000.0)
    """

    frames: Any
    adjust: Literal["qfq", "hfq", "none"]
    volume_unit: Literal["lots", "shares"] | None = None

    def __post_init__(self) -> None:
        if self.adjust not in ADJUSTMENTS:
            raise SpecificationError(
                f"adjust={self.adjust!r}: say how the frames were asked for, as 'qfq', 'hfq' or 'none' (AkShare's '')."
            )
        if self.volume_unit not in (None, "lots", "shares"):
            raise SpecificationError(f"volume_unit={self.volume_unit!r} must be 'lots' (of 100) or 'shares'.")
        given = self.frames if isinstance(self.frames, Mapping) else {"": self.frames}
        if not given:
            raise SpecificationError("frames is empty: there is nothing to read. Give {'600519': frame}.")
        wrong = [code for code in given if not isinstance(code, str)]
        if wrong:
            raise SpecificationError(
                f"The code {wrong[0]!r} is no text. Write '{wrong[0]:0>6}', if that is what it is."
            )
        kept = {code: _as_polars(frame, code) for code, frame in given.items()}
        object.__setattr__(self, "frames", MappingProxyType(kept))

    def __repr__(self) -> str:
        count = len(self.frames)
        return f"AksharePrices({count} frame{'s' if count > 1 else ''}, adjust={self.adjust!r})"

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Prices of `symbols` from the frames.

        Parameters
        ----------
        symbols : sequence of str
            As Yahoo writes them: ``600519.SS``, ``000001.SZ``, ``920001.BJ``.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            Volumes in shares; `unadjusted_close` where ``adjust="none"``. The notes say the adjustment and the
            unit of the volumes.

        Raises
        ------
        SpecificationError
            If no symbol is asked for, or the bounds enclose nothing.
        DataError
            If a frame is of another layout, a code is no code, a row breaks the rules, or turnover
            contradicts the unit of the volumes.
        SourceError
            If no symbol has a row on the dates asked for.
        """
        asked = check_symbols(symbols)
        check_range(first, last)
        source = repr(self)
        pieces, notes = [], dict.fromkeys([ADJUSTMENTS[self.adjust]])
        for code, frame in self.frames.items():
            rows, said = self._rows(frame, code)
            pieces.append(rows)
            notes |= dict.fromkeys(said)
        every = pl.concat(pieces, how="diagonal")
        ours = every.filter(pl.col("symbol").is_in(asked))
        if ours.is_empty():
            raise no_symbols_error(every["symbol"].to_list(), asked, source)
        require_readable(ours, source)
        self._refuse_below_zero(ours)
        chosen = within(ours, first, last)
        if empty := sorted(set(ours["symbol"]) - set(chosen["symbol"])):
            notes[f"Known, but without a row on the dates asked for: {listed(empty)}."] = None
        frame = chosen.drop("unreadable")
        if self.adjust == "none":
            frame = frame.with_columns(unadjusted_close=pl.col("close"))
        return price_table(frame, asked=asked, source=source, notes=tuple(notes), listings=_listings(chosen))

    def _rows(self, frame: pl.DataFrame, key: str) -> tuple[pl.DataFrame, list[str]]:
        """Typed rows of one frame, volumes in shares, and what a reader should know."""
        what = f"The frame of {key!r}" if key else "The frame"
        codes = next((name for name in CODES if name in frame.columns), None)
        if codes is None and not key:
            raise DataError(f"{what} has no column of codes ({', '.join(CODES)}). Give {{'600519': frame}}.")
        bars = frame.drop(name for name in CODES if name in frame.columns)
        dialect = require_format(bars.columns, what)
        written = pl.Series("symbol", [key] * frame.height, dtype=pl.String) if codes is None else frame[codes]
        symbols, notes = _symbols(written, key, what)
        renamed = {
            name: dialect.columns[normalise_name(name)]
            for name in bars.columns
            if normalise_name(name) in dialect.columns
        }
        rows = parse_rows(bars.select(list(renamed)).rename(renamed).with_columns(symbols), what)
        if "volume" not in rows.columns:
            return rows, notes
        unit = self.volume_unit or ("lots" if dialect is AKSHARE else "shares")
        size = LOT if unit == "lots" else 1.0
        if self.adjust == "none":
            _check_volume_unit(rows, bars, size, what)
        told = f"Volume is taken to be in lots, and multiplied by {LOT:g}." if unit == "lots" else ""
        if dialect is AKSHARE and self.adjust != "none":
            notes.append(ADJUSTED_BY_DIFFERENCES)
        return rows.with_columns(pl.col("volume") * size), [*notes, *([told] if told else [])]

    def _refuse_below_zero(self, ours: pl.DataFrame) -> None:
        wrong = ours.filter(pl.col("close") <= 0.0)
        if self.adjust != "none" and wrong.height:
            raise DataError(
                f"{self!r} has {wrong.height} closes at or below zero, of {listed(sorted(set(wrong['symbol'])))}: "
                "the adjustment subtracts dividends instead of scaling. Such prices have no returns. Take Sina's "
                "(ak.stock_zh_a_daily), or unadjusted ones and the ex-dates.",
                counts={"close|min_exclusive": wrong.height},
                rows=wrong,
            )


def _as_polars(frame: Any, code: str) -> pl.DataFrame:
    """A frame of ours from polars' or pandas'; an index with a name becomes a column."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if not (type(frame).__module__.startswith("pandas") and hasattr(frame, "columns")):
        where = f" of {code!r}" if code else ""
        raise SpecificationError(
            f"frames{where}: AksharePrices takes polars or pandas frames, not {type(frame).__name__}."
        )
    table = frame.reset_index() if frame.index.name else frame
    # Not pl.from_pandas, which takes pyarrow for columns of text.
    return pl.DataFrame([_column(str(name), table[name]) for name in table.columns])


def _column(name: str, values: Any) -> pl.Series:
    plain = values.astype(object).where(values.notna(), None).tolist()
    kinds = {type(value) for value in plain if value is not None}
    if len(kinds) > 1 and not all(issubclass(kind, int | float) for kind in kinds):
        return pl.Series(name, [None if value is None else str(value) for value in plain], dtype=pl.String)
    return pl.Series(name, plain, strict=False)


def _symbols(written: pl.Series, key: str, what: str) -> tuple[pl.Series, list[str]]:
    """The codes in Yahoo's style, and a note where one is an index's as well."""
    if written.dtype != pl.String:
        raise DataError(
            f"{what}: codes are of type {written.dtype}. As numbers they lost their zeros: 1 is 000001, the bank in "
            "Shenzhen or the index of Shanghai. Read them as text, such as dtype={'股票代码': str}."
        )
    codes = written.unique().sort().to_list()
    known = {code: ashare_symbol(code) if code is not None else None for code in codes}
    if strange := [code for code, symbol in known.items() if symbol is None]:
        raise DataError(
            f"{what}: {listed(strange)} is no code of six digits in Shanghai, Shenzhen or Beijing. A code that lost "
            "its zeros cannot be told from others; one of an unusual kind takes its exchange, such as sh600519."
        )
    if key and len(set(known.values()) | {ashare_symbol(key)}) > 1:
        raise DataError(f"{what} holds rows of other codes: {listed(codes)}. Give each its own frame.")
    shares = [code for code in codes if is_index_or_share(code)]
    note = f"Taken for shares in Shenzhen, not for indices of Shanghai (sh000...): {listed(shares)}."
    return written.replace_strict(known, return_dtype=pl.String).alias("symbol"), [note] if shares else []


def _check_volume_unit(rows: pl.DataFrame, bars: pl.DataFrame, size: float, what: str) -> None:
    """Turnover over (volume times close) is the size of the unit, more or less."""
    money = next((name for name in ("成交额", "amount") if name in bars.columns), None)
    if money is None or not bars[money].dtype.is_numeric():
        return
    frame = rows.with_columns(bars[money].cast(pl.Float64).alias("money"))
    traded = frame.filter(pl.col("volume") > 0.0, pl.col("close") > 0.0, pl.col("money") > 0.0)
    ratio = traded.select((pl.col("money") / pl.col("volume") / pl.col("close")).median()).item()
    if ratio is not None and not size / TOLERANCE < ratio < size * TOLERANCE:
        raise DataError(
            f"{what}: turnover over (volume times close) is about {ratio:.3g}, so volumes are not in units of {size:g} "
            "shares. Say volume_unit='lots' or 'shares'."
        )


def _listings(chosen: pl.DataFrame) -> pl.DataFrame:
    """Shares of class B are quoted in dollars, US in Shanghai and Hong Kong in Shenzhen."""
    symbol = pl.col("symbol")
    currency = (
        pl.when(symbol.str.contains(r"^900\d{3}\.SS$"))
        .then(pl.lit("USD"))
        .when(symbol.str.contains(r"^200\d{3}\.SZ$"))
        .then(pl.lit("HKD"))
        .otherwise(pl.lit("CNY"))
    )
    return chosen.select(symbol.unique().sort()).with_columns(currency=currency, time_zone=pl.lit("Asia/Shanghai"))
