"""Tests of no abnormal return."""

from marketimpact.inference import (
    bootstrap,
    clusters,
    correlation,
    moments,
    multivariate,
    placebo,
    portfolio,
    ranks,
    signs,
    skewness,
)
from marketimpact.inference.band import band_of
from marketimpact.inference.clocks import Clock, apart
from marketimpact.inference.correlation import MeanCorrelation, mean_correlation
from marketimpact.inference.detect import detectable, power_of
from marketimpact.inference.multiple import adjust, romano_wolf
from marketimpact.inference.placebo import blocks
from marketimpact.inference.placement import side_by_side
from marketimpact.inference.protocol import Alternative, Holds, Outcome, SignificanceTest
from marketimpact.inference.sample import Pool, Portfolios, Sample
from marketimpact.inference.single import sq_test
from marketimpact.inference.table import ONE_DATE, Structure, structure, table

#: What is asked when nobody says what: those that hold most widely first, then what others report.
DEFAULT_TESTS: tuple[SignificanceTest, ...] = (
    correlation.BMP_KP,
    clusters.DATE_MEANS_T,
    clusters.WILD_CLUSTER,
    portfolio.PORTFOLIO_REGRESSION,
    correlation.PATELL_KP,
    portfolio.CRUDE_DEPENDENCE,
    placebo.PLACEBO_CAAR,
    ranks.GRANK_T,
    moments.BMP,
    moments.PATELL_SCAR,
    moments.CROSS_SECTIONAL_T,
    signs.GENERALIZED_SIGN,
)
#: Asked only by name: they reject too often, or answer a question that is seldom meant.
ON_REQUEST: tuple[SignificanceTest, ...] = (
    correlation.PATELL_KP_ALLPAIRS,
    correlation.BMP_KP_ALLPAIRS,
    multivariate.MVRM_JOINT_WALD,
)
_OTHERS: tuple[SignificanceTest, ...] = (
    placebo.PLACEBO_SCAAR,
    placebo.PLACEBO_BMP,
    bootstrap.RESIDUAL_BOOTSTRAP,
    clusters.CLUSTER_T,
    clusters.WILD_CLUSTER_WEBB,
    clusters.SIGN_FLIP_DATE,
    ranks.GRANK_T_R,
    ranks.GSIGN_T,
    ranks.CORRADO_RANK,
    ranks.CORRADO_ZIVNEY,
    ranks.CORRADO_ZIVNEY_ADJ,
    ranks.RANK_BLOCKS,
    ranks.GRANK_Z,
    multivariate.MVRM_AVERAGE_F,
    multivariate.MVRM_JOINT_F,
    multivariate.MVRM_JOINT_BOOTSTRAP,
    multivariate.MVRM_EQUAL_F,
    moments.PORTFOLIO_INDEPENDENT,
    moments.PATELL,
    moments.PATELL_PERFIRM,
    moments.JACKKNIFE_WEIGHTED,
    skewness.SKEW_JOHNSON,
    skewness.SKEW_HALL,
    skewness.SKEW_JOHNSON_BOOTSTRAP,
    skewness.SKEW_HALL_BOOTSTRAP,
    signs.SIGN,
    signs.WILCOXON,
    moments.EVENT_VARIANCE_RATIO,
    placebo.CAV,
)
#: Name -> test.
TESTS: dict[str, SignificanceTest] = {test.name: test for test in (*DEFAULT_TESTS, *_OTHERS, *ON_REQUEST)}

__all__ = [
    "DEFAULT_TESTS",
    "ONE_DATE",
    "ON_REQUEST",
    "TESTS",
    "Alternative",
    "Clock",
    "Holds",
    "MeanCorrelation",
    "Outcome",
    "Pool",
    "Portfolios",
    "Sample",
    "SignificanceTest",
    "Structure",
    "adjust",
    "apart",
    "band_of",
    "blocks",
    "detectable",
    "mean_correlation",
    "power_of",
    "romano_wolf",
    "side_by_side",
    "sq_test",
    "structure",
    "table",
]
