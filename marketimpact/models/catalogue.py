"""Models of the normal return, and the registry one can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from marketimpact.errors import SpecificationError
from marketimpact.models.linear import Design

__all__ = ["MODELS", "FactorModel", "FamaFrench3", "MarketAdjusted", "MarketModel", "MeanAdjusted", "Model"]


class Model(Protocol):
    """A model of the normal return: a name and what it regresses on what."""

    @property
    def name(self) -> str:
        """Name in the registry, in study files and in the record of a run."""
        ...

    @property
    def design(self) -> Design:
        """Constant, regressors, excess returns."""
        ...


@dataclass(frozen=True, slots=True)
class MeanAdjusted:
    """Constant mean return: ``E R = mean of the estimation window``.

    Degrees of freedom M - 1. Source: Brown and Warner (1980, 1985). Not to be used when the market
    moved on the event day: the market's move is then taken for the event's.
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
    design: ClassVar[Design] = Design(("market",), intercept=False, imposed=True)


@dataclass(frozen=True, slots=True)
class MarketModel:
    """One regressor, the security's own benchmark: ``E R = alpha + beta Rm``.

    Degrees of freedom M - 2. Source: Fama, Fisher, Jensen and Roll (1969). Not to be used with a
    benchmark in which the event firms weigh heavily: it absorbs the effect.
    """

    name: ClassVar[str] = "market_model"
    design: ClassVar[Design] = Design(("market",))


@dataclass(frozen=True, slots=True)
class FactorModel:
    """Constant and any factors: ``E R = a + b'F``, with the risk-free rate added back if `excess`.

    Parameters
    ----------
    factors : tuple of str
        ``"market"`` for the security's benchmark, other names for columns of the market's factors.
    excess : bool
        Whether returns are taken in excess of the factor column ``rf``. The factors are used as
        they are.

    Notes
    -----
    Degrees of freedom M - 1 - number of factors. Factors enter on the same date: for an Asian
    security a same-day American factor is realised after its close and holds the reaction to the
    same news; do not use one here.
    """

    factors: tuple[str, ...]
    excess: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.factors, tuple | list) or not self.factors:
            raise SpecificationError(
                f"factors={self.factors!r}: name at least one factor in a tuple, such as ('market', 'sox')."
            )
        object.__setattr__(self, "factors", tuple(self.factors))
        if len(set(self.factors)) < len(self.factors):
            raise SpecificationError(f"factors={self.factors!r} names a factor twice; each may enter once.")

    @property
    def name(self) -> str:
        """``factor_model(...)`` with the factors in it."""
        return f"factor_model({' '.join(self.factors)})"

    @property
    def design(self) -> Design:
        """Constant and the factors."""
        return Design(self.factors, excess=self.excess)


@dataclass(frozen=True, slots=True)
class FamaFrench3:
    """Fama and French (1993): ``R - rf`` on a constant, ``mktrf``, ``smb`` and ``hml``.

    Degrees of freedom M - 4. The market must carry the four factor columns, decimal per session.
    Not to be used with American factors on securities that trade elsewhere.
    """

    name: ClassVar[str] = "ff3"
    design: ClassVar[Design] = Design(("mktrf", "smb", "hml"), excess=True)


#: Name -> model, as study files and the command line write them. `factor_model` needs its factors.
MODELS: dict[str, type[Model]] = {
    "mean_adjusted": MeanAdjusted,
    "market_adjusted": MarketAdjusted,
    "market_model": MarketModel,
    "factor_model": FactorModel,
    "ff3": FamaFrench3,
}
