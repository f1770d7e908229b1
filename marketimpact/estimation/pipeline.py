"""Estimate a study: locate day 0, fit the model, and record why events cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from marketimpact.core.arrays import Bools, Ints
from marketimpact.errors import SpecificationError
from marketimpact.estimation.attrition import ATTRITION
from marketimpact.estimation.design_matrix import window_rows
from marketimpact.estimation.donor_choice import find_donors
from marketimpact.estimation.estimates import Estimates
from marketimpact.estimation.executors import ExecutionOptions, run_chunks
from marketimpact.estimation.implausible_steps import implausible_steps
from marketimpact.estimation.own_windows import set_own_windows
from marketimpact.estimation.positions import locate_day0
from marketimpact.estimation.problem import EstimationProblem
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market.market import Market
from marketimpact.models import Model

__all__ = ["estimate"]


def estimate(
    events: pl.DataFrame,
    market: Market,
    model: Model,
    settings: EstimationSettings,
    options: ExecutionOptions | None = None,
    *,
    targets: Mapping[str, Iterable[str]] | None = None,
) -> tuple[Estimates, pl.DataFrame]:
    """Estimate the model for every event; abnormal returns are its returns less what the model expects.

    `targets` of announcements, by their id, are no donors of the announcement's events.

    Returns
    -------
    estimates : Estimates
        Estimates of the usable events.
    attrition : polars.DataFrame
        ``event_id, reason, detail``, sorted by `event_id`: every event is in one of the two.
    """
    _check_columns(market, model)
    _check_unit(market, model)
    located, positions, without_day0 = locate_day0(events, market, settings.closed_day)
    located, positions, settings, misfits = set_own_windows(located, positions, settings, model)
    problem = EstimationProblem(positions, market, model, settings)
    problem = replace(problem, donors=find_donors(events, located, problem, targets or {}))
    fitted = run_chunks(problem, located, options or ExecutionOptions())
    estimates = Estimates(located, problem, fitted.fit, fitted.present, fitted.event_window)
    unusable = _unusable(estimates, fitted.n_before)
    attrition = pl.concat([without_day0, misfits, unusable.drop("_row")]).sort("event_id")
    if unusable.is_empty():
        return estimates, attrition
    return estimates.take(np.setdiff1d(np.arange(located.height), unusable["_row"].to_numpy())), attrition


def _check_columns(market: Market, model: Model) -> None:
    lacking = [c for c in model.design.columns if c not in market.columns]
    if lacking:
        have = ", ".join(("market", *market.factors))
        raise SpecificationError(
            f"{model.name} needs the factor{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; "
            f"this market has {have}. Pass them as factors=, a frame with 'date' and one decimal "
            "column per factor."
        )


def _check_unit(market: Market, model: Model) -> None:
    if market.unit != "simple" and model.design.excess:
        raise SpecificationError(
            f"{model.name} explains returns in excess of a simple risk-free rate; this market holds {market.unit} "
            "returns, and the two must not be mixed. Use simple returns, or a model without a risk-free rate."
        )


def _unusable(estimates: Estimates, n_before: Ints) -> pl.DataFrame:
    """Find the first reason that applies to each event that cannot be used.

    Parameters
    ----------
    estimates : Estimates
        Estimates of all N events that have a day 0.
    n_before : (N,) array of int
        Days before each event that it is estimated from.
    """
    settings, fit, model = estimates.settings, estimates.fit, estimates.model
    needed, span = settings.min_observations, list(settings.estimation)
    is_leg = estimates.problem.market.leg in ("overnight", "day")
    steps = implausible_steps(estimates.problem, estimates.events)
    checks = {
        "no_benchmark": _without_benchmark(estimates.problem),
        "no_donors": _without_donors(estimates.problem),
        "too_few_observations": n_before < needed,
        "no_event_returns": ~estimates.present.any(axis=1),
        "implausible_return": np.isin(np.arange(len(estimates.problem)), list(steps)),
        "singular_regressors": fit.singular,
        "no_variation": fit.sigma <= 0,
    }
    details = {
        "no_benchmark": f"the benchmark of {{symbol}} has no {'usable opens' if is_leg else 'prices'}",
        "too_few_observations": f"{{n_obs}} estimation returns in {{span}}, min_observations is {needed}",
        "no_event_returns": f"no return in the event window {list(settings.event)}",
        "singular_regressors": f"{model.name}: regressors collinear or constant in {{span}}",
        "no_variation": "residual variance is zero in {span}",
    }
    n_excluded = estimates.problem.excluded_days()[:, : span[1] - span[0] + 1].sum(axis=1)
    reasons, masks = list(checks), np.column_stack(list(checks.values()))
    symbols, ids = estimates.events["symbol"], estimates.events["event_id"]
    rows = []
    for row in np.flatnonzero(masks.any(axis=1)).tolist():
        reason = reasons[int(masks[row].argmax())]
        if reason == "implausible_return":
            rows.append((row, ids[row], reason, steps[row]))
            continue
        if reason == "no_donors":
            rows.append((row, ids[row], reason, _donors_detail(estimates.problem, row)))
            continue
        own = span if estimates.positions.estimation is None else estimates.positions.estimation[row].tolist()
        detail = details[reason].format(symbol=symbols[row], n_obs=n_before[row], span=own)
        if reason == "too_few_observations" and settings.excluded is not None:
            detail += f", {n_excluded[row]} sessions are excluded"
        if is_leg and reason in ("too_few_observations", "no_event_returns"):
            why = _opens_detail(estimates.problem.take(np.array([row])), reason, own)
            detail = f"{why}: {detail}" if why else detail
        rows.append((row, ids[row], reason, detail))
    return pl.DataFrame(rows, schema={"_row": pl.Int64, **ATTRITION}, orient="row")


def _opens_detail(problem: EstimationProblem, reason: str, estimation: Sequence[int]) -> str:
    """Say of one event's leg which opens are missing; empty where every leg is known."""
    market = problem.market
    first, last = problem.settings.event if reason == "no_event_returns" else estimation
    series = {"the security": (market.column("ret"), problem.positions.first_row)}
    if "market" in problem.model.design.columns:
        values, begins = market.series("market")
        series["its benchmark"] = values, begins[problem.positions.security]
    texts = []
    for name, (values, begins) in series.items():
        rows, inside = window_rows(problem.positions, (first, last), begins)
        known = int((inside & np.isfinite(values[rows])).sum())
        if not known:
            texts.append(f"{name} has no usable opens")
        elif known < inside.sum():
            texts.append(f"{name} has usable opens on {known} of {inside.sum()} sessions")
    return ", ".join(texts)


def _without_benchmark(problem: EstimationProblem) -> Bools:
    """Mark the events whose model reads a benchmark without any return, (N,)."""
    if not {"market", "market_since_trade"}.intersection(problem.model.design.columns):
        return np.zeros(len(problem), dtype=bool)
    return ~problem.market.panel_securities["has_benchmark"].to_numpy()[problem.positions.security]


def _without_donors(problem: EstimationProblem) -> Bools:
    """Mark the events that use fewer donors than the model needs, (N,)."""
    if problem.donors is None:
        return np.zeros(len(problem), dtype=bool)
    return np.asarray(problem.donors.used.sum(axis=1) < problem.model.design.fewest_donors)


def _donors_detail(problem: EstimationProblem, row: int) -> str:
    """Say how many donors an event uses, and why not the others."""
    donors = problem.donors
    assert donors is not None
    own, needed = donors.reasons[row], problem.model.design.fewest_donors
    reasons = Counter(reason for reason in own if reason)
    why = "; ".join(f"{reason} ({number})" for reason, number in reasons.most_common(3))
    return f"{(own == '').sum()} of {len(own)} donors can be used, {needed} needed: {why}"
