"""Arrays of a result as frames: one row per event, one row per event and session, tests of single events."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from marketimpact.core.factorize import NO_DAY
from marketimpact.estimation.estimates import Estimates, by_session
from marketimpact.inference import Sample, adjust, blocks, romano_wolf, sq_test
from marketimpact.models import Model

__all__ = ["estimate_rows", "session_rows", "single_rows"]

#: Coefficients that go by a name of their own; others are ``beta_<regressor>``.
_COEFFICIENTS = {"market": "beta", "market_since_trade": "beta", "sessions_since_trade": "alpha"}


def estimate_rows(values: Estimates, model: Model) -> pl.DataFrame:
    """One row per event; see `StudyResult.estimates`."""
    fitted, design = values.fit, model.design
    columns: dict[str, Any] = {"event_id": values.events["event_id"], "symbol": values.events["symbol"]}
    if design.intercept:
        columns["alpha"] = fitted.alpha
    for position, term in enumerate(design.regressors):
        columns[_COEFFICIENTS.get(term.name, f"beta_{term.name}")] = fitted.slopes[:, position]
    shifted = [position for position, term in enumerate(design.regressors) if term.column == "market"]
    if len(shifted) > 1:
        columns["beta_dimson"] = fitted.slopes[:, shifted].sum(axis=1)
    columns |= {"sigma": fitted.sigma, "n_obs": fitted.n_obs, "df": fitted.df, "r2": fitted.r2}
    columns |= {name: fitted.state[:, position] for position, name in enumerate(design.state)}
    return pl.DataFrame(columns).with_columns(pl.col(design.state).fill_nan(None))


def session_rows(values: Estimates) -> pl.DataFrame:
    """One row per event and session; see `StudyResult.abnormal_returns`."""
    frame = by_session(values.events, values.dates).with_columns(
        pl.Series("tau", np.tile(values.taus, values.events.height)),
        pl.Series("ret", values.ret.ravel()),
        pl.Series("expected", values.expected.ravel()),
        pl.Series("ar", values.ar.ravel()),
        pl.Series("se", values.se.ravel()),
        pl.Series("sar", (values.ar / values.se).ravel()),
    )
    return frame.filter(pl.Series(values.dates.ravel() != NO_DAY)).with_columns(
        pl.col("ret", "expected", "ar", "se", "sar").fill_nan(None)
    )


def single_rows(sample: Sample, held: pl.DataFrame) -> pl.DataFrame:
    """Tests of single events, a family: p-values beside the CARs `held`; see `StudyResult.single_tests`."""
    if not sample.n:
        names = ("sq_p", "n_blocks", "p_holm", "p_bh", "p_by", "p_romano_wolf")
        return held.head(0).with_columns(pl.lit(None, pl.Float64).alias(name) for name in names)
    _, sq_p, n_blocks = sq_test(sample)
    p = held["p"].to_numpy()
    drawn = np.nan_to_num(blocks(sample)[1].T)
    return held.with_columns(
        pl.Series("sq_p", sq_p),
        pl.Series("n_blocks", n_blocks),
        *[pl.Series(f"p_{method}", adjust(p, method)) for method in ("holm", "bh", "by")],
        pl.Series("p_romano_wolf", romano_wolf(sample.scar, drawn)),
    ).with_columns(pl.col("sq_p", "p_romano_wolf").fill_nan(None))
