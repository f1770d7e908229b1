"""Divide returns into groups that share sessions and a benchmark, by the benchmark's columns `mic` and `symbol`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import to_polars
from marketimpact.core.layouts import BENCHMARK, RETURNS
from marketimpact.core.text import listed
from marketimpact.errors import DataError

__all__ = ["FROM_RETURNS", "SessionGroup", "session_groups"]

#: Stands for the exchange of a market made from returns: its sessions are the benchmark's dates.
FROM_RETURNS = "SESSIONS"
#: Column of the returns that says which group a security belongs to -> column of the benchmark that it refers to.
KEYS = {"mic": "mic", "benchmark": "symbol"}


@dataclass(frozen=True, slots=True)
class SessionGroup:
    """Securities that share sessions and a benchmark.

    Attributes
    ----------
    mic : str
        Exchange, or what stands for it.
    benchmark : str
        Name of the benchmark.
    days : polars.DataFrame
        ``date, ret`` of the benchmark on every session, sorted.
    returns : polars.DataFrame
        Returns of the group's securities; what the user handed in, not yet checked, where there is one group.
    label : str
        Name of the group in messages, with a space before it; empty where there is one group.
    """

    mic: str
    benchmark: str
    days: pl.DataFrame
    returns: pl.DataFrame
    label: str = ""


def session_groups(returns: object, benchmark: object) -> tuple[list[SessionGroup], list[str]]:
    """Divide returns into groups; see `Market.from_returns`.

    Returns
    -------
    groups : list of SessionGroup
        Those that have returns, sorted by exchange and benchmark.
    notes : list of str
        Names of the others.

    Raises
    ------
    DataError
        For a broken frame, and returns that belong to no benchmark or to more than one.
    """
    returns = to_polars(returns, "returns", RETURNS)
    benchmark = to_polars(benchmark, "benchmark", BENCHMARK)
    keys = _keys(benchmark)
    if not keys:
        days = schema.check(schema.Benchmark, benchmark, "benchmark").select("date", "ret").sort("date")
        return [SessionGroup(FROM_RETURNS, "benchmark", days, returns)], []
    benchmarks = _benchmarks(benchmark, keys)
    known = pl.DataFrame(
        [dict(zip(keys, key, strict=True)) for key in benchmarks], schema=dict.fromkeys(keys, pl.String)
    )
    referring = [key for key in keys if key in returns.columns]
    if len(benchmarks) == 1 and not referring:
        ((key, days),) = benchmarks.items()
        return [SessionGroup(*_names(keys, key, is_alone=True), days, returns)], []
    checked = schema.check(schema.Returns, returns, "returns")
    owners = _owners(checked, known, keys, referring)
    sessions = _sessions_by_exchange(benchmarks, keys)
    groups, unused = [], []
    for key, days in benchmarks.items():
        mic, name = _names(keys, key, is_alone=len(benchmarks) == 1)
        symbols = owners.filter(pl.all_horizontal(pl.col(c) == value for c, value in zip(keys, key, strict=True)))
        if symbols.is_empty():
            unused.append(" ".join(key))
            continue
        on_sessions = sessions[mic].join(days, on="date", how="left", validate="1:1", maintain_order="left")
        own = checked.join(symbols, on="symbol", how="semi", maintain_order="left")
        groups.append(SessionGroup(mic, name, on_sessions, own, f" {' '.join(key)}" if len(benchmarks) > 1 else ""))
    notes = [f"benchmarks without returns are left out: {listed(unused, quoted=False)}"] if unused else []
    return groups, notes


def _keys(benchmark: pl.DataFrame) -> list[str]:
    """List the columns that divide a benchmark into groups."""
    return [key for key, name in KEYS.items() if name in benchmark.columns]


def _benchmarks(frame: pl.DataFrame, keys: list[str]) -> dict[tuple[str, ...], pl.DataFrame]:
    """Check every benchmark of a frame: values of `keys` -> ``date, ret``, sorted."""
    if frame.is_empty():
        schema.check(schema.Benchmark, frame, "benchmark")  # raises
    frame = frame.with_columns(pl.col(KEYS[key]).cast(pl.String).fill_null("").alias(key) for key in keys)
    for key in keys:
        if empty := int((frame[key] == "").sum()):
            raise DataError(
                f"benchmark: {KEYS[key]!r} is empty in {empty} rows, so their securities are not known. Fill it in, or "
                "drop the column where there is one benchmark."
            )
    parts = frame.sort(keys, maintain_order=True).partition_by(keys, as_dict=True, maintain_order=True)
    return {
        tuple(str(value) for value in key): schema.check(
            schema.Benchmark, part, f"benchmark {' '.join(map(str, key))}" if len(parts) > 1 else "benchmark"
        )
        .select("date", "ret")
        .sort("date")
        for key, part in parts.items()
    }


def _names(keys: list[str], key: tuple[str, ...], *, is_alone: bool) -> tuple[str, str]:
    """Name a group's exchange and benchmark."""
    values = dict(zip(keys, key, strict=True))
    mic = values.get("mic") or (FROM_RETURNS if is_alone else f"{FROM_RETURNS} {values['benchmark']}")
    return mic, values.get("benchmark") or f"benchmark {mic}"


def _owners(returns: pl.DataFrame, known: pl.DataFrame, keys: list[str], referring: list[str]) -> pl.DataFrame:
    """Find the group of every security: ``symbol`` and `keys`."""
    if not referring:
        raise DataError(
            f"benchmark has {known.height} groups by {' and '.join(repr(KEYS[key]) for key in keys)}, and returns has "
            f"no column {' or '.join(map(repr, keys))} that says which one a security belongs to. Add it, one value "
            "per symbol."
        )
    securities = returns.select("symbol", pl.col(referring).cast(pl.String)).unique().sort("symbol")
    _refuse_several(securities, referring)
    lacking = securities.join(known, on=referring, how="anti", maintain_order="left")
    if lacking.height:
        values = " and ".join(f"{key} {value!r}" for key, value in lacking.select(referring).row(0, named=True).items())
        raise DataError(
            f"returns of {listed(lacking['symbol'].to_list(), quoted=False)} have no benchmark: none has {values}. "
            "Give its returns, or leave these securities out.",
            rows=lacking,
        )
    matches = securities.join(known, on=referring, how="inner", maintain_order="left")
    repeated = matches.filter(pl.col("symbol").is_duplicated())
    if repeated.height:
        missing = next(key for key in keys if key not in referring)
        raise DataError(
            f"returns of {listed(repeated['symbol'].unique().sort().to_list(), quoted=False)} fit more than one "
            f"benchmark. Add the column {missing!r} to returns, one value per symbol.",
            rows=repeated,
        )
    return matches.select("symbol", *keys)


def _refuse_several(securities: pl.DataFrame, columns: list[str]) -> None:
    """Stop at a symbol with more than one value of a column that refers to the benchmark."""
    several = securities.filter(pl.col("symbol").is_duplicated())
    if several.height:
        raise DataError(
            f"returns of {listed(several['symbol'].unique().sort().to_list(), quoted=False)} have more than one value "
            f"of {' and '.join(map(repr, columns))}. A security has one exchange and one benchmark: write each listing "
            "as a symbol of its own.",
            rows=several,
        )


def _sessions_by_exchange(
    benchmarks: Mapping[tuple[str, ...], pl.DataFrame], keys: list[str]
) -> dict[str, pl.DataFrame]:
    """Collect the sessions of every exchange: the dates of all of its benchmarks."""
    dates: dict[str, list[pl.DataFrame]] = {}
    for key, days in benchmarks.items():
        mic, _ = _names(keys, key, is_alone=len(benchmarks) == 1)
        dates.setdefault(mic, []).append(days.select("date"))
    return {mic: pl.concat(parts).unique().sort("date") for mic, parts in dates.items()}
