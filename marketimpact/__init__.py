"""Event studies of semiconductor policy.

Announcements (`announcements`, `campaigns`) meet securities (`securities`) on each exchange's own
sessions (`align`); a `Market` turns prices (`SamplePrices`, `FilePrices`, `YahooPrices`) into
returns; an `EventStudy` estimates a model of the normal return (`MODELS`) and gives a
`StudyResult`, which answers who moved (`car`), how far on average (`caar`), whether that can be told
from chance (`test`, `TESTS`), and what was left out (`attrition`). `specification_curve` asks in every
defensible way; `write_report` makes a report.
"""

from marketimpact.alignment import align
from marketimpact.calendartime import calendar_time
from marketimpact.catalogue import announcements, campaigns, securities
from marketimpact.counterfactual import matched_controls, synthetic_control
from marketimpact.errors import (
    DataError,
    MarketImpactError,
    MarketImpactWarning,
    SourceError,
    SpecificationError,
)
from marketimpact.inference import TESTS
from marketimpact.market import Market
from marketimpact.models import (
    MODELS,
    Capm,
    CapmRestricted,
    Carhart,
    ComparisonPeriodMean,
    Dimson,
    Egarch,
    FactorModel,
    FamaFrench3,
    FamaFrench5,
    Garch,
    Huber,
    MarketAdjusted,
    MarketModel,
    MeanAdjusted,
    ScholesWilliams,
    TheilSen,
    TradeToTrade,
)
from marketimpact.report import write_report
from marketimpact.result import StudyResult
from marketimpact.sources import FilePrices, FrenchFactors, SamplePrices, YahooPrices
from marketimpact.specification import SpecificationCurve, specification_curve
from marketimpact.study import EventStudy
from marketimpact.volatility import abnormal_volatility

__all__ = [
    "MODELS",
    "TESTS",
    "Capm",
    "CapmRestricted",
    "Carhart",
    "ComparisonPeriodMean",
    "DataError",
    "Dimson",
    "Egarch",
    "EventStudy",
    "FactorModel",
    "FamaFrench3",
    "FamaFrench5",
    "FilePrices",
    "FrenchFactors",
    "Garch",
    "Huber",
    "Market",
    "MarketAdjusted",
    "MarketImpactError",
    "MarketImpactWarning",
    "MarketModel",
    "MeanAdjusted",
    "SamplePrices",
    "ScholesWilliams",
    "SourceError",
    "SpecificationCurve",
    "SpecificationError",
    "StudyResult",
    "TheilSen",
    "TradeToTrade",
    "YahooPrices",
    "abnormal_volatility",
    "align",
    "announcements",
    "calendar_time",
    "campaigns",
    "matched_controls",
    "securities",
    "specification_curve",
    "synthetic_control",
    "write_report",
]
