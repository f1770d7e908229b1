"""Event studies of semiconductor policy.

Announcements (`announcements`, `campaigns`) meet securities (`securities`) on each exchange's own
sessions (`align`); a `Market` turns prices (`SamplePrices`, `FilePrices`, `YahooPrices`) into
returns; an `EventStudy` estimates a model of the normal return (`MODELS`) and gives a
`StudyResult`, which answers who moved (`car`), how far on average (`caar`), whether that can be told
from chance (`test`, `TESTS`), and what was left out (`attrition`). `write_report` makes a report.
"""

from marketimpact.alignment import align
from marketimpact.catalogue import announcements, campaigns, securities
from marketimpact.errors import (
    DataError,
    MarketImpactError,
    MarketImpactWarning,
    SourceError,
    SpecificationError,
)
from marketimpact.inference import TESTS
from marketimpact.market import Market
from marketimpact.models import MODELS, FactorModel, FamaFrench3, MarketAdjusted, MarketModel, MeanAdjusted
from marketimpact.report import write_report
from marketimpact.result import StudyResult
from marketimpact.sources import FilePrices, SamplePrices, YahooPrices
from marketimpact.study import EventStudy

__all__ = [
    "MODELS",
    "TESTS",
    "DataError",
    "EventStudy",
    "FactorModel",
    "FamaFrench3",
    "FilePrices",
    "Market",
    "MarketAdjusted",
    "MarketImpactError",
    "MarketImpactWarning",
    "MarketModel",
    "MeanAdjusted",
    "SamplePrices",
    "SourceError",
    "SpecificationError",
    "StudyResult",
    "YahooPrices",
    "align",
    "announcements",
    "campaigns",
    "securities",
    "write_report",
]
