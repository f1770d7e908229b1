"""Prices become returns, benchmarks and factors on each exchange's own sessions."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact import calendars, schema
from marketimpact.errors import DataError, MarketImpactWarning
from marketimpact.sources.protocol import PriceSource, PriceTable, fingerprint

__all__ = ["FROM_RETURNS", "Market"]

#: Stands for the exchange of a market made by `Market.from_returns`: its sessions are the benchmark's dates.
FROM_RETURNS = "SESSIONS"
#: A closure is believed when at least this many securities of the exchange should have had a price.
SEVERAL = 2
#: Columns of `Market.since_trade`.
SINCE_TRADE = ("ret_since_trade", "sessions_since_trade", "market_since_trade")
_REPAIRS = {"mic": pl.String, "date": pl.Date, "action": pl.String, "detail": pl.String}


@dataclass(frozen=True, eq=False)
class Market:
    """Returns of securities, of their benchmarks and of factors, session by session.

    Make one with `Market.load` (prices) or `Market.from_returns` (returns).

    Attributes
    ----------
    panel : polars.DataFrame
        ``symbol, mic, session, date, ret, market`` and one column per factor: one row per security
        and session of its exchange. `session` counts the exchange's sessions, `ret` and `market`
        are simple returns (fraction per session), null where a price is missing on the day or the
        session before. Sorted by (symbol, session).
    securities : polars.DataFrame
        The securities with prices.
    sessions : polars.DataFrame
        ``mic, date, open, break_start, break_end, close, exchange_time_zone`` after repairs.
    repairs : polars.DataFrame
        ``mic, date, action, detail``: where the prices overruled the calendar, or the reverse.
    spans : polars.DataFrame
        ``symbol, first, last``: dates of each security's first and last price or return.
    missing : tuple of str
        Securities and benchmarks that were asked for and have no prices.
    factors : tuple of str
        Names of the factor columns.
    source : str
        Where the prices come from.
    simulated : bool
        Whether the prices are simulated.
    notes : tuple of str
        What a reader of results should know about the data.
    truth : polars.DataFrame or None
        ``symbol, date, abnormal_return``: what was put into simulated prices.
    fingerprint : str
        sha256 of the content.
    """

    panel: pl.DataFrame
    securities: pl.DataFrame
    sessions: pl.DataFrame
    repairs: pl.DataFrame
    spans: pl.DataFrame
    missing: tuple[str, ...]
    factors: tuple[str, ...]
    source: str
    simulated: bool
    fingerprint: str
    notes: tuple[str, ...] = ()
    truth: pl.DataFrame | None = field(default=None, repr=False)

    @classmethod
    def load(
        cls,
        securities: pl.DataFrame,
        source: PriceSource,
        *,
        factors: pl.DataFrame | None = None,
        benchmark: Literal["benchmark", "sector_proxy"] = "benchmark",
        first: date | None = None,
        last: date | None = None,
    ) -> Market:
        """Read prices and turn them into returns on each exchange's sessions.

        Parameters
        ----------
        securities : polars.DataFrame
            ``symbol``, ``mic`` and a column of benchmark symbols; see `marketimpact.securities`.
        source : PriceSource
            `SamplePrices`, `FilePrices`, `YahooPrices` or anything with their ``read``.
        factors : polars.DataFrame, optional
            ``date`` and one decimal column per factor; joined by date.
        benchmark : {"benchmark", "sector_proxy"}
            Which column of `securities` names the benchmark. Against a sector proxy an abnormal
            return is one relative to the sector.
        first, last : datetime.date, optional
            Span to read; everything the source has by default.

        Raises
        ------
        DataError
            For broken securities or prices, an unknown exchange, or broken factors.
        SourceError
            When the source has none of the prices.
        """
        securities = schema.check(schema.Securities, securities, "securities").sort("symbol")
        if securities[benchmark].null_count() == securities.height:
            raise DataError(f"securities: every {benchmark!r} is empty, so nothing says what the market did.")
        wanted = sorted({*securities["symbol"], *securities[benchmark].drop_nulls()})
        table = source.read(wanted, first, last)
        return _from_prices(securities, table, _check_factors(factors), benchmark)

    @classmethod
    def from_returns(
        cls, returns: pl.DataFrame, benchmark: pl.DataFrame, factors: pl.DataFrame | None = None
    ) -> Market:
        """Take returns as they are; the sessions of every security are the benchmark's dates.

        Parameters
        ----------
        returns : polars.DataFrame
            ``date, symbol, ret``: simple returns; absent rows and empty cells are missing returns.
        benchmark : polars.DataFrame
            ``date, ret``.
        factors : polars.DataFrame, optional
            ``date`` and one decimal column per factor (``mktrf smb hml rmw cma mom rf``, others free).

        Raises
        ------
        DataError
            For a broken frame, or returns on dates the benchmark does not have.
        """
        returns = schema.check(schema.Returns, returns, "returns").select("symbol", "date", "ret")
        benchmark = schema.check(schema.Benchmark, benchmark, "benchmark").select("date", "ret").sort("date")
        factors = _check_factors(factors)
        strangers = returns.filter(pl.col("ret").is_not_null()).join(benchmark, on="date", how="anti")
        if strangers.height:
            raise DataError(
                f"returns has {strangers.height} rows on dates that the benchmark lacks, the first on "
                f"{strangers['date'].min()!s}: the benchmark's dates are the sessions. Give it those dates "
                "(an empty ret is allowed), or drop the rows.",
                rows=strangers,
            )
        symbols = returns.select(pl.col("symbol").unique().sort())
        sessions = benchmark.select(pl.lit(FROM_RETURNS).alias("mic"), "date", *_no_clock())
        grid = symbols.join(_numbered(sessions), how="cross")
        panel = grid.join(returns, on=["symbol", "date"], how="left", validate="m:1").join(
            benchmark.rename({"ret": "market"}), on="date", how="left", validate="m:1"
        )
        return cls(
            panel=_finish(panel, factors),
            securities=symbols.with_columns(pl.lit(FROM_RETURNS).alias("mic"), pl.lit("benchmark").alias("benchmark")),
            sessions=sessions,
            repairs=pl.DataFrame(schema=_REPAIRS),
            spans=_spans(returns.drop_nulls("ret")),
            missing=(),
            factors=tuple(c for c in factors.columns if c != "date") if factors is not None else (),
            source="returns handed in",
            simulated=False,
            fingerprint=_combined(returns, benchmark, factors),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names a model can ask for: ``market``, the factors, and what refers to the last trade."""
        return ("market", *self.factors, *(c for c in SINCE_TRADE if c != "ret_since_trade"))

    @cached_property
    def _columns(self) -> dict[str, NDArray[np.float64]]:
        return {}

    def column(self, name: str) -> NDArray[np.float64]:
        """A column of `panel`, or of `since_trade`, as numbers; NaN where missing."""
        if name not in self._columns:
            frame = self.panel if name in self.panel.columns else self.since_trade
            self._columns[name] = frame[name].cast(pl.Float64).to_numpy()
        return self._columns[name]

    @cached_property
    def days(self) -> NDArray[np.int64]:
        """Date of every row of `panel` as days since 1970-01-01."""
        return self.panel["date"].to_physical().to_numpy().astype(np.int64)

    @cached_property
    def since_trade(self) -> pl.DataFrame:
        """``ret_since_trade, sessions_since_trade, market_since_trade``: trade-to-trade returns.

        Row for row beside `panel`; null on sessions without a trade. The first return of a security
        counts one session; `market_since_trade` is the sum of the benchmark's returns over the gap.
        """
        traded = pl.col("ret_since_trade").is_not_null()
        frame = self.panel if "ret_since_trade" in self.panel.columns else self.panel.with_columns(
            pl.col("ret").alias("ret_since_trade")
        )  # fmt: skip
        last = pl.when(traded).then(pl.col("session")).forward_fill().shift(1).over("symbol")
        frame = frame.with_columns(
            pl.when(traded).then((pl.col("session") - last).fill_null(1)).alias("sessions_since_trade"),
            pl.when(traded).then(pl.col("session")).backward_fill().over("symbol").alias("_gap"),
        )
        # a gap with an unknown benchmark return has an unknown sum
        whole = pl.col("market").is_not_null().all().over("symbol", "_gap")
        total = pl.when(whole).then(pl.col("market").sum().over("symbol", "_gap"))
        one = pl.col("sessions_since_trade") == 1
        return frame.select(
            "ret_since_trade",
            "sessions_since_trade",
            pl.when(traded).then(pl.when(one).then(pl.col("market")).otherwise(total)).alias("market_since_trade"),
        )

    @cached_property
    def first_rows(self) -> pl.DataFrame:
        """``symbol, mic, first_row, first_session, n_sessions``: where a security starts in `panel`."""
        return (
            self.panel.with_row_index("row")
            .group_by("symbol", maintain_order=True)
            .agg(
                pl.col("mic").first(),
                pl.col("row").first().cast(pl.Int64).alias("first_row"),
                pl.col("session").first().alias("first_session"),
                pl.len().cast(pl.Int64).alias("n_sessions"),
            )
        )

    @cached_property
    def trading_hours(self) -> pl.DataFrame:
        """``symbol, opens, closes``: each exchange's usual hours, in UTC hours after its date's midnight."""
        midnight = pl.col("date").cast(pl.Datetime("us", "UTC"))
        hours = self.sessions.group_by("mic").agg(
            ((pl.col("open") - midnight).dt.total_minutes() / 60).median().alias("opens"),
            ((pl.col("close") - midnight).dt.total_minutes() / 60).median().alias("closes"),
        )
        return self.first_rows.select("symbol", "mic").join(hours, on="mic", how="left", validate="m:1").drop("mic")

    def __repr__(self) -> str:
        """Say what is inside, and whether it is simulated."""
        span = f"{self.spans['first'].min()!s} to {self.spans['last'].max()!s}"
        lines = [
            f"Market: {self.spans.height} securities on {self.sessions['mic'].n_unique()} exchanges, {span}",
            f"  source: {self.source}" + ("  [SIMULATED PRICES]" if self.simulated else ""),
        ]
        if self.factors:
            lines.append(f"  factors: {', '.join(self.factors)}")
        if self.missing:
            lines.append(f"  without prices ({len(self.missing)}): {_some(self.missing)}")
        if self.repairs.height:
            lines.append(f"  calendar repairs: {self.repairs.height} (see .repairs)")
        return "\n".join(lines)


def _some(symbols: Sequence[str], shown: int = 8) -> str:
    return ", ".join(symbols[:shown]) + (", ..." if len(symbols) > shown else "")


def _from_prices(securities: pl.DataFrame, table: PriceTable, factors: pl.DataFrame | None, benchmark: str) -> Market:
    prices = table.frame.select("symbol", "date", "close").drop_nulls("close")
    if prices.is_empty():
        raise DataError(f"{table.source} has no prices, only empty closes.")
    have = securities.join(prices.select("symbol").unique(), on="symbol", how="semi")
    if have.is_empty():
        raise DataError(f"{table.source} has prices of no security, only of benchmarks: {_some(table.missing)}.")
    first, last = _extent(prices)
    listed = calendars.sessions(have["mic"].unique(), first, last)
    sessions, repairs = _repair(listed, have, prices)
    numbered = _numbered(sessions)
    panel = _returns_on_sessions(
        have.select("symbol", "mic", benchmark).join(numbered, on="mic", how="inner"), prices, "symbol"
    ).rename({"return": "ret"})
    panel = panel.join(
        _benchmark_returns(have, numbered, prices, benchmark),
        on=["mic", benchmark, "date"],
        how="left",
        validate="m:1",
        nulls_equal=True,
    )
    missing = tuple(sorted({*table.missing, *set(securities["symbol"]).difference(have["symbol"])}))
    _warn_of_benchmarks(have, prices, benchmark)
    return Market(
        panel=_finish(panel.drop(benchmark), factors),
        securities=have.with_columns(pl.col(benchmark).alias("benchmark")),
        sessions=sessions,
        repairs=repairs,
        spans=_spans(prices.join(have, on="symbol", how="semi")),
        missing=missing,
        factors=tuple(c for c in factors.columns if c != "date") if factors is not None else (),
        source=table.source,
        simulated=table.simulated,
        notes=table.notes,
        truth=table.truth,
        fingerprint=_combined(table.frame, factors),
    )


def _extent(prices: pl.DataFrame) -> tuple[date, date]:
    row = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    return row[0], row[1]


def _numbered(sessions: pl.DataFrame) -> pl.DataFrame:
    return sessions.select("mic", pl.int_range(pl.len(), dtype=pl.Int64).over("mic").alias("session"), "date")


def _returns_on_sessions(grid: pl.DataFrame, prices: pl.DataFrame, by: str) -> pl.DataFrame:
    """Simple returns between neighbouring sessions; a gap in prices is a gap in returns."""
    keys = [c for c in grid.columns if c not in ("session", "date")]
    renamed = prices.rename({"symbol": by})
    return (
        grid.join(renamed, on=[by, "date"], how="left", validate="m:1")
        .sort(*keys, "session", nulls_last=True)
        .with_columns(
            (pl.col("close") / pl.col("close").shift(1).over(keys) - 1.0).alias("return"),
            (pl.col("close") / pl.col("close").forward_fill().shift(1).over(keys) - 1.0).alias("ret_since_trade"),
        )
        .drop("close")
    )


def _benchmark_returns(
    securities: pl.DataFrame, numbered: pl.DataFrame, prices: pl.DataFrame, benchmark: str
) -> pl.DataFrame:
    """Benchmark returns on the sessions of the exchange that uses it."""
    pairs = securities.select("mic", benchmark).unique().drop_nulls()
    grid = pairs.join(numbered, on="mic", how="inner")
    return _returns_on_sessions(grid, prices, benchmark).select(
        "mic", benchmark, "date", pl.col("return").alias("market")
    )


def _repair(listed: pl.DataFrame, securities: pl.DataFrame, prices: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Close listed sessions on which a whole exchange has no price; note prices on closed days."""
    own = prices.join(securities.select("symbol", "mic"), on="symbol", how="inner", validate="m:1")
    alive = _spans(own).join(securities.select("symbol", "mic"), on="symbol", how="inner", validate="1:1")
    due = (
        listed.select("mic", "date")
        .join(alive, on="mic", how="inner")
        .filter(pl.col("date").is_between(pl.col("first"), pl.col("last")))
        .group_by("mic", "date")
        .agg(pl.len().alias("due"))
    )
    shut = due.filter(pl.col("due") >= SEVERAL).join(own, on=["mic", "date"], how="anti")
    stray = (
        own.join(listed, on=["mic", "date"], how="anti")
        .group_by("mic", "date")
        .agg(pl.col("symbol").sort().alias("symbols"))
    )
    repairs = pl.concat(
        [
            shut.select(
                "mic",
                "date",
                pl.lit("closed").alias("action"),
                pl.format("calendar lists a session; none of the {} securities has a price", "due").alias("detail"),
            ),
            stray.select(
                "mic",
                "date",
                pl.lit("ignored_prices").alias("action"),
                pl.format("calendar has no session; prices of {} ignored", pl.col("symbols").list.join(", ")).alias(
                    "detail"
                ),
            ),
        ]
    ).sort("mic", "date", "action")
    return listed.join(shut, on=["mic", "date"], how="anti", maintain_order="left"), repairs


def _spans(frame: pl.DataFrame) -> pl.DataFrame:
    return (
        frame.group_by("symbol")
        .agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))
        .sort("symbol")
    )


def _finish(panel: pl.DataFrame, factors: pl.DataFrame | None) -> pl.DataFrame:
    if factors is not None:
        panel = panel.join(factors, on="date", how="left", validate="m:1")
        names = [c for c in factors.columns if c != "date"]
    else:
        names = []
    lead = ["symbol", "mic", "session", "date", "ret", "market"]
    given = [c for c in ("ret_since_trade",) if c in panel.columns]
    return panel.select(*lead, *names, *given).sort("symbol", "session")


def _check_factors(factors: pl.DataFrame | None) -> pl.DataFrame | None:
    if factors is None:
        return None
    if not isinstance(factors, pl.DataFrame) or "date" not in factors.columns or factors.is_empty():
        raise DataError("factors must be a polars frame with a 'date' column, one column per factor, and rows.")
    taken = {"symbol", "mic", "session", "ret", "market", *SINCE_TRADE}.intersection(factors.columns)
    words = [c for c in factors.columns if c != "date" and not factors[c].dtype.is_numeric()]
    if taken or words:
        raise DataError(
            f"factors: columns {sorted(taken)} have names the panel needs; rename them."
            if taken
            else f"factors: columns {words} are not numbers; cast or drop them."
        )
    if factors["date"].n_unique() < factors.height:
        raise DataError(f"factors repeats {factors.height - factors['date'].n_unique()} dates; keep one row each.")
    names = [c for c in factors.columns if c != "date"]
    checked = factors.with_columns(pl.col(names).cast(pl.Float64).fill_nan(None))
    large = [c for c in names if c != "rf" and float(checked[c].to_numpy().std()) > PERCENT_SD]
    if large:
        warnings.warn(
            f"factors {', '.join(large)} have a daily standard deviation above {PERCENT_SD:.0%}: "
            "are they in percent? marketimpact wants decimals (0.01 for 1%).",
            MarketImpactWarning,
            stacklevel=3,
        )
    return checked.select("date", *names).sort("date")


#: A daily factor that moves by more than this is most likely in percent.
PERCENT_SD = 0.15


def _warn_of_benchmarks(have: pl.DataFrame, prices: pl.DataFrame, benchmark: str) -> None:
    wanted = have.select(pl.col(benchmark)).drop_nulls().unique()
    lacking = wanted.join(prices, left_on=benchmark, right_on="symbol", how="anti")[benchmark].sort().to_list()
    if lacking:
        hit = have.filter(pl.col(benchmark).is_in(lacking))["symbol"].to_list()
        warnings.warn(
            f"No prices of the benchmark{'s' if len(lacking) > 1 else ''} {_some(lacking)}: events of "
            f"{len(hit)} securities ({_some(hit)}) cannot be used by models that need it.",
            MarketImpactWarning,
            stacklevel=4,
        )


def _no_clock() -> list[pl.Expr]:
    instant = pl.Datetime("us", "UTC")
    clock = [pl.lit(None, dtype=instant).alias(c) for c in ("open", "break_start", "break_end", "close")]
    return [*clock, pl.lit(None, dtype=pl.String).alias("exchange_time_zone")]


def _combined(*frames: pl.DataFrame | None) -> str:

    return hashlib.sha256("".join(fingerprint(f) for f in frames if f is not None).encode()).hexdigest()
