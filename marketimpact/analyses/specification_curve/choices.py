"""Choices of a specification curve: models, windows, benchmarks, filters and tests, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from marketimpact.errors import SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.inference import SignificanceTest, select_tests
from marketimpact.market.market import Market
from marketimpact.models import Model

__all__ = ["Choices", "check_choices"]

#: First and last session of a window, relative to day 0.
Window = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices of a specification curve; specifications are all combinations."""

    models: Mapping[str, Model]
    estimation_windows: tuple[Window, ...]
    event_windows: tuple[Window, ...]
    benchmarks: Mapping[str, Market]
    filters: Mapping[str, pl.Expr]
    tests: Sequence[SignificanceTest]

    @property
    def span(self) -> Window:
        """Find the narrowest event window that contains all event windows."""
        return min(first for first, _ in self.event_windows), max(last for _, last in self.event_windows)


def check_choices(
    events: pl.DataFrame,
    market: Market,
    *,
    models: Sequence[Model] | Mapping[str, Model],
    estimation_windows: Sequence[Window],
    event_windows: Sequence[Window],
    benchmarks: Mapping[str, Market] | None,
    filters: Mapping[str, pl.Expr] | None,
    tests: Sequence[str | SignificanceTest] | Literal["all"],
) -> Choices:
    """Check the choices and give each a name; a SpecificationError says what is wrong with them."""
    selected = select_tests(tests)
    _check_distinct([test.name for test in selected], "tests")
    return Choices(
        models=_check_models(models),
        estimation_windows=_check_windows(estimation_windows, "estimation_windows"),
        event_windows=_check_windows(event_windows, "event_windows"),
        benchmarks=_check_benchmarks(market, benchmarks),
        filters=_check_filters({"all": pl.lit(value=True)} if filters is None else filters, events),
        tests=selected,
    )


def _check_models(models: Sequence[Model] | Mapping[str, Model]) -> dict[str, Model]:
    values = list(models.values()) if isinstance(models, Mapping) else list(models)
    for model in values:
        if isinstance(model, type) or not hasattr(model, "design"):
            raise SpecificationError(f"models: {model!r} is not a model value; write mi.MarketModel(), with brackets.")
    if not values:
        raise SpecificationError("models is empty: give at least one, such as mi.MarketModel().")
    if isinstance(models, Mapping):
        return dict(models)
    _check_distinct([model.name for model in values], "models")
    return {model.name: model for model in values}


def _check_windows(windows: Sequence[Window], name: str) -> tuple[Window, ...]:
    if not len(windows) or isinstance(windows[0], int):
        raise SpecificationError(f"{name}={windows!r}: give a list of windows, such as [(0, 0), (-1, 1)].")
    checked = tuple(check_window(window, name) for window in windows)
    _check_distinct([str(window) for window in checked], name)
    return checked


def _check_benchmarks(market: Market, benchmarks: Mapping[str, Market] | None) -> dict[str, Market]:
    markets = dict(benchmarks or {})
    unknown = [name for name, other in markets.items() if not isinstance(other, Market)]
    if unknown:
        raise SpecificationError(
            f"benchmarks[{unknown[0]!r}] is no Market. A market needs its price source to change benchmark: "
            "give Market.load(securities, prices, benchmark='sector_proxy')."
        )
    if any(other is market for other in markets.values()):
        return markets
    if "own" in markets:
        raise SpecificationError("benchmarks: 'own' is the name of the market itself; call the other by another.")
    return {"own": market} | markets


def _check_filters(filters: Mapping[str, pl.Expr], events: pl.DataFrame) -> dict[str, pl.Expr]:
    if not filters:
        raise SpecificationError("filters is empty: leave it out, or give {'all': pl.lit(True)}.")
    for name, condition in filters.items():
        try:
            events.filter(condition)
        except pl.exceptions.PolarsError as error:
            raise SpecificationError(
                f"filters[{name!r}] is no condition on these events: {error}. Events have {', '.join(events.columns)}."
            ) from error
    return dict(filters)


def _check_distinct(names: Sequence[str], what: str) -> None:
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise SpecificationError(f"{what}: {', '.join(repeated)} more than once; each choice needs a name of its own.")
