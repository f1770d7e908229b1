"""Find the donors that each event can be compared with, without looking at the returns of the event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from marketimpact.core import schema
from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import SpecificationError
from marketimpact.estimation.design_matrix import window_rows
from marketimpact.estimation.donors import DonorReturns
from marketimpact.estimation.problem import EstimationProblem
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market.market import Market
from marketimpact.market.same_hours import same_hours
from marketimpact.models.linear import has_own_variation

__all__ = ["UntreatedRule", "check_donors", "event_spans", "find_donors", "other_hours"]

#: Why a donor of another exchange is left out, whose hours differ or are not known (returns without clocks).
OTHER_HOURS = "trades at other hours than the event's exchange"
#: Share of the estimation sessions of which a donor needs a return.
COVERAGE = 0.8


def find_donors(
    given: pl.DataFrame, located: pl.DataFrame, problem: EstimationProblem, targets: Mapping[str, Iterable[str]]
) -> DonorReturns | None:
    """Find the donors of every event; None for a model without donors.

    Parameters
    ----------
    given : polars.DataFrame
        All events handed in: their securities are treated, whether or not they can be used.
    located : polars.DataFrame
        The N events with a day 0.
    problem : EstimationProblem
        Of these events, still without donors.
    targets : mapping
        Id of an announcement -> its targets, beside those in a column ``targets`` of the events.
    """
    symbols, market, positions = problem.model.design.donors, problem.market, problem.positions
    if not symbols:
        return None
    check_donors(symbols, market)
    own = market.panel_securities[positions.security]
    mics = own["mic"].to_list()
    codes = {mic: code for code, mic in enumerate(dict.fromkeys(mics))}
    sessions = [_sessions(market, mic) for mic in codes]
    first_numbers = np.array([int(each["session"][0]) for each in sessions], dtype=np.int64)
    exchange = np.array([codes[mic] for mic in mics], dtype=np.int64)
    found = DonorReturns(
        symbols,
        tuple(
            _returns_by_session(market, mic, each, symbols, match=problem.model.design.match_sessions)
            for mic, each in zip(codes, sessions, strict=True)
        ),
        exchange,
        positions.day0 + own["first_session"].to_numpy() - first_numbers[exchange],
        problem.settings.estimation,
        np.full((len(positions), len(symbols)), "", dtype=object),
    )
    days = tuple(each["date"].to_physical().to_numpy().astype(np.int64) for each in sessions)
    allowed = problem.model.design.allowed_donors
    spans = event_spans(located, market, problem.settings.event)
    rule = UntreatedRule(given, spans, market, targets, allowed)
    _add_treated(found, rule, located, problem, days)
    _add_other_hours(found, problem)
    _add_unpriced(found, problem, days)
    return found


def check_donors(symbols: Sequence[str], market: Market, name: str = "donors") -> None:
    """Raise SpecificationError for symbols that the market has no returns of."""
    known = market.spans["symbol"].to_list()
    unknown = [symbol for symbol in symbols if symbol not in set(known)]
    if not unknown:
        return
    if unknown[0] in market.securities["symbol"]:
        cure = "The price source has none: give it their prices"
    else:
        cure = "A market is loaded for its securities: add a row for each (from returns: their returns)"
    raise SpecificationError(
        f"The market has no returns of the {name} {listed(unknown)}.{did_you_mean(unknown[0], known)} {cure}, or leave "
        "them out."
    )


def _sessions(market: Market, mic: str) -> pl.DataFrame:
    return market.session_numbers.filter(pl.col("mic") == mic).sort("session")


def _returns_by_session(
    market: Market, mic: str, sessions: pl.DataFrame, symbols: tuple[str, ...], *, match: bool
) -> Floats:
    """Read the donors' returns on an exchange's sessions, (S, J), by date; of other hours by the clock, or NaN."""
    listed_in = market.panel_securities
    place = {symbol: row for row, symbol in enumerate(listed_in["symbol"])}
    rows = np.array([place[symbol] for symbol in symbols], dtype=np.int64)
    panel = market.return_panel.take(rows, ("date", "ret")).load()
    frame = panel.to_frame(("symbol", "date", "ret"))
    returns = np.full((sessions.height, len(symbols)), np.nan)
    for column, row in enumerate(rows):
        donor_mic = listed_in["mic"][int(row)]
        same = same_hours(market.clocks, mic, donor_mic)
        if not same and not match:
            continue
        own = frame.filter(pl.col("symbol") == symbols[column]).select("date", "ret")
        if same:
            matched = sessions.select("date").join(own, on="date", how="left", validate="1:1", maintain_order="left")
            returns[:, column] = matched["ret"].cast(pl.Float64).to_numpy()
        else:
            returns[:, column] = _matched_by_clock(market, mic, sessions, donor_mic, own)
    return returns


def _matched_by_clock(market: Market, mic: str, sessions: pl.DataFrame, donor_mic: str, own: pl.DataFrame) -> Floats:
    """Compound a donor's returns of its sessions that closed after the close before and by each session's own, (S,).

    NaN where there is none, as where the donor's exchange was closed, where one has no return, and without clocks.
    """
    none = np.full(sessions.height, np.nan)
    clock, abroad = market.clocks.get(mic), market.clocks.get(donor_mic)
    if clock is None or abroad is None or np.isnan(clock.closes).any() or np.isnan(abroad.closes).any():
        return none
    returns = np.full(len(abroad.dates), np.nan)
    dates = own["date"].to_physical().to_numpy().astype(np.int64)
    returns[np.searchsorted(abroad.dates, dates)] = own["ret"].cast(pl.Float64).to_numpy()
    number = np.searchsorted(clock.dates, sessions["date"].to_physical().to_numpy().astype(np.int64))
    # sessions abroad that have closed by each close here
    closed = np.searchsorted(abroad.closes, clock.closes, side="right")
    before = np.append(closed[:1], closed[:-1])
    spans = zip(before[number].tolist(), closed[number].tolist(), strict=True)
    return np.array([np.prod(1.0 + returns[a:b]) - 1.0 if b > a else np.nan for a, b in spans])


def other_hours(market: Market, mic: str, symbols: Sequence[str]) -> list[str]:
    """Say of each security why its returns of a date price other news than an exchange's; empty where they do not.

    Parameters
    ----------
    mic : str
        Exchange of the event.
    symbols : sequence of str
        Securities of the market.
    """
    listings = market.panel_securities
    mics = dict(zip(listings["symbol"], listings["mic"], strict=True))
    reasons = {each: "" if same_hours(market.clocks, mic, each) else OTHER_HOURS for each in set(mics.values())}
    return [reasons[mics[symbol]] for symbol in symbols]


def _add_treated(
    found: DonorReturns, rule: UntreatedRule, located: pl.DataFrame, problem: EstimationProblem, days: tuple[Ints, ...]
) -> None:
    """Give a reason for donors that an event treats, of the same firm, or a fund that may hold the firm."""
    event_window = np.array(problem.settings.event)
    matched = _matched(found, problem)
    for row, event in enumerate(located.iter_rows(named=True)):
        calendar, abroad = days[found.exchange[row]], matched[found.exchange[row]]
        ends = np.clip(found.day0[row] + event_window, 0, len(calendar) - 1)
        first, last = int(calendar[ends[0]]), int(calendar[ends[1]])
        reasons = rule.reasons(event, found.symbols, first, last)
        if abroad.any():
            # sessions matched by the clock may bear the date of the session before
            before = int(calendar[max(int(ends[0]) - 1, 0)])
            of_matched = rule.reasons(event, found.symbols, before, last)
            reasons = [of_matched[column] if abroad[column] else reasons[column] for column in range(len(reasons))]
        found.reasons[row] = reasons


def _add_other_hours(found: DonorReturns, problem: EstimationProblem) -> None:
    """Give a reason for donors whose sessions cannot be matched with those of the event's exchange."""
    if problem.model.design.match_sessions:
        return
    for code, mic in _event_exchanges(found, problem).items():
        rows = np.flatnonzero(found.exchange == code)
        for column, reason in enumerate(other_hours(problem.market, mic, found.symbols)):
            unexplained = rows[found.reasons[rows, column] == ""]
            found.reasons[unexplained, column] = reason


def _matched(found: DonorReturns, problem: EstimationProblem) -> list[Bools]:
    """Mark the donors whose sessions are matched by the clock, (J,) for each exchange of the events."""
    mics, match = _event_exchanges(found, problem), problem.model.design.match_sessions
    return [
        np.array([match and reason != "" for reason in other_hours(problem.market, mics[code], found.symbols)])
        for code in range(len(found.returns))
    ]


def _event_exchanges(found: DonorReturns, problem: EstimationProblem) -> dict[int, str]:
    """Map each place in the donors' returns to its exchange."""
    exchanges = problem.market.panel_securities["mic"].gather(problem.positions.security)
    return dict(zip(found.exchange.tolist(), exchanges, strict=True))


def event_spans(located: pl.DataFrame, market: Market, window: tuple[int, int]) -> pl.DataFrame:
    """Find the first and last day of every event's window on its own exchange: ``symbol, first, last``, since 1970.

    Parameters
    ----------
    located : polars.DataFrame
        Events with ``symbol, date, mic``, their day 0 and its exchange.
    window : (int, int)
        First and last session of the window, relative to day 0.
    """
    parts = [pl.DataFrame(schema={"symbol": pl.String, "first": pl.Int64, "last": pl.Int64})]
    for (mic,), events in located.partition_by("mic", as_dict=True).items():
        calendar = _sessions(market, str(mic))["date"].to_physical().to_numpy().astype(np.int64)
        day0 = np.searchsorted(calendar, events["date"].to_physical().to_numpy().astype(np.int64))
        first, last = (calendar[np.clip(day0 + tau, 0, len(calendar) - 1)] for tau in window)
        parts.append(pl.DataFrame({"symbol": events["symbol"], "first": first, "last": last}))
    return pl.concat(parts)


class UntreatedRule:
    """Decide which securities an event leaves untreated, for every method that compares with such securities.

    Parameters
    ----------
    given : polars.DataFrame
        All events handed in: their securities are treated, whether or not they can be used.
    spans : polars.DataFrame
        Days of the windows of those with a day 0, from `event_spans`.
    market : Market
        Its securities, and `mi.securities()`, name other listings, benchmarks and funds.
    targets : mapping
        Id of an announcement -> its targets, beside those in a column ``targets`` of the events.
    allowed : collection of str
        Securities to accept, whatever they are but the event's own.

    Notes
    -----
    A fund or index is recognised where a security names it as ``benchmark``, ``sector_proxy`` or ``leg_benchmark``,
    where its own name or role in the market's securities says so, and by its symbol: one that begins with ``^`` or of a
    widely held fund. Others are not recognised.
    """

    def __init__(
        self,
        given: pl.DataFrame,
        spans: pl.DataFrame,
        market: Market,
        targets: Mapping[str, Iterable[str]],
        allowed: Iterable[str] = (),
    ) -> None:
        checked = schema.check(schema.Events, given, "events")
        self._announced = _Announced(checked, targets)
        self._dated = _Dated(checked, spans)
        self._firm_of, self._own_funds, self._funds = market.firms, market.own_funds, market.funds
        self._allowed = set(allowed)

    def reasons(self, event: dict[str, Any], symbols: Sequence[str], first: int, last: int) -> list[str]:
        """Say of each security why the event cannot be compared with it; empty where it can.

        `first` and `last` are the days that the window of an event of its own must not share, since 1970.
        """
        announced, dated = self._announced.of(event), self._dated.of(first, last)
        treated = {event["symbol"], *announced, *dated}
        firms = {self._firm_of[symbol] for symbol in treated if symbol in self._firm_of}
        holders = {fund for symbol in treated for fund in self._own_funds.get(symbol, ())}
        own = {
            **dict.fromkeys(dated, "has an event of its own whose window overlaps the event's"),
            **dict.fromkeys(announced, "is treated by this event"),
            **dict.fromkeys(self._allowed, ""),
            event["symbol"]: "is the event's own security",
        }
        return [own[each] if each in own else self._reason(each, firms, holders) for each in symbols]

    def _reason(self, symbol: str, firms: set[str], holders: set[str]) -> str:
        if self._firm_of.get(symbol) in firms:
            return "is another listing of a treated firm"
        if symbol in holders:
            return "is the benchmark or sector fund of a treated firm, and may hold it"
        return "is a fund or index, and may hold a treated firm" if self._is_fund(symbol) else ""

    def _is_fund(self, symbol: str) -> bool:
        return symbol in self._funds or symbol.startswith("^")


class _Announced:
    """The securities that announcements treat."""

    def __init__(self, given: pl.DataFrame, targets: Mapping[str, Iterable[str]]) -> None:
        self._by_announcement: dict[Any, set[str]] = {}
        if "announcement_id" in given.columns:
            for announcement, symbol in given.select("announcement_id", "symbol").iter_rows():
                self._by_announcement.setdefault(announcement, set()).add(symbol)
        for announcement, symbols in self._by_announcement.items():
            symbols.update(targets.get(announcement, ()))

    def of(self, event: dict[str, Any]) -> set[str]:
        """Return targets and securities of an event's announcement."""
        announcement = event.get("announcement_id")
        same = self._by_announcement.get(announcement, set()) if announcement is not None else set()
        return same | _targets(event.get("targets"))


class _Dated:
    """The securities that have an event, by the days of its window.

    Parameters
    ----------
    given : polars.DataFrame
        All events: their own dates count, also where one has no day 0.
    spans : polars.DataFrame
        Of those with a day 0, from `event_spans`.
    """

    def __init__(self, given: pl.DataFrame, spans: pl.DataFrame) -> None:
        day = pl.col("date").to_physical().cast(pl.Int64)
        dates = given.drop_nulls("date").select("symbol", first=day, last=day)
        spans = pl.concat([dates, spans]).sort("first")
        self._symbols = spans["symbol"].to_list()
        self._first, self._last = (spans[name].to_numpy().astype(np.int64) for name in ("first", "last"))
        self._longest = int((self._last - self._first).max()) if spans.height else 0
        self._between: dict[tuple[int, int], set[str]] = {}

    def of(self, first: int, last: int) -> set[str]:
        """Return the securities with an event whose window shares a day between two, both included."""
        if (first, last) not in self._between:
            start, end = np.searchsorted(self._first, [first - self._longest, last + 1])
            shared = np.flatnonzero(self._last[start:end] >= first) + start
            self._between[first, last] = {self._symbols[row] for row in shared.tolist()}
        return self._between[first, last]


def _targets(targets: object) -> set[str]:
    """Read an announcement's targets, a list or text with semicolons between them."""
    if isinstance(targets, str):
        return {part.strip() for part in targets.split(";")}
    return set(targets) if isinstance(targets, list) else set()


def _add_unpriced(found: DonorReturns, problem: EstimationProblem, days: tuple[Ints, ...]) -> None:
    """Give a reason for donors without the returns that an event needs, and with implausible ones."""
    positions, market, settings = problem.positions, problem.market, problem.settings
    own = market.column("ret")
    implausible = {
        symbol: part["date"].to_physical().to_numpy()
        for (symbol,), part in market.implausible.partition_by("symbol", as_dict=True).items()
    }
    taus = np.arange(settings.event[0], settings.event[1] + 1)
    benchmarks = _benchmark_returns(problem)
    known: dict[tuple[int, int, bytes, bytes], list[str]] = {}
    for row in range(len(positions)):
        session = positions.day0[row] + taus
        inside = (session >= 0) & (session < positions.n_sessions[row])
        needed = inside & ~np.isnan(own[positions.first_row[row] + np.where(inside, session, 0)])
        # events of one day and benchmark that need the same days lack the same donors
        key = int(found.exchange[row]), int(found.day0[row]), needed.tobytes(), benchmarks[row].tobytes()
        if key not in known:
            own_donors = found.take(slice(row, row + 1))
            lacks = _lacking(own_donors, needed, settings, days, implausible)
            before = own_donors.read(settings.estimation)[0].T
            known[key] = [lack or _constant(own, benchmarks[row]) for lack, own in zip(lacks, before, strict=True)]
        for column in np.flatnonzero(found.used[row]):
            found.reasons[row, column] = known[key][column]


def _benchmark_returns(problem: EstimationProblem) -> Floats:
    """Read every event's benchmark in its estimation window, (N, M); NaN where it has none."""
    positions, (values, begins) = problem.positions, problem.market.series("market")
    rows, inside = window_rows(positions, problem.settings.estimation, begins[positions.security])
    return np.where(inside, values[rows], np.nan)


def _lacking(
    event: DonorReturns,
    needed: Bools,
    settings: EstimationSettings,
    days: tuple[Ints, ...],
    implausible: Mapping[str, Ints],
) -> list[str]:
    """Describe what each donor lacks that one event needs; empty where it can be used.

    Parameters
    ----------
    event : DonorReturns
        Of one event.
    needed : (L,) array
        Days of the event window on which the event's security has a return.
    implausible : mapping
        Symbol -> days of its implausible returns.
    """
    exchange, day0 = int(event.exchange[0]), int(event.day0[0])
    before, during = (event.read(span)[0] for span in (settings.estimation, settings.event))
    taus = np.arange(settings.event[0], settings.event[1] + 1)
    calendar = days[exchange]
    ends = np.clip(day0 + np.array([settings.estimation[0], taus[-1]]), 0, len(calendar) - 1)
    has_returns = np.asarray(~np.isnan(event.returns[exchange]).all(axis=0), dtype=bool)
    reasons = []
    for column, symbol in enumerate(event.symbols):
        steps = implausible.get(symbol, np.empty(0, dtype=np.int32))
        if not has_returns[column]:
            reasons.append("has no return on the dates of the event's exchange, or hours that are not known")
        elif ((steps >= calendar[ends[0]]) & (steps <= calendar[ends[1]])).any():
            reasons.append("has an implausible return in the windows: correct it, or accept it in the market")
        else:
            reasons.append(_lack(before[:, column], during[:, column], needed, taus))
    return reasons


def _lack(before: Floats, during: Floats, needed: Bools, taus: Ints) -> str:
    """Describe which returns of a donor are missing; empty where there are enough."""
    lacking = needed & np.isnan(during)
    if lacking[taus == 0].any():
        return "has no return on day 0"
    if lacking.any():
        return f"has no return on {lacking.sum()} of {needed.sum()} days of the event window"
    share = 1.0 - np.isnan(before).mean()
    return f"has {share:.0%} of the estimation sessions, {COVERAGE:.0%} are needed" if share < COVERAGE else ""


def _constant(before: Floats, benchmark: Floats) -> str:
    """Say where a donor does not vary, or only with the benchmark, in the estimation window; empty where it does."""
    own = before[~np.isnan(before), None]
    if not has_own_variation(own, own - own.mean()).all():
        return "does not vary in the estimation window"
    both = ~np.isnan(before) & ~np.isnan(benchmark)
    if both.sum() < 2 or np.ptp(benchmark[both]) == 0:
        return ""  # the model reports a benchmark that is missing or constant
    deviations, market = before[both] - before[both].mean(), benchmark[both] - benchmark[both].mean()
    residuals = deviations - market * (market @ deviations) / (market @ market)
    if has_own_variation(before[both, None], residuals[:, None]).all():
        return ""
    return "moves exactly with the event's benchmark in the estimation window"
