"""A study as a TOML file: read, checked, turned into values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.cli.study_file_curve import Curve, CurvePlan, read_curve
from marketimpact.cli.study_file_schema import StudyText, check_content, nearest
from marketimpact.core.resources import resource
from marketimpact.errors import SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.events.alignment import align
from marketimpact.events.catalogue import announcements, securities
from marketimpact.market import repairs
from marketimpact.market.market import Market
from marketimpact.models import MODELS, FactorModel, Model
from marketimpact.sources.protocol import PriceSource
from marketimpact.study.event_study import EventStudy
from marketimpact.study.result import StudyResult

__all__ = ["StudyFile", "StudyRun", "read_study"]


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A study file's content, checked.

    Attributes
    ----------
    name : str
        The file's name without its ending.
    title, question : str
        Head of the report.
    study : EventStudy
        The specification.
    ids : tuple of str
        Announcements to study; all of the file's when empty.
    windows : tuple of (int, int)
        Windows of the report; the first is the primary one.
    groups : dict of str to tuple of str
        Group -> symbols; empty: every announcement meets its own targets.
    announcements_file, securities_file : Path or None
        The researcher's own; the embedded ones when None.
    benchmark : str
        Column of the securities that names the benchmark.
    repair : tuple of str
        What of the prices is mended, as `Market.load` takes it.
    specification : CurvePlan or None
        What the specification curve varies; None where the file asks for none.
    source : StudyText
        The file itself, for messages that say on which line something is wrong.
    """

    name: str
    title: str
    question: str
    study: EventStudy
    ids: tuple[str, ...]
    windows: tuple[tuple[int, int], ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    announcements_file: Path | None = None
    securities_file: Path | None = None
    benchmark: str = "benchmark"
    repair: tuple[str, ...] = repairs.DEFAULT
    specification: CurvePlan | None = None
    source: StudyText = field(default=StudyText("", ""), repr=False, compare=False)

    def run(self, source: PriceSource) -> StudyRun:
        """Load prices, align, estimate."""
        chronology = announcements(self.announcements_file)
        chosen = self._chosen(chronology)
        market = self._market(source, self.benchmark, chosen)
        symbols = [symbol for members in self.groups.values() for symbol in members]
        events = align(chosen, market, symbols=symbols or None)
        if self.groups:
            events = events.join(self._membership(), on="symbol", how="left", validate="m:1").sort("event_id")
        return StudyRun(self.study.run(events, market), events, chronology)

    def curve(self, answer: StudyRun, source: PriceSource) -> Curve | None:
        """The specification curve that the file asks for and its joint test; None where it asks for none.

        `source` is read again only for benchmarks that `answer` does not have.
        """
        plan = self.specification
        if plan is None:
            return None
        for key, asked, known in (
            ("announcements", plan.announcements, answer.events["announcement_id"]),
            ("without", plan.without, plan.chosen(answer.events)["symbol"]),
        ):
            strange = [name for name in asked if name not in known]
            if strange:
                raise self.source.error(
                    f"[specification] {key}: {strange[0]!r} is not among the events that the curve is about.",
                    ("specification", key),
                    strange[0],
                )
        own = {self.benchmark: answer.result.market}
        markets = {
            name.replace("_", " "): own.get(name) or self._market(source, name, self._chosen(answer.chronology))
            for name in plan.benchmarks
        }
        return plan.run(answer.events, markets, self.study)

    def symbols(self) -> list[str]:
        """Symbols of the securities and benchmarks the study needs prices of."""
        chosen = self._chosen(announcements(self.announcements_file))
        universe = self._universe(securities(self.securities_file), chosen)
        further = self.specification.benchmarks if self.specification else ()
        columns = (universe[name].drop_nulls() for name in ("symbol", self.benchmark, *further))
        return sorted({symbol for column in columns for symbol in column})

    def _market(self, source: PriceSource, benchmark: str, chosen: pl.DataFrame) -> Market:
        universe = self._universe(securities(self.securities_file), chosen)
        return Market.load(universe, source, benchmark=benchmark, repair=self.repair)  # type: ignore[arg-type]

    def _chosen(self, chronology: pl.DataFrame) -> pl.DataFrame:
        unknown = sorted(set(self.ids) - set(chronology["announcement_id"]))
        if unknown:
            near = nearest(unknown[0], chronology["announcement_id"].to_list())
            raise self.source.error(
                f"no announcement is called {', '.join(map(repr, unknown))}{near}. "
                "List them with: marketimpact list announcements",
                ("announcements", "ids"),
                unknown[0],
            )
        if not self.ids:
            return chronology
        return chronology.filter(pl.col("announcement_id").is_in(list(self.ids)))

    def _universe(self, known: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
        """Securities the study needs, so that no others are asked of the price source."""
        if self.groups:
            wanted = {symbol for members in self.groups.values() for symbol in members}
            unknown = sorted(wanted - set(known["symbol"]))
            if unknown:
                near = nearest(unknown[0], known["symbol"].to_list())
                group = next(n for n, members in enumerate(self.groups.values()) if unknown[0] in members)
                raise self.source.error(
                    f"the securities do not name {', '.join(map(repr, unknown))}{near}. "
                    "Add a row to your own file ([securities] file = ...), or correct the symbol.",
                    ("groups", group, "symbols"),
                    unknown[0],
                )
        else:
            wanted = set(chosen["targets"].explode().drop_nulls())
        return known.filter(pl.col("symbol").is_in(sorted(wanted)))

    def _membership(self) -> pl.DataFrame:
        rows = [(symbol, name) for name, members in self.groups.items() for symbol in members]
        order = pl.Enum(list(self.groups))
        return pl.DataFrame(rows, schema={"symbol": pl.String, "group": order}, orient="row")


@dataclass(frozen=True, slots=True)
class StudyRun:
    """What running a study file gives: the result, every aligned event, and the chronology around it."""

    result: StudyResult
    events: pl.DataFrame
    chronology: pl.DataFrame


def read_study(path: str | Path | None = None) -> StudyFile:
    """Read and check a study file.

    Parameters
    ----------
    path : str or Path, optional
        A TOML file, or the name of an embedded study such as ``"h20"``; the seed study by default.

    Raises
    ------
    SpecificationError
        For a file that is missing or no TOML, an unknown key, or a value that cannot be.
    """
    file = _locate("h20" if path is None else path)
    try:
        source = StudyText(file.name, file.read_text(encoding="utf-8-sig"))
        content = tomllib.loads(source.text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SpecificationError(f"{file.name} cannot be read as TOML: {error}.") from error
    check_content(content, source)
    chosen, firms = content.get("announcements", {}), content.get("securities", {})
    study, groups = _study(content.get("study", {}), source), _groups(content.get("groups", []), source)
    return StudyFile(
        name=file.stem,
        title=content.get("title", file.stem),
        question=content.get("question", ""),
        study=study,
        ids=tuple(chosen.get("ids", [])),
        windows=_windows(content.get("report", {}).get("windows", [[0, 1], [0, 0]]), source),
        groups=groups,
        announcements_file=file.parent / chosen["file"] if "file" in chosen else None,
        securities_file=file.parent / firms["file"] if "file" in firms else None,
        benchmark=firms.get("benchmark", "benchmark"),
        repair=repairs.check_repairs(content.get("prices", {}).get("repair", list(repairs.DEFAULT))),
        specification=read_curve(content, study, groups, source),
        source=source,
    )


def _locate(path: str | Path) -> Path:
    given = Path(path)
    if given.is_file():
        return given
    embedded = resource("studies")
    if (embedded / f"{path}.toml").is_file():
        return embedded / f"{path}.toml"
    names = ", ".join(sorted(file.stem for file in embedded.glob("*.toml")))
    raise SpecificationError(
        f"There is no study file {str(path)!r}. Embedded studies: {names}. A new one: marketimpact new my_study.toml"
    )


def _study(table: Mapping[str, Any], source: StudyText) -> EventStudy:
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in table.items()
        if key not in ("model", "factors", "lagged")
    }
    try:
        return EventStudy(model=_model(table, source), **options)
    except SpecificationError as error:
        if str(error).startswith(source.name):
            raise
        key = next((key for key in table if key in str(error)), "model")
        raise source.error(f"[study] {error}", ("study", key)) from error


def _model(table: Mapping[str, Any], source: StudyText) -> Model:
    called = table.get("model", "market_model")
    if called == "factor_model":
        factors, lagged = (tuple(table.get(key, [])) for key in ("factors", "lagged"))
        return FactorModel(factors, lagged=lagged)
    for key in ("factors", "lagged"):
        if key in table:
            raise source.error(f"[study] {key} goes with model = 'factor_model', not {called!r}.", ("study", key))
    return MODELS[called]()


def _windows(windows: Sequence[Any], source: StudyText) -> tuple[tuple[int, int], ...]:
    try:
        return tuple(check_window(window, "a window of [report]") for window in windows)
    except SpecificationError as error:
        raise source.error(str(error), ("report", "windows")) from error


def _groups(tables: Sequence[Mapping[str, Any]], source: StudyText) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for number, table in enumerate(tables):
        called = table["name"]
        if called in groups:
            raise source.error(f"two groups are called {called!r}.", ("groups", number, "name"))
        groups[called] = tuple(table["symbols"])
        twice = sorted({s for s in groups[called] if s in seen or groups[called].count(s) > 1})
        if twice:
            raise source.error(
                f"{', '.join(twice)} in more than one group, or twice in one; a security may be in one.",
                ("groups", number, "symbols"),
                twice[0],
            )
        seen.update(groups[called])
    return groups
