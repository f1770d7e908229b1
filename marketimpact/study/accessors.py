"""Accessors of a result: `result.show` for tables to read, `result.plot` for charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from marketimpact.core import limits
from marketimpact.core.own_columns import require_labels, unknown_column
from marketimpact.display import charts, firm_chart
from marketimpact.display.formats import SIMULATED_TABLE, interval, percent
from marketimpact.display.tables import Table, lines_to_html
from marketimpact.errors import SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.inference import Alternative, SignificanceTest
from marketimpact.study import regressions, tests_table
from marketimpact.study.filtered_columns import single_intervals
from marketimpact.study.questions import Answers, Questions
from marketimpact.study.regression_table import FittedModel, regression_table
from marketimpact.study.summary import (
    as_lines,
    headline_window,
    is_one_sample,
    path_base,
    path_measure,
    reasons,
    title,
)

__all__ = ["Plot", "Show", "as_html"]

#: Notes on columns, for frames that have them.
WHAT = {
    "valid": "valid: whether the test keeps its size for these events, given shared days and a raised variance.",
    "p": "p: two-sided from t(df), exact only under normality of the window's returns.",
    "mde": "mde: minimum detectable effect (80% power, 5% level); smaller effects can go undetected.",
    "true_car": "true_car: what was put into the simulated prices.",
    "sq_p": "sq_p: from the rank of the CAR among the event's own placebo sums.",
    "variance_ratio": "variance_ratio: variance known the evening before over that of the estimation window.",
    "p_filtered": "p_filtered, ci_low_filtered, ci_high_filtered: from the volatility known the evening before.",
    "p_romano_wolf": "p_holm, p_bh, p_by, p_romano_wolf: corrected for looking at all these events.",
}
#: Columns of CARs, those of the event's primary test first.
_CAR = (
    "car", "ci_low_filtered", "ci_high_filtered", "p_filtered", "n_days", "se", "df", "p", "mde", "scar", "bhar",
    "variance_ratio", "se_filtered", "true_car", "flags", "last",
)  # fmt: skip
_SINGLE = (
    "car", "ci_low_filtered", "ci_high_filtered", "p_filtered", "p_romano_wolf_filtered", "note", "variance_ratio",
)  # fmt: skip


def as_html(result: Questions) -> str:
    """Write the summary of a result as HTML, for a notebook, and the tests of one sample."""
    small = result.events.height <= limits.EVENTS_TESTED_IN_REPR and is_one_sample(result)
    return lines_to_html(as_lines(result)) + (
        Show(result, result).test(*headline_window(result))._repr_html_() if small else ""
    )


@dataclass(frozen=True, slots=True, repr=False)
class Show:
    """Tables to read: frames of the result, rounded and aligned, with notes beneath.

    The frames themselves come from the same methods without `show`; a table keeps its frame in ``.frame``, and
    ``.to_latex()`` writes it for a paper. Called with
    a frame about the result, such as ``result.show(mi.audit(...))``, it shows that frame.

    Examples
    --------
    >>> from datetime import date
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities().filter(pl.col("symbol") == "NVDA"), mi.SamplePrices())
    >>> events = pl.DataFrame({"event_id": ["mine"], "symbol": ["NVDA"], "date": [date(2025, 8, 12)]})
    >>> result = mi.EventStudy().run(events, market)
    >>> table = result.show.car(0, 1)
    >>> table.title
    'Cumulative abnormal return of every event over [0, 1]'
    >>> table.frame.equals(result.car(0, 1))
    True
    """

    _result: Questions
    _asked: Answers
    _group_columns: tuple[str, ...] = ()

    def __call__(
        self, frame: pl.DataFrame, title: str = "", *, columns: Sequence[str] = (), notes: Sequence[str] = ()
    ) -> Table:
        """Show any frame about this result as a table: all of its columns unless some are named, with notes.

        Raises
        ------
        SpecificationError
            For anything but a frame, and for columns that the frame does not have.
        """
        if not isinstance(frame, pl.DataFrame):
            raise SpecificationError(
                f"show() was given a {type(frame).__name__}; give it a frame about the result, such as "
                "result.car(0, 1), or use result.show.test(0, 1)."
            )
        if unknown := [name for name in columns if name not in frame.columns]:
            raise SpecificationError(f"columns={unknown}: the frame has {', '.join(frame.columns)}.")
        shown = tuple(columns or frame.columns)
        warning = [SIMULATED_TABLE] if self._result.market.simulated else []
        return Table(
            frame,
            title,
            notes=(*warning, *notes, *(WHAT[name] for name in shown if name in WHAT)),
            columns=shown,
            muted="valid" if frame.schema.get("valid") == pl.Boolean else "",
            footnotes="note" if "note" in shown else "",
            unit=self._result.market.unit,
        )

    def test(
        self,
        first: int,
        last: int,
        *,
        tests: Sequence[str | SignificanceTest] | Literal["all"] | None = None,
        alternative: Alternative = "two-sided",
        weights: str | None = None,
        invalid: bool = False,
    ) -> Table:
        """Show the primary test and the valid robustness tests of `StudyResult.test`, and why others are not valid.

        Of groups, as in ``result.by("role").show.test(0, 1)``, one row each: the primary test, and how many of the
        valid robustness tests agree.

        Parameters
        ----------
        first, last, tests, alternative, weights
            As for `StudyResult.test`. Tests that are named are all shown.
        invalid : bool
            Whether to show every test with its p-value and its whole note, valid or not.

        Returns
        -------
        Table
            Its ``frame`` is that of `StudyResult.test`, every row and column.
        """
        frame = self._asked.test(first, last, tests=tests, alternative=alternative, weights=weights)
        heading = f"Is the mean abnormal return{_weighted_by(weights)} over {[first, last]} zero?"
        simulated = [SIMULATED_TABLE] if self._result.market.simulated else []
        unit = self._result.market.unit
        if frame.is_empty():  # no group
            return self(frame, heading)
        parts, by_group = tests_table.parts_of(frame, self._group_columns), bool(self._group_columns)
        if by_group and tests is None and not invalid:
            view = tests_table.group_lines(parts, unit)
        else:
            view = tests_table.tests_view(parts, every_row=tests is not None, invalid=invalid, unit=unit)
        return Table(
            frame,
            heading,
            notes=(*view.notes, *simulated),
            columns=view.columns,
            muted="valid",
            footnotes="note",
            unit=unit,
            shown=view.rows,
            right=view.right,
            dropped_first=tests_table.DROPPED_FIRST,
            hints=view.hints,
        )

    def car(self, first: int, last: int) -> Table:
        """Show `StudyResult.car` without the events' other columns."""
        frame = self._asked.car(first, last)
        shown = [*self._names(frame), *(name for name in _CAR if name in frame.columns)]
        return self(frame, f"Cumulative abnormal return of every event over {[first, last]}", columns=shown)

    def caar(
        self, first: int | None = None, last: int | None = None, *, level: float = 0.95, weights: str | None = None
    ) -> Table:
        """Show `StudyResult.caar`."""
        frame = self._asked.caar(first, last, level=level, weights=weights)
        window = [frame["tau"][0], frame["tau"][-1]]
        heading = f"Mean path{_weighted_by(weights)} over {window} with its {level:.0%} band"
        return self(frame, heading)

    def single_tests(self, first: int, last: int) -> Table:
        """Show `StudyResult.single_tests`."""
        frame = self._asked.single_tests(first, last)
        columns = [*self._names(frame), *_SINGLE]
        columns += [name for name in frame.columns if name not in (*columns, "event_id", "symbol")]
        return self(frame, f"Every event by itself over {[first, last]}", columns=columns)

    def attrition(self) -> Table:
        """Show `StudyResult.attrition`, with the number of events for each reason."""
        frame = self._result.attrition
        if frame.is_empty():
            return self(frame, "Every event was used")
        return self(frame, f"{frame.height} events could not be used: {reasons(frame)}")

    def estimates(self) -> Table:
        """Show `StudyResult.estimates`."""
        return self(self._result.estimates, f"Normal returns: {title(self._result)}")

    def regress(
        self,
        *formulas: str,
        window: tuple[int, int],
        cluster: str | Sequence[str] = "announcement_id",
        weights: Literal["precision"] | None = None,
        bootstrap: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> Table:
        """Show regressions of CARs side by side: one column per formula, standard errors in brackets.

        Parameters
        ----------
        *formulas : str
            One per model, such as ``"car ~ stance"`` and ``"car ~ stance + log_size"``.
        window, cluster, weights
            As for `StudyResult.regress`.
        bootstrap : bool
            Whether p-values, and the stars of `Table.to_latex`, are those of `marketimpact.wild_cluster_bootstrap`,
            for few clusters of one kind.
        labels : dict of str to str, optional
            Term or column -> words for readers, such as ``{"log_size": "Log market value"}``.

        Returns
        -------
        Table
            Its ``frame`` has one row per model and term: ``model, formula, term, coef, se, t, df, p, p_wild, valid,
            ci_low, ci_high, n_varying_clusters, n_events, r2`` and ``n_clusters_<column>``; `p_wild` with `bootstrap`
            only. Coefficients are in the unit of the response, CARs are fractions; the table shows them in percent.
            `df` is the number of clusters less one; in two ways the smaller of the two numbers less one, min(G) - 1.
            `valid` says whether enough clusters identify the coefficient for its p-value: others get no stars. Notes
            beneath repeat the warnings of `StudyResult.regress`.

        Raises
        ------
        SpecificationError
            Without a formula, of groups, for a bootstrap in two ways, for regressors that are combinations of others,
            and as `StudyResult.regress` does.
        """
        if not formulas:
            raise SpecificationError("show.regress was given no formula. Write one per model, such as 'car ~ stance'.")
        if self._group_columns:
            raise SpecificationError(
                f"regress takes the events of all groups together. Use result.show.regress with "
                f"{self._group_columns[0]} in the formula, or result.where(...).show.regress for one group."
            )
        columns = regressions.cluster_columns(cluster)
        if bootstrap and len(columns) > 1:
            raise SpecificationError(
                f"cluster={cluster!r}: the wild cluster bootstrap is for clusters of one kind. Name one column, or "
                "leave bootstrap=True out."
            )
        window = check_window(window, "window")
        frame = self._result.car(*window)
        models = []
        for position, formula in enumerate(formulas, start=1):
            fitted, messages = regressions.across_events(formula, frame, cluster, weights)
            models.append(FittedModel(f"({position})", formula, fitted, tuple(columns), tuple(messages), bootstrap))
        market = self._result.market
        table = regression_table(models, window=window, weights=weights, unit=market.unit, labels=labels or {})
        return replace(table, notes=(*table.notes, SIMULATED_TABLE)) if market.simulated else table

    def _names(self, frame: pl.DataFrame) -> list[str]:
        """Choose the columns that name events: symbol and day where these tell them apart, else their identifier."""
        found = [name for name in ("symbol", "name", "date") if name in frame.columns]
        keys = [name for name in ("symbol", "date") if name in found]
        tells_apart = not frame.select(keys).is_duplicated().any()
        return [*self._group_columns, *(found if tells_apart else ["event_id", *found[1:]])]

    def __repr__(self) -> str:
        """List the tables."""
        return (
            "Show: .test(0, 1), .car(0, 1), .caar(), .single_tests(0, 1), .attrition(), .estimates(), "
            '.regress("car ~ stance", window=(0, 1)), or (frame)'
        )


@dataclass(frozen=True, slots=True, repr=False)
class Plot:
    """Charts of a result: `path` and `firms`; ``result.plot()`` draws the path."""

    _result: Questions

    def __call__(self, first: int | None = None, last: int | None = None) -> Any:
        """Draw the CAAR path with its band; see `path`."""
        return self.path(first, last)

    def path(self, first: int | None = None, last: int | None = None, *, weights: str | None = None) -> Any:
        """Draw the CAAR path from `first` to `last` with its band in Altair; the event window by default.

        A path that begins before session -1 is 0 at its close. `weights` is a column of the events, as in
        `StudyResult.caar`.
        """
        result, base = self._result, path_base(self._result, first, last)
        path = result.caar(first, last, base=base, weights=weights)
        end = path.drop_nulls("caar").tail(1)
        finding = [
            f"Mean abnormal return {percent(row['caar'])} at session {row['tau']} "
            f"(95% interval {interval(row['ci_low'], row['ci_high'])})"
            for row in end.iter_rows(named=True)
        ]
        weighted = "" if weights is None else f", weighted by {weights}"
        return charts.caar_path(
            path,
            title=finding[0] if finding else "No event has a return in this window",
            subtitle=f"{path_measure(base)}; {title(result)}{weighted}",
            simulated=result.market.simulated,
        )

    def firms(self, first: int, last: int, *, by: str | None = None, level: float = 0.95) -> Any:
        """Draw a dot and an interval for the CAR of every event in Altair, by size.

        Parameters
        ----------
        first, last : int
            The window.
        by : str, optional
            Column of the events whose values are the groups.
        level : float
            Confidence level of the intervals: those of each event's own primary test, from the volatility known the
            evening before (`se_filtered` of `StudyResult.car`), or from `se` where that is unknown.

        Raises
        ------
        SpecificationError
            For a column the events do not have, a level outside 0 to 1, and where no event has a CAR.
        """
        frame = self._result.car(first, last).drop_nulls("car")
        if by is not None and not (by in self._result.events.columns and by in frame.columns):
            raise unknown_column(f"by={by!r}", by, self._result.events.columns)
        if by is not None:
            require_labels(f"by={by!r}", frame[by])
        if not 0 < level < 1:
            raise SpecificationError(f"level={level} must lie between 0 and 1, such as 0.95.")
        if frame.is_empty():
            raise SpecificationError(f"No event has a return in {[first, last]}, so there is nothing to draw.")
        intervals = single_intervals(self._result.sample(first, last), level)
        drawn = (
            frame.hstack(intervals)
            .select(
                _labels(frame).alias("label"),
                (pl.col(by).cast(pl.String).fill_null("none") if by else pl.lit("events")).alias("group"),
                "car",
                "low",
                "high",
                *(["true_car"] if "true_car" in frame.columns else []),
            )
            .sort("group", "car", "label", descending=[False, True, False])
        )
        ends = drawn.sort("car", descending=True)
        named = [f"{row['label']} {percent(row['car'])}" for row in ends.iter_rows(named=True)]
        return firm_chart.firm_effects(
            drawn,
            title=", ".join(dict.fromkeys([named[0], named[-1]])),
            subtitle=f"CAR over {[first, last]}, {level:.0%} interval",
            simulated=self._result.market.simulated,
        )

    def __repr__(self) -> str:
        """List the charts."""
        return 'Plot: .path(-10, 10), .firms(0, 1, by="role"); .save("chart.html") keeps a chart'


def _weighted_by(weights: str | None) -> str:
    """Name the weights in a heading."""
    return "" if weights is None else f", weighted by {weights},"


def _labels(frame: pl.DataFrame) -> pl.Series:
    """Label every event: by its firm where each has one event, else by its identifier."""
    if "name" in frame.columns and frame["symbol"].is_unique().all():
        return frame.select(pl.format("{} ({})", pl.col("name").fill_null("–"), "symbol")).to_series()
    return frame["symbol"] if frame["symbol"].is_unique().all() else frame["event_id"]
