"""Moves around announcements in bars, against plain loops over rows of the frame."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.market.bar_windows import microseconds
from tests.conftest import SHARED
from tests.unit.market.drawn_bars import DAYS, LISTINGS, draw_bars, draw_market

FRAME = draw_market()
#: In the session, on a bar's start and inside a bar; before the opening, after the close, on a weekend, in the last
#: minutes; two firms and one date repeat.
INSTANTS = [
    "2025-03-04T16:00:00Z", "2025-03-04T16:02:00Z", "2025-03-06T13:00:00Z", "2025-03-06T22:10:00Z",
    "2025-03-08T12:00:00Z", "2025-03-11T19:55:00Z", "2025-03-11T04:15:00Z", "2025-03-11T13:31:00Z",
]  # fmt: skip


def news(instants: list[str], **columns) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "announcement_id": [f"n{k}" for k in range(len(instants))],
            "announced_at": instants,
            "stance": ["restrictive"] * len(instants),
            "headline": ["A rule"] * len(instants),
            **columns,
        }
    )


@pytest.fixture(scope="module")
def bars() -> mi.Bars:
    return mi.Bars.load(LISTINGS, mi.BarFiles(FRAME))


def is_open(instant: datetime, symbol: str) -> bool:
    """Check whether New York or Shanghai is open, by the starts of the bars drawn: none is missing."""
    rows = FRAME.filter(pl.col("symbol") == symbol)["start"]
    return any(start <= instant < start + timedelta(minutes=5) for start in rows)


def loop(instant: datetime, symbol: str, before: timedelta, after: timedelta) -> tuple[datetime, float] | None:
    """Quotes before and after by a plain loop; bars of five minutes without holes."""
    rows = [(r[1], r[5]) for r in FRAME.filter(pl.col("symbol") == symbol).sort("start").iter_rows()]
    five, begin = timedelta(minutes=5), instant
    if not is_open(instant, symbol) and symbol != "688981.SS":
        begin = next(start for start, _ in rows if start >= instant)
    early = [close for start, close in rows if start + five <= instant - before]
    late = [close for start, close in rows if start + five <= begin + after]
    inside = [start for start, _ in rows if instant < start + five <= begin + after]
    return (begin, late[-1] / early[-1] - 1.0) if early and late and inside else None


@pytest.mark.parametrize(("before", "after"), [(0, 10), (10, 20), (15, 45), (60, 240)])
def test_moves_are_those_of_a_plain_loop(bars, before, after):
    found = mi.bar_moves(news(INSTANTS), bars, f"{before}min", f"{after}min", symbols=["NVDA", "AMD"])
    assert found.height == 2 * len(INSTANTS)
    for row in found.iter_rows(named=True):
        instant = datetime.fromisoformat(INSTANTS[int(row["announcement_id"][1:])])
        minutes = timedelta(minutes=before), timedelta(minutes=after)
        begin, ret = loop(instant, row["symbol"], *minutes)
        assert row["starts_at"] == begin
        assert row["ret"] == pytest.approx(ret, rel=1e-12)
        _, other = loop(instant, "SPY", *minutes)
        assert row["benchmark"] == "SPY"
        assert row["excess"] == pytest.approx(ret - other, rel=1e-9)
        assert row["is_point"]
        assert row["ret_low"] == row["ret_high"] == row["ret"]


def test_news_outside_trading_meets_the_first_bar(bars):
    row = mi.bar_moves(news(["2025-03-08T12:00:00Z"]), bars, "10min", "20min", symbols=["NVDA"]).row(0, named=True)
    assert row["waits"]
    assert row["quote_before"] == datetime(2025, 3, 7, 21, 0, tzinfo=UTC)
    assert row["starts_at"] == datetime(2025, 3, 10, 13, 30, tzinfo=UTC)
    assert row["quote_after"] == datetime(2025, 3, 10, 13, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("clock", "before", "quote_before"),
    [("04:00", "10min", "03:30"), ("03:30", "10min", "03:20"), ("03:32", "10min", "03:20"), ("04:59", "0min", "03:30")],
)
def test_news_in_the_break_of_shanghai_waits_for_its_end(bars, clock, before, quote_before):
    """The break is 11:30 to 13:00, or 03:30 to 05:00 UTC."""
    at = f"2025-03-04T{clock}:00Z"
    row = mi.bar_moves(news([at]), bars, before, "20min", symbols=["688981.SS"]).row(0, named=True)
    rows = FRAME.filter(pl.col("symbol") == "688981.SS")

    def close(end: str) -> float:
        start = datetime.fromisoformat(f"2025-03-04T{end}:00Z") - timedelta(minutes=5)
        return rows.filter(pl.col("start") == start)["close"].item()

    assert row["waits"]
    assert row["starts_at"] == datetime(2025, 3, 4, 5, 0, tzinfo=UTC)
    assert row["quote_before"] == datetime.fromisoformat(f"2025-03-04T{quote_before}:00Z")
    assert row["quote_after"] == datetime(2025, 3, 4, 5, 20, tzinfo=UTC)
    assert row["ret"] == pytest.approx(close("05:20") / close(quote_before) - 1.0, rel=1e-12)
    assert row["note"] == ""


def test_news_at_the_end_of_the_break_does_not_wait(bars):
    found = mi.bar_moves(news(["2025-03-04T05:00:00Z", "2025-03-04T03:29:00Z"]), bars, symbols=["688981.SS"])
    assert not found["waits"].any()


@pytest.mark.parametrize("after", ["10min", "120min"])
def test_bars_that_end_in_the_window_give_no_return(after):
    cut = FRAME.filter(pl.col("start") < datetime(2025, 3, 14, 18, 5, tzinfo=UTC))  # to 14:05 in New York
    bars = mi.Bars.load(LISTINGS, mi.BarFiles(cut))
    at = ["2025-03-14T18:00:00Z", "2025-03-13T18:00:00Z"]
    found = mi.bar_moves(news(at), bars, "10min", after, symbols=["NVDA"])
    assert found["note"].to_list() == ["the bars end before the window does", ""]
    assert found["ret"].is_null().to_list() == [True, False]
    inside = mi.bar_moves(news(at), bars, "10min", "9min", symbols=["NVDA"])
    assert inside["note"].to_list() == ["", ""]


def test_extended_hours_that_end_in_the_window_are_no_missing_bars():
    parts = [FRAME.with_columns(pl.col("start") + timedelta(minutes=k * 5)) for k in range(-24, 25)]
    extended = pl.concat([FRAME, *parts]).filter(pl.col("symbol") == "NVDA").unique("start")  # 07:30 to 18:00
    cut = extended.filter(pl.col("start") < datetime(2025, 3, 14, 21, 55, tzinfo=UTC))
    at = news(["2025-03-14T21:50:00Z", "2025-03-13T21:50:00Z"])
    ended = "extended hours ended after 10 minutes"
    for frame, note in ((extended, ended), (cut, "the bars end before the window does")):
        bars = mi.Bars.load(LISTINGS.drop("benchmark"), mi.BarFiles(frame))
        assert mi.bar_moves(at, bars, "10min", "60min")["note"].to_list() == [note, ended]


def test_a_benchmark_that_ends_in_the_window_has_no_return():
    cut = pl.col("start") < datetime(2025, 3, 14, 18, 5, tzinfo=UTC)
    bars = mi.Bars.load(LISTINGS, mi.BarFiles(FRAME.filter((pl.col("symbol") != "SPY") | cut)))
    row = mi.bar_moves(news(["2025-03-14T18:00:00Z"]), bars, symbols=["NVDA"]).row(0, named=True)
    assert row["ret"] is not None
    assert row["excess"] is None


@pytest.mark.parametrize(
    ("at", "symbol", "minutes"),
    [
        ("2025-03-14T19:50:00Z", "NVDA", 10),
        ("2025-03-11T19:55:00Z", "AMD", 5),
        ("2025-03-14T06:52:00Z", "688981.SS", 8),
    ],
)
def test_a_session_that_closes_in_the_window_keeps_its_return_and_says_so(bars, at, symbol, minutes):
    found = mi.bar_moves(news([at]), bars, "10min", "20min", symbols=[symbol])
    assert found["note"].item() == f"the session closed after {minutes} minutes"
    assert found["ret"].null_count() == 0


def test_a_benchmark_that_was_named_and_has_no_bars_is_reported():
    bars = mi.Bars.load(LISTINGS, mi.BarFiles(FRAME.filter(pl.col("symbol") != "SPY")))
    found = mi.bar_moves(news(INSTANTS[:1]), bars, symbols=["NVDA", "688981.SS"])
    assert found["note"].to_list() == ["", "no bars of the benchmark SPY: nothing is subtracted"]


@pytest.mark.parametrize(
    "columns",
    [
        {"time_precision": ["hour"]},
        {"not_before": ["2025-03-04T15:30:00Z"], "not_after": ["2025-03-04T16:31:00Z"]},
    ],
)
def test_an_instant_not_known_to_the_minute_gives_the_range_over_every_minute(bars, columns):
    dated = news(["2025-03-04T16:00:00Z"], **columns)
    row = mi.bar_moves(dated, bars, "10min", "20min", symbols=["NVDA"]).row(0, named=True)
    minutes = [
        row["earliest"] + timedelta(minutes=k) for k in range(int((row["latest"] - row["earliest"]).seconds / 60) + 1)
    ]
    each = [loop(minute, "NVDA", timedelta(minutes=10), timedelta(minutes=20))[1] for minute in minutes]
    assert row["ret"] is None
    assert row["excess"] is None
    assert not row["is_point"]
    assert len(minutes) > 60
    assert row["ret_low"] == pytest.approx(min(each), rel=1e-12)
    assert row["ret_high"] == pytest.approx(max(each), rel=1e-12)


def test_a_day_is_a_range_over_its_openings_too(bars):
    dated = news(["2025-03-04"], time_zone=["America/New_York"])
    row = mi.bar_moves(dated, bars, "0min", "5min", symbols=["NVDA"]).row(0, named=True)
    early = loop(datetime(2025, 3, 4, 8, 0, tzinfo=UTC), "NVDA", timedelta(0), timedelta(minutes=5))[1]
    assert row["ret_low"] <= early <= row["ret_high"]


@pytest.mark.parametrize(
    ("instant", "note"),
    [("2025-03-01T12:00:00Z", "no bar before"), ("2025-03-14T20:00:00Z", "no bar after"),
     ("2025-03-05T16:12:00Z", "no bar in the window"), ("2025-03-11T22:00:00Z", "a session without bars")],
)  # fmt: skip
def test_no_return_has_its_reason(instant, note):
    halted = pl.col("start").is_between(
        datetime(2025, 3, 5, 16, 0, tzinfo=UTC), datetime(2025, 3, 5, 17, 0, tzinfo=UTC)
    )
    holed = FRAME.filter(~halted, pl.col("start").dt.date() != DAYS[7])
    bars = mi.Bars.load(LISTINGS, mi.BarFiles(holed))
    row = mi.bar_moves(news([instant]), bars, "10min", "20min", symbols=["NVDA"]).row(0, named=True)
    assert row["note"] == note
    assert row["ret"] is None
    assert row["excess_low"] is None


def test_the_largest_bar_of_a_window_is_the_jump_that_was_planted():
    at = datetime(2025, 3, 4, 16, 5, tzinfo=UTC)
    jumped = draw_bars("NVDA").with_columns(
        pl.when(pl.col("start") >= at).then(pl.col(name) * 0.97).otherwise(name)
        for name in ("open", "high", "low", "close")
    )
    moves = mi.bar_moves(news(["2025-03-04T16:00:00Z"]), mi.Bars.load(LISTINGS, mi.BarFiles(jumped)), "0min", "20min")
    assert moves["n_bars"].to_list() == [4]
    assert moves["largest_bar"].item() == pytest.approx(-0.03, abs=0.005)


def without(symbol: str, first: str, last: str) -> pl.Expr:
    """Leave out bars of one symbol that start between two instants, both included."""
    inside = pl.col("start").is_between(datetime.fromisoformat(first), datetime.fromisoformat(last))
    return ~((pl.col("symbol") == symbol) & inside)


def moves_of(frame: pl.DataFrame, at: list[str], before: str, after: str, symbols: list[str]) -> pl.DataFrame:
    return mi.bar_moves(news(at), mi.Bars.load(LISTINGS, mi.BarFiles(frame)), before, after, symbols=symbols)


def test_a_halt_on_the_news_gives_no_return_until_trading_is_back():
    """NVDA has no bar from 16:00 to 16:40 on one day, AMD has all; the quote of 16:00 is 19 minutes old at 16:19."""
    halted = FRAME.filter(without("NVDA", "2025-03-04T16:00Z", "2025-03-04T16:35Z"))
    at = ["2025-03-04T15:59:00Z", "2025-03-05T15:59:00Z"]
    short = moves_of(halted, at, "10min", "20min", ["NVDA", "AMD"])
    assert short["ret"].is_null().to_list() == [False, True, False, False]
    words = "the last quote is 19 minutes older than the end of the window, more than half of it: a halt, a hole or few"
    assert short["note"].to_list() == ["", f"{words} trades", "", ""]
    long = moves_of(halted, at, "10min", "60min", ["NVDA", "AMD"])
    whole = moves_of(FRAME, at, "10min", "60min", ["NVDA", "AMD"])
    assert long["note"].to_list() == [""] * 4
    assert long["ret"].equals(whole["ret"])


def test_a_hole_on_every_day_gives_no_return_and_an_older_quote_a_note():
    """Bars that start from 20:30 to 20:55 (15:30 in New York, before the clocks change) are missing."""
    minutes = pl.col("start").dt.hour().cast(pl.Int32) * 60 + pl.col("start").dt.minute()
    holed = FRAME.filter(~minutes.is_between(20 * 60 + 30, 20 * 60 + 55))
    found = moves_of(holed, ["2025-03-04T20:28:00Z", "2025-03-05T20:28:00Z"], "10min", "30min", ["NVDA", "AMD"])
    assert found["ret"].null_count() == found["quote_after"].null_count() == 4
    assert found["note"].str.starts_with("the last quote is 28 minutes older").all()
    older = moves_of(holed, ["2025-03-04T20:18:00Z", "2025-03-05T20:18:00Z"], "10min", "20min", ["NVDA", "AMD"])
    assert older["ret"].null_count() == 0
    words = "the last quote is 8 minutes older than the end of the window: a halt, a hole or few trades"
    assert older["note"].to_list() == [words] * 4


def test_a_last_bar_before_the_close_that_is_missing_is_noticed_in_hourly_bars():
    """Hourly bars of New York from 9:30 end at 16:00 with half an hour; without it the quote of 15:30 is the last."""
    days = [day for day in DAYS if day.month == 3]
    hourly = pl.concat([draw_bars(symbol, days, 60) for symbol in ("NVDA", "AMD")])
    cut = hourly.filter(pl.col("start").dt.convert_time_zone("America/New_York").dt.time() != time(15, 30))
    at = ["2025-03-04T20:00:00Z", "2025-03-05T20:00:00Z"]
    assert moves_of(hourly, at, "0min", "60min", ["NVDA", "AMD"])["note"].str.contains("older").sum() == 0
    found = moves_of(cut, at, "0min", "60min", ["NVDA", "AMD"])
    assert found["ret"].null_count() == 0
    assert found["note"].str.starts_with("the last quote is 30 minutes older than the end of the window").all()


def test_a_break_that_begins_in_the_window_is_noted(bars):
    found = mi.bar_moves(news(["2025-03-04T03:20:00Z", "2025-03-05T03:20:00Z"]), bars, symbols=["688981.SS"])
    assert found["note"].to_list() == ["the break began after 10 minutes"] * 2
    later = mi.bar_moves(news(["2025-03-04T03:20:00Z"]), bars, "10min", "102min", symbols=["688981.SS"])
    assert later["note"].to_list() == [""]  # 13:02 in Shanghai: no bar after the break has ended, and none is missing
    assert later["quote_after"].item() == datetime(2025, 3, 4, 3, 30, tzinfo=UTC)


def test_thin_extended_hours_end_at_their_usual_clock_and_not_at_the_last_print():
    """Bars until 17:00 in New York, 21:00 UTC; on 2025-03-11 those of NVDA from 16:50 on are missing."""
    days = DAYS[:-2]
    late = [
        draw_bars(symbol, days)
        .filter(pl.col("start").dt.convert_time_zone("America/New_York").dt.hour() == 15)
        .with_columns(pl.col("start") + timedelta(hours=1), pl.col("volume") / 10)
        for symbol in ("NVDA", "AMD")
    ]
    frame = pl.concat([draw_bars("NVDA", days), draw_bars("AMD", days), *late])
    thin = frame.filter(without("NVDA", "2025-03-11T20:50Z", "2025-03-11T20:55Z"))
    found = moves_of(thin, ["2025-03-11T20:40:00Z", "2025-03-10T20:40:00Z"], "10min", "60min", ["NVDA", "AMD"])
    ended = "extended hours ended after 20 minutes"
    older = f"{ended}, the last quote is 10 minutes older than that: a halt, a hole or few trades"
    assert [note.partition(";")[0] for note in found["note"]] == [ended, older, ended, ended]
    assert found["ret"].null_count() == 0


def test_a_range_leaves_out_instants_whose_last_quote_is_too_old_and_says_so():
    halted = FRAME.filter(without("NVDA", "2025-03-04T16:00Z", "2025-03-04T16:35Z"))
    dated = news(["2025-03-04T16:00:00Z"], time_precision=["hour"])
    found = mi.bar_moves(dated, mi.Bars.load(LISTINGS, mi.BarFiles(halted)), symbols=["NVDA", "AMD"])
    whole = "the instant is not known to the minute: a range"
    assert found["note"].to_list() == [
        whole, f"{whole}; without instants whose last quote is older than half the window after",
    ]  # fmt: skip


def test_a_benchmark_in_a_halt_is_not_subtracted_and_that_is_noted():
    halted = FRAME.filter(without("SPY", "2025-03-04T16:05Z", "2025-03-04T16:35Z"))
    found = moves_of(halted, ["2025-03-04T16:00:00Z", "2025-03-05T16:00:00Z"], "10min", "20min", ["NVDA", "AMD"])
    assert found["ret"].null_count() == 0
    assert found["excess"].is_null().to_list() == [True, True, False, False]
    assert found["note"].str.starts_with("SPY has no bar in the window, or an old one").to_list() == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("split", ["NVDA", "SPY"])
def test_a_window_over_a_jump_like_a_split_says_so(split):
    before = (pl.col("symbol") == split) & (pl.col("start") < datetime(2025, 3, 10, tzinfo=UTC))
    unadjusted = FRAME.with_columns(
        pl.when(before).then(pl.col(name) * 10).otherwise(name) for name in ("open", "high", "low", "close")
    )
    at = ["2025-03-08T12:00:00Z", "2025-03-10T15:00:00Z"]
    found = moves_of(unadjusted, at, "10min", "20min", ["NVDA", "AMD"])
    words = f"{split} jumps like a split at 2025-03-10 13:30 UTC: if it is one, use adjusted bars"
    own = {"AMD": "" if split == "NVDA" else words, "NVDA": words}
    assert found["note"].to_list() == [own["AMD"], own["NVDA"], "", ""]
    day = mi.bar_moves(
        news(["2025-03-10"], time_zone=["America/New_York"]), mi.Bars.load(LISTINGS, mi.BarFiles(unadjusted)),
        symbols=["NVDA"],
    )  # fmt: skip
    assert day["note"].item().endswith(words)


@pytest.mark.parametrize("options", [{"benchmark": "spy"}, {"symbols": ["nvda"]}])
def test_names_in_the_wrong_case_are_suggested(bars, options):
    with pytest.raises(mi.SpecificationError, match=r"Did you mean '(SPY|NVDA)'\?"):
        mi.bar_moves(news(INSTANTS), bars, **options)


@pytest.mark.parametrize("length", ["10", 10, "ten minutes", "-5min", None, "10 parsecs"])
def test_what_is_no_length_of_time(bars, length):
    with pytest.raises(mi.SpecificationError, match="before="):
        mi.bar_moves(news(INSTANTS), bars, length, "20min")


@pytest.mark.parametrize(
    ("text", "minutes"), [("10min", 10), ("90s", 1.5), ("1h", 60), (timedelta(minutes=3), 3), ("5 m", 5)]
)
def test_lengths_of_time(text, minutes):
    assert microseconds("before", text) == minutes * 60_000_000


@pytest.mark.parametrize(
    ("options", "part"),
    [({"benchmark": "QQQ"}, "no bars of 'QQQ'"), ({"symbols": ["NVDA", "TSM"]}, "no bars of 'TSM'"),
     ({"symbols": ["NVDA", "amd"]}, "no bars of 'amd'. Did you mean 'AMD'?"), ({"symbols": []}, "names no security"),
     ({"symbols": "NVDA"}, "is text"), ({"after": "0min"}, "too short")],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(bars, options, part):
    with pytest.raises(mi.SpecificationError, match=part):
        mi.bar_moves(news(INSTANTS), bars, **options)


def test_symbols_may_be_any_list(bars):
    found = [mi.bar_moves(news(INSTANTS[:2]), bars, symbols=names) for names in (["AMD"], pl.Series(["AMD"]), {"AMD"})]
    assert found[0].height == 2
    assert found[1].equals(found[0])
    assert found[2].equals(found[0])


def dated_rows(part: pl.DataFrame) -> pl.DataFrame:
    instant = pl.col("instant_utc").str.to_datetime("%Y-%m-%dT%H:%MZ", time_zone="UTC")
    return part.select("announcement_id", announced_at=instant, stance=pl.lit("mixed"), headline=pl.lit("x"))


def test_a_benchmark_is_not_measured_against_itself(bars):
    found = mi.bar_moves(news(INSTANTS[:2]), bars, benchmark="SPY", symbols=["SPY", "NVDA"])
    assert found.filter(pl.col("symbol") == "SPY")["excess"].null_count() == 2
    assert found.filter(pl.col("symbol") == "NVDA")["excess"].null_count() == 0


def test_a_frame_is_no_bars():
    with pytest.raises(mi.SpecificationError, match=r"Give what mi.Bars.load returns"):
        mi.bar_moves(news(INSTANTS), FRAME)


#: Announcements of moves.csv; the table is not part of the repository.
IN_TABLE = 23
#: Closes of the sessions whose last hourly bar was under way at the instant, UTC.
CLOSES = {"XNAS": (20, 0), "XKRX": (6, 30)}


def hourly_loop(frame: pl.DataFrame, instant: datetime, horizon: int, mic: str) -> float | None:
    """Measure from the last quote at the instant to the last one `horizon` minutes on, in hourly bars of one day."""
    hour, minute = CLOSES[mic]
    shut = instant.replace(hour=hour, minute=minute, second=0)
    rows = frame.sort("start").select("start", "close").rows()
    following = [start for start, _ in rows[1:]] + [rows[-1][0] + timedelta(hours=1)]
    quotes = []
    for (start, close), then in zip(rows, following, strict=True):
        end = min(start + timedelta(hours=1), then)
        quotes.append((min(end, shut) if start < shut else end, close))
    early = [close for end, close in quotes if end <= instant]
    late = [close for end, close in quotes if end <= instant + timedelta(minutes=horizon)]
    return late[-1] / early[-1] - 1.0 if len(late) > len(early) else None


@pytest.mark.shared
def test_the_first_table_of_real_moves(shared):
    """Every row of moves.csv, made apart from this project, has the same quotes and return, but for two kinds of rows.

    A last quote older than half the window, of thin bars before the opening, gives no return here. Where an exchange is
    open at the instant and the hourly bar under way is the last of its session, the table waits for the next opening;
    `bar_moves` starts its clock at the instant, since the exchange trades.
    """
    folder = SHARED / "data" / "bars"
    if not (folder / "moves.csv").exists():
        pytest.skip("needs ../shared/data/bars, which is not part of the repository")
    assert shared
    table = pl.read_csv(folder / "moves.csv", infer_schema_length=None)
    assert table["announcement_id"].n_unique() == IN_TABLE
    compared, alike, stale, seen = 0, 0, 0, set()
    for (file, symbol), rows in table.partition_by("file", "symbol", as_dict=True).items():
        mic = {"KS": "XKRX", "SS": "XSHG"}.get(symbol.rpartition(".")[2], "XNAS")
        bars = mi.Bars.load(pl.DataFrame({"symbol": [symbol], "mic": [mic]}), mi.BarFiles(folder / file))
        for (horizon,), part in rows.partition_by("horizon_min", as_dict=True).items():
            found = mi.bar_moves(dated_rows(part), bars, "0min", f"{horizon}min", symbols=[symbol])
            for row in part.join(found, on="announcement_id", validate="1:1").iter_rows(named=True):
                compared += 1
                if "more than half of it" in row["note"]:
                    age = datetime.fromisoformat(row["clock_start"]) - datetime.fromisoformat(row["p1_bar_end"])
                    assert age + timedelta(minutes=horizon) > timedelta(minutes=horizon / 2), row
                    assert row["ret"] is None, row
                    stale += 1
                    continue
                if f"{row['starts_at']:%Y-%m-%dT%H:%MZ}" == row["clock_start"]:
                    alike += 1
                    seen.add(row["announcement_id"])
                    assert f"{row['quote_before']:%Y-%m-%dT%H:%MZ}" == row["p0_bar_end"], row
                    assert f"{row['quote_after']:%Y-%m-%dT%H:%MZ}" == row["p1_bar_end"], row
                    assert row["ret"] == pytest.approx(row["move_pct"] / 100, abs=6e-6), row
                    continue
                assert (row["interval"], row["clock"], row["waits"]) == ("1h", "next_bar", False), row
                assert row["starts_at"] == row["earliest"], row
                expected = hourly_loop(bars.frame, row["earliest"], horizon, mic)
                assert row["ret"] == (None if expected is None else pytest.approx(expected, rel=1e-12)), row
                assert (row["note"] == "no bar in the window") is (expected is None), row
    assert compared == table.height
    assert len(seen) == IN_TABLE
    assert alike > 0.97 * compared
    assert 0 < stale < 0.01 * compared
