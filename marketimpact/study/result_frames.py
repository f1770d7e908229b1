"""Build the frames of a result: estimates, abnormal returns, CARs, the CAAR path, tests of single events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from marketimpact.core import limits
from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.chunks import chunks
from marketimpact.core.factorize import factorize
from marketimpact.core.threads import map_in_threads
from marketimpact.estimation.estimates import CarSums, Estimates, by_session, has_car, sum_window
from marketimpact.inference import (
    Sample,
    adjust,
    band_of,
    blocks,
    filtered_family,
    minimum_detectable_effect,
    primary_test,
    quantile_of,
    romano_wolf,
    single_event_validity,
    sq_test,
    structure,
)
from marketimpact.study.filtered_columns import FILTERED_COLUMNS, filtered_columns, filtered_errors_by_length

__all__ = [
    "CAR_COLUMNS",
    "LAST",
    "abnormal_returns_frame",
    "caar_frame",
    "car_frame",
    "estimates_frame",
    "single_tests_frame",
    "true_cars",
]

#: Columns of `StudyResult.car` besides those of the events.
CAR_COLUMNS = (
    "n_days", "car", "se", "t", "df", "p", "mde", "scar", "bhar", *FILTERED_COLUMNS, "flags", "true_car",
)  # fmt: skip
#: Column of `StudyResult.car` that follows events past price limits.
LAST = "last"

_SINGLE_TESTS = {
    "sq_p": pl.Float64,
    "n_blocks": pl.Int64,
    **dict.fromkeys(
        ("p_holm", "p_bh", "p_by", "p_romano_wolf", *FILTERED_COLUMNS, "p_romano_wolf_filtered"), pl.Float64
    ),
    **dict.fromkeys(
        (
            "valid_t", "valid_adjusted", "valid_sq", "valid_romano_wolf", "valid_filtered",
            "valid_romano_wolf_filtered",
        ),
        pl.Boolean,
    ),
    "note": pl.String,
}  # fmt: skip
#: Coefficients with names of their own; others are ``beta_<regressor>``.
_COEFFICIENTS = {"market": "beta", "market_since_trade": "beta", "sessions_since_trade": "alpha"}


def estimates_frame(values: Estimates) -> pl.DataFrame:
    """Build the frame of estimates, one row per event; see `StudyResult.estimates`."""
    fitted, design = values.fit, values.model.design
    columns: dict[str, Any] = {"event_id": values.events["event_id"], "symbol": values.events["symbol"]}
    if design.intercept:
        columns["alpha"] = fitted.alpha
    for position, term in enumerate(design.regressors):
        columns[_COEFFICIENTS.get(term.name, f"beta_{term.name}")] = fitted.slopes[:, position]
    shifted = [position for position, term in enumerate(design.regressors) if term.column == "market"]
    if len(shifted) > 1:
        columns["beta_dimson"] = fitted.slopes[:, shifted].sum(axis=1)
    columns |= {"sigma": fitted.sigma, "n_obs": fitted.n_obs, "df": fitted.df, "r2": fitted.r2}
    if values.problem.donors is not None:
        columns["n_donors"] = values.problem.donors.used.sum(axis=1)
        columns["n_factors"] = (fitted.leverage_root != 0.0).any(axis=2).sum(axis=1) - len(design.regressors)
    columns |= {name: fitted.state[:, position] for position, name in enumerate(design.state)}
    return pl.DataFrame(columns).with_columns(pl.col(design.state).fill_nan(None))


def abnormal_returns_frame(values: Estimates) -> pl.DataFrame:
    """Build the frame of abnormal returns, one row per event and session; see `StudyResult.abnormal_returns`."""
    frame = by_session(values.events, values.dates).with_columns(
        pl.Series("tau", np.tile(values.taus, values.events.height)),
        pl.Series("ret", values.ret.ravel()),
        pl.Series("expected", values.expected.ravel()),
        pl.Series("ar", values.ar.ravel()),
        pl.Series("se", values.se.ravel()),
        pl.Series("sar", (values.ar / values.se).ravel()),
    )
    return frame.filter(pl.Series(values.dates.ravel() != NO_DAY)).with_columns(
        pl.col("ret", "expected", "ar", "se", "sar").fill_nan(None)
    )


def single_tests_frame(sample: Sample, cars: pl.DataFrame) -> pl.DataFrame:
    """Test single events as one family: p-values beside their `cars`; see `StudyResult.single_tests`."""
    if not sample.n:
        return cars.head(0).with_columns(pl.lit(None, kind).alias(name) for name, kind in _SINGLE_TESTS.items())
    _, sq_p, n_blocks = sq_test(sample)
    p = cars["p"].to_numpy()
    drawn = np.nan_to_num(blocks(sample)[1].T)
    validity = single_event_validity(sample)
    columns = {
        "sq_p": sq_p,
        "n_blocks": n_blocks,
        **{f"p_{method}": adjust(p, method) for method in ("holm", "bh", "by")},
        "p_romano_wolf": romano_wolf(sample.scar, drawn),
        **filtered_columns(sample.filtered_errors, sample.car),
        "p_romano_wolf_filtered": np.where(
            np.isfinite(sample.filtered_errors.se), romano_wolf(*filtered_family(sample)), np.nan
        ),
        "valid_t": validity.t & np.isfinite(p),
        "valid_adjusted": validity.adjusted & np.isfinite(p),
        "valid_sq": validity.sq & np.isfinite(sq_p),
        "valid_romano_wolf": validity.romano_wolf & (len(drawn) > 0),
        "valid_filtered": validity.filtered,
        "valid_romano_wolf_filtered": validity.romano_wolf_filtered,
        "note": validity.notes,
    }
    return cars.with_columns(
        pl.Series(name, columns[name], dtype=kind) for name, kind in _SINGLE_TESTS.items()
    ).with_columns(pl.col("sq_p", "p_romano_wolf", "p_romano_wolf_filtered").fill_nan(None))


def car_frame(estimates: Estimates, columns: slice, *, past_limits: bool) -> pl.DataFrame:
    """Build the frame of CARs, one row per event; see `StudyResult.car`."""
    sides = limit_sides(estimates)
    ends = _ends(estimates, sides, columns) if past_limits else np.full(len(sides), columns.stop)
    inside = _inside(columns.start, ends if past_limits else ends[:1], estimates.present.shape[1])
    sums = _sums_within(estimates, inside) if past_limits else estimates.car_sums(columns)
    n_days = ((estimates.present & inside) if past_limits else estimates.present[:, columns]).sum(axis=1)
    usable = has_car(n_days, ends - columns.start, estimates.settings)
    total, variance = np.where(usable, sums.car, np.nan), np.where(usable, sums.variance, np.nan)
    se = np.sqrt(variance)
    t = total / se
    errors = filtered_errors_by_length(
        estimates,
        estimates.settings.event[0] + columns.start,
        ends - columns.start,
        variance=variance,
        n_days=n_days,
    )
    # a short position does not compound as a long one
    compounds = usable & (estimates.market.unit == "simple") & (estimates.sign > 0)
    frame = pl.DataFrame(
        {
            "event_id": estimates.events["event_id"],
            "symbol": estimates.events["symbol"],
            "n_days": n_days,
            "car": total,
            "se": se,
            "t": t,
            "df": estimates.fit.df,
            "p": _two_sided(t, estimates.fit.df),
            "mde": se * _mde_in_se(estimates.fit.df),
            "scar": t,
            "bhar": np.where(compounds, sums.grown - sums.expected, np.nan),
            **filtered_columns(errors, total),
            "flags": _flags(estimates, sides, inside),
        }
    ).with_columns(pl.col("car", "se", "t", "p", "mde", "scar", "bhar").fill_nan(None))
    if past_limits:
        last = estimates.settings.event[0] + ends - 1
        frame = frame.with_columns(pl.Series("last", last, dtype=pl.Int64))
    return frame


def _two_sided(t: Floats, df: Ints) -> Floats:
    """Compute two-sided p-values of Student's t, (N,) in and out."""
    parts = map_in_threads(
        lambda part: 2.0 * scipy.special.stdtr(df[part], -np.abs(t[part])), chunks(len(t), limits.P_VALUE_PART_EVENTS)
    )
    return np.concatenate(list(parts))


def _mde_in_se(df: Ints) -> Floats:
    """Compute the minimum detectable effect in standard errors, (N,), once for each number of degrees of freedom."""
    values, codes, *_ = factorize(df)
    return minimum_detectable_effect(np.ones(len(values)), values.astype(np.float64))[codes]


def true_cars(estimates: Estimates, truth: pl.DataFrame, columns: slice) -> pl.Series:
    """Sum the simulated effects on each event's sessions of the window, (N,)."""
    sessions = by_session(estimates.events, estimates.dates[:, columns])
    effects = truth.group_by("symbol", "date").agg(pl.col("abnormal_return").sum())
    return (
        sessions.join(effects, on=["symbol", "date"], how="left", validate="m:1")
        .group_by("event_id")
        .agg(pl.col("abnormal_return").fill_null(0.0).sum().alias("true_car"))
        .sort("event_id")["true_car"]
    ) * pl.Series(estimates.sign)


def limit_sides(estimates: Estimates) -> NDArray[np.int8]:
    """Mark event days that closed at a price limit, (N, W): +1 at the upper one, -1 at the lower one, else 0."""
    sides = np.zeros(estimates.present.shape, dtype=np.int8)
    hits = estimates.market.limit_hits.filter(pl.col("symbol").is_in(estimates.events["symbol"].unique().to_list()))
    if hits.is_empty():
        return sides
    closes = by_session(estimates.events, estimates.dates)
    side = closes.join(
        hits.select("symbol", "date", "side"), on=["symbol", "date"], how="left", validate="m:1", maintain_order="left"
    )["side"]
    sides[(side == "upper").fill_null(value=False).to_numpy().reshape(sides.shape)] = 1
    sides[(side == "lower").fill_null(value=False).to_numpy().reshape(sides.shape)] = -1
    return sides


def _ends(estimates: Estimates, sides: NDArray[np.int8], columns: slice) -> NDArray[np.int64]:
    """Find the column after each event's last day: past a close at the limit until the first free one."""
    ends = np.full(len(sides), columns.stop, dtype=np.int64)
    width = len(estimates.taus)
    for row in np.flatnonzero(sides[:, columns.stop - 1]):
        end = columns.stop
        # a day without a close after one at the limit is not a free one
        while end < width and (sides[row, end - 1] or not estimates.present[row, end - 1]):
            end += 1
        ends[row] = end
    return ends


def _inside(start: int, ends: NDArray[np.int64], width: int) -> Bools:
    """Mark the event days inside each event's window, (N, W), or (1, W) where all windows end alike."""
    day = np.arange(width)[None, :]
    return np.asarray((day >= start) & (day < ends[:, None]))


def _sums_within(estimates: Estimates, inside: Bools) -> CarSums:
    """Sum over each event's own window."""
    days = estimates.event_window
    return sum_window(
        replace(
            days,
            ar=np.where(inside, days.ar, np.nan),
            loading=np.where(inside[:, :, None], days.loading, 0.0),
            own_variance=np.where(inside, days.own_variance, 0.0),
        ),
        estimates.fit,
    )


def _flags(estimates: Estimates, sides: NDArray[np.int8], inside: Bools) -> pl.Series:
    """Name days of the window without a return or at a price limit; null for events without any."""
    flags_by_row: dict[int, str] = {}  # most events have none
    nothing_to_flag = bool(estimates.present.all()) and not sides.any()
    rows = np.flatnonzero([] if nothing_to_flag else (inside & (~estimates.present | (sides != 0))).any(axis=1))
    inside = np.broadcast_to(inside, sides.shape)
    for row, ret in zip(rows.tolist(), estimates.event_window_of(rows).ret, strict=True):
        masks = {
            "no return on": np.isnan(ret),
            "no benchmark or factor on": ~estimates.present[row] & ~np.isnan(ret),
            "at the upper price limit on": sides[row] > 0,
            "at the lower price limit on": sides[row] < 0,
        }
        flags_by_row[row] = "; ".join(
            f"{what} {', '.join(map(str, estimates.taus[mask & inside[row]]))}"
            for what, mask in masks.items()
            if (mask & inside[row]).any()
        )
    flags = pl.Series("flags", [None], dtype=pl.String).new_from_index(0, len(sides))
    return flags.scatter(list(flags_by_row), list(flags_by_row.values())) if flags_by_row else flags


_SCHEMA = {
    "tau": pl.Int64, "aar": pl.Float64, "caar": pl.Float64, "se": pl.Float64, "ci_low": pl.Float64,
    "ci_high": pl.Float64, "mde": pl.Float64, "n_events": pl.Int64, "band": pl.String,
}  # fmt: skip


def caar_frame(
    estimates: Estimates,
    sample_at: Callable[[int, int], Sample],
    window: tuple[int, int],
    level: float,
    *,
    base: int | None = None,
    weights: Floats | None = None,
) -> pl.DataFrame:
    """Build the path of the CAAR, one row per session of the window; see `StudyResult.caar`.

    `weights`, (N,), are those of the samples; with them there is the column ``n_effective``.
    """
    first, last = window
    whole = sample_at(first, last)
    primary = primary_test(structure(whole)).name if whole.n else ""
    zero = estimates.settings.event[0]
    steps = []
    for tau in range(last, first - 1, -1):  # the longest window first: it has all pairs of events of the others
        aar = _mean_present(estimates.ar[:, tau - zero], weights)
        if tau == base:
            steps.append((tau, aar, *[0.0] * 5, whole.n, "none", whole.n_effective if whole.n else 0.0))
            continue
        start, end = (first, tau) if base is None else (min(base, tau) + 1, max(base, tau))
        sample = whole if (start, end) == window else sample_at(start, end)
        back = base is not None and tau < base
        cumulated = _cumulated(sample, level, primary, sign=-1.0 if back else 1.0)
        steps.append((tau, aar, *cumulated, sample.n_effective if sample.n else 0.0))
    schema = {**_SCHEMA, "n_effective": pl.Float64}
    frame = pl.DataFrame(steps[::-1], schema=schema, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))
    if weights is None:
        return frame.drop("n_effective")
    return frame.select(*[name for name in _SCHEMA if name != "band"], "n_effective", "band")


def _mean_present(day: Floats, weights: Floats | None) -> float:
    """Average the abnormal returns of a session that are present, (N,), weighted or alike; nan without any."""
    present = ~np.isnan(day)
    if not present.any():
        return np.nan
    return float(day[present].mean() if weights is None else np.average(day[present], weights=weights[present]))


def _cumulated(sample: Sample, level: float, primary: str, *, sign: float) -> tuple[Any, ...]:
    """Compute ``caar, se, ci_low, ci_high, mde, n_events, band`` of a sample; `sign` is -1 before the base."""
    if sample.n == 0:
        return *[np.nan] * 5, 0, "none"
    caar = sign * float(sample.mean(sample.car))
    se, df, name = band_of(sample, primary)
    quantile = quantile_of(df, level)
    mde = float(minimum_detectable_effect(se, df))
    return caar, se, caar - quantile * se, caar + quantile * se, mde, sample.n, name
