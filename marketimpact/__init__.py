"""Event studies of semiconductor policy.

Announcements (`announcements`, `catalogue_versions`, `campaigns`) meet securities (`securities`) on each exchange's own
sessions (`align`, `calendar_overrides`), and what firms were known to sell to China (`exposures`, `shares`); a `Market`
turns prices into returns: `SamplePrices`, `FilePrices`, `FolderPrices`, `AksharePrices`, `DatabasePrices`,
`YahooPrices`, kept by a `PriceStore` (`StoredPrices`) and examined by `check_prices`; an `EventStudy` estimates a
model of the normal return (`MODELS`) and gives a `StudyResult`: cumulative abnormal returns (`car`), their
mean (`caar`), significance tests (`test`, `TESTS`), and the events left out (`attrition`).
`specification_curve` repeats the study across specifications; `write_report` makes a report;
`read_study` reads a whole study from a TOML file. `Bars` are intraday prices, read by `BarFiles`.
"""

from typing import TYPE_CHECKING, Any

import marketimpact.core.interrupts  # first, since the others take a second  # noqa: F401

# isort: split
from marketimpact.analyses.audit import audit, with_and_without
from marketimpact.analyses.bar_path_results import BarPath
from marketimpact.analyses.bar_paths import bar_path, first_movers
from marketimpact.analyses.bars import bar_tests
from marketimpact.analyses.calendar_time import calendar_time
from marketimpact.analyses.confounding import contaminated_days
from marketimpact.analyses.counterfactual import matched_controls, synthetic_control
from marketimpact.analyses.day0_bounds import Day0Bounds, day0_bounds
from marketimpact.analyses.dollar_effect import dollar_effect
from marketimpact.analyses.exposure_slope import ExposureSlope, ExposureSlopes, exposure_slope
from marketimpact.analyses.factor_alarm import FactorAlarm, factor_alarm
from marketimpact.analyses.group_differences import difference, differences, equal_effects
from marketimpact.analyses.legs import CarByLeg, car_by_leg
from marketimpact.analyses.mirror import mirror
from marketimpact.analyses.power import power
from marketimpact.analyses.randomisation import placebo_dates, placebo_firms
from marketimpact.analyses.reaction_order import reaction_order
from marketimpact.analyses.run_up import day0_sensitivity, run_up
from marketimpact.analyses.specification_curve.curve import SpecificationCurve, specification_curve
from marketimpact.analyses.volatility import abnormal_volatility
from marketimpact.errors import (
    DataError,
    MarketImpactError,
    MarketImpactWarning,
    SourceError,
    SpecificationError,
)
from marketimpact.events.alignment import align
from marketimpact.events.catalogue import announcements, campaigns, read_events, securities
from marketimpact.events.catalogue_versions import catalogue_versions
from marketimpact.events.dual_listings import one_listing
from marketimpact.events.exposures import exposures
from marketimpact.events.session_overrides import calendar_overrides
from marketimpact.events.share_counts import shares
from marketimpact.inference import TESTS
from marketimpact.market.bar_moves import bar_moves
from marketimpact.market.bars import Bars
from marketimpact.market.checks import FINDINGS, check_prices
from marketimpact.market.market import Market
from marketimpact.market.sample_bars import SampleBars
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
    PeerMean,
    RidgePeers,
    ScholesWilliams,
    StatisticalFactors,
    TheilSen,
    TradeToTrade,
)
from marketimpact.report import write_report
from marketimpact.report.brief import brief  # from its module: the reference would take the module for the function
from marketimpact.sources import (
    AksharePrices,
    BarFiles,
    DatabasePrices,
    FilePrices,
    FolderPrices,
    FrenchFactors,
    PriceStore,
    SamplePrices,
    StoredBars,
    StoredPrices,
    YahooBars,
    YahooPrices,
)
from marketimpact.sources.files.compustat import compustat_prices
from marketimpact.sources.files.crsp import crsp_benchmark, crsp_prices, crsp_returns
from marketimpact.study.event_study import EventStudy
from marketimpact.study.regressions import wild_cluster_bootstrap
from marketimpact.study.result import StudyResult
from marketimpact.study.write import write_study

if TYPE_CHECKING:
    from marketimpact.cli.study_file import read_study

    __version__: str
    """Version of the installed package, such as ``"0.1.0"``."""

__all__ = [
    "FINDINGS",
    "MODELS",
    "TESTS",
    "AksharePrices",
    "BarFiles",
    "BarPath",
    "Bars",
    "Capm",
    "CapmRestricted",
    "CarByLeg",
    "Carhart",
    "ComparisonPeriodMean",
    "DataError",
    "DatabasePrices",
    "Day0Bounds",
    "Dimson",
    "Egarch",
    "EventStudy",
    "ExposureSlope",
    "ExposureSlopes",
    "FactorAlarm",
    "FactorModel",
    "FamaFrench3",
    "FamaFrench5",
    "FilePrices",
    "FolderPrices",
    "FrenchFactors",
    "Garch",
    "Huber",
    "Market",
    "MarketAdjusted",
    "MarketImpactError",
    "MarketImpactWarning",
    "MarketModel",
    "MeanAdjusted",
    "PeerMean",
    "PriceStore",
    "RidgePeers",
    "SampleBars",
    "SamplePrices",
    "ScholesWilliams",
    "SourceError",
    "SpecificationCurve",
    "SpecificationError",
    "StatisticalFactors",
    "StoredBars",
    "StoredPrices",
    "StudyResult",
    "TheilSen",
    "TradeToTrade",
    "YahooBars",
    "YahooPrices",
    "__version__",
    "abnormal_volatility",
    "align",
    "announcements",
    "audit",
    "bar_moves",
    "bar_path",
    "bar_tests",
    "brief",
    "calendar_overrides",
    "calendar_time",
    "campaigns",
    "car_by_leg",
    "catalogue_versions",
    "check_prices",
    "compustat_prices",
    "contaminated_days",
    "crsp_benchmark",
    "crsp_prices",
    "crsp_returns",
    "day0_bounds",
    "day0_sensitivity",
    "difference",
    "differences",
    "dollar_effect",
    "equal_effects",
    "exposure_slope",
    "exposures",
    "factor_alarm",
    "first_movers",
    "matched_controls",
    "mirror",
    "one_listing",
    "placebo_dates",
    "placebo_firms",
    "power",
    "reaction_order",
    "read_events",
    "read_study",
    "run_up",
    "securities",
    "shares",
    "specification_curve",
    "synthetic_control",
    "wild_cluster_bootstrap",
    "with_and_without",
    "write_report",
    "write_study",
]


if not TYPE_CHECKING:  # else every misspelt name would pass a type checker

    def __getattr__(name: str) -> Any:
        """Import on first use what would slow down the import of the package."""
        if name == "read_study":
            from marketimpact.cli.study_file import read_study as value  # noqa: PLC0415  # brings the command line
        elif name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415

            value = version(__name__)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names only; modules are imported by their own names."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
