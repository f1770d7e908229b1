"""Make a market from prices: read, check, repair, sessions, returns, panel."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl

from marketimpact.core import schema
from marketimpact.core.fingerprint import fingerprint, fingerprint_in_order
from marketimpact.core.frames import FrameLike
from marketimpact.core.symbol_rows import keep_rows, of_symbols
from marketimpact.core.text import listed
from marketimpact.errors import DataError, MarketImpactWarning
from marketimpact.market import checks, implausible, legs, repairs
from marketimpact.market.benchmark_currency import COLUMN, foreign_benchmarks
from marketimpact.market.factors import check_factors, read_french
from marketimpact.market.panel import FramePanel
from marketimpact.market.plausibility import factor_doubts
from marketimpact.market.price_panel import price_panel
from marketimpact.market.session_returns import spans
from marketimpact.market.traded_sessions import calendar_notes, calendar_repairs, prices_on_closed_days
from marketimpact.sources.files.folder import FolderPrices
from marketimpact.sources.files.price_rows import delisted
from marketimpact.sources.files.single_file import FilePrices
from marketimpact.sources.french.factors import FrenchFactors
from marketimpact.sources.protocol import PriceSource, PriceTable
from marketimpact.sources.sample import NOTE, are_sample_prices

__all__ = ["combined_fingerprint", "fields_from_prices"]

#: Findings so large that one of them spoils every estimate of its symbol.
RUINOUS = ("split_like_jump", "scale_step", "implausible_return")


def fields_from_prices(
    securities: FrameLike,
    source: PriceSource,
    factors: FrameLike | FrenchFactors | None,
    *,
    benchmark: str,
    first: date | None,
    last: date | None,
    repair: Collection[str],
    accept: Iterable[Any] = (),
    calendar_overrides: pl.DataFrame | None = None,
) -> dict[str, Any]:
    """Read, check and repair prices, and compute returns on each exchange's sessions.

    `quotes` are closes and volumes of securities and benchmarks, `closes` those that are not empty, `priced` the
    securities that have any, `traded` the sessions of the exchanges' calendars after what the prices show.

    Parameters
    ----------
    securities : FrameLike
        As in `Market.load`.
    source : PriceSource
        Supplies the prices.
    factors : FrameLike, FrenchFactors or None
        As in `Market.load`.
    benchmark : str
        Column of `securities` that names the benchmark.
    first, last : datetime.date or None
        Span to read.
    repair : collection of str
        Names of `repairs.REPAIRS`.
    accept : iterable of (str, datetime.date)
        Steps that are real.
    calendar_overrides : polars.DataFrame, optional
        As in `Market.load`.

    Returns
    -------
    dict
        The fields of a `Market`.
    """
    securities, accepted = check_securities(securities, benchmark), implausible.check_accept(accept)
    if isinstance(factors, FrenchFactors):
        factors = read_french(factors, securities, first, last)
    symbols = {*securities["symbol"], *securities[benchmark].drop_nulls()}
    table, rows = _read_with_funds(_with_delisted(source, securities), symbols, securities, (first, last), repair)
    factors = check_factors(factors)
    quotes, fills = repairs.empty_copied_closes(table.frame, repair)
    kept = keep_rows(quotes, pl.col("close").is_not_null())
    lives = spans(kept)
    priced, traded = repairs.settle_sessions(securities, table, kept, lives["symbol"], calendar_overrides)
    findings = repairs.check_rows(rows, securities, traded, table.source, repair=repair, accepted=accepted)
    quotes, adjustments = repairs.adjust_closes(quotes, findings)
    quotes = _with_day_returns(quotes, table.frame)
    duplicates = repairs.find_duplicates(table.frame, findings, repair)
    closes = keep_rows(quotes.select("symbol", "date", "close"), pl.col("close").is_not_null())
    on_closed_days = prices_on_closed_days(traded, priced, closes)
    repairs.refuse_closed_days(on_closed_days, table.source, repair)
    sessions = traded.by_exchange("sessions", priced)
    made = price_panel(priced, sessions, quotes, factors, benchmark)
    benchmark_legs = _benchmark_legs(priced, sessions, quotes, benchmark)
    benchmarks = pl.concat([made.benchmarks, benchmark_legs.select(pl.col("benchmark").alias("symbol"), "date", "ret")])
    steps = _implausible_steps(made.panel, benchmarks, rows=rows, securities=securities, factors=factors)
    names = {*lives["symbol"], *(factors.columns if factors is not None else ())}
    implausible.check_steps(accepted, steps, findings, names)
    findings = implausible.add_findings(findings, steps, accepted)
    for message in _doubts(priced, lives["symbol"], findings, benchmark):
        warnings.warn(message, MarketImpactWarning, stacklevel=3)
    copied = not table.simulated and are_sample_prices(closes)
    return {
        "return_panel": made.panel,
        "securities": priced.with_columns(pl.col(benchmark).alias("benchmark")),
        "benchmark_legs": benchmark_legs,
        "sessions": sessions,
        "repairs": calendar_repairs(traded, priced, on_closed_days),
        "unpriced_sessions": traded.by_exchange("unpriced", priced),
        "spans": _of_securities(lives, priced),
        "missing": tuple(sorted({*table.missing, *set(securities["symbol"]).difference(priced["symbol"])})),
        "factors": tuple(c for c in factors.columns if c != "date") if factors is not None else (),
        "source": table.source,
        "simulated": table.simulated or copied,
        "notes": (
            *table.notes,
            *((NOTE,) if copied else ()),
            *factor_doubts(factors),
            *repairs.repair_notes(fills, adjustments, findings),
            *calendar_notes(traded, priced, on_closed_days, has_overrides=calendar_overrides is not None),
            *checks.market_notes(findings),
        ),
        "truth": table.truth,
        "traded": _unadjusted_closes(table, adjustments, priced),
        "fills": _of_securities(fills, priced),
        "findings": findings,
        "price_repairs": repairs.record_repairs(fills, adjustments, duplicates, on_closed_days),
        "implausible": implausible.without_accepted(steps, accepted),
        "fingerprint": _fingerprint(
            of_symbols(table.frame, pl.Series(sorted(symbols))),
            factors,
            repair,
            calendar_overrides,
            adjustments,
            accepted,
            *_used_opens(quotes),
        ),
    }


def _implausible_steps(
    panel: FramePanel,
    benchmarks: pl.DataFrame,
    *,
    rows: pl.DataFrame,
    securities: pl.DataFrame,
    factors: pl.DataFrame | None,
) -> pl.DataFrame:
    """Find returns beyond a factor of three: ``symbol, date, ret``; falls that end a delisted security are real."""
    own = implausible.implausible_returns(panel, benchmarks)
    return pl.concat([implausible.without_delistings(own, rows, securities), implausible.factor_steps(factors)])


def check_securities(securities: FrameLike, benchmark: str) -> pl.DataFrame:
    """Check securities, and that any of them names its benchmark; sort by symbol.

    A `leg_benchmark` stands for the column ``benchmark`` alone, and is left out beside another.
    """
    securities = schema.check(schema.Securities, securities, "securities").sort("symbol")
    if securities[benchmark].null_count() == securities.height:
        raise DataError(f"securities: every {benchmark!r} is empty, so there are no market returns. Name benchmarks.")
    return securities if benchmark == "benchmark" else securities.drop(legs.LEG_BENCHMARK, strict=False)


def _with_delisted(source: PriceSource, securities: pl.DataFrame) -> PriceSource:
    """Tell a file or folder which securities are delisted: their last close may be 0."""
    names = delisted(securities)
    if names and isinstance(source, FilePrices | FolderPrices):
        return replace(source, delisted=(*source.delisted, *names))
    return source


def read_prices(
    source: PriceSource, symbols: list[str], first: date | None, last: date | None, repair: Collection[str]
) -> tuple[PriceTable, pl.DataFrame]:
    """Read prices, and the same rows with everything that the checks use."""
    if isinstance(source, FilePrices):
        # a file holds more than a table of prices: currency, both closes, origin of rows
        source = replace(source, drop_repeats=source.drop_repeats or "duplicates" in repair)
        return source.read_with_rows(symbols, first, last)
    table = source.read(symbols, first, last)
    schema.check(schema.Prices, table.frame, f"prices of {table.source}")
    return table, checks.source_rows(table)


def _read_with_funds(
    source: PriceSource,
    symbols: set[str],
    securities: pl.DataFrame,
    span: tuple[date | None, date | None],
    repair: Collection[str],
) -> tuple[PriceTable, pl.DataFrame]:
    """Read prices, and those of the funds of `leg_benchmark` where there are opens; a fund may be missing."""
    named = securities[legs.LEG_BENCHMARK].drop_nulls() if legs.LEG_BENCHMARK in securities.columns else ()
    funds = sorted(set(named).difference(symbols))
    table, rows = read_prices(source, sorted({*symbols, *funds}), *span, repair)
    if not funds:
        return table, rows
    missing = tuple(symbol for symbol in table.missing if symbol not in funds)
    if _has_opens(table.frame):
        return replace(table, missing=missing), rows
    others = ~pl.col("symbol").is_in(funds)
    return replace(table, missing=missing, frame=table.frame.filter(others)), rows.filter(others)


def _has_opens(prices: pl.DataFrame) -> bool:
    return "open" in prices.columns and prices["open"].null_count() < prices.height


def _with_day_returns(quotes: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Add the day leg of each row that has a close, where the source has opens; `prices` are the same rows."""
    if not _has_opens(prices):
        return quotes
    day = pl.when(pl.col("close").is_not_null()).then(legs.day_returns(prices))
    return quotes.with_columns(day.alias(legs.DAY_RETURN))


def _used_opens(quotes: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the day legs to be hashed with the prices, where there are any: reports show them beside sessions."""
    if legs.DAY_RETURN in quotes.columns:
        yield quotes.select("symbol", "date", legs.DAY_RETURN).drop_nulls(legs.DAY_RETURN)


def _benchmark_legs(priced: pl.DataFrame, sessions: pl.DataFrame, quotes: pl.DataFrame, benchmark: str) -> pl.DataFrame:
    """Compute the legs of the benchmarks and funds that securities name, where the source has opens."""
    if legs.DAY_RETURN not in quotes.columns:
        return legs.no_benchmark_legs()
    columns = [name for name in (benchmark, legs.LEG_BENCHMARK) if name in priced.columns]
    return legs.benchmark_legs(priced, sessions, quotes, columns)


def _of_securities(frame: pl.DataFrame, priced: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows of securities with prices; those of benchmarks go."""
    return frame.join(priced, on="symbol", how="semi")


def _unadjusted_closes(table: PriceTable, adjustments: pl.DataFrame, priced: pl.DataFrame) -> pl.DataFrame:
    """Select closes not adjusted for dividends, where the source has them besides adjusted ones or dividends."""
    columns = ("symbol", "date", "unadjusted_close")
    frame = table.frame
    if "unadjusted_close" not in frame.columns:
        frame = frame.clear().with_columns(pl.lit(None, pl.Float64).alias("unadjusted_close"))
    paid = adjustments.filter(pl.col("what") == "dividends")["symbol"].unique()
    own = table.frame.filter(pl.col("symbol").is_in(paid.implode())).with_columns(pl.col("close").alias(columns[-1]))
    others = frame.filter(~pl.col("symbol").is_in(paid.implode()))
    closes = pl.concat([others.select(columns), own.select(columns)]).sort("symbol", "date")
    return _of_securities(closes, priced)


def combined_fingerprint(*frames: pl.DataFrame | None) -> str:
    """Compute one fingerprint of several frames."""
    return _sha256("".join(fingerprint(f) for f in frames if f is not None))


def _doubts(priced: pl.DataFrame, with_close: pl.Series, findings: pl.DataFrame, benchmark: str) -> Iterator[str]:
    """Write the warnings about findings that spoil estimates, and about benchmarks without a close."""
    worst = findings.filter(pl.col("finding").is_in(RUINOUS), pl.col("severity") == checks.WARNING)
    if worst.height:
        row = worst.row(0, named=True)
        others = f" And {worst.height - 1} more such findings: see market.findings." if worst.height > 1 else ""
        yield f"{row['symbol']} on {row['date']}: {row['detail']}{others}"
    yield from _currency_doubt(priced, benchmark)
    lacking = sorted({*priced[benchmark].drop_nulls()}.difference(with_close))
    if lacking:
        affected = priced.filter(pl.col(benchmark).is_in(lacking))["symbol"].to_list()
        yield (
            f"No prices of the benchmark{'s' if len(lacking) > 1 else ''} {listed(lacking, quoted=False)}: events of "
            f"{len(affected)} securities ({listed(affected, quoted=False)}) cannot be used by models that need it."
        )


def _currency_doubt(priced: pl.DataFrame, benchmark: str) -> Iterator[str]:
    """Write a warning where the securities say that a benchmark is in another currency than its security."""
    if not {COLUMN, "currency"} <= set(priced.columns):
        return
    foreign = foreign_benchmarks(priced.drop_nulls(benchmark))
    if foreign.height:
        row = foreign.row(0, named=True)
        yield (
            f"Benchmarks of {foreign.height} securities are in another currency than these ({row['symbol']} in "
            f"{row['currency']}, {row[benchmark]} in {row[COLUMN]}), so abnormal returns contain the exchange rate. "
            "Convert them with market.convert_benchmarks(rates)."
        )


def _fingerprint(
    frame: pl.DataFrame,
    factors: pl.DataFrame | None,
    repair: Collection[str],
    overrides: pl.DataFrame | None,
    *changes: pl.DataFrame,
) -> str:
    """Hash the content, repairs where they are not the default ones, adjustments, accepted steps and legs if any."""
    # opens are hashed as the legs they make, among the changes; other columns of a source change no return
    prices = fingerprint_in_order(frame.select("symbol", "date", "close", "volume"))
    content = _sha256(prices + combined_fingerprint(factors, overrides))
    further = "" if set(repair) == set(repairs.DEFAULT) else " ".join(sorted(repair))
    further += "".join(fingerprint(frame) for frame in changes if frame.height)
    return _sha256(content + further) if further else content


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
