"""Tables of regressions for readers: one column per model, standard errors in brackets beneath the coefficients."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats
from marketimpact.core.text import listed
from marketimpact.display.formats import number
from marketimpact.display.headings import heading
from marketimpact.display.tables import Table, decimals
from marketimpact.errors import SpecificationError
from marketimpact.study.regressions import BOOTSTRAP_ADVICE, has_valid_p, varying_clusters, wild_cluster_bootstrap

__all__ = ["FittedModel", "regression_table"]

#: Responses that are fractions of a price where returns are simple, and shown in percent.
FRACTIONS = ("car", "bhar")
ONE_WAY = "p-values are from t(G - 1), where G is the number of clusters."
TWO_WAYS = (
    "p-values are from t(min(G) - 1), where min(G) is the smaller of the two numbers of clusters; each part of the "
    "covariance has the small-sample factor of its own number of clusters."
)
NO_ERROR = "No standard error where the covariance of two kinds of clusters gives a negative variance."
HOW_TO_BOOTSTRAP = "show.regress(..., bootstrap=True) has p-values of the wild cluster bootstrap."
#: A level of a factor as patsy writes it: ``stance[T.permissive]``, ``C(stance, Treatment("x"))[T.permissive]``.
_LEVEL = re.compile(r"^(?:C\((?P<coded>\w+).*\)|(?P<plain>[^\[]+))\[(?:T\.)?(?P<level>.*)\]$")
#: The sign of a product, outside of the brackets of levels and functions.
_PRODUCT = re.compile(r":(?![^\[(]*[\])])")

Lines = list[dict[str, str | float | bool]]


@dataclass(frozen=True, slots=True)
class FittedModel:
    """One column of the table.

    Attributes
    ----------
    name : str
        Its heading, such as "(1)".
    formula : str
        Response and regressors.
    fitted : statsmodels.regression.linear_model.RegressionResultsWrapper
        The fitted model, its covariance clustered.
    clusters : tuple of str
        Columns whose groups are the clusters.
    messages : tuple of str
        Warnings of the fit.
    bootstrap : bool
        Whether p-values are those of the wild cluster bootstrap.
    """

    name: str
    formula: str
    fitted: Any
    clusters: tuple[str, ...]
    messages: tuple[str, ...]
    bootstrap: bool

    @property
    def response(self) -> str:
        """Get the left side of the formula."""
        return self.formula.partition("~")[0].strip()

    def n_clusters(self) -> dict[str, int]:
        """Count the clusters of each kind."""
        groups = np.asarray(self.fitted.cov_kwds["groups"]).reshape(-1, len(self.clusters))
        return {name: len(np.unique(kind)) for name, kind in zip(self.clusters, groups.T, strict=True)}

    def left_out(self) -> list[str]:
        """List the levels with which the others of their factor are compared, as terms such as ``stance[T.none]``."""
        data = self.fitted.model.data
        design = getattr(data, "model_spec", None) or data.design_info  # its name before statsmodels 0.15
        terms = set(self.fitted.model.exog_names)
        found = []
        for factor, info in design.factor_infos.items():
            levels = [f"{factor.name()}[T.{level}]" for level in info.categories or ()]
            absent = [level for level in levels if level not in terms]
            found += absent if len(absent) == 1 < len(levels) else []
        return found

    def frame(self) -> pl.DataFrame:
        """Return one row per term, with unrounded numbers."""
        with np.errstate(invalid="ignore"):  # a covariance of two kinds of clusters can have negative variances
            errors: Floats = self.fitted.bse.to_numpy()
            ends: Floats = self.fitted.conf_int().to_numpy()
            t, p = self.fitted.tvalues.to_numpy(), self.fitted.pvalues.to_numpy()
        wild = {"p_wild": wild_cluster_bootstrap(self.fitted)["p_wild"]} if self.bootstrap else {}
        rows = pl.DataFrame(
            {
                "term": list(self.fitted.model.exog_names),
                "coef": self.fitted.params.to_numpy(),
                "se": errors,
                "t": t,
                "p": p,
                **wild,
                "valid": has_valid_p(self.fitted, bootstrap=self.bootstrap),
                "ci_low": ends[:, 0],
                "ci_high": ends[:, 1],
                "n_varying_clusters": varying_clusters(self.fitted),
            }
        )
        counts = {f"n_clusters_{name}": count for name, count in self.n_clusters().items()}
        whole = {"df": int(self.fitted.df_resid_inference), "n_events": int(self.fitted.nobs), **counts}
        return rows.select(
            pl.lit(self.name).alias("model"),
            pl.lit(self.formula).alias("formula"),
            pl.all(),
            pl.lit(float(self.fitted.rsquared)).alias("r2"),
            *(pl.lit(value, pl.Int64).alias(name) for name, value in whole.items()),
        )


def regression_table(
    models: Sequence[FittedModel], *, window: tuple[int, int], weights: str | None, unit: str, labels: Mapping[str, str]
) -> Table:
    """Write regressions side by side.

    Parameters
    ----------
    models : sequence of FittedModel
        The columns, all with the same clusters.
    window : tuple of int
        Window of the CARs.
    weights : str or None
        As for `StudyResult.regress`.
    unit : str
        Unit of returns, as in `Market.unit`.
    labels : mapping of str to str
        Term or column -> words for readers.

    Raises
    ------
    SpecificationError
        For regressors that are combinations of others.
    """
    for model in models:
        _check_identified(model)
    frames = {model.name: model.frame() for model in models}
    scales = {model.name: _scale(model, unit) for model in models}
    terms = pl.concat([frame["term"] for frame in frames.values()]).unique(maintain_order=True).to_list()
    words = {term: _words(term, labels) for term in terms}
    lines: Lines = []
    for term in sorted(terms, key=lambda term: term == "Intercept"):  # the constant last
        lines += _term_lines(term, words[term], frames, scales)
    rule = len(lines)
    lines.append({"term": "Events", **{model.name: f"{model.fitted.nobs:,.0f}" for model in models}})
    lines.append({"term": "R²", **{model.name: number(model.fitted.rsquared, 3) for model in models}})
    for name in models[0].clusters:
        counts = {model.name: f"{model.n_clusters()[name]:,}" for model in models}
        lines.append({"term": f"Clusters: {_cluster_words(name, labels)}", **counts})
    columns = ["term", *frames]
    schema = (
        dict.fromkeys(columns, pl.String)
        | {_p_column(name): pl.Float64 for name in frames}
        | {_valid_column(name): pl.Boolean for name in frames}
    )
    return Table(
        pl.concat(frames.values()),
        f"Regressions across events, window {list(window)}",
        notes=tuple(_notes(models, frames, window=window, weights=weights, unit=unit, labels=labels, words=words)),
        columns=tuple(columns),
        shown=pl.DataFrame(lines, schema=schema).with_columns(pl.col(columns).fill_null("")),
        right=tuple(frames),
        hints=(HOW_TO_BOOTSTRAP,) if _could_bootstrap(models) else (),
        p_columns=tuple((name, _p_column(name), _valid_column(name)) for name in frames),
        rules=(rule,),
    )


def _check_identified(model: FittedModel) -> None:
    """Stop at regressors that are combinations of others: their coefficients could be any numbers."""
    numbers = varying_clusters(model.fitted)
    terms = [name for name, number in zip(model.fitted.model.exog_names, numbers, strict=True) if np.isnan(number)]
    if terms:
        raise SpecificationError(
            f"{model.name} {model.formula!r}: {listed(terms)} are combinations of the other regressors, so their "
            "coefficients are not identified. Leave one of them out."
        )


def _p_column(name: str) -> str:
    return f"p {name}"


def _valid_column(name: str) -> str:
    return f"valid {name}"


def _scale(model: FittedModel, unit: str) -> float:
    """Choose the unit of a model's coefficients: fractions are shown in percent."""
    return 100.0 if model.response in FRACTIONS and unit == "simple" else 1.0


def _term_lines(term: str, words: str, frames: Mapping[str, pl.DataFrame], scales: Mapping[str, float]) -> Lines:
    """Write the coefficients of a term, beneath them the standard errors, and the p-values of a bootstrap."""
    coefficients: dict[str, str | float | bool] = {"term": words}
    errors: dict[str, str | float | bool] = {}
    bootstrapped: dict[str, str | float | bool] = {}
    for name, frame in frames.items():
        for row in frame.filter(term=term).iter_rows(named=True):
            places = _places(frame["se"] * scales[name], row["se"] * scales[name])
            coefficients[name] = number(row["coef"] * scales[name], places)
            errors[name] = f"({number(row['se'] * scales[name], places)})"
            coefficients |= {_p_column(name): row.get("p_wild", row["p"]), _valid_column(name): row["valid"]}
            if "p_wild" in row:
                bootstrapped[name] = f"[{number(row['p_wild'], 3)}]"
    return [coefficients, errors, *([bootstrapped] if bootstrapped else [])]


def _places(errors: pl.Series, own: float) -> int:
    """Choose decimals: three digits of the model's median standard error, two of the term's own."""
    return max(decimals(errors), decimals(pl.Series([own], dtype=pl.Float64)) - 1)


def _words(term: str, labels: Mapping[str, str]) -> str:
    """Write a term for readers: its label, a level as *column: level*, a product with a sign between its factors."""
    if term in labels:
        return labels[term]
    if term == "Intercept":
        return "Constant"
    factors = _PRODUCT.split(term)
    if len(factors) > 1:
        return " × ".join(_words(factor, labels) for factor in factors)
    if (level := _LEVEL.match(term)) is not None:
        column = level["coded"] or level["plain"]
        return f"{labels.get(column, heading(column))}: {level['level'].replace('_', ' ')}"
    return heading(term) if term.isidentifier() else term


def _cluster_words(name: str, labels: Mapping[str, str]) -> str:
    return labels.get(name, name.removesuffix("_id").replace("_", " "))


def _notes(
    models: Sequence[FittedModel],
    frames: Mapping[str, pl.DataFrame],
    *,
    window: tuple[int, int],
    weights: str | None,
    unit: str,
    labels: Mapping[str, str],
    words: Mapping[str, str],
) -> list[str]:
    """Write what the numbers are: the response, the standard errors, the p-values, and what is doubtful."""
    clusters = models[0].clusters

    def response_of(model: FittedModel) -> list[str]:
        name = model.response.upper() if model.response in ("car", "scar", "bhar") else model.response
        return [f"Dependent variable: {name} over {list(window)}{', in percent' if _scale(model, unit) > 1 else ''}."]

    def warnings_of(model: FittedModel) -> list[str]:
        return [_readable(message, clusters, labels, words) for message in model.messages]

    def comparison_of(model: FittedModel) -> list[str]:
        levels = "; ".join(_words(level, labels) for level in model.left_out())
        return [f"Level of comparison: {levels}."] if levels else []

    by = " and ".join(_cluster_words(name, labels) for name in clusters)
    notes = _by_model(models, response_of) + _by_model(models, comparison_of)
    notes += ["Weighted by one over the squared standard error of each CAR."] if weights == "precision" else []
    notes.append(f"In brackets: standard errors, clustered by {by}{', in two ways' if len(clusters) > 1 else ''}.")
    if models[0].bootstrap:
        notes.append("In square brackets: p-values of the wild cluster bootstrap, with the null imposed.")
    else:
        notes.append(ONE_WAY if len(clusters) == 1 else TWO_WAYS)
    notes += [NO_ERROR] if any(frame["se"].is_nan().any() for frame in frames.values()) else []
    return notes + _by_model(models, warnings_of)


def _by_model(models: Sequence[FittedModel], texts_of: Callable[[FittedModel], Sequence[str]]) -> list[str]:
    """Collect texts about models, each once, with the models that it is about where it is not about all."""
    names: dict[str, list[str]] = {}
    for model in models:
        for text in texts_of(model):
            names.setdefault(text, []).append(model.name)
    return [text if len(own) == len(models) else f"{', '.join(own)}: {text}" for text, own in names.items()]


def _readable(message: str, clusters: Sequence[str], labels: Mapping[str, str], words: Mapping[str, str]) -> str:
    """Write a warning of the fit for readers: terms and clusters in words, without what to call in Python."""
    text = message.removesuffix(BOOTSTRAP_ADVICE).strip()
    for name in clusters:
        text = text.replace(f"clusters of {name!r}", f"clusters by {_cluster_words(name, labels)}")
    for term in sorted(words, key=len, reverse=True):
        listed = rf"(?<![\w\]:]){re.escape(term)}(?= \(| without|, )"
        text = re.sub(listed, words[term].replace("\\", "\\\\"), text)
    return text


def _could_bootstrap(models: Sequence[FittedModel]) -> bool:
    """Check whether the bootstrap is advised, and not used."""
    one = models[0]
    advised = any(message.endswith(BOOTSTRAP_ADVICE) for model in models for message in model.messages)
    return advised and not one.bootstrap and len(one.clusters) == 1
