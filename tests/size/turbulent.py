"""Rejection rates of tests in calm and turbulent times, given that they are called valid.

frame = run(["2", "4"], 200, path=Path("/tmp/rows.parquet"))     one row per sample and test
print(summary(frame))
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from zlib import crc32

import numpy as np
import polars as pl

from marketimpact.inference import DEFAULT_TESTS
from marketimpact.inference.protocol import Alternative
from tests.size.situations import SITUATIONS

SEED = 20261129
NOMINAL = 0.05
#: Tests besides the default ones.
FURTHER = (
    "patell", "corrado_rank", "corrado_zivney_adj", "rank_blocks", "sign", "wilcoxon", "gsign_t", "grank_t_r",
    "placebo_scaar", "placebo_bmp",
)  # fmt: skip
STUDIED = (*(test.name for test in DEFAULT_TESTS), *FURTHER)
CHUNK = 20
IDENTITY = ("situation", "effect", "alternative")


def rows(
    key: str, first: int, last: int, effect: float, alternative: Alternative, tests: tuple[str, ...]
) -> pl.DataFrame:
    """Test samples `first` to `last` (excluded) of a situation; each has a seed of its own."""
    situation = SITUATIONS[key].with_effect(effect)
    frames = []
    for replication in range(first, last):
        drawn = situation.draw(np.random.default_rng([SEED, crc32(key.encode()), replication]))
        table = drawn.study.run(drawn.events, drawn.market).test(*drawn.window, tests=tests, alternative=alternative)
        role = pl.col("role") if "role" in table.columns else pl.lit(None, pl.String).alias("role")
        kept = table.select(
            "test", "p_value", "valid", pl.col("note").str.split(";").list.first(), role, "estimate", "se"
        )
        frames.append(kept.select(pl.lit(replication).alias("replication"), pl.all()))
    identity = [pl.lit(value).alias(name) for name, value in zip(IDENTITY, (key, effect, alternative), strict=True)]
    return pl.concat(frames).select(*identity, pl.all())


def run(
    keys: Sequence[str],
    samples: int,
    effect: float = 0.0,
    alternative: Alternative = "two-sided",
    tests: Sequence[str] | None = None,
    workers: int = 2,
    *,
    path: Path | None = None,
) -> pl.DataFrame:
    """Test samples of situations, one row per sample and test; the result does not depend on `workers`.

    Columns: ``situation, effect, alternative, replication, test, p_value, valid, note, role, estimate, se``; `note`
    up to its first semicolon, `role` null where `result.test` has none. Written to `path` as parquet if given.
    """
    names = tuple(STUDIED if tests is None else tests)
    tasks = [
        (key, start, min(start + CHUNK, samples), effect, alternative, names)
        for key in keys
        for start in range(0, samples, CHUNK)
    ]
    if workers == 1:
        frame = pl.concat(rows(*task) for task in tasks)
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            frame = pl.concat(pool.map(rows, *zip(*tasks, strict=True)))
    if path is not None:
        frame.write_parquet(path)
    return frame


def summary(frame: pl.DataFrame) -> pl.DataFrame:
    """Compute rates per situation and test.

    ``samples, share_valid, rate_valid, mc_error, rate``: share of samples in which the test is called valid,
    rejections at 5% in these with their Monte-Carlo error, and rejections in all.
    """
    rejected, valid = pl.col("p_value") < NOMINAL, pl.col("valid")  # nan is the largest value in polars
    rate = pl.col("rate_valid")
    return (
        frame.group_by(*IDENTITY, "test", maintain_order=True)
        .agg(
            pl.len().alias("samples"),
            valid.mean().alias("share_valid"),
            (rejected & valid).sum().truediv(valid.sum()).alias("rate_valid"),
            valid.sum().alias("_n"),
            rejected.mean().alias("rate"),
        )
        .with_columns((rate * (1.0 - rate) / pl.col("_n")).sqrt().alias("mc_error"))
        .select(*IDENTITY, "test", "samples", "share_valid", "rate_valid", "mc_error", "rate")
    )
