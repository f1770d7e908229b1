"""Regressions through statsmodels: one event's estimation window, and CARs across events."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.factorize import factorize
from marketimpact.core.own_columns import SUFFIX, find_clash, unknown_column
from marketimpact.core.text import first_line, listed
from marketimpact.errors import DataError, SpecificationError
from marketimpact.estimation.estimates import Estimates
from marketimpact.events.exposures import mixed_bases
from marketimpact.models import fit
from marketimpact.study.result_frames import CAR_COLUMNS, LAST

__all__ = [
    "BOOTSTRAP_ADVICE",
    "across_events",
    "cluster_columns",
    "has_valid_p",
    "of_event",
    "varying_clusters",
    "wild_cluster_bootstrap",
]

#: With fewer clusters than this a cluster-robust variance is known to be too small.
FEW_CLUSTERS = 20
BOOTSTRAP_ADVICE = "Take p-values from marketimpact.wild_cluster_bootstrap(fitted)."
#: With an effective number of clusters below this for a coefficient its cluster-robust p-value rejects too often.
FEW_EFFECTIVE_CLUSTERS = 10
#: And below this the wild cluster bootstrap hardly ever rejects.
FEW_FOR_BOOTSTRAP = 4
#: Share of a regressor's sum of squares left by the others below which it is a combination of them.
COLLINEAR_SHARE = 1e-10
#: Numbers beyond this have squares and sums that do not fit a float.
LARGEST_NUMBER = 1e100
#: Two t statistics that differ by less than this share are the same.
T_TIE_SHARE = 1e-10


def of_event(one: Estimates) -> Any:
    """Fit least squares to the complete observations of one event's estimation window."""
    import pandas as pd  # noqa: PLC0415  # both cost seconds of import that most runs do not need
    import statsmodels.api as sm  # noqa: PLC0415

    model, design = one.model, one.model.design
    if design.estimator is not fit and not design.donors:
        raise SpecificationError(
            f"inspect shows ordinary least squares; {model.name} is estimated otherwise. "
            "Its coefficients are in result.estimates."
        )
    y, x, _ = one.problem.design()
    index = pd.to_datetime(one.estimation_dates[0].astype("datetime64[D]"))
    names = [term.name for term in design.regressors]
    if design.donors:
        x, names = _with_peers(one, x), [*names, "peers"]
    frame = pd.DataFrame(x[0], index=index, columns=names)
    frame.insert(0, "excess_return" if design.excess else "ret", y[0])
    frame = frame.dropna()
    response, regressors = frame.iloc[:, 0], frame.iloc[:, 1:]
    if design.imposed:
        response, regressors = response - regressors.sum(axis=1), regressors.iloc[:, :0]
    if design.intercept or design.imposed:
        regressors = regressors.assign(const=1.0)[["const", *regressors.columns]]
    return sm.OLS(response, regressors).fit()


def _with_peers(one: Estimates, x: Floats) -> Floats:
    """Put the return of a portfolio in place of the donors': their fitted weights, in absolute value adding up to 1."""
    n_own = len(one.model.design.regressors)
    weights = one.fit.slopes[0, n_own:]
    size = np.abs(weights).sum() or 1.0
    peers = x[:, :, n_own:] @ (weights / size) * (-1.0 if weights.sum() < 0 else 1.0)
    return np.concatenate([x[:, :, :n_own], peers[:, :, None]], axis=2)


def across_events(
    formula: str, car: pl.DataFrame, cluster: str | Sequence[str], weights: str | None
) -> tuple[Any, list[str]]:
    """Fit least squares by formula to one row per event, with covariance robust to one or two kinds of clusters.

    Returns
    -------
    (RegressionResultsWrapper, list of str)
        The fitted model, and warnings: of few clusters, and of events that are left out.
    """
    import pandas as pd  # noqa: PLC0415

    _check_formula(formula)
    columns = cluster_columns(cluster)
    _check_names(formula, columns, car.columns)
    if not 1 <= len(columns) <= 2:
        raise SpecificationError(f"cluster={cluster!r}: name one column, or two for two-way clustering.")
    for name in columns:
        if name not in car.columns:
            raise unknown_column(f"cluster={name!r}", name, car.columns)
    if weights not in (None, "precision"):
        raise SpecificationError(f"weights={weights!r}: choose None, or 'precision' for one over the squared se.")
    with_car = car.drop_nulls("car")
    data = with_car.drop(pl.selectors.nested() | pl.selectors.datetime())
    # by way of arrays, so that an empty number arrives as NaN and not as an object
    frame = pd.DataFrame(
        {c: data[c].to_numpy() if kind.is_numeric() else data[c].to_list() for c, kind in data.schema.items()}
    )
    model = _design(formula, frame, data, {} if weights is None else {"weights": 1.0 / frame["se"] ** 2})
    if max(np.abs(model.exog).max(), np.abs(model.endog).max()) > LARGEST_NUMBER:
        raise _infinite_regressors(formula, data)
    rows = data[[int(row) for row in model.data.row_labels]]
    used = rows.select(columns)
    messages = _check_clusters(used, model, n_dropped=data.height - used.height)
    if re.search(r"\b(china|us)_revenue_share\b", formula) and (mixed := mixed_bases(rows.unique("symbol"))):
        messages.append(f"regress: {mixed}")
    groups = used.select(pl.col(columns).rank("dense").cast(pl.Int64)).to_numpy()
    given = {"groups": groups[:, 0] if len(columns) == 1 else groups}
    return model.fit(cov_type="cluster", cov_kwds=given, use_t=True), messages


def cluster_columns(cluster: str | Sequence[str]) -> list[str]:
    """List the columns whose groups are the clusters."""
    return [cluster] if isinstance(cluster, str) else list(cluster)


def _check_names(formula: str, clusters: Sequence[str], columns: Sequence[str]) -> None:
    """Stop at names of both a column of `car` and one of the user's own; the response is the CAR."""
    regressors = formula.partition("~")[2]
    clash = find_clash(" ".join([regressors, *map(str, clusters)]), columns, (*CAR_COLUMNS, LAST))
    if clash is not None:
        raise SpecificationError(
            f"{clash!r} could be the column of `car` or your own column of the events. Write '{clash}{SUFFIX}' for "
            "your own, or rename it before the study is run."
        )


def _check_formula(formula: object) -> None:
    """Stop at anything but text with a response and a tilde."""
    if not isinstance(formula, str) or not formula.partition("~")[0].strip() or "~" not in formula:
        raise SpecificationError(
            f"formula={formula!r} is no formula. Write the response and the regressors, such as 'car ~ stance + role'."
        )


def _design(formula: str, frame: Any, data: pl.DataFrame, weighting: dict[str, Any]) -> Any:
    """Make the regression's response and regressors, or say why the formula has none."""
    import statsmodels.formula.api as smf  # noqa: PLC0415
    from patsy import PatsyError  # type: ignore[import-untyped]  # noqa: PLC0415
    from statsmodels.tools.sm_exceptions import MissingDataError  # noqa: PLC0415

    try:
        model = (smf.wls if weighting else smf.ols)(formula, data=frame, **weighting)
    except MissingDataError as error:  # statsmodels refuses infinite numbers only when it has made all columns
        raise _infinite_regressors(formula, data) from error
    except PatsyError as error:
        absent = re.search(r"name '(\w+)' is not defined", str(error))
        if absent is not None:
            raise unknown_column(f"{absent[1]!r} in the formula {formula!r}", absent[1], data.columns) from error
        raise SpecificationError(
            f"formula={formula!r} cannot be used: {first_line(error)}. Write it as 'car ~ stance + role', with columns "
            "of numbers or text."
        ) from error
    if not model.exog.shape[1]:
        raise SpecificationError(f"formula={formula!r} has no regressor and no constant. Write 'car ~ 1' for the mean.")
    return model


def _infinite_regressors(formula: str, data: pl.DataFrame) -> DataError:
    """Build the error for a formula with infinite or enormous numbers, with the events that have one in a column."""
    numbers = data.select(pl.selectors.numeric())
    wrong = [name for name in numbers.columns if (numbers[name].abs() > LARGEST_NUMBER).any()]
    rows = data.filter(pl.any_horizontal(pl.col(wrong).abs() > LARGEST_NUMBER)) if wrong else None
    columns = f" (columns of the events: {listed(wrong, quoted=False)})" if wrong else ""
    return DataError(
        f"regress: {formula!r} has infinite numbers, or some beyond {LARGEST_NUMBER:.0e}{columns}, for which there are "
        "no least squares. Leave such cells empty, or use a formula that is finite, such as np.log1p for np.log.",
        rows=rows,
    )


def _check_clusters(used: pl.DataFrame, model: Any, n_dropped: int) -> list[str]:
    """Raise DataError for a single cluster or an empty one; warn of few clusters, and of rows without a value."""
    missing = [name for name in used.columns if used[name].null_count()]
    if missing:
        raise DataError(
            f"cluster={missing[0]!r} is empty for {used[missing[0]].null_count()} of {used.height} events; an event "
            "without a cluster would share one with all others like it. Fill it in, or cluster by another column."
        )
    messages = []
    for name in used.columns:
        count = used[name].n_unique()
        if count < 2:
            raise DataError(
                f"All events are in one cluster of {name!r}; a clustered variance needs two. On one date compare the "
                "slope with its own past: mi.exposure_slope(market, events, exposure)."
            )
        messages.append(_few_clusters(model, used[name], count))
    if n_dropped:
        messages.append(f"{n_dropped} events have an empty value in the formula and are left out.")
    return list(filter(None, messages))


def _few_clusters(model: Any, cluster: pl.Series, count: int) -> str:
    """Say where the clusters, or those that identify a coefficient, are few; empty where they are not."""
    effective = _effective_clusters(_scaled(model)[1], factorize(cluster.rank("dense").to_numpy()).codes)
    terms = [
        (name, float(number))
        for name, number in zip(model.exog_names, effective, strict=True)
        if name != "Intercept" and number < FEW_EFFECTIVE_CLUSTERS
    ]
    untestable = [(name, number) for name, number in terms if number < FEW_FOR_BOOTSTRAP]
    parts = []
    if count < FEW_CLUSTERS:
        parts.append(
            f"Only {count} clusters of {cluster.name!r}: cluster-robust standard errors are too small with fewer than "
            f"{FEW_CLUSTERS}."
        )
    if terms:
        parts.append(
            f"Few of the {count} clusters of {cluster.name!r} identify {_numbers(terms)}: below an effective number of "
            f"{FEW_EFFECTIVE_CLUSTERS} the cluster-robust p-value is too small."
        )
    if untestable:
        parts.append(
            f"Below {FEW_FOR_BOOTSTRAP} the wild cluster bootstrap hardly ever rejects either: report "
            f"{', '.join(name for name, _ in untestable[:5])} without a p-value, add announcements of the scarce kind, "
            "or use a regressor that varies within announcements."
        )
    elif parts:
        parts.append(BOOTSTRAP_ADVICE)
    return " ".join(parts)


def _numbers(terms: Sequence[tuple[str, float]]) -> str:
    """List terms and their effective numbers of clusters, five at most."""
    listed = ", ".join(f"{name} ({number:.1f})" for name, number in terms[:5])
    return listed if len(terms) <= 5 else f"{listed} and {len(terms) - 5} more"


def _scaled(model: Any) -> tuple[Floats, Floats]:
    """Return response and regressors; weighted least squares is least squares after scaling by root weights."""
    root = np.sqrt(np.asarray(getattr(model, "weights", 1.0), float))
    y, x = np.asarray(model.endog, float), np.asarray(model.exog, float)
    return y * root, x * np.broadcast_to(root, y.shape)[:, None]


def _effective_clusters(x: Floats, group: Ints) -> Floats:
    """Compute the effective number of clusters from which each coefficient is estimated, (k,).

    One over the sum of squared shares of the clusters in the sum of squares that the other regressors leave of a
    regressor: the number of clusters where all weigh alike, about that of the treated ones where these are few.
    """
    numbers = np.full(x.shape[1], np.nan)
    for column in range(x.shape[1]):
        others = np.delete(x, column, axis=1)
        left = (x[:, column] - others @ (np.linalg.pinv(others) @ x[:, column])) ** 2
        if left.sum() > COLLINEAR_SHARE * (x[:, column] ** 2).sum():
            share = np.bincount(group, left) / left.sum()
            numbers[column] = 1.0 / (share**2).sum()
    return numbers


def varying_clusters(fitted: Any) -> Floats:
    """Compute the effective number of clusters of every coefficient, (k,): in two ways that of the scarcer kind."""
    x = _scaled(fitted.model)[1]
    groups = np.asarray(fitted.cov_kwds["groups"]).reshape(len(x), -1)
    numbers = [_effective_clusters(x, factorize(kind).codes) for kind in groups.T]
    return np.asarray(np.min(numbers, axis=0), float)


def has_valid_p(fitted: Any, *, bootstrap: bool) -> list[bool]:
    """Check whether enough clusters identify every coefficient for its p-value, as the warnings of `regress` say.

    With `bootstrap` for the p-value of `wild_cluster_bootstrap`. The constant is judged by the number of clusters.
    """
    groups = np.asarray(fitted.cov_kwds["groups"]).reshape(int(fitted.nobs), -1)
    is_many = bootstrap or min(len(np.unique(kind)) for kind in groups.T) >= FEW_CLUSTERS
    fewest = FEW_FOR_BOOTSTRAP if bootstrap else FEW_EFFECTIVE_CLUSTERS
    return [
        is_many and (name == "Intercept" or bool(number >= fewest))
        for name, number in zip(fitted.model.exog_names, varying_clusters(fitted), strict=True)
    ]


def wild_cluster_bootstrap(fitted: Any, *, draws: int = 9999, seed: int = 0) -> pl.DataFrame:
    """Compute p-values of a clustered regression that are valid with few clusters.

    For each coefficient the model is fitted with that coefficient at zero, whole clusters of its residuals
    change sign at random, and the t statistic of the sample is ranked among those of the samples so made.

    Parameters
    ----------
    fitted : statsmodels.regression.linear_model.RegressionResultsWrapper
        Result of `StudyResult.regress`, clustered in one way; least squares, weighted or not.
    draws : int
        Sign patterns. With up to ``log2(draws)`` clusters every pattern is used once instead.
    seed : int
        Seed of the random patterns.

    Returns
    -------
    polars.DataFrame
        ``term, coef, t, p_cluster, p_wild, n_clusters, n_draws, n_varying_clusters``: `t` is the coefficient over its
        cluster-robust standard error, `p_cluster` from t(clusters - 1), `p_wild` from the wild bootstrap.
        `n_varying_clusters` is the effective number of clusters from which the coefficient is estimated; below 10
        `p_cluster` is too small, below 4 `p_wild` hardly ever rejects.

    Raises
    ------
    SpecificationError
        If `fitted` is not clustered in one way.

    Notes
    -----
    Null: the coefficient is zero. Rademacher signs with the null imposed (WCR) and the usual small-sample
    factor, which cancels: Cameron, Gelbach and Miller (2008); MacKinnon and Webb (2018). With G clusters no
    p-value is below ``2 / 2**G``: six are needed for 5%. Not for a regressor that varies in one to three
    clusters only (one announcement of its kind): it then rejects hardly ever. The effective number of clusters is
    one over the sum of squared shares of the clusters in what the other regressors leave of the regressor's sum of
    squares, after Carter, Schnepel and Steigerwald (2017): 1.4 for one treated cluster of six, 2.5 for two of 20.
    """
    labels = np.asarray((getattr(fitted, "cov_kwds", None) or {}).get("groups"))
    if labels.ndim != 1:
        raise SpecificationError(
            "wild_cluster_bootstrap needs a regression clustered in one way, such as result.regress(formula, "
            "window=(0, 1), cluster='announcement_id')."
        )
    group = np.unique(labels, return_inverse=True)[1]
    signs = _signs(int(group.max()) + 1, draws, seed)
    # clusters stay clusters after the scaling
    y, x = _scaled(fitted.model)
    coefficient, t, p = np.asarray(fitted.params), np.asarray(fitted.tvalues), np.asarray(fitted.pvalues)
    return pl.DataFrame(
        {
            "term": list(fitted.model.exog_names),
            "coef": coefficient,
            "t": t,
            "p_cluster": p,
            "p_wild": [_wild_p(y, x, column, group, signs) for column in range(x.shape[1])],
            "n_clusters": [signs.shape[1]] * len(t),
            "n_draws": [len(signs)] * len(t),
            "n_varying_clusters": _effective_clusters(x, group),
        }
    )


def _signs(n_clusters: int, draws: int, seed: int) -> Floats:
    """Draw sign patterns (B, G): all of them where they are no more than `draws`, else `draws` at random."""
    if draws < 1:
        raise SpecificationError(f"draws={draws!r}: give the number of sign patterns, such as 9999.")
    if 2**n_clusters <= draws:
        bits = np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters)
        return np.where(bits & 1, -1.0, 1.0)
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, n_clusters))


def _wild_p(y: Floats, x: Floats, column: int, group: NDArray[np.int64], signs: Floats) -> float:
    """Compute the share of sign patterns whose t is at least as large as the sample's, the null imposed."""
    n_clusters = signs.shape[1]
    inverse = np.linalg.pinv(x.T @ x)
    weights = x @ inverse[:, column]  # the coefficient is weights @ y
    others = np.delete(x, column, axis=1)
    restricted = y - others @ (np.linalg.pinv(others) @ y)
    member = (group[:, None] == np.arange(n_clusters)).astype(float)
    # each cluster's restricted residuals with zeros elsewhere, and their residuals in the full regression
    parts = member * restricted[:, None]
    left = parts - x @ (inverse @ (x.T @ parts))
    shift = weights @ parts
    scores = (member * weights[:, None]).T @ left
    patterns = np.vstack([np.ones(n_clusters), signs])  # the sample itself is the pattern without a change
    spread = np.sqrt(((patterns @ scores.T) ** 2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(patterns @ shift) / spread
    drawn = t[1:]
    # a pattern that gives the sample's own t back may differ from it by rounding
    extreme = int((drawn >= t[0] * (1.0 - T_TIE_SHARE)).sum())
    everything = len(signs) == 2**n_clusters
    return extreme / len(drawn) if everything else (1 + extreme) / (1 + len(drawn))
