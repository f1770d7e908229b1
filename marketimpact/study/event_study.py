"""EventStudy: the specification of a study, a value that can be run over any market."""

from __future__ import annotations

import html
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

import polars as pl

from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.closed_day import ClosedDay, check_closed_day
from marketimpact.core.fingerprint import fingerprint
from marketimpact.core.frames import FrameLike
from marketimpact.core.layouts import EVENTS
from marketimpact.core.own_columns import keep_own_columns
from marketimpact.errors import SpecificationError
from marketimpact.estimation.excluded_days import ExcludedDays
from marketimpact.estimation.executors import ExecutionOptions
from marketimpact.estimation.pipeline import estimate
from marketimpact.estimation.windows import EstimationSettings, check_window
from marketimpact.events.catalogue import announcements
from marketimpact.market.market import Market
from marketimpact.models import MarketModel, Model, TradeToTrade
from marketimpact.study.result import StudyResult
from marketimpact.study.result_frames import CAR_COLUMNS

__all__ = ["EventStudy", "embedded_targets"]

#: Least degrees of freedom of a regression, so that the moments of every test exist.
SPARE_OBSERVATIONS = 5


@dataclass(frozen=True, slots=True)
class EventStudy:
    """Specification of an event study: the model of the normal return, its windows, and treatment of missing days.

    Parameters
    ----------
    model : Model
        Model of the normal return; see `marketimpact.MODELS`.
    estimation_window : tuple of int
        First and last session of the estimation window relative to day 0, both included. An event has one of its own
        where the events' columns ``estimation_first`` and ``estimation_last`` are not empty.
    event_window : tuple of int
        Widest span of sessions that a window of `car` or `test` can cover, both included.
    min_observations : int
        Complete sessions an event needs in its estimation window.
    missing : {"available", "strict", "trade_to_trade"}
        CARs of windows in which sessions have no return: sum those that have one, with the exact
        variance of these; give no CAR; or, for the market model, take returns from one trade to the next
        (`TradeToTrade`), so that a suspension's return belongs to the session on which trading resumed.
    serial_correlation : bool
        Whether variances of CARs allow for autocorrelated abnormal returns (AR(1) per event), as for
        trading volume.
    exclude : FrameLike, optional
        ``symbol, date``: days taken as missing in estimation windows, such as `contaminated_days` gives.
        For models estimated by least squares that is the same as one dummy variable for each such day.
        Event windows keep these days. `min_observations` counts the remaining days. Kept as an `ExcludedDays`,
        whose hash is recorded.
    closed_day : {"next", "previous"}
        Session that is day 0 of an event dated on a day without one: the next session, which is the first that can
        react, or, on request, the one before.
    estimation_after : tuple of int, optional
        First and last session of a second stretch of estimation days, after the event window, such as ``(31, 130)``:
        coefficients, residual variance and forecast errors are those of the days before and after together.
        `min_observations` still counts the days before. Not to be used when the event changes the mean return, the
        slope or the variance for good, which the days after it then bring into the expectation; nor when event windows
        of later events of the same security lie in it, unless `exclude` leaves their days out
        (`contaminated_days`). None of the days after was known at the event.

    Raises
    ------
    DataError
        For an `exclude` without symbol or date.
    SpecificationError
        For a window that is reversed or not of two whole numbers, windows that overlap, a
        `min_observations` too small for the model, or an `estimation_after` for a model that has a second stretch of
        its own or needs one stretch of sessions (GARCH models, `ScholesWilliams`).

    Examples
    --------
    >>> import marketimpact as mi
    >>> study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
    >>> study.but(model=mi.MeanAdjusted()).model
    MeanAdjusted()
    """

    model: Model = field(default_factory=MarketModel)
    estimation_window: tuple[int, int] = (-250, -11)
    event_window: tuple[int, int] = (-10, 10)
    min_observations: int = 60
    missing: Literal["available", "strict", "trade_to_trade"] = "available"
    serial_correlation: bool = False
    exclude: FrameLike | ExcludedDays | None = None
    closed_day: ClosedDay = "next"
    estimation_after: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("estimation_window", "event_window"):
            object.__setattr__(self, name, check_window(getattr(self, name), name))
        if self.estimation_window[1] >= self.event_window[0]:
            raise SpecificationError(
                f"estimation_window={self.estimation_window} reaches into event_window={self.event_window}: "
                "the normal return would be estimated from the event itself. End the estimation window "
                f"before {self.event_window[0]}."
            )
        if isinstance(self.model, type) or not hasattr(self.model, "design"):
            name = getattr(self.model, "__name__", repr(self.model))
            raise SpecificationError(f"model={name} is not a model value; write mi.MarketModel(), with brackets.")
        if not isinstance(self.serial_correlation, bool):
            raise SpecificationError(f"serial_correlation={self.serial_correlation!r} must be True or False.")
        self._check_missing()
        check_closed_day(self.closed_day)
        if self.exclude is not None and not isinstance(self.exclude, ExcludedDays):
            object.__setattr__(self, "exclude", ExcludedDays.of(self.exclude))
        self._check_after()
        if not isinstance(self.min_observations, int) or isinstance(self.min_observations, bool):
            raise SpecificationError(f"min_observations={self.min_observations!r} must be a whole number of sessions.")
        floor = self.model.design.n_parameters + SPARE_OBSERVATIONS
        length = self.estimation_window[1] - self.estimation_window[0] + 1
        if floor > length:
            raise SpecificationError(
                f"{self.model.name} needs {floor} sessions, and estimation_window={self.estimation_window} has "
                f"{length}. Take fewer regressors or components, or a longer estimation window."
            )
        if not floor <= self.min_observations <= length:
            raise SpecificationError(
                f"min_observations={self.min_observations} must lie between {floor} (what {self.model.name} "
                f"needs) and {length} (the sessions in estimation_window={self.estimation_window})."
            )

    def _repr_html_(self) -> str:
        """Write the settings as HTML, for a notebook: one row each."""
        settings = [(item.name.replace("_", " "), repr(getattr(self, item.name))) for item in fields(self)]
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in settings
        )
        return f"<table><caption>EventStudy: run(events, market) gives the result</caption>{rows}</table>"

    def _check_after(self) -> None:
        design, given = self.model.design, self.estimation_after
        if given is not None:
            object.__setattr__(self, "estimation_after", check_window(given, "estimation_after"))
            if design.after is not None:
                raise SpecificationError(
                    f"estimation_after={given}: {self.model.name} has a second stretch of its own, {design.after}. "
                    "Leave out one of the two."
                )
            if design.follows_sessions:
                raise SpecificationError(
                    f"estimation_after={given}: {self.model.name} is estimated on one stretch of sessions, each after "
                    "the one before. Leave estimation_after out, or use another model, such as mi.MarketModel()."
                )
        after = self.estimation_after or design.after
        if after is not None and after[0] <= self.event_window[1]:
            raise SpecificationError(
                f"{self.model.name} estimates over {after} too, which reaches into event_window={self.event_window}. "
                f"Start it after {self.event_window[1]}."
            )

    def _check_missing(self) -> None:
        if self.missing not in ("available", "strict", "trade_to_trade"):
            raise SpecificationError(f"missing={self.missing!r}: choose 'available', 'strict' or 'trade_to_trade'.")
        if self.missing != "trade_to_trade" or isinstance(self.model, TradeToTrade):
            return
        if not isinstance(self.model, MarketModel):
            raise SpecificationError(
                f"missing='trade_to_trade' is a form of the market model; {self.model.name} has none. Use "
                "model=mi.MarketModel(), or another way with missing returns."
            )
        object.__setattr__(self, "model", TradeToTrade())

    def but(self, **changes: Any) -> EventStudy:
        """Return a copy with some options changed."""
        options = [option.name for option in fields(self)]
        unknown = sorted(set(changes) - set(options))
        if unknown:
            raise SpecificationError(f"EventStudy has no option {', '.join(unknown)}; it has {', '.join(options)}.")
        return replace(self, **changes)

    def run(
        self,
        events: FrameLike,
        market: Market,
        *,
        executor: Executor | None = None,
        chunk: int | None = None,
        memory: int | str | None = None,
        progress: bool | None = None,
    ) -> StudyResult:
        """Estimate every event.

        Parameters
        ----------
        events : FrameLike
            ``event_id, symbol, date`` and any columns of your own, or what `align` returns. A date
            that is no session of the security's exchange moves to the next one, or as `closed_day` says.
            ``estimation_first`` and ``estimation_last``, whole numbers of sessions relative to day 0, are an event's
            own estimation window, such as one that ends before an earlier announcement; where both are empty the
            study's holds. Columns of your own that are named like a column of `StudyResult.car`, such as ``t``, are
            kept as ``t_event``, with a warning.
        market : Market
            Returns, benchmarks and factors.
        executor : concurrent.futures.Executor, optional
            Runs the estimation: processes (started by spawn), Dask (``client.get_executor()``), MPI. The numbers
            are the same, bit for bit, as without. See ``docs/scaling.md``.
        chunk : int, optional
            Events estimated at once. By default as many as `memory` allows.
        memory : int or str, optional
            Bytes, or text such as ``"2 GB"``, that the events estimated at once may take besides the market and
            the result; half of the free memory by default.
        progress : bool, optional
            Whether to show a progress bar; by default in a notebook or on a terminal, at once with an
            `executor` and after a second without.

        Returns
        -------
        StudyResult
            Events that cannot be used are rows of its `attrition`.

        Raises
        ------
        DataError
            For a broken events frame, or an ``estimation_first`` that is no whole number or has no ``estimation_last``;
            when a chunk failed in a worker, or a worker was lost, with its events in
            `rows`.
        SpecificationError
            When the market lacks a factor of the model; when estimation windows differ between events and the model
            needs one stretch of sessions (GARCH models, `ScholesWilliams`); and for an executor, chunk or memory that
            is not valid.
        """
        options = ExecutionOptions(executor, chunk, memory, progress)
        frame = schema.as_frame(events, "events", EVENTS)
        require(market, "Market", "market")
        settings = EstimationSettings(
            self.estimation_window,
            self.event_window,
            self.min_observations,
            strict=self.missing == "strict",
            serial_correlation=self.serial_correlation,
            after=self.estimation_after,
            excluded=self.exclude.rows(market) if isinstance(self.exclude, ExcludedDays) else None,
            closed_day=self.closed_day,
        )
        # columns of the user's own that are named like those of results are kept under other names
        given = keep_own_columns(frame, CAR_COLUMNS, "events")
        targets = embedded_targets(given) if self.model.design.donors else {}
        estimates, attrition = estimate(given, market, self.model, settings, options, targets=targets)
        return StudyResult(
            estimation=estimates,
            attrition=attrition,
            unused=_unused(given, attrition, market),
            recorded=partial(self.record, given.clone(), market),
        )

    def record(self, events: pl.DataFrame, market: Market) -> dict[str, str]:
        """List specification, versions and input hashes, which reproduce the numbers; no clock, no path."""
        return {
            "study": repr(self),
            "prices": market.source,
            "simulated": "yes" if market.simulated else "no",
            **({"leg": market.leg} if market.leg else {}),
            "market_sha256": market.fingerprint,
            "events_sha256": fingerprint(events.select("event_id", "symbol", "date")),
            **{name: version(name) for name in ("marketimpact", "polars", "numpy", "scipy", "statsmodels")},
        }


def embedded_targets(events: pl.DataFrame) -> dict[str, list[str]]:
    """Look up the targets of embedded announcements, by id: `align` drops them, and events may be left of some only."""
    if "announcement_id" not in events.columns:
        return {}
    known = announcements().drop_nulls("targets").select("announcement_id", "targets")
    return dict(known.iter_rows())


def _unused(events: pl.DataFrame, attrition: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Select the events of `attrition` with their own columns, and the exchange of each security."""
    unused = events.join(attrition, on="event_id", how="semi")
    if unused.is_empty():
        return unused
    checked = schema.check(schema.Events, unused, "events").with_columns(date_given="date")
    if "mic" in checked.columns:
        return checked
    return checked.join(market.panel_securities.select("symbol", "mic"), on="symbol", how="left", validate="m:1")
