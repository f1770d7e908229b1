"""Read a study from a TOML file, check it, and run it."""

from __future__ import annotations

import math
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.cli.study_file_curve import CurvePlan, CurveRun, read_curve
from marketimpact.cli.study_file_schema import StudyText, check_content, suggestion
from marketimpact.core.resources import resource
from marketimpact.core.text import listed
from marketimpact.errors import MarketImpactWarning, SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.events import calendars
from marketimpact.events.alignment import align
from marketimpact.events.catalogue import announcements, securities
from marketimpact.events.session_overrides import calendar_overrides
from marketimpact.market import repairs
from marketimpact.market.legs import LEG_BENCHMARK
from marketimpact.market.market import Market
from marketimpact.models import MODELS, PEER_MODELS, Egarch, FactorModel, Garch, Model
from marketimpact.sources.protocol import PriceSource
from marketimpact.study.event_study import EventStudy
from marketimpact.study.result import StudyResult

__all__ = ["SecuritiesAndSessions", "StudyFile", "StudyRun", "read_study", "refuse_unknown_targets"]

#: Keys of [study] that belong to models with donors.
_OF_PEER_MODELS = ("donors", "allow", "match_sessions")
#: Keys of [study] that belong to one of the models with donors.
_OF_ONE_PEER_MODEL = {"components": "statistical_factors", "penalty": "ridge_peers"}


@dataclass(frozen=True, slots=True)
class StudyFile:
    """The checked content of a study file: specification, events, market settings and report.

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
        Group -> symbols; empty: every announcement is studied for its own targets.
    announcements_file, securities_file : Path or None
        Files of the researcher's own; the embedded ones when None.
    benchmark : str
        Column of the securities that names the benchmark.
    repair : tuple of str
        Repairs of the prices, as `Market.load` takes them.
    accept : tuple of (str, str)
        Symbol and date of steps in the prices that are real.
    overrides_file : Path or None
        Calendar overrides of the researcher's own.
    specification : CurvePlan or None
        Choices of the specification curve; None where the file has no such table.
    legs : str
        Benchmark of overnight and day legs in the report, or "none".
    version : str or None
        Version of the embedded chronology; the current one when None.
    smallest_effect : float or dict of str to float, optional
        Smallest mean abnormal return of interest (a fraction), for all groups or by group.
    file : Path or None
        The file it was read from.
    content : dict
        What the file says, as TOML has it.
    source : StudyText
        The file itself, for messages with line numbers.
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
    accept: tuple[tuple[str, str], ...] = ()
    overrides_file: Path | None = None
    specification: CurvePlan | None = None
    legs: str = "leg_benchmark"
    version: str | None = None
    smallest_effect: float | Mapping[str, float] | None = None
    file: Path | None = field(default=None, repr=False, compare=False)
    content: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    source: StudyText = field(default=StudyText("", ""), repr=False, compare=False)

    def run(self, source: PriceSource) -> StudyRun:
        """Load the prices, align the announcements and estimate the study.

        Raises
        ------
        SpecificationError
            For a study that no price can make right: where no event can use the donors of its model, for one.
        """
        chronology = self.chronology()
        selected = self._select(chronology)
        market = self._market(source, self.benchmark, selected)
        events = self._align(selected, market)
        result = self.study.run(events, market)
        self._check_donors(result)
        return StudyRun(result, events, chronology)

    def _check_donors(self, result: StudyResult) -> None:
        """Refuse donors of which no event can use enough, and warn of those that no event uses."""
        if not self.study.model.design.donors:
            return
        without = result.attrition.filter(reason="no_donors")
        if result.events.is_empty() and without.height:
            event_id, detail = without.select("event_id", "detail").row(0)
            raise self.source.error(
                f"[study] donors: no event can be compared with them. {event_id}: {detail}. Name securities that the "
                "announcements did not affect, that have prices, and trade at the hours of the events' exchanges, or "
                "set match_sessions = true.",
                ("study", "donors"),
            )
        reasons = result.donors.group_by("donor", maintain_order=True).agg(
            pl.col("used").any(), pl.col("reason").drop_nulls().mode().sort().first()
        )
        unused = [f"{donor} ({why})" for donor, used, why in reasons.iter_rows() if not used]
        if unused:
            warnings.warn(
                f"{self.source.name}: no event uses {listed(unused, quoted=False)}, of {reasons.height} donors.",
                MarketImpactWarning,
                stacklevel=3,
            )

    def chronology(self) -> pl.DataFrame:
        """Read the announcements among which the study selects its own."""
        if self.version is None:
            return announcements(self.announcements_file)
        try:
            return announcements(version=self.version)
        except SpecificationError as error:
            raise self.source.error(f"[announcements] {error}", ("announcements", "version")) from error

    def securities(self) -> pl.DataFrame:
        """Select the securities of the study."""
        return self._needed_securities(securities(self.securities_file), self._select(self.chronology()))

    def planned_events(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Align the announcements with the calendars alone, and give the events and the sessions; no price is read."""
        selected = self._select(self.chronology())
        needed = self._needed_securities(securities(self.securities_file), selected)
        if selected.is_empty() or needed.is_empty():
            raise SpecificationError(
                f"{self.source.name}: no announcement meets a security, so the study has no event. Name [[groups]] of "
                "securities, or announcements that have targets."
            )
        overrides = calendars.overrides_by_calendar(self._overrides())
        # as many days as the windows before day 0 may take with every holiday
        first = selected["announced_at"].min().date() + timedelta(days=3 * self.study.estimation_window[1] - 30)  # type: ignore[union-attr]
        last = selected["announced_at"].max().date()  # type: ignore[union-attr]
        sessions = calendars.sessions(needed["mic"].unique(), first, last, overrides, as_far_as_known=True)
        return self._align(selected, SecuritiesAndSessions(needed, sessions)), sessions

    def market_until(self, last: date, source: PriceSource) -> Market:
        """Load the market of the study with no price after `last`."""
        return self._market(source, self.benchmark, self._select(self.chronology()), last)

    def _align(self, selected: pl.DataFrame, market: Market | SecuritiesAndSessions) -> pl.DataFrame:
        symbols = [symbol for members in self.groups.values() for symbol in members]
        events = align(selected, market, symbols=symbols or None, closed_day=self.study.closed_day)
        if self.groups:
            events = events.join(self._group_of_symbol(), on="symbol", how="left", validate="m:1").sort("event_id")
        return events

    def curve(self, study_run: StudyRun, source: PriceSource) -> CurveRun | None:
        """Run the specification curve of the file and its joint test; None where the file has no such table.

        `source` is read again only for benchmarks that `study_run` does not have.
        """
        plan = self.specification
        if plan is None:
            return None
        for key, requested, known in (
            ("announcements", plan.announcements, study_run.events["announcement_id"]),
            ("without", plan.without, plan.select_events(study_run.events)["symbol"]),
        ):
            unknown = [name for name in requested if name not in known]
            if unknown:
                raise self.source.error(
                    f"[specification] {key}: {unknown[0]!r} is not among the events that the curve is about.",
                    ("specification", key),
                    unknown[0],
                )
        own = {self.benchmark: study_run.result.market}
        markets = {
            name.replace("_", " "): own.get(name) or self._market(source, name, self._select(study_run.chronology))
            for name in plan.benchmarks
        }
        return plan.run(study_run.events, markets, self.study)

    def symbols(self) -> list[str]:
        """List the symbols whose prices the study reads: securities, benchmarks, and funds for legs of sessions."""
        needed = self.securities()
        names = ["symbol", self.benchmark, *(self.specification.benchmarks if self.specification else ())]
        # `Market.load` reads the funds whether or not the report shows legs
        if "benchmark" in names and LEG_BENCHMARK in needed.columns:
            names.append(LEG_BENCHMARK)
        columns = (needed[name].drop_nulls() for name in names)
        return sorted({symbol for column in columns for symbol in column})

    def _overrides(self) -> pl.DataFrame | None:
        return None if self.overrides_file is None else calendar_overrides(self.overrides_file)

    def _market(self, source: PriceSource, benchmark: str, selected: pl.DataFrame, last: date | None = None) -> Market:
        needed = self._needed_securities(securities(self.securities_file), selected)
        # the market of another benchmark lacks this one's prices
        known = {*needed["symbol"], *needed[benchmark]}
        accept = [pair for pair in self.accept if benchmark == self.benchmark or pair[0] in known]
        options: dict[str, Any] = {"benchmark": benchmark, "repair": self.repair, "last": last}
        if last is not None:
            accept = [pair for pair in accept if pair[1] <= str(last)]
        return Market.load(needed, source, accept=accept, calendar_overrides=self._overrides(), **options)

    def _select(self, chronology: pl.DataFrame) -> pl.DataFrame:
        unknown = sorted(set(self.ids) - set(chronology["announcement_id"]))
        if unknown:
            near = suggestion(unknown[0], chronology["announcement_id"].to_list())
            raise self.source.error(
                left_out_reason(unknown[0], self.announcements_file, self.version)
                or f"no announcement is called {', '.join(map(repr, unknown))}{near}. "
                "List them with: marketimpact list announcements",
                ("announcements", "ids"),
                unknown[0],
            )
        if not self.ids:
            return chronology
        return chronology.filter(pl.col("announcement_id").is_in(list(self.ids)))

    def _needed_securities(self, known: pl.DataFrame, selected: pl.DataFrame) -> pl.DataFrame:
        """Keep the securities that the study needs, so that no other prices are loaded."""
        if self.groups:
            needed = {symbol for members in self.groups.values() for symbol in members}
            unknown = sorted(needed - set(known["symbol"]))
            if unknown:
                near = suggestion(unknown[0], known["symbol"].to_list())
                group = next(n for n, members in enumerate(self.groups.values()) if unknown[0] in members)
                raise self.source.error(
                    f"the securities do not name {', '.join(map(repr, unknown))}{near}. "
                    "Add a row to your own file ([securities] file = ...), or correct the symbol.",
                    ("groups", group, "symbols"),
                    unknown[0],
                )
        else:
            needed = set(selected["targets"].explode().drop_nulls())
            if self.announcements_file is not None:
                refuse_unknown_targets(selected, known, self.announcements_file.name)
        return known.filter(pl.col("symbol").is_in(sorted(needed | self._donors(known))))

    def _donors(self, known: pl.DataFrame) -> set[str]:
        """Return the model's donors, whose prices are needed beside those of the events' securities."""
        donors = self.study.model.design.donors
        unknown = [symbol for symbol in donors if symbol not in known["symbol"]]
        if unknown:
            near = suggestion(unknown[0], known["symbol"].to_list())
            raise self.source.error(
                f"[study] donors: the securities do not name {', '.join(map(repr, unknown))}{near}. "
                "Add a row to your own file ([securities] file = ...), or correct the symbol.",
                ("study", "donors"),
                unknown[0],
            )
        return set(donors)

    def _group_of_symbol(self) -> pl.DataFrame:
        rows = [(symbol, name) for name, members in self.groups.items() for symbol in members]
        order = pl.Enum(list(self.groups))
        return pl.DataFrame(rows, schema={"symbol": pl.String, "group": order}, orient="row")


def left_out_reason(announcement_id: str, file: Path | None, version: str | None = None) -> str:
    """Say that an announcement is left out since it is from memory; empty text where it is not."""
    if file is not None or announcement_id not in announcements(version=version, recalled=True)["announcement_id"]:
        return ""
    return (
        f"announcement {announcement_id!r} is from memory: no page was read, so studies leave it out. Choose another, "
        "or write it into a file of your own with the page that you read."
    )


def refuse_unknown_targets(selected: pl.DataFrame, known: pl.DataFrame, label: str) -> None:
    """Raise SpecificationError for targets of announcements that no security has.

    Parameters
    ----------
    selected : polars.DataFrame
        ``announcement_id, targets``.
    known : polars.DataFrame
        ``symbol`` of the securities.
    label : str
        Where the targets stand, for the message.
    """
    targets = selected.select("announcement_id", pl.col("targets").alias("symbol")).explode("symbol").drop_nulls()
    unknown = targets.join(known, on="symbol", how="anti", maintain_order="left")
    if unknown.is_empty():
        return
    announcement_id, symbol = unknown.row(0)
    names = listed(unknown["symbol"].unique(maintain_order=True).to_list())
    near = suggestion(symbol, known["symbol"].to_list())
    raise SpecificationError(
        f"{label}: the securities do not name {names}{near}, first among the targets of {announcement_id!r}. Write "
        "symbols as Yahoo Finance does (NVDA;0981.HK;688981.SS), or add the securities to a file of your own "
        "(--securities of new and align, [securities] file = ... in a study file)."
    )


@dataclass(frozen=True, slots=True)
class SecuritiesAndSessions:
    """Securities and sessions without prices, which is all that `align` needs of a market."""

    securities: pl.DataFrame
    sessions: pl.DataFrame


@dataclass(frozen=True, slots=True)
class StudyRun:
    """The outcome of running a study file: the result, every aligned event, and the full chronology."""

    result: StudyResult
    events: pl.DataFrame
    chronology: pl.DataFrame


def read_study(path: str | Path | None = None) -> StudyFile:
    """Read and check a study file.

    Parameters
    ----------
    path : str or Path, optional
        A TOML file, or the name of an embedded study such as ``"h20"``, which is the default.

    Returns
    -------
    StudyFile
        A frozen value: ``study`` (an `EventStudy`), ``ids``, ``groups`` and ``windows``, the files and settings of
        the market; ``run(prices)`` loads prices and gives ``result``, ``events`` and ``chronology``; ``symbols()``
        lists the securities that need prices.

    Raises
    ------
    SpecificationError
        For a file that is missing or not TOML, an unknown key, or an invalid value; messages name the line where one
        is known.

    Examples
    --------
    >>> import marketimpact as mi
    >>> plan = mi.read_study("h20")
    >>> plan.study.event_window
    (-10, 10)
    >>> result = plan.run(mi.SamplePrices()).result
    >>> mi.write_report(result, "h20.html")  # doctest: +SKIP
    """
    file = _locate("h20" if path is None else path)
    try:
        source = StudyText(file.name, file.read_text(encoding="utf-8-sig"))
        content = tomllib.loads(source.text)
    except UnicodeDecodeError as error:
        raise SpecificationError(f"{file.name} is not UTF-8 text: save it as UTF-8 ({error}).") from error
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise SpecificationError(f"{file.name} cannot be read as TOML: {error}.") from error
    check_content(content, source)
    selection, securities_table = content.get("announcements", {}), content.get("securities", {})
    prices = content.get("prices", {})
    study, groups = _study(content.get("study", {}), source), _groups(content.get("groups", []), source)
    return StudyFile(
        name=file.stem,
        title=content.get("title", file.stem),
        question=content.get("question", ""),
        study=study,
        ids=tuple(selection.get("ids", [])),
        windows=_windows(content.get("report", {}).get("windows", [[0, 1], [0, 0]]), source),
        groups=groups,
        announcements_file=file.parent / selection["file"] if "file" in selection else None,
        securities_file=file.parent / securities_table["file"] if "file" in securities_table else None,
        benchmark=securities_table.get("benchmark", "benchmark"),
        repair=repairs.check_repairs(prices.get("repair", list(repairs.DEFAULT))),
        accept=tuple((symbol, day) for symbol, day in prices.get("accept", [])),
        overrides_file=file.parent / prices["calendar_overrides"] if "calendar_overrides" in prices else None,
        specification=read_curve(content, study, groups, source),
        legs=content.get("report", {}).get("legs", "leg_benchmark"),
        version=_version(selection, source),
        smallest_effect=_smallest_effect(content.get("registration", {}), groups, source),
        file=file,
        content=content,
        source=source,
    )


def _version(selection: Mapping[str, Any], source: StudyText) -> str | None:
    """Read the version of the embedded chronology, which a file of one's own does not have."""
    if "version" in selection and "file" in selection:
        raise source.error(
            "[announcements] version is of the embedded chronology, but file names your own. Leave one of them out.",
            ("announcements", "version"),
        )
    return selection.get("version")


def _smallest_effect(
    table: Mapping[str, Any], groups: Mapping[str, Any], source: StudyText
) -> float | Mapping[str, float] | None:
    """Read the smallest effect of interest: one number, or one for every group."""
    effect: float | Mapping[str, float] | None = table.get("smallest_effect")
    path = ("registration", "smallest_effect")
    if isinstance(effect, Mapping):
        unknown, lacking = [name for name in effect if name not in groups], [n for n in groups if n not in effect]
        if unknown or lacking:
            near = suggestion(unknown[0], list(groups)) if unknown else ""
            what = f"no group is called {unknown[0]!r}{near}" if unknown else f"the group {lacking[0]!r} has none"
            raise source.error(
                f"[registration] smallest_effect: {what}. Give one number for all groups, or one for each of them.",
                path,
            )
    values = effect.values() if isinstance(effect, Mapping) else [] if effect is None else [effect]
    if any(not math.isfinite(value) for value in values):  # nan passes every bound of the schema
        raise source.error("[registration] smallest_effect is no number. Give a fraction, such as 0.02 for 2%.", path)
    return effect


def _locate(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise SpecificationError(
            f"read_study({path!r}): give the path of a TOML file, or the name of an embedded study."
        )
    file = Path(path).expanduser()
    if file.is_file():
        return file
    if file.is_dir():
        raise SpecificationError(f"{str(path)!r} is a folder: name the TOML file in it.")
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
        if key not in ("model", "factors", "lagged", "forecast_from", *_OF_PEER_MODELS, *_OF_ONE_PEER_MODEL)
    }
    try:
        return EventStudy(model=_model(table, source), **options)
    except SpecificationError as error:
        if str(error).startswith(source.name):
            raise
        key = next((key for key in table if key in str(error)), "model")
        raise source.error(f"[study] {error}", ("study", key)) from error


def _model(table: Mapping[str, Any], source: StudyText) -> Model:
    name = table.get("model", "market_model")
    if name == "factor_model":
        factors, lagged = (tuple(table.get(key, [])) for key in ("factors", "lagged"))
        return FactorModel(factors, lagged=lagged)
    for key in ("factors", "lagged"):
        if key in table:
            raise source.error(f"[study] {key} goes with model = 'factor_model', not {name!r}.", ("study", key))
    for key, model in _OF_ONE_PEER_MODEL.items():
        if key in table and name != model:
            raise source.error(f"[study] {key} goes with model = {model!r}, not {name!r}.", ("study", key))
    if name in PEER_MODELS:
        donors, allow = (tuple(table.get(key, [])) for key in ("donors", "allow"))
        options = {key: table[key] for key in ("match_sessions", *_OF_ONE_PEER_MODEL) if key in table}
        return MODELS[name](donors, allow=allow, **options)
    for key in _OF_PEER_MODELS:
        if key in table:
            known = ", ".join(map(repr, PEER_MODELS))
            raise source.error(f"[study] {key} goes with model = one of {known}, not {name!r}.", ("study", key))
    if "forecast_from" in table:
        if MODELS[name] not in (Garch, Egarch):
            raise source.error(
                f"[study] forecast_from goes with model = 'garch11' or 'egarch11', not {name!r}.",
                ("study", "forecast_from"),
            )
        return MODELS[name](forecast_from=table["forecast_from"])
    return MODELS[name]()


def _windows(windows: Sequence[Any], source: StudyText) -> tuple[tuple[int, int], ...]:
    try:
        return tuple(check_window(window, "a window of [report]") for window in windows)
    except SpecificationError as error:
        raise source.error(str(error), ("report", "windows")) from error


def _groups(tables: Sequence[Mapping[str, Any]], source: StudyText) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for number, table in enumerate(tables):
        name = table["name"]
        if name in groups:
            raise source.error(f"two groups are called {name!r}.", ("groups", number, "name"))
        groups[name] = tuple(table["symbols"])
        repeated = sorted({s for s in groups[name] if s in seen or groups[name].count(s) > 1})
        if repeated:
            raise source.error(
                f"{', '.join(repeated)} in more than one group, or twice in one; a security may be in one.",
                ("groups", number, "symbols"),
                repeated[0],
            )
        seen.update(groups[name])
    return groups
