"""A world of known truth: news arrives around the clock, and each exchange prices it at its own close.

Three exchanges that are hardly open together, New York with Shanghai and Taipei. The clock is cut at all
their closes; the common factor moves by an independent normal step in every piece, and a session's return
holds the steps since the exchange's last close. Sample k of a world has firms, factor and an
announcement of its own, without effect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

import marketimpact as mi
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.events import calendars
from marketimpact.events.exchange_clocks import ExchangeClock
from marketimpact.inference.correlation.pairs import window_correlation

EXCHANGES = ("XNYS", "XSHG", "XTAI")
FIRST, LAST = date(2024, 1, 2), date(2025, 4, 30)
#: Variance of the factor in the piece of the clock that ends with each exchange's close; a day sums to one.
NEWS = {"XNYS": 0.65, "XTAI": 0.30, "XSHG": 0.05}
#: Share of a firm's abnormal variance that is the factor's, and daily standard deviations.
SHARE, FIRM_SD, BENCHMARK_SD = 0.3, 0.02, 0.01
#: Hours (UTC) of announcements: before New York opens, and while Asia trades.
AFTER_ASIA, IN_ASIA = 13, 3


def sessions() -> dict[str, pl.DataFrame]:
    """Each exchange's sessions of the span."""
    listed = calendars.sessions(EXCHANGES, FIRST, LAST).filter(pl.col("date").is_between(FIRST, LAST))
    return {str(mic): frame for (mic,), frame in listed.partition_by("mic", as_dict=True).items()}


def factor(rng: np.random.Generator, by_mic: dict[str, pl.DataFrame]) -> dict[str, np.ndarray]:
    """What each exchange's sessions see of the factor: steps since its last close, (S,) each."""
    pieces = pl.concat(frame.select("mic", "close") for frame in by_mic.values()).sort("close")
    sd = np.sqrt(pieces["mic"].replace_strict(NEWS, return_dtype=pl.Float64).to_numpy())
    level = np.cumsum(sd * rng.standard_normal(pieces.height))
    seen = {}
    for mic, frame in by_mic.items():
        at = level[pieces["close"].search_sorted(frame["close"], "right").to_numpy() - 1]
        seen[mic] = np.diff(at, prepend=at[0])
    return seen


def world(
    samples: int, per_exchange: int, hour: int, seed: int, *, announcements: int = 1
) -> tuple[mi.Market, pl.DataFrame]:
    """A market and the aligned events of `samples` samples, with a column ``sample``."""
    rng = np.random.default_rng(seed)
    by_mic = sessions()
    benchmarks = {mic: BENCHMARK_SD * rng.standard_normal(frame.height) for mic, frame in by_mic.items()}
    prices = [_prices(f"^{mic}", by_mic[mic]["date"], moves) for mic, moves in benchmarks.items()]
    firms, facts = [], []
    for sample in range(samples):
        seen = factor(rng, by_mic)
        own = [(f"{mic}-{sample}-{k}", mic) for mic in by_mic for k in range(per_exchange)]
        firms += own
        for symbol, mic in own:
            shock = np.sqrt(SHARE) * seen[mic] + np.sqrt(1 - SHARE) * rng.standard_normal(len(seen[mic]))
            moves = rng.uniform(0.6, 1.4) * benchmarks[mic] + FIRM_SD * shock
            prices.append(_prices(symbol, by_mic[mic]["date"], moves))
        facts += _announced(rng, sample, hour, [symbol for symbol, _ in own], announcements)
    securities = pl.DataFrame(firms, schema=["symbol", "mic"], orient="row").with_columns(
        pl.format("^{}", "mic").alias("benchmark")
    )
    market = mi.Market.load(securities, mi.FilePrices(pl.concat(prices)))
    return market, mi.align(pl.DataFrame(facts), market)


def _prices(symbol: str, dates: pl.Series, moves: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"symbol": [symbol] * len(dates), "date": dates, "close": 100.0 * np.exp(np.cumsum(moves))})


def _announced(
    rng: np.random.Generator, sample: int, hour: int, targets: list[str], announcements: int
) -> list[dict[str, object]]:
    """One announcement, or several at least a fortnight apart, on weekdays late in the span."""
    start = date(2025, 4, 14) - timedelta(days=14 * announcements) - timedelta(days=int(rng.integers(0, 5)))
    if announcements == 1:
        start = date(2025, 1, 6) + timedelta(days=7 * int(rng.integers(0, 14)) + int(rng.integers(0, 5)))
    return [
        {
            "announcement_id": f"a{sample}-{n}",
            "announced_at": datetime.combine(start + timedelta(days=14 * n), time(hour), UTC),
            "time_precision": "minute",
            "stance": "restrictive",
            "headline": "Nothing happened",
            "targets": targets,
            "sample": sample,
        }
        for n in range(announcements)
    ]


def rates(
    samples: int, tests: list[str], window: tuple[int, int], hour: int, seed: int, *, per_exchange: int = 8,
    batch: int = 50, announcements: int = 1,
) -> pl.DataFrame:  # fmt: skip
    """``test, rate, valid``: share of samples in which a true null falls at 5%, and in which the test holds."""
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
    found = []
    for first in range(0, samples, batch):
        market, events = world(
            min(batch, samples - first), per_exchange, hour, seed + first, announcements=announcements
        )
        found.append(study.run(events, market).by("sample").test(*window, tests=tests))
    return (
        pl.concat(found)
        .group_by("test", maintain_order=True)
        .agg((pl.col("p_value") < 0.05).mean().alias("rate"), pl.col("valid").mean(), pl.len().alias("samples"))
    )


@dataclass(frozen=True)
class Pairs:
    """Residuals of a New York firm and a Shanghai firm side by side, K pairs: rows 0..K-1 and K..2K-1."""

    residuals: np.ndarray
    residual_dates: np.ndarray
    dates: np.ndarray
    exchange: np.ndarray
    clocks: tuple[ExchangeClock, ...]

    @property
    def rows(self) -> Pairs:
        return replace(self, residuals=LazyMatrix.of(self.residuals), residual_dates=LazyMatrix.of(self.residual_dates))


def pairs(count: int, length: int, hour: int, seed: int, *, sessions_estimated: int = 200) -> Pairs:
    """Pairs of firms with the factor in common, and a window of `length` sessions from one announcement on."""
    rng = np.random.default_rng(seed)
    by_mic = sessions()
    instant = datetime(2024, 12, 10, hour, tzinfo=UTC)
    rows, dates, windows, clocks = [], [], [], []
    seen = [factor(rng, by_mic) for _ in range(count)]
    for mic in ("XNYS", "XSHG"):
        frame = by_mic[mic]
        day0 = int((frame["close"] <= instant).sum())
        days = frame["date"].to_physical().to_numpy().astype(np.int64)
        span = slice(day0 - 10 - sessions_estimated, day0 - 10)
        own = rng.standard_normal((count, sessions_estimated))
        common = np.array([moves[mic][span] for moves in seen])
        rows.append(np.sqrt(SHARE) * common + np.sqrt(1 - SHARE) * own)
        dates.append(np.tile(days[span], (count, 1)))
        windows.append(np.tile(days[day0 : day0 + length], (count, 1)))
        instants = frame["close"].dt.epoch("s").to_numpy() / 3600.0
        clocks.append(ExchangeClock(days, instants, *((14.5, 21.0) if mic == "XNYS" else (1.5, 7.0))))
    return Pairs(np.vstack(rows), np.vstack(dates), np.vstack(windows), np.repeat([0, 1], count), tuple(clocks))


def true_correlation(length: int, hour: int) -> float:
    """Correlation of the sums over the window, from what was put in; no holiday lies in the window."""
    later, earlier = NEWS["XNYS"], NEWS["XSHG"] + NEWS["XTAI"]
    same, other = (later, earlier) if hour == AFTER_ASIA else (earlier, later)
    return SHARE * (length * same + (length - 1) * other) / length


def by_date(found: Pairs, lags: tuple[int, ...], *, sums: int = 1) -> np.ndarray:
    """Sum over lags of the correlation, (K,): New York's sessions with Shanghai's `lag` sessions later.

    Sessions are matched on the date first; with ``sums=2`` those of overlapping sums of two.
    """
    k = len(found.residuals) // 2
    shared, ours, theirs = np.intersect1d(found.residual_dates[0], found.residual_dates[k], return_indices=True)
    x, y = found.residuals[:k, ours], found.residuals[k:, theirs]
    if sums == 2:
        x, y = x[:, 1:] + x[:, :-1], y[:, 1:] + y[:, :-1]
    days = len(shared) - sums + 1
    total = np.zeros(k)
    for lag in lags:
        a, b = x[:, max(0, -lag) : days - max(0, lag)], y[:, max(0, lag) : days + min(0, lag)]
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
        total += (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return total


def estimators(count: int, length: int, hour: int, seed: int) -> dict[str, np.ndarray]:
    """Estimates of the correlation of two CARs by four forms, (count,) each."""
    found = pairs(count, length, hour, seed)
    here, there = found.dates[0], found.dates[count]
    overlap = len(np.intersect1d(here, there)) / length
    return {
        "date": by_date(found, (0,)) * overlap,
        "two-day": by_date(found, (0,), sums=2),
        "lag-augmented": by_date(found, (-1, 0, 1)),
        "linked": window_correlation(found.rows)[0][np.arange(count), count + np.arange(count)],
    }
