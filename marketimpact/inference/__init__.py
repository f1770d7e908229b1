"""Tests of no abnormal return."""

from marketimpact.inference.band import band_of
from marketimpact.inference.correlation import BMP_KP, PATELL_KP, MeanCorrelation, mean_correlation
from marketimpact.inference.moments import BMP, CROSS_SECTIONAL_T, PATELL_SCAR
from marketimpact.inference.portfolio import PORTFOLIO_REGRESSION
from marketimpact.inference.protocol import Holds, Outcome, SignificanceTest
from marketimpact.inference.ranks import GENERALIZED_SIGN, GRANK_T
from marketimpact.inference.sample import Portfolios, Sample
from marketimpact.inference.table import ONE_DATE, Structure, structure, table

#: Name -> test; those that hold most widely first.
TESTS: dict[str, SignificanceTest] = {
    test.name: test
    for test in (
        BMP_KP,
        PORTFOLIO_REGRESSION,
        PATELL_KP,
        GRANK_T,
        BMP,
        PATELL_SCAR,
        CROSS_SECTIONAL_T,
        GENERALIZED_SIGN,
    )
}

__all__ = [
    "ONE_DATE",
    "TESTS",
    "Holds",
    "MeanCorrelation",
    "Outcome",
    "Portfolios",
    "Sample",
    "SignificanceTest",
    "Structure",
    "band_of",
    "mean_correlation",
    "structure",
    "table",
]
