"""Make a market from returns: pivot rows (date, symbol, ret) to an array by symbol and date."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import limits, schema
from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.fingerprint import fingerprint
from marketimpact.errors import DataError
from marketimpact.market import implausible
from marketimpact.market.factors import check_factors
from marketimpact.market.grid_panel import GridPanel

__all__ = ["FROM_RETURNS", "fields_from_returns"]


#: Stands for the exchange of such a market: its sessions are the benchmark's dates.
FROM_RETURNS = "SESSIONS"
Codes = NDArray[np.uint32]


def fields_from_returns(
    returns: object, benchmark: object, factors: pl.DataFrame | None, accept: Iterable[Any] = ()
) -> dict[str, Any]:
    """Check frames of returns and build the fields of a `Market`."""
    factors = check_factors(factors)
    days = schema.check(schema.Benchmark, benchmark, "benchmark").select("date", "ret").sort("date")
    symbols, ret = _pivot(returns, days["date"])
    found = implausible.fields_of_returns(symbols, days, ret, accept)
    sessions = days.select(pl.lit(FROM_RETURNS).alias("mic"), "date", *_no_clock())
    if factors is not None:
        days = days.join(factors, on="date", how="left", validate="1:1", maintain_order="left")
    return {
        "return_panel": GridPanel(symbols, days, ret, FROM_RETURNS),
        "securities": symbols.to_frame().with_columns(
            pl.lit(FROM_RETURNS).alias("mic"), pl.lit("benchmark").alias("benchmark")
        ),
        "sessions": sessions,
        "spans": _spans(symbols, days["date"], ret),
        "factors": tuple(days.columns[2:]),
        "source": "returns handed in",
        "simulated": False,
        "fingerprint": _fingerprint(symbols, days, ret),
        **found,
    }


def _pivot(returns: object, dates: pl.Series) -> tuple[pl.Series, Floats]:
    """Return the symbols, sorted, and the returns by symbol and date, (S, T), NaN where missing."""
    # repeated rows are detected while returns are written: a search before takes far more memory
    try:
        frame = schema.check(schema.ReturnRows, returns, "returns").select("symbol", "date", "ret")
    except DataError:
        frame = schema.check(schema.Returns, returns, "returns")  # reports every broken rule at once
    starts = _run_starts(frame["symbol"])
    symbols, codes = _symbol_codes(frame["symbol"] if starts is None else frame["symbol"].gather(starts))
    if starts is not None and _is_complete(frame, starts, symbols, dates):
        ret = _stack_runs(frame["ret"], codes, len(dates))
    else:
        if starts is not None:
            codes = np.repeat(codes, np.diff(starts, append=frame.height))
        ret, unknown_dates, has_repeats = _write_rows(frame, codes, len(symbols), dates)
        if has_repeats:
            schema.check(schema.Returns, returns, "returns")  # raises
        _check_dates(unknown_dates)
    ret.flags.writeable = False
    return symbols, ret


def _run_starts(names: pl.Series) -> Ints | None:
    """Return the rows whose symbol is not that of the row before; None where runs of one symbol are short."""
    starts = [np.zeros(1, dtype=np.int64)]
    for start in range(0, len(names), limits.SYMBOL_CHUNK_ROWS):
        part = names.slice(max(start - 1, 0), limits.SYMBOL_CHUNK_ROWS + (start > 0))
        changes = (part.slice(1) != part.slice(0, len(part) - 1)).arg_true().to_numpy()
        if len(changes) * limits.LONG_RUN_ROWS > len(part):
            return None
        starts.append(changes + max(start, 1))
    return np.concatenate(starts).astype(np.int64)


def _symbol_codes(names: pl.Series) -> tuple[pl.Series, Codes]:
    """Return the symbols, sorted, and the row of each name among them."""
    known, parts = names.head(0), []
    for start in range(0, len(names), limits.SYMBOL_CHUNK_ROWS):
        part = names.slice(start, limits.SYMBOL_CHUNK_ROWS)
        codes = part.cast(pl.Enum(known), strict=False)
        if codes.null_count():
            known = known.append(part.filter(codes.is_null()).unique())
            codes = part.cast(pl.Enum(known))
        parts.append(codes.to_physical().to_numpy())
    order = known.arg_sort()
    rank = np.empty(len(known), dtype=np.uint32)
    rank[order.to_numpy()] = np.arange(len(known))
    # a copy of the names: those gathered from a column keep all its text in memory
    symbols = pl.Series("symbol", known.gather(order).to_list(), dtype=pl.String)
    return symbols, np.concatenate([rank[codes] for codes in parts])


def _is_complete(frame: pl.DataFrame, starts: Ints, symbols: pl.Series, dates: pl.Series) -> bool:
    """Return whether the rows are one run per symbol, each with all dates in order."""
    length = len(dates)
    if frame.height != len(starts) * length or len(starts) != len(symbols) or (starts % length).any():
        return False
    days, rows = dates.to_physical().to_numpy(), max(limits.RETURN_CHUNK_ROWS // length, 1) * length
    parts = (part["date"].to_physical().to_numpy() for part in frame.select("date").iter_slices(rows))
    return all((part.reshape(-1, length) == days).all() for part in parts)


def _stack_runs(ret: pl.Series, codes: Codes, length: int) -> Floats:
    """Stack runs of one length, one per symbol, to (S, T): always a copy, since callers may reuse their array."""
    grid = np.empty((len(codes), length))
    step = max(limits.RETURN_CHUNK_ROWS // length, 1)
    for start in range(0, len(codes), step):
        part = ret.slice(start * length, step * length).to_numpy()
        grid[codes[start : start + step]] = part.reshape(-1, length)
    return grid


def _write_rows(
    frame: pl.DataFrame, codes: Codes, n_symbols: int, dates: pl.Series
) -> tuple[Floats, pl.DataFrame, bool]:
    """Write returns in any order of rows to ``grid[codes, columns]``.

    Returns
    -------
    grid : (S, T) array
        NaN where missing.
    unknown_dates : polars.DataFrame
        Rows with a return on other dates.
    has_repeats : bool
        Whether two rows have one symbol and date.
    """
    n_dates = len(dates)
    column_of, first = _column_by_day(dates)
    grid, is_written = np.full(n_symbols * n_dates, np.nan), np.zeros(n_symbols * n_dates, dtype=bool)
    unknown_dates, n_written = [frame.head(0)], 0
    for start in range(0, frame.height, limits.RETURN_CHUNK_ROWS):
        part, code = frame.slice(start, limits.RETURN_CHUNK_ROWS), codes[start : start + limits.RETURN_CHUNK_ROWS]
        # as unsigned numbers days before the first date lie far behind the last one
        since_first = (part["date"].to_physical().to_numpy() - first).view(np.uint32)
        column = column_of[np.minimum(since_first, np.uint32(len(column_of) - 1))]
        if (column < 0).any():
            known = pl.Series(column >= 0)
            unknown_dates.append(part.filter(~known).drop_nulls("ret"))
            part, code, column = part.filter(known), code[column >= 0], column[column >= 0]
        cell = code * np.int64(n_dates) + column
        grid[cell] = part["ret"].to_numpy()
        is_written[cell] = True
        n_written += len(cell)
    return grid.reshape(n_symbols, n_dates), pl.concat(unknown_dates), int(is_written.sum()) < n_written


def _column_by_day(dates: pl.Series) -> tuple[Ints, int]:
    """Return the column of each day since the first date, -1 for days between dates and for the last entry."""
    days = dates.to_physical().to_numpy()
    first = int(days[0])
    column_of = np.full(int(days[-1]) - first + 2, -1)
    column_of[days - first] = np.arange(len(days))
    return column_of, first


def _check_dates(unknown_dates: pl.DataFrame) -> None:
    """Stop at returns on dates that are no sessions."""
    if unknown_dates.height:
        raise DataError(
            f"returns has {unknown_dates.height} rows on dates that the benchmark lacks, the first on "
            f"{unknown_dates['date'].min()!s}: the benchmark's dates are the sessions. Give it those dates "
            "(an empty ret is allowed), or drop the rows.",
            rows=unknown_dates,
        )


def _spans(symbols: pl.Series, dates: pl.Series, ret: Floats) -> pl.DataFrame:
    """Return ``symbol, first, last``: dates of each symbol's first and last return."""
    step, length = max(limits.RETURN_CHUNK_ROWS // len(dates), 1), len(dates)
    first, last = np.empty(len(ret), dtype=np.int64), np.empty(len(ret), dtype=np.int64)
    for start in range(0, len(ret), step):
        part = slice(start, start + step)
        has_return = ~np.isnan(ret[part])
        first[part], last[part] = has_return.argmax(axis=1), length - 1 - has_return[:, ::-1].argmax(axis=1)
    frame = pl.DataFrame({"symbol": symbols, "first": dates.gather(first), "last": dates.gather(last)})
    return frame.filter(pl.Series(~np.isnan(ret[np.arange(len(ret)), first])))


def _no_clock() -> list[pl.Expr]:
    """Return the columns of `Market.sessions` that need an exchange, all null."""
    instant = pl.Datetime("us", "UTC")
    clock = [pl.lit(None, dtype=instant).alias(c) for c in ("open", "break_start", "break_end", "close")]
    return [*clock, pl.lit(None, dtype=pl.String).alias("exchange_time_zone")]


def _fingerprint(symbols: pl.Series, days: pl.DataFrame, ret: Floats) -> str:
    """Hash the content with sha256; absent rows and empty cells are the same."""
    digest = hashlib.sha256((fingerprint(symbols.to_frame()) + fingerprint(days)).encode())
    digest.update(np.ascontiguousarray(ret, dtype="<f8").data)
    return digest.hexdigest()
