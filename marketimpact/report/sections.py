"""The sections of a report: frames of the result as sheets and charts."""

from __future__ import annotations

from typing import Any

import polars as pl
import scipy

from marketimpact.display.formats import number, p_value, percent, text
from marketimpact.estimation.attrition import REASONS
from marketimpact.events.exchange_names import exchange, named
from marketimpact.report.blocks import Cell, ReportTable, Section
from marketimpact.report.content import (
    AnnouncementResult,
    GroupResult,
    ReportContent,
    firm_label,
    first_valid,
    limit_hits,
    readable,
)
from marketimpact.report.data_quality import doubts
from marketimpact.report.figures import clock, firms_drawn, history, path_figures
from marketimpact.report.nearby_events import around
from marketimpact.report.specification_section import robust
from marketimpact.report.summary_text import searched

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
    "partly_seen": "substance seen in a published page; the clock is recalled",
    "recalled": "recalled, no page seen",
}
DOUBTS = (
    "The prices were looked over before anything was computed from them. What is listed is probably wrong, unless "
    "something is known that the prices do not say; the numbers above use the prices all the same.",
)
HISTORY = (
    "Each line is the mean of a group's securities, not adjusted for the market. The numbered lines are the first "
    "day 0 of each announcement, in the order of the table."
)
MARKS = (
    "† p below 5% by itself; ‡ also after correction for all firms of the announcement. Where there is neither, the "
    "firm cannot be told from zero.",
)
PICK = (
    "To pick a firm or a group out, click it in the chart or its legend, or choose it from the list below the chart; "
    "click beside it, or choose “everything”, to show all again."
)
SINGLE_FIRM_NOTE = (
    "AR: abnormal return of the session; CAR: its sum over the window. Intervals are from the forecast error. P-values "
    "are two-sided. “p, t”: Student's t, exact only if returns are normal. “p, rank”: position among the firm's own "
    "placebo windows, no normality assumed. “p, family”: corrected for looking at all these firms at once (Romano and "
    "Wolf, joint placebo dates)."
)
WINDOW_NOTE = (
    "CAAR: the mean of the events' CAR. The p-value is two-sided and that of the first test that holds for these "
    "events. Would be found: the smallest average effect, up or down, that such a design tells from zero in 80 of 100 "
    "cases. Where the CAAR is not told from zero, effects smaller than this may still be there."
)
PUT_IN = " “Put in”: the effect that the simulated prices were given."


def sections(story: ReportContent) -> list[Section]:
    """All sections but the summary, in order."""
    made = [_announced(story)] if "headline" in story.result.events.columns else []
    made += [_reached(story)] if {"announcement_id", "phase"} <= set(story.result.events.columns) else []
    made += [_moved(story), _paths(story), _tests(story)]
    made += [section] if (section := robust(story.curve, story.joint)) else []
    if searched(story) or any(part.facts.get("confounders") for part in story.parts):
        made.append(_around(story))
    made.append(_left_out(story))
    if sheet := doubts(story.result):
        made.append(Section("doubts", "What is doubtful about the prices", DOUBTS, (("", (), (sheet,)),)))
    return [*made, _record(story)]


def _announced(story: ReportContent) -> Section:
    rows = []
    for part in story.parts:
        facts = part.facts
        link = facts.get("source_url")
        source = facts.get("source_publisher") or facts.get("source_title")
        rows.append(
            [
                part.headline,
                _instant(facts),
                facts.get("stance"),
                facts.get("authority"),
                Cell(text(source), link if link and link.startswith(("https://", "http://")) else None),
                VERIFIED.get(facts.get("verification") or "", facts.get("verification")),
                facts.get("confidence"),
                _anticipated(facts),
            ]
        )
    columns = ["announcement", "when", "stance", "authority", "source", "verified", "confidence", "anticipated"]
    figure = history(story)
    words = (HISTORY,) if figure else ()
    block = ("", (figure,) if figure else (), (ReportTable.of(columns, rows),))
    return Section("announced", "What was announced", words, (block,))


def _instant(facts: dict[str, Any]) -> str:
    instant, zone = facts.get("announced_at"), facts.get("time_zone")
    if instant is None:
        return text(None)
    local = pl.Series([instant], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone or "UTC")[0]
    if facts.get("time_precision") == "day":
        return f"{local:%Y-%m-%d}{_place(zone)}, time of day not known"
    about = "about " if facts.get("time_precision") == "hour" else ""
    day = "" if local.date() == instant.date() else f"{local:%Y-%m-%d} "  # the issuer's date can be another one
    here = "" if not zone or zone == "UTC" else f", {day}{local:%H:%M}{_place(zone)}"
    return f"{instant:%Y-%m-%d} {about}{instant:%H:%M} UTC{here}"


def _place(zone: str | None) -> str:
    return f" in {zone.split('/')[-1].replace('_', ' ')}" if zone else ""


def _anticipated(facts: dict[str, Any]) -> str:
    why = facts.get("anticipation")
    return text(facts.get("anticipated")) + (f": {why}" if why else "")


def _reached(story: ReportContent) -> Section:
    zones = dict(story.result.market.sessions.select("mic", "exchange_time_zone").unique().iter_rows())
    blocks = []
    for part in story.parts:
        keys = ["mic", "phase", "date", "day0_certainty", "day0_earliest", "day0_latest"]
        frame = part.result.events.group_by(keys).agg(pl.len().alias("n")).sort(named("mic"), "date")
        rows = [
            [
                exchange(row["mic"]),
                _local(part.facts, zones.get(row["mic"])),
                PHASES.get(row["phase"] or "", "time not known"),
                row["date"],
                _certainty(row),
                row["n"],
            ]
            for row in frame.iter_rows(named=True)
        ]
        figure = clock(part, story)
        columns = ["exchange", "local time there", "the exchange was", "day 0", "how sure", "securities"]
        blocks.append((part.headline, (figure,) if figure else (), (ReportTable.of(columns, rows, numeric=[5]),)))
    words = ("Day 0 is the first session whose close lies after the announcement, on each security's own exchange.",)
    return Section("reached", "When it reached each exchange", words, tuple(blocks))


def _local(facts: dict[str, Any], zone: str | None) -> str:
    if zone is None or facts.get("announced_at") is None or facts.get("time_precision") == "day":
        return text(None)
    local = pl.Series([facts["announced_at"]], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)[0]
    return f"{local:%a %d %b, %H:%M}"


def _certainty(row: dict[str, Any]) -> str:
    said = CERTAINTY.get(row["day0_certainty"] or "", text(row["day0_certainty"]))
    if row["day0_earliest"] == row["day0_latest"]:
        return said
    return f"{said} ({row['day0_earliest']} to {row['day0_latest']})"


def _moved(story: ReportContent) -> Section:
    blocks = []
    for part in story.parts:
        frame = _firms(part, story)
        drawn = frame.drop_nulls("car")
        figures = (firms_drawn(drawn, story),) if drawn.height else ()
        blocks.append((part.headline, figures, (_firm_sheet(frame, part, story),)))
    return Section("moved", "Who moved", MARKS, tuple(blocks), PICK)


def _firms(part: AnnouncementResult, story: ReportContent) -> pl.DataFrame:
    single = story.singles[part.key].select("event_id", "sq_p", "p_romano_wolf")
    car = part.result.car(*story.primary).join(single, on="event_id", how="left", validate="1:1", maintain_order="left")
    quantile = scipy.special.stdtrit(car["df"].to_numpy(), 0.975)
    order = {each.name: position for position, each in enumerate(part.groups)}
    group = pl.col(story.group).cast(pl.String).fill_null("without a group") if story.group else pl.lit("All firms")
    name = pl.col("name") if "name" in car.columns else pl.lit(None, pl.String)
    return (
        car.with_columns(
            pl.Series("_q", quantile),
            group.alias("group"),
            name.alias("name"),
        )
        .with_columns(
            (pl.col("car") - pl.col("_q") * pl.col("se")).alias("low"),
            (pl.col("car") + pl.col("_q") * pl.col("se")).alias("high"),
            pl.col("group").replace_strict(order, default=len(order)).alias("_order"),
        )
        .sort("_order", "car", "symbol", descending=[False, True, False], nulls_last=True)
    )


def _firm_sheet(frame: pl.DataFrame, part: AnnouncementResult, story: ReportContent) -> ReportTable:
    first, last = story.result.estimation.settings.event
    with_day0 = first <= 0 <= last
    if with_day0:
        day0 = part.result.car(0, 0).select("event_id", pl.col("car").alias("ar_0"))
        frame = frame.join(day0, on="event_id", how="left", validate="1:1", maintain_order="left")
    capped = set(limit_hits(part.result)["event_id"])
    true = ["put in"] if "true_car" in frame.columns else []
    columns = ["group", "firm", "day 0", "AR day 0", f"CAR {list(story.primary)}", "95% interval"]
    columns += ["p, t", "p, rank", "p, family", *true]
    length = story.primary[1] - story.primary[0] + 1
    rows: list[list[object]] = []
    notes = []
    group = None
    for row in frame.iter_rows(named=True):
        flags = ["at the price limit on day 0"] if row["event_id"] in capped else []
        flags += ["no return on day 0"] if with_day0 and row["ar_0"] is None else []
        flags += [f"{row['n_days']} of {length} days"] if row["n_days"] < length else []
        rows.append(
            [
                row["group"] if row["group"] != group else "",
                firm_label(row),
                row["date"],
                percent(row.get("ar_0")),
                percent(row["car"]),
                f"{percent(row['low'])} to {percent(row['high'])}",
                *(p_value(row[name]) for name in ("p", "sq_p", "p_romano_wolf")),
                *([percent(row["true_car"])] if true else []),
            ]
        )
        notes.append(", ".join(flags))
        group = row["group"]
    if any(notes):
        columns.append("note")
        rows = [[*row, note] for row, note in zip(rows, notes, strict=True)]
    numeric = [3, 4, 5, 6, 7, 8] + ([9] if true else [])
    return ReportTable.of(columns, rows, numeric=numeric, note=SINGLE_FIRM_NOTE + (PUT_IN if true else ""))


def _paths(story: ReportContent) -> Section:
    blocks, bands = [], set()
    for part in story.parts:
        figures, drawn = path_figures(part, story)
        bands |= drawn
        if figures:
            blocks.append((part.headline, tuple(figures), ()))
    first = story.result.estimation.settings.event[0]
    words = (
        f"Average abnormal returns cumulated from session {number(first, 0)}. The blue band is the 95% interval of the "
        f"mean at each session ({'; '.join(sorted(bands)) or 'none'}); with few events it is wide. "
        "The dashed line is day 0.",
        "The grey band around zero is for scale: how far the same mean wanders in as many ordinary sessions (95%), "
        "from its scatter in the estimation window. It is no test.",
    )
    return Section("paths", "Paths", words, tuple(blocks))


def _tests(story: ReportContent) -> Section:
    blocks = []
    for part in story.parts:
        sheets = [_test_sheet(group, story) for group in part.groups if group.result.events.height > 1]
        blocks.append((part.headline, (), (_window_sheet(part, story), *sheets)))
    words = (
        "Tests that hold for these events come first: “holds” takes into account whether events share days and "
        "whether the event raised the variance. Tests that do not hold are set back and say why; their p-values "
        "are not evidence.",
    )
    return Section("tests", "Can it be told from chance?", words, tuple(blocks))


def _window_sheet(part: AnnouncementResult, story: ReportContent) -> ReportTable:
    rows = []
    for group in part.groups:
        for at, window in enumerate(story.windows):
            path = group.mean(window)
            best = first_valid(group.test(window))
            rows.append(
                [
                    "" if at else group.name,
                    text(list(window)),
                    path["n_events"],
                    percent(path["caar"]),
                    f"{percent(path['ci_low'])} to {percent(path['ci_high'])}",
                    percent(path["mde"]).lstrip("+"),
                    readable(best["test"]) if best else "none",
                    p_value(best["p_value"] if best else None),
                ]
            )
    columns = ["group", "window", "events", "CAAR", "95% interval", "would be found", "first test that holds", "p"]
    return ReportTable.of(columns, rows, numeric=[2, 3, 4, 5, 7], caption="Every group and window", note=WINDOW_NOTE)


def _test_sheet(group: GroupResult, story: ReportContent) -> ReportTable:
    frame = group.test(story.primary)
    rows = [
        [
            readable(r["test"]),
            r["null"],
            "yes" if r["valid"] else "no",
            number(r["statistic"]),
            p_value(r["p_value"]),
            r["note"],
        ]
        for r in frame.iter_rows(named=True)
    ]
    columns = ["test", "null", "holds here", "statistic", "p", "note"]
    return ReportTable.of(
        columns,
        rows,
        numeric=[3, 4],
        muted=[not v for v in frame["valid"]],
        caption=f"{group.name}, {list(story.primary)}",
        folded=True,
    )


def _around(story: ReportContent) -> Section:
    blocks = []
    for part in story.parts:
        found = around(part, story).rows(named=True) if searched(story) else []
        rows = [
            [
                _instant(row),
                row["headline"],
                "confounder" if row.get("is_confounder") else "policy",
                row["day0"],
                "yes" if row["in_primary"] else "no",
            ]
            for row in found
        ]
        caption = _beside(part, story.chronology)
        columns = ["when", "headline", "kind", "its day 0", f"within {list(story.primary)}"]
        none = "No other announcement of the chronology falls into the event window."
        note = "" if rows else none if searched(story) else "No chronology was searched for other announcements."
        blocks.append((part.headline, (), (ReportTable.of(columns, rows, caption=caption, note=note),)))
    words = ("An abnormal return answers to everything that happened in its window, not to one headline.",)
    return Section("around", "What else happened", words, tuple(blocks))


def _beside(part: AnnouncementResult, chronology: pl.DataFrame | None) -> str:
    """What the announcement's own record says happened beside it, announcements by their headline."""
    written = part.facts.get("confounders")
    if not written:
        return ""
    known = chronology.select("announcement_id", "headline").iter_rows() if chronology is not None else ()
    headlines = dict(known)
    named = [headlines.get(item.strip(), item.strip()) for item in written.split(";")]
    return "Named beside it: " + "; ".join(named)


def _left_out(story: ReportContent) -> Section:
    result, market = story.result, story.result.market
    gone = [
        [r["event_id"], REASONS.get(r["reason"], r["reason"]), r["detail"]]
        for r in result.attrition.iter_rows(named=True)
    ]
    sheets = [
        ReportTable.of(["event", "reason", "detail"], gone, note="" if gone else "Nothing: every event was used.")
    ]
    if market.repairs.height:
        rows = [[exchange(mic), *rest] for mic, *rest in market.repairs.iter_rows()]
        sheets.append(
            ReportTable.of(["exchange", "date", "action", "why"], rows, caption="Where prices and calendars disagreed")
        )
    words = tuple(f"Prices: {note}" for note in market.notes)
    if market.missing:
        words += (f"Without prices: {', '.join(market.missing)}.",)
    return Section("left-out", "What was left out", words, (("", (), tuple(sheets)),))


def _record(story: ReportContent) -> Section:
    rows = [[key, value] for key, value in story.result.record.items()]
    words = ("The same inputs and versions give the same bytes.",)
    return Section("record", "The record", words, (("", (), (ReportTable.of(["what", "value"], rows),)),))
