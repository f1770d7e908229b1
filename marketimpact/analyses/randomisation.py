"""Randomisation tests: placebo dates for the same firms, and placebo firms on the same dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from marketimpact.core import limits
from marketimpact.core.arguments import require
from marketimpact.core.arrays import Floats, Ints, as_dates
from marketimpact.core.day_table import are_midnights
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import DAYS
from marketimpact.core.progress import PATIENCE, progress_bar
from marketimpact.core.text import listed
from marketimpact.core.type_advice import how_to_convert
from marketimpact.errors import DataError, SpecificationError
from marketimpact.inference import Assumption, Sample, SampleStructure, structure, violated
from marketimpact.market.market import Market
from marketimpact.study.event_study import EventStudy
from marketimpact.study.result import StudyResult

__all__ = ["placebo_dates", "placebo_firms"]

#: With fewer admissible dates or firms than this the note says how many there are.
FEW_CHOICES = 100
#: What each statistic assumes when its dates are compared with others.
_ASSUMES: dict[str, frozenset[Assumption]] = {
    "caar": frozenset({"recent variance"}),
    "mean_scar": frozenset({"recent variance"}),
    "t_scar": frozenset({"proportional shocks", "one direction"}),
    "mean_filtered": frozenset(),
}
#: Columns of `_standardised` that the statistics are made of.
_STANDARDISED = ("car", "scar", "filtered")
_SCHEMA = {
    "statistic": pl.String, "observed": pl.Float64, "low": pl.Float64, "high": pl.Float64, "p_value": pl.Float64,
    "draws": pl.Int64, "admissible": pl.Int64, "note": pl.String, "valid": pl.Boolean,
}  # fmt: skip


def placebo_dates(
    study: EventStudy,
    events: FrameLike,
    market: Market,
    window: tuple[int, int] = (0, 1),
    *,
    draws: int = 999,
    seed: int = 0,
    avoid: FrameLike | None = None,
) -> pl.DataFrame:
    """Compare the observed effect with effects on random dates without an announcement (placebo dates).

    Every campaign (or announcement outside any) is moved by a random number of sessions, each firm on the sessions of
    its own exchange; all firms and announcements of a campaign move together and keep their distances. The study is
    estimated again there.

    Parameters
    ----------
    study : EventStudy
        The specification.
    events : FrameLike
        As for `EventStudy.run`.
    market : Market
        The returns.
    window : tuple of int
        The window.
    draws, seed : int
        Number of placebo samples, and the seed of the moves.
    avoid : FrameLike, optional
        Aligned events (``date``, ``symbol`` optional) whose dates no placebo window may contain; by default the events'
        own. Pass ``align(announcements(), market, symbols="all")`` to avoid every announcement.

    Returns
    -------
    polars.DataFrame
        One row per statistic (*caar*, *mean_scar*, *t_scar*: mean SCAR over its cross-sectional standard error,
        *mean_filtered*: mean of CARs over their standard errors from the volatility known the evening before):
        ``statistic, observed, low, high, p_value, draws, admissible, note, valid``. `low` and `high` enclose the middle
        95% of the draws, `p_value` is two-sided, ``(1 + draws as far from zero) / (1 + draws)``; `admissible` is the
        smallest number of admissible moves of any campaign. `valid` says whether the variance shortly before the
        events was like that of the estimation window (for `t_scar`: whether the shock that firms share rose no more
        than their own returns), without which other dates are no comparison; `note` gives the reason.

    Raises
    ------
    SpecificationError
        When no event is usable, or a campaign has no admissible move.

    Notes
    -----
    Null: the announcement's days are like any other days of the same firms. Valid with one shared date and with
    campaigns, since events that share a date move together. Not valid where volatility has just changed: against
    calm dates an event of volatile weeks looks large. `mean_scar` and `t_scar` allow for the level of volatility in
    each date's estimation window, not for a change since; `mean_filtered` allows for what was known the evening
    before each date. With few admissible dates draws repeat, and p-values below
    one over their number are not informative.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> mi.placebo_dates(mi.EventStudy(), mi.align(h20, market), market, draws=99)["statistic"].to_list()
    ['caar', 'mean_scar', 't_scar', 'mean_filtered']
    """
    result = _run_study(study, events, market, "placebo_dates")
    observed = _statistics(_standardised(result, window), 1, np.zeros(result.events.height, dtype=np.int64))
    usable = result.events
    if usable.is_empty():
        raise SpecificationError("No event is usable, so no date can be drawn; see the attrition of study.run.")
    admissible = _AdmissibleDates.of(result, avoid, window)
    clusters = _clusters(usable)
    moves = {name: admissible.moves(np.flatnonzero(clusters == name)) for name in np.unique(clusters)}
    immovable = [str(name) for name, choices in moves.items() if not len(choices)]
    if immovable:
        raise SpecificationError(
            f"There is no other date for {', '.join(immovable[:5])}: no move leaves an estimation window of "
            f"{study.estimation_window} and a window clear of announcements. Give a longer market, or avoid fewer "
            "dates."
        )
    rng = np.random.default_rng(seed)
    shift = np.empty((draws, usable.height), dtype=np.int64)
    for name, choices in moves.items():
        shift[:, clusters == name] = rng.choice(choices, size=(draws, 1))
    placebo = _placebo_statistics(study, result, admissible, shift, window)
    fewest = min(map(len, moves.values()))
    note = f"only {fewest} admissible dates for one campaign" if fewest < FEW_CHOICES else None
    return _with_validity(_result_frame(observed[0], placebo, fewest, note), result.sample(*window))


def placebo_firms(
    study: EventStudy,
    events: FrameLike,
    market: Market,
    window: tuple[int, int] = (0, 1),
    *,
    draws: int = 999,
    seed: int = 0,
    within: Sequence[str] = ("mic",),
) -> pl.DataFrame:
    """Compare the effect on the firms hit with effects on random other firms on the same dates (placebo firms).

    Parameters
    ----------
    study, events, market, window, draws, seed
        As for `placebo_dates`.
    within : sequence of str
        Columns of the market's securities in which a stand-in must equal the firm it replaces.

    Returns
    -------
    polars.DataFrame
        As for `placebo_dates`; `admissible` is the smallest number of stand-ins of any event. `valid` is true wherever
        there is a p-value: firms of the same dates share their volatility.

    Raises
    ------
    SpecificationError
        When an event has no stand-in, or a column of `within` does not exist.

    Notes
    -----
    Null: the firms hit did not differ from others on those dates. Common shocks of the exchange cancel, so the null
    differs from that of `placebo_dates`: an effect common to all firms is not detected. Unreliable where the firms
    hit differ from the others, above all in industry: compare within ``("mic", "business")`` where there are enough
    firms. As many firms as were hit are drawn without replacement from all comparable firms of a date, those hit
    included; distances are from the mean of the draws, since each draw has the common shock. Exact if every
    comparable firm was equally likely to be hit. With n comparable firms on one date, one of them hit, no p-value is
    below ``1 / n``.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> mi.placebo_firms(mi.EventStudy(), mi.align(h20, market), market, draws=99)["draws"].to_list()
    [99, 99, 99, 99]
    """
    require(market, "Market", "market")
    lacking = [c for c in within if c not in market.securities.columns]
    if lacking:
        raise SpecificationError(f"within: the securities have no column {', '.join(map(repr, lacking))}.")
    result = _run_study(study, events, market, "placebo_firms")
    hit, stand_ins = _find_stand_ins(result, within)
    _check_stand_ins(hit, stand_ins, within)
    placebo = study.run(
        stand_ins.select(pl.col("stand_in").alias("event_id"), pl.col("other").alias("symbol"), "date"), market
    )
    usable = _standardised(placebo, window).select("event_id", *_STANDARDISED).drop_nulls("car")
    stand_in_cars = stand_ins.join(usable, left_on="stand_in", right_on="event_id", how="inner", validate="1:1")
    _check_stand_ins(hit, stand_in_cars, within)
    cars = _standardised(result, window)
    hit_cars = hit.select("event_id", "_group").join(
        cars.select("event_id", *_STANDARDISED).drop_nulls("car"), on="event_id", how="inner", validate="1:1",
        maintain_order="left",
    )  # fmt: skip
    observed = _statistics(cars, 1, np.zeros(hit.height, dtype=np.int64))
    placebo_draws = _draw_firms(hit_cars, stand_in_cars.sort("_group", "stand_in"), draws, np.random.default_rng(seed))
    fewest = int(stand_in_cars.group_by("_group").len()["len"].min())  # type: ignore[arg-type]
    note = f"only {fewest} firms to stand in for one event" if fewest < FEW_CHOICES else None
    return _result_frame(observed[0], placebo_draws, fewest, note, around_draws=True)


def _run_study(study: object, events: FrameLike, market: Market, function: str) -> StudyResult:
    """Run the study on the events themselves, after checking what `function` was given."""
    if not isinstance(study, EventStudy):
        given = "the result of a study" if isinstance(study, StudyResult) else f"a {type(study).__name__}"
        raise SpecificationError(
            f"{function} was given {given} where it needs the EventStudy: it runs the study again on events of its "
            f"own. Write mi.{function}(study, events, market), with the arguments of study.run(events, market)."
        )
    return study.run(events, market)


def _find_stand_ins(result: StudyResult, within: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Group the events by announcement, date and kind of firm, and find the other firms of every group."""
    like = [pl.col(c).alias(f"_{c}") for c in within]
    securities = result.market.securities
    exchanges = securities.select("symbol", *like)
    own = pl.col("announcement_id" if "announcement_id" in result.events.columns else "date").alias("_own")
    hit = result.events.join(exchanges, on="symbol", how="left", validate="m:1", maintain_order="left").with_columns(
        own
    )
    keys = ["_own", "date", *[f"_{c}" for c in within]]
    groups = hit.select(keys).unique(maintain_order=True).with_row_index("_group")
    hit = hit.join(groups, on=keys, how="left", nulls_equal=True, validate="m:1", maintain_order="left")
    others = securities.select(pl.col("symbol").alias("other"), *like)
    stand_ins = (
        groups.join(others, on=keys[2:], how="inner", nulls_equal=True)
        .join(hit.select("_own", pl.col("symbol").alias("other")), on=["_own", "other"], how="anti")
        .with_columns(pl.format("{} for group {}", "other", "_group").alias("stand_in"))
        .sort("stand_in")
    )
    return hit, stand_ins


def _check_stand_ins(hit: pl.DataFrame, stand_ins: pl.DataFrame, within: Sequence[str]) -> None:
    unmatched = hit.join(stand_ins, on="_group", how="anti")["event_id"].to_list()
    if unmatched:
        raise SpecificationError(
            f"{len(unmatched)} events have no comparable firm (within {', '.join(within)}), such as {unmatched[0]!r}. "
            "Compare within fewer columns, or load a market of more firms."
        )


def _dates(avoid: FrameLike) -> pl.Series:
    """Return the dates to avoid; raise DataError for a frame without any."""
    days = to_polars(avoid, "avoid", DAYS)
    if "date" not in days.columns:
        raise DataError(f"avoid lacks the column 'date'; it has {listed(days.columns)}. Give the dates to avoid.")
    dates = days["date"].dt.date() if are_midnights(days["date"]) else days["date"]
    if dates.dtype != pl.Date:
        raise DataError(f"avoid: column 'date' has type {dates.dtype}, must be Date. {how_to_convert(dates, 'dates')}")
    return dates


@dataclass(frozen=True, slots=True)
class _AdmissibleDates:
    """Admissible days 0 per event: its first row in the panel, first and last usable session, and clear sessions."""

    day0: Ints
    first_row: Ints
    earliest: Ints
    latest: Ints
    clear: list[np.ndarray]

    @classmethod
    def of(cls, result: StudyResult, avoid: FrameLike | None, window: tuple[int, int]) -> _AdmissibleDates:
        """Find sessions with a return and an estimation window before, whose window has no date to avoid."""
        positions, settings = result.estimation.positions, result.estimation.settings
        first_row, n_sessions = positions.first_row, positions.n_sessions
        dates = result.events["date"] if avoid is None else _dates(avoid)
        avoided = dates.drop_nulls().unique().to_physical().to_numpy()
        returns, days = result.market.column("ret"), result.market.days
        earliest, latest, clear = [], [], []
        for row, count in zip(first_row.tolist(), n_sessions.tolist(), strict=True):
            sessions_with_return = np.flatnonzero(~np.isnan(returns[row : row + count]))
            earliest.append(sessions_with_return[0] - settings.estimation[0])
            latest.append(min(sessions_with_return[-1], count - 1) - settings.event[1])
            is_avoided = np.isin(days[row : row + count], avoided).astype(int)
            n_avoided = np.concatenate([[0], np.cumsum(is_avoided)])
            session = np.arange(count)
            low, high = (np.clip(session + tau, 0, count) for tau in (window[0], window[1] + 1))
            clear.append((n_avoided[high] == n_avoided[low]) & ~np.isnan(returns[row : row + count]))
        return cls(positions.day0, first_row, np.array(earliest), np.array(latest), clear)

    def moves(self, rows: Ints) -> Ints:
        """List the numbers of sessions by which all of `rows` can be moved together."""
        low = int((self.earliest[rows] - self.day0[rows]).max())
        high = int((self.latest[rows] - self.day0[rows]).min())
        moves = np.arange(low, high + 1)
        for row in rows.tolist():
            moves = moves[self.clear[row][self.day0[row] + moves]]
        return np.asarray(moves[moves != 0])


def _clusters(events: pl.DataFrame) -> np.ndarray:
    names = [c for c in ("campaign_id", "announcement_id") if c in events.columns]
    label = pl.coalesce(pl.col(*names, "date").cast(pl.String))
    return events.select(label.alias("_")).to_series().to_numpy()


def _placebo_statistics(
    study: EventStudy, result: StudyResult, admissible: _AdmissibleDates, shift: Ints, window: tuple[int, int]
) -> Floats:
    """Compute the statistics of every draw, (B, 4), by running the study of `result` again in batches."""
    step = max(1, limits.PLACEBO_BATCH_EVENTS // result.events.height)
    statistics = []
    starts = range(0, len(shift), step)
    with progress_bar(None, "Placebo dates", len(starts), patience=PATIENCE) as done:
        for start in starts:
            moves = shift[start : start + step]
            batch = _moved_events(result, admissible, moves, start)
            car = _standardised(study.run(batch, result.market, progress=False), window)
            statistics.append(_statistics(car, len(moves), car["draw"].to_numpy()))
            done()
    return np.concatenate(statistics)


def _moved_events(result: StudyResult, admissible: _AdmissibleDates, moves: Ints, start: int) -> pl.DataFrame:
    """Make the events of some draws, (draws, N) `moves`, the first of which is number `start`."""
    events = result.events
    rows = admissible.first_row[None, :] + admissible.day0[None, :] + moves
    return pl.DataFrame(
        {
            "event_id": [f"{start + b}:{name}" for b in range(len(moves)) for name in events["event_id"]],
            "symbol": events["symbol"].to_list() * len(moves),
            "date": as_dates(result.market.days[rows]),
            "draw": np.repeat(np.arange(len(moves)), events.height),
        }
    )


def _standardised(result: StudyResult, window: tuple[int, int]) -> pl.DataFrame:
    """Add ``filtered`` to the CARs: over their standard error from the volatility known the evening before."""
    return result.car(*window).with_columns((pl.col("car") / pl.col("se_filtered")).alias("filtered"))


def _statistics(car: pl.DataFrame, n_draws: int, draw: Ints) -> Floats:
    """Compute the statistics of every draw, (B, 4)."""
    has_car = car["car"].is_not_null().to_numpy()
    values = car.filter(has_car).select(_STANDARDISED).cast(pl.Float64).to_numpy()
    return _moments(draw[has_car], values, n_draws)


def _moments(draw: Ints, values: Floats, n_draws: int) -> Floats:
    """Compute CAAR, mean SCAR, its cross-sectional t and the mean filtered CAR, from these columns, (N, 3)."""
    car, scar, filtered = values.T
    n = np.bincount(draw, minlength=n_draws).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, mean_scar = (np.bincount(draw, weights=v, minlength=n_draws) / n for v in (car, scar))
        # undefined where any event's is: a mean over fewer events varies more
        mean_filtered = np.bincount(draw, weights=filtered, minlength=n_draws) / n
        squares = np.bincount(draw, weights=(scar - mean_scar[draw]) ** 2, minlength=n_draws)
        t = mean_scar / np.sqrt(squares / (n - 1.0) / n)
    return np.column_stack([mean, mean_scar, t, mean_filtered])


def _draw_firms(hit: pl.DataFrame, stand_ins: pl.DataFrame, draws: int, rng: np.random.Generator) -> Floats:
    """Compute the statistics of random firms in place of those hit, (B, 4).

    Of every group as many firms as were hit are drawn without replacement, from those hit and those not hit: under
    the null every selection is equally likely.
    """
    values = pl.concat([hit.select(_STANDARDISED), stand_ins.select(_STANDARDISED)]).cast(pl.Float64).to_numpy()
    group = np.concatenate([hit["_group"].to_numpy(), stand_ins["_group"].to_numpy()])
    picked = []
    for number, n_hit in hit.group_by("_group", maintain_order=True).len().iter_rows():
        rows = np.flatnonzero(group == number)
        picked.append(rows[rng.random((draws, len(rows))).argsort(axis=1)[:, :n_hit]])
    rows_drawn = np.concatenate(picked, axis=1)
    draw = np.repeat(np.arange(draws), rows_drawn.shape[1])
    return _moments(draw, values[rows_drawn.ravel()], draws)


def _result_frame(
    observed: Floats, placebo: Floats, admissible: int, note: str | None, *, around_draws: bool = False
) -> pl.DataFrame:
    """Compute p-values by distance from zero, or from the mean of the draws and the observed value."""
    rows: list[tuple[Any, ...]] = []
    for column, name in enumerate(_ASSUMES):
        values = placebo[np.isfinite(placebo[:, column]), column]
        value = float(observed[column])
        if not len(values) or not np.isfinite(value):
            rows.append(
                (
                    name,
                    value if np.isfinite(value) else None,
                    None,
                    None,
                    None,
                    0,
                    admissible,
                    "cannot be computed",
                    False,
                )
            )
            continue
        centre = float(np.append(values, value).mean()) if around_draws else 0.0
        # a draw of exactly the firms that were hit may differ by rounding
        distance = abs(value - centre) * (1.0 - 1e-9)
        p = (1 + int((np.abs(values - centre) >= distance).sum())) / (1 + len(values))
        low, high = np.quantile(values, [0.025, 0.975])
        rows.append((name, value, float(low), float(high), p, len(values), admissible, note, True))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _with_validity(frame: pl.DataFrame, sample: Sample) -> pl.DataFrame:
    """Mark the statistics whose assumptions do not hold for the events, with the reason first in the note."""
    facts = structure(sample)
    reasons = [", and ".join([*violated(_ASSUMES[name], facts), *_rose(name, facts)]) for name in frame["statistic"]]
    why = pl.Series("_why", [f"not valid: {reason}" if reason else None for reason in reasons], dtype=pl.String)
    return (
        frame.with_columns(why)
        .with_columns(
            pl.col("valid") & pl.col("_why").is_null(),
            pl.concat_str(["_why", "note"], separator="; ", ignore_nulls=True).replace("", None).alias("note"),
        )
        .drop("_why")
    )


def _rose(statistic: str, facts: SampleStructure) -> list[str]:
    """Say that the event raised the variance, for the statistics that assume it did not."""
    if statistic == "mean_filtered" and facts.filtered_variance_rose:
        return [f"the variance of CARs is {facts.filtered_variance_ratio:.1f} times that known the evening before"]
    if statistic in ("caar", "mean_scar") and facts.variance_rose:
        return [f"the variance of SCARs is {facts.variance_ratio:.1f} times as large as without events"]
    return []
