"""Commands about studies: new, run, align, list, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import typer

from marketimpact import report
from marketimpact.cli.options import AsCsv, AsJson, Directory
from marketimpact.cli.printing import flat, json_text, put, rows
from marketimpact.cli.store import existing_store, open_store
from marketimpact.cli.study_file import StudyFile, StudyRun, read_study
from marketimpact.cli.study_file_curve import Curve
from marketimpact.cli.study_file_schema import study_schema
from marketimpact.errors import DataError, SpecificationError
from marketimpact.events import calendars
from marketimpact.events.alignment import align as align_events
from marketimpact.events.catalogue import announcements, campaigns, securities
from marketimpact.inference import TESTS
from marketimpact.models import MODELS
from marketimpact.sources import FilePrices, FolderPrices, PriceSource, SamplePrices, StoredPrices, YahooPrices

__all__ = ["align_command", "list_command", "new", "run", "schema"]

TEMPLATE = Path(__file__).with_name("template.toml")


class _Calendars:
    """Securities and sessions without prices: enough to align."""

    def __init__(self, firms: pl.DataFrame, sessions: pl.DataFrame) -> None:
        self.securities = firms
        self.sessions = sessions


def run(
    study: Annotated[str, typer.Argument(help="Study file (TOML), or the name of an embedded study.")] = "h20",
    prices: Annotated[
        Path | None, typer.Option(help="Prices: a Parquet or CSV file, or a folder with a file per symbol.")
    ] = None,
    yahoo: Annotated[bool, typer.Option("--yahoo", help="Fetch prices from Yahoo Finance.")] = False,
    snapshot: Annotated[
        str | None, typer.Option(help="Prices of this snapshot of the price store; no network.")
    ] = None,
    directory: Directory = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; out/<study> by default.")] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="html, md, tex or pdf; repeat it or separate by commas. html by default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found and written as JSON.")] = False,
) -> None:
    """Run a study and write its report and tables.

    Without --prices, --yahoo or --snapshot the study runs on the embedded sample, whose prices are simulated. Prices
    from Yahoo Finance are kept in the price store, and the report names the snapshot it was made from.
    """
    kinds = _formats(formats)
    source = _source(prices, snapshot, directory, yahoo=yahoo)
    plan = read_study(study)
    answer = plan.run(source)
    curve = plan.curve(answer, source)
    folder = out if out is not None else Path("out") / plan.name
    try:
        written, tables = _write(plan, answer, curve, folder, kinds)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror or error}). Choose another with --out."
        ) from error
    if as_json:
        typer.echo(json_text(_said(plan, answer, tables, written)))
        return
    typer.echo(repr(answer.result))
    typer.echo("")
    for target in written:
        typer.echo(f"Report: {target}")
    typer.echo(f"Tables: {folder} (CSV and Parquet)")


def _write(
    plan: StudyFile, answer: StudyRun, curve: Curve | None, folder: Path, kinds: list[str]
) -> tuple[list[Path], dict[str, pl.DataFrame]]:
    """The report in every format and every table; where the reports are, and the tables."""
    told = report.story(
        answer.result,
        title=plan.title,
        question=plan.question,
        windows=plan.windows,
        group="group" if plan.groups else None,
        chronology=answer.chronology,
        curve=curve.found if curve else None,
        joint=curve.joint if curve else None,
    )
    written = report.write_reports(told, [folder / f"report.{kind}" for kind in kinds])
    tables = report.tables_of(told)
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
        flat(table).write_csv(folder / f"{name}.csv")
    return written, tables


def _formats(asked: list[str] | None) -> list[str]:
    """Formats without repeats, in the order asked for."""
    kinds = list(dict.fromkeys(kind.strip() for text in asked or ["html"] for kind in text.split(",") if kind.strip()))
    strange = [kind for kind in kinds if kind not in {"html", "md", "tex", "pdf"}]
    if strange or not kinds:
        raise typer.BadParameter(f"--format {', '.join(strange) or 'is empty'}: choose from html, md, tex, pdf")
    return kinds


def _said(plan: StudyFile, answer: StudyRun, tables: dict[str, pl.DataFrame], written: list[Path]) -> dict[str, Any]:
    """What a program wants to know of a run; the tables themselves are files."""
    return {
        "study": plan.name,
        "simulated": answer.result.market.simulated,
        "n_events": answer.result.events.height,
        "reports": [str(target) for target in written],
        "tables": {name: str(written[0].with_name(f"{name}.parquet")) for name in tables},
        "record": dict(answer.result.record),
        "tests": rows(tables["tests"]),
        "attrition": rows(tables["attrition"]),
    }


def new(
    file: Annotated[Path, typer.Argument(help="Study file to write, such as my_study.toml.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> None:
    """Write a commented study file that runs as it is; change it to your own question."""
    if file.suffix != ".toml":
        raise typer.BadParameter(f"{file} must end in .toml", param_hint="FILE")
    if file.exists() and not force:
        raise SpecificationError(f"{file} is there already. Choose another name, or overwrite it with --force.")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    quoted = f'"{file}"' if " " in str(file) else str(file)
    typer.echo(f"Written: {file}\nRun it with: marketimpact run {quoted}")


def schema() -> None:
    """Print the JSON Schema of study files, for editors and programs that check them."""
    typer.echo(json_text(study_schema()))


def _source(prices: Path | None, snapshot: str | None, directory: Path | None, *, yahoo: bool) -> PriceSource:
    if (prices is not None) + yahoo + (snapshot is not None) > 1:
        raise typer.BadParameter("give one of --prices, --yahoo and --snapshot")
    if directory is not None and not (yahoo or snapshot is not None):
        raise typer.BadParameter("--store goes with --yahoo or --snapshot")
    if yahoo:
        return StoredPrices(YahooPrices(), open_store(directory))
    if snapshot is not None:
        return StoredPrices(store=existing_store(directory), snapshot=snapshot)
    if prices is not None:
        return FolderPrices(prices) if prices.is_dir() else FilePrices(prices)
    return SamplePrices()


def align_command(
    file: Annotated[
        Path | None,
        typer.Argument(help="Announcements (CSV or Parquet); the embedded chronology by default."),
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(help="Securities to meet, comma-separated; each announcement's targets by default."),
    ] = None,
    universe: Annotated[Path | None, typer.Option("--securities", help="Your own securities file.")] = None,
    csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Print day 0 of every announcement on each security's own exchange."""
    facts, firms = announcements(file), securities(universe)
    first, last = facts["announced_at"].min().date(), facts["announced_at"].max().date()  # type: ignore[union-attr]
    chosen = [symbol.strip() for symbol in symbols.split(",") if symbol.strip()] if symbols else None
    met = firms.filter(pl.col("symbol").is_in(chosen)) if chosen else firms
    mics = met["mic"].unique() if met.height else firms["mic"].unique()
    events = align_events(facts, _Calendars(firms, calendars.sessions(mics, first, last)), symbols=chosen)
    bounds = pl.format("{} ({} to {})", "day0_certainty", "day0_earliest", "day0_latest")
    sure = pl.col("day0_earliest") == pl.col("day0_latest")
    shown = events.sort("announced_at", "event_id").select(
        "announcement_id",
        "symbol",
        "mic",
        pl.col("date").alias("day 0"),
        pl.when(sure).then("day0_certainty").otherwise(pl.coalesce(bounds, "align_reason")).alias("how sure"),
        pl.coalesce("phase", pl.lit("time not known")).alias("exchange was"),
    )
    put(events, shown, csv=csv, as_json=as_json)


def list_command(
    what: Annotated[
        Literal["announcements", "campaigns", "securities", "models", "tests"],
        typer.Argument(help="What to list."),
    ],
    csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """List the embedded announcements, campaigns or securities, or the models and tests there are."""
    frame, columns = {
        "announcements": lambda: (
            announcements(),
            ["announcement_id", "announced_at", "time_precision", "stance", "is_confounder", "headline"],
        ),
        "campaigns": lambda: (campaigns(), ["campaign_id", "title", "first", "last"]),
        "securities": lambda: (securities(), ["symbol", "name", "mic", "currency", "role", "benchmark"]),
        "models": lambda: (_summaries({k: str(v.__doc__) for k, v in MODELS.items()}), ["name", "what"]),
        "tests": lambda: (
            pl.DataFrame([(t.name, t.null, t.distribution, t.source) for t in TESTS.values()],
                         schema=["name", "null", "distribution", "source"], orient="row"),
            ["name", "null", "distribution", "source"],
        ),
    }[what]()  # fmt: skip
    put(frame, frame.select(columns), csv=csv, as_json=as_json)


def _summaries(docs: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [(name, doc.strip().splitlines()[0].replace("``", "")) for name, doc in docs.items()],
        schema=["name", "what"],
        orient="row",
    )
