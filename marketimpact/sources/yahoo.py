"""Prices from Yahoo Finance, through yfinance: the only room that knows it.

`yfinance.download` hides why a symbol failed, so symbols are asked for one by one, with exceptions on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from marketimpact.errors import SourceError, SpecificationError
from marketimpact.sources.protocol import PriceTable, asked_range, asked_symbols, listed, price_table, within

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["YahooPrices"]

#: What Yahoo writes symbols with: 2330.TW, ^GSPC, BRK-B, TWD=X, M&M.NS.
SYMBOL = re.compile(r"\^?[A-Z0-9][A-Z0-9.\-=&^]{0,31}")
#: yfinance looks these up over the network and answers for another symbol.
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
#: Seconds that one request may take.
REQUEST_SECONDS = 10.0
PRICE = "Adj Close"
RATE_LIMITED = "Yahoo limits the rate of requests: wait some minutes, then ask again"
HTTP_FAILED = 400


@dataclass(frozen=True, slots=True)
class YahooPrices:
    """Daily closes from Yahoo Finance, adjusted for splits and dividends.

    An adjusted close is as of the day of the download: the next dividend rescales all earlier ones. The
    returns stay, their last bits do not. For a result that others can repeat, keep the prices in a file
    and read them with `FilePrices`.

    Parameters
    ----------
    start : datetime.date or str, default 2015-01-01
        The first date asked for where `read` is not told one; text is ISO.
    deadline : float, default 300
        Seconds after which no further symbol is asked for.

    Examples
    --------
    >>> YahooPrices(start="2023-01-01")
    YahooPrices(start=datetime.date(2023, 1, 1), deadline=300.0)
    """

    start: date | str = date(2015, 1, 1)
    deadline: float = 300.0

    def __post_init__(self) -> None:
        start = self.start
        if isinstance(start, str):
            try:
                start = date.fromisoformat(start)
            except ValueError as error:
                raise SpecificationError(f"start={start!r} is no ISO date, such as 2023-01-31.") from error
        asked_range(start, None)
        if not self.deadline > 0:
            raise SpecificationError(f"deadline={self.deadline!r} leaves no time. Give seconds above zero.")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "deadline", float(self.deadline))

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Adjusted closes of `symbols`; needs the network.

        The bar of the exchange's current day is dropped: it may be of a session that is still open.

        Parameters
        ----------
        symbols : sequence of str
            Yahoo symbols, such as 'NVDA', '2330.TW', '^GSPC'.
        first, last : datetime.date, optional
            Bounds, both included. Without `first`, `start` is used.

        Returns
        -------
        PriceTable
            Symbols that Yahoo does not know and symbols that failed are in `missing`; the notes say
            which and why.

        Raises
        ------
        SpecificationError
            If no symbol is asked for, one cannot be a Yahoo symbol, or the bounds enclose nothing.
        SourceError
            If no symbol has prices; `retryable` where a later try may go through.
        """
        asked = asked_symbols(symbols)
        _demand_yahoo_symbols(asked)
        since = date.fromisoformat(str(self.start)) if first is None else first
        asked_range(since, last)
        answers = _ask_all(asked, since, last, self.deadline)
        frames = [answer.frame for answer in answers if answer.frame is not None]
        if not frames:
            raise _nothing(answers)
        import yfinance  # noqa: PLC0415  # half a second, paid only here

        source = f"YahooPrices() (Yahoo Finance through yfinance {yfinance.__version__}, adjusted close)"
        return price_table(pl.concat(frames), asked=asked, source=source, notes=_notes(answers))


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What came of one symbol: rows in `frame`, or `problem`, which `retryable` says may pass."""

    symbol: str
    frame: pl.DataFrame | None = None
    problem: str = ""
    retryable: bool = False
    stop: bool = False
    notes: dict[str, str] = field(default_factory=dict)  # what is the case -> for this symbol


def _demand_yahoo_symbols(symbols: Sequence[str]) -> None:
    for symbol in symbols:
        if ISIN.fullmatch(symbol):
            raise SpecificationError(f"{symbol!r} is an ISIN. Give the Yahoo symbol of the listing you mean.")
        if not SYMBOL.fullmatch(symbol):
            upper = symbol.upper().strip()
            raise SpecificationError(
                f"{symbol!r} cannot be a Yahoo symbol: those are capital letters, digits and . - = & ^, "
                "such as '2330.TW' or '^GSPC'." + (f" Write {upper!r}." if SYMBOL.fullmatch(upper) else "")
            )


def _ask_all(symbols: Sequence[str], first: date, last: date | None, deadline: float) -> list[_Answer]:
    """One answer per symbol, in order; asks no more after a rate limit or the deadline."""
    answers: list[_Answer] = []
    end, closed = monotonic() + deadline, ""
    with _visible_failures():
        for symbol in symbols:
            left = end - monotonic()
            if not closed and left <= 0:
                closed = f"not asked for: the deadline of {deadline:g} s had passed. Give YahooPrices more"
            if closed:
                answers.append(_Answer(symbol, problem=closed, retryable=True))
                continue
            answers.append(_ask(symbol, first, last, min(REQUEST_SECONDS, left)))
            if answers[-1].stop:
                closed = RATE_LIMITED  # asking on would only make it last longer
    return answers


@contextmanager
def _visible_failures() -> Iterator[None]:
    """Make yfinance raise what it would log, then put its setting back."""
    import yfinance  # noqa: PLC0415

    debug, log = yfinance.config.debug, logging.getLogger("yfinance")
    before, level = debug.hide_exceptions, log.level
    debug.hide_exceptions = False
    log.setLevel(logging.CRITICAL)  # every failure is told once, by symbol; the log repeats it for each request
    try:
        yield
    finally:
        debug.hide_exceptions = before
        log.setLevel(level)


def _ask(symbol: str, first: date, last: date | None, timeout: float) -> _Answer:
    """Ask yfinance for one symbol and name what went wrong."""
    import yfinance  # noqa: PLC0415
    from yfinance.exceptions import (  # noqa: PLC0415
        YFException,
        YFRateLimitError,
        YFTickerMissingError,
    )

    # Their end is exclusive. Without a start they would give the last month.
    end = None if last is None else last + timedelta(days=1)
    try:
        bars = yfinance.Ticker(symbol).history(
            start=first,
            end=end,
            interval="1d",
            auto_adjust=False,
            actions=False,
            keepna=True,
            timeout=timeout,
        )
        return _answer(symbol, bars, first, last)
    except YFRateLimitError:
        return _Answer(symbol, problem=RATE_LIMITED, retryable=True, stop=True)
    except YFTickerMissingError as error:
        return _Answer(symbol, problem=f"Yahoo has no prices ({error.rationale})")
    except YFException as error:
        return _Answer(symbol, problem=f"Yahoo failed ({error})", retryable=True)
    except OSError as error:  # every error of requests and of curl_cffi is one
        return _network_answer(symbol, error)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # What yfinance stumbles over when the answer has another shape than it expects.
        problem = f"the answer could not be read ({type(error).__name__}: {error})"
        return _Answer(symbol, problem=problem, retryable=True)


def _network_answer(symbol: str, error: OSError) -> _Answer:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == HTTPStatus.NOT_FOUND:
        # How yfinance reports the first two unknown symbols of a process.
        return _Answer(symbol, problem="Yahoo has no prices (HTTP 404)")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _Answer(symbol, problem=RATE_LIMITED, retryable=True, stop=True)
    if isinstance(status, int) and status >= HTTP_FAILED:
        return _Answer(symbol, problem=f"Yahoo failed (HTTP {status})", retryable=True)
    return _Answer(symbol, problem=f"the network failed ({type(error).__name__})", retryable=True)


def _answer(symbol: str, bars: pd.DataFrame, first: date, last: date | None) -> _Answer:
    """The rows of a pandas frame of bars, labelled with the exchange's dates."""
    if bars.empty:
        return _Answer(symbol, problem="Yahoo has no prices (no bars between the dates)")
    if bars.index.tz is None:
        return _Answer(symbol, problem="the answer could not be read (dates without a time zone)")
    frame = pl.DataFrame(
        {
            "symbol": [symbol] * len(bars),
            "date": list(bars.index.date),
            "close": bars[PRICE].to_numpy(dtype=np.float64),
            "volume": bars["Volume"].to_numpy(dtype=np.float64),
        },
        schema={"symbol": pl.String, "date": pl.Date, "close": pl.Float64, "volume": pl.Float64},
    )
    close, volume = pl.col("close"), pl.col("volume")
    # NaN, infinity, zero: Yahoo's ways of having no value.
    frame = within(frame, first, last).with_columns(
        close=pl.when(close.is_finite() & (close > 0.0)).then(close),
        volume=pl.when(volume.is_finite() & (volume >= 0.0)).then(volume),
    )
    today = _now().astimezone(bars.index.tz).date()
    done = frame.filter(pl.col("date") < today)
    notes = {}
    if done.height < frame.height:
        notes["The bar of the current day is left out, its session may be open"] = symbol
    if empty := done["close"].null_count():
        notes["No close, or none above zero: left empty"] = f"{symbol} ({empty})"
    if done["close"].count() == 0:
        return _Answer(symbol, problem="Yahoo has no prices (no bar of a past day has a close)", notes=notes)
    return _Answer(symbol, frame=done, notes=notes)


def _now() -> datetime:
    return datetime.now(UTC)


def _notes(answers: Sequence[_Answer]) -> list[str]:
    """One note per kind of thing that happened, naming the symbols it happened to."""
    named: dict[str, list[str]] = {}
    for answer in answers:
        for what, where in answer.notes.items():
            named.setdefault(what, []).append(where)
        if answer.problem:
            again = "; may go through later" if answer.retryable else ""
            named.setdefault(f"Missing, {answer.problem}{again}", []).append(answer.symbol)
    return [f"{what}: {', '.join(symbols)}." for what, symbols in named.items()]


def _nothing(answers: Sequence[_Answer]) -> SourceError:
    causes: dict[str, list[str]] = {}
    for answer in answers:
        causes.setdefault(answer.problem, []).append(answer.symbol)
    retryable = any(answer.retryable for answer in answers)
    advice = (
        "Check the network, ask again later, or read stored prices with FilePrices(...)."
        if retryable
        else "Check the symbols on Yahoo Finance (2330.TW, 0700.HK, ^GSPC) and the dates."
    )
    told = "; ".join(f"{listed(names)}: {problem}" for problem, names in causes.items())
    return SourceError(
        f"Yahoo Finance gave no prices. {told}. {advice}",
        source="YahooPrices()",
        symbols=tuple(answer.symbol for answer in answers),
        retryable=retryable,
    )
