"""Simulated returns of twelve firms on 300 weekdays, with known betas; firms and dates of events repeat."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

N_FIRMS, N_DAYS = 12, 300
NAMES = [f"F{k:02}" for k in range(N_FIRMS)]


def weekdays(n: int = N_DAYS, first: date = date(2022, 1, 3)) -> list[date]:
    days = [first + timedelta(k) for k in range(2 * n)]
    return [day for day in days if day.weekday() < 5][:n]


DAYS = weekdays()


def index_returns(seed: int = 0, n: int = N_DAYS) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, n)


def firm_returns(index: np.ndarray, seed: int = 1, n_firms: int = N_FIRMS) -> np.ndarray:
    """(n_firms, days): beta 0.8, independent errors of 2% a day."""
    return 0.8 * index + np.random.default_rng(seed).normal(0.0, 0.02, (n_firms, len(index)))


def rows(ret: np.ndarray, days: list[date] | None = None, names: list[str] | None = None) -> pl.DataFrame:
    """``symbol, date, ret`` of an array (firms, days), NaN as empty cells."""
    days, names = days or DAYS, names or NAMES[: len(ret)]
    frame = pl.DataFrame({"symbol": np.repeat(names, len(days)), "date": list(days) * len(names), "ret": ret.ravel()})
    return frame.with_columns(pl.col("ret").fill_nan(None))


def series(ret: np.ndarray, days: list[date] | None = None) -> pl.DataFrame:
    return pl.DataFrame({"date": days or DAYS, "ret": ret})


def factors(seed: int = 2) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    names = ("mktrf", "smb", "hml", "mom", "rmw", "cma", "sox")
    rate = 1e-4 + 1e-6 * rng.normal(size=N_DAYS)
    return pl.DataFrame({"date": DAYS, **{name: rng.normal(0.0, 0.006, N_DAYS) for name in names}, "rf": rate})


def at(frame: pl.DataFrame, row: int, column: str, value: float | None) -> pl.DataFrame:
    """The frame with one cell changed."""
    here = pl.int_range(pl.len()) == row
    return frame.with_columns(pl.when(here).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column))


def events(days: tuple[int, ...] = (260, 275), names: list[str] | None = None) -> pl.DataFrame:
    listed = [(f"{day}:{name}", name, DAYS[day]) for day in days for name in (names or NAMES)]
    return pl.DataFrame(listed, schema=["event_id", "symbol", "date"], orient="row")
