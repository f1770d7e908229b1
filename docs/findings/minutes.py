"""Make the tables of minutes.md from 5-minute bars and a list of clocks, which are not part of the repository.

python -m docs.findings.minutes ../shared/data/bars ../shared/data/catalogue/clocks.csv

No bar is written anywhere: rounded estimates of announcement windows only.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import scipy.stats

import marketimpact as mi
from docs.findings.results import rewrite

HERE = Path(__file__).parent
FIRST = datetime(2024, 3, 11, tzinfo=ZoneInfo("UTC"))
FIRMS, BENCHMARK, INDEX = ("NVDA", "MU", "TSM"), "SPY", "^SOX"
WINDOWS = {"tight": ("10min", "20min"), "wide": ("15min", "45min")}
DAYS, LEAST = 500, 120


def load(folder: Path) -> mi.Bars:
    """Load 5-minute bars of the firms, the index and the benchmark."""
    files = [folder / f"{symbol.removeprefix('^')}_5m_heliar.parquet" for symbol in (*FIRMS, INDEX, BENCHMARK)]
    frame = pl.concat(pl.scan_parquet(file).drop("source") for file in files)
    listings = pl.DataFrame(
        {"symbol": [*FIRMS, INDEX, BENCHMARK], "mic": "XNAS", "benchmark": [BENCHMARK] * 4 + [None]}
    )
    return mi.Bars.load(listings, mi.BarFiles(frame))


def announcements(clocks: Path) -> pl.DataFrame:
    """List the announcements of the rule, each at its own instant."""
    found = pl.read_csv(clocks).filter(
        pl.col("bound") == "first_report", pl.col("confidence").is_in(["medium", "high"])
    )
    instants = found.select(
        "announcement_id", at=pl.col("instant_utc").str.to_datetime(time_zone="UTC", time_unit="us")
    )
    instants = instants.sort("at").unique("announcement_id", keep="first")
    known = mi.announcements()
    stated = known.filter(
        pl.col("time_precision") == "minute", pl.col("not_before").is_null(), pl.col("not_after").is_null(),
        ~pl.col("is_confounder"),
    )  # fmt: skip
    stated = stated.select("announcement_id", at="announced_at").join(instants, on="announcement_id", how="anti")
    dated = pl.concat([instants, stated]).filter(pl.col("at") >= FIRST)
    facts = known.select("announcement_id", "stance", "headline")
    joined = dated.join(facts, on="announcement_id", how="left", validate="1:1")
    return joined.select(
        "announcement_id", announced_at="at", time_precision=pl.lit("minute"),
        stance=pl.col("stance").fill_null("mixed"), headline=pl.col("headline").fill_null("A report"),
    ).sort("announced_at")  # fmt: skip


def tested(news: pl.DataFrame, bars: mi.Bars, window: str, symbols: tuple[str, ...]) -> pl.DataFrame:
    """Test a window; of announcements that start at one instant the first is kept."""
    found = mi.bar_tests(news, bars, *WINDOWS[window], benchmark=BENCHMARK, symbols=list(symbols), days=DAYS)
    own = found.filter(pl.col("symbol").is_null() if len(symbols) > 1 else pl.col("symbol") == symbols[0])
    own = own.filter(pl.col("n_days") >= LEAST)
    dated = own.join(news.select("announcement_id", "announced_at"), on="announcement_id", validate="1:1")
    return dated.sort("announced_at").unique("starts_at", keep="first", maintain_order=True)


def holm(p: list[float]) -> list[float]:
    order, adjusted, largest = sorted(range(len(p)), key=lambda k: p[k]), [0.0] * len(p), 0.0
    for rank, k in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[k]))
        adjusted[k] = largest
    return adjusted


def counts(results: dict[str, pl.DataFrame]) -> str:
    """Write the table of counts: the primary test first."""
    lines = [
        "| unit | window | announcements | rank p of 5% or less | expected | p, one-sided |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in results.items():
        unit, window = name.split("; ")
        n, k = found.height, int((found["rank_p"] <= 0.05).sum())
        p = float(scipy.stats.binom.sf(k - 1, n, 0.05))
        lines.append(f"| {unit} | {window} | {n} | {k} | {0.05 * n:.1f} | {p:.4f} |")
    return "\n".join([*lines, ""])


def by_announcement(found: pl.DataFrame) -> str:
    """Write one line per announcement: estimate, interval, rank and p."""
    lines = [
        "| announcement | instant, UTC | met | mean of three | abnormal | 95% interval | rank p | p (t, Holm) | "
        "detectable |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, p in zip(found.iter_rows(named=True), holm(found["p_value"].to_list()), strict=True):
        met = f"the opening of {row['starts_at']:%Y-%m-%d}" if row["waits"] else "at once"
        lines.append(
            f"| {row['announcement_id']} | {row['announced_at']:%Y-%m-%d %H:%M} | {met} | {row['ret']:+.2%} | "
            f"{row['ar']:+.2%} | {row['ci_low']:+.2%} to {row['ci_high']:+.2%} | {row['rank_p']:.3f} | {p:.3f} | "
            f"{row['mde']:.2%} |"
        )
    return "\n".join([*lines, ""])


def main(folder: str, clocks: str) -> None:
    bars, news = load(Path(folder)), announcements(Path(clocks))
    results = {
        f"{unit}; {window}": tested(news, bars, window, symbols)
        for unit, symbols in (("mean of three", FIRMS), ("^SOX", (INDEX,)))
        for window in WINDOWS
    }
    primary = results["mean of three; tight"]
    tables = {"counts": counts(results), "announcements": by_announcement(primary)}
    print(f"{news.height} announcements, {primary.height} with a primary test; findings of the bars:")
    print(bars.findings.select("symbol", "finding", "value"))
    print(rewrite(HERE / "minutes.md", tables, {}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
