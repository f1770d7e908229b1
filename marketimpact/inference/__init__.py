"""Tests of no abnormal return."""

from collections.abc import Sequence

from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import SpecificationError
from marketimpact.events.exchange_clocks import ExchangeClock, hardly_overlapping
from marketimpact.inference.confidence_band import band_of, quantile_of, single_event_errors
from marketimpact.inference.correlation.by_pairs import MeanCorrelation
from marketimpact.inference.correlation.day_patterns import DayPatterns, day_patterns
from marketimpact.inference.correlation.overlap import connected_groups, overlap_of
from marketimpact.inference.correlation.pairs import EventResiduals, PairCorrelations, window_correlation
from marketimpact.inference.detectable_effect import minimum_detectable_effect, power_of
from marketimpact.inference.diagnostics import recent_variance
from marketimpact.inference.estimation_days import EstimationDays, estimation_days
from marketimpact.inference.families import (
    bootstrap,
    clustered,
    conformal,
    correlation_adjusted,
    filtered,
    multivariate,
    parametric,
    placebo,
    portfolio,
    ranks,
    signs,
    skewness,
)
from marketimpact.inference.families.correlation_adjusted import mean_correlation
from marketimpact.inference.families.placebo import blocks, day_block_sums
from marketimpact.inference.families.single_event import sq_test
from marketimpact.inference.multiple_testing import adjust, romano_wolf
from marketimpact.inference.placebo_alignment import align_placebo_days
from marketimpact.inference.primary import RULE_VERSION, PrimaryTest, primary_test
from marketimpact.inference.protocol import (
    SIGNIFICANCE_LEVEL,
    Alternative,
    Assumption,
    Holds,
    Outcome,
    SignificanceTest,
)
from marketimpact.inference.reasons import violated
from marketimpact.inference.sample import RECENT_SESSIONS, Pool, Portfolios, Sample
from marketimpact.inference.single_event_validity import changed_lately, single_event_validity
from marketimpact.inference.structure import VARIANCE_LEVEL, SampleStructure, structure
from marketimpact.inference.validity import CONNECTED_WINDOWS, ONE_DATE, JudgedOutcome, run_tests, tests_frame
from marketimpact.inference.volatility_filter import (
    FilteredErrors,
    filtered_errors,
    filtered_family,
    own_days_of,
    relative_estimation_error,
)

#: Tests that run by default: the most widely valid first, then those that are often reported.
DEFAULT_TESTS: tuple[SignificanceTest, ...] = (
    correlation_adjusted.BMP_KP,
    clustered.DATE_MEANS_T,
    clustered.WILD_CLUSTER,
    portfolio.PORTFOLIO_REGRESSION,
    filtered.FILTERED_PLACEBO_T,
    correlation_adjusted.PATELL_KP,
    portfolio.CRUDE_DEPENDENCE,
    placebo.PLACEBO_CAAR,
    ranks.GRANK_T,
    parametric.BMP,
    parametric.PATELL_SCAR,
    parametric.CROSS_SECTIONAL_T,
    signs.GENERALIZED_SIGN,
)
#: Tests that run only by name: they reject too often, test a null that is rarely of interest, or have a near-twin that
#: serves every use (docs/tests/README.md).
ON_REQUEST: tuple[SignificanceTest, ...] = (
    parametric.PATELL_PERFIRM,
    skewness.SKEW_HALL,
    skewness.SKEW_HALL_BOOTSTRAP,
    ranks.GRANK_Z,
    correlation_adjusted.PATELL_KP_ALLPAIRS,
    correlation_adjusted.BMP_KP_ALLPAIRS,
    multivariate.MVRM_JOINT_WALD,
)
_OTHERS: tuple[SignificanceTest, ...] = (
    filtered.FILTERED_PLACEBO_RANK,
    placebo.PLACEBO_SCAAR,
    placebo.PLACEBO_MEDIAN_SCAR,
    conformal.CONFORMAL_BLOCKS,
    placebo.PLACEBO_BMP,
    bootstrap.RESIDUAL_BOOTSTRAP,
    clustered.CLUSTER_T,
    clustered.WILD_CLUSTER_WEBB,
    clustered.SIGN_FLIP_DATE,
    ranks.GRANK_T_R,
    ranks.GSIGN_T,
    ranks.CORRADO_RANK,
    ranks.CORRADO_ZIVNEY,
    ranks.CORRADO_ZIVNEY_ADJ,
    ranks.RANK_BLOCKS,
    multivariate.MVRM_AVERAGE_F,
    multivariate.MVRM_JOINT_F,
    multivariate.MVRM_JOINT_BOOTSTRAP,
    multivariate.MVRM_EQUAL_F,
    parametric.PORTFOLIO_INDEPENDENT,
    parametric.PATELL,
    parametric.JACKKNIFE_WEIGHTED,
    skewness.SKEW_JOHNSON,
    skewness.SKEW_JOHNSON_BOOTSTRAP,
    signs.SIGN,
    signs.WILCOXON,
    parametric.EVENT_VARIANCE_RATIO,
    placebo.CAV,
)
#: Name -> test.
TESTS: dict[str, SignificanceTest] = {test.name: test for test in (*DEFAULT_TESTS, *_OTHERS, *ON_REQUEST)}


def select_tests(tests: Sequence[str | SignificanceTest] | str | None) -> list[SignificanceTest]:
    """Select tests by name or value: the default ones for None, and for "all" every test but `ON_REQUEST`."""
    if tests is None:
        return list(DEFAULT_TESTS)
    if isinstance(tests, str) and tests == "all":
        return [test for test in TESTS.values() if test not in ON_REQUEST]
    if isinstance(tests, str):
        tests = [tests]
    unknown = [t for t in tests if isinstance(t, str) and t not in TESTS]
    if unknown:
        raise SpecificationError(
            f"No test called {', '.join(map(repr, unknown))}. There are: "
            f"{listed(list(TESTS), quoted=False)}; mi.TESTS has all.{did_you_mean(str(unknown[0]), TESTS)}"
        )
    return [TESTS[t] if isinstance(t, str) else t for t in tests]


__all__ = [
    "CONNECTED_WINDOWS",
    "DEFAULT_TESTS",
    "ONE_DATE",
    "ON_REQUEST",
    "RECENT_SESSIONS",
    "RULE_VERSION",
    "SIGNIFICANCE_LEVEL",
    "TESTS",
    "VARIANCE_LEVEL",
    "Alternative",
    "Assumption",
    "DayPatterns",
    "EstimationDays",
    "EventResiduals",
    "ExchangeClock",
    "FilteredErrors",
    "Holds",
    "JudgedOutcome",
    "LazyMatrix",
    "MeanCorrelation",
    "Outcome",
    "PairCorrelations",
    "Pool",
    "Portfolios",
    "PrimaryTest",
    "Sample",
    "SampleStructure",
    "SignificanceTest",
    "adjust",
    "align_placebo_days",
    "band_of",
    "blocks",
    "changed_lately",
    "connected_groups",
    "day_block_sums",
    "day_patterns",
    "estimation_days",
    "filtered_errors",
    "filtered_family",
    "hardly_overlapping",
    "mean_correlation",
    "minimum_detectable_effect",
    "overlap_of",
    "own_days_of",
    "power_of",
    "primary_test",
    "quantile_of",
    "recent_variance",
    "relative_estimation_error",
    "romano_wolf",
    "run_tests",
    "select_tests",
    "single_event_errors",
    "single_event_validity",
    "sq_test",
    "structure",
    "tests_frame",
    "violated",
    "window_correlation",
]
