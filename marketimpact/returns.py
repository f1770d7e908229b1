"""From returns as they are handed in to what a `Market` holds."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact import schema
from marketimpact.errors import DataError
from marketimpact.sources.protocol import fingerprint

__all__ = ["FROM_RETURNS", "of_returns"]

#: Stands for the exchange of such a market: its sessions are the benchmark's dates.
FROM_RETURNS = "SESSIONS"
#: Rows that are put in place at a time.
ROWS = 2**20
NO_REPAIRS = {"mic": pl.String, "date": pl.Date, "action": pl.String, "detail": pl.String}


def of_returns(returns: object, benchmark: object, factors: pl.DataFrame | None) -> dict[str, Any]:
    """What `Market.from_returns` is made of."""
    days = schema.check(schema.Benchmark, benchmark, "benchmark").select("date", "ret").sort("date")
    symbols, grid = _grid(returns, days["date"])
    sessions = days.select(pl.lit(FROM_RETURNS).alias("mic"), "date", *_no_clock())
    if factors is not None:
        days = days.join(factors, on="date", how="left", validate="1:1", maintain_order="left")
    names = [c for c in days.columns if c not in ("date", "ret")]
    session = np.tile(np.arange(days.height, dtype=np.uint32), len(symbols))
    panel = pl.DataFrame(
        {
            "symbol": symbols.gather(np.repeat(np.arange(len(symbols), dtype=np.uint32), days.height)).set_sorted(),
            "mic": pl.repeat(FROM_RETURNS, len(session), eager=True),
            "session": session.astype(np.int64),
            "date": days["date"].gather(session),
            "ret": pl.Series(grid.ravel()).fill_nan(None),
            "market": days["ret"].gather(session),
            **{name: days[name].gather(session) for name in names},
        }
    )
    return {
        "panel": panel,
        "securities": symbols.to_frame().with_columns(
            pl.lit(FROM_RETURNS).alias("mic"), pl.lit("benchmark").alias("benchmark")
        ),
        "sessions": sessions,
        "repairs": pl.DataFrame(schema=NO_REPAIRS),
        "spans": _extents(symbols, days["date"], ~np.isnan(grid)),
        "missing": (),
        "factors": tuple(names),
        "source": "returns handed in",
        "simulated": False,
        "fingerprint": _hashed(symbols, days, grid),
    }


def _grid(returns: object, dates: pl.Series) -> tuple[pl.Series, NDArray[np.float64]]:
    """The symbols, sorted, and the returns by symbol and date, (S, T), NaN where there is none."""
    # two rows of one symbol and date show when they are put in place, which takes far less memory than a look before
    try:
        frame = schema.check(schema.ReturnRows, returns, "returns").select("symbol", "date", "ret")
    except DataError:
        frame = schema.check(schema.Returns, returns, "returns")  # says all that is wrong at once
    symbols = frame["symbol"].unique().sort()
    days = dates.to_physical().to_numpy()
    grid, seen = np.full((len(symbols), len(days)), np.nan), np.zeros((len(symbols), len(days)), dtype=bool)
    strangers, inside = [], 0
    for part in frame.iter_slices(ROWS):
        day = np.searchsorted(days, part["date"].to_physical().to_numpy())
        known = days[np.minimum(day, len(days) - 1)] == part["date"].to_physical().to_numpy()
        strangers.append(part.filter(~known).drop_nulls("ret"))
        row = part["symbol"].cast(pl.Enum(symbols)).to_physical().to_numpy()[known]
        grid[row, day[known]] = part["ret"].to_numpy()[known]
        seen[row, day[known]] = True
        inside += int(known.sum())
    if seen.sum() < inside:
        schema.check(schema.Returns, returns, "returns")  # refuses
    _refuse(pl.concat(strangers))
    return symbols, grid


def _refuse(strangers: pl.DataFrame) -> None:
    if strangers.height:
        raise DataError(
            f"returns has {strangers.height} rows on dates that the benchmark lacks, the first on "
            f"{strangers['date'].min()!s}: the benchmark's dates are the sessions. Give it those dates "
            "(an empty ret is allowed), or drop the rows.",
            rows=strangers,
        )


def _extents(symbols: pl.Series, dates: pl.Series, held: NDArray[np.bool_]) -> pl.DataFrame:
    """``symbol, first, last``: dates of each symbol's first and last return; `held`, (S, T)."""
    first, last = held.argmax(axis=1), held.shape[1] - 1 - held[:, ::-1].argmax(axis=1)
    frame = pl.DataFrame({"symbol": symbols, "first": dates.gather(first), "last": dates.gather(last)})
    return frame.filter(pl.Series(held.any(axis=1)))


def _no_clock() -> list[pl.Expr]:
    instant = pl.Datetime("us", "UTC")
    clock = [pl.lit(None, dtype=instant).alias(c) for c in ("open", "break_start", "break_end", "close")]
    return [*clock, pl.lit(None, dtype=pl.String).alias("exchange_time_zone")]


def _hashed(symbols: pl.Series, days: pl.DataFrame, grid: NDArray[np.float64]) -> str:
    """sha256 of the content; absent rows and empty cells are the same."""
    digest = hashlib.sha256((fingerprint(symbols.to_frame()) + fingerprint(days)).encode())
    digest.update(np.ascontiguousarray(grid, dtype="<f8").data)
    return digest.hexdigest()
