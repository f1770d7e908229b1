"""A market model that meets a poisoned return: it raises, or takes its worker with it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

import marketimpact as mi
from marketimpact.models.linear import Design, fit
from tests.conftest import golden

#: A return no other day has.
POISON = 0.123456789


@dataclass(frozen=True)
class Poisoned:
    """The market model; `folder` gets a file for each time that the poison is met."""

    folder: Path
    #: "raise", "kill once", "kill".
    act: str
    name = "poisoned"

    @property
    def design(self) -> Design:
        return replace(mi.MarketModel().design, estimator=partial(_fit, self.folder, self.act))


def _fit(folder: Path, act: str, y, x, design):
    if (y == POISON).any():
        met = len(list(folder.iterdir()))
        (folder / str(met)).touch()
        if act == "raise":
            raise np.linalg.LinAlgError("poison")
        if act == "kill" or met == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return fit(y, x, design)


def bad_market() -> tuple[mi.Market, str]:
    """The golden market with one return of one security poisoned, in the estimation window of the event named."""
    event = golden("events_unclustered").sort("date").row(-1, named=True)
    days = golden("market").filter(pl.col("date") < event["date"])["date"].sort()
    hit = (pl.col("symbol") == event["symbol"]) & (pl.col("date") == days[-40])
    returns = golden("returns").with_columns(pl.when(hit).then(POISON).otherwise("ret").alias("ret"))
    market = mi.Market.from_returns(returns, golden("market"), golden("factors"))
    return market, f"events_unclustered-{event['event_id']}"
