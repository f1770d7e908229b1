"""Read the columns of a market's return panel, each at most once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats, Ints
from marketimpact.market.panel import ReturnPanel
from marketimpact.market.session_returns import since_trade

__all__ = ["PanelColumns"]


class PanelColumns:
    """Columns of a return panel as frames and as arrays, and trade-to-trade returns computed from them.

    Attributes
    ----------
    return_panel : ReturnPanel
        The returns, in memory or on disk.
    """

    return_panel: ReturnPanel

    @property
    def panel(self) -> pl.DataFrame:
        """The return panel as a frame.

        ``symbol, mic, session, date, ret, market`` and one column per factor: one row per security
        and session of its exchange. `session` counts the exchange's sessions, `ret` and `market`
        are simple returns (fraction per session), null where a price is missing on the day or the
        session before. A market loaded from prices has ``ret_since_trade, close, volume`` too. Sorted by
        (symbol, session). A panel on disk is read anew each time.
        """
        return self.return_panel.to_frame()

    @property
    def panel_columns(self) -> tuple[str, ...]:
        """Names of the panel's columns."""
        return self.return_panel.columns

    @property
    def panel_securities(self) -> pl.DataFrame:
        """``symbol, mic, first_row, first_session, n_sessions, ...``: where the rows of each security begin."""
        return self.return_panel.securities

    @property
    def session_numbers(self) -> pl.DataFrame:
        """``mic, session, date``: the sessions in `panel`, by date."""
        return self.return_panel.sessions

    def select(self, *columns: str) -> pl.DataFrame:
        """Return some columns of `panel`; no others are made or read."""
        return self.return_panel.to_frame(columns)

    def column(self, name: str) -> Floats:
        """Return a column of `panel` or of `since_trade` as numbers; NaN where missing."""
        if name not in self._columns:
            in_panel = name in self.return_panel.columns
            self._columns[name] = (
                self.return_panel.values(name) if in_panel else self.since_trade[name].cast(pl.Float64).to_numpy()
            )
        return self._columns[name]

    def series(self, name: str) -> tuple[Floats, Ints]:
        """Return the numbers of a benchmark or factor, and where those of each security of `panel_securities` begin.

        Securities of one benchmark share one copy: it stays in the processor's cache.
        """
        if name not in self._series:
            in_panel = name in self.return_panel.columns
            own = self.return_panel.securities["first_row"]
            self._series[name] = self.return_panel.series(name) if in_panel else (self.column(name), own.to_numpy())
        return self._series[name]

    @cached_property
    def _columns(self) -> dict[str, Floats]:
        return {}

    @cached_property
    def _series(self) -> dict[str, tuple[Floats, Ints]]:
        return {}

    @cached_property
    def dates(self) -> tuple[Ints, Ints]:
        """Sessions as days since 1970-01-01, and where those of each security of `panel_securities` begin."""
        return self.return_panel.dates()

    @cached_property
    def days(self) -> Ints:
        """Date of every row of `panel` as days since 1970-01-01."""
        return self.select("date")["date"].to_physical().to_numpy().astype(np.int64)

    @cached_property
    def since_trade(self) -> pl.DataFrame:
        """``ret_since_trade, sessions_since_trade, market_since_trade``: trade-to-trade returns.

        Row for row beside `panel`; null on sessions without a trade. The first return of a security
        counts one session; `market_since_trade` is the sum of the benchmark's returns over the gap.
        """
        needed = ("symbol", "session", "ret", "market", "ret_since_trade")
        return since_trade(self.select(*(name for name in needed if name in self.panel_columns)))
