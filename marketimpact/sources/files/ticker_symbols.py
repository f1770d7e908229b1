"""Convert symbols of other vendors to Yahoo symbols, the style of this package."""

from __future__ import annotations

import re

__all__ = ["ashare_symbol", "is_bare_number", "is_index_or_share", "market_symbol"]

#: Stooq's market -> Yahoo's suffix.
STOOQ = {"US": "", "HK": ".HK", "JP": ".T", "UK": ".L", "DE": ".DE"}
CHINESE = {"SH": ".SS", "SS": ".SS", "SZ": ".SZ", "BJ": ".BJ"}
#: First digits of a Chinese code -> exchange: shares, B shares and funds.
FIRST_DIGITS = (
    (r"60[0135]|68[89]|900|5[0168]", ".SS"),
    (r"00[0-4]|30[0-2]|200|1[568]|399", ".SZ"),
    (r"43|83|87|88|920", ".BJ"),
)


def market_symbol(written: str) -> str:
    """Convert a ticker of Yahoo or Stooq, or a file name made of one, to a Yahoo symbol.

    Examples
    --------
    >>> [market_symbol(name) for name in ("aapl.us", "981.HK", "6920.JP", "nvda_us_d", "2330.TW")]
    ['AAPL', '0981.HK', '6920.T', 'NVDA', '2330.TW']
    """
    name = written.strip().upper()
    market = re.fullmatch(rf"(.+)(?:\.({'|'.join(STOOQ)})|_({'|'.join(STOOQ)})_D)", name)
    if not market:
        return name
    ticker, suffix = market[1], market[2] or market[3]
    if suffix == "HK" and ticker.isdigit():
        ticker = ticker.zfill(4)
    return ticker + STOOQ[suffix]


def ashare_symbol(code: str) -> str | None:
    """Convert a mainland Chinese code, with or without exchange, to a Yahoo symbol; None if it is no code.

    Examples
    --------
    >>> [ashare_symbol(code) for code in ("600519", "000001", "sh000001", "300750.SZ", "920001", "1")]
    ['600519.SS', '000001.SZ', '000001.SS', '300750.SZ', '920001.BJ', None]
    """
    parts = re.fullmatch(r"(?:(SH|SZ|BJ)[._]?)?(\d{6})(?:[._](SH|SS|SZ|BJ))?", code.strip().upper(), flags=re.ASCII)
    if not parts:
        return None
    prefix, digits, suffix = parts.groups()
    exchanges = {CHINESE[mark] for mark in (prefix, suffix) if mark}
    if len(exchanges) > 1:
        return None
    if exchanges:
        return digits + exchanges.pop()
    return next((digits + exchange for pattern, exchange in FIRST_DIGITS if re.match(pattern, digits)), None)


def is_index_or_share(code: str) -> bool:
    """Return whether a code without exchange is a share in Shenzhen and an index of Shanghai, as 000001 is."""
    return bool(re.fullmatch(r"000\d{3}", code.strip(), flags=re.ASCII))


def is_bare_number(written: str) -> bool:
    """Return whether a name is six digits without an exchange: a code in China or in Korea."""
    return bool(re.fullmatch(r"\d{6}", written.strip(), flags=re.ASCII))
