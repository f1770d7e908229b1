"""Split each session's return into its legs: overnight (previous close to open) and day (open to close).

The day leg needs no adjustment for dividends and splits, since open and close of one session are quoted alike. The
overnight leg is what remains of the total return, ``(1 + ret) / (1 + day) - 1``, so dividends and splits are in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from marketimpact.core.symbol_rows import of_symbols
from marketimpact.core.text import listed
from marketimpact.errors import SpecificationError
from marketimpact.market import checks, implausible
from marketimpact.market.panel import FramePanel, ReturnPanel
from marketimpact.market.session_returns import SessionGrid

__all__ = [
    "DAY_RETURN",
    "LEG_BENCHMARK",
    "Leg",
    "LegBenchmarks",
    "benchmark_legs",
    "check_leg",
    "choose_benchmarks",
    "day_returns",
    "fields_of_leg",
    "lacking_opens",
    "no_benchmark_legs",
]

Leg = Literal["session", "overnight", "day"]
#: Column of the return panel with the day leg; it is there where the source has opens.
DAY_RETURN = "ret_day"
#: Column of securities that names the traded fund whose legs stand for those of the benchmark.
LEG_BENCHMARK = "leg_benchmark"
#: Column of simulated effects with their part before the open.
OVERNIGHT_EFFECT = "abnormal_overnight"
#: What each leg is, for notes.
MEANING = {
    "session": "close to close, beside the overnight and day legs",
    "overnight": "previous close to open, dividends and splits included",
    "day": "open to close",
}
_BENCHMARK_LEGS = {"benchmark": pl.String, "mic": pl.String, "date": pl.Date, "ret": pl.Float64, DAY_RETURN: pl.Float64}
#: Of the sessions with an open of the benchmark, the share on which a fund needs one to take its place: from its own
#: first open on, and of all.
FEWEST_OPENS, FEWEST_OF_ALL = 0.9, 0.5


def no_benchmark_legs() -> pl.DataFrame:
    """Return an empty frame of returns of benchmarks and of their day legs."""
    return pl.DataFrame(schema=_BENCHMARK_LEGS)


def check_leg(leg: object) -> None:
    """Raise SpecificationError for a leg that does not exist."""
    if leg not in get_args(Leg):
        raise SpecificationError(
            f"leg={leg!r} does not exist. Choose 'overnight', 'day', or 'session' for both together."
        )


def day_returns(prices: pl.DataFrame) -> pl.Series:
    """Compute the return from open to close of each row; null where one of them is missing, or the open unusable.

    What is unusable is a finding; see `checks.unusable_opens`.

    Parameters
    ----------
    prices : polars.DataFrame
        ``symbol, date, close, open`` and perhaps ``unadjusted_close``, on whose basis the open is of a row that has
        one, sorted by symbol and date.
    """
    close = pl.coalesce([name for name in ("unadjusted_close", "close") if name in prices.columns])
    unusable = checks.unusable_opens(prices).with_columns(_unusable=pl.lit(value=True))
    marked = prices.join(unusable, on=["symbol", "date"], how="left", validate="1:1", maintain_order="left")
    is_price = pl.col("open").is_finite() & pl.col("_unusable").is_null()
    return marked.select(pl.when(is_price).then(close / pl.col("open") - 1.0).alias(DAY_RETURN)).to_series()


def benchmark_legs(
    securities: pl.DataFrame, sessions: pl.DataFrame, quotes: pl.DataFrame, columns: Sequence[str]
) -> pl.DataFrame:
    """Compute returns of benchmarks, and their day legs, on the sessions of each exchange that names them.

    Parameters
    ----------
    securities : polars.DataFrame
        ``mic`` and `columns`.
    sessions : polars.DataFrame
        ``mic, date``, sorted.
    quotes : polars.DataFrame
        ``symbol, date, close`` and the day leg, sorted by symbol and date.
    columns : sequence of str
        Columns of `securities` that name benchmarks.

    Returns
    -------
    polars.DataFrame
        ``benchmark, mic, date, ret, ret_day``.
    """
    parts = [no_benchmark_legs()]
    for (mic,), own in securities.partition_by("mic", as_dict=True, maintain_order=True).items():
        named = pl.concat([own[column].cast(pl.String).rename("symbol") for column in columns])
        symbols = named.drop_nulls().unique(maintain_order=True)
        days = sessions.filter(pl.col("mic") == mic)
        grid = SessionGrid(symbols, pl.Series([mic], dtype=pl.String).new_from_index(0, len(symbols)), days)
        rows = grid.on_sessions(of_symbols(quotes, symbols))
        returns = {"ret": grid.place_returns(rows)[0], DAY_RETURN: grid.place(rows, rows[DAY_RETURN])}
        repeated = symbols.gather(np.repeat(np.arange(len(symbols)), days.height))
        columns_of_days = [repeated.alias("benchmark"), grid.of_sessions(days["mic"]), grid.of_sessions(days["date"])]
        values = [pl.Series(name, numbers, nan_to_null=True) for name, numbers in returns.items()]
        parts.append(pl.DataFrame([*columns_of_days, *values]))
    return pl.concat(parts)


@dataclass(frozen=True, slots=True)
class LegBenchmarks:
    """The benchmark of each security's legs.

    Attributes
    ----------
    named : polars.DataFrame
        ``symbol, mic, benchmark, is_fund, lacking, first, n_fund, n_since, n_all``: `is_fund` where it comes from
        ``leg_benchmark``; `lacking`, the fund named there that has no or too few opens, so that the benchmark stands
        in. Sessions with an open: the fund's `first` and `n_fund`; `n_since` of the benchmark from that date on,
        `n_all` of the benchmark.
    without_opens : list of str
        Benchmarks that have no opens either.
    """

    named: pl.DataFrame
    without_opens: list[str]


def choose_benchmarks(securities: pl.DataFrame, known: pl.DataFrame, column: str) -> LegBenchmarks:
    """Choose the benchmark of each security's legs; where a fund has no opens, or few, its benchmark stands in.

    A fund has enough with opens on nine tenths of the sessions of the benchmark from its own first one on, and on half
    of all: one choice for all events.

    Parameters
    ----------
    securities : polars.DataFrame
        ``symbol, mic, benchmark`` and perhaps ``leg_benchmark``.
    known : polars.DataFrame
        What `benchmark_legs` returns.
    column : {"leg_benchmark", "benchmark"}
        Where to look first.

    Raises
    ------
    SpecificationError
        For another column.
    """
    if column not in (LEG_BENCHMARK, "benchmark"):
        raise SpecificationError(
            f"benchmark={column!r}: choose 'leg_benchmark' (a traded fund where securities name one) or 'benchmark'. "
            "For a sector proxy load the market with it: Market.load(..., benchmark='sector_proxy')."
        )
    has_column = column == LEG_BENCHMARK and LEG_BENCHMARK in securities.columns
    fund = pl.col(LEG_BENCHMARK) if has_column else pl.lit(None, pl.String)
    named = securities.select("symbol", "mic", "benchmark", fund.alias("_fund"))
    priced = known.drop_nulls(DAY_RETURN).select("mic", "benchmark", "date")
    counts = _open_counts(named, priced)
    named = named.join(
        counts, on=["mic", "_fund", "benchmark"], how="left", validate="m:1", maintain_order="left", nulls_equal=True
    )
    has_most = pl.col("n_fund") >= FEWEST_OPENS * pl.col("n_since")
    is_fund = (pl.col("n_fund") > 0) & has_most & (pl.col("n_fund") >= FEWEST_OF_ALL * pl.col("n_all"))
    chosen = named.select(
        "symbol",
        "mic",
        pl.when(is_fund).then("_fund").otherwise("benchmark").alias("benchmark"),
        is_fund.alias("is_fund"),
        pl.when(~is_fund).then("_fund").alias("lacking"),
        "first",
        "n_fund",
        "n_since",
        "n_all",
    )
    without = chosen.drop_nulls("benchmark").join(
        priced.unique(["mic", "benchmark"]), on=["mic", "benchmark"], how="anti"
    )
    return LegBenchmarks(chosen, without["benchmark"].unique().sort().to_list())


def _open_counts(named: pl.DataFrame, priced: pl.DataFrame) -> pl.DataFrame:
    """Count the sessions with opens of funds, and of the benchmarks they stand for: `LegBenchmarks.named`."""
    pairs = named.select("mic", "_fund", "benchmark").unique()
    of_fund = priced.group_by("mic", pl.col("benchmark").alias("_fund")).agg(
        first=pl.col("date").min(), n_fund=pl.len()
    )
    pairs = pairs.join(of_fund, on=["mic", "_fund"], how="left", validate="m:1")
    dated = pairs.join(priced, on=["mic", "benchmark"], how="left")
    return dated.group_by("mic", "_fund", "benchmark").agg(
        pl.col("first").first(),
        pl.col("n_fund").first().fill_null(0),
        n_since=(pl.col("date") >= pl.col("first")).sum(),
        n_all=pl.col("date").count(),
    )


def lacking_opens(benchmarks: LegBenchmarks, source: str) -> str:
    """Write the warning about benchmarks without opens; empty where there are none."""
    if not benchmarks.without_opens:
        return ""
    affected = benchmarks.named.filter(pl.col("benchmark").is_in(benchmarks.without_opens))["symbol"].to_list()
    return (
        f"{source} has no opens of the benchmark{'s' if len(benchmarks.without_opens) > 1 else ''} "
        f"{listed(benchmarks.without_opens, quoted=False)}: legs of {len(affected)} securities "
        f"({listed(affected, quoted=False)}) cannot be used by models that need it. Name a traded fund with opens in "
        "the securities' column leg_benchmark."
    )


def fields_of_leg(
    market: Any,
    leg: Leg,
    benchmarks: LegBenchmarks,
    *,
    factors: pl.DataFrame | None,
    accepted: pl.DataFrame,
    limit_hits: pl.DataFrame,
) -> dict[str, Any]:
    """Compute the fields in which the market of a leg differs; see `Market.legs`.

    Parameters
    ----------
    market : Market
        Of sessions, with the day leg.
    leg : {"overnight", "day", "session"}
        The leg.
    benchmarks : LegBenchmarks
        What `choose_benchmarks` returns.
    factors : polars.DataFrame or None
        Checked factors of the leg.
    accepted : polars.DataFrame
        ``symbol, date`` of legs that are real.
    limit_hits : polars.DataFrame
        `Market.limit_hits` of the leg.
    """
    kept = market.factors if factors is None and leg == "session" else ()
    names = kept if factors is None else tuple(name for name in factors.columns if name != "date")
    left_out = market.factors if factors is None and leg != "session" else ()
    frame = _leg_frame(market.return_panel, kept, benchmarks.named, market.benchmark_legs, leg)
    found = _steps(market, frame, benchmarks.named, factors, leg)
    known = {*benchmarks.named["symbol"], *benchmarks.named["benchmark"].drop_nulls(), *names}
    implausible.check_steps(accepted, found, market.findings, known)
    steps = implausible.without_accepted(found, accepted)
    rows = frame.drop("_session")
    if factors is not None:
        rows = rows.join(factors, on="date", how="left", validate="m:1", maintain_order="left")
    indexed = FramePanel.from_frame(rows, benchmarks.named.select("symbol", "benchmark"))
    own = benchmarks.named.select("symbol", "benchmark")
    return {
        "return_panel": FramePanel(rows, indexed.securities, limit_hits),
        "securities": market.securities.drop("benchmark").join(own, on="symbol", how="left", validate="1:1"),
        "factors": names,
        "notes": (*market.notes, *_notes(market.source, leg, benchmarks.named, frame, left_out)),
        "truth": _truth(market.truth, leg),
        "findings": implausible.add_findings(market.findings, steps, accepted),
        "implausible": steps,
        "leg": leg,
        "benchmark_legs": no_benchmark_legs(),
    }


def _truth(truth: pl.DataFrame | None, leg: Leg) -> pl.DataFrame | None:
    """Return the simulated effects of a leg; None where their overnight part is not known."""
    if truth is None or leg == "session":
        return truth
    if OVERNIGHT_EFFECT not in truth.columns:
        return None
    overnight = pl.col(OVERNIGHT_EFFECT)
    effect = overnight if leg == "overnight" else pl.col("abnormal_return") - overnight
    return truth.select("symbol", "date", effect.alias("abnormal_return"))


def _leg_frame(
    panel: ReturnPanel, factors: Sequence[str], named: pl.DataFrame, known: pl.DataFrame, leg: Leg
) -> pl.DataFrame:
    """Compute one leg of securities and benchmarks, in the panel's order of rows.

    Returns
    -------
    polars.DataFrame
        Columns of the panel, its factors only those of `factors`, and ``_session``, the return of the session.
    """
    # trade-to-trade returns are of whole sessions
    whole = ("ret_since_trade",) if leg == "session" else ()
    other = [name for name in (*factors, *whole, "close", "volume") if name in panel.columns]
    frame = panel.to_frame(("symbol", "mic", "session", "date", "ret", DAY_RETURN, *other))
    benchmark = known.select("benchmark", "mic", "date", _leg(leg).alias("market"))
    return (
        frame.join(named.select("symbol", "benchmark"), on="symbol", how="left", validate="m:1", maintain_order="left")
        .join(benchmark, on=["benchmark", "mic", "date"], how="left", validate="m:1", maintain_order="left")
        .with_columns(_leg(leg).alias("ret"), pl.col("ret").alias("_session"))
        .select("symbol", "mic", "session", "date", "ret", "market", *other, "_session")
    )


def _steps(
    market: Any, frame: pl.DataFrame, named: pl.DataFrame, factors: pl.DataFrame | None, leg: Leg
) -> pl.DataFrame:
    """Find legs beyond a factor of three: ``symbol, date, ret``; an unadjusted split is in the overnight leg."""
    benchmarks = market.benchmark_legs.select(
        pl.col("benchmark").alias("symbol"), "date", _leg(leg).alias("ret"), pl.col("ret").alias("session")
    ).filter(pl.col("symbol").is_in(named["benchmark"].drop_nulls().unique().implode()))
    own = frame.select("symbol", "date", "ret", pl.col("_session").alias("session"))
    found = implausible.implausible_legs(pl.concat([own, benchmarks]), market.implausible)
    if leg == "day":
        return pl.concat([found, implausible.factor_steps(factors)])
    dropped = market.factors if leg == "overnight" or factors is not None else ()
    of_sessions: pl.DataFrame = market.implausible.filter(~pl.col("symbol").is_in(list(dropped)))
    steps = pl.concat([of_sessions, found, implausible.factor_steps(factors)])
    return steps.unique(["symbol", "date"], keep="first", maintain_order=True).sort("symbol", "date")


def _leg(leg: Leg) -> pl.Expr:
    """Compute a leg from ``ret`` and ``ret_day``; a total loss in the day leaves nothing to compute the night from."""
    if leg == "session":
        return pl.col("ret")
    if leg == "day":
        return pl.col(DAY_RETURN)
    return pl.when(pl.col(DAY_RETURN) > -1.0).then((1.0 + pl.col("ret")) / (1.0 + pl.col(DAY_RETURN)) - 1.0)


def _notes(source: str, leg: Leg, named: pl.DataFrame, frame: pl.DataFrame, left_out: Sequence[str]) -> Iterator[str]:
    """Describe a leg, its benchmarks, and what has no opens, for readers of results."""
    yield f"returns are those of one leg of each session, {leg}: {MEANING[leg]}"
    for is_fund, kind in ((True, "a traded fund"), (False, "the benchmark itself; the open of an index can be stale")):
        own = named.filter(pl.col("is_fund") == is_fund).drop_nulls("benchmark")
        for (name,), part in own.partition_by("benchmark", as_dict=True, maintain_order=True).items():
            yield f"legs on {_exchanges(part)} are against {name} ({kind})"
    yield from _notes_on_funds(source, leg, named)
    has_leg = frame.group_by("symbol").agg(pl.col("ret").is_not_null().any())
    without = has_leg.filter(~pl.col("ret"))["symbol"].sort().to_list()
    if without:
        yield f"without opens, and so without this leg: {listed(without, quoted=False)}"
    if left_out:
        names = listed(list(left_out), quoted=False)
        yield f"factors left out, which are returns of whole sessions: {names}; give the leg's to legs(factors=)"


def _notes_on_funds(source: str, leg: Leg, named: pl.DataFrame) -> Iterator[str]:
    """Say why the benchmark stands in for a fund, and from when on a fund has opens."""
    keys = ("lacking", "first", "n_fund", "n_since", "n_all")
    lacking = named.drop_nulls("lacking").partition_by(keys, as_dict=True, maintain_order=True)
    for (name, first, n_fund, n_since, n_all), part in lacking.items():
        fund = f"{name}, the leg_benchmark on {_exchanges(part)}"
        if not n_fund:
            yield f"{source} has no opens of {fund}"
        elif n_fund < FEWEST_OPENS * n_since:
            yield (
                f"{source} has opens of {fund}, on {n_fund} of the {n_since} sessions with an open of the benchmark "
                f"from {first} on, fewer than {FEWEST_OPENS:.0%}: the benchmark stands in"
            )
        else:
            yield (
                f"{source} has opens of {fund}, from {first} on only, {n_fund} of the {n_all} sessions with an open of "
                f"the benchmark, fewer than {FEWEST_OF_ALL:.0%}: the benchmark stands in"
            )
    if leg == "session":
        return
    late = named.filter("is_fund", pl.col("n_since") < pl.col("n_all"))
    for (name, first), part in late.partition_by("benchmark", "first", as_dict=True, maintain_order=True).items():
        n = part["n_all"][0] - part["n_since"][0]
        yield (
            f"{source} has opens of {name}, the leg_benchmark on {_exchanges(part)}, from {first} on only: legs of the "
            f"{n} sessions before have no benchmark; for these use legs(benchmark='benchmark')"
        )


def _exchanges(named: pl.DataFrame) -> str:
    return ", ".join(named["mic"].unique().sort())
