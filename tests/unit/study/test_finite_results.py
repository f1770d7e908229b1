"""Nothing infinite goes in by a column of the events or of characteristics, and nothing infinite comes out."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.conftest import WITH_ARGUMENTS
from tests.unit.market.drawn_returns import NAMES, at, events, factors, firm_returns, index_returns, rows, series

INDEX = index_returns()
RET = firm_returns(INDEX)
STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-2, 2))


@pytest.fixture(scope="module")
def market() -> mi.Market:
    """Wild but finite: a total loss, a thousandfold rise, missing days."""
    ret = RET.copy()
    ret[0, 260], ret[0, 261:], ret[1, 260], ret[2, 258:262] = -1.0, np.nan, 999.0, np.nan
    return mi.Market.from_returns(rows(ret), series(INDEX), at(factors(), 260, "sox", -0.6))


def assert_finite(frame: pl.DataFrame, *, nan: bool = False) -> None:
    for name in frame.select(pl.selectors.float()).columns:
        values = frame[name].drop_nulls()
        assert (values.is_finite() | (values.is_nan() if nan else False)).all(), name


@pytest.mark.filterwarnings("ignore:The variance model of", "ignore:EGARCH's persistence is negative")
@pytest.mark.parametrize("name", [name for name in mi.MODELS if name not in (*WITH_ARGUMENTS, "egarch11")])
def test_no_answer_is_infinite(market, name: str) -> None:
    result = STUDY.but(model=mi.MODELS[name]()).run(events(days=(260,)), market)
    for frame in (result.car(0, 1), result.car(-2, 2), result.estimates, result.abnormal_returns, result.caar()):
        assert_finite(frame)
    assert_finite(result.single_tests(0, 1))
    # an undefined test is nan, with a note
    tests = result.test(0, 1, tests="all")
    assert_finite(tests, nan=True)
    assert tests.filter(pl.col("statistic").is_nan())["note"].null_count() == 0


@pytest.fixture(scope="module")
def result(market) -> mi.StudyResult:
    own = events().with_columns(
        exposure=pl.Series(np.random.default_rng(3).uniform(0.0, 1.0, 24)),
        announcement_id=pl.concat_str(pl.lit("a"), pl.int_range(pl.len()) % 8),
    )
    return STUDY.run(own, mi.Market.from_returns(rows(RET), series(INDEX)))


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e200])
def test_an_infinite_regressor_is_refused_with_its_column(result, market, value: float) -> None:
    own = at(result.events.select("event_id", "symbol", "date", "exposure", "announcement_id"), 4, "exposure", value)
    wrong = STUDY.run(own, market)
    for formula in ("car ~ exposure", "car ~ I(2 * exposure)"):
        with pytest.raises(mi.DataError, match=r"infinite numbers.*exposure") as caught:
            wrong.regress(formula, (0, 1))
        assert caught.value.rows.height == 1


def test_a_formula_that_makes_an_infinite_number_is_refused(result) -> None:
    own = at(result.events.select("event_id", "symbol", "date", "exposure", "announcement_id"), 4, "exposure", 0.0)
    with np.errstate(divide="ignore"), pytest.raises(mi.DataError, match=r"finite, such as np\.log1p"):
        STUDY.run(own, result.market).regress("car ~ np.log(exposure)", (0, 1))


@pytest.mark.parametrize("value", [float("inf"), 1e200])
def test_infinite_characteristics_are_refused_and_nan_is_missing(result, value: float) -> None:
    one = events(days=(260,)).head(1)
    sizes = pl.DataFrame({"symbol": NAMES, "size": np.arange(12.0)})
    for wrong, message in ((value, "of F03 are infinite"), (float("nan"), r"no complete row for \['F03'\]")):
        with pytest.raises(mi.DataError, match=message):
            mi.matched_controls(
                one, result.market, NAMES[1:], at(sizes, 3, "size", wrong), estimation_window=(-200, -11)
            )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_finite(mi.matched_controls(one, result.market, NAMES[1:], sizes, estimation_window=(-200, -11)).table)
