"""The one plan: place events, cut windows, estimate, subtract. What cannot be used becomes attrition."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact import schema
from marketimpact.errors import SpecificationError
from marketimpact.market import Market
from marketimpact.models import Fit, Model, forecast

__all__ = [
    "REASONS",
    "Estimates",
    "Windows",
    "autocorrelation",
    "check_window",
    "cumulate",
    "cut",
    "dates_between",
    "estimate",
    "estimation_cut",
    "held_events",
    "own_variance_of",
    "panel",
    "place",
    "sign_of",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The closed list of reasons why an event cannot be used.
REASONS = {
    "unknown_symbol": "the market does not know the security",
    "no_prices": "the price source has no prices of the security",
    "no_date": "the event has no date",
    "before_data": "day 0 lies before the security's first price",
    "after_data": "day 0 lies after the security's last price",
    "other_listing": "the firm's other listing stands for it",
    "no_benchmark": "the security's benchmark has no prices",
    "too_few_observations": "the estimation window has fewer complete sessions than min_observations",
    "no_event_returns": "no session of the event window has a return",
    "singular_regressors": "a regressor is constant or a combination of the others in the estimation window",
    "no_variation": "the return does not vary around the model in the estimation window",
}
#: Autocorrelation beyond this leaves no variance to speak of.
MAX_RHO = 0.95
_LOCATION = ("first_row", "n_sessions", "day0")
_ATTRITION = {"event_id": pl.String, "reason": pl.String, "detail": pl.String}


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


@dataclass(frozen=True, slots=True)
class Estimates:
    """Everything one run computes: arrays over N events, M estimation days, L event days, p regressors.

    Attributes
    ----------
    events : polars.DataFrame
        The N usable events, sorted by `event_id`; row i belongs to row i of every array.
    fit : Fit
        The regressions.
    ret, expected, ar, se : (N, L) arrays
        Return, expectation, abnormal return (fraction per session) and the abnormal return's
        forecast standard error; NaN on days without a return.
    loading : (N, L, p + 1) array
        z in ``Cov(AR_s, AR_t) = sigma^2 (v_t 1{s=t} + z_s'z_t)``; 0 on days without a return.
    own_variance : (N, L) array
        v, the variance of each day's own shock in units of ``sigma^2``: 1 unless the model says
        otherwise; 0 on days without a return.
    dates, estimation_dates : (N, L) and (N, M) arrays of int
        Days since 1970-01-01; -1 outside the calendar.
    location : polars.DataFrame
        Where each event's day 0 sits in the market's panel.
    """

    windows: Windows
    events: pl.DataFrame
    fit: Fit
    ret: Floats
    expected: Floats
    ar: Floats
    se: Floats
    loading: Floats
    own_variance: Floats
    dates: Ints
    estimation_dates: Ints
    location: pl.DataFrame

    @property
    def taus(self) -> Ints:
        """Sessions of the event window, (L,)."""
        first, last = self.windows.event
        return np.arange(first, last + 1)

    @property
    def sign(self) -> Floats:
        """+1, or -1 for an event whose returns are counted the other way round, (N,)."""
        return sign_of(self.location)

    def turned(self, sign: Floats) -> Estimates:
        """The same with the returns of some events counted the other way round, as if sold short."""
        column = sign[:, None]
        return replace(
            self,
            fit=replace(
                self.fit,
                alpha=self.fit.alpha * sign,
                slopes=self.fit.slopes * column,
                residuals=self.fit.residuals * column,
            ),
            ret=self.ret * column,
            expected=self.expected * column,
            ar=self.ar * column,
            location=self.location.with_columns(pl.Series("sign", self.sign * sign)),
        )

    def take(self, rows: NDArray[np.int64]) -> Estimates:
        """The same for some of the events."""
        fields = Fit.__dataclass_fields__
        return replace(
            self,
            events=self.events[rows],
            location=self.location[rows],
            fit=Fit(**{name: getattr(self.fit, name)[rows] for name in fields}),
            **{
                name: getattr(self, name)[rows]
                for name in ("ret", "expected", "ar", "se", "loading", "own_variance", "dates", "estimation_dates")
            },
        )


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


def place(events: pl.DataFrame, market: Market) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find every event's day 0 among its security's sessions.

    Returns
    -------
    placed : polars.DataFrame
        The usable events sorted by `event_id`, ``date`` moved to the next session where it was no
        session (``date_given`` keeps what was given), with ``first_row``, ``n_sessions`` and
        ``day0``, the session's number.
    attrition : polars.DataFrame
        ``event_id, reason, detail`` of the others.
    """
    events = schema.check(schema.Events, events, "events").sort("event_id")
    clash = {"date_given", "mic", "first_session", *_LOCATION}.intersection(events.columns)
    rows = market.first_rows.join(market.spans, on="symbol", how="left", validate="1:1")
    frame = (
        events.drop(clash)
        .rename({"date": "date_given"})
        .join(rows, on="symbol", how="left", validate="m:1", maintain_order="left")
    )
    sessions = market.panel.select("mic", "session", "date").unique().sort("date")
    frame = (
        frame.with_row_index("_order")
        .sort("date_given", nulls_last=True)
        .join_asof(
            sessions.rename({"session": "day0"}),
            left_on="date_given",
            right_on="date",
            by="mic",
            strategy="forward",
            coalesce=False,
            check_sortedness=False,
        )
        .sort("_order")
        .drop("_order")
    )
    reason = (
        pl.when(pl.col("mic").is_null())
        .then(pl.lit("unknown_symbol"))
        .when(pl.col("date_given").is_null())
        .then(pl.lit("no_date"))
        .when(pl.col("date_given") < pl.col("first"))
        .then(pl.lit("before_data"))
        .when(pl.col("date").is_null() | (pl.col("date") > pl.col("last")))
        .then(pl.lit("after_data"))
    )
    detail = (
        pl.when(pl.col("mic").is_null())
        .then(pl.format("no returns of {} in this market", "symbol"))
        .when(pl.col("date_given").is_null())
        .then(pl.lit("date is empty"))
        .otherwise(pl.format("day 0 is {}, prices run from {} to {}", "date_given", "first", "last"))
    )
    if {"align_reason", "align_detail"} <= set(events.columns):
        detail = pl.coalesce("align_detail", detail)
        reason = pl.coalesce("align_reason", reason)  # type: ignore[assignment]
    frame = frame.with_columns(reason.alias("_reason"), detail.alias("_detail"))
    dropped = frame.filter(pl.col("_reason").is_not_null()).select(
        "event_id", pl.col("_reason").alias("reason"), pl.col("_detail").alias("detail")
    )
    kept = frame.filter(pl.col("_reason").is_null()).drop("_reason", "_detail", "first", "last")
    lead = ["event_id", "symbol", "date", "date_given"]
    return kept.select(*lead, pl.exclude(lead)), dropped.cast(_ATTRITION)  # type: ignore[arg-type]


def estimate(events: pl.DataFrame, market: Market, model: Model, windows: Windows) -> tuple[Estimates, pl.DataFrame]:
    """Estimate the model for every event and subtract it in the event window.

    Returns
    -------
    estimates : Estimates
        Of the usable events.
    attrition : polars.DataFrame
        ``event_id, reason, detail``, sorted by `event_id`: every event is in one of the two.
    """
    _check_columns(market, model)
    _check_unit(market, model)
    placed, dropped = place(events, market)
    design = model.design
    y, x = estimation_cut(placed, market, model, windows, instruments=True)
    fitted = design.estimator(y, x, design)
    if windows.serial_correlation:
        fitted = replace(fitted, rho=autocorrelation(fitted.residuals))
    y_event, x_event, rf = cut(placed, market, model, windows.event)
    expected, loading = forecast(fitted, x_event)
    ar = y_event - expected
    missing = np.isnan(ar)
    loading = np.where(missing[:, :, None], 0.0, loading)
    own_variance = np.where(missing, 0.0, own_variance_of(fitted, x_event, model, windows))
    se = np.where(missing, np.nan, fitted.sigma[:, None] * np.sqrt(own_variance + (loading**2).sum(axis=2)))
    every = Estimates(
        windows=windows,
        events=placed.drop(*_LOCATION, "first_session"),
        fit=fitted,
        ret=y_event + rf,
        expected=expected + rf,
        ar=ar,
        se=se,
        loading=loading,
        own_variance=own_variance,
        dates=dates_between(placed, market, windows.event),
        estimation_dates=np.concatenate(
            [dates_between(placed, market, span) for span in _spans(model, windows)], axis=1
        ),
        location=placed.select(_LOCATION),
    )
    unusable = _unusable(every, market, model)
    usable = np.setdiff1d(np.arange(placed.height), unusable["_row"].to_numpy())
    attrition = pl.concat([dropped, unusable.drop("_row")]).sort("event_id")
    return every.take(usable), attrition


def own_variance_of(
    fitted: Fit, x: Floats, model: Model, windows: Windows, span: tuple[int, int] | None = None
) -> Floats:
    """Variance of every event day's own shock in units of sigma squared, (N, L)."""
    if model.design.own_variance is None:
        return np.ones(x.shape[:2])
    first, last = windows.event if span is None else span
    return model.design.own_variance(fitted, x, np.arange(first, last + 1) - windows.estimation[1])


def _check_columns(market: Market, model: Model) -> None:
    lacking = [c for c in model.design.columns if c not in market.columns]
    if lacking:
        have = ", ".join(("market", *market.factors))
        raise SpecificationError(
            f"{model.name} needs the factor{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; "
            f"this market has {have}. Hand them in as factors=, a frame with 'date' and one decimal "
            "column per factor."
        )


def _check_unit(market: Market, model: Model) -> None:
    if market.unit != "simple" and model.design.excess:
        raise SpecificationError(
            f"{model.name} explains returns in excess of a simple risk-free rate; this market holds {market.unit} "
            "returns, and the two must not be mixed. Use simple returns, or a model without a risk-free rate."
        )


def _rows(placed: pl.DataFrame, window: tuple[int, int]) -> tuple[Ints, NDArray[np.bool_]]:
    """Row of the panel for every event and day, and whether the calendar has that day."""
    taus = np.arange(window[0], window[1] + 1)
    session = placed["day0"].to_numpy()[:, None] + taus[None, :]
    inside = (session >= 0) & (session < placed["n_sessions"].to_numpy()[:, None])
    rows = placed["first_row"].to_numpy()[:, None] + session
    return np.where(inside, rows, 0), inside


def sign_of(placed: pl.DataFrame) -> Floats:
    """The direction in which each event's returns are counted, (N,)."""
    return placed["sign"].to_numpy() if "sign" in placed.columns else np.ones(placed.height)


def cut(
    placed: pl.DataFrame, market: Market, model: Model, window: tuple[int, int], *, instruments: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Return (N, D), regressors (N, D, p) and risk-free rate (N, D) of a window; NaN where missing."""
    design = model.design

    def column(name: str, shift: int = 0) -> Floats:
        rows, inside = _rows(placed, (window[0] + shift, window[1] + shift))
        return np.where(inside, market.column(name)[rows], np.nan)

    used = (*design.regressors, *design.instruments) if instruments else design.regressors
    sign = sign_of(placed)[:, None]
    ret = column(design.response) * sign
    rf = column("rf") * sign if design.excess else np.zeros(ret.shape)
    x = np.empty((*ret.shape, len(used)))
    for position, term in enumerate(used):
        x[:, :, position] = column(term.column, term.shift)
        if design.excess and term.column == "market":
            x[:, :, position] -= column("rf", term.shift)
    return ret - rf, x, rf


def estimation_cut(
    placed: pl.DataFrame, market: Market, model: Model, windows: Windows, *, instruments: bool = False
) -> tuple[Floats, Floats]:
    """Return and regressors of the estimation window, and of the stretch after the event where the model has one."""
    parts = [cut(placed, market, model, span, instruments=instruments) for span in _spans(model, windows)]
    y, x = np.concatenate([y for y, _, _ in parts], axis=1), np.concatenate([x for _, x, _ in parts], axis=1)
    return np.where(_excluded(placed, model, windows), np.nan, y), x


def _excluded(placed: pl.DataFrame, model: Model, windows: Windows) -> NDArray[np.bool_]:
    """Which estimation days are to be taken as missing, (N, M) or one False for all."""
    if windows.excluded is None:
        return np.zeros((1, 1), dtype=bool)
    spans = [_rows(placed, span) for span in _spans(model, windows)]
    return np.concatenate([windows.excluded[rows] & inside for rows, inside in spans], axis=1)


def _spans(model: Model, windows: Windows) -> list[tuple[int, int]]:
    after = model.design.after
    return [windows.estimation] if after is None else [windows.estimation, after]


def panel(
    estimates: Estimates, market: Market, model: Model, window: tuple[int, int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Returns and regressors of the estimation window and of a window, as the model takes them."""
    y, x = estimation_cut(estimates.location, market, model, estimates.windows)
    y_event, x_event, _ = cut(estimates.location, market, model, window)
    return y, x, y_event, x_event


def dates_between(placed: pl.DataFrame, market: Market, window: tuple[int, int]) -> Ints:
    """Dates of a window's sessions as days since 1970-01-01, (N, L); -1 outside the calendar."""
    rows, inside = _rows(placed, window)
    return np.where(inside, market.days[rows], -1)


def _unusable(every: Estimates, market: Market, model: Model) -> pl.DataFrame:
    """First reason that applies to each event that cannot be used."""
    needed, fitted = every.windows.min_observations, every.fit
    span = list(every.windows.estimation)
    # sessions after the event, where a model uses them, cannot make up for missing ones before it
    width = every.windows.estimation[1] - every.windows.estimation[0] + 1
    before = (~np.isnan(fitted.residuals[:, :width])).sum(axis=1)
    checks = {
        "no_benchmark": _without_benchmark(every.events, market, model),
        "too_few_observations": before < needed,
        "no_event_returns": np.isnan(every.ar).all(axis=1),
        "singular_regressors": fitted.singular,
        "no_variation": fitted.sigma <= 0,
    }
    details = {
        "no_benchmark": "the benchmark of {symbol} has no prices",
        "too_few_observations": f"{{n_obs}} estimation returns in {span}, min_observations is {needed}",
        "no_event_returns": f"no return in the event window {list(every.windows.event)}",
        "singular_regressors": f"{model.name}: regressors collinear or constant in {span}",
        "no_variation": f"residual variance is zero in {span}",
    }
    removed = _excluded(every.location, model, every.windows)[:, :width].sum(axis=1)
    names = list(checks)
    masks = np.column_stack(list(checks.values()))
    symbols, ids = every.events["symbol"], every.events["event_id"]
    rows = []
    for row in np.flatnonzero(masks.any(axis=1)).tolist():
        reason = names[int(masks[row].argmax())]
        detail = details[reason].format(symbol=symbols[row], n_obs=before[row])
        if reason == "too_few_observations" and every.windows.excluded is not None:
            detail += f", {removed[row]} sessions are excluded"
        rows.append((row, ids[row], reason, detail))
    return pl.DataFrame(rows, schema={"_row": pl.Int64, **_ATTRITION}, orient="row")


def _without_benchmark(events: pl.DataFrame, market: Market, model: Model) -> NDArray[np.bool_]:
    if not {"market", "market_since_trade"}.intersection(model.design.columns):
        return np.zeros(events.height, dtype=bool)
    empty = market.panel.group_by("symbol").agg(pl.col("market").is_null().all().alias("empty"))
    joined = events.select("symbol").join(empty, on="symbol", how="left", validate="m:1", maintain_order="left")
    return joined["empty"].to_numpy()


def held_events(ar: Floats, length: Ints | int, windows: Windows) -> NDArray[np.bool_]:
    """Which events have a CAR: those with a return in the window, or with all of them where that is asked."""
    n_days = (~np.isnan(ar)).sum(axis=1)
    return np.asarray(n_days == length if windows.strict else n_days > 0)


def autocorrelation(residuals: Floats) -> Floats:
    """First-order autocorrelation of each event's residuals over neighbouring days, (N, M) in, (N,) out."""
    e = np.where(np.isnan(residuals), 0.0, residuals)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (e[:, 1:] * e[:, :-1]).sum(axis=1) / (e**2).sum(axis=1)
    return np.asarray(np.clip(np.nan_to_num(rho), -MAX_RHO, MAX_RHO))


def cumulate(ar: Floats, loading: Floats, own_variance: Floats, fitted: Fit) -> tuple[Floats, Floats]:
    """CAR and its exact variance over the days that have an abnormal return.

    ``Var(CAR) = sigma^2 (sum of own variances + |sum of loadings|^2)``; (N, L), (N, L, p+1) and
    (N, L) in, (N,) out. An event without any such day has CAR and variance NaN. With residuals that
    are AR(1) the own part is ``sum_st rho^|s-t| sqrt(v_s v_t)``.
    """
    present = ~np.isnan(ar)
    n_days = present.sum(axis=1)
    total = np.where(n_days > 0, np.where(present, ar, 0.0).sum(axis=1), np.nan)
    load = np.ascontiguousarray(np.moveaxis(loading, 1, 2)).sum(axis=2)
    own = own_variance.sum(axis=1)
    if fitted.rho.any():
        root = np.sqrt(own_variance)
        for lag in range(1, root.shape[1]):
            own = own + 2.0 * fitted.rho**lag * (root[:, lag:] * root[:, :-lag]).sum(axis=1)
    variance = fitted.sigma**2 * (own + (load**2).sum(axis=1))
    return total, np.where(n_days > 0, variance, np.nan)
