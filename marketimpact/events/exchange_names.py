"""What people call an exchange."""

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
    """Name and code, such as ``Shanghai (XSHG)``; the code alone where there is no name, nothing where no code."""
    if mic is None:
        return ""
    return f"{NAMES[mic]} ({mic})" if mic in NAMES else mic


def named(mic: str) -> pl.Expr:
    """The names for a column of codes; codes without a name stay."""
    return pl.col(mic).replace(NAMES)
