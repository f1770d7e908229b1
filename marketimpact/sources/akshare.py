"""Read daily bars of mainland Chinese shares from frames of AkShare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from numbers import Integral
from types import MappingProxyType
from typing import Any, Literal

import polars as pl

from marketimpact.core.frames import is_frame, to_polars
from marketimpact.core.layouts import Layout
from marketimpact.core.python_columns import python_column
from marketimpact.core.text import listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.sources.files.price_rows import no_symbols_error, parse_rows, require_readable
from marketimpact.sources.files.ticker_symbols import ashare_symbol, is_index_or_share
from marketimpact.sources.files.vendor_formats import AKSHARE, require_format
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table, within

__all__ = ["AksharePrices"]

#: Shares per lot on the mainland exchanges.
LOT = 100.0
#: Names of a column of codes.
CODES = ("股票代码", "代码", "symbol", "code")
#: Columns are checked when the prices are read.
BARS = Layout((), "日期", reads_text=True)
ADJUSTMENTS = {
    "qfq": "Forward-adjusted (qfq), as of the day of the download: the latest prices are those traded.",
    "hfq": "Backward-adjusted (hfq): the first prices are those traded, volume times price is not turnover.",
    "none": "Not adjusted: returns of ex-dividend and split days are those of the quoted price.",
}
ADJUSTED_BY_DIFFERENCES = (
    "Eastmoney adjusts by adding and subtracting dividends, not by factors: the older the price, the more its "
    "returns differ from those of a shareholder."
)
#: Largest factor between turnover / (volume * close) and the unit's number of shares.
TOLERANCE = 10.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AksharePrices:
    """Daily bars from AkShare's functions, such as ``stock_zh_a_hist`` and ``stock_zh_a_daily``.

    Parameters
    ----------
    frames : FrameLike, or mapping of str to FrameLike
        By code, or one frame with a column of codes (``股票代码``, ``代码``, ``symbol`` or ``code``). Codes are six
        digits as text, with or without their exchange (``sh600519``, ``600519.SH``). ``000001`` without exchange
        is taken as the share in Shenzhen, with a note; Shanghai's index is ``sh000001``. Frames are copied.
    adjust : {"qfq", "hfq", "none"}
        The argument `adjust` with which the frames were downloaded (``""`` there is "none" here).
    volume_unit : {"lots", "shares"}, optional
        Unit of the volumes; lots of 100 are converted to shares. By default lots where columns are Chinese
        (Eastmoney's functions) and shares where they are English (Sina's). Unadjusted frames are checked
        against turnover where they have it.

    Raises
    ------
    SpecificationError
        If the adjustment is not given, or `frames` are not frames by code.
    DataError
        If codes are numbers, which lost their leading zeros.

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
        if not isinstance(self.adjust, str) or self.adjust not in ADJUSTMENTS:
            raise SpecificationError(
                f"adjust={self.adjust!r} is not an adjustment. Give the one of the download: 'qfq', 'hfq' or 'none' "
                "(AkShare's '')."
            )
        if self.volume_unit is not None and str(self.volume_unit) not in ("lots", "shares"):
            raise SpecificationError(
                f"volume_unit={self.volume_unit!r} is not a unit. Give 'lots' (of 100 shares) or 'shares'."
            )
        frames_by_code = self.frames if isinstance(self.frames, Mapping) else {"": self.frames}
        if not frames_by_code:
            raise SpecificationError("frames is empty, so there is nothing to read. Give {'600519': frame}.")
        for code in frames_by_code:
            _require_text_code(code)
        frames = {code: _as_polars(frame, code) for code, frame in frames_by_code.items()}
        object.__setattr__(self, "frames", MappingProxyType(frames))

    def __repr__(self) -> str:
        count = len(self.frames)
        return f"AksharePrices({count} frame{'s' if count > 1 else ''}, adjust={self.adjust!r})"

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Read prices of `symbols` from the frames.

        Parameters
        ----------
        symbols : sequence of str
            Yahoo symbols: ``600519.SS``, ``000001.SZ``, ``920001.BJ``.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            Volumes in shares; `unadjusted_close` where ``adjust="none"``. Notes give the adjustment and the unit
            of the volumes.

        Raises
        ------
        SpecificationError
            If no symbol is requested, or the bounds are not in order.
        DataError
            If a frame has another layout, a code is invalid, a row breaks the contract, or turnover
            contradicts the unit of the volumes.
        SourceError
            If no symbol has a row on the requested dates.
        """
        requested = check_symbols(symbols)
        check_range(first, last)
        source = repr(self)
        pieces, notes = [], dict.fromkeys([ADJUSTMENTS[self.adjust]])
        for code, frame in self.frames.items():
            rows, frame_notes = self._rows(frame, code)
            pieces.append(rows)
            notes |= dict.fromkeys(frame_notes)
        all_rows = pl.concat(pieces, how="diagonal")
        requested_rows = all_rows.filter(pl.col("symbol").is_in(requested))
        if requested_rows.is_empty():
            raise no_symbols_error(all_rows["symbol"].to_list(), requested, source)
        chosen = within(requested_rows, first, last)
        require_readable(chosen, source)
        self._require_positive_closes(chosen)
        if empty := sorted(set(requested_rows["symbol"]) - set(chosen["symbol"])):
            notes[f"Known, but without a row on the requested dates: {listed(empty)}."] = None
        frame = chosen.drop("unreadable")
        if self.adjust == "none":
            frame = frame.with_columns(unadjusted_close=pl.col("close"))
        return price_table(frame, requested=requested, source=source, notes=tuple(notes), listings=_listings(chosen))

    def _rows(self, frame: pl.DataFrame, key: str) -> tuple[pl.DataFrame, list[str]]:
        """Parse the rows of one frame, volumes in shares, with notes."""
        label = f"The frame of {key!r}" if key else "The frame"
        codes = next((name for name in CODES if name in frame.columns), None)
        if codes is None and not key:
            raise DataError(f"{label} has no column of codes ({', '.join(CODES)}). Give {{'600519': frame}}.")
        bars = frame.drop(name for name in CODES if name in frame.columns)
        vendor_format = require_format(bars.columns, label)
        codes_of_rows = (
            python_column("symbol", [key]).new_from_index(0, frame.height) if codes is None else frame[codes]
        )
        symbols, notes = _symbols(codes_of_rows, key, label)
        rows = parse_rows(vendor_format.translate(bars).with_columns(symbols), label)
        if "volume" not in rows.columns:
            return rows, notes
        unit = self.volume_unit or ("lots" if vendor_format is AKSHARE else "shares")
        size = LOT if unit == "lots" else 1.0
        if self.adjust == "none":
            _check_volume_unit(rows, bars, size, label)
        unit_note = f"Volume is taken to be in lots, and multiplied by {LOT:g}." if unit == "lots" else ""
        if vendor_format is AKSHARE and self.adjust != "none":
            notes.append(ADJUSTED_BY_DIFFERENCES)
        return rows.with_columns(pl.col("volume") * size), [*notes, *([unit_note] if unit_note else [])]

    def _require_positive_closes(self, requested_rows: pl.DataFrame) -> None:
        """Raise DataError for adjusted closes at or below zero."""
        not_positive = requested_rows.filter(pl.col("close") <= 0.0)
        if self.adjust != "none" and not_positive.height:
            raise DataError(
                f"{self!r} has {not_positive.height} closes at or below zero, "
                f"of {listed(sorted(set(not_positive['symbol'])))}: "
                "the adjustment subtracts dividends instead of scaling, so returns are undefined. Use Sina's prices "
                "(ak.stock_zh_a_daily), or unadjusted ones and the ex-dates.",
                counts={"close|min_exclusive": not_positive.height},
                rows=not_positive,
            )


def _require_text_code(code: Any) -> None:
    """Raise SpecificationError for a code that is not text, with a suggestion for a number."""
    if not isinstance(code, str):
        is_number = isinstance(code, Integral) and not isinstance(code, bool)
        advice = f"Give '{int(code):0>6}' if that is it." if is_number else "Give one of six digits, such as '600519'."
        raise SpecificationError(f"The code {code!r} is not text, so it may lack leading zeros. {advice}")


def _as_polars(frame: Any, code: str) -> pl.DataFrame:
    """Convert any frame to polars; raise SpecificationError for others."""
    where = f" of {code!r}" if code else ""
    if not is_frame(frame):
        raise SpecificationError(
            f"frames{where}: AksharePrices takes frames of polars, pandas or pyarrow, not {type(frame).__name__}."
        )
    return to_polars(frame, f"frames{where}", BARS)


def _symbols(codes_of_rows: pl.Series, key: str, label: str) -> tuple[pl.Series, list[str]]:
    """Convert codes to Yahoo symbols, with a note on codes that are also an index's."""
    if codes_of_rows.dtype != pl.String:
        raise DataError(
            f"{label}: codes have type {codes_of_rows.dtype}, and numbers lose leading zeros (000001 becomes 1). "
            "Read them as text, such as dtype={'股票代码': str}."
        )
    codes = codes_of_rows.unique().sort().to_list()
    known = {code: ashare_symbol(code) if code is not None else None for code in codes}
    if invalid := [code for code, symbol in known.items() if symbol is None]:
        raise DataError(
            f"{label}: {listed(invalid)} is no code of six digits in Shanghai, Shenzhen or Beijing. Read codes as "
            "text, so that they keep leading zeros, or add the exchange, such as sh600519."
        )
    if key and len(set(known.values()) | {ashare_symbol(key)}) > 1:
        raise DataError(f"{label} has rows of other codes: {listed(codes)}. Give each code its own frame.")
    shares = [code for code in codes if is_index_or_share(code)]
    note = f"Taken as shares in Shenzhen, not as indices of Shanghai (sh000...): {listed(shares)}."
    return codes_of_rows.replace_strict(known, return_dtype=pl.String).alias("symbol"), [note] if shares else []


def _check_volume_unit(rows: pl.DataFrame, bars: pl.DataFrame, size: float, label: str) -> None:
    """Raise DataError where turnover / (volume * close) is far from the unit's number of shares."""
    money = next((name for name in ("成交额", "amount") if name in bars.columns), None)
    if money is None or not bars[money].dtype.is_numeric():
        return
    frame = rows.with_columns(bars[money].cast(pl.Float64).alias("money"))
    traded = frame.filter(pl.col("volume") > 0.0, pl.col("close") > 0.0, pl.col("money") > 0.0)
    ratio = traded.select((pl.col("money") / pl.col("volume") / pl.col("close")).median()).item()
    if ratio is not None and not size / TOLERANCE < ratio < size * TOLERANCE:
        raise DataError(
            f"{label}: turnover over (volume times close) is about {ratio:.3g}, so volumes are not in units of "
            f"{size:g} shares. Set volume_unit to 'lots' or 'shares'."
        )


def _listings(chosen: pl.DataFrame) -> pl.DataFrame:
    """Add currency and time zone; B shares are quoted in US dollars in Shanghai, in Hong Kong dollars in Shenzhen."""
    symbol = pl.col("symbol")
    currency = (
        pl.when(symbol.str.contains(r"^900\d{3}\.SS$"))
        .then(pl.lit("USD"))
        .when(symbol.str.contains(r"^200\d{3}\.SZ$"))
        .then(pl.lit("HKD"))
        .otherwise(pl.lit("CNY"))
    )
    return chosen.select(symbol.unique().sort()).with_columns(currency=currency, time_zone=pl.lit("Asia/Shanghai"))
