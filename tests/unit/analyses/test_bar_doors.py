"""Check that every function of bars answers bad announcements, symbols, windows and paths with a clear error."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

import marketimpact as mi

AT = datetime(2025, 5, 7, 15, 30, tzinfo=UTC)
SPAN = (date(2025, 3, 3), date(2025, 6, 30))
FUNCTIONS = {"bar_moves": mi.bar_moves, "bar_tests": mi.bar_tests, "bar_path": mi.bar_path}
#: Names of the two ends of a window.
ENDS = {"bar_moves": ("before", "after"), "bar_tests": ("before", "after"), "bar_path": ("first", "last")}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def news(*instants, **columns) -> pl.DataFrame:
    """Announcements at instants, of which the first one is repeated in the last row under another name."""
    moments = [*instants, instants[0]]
    n = len(moments)
    return pl.DataFrame({
        "announcement_id": [f"n{k}" for k in range(n)], "announced_at": moments, "stance": ["restrictive"] * n,
        "headline": ["A rule"] * n, **{name: [value] * n for name, value in columns.items()},
    })  # fmt: skip


@pytest.fixture(scope="module")
def bars() -> mi.Bars:
    return mi.Bars.load(mi.securities(), mi.SampleBars(["NVDA", "AMD", "^GSPC"], *SPAN, minutes=15))


@pytest.fixture(scope="module")
def without_benchmark() -> mi.Bars:
    return mi.Bars.load(mi.securities(), mi.SampleBars(["NVDA", "AMD"], *SPAN, minutes=15))


@every_function
@pytest.mark.parametrize("naive", ["2025-05-07T15:30:00", datetime(2025, 5, 7, 15, 30)])
def test_an_instant_without_a_zone_is_refused_with_what_to_write(bars, name, naive):
    with pytest.raises(mi.DataError, match=r"(?s)announced_at.*(no offset|without a time zone).*Asia/Shanghai"):
        FUNCTIONS[name](news(naive), bars)


@every_function
def test_a_clock_with_its_place_is_an_instant(bars, name):
    placed = FUNCTIONS[name](news("2025-05-07T11:30:00", time_zone="America/New_York"), bars)
    exact = FUNCTIONS[name](news(AT), bars)
    frames = [found.frame if isinstance(found, mi.BarPath) else found for found in (placed, exact)]
    assert frames[0].height > 0
    assert frames[0].equals(frames[1])


@every_function
@pytest.mark.parametrize("empty", [news(AT).head(0), pl.DataFrame()])
def test_no_announcement_is_refused(bars, name, empty):
    with pytest.raises(mi.DataError, match=r"has no rows. Check the file, or the filter"):
        FUNCTIONS[name](empty, bars)


@every_function
@pytest.mark.parametrize("other", [None, "bars/", pl.DataFrame({"symbol": ["NVDA"]})])
def test_what_is_no_bars_is_refused(name, other):
    with pytest.raises(mi.SpecificationError, match=r"Give what mi.Bars.load returns"):
        FUNCTIONS[name](news(AT), other)


@every_function
@pytest.mark.parametrize(
    ("symbols", "part"),
    [(["NVDA", "NVDAA"], "Did you mean 'NVDA'"), (["NVDA", 5], "no bars of 5"), ("NVDA", "is text"),
     (5, "is no list of symbols"), (iter(["NVDA"]), "is no list of symbols")],
)  # fmt: skip
def test_symbols_without_bars_are_refused_by_name(bars, name, symbols, part):
    with pytest.raises(mi.SpecificationError, match=part):
        FUNCTIONS[name](news(AT), bars, symbols=symbols)


@every_function
@pytest.mark.parametrize("benchmark", ["QQQ", "^GSPCC", 5])
def test_a_benchmark_without_bars_is_refused_where_it_is_asked_for(bars, name, benchmark):
    with pytest.raises(mi.SpecificationError, match="There are no bars of"):
        FUNCTIONS[name](news(AT), bars, benchmark=benchmark)


def test_a_listing_whose_benchmark_has_no_bars_is_measured_without_one(without_benchmark):
    moves = mi.bar_moves(news(AT), without_benchmark)
    assert moves["benchmark"].null_count() == moves["excess"].null_count() == moves.height
    assert moves["ret"].null_count() == 0
    tests = mi.bar_tests(news(AT), without_benchmark, days=40)
    assert tests["beta"].null_count() == tests["benchmark_ret"].null_count() == tests.height
    assert (tests["n_days"] - tests["df"] == 1).all()
    assert mi.bar_path(news(AT), without_benchmark, days=40).frame["ar"].null_count() == 0


@every_function
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("word", ["ten", "10", "", "1.5h", "10 MIN", "min", None, 10, 0.5, True, float("nan")])
def test_words_that_are_no_length_are_refused_with_the_name_of_the_option(bars, name, end, word):
    option = ENDS[name][end]
    with pytest.raises(
        mi.SpecificationError, match=rf"^{option}=.* is no length of time. Write '10min', '90s' or '1h'"
    ):
        FUNCTIONS[name](news(AT), bars, **{option: word})


@every_function
@pytest.mark.parametrize("word", ["0min", "-5min", timedelta(0), timedelta(minutes=-5)])
def test_a_window_ends_after_the_instant(bars, name, word):
    option = ENDS[name][1]
    with pytest.raises(mi.SpecificationError, match=rf"^{option}=.* is too short. Give more than 0."):
        FUNCTIONS[name](news(AT), bars, **{option: word})


@pytest.mark.parametrize("name", ["bar_moves", "bar_tests"])
def test_a_window_begins_at_the_instant_or_before(bars, name):
    with pytest.raises(mi.SpecificationError, match=r"^before='-5min' is too short. Give 0 minutes or more."):
        FUNCTIONS[name](news(AT), bars, before="-5min")
    found = FUNCTIONS[name](news(AT), bars, before="0min", symbols=["NVDA"])
    assert found["ret"].null_count() == 0


@every_function
@pytest.mark.parametrize("word", ["9999999999999h", timedelta(days=400)])
def test_a_window_is_shorter_than_a_year(bars, name, word):
    with pytest.raises(mi.SpecificationError, match=r"is too long. Give 366 days at most."):
        FUNCTIONS[name](news(AT), bars, **{ENDS[name][1]: word})


@pytest.mark.parametrize("level", [0, 1, -0.1, "x", None, float("nan")])
def test_what_is_no_share_of_paths(bars, level):
    with pytest.raises(mi.SpecificationError, match=r"is no share of paths. Give one between 0 and 1"):
        mi.bar_path(news(AT), bars, level=level)


DAY = {"time_zone": "America/New_York"}


def test_a_day_is_a_range_and_never_a_point(bars):
    moves = mi.bar_moves(news("2025-05-07", **DAY), bars, "10min", "30min")
    assert not moves["is_point"].any()
    for name in ("ret", "excess", "benchmark_ret", "quote_before", "quote_after", "waits", "starts_at"):
        assert moves[name].null_count() == moves.height, name
    assert (moves["ret_low"] < moves["ret_high"]).all()
    assert moves["note"].unique().to_list() == ["the instant is not known to the minute: a range"]


def test_a_day_has_no_test_and_no_path_and_says_why(bars):
    tests = mi.bar_tests(news("2025-05-07", **DAY), bars)
    assert tests["symbol"].null_count() == 0
    for name in ("ret", "ar", "se", "p_value", "rank_p"):
        assert tests[name].null_count() == tests.height, name
    path = mi.bar_path(news("2025-05-07", **DAY), bars)
    assert path.frame.is_empty()
    assert path.attrition.select("announcement_id", "symbol").rows() == [
        (news_id, symbol) for news_id in ("n0", "n1") for symbol in ("AMD", "NVDA")
    ]
    for note in [*tests["note"], *path.attrition["note"]]:
        assert note == "the instant is not known to the minute: bar_moves gives a range"
    assert mi.first_movers(path).is_empty()
    with pytest.raises(mi.SpecificationError, match=r"nothing to draw; see .attrition"):
        path.plot()


def test_a_path_without_enough_past_days_is_attrition(bars):
    path = mi.bar_path(news(datetime(2025, 3, 12, 15, 30, tzinfo=UTC)), bars)
    assert path.frame.is_empty()
    assert path.attrition["note"].str.starts_with("needs 20 past sessions with the same window, here are").all()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda frame: frame.drop("band_high", "at"), "path lacks at, band_high. Give what mi.bar_path returns."),
        (lambda frame: frame.with_columns(minute=pl.lit("x")), "path: minute is of type String, not Float64."),
        (lambda frame: frame.with_columns(pl.col("at").dt.replace_time_zone(None)), "path: at is of type Datetime"),
        (lambda frame: frame.with_columns(symbol=pl.lit(5)), "path: symbol is of type Int32, not String."),
        (lambda _: pl.DataFrame(), "path lacks announcement_id"),
        (lambda _: None, "path must be a frame"),
    ],
)
def test_another_frame_is_no_path(bars, change, part):
    path = mi.bar_path(news(AT), bars, days=30)
    with pytest.raises(mi.DataError, match=part.replace(".", r"\.")):
        mi.first_movers(change(path.frame))


def test_no_path_gives_no_order(bars):
    path = mi.bar_path(news(AT), bars, days=30)
    assert mi.first_movers(path.frame.head(0)).is_empty()
    assert mi.first_movers(path.frame).equals(mi.first_movers(path))
