"""Windows of sessions around day 0, cut from the market's panel."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.factorize import NO_DAY, ordered
from marketimpact.errors import SpecificationError
from marketimpact.market.market import Market
from marketimpact.models import Fit, Model

__all__ = [
    "Bools",
    "Floats",
    "Ints",
    "Places",
    "Windows",
    "as_dates",
    "check_window",
    "cut",
    "dates_between",
    "estimation_cut",
    "excluded_days",
    "own_variance_of",
    "spans",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Windows:
    """What of each event is looked at, in sessions relative to day 0 (tau), ends included."""

    estimation: tuple[int, int]
    event: tuple[int, int]
    min_observations: int
    #: Whether a window with a missing return gives no CAR.
    strict: bool = False
    #: Whether abnormal returns of neighbouring days are taken as correlated, AR(1).
    serial_correlation: bool = False
    #: Rows of the market's panel that estimation takes as missing; None where there are none.
    excluded: NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Places:
    """Where N events lie in the market's panel.

    Attributes
    ----------
    first_row, n_sessions : (N,) arrays of int
        First row of the event's security, and how many it has.
    day0 : (N,) array of int
        Sessions from there to day 0.
    security : (N,) array of int
        Row of the event's security among the market's `first_rows`.
    sign : (N,) array
        +1, or -1 for an event whose returns are counted the other way round.
    """

    first_row: Ints
    n_sessions: Ints
    day0: Ints
    security: Ints
    sign: Floats

    @classmethod
    def of(cls, placed: pl.DataFrame) -> Places:
        """Of placed events, each counted as it is."""
        names = ("_first_row", "_n_sessions", "_day0", "_security")
        first_row, n_sessions, day0, security = (placed[name].to_numpy().astype(np.int64) for name in names)
        return cls(first_row, n_sessions, day0, security, np.ones(placed.height))

    @cached_property
    def in_memory(self) -> Ints:
        """Events in the order of the market's rows, which is that of its memory, (N,)."""
        by_day = ordered(self.day0)
        return by_day[ordered(self.security[by_day])]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.day0)

    def take(self, rows: Ints | slice) -> Places:
        """Those of some of the events."""
        return Places(*(getattr(self, part.name)[rows] for part in fields(Places)))


def check_window(window: object, name: str) -> tuple[int, int]:
    """A window as two whole numbers in order, or the reason why it is none."""
    if not isinstance(window, tuple | list) or len(window) != 2:
        raise SpecificationError(f"{name}={window!r}: give two sessions, first and last, such as (-1, 1).")
    first, last = window
    if not all(isinstance(end, int) and not isinstance(end, bool) for end in (first, last)):
        raise SpecificationError(f"{name}={window!r}: sessions are whole numbers, such as (-1, 1).")
    if first > last:
        raise SpecificationError(f"{name}={window!r} is reversed; write ({last}, {first}).")
    return int(first), int(last)


def _rows(places: Places, window: tuple[int, int], begin: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Row for every event and day where the event's security begins as told, and whether the calendar has that day."""
    taus = np.arange(window[0], window[1] + 1)
    session = places.day0[:, None] + taus[None, :]
    inside = (session >= 0) & (session < places.n_sessions[:, None])
    return np.where(inside, begin[:, None] + session, 0), inside


def cut(
    places: Places, market: Market, model: Model, window: tuple[int, int], *, instruments: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Return (N, D), regressors (N, D, p) and risk-free rate (N, D) of a window; NaN where missing."""
    design = model.design

    def column(name: str, shift: int = 0) -> Floats:
        values, begins = market.series(name)
        rows, inside = _rows(places, (window[0] + shift, window[1] + shift), begins[places.security])
        return np.where(inside, values[rows], np.nan)

    used = (*design.regressors, *design.instruments) if instruments else design.regressors
    sign = places.sign[:, None]
    rows, inside = _rows(places, window, places.first_row)
    ret = np.where(inside, market.column(design.response)[rows], np.nan) * sign
    rf = column("rf") * sign if design.excess else np.zeros(ret.shape)
    x = np.empty((*ret.shape, len(used)))
    for position, term in enumerate(used):
        x[:, :, position] = column(term.column, term.shift)
        if design.excess and term.column == "market":
            x[:, :, position] -= column("rf", term.shift)
    return ret - rf, x, rf


def estimation_cut(
    places: Places, market: Market, model: Model, windows: Windows, *, instruments: bool = False
) -> tuple[Floats, Floats]:
    """Return and regressors of the estimation window, and of the stretch after the event where the model has one."""
    parts = [cut(places, market, model, span, instruments=instruments) for span in spans(model, windows)]
    y, x = np.concatenate([y for y, _, _ in parts], axis=1), np.concatenate([x for _, x, _ in parts], axis=1)
    return np.where(excluded_days(places, model, windows), np.nan, y), x


def excluded_days(places: Places, model: Model, windows: Windows) -> NDArray[np.bool_]:
    """Which estimation days are to be taken as missing, (N, M) or one False for all."""
    if windows.excluded is None:
        return np.zeros((1, 1), dtype=bool)
    parts = [_rows(places, span, places.first_row) for span in spans(model, windows)]
    return np.concatenate([windows.excluded[rows] & inside for rows, inside in parts], axis=1)


def spans(model: Model, windows: Windows) -> list[tuple[int, int]]:
    """The stretches of sessions that the model is estimated on."""
    after = model.design.after
    return [windows.estimation] if after is None else [windows.estimation, after]


def dates_between(places: Places, market: Market, window: tuple[int, int]) -> Ints:
    """Dates of a window's sessions as days since 1970-01-01, (N, L); `NO_DAY` outside the calendar."""
    values, begins = market.dates
    rows, inside = _rows(places, window, begins[places.security])
    return np.where(inside, values[rows], NO_DAY)


def as_dates(days: Ints) -> pl.Series:
    """Days since 1970-01-01 of any shape as dates, one after the other."""
    return pl.Series("date", days.ravel().astype(np.int32)).cast(pl.Date)


def own_variance_of(
    fitted: Fit, x: Floats, model: Model, windows: Windows, span: tuple[int, int] | None = None
) -> Floats:
    """Variance of every event day's own shock in units of sigma squared, (N, L)."""
    if model.design.own_variance is None:
        return np.ones(x.shape[:2])
    first, last = windows.event if span is None else span
    return model.design.own_variance(fitted, x, np.arange(first, last + 1) - windows.estimation[1])
