"""Fetch prices of many symbols from Yahoo Finance, with retries, pauses and a deadline."""

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
from marketimpact.core.whole_numbers import is_whole
from marketimpact.errors import SourceError, SpecificationError
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table
from marketimpact.sources.yahoo.bars import Bars, YahooFailure
from marketimpact.sources.yahoo.shares import COUNTS

if TYPE_CHECKING:
    import tenacity

__all__ = ["YahooPrices", "check_yahoo_symbols", "fetch_all", "no_data_error", "notes_of"]

#: Pattern of Yahoo symbols: 2330.TW, ^GSPC, BRK-B, TWD=X, M&M.NS.
SYMBOL = re.compile(r"\^?[A-Z0-9][A-Z0-9.\-=&^]{0,31}")
#: yfinance looks up an ISIN over the network and returns another symbol.
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
#: Seconds between tries: doubled each time, plus a random part of up to one second; longer after a rate limit.
WAIT, WAIT_LIMITED, JITTER = {"multiplier": 1, "max": 30}, {"multiplier": 4, "max": 60}, 1
#: HTTP clients count whole milliseconds, so their time can end before ours: a deadline this near has come.
CLOCK_SECONDS = 0.01
#: Number of consecutive symbols without an answer after which the network counts as down.
UNREACHABLE = 3
OUTCOMES = {
    "symbol": pl.String,
    "outcome": pl.String,
    "rows": pl.Int64,
    "cause": pl.String,
    "retryable": pl.Boolean,
    "tries": pl.Int64,
}
#: Fetches one symbol, without retries: symbol, first, last, session, seconds left.
FetchFunction = Callable[[str, date, date | None, Any, Callable[[], float]], Bars]
LISTINGS = {"symbol": pl.String, "currency": pl.String, "time_zone": pl.String}


@dataclass(frozen=True, slots=True)
class YahooPrices:
    """Daily closes from Yahoo Finance, adjusted for splits and dividends.

    Adjusted closes are as of the day of the download: the next dividend rescales all earlier ones, which
    changes returns in their last bits. For a reproducible result, keep the prices in a file and read them with
    `FilePrices`, or use `StoredPrices`.

    Symbols are fetched one after another. Temporary failures (rate limits, HTTP 5xx, dropped connections,
    unreadable answers) are retried after a wait; an unknown symbol is not. If a rate limit outlasts the tries,
    or three consecutive symbols have no answer, no further symbol is requested. Symbols fetched so far are kept.

    Parameters
    ----------
    start : datetime.date or str, default 2015-01-01
        First date to fetch where `read` has no `first`; text is ISO.
    deadline : float, default 300
        Seconds after which `read` returns what it has.
    tries : int, default 3
        Largest number of requests per symbol.
    pause : float, default 1
        Seconds between batches.
    batch : int, default 20
        Number of symbols between two pauses.
    session : requests.Session or curl_cffi.requests.Session, optional
        Session for the requests, with a proxy for instance. By default yfinance's own. Each request is bounded in time
        and size, redirected within Yahoo only, and its answer must be of the symbol requested.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default where stderr is a terminal.

    Raises
    ------
    SpecificationError
        If an option is invalid.

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
                raise SpecificationError(f"start={start!r} is not an ISO date. Give one such as 2023-01-31.") from error
        check_range(start, None)
        if not 0 < self.deadline <= threading.TIMEOUT_MAX:
            raise SpecificationError(
                f"deadline={self.deadline!r} is not a time. Give seconds above zero, not infinity."
            )
        if not 0 <= self.pause < math.inf:
            raise SpecificationError(f"pause={self.pause!r} is not a time. Give seconds, zero or more.")
        for name in ("tries", "batch"):
            number = getattr(self, name)
            if not is_whole(number) or number < 1:
                raise SpecificationError(f"{name}={number!r} is not a count. Give a whole number from 1 on.")
            object.__setattr__(self, name, int(number))
        _check_session(self.session)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "deadline", float(self.deadline))
        object.__setattr__(self, "pause", float(self.pause))

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Fetch closes of `symbols`; needs the network.

        The bar of the exchange's current day is left out, since its session may be open.

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
            If no symbol is requested, one cannot be a Yahoo symbol, or the bounds are not in order.
        SourceError
            If no symbol has prices; `retryable` where a later try may succeed.
        """
        requested, since = self._checked(symbols, first, last)
        from marketimpact.sources.yahoo.client import VERSION, fetch_bars  # noqa: PLC0415  # half a second to import

        answers = fetch_all(self, fetch_bars, requested, since, last)
        frames = [answer.bars.frame for answer in answers if answer.bars is not None]
        if not frames:
            raise no_data_error(answers)
        source = f"YahooPrices() (Yahoo Finance through yfinance {VERSION}, adjusted close)"
        return price_table(
            pl.concat(frames),
            requested=requested,
            source=source,
            notes=notes_of(answers),
            listings=_listings(answers),
            outcomes=_outcomes(answers),
        )

    def shares(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> pl.DataFrame:
        """Fetch counts of shares outstanding of `symbols`, for `dollar_effect`; needs the network.

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
            on the basis of today's splits, as Yahoo's closes are. `shares` is null where the first counts after a
            split do not show it yet. A symbol without counts has one row without date, with the cause as note.

        Raises
        ------
        SpecificationError
            If no symbol is requested, one cannot be a Yahoo symbol, or the bounds are not in order.
        SourceError
            If no symbol has counts; `retryable` where a later try may succeed.
        """
        requested, since = self._checked(symbols, first, last)
        from marketimpact.sources.yahoo.client import fetch_shares  # noqa: PLC0415  # half a second to import

        answers = fetch_all(self, fetch_shares, requested, since, last)
        if all(answer.bars is None for answer in answers):
            raise no_data_error(answers, "share counts")
        return pl.concat(_counts(answer) for answer in sorted(answers, key=lambda answer: answer.symbol))

    def _checked(self, symbols: Sequence[str], first: date | None, last: date | None) -> tuple[tuple[str, ...], date]:
        """Check symbols and bounds, and return the symbols and the first date to fetch."""
        requested = check_symbols(symbols)
        check_yahoo_symbols(requested)
        since = date.fromisoformat(str(self.start)) if first is None else first
        check_range(since, last)
        return requested, since


def _counts(answer: _Answer) -> pl.DataFrame:
    """Return the share counts of one symbol, or one row with the cause of its failure."""
    if answer.bars is not None:
        return answer.bars.frame
    cause = answer.failure.cause if answer.failure is not None else None
    return pl.DataFrame([(answer.symbol, None, None, None, cause)], schema=COUNTS, orient="row")


def _check_session(session: Any) -> None:
    """Raise SpecificationError for an object that is no session, or one with a cache."""
    if session is not None and not callable(getattr(session, "request", None)):
        raise SpecificationError(f"session={session!r} has no request(). Give a session of requests or of curl_cffi.")
    if getattr(session, "cache", None) is not None:
        raise SpecificationError("session caches answers, which yfinance refuses. Give a session without a cache.")


def check_yahoo_symbols(symbols: Sequence[str]) -> None:
    """Raise SpecificationError for a text that cannot be a Yahoo symbol."""
    for symbol in symbols:
        if ISIN.fullmatch(symbol):
            raise SpecificationError(
                f"{symbol!r} is an ISIN, which may have several listings. Give the Yahoo symbol of one."
            )
        if not SYMBOL.fullmatch(symbol):
            upper = symbol.upper().strip()
            raise SpecificationError(
                f"{symbol!r} cannot be a Yahoo symbol: those are capital letters, digits and . - = & ^, "
                "such as '2330.TW' or '^GSPC'." + (f" Write {upper!r}." if SYMBOL.fullmatch(upper) else "")
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """Result for one symbol after `tries` tries: bars or a failure."""

    symbol: str
    tries: int
    bars: Bars | None = None
    failure: YahooFailure | None = None

    @property
    def outcome(self) -> Literal["rows", "none", "error"]:
        """Return the outcome as in `PriceTable.outcomes`."""
        if self.failure is None:
            return "rows"
        return "error" if self.failure.retryable else "none"


@dataclass(slots=True, eq=False)
class _Fetch:
    """Fetches all symbols in a thread, which is abandoned at the deadline."""

    options: YahooPrices
    fetch: FetchFunction
    symbols: Sequence[str]
    first: date
    last: date | None
    end: float
    answers: dict[str, _Answer] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    unexpected: BaseException | None = None

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return self.end - monotonic()

    def is_over(self) -> bool:
        """Return whether the deadline has passed, or is nearer than the clocks of HTTP clients can resolve."""
        return self.left() <= CLOCK_SECONDS

    def run(self, answered: Callable[[], None]) -> None:
        """Fetch all symbols, and call `answered` after each; keep an unexpected error for `fetch_all`."""
        try:
            self._run(answered)
        except BaseException as error:  # noqa: BLE001  # raised again by fetch_all
            self.unexpected = error

    def _run(self, answered: Callable[[], None]) -> None:
        n_unreachable, skip_cause = 0, ""
        for number, symbol in enumerate(self.symbols):
            if number and number % self.options.batch == 0 and not skip_cause:
                _sleep(max(0.0, min(self.options.pause, self.left())))
            if self.is_over():
                return
            answer = self._skipped(symbol, skip_cause) if skip_cause else self._answer(symbol)
            self.answers[symbol] = answer
            answered()
            failure = answer.failure
            n_unreachable = n_unreachable + 1 if failure is not None and failure.unreachable else 0
            if failure is not None and failure.limited and not skip_cause:
                skip_cause = f"not requested, since {failure.cause}"  # further requests would prolong the limit
            elif n_unreachable == UNREACHABLE:
                skip_cause = f"not requested, since {UNREACHABLE} symbols in a row had no answer from the network"

    def _skipped(self, symbol: str, cause: str) -> _Answer:
        return _Answer(symbol, 0, failure=YahooFailure(cause, retryable=True))

    def _answer(self, symbol: str) -> _Answer:
        """Fetch one symbol until there is an answer, the tries are used up, or the deadline is near."""
        import tenacity  # noqa: PLC0415  # slow to import, and needed only here

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
            # the deadline cut the last try short, whatever error that gave
            return _Answer(symbol, self.tries[symbol], failure=self.late() if self.is_over() else failure)
        return _Answer(symbol, self.tries[symbol], bars)

    def _try(self, symbol: str) -> Bars:
        self.tries[symbol] = self.tries.get(symbol, 0) + 1
        return self.fetch(symbol, self.first, self.last, self.options.session, self.left)

    def late(self) -> YahooFailure:
        """Build the failure of a symbol that was being fetched at the deadline."""
        return YahooFailure(f"no answer before the deadline of {self.options.deadline:g} s", retryable=True)

    def result(self) -> list[_Answer]:
        """Return one answer per symbol, in order, whether or not the thread has ended."""
        not_started = YahooFailure(
            f"not requested: the deadline of {self.options.deadline:g} s had passed. Give YahooPrices more",
            retryable=True,
        )
        answers, tries = dict(self.answers), dict(self.tries)
        for symbol in self.symbols:
            if symbol not in answers:
                failure = self.late() if symbol in tries else not_started
                answers[symbol] = _Answer(symbol, tries.get(symbol, 0), failure=failure)
        return [answers[symbol] for symbol in self.symbols]


def fetch_all(
    options: YahooPrices, fetch: FetchFunction, symbols: Sequence[str], first: date, last: date | None
) -> list[_Answer]:
    """Fetch the symbols, and return by the deadline whatever the network does."""
    job = _Fetch(options, fetch, symbols, first, last, end=monotonic() + options.deadline)
    with progress_bar(options.progress, "Yahoo Finance", len(symbols)) as answered:
        thread = threading.Thread(target=job.run, args=(answered,), name="YahooPrices", daemon=True)
        thread.start()
        try:
            thread.join(max(job.left(), 0.0))
        finally:
            job.end = -math.inf  # an abandoned thread sends no further request
    if job.unexpected is not None:
        raise job.unexpected
    return job.result()


def _wait(state: tenacity.RetryCallState) -> float:
    """Return the seconds before the next try."""
    from tenacity import wait_exponential, wait_random  # noqa: PLC0415

    failure = state.outcome.exception() if state.outcome is not None else None
    limited = isinstance(failure, YahooFailure) and failure.limited
    return (wait_exponential(**(WAIT_LIMITED if limited else WAIT)) + wait_random(0, JITTER))(state)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _outcomes(answers: Sequence[_Answer]) -> pl.DataFrame:
    """Build `PriceTable.outcomes`."""
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
    """Build `PriceTable.listings`."""
    rows = [(a.symbol, a.bars.currency, a.bars.time_zone) for a in answers if a.bars is not None]
    return pl.DataFrame(rows, schema=LISTINGS, orient="row").sort("symbol")


def notes_of(answers: Sequence[_Answer]) -> list[str]:
    """Return one note per finding or failure, with its symbols."""
    symbols_of: dict[str, list[str]] = {}
    for answer in answers:
        for text, detail in (answer.bars.notes if answer.bars is not None else {}).items():
            symbols_of.setdefault(text, []).append(detail)
        if answer.failure is not None:
            later = "; may succeed later" if answer.failure.retryable else ""
            symbols_of.setdefault(f"Missing, {answer.failure.cause}{later}", []).append(answer.symbol)
    return [f"{text}: {', '.join(symbols)}." for text, symbols in symbols_of.items()]


def no_data_error(answers: Sequence[_Answer], kind: str = "prices") -> SourceError:
    """Build the error for no data of any symbol, with its causes."""
    failures = {answer.symbol: answer.failure for answer in answers if answer.failure is not None}
    causes: dict[str, list[str]] = {}
    for symbol, failure in failures.items():
        causes.setdefault(failure.cause, []).append(symbol)
    retryable = any(failure.retryable for failure in failures.values())
    advice = (
        "Check the network, try again later, or read stored prices with FilePrices(...)."
        if retryable
        else "Check the symbols on Yahoo Finance (2330.TW, 0700.HK, ^GSPC) and the dates."
    )
    reasons = "; ".join(f"{listed(names)}: {cause}" for cause, names in causes.items())
    return SourceError(
        f"Yahoo Finance gave no {kind}. {reasons}. {advice}",
        source="YahooPrices()",
        symbols=tuple(failures),
        retryable=retryable,
    )
