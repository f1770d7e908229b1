"""Make a market from returns: pivot rows (date, symbol, ret) to an array by symbol and date."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core import limits, schema
from marketimpact.core.arrays import Bools, Floats, Ints, row_parts, runs
from marketimpact.core.day_table import DayTable, day_numbers
from marketimpact.core.fingerprint import fingerprint
from marketimpact.core.frames import FrameLike
from marketimpact.core.text import listed
from marketimpact.errors import DataError
from marketimpact.market import checks, implausible, plausibility
from marketimpact.market.factors import check_factors
from marketimpact.market.grid_panel import GridPanel
from marketimpact.market.panel import FramePanel
from marketimpact.market.session_groups import SessionGroup, session_groups

__all__ = ["fields_from_returns"]


#: Share of the sessions between a security's first and last return that may be absent ...
MISSING_SHARE = 0.02
#: ... and number of them that may be; a life shorter than this says nothing of a calendar ...
MISSING_SESSIONS, SHORT_LIFE = 2, 10
#: ... and number of absent sessions in a row that are a suspension and do not count.
SUSPENSION = 10
#: Share of a life above which absent sessions are no suspensions: returns of weeks, months or single days.
SUSPENDED_SHARE = 0.4
Codes = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class _Part:
    """Returns of one group: its panel, which cells were handed in (None: all), benchmark and label."""

    panel: GridPanel
    is_given: Bools | None
    benchmark: str
    label: str


def fields_from_returns(
    returns: object,
    benchmark: object,
    factors: FrameLike | None,
    *,
    accept: Iterable[Any] = (),
    allow_missing_sessions: bool = False,
) -> dict[str, Any]:
    """Check frames of returns and build the fields of a `Market`; see `Market.from_returns`."""
    factors = check_factors(factors)
    groups, notes = session_groups(returns, benchmark)
    parts = [_read_group(group, factors) for group in groups]
    doubts = [doubt for part in parts for doubt in _check_units(part)]
    plausibility.warn_of(doubts, stacklevel=3)
    thin = pl.concat([_missing_sessions(part) for part in parts])
    if thin.height and not allow_missing_sessions:
        raise _missing_sessions_error(thin)
    others = pl.concat([checks.check_returns(p.symbols, p.days, p.ret) for p in _panels(parts)])
    found = implausible.settle_returns([(part.panel, part.benchmark) for part in parts], factors, accept, others)
    if thin.height:
        notes.append(f"{thin.height} securities lack more than {MISSING_SHARE:.0%} of the sessions of their lives")
    if len(parts) > 1:
        notes.append("exchanges have no opening hours: their sessions are matched by date")
    return {
        "return_panel": parts[0].panel if len(parts) == 1 else _joint_panel(parts),
        "securities": pl.concat([_securities(part) for part in parts]).sort("symbol"),
        "sessions": pl.concat(
            [p.days.select(pl.lit(p.mic).alias("mic"), "date", *_no_clock()) for p in _panels(parts)]
        ).unique(["mic", "date"], maintain_order=True),
        "spans": pl.concat([_spans(p.symbols, p.days["date"], p.ret) for p in _panels(parts)]).sort("symbol"),
        "factors": tuple(parts[0].panel.days.columns[2:]),
        "source": "returns handed in",
        "simulated": False,
        "notes": (*plausibility.factor_doubts(factors), *doubts, *notes, *checks.market_notes(found["findings"])),
        "fingerprint": _joint_fingerprint(parts),
        **found,
    }


def _read_group(group: SessionGroup, factors: pl.DataFrame | None) -> _Part:
    """Pivot the returns of one group, and join the factors of each date."""
    days = group.days
    symbols, ret, is_given = _pivot(group.returns, days["date"], group.label)
    if factors is not None:
        days = days.join(factors, on="date", how="left", validate="1:1", maintain_order="left")
    return _Part(GridPanel(symbols, days, ret, group.mic), is_given, group.benchmark, group.label)


def _panels(parts: Sequence[_Part]) -> list[GridPanel]:
    return [part.panel for part in parts]


def _check_units(part: _Part) -> list[str]:
    """Refuse returns and benchmark in a wrong unit; return the doubts."""
    benchmark = plausibility.check_benchmark(f"benchmark{part.label}", part.panel.days["ret"].to_numpy())
    return [*plausibility.check_returns(part.panel.symbols.to_list(), part.panel.ret), *benchmark]


def _securities(part: _Part) -> pl.DataFrame:
    """Return ``symbol, mic, benchmark``."""
    return part.panel.symbols.to_frame().with_columns(
        pl.lit(part.panel.mic).alias("mic"), pl.lit(part.benchmark).alias("benchmark")
    )


def _joint_panel(parts: Sequence[_Part]) -> FramePanel:
    """Put the panels of several groups together, by symbol."""
    frame = pl.concat([panel.to_frame() for panel in _panels(parts)]).sort("symbol", "session")
    benchmarks = pl.concat([_securities(part).select("symbol", "benchmark") for part in parts])
    return FramePanel.from_frame(frame, benchmarks)


def _missing_sessions(part: _Part) -> pl.DataFrame:
    """Find securities that lack too many sessions of their life: ``symbol, missing, sessions``.

    Rows with an empty return are there. Runs of `SUSPENSION` absent sessions or more do not count, unless more than
    `SUSPENDED_SHARE` of the life is absent, nor do sessions on which the benchmark has no return either.
    """
    rows: list[tuple[str, int, int]] = []
    if part.is_given is not None:
        length, is_open = part.panel.days.height, part.panel.days["ret"].is_not_null().to_numpy()
        for start, ret in row_parts(part.panel.ret):
            has_return = ~np.isnan(ret)
            first, end = has_return.argmax(axis=1), length - has_return[:, ::-1].argmax(axis=1)
            is_absent = ~part.is_given[start : start + len(ret)] & is_open
            is_known = has_return.any(axis=1)
            for row in np.flatnonzero(is_known & (is_absent.sum(axis=1) > MISSING_SESSIONS)).tolist():
                life = is_absent[row, first[row] : end[row]]
                missing = int(life.sum())
                missing -= _suspended(life) if missing <= SUSPENDED_SHARE * len(life) else 0
                if len(life) >= SHORT_LIFE and missing > max(MISSING_SESSIONS, MISSING_SHARE * len(life)):
                    rows.append((part.panel.symbols[start + row], missing, len(life)))
    return pl.DataFrame(rows, schema={"symbol": pl.String, "missing": pl.Int64, "sessions": pl.Int64}, orient="row")


def _suspended(is_absent: Bools) -> int:
    """Count the absent sessions in runs of `SUSPENSION` or more."""
    begins, ends = runs(is_absent)
    lengths = ends - begins
    return int(lengths[lengths >= SUSPENSION].sum())


def _missing_sessions_error(thin: pl.DataFrame) -> DataError:
    """Build the error for securities that lack too many sessions, the worst five by name."""
    worst = thin.sort(pl.col("missing") / pl.col("sessions"), "symbol", descending=[True, False])
    named = [f"{symbol} ({missing} of {sessions})" for symbol, missing, sessions in worst.iter_rows()]
    return DataError(
        f"{thin.height} securities lack more than {MISSING_SHARE:.0%} of the benchmark's sessions between their first "
        f"and last return: {listed(named, quoted=False)}. Where they trade on other days than the benchmark, give "
        "each calendar a benchmark of its own (a column 'mic' or 'symbol', see Market.from_returns). Where they "
        "really trade so thinly, give those days rows with an empty ret, or allow_missing_sessions=True.",
        rows=worst,
    )


def _pivot(returns: pl.DataFrame, dates: pl.Series, label: str) -> tuple[pl.Series, Floats, Bools | None]:
    """Return the symbols, sorted, the returns by symbol and date, (S, T), NaN where missing, and which were given.

    The third is None where all were.
    """
    # repeated rows are detected while returns are written: a search before takes far more memory
    try:
        frame = schema.check(schema.ReturnRows, returns, "returns").select("symbol", "date", "ret")
    except DataError:
        frame = schema.check(schema.Returns, returns, "returns")  # reports every broken rule at once
    starts = _run_starts(frame["symbol"])
    symbols, codes = _symbol_codes(frame["symbol"] if starts is None else frame["symbol"].gather(starts))
    if starts is not None and _is_complete(frame, starts, symbols, dates):
        ret, is_given = _stack_runs(frame["ret"], codes, len(dates)), None
    else:
        if starts is not None:
            codes = np.repeat(codes, np.diff(starts, append=frame.height))
        ret, is_given, unknown_dates, has_repeats = _write_rows(frame, codes, len(symbols), dates)
        if has_repeats:
            schema.check(schema.Returns, returns, "returns")  # raises
        _check_dates(unknown_dates, label)
    ret.flags.writeable = False
    return symbols, ret, is_given


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
) -> tuple[Floats, Bools, pl.DataFrame, bool]:
    """Write returns in any order of rows to ``grid[codes, columns]``.

    Returns
    -------
    grid : (S, T) array
        NaN where missing.
    is_given : (S, T) array of bool
        Whether there is a row.
    unknown_dates : polars.DataFrame
        Rows with a return on other dates.
    has_repeats : bool
        Whether two rows have one symbol and date.
    """
    n_dates = len(dates)
    columns = DayTable.of(
        np.zeros(n_dates, dtype=np.int64), day_numbers(dates), np.arange(n_dates), n_series=1, missing=-1
    )
    grid, is_written = np.full(n_symbols * n_dates, np.nan), np.zeros(n_symbols * n_dates, dtype=bool)
    unknown_dates, n_written = [frame.head(0)], 0
    for start in range(0, frame.height, limits.RETURN_CHUNK_ROWS):
        part, code = frame.slice(start, limits.RETURN_CHUNK_ROWS), codes[start : start + limits.RETURN_CHUNK_ROWS]
        column = columns.at(0, day_numbers(part["date"]))
        if (column < 0).any():
            known = pl.Series(column >= 0)
            unknown_dates.append(part.filter(~known).drop_nulls("ret"))
            part, code, column = part.filter(known), code[column >= 0], column[column >= 0]
        cell = code * np.int64(n_dates) + column
        grid[cell] = part["ret"].to_numpy()
        is_written[cell] = True
        n_written += len(cell)
    shape = n_symbols, n_dates
    has_repeats = int(is_written.sum()) < n_written
    return grid.reshape(shape), is_written.reshape(shape), pl.concat(unknown_dates), has_repeats


def _check_dates(unknown_dates: pl.DataFrame, label: str) -> None:
    """Stop at returns on dates that are no sessions."""
    if unknown_dates.height:
        raise DataError(
            f"returns has {unknown_dates.height} rows on dates that the benchmark{label} lacks, the first on "
            f"{unknown_dates['date'].min()!s}: the benchmark's dates are the sessions. Give it those dates "
            "(an empty ret is allowed), or drop the rows.",
            rows=unknown_dates,
        )


def _spans(symbols: pl.Series, dates: pl.Series, ret: Floats) -> pl.DataFrame:
    """Return ``symbol, first, last``: dates of each symbol's first and last return."""
    first, last = np.empty(len(ret), dtype=np.int64), np.empty(len(ret), dtype=np.int64)
    for start, part in row_parts(ret):
        has_return, rows = ~np.isnan(part), slice(start, start + len(part))
        first[rows], last[rows] = has_return.argmax(axis=1), len(dates) - 1 - has_return[:, ::-1].argmax(axis=1)
    frame = pl.DataFrame({"symbol": symbols, "first": dates.gather(first), "last": dates.gather(last)})
    return frame.filter(pl.Series(~np.isnan(ret[np.arange(len(ret)), first])))


def _no_clock() -> list[pl.Expr]:
    """Return the columns of `Market.sessions` that need an exchange, all null."""
    instant = pl.Datetime("us", "UTC")
    clock = [pl.lit(None, dtype=instant).alias(c) for c in ("open", "break_start", "break_end", "close")]
    return [*clock, pl.lit(None, dtype=pl.String).alias("exchange_time_zone")]


def _joint_fingerprint(parts: Sequence[_Part]) -> str:
    """Hash the content of all groups; of one group, whatever the names of its exchange and benchmark."""
    prints = [_fingerprint(panel.symbols, panel.days, panel.ret) for panel in _panels(parts)]
    if len(prints) == 1:
        return prints[0]
    names = [f"{part.panel.mic} {part.benchmark}" for part in parts]
    return hashlib.sha256("\n".join([*names, *prints]).encode()).hexdigest()


def _fingerprint(symbols: pl.Series, days: pl.DataFrame, ret: Floats) -> str:
    """Hash the content with sha256; absent rows and empty cells are the same."""
    digest = hashlib.sha256((fingerprint(symbols.to_frame()) + fingerprint(days)).encode())
    digest.update(np.ascontiguousarray(ret, dtype="<f8").data)
    return digest.hexdigest()
