"""Groups of firms hit by the same announcements: differences and equality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy

from marketimpact.core.arrays import NO_DAY
from marketimpact.errors import SpecificationError
from marketimpact.events.exchange_clocks import hardly_overlapping
from marketimpact.inference import minimum_detectable_effect
from marketimpact.inference.correlation.pairs import window_correlation
from marketimpact.inference.sample import Floats, Ints
from marketimpact.study.event_groups import exchanges, listed_twice
from marketimpact.study.portfolios import portfolios

if TYPE_CHECKING:
    from marketimpact.study.result import StudyResult

__all__ = ["difference", "differences", "equal_effects"]

#: Announcements that a test over announcements needs before its size is near what it says.
MIN_DATES = 5
#: Announcements with which a test of sign patterns can reject at 5%.
MIN_PATTERNS = 6
#: Below this p-value the announcements are taken to have raised the variance, as in `StudyResult.test`.
VARIANCE_LEVEL = 0.05
#: All sign patterns are used up to this many announcements.
MOST_SIGNS = 16
_SCHEMA = {
    "test": pl.String, "null": pl.String, "estimate": pl.Float64, "se": pl.Float64, "statistic": pl.Float64,
    "df": pl.Float64, "p_value": pl.Float64, "mde": pl.Float64, "n_announcements": pl.Int64,
    "valid": pl.Boolean, "note": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _GroupCars:
    """CARs of group portfolios, (G, K) by announcement and group, and their (G K, G K) covariance."""

    announcements: list[str]
    dates: list[object]
    members: Ints
    car: Floats
    df: Ints
    covariance: Floats
    overlapping: bool
    left_out: int
    listed_twice: list[str]


def differences(result: StudyResult, long: pl.Expr, short: pl.Expr, first: int, last: int) -> pl.DataFrame:
    """Abnormal return of one group less that of another, announcement by announcement.

    Parameters
    ----------
    result : StudyResult
        The study.
    long, short : polars.Expr
        Conditions on the events' columns; no event may meet both.
    first, last : int
        The window.

    Returns
    -------
    polars.DataFrame
        One row per announcement that hit both groups: ``announcement_id, date, n_long, n_short, car_long,
        car_short, difference, se, t, df, p, mde``. `car_long` and `car_short` are equal-weighted CARs (fractions)
        of each group through one regression of its mean return; `se` is the standard error of their
        difference under unchanged variance, with the correlation of the two portfolios' residuals on common
        dates, so that a shock which both share cancels; `p` is two-sided from t(df), `mde` the smallest
        difference that it finds in 80 of 100 samples at the 5% level.

    Raises
    ------
    SpecificationError
        When the conditions overlap, or no announcement hit both groups.

    Notes
    -----
    Null: both groups have the same expected abnormal return. One announcement cannot tell a difference caused
    by it from another shock of that day which hits the groups differently.
    """
    panel = _group_cars(result, [long, short], first, last)
    rows = np.arange(len(panel.announcements))
    se = np.sqrt(_contrast_variance(panel, np.array([1.0, -1.0]), rows))
    gap = panel.car[:, 0] - panel.car[:, 1]
    df = panel.df.min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = gap / se
    return pl.DataFrame(
        {
            "announcement_id": panel.announcements,
            "date": panel.dates,
            "n_long": panel.members[:, 0],
            "n_short": panel.members[:, 1],
            "car_long": panel.car[:, 0],
            "car_short": panel.car[:, 1],
            "difference": gap,
            "se": se,
            "t": t,
            "df": df,
            "p": 2.0 * scipy.special.stdtr(df, -np.abs(t)),
            "mde": minimum_detectable_effect(se, df.astype(float)),
        }
    ).sort("date", "announcement_id")


def difference(result: StudyResult, long: pl.Expr, short: pl.Expr, first: int, last: int) -> pl.DataFrame:
    """Test that one group reacts as another does, over all announcements that hit both.

    Parameters
    ----------
    result, long, short, first, last
        As for `differences`.

    Returns
    -------
    polars.DataFrame
        ``test, null, estimate, se, statistic, df, p_value, mde, n_announcements, valid, note``. `estimate` is the
        mean over announcements of the difference of the groups' CARs (fraction), `mde` the smallest difference that
        the test finds in 80 of 100 samples at the 5% level (none for *sign_flip*). *forecast_error* takes its variance
        from the estimation windows, t(df) for one announcement, else N(0,1), and assumes that the
        announcements did not raise it; with five or more it is no longer valid where the differences scatter more than
        that (chi-squared at 5%); *date_means_t*, t(G-1), and *sign_flip*, all sign patterns, take it from
        the spread over announcements and hold with at least five and six of them whose windows lie apart.
    """
    panel = _group_cars(result, [long, short], first, last)
    gap = panel.car[:, 0] - panel.car[:, 1]
    return _mean_tests(
        gap, np.sqrt(_mean_covariance(panel, np.array([[1.0, -1.0]]))[0, 0]), panel, "both groups react alike"
    )


def equal_effects(result: StudyResult, by: str, first: int, last: int) -> pl.DataFrame:
    """Test that all groups of a column have the same mean abnormal return.

    Parameters
    ----------
    result : StudyResult
        The study.
    by : str
        Column of the events; events without a value are left out, which the note counts.
    first, last : int
        The window.

    Returns
    -------
    polars.DataFrame
        ``test, null, estimate, se, statistic, df, p_value, mde, n_announcements, valid, note`` over the announcements
        that hit every group `estimate` is the largest less the smallest group mean (fraction); `se` and
        `mde` are empty, since effects may differ in many ways.
        *forecast_error* is Hotelling's statistic with the covariance of the group portfolios from the estimation
        windows, F(K-1, df-K+2), and assumes that the announcements did not raise it;
        *hotelling* is Hotelling's T-squared of the differences over announcements, F(K-1, G-K+1), and holds
        with separate windows and at least K + 4 announcements.

    Raises
    ------
    SpecificationError
        When the column has fewer than two groups, or no announcement hit them all.
    """
    if by not in result.events.columns:
        raise SpecificationError(f"by={by!r} is no column of the events: {', '.join(result.events.columns)}.")
    values = result.events[by].drop_nulls().unique().sort().to_list()
    if len(values) < 2:
        raise SpecificationError(f"{by!r} has {len(values)} group{'s' * (len(values) != 1)}; equality needs two.")
    panel = _group_cars(result, [pl.col(by) == value for value in values], first, last, names=values)
    contrast = np.column_stack([-np.ones(len(values) - 1), np.eye(len(values) - 1)])
    means = panel.car.mean(axis=0)
    spread = float(means.max() - means.min())
    theta, k, g = contrast @ means, len(values) - 1, len(panel.car)
    df = int(panel.df.min()) - k + 1
    # Hotelling's exact form: the covariance is estimated, on df + k - 1 degrees of freedom
    form = float(theta @ np.linalg.solve(_mean_covariance(panel, contrast), theta)) * df / (k * (df + k - 1))
    note = f"means {', '.join(f'{value} {mean:+.4f}' for value, mean in zip(values, means, strict=True))}"
    note += _caveats(panel, result.events[by].null_count())
    null = f"every {by} has the same mean CAR"
    rows = [
        ("forecast_error", null, spread, None, form, float(df), float(scipy.special.fdtrc(k, df, form)), None, g,
         True,
         f"F({k}, {df}); assumes that the announcements did not raise the variance; {note}"),
        _hotelling(panel.car @ contrast.T, null, spread, panel, note),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("valid", descending=True, maintain_order=True)


def _group_cars(
    result: StudyResult,
    conditions: Sequence[pl.Expr],
    first: int,
    last: int,
    names: Sequence[object] = ("long", "short"),
) -> _GroupCars:
    """Portfolios of every group under every announcement that hit all of them."""
    values = result.estimation
    columns = slice(first - values.windows.event[0], last - values.windows.event[0] + 1)
    held = result.car(first, last).select(pl.col("car").is_not_null())["car"].to_numpy()
    met = [
        values.events.with_columns(c.fill_null(value=False).alias("_met"))["_met"].to_numpy() & held for c in conditions
    ]
    twice = np.sum(met, axis=0) > 1
    if twice.any():
        raise SpecificationError(
            f"{int(twice.sum())} events are in more than one group, the first is "
            f"{values.events['event_id'][int(np.argmax(twice))]!r}. Groups that are compared must not overlap."
        )
    column = "announcement_id" if "announcement_id" in values.events.columns else "date"
    labels = values.events[column].cast(pl.String).to_numpy()
    hit = [np.unique(labels[m]) for m in met]
    every = sorted(set(hit[0]).intersection(*hit[1:]))
    if not every:
        counts = ", ".join(f"{name}: {len(h)}" for name, h in zip(names, hit, strict=True))
        raise SpecificationError(
            f"No announcement hit all groups in ({first}, {last}); announcements that hit {counts}. Compare groups "
            "that the same announcements hit: result.where(...) leaves the others out, mi.align(..., symbols='all') "
            "looks at every security under every announcement."
        )
    rows = [np.flatnonzero(m & (labels == label)) for label in every for m in met]
    car, se, df, covariance = _group_portfolios(result, rows, (first, last))
    shape = (len(every), len(met))
    # an announcement one of whose portfolios cannot be estimated tells nothing of the others' difference
    whole = np.isfinite(se.reshape(shape)).all(axis=1)
    flat = np.repeat(whole, len(met))
    if not whole.any():
        raise SpecificationError(
            f"The groups' portfolios cannot be estimated: in their estimation windows fewer than "
            f"{values.windows.min_observations} dates have returns of half of the members."
        )
    kept = np.flatnonzero(whole)
    windows = (values.dates[np.concatenate(rows[k * len(met) : (k + 1) * len(met)])][:, columns] for k in kept)
    days = [np.unique(dates[dates != NO_DAY]) for dates in windows]
    return _GroupCars(
        announcements=[every[k] for k in kept],
        dates=[values.events["date"][int(rows[k * len(met)][0])] for k in kept],
        members=np.array([len(r) for r in rows], dtype=np.int64).reshape(shape)[whole],
        car=car.reshape(shape)[whole],
        df=df.reshape(shape)[whole],
        covariance=covariance[np.ix_(flat, flat)],
        overlapping=sum(map(len, days)) > len(np.unique(np.concatenate(days))),
        left_out=len(set().union(*hit)) - len(kept),
        listed_twice=listed_twice(values.events[np.concatenate(rows)], result.market),
    )


def _group_portfolios(
    result: StudyResult, rows: Sequence[Ints], window: tuple[int, int]
) -> tuple[Floats, Floats, Ints, Floats]:
    """CAR, standard error and degrees of freedom of each equal-weighted group, and the groups' covariance.

    A group on exchanges that are hardly open together is made of one portfolio on each, by number of members.
    """
    values = result.estimation
    exchange, clocks = exchanges(values.location.security, result.market)
    used = np.unique(exchange)
    part_of = exchange if hardly_overlapping(clocks)[np.ix_(used, used)].any() else np.zeros_like(exchange)
    pieces = [(k, r[part_of[r] == e]) for k, r in enumerate(rows) for e in np.unique(part_of[r])]
    made = portfolios(
        values, result.market, result.model, window,
        exchange=exchange, clocks=clocks, groups=[members for _, members in pieces],
    )  # fmt: skip
    weight = np.zeros((len(rows), len(pieces)))
    for column, (k, members) in enumerate(pieces):
        weight[k, column] = len(members) / len(rows[k])
    part, _ = window_correlation(made)
    np.fill_diagonal(part, 1.0)
    se = np.where(np.isnan(made.se), 0.0, made.se)
    covariance = weight @ (part * se[:, None] * se[None, :]) @ weight.T
    unknown = (weight > 0) @ np.isnan(made.se).astype(float) > 0
    df = np.array([made.df[weight[k] > 0].min() for k in range(len(rows))], dtype=np.int64)
    own = np.where(unknown, np.nan, np.sqrt(np.maximum(covariance.diagonal(), 0.0)))
    return weight @ made.car, own, df, covariance


def _contrast_variance(panel: _GroupCars, weights: Floats, rows: Ints) -> Floats:
    """Variance of a contrast within each announcement, (G,)."""
    k = len(weights)
    blocks = [panel.covariance[row * k : (row + 1) * k, row * k : (row + 1) * k] for row in rows.tolist()]
    return np.array([max(float(weights @ block @ weights), 0.0) for block in blocks])


def _mean_covariance(panel: _GroupCars, contrast: Floats) -> Floats:
    """Covariance of contrasts of the groups' means over announcements, windows that overlap included."""
    g = len(panel.car)
    spread = np.tile(contrast, g) / g
    return np.asarray(spread @ panel.covariance @ spread.T)


def _mean_tests(gap: Floats, se: float, panel: _GroupCars, null: str) -> pl.DataFrame:
    """A mean over announcements against zero, in three ways."""
    g, mean = len(gap), float(gap.mean())
    apart = "" if not panel.overlapping else "does not hold: windows of announcements have days in common"
    z = mean / se
    df = float(panel.df.min()) if g == 1 else None
    p = float(2.0 * scipy.special.stdtr(df, -abs(z)) if df else 2.0 * scipy.special.ndtr(-abs(z)))
    note = "assumes that the announcements did not raise the variance" + _caveats(panel, 0)
    mde = float(minimum_detectable_effect(se, df or np.inf))
    rose = _variance_rose(gap, panel)
    note = f"{rose}; {note}" if rose else note
    rows: list[tuple[object, ...]] = [("forecast_error", null, mean, se, z, df, p, mde, g, not rose, note)]
    spread = float(gap.std(ddof=1) / np.sqrt(g)) if g > 1 else np.nan
    t = mean / spread if spread > 0 else np.nan
    few = f"does not hold: needs {MIN_DATES} announcements, here are {g}" if g < MIN_DATES else apart
    p = float(2.0 * scipy.special.stdtr(g - 1, -abs(t))) if g > 1 else np.nan
    mde = float(minimum_detectable_effect(spread, g - 1)) if g > 1 else np.nan
    rows.append(("date_means_t", null, mean, spread, t, float(g - 1), p, mde, g, not few, few or None))
    few = f"does not hold: needs {MIN_PATTERNS} announcements, here are {g}" if g < MIN_PATTERNS else apart
    rows.append(("sign_flip", null, mean, None, t, None, _sign_flip(gap), None, g, not few, few or None))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("valid", descending=True, maintain_order=True)


def _variance_rose(gap: Floats, panel: _GroupCars) -> str:
    """Why the forecast errors do not hold where differences scatter more than these say; empty where they may."""
    g = len(gap)
    if g < MIN_DATES:
        return ""
    weight = 1.0 / _contrast_variance(panel, np.array([1.0, -1.0]), np.arange(g))
    centre = float(weight @ gap / weight.sum())
    scatter = float(weight @ (gap - centre) ** 2)
    if scipy.special.chdtrc(g - 1, scatter) >= VARIANCE_LEVEL:
        return ""
    return f"does not hold: differences vary {scatter / (g - 1):.1f} times as much as the estimation windows say"


def _sign_flip(gap: Floats) -> float:
    """Share of sign patterns whose mean is at least as far from zero."""
    g = len(gap)
    if g <= MOST_SIGNS:
        patterns = np.where(np.arange(2**g)[:, None] >> np.arange(g) & 1, -1.0, 1.0)
        extra = 0
    else:
        patterns = np.random.default_rng(0).choice([-1.0, 1.0], size=(2**MOST_SIGNS, g))
        extra = 1
    drawn = np.abs(patterns @ gap)
    return float((extra + (drawn >= abs(gap.sum()) * (1.0 - 1e-12)).sum()) / (extra + len(patterns)))


def _hotelling(gaps: Floats, null: str, spread: float, panel: _GroupCars, note: str) -> tuple[object, ...]:
    """Hotelling's T-squared of the differences between groups, over announcements."""
    g, k = gaps.shape
    if g <= k:
        few = f"needs more announcements than differences between groups, {k}, here are {g}"
        return ("hotelling", null, spread, None, np.nan, None, np.nan, None, g, False, f"{few}; {note}")
    mean = gaps.mean(axis=0)
    t2 = float(g * mean @ np.linalg.solve(np.atleast_2d(np.cov(gaps, rowvar=False)), mean))
    f = (g - k) / (k * (g - 1)) * t2
    why_not = ""
    if g < k + MIN_DATES:
        why_not = f"does not hold: needs {k + MIN_DATES} announcements, here are {g}; "
    elif panel.overlapping:
        why_not = "does not hold: windows of announcements have days in common; "
    p = float(scipy.special.fdtrc(k, g - k, f))
    told = f"{why_not}F({k}, {g - k}); {note}"
    return ("hotelling", null, spread, None, f, float(g - k), p, None, g, not why_not, told)


def _caveats(panel: _GroupCars, without: int) -> str:
    parts = []
    if panel.left_out:
        parts.append(f"{panel.left_out} announcements that did not hit every group are left out")
    if without:
        parts.append(f"{without} events without a value are left out")
    if panel.listed_twice:
        parts.append(f"both listings of {', '.join(panel.listed_twice)} count: see marketimpact.one_listing")
    return "".join(f"; {part}" for part in parts)
