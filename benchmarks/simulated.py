"""Simulate panels and events for the benchmarks: invented returns, firms and dates that repeat."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ESTIMATION, WINDOW = (-250, -11), (-5, 5)
#: No event before this session: a package wants 256 sessions up to day 0, estimation and event window together.
FIRST_EVENT = 256


def business_days(number: int) -> pl.Series:
    """Return the first weekdays from 1990 on."""
    days = pl.date_range(date(1990, 1, 1), date(2030, 1, 1), "1d", eager=True)
    return days.filter(days.dt.weekday() <= 5).head(number)


@dataclass(frozen=True)
class Panel:
    """Returns (sessions x firms, fractions), benchmark (sessions,), and firm and session of each event."""

    returns: Any
    market: Any
    firm: Any
    session: Any

    def frames(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Make long frames of returns, benchmark and events, as a user has them; missing days are rows left out."""
        sessions, firms = self.returns.shape
        days = business_days(sessions)
        symbols = pl.Series([f"S{n:05d}" for n in range(firms)])
        long = pl.DataFrame(
            {
                "date": days.gather(np.tile(np.arange(sessions), firms)),
                "symbol": symbols.gather(np.repeat(np.arange(firms), sessions)),
                "ret": self.returns.T.ravel(),
            }
        ).filter(pl.col("ret").is_not_nan())
        events = pl.DataFrame(
            {
                "event_id": [f"e{n:07d}" for n in range(len(self.firm))],
                "symbol": symbols.gather(self.firm),
                "date": days.gather(self.session),
            }
        )
        return long, pl.DataFrame({"date": days, "ret": self.market}), events

    def part(self, rows: Any) -> Panel:
        """Take some of the events, with the returns of their firms and no others."""
        firms, firm = np.unique(self.firm[rows], return_inverse=True)
        return Panel(self.returns[:, firms], self.market, firm, self.session[rows])

    def of_few_firms(self, number: int) -> Any:
        """Select rows of about so many events, all those of some firms."""
        share = min(1.0, number / len(self.firm))
        return np.flatnonzero(self.firm < max(1, round(share * self.returns.shape[1])))

    def of_few_dates(self, number: int) -> Any:
        """Select rows of about so many events, all those of some dates, two dates at least."""
        dates = list(dict.fromkeys(self.session.tolist()))
        each = len(self.firm) / len(dates)
        return np.flatnonzero(np.isin(self.session, dates[: max(2, int(number / each))]))

    def save(self, path: Path) -> None:
        """Save every array under a name, readable with numpy alone."""
        sessions, firms = self.returns.shape
        np.savez(
            path,
            returns=self.returns,
            market=self.market,
            firm=self.firm,
            session=self.session,
            dates=business_days(sessions).to_numpy().astype("datetime64[D]"),
            symbols=np.array([f"S{n:05d}" for n in range(firms)]),
        )


def panel(events: int, *, missing: float = 0.0, sessions: int = 2500, seed: int = 6) -> Panel:
    """Simulate `events` events on dates that each hit 25 firms or more; `missing` is the share of days left out."""
    rng = np.random.default_rng(seed)
    firms, each = max(50, events // 100), max(25, events // 2000)
    market = rng.normal(0.0003, 0.01, sessions)
    returns = rng.normal(0.0, 0.02, (sessions, firms)) + np.outer(market, rng.uniform(0.5, 1.5, firms))
    returns[rng.random(returns.shape) < missing] = np.nan
    dates = rng.choice(np.arange(FIRST_EVENT, sessions - 6), -(-events // each), replace=False)
    firm = np.concatenate([rng.permutation(firms)[:each] for _ in dates])[:events]
    return Panel(returns, market, firm, np.repeat(dates, each)[:events])
