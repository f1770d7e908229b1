"""Say, for each frame that is taken, which columns a pandas index or matrix stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = [
    "ANNOUNCEMENTS",
    "ANNOUNCEMENTS_OR_EVENTS",
    "BARS",
    "BAR_PATH",
    "BENCHMARK",
    "CAMPAIGNS",
    "DAYS",
    "EVENTS",
    "EXPOSURES",
    "FACTORS",
    "FOUND",
    "OVERRIDES",
    "PRICES",
    "RATES",
    "RETURNS",
    "SECURITIES",
    "SHARES",
    "SHARE_COUNTS",
    "SYMBOLS",
    "SYMBOL_DAYS",
    "Layout",
]


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a frame that a pandas index or matrix can stand for.

    Attributes
    ----------
    required : tuple of tuple of str
        Columns that must be there; of each inner tuple one is enough.
    dates : str or None
        Column that an index of dates becomes.
    names : str or None
        Column that an index of text becomes, and the headings of a matrix.
    value : str or None
        Column that the cells of a matrix become, whose index are dates; None where no matrix is possible.
    fields : mapping of str to str
        Further headings -> column, as vendors spell them.
    reads_text : bool
        Whether dates may be text.
    """

    required: tuple[tuple[str, ...], ...]
    dates: str | None = None
    names: str | None = None
    value: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    reads_text: bool = False


def _columns(text: str) -> tuple[tuple[str, ...], ...]:
    """Read required columns from words; a bar separates columns of which one is enough."""
    return tuple(tuple(word.split("|")) for word in text.split())


#: Columns of yfinance -> columns of prices.
YFINANCE = MappingProxyType(
    {
        "Date": "date",
        "Ticker": "symbol",
        "Close": "close",
        "Adj Close": "adj_close",
        "Volume": "volume",
        "Dividends": "dividend",
        "Stock Splits": "split",
        "Open": "open",
        "High": "high",
        "Low": "low",
    }
)
PRICES = Layout(_columns("symbol date close|adj_close"), "date", "symbol", "close", YFINANCE)
BARS = Layout((), "start", "symbol", reads_text=True)
BAR_PATH = Layout(_columns("announcement_id symbol minute ar"), None, "announcement_id")
RETURNS = Layout(_columns("symbol date ret"), "date", "symbol", "ret")
BENCHMARK = Layout(_columns("date ret"), "date", "symbol", "ret")
FACTORS = Layout(_columns("date"), "date")
DAYS = Layout(_columns("date"), "date")
RATES = Layout(_columns("date currency rate"), "date", "currency", "rate", reads_text=True)
SHARES = Layout(_columns("symbol shares"), "date", "symbol", "shares", reads_text=True)
SHARE_COUNTS = Layout(
    _columns("symbol date shares_outstanding"), "date", "symbol", "shares_outstanding", reads_text=True
)
EVENTS = Layout(_columns("event_id symbol date"), "date", "event_id")
ANNOUNCEMENTS = Layout(
    _columns("announcement_id announced_at stance headline"), "announced_at", "announcement_id", reads_text=True
)
#: Of a frame that holds either.
ANNOUNCEMENTS_OR_EVENTS = Layout((), "announced_at", "announcement_id", reads_text=True)
SECURITIES = Layout(_columns("symbol mic"), None, "symbol")
SYMBOLS = Layout(_columns("symbol"), None, "symbol")
SYMBOL_DAYS = Layout(_columns("symbol date"), "date", "symbol")
CAMPAIGNS = Layout(_columns("campaign_id title first last"), None, "campaign_id")
OVERRIDES = Layout(_columns("mic date"), "date", "mic", reads_text=True)
EXPOSURES = Layout(_columns("symbol period_end china_revenue_share"), "period_end", "symbol", reads_text=True)
FOUND = Layout(_columns("event_id where"), None, "event_id")
