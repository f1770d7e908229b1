"""Calendar-time portfolios: the abnormal return per session of holding firms with a recent event."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from marketimpact.core.arguments import require
from marketimpact.core.frames import FrameLike
from marketimpact.errors import DataError, MarketImpactWarning, SpecificationError
from marketimpact.estimation.positions import locate_day0
from marketimpact.estimation.windows import check_window
from marketimpact.market.market import Market

__all__ = ["CalendarTime", "calendar_time"]

Errors = Literal["ols", "wls", "wls_robust", "hac"]
_ERRORS = ("ols", "wls", "wls_robust", "hac")


@dataclass(frozen=True, slots=True)
class CalendarTime:
    """Regression of a calendar-time portfolio.

    Attributes
    ----------
    alpha : float
        Mean abnormal return per session (fraction).
    se, t, p_value : float
        Its standard error, their ratio, and the two-sided p-value from t(`df`).
    df, n_days : int
        Degrees of freedom, sessions with a portfolio.
    portfolio : polars.DataFrame
        ``date, ret, n_firms``: the portfolio's return and the distinct firms in it.
    attrition : polars.DataFrame
        ``event_id, reason, detail`` of the events that are in no portfolio.
    regression : statsmodels RegressionResults
        The regression itself.
    """

    alpha: float
    se: float
    t: float
    p_value: float
    df: int
    n_days: int
    portfolio: pl.DataFrame = field(repr=False)
    attrition: pl.DataFrame = field(repr=False)
    regression: Any = field(repr=False)


def calendar_time(
    events: FrameLike,
    market: Market,
    window: tuple[int, int],
    *,
    factors: Sequence[str] = ("market",),
    excess: bool = False,
    errors: Errors = "ols",
    lags: int = 5,
    min_firms: int = 1,
) -> CalendarTime:
    """Estimate the alpha of the portfolio that holds each firm from `window[0]` to `window[1]` after its day 0.

    Parameters
    ----------
    events : FrameLike
        As for `EventStudy.run`.
    market : Market
        Returns and factors.
    window : tuple of int
        First and last session of holding, relative to day 0.
    factors : sequence of str
        What the portfolio is regressed on: ``"market"`` (mean of the members' own benchmarks) or factor
        columns.
    excess : bool
        Whether the portfolio's return (and ``"market"``) is taken in excess of the factor ``rf``.
    errors : {"ols", "wls", "wls_robust", "hac"}
        Ordinary standard errors; days weighted by their number of firms, with standard errors that take firms as
        independent (``"wls"``) or with heteroskedasticity-robust ones (``"wls_robust"``, HC3); Newey and West's with
        `lags`.
    lags : int
        For "hac".
    min_firms : int
        Sessions with fewer distinct firms are left out.

    Returns
    -------
    CalendarTime

    Raises
    ------
    SpecificationError
        For an unknown factor or option.
    DataError
        When too few sessions are left to estimate.

    Warns
    -----
    MarketImpactWarning
        With ``errors="wls"`` where sessions differ in their number of firms.

    Notes
    -----
    A firm with two events within the window is held once. Null: alpha is zero; t(days - k). Firms hit
    on the same day are one portfolio, whose variance includes their correlation. Days have equal weights, not
    events, so power is low when events cluster; and betas are assumed constant over the whole period.
    The variance of a portfolio of n firms falls as 1/n only without a shock that they share: with one, ``"wls"``
    rejects too often, ``"wls_robust"`` does not, since its variance is that of the residuals themselves.
    Jaffe (1974), Mandelker (1974), Fama (1998), Mitchell and Stafford (2000); HC3: MacKinnon and White (1985).
    """
    require(market, "Market", "market")
    first, last = check_window(window, "window")
    _check_options(market, factors, excess=excess, errors=errors, lags=lags, min_firms=min_firms)
    located, positions, attrition = locate_day0(events, market)
    located = located.with_columns(pl.Series("_day0", positions.day0))
    members = _members(located, market, first, last, (*factors, *(("rf",) if excess else ())))
    members, implausible = _without_steps(members, market)
    located = located.join(implausible, on="event_id", how="anti")
    without_return = located.join(members, on="event_id", how="anti").select(
        "event_id",
        pl.lit("no_event_returns").alias("reason"),
        pl.lit(f"no return in [{first}, {last}]").alias("detail"),
    )
    daily = _portfolio(members, factors, excess=excess).filter(pl.col("n_firms") >= min_firms)
    complete = daily.drop_nulls()
    if complete.height < len(factors) + 3:
        raise DataError(
            f"calendar_time: {complete.height} sessions have a portfolio of at least {min_firms} firms and every "
            f"factor; the regression on {len(factors)} factors needs {len(factors) + 3}. Widen window={window}."
        )
    if errors == "wls":
        _warn_of_weights(complete["n_firms"])
    regression = _regress(complete, factors, errors, lags)
    df = complete.height - len(factors) - 1
    return CalendarTime(
        alpha=float(regression.params[0]),
        se=float(regression.bse[0]),
        t=float(regression.tvalues[0]),
        p_value=float(regression.pvalues[0]),
        df=df,
        n_days=complete.height,
        portfolio=daily.select("date", pl.col("_ret").alias("ret"), "n_firms"),
        attrition=pl.concat([attrition, implausible, without_return]).sort("event_id"),
        regression=regression,
    )


def _check_options(
    market: Market, factors: Sequence[str], *, excess: bool, errors: str, lags: int, min_firms: int
) -> None:
    if market.unit != "simple":
        raise SpecificationError(f"A portfolio needs simple returns; this market holds {market.unit} returns.")
    lacking = [c for c in (*factors, *(("rf",) if excess else ())) if c not in ("market", *market.factors)]
    if lacking or isinstance(factors, str) or not factors:
        known = ", ".join(("market", *market.factors))
        raise SpecificationError(f"factors={factors!r}: give a tuple of names out of {known}; missing: {lacking}.")
    if errors not in _ERRORS:
        raise SpecificationError(
            f"errors={errors!r}: choose 'ols', 'wls_robust' or 'wls' (weights: firms per day), or 'hac'."
        )
    if lags < 0 or min_firms < 1:
        raise SpecificationError(f"lags={lags}, min_firms={min_firms}: lags from 0 on, firms from 1 on.")


def _warn_of_weights(n_firms: pl.Series) -> None:
    """Warn that weights by number of firms take firms as independent, where the number differs between sessions."""
    count = n_firms.to_numpy()
    if count.min() < count.max():
        warnings.warn(
            f"errors='wls' takes the firms of a session as independent, here {count.min()} to {count.max()} of "
            "them; where they share a shock its standard error is too small. Use errors='wls_robust' (the same alpha).",
            MarketImpactWarning,
            stacklevel=3,
        )


def _members(located: pl.DataFrame, market: Market, first: int, last: int, columns: Sequence[str]) -> pl.DataFrame:
    """List the events and sessions of their windows that have a return."""
    panel = market.select("symbol", "session", "date", "ret", *columns).rename({"date": "day"})
    return (
        located.select("event_id", "symbol", "_day0")
        .join(pl.DataFrame({"tau": range(first, last + 1)}), how="cross")
        .with_columns((pl.col("_day0") + pl.col("tau")).alias("session"))
        .join(panel, on=["symbol", "session"], how="inner", validate="m:1")
        .drop_nulls("ret")
    )


def _without_steps(members: pl.DataFrame, market: Market) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out events whose window holds an implausible return; return the others, and the attrition."""
    steps = market.implausible.select("symbol", pl.col("date").alias("day"), pl.col("ret").alias("step"))
    touched = members.join(steps, on=["symbol", "day"], how="inner", validate="m:1").unique(
        "event_id", keep="first", maintain_order=True
    )
    members = members.join(touched, on="event_id", how="anti")
    attrition = touched.select(
        "event_id",
        pl.lit("implausible_return").alias("reason"),
        pl.format("{} has a return of {}% on {}", "symbol", (pl.col("step") * 100).round(1), "day").alias("detail"),
    )
    return members, attrition


def _portfolio(members: pl.DataFrame, factors: Sequence[str], *, excess: bool) -> pl.DataFrame:
    """Average over distinct firms, day by day: ``date, _ret, _excess, n_firms`` and the factors."""
    rf = pl.col("rf") if excess else pl.lit(0.0)
    regressors = [(pl.col(c) - rf if c == "market" else pl.col(c)).mean().alias(c) for c in factors]
    return (
        members.unique(["symbol", "day"], maintain_order=True)
        .sort("day", "symbol")
        .group_by("day", maintain_order=True)
        .agg(
            pl.col("ret").mean().alias("_ret"),
            (pl.col("ret") - rf).mean().alias("_excess"),
            pl.len().alias("n_firms"),
            *regressors,
        )
        .rename({"day": "date"})
    )


def _regress(daily: pl.DataFrame, factors: Sequence[str], errors: str, lags: int) -> Any:
    import statsmodels.api as sm  # noqa: PLC0415  # two seconds of import

    y = daily["_excess"].to_numpy()
    x = np.column_stack([np.ones(daily.height), *(daily[c].to_numpy() for c in factors)])
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise DataError(f"calendar_time: factors {tuple(factors)} are constant or collinear on these days.")
    if errors in ("wls", "wls_robust"):
        weighted = sm.WLS(y, x, weights=daily["n_firms"].to_numpy().astype(float))
        return weighted.fit() if errors == "wls" else weighted.fit(cov_type="HC3", use_t=True)
    if errors == "hac":
        return sm.OLS(y, x).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}, use_t=True)
    return sm.OLS(y, x).fit()
