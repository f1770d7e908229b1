"""Tests of no abnormal return."""

from collections.abc import Sequence

from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.errors import SpecificationError
from marketimpact.events.exchange_clocks import ExchangeClock, hardly_overlapping
from marketimpact.inference.confidence_band import band_of, quantile_of
from marketimpact.inference.correlation.overlap import connected_groups, layouts, overlap_of
from marketimpact.inference.correlation.pairs import MeanCorrelation, PairCorrelations, Rows, window_correlation
from marketimpact.inference.detectable_effect import minimum_detectable_effect, power_of
from marketimpact.inference.families import bootstrap, multivariate, placebo, portfolio, ranks, signs, skewness
from marketimpact.inference.families import clustered as clusters
from marketimpact.inference.families import correlation_adjusted as correlation
from marketimpact.inference.families import parametric as moments
from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.families.placebo import block_sums, blocks
from marketimpact.inference.families.single_event import sq_test
from marketimpact.inference.multiple_testing import adjust, romano_wolf
from marketimpact.inference.placebo_alignment import align_placebo_days
from marketimpact.inference.protocol import Alternative, Holds, Outcome, SignificanceTest
from marketimpact.inference.sample import Pool, Portfolios, Sample
from marketimpact.inference.validity import ONE_DATE, SampleStructure, TestResult, structure, test_table, verdicts

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


def select_tests(tests: Sequence[str | SignificanceTest] | str | None) -> list[SignificanceTest]:
    """Tests by name or value; a dozen for None, and for "all" those that are not asked by name only."""
    if tests is None:
        return list(DEFAULT_TESTS)
    if isinstance(tests, str) and tests == "all":
        return [test for test in TESTS.values() if test not in ON_REQUEST]
    if isinstance(tests, str):
        tests = [tests]
    unknown = [t for t in tests if isinstance(t, str) and t not in TESTS]
    if unknown:
        raise SpecificationError(f"No test called {', '.join(map(repr, unknown))}. There are: {', '.join(TESTS)}.")
    return [TESTS[t] if isinstance(t, str) else t for t in tests]


__all__ = [
    "DEFAULT_TESTS",
    "ONE_DATE",
    "ON_REQUEST",
    "TESTS",
    "Alternative",
    "ExchangeClock",
    "Holds",
    "LazyMatrix",
    "MeanCorrelation",
    "Outcome",
    "PairCorrelations",
    "Pool",
    "Portfolios",
    "Rows",
    "Sample",
    "SampleStructure",
    "SignificanceTest",
    "TestResult",
    "adjust",
    "align_placebo_days",
    "band_of",
    "block_sums",
    "blocks",
    "connected_groups",
    "hardly_overlapping",
    "layouts",
    "mean_correlation",
    "minimum_detectable_effect",
    "overlap_of",
    "power_of",
    "quantile_of",
    "romano_wolf",
    "select_tests",
    "sq_test",
    "structure",
    "test_table",
    "verdicts",
    "window_correlation",
]
