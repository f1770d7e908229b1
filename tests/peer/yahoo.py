"""A Yahoo-shaped HTTP server on loopback, and sessions that bring an unmodified yfinance to it.

It knows the cookie (fc.yahoo.com), the crumb (/v1/test/getcrumb) and the chart API
(/v8/finance/chart/SYMBOL). A symbol may have a script: what its next chart requests are answered with.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import requests
from curl_cffi import requests as curl

from tests.contract.vendors import DISTANCES

#: Later than any bar.
LATEST = 2**40
TIMESERIES = "/ws/fundamentals-timeseries/v1/finance/timeseries/"
CRUMB = "cRuMb"
COOKIE = "A3=loopback"
NOT_FOUND = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
INVALID_CRUMB = {"code": "Unauthorized", "description": "Invalid Crumb"}
#: One bar: day, close (split-adjusted), adjusted close, volume. Prices may be None or NaN, as Yahoo's are.
Bar = tuple[date, float | None, float | None, int | None]


@dataclass
class Listing:
    """What Yahoo has of one symbol; daily bars carry the instant at which the session opened."""

    zone: str
    currency: str
    bars: list[Bar]
    dividends: dict[date, float] = field(default_factory=dict)
    splits: dict[date, tuple[int, int]] = field(default_factory=dict)
    opens: time = time(9, 30)
    live: list[tuple[datetime, float, float, int]] = field(default_factory=list)
    dividend_currency: str = ""
    adjusted: bool = True
    #: Shares outstanding by the instant at which Yahoo says so; None is an answer without counts.
    shares: dict[datetime, float] | None = None
    #: Further facts of the answer, such as the hours of trading.
    meta: dict = field(default_factory=dict)

    def counts(self, symbol: str, first: int, last: int) -> dict:
        """The JSON of the fundamentals API for share counts."""
        result: dict = {"meta": {"symbol": [symbol], "type": ["shares_out"]}}
        if self.shares is not None:
            given = {int(at.timestamp()): count for at, count in self.shares.items() if first <= at.timestamp() < last}
            result |= {"timestamp": list(given), "shares_out": list(given.values())}
        return {"timeseries": {"result": [result], "error": None}}

    def chart(self, symbol: str, first: int, last: int) -> dict:
        """The JSON of the chart API for bars from `first` to before `last`, in seconds since 1970."""
        rows = [(self._opening(day), *values) for day, *values in self.bars]
        rows += [(int(at.timestamp()), *values) for at, *values in self.live]
        stamps, closes, adjusted, volumes = _columns([row for row in rows if first <= row[0] < last])
        quote: dict = {"close": closes, "volume": volumes}
        for name, distance in DISTANCES.items():
            quote[name] = [None if close is None else close + distance for close in closes]
        indicators = {"quote": [quote if stamps else {}]}
        if self.adjusted:
            indicators["adjclose"] = [{"adjclose": adjusted} if stamps else {}]
        meta = {
            "symbol": symbol,
            "currency": self.currency,
            "exchangeTimezoneName": self.zone,
            "instrumentType": "EQUITY",
            "priceHint": 2,
            "validRanges": ["1d", "max"],
            **self.meta,
        }
        result = {"meta": meta, "indicators": indicators} | ({"timestamp": stamps} if stamps else {})
        return {"chart": {"result": [result | self._events(first, last)], "error": None}}

    def _events(self, first: int, last: int) -> dict:
        dividends = [{"amount": amount, "date": self._opening(day)} for day, amount in self.dividends.items()]
        if self.dividend_currency:
            dividends = [each | {"currency": self.dividend_currency} for each in dividends]
        splits = [
            {"date": self._opening(day), "numerator": new, "denominator": old, "splitRatio": f"{new}:{old}"}
            for day, (new, old) in self.splits.items()
        ]
        kinds = {"dividends": dividends, "splits": splits}
        events = {
            kind: {str(each["date"]): each for each in given if first <= each["date"] < last}
            for kind, given in kinds.items()
        }
        events = {kind: given for kind, given in events.items() if given}
        return {"events": events} if events else {}

    def _opening(self, day: date) -> int:
        return int(datetime.combine(day, self.opens, ZoneInfo(self.zone)).timestamp())


def _columns(rows: list[tuple]) -> tuple[list, list, list, list]:
    stamps, closes, adjusted, volumes = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    return stamps, closes, adjusted, volumes


@dataclass(frozen=True)
class Reply:
    """One answer, in one of several manners.

    `manner` is whole, cut (half the body, then the connection ends), dropped, silent, dripping (a byte of the body now
    and then), dripping headers (one now and then) or endless (a body as fast as it goes).
    """

    status: int = 200
    body: str = "{}"
    kind: str = "application/json"
    manner: str = "whole"
    location: str = ""


def failure(status: int, error: dict | None = None) -> Reply:
    """An HTTP error, with the chart API's JSON if `error` is given and with a web page otherwise."""
    if error is None:
        return Reply(status, f"<html><body>{status}</body></html>", "text/html")
    return Reply(status, json.dumps({"chart": {"result": None, "error": error}}))


class YahooPeer:
    """The server, running from `running` to its end.

    Attributes
    ----------
    listings : dict
        Symbol -> `Listing`; any other symbol is answered as Yahoo answers for one it does not know.
    scripts : dict
        Symbol -> iterator of replies to its next chart requests; None, or the end of it, is a good answer.
    share_scripts : dict
        The same for requests of share counts.
    demand_crumb : bool
        Whether the chart API wants the cookie and the crumb.
    mute : bool
        Whether nothing at all is answered.
    sent : int
        Bytes of endless answers.
    seen : list of tuple
        Path and query of each request, in the order they came.
    """

    def __init__(self, listings: dict[str, Listing]) -> None:
        self.listings = dict(listings)
        self.scripts: dict[str, Iterator[Reply | None]] = {}
        self.share_scripts: dict[str, Iterator[Reply | None]] = {}
        self.demand_crumb = False
        self.mute = False
        self.seen: list[tuple[str, dict[str, list[str]]]] = []
        self.sent = 0
        self.closing = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def script(self, symbol: str, replies: Iterable[Reply | None]) -> None:
        """Answer the next chart requests for `symbol` so."""
        self.scripts[symbol] = iter(replies)

    def charts(self, symbol: str) -> int:
        """How many chart requests for `symbol` came."""
        return sum(path == f"/v8/finance/chart/{symbol}" for path, _ in self.seen)

    def reply(self, path: str, query: dict[str, list[str]], cookie: str) -> Reply:
        """What to answer."""
        if self.mute:
            return Reply(manner="silent")
        if path == "/":
            return Reply(404, "<html></html>", "text/html")  # fc.yahoo.com says so, and sets the cookie
        if path == "/v1/test/getcrumb":
            return Reply(200, CRUMB, "text/plain") if COOKIE in cookie else failure(401, INVALID_CRUMB)
        if path.startswith(TIMESERIES):
            return self._counts(path.removeprefix(TIMESERIES), query)
        if not path.startswith("/v8/finance/chart/"):
            return failure(404)
        symbol = path.removeprefix("/v8/finance/chart/")
        scripted = next(self.scripts.get(symbol, iter(())), None)
        if scripted is not None:
            return scripted
        if self.demand_crumb and (query.get("crumb") != [CRUMB] or COOKIE not in cookie):
            return failure(401, INVALID_CRUMB)
        if symbol not in self.listings:
            return failure(404, NOT_FOUND)
        first, last = int(query.get("period1", ["0"])[0]), int(query.get("period2", [str(LATEST)])[0])
        return Reply(body=json.dumps(self.listings[symbol].chart(symbol, first, last)))

    def _counts(self, symbol: str, query: dict[str, list[str]]) -> Reply:
        scripted = next(self.share_scripts.get(symbol, iter(())), None)
        if scripted is not None:
            return scripted
        first, last = int(query["period1"][0]), int(query["period2"][0])
        return Reply(body=json.dumps(self.listings[symbol].counts(symbol, first, last)))

    @contextmanager
    def running(self) -> Iterator[YahooPeer]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self.server.shutdown()
            self.server.server_close()
            thread.join()


def _handler(peer: YahooPeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            path, query = unquote(url.path), parse_qs(url.query)
            peer.seen.append((path, query))
            reply = peer.reply(path, query, self.headers.get("Cookie", ""))
            if reply.manner == "silent":
                peer.closing.wait()
            elif reply.manner == "dropped":
                # Closing with a linger of zero resets the connection.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self._send(reply, path)
                if reply.manner == "dripping":
                    self._drip(b" ")
            self.close_connection = True

        def _send(self, reply: Reply, path: str) -> None:
            body = reply.body.encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            if reply.location:
                self.send_header("Location", reply.location)
            if reply.manner == "dripping headers":
                self.flush_headers()
                self._drip(b"X-Drip: 1\r\n")
                return
            if reply.manner == "endless":
                self.end_headers()
                self._pour()
                return
            self.send_header("Content-Length", str(len(body)))
            if path == "/":
                # A cookie for all of yahoo.com, or for the loopback host where the session rewrote the URL.
                domain = "; Domain=.yahoo.com" if "yahoo.com" in self.headers.get("Host", "") else ""
                self.send_header("Set-Cookie", f"{COOKIE}; Max-Age=31536000; Path=/{domain}")
            self.end_headers()
            whole = reply.manner == "whole"
            self.wfile.write(body if whole else body[: len(body) // 2])

        def _drip(self, drop: bytes) -> None:
            """Some bytes now and then, which no timeout between two bytes notices."""
            with suppress(OSError):
                while not peer.closing.wait(0.05):
                    self.wfile.write(drop)

        def _pour(self) -> None:
            with suppress(OSError):
                while not peer.closing.is_set():
                    peer.sent += self.wfile.write(b" " * 99_999)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def local(url: str, port: int) -> str:
    """The same question, put to the loopback server."""
    return urlsplit(url)._replace(scheme="http", netloc=f"127.0.0.1:{port}").geturl()


class CurlSession(curl.Session):
    """yfinance's usual session (curl as a browser) with every host rewritten to loopback."""

    def __init__(self, port: int) -> None:
        super().__init__(impersonate="chrome", trust_env=False)
        self.port = port

    def request(self, method, url, **options):
        return super().request(method, local(url, self.port), **options)


class _Loopback(requests.adapters.HTTPAdapter):
    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def send(self, request, **options):
        moved = request.copy()
        moved.url = local(request.url, self.port)
        moved.headers["Host"] = urlsplit(request.url).hostname
        options["proxies"] = {}
        answer = super().send(moved, **options)
        answer.url = request.url
        return answer


def requests_session(port: int) -> requests.Session:
    """A session of requests; cookies keep their yahoo.com domain."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Loopback(port))
    return session
