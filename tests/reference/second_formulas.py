"""The tests over events written out: a library where one has the test, else slow loops from the formula.

The ingredients (residuals, AR, forecast errors, CAR) are statsmodels' regressions of `second_data`'s
panel, not the package's. Every function takes a `World` and gives estimate, statistic, p-value.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats

from tests.reference.second_data import ESTIMATION, SESSIONS, Piece, piece, pieces, wide

Answer = tuple[float | None, float, float]  # estimate (None: the test has none), statistic, p


class World:
    """One window of a set: `pool` is every event, the rest those with an AR in the window."""

    def __init__(self, pool: tuple[Piece, ...], first: int, last: int) -> None:
        self.pool, self.first, self.last, self.length = pool, first, last, last - first + 1
        self.pieces = [p for p in pool if p.window(first, last)]
        self.n, self.group = len(self.pieces), [p.day0 for p in self.pieces]
        self.car, self.se = np.array([p.car(first, last)[:2] for p in self.pieces]).T
        self.scar = self.car / self.se
        self.q = [p.df / (p.df - 2) for p in self.pieces]
        self.days = [{p.day0 + tau for tau in p.window(first, last)} for p in self.pieces]


@cache
def world(which: str, window: tuple[int, int]) -> World:
    return World(pieces(which), *window)


def normal(estimate: float | None, z: float) -> Answer:
    return estimate, z, 2 * stats.norm.sf(abs(z))


def student(estimate: float | None, t: float, df: float) -> Answer:
    return estimate, t, 2 * stats.t.sf(abs(t), df)


def one_sample(values) -> Answer:
    found = stats.ttest_1samp(values, 0.0)
    return np.mean(values), found.statistic, found.pvalue


# means and variances: 5.1, 5.2, 5.5, 5.6, 5.8, 5.9, 1.8


def patell_scar(w: World) -> Answer:
    return normal(w.scar.mean(), sum(w.scar) / np.sqrt(sum(w.q)))


def csar(w: World) -> list[float]:
    return [sum(p.ar[tau] / p.se[tau] for tau in p.window(w.first, w.last)) for p in w.pieces]


def patell(w: World) -> Answer:
    variance = sum(len(d) * q for d, q in zip(w.days, w.q, strict=True))
    return normal(np.mean(csar(w)), sum(csar(w)) / np.sqrt(variance))


def patell_perfirm(w: World) -> Answer:
    each = [c / np.sqrt(len(d) * q) for c, d, q in zip(csar(w), w.days, w.q, strict=True)]
    return normal(None, sum(each) / np.sqrt(w.n))


def portfolio_independent(w: World) -> Answer:
    return normal(w.car.mean(), sum(w.car) / np.sqrt(sum(se**2 for se in w.se)))


def jackknife_weighted(w: World) -> Answer:
    def theta(kept):
        return sm.WLS(w.car[kept], np.ones(len(kept)), weights=1 / w.se[kept] ** 2).fit().params[0]

    every = list(range(w.n))
    return one_sample([w.n * theta(every) - (w.n - 1) * theta([j for j in every if j != i]) for i in every])


def event_variance_ratio(w: World) -> Answer:
    ratio = np.var(w.scar, ddof=1) / np.mean(w.q)
    return ratio, (w.n - 1) * ratio, stats.chi2.sf((w.n - 1) * ratio, w.n - 1)


def skewed(w: World, *, hall: bool) -> Answer:
    n, s = w.n, np.std(w.car, ddof=1)
    ratio, g = w.car.mean() / s, sum((x - w.car.mean()) ** 3 for x in w.car) / (n * s**3)
    cubic = g**2 * ratio**3 / 27 if hall else 0.0
    return normal(w.car.mean(), np.sqrt(n) * (ratio + g * ratio**2 / 3 + cubic + g / (6 * n)))


# Kolari and Pynnonen: 5.7


def correlation(a: Piece, b: Piece) -> float | None:
    """Of the residuals on the calendar days both have; None with fewer than 30."""
    own, other = ({p.day0 + tau: e for tau, e in p.residuals.items()} for p in (a, b))
    common = sorted(own.keys() & other.keys())
    return stats.pearsonr([own[d] for d in common], [other[d] for d in common])[0] if len(common) >= 30 else None


def mean_r(w: World, *, overlap: bool) -> float:
    """A pair with too few common days is left out; one without a common window day counts as zero."""
    total, counted = 0.0, 0
    for i, j in itertools.combinations(range(w.n), 2):
        weight = len(w.days[i] & w.days[j]) / np.sqrt(len(w.days[i]) * len(w.days[j])) if overlap else 1.0
        r = correlation(w.pieces[i], w.pieces[j]) if weight else 0.0
        if r is not None:
            total, counted = total + weight * r, counted + 1
    return total / counted


def patell_kp(w: World, *, overlap: bool = True) -> Answer:
    return normal(w.scar.mean(), patell_scar(w)[1] / np.sqrt(1 + (w.n - 1) * mean_r(w, overlap=overlap)))


def bmp_kp(w: World, *, overlap: bool = True) -> Answer:
    r = mean_r(w, overlap=overlap)
    return student(w.scar.mean(), one_sample(w.scar)[1] * np.sqrt((1 - r) / (1 + (w.n - 1) * r)), w.n - 1)


# portfolios: 5.3, 5.4


def average_by(rows) -> dict[int, float]:
    """Mean over the events present on each tau."""
    taus = sorted({tau for row in rows for tau in row})
    return {tau: np.mean([row[tau] for row in rows if tau in row]) for tau in taus}


def crude_dependence(w: World) -> Answer:
    daily = list(average_by([p.residuals for p in w.pool]).values())
    window = [a for tau, a in average_by([p.ar for p in w.pool]).items() if w.first <= tau <= w.last]
    t = sum(window) / (np.std(daily, ddof=1) * np.sqrt(len(window)))
    return student(sum(window), t, len(daily) - 1)


def portfolio_regression(w: World) -> Answer:
    """One portfolio per date from its events' mean return on days that half of them have.

    An event without a return in the window stays a member; a date without any return in it has no CAR.
    """
    found = []
    for day0 in sorted({p.day0 for p in w.pool}):
        members = pd.concat([p.y for p in w.pool if p.day0 == day0], axis=1)
        enough = (members.notna().sum(axis=1) >= members.shape[1] / 2) | (members.index > ESTIMATION[1])
        y = members.mean(axis=1)[enough].reindex(np.arange(SESSIONS) - day0)
        x = sm.add_constant(pd.DataFrame({"market": wide()["market"].to_numpy()}, index=y.index))
        joint = piece(day0, y, x)
        days = joint.window(w.first, w.last)
        if days:
            found.append((members.shape[1], joint, {day0 + tau for tau in days}, *joint.car(w.first, w.last)))
    total = sum(n for n, *_ in found)
    estimate = sum(n * car for n, _, _, car, _, _ in found) / total
    if len(found) == 1:
        return student(estimate, estimate / found[0][4], found[0][5])
    variance = 0.0
    for a, b in itertools.product(found, found):
        share = len(a[2] & b[2]) / np.sqrt(len(a[2]) * len(b[2]))
        r = 1.0 if a is b else ((correlation(a[1], b[1]) or 0.0) if share else 0.0)
        variance += a[0] * b[0] * a[4] * b[4] * r * share / total**2
    return normal(estimate, estimate / np.sqrt(variance * common_errors(w)))


def common_errors(w: World) -> float:
    """Variance of the mean CAR over the one without errors of estimation in common: loadings of every firm's shocks."""
    whole, windows, alone = {}, {}, {}
    for p in w.pieces:
        days = p.window(w.first, w.last)
        load = {p.day0 + tau: p.sigma for tau in days}
        errors = {p.day0 + tau: -p.sigma * len(days) / len(p.residuals) for tau in p.residuals}
        for total, parts in ((whole, (load, errors)), (windows, (load,)), (alone.setdefault(p.day0, {}), (errors,))):
            for day, loading in itertools.chain(*(part.items() for part in parts)):
                by_firm = total.setdefault(day, {})
                by_firm[p.firm] = by_firm.get(p.firm, 0.0) + loading
    firsts = {p.firm: p for p in reversed(w.pieces)}.values()
    daily = {}
    for p in firsts:
        for tau, e in p.residuals.items():
            daily.setdefault(p.day0 + tau, []).append(e / p.sigma)
    products = sum(a * b for z in daily.values() for a, b in itertools.permutations(z, 2))
    r = products / sum(len(z) * (len(z) - 1) for z in daily.values())

    def variance(loads: dict) -> float:
        days = loads.values()
        own, common = sum(v**2 for d in days for v in d.values()), sum(sum(d.values()) ** 2 for d in days)
        return (1 - r) * own + r * common

    return variance(whole) / (variance(windows) + sum(map(variance, alone.values())))


# dates: 5.10, 5.11, 5.12


def cluster_t(w: World) -> Answer:
    fit = sm.OLS(w.car, np.ones(w.n)).fit(cov_type="cluster", cov_kwds={"groups": w.group}, use_t=True)
    return fit.params[0], fit.tvalues[0], fit.pvalues[0]


def by_date(w: World) -> list[np.ndarray]:
    return [w.car[np.array(w.group) == date] for date in sorted(set(w.group))]


def flipped(w: World, *, studentised: bool) -> Answer:
    """Share of all 2^G sign patterns at least as extreme; the pattern itself counts, up to rounding."""
    parts = by_date(w)

    def statistic(signs):
        sums = [s * sum(part) for s, part in zip(signs, parts, strict=True)]
        mean = sum(sums) / w.n
        if not studentised:
            return mean
        squares = sum((total - len(part) * mean) ** 2 for total, part in zip(sums, parts, strict=True))
        return mean / np.sqrt(len(parts) / (len(parts) - 1) * squares / w.n**2)

    observed = statistic([1] * len(parts))
    drawn = [abs(statistic(signs)) for signs in itertools.product([1, -1], repeat=len(parts))]
    return w.car.mean(), observed, np.mean([d >= abs(observed) * (1 - 1e-10) for d in drawn])


def placebo(w: World, statistic, observed: float) -> Answer:
    """Every run of L days of the estimation window, the same shift for all events."""
    drawn = []
    for start in range(ESTIMATION[0], ESTIMATION[1] - w.length + 2):
        days = range(start, start + w.length)
        whole = [p for p in w.pieces if all(d in p.residuals for d in days)]
        drawn.append(abs(statistic([(p, [p.residuals[d] for d in days]) for p in whole])))
    return observed, observed, (1 + sum(d >= abs(observed) for d in drawn)) / (1 + len(drawn))


def placebo_scars(block) -> list[float]:
    return [sum(e) / (p.sigma * np.sqrt(len(e))) for p, e in block]


def placebo_median_scar(w: World) -> Answer:
    """Block sums have the variance s^2 L (1 - L/T); the estimate leaves a median of 0, found by bisection."""

    def median(block) -> float:
        shrunk = [np.sqrt(1 - w.length / len(p.residuals)) for p, _ in block]
        return np.median(np.array(placebo_scars(block)) / shrunk)

    low, high = min(w.car), max(w.car)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.median((w.car - middle) / w.se) > 0 else (low, middle)
    return low, *placebo(w, median, np.median(w.scar))[1:]


def conformal_blocks(w: World) -> Answer:
    """Every event's regression on estimation days and window, whose returns are without the null's effect; all blocks.

    Of the events with every day of the window; a day counts if at least half of them have a return.
    """
    window, whole = range(w.first, w.last + 1), [p for p in w.pieces if len(p.window(w.first, w.last)) == w.length]
    days = [*range(ESTIMATION[0], ESTIMATION[1] + 1), *window]

    def block_sums(effect: float) -> list[float]:
        fits = []
        for p in whole:
            used = [tau for tau in days if tau in p.y.index]
            y = p.y.loc[used] - effect / w.length * np.isin(used, window)
            fits.append(dict(sm.OLS(y, p.x.loc[used]).fit().resid))
        daily = [[fit[tau] for fit in fits if tau in fit] for tau in days]
        means = [np.mean(values) for values in daily if 2 * len(values) >= len(whole)]
        return [sum(np.roll(means, -start)[: w.length]) for start in range(len(means))]

    sums, of_an_effect_of_one = block_sums(0.0), block_sums(1.0)
    own = len(sums) - w.length
    estimate = sums[own] / (sums[own] - of_an_effect_of_one[own])
    return estimate, sums[own], np.mean([abs(s) >= abs(sums[own]) for s in sums])


def cav(w: World) -> Answer:
    """lambda_t of Bialkowski et al. over the events with every day of the window, h_i = s_i^2."""
    whole = [p for p in w.pieces if len(p.window(w.first, w.last)) == w.length]

    def volatility(values: list[tuple[float, float]]) -> float:
        n, total, h = len(values), sum(e for e, _ in values), sum(v for _, v in values)
        return sum((n * e - total) ** 2 / (n * (n - 2) * v + h) for e, v in values) / (n - 1)

    def over(first: int, rows) -> float:
        days = range(first, first + w.length)
        daily = [[(row[d], p.sigma**2) for p, row in zip(whole, rows, strict=True) if d in row] for d in days]
        return sum(volatility(values) for values in daily) - w.length

    observed = over(w.first, [p.ar for p in whole])
    starts = range(ESTIMATION[0], ESTIMATION[1] - w.length + 2)
    extreme = [over(start, [p.residuals for p in whole]) >= observed for start in starts]
    return observed, observed, (1 + sum(extreme)) / (1 + len(extreme))


# signs: 5.14, 5.15


def share_of_positive(w: World, p: float) -> Answer:
    z = (sum(w.car > 0) - w.n * p) / np.sqrt(w.n * p * (1 - p))
    return normal(np.mean(w.car > 0), z)


def generalized_sign(w: World) -> Answer:
    return share_of_positive(w, np.mean([np.mean([e > 0 for e in p.residuals.values()]) for p in w.pieces]))


def wilcoxon(w: World) -> Answer:
    found = stats.wilcoxon(w.car, alternative="two-sided", method="asymptotic", correction=False)
    plus = sum(rank for rank, x in zip(stats.rankdata(abs(w.car)), w.car, strict=True) if x > 0)
    z = stats.wilcoxon(w.car, alternative="greater", method="asymptotic", correction=False).zstatistic
    return plus, z, found.pvalue


# ranks: 5.16 to 5.20


def ranked(rows: list[dict]) -> list[dict]:
    """Mid-ranks of each event over its own days."""
    return [dict(zip(row, stats.rankdata(list(row.values())), strict=True)) for row in rows]


def centred(rows: list[dict]) -> list[dict]:
    """U = K / (T + 1) - 1/2."""
    return [{day: k / (len(row) + 1) - 0.5 for day, k in row.items()} for row in ranked(rows)]


def on(scores: list[dict], day) -> list[float]:
    return [row[day] for row in scores if day in row]


def over_root(daily: dict, window: list) -> float:
    """Sum over the window's days over sqrt(L) S, S the root mean square of every day's value."""
    spread = np.sqrt(np.mean([d**2 for d in daily.values()]))
    return sum(daily[day] for day in window) / (np.sqrt(len(window)) * spread)


def window_days(w: World, daily: dict) -> list[int]:
    return [tau for tau in range(w.first, w.last + 1) if tau in daily]


def corrado_rank(w: World) -> Answer:
    ranks = ranked([{**p.residuals, **p.ar} for p in w.pool])
    daily = average_by([{day: k - (len(row) + 1) / 2 for day, k in row.items()} for row in ranks])
    days = window_days(w, daily)
    return normal(np.mean([daily[day] for day in days]), over_root(daily, days))


def root_sums(scores: list[dict]) -> dict:
    """n_t^-1/2 sum_i U_it."""
    return {day: sum(on(scores, day)) / np.sqrt(len(on(scores, day))) for day in {d for row in scores for d in row}}


def corrado_zivney(w: World) -> Answer:
    daily = root_sums(centred([{**p.residuals, **p.ar} for p in w.pool]))
    return normal(None, over_root(daily, window_days(w, daily)))


def corrado_zivney_adj(w: World) -> Answer:
    """Standardised by s in the estimation window, by the forecast error and the day's spread in the event's."""
    sar = [{tau: a / p.se[tau] for tau, a in p.ar.items()} for p in w.pool]
    spread = {tau: np.std(on(sar, tau), ddof=1) for tau in {t for row in sar for t in row}}
    rows = [
        {t: e / p.sigma for t, e in p.residuals.items()} | {t: a / spread[t] for t, a in own.items()}
        for p, own in zip(w.pool, sar, strict=True)
    ]
    daily = root_sums(centred(rows))
    return normal(None, over_root(daily, window_days(w, daily)))


def rank_blocks(w: World) -> Answer:
    """floor(M/L) blocks that end with the estimation window; missing days take a block or an event out."""
    rows = []
    for p, car in zip(w.pieces, w.car, strict=True):
        if len(p.window(w.first, w.last)) < w.length:
            continue
        row = {"event": car}
        for k in range((ESTIMATION[1] - ESTIMATION[0] + 1) // w.length):
            days = range(ESTIMATION[1] - (k + 1) * w.length + 1, ESTIMATION[1] - k * w.length + 1)
            if all(day in p.residuals for day in days):
                row[k] = sum(p.residuals[day] for day in days)
        rows.append(row)
    return normal(None, over_root(root_sums(centred(rows)), ["event"]))


def grank_rows(w: World, shrink: float = 1.0) -> list[dict]:
    spread = np.std(w.scar, ddof=1) / shrink
    return [
        {tau: e / p.sigma for tau, e in p.residuals.items()} | {"event": z / spread}
        for p, z in zip(w.pieces, w.scar, strict=True)
    ]


def generalised(w: World, scores: list[dict]) -> Answer:
    days = {day for row in scores for day in row}
    t_days = len(days)
    squares = [len(on(scores, day)) / w.n * np.mean(on(scores, day)) ** 2 for day in days]
    z = np.mean(on(scores, "event")) / np.sqrt(sum(squares) / t_days)
    return student(np.mean(on(scores, "event")), z * np.sqrt((t_days - 2) / (t_days - 1 - z**2)), t_days - 2)


def grank_t(w: World) -> Answer:
    return generalised(w, centred(grank_rows(w)))


def grank_t_r(w: World) -> Answer:
    return generalised(w, centred(grank_rows(w, np.sqrt(1 - mean_r(w, overlap=True)))))


def grank_z(w: World) -> Answer:
    scores = centred(grank_rows(w))
    days, mean = len({day for row in scores for day in row}), np.mean(on(scores, "event"))
    return normal(mean, np.sqrt(12 * w.n * (days + 1) / (days - 1)) * mean)


def gsign_t(w: World) -> Answer:
    medians = [np.median(list(row.values())) for row in grank_rows(w)]
    rows = zip(grank_rows(w), medians, strict=True)
    return generalised(w, [{day: np.sign(g - median) for day, g in row.items()} for row, median in rows])


#: Test -> its formula, for events on one date or on several.
EVERYWHERE = {
    "cross_sectional_t": lambda w: one_sample(w.car),
    "bmp": lambda w: one_sample(w.scar),
    "patell_scar": patell_scar,
    "patell": patell,
    "patell_perfirm": patell_perfirm,
    "portfolio_independent": portfolio_independent,
    "jackknife_weighted": jackknife_weighted,
    "event_variance_ratio": event_variance_ratio,
    "skew_johnson": lambda w: skewed(w, hall=False),
    "skew_hall": lambda w: skewed(w, hall=True),
    "patell_kp": patell_kp,
    "bmp_kp": bmp_kp,
    "patell_kp_allpairs": lambda w: patell_kp(w, overlap=False),
    "bmp_kp_allpairs": lambda w: bmp_kp(w, overlap=False),
    "crude_dependence": crude_dependence,
    "portfolio_regression": portfolio_regression,
    "placebo_caar": lambda w: placebo(w, lambda b: np.mean([sum(e) for _, e in b]), w.car.mean()),
    "placebo_scaar": lambda w: placebo(w, lambda b: np.mean(placebo_scars(b)), w.scar.mean()),
    "placebo_bmp": lambda w: placebo(w, lambda b: one_sample(placebo_scars(b))[1], one_sample(w.scar)[1]),
    "placebo_median_scar": placebo_median_scar,
    "conformal_blocks": conformal_blocks,
    "cav": cav,
    "sign": lambda w: share_of_positive(w, 0.5),
    "generalized_sign": generalized_sign,
    "wilcoxon": wilcoxon,
    "corrado_rank": corrado_rank,
    "corrado_zivney": corrado_zivney,
    "corrado_zivney_adj": corrado_zivney_adj,
    "rank_blocks": rank_blocks,
    "grank_t": grank_t,
    "grank_t_r": grank_t_r,
    "grank_z": grank_z,
    "gsign_t": gsign_t,
}
#: The same for tests that need several dates.
OVER_DATES = {
    "cluster_t": cluster_t,
    "date_means_t": lambda w: one_sample([np.mean(part) for part in by_date(w)]),
    "sign_flip_date": lambda w: flipped(w, studentised=False),
    "wild_cluster": lambda w: flipped(w, studentised=True),
}
