"""Run the code that error messages advise, and check that it works."""

from __future__ import annotations

import re
from datetime import date, datetime

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.core import schema

DAYS = [date(2024, 6, 3), date(2024, 6, 4)]
NAMESPACE = {"pl": pl}


def advised(message: str) -> str:
    """The code of a message: from its first .with_columns, .rename or .unpivot to the full stop."""
    found = re.search(r"(\.(?:with_columns|rename|unpivot)\(.*\))(?: for .*)?\.$", message.splitlines()[0])
    assert found, message
    return found[1]


def message_of(frame: pl.DataFrame) -> str:
    with pytest.raises(mi.DataError) as caught:
        schema.check(schema.Events, frame, "events")
    return str(caught.value)


@pytest.mark.parametrize(
    "dates",
    [
        [20240603, 20240604],
        ["20240603", "20240604"],
        ["2024-06-03", "2024-06-04"],
        ["2024/06/03", "2024/6/4"],
        ["2024.06.03", "2024.06.04"],
        ["03.06.2024", "4.6.2024"],
        ["03/06/2024", "04/06/2024"],
    ],
)
def test_dates_of_every_kind_become_those_that_were_meant(dates):
    frame = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["NVDA", "NVDA"], "date": dates})
    done = eval(f"frame{advised(message_of(frame))}", NAMESPACE, {"frame": frame})
    assert schema.check(schema.Events, done, "events")["date"].to_list() == DAYS


def closes_refused(closes: list[str]) -> tuple[pl.DataFrame, str]:
    frame = pl.DataFrame({"symbol": ["NVDA"] * len(closes), "date": DAYS[: len(closes)], "close": closes})
    with pytest.raises(mi.DataError) as caught:
        schema.check(schema.Prices, frame, "prices")
    return frame, str(caught.value)


def test_numbers_with_decimal_commas_become_numbers():
    frame, message = closes_refused(["100,5", "101"])
    assert "such as '100,5'" in message
    assert eval(f"frame{advised(message)}", NAMESPACE, {"frame": frame})["close"].to_list() == [100.5, 101.0]


def test_the_message_shows_the_cell_at_fault_and_counts_its_like():
    _, message = closes_refused(["100.5", "n/a"])
    assert "such as 'n/a'" in message
    assert "Correct or empty the 1 cells that are no numbers first" in message
    frame = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["NVDA"] * 2, "date": ["2024-06-03", "04.06.2024"]})
    assert "such as '04.06.2024'" in message_of(frame)


def test_numbers_as_names_of_events_become_text():
    frame = pl.DataFrame({"event_id": [1, 2], "symbol": ["NVDA"] * 2, "date": DAYS})
    done = eval(f"frame{advised(message_of(frame))}", NAMESPACE, {"frame": frame})
    assert schema.check(schema.Events, done, "events")["event_id"].to_list() == ["1", "2"]


@pytest.mark.parametrize("dates", [[19877, 19878], [1.5, 2.5], [datetime(2024, 6, 3, 16, 20)] * 2])
def test_what_has_no_certain_date_gets_no_code(dates):
    """Days since 1970, and a time of day whose session depends on the exchange."""
    frame = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["NVDA", "NVDA"], "date": dates})
    message = message_of(frame)
    assert "Cast" not in message
    assert ".with_columns" not in message
    assert ("mi.align" in message) == isinstance(dates[0], datetime)


def test_symbols_read_as_numbers_are_read_again_as_text(tmp_path):
    (tmp_path / "events.csv").write_text("event_id,symbol,date\na,000660,2024-06-03\n")
    frame = pl.read_csv(tmp_path / "events.csv", try_parse_dates=True)
    message = message_of(frame)
    options = re.search(r"schema_overrides=(\{.*?\})", message)
    assert options, message
    again = pl.read_csv(tmp_path / "events.csv", try_parse_dates=True, schema_overrides=eval(options[1], NAMESPACE))
    assert schema.check(schema.Events, again, "events")["symbol"].to_list() == ["000660"]


@pytest.mark.parametrize("door", ["returns", "prices"])
def test_a_matrix_is_turned_into_rows(door):
    wide = pl.DataFrame({"date": DAYS, "NVDA": [0.01, 0.02], "AMD": [0.03, 0.04]})
    with pytest.raises(mi.DataError) as caught:
        if door == "returns":
            mi.Market.from_returns(wide, pl.DataFrame({"date": DAYS, "ret": [0.0, 0.01]}))
        else:
            mi.FilePrices(wide).read(["NVDA"])
    long = eval(f"wide{advised(str(caught.value))}", NAMESPACE, {"wide": wide})
    if door == "returns":
        made = mi.Market.from_returns(long, pl.DataFrame({"date": DAYS, "ret": [0.0, 0.01]}))
        assert made.panel.filter(pl.col("symbol") == "AMD")["ret"].to_list() == [0.03, 0.04]
    else:
        assert mi.FilePrices(long).read(["NVDA"]).frame["close"].to_list() == [0.01, 0.02]


def test_names_in_other_letters_are_renamed():
    frame = pl.DataFrame({"EventId": ["a"], "Symbol": ["NVDA"], "DATE": DAYS[:1]})
    done = eval(f"frame{advised(message_of(frame))}", NAMESPACE, {"frame": frame})
    assert schema.check(schema.Events, done, "events").columns == ["event_id", "symbol", "date"]


def test_who_has_returns_is_not_sent_to_prices():
    crsp = pl.DataFrame({"PERMNO": [10107], "date": DAYS[:1], "PRC": [-400.0], "RET": [0.01]})
    with pytest.raises(mi.DataError, match=r"returns \('RET'\).*Market.from_returns"):
        mi.FilePrices(crsp).read(["NVDA"])


@pytest.mark.parametrize("dates", [[20240603, 20240603], [19877, 19877]])
def test_numbers_are_no_dates_of_rates_and_shares(dates):
    """20240603 days after 1970 is the year 57386."""
    rates = pl.DataFrame({"date": dates, "currency": ["KRW", "TWD"], "rate": [0.0007, 0.03]})
    market = mi.Market.load(mi.securities(), mi.SamplePrices())
    with pytest.raises(mi.DataError, match=r"must hold dates|must be Date"):
        market.in_currency("USD", rates)


def test_long_messages_are_cut():
    frame = pl.DataFrame({f"column_{k}": [1] for k in range(2000)})
    assert len(message_of(frame)) < 1000
    with pytest.raises(mi.SpecificationError) as caught:
        mi.inference.select_tests(["filtered_placebo_rankk"])
    assert "Did you mean 'filtered_placebo_rank'?" in str(caught.value)
    assert len(str(caught.value)) < 250
