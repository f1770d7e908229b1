"""Judge the stamps of bars by the hours of their exchange: their zone, and whether they are starts or ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats, Ints

__all__ = [
    "Hours", "bar_interval", "find_stamps", "is_among", "other_length", "sampled_days", "to_instants", "zone_doubt",
]  # fmt: skip

#: Zones whose clock is tried for stamps that do not fit, beside that of the exchange.
ZONES = (
    "UTC", "America/New_York", "America/Chicago", "America/Los_Angeles", "Europe/London", "Europe/Berlin",
    "Asia/Shanghai", "Asia/Tokyo", "Asia/Kolkata",
)  # fmt: skip
#: Days of each symbol whose bars are compared with the exchange's hours, evenly spread.
DAYS_SAMPLED = 24
#: A reading of the stamps is preferred when its score is better by this much.
CLEARLY = 0.1
#: Weight of the share of openings with a bar in the score, beside the share of the trading inside the sessions.
OPENING = 0.5
#: Microseconds after the opening within which a session should have a bar, where bars are shorter.
EARLY = 30 * 60 * 1_000_000
#: A session has bars of another length with at least this many bars, and this share of spacings of that length.
LEAST_BARS, SAME_SPACING = 6, 0.9
#: Microseconds from noon within which no exchange opens its next session.
_TO_NEXT_OPENING = 20 * 3_600_000_000
Stamps = Literal["start", "end"]


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """Regular hours of one exchange.

    Attributes
    ----------
    opens, closes, noons : (S,) arrays
        Microseconds since 1970, UTC, increasing: of the opening, the close and the exchange's noon of each session.
    break_starts, break_ends : (B,) arrays
        Of the breaks within sessions, likewise.
    zone : str
        IANA name of the exchange's zone.
    mic : str
        Its market identifier code.
    """

    opens: Ints
    closes: Ints
    noons: Ints
    break_starts: Ints
    break_ends: Ints
    zone: str
    mic: str

    @classmethod
    def of(cls, sessions: pl.DataFrame, mic: str) -> Hours:
        """Take the hours of one exchange from a frame of sessions."""
        own = sessions.filter(pl.col("mic") == mic).sort("open")
        zone = str(own["exchange_time_zone"][0])
        noon = (
            pl.col("date").dt.combine(time(12), time_unit="us").dt.replace_time_zone(zone).dt.convert_time_zone("UTC")
        )
        hours = own.select("open", "close", noon.alias("noon"))
        opens, closes, noons = (hours[name].to_physical().to_numpy() for name in hours.columns)
        breaks = own.select("break_start", "break_end").drop_nulls()
        since, until = (breaks[name].dt.cast_time_unit("us").to_physical().to_numpy() for name in breaks.columns)
        return cls(opens, closes, noons, since, until, zone, mic)

    def mirrored(self) -> Hours:
        """Return the hours in mirrored time, in which instants have the other sign: a bar starts at its end."""
        opens, closes, noons = (-edges[::-1] for edges in (self.closes, self.opens, self.noons))
        return Hours(opens, closes, noons, -self.break_ends[::-1], -self.break_starts[::-1], self.zone, self.mic)

    def inside(self, instants: Ints) -> NDArray[np.bool_]:
        """Mark instants in a session."""
        row = np.searchsorted(self.opens, instants, side="right") - 1
        return np.asarray((row >= 0) & (instants < self.closes[np.maximum(row, 0)]))

    def in_break(self, instants: Ints) -> NDArray[np.bool_]:
        """Mark instants in a break of a session, its start too, its end not."""
        if not len(self.break_starts):
            return np.zeros(np.shape(instants), dtype=np.bool_)
        row = np.searchsorted(self.break_starts, instants, side="right") - 1
        return np.asarray((row >= 0) & (instants < self.break_ends[np.maximum(row, 0)]))

    def last_trading(self, instants: Ints) -> Ints:
        """Return each instant, or where it lies outside the sessions or in a break the close or break before it.

        Later than the opening after the last session may be, nothing is known of the hours: the instant is returned.
        """
        row = np.searchsorted(self.closes, instants, side="right") - 1
        known = ~self.inside(instants) & (row >= 0) & (instants <= self.noons[-1] + _TO_NEXT_OPENING)
        found = np.where(known, self.closes[np.maximum(row, 0)], instants)
        if not len(self.break_starts):
            return np.asarray(found)
        paused = np.searchsorted(self.break_starts, instants, side="right") - 1
        return np.asarray(np.where(self.in_break(instants), self.break_starts[np.maximum(paused, 0)], found))


def bar_interval(start: pl.Series) -> int | None:
    """Find the most frequent distance between sorted stamps, in microseconds; None for fewer than two."""
    steps = start.to_physical().diff().drop_nulls()
    counts = steps.filter(steps > 0).value_counts().sort("count", steps.name, descending=[True, False])
    return int(counts[steps.name][0]) if counts.height else None


def other_length(start: pl.Series, hours: Hours, interval: int) -> tuple[str, int]:
    """Say where one symbol has bars of another length than its usual ones, and count those sessions; empty without any.

    Such sessions have at least six bars in regular hours, of which nine tenths of the spacings are one multiple or
    fraction of the usual interval. Longer bars would end after the shorter interval, before the trades that they hold;
    and stamps do not show shorter bars from two overlapping grids of longer ones.

    Parameters
    ----------
    start : polars.Series
        Stamps, UTC; of starts or of ends.
    hours : Hours
        Of the exchange.
    interval : int
        Usual microseconds of a bar.
    """
    instants = start.unique().sort()
    inside = instants.filter(pl.Series(hours.inside(instants.to_physical().to_numpy())))
    session = np.searchsorted(hours.opens, inside.to_physical().to_numpy(), side="right")
    spaced = pl.DataFrame({"start": inside, "session": session}).with_columns(
        step=pl.col("start").diff().over("session").dt.total_microseconds()
    )
    usual = pl.col("step").mode().min()
    sessions = spaced.group_by("session").agg(
        pl.col("start").min(), n=pl.len(), step=usual, share=(pl.col("step") == usual).sum() / (pl.len() - 1)
    )
    is_other = (pl.col("n") >= LEAST_BARS) & (pl.col("share") >= SAME_SPACING) & (pl.col("step") != interval)
    dated = sessions.with_columns(
        is_other=is_other & ((pl.col("step") % interval == 0) | (interval % pl.col("step") == 0)),
        date=pl.col("start").dt.convert_time_zone(hours.zone).dt.date(),
    )
    other, rest = (dated.filter(chosen).sort("date") for chosen in ("is_other", ~pl.col("is_other")))
    if other.is_empty():
        return "", 0
    lengths = " and ".join(f"{step // 60_000_000:g}" for step in other["step"].unique().sort())
    spans = [(f"{lengths}-minute bars", other), (f"{interval / 60e6:g}-minute bars", rest)]
    early, late = sorted((span for span in spans if span[1].height), key=lambda span: span[1]["date"][0])
    if early[1]["date"][-1] < late[1]["date"][0]:
        return f"{early[0]} until {early[1]['date'][-1]} and {late[0]} from {late[1]['date'][0]}", other.height
    days = f"{other.height} sessions from {other['date'][0]} to {other['date'][-1]}"
    return f"{lengths}-minute bars on {days} among {interval / 60e6:g}-minute bars", other.height


def sampled_days(clock: pl.Series) -> pl.Series:
    """Choose up to `DAYS_SAMPLED` days of the stamps, evenly spread."""
    days = clock.dt.date().unique().sort()
    return days.gather(np.unique(np.linspace(0, len(days) - 1, DAYS_SAMPLED).round().astype(np.int64)))


def to_instants(clock: pl.Series, zone: str) -> pl.Series:
    """Read clock times in a zone: UTC; null where the clock was set forward over that time."""
    local = clock.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def zone_doubt(bars: pl.DataFrame, hours: Hours, interval: int, stamps: Stamps | None, symbol: str) -> str:
    """Say what is doubtful about the zone of one symbol's stamps; empty where it fits the exchange's hours.

    Parameters
    ----------
    bars : polars.DataFrame
        ``clock, start, high, low, close, volume``; `start` null where no zone is stated.
    hours : Hours
        Of its exchange.
    interval : int
        Microseconds of a bar.
    stamps : {"start", "end"} or None
        What the stamps are of, where it is known.
    symbol : str
        For the message.
    """
    sample = bars.filter(pl.col("clock").dt.date().is_in(sampled_days(bars["clock"]).implode()))
    weight = _weights(sample)
    is_stated = not bars["start"].null_count()
    stated = _score(sample["start"], weight, hours, interval, stamps) if is_stated else 0.0
    if stated >= 1.0 + OPENING - CLEARLY:
        return ""  # no other zone can be clearly better
    scores = {
        zone: _score(to_instants(sample["clock"], zone), weight, hours, interval, stamps)
        for zone in dict.fromkeys((hours.zone, *ZONES))
    }
    best = max(scores, key=lambda zone: scores[zone])  # the exchange's own zone comes first among equals
    if scores[hours.zone] >= scores[best] - CLEARLY / 2:
        best = hours.zone
    if not is_stated:
        return (
            f"The stamps of {symbol} have no time zone, so their instants are not known. Read as {best} they fit the "
            f"hours of {hours.mic} best. If that is their zone, say so: BarFiles(..., time_zone={best!r})."
        )
    if stated >= scores[best] - CLEARLY:
        return ""
    return (
        f"The stamps of {symbol} do not fit the hours of {hours.mic} in the zone that they state, such as "
        f"{sample['clock'][0]} taken for {sample['start'][0]:%H:%M} UTC. The trading fits if their clock is that of "
        f"{best}. Compare the opening with another source, then say so: BarFiles(..., time_zone={best!r})."
    )


def _weights(bars: pl.DataFrame) -> Floats:
    """Weight bars by their volume, or by their range where there is none."""
    volume = bars["volume"].fill_null(0.0).to_numpy()
    if volume.sum() > 0:
        return volume
    spread = ((bars["high"] - bars["low"]) / bars["close"]).fill_null(0.0).to_numpy()
    return spread if spread.sum() > 0 else np.ones(bars.height)


def _score(start: pl.Series, weight: Floats, hours: Hours, interval: int, stamps: Stamps | None) -> float:
    """Score a reading of stamps: the share of trading in sessions, plus half the share of openings with a bar."""
    instants, weight = start.drop_nulls().to_physical().to_numpy(), weight[start.is_not_null().to_numpy()]
    options: tuple[Stamps, ...] = (stamps,) if stamps else ("start", "end")
    return max(_share(instants - (interval if kind == "end" else 0), weight, hours, interval) for kind in options)


def _share(starts: Ints, weight: Floats, hours: Hours, interval: int) -> float:
    if not len(starts) or weight.sum() <= 0:
        return 0.0
    inside = hours.inside(starts + interval // 2)
    share = float(weight[inside].sum() / weight.sum())
    rows = np.unique(np.searchsorted(hours.opens, (starts + interval // 2)[inside], side="right") - 1)
    if not len(rows):
        return share
    opens, ordered = hours.opens[rows], np.sort(starts + interval // 2)
    first = np.searchsorted(ordered, opens)
    early = ordered[np.minimum(first, len(ordered) - 1)] < opens + max(EARLY, interval)
    return share + OPENING * float((early & (first < len(ordered))).mean())


def find_stamps(start: pl.Series, hours: Hours, interval: int) -> tuple[Stamps, bool]:
    """Find whether stamps are starts or ends of bars, and whether the hours show it.

    Stamps of ends stand at the close and not at the opening. Bars of extended hours stand at both: then the first and
    last stamp of New York's day, 04:00 and 20:00, show it where they are there.
    """
    instants = start.to_physical().to_numpy()
    low, high = np.searchsorted(hours.closes, [instants[0], instants[-1]])
    opens, closes = hours.opens[low : high + 1], hours.closes[low : high + 1]
    at_open, at_close = is_among(opens, instants), is_among(closes, instants)
    rows = np.searchsorted(opens, instants, side="right") - 1
    before_open = (rows < 0) | (instants > closes[np.maximum(rows, 0)]) if len(opens) else np.ones(len(instants), bool)
    if len(opens) and before_open.mean() < 0.02:
        if at_close.mean() >= 0.5 and at_open.mean() <= 0.1:
            return "end", True
        return "start", bool(at_open.mean() >= 0.5 and at_close.mean() <= 0.1)
    clock = start.dt.convert_time_zone(hours.zone)
    days = pl.DataFrame({"day": clock.dt.date(), "minute": clock.dt.hour().cast(pl.Int32) * 60 + clock.dt.minute()})
    edges = days.group_by("day").agg(first=pl.col("minute").min(), last=pl.col("minute").max())
    first, last = (edges["first"] == 4 * 60).mean() or 0.0, (edges["last"] == 20 * 60).mean() or 0.0
    if last >= 0.5 and first <= 0.1:  # type: ignore[operator]
        return "end", True
    return "start", bool(first >= 0.1 and last <= 0.1)  # type: ignore[operator]


def is_among(values: Ints, ordered: Ints) -> NDArray[np.bool_]:
    """Mark the values that are among sorted ones."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    return np.asarray(ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values)
