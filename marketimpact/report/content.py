"""Content of a report: a result divided into announcements, groups and windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from marketimpact.analyses.factor_alarm import find_alarm
from marketimpact.analyses.legs import CarByLeg
from marketimpact.analyses.specification_curve.curve import SpecificationCurve
from marketimpact.analyses.specification_curve.joint_test import JointTest
from marketimpact.core.own_columns import require_labels, unknown_column
from marketimpact.core.text import listed
from marketimpact.errors import SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.inference import TESTS
from marketimpact.report.legs import LEG_CHOICES, cars_by_leg
from marketimpact.report.registration_status import RegisteredAnalysis
from marketimpact.study.donors import donor_news_text
from marketimpact.study.headline import Headline, headline
from marketimpact.study.result import StudyResult
from marketimpact.study.summary import few_donors_text, headline_window

__all__ = ["AnnouncementResult", "GroupResult", "ReportContent", "report_content"]


Window = tuple[int, int]
#: Headline of events without an announcement.
ALL_EVENTS = "All events"
#: Announcements with charts and tables of their own, at most.
MOST_DETAILED = 12


@dataclass(frozen=True, eq=False)
class EveryCar:
    """CARs of all events of a report, computed once for each window, from which announcements and groups take theirs.

    Attributes
    ----------
    result : StudyResult
        The result of all events.
    """

    result: StudyResult
    _frames: dict[Window, pl.DataFrame] = field(default_factory=dict, repr=False)

    def over(self, window: Window) -> pl.DataFrame:
        """Compute the CARs over a window, as `StudyResult.car` does."""
        if window not in self._frames:
            self._frames[window] = self.result.car(*window)
        return self._frames[window]

    def of(self, part: StudyResult, window: Window) -> pl.DataFrame:
        """Select the CARs over a window of the events of a part of the result."""
        return self.over(window)[[self._rows[name] for name in part.events["event_id"]]]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.result.events["event_id"])}


@dataclass(frozen=True, eq=False)
class GroupResult:
    """One group of events, with its tests and CARs computed once for sentences, charts and tables.

    Attributes
    ----------
    name : str
        Name shown.
    value : object
        Value in the column of the events.
    result : StudyResult
        The result of its events.
    every_car : EveryCar
        CARs of all events of the report.
    """

    name: str
    value: Any
    result: StudyResult
    every_car: EveryCar = field(repr=False)
    _tests: dict[Window, pl.DataFrame] = field(default_factory=dict, repr=False)
    _primary_tests: dict[Window, Headline | None] = field(default_factory=dict, repr=False)
    _cars: dict[Window, pl.DataFrame] = field(default_factory=dict, repr=False)

    @cached_property
    def path(self) -> pl.DataFrame:
        """Compute the CAAR over the whole event window, session by session."""
        return self.result.caar()

    def test(self, window: Window) -> pl.DataFrame:
        """Compute the default tests of the mean CAR over a window."""
        if window not in self._tests:
            self._tests[window] = self.result.test(*window)
        return self._tests[window]

    def primary_test(self, window: Window) -> Headline | None:
        """Read the primary test of a window; None where no event has a return."""
        if window not in self._primary_tests:
            self._primary_tests[window] = headline(self.test(window), test_label)
        return self._primary_tests[window]

    def cars(self, window: Window) -> pl.DataFrame:
        """Compute the CARs over a window, of the events that have one."""
        if window not in self._cars:
            self._cars[window] = self.every_car.of(self.result, window).drop_nulls("car")
        return self._cars[window]

    def caar(self, window: Window) -> float | None:
        """Compute the mean of the CARs over a window; None where no event has a return."""
        cars = self.cars(window)["car"]
        return float(cars.to_numpy().mean()) if len(cars) else None


@dataclass(frozen=True, slots=True)
class AnnouncementResult:
    """One announcement: its facts, the result of its events, and their groups in order.

    Attributes
    ----------
    key : str
        ``announcement_id``, or "events" where events have no announcement.
    facts : dict
        The announcement's columns; empty where there are none.
    result : StudyResult
        The result of its events.
    groups : list of GroupResult
        Its groups in order.
    """

    key: str
    facts: dict[str, Any]
    result: StudyResult
    groups: list[GroupResult]

    @property
    def headline(self) -> str:
        """Get the headline of the announcement."""
        return str(self.facts.get("headline") or ALL_EVENTS)


@dataclass(frozen=True)
class ReportContent:
    """Everything the sections of a report need; `nearby` keeps what was found in the chronology, by announcement."""

    result: StudyResult
    title: str
    question: str
    windows: tuple[Window, ...]
    announcements: list[AnnouncementResult]
    group: str | None
    chronology: pl.DataFrame | None
    curve: SpecificationCurve | None
    joint: JointTest | None
    every_car: EveryCar = field(repr=False)
    warnings: tuple[str, ...] = ()
    leg_benchmark: str = "leg_benchmark"
    registration: RegisteredAnalysis | None = None
    nearby: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)

    @property
    def primary(self) -> Window:
        """Get the primary window, which is declared first."""
        return self.windows[0]

    @property
    def record(self) -> dict[str, str]:
        """Get the record of the run, with the registration where there is one."""
        registration = self.registration
        own = (
            {}
            if registration is None
            else {
                "registration_sha256": registration.hash,
                "registered_on": registration.registered_on,
                "registration": registration.sentence(self.windows),
                **{f"registration_difference_{n}": text for n, text in enumerate(registration.differences, start=1)},
            }
        )
        return {**self.result.record, **own}

    @cached_property
    def detailed(self) -> list[AnnouncementResult]:
        """Choose the announcements shown in detail: all, or of many those with the largest CAR of either sign."""
        if len(self.announcements) <= MOST_DETAILED:
            return self.announcements
        sizes = [
            self.every_car.of(one.result, self.primary)["car"].abs().fill_null(0.0).to_numpy().max(initial=0.0)
            for one in self.announcements
        ]
        largest = set(sorted(range(len(sizes)), key=lambda n: -sizes[n])[:MOST_DETAILED])
        return [one for n, one in enumerate(self.announcements) if n in largest]

    @cached_property
    def legs(self) -> tuple[CarByLeg, list[str]] | None:
        """Run the study on each leg of day 0, with warnings about opens; None without legs, or if not wanted."""
        return None if self.leg_benchmark == "none" else cars_by_leg(self.result, self.leg_benchmark)

    @cached_property
    def factor_alarm(self) -> str:
        """A sentence on factors that the model leaves out; empty without candidates, and for results without day 0."""
        first, last = self.result.estimation.settings.event
        if not first <= 0 <= last or self.result.events.is_empty() or self.result.market.unit.startswith("log "):
            return ""
        alarm = find_alarm(self.result)
        return "" if alarm is None else alarm.line

    @cached_property
    def donor_news(self) -> str:
        """Sentences on donors whose own move on day 0 carries an effect, and on few donors; empty without either."""
        news, few = donor_news_text(self.result), few_donors_text(self.result)
        if not few:
            return news
        return f"{news} {few[0].upper()}{few[1:]}." if news else f"Donors: {few}."

    @property
    def detail_note(self) -> str:
        """A sentence on the announcements that `detailed` leaves out; empty where it has all."""
        shown, all_of_them = len(self.detailed), len(self.announcements)
        if shown == all_of_them:
            return ""
        return f"{shown} of {all_of_them:,} announcements are shown: those with the largest CARs. The tables have all."

    @cached_property
    def single_tests(self) -> dict[str, pl.DataFrame]:
        """Test every event by itself over the primary window, one family of tests per announcement (its key)."""
        return {one.key: one.result.single_tests(*self.primary) for one in self.announcements}

    def concat_groups(self, frame_of: Callable[[GroupResult], pl.DataFrame]) -> pl.DataFrame:
        """Concatenate a frame per group of every announcement, with the columns that name these."""
        if not self.announcements:
            return frame_of(GroupResult("All firms", None, self.result, self.every_car))
        schema = self.result.events.schema
        by = [name for name in ("announcement_id", self.group) if name and name in schema]
        frames = [
            frame_of(group).select(
                *[
                    pl.lit(value, dtype=schema[name]).alias(name)
                    for name, value in (("announcement_id", announcement.key), (self.group, group.value))
                    if name in by
                ],
                pl.exclude(by),
            )
            for announcement in self.announcements
            for group in announcement.groups
        ]
        return pl.concat(frames).sort(by, nulls_last=True, maintain_order=True) if by else pl.concat(frames)


def report_content(
    result: StudyResult,
    *,
    title: str | None = None,
    question: str | None = None,
    windows: Sequence[Window] | None = None,
    group: str | None = None,
    chronology: pl.DataFrame | None = None,
    curve: SpecificationCurve | None = None,
    joint: JointTest | None = None,
    warnings: Sequence[str] = (),
    registration: RegisteredAnalysis | None = None,
    legs: str = "leg_benchmark",
) -> ReportContent:
    """Divide a result into announcements and groups; see `write_report` for the parameters.

    With a `registration` every table is marked as registered or exploratory.
    """
    if legs not in LEG_CHOICES:
        raise SpecificationError(f"legs={legs!r}: choose from {listed(list(LEG_CHOICES))}.")
    column, every_car = group_column(result, group), EveryCar(result)
    return ReportContent(
        result=result,
        title=title or "Event study",
        question=question or "",
        windows=report_windows(result, windows),
        announcements=_announcement_results(every_car, column),
        group=column,
        chronology=chronology,
        curve=curve,
        joint=joint,
        every_car=every_car,
        warnings=tuple(dict.fromkeys(warnings)),
        leg_benchmark=legs,
        registration=registration,
    )


def group_column(result: StudyResult, group: str | None) -> str | None:
    """Choose the column that names the groups: the one given, else "group", else none."""
    columns = result.events.columns
    if group is not None and group not in columns:
        raise unknown_column(f"group={group!r}", group, columns)
    chosen = group or ("group" if "group" in columns else None)
    if chosen is not None:
        require_labels(f"group={chosen!r}", result.events[chosen])
    return chosen


def report_windows(result: StudyResult, windows: Sequence[Window] | None) -> tuple[Window, ...]:
    """Check the windows given; by default [0, 1] and [0, 0], as far as the event window reaches."""
    if windows:
        return tuple(check_window(window, "windows") for window in windows)
    first, last = result.estimation.settings.event
    return tuple(dict.fromkeys([headline_window(result), *([(0, 0)] if first <= 0 <= last else [])]))


def limit_hits(result: StudyResult) -> pl.DataFrame:
    """Find events whose close on day 0 was at the security's daily price limit: ``event_id, ret``."""
    day0 = result.abnormal_returns.filter(pl.col("tau") == 0).select("event_id", "symbol", "date", "ret")
    hits = result.market.limit_hits.select("symbol", "date")
    return day0.join(hits, on=["symbol", "date"], how="semi").select("event_id", "ret")


def firm_label(row: dict[str, Any]) -> str:
    """Write a firm's name and symbol, or the symbol alone."""
    return f"{row['name']} ({row['symbol']})" if row.get("name") else str(row["symbol"])


def test_label(test: str) -> str:
    """Write a test's name in words."""
    words = {
        "bmp_kp": "BMP, Kolari-Pynnönen adjusted",
        "patell_kp": "Patell, Kolari-Pynnönen adjusted",
        "portfolio_regression": "portfolio regression",
        "grank_t": "GRANK-T",
        "bmp": "BMP",
        "patell_scar": "Patell (SCAR form)",
        "cross_sectional_t": "cross-sectional t",
        "generalized_sign": "generalised sign",
        "crude_dependence": "crude dependence adjustment",
        "placebo_caar": "placebo dates",
        "date_means_t": "t of date means",
        "wild_cluster": "wild cluster bootstrap",
    }
    return words.get(test, test.replace("_", " ") if test in TESTS else test)


def _announcement_results(every_car: EveryCar, column: str | None) -> list[AnnouncementResult]:
    result, events = every_car.result, every_car.result.events
    if "announcement_id" not in events.columns:
        return [AnnouncementResult("events", {}, result, _groups(result, column, every_car))] if events.height else []
    order = ["announced_at", "announcement_id"] if "announced_at" in events.columns else ["announcement_id"]
    announcements = []
    for facts in events.unique("announcement_id", keep="first", maintain_order=True).sort(order).iter_rows(named=True):
        own = result.where(pl.col("announcement_id") == facts["announcement_id"])
        announcements.append(AnnouncementResult(facts["announcement_id"], facts, own, _groups(own, column, every_car)))
    return announcements


def _groups(result: StudyResult, column: str | None, every_car: EveryCar) -> list[GroupResult]:
    if column is None:
        return [GroupResult("All firms", None, result, every_car)]
    return [
        GroupResult(str(value) if value is not None else "without a group", value, part, every_car)
        for (value,), part in result.by(column).groups()
    ]
