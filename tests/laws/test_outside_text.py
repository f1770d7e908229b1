"""Readers of outside text: any bytes give rows that Python's csv finds too, or one of our errors."""

from __future__ import annotations

import csv
import io
import os
import warnings
from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import marketimpact as mi
from marketimpact.cli.study_file import read_study
from tests.laws.outside_text import mutated, soup

#: Twenty times as many with FUZZ=20, and other ones each time.
EFFORT = int(os.environ.get("FUZZ", "1"))
fuzzed = settings(
    max_examples=50 * EFFORT,
    derandomize=EFFORT == 1,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

PRICES = {
    "symbol": ["NVDA", "AMD"],
    "date": [f"2024-01-{day:02d}" for day in range(8, 20)],
    "close": ["1.5", "2", "1e3", ""],
    "adj_close": ["1.25", "0.1", ""],
    "volume": ["100", "0", ""],
}
YAHOO = {"Date": PRICES["date"], "Close": ["1.5", "null"], "Adj Close": ["1.25", "0.3"], "Volume": ["7"]}
CHINESE = {"日期": PRICES["date"], "收盘": ["1.5", "2.25"], "成交量": ["7", ""], "成交额": ["1"]}
BULK = {
    "<TICKER>": ["NVDA.US"],
    "<PER>": ["D"],
    "<DATE>": ["20240108", "20240109"],
    "<TIME>": ["000000"],
    "<CLOSE>": ["1.5"],
}
SECURITIES = {"symbol": ["NVDA", "AMD", "0981.HK"], "mic": ["XNAS", "XHKG"], "currency": ["USD"], "benchmark": ["^GSPC"], "price_limit": ["", "0.1"], "listed_on": ["", "2001-02-03"]}  # fmt: skip  # noqa: E501
ANNOUNCEMENTS = {
    "announcement_id": ["a", "b", "c"],
    "announced_at": ["2024-01-08", "2024-01-08T14:30:00Z", "2024-01-08 14:30+08:00"],
    "time_zone": ["Asia/Shanghai", "America/New_York", "UTC"],
    "stance": ["restrictive", "mixed"],
    "headline": ["Export rule", "Another"],
    "targets": ["NVDA;AMD", ""],
    "is_confounder": ["true", "no", ""],
}


def outcome(ask, path, raw):
    """What a reader gives for these bytes; None where it refuses them with an error of ours."""
    path.write_bytes(raw)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mi.MarketImpactWarning)
            return ask()
    except mi.MarketImpactError as error:
        assert str(error).strip()
        return None


def records(raw: bytes, encoding: str = "utf-8-sig") -> list[dict[str, str]]:
    rows = [row for row in csv.reader(io.StringIO(raw.decode(encoding), newline="")) if any(map(str.strip, row))]
    header = [name.strip() for name in rows[0]]
    assert len(set(header)) == len(header)
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, map(str.strip, row), strict=True)) for row in rows[1:]]


def plain(text: str | None) -> float | None:
    return None if text in (None, "", "null", "nan", "NaN", "None") else float(text)


@fuzzed
@given(raw=soup(list(PRICES), PRICES))
def test_prices_of_a_csv(tmp_path, raw):
    path = tmp_path / "p.csv"
    table = outcome(lambda: mi.FilePrices(path).read(["NVDA", "AMD"]), path, raw)
    if table is None:
        return
    expected = {
        (row["symbol"], date.fromisoformat(row["date"][:10])): (
            # a name that was damaged is another column, which is passed over
            plain(row.get("adj_close") or row.get("close")),
            plain(row.get("volume")),
            plain(row.get("close")) if {"close", "adj_close"} <= row.keys() else None,
        )
        for row in records(raw)
        if row["symbol"] in ("NVDA", "AMD")
    }
    names = ("symbol", "date", "close", "volume", "unadjusted_close")
    have = table.frame.select(name if name in table.frame.columns else pl.lit(None).alias(name) for name in names)
    assert {(s, d): rest for s, d, *rest in have.iter_rows()} == {key: list(value) for key, value in expected.items()}


@pytest.mark.parametrize(
    ("layout", "lot"), [(YAHOO, 1), (CHINESE, 100), (BULK, 1)], ids=["Yahoo", "Eastmoney", "Stooq bulk"]
)
def test_prices_of_vendors(tmp_path, layout, lot):
    symbol = "600519.SS" if layout is CHINESE else "NVDA"
    path = tmp_path / ("600519.csv" if layout is CHINESE else "nvda.us.txt")
    day, close, volume = (
        next((name for name in names if name in layout), None)
        for names in (("Date", "日期", "<DATE>"), ("Adj Close", "收盘", "<CLOSE>"), ("Volume", "成交量"))
    )

    @fuzzed
    @given(raw=soup(list(layout), layout))
    def law(raw):
        table = outcome(lambda: mi.FolderPrices(path).read([symbol]), path, raw)
        if table is None:
            return
        encoding = "gb18030" if "日期".encode("gbk") in raw.split(b"\n", 1)[0] else "utf-8-sig"
        expected = {}
        for row in records(raw, encoding):
            days = row[day].replace("-", "")[:8]
            traded = plain(row[volume]) if volume else None
            expected[datetime.strptime(days, "%Y%m%d").date()] = (
                plain(row[close]),
                None if traded is None else traded * lot,
            )
        assert {d: (c, v) for d, c, v in table.frame.select("date", "close", "volume").iter_rows()} == expected

    law()


@fuzzed
@given(raw=soup(list(SECURITIES), SECURITIES))
def test_securities(tmp_path, raw):
    path = tmp_path / "s.csv"
    frame = outcome(lambda: mi.securities(path), path, raw)
    if frame is not None:
        rows = records(raw)
        assert frame["symbol"].to_list() == [row["symbol"] for row in rows]
        # a name that was damaged is a column of the reader's own
        assert frame["price_limit"].to_list() == [plain(row.get("price_limit")) for row in rows]
        assert frame["listed_on"].to_list() == [
            date.fromisoformat(row["listed_on"]) if row.get("listed_on") else None for row in rows
        ]


@fuzzed
@given(raw=soup(list(ANNOUNCEMENTS), ANNOUNCEMENTS))
def test_announcements(tmp_path, raw):
    path = tmp_path / "a.csv"
    frame = outcome(lambda: mi.announcements(path), path, raw)
    if frame is not None:
        rows = {row["announcement_id"]: row for row in records(raw)}
        assert set(frame["announcement_id"]) == set(rows)
        for found in frame.iter_rows(named=True):
            row = rows[found["announcement_id"]]
            assert found["headline"] == row["headline"]
            # a name that was damaged is a column of the reader's own
            assert (found["targets"] or []) == [t.strip() for t in row.get("targets", "").split(";") if t.strip()]
            if found["time_precision"] == "minute":
                assert found["announced_at"] == datetime.fromisoformat(row["announced_at"])


@fuzzed
@given(data=st.data())
def test_parquet(tmp_path, data):
    """Damaged Parquet makes polars panic, which is no Exception."""
    good = io.BytesIO()
    pl.DataFrame({"symbol": ["NVDA", "AMD"] * 2, "date": [date(2024, 1, 8)] * 2 + [date(2024, 1, 9)] * 2, "close": [1.0] * 4}).write_parquet(good)  # fmt: skip  # noqa: E501
    raw = data.draw(mutated(good.getvalue()) | st.binary(max_size=40).map(lambda soup: b"PAR1" + soup + b"PAR1"))
    path = tmp_path / "p.parquet"
    table = outcome(lambda: mi.FilePrices(path).read(["NVDA"]), path, raw)
    assert table is None or set(table.frame["symbol"]) <= {"NVDA"}
    firms = outcome(lambda: mi.securities(path), path, raw)
    assert firms is None or firms["symbol"].n_unique() == firms.height - firms["symbol"].null_count()


FRENCH = b"""This file was created by CMPT_ME_BEME_RETS using the 202506 CRSP database.

,Mkt-RF,SMB,HML,RF
20240108,   1.40,  -0.10,   0.03,  0.022
20240109,  -0.20,  -99.99,   0.50,  0.022
20240110,   0.52,   0.11,  -0.40,  0.022

Copyright 2025 Eugene F. Fama and Kenneth R. French
"""


@fuzzed
@given(raw=mutated(FRENCH) | st.binary(max_size=60) | st.binary(max_size=60).map(lambda soup: b"PK\x03\x04" + soup))
def test_factors(tmp_path, raw):
    path = tmp_path / "F-F_Research_Data_Factors_daily.csv"
    frame = outcome(lambda: mi.FrenchFactors(path=path).read(), path, raw)
    if frame is not None:
        assert frame["date"].is_unique().all()
        text = raw.decode("utf-8-sig" if _is_utf8(raw) else "latin-1")
        for row in frame.iter_rows(named=True):
            lines = [line for line in text.splitlines() if line.strip().startswith(f"{row['date']:%Y%m%d}")]
            assert len(lines) == 1
            cells = [float(cell) if cell.strip() else None for cell in lines[0].split(",")[1 : frame.width]]
            wanted = sorted(cell / 100 for cell in cells if cell not in (None, -99.99, -999.0))
            found = sorted(value for name, value in row.items() if name != "date" and value is not None)
            assert found == pytest.approx(wanted, rel=1e-15)  # polars multiplies by 0.01


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return True


STUDY = """title = "A study"
question = "Who moved?"
[study]
model = "market_model"
estimation_window = [-250, -11]
event_window = [-10, 10]
min_observations = 60
missing = "available"
serial_correlation = false
[announcements]
ids = ["2025-08-12-beijing-discourages-h20"]
[securities]
benchmark = "benchmark"
[report]
windows = [[0, 1], [0, 0]]
[specification]
models = ["market_model", "market_adjusted"]
estimation_windows = [[-250, -11]]
event_windows = [[0, 1]]
benchmarks = ["benchmark"]
tests = ["bmp_kp"]
groups = ["Designers"]
without = ["NVDA"]
draws = 9
[[groups]]
name = "Designers"
symbols = ["NVDA", "AMD"]
"""
VALUES = ['""', '"x"', "1", "-1", "1.5", "nan", "inf", "true", "[]", "[1]", "[1, 2]", '["a"]', "[[0, 1]]", "[[0, 0.5]]", "{}", "{a = 1}", "2024-01-08", "07:32:00", "[-250, 11]", "[1, true]", "99999999999999999999", "[[1, [2]]]", '["a", 1]', '"\\u0000"', '"../x"']  # fmt: skip  # noqa: E501
KEYS = [line.split(" = ")[0] for line in STUDY.splitlines() if " = " in line] + [
    "file",
    "factors",
    "lagged",
    "model",
    "other",
]


@st.composite
def studies(draw: st.DrawFn) -> bytes:
    """The study with values exchanged, sections renamed, lines left out."""
    lines = STUDY.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        key = lines[at].split(" = ")[0] if " = " in lines[at] and draw(st.booleans()) else draw(st.sampled_from(KEYS))
        section = st.sampled_from(
            ["[study]", "[groups]", "[[study]]", "[[report]]", "[specification]", "[study.model]", "groups = 3"]
        )
        lines[at] = draw(section) if draw(st.integers(0, 4)) == 0 else f"{key} = {draw(st.sampled_from(VALUES))}"
    return "\n".join(lines).encode()


@fuzzed
@given(
    raw=studies()
    | mutated(STUDY.encode())
    | st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode())
)
def test_a_study_file(tmp_path, raw):
    path = tmp_path / "s.toml"
    plan = outcome(lambda: read_study(path), path, raw)
    if plan is not None:
        assert plan.name == "s"
        assert all(first <= last for first, last in plan.windows)
        assert plan.study.estimation_window[1] < plan.study.event_window[0]
