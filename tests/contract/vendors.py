"""The same prices in the layout of each vendor: one function per layout, files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import polars as pl

#: symbol, date, close, volume; volumes are whole lots, one close and one volume are empty.
Facts = pl.DataFrame


def number(value: float | None) -> str:
    return "" if value is None else repr(value)


#: Column -> its distance from the close, in every layout.
DISTANCES = {"open": 1.0, "high": 2.0, "low": -1.0}


def session(close: float | None) -> list[str]:
    """Open, high, low."""
    return [number(None if close is None else close + distance) for distance in DISTANCES.values()]


def bars(close: float | None, volume: float | None) -> list[str]:
    """Open, high, low, close, volume."""
    return [*session(close), number(close), number(volume)]


def each(facts: Facts) -> Iterable[tuple[str, pl.DataFrame]]:
    for (symbol,), rows in facts.partition_by("symbol", as_dict=True, maintain_order=True).items():
        yield str(symbol), rows


def per_symbol(
    folder: Path, facts: Facts, header: str, row: Callable[[dict], list[str]], name: Callable[[str], str]
) -> Path:
    folder.mkdir()
    for symbol, rows in each(facts):
        lines = [header, *(",".join(row(fact)) for fact in rows.iter_rows(named=True))]
        (folder / name(symbol)).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def yahoo(folder: Path, facts: Facts) -> Path:
    def row(fact):
        traded = None if fact["close"] is None else fact["close"] * 2
        adjusted = number(fact["close"]) or "null"
        return [str(fact["date"]), *session(traded), number(traded), adjusted, number(fact["volume"])]

    return per_symbol(folder, facts, "Date,Open,High,Low,Close,Adj Close,Volume", row, lambda s: f"{s}.csv")


def yfinance(folder: Path, facts: Facts) -> Path:
    """`yfinance.download([...]).to_csv()`: every symbol in one file, three header rows."""
    folder.mkdir()
    wide = pd.DataFrame(facts.to_dicts())
    wide = wide.assign(**{name.title(): wide["close"] + distance for name, distance in DISTANCES.items()})
    wide = wide.rename(columns={"close": "Close", "volume": "Volume"}).pivot(
        index="date", columns="symbol", values=["Close", "Open", "High", "Low", "Volume"]
    )
    wide.columns.names, wide.index.name = ["Price", "Ticker"], "Date"
    wide.to_csv(folder / "download.csv")
    return folder


def stooq(folder: Path, facts: Facts) -> Path:
    def row(fact):
        return [str(fact["date"]), *bars(fact["close"], fact["volume"])]

    return per_symbol(folder, facts, "Date,Open,High,Low,Close,Volume", row, lambda s: f"{s.lower()}.csv")


def stooq_bulk(folder: Path, facts: Facts) -> Path:
    header = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"

    def row(fact):
        when = f"{fact['date']:%Y%m%d}"
        return [fact["symbol"], "D", when, "000000", *bars(fact["close"], fact["volume"]), "0"]

    return per_symbol(folder, facts, header, row, lambda s: f"{s.lower()}.txt")


def eastmoney(folder: Path, facts: Facts) -> Path:
    def row(fact):
        lots = None if fact["volume"] is None else fact["volume"] / 100
        close = number(fact["close"])
        return [str(fact["date"]), fact["symbol"][:6], *session(fact["close"]), close, number(lots), "1.0"]

    header = "日期,股票代码,开盘,最高,最低,收盘,成交量,成交额"
    return per_symbol(folder, facts, header, row, lambda s: f"{s[:6]}.csv")


def sina(folder: Path, facts: Facts) -> Path:
    def row(fact):
        return [str(fact["date"]), *bars(fact["close"], fact["volume"]), "1.0", "1.0", "0.1"]

    header = "date,open,high,low,close,volume,amount,outstanding_share,turnover"
    return per_symbol(folder, facts, header, row, lambda s: f"{ {'SS': 'sh', 'SZ': 'sz'}[s[7:]] }{s[:6]}.csv")


def akshare_frames(facts: Facts) -> dict[str, pd.DataFrame]:
    """What `ak.stock_zh_a_hist` gives, code by code."""
    frames = {}
    for symbol, rows in each(facts):
        table = pd.DataFrame(rows.to_dicts())
        frames[symbol[:6]] = pd.DataFrame(
            {
                "日期": table["date"],
                "股票代码": symbol[:6],
                "开盘": table["close"] + DISTANCES["open"],
                "最高": table["close"] + DISTANCES["high"],
                "最低": table["close"] + DISTANCES["low"],
                "收盘": table["close"],
                "成交量": table["volume"] / 100,
            }
        )
    return frames
