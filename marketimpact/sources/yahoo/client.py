"""Fetch one symbol from Yahoo Finance through yfinance; only this module imports it.

`yfinance.download` hides why a symbol failed, so `Ticker.history` is used, with exceptions on. Its exceptions do not
distinguish a failing server from an unknown symbol; the HTTP answers, which the session records, do.
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

#: Before any price of Yahoo; it refuses much earlier dates.
EARLIEST = date(1900, 1, 1)

VERSION = str(yfinance.__version__)
#: Longest time in seconds of one request, and of all requests of one try.
REQUEST_SECONDS = 10.0
TRY_SECONDS = 20.0
#: Services whose answers give the reason for a failure: prices and share counts.
SERVICES = ("/v8/finance/chart/", "/ws/fundamentals-timeseries/")
DAILY = {"interval": "1d", "auto_adjust": False, "actions": True, "keepna": True, "timeout": REQUEST_SECONDS}
RATE_LIMITED = "Yahoo limits the rate of requests: wait some minutes, then try again"
#: Statuses that are not about the symbol, like those from 500 on.
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT)

#: OSError covers the errors of requests and curl_cffi. ValueError and those after it are raised by yfinance and pandas
#: for answers of an unexpected shape, with extreme numbers or very deep nesting.
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

#: yfinance has one session, configuration and cookie per process, so only one request may run at a time.
_one_at_a_time = threading.Lock()


def fetch_bars(symbol: str, first: date, last: date | None, session: Any, seconds_left: Callable[[], float]) -> Bars:
    """Fetch the bars of one symbol, without retries.

    Parameters
    ----------
    symbol : str
        A Yahoo symbol.
    first, last : datetime.date
        Bounds, both included; `last` may be None.
    session : requests.Session, curl_cffi.requests.Session or None
        Session for the requests; None for yfinance's own.
    seconds_left : callable
        Returns the seconds until the deadline, after which no request is sent.

    Raises
    ------
    YahooFailure
        If there are no rows.
    """
    # the end is exclusive; without a start yfinance returns the last month
    end = None if last is None or last == date.max else last + timedelta(days=1)
    first = max(first, EARLIEST)
    with _ticker(symbol, session, seconds_left) as (ticker, witness):
        bars = ticker.history(start=first, end=end, **DAILY)
        return parse_bars(symbol, bars, witness.chart(), first, last)


def fetch_shares(symbol: str, first: date, last: date | None, session: Any, seconds_left: Callable[[], float]) -> Bars:
    """Fetch the share counts of one symbol; arguments and errors as of `fetch_bars`."""
    first = max(first, EARLIEST)
    with _ticker(symbol, session, seconds_left) as (ticker, witness):
        # splits up to today, since closes are adjusted for all of them
        bars = parse_bars(symbol, ticker.history(start=first, **DAILY), witness.chart(), first, None)
        end = None if last is None or last == date.max else last + timedelta(days=1)
        return parse_share_counts(bars, ticker.get_shares_full(start=first, end=end), first, last)


@contextmanager
def _ticker(
    symbol: str, session: Any, seconds_left: Callable[[], float]
) -> Iterator[tuple[yfinance.Ticker, _RecordingSession]]:
    """Yield a ticker and its session; convert expected errors to `YahooFailure`."""
    with _exclusive_yfinance(seconds_left):
        witness = _RecordingSession(session or _default_session(), seconds_left)
        YfData.cache_get.cache_clear()  # it caches failed answers too, which would make retries useless
        try:
            yield yfinance.Ticker(symbol, session=witness), witness
        except EXPECTED_ERRORS as error:
            raise _failure(error, witness) from error


class _RecordingSession(requests.Session):
    """Session that forwards requests to another, records the last answer of a service, and stops at the deadline.

    It derives from the class of requests only because yfinance accepts no other.
    """

    def __init__(self, inner: Any, seconds_left: Callable[[], float]) -> None:
        # the parent's constructor is not called: its cookies and adapters must not replace those of `inner`
        self.inner = inner
        self.cookies = inner.cookies
        self.answer: Any = None
        self.until_deadline = seconds_left
        self.end = monotonic() + TRY_SECONDS

    def request(self, method: str, url: str, **options: Any) -> Any:  # type: ignore[override]
        """Forward a request, with a timeout of at most the time left."""
        seconds_left = min(self.until_deadline(), self.end - monotonic())
        if seconds_left <= 0.0:
            raise TimeoutError("no time is left")
        options["timeout"] = min(options.get("timeout") or REQUEST_SECONDS, REQUEST_SECONDS, seconds_left)
        if not any(service in url for service in SERVICES):
            return self.inner.request(method, url, **options)
        self.answer = None
        self.answer = self.inner.request(method, url, **options)
        return self.answer

    @property
    def proxies(self) -> Any:
        return self.inner.proxies

    @proxies.setter
    def proxies(self, proxies: Any) -> None:  # set where the user configured yfinance's proxy
        self.inner.proxies = proxies

    @property
    def status(self) -> int | None:
        """Return the HTTP status of the last answer of a service; None without one."""
        return None if self.answer is None else int(self.answer.status_code)

    def chart(self) -> dict[str, Any]:
        """Return the result for the symbol in the last chart answer."""
        result: dict[str, Any] = self.answer.json()["chart"]["result"][0]
        return result

    def reason(self) -> str:
        """Return Yahoo's description of the error; empty where the answer is not from its services."""
        try:
            (content,) = self.answer.json().values()  # the key is the service: chart, timeseries, finance
            return str(content["error"]["description"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return ""


@cache
def _default_session() -> Any:
    """Return yfinance's own session; cached, so that its cookie and crumb stay valid."""
    return yfinance.Ticker("^GSPC").session


@contextmanager
def _exclusive_yfinance(seconds_left: Callable[[], float]) -> Iterator[None]:
    """Hold yfinance for one thread, with exceptions on and its log off, and restore its settings."""
    if not _one_at_a_time.acquire(timeout=max(seconds_left(), 0.0)):
        raise YahooFailure("another request through yfinance has not ended", retryable=True)
    if seconds_left() <= 0.0:  # the lock was released just after the deadline
        _one_at_a_time.release()
        raise YahooFailure("the deadline passed before the request", retryable=True)
    debug, log = yfinance.config.debug, logging.getLogger("yfinance")
    before, level = debug.hide_exceptions, log.level
    debug.hide_exceptions = False
    log.setLevel(logging.CRITICAL)  # failures are reported by symbol; the log repeats each request
    try:
        with warnings.catch_warnings():
            # pandas warns of yfinance's code several times per symbol
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category, module=r"yfinance\.")
            yield
    finally:
        debug.hide_exceptions = before
        log.setLevel(level)
        _one_at_a_time.release()


def _failure(error: Exception, witness: _RecordingSession) -> YahooFailure:
    """Classify an error by the HTTP status: yfinance takes a status of 500 for a delisted symbol."""
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
    """Classify an error without an HTTP error status; `answered` is whether there was an answer."""
    name = type(error).__name__
    if isinstance(error, YFTickerMissingError):
        return YahooFailure(f"Yahoo has no prices ({error.rationale})")
    if isinstance(error, PeeweeException):
        return YahooFailure(f"yfinance could not use its cache on disk ({name}: {error})", retryable=True)
    if isinstance(error, YFException):
        return YahooFailure(f"Yahoo failed ({error})", retryable=True)
    if isinstance(error, OSError) and not isinstance(error, ValueError):  # the error for invalid JSON is both
        if not answered:
            return YahooFailure(f"the network failed ({name})", retryable=True, unreachable=True)
        # the answer has no time zone, and yfinance could not find one elsewhere
        return YahooFailure("Yahoo has no prices (no time zone in its answer)")
    return YahooFailure(f"the answer could not be read ({name}: {error})", retryable=True)
