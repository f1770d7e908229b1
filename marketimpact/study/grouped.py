"""Compute the frames of a result for every group of its events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import polars as pl

from marketimpact.core.own_columns import unknown_column
from marketimpact.display import charts
from marketimpact.display.formats import count
from marketimpact.errors import SpecificationError
from marketimpact.inference import Alternative, SignificanceTest
from marketimpact.study.accessors import Show
from marketimpact.study.questions import Questions
from marketimpact.study.summary import path_base, path_measure

__all__ = ["Grouped", "role_kept"]

R = TypeVar("R", bound=Questions)

#: Columns of the events that frames repeat.
KEYS = ("event_id", "symbol")
#: Number of groups that the representation lists.
GROUPS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Grouped(Generic[R]):
    """Frames of a `StudyResult` for every group of events, groups in sorted order."""

    result: R
    columns: tuple[str, ...]

    def groups(self) -> list[tuple[tuple[Any, ...], R]]:
        """Return each group's values of the grouping columns, and its result."""
        return list(self._each())

    def _each(self) -> Iterator[tuple[tuple[Any, ...], R]]:
        events = self.result.events.select(self.columns)
        for values in events.unique().sort(self.columns, nulls_last=True).iter_rows():
            same = pl.all_horizontal(
                pl.col(c).eq_missing(pl.lit(v, dtype=events.schema[c]))
                for c, v in zip(self.columns, values, strict=True)
            )
            yield values, self.result.where(same)

    def car(self, first: int, last: int) -> pl.DataFrame:
        """Return `StudyResult.car`, group columns first."""
        frame = self.result.car(first, last)
        if absent := [c for c in self.columns if c not in frame.columns]:
            raise unknown_column(f"by({absent[0]!r}).car", absent[0], frame.columns)
        return frame.select(*self.columns, pl.exclude(self.columns)).sort(*self.columns, "event_id", nulls_last=True)

    def caar(
        self,
        first: int | None = None,
        last: int | None = None,
        *,
        level: float = 0.95,
        base: int | None = None,
        weights: str | None = None,
    ) -> pl.DataFrame:
        """Return `StudyResult.caar` of every group, with weights within each."""
        return self._stack(lambda result: result.caar(first, last, level=level, base=base, weights=weights))

    def test(
        self,
        first: int,
        last: int,
        *,
        tests: Sequence[str | SignificanceTest] | Literal["all"] | None = None,
        alternative: Alternative = "two-sided",
        weights: str | None = None,
    ) -> pl.DataFrame:
        """Return `StudyResult.test` of every group; grouped by ``role``, the role of a test is ``test_role``."""

        def tested(result: R) -> pl.DataFrame:
            frame = result.test(first, last, tests=tests, alternative=alternative, weights=weights)
            return role_kept(frame, self.columns)

        return self._stack(tested)

    def single_tests(self, first: int, last: int) -> pl.DataFrame:
        """Return `StudyResult.single_tests` with every group a family of its own.

        By ``"announcement_id"``: which firms moved on a day, with p-values adjusted for all firms of that day. The
        family-wise error holds within each family, not over all of them together.
        """
        return self._stack(lambda result: result.single_tests(first, last))

    @property
    def show(self) -> Show:
        """Results as tables to read: ``result.by("country").show.test(0, 1)``."""
        return Show(self.result, self, self.columns)

    def plot(self, first: int | None = None, last: int | None = None) -> Any:
        """Draw the CAAR path of every group with its band in Altair, all on one scale; of many the largest groups.

        A path that begins before session -1 is 0 at its close.
        """
        base = path_base(self.result, first, last)
        paths = self.caar(first, last, base=base)
        labels = [", ".join(map(str, values)) for values in paths.select(self.columns).iter_rows()]
        paths = paths.with_columns(pl.Series("_group", labels, pl.String))
        return charts.caar_grid(paths, by="_group", simulated=self.result.market.simulated, subtitle=path_measure(base))

    def __repr__(self) -> str:
        """List the groups and their numbers of events."""
        lines = [
            f"Grouped by {', '.join(self.columns)}:",
            "  use .car, .caar, .test, .single_tests, .plot(), .groups()",
        ]
        counts = self.result.events.group_by(self.columns).len("n").sort(self.columns, nulls_last=True)
        lines += [f"  {', '.join(map(str, values))}: {count(n, 'event')}" for *values, n in counts.iter_rows()]
        return "\n".join(
            lines[: GROUPS_SHOWN + 2]
            + [f"  and {len(lines) - 2 - GROUPS_SHOWN} more"] * (len(lines) > GROUPS_SHOWN + 2)
        )

    def _stack(self, ask: Callable[[R], pl.DataFrame]) -> pl.DataFrame:
        """Stack the frames of all groups; what a group keeps is dropped before the next one."""
        kinds = self.result.events.schema
        answers = [(values, ask(result)) for values, result in self._each()]
        if not answers:  # no events, no groups
            return pl.DataFrame(schema={column: kinds[column] for column in self.columns})
        clash = [c for c in self.columns if c in answers[0][1].columns and c not in KEYS]
        if clash:
            raise SpecificationError(
                f"by({clash[0]!r}): the frame that it groups has a column of this name too. Rename the events' column "
                "before the study is run."
            )
        return pl.concat(
            frame.select(
                *[pl.lit(v, dtype=kinds[c]).alias(c) for c, v in zip(self.columns, values, strict=True)],
                pl.exclude(self.columns),
            )
            for values, frame in answers
        )


def role_kept(tests: pl.DataFrame, groups: Sequence[str | None]) -> pl.DataFrame:
    """Name the role of tests ``test_role`` where a group column is called ``role``."""
    return tests.rename({"role": "test_role"}) if "role" in groups else tests
