"""Doors to statsmodels: one event's regression, and regressions across events."""

from __future__ import annotations

import warnings
from typing import Any

import polars as pl

from marketimpact.errors import DataError, MarketImpactWarning, SpecificationError
from marketimpact.market import Market
from marketimpact.models import Model, fit
from marketimpact.pipeline import Estimates, estimation_cut

__all__ = ["across_events", "of_event"]

#: With fewer clusters than this a cluster-robust variance is known to be too small.
FEW_CLUSTERS = 20


def of_event(one: Estimates, market: Market, model: Model) -> Any:
    """Least squares on the complete observations of one event's estimation window."""
    import pandas as pd  # noqa: PLC0415  # both cost seconds of import that most runs do not need
    import statsmodels.api as sm  # noqa: PLC0415

    design = model.design
    if design.estimator is not fit:
        raise SpecificationError(
            f"inspect shows ordinary least squares; {model.name} is estimated otherwise. "
            "Its coefficients are in result.estimates."
        )
    y, x = estimation_cut(one.location, market, model, one.windows)
    index = pd.to_datetime(one.estimation_dates[0].astype("datetime64[D]"))
    frame = pd.DataFrame(x[0], index=index, columns=[term.name for term in design.regressors])
    frame.insert(0, "excess_return" if design.excess else "ret", y[0])
    frame = frame.dropna()
    response, regressors = frame.iloc[:, 0], frame.iloc[:, 1:]
    if design.imposed:
        response, regressors = response - regressors.sum(axis=1), regressors.iloc[:, :0]
    if design.intercept or design.imposed:
        regressors = regressors.assign(const=1.0)[["const", *regressors.columns]]
    return sm.OLS(response, regressors).fit()


def across_events(formula: str, car: pl.DataFrame, cluster: str) -> Any:
    """Least squares by formula on one row per event, with cluster-robust covariance."""
    import pandas as pd  # noqa: PLC0415
    import statsmodels.formula.api as smf  # noqa: PLC0415

    if cluster not in car.columns:
        raise SpecificationError(f"cluster={cluster!r} is no column of the events: {', '.join(car.columns)}.")
    data = car.drop_nulls("car")
    data = data.drop(c for c, kind in data.schema.items() if isinstance(kind, pl.List | pl.Datetime))
    model = smf.ols(formula, data=pd.DataFrame(data.to_dict(as_series=False)))
    used = data[cluster].gather([int(row) for row in model.data.row_labels])
    if used.n_unique() < 2:
        raise DataError(f"All events are in one cluster of {cluster!r}; a clustered variance needs two.")
    if used.n_unique() < FEW_CLUSTERS:
        warnings.warn(
            f"Only {used.n_unique()} clusters of {cluster!r}: cluster-robust standard errors are too small "
            f"with fewer than {FEW_CLUSTERS}.",
            MarketImpactWarning,
            stacklevel=3,
        )
    groups = used.rank("dense").to_numpy()
    return model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
