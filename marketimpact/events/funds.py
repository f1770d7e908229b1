"""Recognise funds and indices: by the securities that name them, by what a table says of them, and by their symbols."""

from __future__ import annotations

import polars as pl

from marketimpact.events.catalogue import securities

__all__ = ["find_funds", "funds_by_security"]

#: Columns of securities that name an index or a fund.
FUND_COLUMNS = ("benchmark", "sector_proxy", "leg_benchmark")
#: Words in the role or name of a security that say it is a fund or index.
FUND_WORDS = r"(?i)\b(etfs?|etns?|funds?|ucits|index|indices|ishares|spdr)\b"
#: Symbols of widely held funds of the markets and sectors that chipmakers are in, by what they hold. Not complete.
WIDELY_HELD = {
    "large US firms": "SPY VOO IVV SPLG VTI ITOT SCHX RSP DIA OEF MGK VUG IWF SCHG VT ACWI URTH VEA VXUS",
    "Nasdaq-100": "QQQ QQQM QQQE QQEW TQQQ SQQQ ONEQ",
    "technology": "XLK VGT FTEC IYW IXN IGM RYT RSPT",
    "semiconductors": "SMH SOXX SOXQ XSD PSI FTXL SOXL SOXS USD",
    "emerging markets and Asia": "EEM IEMG VWO AAXJ AIA EWJ EWY EWT EWH EWG EWQ EWN",
    "China": "FXI MCHI GXC KWEB CQQQ ASHR KBA CNYA CHIX",
    "Hong Kong": "2800.HK 2828.HK 2823.HK 3033.HK 3067.HK 3032.HK 3088.HK 3191.HK",
    "Shanghai and Shenzhen": "510300.SS 510050.SS 510500.SS 588000.SS 588080.SS 588200.SS 512480.SS 512760.SS "
    "159995.SZ 159915.SZ 159919.SZ",
    "Taiwan": "0050.TW 0052.TW 006208.TW 00891.TW 00892.TW",
    "Korea and Japan": "069500.KS 091160.KS 1306.T 1321.T 2644.T",
}
_WIDELY_HELD = frozenset(symbol for symbols in WIDELY_HELD.values() for symbol in symbols.split())


def funds_by_security(known: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Map each security to its benchmark and its funds."""
    columns = [name for name in FUND_COLUMNS if name in known.columns]
    if not columns:
        return {}
    rows = known.select("symbol", *columns).rows()
    return {symbol: tuple(fund for fund in own if fund is not None) for symbol, *own in rows}


def find_funds(known: pl.DataFrame) -> frozenset[str]:
    """Collect funds and indices: named by the securities or by `mi.securities()`, called so, or widely held."""
    own = [*funds_by_security(known).values(), *funds_by_security(securities()).values()]
    named = {fund for funds in own for fund in funds}
    columns = [pl.col(name).cast(pl.String) for name in ("name", "role") if name in known.columns]
    called = [known.filter(column.str.contains(FUND_WORDS))["symbol"].to_list() for column in columns]
    return frozenset(named.union(_WIDELY_HELD, *called))
