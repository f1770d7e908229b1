"""The one plan: place events, cut windows, estimate, subtract. What cannot be used becomes attrition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from marketimpact.core.arrays import Bools, Ints
from marketimpact.errors import SpecificationError
from marketimpact.estimation.attrition import ATTRITION
from marketimpact.estimation.design_matrix import excluded_days
from marketimpact.estimation.estimates import Estimates, autocorrelation
from marketimpact.estimation.executors import ExecutionOptions, Job, run_chunks
from marketimpact.estimation.fit import fit_model, residuals_of
from marketimpact.estimation.positions import LOCATION, EventPositions, locate_day0
from marketimpact.estimation.windows import EstimationSettings
from marketimpact.market.market import Market
from marketimpact.models import Model

__all__ = ["estimate"]


def estimate(
    events: pl.DataFrame,
    market: Market,
    model: Model,
    windows: EstimationSettings,
    sharing: ExecutionOptions | None = None,
) -> tuple[Estimates, pl.DataFrame]:
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
    placed, dropped = locate_day0(events, market)
    every, before = run_chunks(Job(placed, market, model, windows, _estimated), sharing or ExecutionOptions())
    unusable = _unusable(every, before)
    attrition = pl.concat([dropped, unusable.drop("_row")]).sort("event_id")
    if unusable.is_empty():
        return every, attrition
    usable = np.setdiff1d(np.arange(placed.height), unusable["_row"].to_numpy())
    return every.take(usable), attrition


def _estimated(
    placed: pl.DataFrame, market: Market, model: Model, windows: EstimationSettings
) -> tuple[Estimates, Ints]:
    """Estimates of placed events, usable or not, and the days before each event that it is estimated from, (N,).

    An event's numbers do not depend on which others are estimated with it.
    """
    places = EventPositions.of(placed)
    fit, present = fit_model(places, market, model, windows)
    if windows.serial_correlation:
        fit = replace(fit, rho=autocorrelation(residuals_of(fit, places, market, model, windows)))
    estimates = Estimates(
        windows=windows,
        events=placed.drop(*LOCATION),
        fit=fit,
        present=present,
        location=places,
        market=market,
        model=model,
    )
    if model.design.after is None:
        return estimates, fit.n_obs
    # sessions after the event cannot make up for missing ones before it
    width = windows.estimation[1] - windows.estimation[0] + 1
    return estimates, (~np.isnan(estimates.residuals[:, :width])).sum(axis=1)


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


def _unusable(every: Estimates, before: Ints) -> pl.DataFrame:
    """First reason that applies to each event that cannot be used; `before`: days estimated from before it, (N,)."""
    needed, fitted, model = every.windows.min_observations, every.fit, every.model
    span = list(every.windows.estimation)
    checks = {
        "no_benchmark": _without_benchmark(every.events, every.market, model),
        "too_few_observations": before < needed,
        "no_event_returns": ~every.present.any(axis=1),
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
    width = every.windows.estimation[1] - every.windows.estimation[0] + 1
    removed = excluded_days(every.location, model, every.windows)[:, :width].sum(axis=1)
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
    return pl.DataFrame(rows, schema={"_row": pl.Int64, **ATTRITION}, orient="row")


def _without_benchmark(events: pl.DataFrame, market: Market, model: Model) -> Bools:
    if not {"market", "market_since_trade"}.intersection(model.design.columns):
        return np.zeros(events.height, dtype=bool)
    empty = market.unpriced
    joined = events.select("symbol").join(empty, on="symbol", how="left", validate="m:1", maintain_order="left")
    return joined["empty"].to_numpy()
