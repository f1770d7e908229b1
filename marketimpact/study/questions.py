"""Protocols of a result that its accessors and groups use instead of importing `StudyResult`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, Self

import polars as pl

from marketimpact.estimation.estimates import Estimates
from marketimpact.inference import Alternative, Sample, SignificanceTest
from marketimpact.market.market import Market
from marketimpact.models import Model

__all__ = ["Answers", "Questions"]


class Answers(Protocol):
    """Results as frames: of a `StudyResult`, or of every group of its events (`Grouped`)."""

    def car(self, first: int, last: int) -> pl.DataFrame:
        """Return one row per event; see `StudyResult.car`."""
        ...

    def caar(
        self,
        first: int | None = None,
        last: int | None = None,
        *,
        level: float = 0.95,
        base: int | None = None,
        weights: str | None = None,
    ) -> pl.DataFrame:
        """Return one row per session; see `StudyResult.caar`."""
        ...

    def test(
        self,
        first: int,
        last: int,
        *,
        tests: Sequence[str | SignificanceTest] | Literal["all"] | None = None,
        alternative: Alternative = "two-sided",
        weights: str | None = None,
    ) -> pl.DataFrame:
        """Return one row per test; see `StudyResult.test`."""
        ...

    def single_tests(self, first: int, last: int) -> pl.DataFrame:
        """Return one row per event; see `StudyResult.single_tests`."""
        ...


class Questions(Answers, Protocol):
    """Members of a result that its accessors and groups use; `StudyResult` documents them."""

    @property
    def model(self) -> Model:
        """Model of the normal return."""
        ...

    @property
    def selected_from(self) -> tuple[int, int] | None:
        """Events of the result that `where` selected from, and how many left its condition undecided."""
        ...

    @property
    def market(self) -> Market:
        """Returns that the model was estimated on."""
        ...

    @property
    def attrition(self) -> pl.DataFrame:
        """Events that could not be used, and why."""
        ...

    @property
    def events(self) -> pl.DataFrame:
        """Usable events, one row each."""
        ...

    @property
    def estimates(self) -> pl.DataFrame:
        """Coefficients, one row per event."""
        ...

    @property
    def estimation(self) -> Estimates:
        """Arrays behind the results."""
        ...

    def sample(self, first: int, last: int) -> Sample:
        """Return the input to the significance tests."""
        ...

    def where(self, predicate: pl.Expr) -> Self:
        """Return the same result for some of the events."""
        ...
