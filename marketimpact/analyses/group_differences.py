"""Differences in abnormal returns between groups of firms hit by the same announcements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy

from marketimpact.core.arguments import require
from marketimpact.core.arrays import NO_DAY, Bools, Floats, Ints
from marketimpact.core.own_columns import unknown_column
from marketimpact.errors import SpecificationError
from marketimpact.inference import (
    VARIANCE_LEVEL,
    changed_lately,
    minimum_detectable_effect,
    recent_variance,
    window_correlation,
)
from marketimpact.study.event_groups import exchanges, listed_twice
from marketimpact.study.portfolios import portfolios, separate_exchanges

if TYPE_CHECKING:
    from marketimpact.study.result import StudyResult

__all__ = ["difference", "differences", "equal_effects"]

#: Fewest announcements with which a test over announcements has about its nominal size.
MIN_DATES = 5
#: Fewest announcements with which a test of sign patterns can reject at 5%.
MIN_PATTERNS = 6
#: Level of the tests for a rise of the variance within groups, split evenly over them: 10% for each of two; and with
#: few degrees of freedom, which miss more rises.
RISE_LEVEL, RISE_LEVEL_FEW = 0.20, 0.40
#: Degrees of freedom of a group that are few, and with fewer than the second of which no rise can be seen.
FEW_WITHIN, LEAST_WITHIN = 8, 2
#: Up to this many announcements all sign patterns are used, beyond it a random sample of them.
MOST_SIGNS = 16
_SCHEMA = {
    "test": pl.String, "null": pl.String, "estimate": pl.Float64, "se": pl.Float64, "statistic": pl.Float64,
    "df": pl.Float64, "p_value": pl.Float64, "mde": pl.Float64, "n_announcements": pl.Int64,
    "valid": pl.Boolean, "note": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _WithinSpread:
    """Spread of CARs within each of K groups over that which forecast errors imply, and its degrees of freedom.

    `own` (G, K) is the part of a portfolio's variance that is its members' own, which a rise of theirs multiplies.
    Of groups too small to show a rise `changed_lately` says why unchanged variance may not be assumed.
    """

    names: list[str]
    ratio: Floats
    df: Ints
    own: Floats
    changed_lately: str

    @property
    def can_show(self) -> Bools:
        """Groups large enough to show a rise."""
        return np.asarray(self.df >= LEAST_WITHIN)

    @property
    def rose(self) -> Bools:
        """Groups whose variance rose significantly (chi-squared)."""
        level = np.where(self.df < FEW_WITHIN, RISE_LEVEL_FEW, RISE_LEVEL) / len(self.df)
        df = np.maximum(self.df, 1)
        return np.asarray(self.can_show & (scipy.special.chdtrc(df, df * self.ratio) < level))

    @property
    def common_scale(self) -> float:
        """Factor of the variance that groups share: the smallest ratio where all groups that can show a rise do."""
        rose = self.rose
        return float(self.ratio[rose].min()) if rose.any() and rose[self.can_show].all() else 1.0

    @property
    def scale(self) -> Floats:
        """Factor of each group's own part: its ratio where it rose, else that of the part that groups share."""
        return np.where(self.rose, self.ratio, self.common_scale)

    @property
    def too_small(self) -> str:
        """Groups of too few firms to show a rise, as text; empty where there are none."""
        return ", ".join(name for name, can in zip(self.names, self.can_show.tolist(), strict=True) if not can)

    @property
    def note(self) -> str:
        """Note on the variance: which groups are scaled, or what is assumed."""
        assumed = "assumes that the announcements did not raise the variance"
        if not self.can_show.any():
            return f"{assumed}, which groups this small cannot show"
        unseen = f"; in {self.too_small}, too small, none can be seen" if self.too_small else ""
        if not self.rose.any():
            return f"{assumed}; no rise is seen within groups{unseen}"
        ratios = ", ".join(
            f"{self.names[k]} {self.ratio[k]:.1f} ({self.df[k]} degrees of freedom)" for k in np.flatnonzero(self.rose)
        )
        power = ", which costs power" if (self.df[self.rose] < FEW_WITHIN).any() else ""
        return (
            f"scaled by the spread within groups, variance over what estimation windows imply: {ratios}{power}{unseen}"
        )


@dataclass(frozen=True, slots=True)
class _GroupCars:
    """CARs of group portfolios, (G, K) by announcement and group, and their (G K, G K) covariance."""

    announcements: list[str]
    dates: list[object]
    members: Ints
    car: Floats
    df: Ints
    covariance: Floats
    within: _WithinSpread
    overlapping: bool
    left_out: int
    listed_twice: list[str]


def differences(result: StudyResult, long: pl.Expr, short: pl.Expr, first: int, last: int) -> pl.DataFrame:
    """Compute the abnormal return of one group less that of another, announcement by announcement.

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
        dates, so that a common shock cancels; `p` is two-sided from t(df), `mde` the minimum detectable difference
        (80% power, 5% level).

    Raises
    ------
    SpecificationError
        When the conditions overlap, or no announcement hit both groups.

    Notes
    -----
    Null: both groups have the same expected abnormal return. With one announcement, a difference caused by it cannot
    be distinguished from another shock of that day which hits the groups differently.
    """
    require(result, "StudyResult", "result")
    cars = _group_cars(result, [long, short], first, last)
    rows = np.arange(len(cars.announcements))
    se = np.sqrt(_contrast_variance(cars, np.array([1.0, -1.0]), rows))
    gap = cars.car[:, 0] - cars.car[:, 1]
    df = cars.df.min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = gap / se
    return pl.DataFrame(
        {
            "announcement_id": cars.announcements,
            "date": cars.dates,
            "n_long": cars.members[:, 0],
            "n_short": cars.members[:, 1],
            "car_long": cars.car[:, 0],
            "car_short": cars.car[:, 1],
            "difference": gap,
            "se": se,
            "t": t,
            "df": df,
            "p": 2.0 * scipy.special.stdtr(df, -np.abs(t)),
            "mde": minimum_detectable_effect(se, df.astype(float)),
        }
    ).sort("date", "announcement_id")


def difference(result: StudyResult, long: pl.Expr, short: pl.Expr, first: int, last: int) -> pl.DataFrame:
    """Test that two groups have the same mean abnormal return, over all announcements that hit both.

    Parameters
    ----------
    result, long, short, first, last
        As for `differences`.

    Returns
    -------
    polars.DataFrame
        ``test, null, estimate, se, statistic, df, p_value, mde, n_announcements, valid, note``. `estimate` is the
        mean over announcements of the difference of the groups' CARs (fraction), `mde` the minimum detectable
        difference (80% power, 5% level; none for *sign_flip*). *forecast_error* takes its variance from the estimation
        windows, t(df) for one announcement, else N(0,1); where the CARs within a group vary significantly more than
        that, the part of its variance that is its firms' own is multiplied by their ratio, t on Welch and
        Satterthwaite's degrees of freedom. *date_means_t*, t(G-1), and *sign_flip*, all sign patterns, take it from
        the spread over announcements and are valid with at least five and six of them whose windows do not overlap;
        they are then the first rows.

    Notes
    -----
    *forecast_error* is not valid where a group has too few firms to show a rise (two on one announcement, one on
    each of several) and there are fewer than five announcements, or the recent variance of its firms is other than
    that of the estimation window; nor where five or more announcements differ more than its variance implies
    (chi-squared, or F where scaled, at 5%). A shock that only one group shares, larger than usual, cannot be seen
    with fewer announcements. A rise is significant at 20% over K, the number of groups, and at 40% over K in a group
    with fewer than 8 degrees of freedom. Its ratio is the squares of CARs about the group's mean over
    ``sum s_i^2 - n S^2``, with s_i the forecast errors of n firms and S that of their mean. Where all groups rose, the
    part that they share is multiplied by the smallest ratio.
    """
    require(result, "StudyResult", "result")
    cars = _group_cars(result, [long, short], first, last)
    gap = cars.car[:, 0] - cars.car[:, 1]
    return _mean_tests(gap, cars, "both groups react alike")


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
        that hit every group. `estimate` is the largest less the smallest group mean (fraction); `se` and
        `mde` are empty, since effects may differ in many ways.
        *forecast_error* is Hotelling's statistic with the covariance of the group portfolios from the estimation
        windows, F(K-1, df-K+2); where the CARs within a group vary significantly more, it is scaled as for
        `difference`, which says when it is not valid, F with the correction and degrees of freedom of Welch (1951).
        *hotelling* is Hotelling's T-squared of the differences over announcements, F(K-1, G-K+1), and is valid
        with separate windows and at least K + 4 announcements; it is then the first row.

    Raises
    ------
    SpecificationError
        When the column has fewer than two groups, or no announcement hit them all.
    """
    require(result, "StudyResult", "result")
    if by not in result.events.columns:
        raise unknown_column(f"by={by!r}", by, result.events.columns)
    values = result.events[by].drop_nulls().unique().sort().to_list()
    if len(values) < 2:
        raise SpecificationError(f"{by!r} has {len(values)} group{'s' * (len(values) != 1)}; equality needs two.")
    cars = _group_cars(result, [pl.col(by) == value for value in values], first, last, names=values)
    contrast = np.column_stack([-np.ones(len(values) - 1), np.eye(len(values) - 1)])
    means = cars.car.mean(axis=0)
    spread = float(means.max() - means.min())
    note = f"means {', '.join(f'{value} {mean:+.4f}' for value, mean in zip(values, means, strict=True))}"
    note += _caveats(cars, result.events[by].null_count())
    null = f"every {by} has the same mean CAR"
    rows = [_hotelling(cars.car @ contrast.T, null, spread, cars, note)]
    # the spread over announcements comes first where there are enough of them
    rows.insert(0 if len(cars.car) < MIN_DATES else 1, _equality(contrast, null, spread, cars, note))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("valid", descending=True, maintain_order=True)


def _equality(contrast: Floats, null: str, spread: float, cars: _GroupCars, note: str) -> tuple[object, ...]:
    """Test equal means by forecast errors, scaled by the spread within groups where that rose."""
    theta, k = contrast @ cars.car.mean(axis=0), len(contrast)
    covariance = _scaled_covariance(cars, contrast)
    form = float(theta @ np.linalg.solve(covariance, theta)) / k
    if cars.within.rose.any():
        loss = _welch_sum(cars, contrast, covariance)
        form, df = form / (1.0 + 2.0 * (k - 1) / (k * (k + 2)) * loss), _welch_df(k, loss)
    else:
        # Hotelling's exact form: the covariance is estimated, on df + k - 1 degrees of freedom
        df = float(cars.df.min()) - k + 1
        form *= df / (df + k - 1)
    p = float(scipy.special.fdtrc(k, df, form))
    why_not = _why_not(cars, contrast)
    full_note = "; ".join(filter(None, (why_not, f"F({k}, {round(df, 1):g})", cars.within.note, note)))
    return ("forecast_error", null, spread, None, form, df, p, None, len(cars.car), not why_not, full_note)


def _group_cars(
    result: StudyResult,
    conditions: Sequence[pl.Expr],
    first: int,
    last: int,
    names: Sequence[object] = ("long", "short"),
) -> _GroupCars:
    """Estimate a portfolio of every group under every announcement that hit all of them."""
    values = result.estimation
    in_group = _group_members(result, conditions, (first, last))
    column = "announcement_id" if "announcement_id" in values.events.columns else "date"
    labels = values.events[column].cast(pl.String).to_numpy()
    hit = [np.unique(labels[members]) for members in in_group]
    common = _common_announcements(hit, names, (first, last))
    rows = [np.flatnonzero(members & (labels == label)) for label in common for members in in_group]
    car, se, df, covariance = _group_portfolios(result, rows, (first, last))
    shape = (len(common), len(in_group))
    # without one of its portfolios an announcement has no difference between groups
    estimated = np.isfinite(se.reshape(shape)).all(axis=1)
    if not estimated.any():
        raise SpecificationError(
            f"The groups' portfolios cannot be estimated: in their estimation windows fewer than "
            f"{values.settings.min_observations} dates have returns of half of the members."
        )
    kept = np.flatnonzero(estimated)
    in_covariance = np.repeat(estimated, len(in_group))
    rows_of = [rows[k * len(in_group) : (k + 1) * len(in_group)] for k in kept]
    groups = [members for members, one in zip(rows, in_covariance, strict=True) if one]
    return _GroupCars(
        announcements=[common[k] for k in kept],
        dates=[values.events["date"][int(groups[0][0])] for groups in rows_of],
        members=np.array([len(members) for members in rows], dtype=np.int64).reshape(shape)[estimated],
        car=car.reshape(shape)[estimated],
        df=df.reshape(shape)[estimated],
        covariance=covariance[np.ix_(in_covariance, in_covariance)],
        within=_within_spread(result, [str(name) for name in names], groups, se[in_covariance], (first, last)),
        overlapping=_windows_overlap(result, [np.concatenate(groups) for groups in rows_of], (first, last)),
        left_out=len(set().union(*hit)) - len(kept),
        listed_twice=listed_twice(values.events[np.concatenate(rows)], result.market),
    )


def _group_members(result: StudyResult, conditions: Sequence[pl.Expr], window: tuple[int, int]) -> list[Bools]:
    """Mark the events of each group that have a CAR, (N,) per group; no event may be in two groups."""
    events = result.estimation.events
    has_car = result.car(*window).select(pl.col("car").is_not_null())["car"].to_numpy()
    in_group = [
        events.with_columns(condition.fill_null(value=False).alias("_member"))["_member"].to_numpy() & has_car
        for condition in conditions
    ]
    in_several = np.sum(in_group, axis=0) > 1
    if in_several.any():
        raise SpecificationError(
            f"{int(in_several.sum())} events are in more than one group, the first is "
            f"{events['event_id'][int(np.argmax(in_several))]!r}. Groups that are compared must not overlap."
        )
    return in_group


def _common_announcements(hit: Sequence[np.ndarray], names: Sequence[object], window: tuple[int, int]) -> list[str]:
    """List the announcements that hit all groups, sorted."""
    common = sorted(set(hit[0]).intersection(*hit[1:]))
    if not common:
        counts = ", ".join(f"{name}: {len(labels)}" for name, labels in zip(names, hit, strict=True))
        raise SpecificationError(
            f"No announcement hit all groups in {window}; announcements that hit {counts}. Compare groups that the "
            "same announcements hit: result.where(...) leaves the others out, mi.align(..., symbols='all') pairs "
            "every announcement with every security."
        )
    return common


def _windows_overlap(result: StudyResult, rows: Sequence[Ints], window: tuple[int, int]) -> bool:
    """Check whether the windows of two announcements, each with its `rows` of events, have a day in common."""
    values = result.estimation
    columns = values.columns_of(window)
    windows = (values.dates[events][:, columns] for events in rows)
    days = [np.unique(dates[dates != NO_DAY]) for dates in windows]
    return sum(map(len, days)) > len(np.unique(np.concatenate(days)))


def _group_portfolios(
    result: StudyResult, rows: Sequence[Ints], window: tuple[int, int]
) -> tuple[Floats, Floats, Ints, Floats]:
    """Compute each equal-weighted group's CAR, standard error and degrees of freedom, and the groups' covariance.

    A group on exchanges with hardly overlapping hours is a weighted mean of one portfolio per exchange, weighted by
    number of members.
    """
    values = result.estimation
    exchange, clocks = exchanges(values.positions.security, result.market)
    exchange_of = separate_exchanges(exchange, clocks)
    exchange_groups = [(k, r[exchange_of[r] == e]) for k, r in enumerate(rows) for e in np.unique(exchange_of[r])]
    cars = portfolios(
        values, window,
        exchange=exchange, clocks=clocks, groups=[members for _, members in exchange_groups],
    )  # fmt: skip
    weight = np.zeros((len(rows), len(exchange_groups)))
    for column, (k, members) in enumerate(exchange_groups):
        weight[k, column] = len(members) / len(rows[k])
    correlation, _ = window_correlation(cars)
    np.fill_diagonal(correlation, 1.0)
    se = np.where(np.isnan(cars.se), 0.0, cars.se)
    covariance = weight @ (correlation * se[:, None] * se[None, :]) @ weight.T
    unknown = (weight > 0) @ np.isnan(cars.se).astype(float) > 0
    df = np.array([cars.df[weight[k] > 0].min() for k in range(len(rows))], dtype=np.int64)
    group_se = np.where(unknown, np.nan, np.sqrt(np.maximum(covariance.diagonal(), 0.0)))
    return weight @ cars.car, group_se, df, covariance


def _within_spread(
    result: StudyResult, names: list[str], groups: Sequence[Ints], se: Floats, window: tuple[int, int]
) -> _WithinSpread:
    """Compare the squares of CARs about their group's mean with those that forecast errors imply, group by group.

    `groups` holds the rows of all `names` under one announcement after the other. With forecast errors s_i and a
    portfolio's S of n firms, the correlations within the group included in S, they are ``sum s_i^2 - n S^2``.
    """
    frame = result.car(*window)
    car, firm_se = frame["car"].to_numpy(), frame["se"].to_numpy()
    shape = (-1, len(names))
    n = np.array([len(rows) for rows in groups]).reshape(shape)
    squares = np.array([((car[rows] - car[rows].mean()) ** 2).sum() for rows in groups]).reshape(shape)
    firms = np.array([(firm_se[rows] ** 2).sum() for rows in groups]).reshape(shape)
    expected = np.where(n > 1, np.maximum(firms - n * se.reshape(shape) ** 2, 0.0), 0.0)
    implied = expected.sum(axis=0)
    df = np.where(implied > 0, (n - 1).sum(axis=0), 0)
    ratio = np.divide(squares.sum(axis=0), implied, out=np.ones(len(names)), where=implied > 0)
    small = [rows for k, rows in enumerate(groups) if df[k % len(names)] < LEAST_WITHIN]
    lately = _changed_lately(result, np.concatenate(small), window) if small else ""
    return _WithinSpread(names, ratio, df, expected / (np.maximum(n - 1, 1) * n), lately)


def _changed_lately(result: StudyResult, rows: Ints, window: tuple[int, int]) -> str:
    """Explain why the variance of these events may not be taken from the estimation window; empty where it may."""
    sample = result.sample(*window)
    members = np.searchsorted(result.estimation.rows_with_car(result.estimation.columns_of(window)), rows)
    recent = recent_variance(sample.residuals.rows(members), sample.recent_ar.rows(members))
    if not changed_lately(recent):
        return ""
    return f"not valid: recent variance is {recent.ratio:.2f} times that of the estimation window"


def _contrast_variance(cars: _GroupCars, weights: Floats, rows: Ints) -> Floats:
    """Compute the variance of a contrast within each announcement, (G,)."""
    k = len(weights)
    blocks = [cars.covariance[row * k : (row + 1) * k, row * k : (row + 1) * k] for row in rows.tolist()]
    return np.array([max(float(weights @ block @ weights), 0.0) for block in blocks])


def _mean_covariance(cars: _GroupCars, contrast: Floats) -> Floats:
    """Compute the covariance of contrasts of the groups' means over announcements, allowing for overlapping windows."""
    g = len(cars.car)
    spread = np.tile(contrast, g) / g
    return np.asarray(spread @ cars.covariance @ spread.T)


def _scaled_covariance(cars: _GroupCars, contrast: Floats) -> Floats:
    """Compute the covariance of contrasts of the groups' means, each group's own part scaled where it rose."""
    common, mean = cars.within.common_scale, _mean_covariance(cars, np.eye(contrast.shape[1]))
    extra = np.diag((cars.within.scale - common) * _own_variance(cars, mean))
    return np.asarray(contrast @ (common * mean + extra) @ contrast.T)


def _own_variance(cars: _GroupCars, mean_covariance: Floats) -> Floats:
    """Compute the part of the variance of each group's mean over announcements that is its firms' own, (K,)."""
    variance = cars.covariance.diagonal().reshape(cars.car.shape).sum(axis=0)
    return np.asarray(mean_covariance.diagonal() * cars.within.own.sum(axis=0) / variance)


def _welch_sum(cars: _GroupCars, contrast: Floats, covariance: Floats) -> float:
    """Sum the squares of the shares of the variance over the degrees of freedom on which each is known.

    Shares of k contrasts have the sum k. What groups share is known as well as its scale, that of the group with the
    smallest ratio, or as the estimation windows where it is not scaled.
    """
    within = cars.within
    precision = contrast.T @ np.linalg.solve(covariance, contrast)
    own = within.scale * _own_variance(cars, _mean_covariance(cars, np.eye(len(within.names))))
    shares, df = np.where(within.rose, own * precision.diagonal(), 0.0), np.maximum(within.df, 1)
    rest = len(contrast) - float(shares.sum())
    if within.common_scale == 1.0:
        return float((shares**2 / df).sum()) + rest**2 / float(cars.df.min())
    shares[np.argmin(np.where(within.rose, within.ratio, np.inf))] += rest
    return float((shares**2 / df).sum())


def _welch_df(k: int, welch_sum: float) -> float:
    """Compute the degrees of freedom of k contrasts by Welch (1951); of one, Satterthwaite's."""
    return k * (k + 2) / (3.0 * welch_sum)


def _mean_tests(gap: Floats, cars: _GroupCars, null: str) -> pl.DataFrame:
    """Test a mean over announcements against zero: forecast errors, t over announcements, sign patterns."""
    g, mean = len(gap), float(gap.mean())
    overlap_note = "" if not cars.overlapping else "not valid: windows of announcements have days in common"
    spread = float(gap.std(ddof=1) / np.sqrt(g)) if g > 1 else np.nan
    t = mean / spread if spread > 0 else np.nan
    reason = f"not valid: needs {MIN_DATES} announcements, here are {g}" if g < MIN_DATES else overlap_note
    p = float(2.0 * scipy.special.stdtr(g - 1, -abs(t))) if g > 1 else np.nan
    mde = float(minimum_detectable_effect(spread, g - 1)) if g > 1 else np.nan
    rows: list[tuple[object, ...]] = [
        ("date_means_t", null, mean, spread, t, float(g - 1), p, mde, g, not reason, reason or None)
    ]
    reason = f"not valid: needs {MIN_PATTERNS} announcements, here are {g}" if g < MIN_PATTERNS else overlap_note
    rows.append(("sign_flip", null, mean, None, t, None, _sign_flip(gap), None, g, not reason, reason or None))
    # the spread over announcements comes first where there are enough of them
    rows.insert(0 if g < MIN_DATES else len(rows), _forecast_error(mean, cars, null))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("valid", descending=True, maintain_order=True)


def _forecast_error(mean: float, cars: _GroupCars, null: str) -> tuple[object, ...]:
    """Test a mean over announcements by forecast errors, scaled by the spread within groups where that rose."""
    contrast, g = np.array([[1.0, -1.0]]), len(cars.car)
    covariance = _scaled_covariance(cars, contrast)
    se = float(np.sqrt(covariance[0, 0]))
    df = float(cars.df.min()) if g == 1 else None
    if cars.within.rose.any():
        df = _welch_df(1, _welch_sum(cars, contrast, covariance))
    z = mean / se
    p = float(2.0 * scipy.special.stdtr(df, -abs(z)) if df else 2.0 * scipy.special.ndtr(-abs(z)))
    mde = float(minimum_detectable_effect(se, df or np.inf))
    why_not = _why_not(cars, contrast)
    note = "; ".join(filter(None, (why_not, cars.within.note))) + _caveats(cars, 0)
    return ("forecast_error", null, mean, se, z, df, p, mde, g, not why_not, note)


def _why_not(cars: _GroupCars, contrast: Floats) -> str:
    """Explain why forecast errors are not valid: groups too small, a recent change, or dates that vary more."""
    within, (g, k) = cars.within, (len(cars.car), len(contrast))
    if within.changed_lately:
        return within.changed_lately
    if g < MIN_DATES:
        return (
            f"not valid: too few firms in {within.too_small} to show a rise of the variance" if within.too_small else ""
        )
    scatter = _scatter(cars, contrast)
    df = (g - 1) * k
    p = scipy.special.chdtrc(df, scatter)
    if within.rose.any():
        within_df = _welch_df(k, _welch_sum(cars, contrast, _scaled_covariance(cars, contrast)))
        p = scipy.special.fdtrc(df, within_df, scatter / df)
    if p >= VARIANCE_LEVEL:
        return ""
    implied = "the spread within groups implies" if within.rose.any() else "the estimation windows say"
    return f"not valid: differences vary {scatter / df:.1f} times as much as {implied}"


def _scatter(cars: _GroupCars, contrast: Floats) -> float:
    """Sum the squares of the announcements' contrasts about their weighted mean, over the variance of each."""
    size, common = cars.car.shape[1], cars.within.common_scale
    blocks = [cars.covariance[row : row + size, row : row + size] for row in range(0, len(cars.covariance), size)]
    extra = [np.diag(own) for own in (cars.within.scale - common) * cars.within.own]
    weight = np.linalg.inv(
        [contrast @ (common * block + more) @ contrast.T for block, more in zip(blocks, extra, strict=True)]
    )
    gap = cars.car @ contrast.T
    centre = np.linalg.solve(weight.sum(axis=0), np.einsum("gij,gj->i", weight, gap))
    return float(np.einsum("gi,gij,gj->", gap - centre, weight, gap - centre))


def _sign_flip(gap: Floats) -> float:
    """Compute the share of sign patterns whose mean is at least as far from zero."""
    g = len(gap)
    if g <= MOST_SIGNS:
        patterns = np.where(np.arange(2**g)[:, None] >> np.arange(g) & 1, -1.0, 1.0)
        extra = 0
    else:
        patterns = np.random.default_rng(0).choice([-1.0, 1.0], size=(2**MOST_SIGNS, g))
        extra = 1
    placebo_sums = np.abs(patterns @ gap)
    return float((extra + (placebo_sums >= abs(gap.sum()) * (1.0 - 1e-12)).sum()) / (extra + len(patterns)))


def _hotelling(gaps: Floats, null: str, spread: float, cars: _GroupCars, note: str) -> tuple[object, ...]:
    """Compute Hotelling's T-squared of the differences between groups, over announcements."""
    g, k = gaps.shape
    if g <= k:
        few = f"needs more announcements than differences between groups, {k}, here are {g}"
        return ("hotelling", null, spread, None, np.nan, None, np.nan, None, g, False, f"{few}; {note}")
    mean = gaps.mean(axis=0)
    t2 = float(g * mean @ np.linalg.solve(np.atleast_2d(np.cov(gaps, rowvar=False)), mean))
    f = (g - k) / (k * (g - 1)) * t2
    why_not = ""
    if g < k + MIN_DATES:
        why_not = f"not valid: needs {k + MIN_DATES} announcements, here are {g}; "
    elif cars.overlapping:
        why_not = "not valid: windows of announcements have days in common; "
    p = float(scipy.special.fdtrc(k, g - k, f))
    full_note = f"{why_not}F({k}, {g - k}); {note}"
    return ("hotelling", null, spread, None, f, float(g - k), p, None, g, not why_not, full_note)


def _caveats(cars: _GroupCars, without: int) -> str:
    notes = []
    if cars.left_out:
        notes.append(f"{cars.left_out} announcements that did not hit every group are left out")
    if without:
        notes.append(f"{without} events without a value are left out")
    if cars.listed_twice:
        notes.append(f"both listings of {', '.join(cars.listed_twice)} count: see marketimpact.one_listing")
    return "".join(f"; {part}" for part in notes)
