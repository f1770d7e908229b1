"""Define the models of the normal return and their registry `MODELS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args

from marketimpact.errors import SpecificationError
from marketimpact.models.garch import (
    EGARCH_STATE,
    GARCH_STATE,
    egarch11,
    egarch_forecast,
    egarch_through_gap,
    garch11,
    garch_forecast,
    garch_through_gap,
)
from marketimpact.models.linear import Design, Term, terms
from marketimpact.models.peers import PeerMean, RidgePeers, StatisticalFactors
from marketimpact.models.robust import huber, theil_sen
from marketimpact.models.scholes_williams import scholes_williams, scholes_williams_residuals
from marketimpact.models.trade_to_trade import gap_length, residuals_by_session, trade_to_trade

__all__ = [
    "MODELS",
    "PEER_MODELS",
    "Capm",
    "CapmRestricted",
    "Carhart",
    "ComparisonPeriodMean",
    "Dimson",
    "Egarch",
    "FactorModel",
    "FamaFrench3",
    "FamaFrench5",
    "ForecastFrom",
    "Garch",
    "Huber",
    "MarketAdjusted",
    "MarketModel",
    "MeanAdjusted",
    "Model",
    "ScholesWilliams",
    "TheilSen",
    "TradeToTrade",
]


#: Where forecasts of the variance start.
ForecastFrom = Literal["estimation_end", "event_window_start"]


class Model(Protocol):
    """A model of the normal return: a name and the specification of its regression."""

    @property
    def name(self) -> str:
        """Return the name in the registry, in study files and in the record of a run."""
        ...

    @property
    def design(self) -> Design:
        """Return the specification of the regression."""
        ...


@dataclass(frozen=True, slots=True)
class MeanAdjusted:
    """Constant mean return: ``E R = mean of the estimation window``.

    Degrees of freedom M - 1. Source: Brown and Warner (1980, 1985). Not to be used when the market
    moved on the event day: abnormal returns then contain the market's return.
    """

    name: ClassVar[str] = "mean_adjusted"
    design: ClassVar[Design] = Design(())


@dataclass(frozen=True, slots=True)
class MarketAdjusted:
    """Benchmark return taken as the expectation: ``AR = R - Rm``.

    The variance is the centred variance of R - Rm in the estimation window, on M - 1 degrees of
    freedom; nothing is estimated, so there is no forecast error. Source: Brown and Warner (1980).
    Not to be used for firms whose beta is far from one.
    """

    name: ClassVar[str] = "market_adjusted"
    design: ClassVar[Design] = Design(terms("market"), intercept=False, imposed=True)


@dataclass(frozen=True, slots=True)
class MarketModel:
    """One regressor, the security's own benchmark: ``E R = alpha + beta Rm``.

    Degrees of freedom M - 2. Source: Fama, Fisher, Jensen and Roll (1969). Not to be used with a
    benchmark in which the event firms have a large weight: it contains the effect.
    """

    name: ClassVar[str] = "market_model"
    design: ClassVar[Design] = Design(terms("market"))


@dataclass(frozen=True, slots=True)
class FactorModel:
    """Constant and any factors: ``E R = a + b'F``, with the risk-free rate added back if `excess`.

    Parameters
    ----------
    factors : tuple of str
        ``"market"`` for the security's benchmark, other names for columns of the market's factors.
    excess : bool
        Whether returns, and ``"market"`` among the factors, are taken in excess of the factor column
        ``rf``. Other factors are used as they are.
    lagged : tuple of str
        Factors that enter with their value on the security's previous session.

    Notes
    -----
    Degrees of freedom M - 1 - number of regressors. `factors` enter on the same date: for an Asian
    security a same-day American factor is realised after its close and contains the reaction to the
    same news. For an Asian security use the local benchmark on the same session and the foreign factor
    lagged only, ``FactorModel(("market",), lagged=("sox",))``; for an American security an Asian factor on the
    same date, whose exchange has closed already, and lagged. A factor's days on which the security's exchange
    was closed do not enter.
    """

    factors: tuple[str, ...]
    excess: bool = False
    lagged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("factors", "lagged"):
            columns = getattr(self, name)
            if not isinstance(columns, tuple | list) or not (columns or name == "lagged"):
                raise SpecificationError(
                    f"{name}={columns!r} is no tuple of factors. Give at least one name, such as ('market', 'sox')."
                )
            object.__setattr__(self, name, tuple(columns))
            if len(set(columns)) < len(columns):
                raise SpecificationError(
                    f"{name}={columns!r} has a factor twice, so the regressors are collinear. Give each factor once."
                )

    @property
    def name(self) -> str:
        """Return ``factor_model(...)`` with the names of the regressors."""
        return f"factor_model({' '.join(term.name for term in self.design.regressors)})"

    @property
    def design(self) -> Design:
        """Return the regression on a constant and the factors."""
        return Design((*terms(*self.factors), *(Term(factor, -1) for factor in self.lagged)), excess=self.excess)


@dataclass(frozen=True, slots=True)
class FamaFrench3:
    """Fama and French (1993): ``R - rf`` on a constant, ``mktrf``, ``smb`` and ``hml``.

    Degrees of freedom M - 4. The market must carry the four factor columns, decimal per session.
    Not to be used with American factors on securities that trade elsewhere.
    """

    name: ClassVar[str] = "ff3"
    design: ClassVar[Design] = Design(terms("mktrf", "smb", "hml"), excess=True)


@dataclass(frozen=True, slots=True)
class Capm:
    """Excess return on a constant and the excess return of the security's own benchmark; Jensen (1968).

    Degrees of freedom M - 2. The market must carry the factor column ``rf``.
    """

    name: ClassVar[str] = "capm"
    design: ClassVar[Design] = Design(terms("market"), excess=True)


@dataclass(frozen=True, slots=True)
class CapmRestricted:
    """Excess return on the benchmark's excess return without a constant: alpha is imposed to be zero.

    Degrees of freedom M - 1. Not to be used when the mean residual of the estimation window is far
    from zero: it then enters every abnormal return.
    """

    name: ClassVar[str] = "capm_restricted"
    design: ClassVar[Design] = Design(terms("market"), intercept=False, excess=True)


@dataclass(frozen=True, slots=True)
class Carhart:
    """Fama and French's three factors and momentum (``mom``); Carhart (1997). Degrees of freedom M - 5."""

    name: ClassVar[str] = "carhart"
    design: ClassVar[Design] = Design(terms("mktrf", "smb", "hml", "mom"), excess=True)


@dataclass(frozen=True, slots=True)
class FamaFrench5:
    """Fama and French (2015): ``mktrf smb hml rmw cma``. Degrees of freedom M - 6."""

    name: ClassVar[str] = "ff5"
    design: ClassVar[Design] = Design(terms("mktrf", "smb", "hml", "rmw", "cma"), excess=True)


@dataclass(frozen=True, slots=True)
class ComparisonPeriodMean:
    """Constant mean return estimated before and after the event; Masulis (1980).

    Parameters
    ----------
    after : tuple of int
        First and last session of the estimation window after the event.

    Notes
    -----
    Degrees of freedom M - 1, M sessions in both windows together. Not to be used when the event changes the
    mean return: the days after it then contaminate the expectation.
    """

    after: tuple[int, int] = (21, 60)

    name: ClassVar[str] = "comparison_period_mean"

    def __post_init__(self) -> None:
        if len(self.after) != 2 or self.after[0] > self.after[1]:
            raise SpecificationError(
                f"after={self.after!r} is no range of sessions. Give first and last in order, such as (21, 60)."
            )

    @property
    def design(self) -> Design:
        """Return the regression on a constant over both windows."""
        return Design((), after=self.after)


@dataclass(frozen=True, slots=True)
class Dimson:
    """Market model with leads and lags of the benchmark; Dimson (1979).

    Parameters
    ----------
    lags, leads : int
        How many earlier and later sessions enter.
    leads_into_event : bool
        Allow leads: those of the last event days are returns after them, which the event itself may move.

    Notes
    -----
    Every term is subtracted on its own day; the summed slope is not applied to one day's return.
    Degrees of freedom M - 2 - lags - leads. For an Asian security take the local benchmark on the
    same session and a foreign one lagged only.
    """

    lags: int = 1
    leads: int = 0
    leads_into_event: bool = False

    def __post_init__(self) -> None:
        if min(self.lags, self.leads) < 0 or self.lags + self.leads == 0:
            raise SpecificationError(
                f"lags={self.lags}, leads={self.leads} is not a Dimson model. Give at least one, none negative."
            )
        if self.leads and not self.leads_into_event:
            raise SpecificationError(
                f"leads={self.leads}: on event days a lead is a return after the event and may contain the reaction "
                "itself. Use lags only, or set leads_into_event=True."
            )

    @property
    def name(self) -> str:
        """Return ``dimson_lag1`` (lags only) or ``dimson_1_1`` (leads, lags)."""
        return f"dimson_lag{self.lags}" if not self.leads else f"dimson_{self.leads}_{self.lags}"

    @property
    def design(self) -> Design:
        """Return the regression on lags, the same session and leads of the benchmark."""
        return Design(tuple(Term("market", shift) for shift in range(-self.lags, self.leads + 1)))


@dataclass(frozen=True, slots=True)
class ScholesWilliams:
    """Market model with the benchmark instrumented by its lag, itself and its lead; Scholes and Williams (1977).

    Degrees of freedom M - 2; the window's first and last session are left out. For thinly traded
    securities; not a remedy for exchanges that are open at different hours.
    """

    name: ClassVar[str] = "scholes_williams"
    design: ClassVar[Design] = Design(
        terms("market"),
        instruments=(Term("market", -1), Term("market", 1)),
        estimator=scholes_williams,
        residuals=scholes_williams_residuals,
    )


@dataclass(frozen=True, slots=True)
class Huber:
    """Market model by Huber's (1964) M-estimate, c = 1.345.

    Residual variance on M - 2 and the leverage of least squares: an approximation, since the robust
    line's own sampling error is slightly different.
    """

    name: ClassVar[str] = "huber"
    design: ClassVar[Design] = Design(terms("market"), estimator=huber)


@dataclass(frozen=True, slots=True)
class TheilSen:
    """Market model by the median of pairwise slopes; Theil (1950), Sen (1968).

    Residual variance on M - 2 and the leverage of least squares: an approximation. Slow, since it
    compares every pair of days.
    """

    name: ClassVar[str] = "theil_sen"
    design: ClassVar[Design] = Design(terms("market"), estimator=theil_sen)


@dataclass(frozen=True, slots=True)
class Garch:
    """Market model with GARCH(1,1) errors; Bollerslev (1986).

    The standard error of an event day is the root of its variance forecast; the event's own shock never enters it.

    Parameters
    ----------
    forecast_from : {"estimation_end", "event_window_start"}
        Forecast from the last session of the estimation window, or carry the variance with the estimated parameters
        through the abnormal returns of the gap, the sessions between the two windows, and forecast from the last of
        them: the first session of the event window is then one step ahead. Nothing in the event window is used.
        Without a gap both are the same.

    Raises
    ------
    SpecificationError
        For another `forecast_from`.

    Notes
    -----
    Normal likelihood, pre-sample variance the mean squared least-squares residual; p-values of single
    events from t(M - 2). Where the likelihood does not converge, w is at its bound or p + q >= 1,
    least squares is used: a warning counts these events, and their `omega` is null in the estimates. Needs
    the package arch. Not to be used with fewer than some 150 estimation sessions.
    """

    forecast_from: ForecastFrom = "estimation_end"

    def __post_init__(self) -> None:
        _check_forecast_from(self.forecast_from)

    @property
    def name(self) -> str:
        """Return ``garch11`` or ``garch11(event_window_start)``."""
        return _variance_model_name("garch11", self.forecast_from)

    @property
    def design(self) -> Design:
        """Return the regression on a constant and the benchmark, with a forecast variance."""
        return Design(
            terms("market"),
            estimator=garch11,
            own_variance=garch_forecast,
            state=GARCH_STATE,
            through_gap=garch_through_gap if self.forecast_from == "event_window_start" else None,
        )


@dataclass(frozen=True, slots=True)
class Egarch:
    """Market model with EGARCH(1,1) errors, which lets bad news raise the variance more; Nelson (1991).

    Parameters
    ----------
    forecast_from : {"estimation_end", "event_window_start"}
        As in `Garch`.

    Raises
    ------
    SpecificationError
        For another `forecast_from`.

    Notes
    -----
    As `Garch`. The likelihood has several maxima: the best of 24 fixed starts is taken. Another
    program may stop at a lower one.
    """

    forecast_from: ForecastFrom = "estimation_end"

    def __post_init__(self) -> None:
        _check_forecast_from(self.forecast_from)

    @property
    def name(self) -> str:
        """Return ``egarch11`` or ``egarch11(event_window_start)``."""
        return _variance_model_name("egarch11", self.forecast_from)

    @property
    def design(self) -> Design:
        """Return the regression on a constant and the benchmark, with a forecast log variance."""
        return Design(
            terms("market"),
            estimator=egarch11,
            own_variance=egarch_forecast,
            state=EGARCH_STATE,
            through_gap=egarch_through_gap if self.forecast_from == "event_window_start" else None,
        )


def _check_forecast_from(forecast_from: object) -> None:
    if forecast_from not in get_args(ForecastFrom):
        known = " or ".join(map(repr, get_args(ForecastFrom)))
        raise SpecificationError(f"forecast_from={forecast_from!r}: choose {known}.")


def _variance_model_name(name: str, forecast_from: ForecastFrom) -> str:
    """Add to a model's name where it forecasts from, unless that is the default."""
    return name if forecast_from == "estimation_end" else f"{name}({forecast_from})"


@dataclass(frozen=True, slots=True)
class TradeToTrade:
    """Market model of returns from one trade to the next; Maynes and Rumsey (1993).

    ``R_t = n_t alpha + beta (sum of Rm over the gap) + error``, the error's variance ``n_t sigma^2``,
    n_t the sessions since the last trade.

    Notes
    -----
    Degrees of freedom M - 2. The abnormal return of a suspension belongs to the session on which
    trading resumed. Only log returns add up over a gap: load the market with ``returns="log"``;
    with simple returns the sum over a gap is an approximation. Not to be used when the suspension is
    itself the reaction to the event.
    """

    name: ClassVar[str] = "trade_to_trade"
    design: ClassVar[Design] = Design(
        terms("sessions_since_trade", "market_since_trade"),
        intercept=False,
        response="ret_since_trade",
        estimator=trade_to_trade,
        residuals=residuals_by_session,
        own_variance=gap_length,
        variance_by_trade=True,
    )


def _market_plus_sox() -> FactorModel:
    """Build the factor model of the benchmark and the factor column ``sox``."""
    return FactorModel(("market", "sox"))


def _dimson_1_1() -> Dimson:
    """Build the market model with one lead and one lag of the benchmark."""
    return Dimson(lags=1, leads=1, leads_into_event=True)


#: Name in study files and on the command line -> constructor of a model. `factor_model` needs its factors, and
#: models of peers their donors.
MODELS: dict[str, Callable[..., Model]] = {
    "mean_adjusted": MeanAdjusted,
    "comparison_period_mean": ComparisonPeriodMean,
    "market_adjusted": MarketAdjusted,
    "market_model": MarketModel,
    "capm": Capm,
    "capm_restricted": CapmRestricted,
    "ff3": FamaFrench3,
    "carhart": Carhart,
    "ff5": FamaFrench5,
    "factor_model": FactorModel,
    "market_plus_sox": _market_plus_sox,
    "peer_mean": PeerMean,
    "statistical_factors": StatisticalFactors,
    "ridge_peers": RidgePeers,
    "scholes_williams": ScholesWilliams,
    "dimson_lag1": Dimson,
    "dimson_1_1": _dimson_1_1,
    "huber": Huber,
    "theil_sen": TheilSen,
    "trade_to_trade": TradeToTrade,
    "garch11": Garch,
    "egarch11": Egarch,
}

#: Names of the models that are made with donors.
PEER_MODELS = ("peer_mean", "statistical_factors", "ridge_peers")
