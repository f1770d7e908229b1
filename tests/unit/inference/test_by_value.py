"""Drawn p-values against plain loops over the same draws, and what missing values must not do."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests

import marketimpact as mi
from marketimpact.inference import adjust
from tests.conftest import golden
from tests.reference.test_contrasts import DAYS, STUDY, events_on, market_of

SEED, DRAWS = 20250812, 9999
WEBB = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])


@pytest.fixture(scope="module", params=[0.0, -0.04])
def study(request) -> mi.StudyResult:
    """Six firms on each of 20 dates that lie apart, without an effect, and with one that every date shows."""
    days = range(215, 415, 10)
    effect = {(group, day): request.param for day in days for group in "abc"}
    gone = {(k, i) for k in range(20) for i in range(6) if (k + i) % 5 == 0}  # dates of four, five and six firms
    return STUDY.run(events_on(days, firms=6, skip=gone), market_of(41, firms=6, effect=effect))


def first(result: mi.StudyResult, n: int) -> mi.StudyResult:
    return result.where(pl.col("announcement_id").is_in([f"A{k}" for k in range(n)]))


def sums_by_date(result: mi.StudyResult) -> tuple[np.ndarray, np.ndarray]:
    """Sums of CARs and numbers of events, announcement by announcement as text sorts them."""
    car = result.car(0, 0).group_by("announcement_id").agg(pl.col("car").sum(), pl.len().alias("n"))
    ordered = car.sort("announcement_id")
    return ordered["car"].to_numpy(), ordered["n"].to_numpy().astype(float)


def cluster_t(sums: np.ndarray, sizes: np.ndarray) -> float:
    """CR1, one sample."""
    n, groups = sizes.sum(), len(sums)
    mean = sums.sum() / n
    return mean / np.sqrt(groups / (groups - 1) * ((sums - sizes * mean) ** 2).sum() / n**2)


def signs_of(groups: int) -> np.ndarray:
    """Every sign pattern up to twelve dates, else 9,999 drawn ones."""
    if groups <= 12:
        return np.array(np.meshgrid(*[[1.0, -1.0]] * groups, indexing="ij")).reshape(groups, -1).T
    return 1.0 - 2.0 * np.random.default_rng(SEED).integers(0, 2, (DRAWS, groups))


def share(drawn: np.ndarray, observed: float, groups: int) -> float:
    """Of all patterns the share as extreme; of drawn ones with the observed one among them."""
    extreme = (np.abs(drawn) >= abs(observed) * (1 - 1e-10)).sum()
    return extreme / len(drawn) if groups <= 12 else (1 + extreme) / (1 + len(drawn))


@pytest.mark.parametrize("groups", [11, 12, 13, 20])
def test_sign_patterns_of_dates_one_by_one(study, groups):
    part = first(study, groups)
    sums, sizes = sums_by_date(part)
    patterns = signs_of(groups)
    rows = {r["test"]: r for r in part.test(0, 0, tests=["sign_flip_date", "wild_cluster"]).iter_rows(named=True)}
    mean = sums.sum() / sizes.sum()
    assert rows["sign_flip_date"]["statistic"] == pytest.approx(mean, rel=1e-9)
    flipped = share(patterns @ sums / sizes.sum(), mean, groups)
    assert rows["sign_flip_date"]["p_value"] == pytest.approx(flipped, rel=1e-9)
    t = cluster_t(sums, sizes)
    assert rows["wild_cluster"]["statistic"] == pytest.approx(t, rel=1e-9)
    drawn = np.array([cluster_t(pattern * sums, sizes) for pattern in patterns])
    assert rows["wild_cluster"]["p_value"] == pytest.approx(share(drawn, t, groups), rel=1e-9)
    for row in rows.values():
        assert 0 < row["p_value"] <= 1


def test_webb_weights_of_dates_one_by_one(study):
    sums, sizes = sums_by_date(study)
    # the weights in the order of the generator's table, which is by size of the square root
    table = (np.sqrt(np.array([0.5, 1.0, 1.5]))[:, None] * np.array([-1.0, 1.0])).ravel()
    assert sorted(table) == pytest.approx(WEBB)
    weights = np.random.default_rng(SEED).choice(table, (DRAWS, len(sums)))
    t = cluster_t(sums, sizes)
    drawn = np.array([cluster_t(weight * sums, sizes) for weight in weights])
    p = (1 + (np.abs(drawn) >= abs(t) * (1 - 1e-10)).sum()) / (1 + DRAWS)
    row = study.test(0, 0, tests=["wild_cluster_webb"]).row(0, named=True)
    assert (row["statistic"], row["p_value"]) == pytest.approx((t, p), rel=1e-9)


def test_a_drawn_p_is_never_zero():
    """Twenty dates that all moved by 4%: no drawn pattern comes near, so the observed one is the only one."""
    days = range(215, 415, 10)
    effect = {(group, day): -0.04 for day in days for group in "abc"}
    result = STUDY.run(events_on(days, firms=6), market_of(42, firms=6, effect=effect))
    table = result.test(0, 0, tests=["sign_flip_date", "wild_cluster", "wild_cluster_webb"])
    assert table["p_value"].to_list()[:2] == [1 / 10_000] * 2
    assert (table["p_value"] > 0).all()


@pytest.mark.parametrize("reach", [0, 1, 3])
def test_days_beyond_the_last_session_are_no_days(reach):
    """The crude adjustment multiplies the variance of a day by the days that there are, not by those requested."""
    market = market_of(43)
    result = STUDY.run(events_on([len(DAYS) - 1 - (2 - reach)] if reach < 3 else [len(DAYS) - 1]), market)
    residuals, ar = result.estimation.residuals, result.estimation.ar
    daily = residuals.mean(axis=0)
    taus = np.arange(-2, 3)
    asked = ar[:, taus >= -1]
    there = ~np.isnan(asked).all(axis=0)
    total = np.nanmean(asked[:, there], axis=0).sum()
    se = daily.std(ddof=1) * np.sqrt(there.sum())
    row = result.test(-1, 2, tests=["crude_dependence"]).row(0, named=True)
    assert there.sum() == {0: 4, 1: 3, 3: 2}[reach]
    assert (row["estimate"], row["se"], row["statistic"]) == pytest.approx((total, se, total / se), rel=1e-9)
    assert row["df"] == residuals.shape[1] - 1


@pytest.mark.parametrize(("ours", "theirs"), [("holm", "holm"), ("bh", "fdr_bh"), ("by", "fdr_by")])
@pytest.mark.parametrize("at", [0, 2, 5])
def test_a_test_without_a_p_value_is_not_of_the_family(ours, theirs, at):
    p = [0.012, 0.04, 0.003, 0.2, 0.021]
    adjusted = adjust(np.array([*p[:at], np.nan, *p[at:]]), ours)
    assert np.isnan(adjusted[at])
    np.testing.assert_allclose(np.delete(adjusted, at), multipletests(p, method=theirs)[1], rtol=1e-12)


def test_events_without_a_car_are_not_of_the_family(golden_market, golden_study):
    """Families of single tests count the events that have a p-value."""
    result = golden_study.run(golden("events_mixed"), golden_market)
    frame = result.single_tests(-5, -4)
    held = frame.drop_nulls("p")
    assert result.car(-5, -4).height >= held.height
    for ours, theirs in (("p_holm", "holm"), ("p_bh", "fdr_bh"), ("p_by", "fdr_by")):
        np.testing.assert_allclose(held[ours], multipletests(held["p"], method=theirs)[1], rtol=1e-9)
