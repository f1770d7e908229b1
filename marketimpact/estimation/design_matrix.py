"""Returns and regressors of windows around day 0, cut from the market's panel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketimpact.core.arrays import NO_DAY, Floats, Ints
from marketimpact.estimation.positions import EventPositions
from marketimpact.estimation.windows import EstimationSettings, estimation_spans
from marketimpact.market.market import Market
from marketimpact.models.catalogue import Model
from marketimpact.models.linear import Fit

__all__ = ["cut", "dates_between", "estimation_cut", "excluded_days", "own_variance_of"]


def _rows(places: EventPositions, window: tuple[int, int], begin: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Row for every event and day where the event's security begins as told, and whether the calendar has that day."""
    taus = np.arange(window[0], window[1] + 1)
    session = places.day0[:, None] + taus[None, :]
    inside = (session >= 0) & (session < places.n_sessions[:, None])
    return np.where(inside, begin[:, None] + session, 0), inside


def cut(
    places: EventPositions, market: Market, model: Model, window: tuple[int, int], *, instruments: bool = False
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
    places: EventPositions, market: Market, model: Model, windows: EstimationSettings, *, instruments: bool = False
) -> tuple[Floats, Floats]:
    """Return and regressors of the estimation window, and of the stretch after the event where the model has one."""
    parts = [cut(places, market, model, span, instruments=instruments) for span in estimation_spans(model, windows)]
    y, x = np.concatenate([y for y, _, _ in parts], axis=1), np.concatenate([x for _, x, _ in parts], axis=1)
    return np.where(excluded_days(places, model, windows), np.nan, y), x


def excluded_days(places: EventPositions, model: Model, windows: EstimationSettings) -> NDArray[np.bool_]:
    """Which estimation days are to be taken as missing, (N, M) or one False for all."""
    if windows.excluded is None:
        return np.zeros((1, 1), dtype=bool)
    parts = [_rows(places, span, places.first_row) for span in estimation_spans(model, windows)]
    return np.concatenate([windows.excluded[rows] & inside for rows, inside in parts], axis=1)


def own_variance_of(
    fitted: Fit, x: Floats, model: Model, windows: EstimationSettings, span: tuple[int, int] | None = None
) -> Floats:
    """Variance of every event day's own shock in units of sigma squared, (N, L)."""
    if model.design.own_variance is None:
        return np.ones(x.shape[:2])
    first, last = windows.event if span is None else span
    return model.design.own_variance(fitted, x, np.arange(first, last + 1) - windows.estimation[1])


def dates_between(places: EventPositions, market: Market, window: tuple[int, int]) -> Ints:
    """Dates of a window's sessions as days since 1970-01-01, (N, L); `NO_DAY` outside the calendar."""
    values, begins = market.dates
    rows, inside = _rows(places, window, begins[places.security])
    return np.where(inside, values[rows], NO_DAY)
