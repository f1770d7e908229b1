"""Read exchange calendars as one frame of sessions; only this module imports exchange_calendars."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import polars as pl

from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import DataError

__all__ = ["EXCHANGES", "sessions"]

#: MIC of a listing -> name of its exchange's calendar.
EXCHANGES = {
    "XNAS": "XNYS",
    "XNYS": "XNYS",
    "XASE": "XNYS",
    "ARCX": "XNYS",
    "BATS": "XNYS",
    "XSHG": "XSHG",
    "XSHE": "XSHG",  # Shenzhen keeps Shanghai's calendar and has none of its own in the library
    "XHKG": "XHKG",
    "XTAI": "XTAI",
    "ROCO": "XTAI",
    "XKRX": "XKRX",
    "XKOS": "XKRX",
    "XTKS": "XTKS",
    "XAMS": "XAMS",
    "XPAR": "XPAR",
    "XETR": "XETR",
    "XLON": "XLON",
    "XSWX": "XSWX",
    "XTSE": "XTSE",
    "XASX": "XASX",
    "XBOM": "XBOM",
    "XNSE": "XBOM",
}
#: Widens every span, so that the next session after the longest closure, Golden Week, is inside.
_PAD = timedelta(days=20)


def sessions(mics: Iterable[str], first: date, last: date) -> pl.DataFrame:
    """Return the sessions of several exchanges.

    Parameters
    ----------
    mics : iterable of str
        Market identifier codes (ISO 10383), such as ``"XNAS"``.
    first, last : datetime.date
        Inclusive span; widened by 20 days on both sides, as far as the calendar goes.

    Returns
    -------
    polars.DataFrame
        ``mic, date, open, break_start, break_end, close, exchange_time_zone``: `date` is the
        exchange's local date, the instants are UTC, the break is null where the exchange has none. Sorted by
        (mic, date).

    Raises
    ------
    DataError
        For an exchange without a calendar, or a span beyond the calendar's end.
    """
    requested = sorted(set(mics))
    unknown = [mic for mic in requested if mic not in EXCHANGES]
    if unknown:
        raise DataError(
            f"No calendar for the exchange{'s' if len(unknown) > 1 else ''} {listed(unknown, quoted=False)}."
            f"{did_you_mean(unknown[0], EXCHANGES)} Known MICs: {', '.join(sorted(EXCHANGES))}."
        )
    frames = [_calendar(EXCHANGES[mic], first, last).select(pl.lit(mic).alias("mic"), pl.all()) for mic in requested]
    return pl.concat(frames).sort("mic", "date")


@lru_cache(maxsize=64)
def _calendar(name: str, first: date, last: date) -> pl.DataFrame:
    """Read one calendar, columns as of `sessions` without `mic`."""
    import exchange_calendars as xc  # noqa: PLC0415  # pulls in pandas

    with warnings.catch_warnings():
        # exchange_calendars 4.13 uses what pandas 3.1 deprecates; users cannot change that
        warnings.simplefilter("ignore", DeprecationWarning)
        probe = xc.get_calendar(name, start="2024-01-02", end="2024-01-31")  # short, so cheap to build
        start, end = _widened(name, first, last, probe.bound_min(), probe.bound_max())
        calendar = xc.get_calendar(name, start=start.isoformat(), end=end.isoformat())
        schedule = calendar.schedule
    instant = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {
            "date": [stamp.date() for stamp in schedule.index],
            "open": _instants(schedule["open"]),
            "break_start": _instants(schedule["break_start"]),
            "break_end": _instants(schedule["break_end"]),
            "close": _instants(schedule["close"]),
        },
        schema={"date": pl.Date, **dict.fromkeys(("open", "break_start", "break_end", "close"), instant)},
    ).with_columns(pl.lit(calendar.tz.key).alias("exchange_time_zone"))


def _widened(name: str, first: date, last: date, earliest: Any, latest: Any) -> tuple[date, date]:
    """Widen the span within the calendar's bounds; raise DataError if it ends after the calendar."""
    start, end = first - _PAD, last + _PAD
    if earliest is not None:
        start = max(start, earliest.date())
    if latest is not None:
        if last > latest.date():
            raise DataError(
                f"The calendar of {name} ends on {latest.date()}, before {last}. "
                "A newer exchange_calendars may end later: pip install --upgrade exchange_calendars."
            )
        end = min(end, latest.date())
    return start, end


def _instants(column: Iterable[Any]) -> list[Any]:
    """Convert timestamps; NaT, where there is no break, has the lowest integer value and becomes None."""
    return [stamp.to_pydatetime() if stamp.value > 0 else None for stamp in column]
