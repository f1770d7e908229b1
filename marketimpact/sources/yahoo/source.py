"""Prices from Yahoo Finance: what is asked, how often and for how long, and what came of each symbol."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from marketimpact.core.progress import progress_bar
from marketimpact.core.text import listed
from marketimpact.errors import SourceError, SpecificationError
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table
from marketimpact.sources.yahoo.bars import Bars, YahooFailure
from marketimpact.sources.yahoo.shares import COUNTS

if TYPE_CHECKING:
    import tenacity

__all__ = ["YahooPrices"]

#: What Yahoo writes symbols with: 2330.TW, ^GSPC, BRK-B, TWD=X, M&M.NS.
SYMBOL = re.compile(r"\^?[A-Z0-9][A-Z0-9.\-=&^]{0,31}")
#: yfinance looks these up over the network and answers for another symbol.
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
#: Waits between tries in seconds: doubled each time, plus up to a second by chance. Rate limits last longer.
WAIT = {"multiplier": 1, "max": 30, "jitter": 1}
WAIT_LIMITED = {"multiplier": 4, "max": 60, "jitter": 1}
#: Symbols in a row without any answer after which the network is taken to be down.
UNREACHABLE = 3
OUTCOMES = {
    "symbol": pl.String,
    "outcome": pl.String,
    "rows": pl.Int64,
    "cause": pl.String,
    "retryable": pl.Boolean,
    "tries": pl.Int64,
}
#: Asks for one symbol, once: symbol, first, last, session, seconds left.
FetchFunction = Callable[[str, date, date | None, Any, Callable[[], float]], Bars]
LISTINGS = {"symbol": pl.String, "currency": pl.String, "time_zone": pl.String}


@dataclass(frozen=True, slots=True)
class YahooPrices:
    """Daily closes from Yahoo Finance, adjusted for splits and dividends.

    An adjusted close is as of the day of the download: the next dividend rescales all earlier ones. The
    returns stay, their last bits do not. For a result that others can repeat, keep the prices in a file
    and read them with `FilePrices`.

    Symbols are asked one after another. What fails in passing (rate limits, HTTP 5xx, dropped connections,
    unreadable answers) is asked again after a wait; an unknown symbol is not. When a rate limit outlasts the
    tries, or three symbols in a row had no answer at all, no further symbol is asked. The symbols that came
    are kept.

    Parameters
    ----------
    start : datetime.date or str, default 2015-01-01
        The first date asked for where `read` is not told one; text is ISO.
    deadline : float, default 300
        Seconds after which `read` ends with what it has.
    tries : int, default 3
        How often one symbol is asked for at most.
    pause : float, default 1
        Seconds between batches.
    batch : int, default 20
        Symbols asked for between two pauses.
    session : requests.Session or curl_cffi.requests.Session, optional
        Carries the requests, through a proxy for instance. By default yfinance's own.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default where stderr is a terminal.

    Raises
    ------
    SpecificationError
        If an option cannot be.

    Examples
    --------
    >>> YahooPrices(start="2023-01-01")
    YahooPrices(start=datetime.date(2023, 1, 1), deadline=300.0, tries=3, pause=1.0, batch=20)
    """

    start: date | str = date(2015, 1, 1)
    deadline: float = 300.0
    tries: int = 3
    pause: float = 1.0
    batch: int = 20
    session: Any = field(default=None, repr=False, compare=False)
    progress: bool | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        start = self.start
        if isinstance(start, str):
            try:
                start = date.fromisoformat(start)
            except ValueError as error:
                raise SpecificationError(f"start={start!r} is no ISO date, such as 2023-01-31.") from error
        check_range(start, None)
        if not 0 < self.deadline <= threading.TIMEOUT_MAX:
            raise SpecificationError(f"deadline={self.deadline!r} is no time. Give seconds above zero, not infinity.")
        if not 0 <= self.pause < math.inf:
            raise SpecificationError(f"pause={self.pause!r} is no wait. Give seconds, zero or more.")
        for name in ("tries", "batch"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise SpecificationError(f"{name}={number!r} is no count. Give a whole number from 1 on.")
        _check_session(self.session)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "deadline", float(self.deadline))
        object.__setattr__(self, "pause", float(self.pause))

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Closes of `symbols`; needs the network.

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
            `frame` has `close` (adjusted for splits and dividends), `unadjusted_close` (Yahoo's Close:
            adjusted for splits, not for dividends), `volume` (shares, adjusted for splits), `dividend` (per
            share as of today's splits) on ex-dates and `split` on the days of splits; empty on other days.
            `listings` has currency and time zone, `outcomes` one row per symbol; symbols without rows are
            also in `missing`, and in the notes by cause.

        Raises
        ------
        SpecificationError
            If no symbol is asked for, one cannot be a Yahoo symbol, or the bounds enclose nothing.
        SourceError
            If no symbol has prices; `retryable` where a later try may go through.
        """
        asked, since = self._asked(symbols, first, last)
        from marketimpact.sources.yahoo.client import VERSION, fetch_bars  # noqa: PLC0415  # half a second, paid only here

        answers = _fetch_all(self, fetch_bars, asked, since, last)
        frames = [answer.bars.frame for answer in answers if answer.bars is not None]
        if not frames:
            raise _no_data_error(answers)
        source = f"YahooPrices() (Yahoo Finance through yfinance {VERSION}, adjusted close)"
        return price_table(
            pl.concat(frames),
            asked=asked,
            source=source,
            notes=_notes(answers),
            listings=_listings(answers),
            outcomes=_outcomes(answers),
        )

    def shares(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> pl.DataFrame:
        """Counts of shares outstanding of `symbols`, for `dollar_effect`; needs the network.

        Parameters
        ----------
        symbols : sequence of str
            Yahoo symbols of shares.
        first, last : datetime.date, optional
            Bounds, both included. Without `first`, `start` is used. A count holds until the next, so begin some
            months before the first event.

        Returns
        -------
        polars.DataFrame
            ``symbol, date, shares, reported, note`` by symbol and date. `reported` is Yahoo's count, `shares` the same
            on the basis of today's splits, as Yahoo's closes are. `shares` is empty where the first counts after a
            split still are those before it. A symbol without counts has one row, without date, whose note says why.

        Raises
        ------
        SpecificationError
            If no symbol is asked for, one cannot be a Yahoo symbol, or the bounds enclose nothing.
        SourceError
            If no symbol has counts; `retryable` where a later try may go through.
        """
        asked, since = self._asked(symbols, first, last)
        from marketimpact.sources.yahoo.client import fetch_shares  # noqa: PLC0415  # half a second, paid only here

        answers = _fetch_all(self, fetch_shares, asked, since, last)
        if all(answer.bars is None for answer in answers):
            raise _no_data_error(answers, "share counts")
        return pl.concat(_counts(answer) for answer in sorted(answers, key=lambda answer: answer.symbol))

    def _asked(self, symbols: Sequence[str], first: date | None, last: date | None) -> tuple[tuple[str, ...], date]:
        """The symbols, checked, and the first date that is asked for."""
        asked = check_symbols(symbols)
        _check_yahoo_symbols(asked)
        since = date.fromisoformat(str(self.start)) if first is None else first
        check_range(since, last)
        return asked, since


def _counts(answer: _Answer) -> pl.DataFrame:
    if answer.bars is not None:
        return answer.bars.frame
    cause = answer.failure.cause if answer.failure is not None else None
    return pl.DataFrame([(answer.symbol, None, None, None, cause)], schema=COUNTS, orient="row")


def _check_session(session: Any) -> None:
    if session is not None and not callable(getattr(session, "request", None)):
        raise SpecificationError(f"session={session!r} has no request(). Give one of requests or of curl_cffi.")
    if getattr(session, "cache", None) is not None:
        raise SpecificationError("session caches answers, which yfinance refuses. Give one without a cache.")


def _check_yahoo_symbols(symbols: Sequence[str]) -> None:
    for symbol in symbols:
        if ISIN.fullmatch(symbol):
            raise SpecificationError(f"{symbol!r} is an ISIN. Give the Yahoo symbol of the listing you mean.")
        if not SYMBOL.fullmatch(symbol):
            upper = symbol.upper().strip()
            raise SpecificationError(
                f"{symbol!r} cannot be a Yahoo symbol: those are capital letters, digits and . - = & ^, "
                "such as '2330.TW' or '^GSPC'." + (f" Write {upper!r}." if SYMBOL.fullmatch(upper) else "")
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What came of one symbol after `tries` tries: bars, or a failure."""

    symbol: str
    tries: int
    bars: Bars | None = None
    failure: YahooFailure | None = None

    @property
    def outcome(self) -> Literal["rows", "none", "error"]:
        if self.failure is None:
            return "rows"
        return "error" if self.failure.retryable else "none"


@dataclass(slots=True, eq=False)
class _Fetch:
    """A run through the symbols, in a thread that is left behind at the deadline."""

    options: YahooPrices
    question: FetchFunction
    symbols: Sequence[str]
    first: date
    last: date | None
    end: float
    answers: dict[str, _Answer] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    unforeseen: BaseException | None = None

    def left(self) -> float:
        return self.end - monotonic()

    def run(self, answered: Callable[[], None]) -> None:
        try:
            self._run(answered)
        except BaseException as error:  # noqa: BLE001  # raised again where read() waits
            self.unforeseen = error

    def _run(self, answered: Callable[[], None]) -> None:
        unreachable, closed = 0, ""
        for place, symbol in enumerate(self.symbols):
            if place and place % self.options.batch == 0 and not closed:
                _sleep(max(0.0, min(self.options.pause, self.left())))
            if self.left() <= 0.0:
                return
            answer = self._closed(symbol, closed) if closed else self._answer(symbol)
            self.answers[symbol] = answer
            answered()
            failure = answer.failure
            unreachable = unreachable + 1 if failure is not None and failure.unreachable else 0
            if failure is not None and failure.limited and not closed:
                closed = f"not asked for, since {failure.cause}"  # asking on would only make it last longer
            elif unreachable == UNREACHABLE:
                closed = f"not asked for, since {UNREACHABLE} symbols in a row had no answer from the network"

    def _closed(self, symbol: str, cause: str) -> _Answer:
        return _Answer(symbol, 0, failure=YahooFailure(cause, retryable=True))

    def _answer(self, symbol: str) -> _Answer:
        """Ask until there is an answer, the tries are used up, or the next would come after the deadline."""
        import tenacity  # noqa: PLC0415  # slow to import, and most studies ask Yahoo nothing

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, YahooFailure) and error.retryable),
            stop=tenacity.stop_after_attempt(self.options.tries) | tenacity.stop_before_delay(self.left()),
            wait=_wait,
            sleep=_sleep,
            reraise=True,
        )
        try:
            bars = retrying(self._try, symbol)
        except YahooFailure as failure:
            # At the deadline the last try was cut short, whatever its request made of that.
            return _Answer(symbol, self.tries[symbol], failure=failure if self.left() > 0.0 else self.late())
        return _Answer(symbol, self.tries[symbol], bars)

    def _try(self, symbol: str) -> Bars:
        self.tries[symbol] = self.tries.get(symbol, 0) + 1
        return self.question(symbol, self.first, self.last, self.options.session, self.left)

    def late(self) -> YahooFailure:
        return YahooFailure(f"no answer before the deadline of {self.options.deadline:g} s", retryable=True)

    def result(self) -> list[_Answer]:
        """One answer per symbol, in order, whether or not the thread has ended."""
        passed = YahooFailure(
            f"not asked for: the deadline of {self.options.deadline:g} s had passed. Give YahooPrices more",
            retryable=True,
        )
        answers, tries = dict(self.answers), dict(self.tries)
        for symbol in self.symbols:
            if symbol not in answers:
                failure = self.late() if symbol in tries else passed
                answers[symbol] = _Answer(symbol, tries.get(symbol, 0), failure=failure)
        return [answers[symbol] for symbol in self.symbols]


def _fetch_all(
    options: YahooPrices, question: FetchFunction, symbols: Sequence[str], first: date, last: date | None
) -> list[_Answer]:
    """Run through the symbols, for no longer than the deadline whatever the network does."""
    asking = _Fetch(options, question, symbols, first, last, end=monotonic() + options.deadline)
    with progress_bar(options.progress, "Yahoo Finance", len(symbols)) as answered:
        thread = threading.Thread(target=asking.run, args=(answered,), name="YahooPrices", daemon=True)
        thread.start()
        try:
            thread.join(max(asking.left(), 0.0))
        finally:
            asking.end = -math.inf  # a thread left behind sends no further request
    if asking.unforeseen is not None:
        raise asking.unforeseen
    return asking.result()


def _wait(state: tenacity.RetryCallState) -> float:
    from tenacity import wait_exponential_jitter  # noqa: PLC0415

    failure = state.outcome.exception() if state.outcome is not None else None
    limited = isinstance(failure, YahooFailure) and failure.limited
    return wait_exponential_jitter(**(WAIT_LIMITED if limited else WAIT))(state)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _outcomes(answers: Sequence[_Answer]) -> pl.DataFrame:
    rows = [
        (
            answer.symbol,
            answer.outcome,
            0 if answer.bars is None else answer.bars.frame.height,
            None if answer.failure is None else answer.failure.cause,
            answer.failure is not None and answer.failure.retryable,
            answer.tries,
        )
        for answer in answers
    ]
    return pl.DataFrame(rows, schema=OUTCOMES, orient="row")


def _listings(answers: Sequence[_Answer]) -> pl.DataFrame:
    rows = [(a.symbol, a.bars.currency, a.bars.time_zone) for a in answers if a.bars is not None]
    return pl.DataFrame(rows, schema=LISTINGS, orient="row").sort("symbol")


def _notes(answers: Sequence[_Answer]) -> list[str]:
    """One note per kind of thing that happened, naming the symbols it happened to."""
    named: dict[str, list[str]] = {}
    for answer in answers:
        for what, where in (answer.bars.notes if answer.bars is not None else {}).items():
            named.setdefault(what, []).append(where)
        if answer.failure is not None:
            again = "; may go through later" if answer.failure.retryable else ""
            named.setdefault(f"Missing, {answer.failure.cause}{again}", []).append(answer.symbol)
    return [f"{what}: {', '.join(symbols)}." for what, symbols in named.items()]


def _no_data_error(answers: Sequence[_Answer], what: str = "prices") -> SourceError:
    failures = {answer.symbol: answer.failure for answer in answers if answer.failure is not None}
    causes: dict[str, list[str]] = {}
    for symbol, failure in failures.items():
        causes.setdefault(failure.cause, []).append(symbol)
    retryable = any(failure.retryable for failure in failures.values())
    advice = (
        "Check the network, ask again later, or read stored prices with FilePrices(...)."
        if retryable
        else "Check the symbols on Yahoo Finance (2330.TW, 0700.HK, ^GSPC) and the dates."
    )
    told = "; ".join(f"{listed(names)}: {cause}" for cause, names in causes.items())
    return SourceError(
        f"Yahoo Finance gave no {what}. {told}. {advice}",
        source="YahooPrices()",
        symbols=tuple(failures),
        retryable=retryable,
    )
