"""Measure the tests of minute bars on simulated markets, and on real bars beside the checkout.

python -m docs.size.minutes 2000     # writes docs/size/minutes.csv; four minutes on two cores
python -m docs.size.minutes real     # writes docs/size/minutes_real.csv, placebo rates from ../shared/data/bars

A market has U-shaped volatility, volatility that changes slowly from day to day, t4 shocks, jumps, a benchmark, and
three firms with a shock of their own in common. A sample has 121 sessions of 5-minute bars; the last one is tested.
"""

from __future__ import annotations

import csv
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import scipy.stats

import marketimpact as mi
from marketimpact.analyses.bars import tests_of_pairs
from marketimpact.events import calendars
from marketimpact.market.bar_moves import Pair, pairs_of_series, read_instants
from marketimpact.market.bar_stamps import Hours
from marketimpact.market.bars import BarSeries

HERE = Path(__file__).parent
BARS = HERE.parents[1].parent / "shared" / "data" / "bars"
#: Minutes after the opening at which news comes; 0 is news before it, which meets the first bar.
MINUTES = (0, 30, 90, 150, 210, 270, 330)
SESSIONS, PER_DAY, FIRMS = 121, 78, ("NVDA", "AMD", "INTC")
#: Effects, in units of the median standard error of the test at that hour, measured without effects.
EFFECTS = (0.0, 2.0, 3.0)
#: Symbols of real placebo windows, each with its benchmark.
PLACEBO = (("NVDA", "QQQ"), ("MU", "QQQ"), ("TSM", "SPY"), ("^SOX", "SPY"), ("QQQ", None))


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns of bars of the benchmark (D, B) and of three firms (3, D, B), the night in the first bar of a day."""
    share = (np.arange(PER_DAY) + 0.5) / PER_DAY
    shape = np.sqrt(0.6 + 2.0 * (2.0 * share - 1.0) ** 2 + 3.0 * np.exp(-12.0 * share))
    shape /= np.sqrt((shape**2).mean() * PER_DAY)
    size = (SESSIONS, PER_DAY)
    market = 0.008 * shape * rng.standard_t(4, size) / np.sqrt(2.0) * turbulence(rng)
    market[:, 0] += rng.normal(0, 0.006, SESSIONS)
    sector = 0.006 * shape * rng.standard_t(4, size) / np.sqrt(2.0)
    own = 0.012 * shape * rng.standard_t(4, (3, *size)) / np.sqrt(2.0)
    jumps = (rng.random((3, *size)) < 0.1 / PER_DAY) * rng.normal(0, 0.015, (3, *size))
    firms = 1.3 * market + turbulence(rng) * (sector + own) + jumps
    firms[:, :, 0] += rng.normal(0, 0.008, (3, SESSIONS))
    return market, firms


def turbulence(rng: np.random.Generator) -> np.ndarray:
    """Volatility of each day, (D, 1): a first-order autoregression of its logarithm."""
    level, shocks = np.zeros(SESSIONS), rng.normal(0, 0.15, SESSIONS)
    for k in range(1, SESSIONS):
        level[k] = 0.9 * level[k - 1] + shocks[k]
    return np.exp(level)[:, None]


def series_of(symbol: str, returns: np.ndarray, start: np.ndarray, hours: Hours) -> BarSeries:
    close = 100.0 * np.exp(np.cumsum(returns.ravel()))
    before = np.concatenate([[100.0], close[:-1]])
    opened = np.where(np.arange(len(close)) % PER_DAY == 0, close, before)  # the night is before the first open
    regular, volume = np.ones(len(close), dtype=bool), np.ones(len(close))
    return BarSeries(symbol, start, start + 300_000_000, opened, close, volume, regular, hours, 300_000_000)


def news_of(opening: datetime) -> pl.DataFrame:
    minutes = [-60 if m == 0 else m for m in MINUTES]
    return pl.DataFrame({
        "announcement_id": [f"m{m}" for m in MINUTES],
        "announced_at": [opening + timedelta(minutes=m) for m in minutes], "stance": "mixed", "headline": "Simulated",
    })  # fmt: skip


def full_sessions() -> pl.DataFrame:
    """121 sessions of New York without an early close."""
    listed = calendars.sessions(["XNYS"], date(2025, 1, 2), date(2025, 9, 30)).sort("open")
    return listed.filter((pl.col("close") - pl.col("open")).dt.total_minutes() == 390).head(SESSIONS)


def simulate(samples: int) -> list[dict[str, object]]:
    """Count rejections at 5% by hour, effect and unit: one firm, and the mean of three."""
    sessions = full_sessions()
    hours = Hours.of(sessions, "XNYS")
    start = (hours.opens[:, None] + 300_000_000 * np.arange(PER_DAY)).ravel()
    instants = read_instants(news_of(sessions["open"][-1]))
    rng, found = np.random.default_rng(20261129), []
    for _ in range(samples):
        market, firms = draw(rng)
        benchmark = series_of("SPY", market, start, hours)
        pairs = [Pair(series_of(s, r, start, hours), benchmark) for s, r in zip(FIRMS, firms, strict=True)]
        found.append(tests_of_pairs(pairs, instants, (0, 30 * 60_000_000), SESSIONS - 1))
    tested = pl.concat(found)
    units = (("one firm", pl.col("symbol") == "NVDA"), ("mean of three", pl.col("symbol").is_null()))
    return [row for unit, chosen in units for row in rates(unit, tested.filter(chosen))]


def rates(unit: str, found: pl.DataFrame) -> list[dict[str, object]]:
    """Rates by hour of the rank and of t; power of t by adding an effect to the abnormal return, as it would be."""
    rows = []
    for minute in MINUTES:
        own = found.filter(pl.col("announcement_id") == f"m{minute}")
        n, typical = own.height, float(own["se"].median())
        largest = np.floor(0.05 * (own["n_days"].to_numpy() + 1)) / (own["n_days"].to_numpy() + 1)
        for size in EFFECTS:
            statistic = own["statistic"].to_numpy() + size * typical / own["se"].to_numpy()
            p = 2.0 * scipy.stats.t.sf(np.abs(statistic), own["df"].to_numpy())
            predicted = np.mean(1.0 - scipy.stats.norm.cdf(1.98 - size * typical / own["se"].to_numpy()))
            rows.append({
                "unit": unit, "minute": minute, "effect": size, "samples": n, "rejected_t": int((p <= 0.05).sum()),
                "rejected_rank": int((own["rank_p"].to_numpy() <= 0.05).sum()) if size == 0 else None,
                "nominal_rank": round(float(largest.mean()), 5) if size == 0 else None,
                "predicted_power": round(float(predicted), 3) if size else None,
            })  # fmt: skip
    return rows


def table() -> str:
    """Write the table of docs/procedures/minute_bars.md from minutes.csv."""
    rows = pl.read_csv(HERE / "minutes.csv")
    lines = [
        "| minute | unit | rank p of 5% or less | t p of 5% or less | power at 2 se, predicted | at 3 se, predicted |"
    ]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for (minute, unit), part in rows.partition_by("minute", "unit", as_dict=True, maintain_order=True).items():
        null, *effects = part.sort("effect").iter_rows(named=True)
        cells = [f"{null[name] / null['samples']:.1%}" for name in ("rejected_rank", "rejected_t")]
        cells += [f"{row['rejected_t'] / row['samples']:.1%}, {row['predicted_power']:.1%}" for row in effects]
        lines.append(f"| {minute or 'before the opening'} | {unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def instant(at: datetime) -> pl.DataFrame:
    stamp = round(at.timestamp() * 1e6)
    return pl.DataFrame({"announcement_id": ["placebo"], "earliest": [stamp], "latest": [stamp]})


def real(interval: str) -> pl.DataFrame:
    """Test placebo windows of real bars, ``symbol, date, minute, rank_p, p_value``.

    Every session with 125 before it is taken for one with news, but those that close early, and those on whose day,
    or the day before, the catalogue has an announcement.
    """
    known = mi.announcements()["announced_at"].dt.convert_time_zone("America/New_York").dt.date()
    taken = {day + timedelta(days=k) for day in known for k in (0, 1)}
    found = []
    for symbol, benchmark in PLACEBO:
        names = [symbol, benchmark] if benchmark else [symbol]
        files = [BARS / f"{name.removeprefix('^')}_{interval}_heliar.parquet" for name in names]
        frame = pl.concat(pl.read_parquet(file).drop("source") for file in files)
        bars = mi.Bars.load(pl.DataFrame({"symbol": names, "mic": "XNYS"}), mi.BarFiles(frame))
        pairs = list(pairs_of_series(bars, [symbol], benchmark))
        held = bars.sessions.filter(pl.col("open").is_between(bars.grid["first"].max(), bars.grid["last"].min()))
        later = held.sort("open")[125:].filter((pl.col("close") - pl.col("open")).dt.total_minutes() == 390)
        openings = [opening for opening in later["open"] if opening.date() not in taken]
        for opening in openings:
            for minute in MINUTES:
                shift = timedelta(minutes=-60 if minute == 0 else minute)
                tested = tests_of_pairs(pairs, instant(opening + shift), (0, 30 * 60_000_000), SESSIONS - 1)
                facts = {"symbol": symbol, "date": opening.date(), "minute": minute}
                found.append(tested.select(*(pl.lit(v).alias(k) for k, v in facts.items()), "rank_p", "p_value"))
    return pl.concat(found).drop_nulls("rank_p")


def real_rates(found: pl.DataFrame) -> list[dict[str, object]]:
    """Rates at 5% by hour, all symbols together; errors are clustered by day, since symbols share their days."""
    rows = []
    for minute in (*MINUTES, None):
        own = found if minute is None else found.filter(pl.col("minute") == minute)
        row: dict[str, object] = {"minute": minute, "windows": own.height, "days": own["date"].n_unique()}
        for name in ("rank_p", "p_value"):
            rejected = own.select("date", r=(pl.col(name) <= 0.05).cast(pl.Float64))
            rate = float(rejected["r"].mean())  # type: ignore[arg-type]
            sums = rejected.group_by("date").agg((pl.col("r") - rate).sum())["r"].to_numpy()
            row |= {name: round(rate, 4), f"{name}_error": round(float(np.sqrt((sums**2).sum())) / own.height, 4)}
        rows.append(row)
    return rows


def real_table() -> str:
    """Write the table of real placebo windows from minutes_real.csv."""
    lines = ["| bars | minute | placebo windows | days | rank p of 5% or less | t p of 5% or less |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in pl.read_csv(HERE / "minutes_real.csv").iter_rows(named=True):
        cells = [f"{row[name]:.1%} ± {row[f'{name}_error']:.1%}" for name in ("rank_p", "p_value")]
        when = {0: "before the opening", None: "all"}.get(row["minute"], row["minute"])
        lines.append(f"| {row['bars']} | {when} | {row['windows']:,} | {row['days']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(name: str, rows: list[dict[str, object]]) -> None:
    with (HERE / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(argument: str) -> None:
    if argument == "real":
        rows = [{"bars": interval} | row for interval in ("5m", "15m") for row in real_rates(real(interval))]
        write("minutes_real.csv", rows)
    else:
        write("minutes.csv", simulate(int(argument)))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "2000")
