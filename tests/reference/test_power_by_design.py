"""Power of whole designs: what is printed as detectable against simulated markets with that effect in them."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.inference import minimum_detectable_effect

DAYS = [date(2023, 1, 1) + timedelta(days=i) for i in range(420)]
#: Twelve announcements; no estimation window holds any of their days.
ON = list(range(300, 408, 9))
STUDY = mi.EventStudy(estimation_window=(-290, -110), event_window=(-1, 1))
#: Standard deviations of the shock all firms share, and of a firm's own returns.
COMMON, OWN = 0.006, 0.012
FORECAST = np.sqrt(1 + 1 / 181)
FIRMS = 8
AT_HOME = pl.col("jurisdiction") == pl.col("country")


def design():
    """Four firms of either country under six steps of either side."""
    rows = [
        (f"A{k}:F{i}", f"F{i}", DAYS[day], f"A{k}", ("US", "CN")[k % 2], ("US", "CN")[i // 4])
        for k, day in enumerate(ON)
        for i in range(FIRMS)
    ]
    names = ["event_id", "symbol", "date", "announcement_id", "jurisdiction", "country"]
    return pl.DataFrame(rows, schema=names, orient="row")


def result_of(seed, effect):
    """A market in which firm `i` moves by ``effect(k, i)`` on the day of announcement `k`."""
    rng = np.random.default_rng(seed)
    market, common = rng.normal(0, 0.01, len(DAYS)), rng.normal(0, COMMON, len(DAYS))
    frames = []
    for i in range(FIRMS):
        ret = (0.7 + i / 10) * market + common + rng.normal(0, OWN, len(DAYS))
        for k, day in enumerate(ON):
            ret[day] += effect(k, i)
        frames.append(pl.DataFrame({"date": DAYS, "symbol": f"F{i}", "ret": ret}))
    made = mi.Market.from_returns(pl.concat(frames), pl.DataFrame({"date": DAYS, "ret": market}))
    return STUDY.run(design(), made)


def of_all(tries):
    """The same effect on all: tests of the mean, by name -> true detectable effect, share found, mean mde."""
    names = ["bmp_kp", "portfolio_regression", "patell_kp", "date_means_t"]
    n, sd = FIRMS * len(ON), np.hypot(COMMON, OWN)
    se = FORECAST * np.sqrt((COMMON**2 + OWN**2 / FIRMS) / len(ON))
    asked = {
        "bmp_kp": minimum_detectable_effect(se, n - 1), "patell_kp": minimum_detectable_effect(se, np.inf),
        "portfolio_regression": minimum_detectable_effect(se, np.inf),
        "date_means_t": minimum_detectable_effect(se, len(ON) - 1),
    }  # fmt: skip
    # the first two are in standard deviations of a firm's forecast
    unit = {"bmp_kp": sd * FORECAST, "patell_kp": sd * FORECAST, "portfolio_regression": 1.0, "date_means_t": 1.0}
    told = {}
    for name in names:
        effect = float(asked[name])
        rows = [result_of(seed, lambda k, i: effect).test(0, 0, tests=[name]).row(0, named=True) for seed in tries]  # noqa: B023
        found = np.mean([row["p_value"] < 0.05 for row in rows])
        told[name] = (effect, found, np.mean([row["mde"] for row in rows]) * unit[name])
    return told


def of_contrasts(tries):
    """Firms at home move under steps of the United States: the difference to firms across, and the mirror."""
    four = OWN / np.sqrt(4)
    gap = FORECAST * np.sqrt(2) * four / np.sqrt(6)
    mirrored = FORECAST * np.sqrt(2 * (COMMON**2 + four**2) / 6)
    asked = {
        "forecast_error": minimum_detectable_effect(gap, np.inf),
        "date_means_t": minimum_detectable_effect(gap, 5),
    }
    asked["mirror"] = minimum_detectable_effect(mirrored, 10)
    told, across = {}, []
    for name, size in asked.items():
        effect, rows = float(size), []
        for seed in tries:
            result = result_of(seed, lambda k, i: effect * (k % 2 == 0) * (i < 4))  # noqa: B023
            if name == "mirror":
                table = mi.mirror(result, 0, 0).filter(pl.col("steps_by") == "US - CN")
                rows.append(table.row(by_predicate=pl.col("side") == "at home", named=True))
                across.append(table.row(by_predicate=pl.col("side") == "across", named=True)["p"] < 0.05)
            else:
                table = mi.difference(result.where(pl.col("jurisdiction") == "US"), AT_HOME, ~AT_HOME, 0, 0)
                rows.append(table.row(by_predicate=pl.col("test") == name, named=True))
        found = np.mean([row["p" if name == "mirror" else "p_value"] < 0.05 for row in rows])
        told[name] = (effect, found, np.mean([row["mde"] for row in rows]))
    return told, np.mean(across)


def agree(told, n):
    for name, (effect, found, printed) in told.items():
        assert abs(found - 0.80) < 3 * np.sqrt(0.8 * 0.2 / n), (name, found)
        assert printed == pytest.approx(effect, rel=0.10), name


def test_tests_of_the_mean_find_what_they_call_detectable():
    agree(of_all(range(1, 31)), 30)


def test_differences_and_the_mirror_find_what_they_call_detectable():
    told, across = of_contrasts(range(1, 41))
    agree(told, 40)
    # where nothing was put in: size
    assert abs(across - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 40)


@pytest.mark.slow
def test_power_in_full():
    agree(of_all(range(1, 801)), 800)
    told, across = of_contrasts(range(1, 801))
    agree(told, 800)
    assert abs(across - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 800)


@pytest.mark.parametrize("samples", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_the_power_table_is_the_simulated_power(samples):
    """`mi.power`, averaged over markets since it has their spread, against the share whose band leaves zero out."""
    effects, markets = [0.005, 0.01], [result_of(seed, lambda k, i: 0.0) for seed in range(1, samples + 1)]
    powers = np.mean([mi.power(market, 0, 0, effects=effects)["power"].to_list() for market in markets], axis=0)
    for effect, power in zip(effects, powers, strict=True):
        moved = (result_of(seed, lambda k, i: effect) for seed in range(1, samples + 1))  # noqa: B023
        paths = [result.caar(0, 0).row(0, named=True) for result in moved]
        found = np.mean([path["ci_low"] > 0 or path["ci_high"] < 0 for path in paths])
        assert abs(found - power) < 3 * np.sqrt(max(power * (1 - power), 0.02) / samples), effect
