"""Input of an estimation: positions, market, model and settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.factorize import factorize
from marketimpact.estimation.design_matrix import DesignMatrix, window_rows
from marketimpact.estimation.donors import DonorReturns
from marketimpact.estimation.market_subset import columns_of, rows_of_securities
from marketimpact.estimation.positions import EventPositions
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market.market import Market
from marketimpact.market.panel import first_rows
from marketimpact.models import Fit, Model

__all__ = ["EstimationProblem"]


@dataclass(frozen=True, slots=True, eq=False)
class EstimationProblem:
    """N events, the market they happened in, the model of their normal return, and the settings of its estimation.

    Attributes
    ----------
    positions : EventPositions
        Security, session of day 0 and sign of every event.
    market : Market
        Returns, benchmarks and factors.
    model : Model
        Model of the normal return.
    settings : EstimationSettings
        Windows, least number of observations, treatment of missing and excluded days.
    donors : DonorReturns or None
        Returns of the model's donors, and which each event uses; None for a model without donors.
    """

    positions: EventPositions
    market: Market
    model: Model
    settings: EstimationSettings
    donors: DonorReturns | None = None

    def __len__(self) -> int:
        """Count the events."""
        return len(self.positions)

    def take(self, rows: Ints | slice) -> EstimationProblem:
        """Return the problem of some of the events, over the same market."""
        donors = None if self.donors is None else self.donors.take(rows)
        return replace(self, positions=self.positions.take(rows), donors=donors)

    def subset(self, rows: Ints | slice) -> EstimationProblem:
        """Return the problem of some of the events with their securities only, to send to a worker."""
        positions, settings = self.positions.take(rows), self.settings
        securities, codes, *_ = factorize(positions.security)
        market = self.market.take(securities, columns_of(self.market, self.model))
        begins = first_rows(market.return_panel.securities)
        if settings.excluded is not None:
            kept = rows_of_securities(self.market.panel_securities[securities])
            settings = replace(settings, excluded=settings.excluded[kept])
        positions = replace(positions, first_row=begins[codes], security=codes)
        donors = None if self.donors is None else self.donors.take(rows)
        return EstimationProblem(positions, market, self.model, settings, donors)

    def in_memory(self) -> EstimationProblem:
        """Return the same problem with its returns read from disk into memory, if they are on disk."""
        if not self.market.return_panel.on_disk:
            return self
        return replace(self, market=replace(self.market, return_panel=self.market.return_panel.load()))

    @property
    def after(self) -> tuple[int, int] | None:
        """Second stretch that the model is estimated on, after the event window; None without any."""
        return self.settings.after or self.model.design.after

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First and last session of every stretch that the model is estimated on."""
        return [self.settings.estimation] if self.after is None else [self.settings.estimation, self.after]

    @property
    def n_estimation_days(self) -> int:
        """Sessions of all stretches that the model is estimated on."""
        return sum(last - first + 1 for first, last in self.spans)

    @property
    def gap(self) -> tuple[int, int] | None:
        """First and last session between the windows that the model carries its variance through; None without any."""
        first, last = self.settings.estimation[1] + 1, self.settings.event[0] - 1
        return None if self.model.design.through_gap is None or first > last else (first, last)

    def design(self, span: tuple[int, int] | None = None, *, instruments: bool = False) -> DesignMatrix:
        """Read returns and regressors: of a span of sessions, or of all days that the model is estimated on.

        Parameters
        ----------
        span : (int, int), optional
            First and last session relative to day 0. By default the estimation window (and the stretch after the
            event, where the model has one), in which excluded days are missing.
        instruments : bool
            Whether the model's instruments follow its regressors.

        Notes
        -----
        Returns of donors are regressors after the model's own.
        """
        if span is not None:
            return self._span_design(span, instruments=instruments)
        parts = [self._span_design(each, instruments=instruments) for each in self.spans]
        y, x, rf = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
        return DesignMatrix(np.where(self.excluded_days() | self._outside_own_window(), np.nan, y), x, rf)

    def _span_design(self, span: tuple[int, int], *, instruments: bool) -> DesignMatrix:
        design, positions, market = self.model.design, self.positions, self.market

        def column(name: str, shift: int = 0) -> Floats:
            values, begins = market.series(name)
            rows, inside = window_rows(positions, (span[0] + shift, span[1] + shift), begins[positions.security])
            return np.where(inside, values[rows], np.nan)

        terms = (*design.regressors, *design.instruments) if instruments else design.regressors
        sign = positions.sign[:, None]
        rows, inside = window_rows(positions, span, positions.first_row)
        ret = np.where(inside, market.column(design.response)[rows], np.nan) * sign
        rf = column("rf") * sign if design.excess else np.zeros(ret.shape)
        x = np.empty((*ret.shape, len(terms)))
        for number, term in enumerate(terms):
            x[:, :, number] = column(term.column, term.shift)
            if design.excess and term.column == "market":
                x[:, :, number] -= column("rf", term.shift)
        if self.donors is not None:
            x = np.concatenate([x, self.donors.window(span)], axis=2)
        return DesignMatrix(ret - rf, x, rf)

    def peer_returns(self, x: Floats) -> Floats:
        """Put the mean of the donors that each event uses in place of the donors, (N, D, p + J) to (N, D, p + 1).

        Without donors `x` is returned as it is.
        """
        if self.donors is None:
            return x
        n_own, n_used = len(self.model.design.regressors), np.maximum(self.donors.used.sum(axis=1), 1)
        mean = x[:, :, n_own:].sum(axis=2, keepdims=True) / n_used[:, None, None]
        return np.concatenate([x[:, :, :n_own], mean], axis=2)

    def excluded_days(self) -> Bools:
        """Mark estimation days that are taken as missing, (N, M); one False for all where there are none, (1, 1)."""
        excluded = self.settings.excluded
        if excluded is None:
            return np.zeros((1, 1), dtype=bool)
        parts = [window_rows(self.positions, span, self.positions.first_row) for span in self.spans]
        return np.concatenate([excluded[rows] & inside for rows, inside in parts], axis=1)

    def _outside_own_window(self) -> Bools:
        """Mark days before the event outside its own estimation window, (N, M); (1, 1) where none has its own."""
        own = self.positions.estimation
        if own is None:
            return np.zeros((1, 1), dtype=bool)
        first, last = self.settings.estimation
        tau = np.arange(first, first + self.n_estimation_days)[None, :]
        return np.asarray((tau <= last) & ((tau < own[:, :1]) | (tau > own[:, 1:])))

    def moves(self, span: tuple[int, int]) -> Bools:
        """Mark the sessions of a span with a return other than zero that is not excluded, (N, D)."""
        rows, inside = window_rows(self.positions, span, self.positions.first_row)
        ret = self.market.column(self.model.design.response)[rows]
        kept = inside if self.settings.excluded is None else inside & ~self.settings.excluded[rows]
        return np.asarray(kept & (ret != 0.0))

    def dates(self, span: tuple[int, int] | None = None) -> Ints:
        """Return the dates of the sessions of a span, or of all estimation days, (N, D).

        Days since 1970-01-01; `NO_DAY` outside the calendar.
        """
        if span is None:
            return np.concatenate([self.dates(each) for each in self.spans], axis=1)
        values, begins = self.market.dates
        rows, inside = window_rows(self.positions, span, begins[self.positions.security])
        return np.where(inside, values[rows], NO_DAY)

    def own_variance(self, fit: Fit, x: Floats, span: tuple[int, int] | None = None) -> Floats:
        """Return the variance of every event day's own shock in units of sigma squared, (N, L)."""
        if self.model.design.own_variance is None:
            return np.ones(x.shape[:2])
        first, last = span or self.settings.event
        known = self.settings.estimation[1] if self.gap is None else self.gap[1]
        return self.model.design.own_variance(fit, x, np.arange(first, last + 1) - known)
