"""Neither the era of the data nor the type of a label moves a number; a copy has no cached values."""

import pickle
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.estimation.estimates import Estimates

SESSIONS, SYMBOLS = 500, 8
TESTS = [name for name in mi.TESTS if name not in ("wild_cluster_webb", "sign_flip_date", "residual_bootstrap")]


def study_of(year: int, model: mi.models.Model) -> mi.StudyResult:
    """Simulated: a common shock, days missing; three dates hit all firms, one of them twice in a week."""
    rng = np.random.default_rng(8)
    days = [date(year, 1, 1) + timedelta(n) for n in range(SESSIONS)]
    names = [f"S{k}" for k in range(SYMBOLS)]
    market = rng.normal(0, 0.01, SESSIONS)
    returns = market + rng.normal(0, 0.02, (SYMBOLS, SESSIONS)) + rng.normal(0, 0.01, SESSIONS)
    returns[rng.random(returns.shape) < 0.01] = np.nan
    frame = pl.DataFrame({"symbol": np.repeat(names, SESSIONS), "date": days * SYMBOLS, "ret": returns.ravel()})
    events = pl.DataFrame(
        {
            "event_id": [f"e{k}" for k in range(3 * SYMBOLS)],
            "symbol": names * 3,
            "date": [days[k] for k in np.repeat([300, 304, 450], SYMBOLS)],
        }
    )
    study = mi.EventStudy(model=model, estimation_window=(-150, -11), event_window=(-3, 3), min_observations=60)
    frame = frame.with_columns(pl.col("ret").fill_nan(None), pl.col("symbol").cast(pl.String))
    return study.run(events, mi.Market.from_returns(frame, pl.DataFrame({"date": days, "ret": market})))


@pytest.mark.parametrize("model", [mi.MarketModel(), mi.ScholesWilliams()], ids=lambda model: model.name)
@pytest.mark.parametrize(
    "year", [1926, 1968, 1969]
)  # before 1970; the estimation window before; the event window around
def test_dates_before_1970_are_like_others(year, model):
    want, found = study_of(2001, model), study_of(year, model)
    assert found.abnormal_returns.drop("date").equals(want.abnormal_returns.drop("date"))
    assert found.abnormal_returns.height == 3 * SYMBOLS * 7
    assert found.test(0, 1, tests=TESTS).equals(want.test(0, 1, tests=TESTS))
    assert found.caar().equals(want.caar())
    assert found.by("date").test(0, 1).drop("date").equals(want.by("date").test(0, 1).drop("date"))


KINDS = {
    "numbers with a fraction": lambda label: label.rank("dense") / 10,
    "whole numbers": lambda label: label.rank("dense").cast(pl.Int64) - 3,
    "large whole numbers": lambda label: label.rank("dense").cast(pl.UInt64) + 2**63,
    "categories": lambda label: label.cast(pl.Categorical),
    "instants": lambda label: pl.lit(date(2020, 1, 1)).cast(pl.Datetime) + pl.duration(days=label.rank("dense")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_clusters_do_not_hang_on_the_type_of_their_labels(kind):
    """Tests that draw take clusters in their order, so that must be kept too."""
    names = pl.Series(["c", "a", "b"]).cast(pl.Categorical)  # registered in another order than that of the text
    assert names.len() == 3
    result = study_of(2001, mi.MarketModel())
    label = pl.col("date").rank("dense")  # another order than that of the dates
    text = result.events.select(label.replace_strict({1: "c", 2: "a", 3: "b"}).alias("announcement_id"))
    events = result.events.drop("mic", "date_given").hstack(text)
    study = mi.EventStudy(estimation_window=(-150, -11), event_window=(-3, 3))
    want = study.run(events, result.market)
    other = events.with_columns(KINDS[kind](pl.col("announcement_id")).alias("announcement_id"))
    found = study.run(other, result.market)
    assert found.sample(0, 1).n_clusters == want.sample(0, 1).n_clusters == 3
    drawn = ["wild_cluster_webb", "sign_flip_date", "cluster_t"]
    assert found.test(0, 1, tests=drawn).equals(want.test(0, 1, tests=drawn))


def test_events_without_a_label_are_one_cluster_whatever_others_are_called():
    result = study_of(2001, mi.MarketModel())
    number = pl.col("date").rank("dense").replace_strict({1: -1, 2: None, 3: 5}).alias("announcement_id")
    events = result.events.drop("mic", "date_given").with_columns(number)
    study = mi.EventStudy(estimation_window=(-150, -11), event_window=(-3, 3))
    assert study.run(events, result.market).sample(0, 1).clusters.counts.tolist() == [SYMBOLS] * 3


def test_a_result_can_be_pickled_after_its_methods_were_called():
    result = study_of(2001, mi.MarketModel())
    want = result.test(0, 1), result.car(0, 1), dict(result.record)
    assert "residual_rows" in vars(result.estimation)
    copy = pickle.loads(pickle.dumps(result))
    assert isinstance(copy.estimation, Estimates)
    assert "residual_rows" not in vars(copy.estimation)
    assert copy.test(0, 1).equals(want[0])
    assert copy.car(0, 1).equals(want[1])
    assert dict(copy.record) == want[2]
    volatile = mi.abnormal_volatility(result)
    assert pickle.loads(pickle.dumps(volatile)).record == {**want[2], "derived": "abnormal volatility"}


def test_no_groups_are_an_empty_answer():
    result = study_of(2001, mi.MarketModel()).where(pl.lit(value=False))
    assert result.by("date").car(0, 1).is_empty()


def test_events_that_bring_what_car_adds(sample_market):
    """`car` output serves as events again; columns named like result columns are renamed."""
    market = sample_market
    events = mi.align(mi.announcements().filter(pl.col("announcement_id").str.starts_with("2025-08")), market)
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-3, 3))
    first = study.run(events, market).car(0, 1)
    with pytest.warns(mi.MarketImpactWarning, match="'p' as 'p_event'"):
        result = study.run(first.select([*events.columns, "true_car", "flags", "p"]), market)
    again = result.car(0, 1)
    for name in ("true_car", "flags", "p"):
        assert again[name].equals(first[name])
        assert again[f"{name}_event"].equals(first[name])
    assert set(again.columns) == {*first.columns, "true_car_event", "flags_event", "p_event"}


def test_windows_of_clusters_overlap_before_1970_too():
    """The mirror counts days that windows of two clusters share, whatever the century."""

    def mirrored(year: int) -> pl.DataFrame:
        result = study_of(year, mi.MarketModel())
        firm = pl.col("symbol").str.slice(1).cast(pl.Int64)
        events = result.events.drop("mic", "date_given").with_columns(
            jurisdiction=pl.when(pl.col("date").rank("dense") == 2).then(pl.lit("CN")).otherwise(pl.lit("US")),
            country=pl.when(firm < SYMBOLS // 2).then(pl.lit("US")).otherwise(pl.lit("CN")),
        )
        study = mi.EventStudy(estimation_window=(-150, -11), event_window=(-3, 3), min_observations=60)
        return mi.mirror(study.run(events, result.market), -3, 3)

    want = mirrored(2001)
    assert want["note"].str.contains("days in common").sum() == 2  # the rows of the differences
    assert mirrored(1926).equals(want)
