"""Check factor frames, and match returns of another exchange by closing times."""

from __future__ import annotations

import warnings
from datetime import date

import polars as pl

from marketimpact.core import schema
from marketimpact.core.day_table import are_midnights
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import FACTORS
from marketimpact.errors import DataError, MarketImpactWarning, SpecificationError
from marketimpact.events import calendars
from marketimpact.events.calendars import EXCHANGES
from marketimpact.market import plausibility
from marketimpact.market.panel import ReturnPanel
from marketimpact.market.session_returns import SINCE_TRADE, extent
from marketimpact.sources.files.price_rows import type_error
from marketimpact.sources.french.factors import FrenchFactors, wrong_market

__all__ = ["check_factors", "foreign_factor", "read_french"]


def check_factors(factors: FrameLike | None) -> pl.DataFrame | None:
    """Check that dates are unique, columns finite numbers and units those of returns; warn of doubts, sort by date."""
    if factors is None:
        return None
    factors = to_polars(factors, "factors", FACTORS)
    if "date" not in factors.columns or factors.is_empty():
        raise DataError("factors must be a frame with a 'date' column, one column per factor, and rows.")
    if are_midnights(factors["date"]):
        factors = factors.with_columns(pl.col("date").dt.date())
    if factors["date"].dtype != pl.Date:
        raise type_error(factors["date"], "dates", "factors")
    if factors["date"].null_count():
        raise DataError(f"factors: 'date' is empty in {factors['date'].null_count()} rows. Fill them in, or drop them.")
    reserved = {"symbol", "mic", "session", "ret", "ret_day", "market", "close", "volume", *SINCE_TRADE}.intersection(
        factors.columns
    ) | {name for name in factors.columns if name.startswith("_")}
    not_numbers = [c for c in factors.columns if c != "date" and not factors[c].dtype.is_numeric()]
    if reserved or not_numbers:
        raise DataError(
            f"factors: columns {sorted(reserved)} have names the panel needs; rename them."
            if reserved
            else f"factors: columns {not_numbers} are not numbers; cast or drop them."
        )
    if factors["date"].n_unique() < factors.height:
        raise DataError(f"factors repeats {factors.height - factors['date'].n_unique()} dates; keep one row each.")
    names = [c for c in factors.columns if c != "date"]
    checked = factors.with_columns(pl.col(names).cast(pl.Float64).fill_nan(None)).select("date", *names).sort("date")
    plausibility.check_factor_columns(checked)
    plausibility.warn_of(plausibility.factor_doubts(checked), stacklevel=4)
    return checked


def read_french(
    factors: FrenchFactors, securities: pl.DataFrame, first: date | None, last: date | None
) -> pl.DataFrame:
    """Read the factors, and warn when they are those of another market."""
    message = wrong_market(securities["mic"].unique().sort().to_list(), factors.region)
    if message:
        warnings.warn(message, MarketImpactWarning, stacklevel=4)
    return factors.read(first, last)


def foreign_factor(
    panel: ReturnPanel, securities: pl.DataFrame, sessions: pl.DataFrame, source: str | FrameLike, mic: str | None
) -> tuple[pl.Series, str, list[str]]:
    """Match another exchange's returns by the clocks, row for row beside the panel; see `Market.with_factor`.

    Returns
    -------
    values : polars.Series
        See `_match_foreign_returns`.
    exchange : str
        MIC of the exchange on whose sessions the source trades.
    notes : list of str
        What was left out, and what is doubtful about the unit of returns handed in.
    """
    returns, exchange = _foreign_returns(panel.to_frame(), securities, source, mic)
    handed_in = not isinstance(source, str)
    doubts = plausibility.check_benchmark("the factor", returns["ret"].to_numpy()) if handed_in else []
    plausibility.warn_of(doubts, stacklevel=3)
    listed = sessions.filter(pl.col("mic") == exchange)
    notes: list[str] = []
    if listed.is_empty():
        listed = _listed_sessions(returns, sessions, exchange)
        returns, notes = _within_calendar(returns, exchange)
    return _match_foreign_returns(panel.to_frame(), sessions, returns, listed), exchange, [*notes, *doubts]


def _listed_sessions(returns: pl.DataFrame, sessions: pl.DataFrame, exchange: str) -> pl.DataFrame:
    """Read an exchange's sessions; embedded overrides hold on days for which the returns agree with them."""
    span = extent(pl.concat([returns.select("date"), sessions.select("date")]))
    has_return = pl.col("date").is_in(returns.drop_nulls("ret")["date"].implode())
    applied = calendars.overrides_by_calendar().filter(pl.col("is_session") == has_return)
    return calendars.sessions([exchange], *span, applied, as_far_as_known=True)


def _within_calendar(returns: pl.DataFrame, exchange: str) -> tuple[pl.DataFrame, list[str]]:
    """Leave out returns beyond the calendar's ends, with a note."""
    first, last = calendars.bounds([EXCHANGES[exchange]]).select("first", "last").row(0)
    inside = returns.filter(pl.col("date").is_between(first or date.min, last or date.max))
    unused = returns.drop_nulls("ret").height - inside.drop_nulls("ret").height
    if not unused:
        return inside, []
    return inside, [
        f"the calendar of {exchange} covers {first} to {last or 'no end'}: {unused} returns outside of it are not "
        "used, and the factor is empty there; upgrade exchange_calendars"
    ]


def _foreign_returns(
    panel: pl.DataFrame, securities: pl.DataFrame, given: str | FrameLike, mic: str | None
) -> tuple[pl.DataFrame, str]:
    """Return ``date, ret`` of a security, a benchmark or a frame, and the exchange on whose sessions it trades.

    Raises
    ------
    SpecificationError
        For an unknown symbol, or where the exchange is not known.
    """
    if not isinstance(given, str):
        if mic is None:
            raise SpecificationError('Returns have dates but no exchange: name it, such as mic="XNYS".')
        return schema.check(schema.Benchmark, given, "the factor's returns").select("date", "ret"), mic
    own = panel.filter(pl.col("symbol") == given)
    if own.height:
        return own.select("date", "ret"), str(own["mic"][0])
    users = securities.filter(pl.col("benchmark") == given).sort("symbol")
    mics = users["mic"].unique().sort().to_list()
    exchange = mic or (mics[0] if len(mics) == 1 else None)
    if exchange is None and mics:
        raise SpecificationError(
            f"{given!r} is the benchmark of securities on {', '.join(mics)}, so its own exchange is not known: "
            f'name it, such as mic="{mics[0]}".'
        )
    if exchange is None or exchange not in mics:
        raise SpecificationError(
            f"{given!r} is neither a security of this market nor a benchmark{f' on {mic}' if mic else ''}. Hand in "
            'its returns, a frame with date and ret, and mic="...".'
        )
    first = users.filter(pl.col("mic") == exchange)["symbol"][0]
    return panel.filter(pl.col("symbol") == first).select("date", pl.col("market").alias("ret")), exchange


def _match_foreign_returns(
    panel: pl.DataFrame, sessions: pl.DataFrame, foreign: pl.DataFrame, listed: pl.DataFrame
) -> pl.Series:
    """Compound a foreign series from the close before to each session's close, row for row beside `panel`.

    Parameters
    ----------
    panel : polars.DataFrame
        ``symbol, mic, session, date``, sorted by (symbol, session).
    sessions : polars.DataFrame
        ``mic, date, close`` of the panel's exchanges.
    foreign : polars.DataFrame
        ``date, ret``, simple returns on sessions of its own exchange.
    listed : polars.DataFrame
        ``date, close``: the sessions of that exchange.

    Returns
    -------
    polars.Series
        Compounded over the foreign sessions that close after the close before and no later than the
        session's own close, so that it holds no later news; 0 where there is none, and null
        where one of them has no return, the session before is not known, no later session is, or the series has
        lost everything.
    """
    sessions_abroad = listed.select("date", "close").sort("close")
    dated = sessions_abroad.join(
        foreign.select("date", "ret"), on="date", how="left", validate="1:1", maintain_order="left"
    )
    stray = foreign.drop_nulls("ret").join(sessions_abroad, on="date", how="anti")
    if stray.height:
        raise DataError(
            f"{stray.height} returns lie on dates without a session of their exchange, the first on "
            f"{stray['date'].min()!s}; drop them, or give the right mic.",
            rows=stray,
        )
    path = dated.select(
        "close",
        (pl.col("ret").fill_null(0.0) + 1.0).cum_prod().alias("_level"),
        pl.col("ret").is_null().cum_sum().cast(pl.Int64).alias("_gaps"),
    )
    own = sessions.select("mic", "date", "close").sort("close")
    levels = own.join_asof(path, on="close", strategy="backward", check_sortedness=False).sort("mic", "date")
    before = {c: pl.col(c).shift(1).over("mic") for c in ("_level", "_gaps")}
    # after the last session that is known nothing can be said
    is_known = (pl.col("_gaps") == before["_gaps"]) & (pl.col("date") <= listed["date"].max())
    value = levels.with_columns(
        pl.when(is_known).then(pl.col("_level") / before["_level"] - 1.0).fill_nan(None).alias("_factor")
    )
    return panel.join(
        value.select("mic", "date", "_factor"), on=["mic", "date"], how="left", validate="m:1", maintain_order="left"
    )["_factor"]
