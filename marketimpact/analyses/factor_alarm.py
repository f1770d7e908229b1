"""Alarm for factors that the model leaves out: how far out each lies on day 0, and what it would add to the effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import scipy

from marketimpact.core.arguments import require
from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.core.factorize import factorize, rows_by_code
from marketimpact.core.text import did_you_mean, listed
from marketimpact.core.whole_numbers import is_whole
from marketimpact.display.formats import count, short_percent
from marketimpact.errors import SpecificationError
from marketimpact.estimation.donor_choice import find_donors
from marketimpact.estimation.donors import DonorReturns
from marketimpact.estimation.problem import EstimationProblem
from marketimpact.events.calendars import EXCHANGES
from marketimpact.events.exchange_names import NAMES
from marketimpact.models import ROUNDING, FactorModel, PeerMean
from marketimpact.models.linear import COLLINEAR, has_own_variation
from marketimpact.study.result import StudyResult

__all__ = ["FactorAlarm", "factor_alarm", "find_alarm"]

#: Share of ordinary days on which the alarm rings.
LEVEL = 0.05
#: Fewest untreated securities of which components are computed.
FEWEST_SECURITIES = 10
#: Fewest estimation days that day 0 is compared with.
FEWEST_DAYS = 60
#: Factor columns that are no candidates, as `_plain` writes them: a risk-free rate, and the market itself.
NO_CANDIDATES = ("rf", "mktrf", "mkt", "rmrf")
#: Calendars of the Americas. Elsewhere the close comes before New York's, whose date published factors have.
AMERICAS = ("XNYS", "XCBF", "XTSE", "XMEX", "BVMF", "XBUE", "XSGO", "XLIM", "XBOG", "XBDA")
#: Tail index of daily returns (Gabaix and others 2003), beyond the farthest day of an estimation window.
TAIL_INDEX = 3
#: Securities and dates that a sentence names.
MOST_NAMED = 3
#: Published factors in words; the names that they have in a market follow in brackets.
IN_WORDS = {
    "smb": "size (small less large firms, smb)",
    "hml": "value (cheap less expensive shares, hml)",
    "rmw": "profitability (profitable less unprofitable firms, rmw)",
    "cma": "investment (firms that invest little less those that invest much, cma)",
    "mom": "momentum (past winners less past losers, mom)",
    "mean of untreated": "the mean of shares that the events do not treat",
}
#: Names of candidates that are computed from untreated securities.
UNNAMED = r"^(mean of untreated|component \d+)$"
TABLE: dict[str, Any] = {
    "date": pl.Date, "mic": pl.String, "factor": pl.String, "n_days": pl.Int64, "move": pl.Float64, "z": pl.Float64,
    "farthest_before": pl.Float64, "p_value": pl.Float64, "rings": pl.Boolean, "loading": pl.Float64,
    "bias": pl.Float64, "n_events": pl.Int64, "symbols": pl.List(pl.String),
}  # fmt: skip
#: Why a candidate is not looked at.
NO_DAY0, TOO_FEW = "no return on day 0", f"fewer than {FEWEST_DAYS} returns in the estimation window"
CONSTANT, EXPLAINED = "constant in the estimation window", "explained by the model's regressors"
NO_COMPARISON = f"fewer than {FEWEST_DAYS} days with all candidates and regressors, or no regressor on day 0"
LEFT_OUT: dict[str, Any] = {"date": pl.Date, "mic": pl.String, "factor": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True)
class FactorAlarm:
    """Candidate factors on the days 0 of a result.

    Attributes
    ----------
    table : polars.DataFrame
        One row per date, exchange, benchmark and candidate, the farthest out first: ``date, mic, factor, n_days, move,
        z, farthest_before, p_value, rings, loading, bias, n_events, symbols``. `move` is the candidate's return on day
        0 less what the model's regressors explain: the bias of an effect per unit of error in the beta on it (a
        fraction; of a component in its standard deviations). `z` is `move` over its forecast standard error,
        `farthest_before` the largest ``|z|`` of any candidate on the estimation days, `p_value` the share of these days
        on which the farthest of all candidates lay as far out, `rings` whether that is at most 5%. `loading` is the
        slope of the events' mean abnormal return on the candidate in the estimation window, `bias` ``loading * move``:
        what the factor left out adds to the mean abnormal return of day 0 of these `n_events` events, those of
        `symbols`.
    left_out : polars.DataFrame
        ``date, mic, factor, reason``: factor columns that could not be looked at: without a return on day 0, with too
        few days in the estimation window, constant there, or explained by the model's regressors.
    """

    table: pl.DataFrame
    left_out: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEFT_OUT))

    @property
    def dates(self) -> pl.DataFrame:
        """One row per date: ``date, p_value, rings``, the smallest p-value first.

        `p_value` is the smallest of the date times the number of its exchanges and benchmarks (Bonferroni), `rings`
        whether it is at most 5%. Of a factor farther out than on any estimation day, the p-value falls with the cube of
        the distance beyond the farthest, as tails of daily returns do: ranks alone never fall below ``1 / (M + 1)``.
        """
        groups = pl.struct("mic", "symbols").n_unique()
        beyond = (pl.col("farthest_before") / pl.col("z").abs()).clip(upper_bound=1.0) ** TAIL_INDEX
        p = ((pl.col("p_value") * beyond).min() * groups).clip(upper_bound=1.0)
        dates = self.table.group_by("date").agg(p, farthest=pl.col("z").abs().max())
        order = dates.sort("p_value", "farthest", "date", descending=[False, True, False])
        return order.select("date", "p_value", rings=pl.col("p_value") <= LEVEL)

    @property
    def rings(self) -> bool:
        """Check whether a factor lay unusually far out, at the 5% level over all dates.

        Of several dates, whether the smallest p-value times their number is at most 2.5%, or so many dates ring that
        the binomial probability of as many is (dates taken as independent).
        """
        p = self.dates["p_value"].to_numpy()
        if len(p) == 1:
            return bool(p[0] <= LEVEL)
        ringing = int((p <= LEVEL).sum())
        more = float(scipy.stats.binom.sf(ringing - 1, len(p), LEVEL))
        return bool(p.min() * len(p) <= LEVEL / 2 or more <= LEVEL / 2)

    @property
    def sentence(self) -> str:
        """One sentence to show beside an estimate: empty where the alarm is silent."""
        if not self.rings:
            return ""
        dates = self.dates
        first = self.table.filter(pl.col("date") == dates["date"][0]).row(0, named=True)
        n_days = first["n_days"]
        before = n_days - round(first["p_value"] * (1 + n_days) - 1)
        any_of = f"any of the {n_days}" if before == n_days else f"{before} of the {n_days}"
        z = f"{first['z']:+.1f}".replace("-", "−")
        them = "it" if len(set(first["symbols"])) == 1 else "them"
        return (
            f"Factor alarm{_ringing_dates(dates)}: on {first['date']} {_in_words(first['factor'])}, which the model "
            f"leaves out, moved farther from what the model expects than such factors did on {any_of} days before (z "
            f"{z}); judged by how {_securities(first)} followed it before, this alone would give {them} a mean "
            f"abnormal return of about {short_percent(first['bias'])} that day, an effect of the announcement only "
            "if it moved the factor."
        )

    @property
    def line(self) -> str:
        """The sentence, or where the alarm is silent one on what was looked at; and what could not be looked at."""
        return " ".join(filter(None, (self.sentence or self._silence(), _left_out_text(self.left_out))))

    def _silence(self) -> str:
        dates, looked_at = self.dates, f"looked at{_looked_at(self.table)}"
        far = dates.filter("rings")["date"].sort().to_list()
        if far:
            return (
                f"A factor lay unusually far out on {len(far)} of {dates.height} dates ({_dates(far)}), no more than "
                f"chance gives: about one ordinary date in twenty is such a date ({looked_at})."
            )
        where = "day 0" if dates.height == 1 else f"any of the {dates.height} dates"
        return f"No factor at hand lay unusually far out on {where} ({looked_at})."

    def __repr__(self) -> str:
        """Say whether it rings, and show the candidates farthest out."""
        if not self.rings:
            days = self.table["date"].n_unique()
            where = "1 date" if days == 1 else f"{days} dates"
            told = f"FactorAlarm: silent; {count(self.table.height, 'candidate')} on {where}, see .table"
            return f"{told}. {_left_out_text(self.left_out)}" if self.left_out.height else told
        return f"{self.line}\n{self.table.filter('rings')}"


def _left_out_text(left_out: pl.DataFrame) -> str:
    """Write which factors could not be looked at, and why; empty where there are none."""
    if left_out.is_empty():
        return ""
    pairs = left_out.group_by("factor", "reason").agg(dates=pl.col("date").unique().sort()).sort("reason", "factor")
    parts = []
    for (reason, dates), own in pairs.group_by("reason", "dates", maintain_order=True):
        on = _dates([*dates])
        parts.append(f"{listed(own['factor'].to_list(), quoted=False)} ({reason}, {on})")
    return f"Not looked at: {'; '.join(parts)}."


def _ringing_dates(dates: pl.DataFrame) -> str:
    """Count and name the dates that ring, where there are several dates."""
    ringing = dates.filter("rings")["date"].sort().to_list()
    return f" ({len(ringing)} of {dates.height} dates ring, {_dates(ringing)})" if dates.height > 1 else ""


def _dates(dates: list[Any]) -> str:
    return listed([str(day) for day in dates], limit=MOST_NAMED, quoted=False)


def _securities(row: dict[str, Any]) -> str:
    """Name the securities of a row of the table, or count them, with their exchange where it is a known one."""
    symbols = sorted(set(row["symbols"]))
    few = len(symbols) <= MOST_NAMED
    place = _places([row["mic"]])
    return (listed(symbols, quoted=False) if few else f"{len(symbols)} shares with an event that day") + place


def _places(mics: Sequence[str]) -> str:
    """Name exchanges; empty where none is a known one, as of returns without an exchange."""
    names = [NAMES[mic] for mic in sorted(mics) if mic in NAMES]
    return f" on {listed(names, quoted=False)}" if names else ""


def _looked_at(table: pl.DataFrame) -> str:
    """List the candidates with the exchanges of the events that they were looked at for."""
    unnamed = pl.col("factor").str.contains(UNNAMED)
    kinds = []
    for rows, text in ((table.filter(~unnamed), ""), (table.filter(unnamed), "common movements of untreated shares")):
        if rows.height:
            names = text or listed(rows["factor"].unique().sort().to_list(), quoted=False)
            kinds.append((names, _places(rows["mic"].unique().to_list())))
    places = {place for _, place in kinds}
    if len(places) == 1:
        place = places.pop()
        return f"{' for events' if place else ''}{place}: {' and '.join(names for names, _ in kinds)}"
    return f": {' and '.join(f'{names} for events{place}' for names, place in kinds)}"


class _Candidates(NamedTuple):
    """Candidate factors of one day 0: names, returns on the estimation days (M, K) and on day 0 (K,)."""

    names: list[str]
    before: Floats
    day0: Floats

    def join(self, other: _Candidates) -> _Candidates:
        return _Candidates(
            [*self.names, *other.names], np.hstack([self.before, other.before]), np.append(self.day0, other.day0)
        )

    def take(self, kept: Bools) -> _Candidates:
        names = [name for name, keep in zip(self.names, kept, strict=True) if keep]
        return _Candidates(names, self.before[:, kept], self.day0[kept])

    def lacks(self) -> list[str]:
        """Say what each lacks, of a return on day 0 and enough before; empty where nothing."""
        few = (~np.isnan(self.before)).sum(axis=0) < FEWEST_DAYS
        without = np.isnan(self.day0)
        return [NO_DAY0 if none else TOO_FEW if short else "" for none, short in zip(without, few, strict=True)]


def factor_alarm(result: StudyResult, *, factors: Sequence[str] | None = None, components: int = 3) -> FactorAlarm:
    """Compare each candidate factor on day 0 with its own past, given the model's regressors.

    Parameters
    ----------
    result : StudyResult
        Its model names the factors that are known; its estimation windows are the past.
    factors : sequence of str, optional
        Factor columns of the market to look at, for the events of every exchange. By default all that the model does
        not read, without a risk-free rate and the market (``rf``, ``mktrf``, however they are spelled), and only for
        events on exchanges of the Americas or on none that is known: a column has one date for all exchanges, and on
        New York's date Hong Kong closes before New York opens. Name the factors where their clock is that of the
        events' exchange, as of those of `Market.with_factor`.
    components : int
        Principal components of the untreated securities of the event's exchange to look at, beside their mean; 0 for
        none of these. They need 10 untreated securities.

    Returns
    -------
    FactorAlarm

    Raises
    ------
    SpecificationError
        For what is no result, a result without events, a factor that the market lacks or the model reads, a number of
        components that is no whole number, and where there is no candidate.

    Notes
    -----
    For every date, exchange and benchmark each candidate is regressed on the model's regressors in the estimation
    window. Null: day 0 is a day like those of the estimation window. Its largest ``|z|`` over the candidates is
    compared with that of each of these days, so that one p-value covers all candidates and their correlation; it is
    never below ``1 / (M + 1)``. A factor column that cannot be looked at is in `FactorAlarm.left_out`, and named in
    `FactorAlarm.line`; a security whose residual returns are rounding noise is in no component. Some candidate rings on
    5% of ordinary days. Over several dates `FactorAlarm.rings` is a Bonferroni test of the smallest p-value and a
    binomial test of how many dates ring, at 2.5% each, for which p-values beyond the farthest estimation day are
    extrapolated (`FactorAlarm.dates`; Gabaix and others 2003). It looks at day 0 alone, not at later days of a window.
    Residuals of the securities cannot show this: the factor that moves is in the past too small to see
    (Goldsmith-Pinkham and Lyu 2025). An alarm is no proof of a bias: an announcement may itself move the factor. Not to
    be used to choose the model after looking; report the effect with and without the factor.

    Examples
    --------
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> alarm = mi.factor_alarm(mi.EventStudy().run(mi.align(h20, market), market))
    >>> alarm.table.columns[:3], alarm.rings
    (['date', 'mic', 'factor'], False)
    """
    require(result, "StudyResult", "result")
    if not is_whole(components) or components < 0:
        raise SpecificationError(f"components={components!r}: give a whole number of components, 0 for none.")
    if result.events.is_empty():
        raise SpecificationError("The result has no events, so no day 0 to look at. Its attrition, or where, says why.")
    alarm = _find(result, None if factors is None else _checked(result, factors), components)
    if alarm.table.is_empty():
        left_out = _left_out_text(alarm.left_out)
        raise SpecificationError(
            f"There is no candidate: the market has no factor besides those of {result.model.name} with a return on "
            f"day 0 and on {FEWEST_DAYS} estimation days, and no exchange with {FEWEST_SECURITIES} untreated "
            f"securities.{left_out and ' ' + left_out} Give the market factors=, or load more securities; for events "
            "outside the Americas name the factors of their exchange in factors= here."
        )
    return alarm


def find_alarm(result: StudyResult, names: list[str] | None = None, components: int = 3) -> FactorAlarm | None:
    """Compare the candidates as `factor_alarm` does; None where there is none.

    Parameters
    ----------
    names : list of str, optional
        Factor columns of the market that the model does not read; by default those that `factor_alarm` takes.
    """
    alarm = _find(result, names, components)
    return None if alarm.table.is_empty() else alarm


def _find(result: StudyResult, names: list[str] | None, components: int) -> FactorAlarm:
    """Compare the candidates; with an empty table where there is none."""
    rows: list[dict[str, Any]] = []
    left_out: list[tuple[Any, ...]] = []
    for members, candidates in _days(result, names, components):
        compared, reasons = _rows(result, result.estimation.problem, members, candidates)
        rows += compared
        day = result.events.select("date", "mic").row(int(members[0]))
        left_out += [(*day, name, reason) for name, reason in reasons.items()]
    return FactorAlarm(
        pl.DataFrame(rows, schema=TABLE).sort("p_value", pl.col("z").abs(), descending=[False, True]),
        pl.DataFrame(left_out, schema=LEFT_OUT, orient="row").unique(maintain_order=True),
    )


def _in_words(factor: str) -> str:
    """Name a candidate for readers who do not know its column."""
    if factor.startswith("component "):
        return f"a common movement of shares that the events do not treat ({factor})"
    return IN_WORDS.get(factor) or IN_WORDS.get(_plain(factor)) or f"the factor {factor}"


def _plain(factor: str) -> str:
    """Write a factor's name in small letters and digits alone: Mkt-RF, MKT_RF and mktrf are the same."""
    return "".join(letter for letter in factor.lower() if letter.isalnum())


def _default_names(result: StudyResult, mic: str) -> list[str]:
    """List the factor columns that are candidates for events of one exchange where the caller names none."""
    if EXCHANGES.get(mic, AMERICAS[0]) not in AMERICAS:
        return []
    read = {_plain(name) for name in result.model.design.columns}
    return [name for name in result.market.factors if _plain(name) not in (*read, *NO_CANDIDATES)]


def _checked(result: StudyResult, factors: Sequence[str]) -> list[str]:
    """Check the factors that the caller names."""
    known, read = result.market.factors, set(result.model.design.columns)
    if isinstance(factors, str):
        raise SpecificationError(f'factors={factors!r}: give a list, such as ["{factors}"].')
    factors = list(factors)
    repeated = sorted({name for name in factors if factors.count(name) > 1})
    if repeated:
        raise SpecificationError(f"factors has {listed(repeated)} twice. Give each name once.")
    unknown = [name for name in factors if name not in known]
    if unknown:
        raise SpecificationError(
            f"factors names {listed(unknown)}, and the market has {listed(known) or 'no factors'}."
            f"{did_you_mean(unknown[0], known)} Give them with the market, as factors=."
        )
    own = [name for name in factors if name in read]
    if own:
        raise SpecificationError(f"{result.model.name} reads {listed(own)} already. Leave it out of factors.")
    return factors


def _days(result: StudyResult, names: list[str] | None, components: int) -> Iterator[tuple[Ints, _Candidates]]:
    """Yield the events of each day 0, exchange and benchmark, and the candidates of that day."""
    problem = result.estimation.problem
    events = result.events.select("date", "mic", pl.Series("_security", problem.positions.security))
    benchmarks = result.market.panel_securities["series_of_benchmark"].gather(events["_security"])
    keys = events.select(pl.struct("date", "mic", benchmarks.alias("_benchmark")).rank("dense")).to_series()
    groups = list(rows_by_code(factorize(keys)))
    untreated = _untreated(result, groups) if components else [None] * len(groups)
    for members, donors in zip(groups, untreated, strict=True):
        one = problem.take(members[:1])
        mic = str(result.events["mic"][int(members[0])])
        candidates = _named(one, _default_names(result, mic) if names is None else names)
        if donors is not None:
            candidates = candidates.join(_unnamed(one, donors, components))
        if candidates.names:
            yield members, candidates


def _untreated(result: StudyResult, groups: Sequence[Ints]) -> list[DonorReturns | None]:
    """Find the untreated securities of each group's exchange on its day 0; None where there are too few."""
    problem, securities = result.estimation.problem, result.market.panel_securities
    symbols, mics = result.events["symbol"], result.events["mic"]
    found: list[DonorReturns | None] = [None] * len(groups)
    of_mic: dict[str, list[int]] = {}
    for number, members in enumerate(groups):
        mic = mics[int(members[0])]
        others = securities.filter(pl.col("mic") == mic, ~pl.col("symbol").is_in(symbols.gather(members).implode()))
        if others.height >= FEWEST_SECURITIES:
            of_mic.setdefault(mic, []).append(number)
    for mic, numbers in of_mic.items():
        first = np.array([groups[number][0] for number in numbers], dtype=np.int64)
        model = PeerMean(tuple(securities.filter(pl.col("mic") == mic)["symbol"]))
        day0_only = replace(problem.settings, event=(0, 0))
        days = replace(problem.take(first), model=model, settings=day0_only, donors=None)
        donors = find_donors(result.events, result.events[first], days, {})
        if donors is None:
            continue
        for row, number in enumerate(numbers):
            one = donors.take(slice(row, row + 1))
            found[number] = one if one.used.sum() >= FEWEST_SECURITIES else None
    return found


def _named(one: EstimationProblem, names: list[str]) -> _Candidates:
    """Read factor columns of the market for one event."""
    if not names:
        return _Candidates([], np.empty((one.n_estimation_days, 0)), np.empty(0))
    factors = replace(one, model=FactorModel(tuple(names)), donors=None)
    # the spans of the model of the result, which may have a stretch of its own after the event
    before = np.concatenate([factors.design(span).x[0] for span in one.spans])
    return _Candidates(names, before.reshape(-1, len(names)), factors.design((0, 0)).x[0, 0])


def _unnamed(one: EstimationProblem, donors: DonorReturns, components: int) -> _Candidates:
    """Compute the mean and components of the residual returns of untreated securities of the event's exchange."""
    none = _Candidates([], np.empty((one.n_estimation_days, 0)), np.empty(0))
    used = donors.used[0]
    returns = np.concatenate([donors.window(span)[0][:, used] for span in one.spans])
    before, day0 = _residuals(returns, donors.window((0, 0))[0][:, used], *_regressors(one))
    complete = ~np.isnan(before).any(axis=1)
    if complete.sum() < FEWEST_DAYS:
        return none
    own = _varies(returns[complete], before[complete])
    if own.sum() < FEWEST_SECURITIES:
        return none
    before, day0 = before[:, own], day0[:, own]
    spread = before[complete].std(axis=0)
    _, sizes, directions = np.linalg.svd(before[complete] / spread, full_matrices=False)
    # beyond these a component is rounding noise, as of securities that are listed twice
    directions = directions[sizes**2 / complete.sum() > COLLINEAR]
    weights = (directions[:components] / spread).T
    weights = weights / (before[complete] @ weights).std(axis=0)
    weights = weights * np.where(weights.sum(axis=0) < 0, -1.0, 1.0)
    weights = np.column_stack([np.full(len(weights), 1.0 / len(weights)), weights])
    names = ["mean of untreated", *(f"component {k + 1}" for k in range(weights.shape[1] - 1))]
    return _Candidates(names, before @ weights, (day0 @ weights)[0])


def _regressors(one: EstimationProblem) -> tuple[Floats, Floats]:
    """Read the model's regressors of one event with a constant: estimation days (M, p + 1) and day 0 (1, p + 1)."""
    parts = [one.peer_returns(one.design(span).x)[0] for span in one.spans]
    before, day0 = np.concatenate(parts), one.peer_returns(one.design((0, 0)).x)[0]
    return np.column_stack([np.ones(len(before)), before]), np.column_stack([np.ones(1), day0])


def _residuals(before: Floats, day0: Floats, x: Floats, x0: Floats) -> tuple[Floats, Floats]:
    """Subtract what the regressors explain, (M, K) and (1, K); NaN on days that lack a number."""
    complete: Bools = np.asarray(~(np.isnan(x).any(axis=1) | np.isnan(before).any(axis=1)))
    if complete.sum() <= x.shape[1]:
        return np.full(before.shape, np.nan), np.full(day0.shape, np.nan)
    slopes = np.linalg.lstsq(x[complete], before[complete], rcond=None)[0]
    return np.where(complete[:, None], before - x @ slopes, np.nan), day0 - x0 @ slopes


def _varies(series: Floats, residuals: Floats) -> Bools:
    """Mark the series, (M, K), whose residuals are more than rounding noise."""
    return np.asarray(has_own_variation(series, residuals) & (residuals.std(axis=0) > ROUNDING))


def _rows(
    result: StudyResult, problem: EstimationProblem, members: Ints, candidates: _Candidates
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Compare the candidates of one day 0 with their past; the reason of each that cannot be compared."""
    x, x0 = _regressors(problem.take(members[:1]))
    lacks = candidates.lacks()
    left_out = {name: reason for name, reason in zip(candidates.names, lacks, strict=True) if reason}
    candidates = candidates.take(np.array([not reason for reason in lacks], dtype=bool))
    before, day0 = _residuals(candidates.before, candidates.day0[None, :], x, x0)
    complete = np.asarray(~np.isnan(before).any(axis=1), dtype=bool)
    if complete.sum() < FEWEST_DAYS or np.isnan(day0).any():
        return [], left_out | dict.fromkeys(candidates.names, NO_COMPARISON)
    series = candidates.before[complete]
    varies, moves = _varies(series, before[complete]), _varies(series, series - series.mean(axis=0))
    for name, own, moving in zip(candidates.names, varies, moves, strict=True):
        if not own:
            left_out[name] = EXPLAINED if moving else CONSTANT
    before, move = before[complete][:, varies], day0[0, varies]
    names = candidates.take(varies).names
    if not names:
        return [], left_out
    inverse = np.linalg.pinv(x[complete].T @ x[complete])
    leverage = np.einsum("ij,jk,ik->i", x[complete], inverse, x[complete])
    sigma = np.sqrt((before**2).sum(axis=0) / (len(before) - x.shape[1]))
    past = np.abs(before / (sigma * np.sqrt(np.maximum(1.0 - leverage, 1e-12))[:, None])).max(axis=1)
    z = move / (sigma * np.sqrt(1.0 + float((x0 @ inverse @ x0.T).item())))
    p = (1 + (past[:, None] >= np.abs(z)).sum(axis=0)) / (1 + len(past))
    loading = _loadings(result, members, complete, before)
    event, symbols = result.events.row(int(members[0]), named=True), result.events["symbol"].gather(members).to_list()
    rows = [
        dict(
            zip(
                TABLE,
                (event["date"], event["mic"], name, len(past), float(move[k]), float(z[k]), float(past.max()),
                 float(p[k]), bool(p[k] <= LEVEL), float(loading[k]), float(loading[k] * move[k]), len(members),
                 symbols),
                strict=True,
            )
        )
        for k, name in enumerate(names)
    ]  # fmt: skip
    return rows, left_out


def _loadings(result: StudyResult, members: Ints, complete: Bools, before: Floats) -> Floats:
    """Regress the members' mean abnormal return on each candidate, one at a time, (K,)."""
    residuals = result.estimation.residual_rows.rows(members)[:, complete]
    count = (~np.isnan(residuals)).sum(axis=0)
    mean = np.where(count > 0, np.nansum(residuals, axis=0) / np.maximum(count, 1), np.nan)
    known = ~np.isnan(mean)
    centred = before[known] - before[known].mean(axis=0)
    return np.asarray(centred.T @ (mean[known] - mean[known].mean()) / (centred**2).sum(axis=0))
