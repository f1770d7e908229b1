"""From a table of prices to what a `Market` holds: checks, repairs, returns on each exchange's sessions."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import polars as pl

from marketimpact.core.fingerprint import fingerprint
from marketimpact.errors import DataError, MarketImpactWarning
from marketimpact.events import calendars
from marketimpact.market import checks, repairs
from marketimpact.market import session_returns as panels
from marketimpact.market.panel import FramePanel
from marketimpact.sources.protocol import PriceTable

__all__ = ["combined", "finished", "from_prices", "some"]

#: Findings so large that one of them spoils every estimate of its symbol.
RUINOUS = ("split_like_jump", "scale_step")


def from_prices(
    securities: pl.DataFrame,
    table: PriceTable,
    rows: pl.DataFrame,
    factors: pl.DataFrame | None,
    *,
    benchmark: str,
    repair: Collection[str],
) -> dict[str, Any]:
    """Check and mend prices, and make returns of them.

    Parameters
    ----------
    securities : polars.DataFrame
        Sorted by symbol.
    table : PriceTable
        What the source gave.
    rows : polars.DataFrame
        The same with all that the source says, for the checks; see `checks.rows_of`.
    factors : polars.DataFrame or None
        As `check_factors` gives them.
    benchmark : str
        Column of `securities` that names the benchmark.
    repair : collection of str
        Names of `repairs.REPAIRS`.

    Returns
    -------
    dict
        The fields of a `Market`.
    """
    quoted, fills = repairs.without_copies(table.frame, repair)
    have, listed = _sessions_of(securities, table, quoted)
    findings = repairs.mark_repaired(checks.findings_of(rows, securities, listed), repair)
    checks.refuse(findings, table.source)
    _warn_of_jumps(findings)
    quoted, rescaled = repairs.without_splits(quoted, findings, repair)
    prices = quoted.select("symbol", "date", "close").drop_nulls("close")
    sessions, overruled = panels.close_empty_sessions(listed, have, prices)
    panel = _panel(have, sessions, prices, benchmark).join(
        quoted.select("symbol", "date", "close", "volume"), on=["symbol", "date"], how="left", validate="1:1"
    )
    _warn_of_benchmarks(have, prices, benchmark)
    done = _done(fills, rescaled, repairs.repeats(table.frame, findings, repair),
                 repairs.closed_days(have, prices, listed, table.source, repair))  # fmt: skip
    return {
        "return_panel": FramePanel.from_frame(
            finished(panel.drop(benchmark), factors), have.select("symbol", pl.col(benchmark).alias("benchmark"))
        ),
        "securities": have.with_columns(pl.col(benchmark).alias("benchmark")),
        "sessions": sessions,
        "repairs": overruled,
        "spans": panels.spans(prices.join(have, on="symbol", how="semi")),
        "missing": tuple(sorted({*table.missing, *set(securities["symbol"]).difference(have["symbol"])})),
        "factors": tuple(c for c in factors.columns if c != "date") if factors is not None else (),
        "source": table.source,
        "simulated": table.simulated,
        "notes": (*table.notes, *_told(fills, rescaled), *checks.sentences(findings, checks.WARNING)),
        "truth": table.truth,
        "traded": _traded(table, have),
        "fills": fills.join(have, on="symbol", how="semi"),
        "findings": findings,
        "price_repairs": done,
        "fingerprint": _hashed(table, factors, repair),
    }


def _traded(table: PriceTable, have: pl.DataFrame) -> pl.DataFrame:
    """Closes as they were traded, where the source has them besides adjusted ones."""
    columns = {"symbol": pl.String, "date": pl.Date, "unadjusted_close": pl.Float64}
    if "unadjusted_close" not in table.frame.columns:
        return pl.DataFrame(schema=columns)
    return table.frame.select(*columns).join(have, on="symbol", how="semi")


def _sessions_of(
    securities: pl.DataFrame, table: PriceTable, quoted: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The securities that have prices, and the sessions their exchanges list."""
    prices = quoted.drop_nulls("close")
    if prices.is_empty():
        raise DataError(f"{table.source} has no prices, only empty closes.")
    have = securities.join(prices.select("symbol").unique(), on="symbol", how="semi")
    if have.is_empty():
        raise DataError(f"{table.source} has prices of no security, only of benchmarks: {some(table.missing)}.")
    return have, calendars.sessions(have["mic"].unique(), *panels.extent(prices))


def _panel(have: pl.DataFrame, sessions: pl.DataFrame, prices: pl.DataFrame, benchmark: str) -> pl.DataFrame:
    """Returns of the securities, and those of their benchmarks beside them."""
    numbered = panels.number_sessions(sessions)
    own = panels.returns_on_sessions(
        have.select("symbol", "mic", benchmark).join(numbered, on="mic", how="inner"), prices, "symbol"
    ).rename({"return": "ret"})
    return own.join(
        panels.benchmark_returns(have, numbered, prices, benchmark),
        on=["mic", benchmark, "date"],
        how="left",
        validate="m:1",
        nulls_equal=True,
    )


def finished(panel: pl.DataFrame, factors: pl.DataFrame | None) -> pl.DataFrame:
    """The panel with the factors of each date, in the order of `Market.panel`."""
    if factors is not None:
        panel = panel.join(factors, on="date", how="left", validate="m:1")
        names = [c for c in factors.columns if c != "date"]
    else:
        names = []
    lead = ["symbol", "mic", "session", "date", "ret", "market"]
    given = [c for c in ("ret_since_trade", "close", "volume") if c in panel.columns]
    return panel.select(*lead, *names, *given).sort("symbol", "session")


def combined(*frames: pl.DataFrame | None) -> str:
    """One fingerprint of several frames."""
    return _digest("".join(fingerprint(f) for f in frames if f is not None))


def some(symbols: Sequence[str], shown: int = 8) -> str:
    """The first symbols for a sentence."""
    return ", ".join(symbols[:shown]) + (", ..." if len(symbols) > shown else "")


def _done(fills: pl.DataFrame, *others: pl.DataFrame) -> pl.DataFrame:
    """Every repair as a row."""
    emptied = fills.select(
        "symbol", "date", pl.lit("copied_closes").alias("what"), pl.col("close").alias("before"),
        pl.lit(None, pl.Float64).alias("after"),
    )  # fmt: skip
    return pl.concat([emptied, *others]).sort("symbol", "date", "what")


def _told(fills: pl.DataFrame, rescaled: pl.DataFrame) -> list[str]:
    said = []
    if fills.height:
        count, symbols = fills.height, fills["symbol"].n_unique()
        said.append(f"{count} closes of {symbols} symbols without volume were copies and are not used")
    for row in rescaled.iter_rows(named=True):
        said.append(
            f"closes of {row['symbol']} to {row['date']} were divided by {row['before'] / row['after']:g}: a split "
            "they were not adjusted for"
        )
    return said


def _warn_of_jumps(findings: pl.DataFrame) -> None:
    """Warn aloud of what drowns every estimate."""
    worst = findings.filter(pl.col("finding").is_in(RUINOUS), pl.col("severity") == checks.WARNING)
    if worst.is_empty():
        return
    row = worst.row(0, named=True)
    others = f" And {worst.height - 1} more such findings: see market.findings." if worst.height > 1 else ""
    warnings.warn(f"{row['symbol']} on {row['date']}: {row['detail']}{others}", MarketImpactWarning, stacklevel=4)


def _warn_of_benchmarks(have: pl.DataFrame, prices: pl.DataFrame, benchmark: str) -> None:
    wanted = have.select(pl.col(benchmark)).drop_nulls().unique()
    lacking = wanted.join(prices, left_on=benchmark, right_on="symbol", how="anti")[benchmark].sort().to_list()
    if lacking:
        hit = have.filter(pl.col(benchmark).is_in(lacking))["symbol"].to_list()
        warnings.warn(
            f"No prices of the benchmark{'s' if len(lacking) > 1 else ''} {some(lacking)}: events of "
            f"{len(hit)} securities ({some(hit)}) cannot be used by models that need it.",
            MarketImpactWarning,
            stacklevel=4,
        )


def _hashed(table: PriceTable, factors: pl.DataFrame | None, repair: Collection[str]) -> str:
    """Fingerprint of the content, and of the repairs where they are not the usual ones."""
    # what numbers rest on; what else a source keeps beside them changes no result
    content = combined(table.frame.select("symbol", "date", "close", "volume"), factors)
    usual = set(repair) == set(repairs.DEFAULT)
    return content if usual else _digest(content + " ".join(sorted(repair)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
