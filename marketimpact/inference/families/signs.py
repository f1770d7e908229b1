"""Sign and signed-rank tests of CARs."""

from __future__ import annotations

import numpy as np

from marketimpact.inference.families.parametric import normal_p
from marketimpact.inference.protocol import Holds, Outcome, SignificanceTest, no_result
from marketimpact.inference.sample import Sample

__all__ = ["GENERALIZED_SIGN", "SIGN", "WILCOXON", "generalized_sign", "sign", "wilcoxon"]

NO_CAR = "every CAR is zero"
#: Up to this many events without ties the exact distribution of W+ is used for the noted p-value.
EXACT = 50


def sign(sample: Sample) -> Outcome:
    """Compare the number of positive CARs with one half; zeros are dropped."""
    from scipy.stats import binomtest  # noqa: PLC0415  # scipy.stats costs a third of a second to import

    values = sample.car[sample.car != 0]
    n, positive = len(values), int((values > 0).sum())
    if not n:
        return no_result(NO_CAR)
    z = (positive - n / 2.0) / np.sqrt(n / 4.0)
    exact = float(binomtest(positive, n).pvalue)
    return Outcome(positive / n, float(z), normal_p(float(z)), note=f"exact binomial p {exact:.4g}")


def generalized_sign(sample: Sample) -> Outcome:
    """Compare the share of positive CARs with that of positive residuals."""
    p_hat = float((sample.residuals.day_sums(sample.length).positive / sample.n_obs).mean())
    share = float((sample.car > 0).mean())
    se = float(np.sqrt(p_hat * (1.0 - p_hat) / sample.n))
    if se == 0:
        return no_result("every residual of the estimation window has the same sign", share)
    z = (share - p_hat) / se
    return Outcome(share, z, normal_p(z), se=se, note=f"expected share of positive CARs {p_hat:.3f}")


def wilcoxon(sample: Sample) -> Outcome:
    """Rank CARs by Wilcoxon's signed ranks: zeros dropped, mid-ranks, tie term, no continuity correction."""
    from scipy.stats import rankdata, wilcoxon  # noqa: PLC0415

    values = sample.car[sample.car != 0]
    n = len(values)
    if not n:
        return no_result(NO_CAR)
    ranks = rankdata(np.abs(values))
    positive = float(ranks[values > 0].sum())
    _, ties = np.unique(np.abs(values), return_counts=True)
    variance = n * (n + 1) * (2 * n + 1) / 24.0 - float((ties**3 - ties).sum()) / 48.0
    se = float(np.sqrt(variance))
    z = (positive - n * (n + 1) / 4.0) / se
    note = ""
    if n <= EXACT and ties.max() == 1:
        note = f"exact p {float(wilcoxon(values, method='exact').pvalue):.4g}"
    return Outcome(positive, float(z), normal_p(float(z)), se=se, note=note)


SIGN = SignificanceTest(
    "sign", "CARs are positive with probability one half", "share of positive CARs", "N(0,1)",
    "sign test",
    Holds("yes", "yes", "no", "no", min_events=10, assumes=frozenset({"symmetry", "own estimation errors"})),
    sign,
)  # fmt: skip
GENERALIZED_SIGN = SignificanceTest(
    "generalized_sign", "CARs are positive as often as residuals", "share of positive CARs", "N(0,1)",
    "Cowan (1992)",
    Holds("yes", "yes", "no", "no", min_events=10, assumes=frozenset({"symmetry", "own estimation errors"})),
    generalized_sign,
)  # fmt: skip
WILCOXON = SignificanceTest(
    "wilcoxon", "CARs are symmetric about 0", "W+", "N(0,1)",
    "Wilcoxon (1945)",
    Holds("yes", "yes", "no", "no", min_events=10, assumes=frozenset({"symmetry", "own estimation errors"})),
    wilcoxon,
)  # fmt: skip
