"""Run a study and write its result as it is produced, for results larger than memory."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.core import schema
from marketimpact.core.arguments import require
from marketimpact.core.frames import FrameLike
from marketimpact.core.outputs import parquet_bytes, write_together
from marketimpact.errors import DataError, SpecificationError
from marketimpact.market.market import Market
from marketimpact.study.event_study import EventStudy

__all__ = ["write_study"]


def write_study(
    study: EventStudy,
    events: FrameLike,
    market: Market,
    folder: str | Path,
    *,
    events_per_file: int = 20_000,
    executor: Executor | None = None,
    memory: int | str | None = None,
) -> pl.DataFrame:
    """Run a study and write abnormal returns and estimates to Parquet as they are produced.

    Parameters
    ----------
    study : EventStudy
        Specification to run.
    events, market
        As for `EventStudy.run`.
    folder : str or pathlib.Path
        New or empty. Gets ``abnormal_returns/00000.parquet`` and so on, ``estimates/00000.parquet`` and so on,
        ``attrition.parquet`` and ``record.json``.
    events_per_file : int
        Events in memory at once. They are taken by (symbol, event_id), so that few securities' returns are
        in memory at a time.
    executor, memory
        As for `EventStudy.run`.

    Returns
    -------
    polars.DataFrame
        The attrition, ``event_id, reason, detail``, sorted by `event_id`.

    Notes
    -----
    The same inputs give the same rows with any executor and `events_per_file`. Tests and averages need all events
    together: run the study for them, or sum what is written by date.

    Raises
    ------
    DataError
        For broken events, a folder in use or that cannot be written, and what `EventStudy.run` raises.
    SpecificationError
        For `events_per_file` below 1, and a model with donors.

    Examples
    --------
    >>> import tempfile
    >>> import marketimpact as mi, polars as pl
    >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
    >>> events = mi.align(mi.announcements(), market)
    >>> folder = tempfile.mkdtemp()
    >>> attrition = mi.write_study(mi.EventStudy(), events, market, folder, events_per_file=100)
    >>> pl.scan_parquet(f"{folder}/abnormal_returns/*.parquet").filter(pl.col("tau") == 0).collect().height
    441
    """
    require(study, "EventStudy", "study")
    require(market, "Market", "market")
    folder = Path(folder)
    if not isinstance(events_per_file, int) or isinstance(events_per_file, bool) or events_per_file < 1:
        raise SpecificationError(f"events_per_file={events_per_file!r} must be a whole number, at least 1.")
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder.name} is not empty. Name an empty folder, so that no file of another study stays.")
    if study.model.design.donors:
        raise SpecificationError(
            f"{study.model.name} leaves out donors that other events treat, and batches do not see each other. "
            "Use study.run(events, market), or a model without donors."
        )
    events = schema.check(schema.Events, events, "events").sort("symbol", "event_id")
    dropped = []
    with write_together(folder) as aside:
        for number, first in enumerate(range(0, events.height, events_per_file)):
            batch = events[first : first + events_per_file]
            result = study.run(batch, market, executor=executor, memory=memory, progress=False)
            for name in ("abnormal_returns", "estimates"):
                (aside / name).mkdir(exist_ok=True)
                (aside / name / f"{number:05d}.parquet").write_bytes(parquet_bytes(getattr(result, name)))
            dropped.append(result.attrition)
        attrition = pl.concat(dropped).sort("event_id")
        (aside / "attrition.parquet").write_bytes(parquet_bytes(attrition))
        record: dict[str, Any] = study.record(events, market)
        (aside / "record.json").write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    return attrition
