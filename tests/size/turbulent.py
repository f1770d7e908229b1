"""Rejection rates in calm and turbulent times, of the primary test and of every test given that it is called valid.

    POLARS_MAX_THREADS=1 python -m tests.size.turbulent 2000        writes docs/size/situations.csv

    frame = run(["2", "4"], 200, path=Path("/tmp/rows.parquet"))     one row per sample and test
    print(summary(frame))

Two processes, three quarters of an hour. The number is that of samples of calm situations with a window of one day and
of those in which the primary test must be valid; others have half of it or a fifth (`samples_of`).
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from zlib import crc32

import numpy as np
import polars as pl

from marketimpact.inference import DEFAULT_TESTS
from marketimpact.inference.protocol import Alternative
from tests.size.situations import SITUATIONS, Situation

SEED = 20261129
NOMINAL = 0.05
DEFAULTS = tuple(test.name for test in DEFAULT_TESTS)
#: Tests that `run` studies besides the default ones.
FURTHER = (
    "patell", "corrado_rank", "corrado_zivney_adj", "rank_blocks", "sign", "wilcoxon", "gsign_t", "grank_t_r",
    "placebo_scaar", "placebo_bmp",
)  # fmt: skip
STUDIED = (*DEFAULTS, *FURTHER)
#: Name of the rows that count the primary test, whichever it is.
PRIMARY = "primary"
#: Studied with a one-sided alternative too.
ONE_SIDED = ("10_one_date", "10_separate", "10c")
#: Situations in which a test that is called valid may reject too often; the page says why.
NOT_CLAIMED = ("12", "one_x2_3", "one_x2_10_L5")
#: Situations in which the primary test keeps its size, and tests of unchanged variance that are called valid do not.
PRIMARY_ONLY = ("15", "2", "one_x2_20", "one_x2_70", "one_x2_10_L21", "four_x2_10", "four_gjr")
CHUNK = 20
#: Rows of the design in which the primary test must be valid and right.
ALWAYS_RIGHT = ("2", "4", "6", "9", "9b", "10", "10c", "13", "14", "15", "24", "regime")
RATES = Path(__file__).parents[2] / "docs" / "size" / "situations.csv"
IDENTITY = ("situation", "effect", "alternative")
COUNTS = ("samples", "is_primary", "called_valid", "rejected_valid", "rejected")

#: Why a test is not valid, or the first part of its note.
NOTE = pl.coalesce(pl.col("note").str.extract("(not valid: [^;]*)"), pl.col("note").str.extract("^([^;]*)"))
#: Situation, first sample, the one after the last, effect, alternative, tests.
Task = tuple[str, int, int, float, Alternative, tuple[str, ...]]


def rows(
    key: str, first: int, last: int, effect: float, alternative: Alternative, tests: tuple[str, ...]
) -> pl.DataFrame:
    """Test samples `first` to `last` (excluded) of a situation; each has a seed of its own."""
    situation = SITUATIONS[key].with_effect(effect)
    frames = []
    for replication in range(first, last):
        drawn = situation.draw(np.random.default_rng([SEED, crc32(key.encode()), replication]))
        table = drawn.study.run(drawn.events, drawn.market).test(*drawn.window, tests=tests, alternative=alternative)
        kept = table.select("test", "p_value", "valid", NOTE, "role", "estimate", "se")
        frames.append(kept.select(pl.lit(replication).alias("replication"), pl.all()))
    identity = [pl.lit(value).alias(name) for name, value in zip(IDENTITY, (key, effect, alternative), strict=True)]
    return pl.concat(frames).select(*identity, pl.all())


def tasks(key: str, samples: int, effect: float, alternative: Alternative, tests: Sequence[str]) -> list[Task]:
    """Cut the samples of a situation into pieces of work."""
    starts = range(0, samples, CHUNK)
    return [(key, start, min(start + CHUNK, samples), effect, alternative, tuple(tests)) for start in starts]


def frames_of(work: Sequence[Task], workers: int) -> Iterator[pl.DataFrame]:
    """Do pieces of work in their order; the result does not depend on `workers`."""
    if workers == 1:
        yield from (rows(*task) for task in work)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(rows, *zip(*work, strict=True))


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
    """Test samples of situations, one row per sample and test.

    Columns: ``situation, effect, alternative, replication, test, p_value, valid, note, role, estimate, se``; `note`
    is why the test is not valid, or what comes first. Written to `path` as parquet if given.
    """
    names = STUDIED if tests is None else tests
    work = [task for key in keys for task in tasks(key, samples, effect, alternative, names)]
    frame = pl.concat(frames_of(work, workers))
    if path is not None:
        frame.write_parquet(path)
    return frame


def counts(frame: pl.DataFrame) -> pl.DataFrame:
    """Count samples per situation and test; rows `PRIMARY` count the primary test of each sample.

    ``samples, is_primary, called_valid, rejected_valid, rejected``.
    """
    rejected, valid = pl.col("p_value") < NOMINAL, pl.col("valid")  # nan is the largest value in polars
    is_primary = pl.col("role") == "primary"
    primary = frame.filter(is_primary).with_columns(pl.lit(PRIMARY).alias("test"))
    return (
        pl.concat([primary, frame])
        .group_by(*IDENTITY, "test", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("samples"),
            is_primary.sum().cast(pl.Int64).alias("is_primary"),
            valid.sum().cast(pl.Int64).alias("called_valid"),
            (rejected & valid).sum().cast(pl.Int64).alias("rejected_valid"),
            rejected.sum().cast(pl.Int64).alias("rejected"),
        )
    )


def with_rates(counted: pl.DataFrame) -> pl.DataFrame:
    """Add ``share_valid, rate_valid, mc_error, rate``.

    The share of samples in which the test is called valid, rejections at 5% in these with their Monte-Carlo error,
    and rejections in all.
    """
    samples, valid, rate = pl.col("samples"), pl.col("called_valid"), pl.col("rate_valid")
    return counted.with_columns(
        (valid / samples).alias("share_valid"),
        (pl.col("rejected_valid") / valid).alias("rate_valid"),
        (pl.col("rejected") / samples).alias("rate"),
    ).with_columns((rate * (1.0 - rate) / valid).sqrt().alias("mc_error"))


def summary(frame: pl.DataFrame) -> pl.DataFrame:
    """Compute rates per situation and test from what `run` returns."""
    columns = ("share_valid", "rate_valid", "mc_error", "rate")
    return with_rates(counts(frame)).select(*IDENTITY, "test", "samples", *columns)


def samples_of(situation: Situation, samples: int) -> tuple[int, int]:
    """Choose the number of samples of a situation without an effect, and with one."""
    first, last = situation.window
    in_full = (situation.calm and first == last) or situation.row in ALWAYS_RIGHT
    without = samples if in_full else samples // (5 if situation.row in ("own", "power") else 2)
    return without, without // (5 if situation.calm else 20)


def power_effect(situation: Situation) -> float:
    """Choose an effect that most tests find in about half of calm samples, or a little more.

    5% for one event, 3% on one date, 4% over the root of their number on several, each times the root of the window.
    """
    n_dates, (first, last) = len(situation.sizes), situation.window
    one_day = 0.05 if sum(situation.sizes) == 1 else 0.03 if n_dates == 1 else 0.04 / n_dates**0.5
    return round(one_day * (last - first + 1) ** 0.5, 3)


def study(
    samples: int, keys: Sequence[str] = tuple(SITUATIONS), *, workers: int = 2, quiet: bool = True
) -> pl.DataFrame:
    """Count for every situation without an effect, with one, and one-sided for `ONE_SIDED`."""
    work: list[Task] = []
    for key in keys:
        without, with_effect = samples_of(SITUATIONS[key], samples)
        work += tasks(key, without, 0.0, "two-sided", DEFAULTS)
        work += tasks(key, with_effect, power_effect(SITUATIONS[key]), "two-sided", DEFAULTS)
        if key in ONE_SIDED:
            work += tasks(key, without, 0.0, "less", DEFAULTS)
    parts = []
    for (key, first, *_), frame in zip(work, frames_of(work, workers), strict=True):
        parts.append(counts(frame))
        if first == 0 and not quiet:
            print(f"{key}: {SITUATIONS[key].title}, effect {frame['effect'][0]}", flush=True)
    windows = [(key, *SITUATIONS[key].window) for key in keys]
    return (
        pl.concat(parts)
        .group_by(*IDENTITY, "test")
        .agg(pl.col(COUNTS).sum())
        .join(
            pl.DataFrame(windows, schema=["situation", "first", "last"], orient="row"), on="situation", validate="m:1"
        )
        .sort(
            pl.col("situation").cast(pl.Enum(list(SITUATIONS))),
            "effect",
            pl.col("alternative") != "two-sided",
            pl.col("test").cast(pl.Enum([PRIMARY, *DEFAULTS])),
        )
        .select("situation", "first", "last", "effect", "alternative", "test", *COUNTS)
    )


if __name__ == "__main__":
    study(int(sys.argv[1]), quiet=False).write_csv(RATES)
