"""Recognise funds and indices by the securities that name them."""

from __future__ import annotations

import polars as pl

from marketimpact.events.catalogue import securities

__all__ = ["funds_by_security", "named_funds"]

#: Columns of securities that name an index or a fund.
FUND_COLUMNS = ("benchmark", "sector_proxy", "leg_benchmark")


def funds_by_security(known: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Map each security to its benchmark and its funds."""
    columns = [name for name in FUND_COLUMNS if name in known.columns]
    if not columns:
        return {}
    rows = known.select("symbol", *columns).rows()
    return {symbol: tuple(fund for fund in own if fund is not None) for symbol, *own in rows}


def named_funds(known: pl.DataFrame) -> frozenset[str]:
    """Collect the funds and indices that some securities, or those of `mi.securities()`, name."""
    own = [*funds_by_security(known).values(), *funds_by_security(securities()).values()]
    return frozenset(fund for funds in own for fund in funds)
