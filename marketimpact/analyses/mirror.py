"""Mirror test: whether firms react alike to steps of either of two jurisdictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from marketimpact.core.arguments import require
from marketimpact.core.arrays import NO_DAY
from marketimpact.errors import SpecificationError
from marketimpact.inference import minimum_detectable_effect
from marketimpact.study.event_groups import listed_twice

if TYPE_CHECKING:
    from marketimpact.study.result import StudyResult

__all__ = ["mirror"]

#: With fewer clusters than this a t over clusters is unreliable.
MIN_CLUSTERS = 5


def mirror(
    result: StudyResult, first: int, last: int, *, pair: tuple[str, str] = ("US", "CN"), by: str | None = None
) -> pl.DataFrame:
    """Test whether reactions to one side's steps are the mirror image of reactions to the other side's.

    Every event is classified by the side that took the step: the firm is *at home* there, or *across* on the other
    side. The reactions are mirror images when firms at home react to either side's steps alike, and firms across too.

    Parameters
    ----------
    result : StudyResult
        Of announcements of one stance by both jurisdictions; its events need ``jurisdiction`` and ``country``.
    first, last : int
        The window.
    pair : tuple of str
        The two jurisdictions.
    by : str, optional
        Column of the events within which to compare, such as ``"business"``; its values must mean the same in both
        countries.

    Returns
    -------
    polars.DataFrame
        For each side (and group) two rows with the mean CAR (fraction) of the steps of either jurisdiction, and one
        with their difference: ``side, [by,] steps_by, mean_car, se, t, df, p, mde, n_clusters, n_events, note``.
        Means are over clusters: campaigns, or announcements outside any; `se` is from the spread over
        clusters, `t` of the difference is Welch's, its null that both react alike, that is, as in a mirror. `mde`
        is the minimum detectable effect, or difference (80% power, 5% level).

    Raises
    ------
    SpecificationError
        Without the columns, or without steps of both jurisdictions.

    Notes
    -----
    Firms of other countries are left out, which the note counts. With fewer than five clusters on either side the
    note says so and the p-value is unreliable. Clusters are assumed independent of each other; the note counts
    campaigns in which both sides took steps, names firms with both listings among the events, and says where
    windows of clusters have days in common. Not rejecting equality is no proof of a mirror: look at `mde`.
    """
    require(result, "StudyResult", "result")
    frame = result.car(first, last).drop_nulls("car")
    lacking = [c for c in ("jurisdiction", "country", *([by] if by else [])) if c not in frame.columns]
    if lacking:
        raise SpecificationError(f"mirror needs the events' columns {', '.join(lacking)}; use align, or join them.")
    present = set(frame["jurisdiction"].drop_nulls())
    if not set(pair) <= present:
        sides = f"the events are of steps by {', '.join(sorted(present))}" if present else "no jurisdiction is given"
        raise SpecificationError(f"pair={pair}: {sides}.")
    keep = pl.col("jurisdiction").is_in(pair) & pl.col("country").is_in(pair)
    n_other_countries = frame.filter(pl.col("jurisdiction").is_in(pair)).height - frame.filter(keep).height
    side = pl.when(pl.col("jurisdiction") == pl.col("country")).then(pl.lit("at home")).otherwise(pl.lit("across"))
    caveats = [f"{n_other_countries} events of firms of other countries left out"] if n_other_countries else []
    dual = listed_twice(frame.filter(keep), result.market)
    if _overlapping(result, frame.filter(keep), (first, last)):
        caveats.append("windows of clusters have days in common, which t takes as independent")
    if dual:
        caveats.append(f"both listings of {', '.join(dual)} count: see marketimpact.one_listing")
    means = (
        frame.filter(keep)
        .with_columns(side.alias("side"), _cluster(frame).alias("_cluster"))
        .group_by("side", *([by] if by else []), "jurisdiction", "_cluster")
        .agg(pl.col("car").mean(), pl.len().alias("n"))
        .sort("side", *([by] if by else []), "jurisdiction", "_cluster")
    )
    rows = []
    for key, side_means in means.group_by("side", *([by] if by else []), maintain_order=True):
        rows += _side_rows(key, side_means, pair, caveats)
    kinds: dict[str, pl.DataType | type[pl.DataType]] = {"side": pl.String, **({by: means.schema[by]} if by else {})}
    numbers = dict.fromkeys(("mean_car", "se", "t", "df", "p", "mde"), pl.Float64)
    counts = {"n_clusters": pl.Int64, "n_events": pl.Int64, "note": pl.String}
    return pl.DataFrame(rows, schema={**kinds, "steps_by": pl.String, **numbers, **counts}, orient="row")


def _cluster(frame: pl.DataFrame) -> pl.Expr:
    names = [c for c in ("campaign_id", "announcement_id") if c in frame.columns]
    return pl.coalesce(*names) if names else pl.col("date").cast(pl.String)


def _overlapping(result: StudyResult, frame: pl.DataFrame, window: tuple[int, int]) -> bool:
    """Check whether the windows of two clusters have a day in common."""
    dates = result.estimation.dates[:, result.estimation.columns_of(window)]
    days = pl.DataFrame({"event_id": result.events["event_id"], "_day": dates.tolist()})
    cluster_days = frame.select("event_id", _cluster(frame).alias("_cluster")).join(days, on="event_id", validate="1:1")
    days_used = cluster_days.explode("_day").filter(pl.col("_day") != NO_DAY).select("_cluster", "_day").unique()
    return days_used["_day"].n_unique() < days_used.height


def _side_rows(
    key: Sequence[object], part: pl.DataFrame, pair: tuple[str, str], caveats: Sequence[str]
) -> list[tuple[object, ...]]:
    """Make the rows of one side: the mean under each jurisdiction's steps, and their difference where both exist."""
    rows: list[tuple[object, ...]] = []
    by_jurisdiction = [part.filter(pl.col("jurisdiction") == jurisdiction) for jurisdiction in pair]
    for jurisdiction, own in zip(pair, by_jurisdiction, strict=True):
        if not own.is_empty():
            values = own["car"].to_numpy()
            g, note = len(values), None
            if g < MIN_CLUSTERS:
                note = f"only {g} cluster{'s' * (g > 1)}; at least {MIN_CLUSTERS} are needed"
            if len(own) == len(part):
                note = "no steps by the other side to compare with" + (f"; {note}" if note else "")
            rows.append((*key, jurisdiction, *_mean_test(values), g, int(own["n"].sum()), note))
    if all(len(own) for own in by_jurisdiction):
        difference = _welch_test(*(own["car"].to_numpy() for own in by_jurisdiction))
        rows.append((*key, " - ".join(pair), *difference, len(part),
                     int(part["n"].sum()), _difference_note(by_jurisdiction, caveats)))  # fmt: skip
    return rows


def _mean_test(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    """Compute mean, standard error, t, degrees of freedom, p and detectable effect of independent values."""
    g, mean = len(values), float(values.mean())
    if g < 2:
        return mean, None, None, None, None, None
    se = float(values.std(ddof=1) / np.sqrt(g))
    t = mean / se
    return (
        mean,
        se,
        t,
        float(g - 1),
        float(2.0 * scipy.special.stdtr(g - 1, -abs(t))),
        float(minimum_detectable_effect(se, g - 1)),
    )


def _welch_test(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float | None, ...]:
    """Compute the same for the difference of two means, with Welch's t."""
    gap = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return gap, None, None, None, None, None
    variances = [values.var(ddof=1) / len(values) for values in (a, b)]
    se = float(np.sqrt(sum(variances)))
    df = float(
        sum(variances) ** 2 / sum(variance**2 / (len(v) - 1) for variance, v in zip(variances, (a, b), strict=True))
    )
    return (
        gap,
        se,
        gap / se,
        df,
        float(2.0 * scipy.special.stdtr(df, -abs(gap / se))),
        float(minimum_detectable_effect(se, df)),
    )


def _difference_note(by_jurisdiction: Sequence[pl.DataFrame], caveats: Sequence[str]) -> str | None:
    notes = []
    if min(map(len, by_jurisdiction)) < MIN_CLUSTERS:
        notes.append(f"fewer than {MIN_CLUSTERS} clusters on one side")
    shared = len(set(by_jurisdiction[0]["_cluster"]) & set(by_jurisdiction[1]["_cluster"]))
    if shared:
        notes.append(f"clusters with steps by both sides, which t takes as independent: {shared}")
    return "; ".join([*notes, *caveats]) or None
