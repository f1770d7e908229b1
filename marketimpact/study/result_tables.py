"""All tables of a result by name, and the workbook of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from marketimpact.core.outputs import write_together
from marketimpact.core.own_columns import SUFFIX
from marketimpact.core.workbooks import require_writer, workbook_bytes
from marketimpact.display.formats import SIMULATED_TABLE
from marketimpact.errors import SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.market.market import Market
from marketimpact.study.questions import Questions
from marketimpact.study.summary import headline_window, shown_windows

__all__ = ["result_tables", "result_workbook", "write_workbook"]


class _Result(Questions, Protocol):
    """Members of a result that become tables; `StudyResult` documents them."""

    @property
    def attrition(self) -> pl.DataFrame: ...

    @property
    def estimates(self) -> pl.DataFrame: ...

    @property
    def abnormal_returns(self) -> pl.DataFrame: ...

    @property
    def record(self) -> Mapping[str, str]: ...


def result_tables(result: _Result, windows: Sequence[tuple[int, int]] | None) -> dict[str, pl.DataFrame]:
    """Compute every table of a result; `car` and `tests` have one block per window, with ``first`` and ``last``."""
    if windows is None:
        windows = shown_windows(result, headline_window(result))
    checked = [check_window(window, "a window of windows") for window in windows]
    if not checked:
        raise SpecificationError("windows is empty. Give at least one, such as [(0, 1)].")

    def blocks(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Put the frames of the windows under each other; columns of the user's own get other names."""
        own = {name: f"{name}{SUFFIX}" for name in ("first", "last")}
        return pl.concat(
            frame.rename(own, strict=False).select(pl.lit(first).alias("first"), pl.lit(last).alias("last"), pl.all())
            for (first, last), frame in zip(checked, frames, strict=True)
        )

    return {
        "tests": blocks([result.test(*window) for window in checked]),
        "car": blocks([result.car(*window) for window in checked]),
        "caar": result.caar(),
        "estimates": result.estimates,
        "abnormal_returns": result.abnormal_returns,
        "events": result.events,
        "attrition": result.attrition,
        "findings": result.market.findings,
        "price_repairs": result.market.price_repairs,
    }


def write_workbook(result: _Result, path: str | Path, windows: Sequence[tuple[int, int]] | None) -> Path:
    """Write the tables of a result as a workbook; see `StudyResult.to_excel`."""
    target = Path(path).expanduser()
    if target.suffix.lower() != ".xlsx":
        raise SpecificationError(f"{target.name!r} does not end in .xlsx. Name the workbook such as 'result.xlsx'.")
    require_writer()
    data = result_workbook(result_tables(result, windows), result.record, result.market)
    with write_together(target.parent) as folder:
        (folder / target.name).write_bytes(data)
    return target


def result_workbook(tables: Mapping[str, pl.DataFrame], record: Mapping[str, str], market: Market) -> bytes:
    """Build the workbook of some tables; its first sheet has the record of the run and the notes of the market."""
    notes = {f"note {number}": note for number, note in enumerate(market.notes, start=1)}
    return workbook_bytes(tables, {**record, **notes}, SIMULATED_TABLE if market.simulated else "")
