"""Define the columns of a market's frames, and read the exchanges' clocks from its sessions."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.events.exchange_clocks import ExchangeClock

__all__ = [
    "exchange_clocks",
    "no_calendar_repairs",
    "no_fills",
    "no_securities",
    "no_sessions",
    "no_spans",
    "no_traded",
    "no_unpriced_sessions",
]

INSTANT = pl.Datetime("us", "UTC")


def no_securities() -> pl.DataFrame:
    """Return an empty frame of securities."""
    return pl.DataFrame(schema={"symbol": pl.String, "mic": pl.String, "benchmark": pl.String})


def no_sessions() -> pl.DataFrame:
    """Return an empty frame of sessions."""
    instants = dict.fromkeys(("open", "break_start", "break_end", "close"), INSTANT)
    return pl.DataFrame(schema={"mic": pl.String, "date": pl.Date, **instants, "exchange_time_zone": pl.String})


def no_calendar_repairs() -> pl.DataFrame:
    """Return an empty frame of calendar repairs."""
    return pl.DataFrame(schema={"mic": pl.String, "date": pl.Date, "action": pl.String, "detail": pl.String})


def no_unpriced_sessions() -> pl.DataFrame:
    """Return an empty frame of sessions without prices."""
    return pl.DataFrame(schema={"mic": pl.String, "date": pl.Date})


def no_spans() -> pl.DataFrame:
    """Return an empty frame of first and last dates."""
    return pl.DataFrame(schema={"symbol": pl.String, "first": pl.Date, "last": pl.Date})


def no_traded() -> pl.DataFrame:
    """Return an empty frame of closes not adjusted for dividends."""
    return pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date, "unadjusted_close": pl.Float64})


def no_fills() -> pl.DataFrame:
    """Return an empty frame of emptied closes."""
    return pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date, "close": pl.Float64})


def exchange_clocks(sessions: pl.DataFrame) -> dict[str, ExchangeClock]:
    """Read each exchange's session dates, closing instants and usual hours from `Market.sessions`."""
    midnight = pl.col("date").cast(INSTANT)
    hours = sessions.sort("mic", "date").select(
        "mic",
        "date",
        (pl.col("close").dt.epoch("s") / 3600.0).alias("instant"),
        ((pl.col("open") - midnight).dt.total_minutes() / 60).alias("opens"),
        ((pl.col("close") - midnight).dt.total_minutes() / 60).alias("closes"),
    )
    return {str(mic): _clock(part) for (mic,), part in hours.partition_by("mic", as_dict=True).items()}


def _clock(hours: pl.DataFrame) -> ExchangeClock:
    usual = hours.select(pl.col("opens", "closes").median()).fill_null(float("nan")).row(0)
    instants = hours["instant"].fill_null(float("nan")).to_numpy().astype(np.float64)
    return ExchangeClock(hours["date"].to_physical().to_numpy().astype(np.int64), instants, *usual)
