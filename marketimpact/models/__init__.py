"""Models of the normal return."""

from marketimpact.models.catalogue import (
    MODELS,
    FactorModel,
    FamaFrench3,
    MarketAdjusted,
    MarketModel,
    MeanAdjusted,
    Model,
)
from marketimpact.models.linear import Design, Fit, fit, forecast

__all__ = [
    "MODELS",
    "Design",
    "FactorModel",
    "FamaFrench3",
    "Fit",
    "MarketAdjusted",
    "MarketModel",
    "MeanAdjusted",
    "Model",
    "fit",
    "forecast",
]
