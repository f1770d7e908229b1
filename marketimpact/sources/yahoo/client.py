"""Fetch one symbol from Yahoo Finance through yfinance; only this module imports it.

`yfinance.download` hides why a symbol failed, so `Ticker.history` is used, with exceptions on. Its exceptions do not
distinguish a failing server from an unknown symbol; the HTTP answers, which the session records, do. The session also
bounds each answer and refuses those of other hosts and securities, before yfinance keeps anything of them.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from http import HTTPStatus
from time import monotonic
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import polars as pl
import requests
import yfinance
from peewee import PeeweeException
from polars.exceptions import PolarsError
from yfinance.data import YfData
from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError, YFTickerMissingError

from marketimpact.sources.bounded_requests import (
    BLOCK_BYTES,
    MAX_BYTES,
    RefusedAnswerError,
    read_body,
    run_within,
)
from marketimpact.sources.yahoo.bars import Bars, YahooFailure, parse_bars, parse_intraday
from marketimpact.sources.yahoo.shares import parse_share_counts

__all__ = ["RATE_LIMITED", "VERSION", "fetch_bars", "fetch_intraday", "fetch_shares"]

#: Before any price of Yahoo; it refuses much earlier dates.
EARLIEST = date(1900, 1, 1)

VERSION = str(yfinance.__version__)
#: Longest time in seconds of one request, and of all requests of one try.
REQUEST_SECONDS = 10.0
TRY_SECONDS = 20.0
#: Services whose answers give the reason for a failure: prices and share counts.
SERVICES = ("/v8/finance/chart/", "/ws/fundamentals-timeseries/")
#: Yahoo's own hosts: the only ones that requests and redirects go to.
HOSTS = "yahoo.com"
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
#: Redirects after which the method and the body stay.
SAME_METHOD = (307, 308)
#: What a write function returns to end a transfer of curl.
CURL_ABORT = 0xFFFFFFFF
DAILY = {"interval": "1d", "auto_adjust": False, "actions": True, "keepna": True, "timeout": REQUEST_SECONDS}
RATE_LIMITED = "Yahoo limits the rate of requests: wait some minutes, then try again"
#: Statuses that are not about the symbol, like those from 500 on.
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT)

#: OSError covers the errors of requests and curl_cffi. ValueError and those after it are raised by yfinance and pandas
#: for answers of an unexpected shape, with extreme numbers or dates, or very deep nesting.
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
    NotImplementedError,
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


def fetch_intraday(
    symbol: str, first: date, last: date | None, session: Any, seconds_left: Callable[[], float], *,
    minutes: int, days: int, prepost: bool,
) -> Bars:  # fmt: skip
    """Fetch intraday bars of one symbol, `days` a request; other arguments and errors as of `fetch_bars`.

    A request for days without a session has no bars, which is no failure where another has some.
    """
    options = {**DAILY, "interval": "60m" if minutes == 60 else f"{minutes}m", "prepost": prepost, "actions": False}
    end = (datetime.now(UTC).date() + timedelta(days=1) if last is None else last) + timedelta(days=1)
    begins = [first + timedelta(days=k) for k in range(0, (end - first).days, days)]
    parts: list[Bars] = []
    with _ticker(symbol, session, seconds_left) as (ticker, witness):
        for begin in begins:
            try:
                bars = ticker.history(start=begin, end=min(begin + timedelta(days=days), end), **options)
            except YFPricesMissingError:
                if witness.status is None or witness.status >= HTTPStatus.BAD_REQUEST:
                    raise
                continue
            parts.append(parse_intraday(symbol, bars, witness.chart(), minutes))
    frames = [part.frame for part in parts if part.frame.height]
    if not frames:
        raise YahooFailure("Yahoo has no bars between the dates")
    notes: dict[str, str] = {}
    for text, detail in ((text, detail) for part in parts for text, detail in part.notes.items()):
        notes[text] = f"{notes[text]}, {detail}" if text in notes else detail
    return Bars(pl.concat(frames).unique("start", keep="first").sort("start"), None, None, notes)


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
    """Session that forwards requests to another, within bounds, and records the last answer of a service.

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
        """Forward a request, and keep the answer of a service if it is of the symbol at the end of the URL."""
        if not any(service in url for service in SERVICES):
            return self._follow(method, url, options)
        self.answer = None
        answer = self._follow(method, url, options)
        symbol = unquote(urlsplit(url).path.rpartition("/")[2])
        if (other := _other_symbol(answer, symbol)) is not None:
            raise RefusedAnswerError(f"the answer is of another security, {other!r}")
        self.answer = answer
        return answer

    def _follow(self, method: str, url: str, options: dict[str, Any]) -> Any:
        """Send a request, and follow redirects to Yahoo's hosts only."""
        follows = options.pop("allow_redirects", True)
        for _ in range(MAX_REDIRECTS):
            _require_yahoo(url)
            answer = self._send(method, url, options)
            location = answer.headers.get("Location") if follows and answer.status_code in REDIRECTS else None
            if not location:
                return answer
            url = urljoin(url, location)
            options = {name: value for name, value in options.items() if name != "params"}
            if answer.status_code not in SAME_METHOD:
                method, options = "GET", {k: v for k, v in options.items() if k not in ("data", "json")}
        raise RefusedAnswerError(f"the answer was redirected more than {MAX_REDIRECTS} times")

    def _send(self, method: str, url: str, options: dict[str, Any]) -> Any:
        """Send one request, in at most the time left."""
        seconds = min(options.get("timeout") or REQUEST_SECONDS, REQUEST_SECONDS, self._seconds_left())
        if seconds <= 0.0:
            raise TimeoutError("no time is left")
        options = {**options, "timeout": seconds, "allow_redirects": False}
        if _is_curl(self.inner):  # its timeout is that of the whole request
            return _send_by_curl(self.inner, method, url, options)
        return run_within(lambda: _send_by_requests(self.inner, method, url, options), seconds)

    def _seconds_left(self) -> float:
        return min(self.until_deadline(), self.end - monotonic())

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


def _is_curl(session: Any) -> bool:
    """Return whether a session is one of curl_cffi."""
    return any(base.__module__.startswith("curl_cffi.") for base in type(session).__mro__)


def _send_by_requests(session: Any, method: str, url: str, options: dict[str, Any]) -> Any:
    """Send a request through a session of requests, and read the answer within the bounds."""
    end = monotonic() + options["timeout"]
    answer = session.request(method, url, stream=True, **options)
    try:
        answer._content = read_body(answer.iter_content(BLOCK_BYTES), end)
    finally:
        answer.close()
    return answer


def _send_by_curl(session: Any, method: str, url: str, options: dict[str, Any]) -> Any:
    """Send a request through a session of curl_cffi, and read the answer within the bounds."""
    body = bytearray()

    def take(block: bytes) -> int:
        if len(body) + len(block) > MAX_BYTES:
            return CURL_ABORT
        body.extend(block)
        return len(block)

    answer = session.request(method, url, content_callback=take, **options)
    answer.content = bytes(body)
    return answer


def _require_yahoo(url: str) -> None:
    """Raise RefusedAnswerError for a URL that is not one of Yahoo's, over HTTPS."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or not (host == HOSTS or host.endswith(f".{HOSTS}")):
        raise RefusedAnswerError(f"the answer was redirected to {host or url!r}, which is not Yahoo over HTTPS")


def _other_symbol(answer: Any, symbol: str) -> str | None:
    """Return the symbol that an answer is of where it is another than requested; None for one that does not say."""
    try:
        content = answer.json()
        charts = (content.get("chart") or content.get("timeseries"))["result"]
        symbols = [chart["meta"]["symbol"] for chart in charts]
    except EXPECTED_ERRORS:
        return None  # yfinance and `_failure` report an answer of another shape
    names = [name for given in symbols for name in (given if isinstance(given, list) else [given])]
    return next((str(name) for name in names if name is not None and not _is_same(str(name), symbol)), None)


def _is_same(answered: str, requested: str) -> bool:
    """Return whether two symbols are of the same security, whatever their case; USDTWD=X is also called TWD=X."""
    names = [unquote(name).strip().upper() for name in (answered, requested)]
    pairs = [
        name.removeprefix("USD") if name.endswith("=X") and len(name) == len("USDTWD=X") else name for name in names
    ]
    return pairs[0] == pairs[1]


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
    if isinstance(error, RefusedAnswerError):
        return YahooFailure(f"Yahoo failed ({error})", retryable=True)
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
