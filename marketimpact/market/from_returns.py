"""From returns as they are handed in to what a `Market` holds."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import schema
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.fingerprint import fingerprint
from marketimpact.errors import DataError
from marketimpact.market.factors import check_factors
from marketimpact.market.grid_panel import GridPanel

__all__ = ["FROM_RETURNS", "fields_from_returns"]


#: Stands for the exchange of such a market: its sessions are the benchmark's dates.
FROM_RETURNS = "SESSIONS"
#: Rows whose symbols are told apart at a time, and rows that are put in place at a time.
NAMED, PLACED = 2**20, 2**17
#: From so many rows of one symbol after another, in the mean, its name is looked up once and not row by row.
RUN = 8
NO_REPAIRS = {"mic": pl.String, "date": pl.Date, "action": pl.String, "detail": pl.String}


def fields_from_returns(returns: object, benchmark: object, factors: pl.DataFrame | None) -> dict[str, Any]:
    """What `Market.from_returns` is made of."""
    factors = check_factors(factors)
    days = schema.check(schema.Benchmark, benchmark, "benchmark").select("date", "ret").sort("date")
    symbols, ret = _grid(returns, days["date"])
    sessions = days.select(pl.lit(FROM_RETURNS).alias("mic"), "date", *_no_clock())
    if factors is not None:
        days = days.join(factors, on="date", how="left", validate="1:1", maintain_order="left")
    return {
        "return_panel": GridPanel(symbols, days, ret, FROM_RETURNS),
        "securities": symbols.to_frame().with_columns(
            pl.lit(FROM_RETURNS).alias("mic"), pl.lit("benchmark").alias("benchmark")
        ),
        "sessions": sessions,
        "repairs": pl.DataFrame(schema=NO_REPAIRS),
        "spans": _extents(symbols, days["date"], ret),
        "missing": (),
        "factors": tuple(days.columns[2:]),
        "source": "returns handed in",
        "simulated": False,
        "fingerprint": _hashed(symbols, days, ret),
    }


def _grid(returns: object, dates: pl.Series) -> tuple[pl.Series, Floats]:
    """The symbols, sorted, and the returns by symbol and date, (S, T), NaN where there is none."""
    # two rows of one symbol and date show when they are put in place, which takes far less memory than a look before
    try:
        frame = schema.check(schema.ReturnRows, returns, "returns").select("symbol", "date", "ret")
    except DataError:
        frame = schema.check(schema.Returns, returns, "returns")  # says all that is wrong at once
    heads = _heads(frame["symbol"])
    symbols, places = _places(frame["symbol"] if heads is None else frame["symbol"].gather(heads))
    if heads is not None and _whole(frame, heads, symbols, dates):
        ret = _blocks(frame["ret"], places, len(dates))
    else:
        if heads is not None:
            places = np.repeat(places, np.diff(heads, append=frame.height))
        ret, strangers, twice = _scattered(frame, places, len(symbols), dates)
        if twice:
            schema.check(schema.Returns, returns, "returns")  # refuses
        _refuse(strangers)
    ret.flags.writeable = False
    return symbols, ret


def _heads(names: pl.Series) -> Ints | None:
    """Rows whose symbol is not that of the row before; None where there are too many to gain by it."""
    heads = [np.zeros(1, dtype=np.int64)]
    for start in range(0, len(names), NAMED):
        part = names.slice(max(start - 1, 0), NAMED + (start > 0))
        new = (part.slice(1) != part.slice(0, len(part) - 1)).arg_true().to_numpy()
        if len(new) * RUN > len(part):
            return None
        heads.append(new + max(start, 1))
    return np.concatenate(heads).astype(np.int64)


def _places(names: pl.Series) -> tuple[pl.Series, NDArray[np.uint32]]:
    """The symbols, sorted, and the place of each name among them."""
    known, found = names.head(0), []
    for start in range(0, len(names), NAMED):
        part = names.slice(start, NAMED)
        codes = part.cast(pl.Enum(known), strict=False)
        if codes.null_count():
            known = known.append(part.filter(codes.is_null()).unique())
            codes = part.cast(pl.Enum(known))
        found.append(codes.to_physical().to_numpy())
    order = known.arg_sort()
    place = np.empty(len(known), dtype=np.uint32)
    place[order.to_numpy()] = np.arange(len(known))
    # names written anew: those gathered from a column keep all its text in memory
    symbols = pl.Series("symbol", known.gather(order).to_list(), dtype=pl.String)
    return symbols, np.concatenate([place[codes] for codes in found])


def _whole(frame: pl.DataFrame, heads: Ints, symbols: pl.Series, dates: pl.Series) -> bool:
    """Whether the rows are one block per symbol, each of all dates in order."""
    length = len(dates)
    if frame.height != len(heads) * length or len(heads) != len(symbols) or (heads % length).any():
        return False
    days, rows = dates.to_physical().to_numpy(), max(PLACED // length, 1) * length
    parts = (part["date"].to_physical().to_numpy() for part in frame.select("date").iter_slices(rows))
    return all((part.reshape(-1, length) == days).all() for part in parts)


def _blocks(ret: pl.Series, places: NDArray[np.uint32], length: int) -> Floats:
    """Returns that come in one block per symbol, (S, T); a copy: polars may read an array that is written again."""
    grid = np.empty((len(places), length))
    step = max(PLACED // length, 1)
    for start in range(0, len(places), step):
        part = ret.slice(start * length, step * length).to_numpy()
        grid[places[start : start + step]] = part.reshape(-1, length)
    return grid


def _scattered(
    frame: pl.DataFrame, places: NDArray[np.uint32], n: int, dates: pl.Series
) -> tuple[Floats, pl.DataFrame, bool]:
    """Returns in any order put in place, (S, T), the rows on other dates, and whether two rows share a place."""
    days = dates.to_physical().to_numpy()
    first, span = int(days[0]), int(days[-1]) - int(days[0]) + 1
    column = np.full(span + 1, -1)  # by days since the first, the last for all that lie outside
    column[days - first] = np.arange(len(days))
    grid, seen = np.full(n * len(days), np.nan), np.zeros(n * len(days), dtype=bool)
    strangers, inside = [frame.head(0)], 0
    for start in range(0, frame.height, PLACED):
        part, place = frame.slice(start, PLACED), places[start : start + PLACED]
        # what lies before the first date is far behind the last one as an unsigned number
        since = (part["date"].to_physical().to_numpy() - first).view(np.uint32)
        day = column[np.minimum(since, np.uint32(span))]
        if (day < 0).any():
            known = pl.Series(day >= 0)
            strangers.append(part.filter(~known).drop_nulls("ret"))
            part, place, day = part.filter(known), place[day >= 0], day[day >= 0]
        cell = place * np.int64(len(days)) + day
        grid[cell] = part["ret"].to_numpy()
        seen[cell] = True
        inside += len(cell)
    return grid.reshape(n, -1), pl.concat(strangers), int(seen.sum()) < inside


def _refuse(strangers: pl.DataFrame) -> None:
    if strangers.height:
        raise DataError(
            f"returns has {strangers.height} rows on dates that the benchmark lacks, the first on "
            f"{strangers['date'].min()!s}: the benchmark's dates are the sessions. Give it those dates "
            "(an empty ret is allowed), or drop the rows.",
            rows=strangers,
        )


def _extents(symbols: pl.Series, dates: pl.Series, ret: Floats) -> pl.DataFrame:
    """``symbol, first, last``: dates of each symbol's first and last return."""
    step, length = max(PLACED // len(dates), 1), len(dates)
    first, last = np.empty(len(ret), dtype=np.int64), np.empty(len(ret), dtype=np.int64)
    for start in range(0, len(ret), step):
        part = slice(start, start + step)
        held = ~np.isnan(ret[part])
        first[part], last[part] = held.argmax(axis=1), length - 1 - held[:, ::-1].argmax(axis=1)
    frame = pl.DataFrame({"symbol": symbols, "first": dates.gather(first), "last": dates.gather(last)})
    return frame.filter(pl.Series(~np.isnan(ret[np.arange(len(ret)), first])))


def _no_clock() -> list[pl.Expr]:
    instant = pl.Datetime("us", "UTC")
    clock = [pl.lit(None, dtype=instant).alias(c) for c in ("open", "break_start", "break_end", "close")]
    return [*clock, pl.lit(None, dtype=pl.String).alias("exchange_time_zone")]


def _hashed(symbols: pl.Series, days: pl.DataFrame, ret: Floats) -> str:
    """sha256 of the content; absent rows and empty cells are the same."""
    digest = hashlib.sha256((fingerprint(symbols.to_frame()) + fingerprint(days)).encode())
    digest.update(np.ascontiguousarray(ret, dtype="<f8").data)
    return digest.hexdigest()
