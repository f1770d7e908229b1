"""Commands of studies: run, schema, align and list."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import typer

from marketimpact import report
from marketimpact.cli.listed_prices import only_listed
from marketimpact.cli.options import AsCsv, AsJson, Directory
from marketimpact.cli.price_options import Prices, Snapshot, Yahoo, price_source
from marketimpact.cli.printing import json_rows, json_text, print_frame
from marketimpact.cli.registered_prices import compare_prices
from marketimpact.cli.registration import compare_with_run, registered_analysis
from marketimpact.cli.study_file import SecuritiesAndSessions, StudyFile, StudyRun, read_study, refuse_unknown_targets
from marketimpact.cli.study_file_schema import study_schema
from marketimpact.core.csv_writer import csv_text
from marketimpact.core.outputs import parquet_bytes, write_together
from marketimpact.core.workbooks import require_writer
from marketimpact.errors import MarketImpactWarning
from marketimpact.events import calendars
from marketimpact.events.alignment import align as align_events
from marketimpact.events.catalogue import announcements, campaigns, securities
from marketimpact.events.session_overrides import calendar_overrides
from marketimpact.inference import TESTS
from marketimpact.models import MODELS
from marketimpact.sources import PriceSource
from marketimpact.study.result_tables import result_workbook
from marketimpact.study.summary import peers_text

__all__ = ["Outcome", "align_command", "execute", "list_command", "run", "schema"]


def run(
    study: Annotated[str, typer.Argument(help="Study file (TOML), or the name of an embedded study.")] = "h20",
    prices: Prices = None,
    yahoo: Yahoo = False,
    snapshot: Snapshot = None,
    directory: Directory = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; out/<study> by default.")] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="html, md, tex or pdf; repeat it or separate by commas. html by default."),
    ] = None,
    excel: Annotated[bool, typer.Option("--excel", help="Also write all tables as one workbook, tables.xlsx.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results and the files written as JSON.")] = False,
    registered: Annotated[
        Path | None, typer.Option(help="Its registration: marks every table as registered or exploratory.")
    ] = None,
    exploratory: Annotated[
        bool, typer.Option("--exploratory", help="Go on where the study differs from its registration.")
    ] = False,
    as_listed: Annotated[
        bool, typer.Option("--only-listed", hidden=True, help="Read prices as a replication package lists them.")
    ] = False,
) -> None:
    """Run a study and write its report and tables.

    Without --prices, --yahoo or --snapshot the study runs on the embedded sample, whose prices are simulated. Prices
    from Yahoo Finance are kept in the price store, and the report names the snapshot used.

    With --registered a study that differs from its registration stops with exit code 1, before any price is read; with
    --exploratory it goes on, and all of it is marked exploratory.
    """
    if exploratory and registered is None:
        raise typer.BadParameter("--exploratory goes with --registered")
    kinds = _formats(formats)
    report.require_programs([Path(f"report.{kind}") for kind in kinds])
    if excel:
        require_writer()
    source = price_source(prices, snapshot, directory, yahoo=yahoo)
    plan = read_study(study)
    analysis = None if registered is None else registered_analysis(registered, plan, exploratory=exploratory)
    folder = out if out is not None else Path("out") / plan.name
    with only_listed(source, plan.symbols()) if as_listed else nullcontext(source) as read:
        outcome = execute(plan, read, folder, kinds, analysis, excel=excel)
    if as_json:
        workbook = {"workbook": str(folder / "tables.xlsx")} if excel else {}
        typer.echo(json_text(_run_summary(plan, outcome) | workbook))
        return
    typer.echo(outcome.text)
    typer.echo("")
    for target in outcome.reports:
        typer.echo(f"Report: {target}")
    typer.echo(f"Tables: {folder} ({'CSV, Parquet and tables.xlsx' if excel else 'CSV and Parquet'})")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a study that was run and written.

    Its run, paths of reports, tables, the brief as text, and the registration as compared with the run.
    """

    run: StudyRun
    reports: list[Path]
    tables: dict[str, pl.DataFrame]
    text: str
    analysis: report.RegisteredAnalysis | None = None


def execute(
    plan: StudyFile,
    source: PriceSource,
    folder: Path,
    kinds: list[str],
    analysis: report.RegisteredAnalysis | None,
    *,
    excel: bool = False,
) -> Outcome:
    """Run a study and write the report in every format, and every table, to a folder."""
    with recorded_warnings() as messages:
        study_run = plan.run(source)
        curve = plan.curve(study_run, source)
        if analysis is not None:
            analysis = compare_with_run(analysis, study_run.result, plan.windows[0])
            analysis = compare_prices(analysis, plan, source, study_run.result.market)
    content = report.report_content(
        study_run.result,
        title=plan.title,
        question=plan.question,
        windows=plan.windows,
        group="group" if plan.groups else None,
        chronology=study_run.chronology,
        curve=curve.curve if curve else None,
        joint=curve.joint if curve else None,
        warnings=messages,
        legs=plan.legs,
        registration=analysis,
    )
    made = report.brief_of(content) if report.has_brief(content) else None
    tables = report.report_tables(content)
    names = [f"report.{kind}" for kind in kinds]
    with write_together(folder) as aside:
        report.write_reports(content, [aside / name for name in names], made)
        for name, table in tables.items():
            (aside / f"{name}.parquet").write_bytes(parquet_bytes(table))
            (aside / f"{name}.csv").write_text(csv_text(table), encoding="utf-8")
        if excel:
            workbook = result_workbook(tables, content.record, study_run.result.market)
            (aside / "tables.xlsx").write_bytes(workbook)
    text = made.short_text() if made is not None else repr(study_run.result)
    if made is not None and study_run.result.model.design.donors:
        peers = peers_text(study_run.result)
        text += "\n" + textwrap.fill(f"{peers[0].upper()}{peers[1:]}; see donors.csv.", 80)
    if made is None and analysis is not None:
        text += f"\n{analysis.sentence(plan.windows)}"
    return Outcome(study_run, [folder / name for name in names], tables, text, analysis)


@contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    """Collect the messages of this package's warnings, which are shown all the same."""
    messages: list[str] = []
    show = warnings.showwarning

    def record(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, MarketImpactWarning):
            messages.append(str(message))
        show(message, category, *rest, **more)

    with warnings.catch_warnings():
        warnings.showwarning = record
        yield messages


def _formats(requested: list[str] | None) -> list[str]:
    """Split the values of --format, without repeats, in the order given."""
    texts = requested or ["html"]
    formats = list(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))
    unknown = [name for name in formats if name not in {"html", "md", "tex", "pdf"}]
    if unknown or not formats:
        raise typer.BadParameter(f"--format {', '.join(unknown) or 'is empty'}: choose from html, md, tex, pdf")
    return formats


def _run_summary(plan: StudyFile, outcome: Outcome) -> dict[str, Any]:
    """Summarise a run for programs; the tables themselves are files."""
    analysis = outcome.analysis
    result, tables, written = outcome.run.result, outcome.tables, outcome.reports
    registration = (
        {}
        if analysis is None
        else {
            "registration": {
                "sha256": analysis.hash,
                "registered_on": analysis.registered_on,
                "differences": list(analysis.differences),
                "notes": list(analysis.notes),
            }
        }
    )
    return {
        "study": plan.name,
        "simulated": result.market.simulated,
        "n_events": result.events.height,
        "reports": [str(target) for target in written],
        "tables": {name: str(written[0].with_name(f"{name}.parquet")) for name in tables},
        "record": dict(result.record),
        "tests": json_rows(tables["tests"]),
        "attrition": json_rows(tables["attrition"]),
        **registration,
    }


def schema() -> None:
    """Print the JSON Schema of study files, for editors and programs that check them."""
    typer.echo(json_text(study_schema()))


def align_command(
    file: Annotated[
        Path | None,
        typer.Argument(help="Announcements (CSV, Parquet or Excel); the embedded chronology by default."),
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(help="Securities to align with, comma-separated; each announcement's targets by default."),
    ] = None,
    universe: Annotated[Path | None, typer.Option("--securities", help="Your own securities file.")] = None,
    overrides: Annotated[
        Path | None, typer.Option("--calendar-overrides", help="Your own sessions, closures and trading hours.")
    ] = None,
    previous: Annotated[
        bool, typer.Option("--previous-session", help="On days without a session take the one before, not the next.")
    ] = False,
    csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Print day 0 of every announcement on each security's own exchange.

    Symbols that the securities do not name are printed without a day 0; then the exit code is 1.
    """
    facts, known = announcements(file), securities(universe)
    first, last = facts["announced_at"].min().date(), facts["announced_at"].max().date()  # type: ignore[union-attr]
    selected = [symbol.strip() for symbol in symbols.split(",") if symbol.strip()] if symbols else None
    firms = known.filter(pl.col("symbol").is_in(selected)) if selected else known
    mics = firms["mic"].unique() if firms.height else known["mic"].unique()
    applied = calendars.overrides_by_calendar(None if overrides is None else calendar_overrides(overrides))
    market = SecuritiesAndSessions(known, calendars.sessions(mics, first, last, applied, as_far_as_known=True))
    events = align_events(facts, market, symbols=selected, closed_day="previous" if previous else "next")
    bounds = pl.format("{} ({} to {})", "day0_certainty", "day0_earliest", "day0_latest")
    is_certain = pl.col("day0_earliest") == pl.col("day0_latest")
    shown = events.sort("announced_at", "event_id").select(
        "announcement_id",
        "symbol",
        "mic",
        pl.col("date").alias("day 0"),
        pl.when(is_certain).then("day0_certainty").otherwise(pl.coalesce(bounds, "align_reason")).alias("how sure"),
        pl.coalesce("phase", pl.lit("time not known")).alias("exchange was"),
    )
    print_frame(events, shown, csv=csv, as_json=as_json)
    asked = facts if selected is None else facts.head(1).with_columns(targets=pl.lit(pl.Series([selected])))
    refuse_unknown_targets(asked, known, "--symbols" if selected else str(file))


def list_command(
    what: Annotated[
        Literal["announcements", "campaigns", "securities", "calendar_overrides", "models", "tests"],
        typer.Argument(help="Which list to print."),
    ],
    csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """List the embedded announcements, campaigns, securities or overrides, or the models and tests available."""
    frame, columns = {
        "announcements": lambda: (
            announcements(),
            ["announcement_id", "announced_at", "time_precision", "stance", "is_confounder", "headline"],
        ),
        "campaigns": lambda: (campaigns(), ["campaign_id", "title", "first", "last"]),
        "securities": lambda: (securities(), ["symbol", "name", "mic", "currency", "role", "benchmark"]),
        "calendar_overrides": lambda: (calendar_overrides(), ["mic", "date", "is_session", "open", "close", "source"]),
        "models": lambda: (_model_summaries({k: str(v.__doc__) for k, v in MODELS.items()}), ["name", "what"]),
        "tests": lambda: (
            pl.DataFrame([(t.name, t.null, t.distribution, t.source) for t in TESTS.values()],
                         schema=["name", "null", "distribution", "source"], orient="row"),
            ["name", "null", "distribution", "source"],
        ),
    }[what]()  # fmt: skip
    print_frame(frame, frame.select(columns), csv=csv, as_json=as_json)


def _model_summaries(docs: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [(name, doc.strip().splitlines()[0].replace("``", "")) for name, doc in docs.items()],
        schema=["name", "what"],
        orient="row",
    )
