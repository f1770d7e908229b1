"""Estimate one regression per event on the arrays of a simulated panel, three slow ways to CARs (events,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

from benchmarks.simulated import ESTIMATION, WINDOW, Panel


def windows(panel: Panel, n: int) -> tuple[Any, Any, Any, Any]:
    """Return y and x of the estimation and event window of event n, without days that lack a return."""
    day, y = panel.session[n], panel.returns[:, panel.firm[n]]
    parts = []
    for first, last in (ESTIMATION, WINDOW):
        own = y[day + first : day + last + 1]
        seen = ~np.isnan(own)
        parts += [own[seen], panel.market[day + first : day + last + 1][seen]]
    return parts[0], parts[1], parts[2], parts[3]


def numpy_lstsq(panel: Panel, number: int) -> Any:
    cars = np.empty(number)
    for n in range(number):
        y, x, after, market = windows(panel, n)
        (alpha, beta), *_ = np.linalg.lstsq(np.column_stack([np.ones_like(x), x]), y, rcond=None)
        cars[n] = (after - alpha - beta * market).sum()
    return cars


def statsmodels_ols(panel: Panel, number: int) -> Any:
    cars = np.empty(number)
    for n in range(number):
        y, x, after, market = windows(panel, n)
        alpha, beta = sm.OLS(y, sm.add_constant(x)).fit().params
        cars[n] = (after - alpha - beta * market).sum()
    return cars


def pandas_apply(panel: Panel, number: int) -> Any:
    spans = [(n, windows(panel, n)) for n in range(number)]
    before = pd.concat([pd.DataFrame({"event": n, "y": w[0], "x": w[1]}) for n, w in spans])
    after = pd.concat([pd.DataFrame({"event": n, "y": w[2], "x": w[3]}) for n, w in spans])

    def fit(group: pd.DataFrame) -> pd.Series:
        beta = group["x"].cov(group["y"]) / group["x"].var()
        return pd.Series({"alpha": group["y"].mean() - beta * group["x"].mean(), "beta": beta})

    fits = before.groupby("event")[["x", "y"]].apply(fit)
    after = after.join(fits, on="event")
    after["ar"] = after["y"] - after["alpha"] - after["beta"] * after["x"]
    return after.groupby("event")["ar"].sum().reindex(range(number)).to_numpy()


RIVALS: dict[str, Callable[[Panel, int], Any]] = {
    "numpy lstsq loop": numpy_lstsq,
    "statsmodels OLS loop": statsmodels_ols,
    "pandas group-apply": pandas_apply,
}
