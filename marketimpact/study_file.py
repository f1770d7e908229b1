"""A study as a TOML file: read, checked, turned into values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact import repairs
from marketimpact.alignment import align
from marketimpact.catalogue import announcements, securities
from marketimpact.errors import SpecificationError
from marketimpact.market import Market
from marketimpact.models import MODELS, FactorModel, Model
from marketimpact.resources import resource
from marketimpact.result import StudyResult
from marketimpact.sources.protocol import PriceSource
from marketimpact.study import EventStudy
from marketimpact.windows import check_window

__all__ = ["Answer", "StudyFile", "read_study"]

_KEYS = {
    "": {"title", "question", "study", "announcements", "securities", "prices", "report", "groups"},
    "study": {
        "model",
        "factors",
        "lagged",
        "estimation_window",
        "event_window",
        "min_observations",
        "missing",
        "serial_correlation",
    },
    "announcements": {"ids", "file"},
    "securities": {"file", "benchmark"},
    "prices": {"repair"},
    "report": {"windows"},
    "groups": {"name", "symbols"},
}


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

    def run(self, source: PriceSource) -> Answer:
        """Load prices, align, estimate."""
        chronology = announcements(self.announcements_file)
        chosen = self._chosen(chronology)
        universe = self._universe(securities(self.securities_file), chosen)
        market = Market.load(universe, source, benchmark=self.benchmark, repair=self.repair)  # type: ignore[arg-type]
        symbols = [symbol for members in self.groups.values() for symbol in members]
        events = align(chosen, market, symbols=symbols or None)
        if self.groups:
            events = events.join(self._membership(), on="symbol", how="left", validate="m:1").sort("event_id")
        return Answer(self.study.run(events, market), events, chronology)

    def symbols(self) -> list[str]:
        """Symbols of the securities and benchmarks the study needs prices of."""
        universe = self._universe(
            securities(self.securities_file), self._chosen(announcements(self.announcements_file))
        )
        return sorted({*universe["symbol"], *universe[self.benchmark].drop_nulls()})

    def _chosen(self, chronology: pl.DataFrame) -> pl.DataFrame:
        unknown = sorted(set(self.ids) - set(chronology["announcement_id"]))
        if unknown:
            near = _nearest(unknown[0], chronology["announcement_id"].to_list())
            raise SpecificationError(
                f"{self.name}: no announcement is called {', '.join(map(repr, unknown))}{near}. "
                "List them with: marketimpact list announcements"
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
                near = _nearest(unknown[0], known["symbol"].to_list())
                raise SpecificationError(
                    f"{self.name}: the securities do not name {', '.join(map(repr, unknown))}{near}. "
                    "Add a row to your own file ([securities] file = ...), or correct the symbol."
                )
        else:
            wanted = set(chosen["targets"].explode().drop_nulls())
        return known.filter(pl.col("symbol").is_in(sorted(wanted)))

    def _membership(self) -> pl.DataFrame:
        rows = [(symbol, name) for name, members in self.groups.items() for symbol in members]
        order = pl.Enum(list(self.groups))
        return pl.DataFrame(rows, schema={"symbol": pl.String, "group": order}, orient="row")


@dataclass(frozen=True, slots=True)
class Answer:
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
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SpecificationError(f"{file.name} cannot be read as TOML: {error}.") from error
    _check_keys(content, file.name)
    study, chosen = content.get("study", {}), content.get("announcements", {})
    firms, folder = content.get("securities", {}), file.parent
    mended = content.get("prices", {}).get("repair", list(repairs.DEFAULT))
    return StudyFile(
        name=file.stem,
        title=_text(content.get("title", file.stem), f"{file.name}: title"),
        question=_text(content.get("question", ""), f"{file.name}: question"),
        study=_study(study, file.name),
        ids=tuple(_strings(chosen.get("ids", []), f"{file.name}: [announcements] ids")),
        windows=_windows(content.get("report", {}).get("windows", [[0, 1], [0, 0]]), file.name),
        groups=_groups(content.get("groups", []), file.name),
        announcements_file=_beside(folder, chosen, f"{file.name}: [announcements] file"),
        securities_file=_beside(folder, firms, f"{file.name}: [securities] file"),
        benchmark=_one_of(firms.get("benchmark", "benchmark"), ("benchmark", "sector_proxy"), file.name),
        repair=repairs.asked(_strings(mended, f"{file.name}: [prices] repair")),
    )


def _locate(path: str | Path) -> Path:
    given = Path(path)
    if given.is_file():
        return given
    embedded = resource("studies")
    if (embedded / f"{path}.toml").is_file():
        return embedded / f"{path}.toml"
    names = ", ".join(sorted(file.stem for file in embedded.glob("*.toml")))
    raise SpecificationError(f"There is no study file {str(path)!r}. Embedded studies: {names}.")


def _check_keys(content: Mapping[str, Any], name: str) -> None:
    parts = [("", content)]
    for section in ("study", "announcements", "securities", "prices", "report"):
        if section in content:
            parts.append((section, content[section]))
    groups = content.get("groups", [])
    if not isinstance(groups, list):
        raise SpecificationError(f"{name}: write each group as [[groups]], with double brackets.")
    parts += [("groups", group) for group in groups]
    for section, table in parts:
        where = f"[{section}]" if section else "the top level"
        if not isinstance(table, dict):
            raise SpecificationError(f"{name}: {where} must be a table.")
        for key in table:
            if key not in _KEYS[section]:
                near = _nearest(key, sorted(_KEYS[section]))
                raise SpecificationError(
                    f"{name}: {where} has no key {key!r}{near}. It knows {', '.join(sorted(_KEYS[section]))}."
                )


def _study(table: Mapping[str, Any], name: str) -> EventStudy:
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in table.items()
        if key not in ("model", "factors", "lagged")
    }
    return EventStudy(model=_model(table, name), **options)


def _model(table: Mapping[str, Any], name: str) -> Model:
    called = _text(table.get("model", "market_model"), f"{name}: [study] model")
    if called not in MODELS:
        raise SpecificationError(f"{name}: no model is called {called!r}. There are: {', '.join(MODELS)}.")
    if called == "factor_model":
        factors, lagged = (
            tuple(_strings(table.get(key, []), f"{name}: [study] {key}")) for key in ("factors", "lagged")
        )
        return FactorModel(factors, lagged=lagged)
    for key in ("factors", "lagged"):
        if key in table:
            raise SpecificationError(f"{name}: [study] {key} goes with model = 'factor_model', not {called!r}.")
    return MODELS[called]()


def _windows(value: Any, name: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or not value or not all(isinstance(w, list) and len(w) == 2 for w in value):
        raise SpecificationError(f"{name}: [report] windows must be a list of pairs, such as [[0, 1], [0, 0]].")
    return tuple(check_window(window, f"{name}: a window of [report]") for window in value)


def _groups(tables: Sequence[Mapping[str, Any]], name: str) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for table in tables:
        if "name" not in table or not table.get("symbols"):
            raise SpecificationError(f"{name}: every [[groups]] needs a name and symbols.")
        called = _text(table["name"], f"{name}: the name of a group")
        if called in groups:
            raise SpecificationError(f"{name}: two groups are called {called!r}.")
        groups[called] = tuple(_strings(table["symbols"], f"{name}: group {called!r}"))
    members = [symbol for symbols in groups.values() for symbol in symbols]
    twice = sorted({symbol for symbol in members if members.count(symbol) > 1})
    if twice:
        raise SpecificationError(f"{name}: {', '.join(twice)} in more than one group; a security may be in one.")
    return groups


def _strings(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SpecificationError(f'{where} must be a list of strings, such as ["NVDA", "0981.HK"].')
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SpecificationError(f"{where} is {value!r}, which must be text in quotes.")
    return value


def _beside(folder: Path, table: Mapping[str, Any], where: str) -> Path | None:
    """A file named in the study, relative to it."""
    return folder / _text(table["file"], where) if "file" in table else None


def _one_of(value: Any, allowed: Sequence[str], name: str) -> str:
    if value not in allowed:
        raise SpecificationError(f"{name}: benchmark = {value!r}; it must be one of {', '.join(allowed)}.")
    return str(value)


def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib  # noqa: PLC0415

    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
