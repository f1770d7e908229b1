"""Tests across dates: the clusters of events are the independent observations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from marketimpact.core import limits
from marketimpact.core.threads import map_in_threads
from marketimpact.inference.families.parametric import mean_over_spread, student_p
from marketimpact.inference.protocol import SPREAD_OF_DATES, Holds, Outcome, SignificanceTest, no_result
from marketimpact.inference.sample import Floats, Sample
from marketimpact.inference.seed import SEED

__all__ = ["CLUSTER_T", "DATE_MEANS_T", "SIGN_FLIP_DATE", "WILD_CLUSTER", "WILD_CLUSTER_WEBB"]

#: Dates up to which all sign patterns are enumerated; with more, patterns are drawn.
ENUMERATED = 12
DRAWS = 9999
#: With fewer dates the critical value of t is above 2.8.
FEW_DATES = 5
WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))[:, None] * np.array([-1.0, 1.0])
WEBB = WEBB.ravel()
ONE_DATE = "needs at least 2 dates: one date is one observation"
ONE_CLUSTER = "needs at least 2 clusters: all events are in one cluster of {} dates"


def cluster_t(sample: Sample) -> Outcome:
    """Divide the mean CAR by its cluster-robust standard error (CR1)."""
    groups = sample.n_clusters
    mean = sample.mean(sample.car)
    if groups < 2:
        return no_result(_one_cluster(sample), mean)
    se = float(_cluster_se(_sums(sample, sample.car)[None, :], sample)[0])
    if not se > 0:
        return no_result("the cluster sums do not vary", mean)
    return Outcome(mean, mean / se, student_p(mean / se, groups - 1), df=groups - 1, se=se)


def date_means_t(sample: Sample) -> Outcome:
    """Compute the cross-sectional t of the means of each date."""
    if sample.n_clusters < 2:
        return no_result(_one_cluster(sample), sample.mean(sample.car))
    sums, sizes = _sums(sample, sample.car), _sizes(sample)
    outcome = mean_over_spread(sums / sizes, None if sample.weights is None else sizes)
    if sample.n_clusters >= FEW_DATES:
        return outcome
    return replace(
        outcome,
        note=outcome.note or f"over {sample.n_clusters} {sample.cluster_label} only large effects can be detected",
    )


def sign_flip_date(sample: Sample) -> Outcome:
    """Compare the CAAR with those under all sign patterns of the dates; exact under symmetry."""
    sums = _sums(sample, sample.car)
    mean = float(sums.sum() / sample.n)
    drawn = np.concatenate(
        list(map_in_threads(lambda signs: np.abs(_row_sums(signs * sums)) / sample.n, _signs(len(sums))))
    )
    return Outcome(mean, mean, _share(drawn, abs(mean), len(sums)), note=_smallest(sample))


def wild_cluster(sample: Sample) -> Outcome:
    """Compare the cluster t with its distribution under Rademacher signs per date, the null imposed."""
    mean = sample.mean(sample.car)
    sums = _sums(sample, sample.car)
    groups = len(sums)
    if groups < 2:
        return no_result(_one_cluster(sample), mean)
    plain = cluster_t(sample)
    if np.isnan(plain.statistic):
        return plain
    drawn = _drawn(_signs(groups), sums, sample)
    return Outcome(mean, plain.statistic, _share(drawn, abs(plain.statistic), groups), note=_smallest(sample))


def wild_cluster_webb(sample: Sample) -> Outcome:
    """Run the wild cluster bootstrap with Webb's six-point weights, whose p-values are finer when dates are few."""
    plain = cluster_t(sample)
    if np.isnan(plain.statistic):
        return plain
    sums = _sums(sample, sample.car)
    rng = np.random.default_rng(SEED)
    t = _drawn((rng.choice(WEBB, (rows, len(sums))) for rows in _draws_at_a_time(DRAWS, len(sums))), sums, sample)
    p = float((1 + (t >= abs(plain.statistic) * (1.0 - 1e-10)).sum()) / (1 + DRAWS))
    return Outcome(
        plain.estimate, plain.statistic, p, note=f"{len(sums)} {sample.cluster_label}, {DRAWS} draws, seed {SEED}"
    )


def _one_cluster(sample: Sample) -> str:
    return ONE_DATE if sample.n_day0 == 1 else ONE_CLUSTER.format(sample.n_day0)


def _sums(sample: Sample, values: Floats) -> Floats:
    """Sum the values of each cluster, weighted where events are, in the order of the clusters."""
    return sample.sums_by(sample.clusters.codes, values)


def _sizes(sample: Sample) -> Floats:
    return sample.sizes_by(sample.clusters.codes)


def _cluster_se(sums: Floats, sample: Sample) -> Floats:
    """Compute the CR1 standard error of the mean for B rows of cluster sums, (B, G) to (B,)."""
    groups, n = sums.shape[1], sample.n
    centred = sums - _sizes(sample)[None, :] * (_row_sums(sums) / n)[:, None]
    return np.asarray(np.sqrt(groups / (groups - 1.0) * _row_sums(centred**2)) / n)


def _row_sums(values: Floats) -> Floats:
    return np.asarray(np.ascontiguousarray(values).sum(axis=1))


def _drawn(weights: Iterable[Floats], sums: Floats, sample: Sample) -> Floats:
    """Compute the absolute cluster t of weighted cluster sums; the weights come some draws at a time, (B, G)."""

    def t(some: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.abs(_row_sums(some * sums) / sample.n / _cluster_se(some * sums, sample))

    return np.concatenate(list(map_in_threads(t, weights)))


def _draws_at_a_time(draws: int, groups: int) -> Iterator[int]:
    """Split the draws into parts that stay in the processor's cache; their numbers of draws."""
    step = max(1, limits.CLUSTER_WEIGHTS_AT_ONCE // groups)
    return (min(step, draws - start) for start in range(0, draws, step))


def _signs(groups: int) -> Iterator[Floats]:
    """Enumerate every sign pattern, the identity first, or draw patterns with a seed; some at a time."""
    if groups <= ENUMERATED:
        bits = np.arange(2**groups)[:, None] >> np.arange(groups)[None, :]
        return iter([np.asarray(1.0 - 2.0 * (bits & 1))])
    rng = np.random.default_rng(SEED)
    return (np.asarray(1.0 - 2.0 * rng.integers(0, 2, (rows, groups))) for rows in _draws_at_a_time(DRAWS, groups))


def _share(drawn: Floats, observed: float, groups: int) -> float:
    """Compute the share of draws at least as extreme; ties up to rounding count."""
    extreme = int((drawn >= observed * (1.0 - 1e-10)).sum())
    return extreme / len(drawn) if groups <= ENUMERATED else (1 + extreme) / (1 + len(drawn))


def _smallest(sample: Sample) -> str:
    groups, label = sample.n_clusters, sample.cluster_label
    if groups > ENUMERATED:
        return f"{groups} {label}, {DRAWS} drawn sign patterns"
    return f"{groups} {label}: the smallest possible p is {2.0 ** (1 - groups):.4g}"


CLUSTER_T = SignificanceTest(
    "cluster_t", "mean CAR = 0", "CAAR", "t(G-1)",
    "Cameron, Gelbach and Miller (2011), CR1",
    Holds("yes", "yes", "yes", "yes", min_clusters=5, clusters_apart=True, clusters_alike=True,
          assumes=SPREAD_OF_DATES),
    cluster_t,
    unit="return", weighted=True,
)  # fmt: skip
DATE_MEANS_T = SignificanceTest(
    "date_means_t", "mean of the dates' mean CARs = 0", "mean of date means", "t(G-1)",
    "t test of date means; Ibragimov and Müller (2010)",
    Holds("yes", "yes", "yes", "yes", min_clusters=2, clusters_apart=True, assumes=SPREAD_OF_DATES),
    date_means_t,
    unit="return", weighted=True,
)  # fmt: skip
SIGN_FLIP_DATE = SignificanceTest(
    "sign_flip_date", "CARs of each date are symmetric about 0", "CAAR", "all sign patterns of the dates",
    "randomisation test",
    Holds("yes", "yes", "yes", "yes", min_clusters=6, clusters_apart=True, assumes=SPREAD_OF_DATES),
    sign_flip_date, weighted=True,
)  # fmt: skip
WILD_CLUSTER = SignificanceTest(
    "wild_cluster", "mean CAR = 0", "CAAR", "Rademacher signs per date",
    "Cameron, Gelbach and Miller (2008)",
    Holds("yes", "yes", "yes", "yes", min_clusters=6, clusters_apart=True, assumes=SPREAD_OF_DATES), wild_cluster,
    weighted=True,
)  # fmt: skip
WILD_CLUSTER_WEBB = SignificanceTest(
    "wild_cluster_webb", "mean CAR = 0", "CAAR", "six-point weights per date",
    "Webb (2023), six-point weights; Cameron, Gelbach and Miller (2008)",
    Holds("yes", "yes", "yes", "yes", min_clusters=5, clusters_apart=True, assumes=SPREAD_OF_DATES), wild_cluster_webb,
    weighted=True,
)  # fmt: skip
