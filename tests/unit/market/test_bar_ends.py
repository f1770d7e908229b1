"""Where bars end, and bars that overlap others: no close counts before it was traded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.unit.market.drawn_bars import DAYS, LISTINGS, NEW_YORK, SHANGHAI, draw_bars

PRICES = ("open", "high", "low", "close")
#: Grids of vendors, as local starts and ends of a day's bars: those of IBKR, Yahoo, Yahoo with extended hours, Alpha
#: Vantage, and of Shanghai.
GRIDS = {
    "short first bar": (NEW_YORK, ["09:30", *(f"{hour}:00" for hour in range(10, 17))]),
    "short last bar": (NEW_YORK, [*(f"{hour:02}:30" for hour in range(9, 16)), "16:00"]),
    "extended, on the session's grid": (
        NEW_YORK,
        ["07:00", "08:00", "09:00", "09:30", *(f"{hour}:30" for hour in range(10, 16)), "16:00", "17:00", "18:00"],
    ),
    "extended, across opening and close": (NEW_YORK, [f"{hour:02}:30" for hour in range(4, 19)]),
    "clock hours": (NEW_YORK, [f"{hour:02}:00" for hour in range(4, 20)]),
    "two sessions a day": (SHANGHAI, ["09:30", "10:30", "11:30", "13:00", "14:00", "15:00"]),
}


def spans(name: str) -> tuple[list[datetime], list[datetime]]:
    """Starts and ends of the bars of a grid on every day, UTC."""
    zone, edges = GRIDS[name]
    starts, ends = [], []
    for day in DAYS:
        instants = [datetime.fromisoformat(f"{day}T{edge}").replace(tzinfo=zone).astimezone(UTC) for edge in edges]
        pairs = [(a, b) for a, b in pairwise(instants) if b - a <= timedelta(hours=1)]
        starts += [a for a, _ in pairs]
        ends += [b for _, b in pairs]
    return starts, ends


def hourly(name: str, stamps: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hourly bars of a grid at their starts, and with the stamps that a vendor gives."""
    starts, ends = spans(name)
    symbol = "688981.SS" if GRIDS[name][0] is SHANGHAI else "NVDA"
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 1e-3, len(starts))))
    values = dict.fromkeys(PRICES, close) | {"volume": 1e6}
    known = pl.DataFrame({"symbol": symbol, "start": pl.Series(starts, dtype=pl.Datetime("us", "UTC")), **values})
    stamped = pl.Series(starts if stamps == "start" else ends, dtype=pl.Datetime("us", "UTC"))
    return known, known.with_columns(stamped.alias("start"))


def load(frame: pl.DataFrame, stamps: str = "start") -> mi.Bars:
    return mi.Bars.load(LISTINGS, mi.BarFiles(frame, stamps=stamps))


def finding(bars: mi.Bars, name: str) -> str:
    return "".join(bars.findings.filter(pl.col("finding") == name)["detail"])


@pytest.mark.parametrize("stamps", ["start", "end"])
@pytest.mark.parametrize("name", GRIDS)
def test_the_grids_of_vendors_keep_every_bar_and_its_ends(name, stamps):
    known, stamped = hourly(name, stamps)
    bars = load(stamped, stamps)
    assert bars.frame.equals(known)
    ends = pl.Series(next(iter(bars.series())).end, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    assert ends.to_list() == spans(name)[1]
    assert finding(bars, "overlapping_bars") == ""


@pytest.mark.parametrize("minutes", [7, 30, 53])
@pytest.mark.parametrize("stamps", ["start", "end"])
@pytest.mark.parametrize("name", GRIDS)
def test_a_bar_within_another_is_left_out(name, stamps, minutes):
    known, stamped = hourly(name, stamps)
    per_day = len(known) // len(DAYS)
    row = 4 * per_day + per_day // 2 - 1  # a bar of one hour, on the fifth day
    shift = timedelta(minutes=minutes if stamps == "start" else -minutes)
    stray = stamped[row].with_columns(pl.col("start") + shift, *(pl.col(price) * 1.5 for price in PRICES))
    bars = load(pl.concat([stamped, stray]).sample(fraction=1.0, shuffle=True, seed=1), stamps)
    assert bars.frame.equals(known)
    assert bars.grid["n_bars"].to_list() == [known.height]
    when = f"{stray['start'][0]:%Y-%m-%d %H:%M:%S}"
    assert f"1 of {known.height + 1} bars overlap others of 60 minutes, stamped {when} UTC." in finding(
        bars, "overlapping_bars"
    )


def test_a_bar_at_the_close_within_one_that_runs_over_it_is_left_out():
    known, stamped = hourly("extended, across opening and close", "start")
    at_close = known.filter(pl.col("start").dt.convert_time_zone("America/New_York").dt.strftime("%H:%M") == "15:30")
    stray = at_close[4].with_columns(pl.col("start") + timedelta(minutes=30))
    assert load(pl.concat([stamped, stray])).frame.equals(known)


def test_a_later_price_is_no_quote_before_the_news():
    # a bar of a live download at 19:41:01: the close of the bar from 19:40 is that of 19:45
    five = pl.concat([draw_bars("NVDA"), draw_bars("SPY")])
    first = datetime(2025, 3, 12, 19, 40, tzinfo=UTC)
    close = pl.when(pl.col("start") >= first).then(pl.col("close") * 1.1).otherwise("close")
    known = five.with_columns(close=close).with_columns(high=pl.max_horizontal("high", "close"))
    live = known.filter(pl.col("symbol") == "NVDA", pl.col("start") == first)
    mixed = pl.concat([known, live.with_columns(pl.col("start") + timedelta(seconds=61))])
    news = pl.DataFrame({"announcement_id": ["rule", "again"], "announced_at": ["2025-03-12T19:41:42Z"] * 2,
                         "stance": ["permissive"] * 2, "headline": ["Rule is rescinded"] * 2})  # fmt: skip
    clean, cut = (mi.bar_moves(news, load(frame), "0min", "10min") for frame in (known, mixed))
    assert cut.equals(clean)
    own = known.filter(pl.col("symbol") == "NVDA")
    quotes = [own.filter(pl.col("start") == first + timedelta(minutes=k))["close"][0] for k in (-5, 5)]
    assert cut.filter(pl.col("symbol") == "NVDA")["ret"].to_list() == pytest.approx([quotes[1] / quotes[0] - 1] * 2)


def test_a_live_bar_at_the_end_stays():
    bars = draw_bars("NVDA")[:-20]
    live = bars[-1].with_columns(pl.col("start") + timedelta(seconds=336))
    assert load(pl.concat([bars, live])).frame.height == bars.height + 1


def test_inexact_stamps_keep_every_bar_for_its_whole_length():
    bars = draw_bars("NVDA")
    seconds = np.random.default_rng(5).choice([0, 0, 0, 4, 9, 14], bars.height)
    inexact = bars.with_columns(pl.col("start") + pl.duration(seconds=pl.Series(seconds)))
    loaded = load(inexact)
    assert loaded.frame.equals(inexact)
    series = next(iter(loaded.series()))
    begins_last = pl.Series(series.start).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone("America/New_York")
    length = (series.end - series.start)[(begins_last.dt.strftime("%H:%M") != "15:55").to_numpy()]
    assert set(length) == {300_000_000}


@pytest.mark.parametrize(
    ("every", "minutes", "stamps"), [(20, 60, "start"), (30, 60, "start"), (5, 15, "start"), (5, 15, "end")]
)
def test_bars_that_are_longer_than_their_distance_are_refused(every, minutes, stamps):
    # each bar of `minutes` begins `every` minutes after the one before
    short = draw_bars("NVDA", minutes=every)
    n = minutes // every
    moving = short.with_columns(pl.col("close").shift(1 - n), high=pl.col("high").max() * 2, low=pl.lit(1.0))
    whole = moving.filter((pl.col("start").dt.date() == pl.col("start").dt.date().shift(1 - n)).fill_null(value=False))
    shift = timedelta(minutes=minutes if stamps == "end" else 0)
    words = f"NVDA has bars every {every} minutes that are {minutes} minutes long"
    with pytest.raises(mi.DataError, match=words):
        load(whole.with_columns(pl.col("start") + shift), stamps)


def test_two_series_in_one_file_are_refused():
    bars = draw_bars("NVDA", minutes=60)
    other = bars.gather_every(3).with_columns(pl.col("start") + timedelta(minutes=20))
    with pytest.raises(mi.DataError, match=r"24 of 94 bars overlap others of 60 minutes, .* Load the bars of") as e:
        load(pl.concat([bars, other]))
    assert e.value.counts == {"overlapping_bars": 24}
    assert e.value.rows["start"].to_list() == other["start"].to_list()
