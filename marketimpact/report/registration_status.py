"""Mark every table as registered or exploratory: the one place that decides which it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from marketimpact.core.own_columns import SUFFIX
from marketimpact.report.blocks import ReportTable, Section

__all__ = ["DESCRIPTIVE", "EXPLORATORY", "REGISTERED", "STATUS_COLUMN", "RegisteredAnalysis"]

Window = tuple[int, int]

REGISTERED, EXPLORATORY, DESCRIPTIVE = "registered", "exploratory", "descriptive"
#: Column of tables as CSV and Parquet.
STATUS_COLUMN = "registration_status"
#: Tables of the primary test: of the brief, of the section on tests, and the frame `tests`.
PRIMARY_TABLES = frozenset({"short", "tests.primary", "tests.windows", "tests"})
#: Tables of facts, inputs and checks, without a result.
DESCRIPTIVE_TABLES = frozenset({
    "announced", "reached", "around", "left-out", "doubts", "record", "events", "estimates", "donors", "attrition",
    "findings", "price_repairs",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class RegisteredAnalysis:
    """Hold what a registration declares, for marking the tables of a result.

    Attributes
    ----------
    hash : str
        SHA-256 of the registration.
    registered_on : str
        Its date, in ISO 8601.
    windows : tuple of (int, int)
        Windows of the registered tests.
    groups : tuple of str
        Registered groups; empty where each announcement has its own targets.
    differences : tuple of str
        What the study changes, such as ``study.title: "A" -> "B"``; with any of them nothing is registered.
    n_events : dict
        Registered events by group.
    simulated : bool, optional
        Whether it was registered on simulated prices; None where that is not known.
    date_given : bool
        Whether somebody gave the date of registration by hand.
    notes : tuple of str
        Sentences on how the run differs from what was registered, such as how many of its events are used.
    prices : dict
        What it records of the prices it was made with, such as their last date and fingerprint.
    """

    hash: str
    registered_on: str
    windows: tuple[Window, ...]
    groups: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    n_events: Mapping[str, int] = field(default_factory=dict)
    simulated: bool | None = None
    date_given: bool = False
    notes: tuple[str, ...] = ()
    prices: Mapping[str, Any] = field(default_factory=dict)

    def status(
        self, table: str, *, role: str = "primary", window: Window | None = None, group: str | None = None
    ) -> str:
        """Decide whether a table, or a row of it, is registered, exploratory, or descriptive.

        Parameters
        ----------
        table : str
            Name of a frame, or a section's id; with a dot the kind of a table in it.
        role : str
            Role of the test: *primary*, *robustness* or *other*.
        window : tuple of int, optional
            Its window; None where the table has only windows of the study.
        group : str, optional
            Its group; None where the table has only groups of the study.

        Returns
        -------
        str
            *registered*: the primary test of a registered group in a registered window, unless the study differs from
            its registration. *descriptive*: facts, inputs and checks. *exploratory*: everything else.
        """
        if table in DESCRIPTIVE_TABLES:
            return DESCRIPTIVE
        declared = (window is None or window in self.windows) and (
            group is None or not self.groups or group in self.groups
        )
        if table in PRIMARY_TABLES and role == "primary" and declared and not self.differences:
            return REGISTERED
        return EXPLORATORY

    def sentence(self, windows: Sequence[Window]) -> str:
        """Write what is registered and what is not, for results over `windows`, and which of its events are used."""
        return " ".join([self._what_is_registered(windows), *self.notes])

    def _what_is_registered(self, windows: Sequence[Window]) -> str:
        lead = f"Registration {self.hash[:12]} of {self.registered_on}{' (date given by hand)' * self.date_given}"
        if self.differences:
            changed = ", ".join(difference.partition(": ")[0] for difference in self.differences)
            return f"{lead}: everything here is exploratory, since the study differs from it in {changed}."
        shown = [list(one) for one in windows if self.status("short", window=one) == REGISTERED]
        if not shown:
            return f"{lead}: everything here is exploratory, since none of its windows is shown."
        return (
            f"{lead}: the primary tests of group means over {', '.join(map(str, shown))} are registered; everything "
            "else, such as single firms and other tests, is exploratory."
        )

    def mark_sections(self, sections: Sequence[Section], windows: Sequence[Window]) -> list[Section]:
        """Write the status of each table into its caption, and of charts into the words of their section."""
        return [self._mark_section(section, windows) for section in sections]

    def mark_tables(self, tables: Mapping[str, pl.DataFrame], group: str | None) -> dict[str, pl.DataFrame]:
        """Add the column ``registration_status`` to every frame; `group` names the column of groups."""
        return {name: self._mark_frame(name, frame, group) for name, frame in tables.items()}

    def _mark_section(self, section: Section, windows: Sequence[Window]) -> Section:
        blocks = tuple(
            (heading, figures, tuple(self._mark_table(section.id, table, windows) for table in tables))
            for heading, figures, tables in section.blocks
        )
        words = section.words
        if any(figures for _, figures, _ in section.blocks):
            # charts show single firms, paths and prices, never the primary test alone
            status = DESCRIPTIVE if self.status(section.id) == DESCRIPTIVE else EXPLORATORY
            words = (*words, f"Charts: {status}.")
        return replace(section, blocks=blocks, words=words)

    def _mark_table(self, section: str, table: ReportTable, windows: Sequence[Window]) -> ReportTable:
        name = f"{section}.{table.kind}" if table.kind else section
        by_status: dict[str, list[str]] = {}
        for window in windows if name == "short" else [None]:
            by_status.setdefault(self.status(name, window=window), []).append(str(list(window or ())))
        # one status for all windows, or which window has which
        label = "; ".join(by_status if len(by_status) == 1 else (f"{s}: {', '.join(w)}" for s, w in by_status.items()))
        return replace(table, caption=f"{table.caption} ({label})" if table.caption else label.capitalize())

    def _mark_frame(self, name: str, frame: pl.DataFrame, group: str | None) -> pl.DataFrame:
        frame = frame.rename({STATUS_COLUMN: f"{STATUS_COLUMN}{SUFFIX}"}, strict=False)
        if name != "tests":
            return frame.with_columns(pl.lit(self.status(name)).alias(STATUS_COLUMN))
        groups = frame[group].cast(pl.String) if group in frame.columns else [None] * frame.height
        rows = zip(frame["role"], frame["first"], frame["last"], groups, strict=True)
        marks = [self.status(name, role=role, window=(a, b), group=own) for role, a, b, own in rows]
        return frame.with_columns(pl.Series(STATUS_COLUMN, marks, pl.String))
