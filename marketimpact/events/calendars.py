"""Read exchange calendars as one frame of sessions; only this module imports exchange_calendars."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import cache, lru_cache
from typing import Any

import polars as pl

from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import DataError
from marketimpact.events.session_overrides import calendar_overrides

__all__ = [
    "EXCHANGES",
    "bounds",
    "check_exchanges",
    "days_in_library",
    "overrides_by_calendar",
    "sessions",
    "usual_sessions",
]

#: Calendar -> MICs of the exchanges that keep it. Not taken: CMES, IEPA and us_futures, whose sessions begin on the
#: evening before their date, and 24/5 and 24/7, which belong to no exchange.
_MICS = {
    "XNYS": "XNYS XNAS XASE ARCX BATS XNGS XNMS XNCM XNIM XBOS XPSX XPHL XPSE XCIS XCHI IEXG BATY EDGA EDGX MEMX LTSE "
    "OOTC OTCM OTCQ OTCB PINX",
    "XSHG": "XSHG XSHE",  # Shenzhen keeps Shanghai's calendar and has none of its own in the library
    "XHKG": "XHKG XGEM",
    "XTAI": "XTAI ROCO",
    "XKRX": "XKRX XKOS XKON",
    "XTKS": "XTKS XJPX",
    "XAMS": "XAMS ALXA",
    "XPAR": "XPAR ALXP XMLI",
    "XBRU": "XBRU ALXB MLXB",
    "XLIS": "XLIS ALXL",
    "XMIL": "XMIL MTAA EXGM",
    "XDUB": "XDUB XMSM XESM",
    "XOSL": "XOSL XOAS MERK",
    "XETR": "XETR XETA XETB",
    "XFRA": "XFRA FRAA FRAB",
    "XLON": "XLON AIMX",
    "XSWX": "XSWX XVTX",
    "XMAD": "XMAD BMEX XMCE",
    "XSTO": "XSTO FNSE SSME",
    "XCSE": "XCSE FNDK DSME",
    "XHEL": "XHEL FNFI FSME",
    "XICE": "XICE FNIS",
    "XWBO": "XWBO WBAH",
    "XWAR": "XWAR XNCO",
    "ASEX": "ASEX XATH",
    "XMOS": "XMOS MISX",
    "XTSE": "XTSE XTSX XTNX XCNQ NEOE",
    "XMEX": "XMEX BIVA",
    "XASX": "XASX CHIA",
    "XSES": "XSES XSCA",
    "XBKK": "XBKK XMAI",
    "XKLS": "XKLS MESQ",
    "XBOM": "XBOM XNSE",
}
_OTHERS = (
    "AIXK BVMF XBDA XBEL XBOG XBRA XBSE XBUD XBUE XCBF XCYS XDUS XEEE XEUR XHAM XIDX XIST XJSE XKAR XLIM XLIT XLJU "
    "XLUX XNZE XPHS XPRA XRIS XSAU XSGO XSTU XTAE XTAL XZAG"
)
#: MIC of a listing -> name of its exchange's calendar.
EXCHANGES = {mic: name for name, mics in _MICS.items() for mic in mics.split()} | {mic: mic for mic in _OTHERS.split()}
#: Widens every span, so that the next session after the longest closure, Golden Week, is inside.
_PAD = timedelta(days=20)
#: Days on both sides of a date among whose sessions the usual hours are those of most.
_NEARBY_DAYS = 30
_HOURS = ("open", "break_start", "break_end", "close")
_INSTANT = pl.Datetime("us", "UTC")


def sessions(
    mics: Iterable[str],
    first: date,
    last: date,
    overrides: pl.DataFrame | None = None,
    *,
    as_far_as_known: bool = False,
) -> pl.DataFrame:
    """Return the sessions of several exchanges.

    Parameters
    ----------
    mics : iterable of str
        Market identifier codes (ISO 10383), such as ``"XNAS"``.
    first, last : datetime.date
        Inclusive span; widened by 20 days on both sides, as far as the calendar goes.
    overrides : polars.DataFrame, optional
        Rows of `overrides_by_calendar` to apply; none by default, which leaves the calendar of the library.
    as_far_as_known : bool
        Return the sessions up to the calendar's end where the span goes beyond it.

    Returns
    -------
    polars.DataFrame
        ``mic, date, open, break_start, break_end, close, exchange_time_zone``: `date` is the
        exchange's local date, the instants are UTC, the break is null where the exchange has none. Sorted by
        (mic, date).

    Raises
    ------
    DataError
        For an exchange without a calendar, overrides that close before they open, or a span beyond the
        calendar's end.
    """
    requested = sorted(set(mics))
    check_exchanges(requested)
    names = {mic: EXCHANGES[mic] for mic in requested}
    if not as_far_as_known:
        _check_ends(names.values(), last)
    if overrides is None:
        overrides = _embedded_overrides().clear()
    frames = [
        _overridden(name, first, last, overrides).with_columns(pl.lit(mic).alias("mic")) for mic, name in names.items()
    ]
    return pl.concat(frames).sort("mic", "date")


def _check_ends(names: Iterable[str], last: date) -> None:
    """Raise DataError if a calendar ends before `last`."""
    ended = bounds(names).filter(pl.col("last") < last)
    if ended.height:
        name, end = ended.select("mic", "last").row(0)
        raise DataError(
            f"The calendar of {name} ends on {end}, before {last}. "
            "A newer exchange_calendars may end later: pip install --upgrade exchange_calendars."
        )


def bounds(names: Iterable[str]) -> pl.DataFrame:
    """Return ``mic, first, last``: the first and last date of calendars, null where they have no end."""
    rows = [(name, *_bounds(name)) for name in sorted(set(names))]
    return pl.DataFrame(rows, schema={"mic": pl.String, "first": pl.Date, "last": pl.Date}, orient="row")


def days_in_library(names: Iterable[str], first: date, last: date) -> pl.DataFrame:
    """Return ``mic, date``: the sessions of calendars of the library, near the span too."""
    frames = [_calendar(name, *_widened(first, last, *_bounds(name))).select("mic", "date") for name in names]
    return pl.concat([pl.DataFrame(schema={"mic": pl.String, "date": pl.Date}), *frames])


def check_exchanges(mics: Sequence[str], label: str = "") -> None:
    """Raise DataError for an exchange without a calendar; `label` names the frame that has it."""
    unknown = [mic for mic in mics if mic not in EXCHANGES]
    if unknown:
        near = [mic for mic in EXCHANGES if mic[:3] == unknown[0][:3]] or EXCHANGES
        raise DataError(
            f"{label}No calendar for the exchange{'s' if len(unknown) > 1 else ''} {listed(unknown, quoted=False)}."
            f"{did_you_mean(unknown[0], near)} Give the market identifier code (ISO 10383) of the listing, such "
            f"as {listed(list(EXCHANGES), quoted=False)} (marketimpact.events.calendars.EXCHANGES)."
        )


def overrides_by_calendar(own: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return ``mic, date, is_session, open, close, source, is_own``, `mic` the name of a calendar.

    Parameters
    ----------
    own : polars.DataFrame, optional
        Rows of the user's own: they replace embedded ones of the same calendar and date.

    Raises
    ------
    DataError
        For broken rows, an unknown exchange, or exchanges of one calendar that contradict each other.
    """
    embedded = _embedded_overrides()
    if own is None:
        return embedded
    stated = _by_calendar(calendar_overrides(own)).with_columns(pl.lit(value=True).alias("is_own"))
    return pl.concat([stated, embedded.join(stated, on=["mic", "date"], how="anti")]).sort("mic", "date")


@lru_cache(maxsize=1)
def _embedded_overrides() -> pl.DataFrame:
    return _by_calendar(calendar_overrides()).with_columns(pl.lit(value=False).alias("is_own"))


def _by_calendar(overrides: pl.DataFrame) -> pl.DataFrame:
    """Name the calendar of each row; exchanges that share one must agree."""
    check_exchanges(overrides["mic"].unique().sort().to_list(), "calendar_overrides: ")
    facts = ["is_session", "open", "close"]
    rows = (
        overrides.with_columns(pl.col("mic").replace_strict(EXCHANGES))
        .unique(["mic", "date", *facts], keep="first", maintain_order=True)
        .select("mic", "date", *facts, "source")
    )
    repeated = rows.filter(pl.struct("mic", "date").is_duplicated())
    if repeated.height:
        row = repeated.row(0, named=True)
        raise DataError(
            f"calendar_overrides says two things of {row['date']} for exchanges that keep the calendar {row['mic']}. "
            "Exchanges of one calendar share their overrides: keep one of the rows.",
            rows=repeated,
        )
    return rows


def usual_sessions(days: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """Make sessions of the exchange's usual hours.

    Parameters
    ----------
    days : polars.DataFrame
        ``mic, date``: the sessions to make.
    listed : polars.DataFrame
        Sessions of these exchanges, as `sessions` returns them: the usual hours are those of most of them within
        30 days, or of the nearest where the day lies outside of them.
    """
    parts = [listed.clear()]
    for (mic,), part in days.select("mic", "date").unique().partition_by("mic", as_dict=True).items():
        own = listed.filter(pl.col("mic") == mic)
        zone = str(own["exchange_time_zone"][0])
        made = _hours_of_most(part.select("date"), own, zone).with_columns(
            pl.lit(mic).alias("mic"),
            *(_instant(name, zone) for name in _HOURS),
            pl.lit(zone).alias("exchange_time_zone"),
        )
        parts.append(made.select(listed.columns))
    return pl.concat(parts).sort("mic", "date")


def _hours_of_most(days: pl.DataFrame, own: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Return ``date`` and the local hours, as times of day, of most sessions near each date."""
    clock = own.select(
        pl.col("date").alias("session"), *(pl.col(name).dt.convert_time_zone(zone).dt.time() for name in _HOURS)
    )
    middle = pl.col("date").clip(own["date"].min(), own["date"].max())  # type: ignore[arg-type]
    near = (pl.col("session") - middle).dt.total_days().abs() <= _NEARBY_DAYS
    counts = days.join(clock, how="cross").filter(near).group_by("date", *_HOURS).agg(pl.len().alias("n"))
    ranked = counts.sort("date", "n", *_HOURS, descending=[False, True, False, False, False, False])
    return ranked.unique("date", keep="first", maintain_order=True).drop("n")


def _instant(name: str, zone: str) -> pl.Expr:
    """Turn a local time of day into an instant."""
    local = pl.col("date").dt.combine(pl.col(name), time_unit="us")
    return local.dt.replace_time_zone(zone, ambiguous="earliest").dt.convert_time_zone("UTC").alias(name)


def _overridden(name: str, first: date, last: date, overrides: pl.DataFrame) -> pl.DataFrame:
    """Read one calendar and apply the overrides of its span."""
    frame = _calendar(name, *_widened(first, last, *_bounds(name)))
    own = overrides.filter(pl.col("mic") == name, pl.col("date").is_between(first - _PAD, last + _PAD))
    if own.is_empty():
        return frame
    frame = frame.join(own.filter(~pl.col("is_session")), on="date", how="anti", maintain_order="left")
    stated = own.filter("is_session")
    added = usual_sessions(stated.join(frame, on="date", how="anti"), frame)
    return _with_stated_hours(pl.concat([frame, added]).sort("date"), stated)


def _with_stated_hours(frame: pl.DataFrame, stated: pl.DataFrame) -> pl.DataFrame:
    """Replace the hours of sessions by those stated; a break outside of them goes.

    Raises
    ------
    DataError
        Where a stated time and the usual other one make a session that closes before it opens.
    """
    zone = str(frame["exchange_time_zone"][0])
    hours = stated.select("date", *(_instant(name, zone).alias(f"_{name}") for name in ("open", "close")))
    joined = frame.join(hours, on="date", how="left", validate="1:1", maintain_order="left").with_columns(
        pl.coalesce("_open", "open").alias("open"), pl.coalesce("_close", "close").alias("close")
    )
    wrong = joined.filter(pl.col("close") <= pl.col("open"))
    if wrong.height:
        raise DataError(
            f"calendar_overrides: the session of {wrong['mic'][0]} on {wrong['date'][0]} would close before it opens, "
            "since the time that is left empty is the usual one. Give both open and close.",
            rows=wrong.select("mic", "date"),
        )
    inside = (pl.col("break_start") > pl.col("open")) & (pl.col("break_end") < pl.col("close"))
    breaks = [pl.when(inside).then(pl.col(name)).alias(name) for name in ("break_start", "break_end")]
    return joined.with_columns(breaks).select(frame.columns)


@lru_cache(maxsize=64)
def _calendar(name: str, start: date, end: date) -> pl.DataFrame:
    """Read one calendar from start to end, columns as of `sessions`; `mic` is the calendar's name."""
    calendar = _built(name, start.isoformat(), end.isoformat())
    schedule = calendar.schedule
    columns = {name: _instants(schedule[name]) for name in _HOURS}
    return pl.DataFrame(
        {"date": [stamp.date() for stamp in schedule.index], **columns},
        schema={"date": pl.Date, **dict.fromkeys(_HOURS, _INSTANT)},
    ).select(pl.lit(name).alias("mic"), pl.all(), pl.lit(calendar.tz.key).alias("exchange_time_zone"))


@cache  # the library keeps one calendar of each name: a probe would displace the one in use
def _bounds(name: str) -> tuple[date | None, date | None]:
    """Return the first and last date of a calendar, None where it has no end."""
    probe = _built(name, "2024-01-02", "2024-01-31")  # short, so cheap to build
    earliest, latest = probe.bound_min(), probe.bound_max()
    return earliest and earliest.date(), latest and latest.date()


def _built(name: str, start: str, end: str) -> Any:
    """Build a calendar; raise DataError where the library cannot."""
    import exchange_calendars as xc  # noqa: PLC0415  # pulls in pandas

    with warnings.catch_warnings():
        # exchange_calendars 4.13 uses what pandas 3.1 deprecates; users cannot change that
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return xc.get_calendar(name, start=start, end=end)
        except (NotImplementedError, ValueError) as error:
            raise DataError(
                f"The calendar of {name} cannot be built with the installed exchange_calendars {xc.__version__} and "
                "pandas. Install versions of the two that fit together, such as an older pandas."
            ) from error


def _widened(first: date, last: date, earliest: date | None, latest: date | None) -> tuple[date, date]:
    """Widen the span within the calendar's bounds; a span outside of them becomes the calendar's nearest sessions."""
    start, end = first - _PAD, last + _PAD
    if latest is not None:
        start, end = min(start, latest - 2 * _PAD), min(end, latest)
    if earliest is not None:
        start, end = max(start, earliest), max(end, earliest + 2 * _PAD)
    return start, end


def _instants(column: Iterable[Any]) -> list[Any]:
    """Convert timestamps; NaT, where there is no break, becomes None."""
    return [None if str(stamp) == "NaT" else stamp.to_pydatetime() for stamp in column]
