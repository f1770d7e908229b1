"""Find the events whose windows, or the sessions between them, hold an implausible return."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from marketimpact.estimation.problem import EstimationProblem

__all__ = ["implausible_steps"]

#: Columns of a step that touches an event.
KEPT = ("_row", "step", "date", "ret")


def implausible_steps(problem: EstimationProblem, events: pl.DataFrame) -> dict[int, str]:
    """Find the events that a row of `Market.implausible` touches: row of the event -> description of its first step.

    A step touches an event from the first session of its estimation window to the last one that it reads: of its
    security, of its benchmark and of factors where the model reads them. Excluded estimation days are not read.

    Parameters
    ----------
    problem : EstimationProblem
        N events with market, model and settings.
    events : polars.DataFrame
        Their ``symbol``, row by row.
    """
    if problem.market.implausible.is_empty():
        return {}
    touching = pl.concat([_own_steps(problem, events), *_regressor_steps(problem, events)])
    touching = touching.sort("_row", "date", "step")
    first = touching.group_by("_row", maintain_order=True).agg(pl.col("step", "date", "ret").first(), pl.len())
    from_prices = "close" in problem.market.panel_columns
    return {row["_row"]: _detail(row, from_prices=from_prices) for row in first.iter_rows(named=True)}


def _detail(row: dict[str, Any], *, from_prices: bool) -> str:
    """Describe the first step that touches an event, and what to do."""
    more = f", and {row['len'] - 1} more" if row["len"] > 1 else ""
    repair = "prices (repair=('splits',) rescales a split)" if from_prices else "returns"
    return (
        f"{row['step']} has a return of {row['ret']:+,.1%} on {row['date']}{more}: correct the {repair}, or "
        f"accept=[('{row['step']}', '{row['date']}')] if it is real"
    )


def _own_steps(problem: EstimationProblem, events: pl.DataFrame) -> pl.DataFrame:
    """Find steps of the events' own securities, on sessions on which the model reads a return."""
    steps = _with_response(problem)
    pairs = _with_tau(problem, _located(problem, events).join(steps, left_on="symbol", right_on="step", how="inner"))
    own = pairs.with_columns(pl.col("symbol").alias("step"))
    return _not_excluded(problem, own.filter(_is_read(problem, own, 0, 0))).select(*KEPT)


def _sessions(problem: EstimationProblem) -> tuple[int, int]:
    """Return the first and last session relative to day 0 that an event reads."""
    spans = [*problem.spans, problem.settings.event]
    return min(first for first, _ in spans), max(last for _, last in spans)


def _is_read(problem: EstimationProblem, pairs: pl.DataFrame, first_shift: int, last_shift: int) -> pl.Expr:
    """Return whether the session `tau` of each pair is one that its event, the row `_row`, reads."""
    first, last = _sessions(problem)
    own = problem.positions.estimation
    start = pl.lit(first) if own is None else pl.lit(pl.Series(own[pairs["_row"].to_numpy(), 0]))
    return pl.col("tau").is_between(start + first_shift, last + last_shift)


def _located(problem: EstimationProblem, events: pl.DataFrame) -> pl.DataFrame:
    """Add the row, day 0, exchange and benchmark of each event."""
    securities = problem.market.panel_securities.select("symbol", "mic", "first_session").join(
        problem.market.securities.select("symbol", "benchmark"), on="symbol", how="left", validate="1:1"
    )
    return events.select("symbol").with_columns(
        pl.Series("day0", problem.positions.day0), pl.int_range(pl.len(), dtype=pl.Int64).alias("_row")
    ).join(securities, on="symbol", how="left", validate="m:1", maintain_order="left")  # fmt: skip


def _with_tau(problem: EstimationProblem, pairs: pl.DataFrame) -> pl.DataFrame:
    """Add the session of each event's step relative to day 0."""
    numbered = problem.market.session_numbers.select("mic", "date", "session")
    placed = pairs.join(numbered, on=["mic", "date"], how="inner", validate="m:1")
    return placed.with_columns((pl.col("session") - pl.col("first_session") - pl.col("day0")).alias("tau"))


def _with_response(problem: EstimationProblem) -> pl.DataFrame:
    """Select the steps on which the model's response is known: ``step, date, ret``."""
    market, response = problem.market, problem.model.design.response
    name = response if response in market.panel_columns else "ret"
    steps = market.implausible.rename({"symbol": "step"})
    rows = np.flatnonzero(market.panel_securities["symbol"].is_in(steps["step"].implode()).to_numpy())
    if not len(rows):
        return steps.clear()
    panel = market.return_panel.take(rows, ("date", name)).load().to_frame(("symbol", "date", name))
    known = panel.filter(pl.col(name).is_not_null() & pl.col(name).is_not_nan()).rename({"symbol": "step"})
    return steps.join(known, on=["step", "date"], how="semi", maintain_order="left")


def _regressor_steps(problem: EstimationProblem, events: pl.DataFrame) -> list[pl.DataFrame]:
    """Find steps of benchmarks and factors that the model reads, with its leads and lags."""
    design = problem.model.design
    steps, located = problem.market.implausible.rename({"symbol": "step"}), _located(problem, events)
    found = []
    for column in {term.column for term in (*design.regressors, *design.instruments)}:
        shifts = [term.shift for term in (*design.regressors, *design.instruments) if term.column == column]
        is_market = column in ("market", "market_since_trade")
        name = pl.col("benchmark") if is_market else pl.lit(column)
        pairs = located.with_columns(name.alias("step")).join(steps, on="step", how="inner")
        near = _with_tau(problem, pairs)
        near = near.filter(_is_read(problem, near, min(shifts), max(shifts)))
        found.append(_not_excluded(problem, near).select(*KEPT))
    return found


def _not_excluded(problem: EstimationProblem, pairs: pl.DataFrame) -> pl.DataFrame:
    """Leave out steps on days that the estimation leaves out."""
    excluded = problem.settings.excluded
    if excluded is None or pairs.is_empty():
        return pairs
    rows = problem.positions.first_row[pairs["_row"].to_numpy()] + (pairs["tau"] + pairs["day0"]).to_numpy()
    inside = pl.any_horizontal(pl.col("tau").is_between(*span) for span in problem.spans)
    return pairs.filter(~(inside & pl.Series(excluded[np.clip(rows, 0, len(excluded) - 1)])))
