"""Columns of the user's own that are named like columns of results are kept, and change no result."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.study.result_frames import CAR_COLUMNS, LAST

STUDY = mi.EventStudy(event_window=(-5, 5))
NAMES = (*CAR_COLUMNS, LAST)
FOUNDRY = pl.col("role") == "foundry"
#: Name -> frame of numbers that the package computes from events, market and result.
ANSWERS: dict[str, Callable[[pl.DataFrame, mi.Market, mi.StudyResult], pl.DataFrame]] = {
    "car": lambda *_, result: result.car(0, 1),
    "car of groups": lambda *_, result: result.by("role").car(0, 1),
    "caar": lambda *_, result: result.caar(-1, 2),
    "test": lambda *_, result: result.test(0, 1),
    "test of groups": lambda *_, result: result.by("role").test(0, 1),
    "single_tests": lambda *_, result: result.single_tests(0, 1),
    "estimates": lambda *_, result: result.estimates,
    "abnormal_returns": lambda *_, result: result.abnormal_returns,
    "mirror": lambda *_, result: mi.mirror(result, 0, 1),
    "difference": lambda *_, result: mi.difference(result, FOUNDRY, ~FOUNDRY, 0, 1),
    "differences": lambda *_, result: mi.differences(result, FOUNDRY, ~FOUNDRY, 0, 1),
    "abnormal_volatility": lambda *_, result: mi.abnormal_volatility(result).car(0, 1),
    "run_up": lambda *_, result: mi.run_up(result),
    "day0_sensitivity": lambda *_, result: mi.day0_sensitivity(result),
    "reaction_order": lambda *_, result: mi.reaction_order(result),
    "power": lambda *_, result: mi.power(result, 0, 1),
    "audit": lambda *_, result: mi.audit(result),
    "day0_bounds": lambda events, market, **_: mi.day0_bounds(STUDY, events, market).events,
    "placebo_dates": lambda events, market, **_: mi.placebo_dates(STUDY, events, market, draws=20),
    "placebo_firms": lambda events, market, **_: mi.placebo_firms(STUDY, events, market, draws=20),
    "calendar_time": lambda events, market, **_: mi.calendar_time(events, market, (-5, 5)).portfolio,
    "synthetic_control": lambda events, market, **_: mi.synthetic_control(events, market, ["AAPL", "MSFT"]).table,
}


@pytest.fixture(scope="module")
def announced() -> pl.DataFrame:
    """Announcements that hit several firms; firms and dates repeat."""
    return mi.announcements().filter(pl.col("announced_at").dt.year() >= 2024).head(12)


@pytest.fixture(scope="module")
def aligned(announced: pl.DataFrame, sample_market: mi.Market) -> pl.DataFrame:
    return mi.align(announced, sample_market)


@pytest.fixture(scope="module")
def result(aligned: pl.DataFrame, sample_market: mi.Market) -> mi.StudyResult:
    return STUDY.run(aligned, sample_market)


@pytest.fixture(scope="module")
def answers(aligned: pl.DataFrame, sample_market: mi.Market, result: mi.StudyResult) -> dict[str, pl.DataFrame]:
    return {name: answer(aligned, sample_market, result=result) for name, answer in ANSWERS.items()}


def with_own(events: pl.DataFrame, names: set[str]) -> pl.DataFrame:
    return events.with_columns(pl.lit(7.5).alias(name) for name in sorted(names))


@pytest.mark.filterwarnings("ignore::marketimpact.MarketImpactWarning")
def test_own_columns_of_any_name_change_no_number(
    aligned: pl.DataFrame, sample_market: mi.Market, answers: dict[str, pl.DataFrame]
) -> None:
    computed = {name for frame in answers.values() for name in frame.columns}.difference(aligned.columns)
    working = {"_row", "_day", "_event", "_close", "_cluster", "_group", "_own", "_firm", "_day0", "security", "group"}
    events = with_own(aligned, computed | working)
    result = STUDY.run(events, sample_market)
    for name, answer in ANSWERS.items():
        frame = answer(events, sample_market, result=result)
        expected = answers[name]
        assert frame.select(expected.columns).equals(expected), name


def test_own_columns_named_like_those_of_car_are_kept_with_a_warning(
    aligned: pl.DataFrame, sample_market: mi.Market, result: mi.StudyResult
) -> None:
    own = aligned.with_columns(pl.int_range(pl.len()).alias(name) for name in NAMES)
    with pytest.warns(mi.MarketImpactWarning, match="'t' as 't_event'"):
        renamed = STUDY.run(own, sample_market)
    car, given = (
        renamed.car(0, 1),
        own.sort("event_id").filter(pl.col("event_id").is_in(renamed.events["event_id"].implode())),
    )
    for name in NAMES:
        assert car[f"{name}_event"].to_list() == given[name].to_list(), name
    assert car["t"].equals(result.car(0, 1)["t"])


def test_no_warning_without_a_clash(aligned: pl.DataFrame, sample_market: mi.Market) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        events = STUDY.run(aligned.with_columns(log_size=pl.lit(1.0)), sample_market).events
        STUDY.run(events, sample_market)  # its own date_given and mic are no clash


@pytest.mark.filterwarnings("ignore::marketimpact.MarketImpactWarning")
def test_a_formula_that_names_a_clash_is_refused(aligned: pl.DataFrame, sample_market: mi.Market) -> None:
    own = aligned.with_columns(pl.int_range(pl.len()).cast(pl.Float64).alias(name) for name in ("t", "car", "p"))
    result = STUDY.run(own, sample_market)
    for formula in ("car ~ t", "car ~ stance + np.log(t)", "car ~ car", "car ~ Q('p')"):
        with pytest.raises(mi.SpecificationError, match="_event"):
            result.regress(formula, (0, 1))
    with pytest.raises(mi.SpecificationError, match="t_event"):
        result.regress("car ~ 1", (0, 1), cluster="t")
    assert "t_event" in result.regress("car ~ t_event", (0, 1)).params
    # without a column of one's own the statistic is meant
    assert "t" in STUDY.run(aligned, sample_market).regress("car ~ t", (0, 1)).params


@pytest.mark.filterwarnings("ignore::marketimpact.MarketImpactWarning")
def test_a_kept_column_is_named_where_the_old_name_is_used(aligned: pl.DataFrame, sample_market: mi.Market) -> None:
    result = STUDY.run(aligned.with_columns(t=pl.lit("x")), sample_market)
    uses: list[Callable[[], object]] = [
        lambda: result.by("t"),
        lambda: result.where(pl.col("t") == "x"),
        lambda: result.clustered("t"),
        lambda: result.signed({"x": 1}, by="t"),
        lambda: result.plot.firms(0, 1, by="t"),
        lambda: mi.equal_effects(result, "t", 0, 1),
    ]
    for use in uses:
        with pytest.raises(mi.SpecificationError, match="kept as 't_event'"):
            use()
    assert result.by("t_event").caar(0, 1)["t_event"].unique().to_list() == ["x"]


def test_groups_named_like_a_column_of_the_frame_are_refused(aligned: pl.DataFrame, sample_market: mi.Market) -> None:
    groups = STUDY.run(aligned.with_columns(effect=pl.lit("x")), sample_market).by("effect")
    with pytest.raises(mi.SpecificationError, match="effect"):
        groups.test(0, 1)
    assert groups.caar(0, 1)["effect"].unique().to_list() == ["x"]


def test_own_columns_of_announcements_are_kept(announced: pl.DataFrame, sample_market: mi.Market) -> None:
    expected = mi.align(announced, sample_market)
    names = ["event_id", "symbol", "date", "mic", "country", "role", "phase", "day0_certainty", "align_reason"]
    with pytest.warns(mi.MarketImpactWarning, match="'country' as 'country_event'"):
        events = mi.align(announced.with_columns(pl.lit("own").alias(name) for name in names), sample_market)
    assert events.select(expected.columns).equals(expected)
    assert events.select(pl.col(f"{name}_event" for name in names).unique()).row(0) == ("own",) * len(names)


def test_an_exchange_of_ones_own_is_kept(aligned: pl.DataFrame, sample_market: mi.Market) -> None:
    with pytest.warns(mi.MarketImpactWarning, match="'mic' as 'mic_event'"):
        result = STUDY.run(aligned.with_columns(mic=pl.lit("own")), sample_market)
    assert result.events["mic_event"].unique().to_list() == ["own"]
    assert "own" not in result.events["mic"]


def test_a_direction_of_ones_own_is_kept(aligned: pl.DataFrame, sample_market: mi.Market) -> None:
    result = STUDY.run(aligned.with_columns(direction=pl.lit("up")), sample_market)
    with pytest.warns(mi.MarketImpactWarning, match="'direction' as 'direction_event'"):
        events = result.signed({"up": 1}, by="direction").events
    assert events.select("direction", "direction_event").unique().rows() == [(1, "up")]


@pytest.mark.parametrize(
    "formula",
    [
        "car ~ misspelt", "car ~", "~ stance", "car", "", "car ~ stance +", "car ~ stance**", "nope ~ stance",
        "car ~ 0", "car ~ C(stance", "car ~ targets", "car ~ pair", "car ~ se | stance", "car ~ np.log(se, 3, 4)",
        5, None,
    ],
)  # fmt: skip
def test_a_formula_that_cannot_be_is_an_error_that_says_so(
    aligned: pl.DataFrame, sample_market: mi.Market, formula: Any
) -> None:
    own = aligned.with_columns(pair=pl.struct("symbol"), targets=pl.concat_list("symbol"))
    with pytest.raises(mi.SpecificationError) as caught:
        STUDY.run(own, sample_market).regress(formula, (0, 1))
    assert len(str(caught.value)) < 500


def test_a_misspelt_column_in_a_formula_is_suggested(result: mi.StudyResult) -> None:
    with pytest.raises(mi.SpecificationError, match="Did you mean 'stance'"):
        result.regress("car ~ stnace", (0, 1))


def test_lists_and_structs_are_carried_along_and_name_no_group(
    aligned: pl.DataFrame, sample_market: mi.Market, tmp_path: Path
) -> None:
    own = aligned.with_columns(pair=pl.struct("symbol", "mic"), both=pl.concat_list("symbol", "mic"))
    result = STUDY.run(own, sample_market)
    assert {"pair", "both"} <= set(result.car(0, 1).columns)
    assert "pair" in repr(result.show(result.car(0, 1)).frame.columns)
    mi.write_report(result, tmp_path / "report.html")
    for name in ("pair", "both"):
        with pytest.raises(mi.SpecificationError, match="no label of a group"):
            mi.write_report(result, tmp_path / "grouped.html", group=name)
        with pytest.raises(mi.SpecificationError, match="no label of a group"):
            result.plot.firms(0, 1, by=name)
