"""Bars by the hours of their exchange: zones, ends, repeats, and a fault planted for every finding."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.market.bar_checks import BAR_FINDINGS
from tests.conftest import ROOT, SHARED
from tests.unit.market.drawn_bars import DAYS, LISTINGS, draw_bars, draw_market

FIVE = timedelta(minutes=5)
PRICES = ("open", "high", "low", "close")


def load(frame: pl.DataFrame, **options) -> mi.Bars:
    return mi.Bars.load(LISTINGS, mi.BarFiles(frame, **options))


def kinds(bars: mi.Bars) -> dict[str, float]:
    return dict(bars.findings.select("finding", "value").iter_rows())


def test_bars_of_several_exchanges_come_back_as_they_were():
    frame = draw_market()
    bars = load(frame.sample(fraction=1.0, shuffle=True, seed=3))
    assert bars.frame.equals(frame.sort("symbol", "start"))
    assert bars.grid["interval_minutes"].to_list() == [5.0] * 4
    assert bars.grid["n_sessions"].to_list() == [len(DAYS)] * 4
    assert set(kinds(bars)) == {"regular_hours_only"}
    assert bars.missing == ()


def test_local_time_sold_as_utc_is_refused_and_read_when_said():
    local = pl.col("start").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    sold = draw_bars("NVDA").with_columns(local.dt.replace_time_zone("UTC").alias("start"))
    with pytest.raises(mi.DataError, match="their clock is that of America/New_York"):
        load(sold)
    assert load(sold, time_zone="America/New_York").frame.equals(draw_bars("NVDA"))


def test_a_benchmark_of_another_exchange_needs_a_row_of_its_own():
    frame = pl.concat([draw_bars("SPY"), draw_bars("688981.SS")])
    alone = pl.DataFrame({"symbol": ["688981.SS"], "mic": ["XSHG"], "benchmark": ["SPY"]})
    with pytest.raises(mi.DataError, match="SPY has no row of its own in the securities"):
        mi.Bars.load(alone, mi.BarFiles(frame))
    assert load(frame).grid["symbol"].to_list() == ["688981.SS", "SPY"]


@pytest.mark.parametrize(("symbol", "zone"), [("NVDA", "America/New_York"), ("NVDA", "America/Los_Angeles"),
                                              ("688981.SS", "Asia/Shanghai")])  # fmt: skip
def test_stamps_without_a_zone_are_refused_with_the_one_that_fits(symbol, zone):
    bars = draw_bars(symbol)
    naive = bars.with_columns(pl.col("start").dt.convert_time_zone(zone).dt.replace_time_zone(None))
    with pytest.raises(mi.DataError, match=f"time_zone='{zone}'"):
        load(naive)
    assert load(naive, time_zone=zone).frame.equals(bars)


def test_a_zone_that_was_said_and_does_not_fit_is_reported():
    naive = draw_bars("NVDA").with_columns(pl.col("start").dt.replace_time_zone(None))
    assert kinds(load(naive, time_zone="America/New_York"))["doubtful_zone"] == 1.0


@pytest.mark.parametrize("symbol", ["NVDA", "688981.SS"])
def test_stamps_of_ends_are_found_and_moved(symbol):
    minutes = 60 if symbol.endswith(".SS") else 5
    bars = draw_bars(symbol, minutes=minutes)
    shifted = bars.with_columns(pl.col("start") + timedelta(minutes=minutes))
    loaded = load(shifted)
    assert loaded.frame.equals(bars)
    assert loaded.grid["stamps"].to_list() == ["end"]
    assert kinds(loaded)["end_stamps"] == 1.0


def test_a_bar_over_the_close_in_extended_hours_ends_after_the_close():
    bars = draw_bars("NVDA", minutes=60)
    after = [bars.with_columns(pl.col("start") + timedelta(hours=k)) for k in range(-5, 4)]
    loaded = load(pl.concat([bars, *after]).unique("start"))  # at half past each hour from 04:30 to 18:30
    series = next(iter(loaded.series()))
    assert set(series.end - series.start) == {3_600_000_000}


@pytest.mark.parametrize("repeats", [0, 9])
def test_a_short_bar_before_the_close_with_a_stamp_of_its_end_ends_no_other_bar_early(repeats):
    bars = draw_bars("NVDA", minutes=60)  # the last of a session has half an hour
    local = pl.col("start").dt.convert_time_zone("America/New_York")
    closes = local.dt.replace(hour=16, minute=0).dt.convert_time_zone("UTC")
    at_ends = bars.with_columns(pl.min_horizontal(pl.col("start") + timedelta(hours=1), closes).alias("start"))
    loaded = load(pl.concat([at_ends, at_ends.head(repeats)]))
    assert loaded.grid["stamps"].to_list() == ["end"]
    assert loaded.frame.equals(bars)
    ends = next(iter(loaded.series())).end
    assert pl.Series(ends).cast(pl.Datetime("us", "UTC")).equals(at_ends["start"])
    assert "off_grid" not in kinds(loaded)


def test_what_was_said_of_the_stamps_holds():
    shifted = draw_bars("NVDA").with_columns(pl.col("start") + FIVE)
    loaded = load(shifted, stamps="start")
    assert loaded.frame.equals(shifted)
    assert kinds(loaded)["doubtful_stamps"] == 1.0
    for frame, stated in ((draw_bars("NVDA"), "start"), (shifted, "end")):
        assert set(kinds(load(frame, stamps=stated))) == {"regular_hours_only"}


def test_a_bar_ends_one_interval_on_or_where_the_session_closes():
    hourly = draw_bars("NVDA", minutes=60)  # the last of each day begins at 15:30
    series = next(iter(load(hourly).series()))
    length = ((series.end - series.start) / 60e6).reshape(len(DAYS), -1)
    assert np.array_equal(length, np.tile([60.0] * 6 + [30.0], (len(DAYS), 1)))


def test_bars_of_one_stamp_that_differ_are_refused():
    bars = draw_bars("NVDA")
    twice = pl.concat([bars, bars.head(2).with_columns(pl.col("close") * 1.0001)])
    with pytest.raises(mi.DataError, match="2 stamps of NVDA have bars that differ") as error:
        load(twice)
    assert error.value.counts == {"conflicting_bars": 2}
    assert error.value.rows.height == 4


def planted(name: str) -> tuple[pl.DataFrame, dict[str, str]]:
    """Bars of NVDA with one fault, and options of their source."""
    days = [*DAYS, *[day + timedelta(days=14) for day in DAYS]]
    bars = draw_bars("NVDA", days)
    row, day = pl.int_range(pl.len()), pl.col("start").dt.date()
    changed = {
        "conflicting_bars": pl.concat([bars, bars.head(1).with_columns(close=pl.col("close") * 1.0001)]),
        "impossible_bar": bars.with_columns(high=pl.when(row == 100).then(pl.col("low") * 0.9).otherwise("high")),
        "repeated_bars": pl.concat([bars, bars.head(3)]),
        "empty_bars": bars.with_columns(close=pl.when(row == 100).then(None).otherwise("close")),
        "overlapping_bars": pl.concat([bars, bars[100].with_columns(pl.col("start") + FIVE / 4)]),
        "off_grid": bars.with_columns(start=pl.when(row == 77).then(pl.col("start") + FIVE / 4).otherwise("start")),
        "split_like_jump": bars.with_columns(
            pl.when(day > days[9]).then(pl.col(name) / 10).otherwise(name) for name in PRICES
        ),
        "bad_print": bars.with_columns(high=pl.when(row == 100).then(pl.col("high") * 1.1).otherwise("high")),
        "copied_bars": bars.with_columns(
            *(pl.when(row == 100).then(pl.col("close").shift(1)).otherwise(c).alias(c) for c in PRICES),
            volume=pl.when(row == 100).then(0.0).otherwise("volume"),
        ),
        "volume_break": bars.with_columns(pl.when(day > days[9]).then(pl.col("volume") * 30).otherwise("volume")),
        "thin_bars": bars.filter(row % 4 != 3),
        "partial_last_session": bars.head(bars.height - 20),
        "hours_without_bars": bars.filter(row % 78 < 72),
        "missing_session": bars.filter(day != days[3]),
        "short_session": bars.filter((day != days[3]) | (pl.col("start").dt.hour() < 16)),
        "halt": bars.filter(~row.is_between(100, 104)),
        "zero_volume": bars.with_columns(volume=pl.when(row == 100).then(0.0).otherwise("volume")),
        "end_stamps": bars.with_columns(pl.col("start") + FIVE),
        "stamps_assumed": bars.filter(pl.col("start").dt.minute() % 30 == 10),
        "regular_hours_only": bars,
        "doubtful_stamps": bars,
        "doubtful_zone": bars.with_columns(pl.col("start").dt.replace_time_zone(None)),
    }  # fmt: skip
    options = {"doubtful_zone": {"time_zone": "America/New_York"}, "doubtful_stamps": {"stamps": "end"}}
    return changed[name], options.get(name, {})


@pytest.mark.parametrize("name", BAR_FINDINGS)
def test_every_finding_is_found_where_it_was_planted(name):
    frame, options = planted(name)
    if BAR_FINDINGS[name].severity == "error":
        with pytest.raises(mi.DataError) as error:
            load(frame, **options)
        assert error.value.counts == {name: 1}
        return
    found = kinds(load(frame, **options))
    assert found[name] == {"repeated_bars": 3.0, "hours_without_bars": 20.0}.get(name, 1.0) or name in (
        "thin_bars",
        "regular_hours_only",
    )
    assert name == "regular_hours_only" or name not in kinds(load(draw_bars("NVDA")))


def details(bars: mi.Bars, name: str) -> list[str]:
    return bars.findings.filter(pl.col("finding") == name)["detail"].to_list()


@pytest.mark.parametrize(("symbol", "minutes"), [("NVDA", 5), ("NVDA", 60), ("688981.SS", 5)])
def test_sessions_without_their_first_or_last_bars_are_counted(symbol, minutes):
    bars = draw_bars(symbol, minutes=minutes)
    local = pl.col("start").dt.convert_time_zone("Asia/Shanghai" if symbol.endswith(".SS") else "America/New_York")
    last = max(bars.select(local.dt.time().unique().sort()).to_series())  # the last bar of NVDA's hours begins at 15:30
    lacking = {5: 5, 60: 30}[minutes]
    one_day = bars.filter((local.dt.time() < last) | (local.dt.date() != DAYS[2]))
    assert details(load(one_day), "hours_without_bars") == []
    cut = load(bars.filter(local.dt.time() < last))
    words = f"the bars end {lacking} minutes before the close on 10 of 10 sessions. The source leaves out"
    assert details(cut, "hours_without_bars")[0].startswith(words)
    assert cut.findings.filter(pl.col("finding") == "hours_without_bars")["value"].to_list() == [10.0]


def test_sessions_without_their_first_bars_are_counted_beside_those_without_their_last():
    bars = draw_bars("NVDA")
    row, day = pl.int_range(pl.len()) % 78, pl.col("start").dt.date()
    cut = load(bars.filter((row >= 3) | (day == DAYS[0]), (row < 72) | (day < DAYS[6])))
    words = (
        "the bars begin 15 minutes after the opening on 9 of 10 sessions and end 30 minutes before the close on 4 of 10"
    )
    assert details(cut, "hours_without_bars")[0].startswith(words)


def test_a_pause_is_reported_from_its_start_on():
    bars = draw_bars("NVDA")
    paused = load(bars.filter(~pl.int_range(pl.len()).is_between(100, 104)))  # bar 99 is that of 11:15
    assert details(paused, "halt")[0].startswith(
        "1 pauses of 15 minutes or more within a session, first 2025-03-04 16:20 UTC"
    )


def test_a_clock_time_that_was_never_shown_is_refused():
    naive = draw_bars("NVDA").with_columns(
        pl.col("start").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    )
    never = naive.with_columns(
        start=pl.when(pl.int_range(pl.len()) == 7).then(datetime(2025, 3, 9, 2, 30)).otherwise("start")
    )
    with pytest.raises(mi.DataError, match="1 stamps of NVDA do not exist in America/New_York"):
        load(never, time_zone="America/New_York")


def test_one_stamp_without_a_zone_among_others_is_refused():
    text = pl.col("start").dt.strftime("%Y-%m-%d %H:%MZ")
    mixed = draw_bars("NVDA").with_columns(
        start=pl.when(pl.int_range(pl.len()) == 7).then(text.str.strip_suffix("Z")).otherwise(text)
    )
    with pytest.raises(mi.DataError, match="have no time zone"):
        load(mixed)


@pytest.mark.parametrize("value", [float("inf"), 0.0, -1.0])
def test_prices_that_cannot_be_are_refused(value):
    wrong = draw_bars("NVDA").with_columns(high=pl.when(pl.int_range(pl.len()) == 7).then(value).otherwise("high"))
    with pytest.raises(mi.DataError, match="prices that cannot be"):
        load(wrong)


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), -1.0])
def test_volumes_that_cannot_be_are_refused(value):
    wrong = draw_bars("NVDA").with_columns(volume=pl.when(pl.int_range(pl.len()) == 7).then(value).otherwise("volume"))
    with pytest.raises(
        mi.DataError, match=f"NVDA: 1 bars with a volume that cannot be, .* first {value:g} at"
    ) as error:
        load(wrong)
    assert error.value.counts == {"impossible_bar": 1}


def test_nothing_is_filled():
    frame, _ = planted("missing_session")
    assert load(frame).frame.height == frame.height


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        (draw_bars("NVDA").gather_every(78), "Give intraday bars"),
        (draw_bars("NVDA").head(1), "fewer than two bars"),
    ],
)  # fmt: skip
def test_what_is_not_intraday_is_refused(frame, part):
    with pytest.raises(mi.DataError, match=part):
        load(frame)


@pytest.mark.parametrize(
    ("symbol", "first", "second"),
    [("NVDA", 5, 1), ("NVDA", 1, 5), ("NVDA", 60, 15), ("688981.SS", 5, 1), ("688981.SS", 1, 15)],
)
def test_bars_of_two_lengths_are_refused(symbol, first, second):
    words = f"{first}-minute bars until 2025-03-07 and {second}-minute bars from 2025-03-10"
    mixed = pl.concat([draw_bars(symbol, DAYS[:5], first), draw_bars(symbol, DAYS[5:], second)])
    with pytest.raises(mi.DataError, match=f"{symbol} has {words}. A symbol has bars of one length: load") as error:
        load(mixed.sample(fraction=1.0, shuffle=True, seed=2))
    assert error.value.counts == {"mixed_lengths": 5}


def test_longer_bars_on_single_days_are_refused():
    days = [draw_bars("NVDA", [day], 5 if k in (2, 6) else 1) for k, day in enumerate(DAYS)]
    with pytest.raises(mi.DataError, match="5-minute bars on 2 sessions from 2025-03-05 to 2025-03-11 among 1-minute"):
        load(pl.concat(days))


def test_shorter_bars_on_single_days_are_refused():
    days = [draw_bars("NVDA", [day], 30 if k == 4 else 60) for k, day in enumerate(DAYS)]
    with pytest.raises(mi.DataError, match="30-minute bars on 1 sessions from 2025-03-07 to 2025-03-07 among 60-min"):
        load(pl.concat(days))


def test_a_thin_session_has_no_other_length():
    minute = draw_bars("NVDA", minutes=1)
    rng = np.random.default_rng(7)
    thin = minute.filter((pl.col("start").dt.date() != DAYS[3]) | pl.Series(rng.uniform(size=minute.height) < 0.3))
    assert load(thin).grid["interval_minutes"].to_list() == [1.0]


def test_other_doors():
    with pytest.raises(mi.SpecificationError, match=r"Give mi.BarFiles"):
        mi.Bars.load(LISTINGS, mi.SamplePrices())
    with pytest.raises(mi.SourceError, match="has no bars of"):
        mi.Bars.load(LISTINGS, mi.BarFiles(draw_bars("NVDA").with_columns(symbol=pl.lit("TSM"))))
    with pytest.raises(mi.SpecificationError, match="no bars of 'NVDAA'"):
        list(load(draw_bars("NVDA")).series(["NVDAA"]))


def test_symbols_in_another_case_get_a_hint():
    bars = draw_bars("NVDA")
    with pytest.raises(mi.SourceError, match=r"symbol='nvda', .* 'SPY', .* Did you mean 'NVDA'\? Give both the same"):
        load(bars, symbol="nvda")
    with pytest.raises(mi.SourceError, match="upper and lower case too"):
        load(bars.with_columns(symbol=pl.lit("nvda")))
    with pytest.raises(mi.SpecificationError, match=r"no bars of 'nvda'. Did you mean 'NVDA'"):
        list(load(bars).series(["nvda"]))
    with pytest.raises(mi.SpecificationError, match=r"symbols='NVDA' is text. Give a list: \['NVDA'\]"):
        list(load(bars).series("NVDA"))


# --- real bars, beside the checkout -----------------------------------------------------------------------------------

REAL = SHARED / "data" / "bars"
US = ("NVDA", "SPY", "SMH")
LOWER = {name: name.lower() for name in ("Open", "High", "Low", "Close", "Volume")}
#: Raw file -> options in turn, each with what is said, or None where it loads.
RAW = {
    "yfinance_multiindex_NVDA_15m.csv": [({}, None)],
    "utc_label_but_new_york_clock_NVDA_1m.parquet": [
        ({}, "clock is that of America/New_York"), ({"time_zone": "America/New_York"}, None)],
    "minus0400_label_but_utc_clock_end_stamped_SMH_5m_excerpt.csv": [
        ({"symbol": "SMH"}, "begins with a row of values"),
        ({"symbol": "SMH", "columns": ["start", "open", "high", "low", "close", "volume"]}, "clock is that of UTC"),
        ({"symbol": "SMH", "columns": ["start", "open", "high", "low", "close", "volume"], "time_zone": "UTC",
          "stamps": "end"}, None)],
    "pacific_naive_duplicates_unadjusted_NVDA_5m_excerpt.csv": [
        ({"symbol": "NVDA"}, "several columns that could be 'start'"),
        ({"symbol": "NVDA", "columns": {"date": "start"}}, "time_zone='America/Los_Angeles'"),
        ({"symbol": "NVDA", "columns": {"datetime": "start"}}, None)],
    "split_leak_mixed_grid_naive_et_NVDA_1h_ext_excerpt.csv": [
        ({"symbol": "NVDA"}, "time_zone='America/New_York'"),
        ({"symbol": "NVDA", "time_zone": "America/New_York"}, None)],
    "two_column_sets_SPY_1h_ext_excerpt.csv": [
        ({"symbol": "SPY"}, "several columns that could be 'open'"),
        ({"symbol": "SPY", "columns": LOWER, "time_zone": "America/New_York"}, "have bars that differ")],
    "mixed_offsets_overlap_half_hour_NVDA_1h_tail.csv": [({"symbol": "NVDA"}, None)],
    "end_stamped_lots_688981_688256_60m.csv": [
        ({}, "time_zone='Asia/Shanghai'"), ({"time_zone": "Asia/Shanghai"}, None),
        ({"time_zone": "Asia/Shanghai", "lot": 100}, None)],
    "misnamed_daily_bad_wicks_NVDA_60m_ext.json": [({}, None)],
    "folder_says_1010_content_1009_NVDA_5m.csv": [({}, None)],
    "live_offgrid_last_bar_NVDA_5m.csv": [({}, None)],
}  # fmt: skip
#: What is found in raw files that load.
FOUND = {
    "minus0400_label_but_utc_clock_end_stamped_SMH_5m_excerpt.csv": {"copied_bars"},
    "pacific_naive_duplicates_unadjusted_NVDA_5m_excerpt.csv": {"repeated_bars"},
    "split_leak_mixed_grid_naive_et_NVDA_1h_ext_excerpt.csv": {"bad_print"},
    "misnamed_daily_bad_wicks_NVDA_60m_ext.json": {"bad_print"},
    "mixed_offsets_overlap_half_hour_NVDA_1h_tail.csv": {"off_grid", "overlapping_bars"},
    "end_stamped_lots_688981_688256_60m.csv": {"end_stamps", "partial_last_session", "short_session"},
    "live_offgrid_last_bar_NVDA_5m.csv": {"off_grid"},
}


def real_listings() -> pl.DataFrame:
    firms = {**dict.fromkeys(US, "XNAS"), "688981.SS": "XSHG", "688256.SS": "XSHG"}
    return pl.DataFrame({"symbol": list(firms), "mic": list(firms.values())})


@pytest.mark.shared
@pytest.mark.parametrize("name", RAW)
def test_raw_files_load_right_or_are_refused_with_the_reason(name, shared):
    if not (REAL / "raw" / name).exists():
        pytest.skip("needs ../shared/data/bars, which is not part of the repository")
    assert shared
    for options, part in RAW[name]:
        source = mi.BarFiles(REAL / "raw" / name, **options)
        if part is None:
            bars = mi.Bars.load(real_listings(), source)
            assert FOUND.get(name, set()) <= set(bars.findings["finding"])
            assert float(bars.grid["extended_share"].max()) < 0.7
            continue
        with pytest.raises(mi.DataError) as error:
            mi.Bars.load(real_listings(), source)
        assert part in str(error.value)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("raw", "options", "clean", "columns"),
    [
        ("misnamed_daily_bad_wicks_NVDA_60m_ext.json", {}, "NVDA_60m_hkuds_ext", ("open", "close", "volume")),
        ("end_stamped_lots_688981_688256_60m.csv", {"time_zone": "Asia/Shanghai", "lot": 100}, "688981.SS_60m_ashare",
         (*PRICES, "volume")),
        ("end_stamped_lots_688981_688256_60m.csv", {"time_zone": "Asia/Shanghai", "lot": 100}, "688256.SS_60m_ashare",
         (*PRICES, "volume")),
        ("mixed_offsets_overlap_half_hour_NVDA_1h_tail.csv", {"symbol": "NVDA"}, "NVDA_1h_heliar", PRICES),
    ],
)  # fmt: skip
def test_raw_files_give_the_bars_that_were_cleaned_apart(raw, options, clean, columns, shared):
    if not (REAL / "raw" / raw).exists():
        pytest.skip("needs ../shared/data/bars, which is not part of the repository")
    assert shared
    known = pl.read_parquet(REAL / f"{clean}.parquet").select("symbol", "start", *columns)
    loaded = mi.Bars.load(real_listings(), mi.BarFiles(REAL / "raw" / raw, **options)).frame
    if clean == "NVDA_1h_heliar":  # the raw file is its tail
        known = known.filter(pl.col("start") >= loaded["start"].min())
        assert loaded["start"].equals(known["start"])
    both = known.join(loaded, on=["symbol", "start"], how="left", validate="1:1")
    for name in columns:
        assert np.allclose(both[name], both[f"{name}_right"], rtol=0, atol=1e-4), name


@pytest.mark.shared
def test_every_raw_file_is_walked(shared):
    if not REAL.exists():
        pytest.skip("needs ../shared/data/bars, which is not part of the repository")
    assert shared
    assert {path.name for path in (REAL / "raw").iterdir()} == set(RAW)


@pytest.mark.shared
def test_the_clean_files_load(shared):
    files = sorted(REAL.glob("*.parquet"))
    if not files:
        pytest.skip("needs ../shared/data/bars, which is not part of the repository")
    assert shared
    quality = pl.read_csv(REAL / "quality.csv").select("file", "rows", "symbol")
    rows = {file: (n, symbol) for file, n, symbol in quality.iter_rows()}
    for path in files:
        n, symbol = rows[path.name]
        mic = {"KS": "XKRX", "SS": "XSHG"}.get(symbol.rpartition(".")[2], "XNAS")
        bars = mi.Bars.load(pl.DataFrame({"symbol": [symbol], "mic": [mic]}), mi.BarFiles(path))
        assert bars.grid["n_bars"].to_list() == [n], path.name
        assert bars.grid["stamps"].to_list() == ["start"], path.name
    assert len(files) == 95


def test_the_page_lists_every_finding():
    page = (ROOT / "docs" / "howto" / "minute_bars.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| (error|warning|note) \|", page, flags=re.MULTILINE)
    assert listed == [(name, kind.severity) for name, kind in BAR_FINDINGS.items()]
