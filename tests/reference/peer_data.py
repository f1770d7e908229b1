"""Returns with an unnamed factor: firms with events, donors that share it, and what one event looks like."""

from __future__ import annotations

import numpy as np
import polars as pl

import marketimpact as mi

SESSIONS, FIRMS, DONORS = 330, 4, 8
ESTIMATION, EVENT = (-150, -11), (-2, 2)
DONOR_NAMES = tuple(f"D{number}" for number in range(DONORS))
#: Event -> firm and session of day 0; a firm and a date repeat.
EVENTS = {"a": (0, 200), "b": (1, 200), "c": (2, 200), "d": (0, 260), "e": (3, 280)}
STUDY = mi.EventStudy(estimation_window=ESTIMATION, event_window=EVENT, min_observations=60)


def returns(*, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw returns of the market (T,), firms (T, F) and donors (T, J) with two factors besides the market."""
    rng = np.random.default_rng(seed)
    market, factors = rng.normal(3e-4, 0.01, SESSIONS), rng.normal(0, [0.012, 0.006], (SESSIONS, 2))
    load = rng.normal([1.0, 0.3], 0.3, (FIRMS + DONORS, 2))
    noise = rng.standard_t(6, (SESSIONS, FIRMS + DONORS)) * 0.009
    both = market[:, None] * rng.uniform(0.7, 1.5, FIRMS + DONORS) + factors @ load.T + noise
    return market, both[:, :FIRMS], both[:, FIRMS:]


def days() -> list[object]:
    return np.busday_offset("2021-01-04", np.arange(SESSIONS)).astype("datetime64[D]").tolist()


def market_of(market: np.ndarray, firms: np.ndarray, donors: np.ndarray) -> mi.Market:
    names = [*(f"F{number}" for number in range(firms.shape[1])), *DONOR_NAMES[: donors.shape[1]]]
    wide = pl.DataFrame(np.hstack([firms, donors]), schema=names).with_columns(date=pl.Series(days()))
    rows = wide.unpivot(index="date", variable_name="symbol", value_name="ret").fill_nan(None).drop_nulls()
    return mi.Market.from_returns(rows, pl.DataFrame({"date": days(), "ret": market}))


def events() -> pl.DataFrame:
    dates = days()
    return pl.DataFrame(
        [(name, f"F{firm}", dates[day0]) for name, (firm, day0) in EVENTS.items()],
        schema=["event_id", "symbol", "date"],
        orient="row",
    )


def rows_of(name: str) -> tuple[int, np.ndarray, np.ndarray]:
    """Return an event's firm and the sessions of its estimation and event window."""
    firm, day0 = EVENTS[name]
    return firm, np.arange(day0 + ESTIMATION[0], day0 + ESTIMATION[1] + 1), np.arange(day0 - 2, day0 + 3)
