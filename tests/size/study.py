"""Rejection rates of every test under every scenario, through the public interface.

    python -m tests.size.study 2000        writes docs/size/rates.csv

Two processes, about a quarter of an hour for 2,000 replications of ten scenarios and two windows.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl

import marketimpact as mi
from tests.size.scenarios import ESTIMATION, SCENARIOS, Scenario, draw

SEED = 20261123
NOMINAL = 0.05
LENGTHS = (1, 5)
#: Resampling costs a hundred times as much; these are studied where there are few dates.
RESAMPLING = (
    "residual_bootstrap", "wild_cluster", "wild_cluster_webb", "sign_flip_date", "skew_johnson_bootstrap",
    "skew_hall_bootstrap", "mvrm_joint_bootstrap",
)  # fmt: skip
CHUNK = 50
RATES = Path(__file__).parents[2] / "docs" / "size" / "rates.csv"
SCHEMA = {
    "scenario": pl.Int64, "length": pl.Int64, "test": pl.String, "replications": pl.Int64, "defined": pl.Int64,
    "rejected": pl.Int64, "called_valid": pl.Int64, "rejected_valid": pl.Int64,
}  # fmt: skip


#: Tests whose rates are in docs/size/situations.csv and on their own pages.
ELSEWHERE = ("filtered_placebo_t", "filtered_placebo_rank", "placebo_median_scar", "conformal_blocks")


def tests_of(scenario: Scenario) -> list[str]:
    """Every registered test; those that resample only where dates are few but several."""
    few_dates = 1 < len(scenario.dates) <= 6
    cheap = ("wild_cluster", "wild_cluster_webb", "sign_flip_date") if few_dates else ()
    return [name for name in mi.TESTS if name not in ELSEWHERE and (name not in RESAMPLING or name in cheap)]


def count(number: int, first: int, last: int) -> Counter[tuple[int, str, str]]:
    """Count what the tests say in replications `first` to `last` of a scenario; each has a seed of its own."""
    scenario = SCENARIOS[number - 1]
    names, found = tests_of(scenario), Counter()
    for replication in range(first, last):
        market, events = draw(scenario, np.random.default_rng([SEED, number, replication]))
        for length in LENGTHS:
            study = mi.EventStudy(estimation_window=ESTIMATION, event_window=(0, length - 1))
            table = study.run(events, market).test(0, length - 1, tests=names)
            for test, p, valid in table.select("test", "p_value", "valid").iter_rows():
                found[length, test, "defined"] += p == p  # nan is not equal to itself
                found[length, test, "rejected"] += p < NOMINAL
                found[length, test, "called_valid"] += valid
                found[length, test, "rejected_valid"] += valid and p < NOMINAL
    return found


def rates(
    replications: int, scenarios: tuple[Scenario, ...] = SCENARIOS, *, workers: int = 2, quiet: bool = True
) -> pl.DataFrame:
    """Count in parallel; the result does not depend on the number of workers."""
    rows = []
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for scenario in scenarios:
            starts = range(0, replications, CHUNK)
            parts = pool.map(
                count,
                [scenario.number] * len(starts),
                starts,
                [min(start + CHUNK, replications) for start in starts],
            )
            total = sum(parts, Counter())
            for length in LENGTHS:
                for test in tests_of(scenario):
                    counts = [total[length, test, what] for what in list(SCHEMA)[4:]]
                    rows.append((scenario.number, length, test, replications, *counts))
            if not quiet:
                print(f"scenario {scenario.number}: {scenario.title}", flush=True)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def main(replications: int) -> None:
    RATES.parent.mkdir(parents=True, exist_ok=True)
    rates(replications, quiet=False).write_csv(RATES)


if __name__ == "__main__":
    main(int(sys.argv[1]))
