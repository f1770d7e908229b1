"""Placebo dates and firms on markets with known truth."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

import marketimpact as mi
from marketimpact.analyses.randomisation import _AdmissibleDates

DAYS = [date(2022, 1, 3) + timedelta(days=i) for i in range(520)]
STUDY = mi.EventStudy(estimation_window=(-100, -6), event_window=(-2, 2), min_observations=50)


def market_of(seed, *, firms=8, effect=0.0, on=400, hit=None, shock=0.01):
    """Firms with a common shock of fat tails; `effect` on day `on` of the firms in `hit`."""
    rng = np.random.default_rng(seed)
    market, common = rng.normal(0, 0.01, len(DAYS)), shock * rng.standard_t(4, len(DAYS))
    frames = []
    for i in range(firms):
        ret = market + common + 0.01 * rng.standard_t(5, len(DAYS))
        if hit is None or i in hit:
            ret[on] += effect
        frames.append(pl.DataFrame({"date": DAYS, "symbol": f"F{i}", "ret": ret}))
    return mi.Market.from_returns(pl.concat(frames), pl.DataFrame({"date": DAYS, "ret": market}))


def events_on(days, firms=8, campaign=None):
    rows = [(f"A{k}:F{i}", f"F{i}", DAYS[d], f"A{k}", campaign) for k, d in enumerate(days) for i in range(firms)]
    names = ["event_id", "symbol", "date", "announcement_id", "campaign_id"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("campaign_id").cast(pl.String))


def rejections(tries, draws):
    """Share of markets without an effect in which a campaign of two announcements is called unusual at 10%."""
    events = events_on([400, 403], campaign="C")
    counted = np.zeros(4)
    for seed in range(tries):
        table = mi.placebo_dates(STUDY, events, market_of(seed), (0, 1), draws=draws, seed=seed)
        counted += (table["p_value"] <= 0.10).to_numpy()
    return counted / tries


def test_size_with_one_shared_shock_and_a_campaign():
    share = rejections(150, 99)
    assert (np.abs(share - 0.10) < 3 * np.sqrt(0.1 * 0.9 / 150)).all()


@pytest.mark.slow
def test_size_in_full():
    share = rejections(1000, 199)
    assert (np.abs(share - 0.10) < 3 * np.sqrt(0.1 * 0.9 / 1000)).all()


def test_an_effect_is_found_and_a_common_shock_alone_is_not():
    events = events_on([400])
    found = mi.placebo_dates(STUDY, events, market_of(1, effect=0.08, shock=0.005), (0, 0), draws=499)
    assert found["p_value"][0] == pytest.approx(1 / 500)
    assert found["observed"][0] == pytest.approx(0.08, abs=0.025)
    # firms hit alike: others on the same date moved as much
    wide = market_of(2, firms=60, effect=0.08)
    none = mi.placebo_firms(STUDY, events, wide, (0, 0), draws=499, within=("benchmark",))
    assert none["p_value"][0] > 0.05
    assert none["admissible"][0] == 52
    own = mi.placebo_firms(
        STUDY, events, market_of(3, firms=60, effect=0.08, hit=range(8)), (0, 0), within=("benchmark",)
    )
    assert own["p_value"][0] == pytest.approx(1 / 1000)


def placebo_firm_rejections(tries):
    """Share of markets in which eight of forty firms are called unlike the others at 10%, nothing put in."""
    counted = np.zeros(4)
    for seed in range(tries):
        market = market_of(seed, firms=40)
        table = mi.placebo_firms(STUDY, events_on([400, 403]), market, draws=99, seed=seed, within=("benchmark",))
        counted += (table["p_value"] <= 0.10).to_numpy()
    return counted / tries


def test_size_of_placebo_firms():
    share = placebo_firm_rejections(100)
    assert (np.abs(share - 0.10) < 3 * np.sqrt(0.1 * 0.9 / 100)).all()


@pytest.mark.slow
def test_size_of_placebo_firms_in_full():
    share = placebo_firm_rejections(1000)
    assert (np.abs(share - 0.10) < 3 * np.sqrt(0.1 * 0.9 / 1000)).all()


def test_placebo_firms_are_scipys_permutation_test():
    """Three of ten firms on one date; p counts from the mean of all permutations, whatever the shock of the day."""
    market, events = market_of(11, firms=10, shock=0.03, effect=-0.02, hit=range(3)), events_on([400], firms=3)
    everyone = STUDY.run(events_on([400], firms=10), market).car(0, 1)["car"].to_numpy()
    centre = 3 * everyone.mean()
    theirs = stats.permutation_test(
        (everyone[:3], everyone[3:]), lambda a, b, axis: np.abs(a.sum(axis=axis) - centre), vectorized=True,
        n_resamples=np.inf, alternative="greater",
    ).pvalue  # fmt: skip
    table = mi.placebo_firms(STUDY, events, market, draws=9999, within=("benchmark",))
    assert table["p_value"][0] == pytest.approx(theirs, abs=4 * np.sqrt(theirs / 9999))


def test_one_firm_of_few_cannot_look_rare():
    """One of five firms moved by far the most: one chance in five that it would be the one hit."""
    market = market_of(12, firms=5, effect=0.5, hit=[0])
    table = mi.placebo_firms(STUDY, events_on([400], firms=1), market, draws=999, within=("benchmark",))
    assert table["p_value"][0] == pytest.approx(0.2, abs=0.04)


def test_a_campaign_moves_as_one_and_keeps_clear():
    events = events_on([300, 303, 350], campaign=None).with_columns(
        pl.when(pl.col("announcement_id") != "A2").then(pl.lit("C")).alias("campaign_id")
    )
    market = market_of(4)
    result = STUDY.run(events, market)
    places = _AdmissibleDates.of(result, None, (0, 1))
    campaign = np.flatnonzero((result.events["campaign_id"] == "C").fill_null(value=False).to_numpy())
    moves = places.moves(campaign)
    day0 = result.estimation.positions.day0[campaign]
    taken = {300, 303, 350}
    for move in moves.tolist():
        for day in set(day0.tolist()):
            assert not {day + move, day + move + 1} & taken
            assert day + move - 100 >= 0
            assert day + move + 2 < len(DAYS)
    assert 0 not in moves
    assert len(moves) > 300
    # 300 and 303 are three apart, so a move by three would put one where the other was
    assert 3 not in moves


def test_the_same_seed_gives_the_same_answer_and_batches_change_nothing(monkeypatch):
    events, market = events_on([300, 330]), market_of(5)
    one = mi.placebo_dates(STUDY, events, market, draws=60, seed=9)
    monkeypatch.setattr("marketimpact.core.limits.PLACEBO_BATCH_EVENTS", 100)
    assert mi.placebo_dates(STUDY, events, market, draws=60, seed=9).equals(one)
    assert not mi.placebo_dates(STUDY, events, market, draws=60, seed=10).equals(one)


def test_nowhere_to_go_and_nobody_to_stand_in():
    events, market = events_on([300]), market_of(6)
    everywhere = pl.DataFrame({"date": DAYS})
    with pytest.raises(mi.SpecificationError, match="There is no other date for A0"):
        mi.placebo_dates(STUDY, events, market, avoid=everywhere)
    with pytest.raises(mi.SpecificationError, match="8 events have no comparable firm"):
        mi.placebo_firms(STUDY, events, market, within=("benchmark",))
    with pytest.raises(mi.SpecificationError, match="no column 'colour'"):
        mi.placebo_firms(STUDY, events, market, within=("colour",))
    with pytest.raises(mi.SpecificationError, match="No event is usable"):
        mi.placebo_dates(STUDY, events_on([5]), market)


@pytest.mark.parametrize("asked", [mi.placebo_dates, mi.placebo_firms])
def test_a_result_is_no_study(asked):
    events, market = events_on([300, 320]), market_of(6)
    with pytest.raises(
        mi.SpecificationError, match=rf"given the result of a study.*mi\.{asked.__name__}\(study, events"
    ):
        asked(STUDY.run(events, market), events, market)
    with pytest.raises(mi.SpecificationError, match="given a type where"):
        asked(mi.EventStudy, events, market)


# --- by value: the draws one by one --------------------------------------------------------------------


def by_hand(car):
    """CAAR, mean SCAR and its t, by scipy; mean CAR over its filtered standard error."""
    scar = car["scar"].to_numpy()
    filtered = (car["car"] / car["se_filtered"]).mean()
    return [car["car"].mean(), scar.mean(), stats.ttest_1samp(scar, 0).statistic, filtered]


def compare(table, observed, draws, centre=(0.0, 0.0, 0.0, 0.0)):
    """Every row of `table` against draws made one by one, (B, 4)."""
    draws = np.array(draws)
    for column, (row, seen) in enumerate(zip(table.iter_rows(named=True), observed, strict=True)):
        values, middle = draws[:, column], centre[column]
        assert row["observed"] == pytest.approx(seen, rel=1e-9)
        low, high = stats.mstats.mquantiles(values, [0.025, 0.975], alphap=1, betap=1)
        assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-9)
        far = (np.abs(values - middle) >= abs(seen - middle) * (1 - 1e-9)).sum()
        assert row["p_value"] == pytest.approx((1 + far) / (1 + len(values)), rel=1e-12)
        assert row["draws"] == len(values)


def admissible(taken, last, window=(0, 1), day0=400):
    """Moves of an event on session 400 that leave an estimation window and keep clear of `taken`."""
    moves = []
    for move in range(100 - day0, last - 2 - day0 + 1):
        at = day0 + move
        if move and not any(at + tau in taken for tau in range(window[0], window[1] + 1)):
            moves.append(move)
    return moves


@pytest.mark.parametrize(
    ("window", "avoid"), [((0, 1), None), ((1, 2), None), ((0, 1), [100, 101, 250, 517, 519]), ((-2, -1), [300])]
)
def test_placebo_dates_are_draws_of_the_admissible_moves(window, avoid):
    """The date that happened is no placebo of itself, even where the window or `avoid` does not hold it."""
    market, events = market_of(21), events_on([400])
    given = None if avoid is None else pl.DataFrame({"date": [DAYS[d] for d in avoid]})
    moves = admissible({400} if avoid is None else set(avoid), len(DAYS) - 1, window)
    table = mi.placebo_dates(STUDY, events, market, window, draws=25, seed=3, avoid=given)
    assert table["admissible"].to_list() == [len(moves)] * 4
    drawn = np.random.default_rng(3).choice(np.array(moves), size=(25, 1))[:, 0]
    cars = [
        STUDY.run(events.with_columns(pl.lit(DAYS[400 + move]).alias("date")), market).car(*window)
        for move in drawn.tolist()
    ]
    result = STUDY.run(events, market)
    compare(table, by_hand(result.car(*window)), [by_hand(car) for car in cars])
    bmp = result.test(*window, tests=["bmp"])["statistic"].item()
    assert table["observed"][2] == pytest.approx(bmp, rel=1e-9)


def test_placebo_firms_are_draws_among_all_that_are_alike():
    market, events = market_of(22, firms=9), events_on([400, 430], firms=4)
    table = mi.placebo_firms(STUDY, events, market, (0, 1), draws=40, seed=5, within=("benchmark",))
    mine = STUDY.run(events, market).car(0, 1)
    others = events_on([400, 430], firms=9).filter(~pl.col("event_id").is_in(events["event_id"].to_list()))
    spare = STUDY.run(others, market).car(0, 1)
    rng, cars = np.random.default_rng(5), [[] for _ in range(40)]
    for name in ("A0", "A1"):
        pool = pl.concat(
            [f.filter(pl.col("announcement_id") == name).select("car", "scar", "se_filtered") for f in (mine, spare)]
        )
        order = rng.random((40, pool.height)).argsort(axis=1)[:, :4]
        for draw, rows in enumerate(order.tolist()):
            cars[draw].append(pool[rows])
    draws = [by_hand(pl.concat(parts)) for parts in cars]
    observed = by_hand(mine)
    compare(table, observed, draws, centre=np.mean([*draws, observed], axis=0))
    assert table["admissible"].to_list() == [5] * 4


@pytest.mark.parametrize(("firms", "few"), [(103, False), (102, True)])
def test_fewer_than_a_hundred_stand_ins_are_noted(firms, few):
    """Three of the firms are hit, which leaves 100, or 99."""
    market = market_of(23, firms=firms)
    table = mi.placebo_firms(STUDY, events_on([400], firms=3), market, draws=9, within=("benchmark",))
    assert table["admissible"][0] == firms - 3
    assert table["note"].to_list() == [f"only {firms - 3} firms to stand in for one event" if few else None] * 4
