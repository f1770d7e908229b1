"""Returns of events' securities and of donors on the same days, for counterfactuals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.factorize import factorize, split_at
from marketimpact.market.market import Market

__all__ = ["ReturnsByDay", "first_steps"]


@dataclass(frozen=True, eq=False)
class ReturnsByDay:
    """Returns of S securities on the D days on which any of them has a session.

    Attributes
    ----------
    rows : dict of str to int
        Symbol -> its row of `ret`.
    days : (D,) array of int
        Days since 1970-01-01, ascending.
    ret : (S, D) array
        Simple returns, fractions per session; NaN where missing.
    columns, sessions : lists of S arrays of int
        Columns of `ret` on which the exchange of each security has a session, and their numbers.
    """

    rows: dict[str, int]
    days: Ints
    ret: Floats
    columns: list[Ints]
    sessions: list[Ints]

    @classmethod
    def read(cls, market: Market, symbols: Iterable[str]) -> ReturnsByDay:
        """Read the returns of some securities of a market, once for all events."""
        securities = market.panel_securities["symbol"]
        taken = np.flatnonzero(securities.is_in(list(symbols)).to_numpy())
        panel = market.return_panel.take(taken, ("date", "ret")).load().to_frame(("session", "date", "ret"))
        lengths = market.panel_securities["n_sessions"].to_numpy()[taken]
        days = factorize(panel["date"])
        ret = np.full((len(taken), len(days.values)), np.nan)
        ret[np.repeat(np.arange(len(taken)), lengths), days.codes] = panel["ret"].cast(pl.Float64).to_numpy()
        ends = np.cumsum(lengths)
        return cls(
            {symbol: row for row, symbol in enumerate(securities.gather(taken).to_list())},
            days.values,
            ret,
            split_at(days.codes, ends),
            split_at(panel["session"].to_numpy(), ends),
        )

    def window(self, symbol: str, day0: int, window: tuple[int, int]) -> tuple[Ints, Ints]:
        """Return a security's sessions relative to day 0 inside a window, and their columns of `ret`."""
        row = self.rows[symbol]
        tau = self.sessions[row] - day0
        inside = (tau >= window[0]) & (tau <= window[1])
        return tau[inside], self.columns[row][inside]


def first_steps(market: Market, first: int, last: int) -> dict[str, str]:
    """Describe the first implausible return of each security that has one between two days since 1970-01-01."""
    inside = market.implausible.filter(pl.col("date").to_physical().is_between(first, last))
    steps = inside.unique("symbol", keep="first", maintain_order=True).select("symbol", "date", "ret")
    return {
        symbol: f"has a return of {ret:+,.1%} on {day}: correct it, or accept it in the market"
        for symbol, day, ret in steps.iter_rows()
    }
