"""A small seeded panel with gaps, and what one event looks like when cut out of it by hand.

Twelve firms, 330 sessions: missing returns, a firm listed late, firms in two events, events of one
date, windows that overlap in part, a window that runs past the last session.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import statsmodels.api as sm

import marketimpact as mi

SESSIONS, FIRMS, LISTED = 330, 12, 150
ESTIMATION, EVENT = (-150, -11), (-5, 5)
#: (firm, session of day 0). The last of "mixed" has two event days after the end of the calendar.
SETS = {
    "shared": [(firm, 270) for firm in range(FIRMS)],
    "separate": [*((firm, 150 + 14 * firm) for firm in range(11)), (0, 310)],
    "mixed": [
        (0, 200), (1, 200), (2, 200), (3, 202), (4, 202), (0, 230), (5, 230), (6, 230), (7, 230),
        (8, 260), (9, 260), (1, 290), (10, 290), (11, 290), (2, 326),
    ],
}  # fmt: skip
#: (firm, session) without a return, besides the random ones: inside windows, and three on a day 0.
HOLES = [(4, 271), (7, 270), (2, 177), (5, 231), (8, 259), (8, 261), (9, 260), (1, 289), (3, 203)]


@cache
def wide() -> pd.DataFrame:
    """Everything by session: date, market, factors, their lag and lead, one column per firm."""
    rng = np.random.default_rng(20240611)
    names = ["market", "smb", "hml", "rmw", "cma", "mom", "sox"]
    frame = pd.DataFrame(rng.normal(3e-4, 0.01, (SESSIONS, len(names))), columns=names)
    frame["rf"] = 1e-4 + 5e-5 * rng.random(SESSIONS)
    frame["mktrf"] = frame["market"] - frame["rf"] + rng.normal(0, 0.002, SESSIONS)
    frame["sox"] += 1.2 * frame["market"]
    common = rng.normal(0, 0.006, SESSIONS)
    load = rng.normal(0.3, 0.4, (len(names), FIRMS))
    load[0] += 0.7
    noise = rng.standard_t(5, (SESSIONS, FIRMS)) * rng.uniform(0.008, 0.02, FIRMS)
    ret = 2e-4 + frame[names].to_numpy() @ load * 0.8 + common[:, None] + noise
    for firm, session in {pair for pairs in SETS.values() for pair in pairs}:
        ret[session : session + 2, firm] += 0.012
    ret[rng.random(ret.shape) < 0.02] = np.nan
    ret[:LISTED, 11] = np.nan
    for firm, session in HOLES:
        ret[session, firm] = np.nan
    frame["market_rf"] = frame["market"] - frame["rf"]
    frame["market_lag1"], frame["market_lead1"] = frame["market"].shift(1), frame["market"].shift(-1)
    days = np.busday_offset("2021-01-04", np.arange(SESSIONS)).astype("datetime64[D]")
    return pd.concat([frame, pd.DataFrame(ret, columns=[f"F{i:02d}" for i in range(FIRMS)])], axis=1).assign(date=days)


@cache
def market() -> mi.Market:
    """The panel as the package takes it; a missing return is an absent row."""
    table = wide()
    dates = pl.Series("date", table["date"].to_numpy().astype("datetime64[D]")).cast(pl.Date)
    firms = [column for column in table.columns if column.startswith("F")]
    returns = pl.concat(
        pl.DataFrame({"date": dates, "symbol": [firm] * SESSIONS, "ret": table[firm].to_numpy()}) for firm in firms
    )
    factors = ["rf", "mktrf", "smb", "hml", "rmw", "cma", "mom", "sox"]
    return mi.Market.from_returns(
        returns.filter(pl.col("ret").is_not_nan()),
        pl.DataFrame({"date": dates, "ret": table["market"].to_numpy()}),
        pl.DataFrame({"date": dates, **{name: table[name].to_numpy() for name in factors}}),
        allow_missing_sessions=True,
    )


def events(which: str) -> pl.DataFrame:
    """One of the three sets as a frame; `event_id` counts."""
    dates = wide()["date"].to_numpy().astype("datetime64[D]")
    rows = [(f"e{k:02d}", f"F{firm:02d}", dates[day].item()) for k, (firm, day) in enumerate(SETS[which])]
    return pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")


@cache
def run(which: str, name: str = "market_model", **options: object) -> mi.StudyResult:
    """The package's answer."""
    study = mi.EventStudy(mi.MODELS[name](**options), ESTIMATION, EVENT, min_observations=60)
    result = study.run(events(which), market())
    assert result.events.height == len(SETS[which])
    return result


def around(which: str, k: int) -> pd.DataFrame:
    """The panel as event k of a set sees it: index is tau, `ret` is the firm's."""
    firm, day0 = SETS[which][k]
    frame = wide().rename(columns={f"F{firm:02d}": "ret"})
    frame.index = frame.index - day0
    return frame


def dummy_car(y: pd.Series, x: pd.DataFrame, before: list[int], days: list[int]) -> tuple[float, float, float]:
    """CAR, its standard error and degrees of freedom by OLS with one dummy per day (Karafiath 1988)."""
    rows = [*before, *days]
    design = pd.concat([x.loc[rows], pd.DataFrame(np.eye(len(rows))[:, len(before) :], index=rows)], axis=1)
    fit = sm.OLS(y.loc[rows].to_numpy(), design.to_numpy()).fit()
    total = fit.t_test(np.r_[np.zeros(x.shape[1]), np.ones(len(days))])
    return float(total.effect[0]), float(np.ravel(total.sd)[0]), float(fit.df_resid)


@dataclass(frozen=True)
class Piece:
    """One event under the market model, by statsmodels; dictionaries are keyed by tau."""

    day0: int
    residuals: dict[int, float]
    ar: dict[int, float]
    se: dict[int, float]
    sigma: float
    df: float
    y: pd.Series
    x: pd.DataFrame
    firm: object = None

    def window(self, first: int, last: int) -> list[int]:
        """Days of the window that have an abnormal return."""
        return [tau for tau in self.ar if first <= tau <= last]

    def car(self, first: int, last: int) -> tuple[float, float, float]:
        """CAR, its forecast standard error and degrees of freedom."""
        return dummy_car(self.y, self.x, list(self.residuals), self.window(first, last))


def piece(day0: int, y: pd.Series, x: pd.DataFrame) -> Piece:
    """Estimate one event (or portfolio) on its complete days."""
    held = (y.notna() & x.notna().all(axis=1)).to_numpy()
    y, x = y[held], x[held]
    before = [tau for tau in y.index if ESTIMATION[0] <= tau <= ESTIMATION[1]]
    days = [tau for tau in y.index if EVENT[0] <= tau <= EVENT[1]]
    fit = sm.OLS(y.loc[before], x.loc[before]).fit()
    ar, se = {}, {}
    if days:
        forecast = fit.get_prediction(x.loc[days])
        ar = dict(zip(days, y.loc[days] - forecast.predicted_mean, strict=True))
        se = dict(zip(days, forecast.se_obs, strict=True))
    return Piece(day0, dict(fit.resid), ar, se, float(np.sqrt(fit.mse_resid)), float(fit.df_resid), y, x)


@cache
def pieces(which: str) -> tuple[Piece, ...]:
    """Every event of a set under the market model."""
    found = []
    for k, (firm, day0) in enumerate(SETS[which]):
        frame = around(which, k)
        found.append(replace(piece(day0, frame["ret"], sm.add_constant(frame[["market"]])), firm=firm))
    return tuple(found)


def agree(name: str, ours: object, theirs: object, rtol: float = 1e-9) -> None:
    """Element by element, relative to the second opinion."""
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    assert np.isfinite(theirs).all(), f"{name}: the second opinion is not a number"
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=0, err_msg=name)
