"""Name exchanges by their market identifier code (MIC)."""

from __future__ import annotations

import polars as pl

__all__ = ["NAMES", "exchange", "named"]

#: MIC (ISO 10383) -> name.
NAMES = {
    "XNAS": "Nasdaq",
    "XNYS": "New York",
    "XASE": "NYSE American",
    "ARCX": "NYSE Arca",
    "BATS": "Cboe BZX",
    "XSHG": "Shanghai",
    "XSHE": "Shenzhen",
    "XHKG": "Hong Kong",
    "XTAI": "Taiwan",
    "ROCO": "Taipei Exchange",
    "XKRX": "Korea",
    "XKOS": "KOSDAQ",
    "XTKS": "Tokyo",
    "XAMS": "Amsterdam",
    "XPAR": "Paris",
    "XETR": "Xetra",
    "XLON": "London",
    "XSWX": "Zurich",
    "XTSE": "Toronto",
    "XASX": "Sydney",
    "XBOM": "Bombay",
    "XNSE": "National Exchange of India",
}


def exchange(mic: str | None) -> str:
    """Return name and code, such as ``Shanghai (XSHG)``: the code alone without a name, empty text without a code."""
    if mic is None:
        return ""
    return f"{NAMES[mic]} ({mic})" if mic in NAMES else mic


def named(mic: str) -> pl.Expr:
    """Replace a column of codes by names; codes without a name stay."""
    return pl.col(mic).replace(NAMES)
