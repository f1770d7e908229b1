"""Counterfactual returns from untreated securities: synthetic control and matched controls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from marketimpact.analyses.counterfactual_conformal import conformal_p
from marketimpact.analyses.counterfactual_returns import ReturnsByDay, first_steps
from marketimpact.analyses.counterfactual_ridge import ridge_weights
from marketimpact.analyses.counterfactual_weights import is_perfect, simplex_weights
from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.arrays import Floats, Ints, as_dates
from marketimpact.core.frames import FrameLike
from marketimpact.core.text import did_you_mean, listed
from marketimpact.core.whole_numbers import is_whole
from marketimpact.errors import DataError, SpecificationError
from marketimpact.estimation.donor_choice import UntreatedRule, check_donors, event_spans, other_hours
from marketimpact.estimation.positions import locate_day0
from marketimpact.estimation.windows import check_window
from marketimpact.market.market import Market
from marketimpact.models.peers import allowed_symbols, donor_symbols
from marketimpact.study.event_study import embedded_targets

__all__ = ["Counterfactual", "matched_controls", "synthetic_control"]

#: Returns of the security (T,) and the donors (T, J) and their names, the security's first, to weights (J,) and the
#: penalty, where there is one.
Weigh = Callable[[Floats, Floats, Sequence[str]], tuple[Floats, float | None]]
#: Where p-values come from.
Inference = Literal["placebo", "conformal"]
#: With fewer sessions than this a good fit of the donors may be chance.
MIN_OBSERVATIONS = 60
#: Characteristics beyond this have squares that do not fit a float.
LARGEST_CHARACTERISTIC = 1e100
_TABLES: dict[str, dict[str, Any]] = {
    "table": {
        "event_id": pl.String, "symbol": pl.String, "date": pl.Date, "n_donors": pl.Int64, "n_obs": pl.Int64,
        "n_days": pl.Int64, "car": pl.Float64, "pre_rmse": pl.Float64, "post_rmse": pl.Float64,
        "ratio": pl.Float64, "p_value": pl.Float64, "smallest_p": pl.Float64, "penalty": pl.Float64,
    },
    "weights": {"event_id": pl.String, "donor": pl.String, "weight": pl.Float64},
    "gaps": {
        "event_id": pl.String, "date": pl.Date, "tau": pl.Int64, "ret": pl.Float64, "expected": pl.Float64,
        "ar": pl.Float64,
    },
    "left_out": {"event_id": pl.String, "donor": pl.String, "reason": pl.String},
    "attrition": {"event_id": pl.String, "reason": pl.String, "detail": pl.String},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Events compared with weighted portfolios of untreated securities.

    Attributes
    ----------
    table : polars.DataFrame
        One row per event: ``event_id, symbol, date, n_donors, n_obs, n_days, car, pre_rmse, post_rmse, ratio,
        p_value, smallest_p, penalty``. `car` sums the gaps of the event window; the `rmse` are root mean squares of
        the gaps in the estimation window and in the event window, `ratio` the second over the first; `p_value` by
        placebo in space: the share of securities, the event's own among them, whose ratio is as large
        when each donor is treated as if it had had the event; or conformal, see `synthetic_control`. Where a mix of
        the others fits before the event but for rounding, as with a security listed twice, no ratio means anything:
        such a donor counts as having a larger one, and the event's own security has `ratio` NaN and no placebo p.
        `smallest_p` is the smallest that it could have been: 1 / (1 + n_donors), or 1 / (n_obs + n_days). `penalty` of
        the ridge correction is a share of the largest eigenvalue of the donors' cross-products, inf where it chose
        none; empty without the correction.
    weights : polars.DataFrame
        ``event_id, donor, weight``.
    gaps : polars.DataFrame
        ``event_id, date, tau, ret, expected, ar`` over the event window.
    left_out : polars.DataFrame
        ``event_id, donor, reason``: donors that could not be used.
    attrition : polars.DataFrame
        ``event_id, reason, detail``: events that could not be used.
    """

    table: pl.DataFrame
    weights: pl.DataFrame = field(repr=False)
    gaps: pl.DataFrame = field(repr=False)
    left_out: pl.DataFrame
    attrition: pl.DataFrame


def synthetic_control(
    events: FrameLike,
    market: Market,
    donors: Iterable[str],
    *,
    estimation_window: tuple[int, int] = (-250, -11),
    event_window: tuple[int, int] = (0, 0),
    coverage: float = 1.0,
    penalty: Literal["ridge"] | None = None,
    inference: Inference = "placebo",
    allow: Iterable[str] = (),
) -> Counterfactual:
    """Weight donors so that they follow the security as closely as possible before the event.

    Parameters
    ----------
    events : FrameLike
        As for `EventStudy.run`.
    market : Market
        Holds the events' securities and the donors.
    donors : iterable of str
        Securities that the announcement did not affect, on exchanges of the same hours: the return of a date prices
        other news elsewhere. For a semiconductor policy no other semiconductor firm is a clean donor: take other
        sectors, or firms of other countries that trade at these hours (for New York: Toronto, foreign firms listed in
        New York), and say which.
    estimation_window, event_window : tuple of int
        Sessions of the event's own exchange; donors are matched on the date.
    coverage : float
        Share of the estimation sessions a donor needs; below 1 the sessions that any of the kept
        donors lacks are left out.
    penalty : {None, "ridge"}
        *ridge* corrects the weights for what the donors miss in the estimation window, by ridge regression; weights
        may then be negative. The penalty is the one that forecasts left-out tenths of the estimation days best.
    inference : {"placebo", "conformal"}
        Where p comes from: other securities on the same days, or other days of the same security.
    allow : iterable of str
        Donors to use although they are treated by the event, are another listing of its firm, or a fund or index that
        may hold it; those of other hours are never used.

    Returns
    -------
    Counterfactual

    Raises
    ------
    SpecificationError
        For an unknown `penalty` or `inference`, donors that are no list of distinct symbols or that the market lacks,
        an `allow` that names no donor, and windows that overlap.

    Notes
    -----
    Weights minimise the sum of squared gaps of the estimation window, w >= 0, sum 1. Null: the event
    had no effect on the security; distribution: permutation over donors, exact if they are exchangeable.
    Never a t from the residual variance. The donors that models with donors leave out (`PeerMean`) are left out here:
    one with an event of its own whose window overlaps the event's, a target of the announcement, where events have an
    ``announcement_id`` or ``targets``, another listing of a treated firm, a fund or index, and one on an exchange of
    other hours, or of hours that a market from returns does not know. Abadie, Diamond and Hainmueller (2010).

    With *ridge* the weights w minimise ``|gaps|^2 + penalty * |w - simplex weights|^2``, sum 1 (Ben-Michael, Feller
    and Rothstein 2021). Not to be used to rescue donors that do not follow the security: negative weights extrapolate.

    With *conformal* the weights are fitted once more, to estimation days and event window together, as the null of no
    effect on any day of the window allows. p is the share of all cyclic shifts of the days whose mean absolute
    residual in the window's place is as large: exact where days are exchangeable, approximate where they are stationary
    and weakly dependent (Chernozhukov, Wüthrich and Zhu 2021). The null is two-sided, and the table's `car` and
    `weights` stay those of the estimation window. Not to be used where the window is more turbulent than the days
    before: it then rejects although no mean has moved.

    Examples
    --------
    >>> import marketimpact as mi
    >>> firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "TXN", "DELL"]))
    >>> market = mi.Market.load(firms, mi.SamplePrices())
    >>> news = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> events = mi.align(news, market, symbols=["NVDA"])
    >>> found = mi.synthetic_control(events, market, ["TXN", "DELL"], penalty="ridge", inference="conformal")
    >>> found.table["n_donors"].item(), round(1 / found.table["smallest_p"].item())
    (2, 241)
    """
    require(market, "Market", "market")
    _check_word("penalty", penalty, (None, "ridge"))
    _check_word("inference", inference, get_args(Inference))
    symbols = donor_symbols(donors, "donors")
    check_donors(symbols, market)

    def simplex(y: Floats, x: Floats, _: Sequence[str]) -> tuple[Floats, float | None]:
        return simplex_weights(y, x), None

    def corrected(y: Floats, x: Floats, _: Sequence[str]) -> tuple[Floats, float | None]:
        return ridge_weights(y, x)

    return _run_events(
        events,
        _Settings(
            market,
            symbols,
            simplex if penalty is None else corrected,
            check_window(estimation_window, "estimation_window"),
            check_window(event_window, "event_window"),
            coverage,
            inference,
            allowed_symbols(allow, symbols, "donors"),
        ),
    )


def _check_word(name: str, given: object, allowed: Sequence[str | None]) -> None:
    """Raise SpecificationError for a value of an option that is not among its words."""
    if not (given is None or isinstance(given, str)) or given not in allowed:
        words = [word for word in allowed if word is not None]
        near = did_you_mean(given, words) if isinstance(given, str) else ""
        raise SpecificationError(f"{name}={given!r}: choose from {', '.join(map(repr, allowed))}.{near}")


def matched_controls(
    events: FrameLike,
    market: Market,
    controls: Iterable[str],
    characteristics: FrameLike,
    *,
    n_matches: int = 1,
    estimation_window: tuple[int, int] = (-250, -11),
    event_window: tuple[int, int] = (0, 0),
    coverage: float = 1.0,
    allow: Iterable[str] = (),
) -> Counterfactual:
    """Compare each security with the equal-weighted portfolio of its `n_matches` most similar controls.

    Parameters
    ----------
    characteristics : FrameLike
        ``symbol`` and numeric columns, such as log size or book to market, as known before the event.
        The distance is Euclidean after dividing each by its standard deviation.
    n_matches : int
        How many of the nearest controls to average; ties go to the first symbol.

    Returns
    -------
    Counterfactual

    Notes
    -----
    `events`, `market`, `allow` and the windows are those of `synthetic_control`, `controls` its donors.
    Barber and Lyon (1997) match on size and book to market. Not to be used when the controls are
    competitors or suppliers: they are treated too.
    """
    require(market, "Market", "market")
    if not is_whole(n_matches) or n_matches < 1:
        raise SpecificationError(f"n_matches={n_matches!r}: give a whole number of controls, at least 1.")
    events, symbols = schema.check(schema.Events, events, "events"), donor_symbols(controls, "controls")
    check_donors(symbols, market, "controls")
    characteristics_of = _scaled_characteristics(characteristics, [*events["symbol"].unique(), *symbols])

    def nearest(_: Floats, __: Floats, names: Sequence[str]) -> tuple[Floats, float | None]:
        own, *others = (characteristics_of[name] for name in names)
        distance = np.sqrt(((np.array(others) - own) ** 2).sum(axis=1))
        order = sorted(range(len(others)), key=lambda position: (distance[position], names[position + 1]))
        weights = np.zeros(len(others))
        weights[order[:n_matches]] = 1.0 / min(n_matches, len(others))
        return weights, None

    return _run_events(
        events,
        _Settings(
            market,
            symbols,
            nearest,
            check_window(estimation_window, "estimation_window"),
            check_window(event_window, "event_window"),
            coverage,
            allowed=allowed_symbols(allow, symbols, "controls"),
        ),
    )


def _scaled_characteristics(frame: FrameLike, symbols: Sequence[str]) -> dict[str, Floats]:
    frame = schema.check(schema.Symbols, frame, "characteristics")
    columns = [c for c in frame.columns if c != "symbol" and frame[c].dtype.is_numeric()]
    if not columns:
        raise DataError("characteristics has no numeric column beside 'symbol', so no distance is known. Add one.")
    kept = frame.select("symbol", pl.col(columns).cast(pl.Float64).fill_nan(None)).drop_nulls()
    wrong = kept.filter(pl.any_horizontal(pl.col(columns).abs() > LARGEST_CHARACTERISTIC))
    if wrong.height:
        raise DataError(
            f"characteristics of {listed(wrong['symbol'].to_list(), quoted=False)} are infinite or beyond "
            f"{LARGEST_CHARACTERISTIC:.0e}, so no distance from them is known. Correct them, or leave the cells empty.",
            rows=wrong,
        )
    repeated = kept.filter(pl.col("symbol").is_duplicated())["symbol"].unique().sort().to_list()
    lacking = sorted(set(symbols).difference(kept["symbol"]))
    if repeated or lacking:
        fault = f"repeats {repeated}" if repeated else f"has no complete row for {lacking}"
        raise DataError(f"characteristics {fault}: give every event's security and every control one row.")
    values = kept.select(columns).to_numpy().astype(np.float64)
    spread = values.std(axis=0, ddof=1)
    scaled = values / np.where(spread > 0, spread, 1.0)
    return dict(zip(kept["symbol"].to_list(), scaled, strict=True))


@dataclass(frozen=True, slots=True)
class _DonorPanel:
    """Returns of one event's security and its donors on its own sessions, (T, 1 + J), before and during the event.

    `key` is the same for events with the same donors on the same days, and so with the same placebos.
    """

    names: list[str]
    before: Floats
    during: Floats
    days: Ints
    taus: Ints
    key: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Settings:
    """Market, donors, weighting and windows, the same for every event."""

    market: Market
    donors: tuple[str, ...]
    weigh: Weigh
    estimation: tuple[int, int]
    window: tuple[int, int]
    coverage: float
    inference: Inference = "placebo"
    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.estimation[1] >= self.window[0]:
            raise SpecificationError(f"estimation_window={self.estimation} reaches into event_window={self.window}.")
        if not 0 < self.coverage <= 1:
            raise SpecificationError(f"coverage={self.coverage} is a share above 0 and up to 1.")
        if self.market.unit != "simple":
            raise SpecificationError(
                f"A portfolio of donors needs simple returns; this market holds {self.market.unit}."
            )


def _run_events(events: FrameLike, settings: _Settings) -> Counterfactual:
    given = schema.check(schema.Events, events, "events")
    located, positions, attrition = locate_day0(given, settings.market)
    spans = event_spans(located, settings.market, settings.window)
    rule = UntreatedRule(given, spans, settings.market, embedded_targets(given), settings.allowed)
    hours = {mic: other_hours(settings.market, mic, settings.donors) for mic in located["mic"].unique()}
    located = located.with_columns(pl.Series("_day0", positions.day0))
    returns = ReturnsByDay.read(settings.market, {*settings.donors, *located["symbol"]})
    rows: dict[str, list[Any]] = {name: [] for name in _TABLES}
    placebos: dict[tuple[bytes, ...], Floats] = {}
    for event in located.iter_rows(named=True):
        refused = _refused_donors(event, returns, rule, hours[event["mic"]], settings)
        panel = _add_donors(event, refused, returns, settings, rows)
        if panel is None:
            continue
        if settings.inference == "placebo" and panel.key not in placebos:
            placebos[panel.key] = _placebo_ratios(panel, settings.weigh)
        _add_estimates(event, panel, placebos.get(panel.key), settings.weigh, rows)
    frames = {name: pl.DataFrame(entries, schema=_TABLES[name], orient="row") for name, entries in rows.items()}
    frames["attrition"] = pl.concat([attrition, frames["attrition"]]).sort("event_id")
    return Counterfactual(**frames)


def _add_donors(
    event: dict[str, Any],
    refused: dict[str, str],
    returns: ReturnsByDay,
    settings: _Settings,
    rows: dict[str, list[Any]],
) -> _DonorPanel | None:
    """Find one event's donors, add those left out to their table; an event without enough returns is attrition."""
    name = event["event_id"]
    steps = _steps_within(event, returns, settings)
    panel, unusable = _donor_panel(event, returns, settings, [d for d in settings.donors if d not in refused], steps)
    unusable += refused.items()
    rows["left_out"] += [(name, donor, reason) for donor, reason in unusable]
    own = event["symbol"]
    step = steps.get(own)
    dropped = ("implausible_return", f"{own} {step}") if step else _attrition_reason(panel, settings.window)
    if dropped:
        rows["attrition"].append((name, *dropped))
        return None
    return panel


def _add_estimates(
    event: dict[str, Any], panel: _DonorPanel, ratios: Floats | None, weigh: Weigh, rows: dict[str, list[Any]]
) -> None:
    """Add one event's weights, gaps and row of the table; without the donors' ratios its p-value is conformal."""
    name = event["event_id"]
    weights, penalty = weigh(panel.before[:, 0], panel.before[:, 1:], panel.names)
    pre = _root_mean_square(panel.before[:, 0] - panel.before[:, 1:] @ weights)
    treated_returns = panel.during[:, 0]
    expected = panel.during[:, 1:] @ weights
    gaps = treated_returns - expected
    post = _root_mean_square(gaps)
    perfect = is_perfect(pre, panel.before[:, 0])
    ratio = np.nan if perfect else post / pre
    days = np.flatnonzero(~np.isnan(treated_returns))
    if ratios is None:
        p = conformal_p(panel.before, panel.during[days], lambda y, x: weigh(y, x, panel.names)[0])
        smallest = 1 / (len(panel.before) + len(days))
    else:
        p = (1 + int((ratios >= ratio).sum())) / (1 + len(ratios)) if len(ratios) and not perfect else None
        smallest = 1 / (1 + len(weights))
    rows["weights"] += [(name, d, w) for d, w in zip(panel.names[1:], weights.tolist(), strict=True)]
    columns = (panel.taus, treated_returns, expected, gaps)
    rows["gaps"] += [
        (name, *values)
        for values in zip(as_dates(panel.days[days]), *(column[days].tolist() for column in columns), strict=True)
    ]
    rows["table"].append(
        (name, event["symbol"], event["date"], len(weights), len(panel.before), len(days),
         float(np.nansum(gaps)), pre, post, ratio, p, smallest, penalty)
    )  # fmt: skip


def _refused_donors(
    event: dict[str, Any], returns: ReturnsByDay, rule: UntreatedRule, hours: Sequence[str], settings: _Settings
) -> dict[str, str]:
    """Find the donors that an event may have reached, or that trade at other hours, each with the reason."""
    _, during = returns.window(event["symbol"], event["_day0"], settings.window)
    first, last = (int(day) for day in returns.days[during[[0, -1]]]) if len(during) else (0, -1)
    reasons = zip(settings.donors, rule.reasons(event, settings.donors, first, last), hours, strict=True)
    return {donor: treated or other for donor, treated, other in reasons if treated or other}


def _steps_within(event: dict[str, Any], returns: ReturnsByDay, settings: _Settings) -> dict[str, str]:
    """Describe the first implausible return of each security between the first and last session of both windows."""
    both = [returns.window(event["symbol"], event["_day0"], w)[1] for w in (settings.estimation, settings.window)]
    columns = np.concatenate(both)
    return first_steps(settings.market, *returns.days[columns[[0, -1]]].tolist()) if len(columns) else {}


def _donor_panel(
    event: dict[str, Any], returns: ReturnsByDay, settings: _Settings, donors: Sequence[str], steps: dict[str, str]
) -> tuple[_DonorPanel, list[tuple[str, str]]]:
    """Collect returns on the event's own sessions, and the donors that lack some of them."""
    own, rows = returns.rows[event["symbol"]], np.array([returns.rows[donor] for donor in donors], dtype=np.int64)
    _, before = returns.window(event["symbol"], event["_day0"], settings.estimation)
    taus, during = returns.window(event["symbol"], event["_day0"], settings.window)
    before, needed = (days[~np.isnan(returns.ret[own, days])] for days in (before, during))
    lacking = np.isnan(returns.ret[np.ix_(rows, before)])
    shares = 1.0 - lacking.sum(axis=1) / max(len(before), 1)
    missing = np.isnan(returns.ret[np.ix_(rows, needed)]).sum(axis=1)
    usable, unusable = [], []
    for k, donor in enumerate(donors):
        if donor in steps:
            unusable.append((donor, steps[donor]))
        elif shares[k] < settings.coverage:
            share = f"has {shares[k]:.1%} of the estimation sessions, coverage is {settings.coverage:.0%}"
            unusable.append((donor, share))
        elif missing[k]:
            unusable.append((donor, f"lacks {missing[k]} sessions of the event window"))
        else:
            usable.append(k)
    before, rows = before[~lacking[usable].any(axis=0)], np.append(own, rows[usable])
    panel = _DonorPanel(
        [event["symbol"], *(donors[k] for k in usable)],
        returns.ret[np.ix_(rows, before)].T,
        returns.ret[np.ix_(rows, during)].T,
        returns.days[during],
        taus,
        tuple(part.tobytes() for part in (rows[1:], before, during)),
    )
    return panel, unusable


def _attrition_reason(panel: _DonorPanel, window: tuple[int, int]) -> tuple[str, str] | None:
    if panel.before.shape[1] < 2:
        return "no_donors", "no donor can be used; left_out has the reasons"
    if len(panel.before) < MIN_OBSERVATIONS:
        return (
            "too_few_observations",
            f"{len(panel.before)} complete estimation sessions, {MIN_OBSERVATIONS} are needed",
        )
    if np.isnan(panel.during[:, 0]).all():
        return "no_event_returns", f"no return in the event window {list(window)}"
    return None


def _placebo_ratios(panel: _DonorPanel, weigh: Weigh) -> Floats:
    """Compute the ratio of every donor as if it had had the event, with the other donors as its donors."""
    donors, before, during = panel.names[1:], panel.before[:, 1:], panel.during[:, 1:]
    if len(donors) == 1:
        return np.array([])
    ratios = []
    for j, donor in enumerate(donors):
        others = np.delete(before, j, axis=1)
        weights, _ = weigh(before[:, j], others, [donor, *donors[:j], *donors[j + 1 :]])
        pre = _root_mean_square(before[:, j] - others @ weights)
        post = _root_mean_square(during[:, j] - np.delete(during, j, axis=1) @ weights)
        # at least as large as any other, since a ratio to rounding noise means nothing
        ratios.append(np.inf if is_perfect(pre, before[:, j]) else post / pre)
    return np.array(ratios)


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.nanmean(values**2)))
