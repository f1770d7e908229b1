"""How many events each test needs when they share one date: simulated size at nominal 5%.

Returns follow docs' generator (market, omitted sector, firm noise; average correlation about 0.24).
A rate of 5% has a Monte Carlo standard error of 0.011 at 400 replications; bounds are 3 of them.
The table of docs/size_and_power.md: python -m tests.size.test_small_groups 1500
"""

from __future__ import annotations

import sys
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi

pytestmark = pytest.mark.slow

REPLICATIONS = 400
DAYS = 211
DATES = [date(2020, 1, 1) + timedelta(n) for n in range(DAYS)]
STUDY = mi.EventStudy(estimation_window=(-210, -11), event_window=(0, 0))


def one_date(rng: np.random.Generator, n: int, moved: int = 0) -> mi.StudyResult:
    market, sector = rng.normal(0, 0.011, DAYS), rng.normal(0, 0.013, DAYS)
    beta, loading = rng.uniform(0.7, 1.5, (n, 1)), rng.uniform(0.5, 1.2, (n, 1))
    noise = rng.normal(size=(n, DAYS)) * rng.uniform(0.012, 0.028, (n, 1))
    returns = 0.0002 + beta * market + loading * sector + noise
    returns[:moved, -1] += 0.15
    symbols = [f"S{i:02d}" for i in range(n)]
    frame = pl.DataFrame(
        {"symbol": np.repeat(symbols, DAYS), "date": DATES * n, "ret": returns.ravel()},
        schema_overrides={"date": pl.Date},
    )
    events = pl.DataFrame({"event_id": symbols, "symbol": symbols, "date": [DATES[-1]] * n})
    return STUDY.run(events, mi.Market.from_returns(frame, pl.DataFrame({"date": DATES, "ret": market})))


def sizes(n: int, replications: int = REPLICATIONS) -> dict[str, float]:
    rng = np.random.default_rng(20250812 + n)
    rejected = dict.fromkeys(mi.TESTS, 0)
    for _ in range(replications):
        for row in one_date(rng, n).test(0, 0).iter_rows(named=True):
            rejected[row["test"]] += row["p_value"] < 0.05
    return {name: count / replications for name, count in rejected.items()}


@pytest.mark.parametrize("n", [3, 5, 12, 24])
def test_tests_for_one_date_keep_their_size_from_few_events_on(n):
    rates = sizes(n)
    for name in ("bmp_kp", "portfolio_regression", "patell_kp"):
        assert rates[name] < 0.05 + 3 * 0.011, (name, rates[name])


def test_grank_needs_a_dozen_events():
    assert sizes(4)["grank_t"] > 0.09
    assert sizes(24)["grank_t"] < 0.09
    assert mi.TESTS["grank_t"].holds.min_events == 12


def test_tests_that_take_events_as_independent_reject_a_true_null():
    rates = sizes(24)
    for name in ("bmp", "patell_scar", "cross_sectional_t", "generalized_sign"):
        assert rates[name] > 0.3, (name, rates[name])


def test_romano_wolf_errs_in_few_families_whichever_firms_moved():
    """Share of families in which any firm that did not move is called moved: 5% at most, correlated firms or not."""
    rng, errs, raw, found = np.random.default_rng(8), 0, 0, 0
    for moved in [0, 4] * (REPLICATIONS // 2):
        table = one_date(rng, 12, moved).by("date").single_tests(0, 0)
        still = table.filter(pl.col("symbol") >= f"S{moved:02d}")
        errs += still["p_romano_wolf"].min() < 0.05
        raw += still["p"].min() < 0.05
        found += table.filter(pl.col("symbol") < f"S{moved:02d}", pl.col("p_romano_wolf") < 0.05).height
    assert errs / REPLICATIONS < 0.05 + 3 * 0.011
    assert raw / REPLICATIONS > 0.2
    assert found / (4 * REPLICATIONS / 2) > 0.95


def main(replications: int) -> None:
    """Print the table as Markdown."""
    counts = (2, 3, 4, 5, 8, 12, 24)
    rates = [sizes(n, replications) for n in counts]
    print("| test | " + " | ".join(f"N = {n}" for n in counts) + " |")
    print("| --- |" + " --- |" * len(counts))
    for name in mi.TESTS:
        print(f"| {name} | " + " | ".join(f"{rate[name]:.3f}" for rate in rates) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]))
