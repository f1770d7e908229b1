"""Fetch intraday bars from Yahoo Finance, within the spans that it allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import SpecificationError
from marketimpact.sources.bar_files import BarTable
from marketimpact.sources.protocol import check_symbols
from marketimpact.sources.yahoo.source import (
    YahooPrices,
    check_yahoo_symbols,
    fetch_all,
    no_data_error,
    notes_of,
)

__all__ = ["LIMITS", "YahooBars"]

#: Interval -> minutes of a bar, days of one request at most, days back at most. Yahoo's answers name these limits, and
#: yfinance 1.7.0 has them; of the days one is kept back, since a day begins at the exchange's midnight.
LIMITS = MappingProxyType({
    "1m": (1, 8, 30), "2m": (2, 60, 60), "5m": (5, 60, 60), "15m": (15, 60, 60), "60m": (60, 730, 730),
    "1h": (60, 730, 730),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class YahooBars:
    """Intraday bars from Yahoo Finance, of the last days only.

    Yahoo keeps bars of one minute for 30 days, and gives 8 days a request; those of 2, 5 and 15 minutes for 60 days;
    those of an hour for 730. Collect them week by week with `StoredBars`.

    Parameters
    ----------
    interval : {"1m", "2m", "5m", "15m", "60m", "1h"}
        Length of a bar. Yahoo has none of 30 minutes: yfinance makes them from those of 15.
    start, end : datetime.date or str, optional
        First and last day at the exchange, both included; by default all that Yahoo keeps. Longer spans than one
        request gives are fetched in several.
    prepost : bool
        Whether to fetch bars before and after the regular hours, which Yahoo gives without volume.
    deadline, tries, pause, batch, session, progress
        As of `YahooPrices`.

    Raises
    ------
    SpecificationError
        If an option is invalid, or the days are further back than Yahoo keeps bars.

    Notes
    -----
    Stamps are starts of bars, with the exchange's zone. Prices are as Yahoo gives them, without yfinance's adjustment
    for dividends. Bars that ended in the last 30 minutes are left out, since Yahoo may still change them.

    Examples
    --------
    >>> YahooBars("5m", prepost=True)
    YahooBars(interval='5m', start=None, end=None, prepost=True)
    """

    interval: str = "5m"
    start: date | str | None = None
    end: date | str | None = None
    prepost: bool = False
    deadline: float = field(default=300.0, repr=False)
    tries: int = field(default=3, repr=False)
    pause: float = field(default=1.0, repr=False)
    batch: int = field(default=20, repr=False)
    session: Any = field(default=None, repr=False, compare=False)
    progress: bool | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.interval not in LIMITS:
            raise SpecificationError(
                f"interval={self.interval!r} is none of Yahoo's intraday intervals. "
                f"Give one of {listed(list(LIMITS), limit=10)}."
            )
        for name in ("start", "end"):
            object.__setattr__(self, name, _day(name, getattr(self, name)))
        self._span()
        self._prices()

    def read_bars(self, symbols: Sequence[str]) -> BarTable:
        """Fetch the bars of `symbols`; needs the network.

        Parameters
        ----------
        symbols : sequence of str
            Yahoo symbols.

        Returns
        -------
        BarTable
            Symbols without bars, bars left out and repeated stamps are in its notes.

        Raises
        ------
        SpecificationError
            If no symbol is requested, or one cannot be a Yahoo symbol.
        SourceError
            If no symbol has bars; `retryable` where a later try may succeed.
        """
        requested = check_symbols(symbols)
        check_yahoo_symbols(requested)
        from marketimpact.sources.yahoo.client import VERSION, fetch_intraday  # noqa: PLC0415  # half a second to import

        minutes, days, _ = LIMITS[self.interval]
        fetch = partial(fetch_intraday, minutes=minutes, days=days - 1, prepost=self.prepost)
        answers = fetch_all(self._prices(), fetch, requested, *self._span())
        frames = [answer.bars.frame for answer in answers if answer.bars is not None]
        if not frames:
            raise no_data_error(answers, "bars")
        source = f"YahooBars({self.interval!r}) (Yahoo Finance through yfinance {VERSION})"
        return BarTable(pl.concat(frames).lazy(), source, stamps="start", notes=tuple(notes_of(answers)))

    def _span(self) -> tuple[date, date | None]:
        """Return the first and last day to fetch; raise SpecificationError for days that Yahoo does not keep."""
        back = LIMITS[self.interval][2]
        earliest = datetime.now(UTC).date() - timedelta(days=back - 1)
        start, end = self.start or earliest, self.end
        assert isinstance(start, date)
        assert end is None or isinstance(end, date)
        if start < earliest:
            raise SpecificationError(
                f"start={start} is further back than Yahoo keeps bars of {self.interval}: {back} days. "
                f"Give {earliest} or later, or a longer interval."
            )
        if end is not None and end < start:
            raise SpecificationError(f"end={end} lies before {start}, the first day. Give a later day.")
        return start, end

    def _prices(self) -> YahooPrices:
        """Return the options of the requests, checked."""
        return YahooPrices(
            deadline=self.deadline, tries=self.tries, pause=self.pause, batch=self.batch, session=self.session,
            progress=self.progress,
        )  # fmt: skip


def _day(name: str, value: object) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise SpecificationError(f"{name}={value!r} is not an ISO date. Give one such as 2026-01-31.") from error
