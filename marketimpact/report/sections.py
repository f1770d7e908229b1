"""Sections of a report: frames of the result as tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from marketimpact.display.firm_chart import extremes
from marketimpact.display.formats import MISSING_TEXT, count, interval, number, p_value, percent, text
from marketimpact.display.scales import interval_domain
from marketimpact.estimation.attrition import REASONS
from marketimpact.events.exchange_names import exchange, named
from marketimpact.report.benchmarks import benchmarks_of
from marketimpact.report.blocks import Cell, ReportTable, Section
from marketimpact.report.brief_frames import returns_as_traded
from marketimpact.report.chart_titles import short_name
from marketimpact.report.content import (
    MOST_DETAILED,
    AnnouncementResult,
    GroupResult,
    ReportContent,
    firm_label,
    limit_hits,
    test_label,
)
from marketimpact.report.data_quality import findings_table, notes_used, repairs_used
from marketimpact.report.figures import (
    MOST_PATHS,
    firm_figure,
    path_figures,
    price_history_figure,
    trading_hours_figure,
)
from marketimpact.report.nearby_events import has_chronology, headlines, nearby_announcements
from marketimpact.report.specification_section import specification_section
from marketimpact.study.filtered_columns import single_intervals
from marketimpact.study.headline import Headline
from marketimpact.study.summary import path_base

__all__ = ["sections"]

CERTAINTY = {
    "sure": "sure",
    "likely": "likely: holds if made in the issuer's working hours",
    "assumed": "assumed: the neighbouring session is possible",
}
PHASES = {
    "pre_open": "before the open",
    "in_session": "trading",
    "lunch_break": "lunch break",
    "post_close": "after the close",
    "closed_day": "closed that day",
}
VERIFIED = {
    "seen": "date and substance seen in a published page",
    "partly_seen": "substance seen in a published page; the clock or the day was not",
    "recalled": "recalled, no page seen",
}
DATA_QUALITY = (
    "The prices were looked over before anything was computed from them. What is listed is probably wrong, unless "
    "something is known that the prices do not say; the numbers above use the prices all the same.",
)
HISTORY_NOTE = (
    "Each line is the mean of a group's securities, not adjusted for the market. The numbered lines are the first "
    "day 0 of each announcement, in the order of the table."
)
FIRM_MARKS = (
    "† significant at 5% by itself; ‡ also after correction for all firms of the announcement; neither: not "
    "significant.",
)
PICK_HINT = (
    "To pick a firm out, click it in the chart, or choose it or a group from the list below the chart; to show all "
    "again, click beside it or choose “everything”."
)
SINGLE_FIRM_NOTE = (
    "Return: as traded. AR: abnormal return of the session; CAR: its sum over the window. Interval and p (two-sided) "
    "are from the volatility known the evening before. “p, family”: corrected for looking at all these firms at once "
    "(Romano and Wolf, joint placebo dates). “Ratio”: variance known the evening before over that of the estimation "
    "window."
)
WINDOW_NOTE = (
    "CAAR: the mean of the events' CAR. Effect: the abnormal return that the primary test estimates; tests of "
    "standardised returns weigh CARs by one over their standard error. Interval, p (two-sided) and detectable effect "
    "are of that test. Detectable effect: the minimum, up or down, that it finds with 80% power at the 5% level; where "
    "the mean is not significant, smaller effects remain possible."
)
#: Announcements whose tests are shown without a click, and events that are listed where they were not used.
MOST_OPEN, MOST_ATTRITION = 4, 25
#: Events whose missing days and price limits are named under their table; of more a column has them.
MOST_FLAGS = 5
TRUE_EFFECT_NOTE = " “Put in”: the effect that the simulated prices were given."


def sections(content: ReportContent) -> list[Section]:
    """Make all sections but the summary, in order."""
    report_sections = [_announcement_section(content)] if "headline" in content.result.events.columns else []
    report_sections += (
        [_timing_section(content)] if {"announcement_id", "phase"} <= set(content.result.events.columns) else []
    )
    report_sections += [_firms_section(content), _paths_section(content), _tests_section(content)]
    report_sections += [section] if (section := specification_section(content.curve, content.joint)) else []
    if has_chronology(content) or any(announcement.facts.get("confounders") for announcement in content.announcements):
        report_sections.append(_nearby_section(content))
    report_sections.append(_attrition_section(content))
    if table := findings_table(content.result):
        report_sections.append(Section("doubts", "Data quality", DATA_QUALITY, (("", (), (table,)),)))
    return [*report_sections, _record_section(content)]


def _announcement_section(content: ReportContent) -> Section:
    rows = []
    for announcement in content.announcements:
        facts = announcement.facts
        link = facts.get("source_url")
        source = facts.get("source_publisher") or facts.get("source_title")
        rows.append(
            [
                announcement.headline,
                _time_text(facts),
                facts.get("stance"),
                facts.get("authority"),
                Cell(text(source), link if link and link.startswith(("https://", "http://")) else None),
                verified_text(facts),
                facts.get("confidence"),
                _anticipation_text(facts),
            ]
        )
    columns = ["announcement", "when", "stance", "authority", "source", "verified", "confidence", "anticipated"]
    figure = price_history_figure(content)
    words = (HISTORY_NOTE,) if figure else ()
    many = len(rows) > MOST_DETAILED
    caption = f"All {len(rows):,} announcements" if many else ""
    table = ReportTable.of(columns, rows, caption=caption, folded=many)
    block = ("", (figure,) if figure else (), (table,))
    return Section("announced", "What was announced", words, (block,))


def verified_text(facts: dict[str, Any]) -> str | None:
    """Say what of an announcement was read, in words; a word of one's own stays as it is."""
    word = facts.get("verification")
    if word == "partly_seen" and facts.get("first_reported_at") is not None:
        return "substance seen in a published page; the clock is that of the first report's feed"
    return VERIFIED.get(word or "", word)


def _time_text(facts: dict[str, Any]) -> str:
    instant, zone = facts.get("announced_at"), facts.get("time_zone")
    if instant is None:
        return text(None)
    local = pl.Series([instant], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone or "UTC")[0]
    if facts.get("time_precision") == "day":
        return f"{local:%Y-%m-%d}{_place_text(zone)}, time of day not known"
    precision = "about " if facts.get("time_precision") == "hour" else ""
    day = "" if local.date() == instant.date() else f"{local:%Y-%m-%d} "  # the issuer's date can be another one
    local_text = "" if not zone or zone == "UTC" else f", {day}{local:%H:%M}{_place_text(zone)}"
    return f"{instant:%Y-%m-%d} {precision}{instant:%H:%M} UTC{local_text}"


def _place_text(zone: str | None) -> str:
    return f" in {zone.split('/')[-1].replace('_', ' ')}" if zone else ""


def _anticipation_text(facts: dict[str, Any]) -> str:
    why = facts.get("anticipation")
    return text(facts.get("anticipated")) + (f": {why}" if why else "")


def _timing_section(content: ReportContent) -> Section:
    zones = dict(content.result.market.sessions.select("mic", "exchange_time_zone").unique().iter_rows())
    blocks = []
    for announcement in content.detailed:
        events = announcement.result.events
        keys = ["mic", "phase", "date", "day0_certainty", "day0_earliest", "day0_latest"]
        keys += [name for name in ("day0_doubt",) if name in events.columns]
        frame = events.group_by(keys).agg(pl.len().alias("n")).sort(named("mic"), "date")
        rows = [
            [
                exchange(row["mic"]),
                _local_time_text(announcement.facts, zones.get(row["mic"])),
                PHASES.get(row["phase"] or "", "time not known"),
                row["date"],
                _certainty_text(row),
                row["n"],
            ]
            for row in frame.iter_rows(named=True)
        ]
        figure = trading_hours_figure(announcement, content)
        columns = ["exchange", "local time there", "the exchange was", "day 0", "how sure", "securities"]
        blocks.append(
            (announcement.headline, (figure,) if figure else (), (ReportTable.of(columns, rows, numeric=[5]),))
        )
    words = ("Day 0 is the first session whose close lies after the announcement, on each security's own exchange.",)
    fold = f"Trading hours and day 0 at {_announcements_text(content)}"
    return Section("reached", "When it reached each exchange", _noted(words, content), tuple(blocks), fold=fold)


def _announcements_text(content: ReportContent) -> str:
    n = len(content.detailed)
    return "the announcement" if n == 1 else f"{n} announcements"


def _noted(words: tuple[str, ...], content: ReportContent) -> tuple[str, ...]:
    """Add how many announcements a section leaves out."""
    return (*words, content.detail_note) if content.detail_note else words


def _local_time_text(facts: dict[str, Any], zone: str | None) -> str:
    if zone is None or facts.get("announced_at") is None or facts.get("time_precision") == "day":
        return text(None)
    moment = pl.Series([facts["announced_at"]], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)[0]
    return f"{moment:%a %d %b, %H:%M}"


def _certainty_text(row: dict[str, Any]) -> str:
    words = CERTAINTY.get(row["day0_certainty"] or "", text(row["day0_certainty"]))
    if row["day0_earliest"] != row["day0_latest"]:
        words = f"{words} ({row['day0_earliest']} to {row['day0_latest']})"
    return f"{words}; {row['day0_doubt']}" if row.get("day0_doubt") else words


def _firms_section(content: ReportContent) -> Section:
    frames = [_firm_frame(announcement, content) for announcement in content.detailed]
    with_car = [frame.drop_nulls("car") for frame in frames]
    columns = [name for name in ("car", "low", "high", "true_car") if with_car and name in with_car[0].columns]
    domain = interval_domain(pl.concat([frame.select(columns) for frame in with_car])) if with_car else (0.0, 0.0)
    blocks = []
    for announcement, frame, drawn in zip(content.detailed, frames, with_car, strict=True):
        figures = (firm_figure(drawn, content, domain),) if drawn.height else ()
        blocks.append((announcement.headline, figures, (_firm_table(frame, announcement, content),)))
    n_events = sum(frame.height for frame in frames)
    fold = f"Charts and tables of {count(n_events, 'event')} at {_announcements_text(content)}"
    words = _noted(FIRM_MARKS, content)
    return Section("moved", "Who moved: every firm", words, tuple(blocks), PICK_HINT, fold=fold)


def _firm_frame(announcement: AnnouncementResult, content: ReportContent) -> pl.DataFrame:
    families = content.single_tests[announcement.key]
    tests = families.select("event_id", pl.col("p_romano_wolf_filtered").alias("p_family"))
    tests = tests.hstack(single_intervals(announcement.result.sample(*content.primary)).rename({"p_primary": "p"}))
    car = content.every_car.of(announcement.result, content.primary).join(
        _returns_as_traded(announcement, content), on="event_id", how="left", validate="1:1", maintain_order="left"
    )
    at_limit = pl.col("event_id").is_in(limit_hits(announcement.result)["event_id"].implode()).alias("at_limit")
    order = {group_result.name: position for position, group_result in enumerate(announcement.groups)}
    group = pl.col(content.group).cast(pl.String).fill_null("without a group") if content.group else pl.lit("All firms")
    name = pl.col("name") if "name" in car.columns else pl.lit(None, pl.String)
    return (
        car.drop("p")
        .join(tests, on="event_id", how="left", validate="1:1", maintain_order="left")
        .with_columns(group.alias("group"), name.alias("name"), at_limit)
        .with_columns(pl.col("group").replace_strict(order, default=len(order)).alias("_order"))
        .sort("_order", "car", "symbol", descending=[False, True, False], nulls_last=True)
    )


def _returns_as_traded(announcement: AnnouncementResult, content: ReportContent) -> pl.DataFrame:
    """Compute ``event_id, ret, ret_day0``: the return over the primary window and on day 0."""
    frames = [
        returns_as_traded(announcement.result, window).rename({"ret": name})
        for name, window in (("ret", content.primary), ("ret_day0", (0, 0)))
    ]
    return frames[0].join(frames[1], on="event_id", how="full", coalesce=True, validate="1:1")


def _firm_table(frame: pl.DataFrame, announcement: AnnouncementResult, content: ReportContent) -> ReportTable:
    first, last = content.result.estimation.settings.event
    with_day0 = first <= 0 <= last
    if with_day0:
        day0 = content.every_car.of(announcement.result, (0, 0)).select("event_id", pl.col("car").alias("ar_0"))
        frame = frame.join(day0, on="event_id", how="left", validate="1:1", maintain_order="left")
    n_events, frame = frame.height, extremes(frame)
    true_column = ["put in"] if "true_car" in frame.columns else []
    days = frame["date"].unique().sort()
    one_day = len(days) == 1
    columns = ["group", "firm", *([] if one_day else ["day 0"]), "return day 0", "AR day 0"]
    columns += [f"return {list(content.primary)}", f"CAR {list(content.primary)}", "95% interval"]
    columns += ["p", "p, family", "ratio", *true_column]
    length = content.primary[1] - content.primary[0] + 1
    rows: list[list[object]] = []
    notes = []
    group = None
    for row in frame.iter_rows(named=True):
        flags = ["at the price limit on day 0"] if row["at_limit"] else []
        flags += ["no return on day 0"] if with_day0 and row["ar_0"] is None else []
        flags += [f"{row['n_days']} of {length} days"] if row["n_days"] < length else []
        rows.append(
            [
                row["group"] if row["group"] != group else "",
                firm_label(row),
                *([] if one_day else [row["date"]]),
                percent(row["ret_day0"]),
                percent(row.get("ar_0")),
                percent(row["ret"]),
                percent(row["car"]),
                f"{percent(row['low'])} to {percent(row['high'])}",
                *(p_value(row[name]) for name in ("p", "p_family")),
                MISSING_TEXT if row["variance_ratio"] is None else f"{row['variance_ratio']:.2f}",
                *([percent(row["true_car"])] if true_column else []),
            ]
        )
        notes.append(", ".join(flags))
        group = row["group"]
    firms = [firm_label(row) for row in frame.iter_rows(named=True)]
    flagged = [f"{firm}: {note}." for firm, note in zip(firms, notes, strict=True) if note]
    if len(flagged) > MOST_FLAGS:
        columns.append("note")
        rows = [[*row, note] for row, note in zip(rows, notes, strict=True)]
        flagged = []
    start = 2 if one_day else 3
    numeric = list(range(start, start + 8 + len(true_column)))
    told = [f"Day 0: {days[0]}."] if one_day else []
    told += [*flagged, SINGLE_FIRM_NOTE + (TRUE_EFFECT_NOTE if true_column else "")]
    if frame.height < n_events:
        told.append(f"{frame.height} of {n_events:,} events are listed: the table `car` has all.")
    return ReportTable.of(columns, rows, numeric=numeric, note=" ".join(told))


def _paths_section(content: ReportContent) -> Section:
    blocks, bands = [], set()
    for announcement in content.detailed:
        figures, drawn_bands = path_figures(announcement, content)
        bands |= drawn_bands
        if figures:
            blocks.append((announcement.headline, tuple(figures), ()))
    base = path_base(content.result)
    start = "the first session" if base is None else f"the close of session {number(base, 0)}, where each path is 0"
    words: tuple[str, ...] = (
        f"Average abnormal returns cumulated from {start}. The blue band is the 95% interval of the mean at each "
        f"session ({'; '.join(sorted(bands)) or 'none'}); with few events it is wide. Charts are scaled to the lines: "
        "a band that is wider ends at the frame. The dashed upright line is day 0.",
        "The dotted lines are for scale: how far the same mean wanders in as many ordinary sessions (95%), from its "
        "scatter in the estimation window. They are no test.",
    )
    if any(len(announcement.groups) > MOST_PATHS for announcement in content.detailed):
        words += (
            f"Of more than {MOST_PATHS} groups, the {MOST_PATHS} with most events are drawn; the table caar has all.",
        )
    fold = f"Paths of every group at {_announcements_text(content)}"
    words = _noted(words, content)
    return Section("paths", "Paths: mean abnormal return, session by session", words, tuple(blocks), fold=fold)


def _tests_section(content: ReportContent) -> Section:
    blocks = []
    for announcement in content.detailed:
        several = [group for group in announcement.groups if group.result.events.height > 1]
        tables = [_primary_table(announcement, content), _robustness_table(several, content)]
        tables += [_window_table(announcement, content)] if len(content.windows) > 1 else []
        tables.append(_other_tests_table(several, content))
        blocks.append((announcement.headline, (), tuple(table for table in tables if table.rows)))
    words = (
        "The primary test of a group follows from its dates and firms by a rule written down beforehand; its p-value "
        "is the one that counts. Robustness tests make other assumptions. A test that is not valid for these events "
        "has no p-value here, and a note says why.",
        f"{WINDOW_NOTE} Abnormal returns are against {', '.join(benchmarks_of(content.result))}.",
        *filter(None, (content.factor_alarm, content.donor_news)),
    )
    fold = "" if len(blocks) <= MOST_OPEN else f"Tests of every group at {_announcements_text(content)}"
    return Section("tests", "Is it statistically significant?", _noted(words, content), tuple(blocks), fold=fold)


def _primary_table(announcement: AnnouncementResult, content: ReportContent) -> ReportTable:
    """Tabulate the primary test of every group in the primary window, with the benchmark it is measured against.

    The effect that the test estimates has a column where it differs from the CAAR.
    """
    window = content.primary
    traded = not content.result.market.unit.startswith("log ")  # volumes have no return
    tested = [(group, group.primary_test(window), group.caar(window)) for group in announcement.groups]
    differs = any(told is not None and percent(told.effect) != percent(caar) for _, told, caar in tested)
    rows: list[list[object]] = []
    for group, told, caar in tested:
        _, effect, ends, p, mde = _primary_cells(told)
        returns = returns_as_traded(group.result, window)["ret"] if traded else pl.Series([], dtype=pl.Float64)
        agreement = (told.agreement if told is not None else "") or "none valid"
        rows.append(
            [
                group.name,
                ", ".join(short_name(name) for name in benchmarks_of(group.result)),
                f"{group.cars(window).height:,}",
                *([percent(returns.to_numpy().mean() if len(returns) else None)] if traded else []),
                percent(caar),
                *([effect] if differs else []),
                *(ends.partition(":")[0], p, mde, agreement),
            ]
        )
    columns = ["group", "against", "events", *(["return"] if traded else []), f"CAAR {list(window)}"]
    columns += [*(["effect"] if differs else []), "95% interval", "p", "detectable effect", "robustness tests"]
    note = _primary_tests_note([(group.name, told) for group, told, _ in tested if told is not None])
    return ReportTable.of(columns, rows, numeric=range(2, len(columns) - 1), note=note, kind="primary")


def _primary_tests_note(tested: Sequence[tuple[str, Headline]]) -> str:
    """Name the primary test of every group, and why one is not valid."""
    names: dict[str, list[str]] = {}
    for group, told in tested:
        names.setdefault(told.test, []).append(group)
    if len(names) == 1:
        sentences = [f"Primary test: {test_label(next(iter(names)))}."]
    else:
        sentences = [f"Primary test of {', '.join(groups)}: {test_label(test)}." for test, groups in names.items()]
    return " ".join([*sentences, *(f"{group}, not valid: {told.why_not}." for group, told in tested if not told.valid)])


def _window_table(announcement: AnnouncementResult, content: ReportContent) -> ReportTable:
    rows: list[list[object]] = []
    for group in announcement.groups:
        above = ""
        for position, window in enumerate(content.windows):
            test, *numbers = _primary_cells(group.primary_test(window))
            mean = [group.cars(window).height, percent(group.caar(window))]
            cells = [text(list(window)), *mean, "" if test == above else test]
            rows.append(["" if position else group.name, *cells, *numbers])
            above = test
    columns = ["group", "window", "events", "CAAR", "primary test", "effect", "95% interval", "p", "detectable effect"]
    # a reason in place of an interval needs a column of text
    numeric = [2, 3, 5, 7, 8] + [6] * all(not str(row[6]).startswith("not valid") for row in rows)
    caption = "Every group and window"
    return ReportTable.of(columns, rows, numeric=numeric, caption=caption, folded=True, kind="windows")


def _primary_cells(told: Headline | None) -> list[str]:
    """Write test, effect, interval, p and detectable effect of a primary test."""
    if told is None:
        return ["none", *[MISSING_TEXT] * 4]
    name, effect = test_label(told.test), percent(told.effect)
    if not told.valid:
        return [name, effect, f"not valid: {told.why_not}", MISSING_TEXT, MISSING_TEXT]
    return [name, effect, interval(told.low, told.high), p_value(told.p), percent(told.mde).lstrip("+")]


def _robustness_table(groups: Sequence[GroupResult], content: ReportContent) -> ReportTable:
    rows: list[list[object]] = []
    for group in groups:
        frame = group.test(content.primary).filter(_is_robustness())
        for position, row in enumerate(frame.iter_rows(named=True)):
            rows.append(["" if position else group.name, test_label(row["test"]), *_valid_cells(row)])
    columns = ["group", "robustness test", "effect", "95% interval", "p"]
    caption = f"Robustness tests, {list(content.primary)}"
    return ReportTable.of(columns, rows, numeric=[2, 3, 4], caption=caption, folded=True, kind="robustness")


def _other_tests_table(groups: Sequence[GroupResult], content: ReportContent) -> ReportTable:
    rows: list[list[object]] = []
    muted: list[bool] = []
    for group in groups:
        frame = group.test(content.primary).filter(pl.col("role") != "primary", ~_is_robustness())
        for position, row in enumerate(frame.iter_rows(named=True)):
            valid = _valid_cells(row) if row["valid"] else [percent(row["effect"]), MISSING_TEXT, MISSING_TEXT]
            name = "" if position else group.name
            test = [test_label(row["test"]), row["null"], "yes" if row["valid"] else "no"]
            rows.append([name, *test, *valid, row["note"]])
            muted.append(not row["valid"])
    columns = ["group", "test", "null", "valid", "effect", "95% interval", "p", "note"]
    caption = f"Other tests, {list(content.primary)}"
    return ReportTable.of(columns, rows, numeric=[4, 5, 6], muted=muted, caption=caption, folded=True, kind="other")


def _is_robustness() -> pl.Expr:
    return (pl.col("role") == "robustness") & pl.col("valid")


def _valid_cells(row: dict[str, Any]) -> list[str]:
    """Write effect, interval and p of a valid test."""
    return [percent(row["effect"]), interval(row["ci_low"], row["ci_high"]), p_value(row["p_value"])]


def _nearby_section(content: ReportContent) -> Section:
    blocks = []
    for announcement in content.detailed:
        nearby = nearby_announcements(announcement, content).rows(named=True) if has_chronology(content) else []
        rows = [
            [
                _time_text(row),
                row["headline"],
                "confounder" if row.get("is_confounder") else "policy",
                row["day0"],
                "yes" if row["in_primary"] else "no",
            ]
            for row in nearby
        ]
        caption = _recorded_confounders(announcement, content)
        columns = ["when", "headline", "kind", "its day 0", f"within {list(content.primary)}"]
        no_hits = "No other announcement of the chronology falls into the event window."
        note = (
            ""
            if rows
            else no_hits
            if has_chronology(content)
            else "No chronology was searched for other announcements."
        )
        blocks.append((announcement.headline, (), (ReportTable.of(columns, rows, caption=caption, note=note),)))
    words = ("An abnormal return answers to everything that happened in its window, not to one headline.",)
    fold = f"Other announcements around {_announcements_text(content)}"
    return Section("around", "What else happened", _noted(words, content), tuple(blocks), fold=fold)


def _recorded_confounders(announcement: AnnouncementResult, content: ReportContent) -> str:
    """List the confounders recorded with the announcement, other announcements by their headline."""
    recorded = announcement.facts.get("confounders")
    if not recorded:
        return ""
    names = headlines(content)
    items = [names.get(item.strip(), item.strip()) for item in recorded.split(";")]
    return "Named beside it: " + "; ".join(items)


def _attrition_section(content: ReportContent) -> Section:
    result, market = content.result, content.result.market
    tables = [_attrition_table(result.attrition)]
    repairs = repairs_used(result)
    if repairs.height:
        rows = [[exchange(mic), *rest] for mic, *rest in repairs.iter_rows()]
        caption = "Where prices and calendars disagreed on days of these windows"
        tables.append(ReportTable.of(["exchange", "date", "action", "why"], rows, caption=caption))
    words = (
        *(f"Warning of the run: {message}" for message in content.warnings),
        *(f"Prices: {note}" for note in notes_used(result)),
    )
    if market.missing:
        words += (f"Without prices: {', '.join(market.missing)}.",)
    return Section("left-out", "What was left out", words, (("", (), tuple(tables)),))


def _attrition_table(attrition: pl.DataFrame) -> ReportTable:
    """List the events that were not used, or of many how many for each reason."""
    if attrition.height <= MOST_ATTRITION:
        rows = [
            [r["event_id"], REASONS.get(r["reason"], r["reason"]), r["detail"]] for r in attrition.iter_rows(named=True)
        ]
        note = "" if rows else "Nothing: every event was used."
        return ReportTable.of(["event", "reason", "detail"], rows, note=note)
    counted = (
        attrition.group_by("reason")
        .agg(pl.len().alias("n"), pl.col("event_id").first(), pl.col("detail").first())
        .sort("n", "reason", descending=[True, False])
    )
    rows = [[REASONS.get(r["reason"], r["reason"]), f"{r['n']:,}", r["event_id"], r["detail"]]
            for r in counted.iter_rows(named=True)]  # fmt: skip
    columns = ["reason", "events", "for example", "detail"]
    return ReportTable.of(columns, rows, numeric=[1], note="Every event is in the table `attrition`.")


def _record_section(content: ReportContent) -> Section:
    rows = [[key, value] for key, value in content.record.items()]
    words = ("The same inputs and versions give the same bytes.",)
    table = ReportTable.of(["what", "value"], rows, caption="Specification, versions and hashes of inputs", folded=True)
    return Section("record", "The record", words, (("", (), (table,)),))
