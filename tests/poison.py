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


def poisoned(returns: pl.DataFrame, symbol: str, day: object) -> pl.DataFrame:
    """The same returns with one of them replaced."""
    hit = (pl.col("symbol") == symbol) & (pl.col("date") == day)
    return returns.with_columns(pl.when(hit).then(POISON).otherwise("ret").alias("ret"))
