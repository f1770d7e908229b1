"""Find returns beyond a factor of three, and settle the steps that are accepted as real."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from marketimpact.core.arrays import Bools, Floats, row_parts
from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import SpecificationError
from marketimpact.market import checks
from marketimpact.market.grid_panel import GridPanel
from marketimpact.market.panel import FramePanel, first_rows
from marketimpact.market.plausibility import HIGHEST, LOWEST
from marketimpact.sources.files.price_rows import delisted

__all__ = [
    "add_findings",
    "check_accept",
    "check_steps",
    "factor_steps",
    "implausible_factor",
    "implausible_in_grid",
    "implausible_legs",
    "implausible_returns",
    "mark_accepted",
    "no_implausible",
    "settle_returns",
    "without_accepted",
    "without_delistings",
]

#: Median absolute value above which a factor is no return in decimals.
LARGEST_USUAL = 0.1
#: After more sessions without a trade a price may have moved that far.
LONGEST_GAP = 20
#: Findings that `accept` settles.
STEPS = ("split_like_jump", "implausible_return", "scale_step", "spike", "limit_breach")
COLUMNS = {"symbol": pl.String, "date": pl.Date, "ret": pl.Float64}


def no_implausible() -> pl.DataFrame:
    """Return an empty frame of implausible returns."""
    return pl.DataFrame(schema=COLUMNS)


def implausible_returns(panel: FramePanel, benchmarks: pl.DataFrame) -> pl.DataFrame:
    """Find returns beyond a factor of three of securities and of their benchmarks: ``symbol, date, ret``.

    Parameters
    ----------
    panel : FramePanel
        With ``date, ret, ret_since_trade``.
    benchmarks : polars.DataFrame
        ``symbol, date, ret`` of the benchmarks.
    """
    after_gap = pl.col("ret").is_null() & _is_beyond("ret_since_trade")
    found = panel.frame.with_row_index("row").filter(_is_beyond("ret") | after_gap)
    rows, begins = found["row"].to_numpy(), first_rows(panel.securities)
    owner = np.searchsorted(begins, rows, side="right") - 1
    has_trade = panel.frame["ret_since_trade"].is_not_null().to_numpy()
    is_near = [_is_near(has_trade[begin:row]) for begin, row in zip(begins[owner], rows, strict=True)]
    own = found.select(
        panel.securities["symbol"].gather(owner), "date", pl.coalesce("ret", "ret_since_trade").alias("ret")
    ).filter(found["ret"].is_not_null() | pl.Series(is_near, dtype=pl.Boolean))
    steps = [own, benchmarks.filter(_is_beyond("ret"))]
    return pl.concat(steps).unique(["symbol", "date"], keep="first", maintain_order=True).sort("symbol", "date")


def _is_near(had_trade: Bools) -> bool:
    """Return whether the last trade before, if any, is at most `LONGEST_GAP` sessions old."""
    trades = np.flatnonzero(had_trade)
    return not len(trades) or len(had_trade) - trades[-1] <= LONGEST_GAP


def without_delistings(steps: pl.DataFrame, rows: pl.DataFrame, securities: pl.DataFrame) -> pl.DataFrame:
    """Leave out the falls with which the prices of delisted symbols end.

    Parameters
    ----------
    steps : polars.DataFrame
        ``symbol, date, ret``.
    rows : polars.DataFrame
        ``symbol, date, close`` as the source has them and, where it is known, ``delisted``.
    securities : polars.DataFrame
        ``symbol`` and, where it is known, ``delisted``.
    """
    own = [] if "delisted" not in rows.columns else rows.filter("delisted")["symbol"].to_list()
    ended = rows.filter(pl.col("symbol").is_in([*own, *delisted(securities)]), pl.col("close").is_not_null())
    last = ended.group_by("symbol").agg(pl.col("date").max())
    falls = steps.filter(pl.col("ret") < 0).join(last, on=["symbol", "date"], how="semi")
    return steps.join(falls, on=["symbol", "date"], how="anti", maintain_order="left")


def implausible_in_grid(
    symbols: pl.Series, days: pl.DataFrame, ret: Floats, benchmark: str = "benchmark"
) -> pl.DataFrame:
    """Find returns beyond a factor of three among returns by symbol and date: ``symbol, date, ret``.

    A total loss is none, nor is a fall with which the returns of a security end before the sessions do.

    Parameters
    ----------
    symbols : polars.Series
        Symbols of the S rows.
    days : polars.DataFrame
        ``date, ret`` of the benchmark on the T sessions.
    ret : (S, T) array
        Simple returns; NaN where missing.
    benchmark : str
        Name of the benchmark.
    """
    parts = [no_implausible()]
    for start, part in row_parts(ret):
        rows, columns = np.nonzero((part > HIGHEST) | ((part < LOWEST) & (part != -1.0)))
        kept = [not _is_delisting(part[row], column) for row, column in zip(rows, columns, strict=True)]
        rows, columns = rows[kept], columns[kept]
        found = {"symbol": symbols.gather(start + rows), "date": days["date"].gather(columns)}
        parts.append(pl.DataFrame({**found, "ret": part[rows, columns]}, schema=COLUMNS))
    market = days.filter(_is_beyond("ret")).select(pl.lit(benchmark).alias("symbol"), "date", "ret")
    return pl.concat([*parts, market]).sort("symbol", "date")


def implausible_legs(legs: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Find legs beyond a factor of three, but on sessions whose return is as large and was settled as real.

    Parameters
    ----------
    legs : polars.DataFrame
        ``symbol, date``, ``ret`` of the leg and ``session``, the return of the session.
    known : polars.DataFrame
        `Market.implausible`: sessions whose return is not settled.
    """
    settled = without_accepted(legs.filter(_is_beyond("session")).select("symbol", "date"), known)
    found = without_accepted(legs.filter(_is_beyond("ret")).select(*COLUMNS), settled)
    return found.unique(["symbol", "date"], keep="first", maintain_order=True).sort("symbol", "date")


def implausible_factor(panel: pl.DataFrame, name: str) -> pl.DataFrame:
    """Find values beyond a factor of three of a factor that is a return; the factor's name is the symbol."""
    found = panel.filter(_is_beyond(name)).select(pl.lit(name).alias("symbol"), "date", pl.col(name).alias("ret"))
    return found.unique(["date"], keep="first", maintain_order=True).sort("date")


def factor_steps(factors: pl.DataFrame | None) -> pl.DataFrame:
    """Find values beyond a factor of three of the columns of `factors` that are returns by their usual size."""
    names = [] if factors is None else [name for name in factors.columns if name not in ("date", "rf")]
    parts = [no_implausible()]
    for name in names:
        usual = factors[name].abs().filter(factors[name] != 0).median()  # type: ignore[index]
        if isinstance(usual, float) and 0 < usual < LARGEST_USUAL:
            parts.append(implausible_factor(factors, name))  # type: ignore[arg-type]
    return pl.concat(parts)


def _is_beyond(name: str) -> pl.Expr:
    value = pl.col(name)
    return ((value > HIGHEST) | (value < LOWEST)).fill_null(value=False) & value.is_not_nan().fill_null(value=False)


def _is_delisting(ret: Floats, column: np.integer[Any]) -> bool:
    """Return whether a fall is the last return of a series that ends before the sessions do."""
    later = ret[column + 1 :]
    return bool(ret[column] < 0 and len(later) and np.isnan(later).all())


def check_accept(accept: Iterable[Any]) -> pl.DataFrame:
    """Check pairs of symbol and date: ``symbol, date``, each once.

    Raises
    ------
    SpecificationError
        For anything else than pairs of a symbol and a date.
    """
    given = [accept] if isinstance(accept, str) or not isinstance(accept, Iterable) else list(accept)
    pairs = {_pair(item) for item in given}
    return pl.DataFrame(sorted(pairs), schema={"symbol": pl.String, "date": pl.Date}, orient="row")


def _pair(item: object) -> tuple[str, date]:
    """Read a pair of a symbol and a date, which may be ISO text."""
    if isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], str):
        day = _day(item[1])
        if day is not None:
            return item[0], day
    raise SpecificationError(
        f"accept cannot have {item!r}. Give a list of pairs of a symbol and a date, such as "
        "accept=[('NVDA', '2024-06-10')]."
    )


def _day(value: object) -> date | None:
    """Read a date or its ISO text; None for anything else."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def mark_accepted(findings: pl.DataFrame, accepted: pl.DataFrame) -> pl.DataFrame:
    """Make notes of the findings on accepted steps."""
    marked = findings.join(
        accepted.with_columns(_accepted=pl.lit(value=True)),
        on=["symbol", "date"],
        how="left",
        validate="m:1",
        maintain_order="left",
    )
    applies = pl.col("_accepted").fill_null(value=False) & pl.col("finding").is_in(STEPS)
    return marked.with_columns(
        pl.when(applies).then(pl.lit(checks.NOTE)).otherwise("severity").alias("severity"),
        pl.when(applies).then(pl.col("detail") + checks.ACCEPTED).otherwise("detail").alias("detail"),
    ).drop("_accepted")


def without_accepted(steps: pl.DataFrame, accepted: pl.DataFrame) -> pl.DataFrame:
    """Leave out accepted steps."""
    return steps.join(accepted, on=["symbol", "date"], how="anti", maintain_order="left")


def check_steps(
    accepted: pl.DataFrame, implausible: pl.DataFrame, findings: pl.DataFrame, symbols: Iterable[str]
) -> None:
    """Check that there is a step at every accepted pair.

    Raises
    ------
    SpecificationError
        For a symbol that the market does not have, or a day without a step, with the steps there are.
    """
    unknown = accepted.filter(~pl.col("symbol").is_in(sorted(symbols)))["symbol"].to_list()
    if unknown:
        raise SpecificationError(
            f"accept names {unknown[0]!r}, which is no security or benchmark of this market."
            f"{did_you_mean(unknown[0], symbols)} Correct the symbol, or leave the pair out."
        )
    found = findings.filter(pl.col("finding").is_in(STEPS)).drop_nulls("symbol").select("symbol", "date")
    steps = pl.concat([implausible.select("symbol", "date"), found]).unique().sort("symbol", "date")
    stray = without_accepted(accepted, steps)
    if stray.is_empty():
        return
    symbol, day = stray.row(0)
    own = steps.sort(pl.col("symbol") != symbol, "symbol", "date")
    there = listed([f"({name!r}, '{on}')" for name, on in own.iter_rows()], quoted=False)
    raise SpecificationError(
        f"accept names ({symbol!r}, '{day}'), where this market has no step. "
        + (f"Its steps are {there}." if there else "It has no steps at all: leave the pair out.")
    )


def add_findings(findings: pl.DataFrame, implausible: pl.DataFrame, accepted: pl.DataFrame) -> pl.DataFrame:
    """Add a finding for each implausible return that has none about its step yet; a note for an accepted one."""
    found = findings.filter(pl.col("finding").is_in(STEPS))
    new = implausible.join(found, on=["symbol", "date"], how="anti", maintain_order="left")
    detail = pl.format("a return of {}%", (pl.col("ret") * 100).round(1))
    added = mark_accepted(checks.finding_rows(new, "implausible_return", pl.col("ret"), detail), accepted)
    return checks.sort_findings(pl.concat([findings, added]))


def settle_returns(
    panels: Sequence[tuple[GridPanel, str]], factors: pl.DataFrame | None, accept: Iterable[Any], others: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Find implausible returns of a market made from returns; its fields `implausible` and `findings`.

    Parameters
    ----------
    panels : sequence of (GridPanel, str)
        Returns of the securities of each benchmark, and its name.
    factors : polars.DataFrame or None
        ``date`` and factors.
    accept : iterable of (str, datetime.date or str)
        Returns that are real.
    others : polars.DataFrame
        Findings of other checks.
    """
    accepted = check_accept(accept)
    parts = [implausible_in_grid(panel.symbols, panel.days, panel.ret, name) for panel, name in panels]
    steps = (
        pl.concat([*parts, factor_steps(factors)])
        .unique(["symbol", "date"], keep="first", maintain_order=True)
        .sort("symbol", "date")
    )
    findings = add_findings(others, steps, accepted)
    if accepted.height:
        names = [name for panel, own in panels for name in (*panel.symbols, own)]
        check_steps(accepted, steps, findings, [*names, *(factors.columns if factors is not None else ())])
    return {"implausible": without_accepted(steps, accepted), "findings": findings}
