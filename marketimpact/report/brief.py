"""The brief: what happened at each announcement, on one screen."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.core.arguments import require
from marketimpact.core.csv_writer import csv_text
from marketimpact.core.outputs import write_together
from marketimpact.display import brief_chart
from marketimpact.display.formats import SHORT, SIMULATED_TABLE, count, short_label, short_percent
from marketimpact.display.renderer import to_png, to_svg
from marketimpact.display.scales import interval_domain
from marketimpact.errors import SpecificationError
from marketimpact.report import brief_frames, brief_text
from marketimpact.report.blocks import Figure, Section
from marketimpact.report.brief_table import SizeTable, size_table
from marketimpact.report.chart_titles import firms_finding, short_name
from marketimpact.report.content import ReportContent, Window, report_content
from marketimpact.report.leg_table import Legs, leg_columns, legs_of
from marketimpact.report.templates import template
from marketimpact.study.group_lines import group_lines
from marketimpact.study.result import StudyResult

__all__ = ["NO_EVENTS", "Brief", "brief", "brief_of", "has_brief", "opening"]

#: Announcements with a panel of their own, and firms in each; with more, one panel shows the largest CARs.
MOST_PANELS, MOST_FIRMS = 4, 24
#: Sentences shown; of more announcements those with the largest moves are kept.
MOST_SENTENCES = 8
#: Width of the plot in pixels where there is one panel, and where there are several.
WIDE, NARROW = 250, 170
WIDTH = 80
#: Characters of a firm's name before a date.
SHORT_DATED = 16
NO_EVENTS = "No event could be used, so nothing was estimated. “What was left out” says why."
_SUFFIXES = (".svg", ".png", ".html", ".csv")


@dataclass(frozen=True, eq=False, repr=False)
class Brief:
    """The answer of a result on one screen; shown as text on a terminal and as HTML in a notebook.

    Attributes
    ----------
    title : str
        Its heading.
    windows : tuple of (int, int)
        Windows shown side by side: day 0 and the primary window, which is the last.
    firms : polars.DataFrame
        One row per event: ``announcement`` (its number), ``announcement_id, group, event_id, symbol, firm, date, leg``;
        ``ret, car, low, high, p`` over the primary window and the same with ``_day0``; ``p_family`` (corrected for all
        firms of the announcement), ``n_firms, at_limit, rank, n_sessions, largest``. Fractions. Where prices have
        opens, of day 0 also ``ret_session_leg, car_session_leg``, the same of *overnight* and *day*, and ``legs_note``,
        why one is missing; their CARs are against the benchmarks of legs.
    groups : polars.DataFrame
        One row per announcement, group and window: ``ret`` and ``caar`` (means, fractions), and the primary test.
    nearby : polars.DataFrame
        Other announcements in the primary windows.
    sentences : list of (str, str)
        Headline and sentence of each announcement.
    may, may_not : list of str
        What may and may not be said.
    source : str
        Where the numbers come from; under every export.
    legs : Legs or None
        Mean return and abnormal return of day 0 overnight and in the day, where prices have opens; its ``frame`` holds
        them by announcement and group.
    status : str
        What of it is registered and what exploratory; empty where the study is not registered.
    factor_alarm : str
        Whether a factor that the model leaves out lay far out on day 0, and what it adds; empty without candidates.
    donor_news : str
        Donors whose own move on day 0 carries an effect; empty where there are none.
    """

    title: str
    windows: tuple[Window, ...]
    firms: pl.DataFrame
    groups: pl.DataFrame
    nearby: pl.DataFrame
    sentences: list[tuple[str, str]]
    may: list[str]
    may_not: list[str]
    source: str
    simulated: bool
    n_announcements: int
    legs: Legs | None = None
    status: str = ""
    factor_alarm: str = ""
    donor_news: str = ""

    @property
    def origin(self) -> str:
        """Source and status, as they stand under charts and beside rows."""
        return " ".join(filter(None, (self.source, self.status)))

    @property
    def nearby_sentences(self) -> list[str]:
        """Sentences on other announcements in the primary window of each of those shown."""
        shown = [n for n, _, _ in self.shown]
        nearby = self.nearby.filter(pl.col("announcement").is_in(shown))
        return brief_text.nearby_sentences(nearby, self.n_announcements)

    @cached_property
    def table(self) -> SizeTable:
        """Mean abnormal return of every group and announcement, in both windows."""
        return size_table(self.groups, self.windows)

    @cached_property
    def panels(self) -> list[tuple[dict[str, Any], str]]:
        """Vega-Lite of the panels of the chart, each with its alternative text."""
        drawn = self.firms.drop_nulls("car") if self.firms.width else self.firms
        if drawn.is_empty():
            return []
        parts = drawn.partition_by("announcement", maintain_order=True)
        if len(parts) > MOST_PANELS or max(part.height for part in parts) > MOST_FIRMS:
            return [
                self._panel(
                    _extremes(drawn), drawn, f"{min(MOST_FIRMS, drawn.height)} largest of {drawn.height:,} events:"
                )
            ]
        named = len(parts) > 1
        return [self._panel(part, drawn, f"{part['announcement'][0]}." if named else "") for part in parts]

    def _panel(self, part: pl.DataFrame, drawn: pl.DataFrame, lead: str) -> tuple[dict[str, Any], str]:
        several = part["announcement"].n_unique() > 1
        frame = part.with_columns(pl.Series("label", _labels(part, dated=several), pl.String))
        finding = firms_finding(part)
        title = f"{lead} {finding}".strip()
        filled = f"CAR {list(self.windows[-1])}, 95% interval" + ("; ring: day 0" if len(self.windows) > 1 else "")
        columns = ["label", "group", "car", "low", "high", *(["car_day0"] if "car_day0" in part.columns else [])]
        panel = brief_chart.brief_panel(
            frame.select(columns),
            title=title,
            subtitle=filled,
            groups=self._groups,
            domain=interval_domain(drawn),
            simulated=self.simulated,
            width=WIDE if part.height == drawn.height else NARROW,
        )
        alt = (
            f"Cumulative abnormal returns over {list(self.windows[-1])} of {count(part.height, 'event')} with 95% "
            f"intervals; {finding}."
        )
        return panel, alt

    @property
    def moves(self) -> dict[int, str]:
        """Return of the firm that each sentence is about, by the number of its announcement, for narrow screens."""
        if self.firms.is_empty():
            return {}
        day0 = [pl.col("ret_day0")] if "ret_day0" in self.firms.columns else []
        moves = self.firms.filter("largest").select("announcement", pl.coalesce(*day0, "ret"))
        return {n: short_percent(move) for n, move in moves.iter_rows()}

    @property
    def shown(self) -> list[tuple[int, str, str]]:
        """Number, headline and sentence of the announcements shown: of many those with the largest moves."""
        numbered = [(n, *pair) for n, pair in enumerate(self.sentences, 1)]
        if len(numbered) <= MOST_SENTENCES:
            return numbered
        move = "ret_day0" if "ret_day0" in self.firms.columns else "ret"
        movers = self.firms.filter("largest").sort(pl.col(move).abs(), descending=True, nulls_last=True)
        kept = set(movers["announcement"].head(MOST_SENTENCES))
        return [one for one in numbered if one[0] in kept]

    @property
    def hidden(self) -> str:
        """A sentence on how many announcements `shown` leaves out; empty where it has all."""
        n, total = len(self.shown), self.n_announcements
        return f"{n} of {total:,} announcements are shown: those with the largest moves." if n < total else ""

    @property
    def colours(self) -> dict[str, str]:
        """Colour of each group in the chart."""
        return brief_chart.group_colours(self._groups) if len(self._groups) > 1 else {}

    @property
    def _groups(self) -> list[str]:
        return [str(name) for name in self.groups["group"].unique(maintain_order=True)]

    def chart(self) -> dict[str, Any]:
        """Write the whole chart as Vega-Lite, with its legend and the line that names the source."""
        lines = textwrap.wrap(self.origin, 100 if len(self.panels) > 1 else 64)
        return brief_chart.brief_chart(
            [panel for panel, _ in self.panels], title=self.title, groups=self._groups, source=lines
        )

    @cached_property
    def figures(self) -> list[Figure]:
        """Draw one figure per panel, for pages that arrange them by their width."""
        return [Figure.of(brief_chart.single_panel(panel), alt) for panel, alt in self.panels]

    def html(self, *, live: bool = False) -> str:
        """Write the brief as a fragment of HTML with styles of its own and without scripts.

        Parameters
        ----------
        live : bool
            Whether charts carry their Vega-Lite, for a page that draws them with tooltips.
        """
        return template("brief.html.j2").render(
            brief=self, live=live, simulated_notice=SIMULATED_TABLE, no_events=NO_EVENTS
        )

    def save(self, path: str | Path) -> Path:
        """Write the brief to a file; its suffix chooses what.

        Parameters
        ----------
        path : str or Path
            ``.svg`` and ``.png``: the chart; ``.html``: the fragment; ``.csv``: a row per firm. Each names its source.

        Raises
        ------
        SpecificationError
            For another suffix, and for a chart where no event has a return.
        """
        target = Path(path)
        if target.suffix not in _SUFFIXES:
            raise SpecificationError(
                f"{target.name} ends in {target.suffix!r}. A brief is written as .svg or .png (its chart), .html or "
                ".csv."
            )
        if target.suffix in (".svg", ".png") and not self.panels:
            raise SpecificationError("No event has a return in the primary window, so there is no chart to draw.")
        written = {
            ".svg": lambda: to_svg(self.chart()).encode(),
            ".png": lambda: to_png(self.chart()),
            ".html": lambda: self.html().encode(),
            ".csv": lambda: csv_text(self.firms.with_columns(pl.lit(self.origin).alias("source"))).encode(),
        }[target.suffix]()
        with write_together(target.parent) as folder:
            (folder / target.name).write_bytes(written)
        return target

    def short_text(self) -> str:
        """Write what happened as text of 80 columns: sentences and table, without what may and may not be said."""
        return "\n".join(self._short_lines())

    def __repr__(self) -> str:
        """Write the brief as text of 80 columns."""
        lines = self._short_lines()
        if self.nearby_sentences:
            lines += ["", "What else happened in the primary window"]
            lines += [line for sentence in self.nearby_sentences for line in _wrapped(sentence, "  ")]
        for heading, sentences in (("May be said", self.may), ("May not be said", self.may_not)):
            lines += [heading, *(line for each in sentences for line in _wrapped(each, "  - ", "    "))]
        return "\n".join([*lines, *_wrapped(self.source)])

    def _short_lines(self) -> list[str]:
        lines = [*_wrapped(self.title), *(_wrapped(SIMULATED_TABLE) if self.simulated else []), ""]
        for n, headline, sentence in self.shown:
            numbered = f"{n}. {headline}" if self.n_announcements > 1 else headline
            lines += [] if numbered == self.title else _wrapped(numbered)
            lines += [*_wrapped(sentence, "   " if self.n_announcements > 1 else ""), ""]
        lines += [self.hidden, ""] if self.hidden else []
        lines += [] if self.sentences else [NO_EVENTS]
        lines += group_lines(self.groups, self.windows)
        lines += [line for told in (self.factor_alarm, self.donor_news, self.status) for line in _wrapped(told)]
        if self.legs is None:
            return lines
        notes = [line for note in self.legs.notes for line in _wrapped(note + ".")]
        return [*lines, "", *self.legs.lines(), *notes]

    def _repr_html_(self) -> str:
        return self.html()


def _wrapped(text: str, first: str = "", later: str | None = None) -> list[str]:
    indent = first if later is None else later
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=indent, break_long_words=False)


def _labels(firms: pl.DataFrame, *, dated: bool) -> list[str]:
    """Label every event by its firm's name, with what is needed to tell labels apart."""
    choices = (("firm",), ("firm", "date"), ("firm", "date", "announcement"))
    for columns in choices[1:] if dated else choices:
        most = SHORT_DATED if len(columns) > 1 else SHORT
        rows = [
            [short_label(short_name(firm), most), *map(str, more)] for firm, *more in firms.select(columns).iter_rows()
        ]
        labels = [" ".join(row) for row in rows]
        if len(set(labels)) == len(labels):
            return labels
    return firms["event_id"].to_list()


def _extremes(firms: pl.DataFrame) -> pl.DataFrame:
    """Keep the events with the largest CARs of either sign, in order of size."""
    size = pl.col("car").abs().rank("ordinal", descending=True)
    return firms.filter(size <= MOST_FIRMS).sort("car", descending=True)


def brief(
    result: StudyResult,
    *,
    title: str | None = None,
    windows: Sequence[Window] | None = None,
    group: str | None = None,
    chronology: pl.DataFrame | None = None,
) -> Brief:
    """Summarise a result on one screen: who moved at each announcement, by how much, and whether significantly.

    Parameters
    ----------
    result : StudyResult
        What to summarise; of simple returns.
    title : str, optional
        Heading.
    windows : sequence of (int, int), optional
        The first is the primary window, declared before looking; ``(0, 1)`` by default.
    group : str, optional
        Column of the events that names the groups; "group" where there is one, else all firms are one group.
    chronology : polars.DataFrame, optional
        Announcements among which to look for others in the same windows.

    Returns
    -------
    Brief
        Text on a terminal, HTML in a notebook; its frames hold every number. ``.save("brief.svg")`` exports it.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> market = mi.Market.load(mi.securities().filter(pl.col("symbol") == "NVDA"), mi.SamplePrices())
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> result = mi.EventStudy().run(mi.align(h20, market, symbols=["NVDA"]), market)
    >>> mi.brief(result).firms.select("symbol", "date", "n_sessions").row(0, named=True)
    {'symbol': 'NVDA', 'date': datetime.date(2025, 8, 12), 'n_sessions': 250}
    """
    require(result, "StudyResult", "result")
    return brief_of(report_content(result, title=title, windows=windows, group=group, chronology=chronology))


def has_brief(content: ReportContent) -> bool:
    """Check whether the result is about returns, and not about volumes or variances."""
    return not content.result.market.unit.startswith("log ")


def opening(content: ReportContent, made: Brief | None) -> Section:
    """Make the first section of a report from its brief, which HTML shows in its place; None where there is none."""
    if made is None:
        about = f"This result is about {content.result.market.unit}: see “Is it statistically significant?”."
        return Section("short", "In short", (about,))
    if not made.sentences:
        return Section("short", "In short", (NO_EVENTS,))
    lead = [f"{n}. {headline}: {sentence}" for n, headline, sentence in made.shown]
    words = [
        *lead,
        made.hidden,
        made.factor_alarm,
        made.donor_news,
        *(f"What else happened in the same days: {one}" for one in made.nearby_sentences),
    ]
    words += [f"May be said: {one}" for one in made.may] + [f"May not be said: {one}" for one in made.may_not]
    words += [made.source, made.status]
    block = ("", tuple(made.figures), (made.table.plain(), *([made.legs.table()] if made.legs else [])))
    return Section("short", "In short", tuple(filter(None, words)), (block,))


def brief_of(content: ReportContent) -> Brief:
    """Make the brief of a report's content; what the report has computed already is reused."""
    if not has_brief(content):
        raise SpecificationError(
            f"This market holds {content.result.market.unit}, and a brief names returns as traded. Run the study on "
            "returns, or read result.show.test(0, 1)."
        )
    windows = brief_frames.brief_windows(content)
    firms = brief_frames.firms_frame(content)
    groups = brief_frames.groups_frame(content, firms)
    if (of_legs := leg_columns(content)) is not None:
        firms = firms.join(of_legs, on="event_id", how="left", validate="1:1", maintain_order="left")
    nearby = brief_frames.nearby_frame(content)
    sentences = [
        (announcement.headline, brief_text.announcement_sentence(firms.filter(announcement=n), windows))
        for n, announcement in enumerate(content.announcements, 1)
    ]
    return Brief(
        title=content.title,
        windows=windows,
        firms=firms.drop("_order", strict=False),
        groups=groups,
        nearby=nearby,
        sentences=sentences,
        may=brief_text.conclusions(content, firms, groups) if groups.height else [],
        may_not=brief_text.non_conclusions(content, groups, nearby),
        source=brief_text.source_text(content),
        simulated=content.result.market.simulated,
        n_announcements=len(content.announcements),
        legs=legs_of(content),
        status="" if content.registration is None else content.registration.sentence(windows),
        factor_alarm=content.factor_alarm,
        donor_news=content.donor_news,
    )
