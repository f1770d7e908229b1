"""One question to Yahoo Finance through yfinance: the only room that knows it.

`yfinance.download` hides why a symbol failed, so `Ticker.history` is asked, with exceptions on. What it
raises does not tell a broken server from an unknown symbol; what the session saw does.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from http import HTTPStatus
from time import monotonic
from typing import Any

import requests
import yfinance
from peewee import PeeweeException
from polars.exceptions import PolarsError
from yfinance.data import YfData
from yfinance.exceptions import YFException, YFRateLimitError, YFTickerMissingError

from marketimpact.sources.yahoo.bars import Bars, YahooFailure, parse_bars
from marketimpact.sources.yahoo.shares import parse_share_counts

__all__ = ["RATE_LIMITED", "VERSION", "fetch_bars", "fetch_shares"]

#: Before any price Yahoo has; an instant far before it cannot be asked for.
EARLIEST = date(1900, 1, 1)

VERSION = str(yfinance.__version__)
#: Seconds that one request may take, and all requests of one try together.
REQUEST_SECONDS = 10.0
TRY_SECONDS = 20.0
#: Whose answers tell why there is nothing: of prices, and of share counts.
SERVICES = ("/v8/finance/chart/", "/ws/fundamentals-timeseries/")
DAILY = {"interval": "1d", "auto_adjust": False, "actions": True, "keepna": True, "timeout": REQUEST_SECONDS}
RATE_LIMITED = "Yahoo limits the rate of requests: wait some minutes, then ask again"
#: Refusals that say nothing about the symbol; as do those from 500 on.
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT)

#: OSError: every error of requests and of curl_cffi. From ValueError on: what yfinance and pandas stumble over when
#: the answer has another shape than they expect, numbers beyond all bounds, or brackets thousands deep.
EXPECTED_ERRORS = (
    YFException,
    PeeweeException,
    PolarsError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)

#: yfinance has one session, one setting and one cookie per process, so two questions cannot be asked at once.
_one_at_a_time = threading.Lock()


def fetch_bars(symbol: str, first: date, last: date | None, session: Any, left: Callable[[], float]) -> Bars:
    """Ask for one symbol, once.

    Parameters
    ----------
    symbol : str
        A Yahoo symbol.
    first, last : datetime.date
        Bounds, both included; `last` may be None.
    session : requests.Session, curl_cffi.requests.Session or None
        What carries the requests; None for yfinance's usual one.
    left : callable
        Seconds until the deadline. From then on no request is sent.

    Raises
    ------
    YahooFailure
        If there are no rows, saying why and whether to ask again.
    """
    # Their end is exclusive. Without a start they would give the last month.
    end = None if last is None or last == date.max else last + timedelta(days=1)
    first = max(first, EARLIEST)
    with _ticker(symbol, session, left) as (ticker, witness):
        bars = ticker.history(start=first, end=end, **DAILY)
        return parse_bars(symbol, bars, witness.chart(), first, last)


def fetch_shares(symbol: str, first: date, last: date | None, session: Any, left: Callable[[], float]) -> Bars:
    """Ask for the share counts of one symbol, once: as `ask`, with counts as the frame."""
    first = max(first, EARLIEST)
    with _ticker(symbol, session, left) as (ticker, witness):
        # Splits to this day, not to the last count: closes are on the basis of today's.
        bars = parse_bars(symbol, ticker.history(start=first, **DAILY), witness.chart(), first, None)
        end = None if last is None or last == date.max else last + timedelta(days=1)
        return parse_share_counts(bars, ticker.get_shares_full(start=first, end=end), first, last)


@contextmanager
def _ticker(
    symbol: str, session: Any, left: Callable[[], float]
) -> Iterator[tuple[yfinance.Ticker, _RecordingSession]]:
    """A ticker whose failures are told as `YahooFailure`."""
    with _exclusive_yfinance(left):
        witness = _RecordingSession(session or _default_session(), left)
        YfData.cache_get.cache_clear()  # it keeps bad answers too: asked again, it would give them without asking
        try:
            yield yfinance.Ticker(symbol, session=witness), witness
        except EXPECTED_ERRORS as error:
            raise _failure(error, witness) from error


class _RecordingSession(requests.Session):
    """Passes requests on to another session, keeps the last answer of a service, and ends with the deadline.

    It is a session of requests only because yfinance takes no other class; all the work is the other's.
    """

    def __init__(self, inner: Any, left: Callable[[], float]) -> None:
        # Not the parent's: its jar and its adapters would stand beside the inner session's.
        self.inner = inner
        self.cookies = inner.cookies
        self.answer: Any = None
        self.until_deadline = left
        self.end = monotonic() + TRY_SECONDS

    def request(self, method: str, url: str, **options: Any) -> Any:  # type: ignore[override]
        """Send it on, for no longer than there is time left."""
        left = min(self.until_deadline(), self.end - monotonic())
        if left <= 0.0:
            raise TimeoutError("no time is left")
        options["timeout"] = min(options.get("timeout") or REQUEST_SECONDS, REQUEST_SECONDS, left)
        if not any(service in url for service in SERVICES):
            return self.inner.request(method, url, **options)
        self.answer = None
        self.answer = self.inner.request(method, url, **options)
        return self.answer

    @property
    def proxies(self) -> Any:
        return self.inner.proxies

    @proxies.setter
    def proxies(self, proxies: Any) -> None:  # where the user told yfinance of one
        self.inner.proxies = proxies

    @property
    def status(self) -> int | None:
        """HTTP status of the last request of a service; None where it had no answer."""
        return None if self.answer is None else int(self.answer.status_code)

    def chart(self) -> dict[str, Any]:
        """What the last chart answer says of the symbol."""
        result: dict[str, Any] = self.answer.json()["chart"]["result"][0]
        return result

    def reason(self) -> str:
        """Why Yahoo says it has nothing; empty where the answer is not of its services."""
        try:
            (told,) = self.answer.json().values()  # its key is the service: chart, timeseries, finance
            return str(told["error"]["description"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return ""


@cache
def _default_session() -> Any:
    """The session yfinance makes for itself; kept, so that cookie and crumb stay of one session."""
    return yfinance.Ticker("^GSPC").session


@contextmanager
def _exclusive_yfinance(left: Callable[[], float]) -> Iterator[None]:
    """Be the only user of yfinance, make it raise what it would log, then put its settings back."""
    if not _one_at_a_time.acquire(timeout=max(left(), 0.0)):
        raise YahooFailure("another question through yfinance has not ended", retryable=True)
    if left() <= 0.0:  # the lock came free just after whoever asked had given up
        _one_at_a_time.release()
        raise YahooFailure("the deadline passed before it could be asked", retryable=True)
    debug, log = yfinance.config.debug, logging.getLogger("yfinance")
    before, level = debug.hide_exceptions, log.level
    debug.hide_exceptions = False
    log.setLevel(logging.CRITICAL)  # every failure is told once, by symbol; the log repeats it for each request
    try:
        with warnings.catch_warnings():
            # pandas finds fault with yfinance's code, several times for each symbol.
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category, module=r"yfinance\.")
            yield
    finally:
        debug.hide_exceptions = before
        log.setLevel(level)
        _one_at_a_time.release()


def _failure(error: Exception, witness: _RecordingSession) -> YahooFailure:
    """What went wrong, by the HTTP status where there was one: yfinance takes a 500 for a delisted symbol."""
    status = witness.status
    if isinstance(error, YFRateLimitError) or status == HTTPStatus.TOO_MANY_REQUESTS:
        return YahooFailure(RATE_LIMITED, retryable=True, limited=True)
    if status is None or status < HTTPStatus.BAD_REQUEST:
        return _failure_without_status(error, answered=status is not None)
    if status in REFUSED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return YahooFailure(f"Yahoo failed (HTTP {status})", retryable=True)
    if reason := witness.reason():
        return YahooFailure(f"Yahoo has no prices (HTTP {status}: {reason})")
    return YahooFailure(f"the answer could not be read (HTTP {status}, not from the price service)", retryable=True)


def _failure_without_status(error: Exception, *, answered: bool) -> YahooFailure:
    """What went wrong where no status says so; `answered` is whether the last request was."""
    name = type(error).__name__
    if isinstance(error, YFTickerMissingError):
        return YahooFailure(f"Yahoo has no prices ({error.rationale})")
    if isinstance(error, PeeweeException):
        return YahooFailure(f"yfinance could not use its cache on disk ({name}: {error})", retryable=True)
    if isinstance(error, YFException):
        return YahooFailure(f"Yahoo failed ({error})", retryable=True)
    if isinstance(error, OSError) and not isinstance(error, ValueError):  # what broken JSON raises is both
        if not answered:
            return YahooFailure(f"the network failed ({name})", retryable=True, unreachable=True)
        # The chart came without a time zone, and yfinance failed at looking for one elsewhere.
        return YahooFailure("Yahoo has no prices (no time zone in its answer)")
    return YahooFailure(f"the answer could not be read ({name}: {error})", retryable=True)
