"""Donors of an event, their missing days, and that a study with donors is one like any other."""

from __future__ import annotations

import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

import marketimpact as mi
from marketimpact.estimation.donors import filled
from marketimpact.estimation.fit import EventWindow
from marketimpact.study import summary
from marketimpact.study.donors import DONORS
from tests.conftest import ROOT
from tests.reference.peer_data import DONOR_NAMES, STUDY, days, events, market_of, returns

MODELS = [
    mi.PeerMean(DONOR_NAMES),
    mi.StatisticalFactors(DONOR_NAMES),
    mi.StatisticalFactors(DONOR_NAMES, components=3),
    mi.RidgePeers(DONOR_NAMES),
]
H20 = "2025-08-12-beijing-discourages-h20"
SHORT = mi.EventStudy(event_window=(0, 1))


@pytest.fixture(scope="module")
def market() -> mi.Market:
    """Donor D1 lacks days of the estimation window."""
    benchmark, firms, donors = returns()
    donors[60:80, 1] = np.nan
    return market_of(benchmark, firms, donors)


@pytest.fixture(scope="module")
def sample_market() -> mi.Market:
    return mi.Market.load(mi.securities(), mi.SamplePrices())


def reasons(result: mi.StudyResult, symbol: str) -> dict[str, str | None]:
    own = result.donors.filter(pl.col("symbol") == symbol)
    return dict(own.select("donor", "reason").iter_rows())


def aligned(market: mi.Market, *symbols: str) -> pl.DataFrame:
    """Events of the H20 announcement, with its targets."""
    frame = mi.align(mi.announcements().filter(pl.col("announcement_id") == H20), market)
    return frame.filter(pl.col("symbol").is_in(symbols))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mi.PeerMean(()), "donors is empty"),
        (lambda: mi.PeerMean("MSFT"), r'Give a list of symbols, such as \["MSFT"\]'),
        (lambda: mi.PeerMean(("MSFT", "MSFT")), "has 'MSFT' twice"),
        (lambda: mi.PeerMean(("MSFT", 3)), "no list of symbols"),
        (lambda: mi.PeerMean(("MSFT",), allow=("AMD",)), "allow names 'AMD'"),
        (lambda: mi.StatisticalFactors(("MSFT", "ORCL"), components=3), "no more components than donors"),
        (lambda: mi.StatisticalFactors(("MSFT", "ORCL"), components=0), "whole number of at least 1"),
        (lambda: mi.StatisticalFactors(("MSFT", "ORCL"), components="pca"), "or 'cv'"),
        (lambda: mi.RidgePeers(("MSFT",), penalty=-1.0), "above zero"),
        (lambda: mi.RidgePeers(("MSFT",), penalty=float("nan")), "above zero"),
        (
            lambda: mi.EventStudy(mi.StatisticalFactors([f"D{n}" for n in range(80)], components=80)),
            # 80 components, benchmark, constant and 5 to spare in four fifths of the days: 87 * 5 / 4
            "min_observations=60 must lie between 109",
        ),
    ],
)
def test_a_wrong_model_raises_when_it_is_built(make, message):
    with pytest.raises(mi.SpecificationError, match=message):
        make()


def test_donors_come_in_any_list():
    named = ("MSFT", "ORCL")
    for given in (list(named), pl.Series(named), np.array(named)):
        assert mi.PeerMean(given).donors == named
    with pytest.raises(mi.SpecificationError, match="no list of symbols"):
        mi.PeerMean(3)


def test_an_unknown_donor_is_named(market):
    with pytest.raises(mi.SpecificationError, match=r"no returns of the donors 'D11'.*Did you mean"):
        STUDY.but(model=mi.PeerMean(("D1", "D11"))).run(events(), market)


def test_a_donor_that_the_market_lacks_is_named_with_the_cure(sample_market):
    """A symbol in small letters, one without a row in the securities, and one with a row and no prices."""
    dated = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["NVDA", "AMD"], "date": [date(2025, 8, 12)] * 2})
    lists = (
        (lambda names: SHORT.but(model=mi.PeerMean(names)).run(dated, market)),
        (lambda names: mi.synthetic_control(dated, market, names)),
    )
    market = sample_market
    for run in lists:
        with pytest.raises(mi.SpecificationError, match=r"no returns of the donors 'dell'\. Did you mean 'DELL'\?"):
            run(["dell", "TXN"])
        with pytest.raises(mi.SpecificationError, match="A market is loaded for its securities: add a row for each"):
            run(["TXN", "SPY"])
    unpriced = pl.DataFrame({"symbol": "SPY", "mic": "XNYS", "currency": "USD", "benchmark": "^GSPC"})
    market = replace(market, securities=pl.concat([market.securities, unpriced], how="diagonal_relaxed"))
    for run in lists:
        with pytest.raises(mi.SpecificationError, match="The price source has none: give it their prices"):
            run(["TXN", "SPY"])


def test_treated_firms_and_other_listings_and_funds_are_left_out(sample_market):
    funds = pl.when(pl.col("symbol") == "NVDA").then(pl.lit("TXN")).otherwise("sector_proxy").alias("sector_proxy")
    market = replace(sample_market, securities=sample_market.securities.with_columns(funds))
    model = mi.PeerMean(("NVDA", "AMD", "MSFT", "TXN", "688981.SS", "BABA"))
    chosen = aligned(market, "NVDA", "AMD", "0981.HK")
    result = SHORT.but(model=model).run(chosen, market)
    of_nvda = reasons(result, "NVDA")
    assert of_nvda["NVDA"] == "is the event's own security"
    assert of_nvda["AMD"].startswith("is treated by this event")
    assert of_nvda["TXN"].startswith("is the benchmark or sector fund")
    assert of_nvda["MSFT"] is None
    # a target of the announcement of which no event is left here
    assert "688981.SS" in mi.announcements().filter(pl.col("announcement_id") == H20)["targets"].item()
    assert "688981.SS" not in chosen["symbol"]
    assert of_nvda["688981.SS"].startswith("is treated by this event")
    allowed = SHORT.but(model=replace(model, allow=("AMD", "TXN", "NVDA"))).run(chosen, market)
    assert reasons(allowed, "NVDA")["AMD"] is None
    assert reasons(allowed, "NVDA")["TXN"] is None
    assert reasons(allowed, "NVDA")["NVDA"] == "is the event's own security"


def test_funds_are_left_out_by_what_names_them_by_their_own_name_and_by_their_symbol():
    """NVDA repeats, and a date; XLG is named by another security, SPY by the embedded ones, QQQ by none."""
    names, funds = ["NVDA", "INTC", "TXN"], ["XLG", "QQQ", "^SOX", "SPY", "CHPS", "MINE"]
    rng, calendar = np.random.default_rng(3), days()
    index = rng.normal(0, 0.01, len(calendar))
    wide = pl.DataFrame({name: index + rng.normal(0, 0.01, len(calendar)) for name in names + funds})
    rows = wide.with_columns(date=pl.Series(calendar)).unpivot(index="date", variable_name="symbol", value_name="ret")
    market = mi.Market.from_returns(rows, pl.DataFrame({"date": calendar, "ret": index}))
    known = pl.DataFrame({
        "symbol": [*names, "CHPS", "MINE"], "leg_benchmark": [None, None, "XLG", None, None],
        "name": ["NVIDIA", "Intel", "Refund Indexing", "Xtrackers Semiconductor Select ETF", None],
        "role": [None, None, None, None, "Fund"],
    })  # fmt: skip
    market = replace(market, securities=known)
    dated = pl.DataFrame({
        "event_id": ["a", "b", "c"], "symbol": ["NVDA", "NVDA", "INTC"],
        "date": [calendar[200], calendar[260], calendar[260]],
    })  # fmt: skip
    model = mi.PeerMean((*funds, "TXN"))
    left_out = "is a fund or index, and may hold a treated firm"
    reasons_of = {**dict.fromkeys(funds, left_out), "TXN": None}
    result = STUDY.but(model=model).run(dated, market)
    for name in ("a", "b", "c"):
        assert dict(result.donors.filter(event_id=name).select("donor", "reason").iter_rows()) == reasons_of
    allowed = STUDY.but(model=replace(model, allow=("^SOX", "SPY", "MINE"))).run(dated, market)
    assert set(allowed.donors.filter(~pl.col("used"))["donor"]) == {"XLG", "QQQ", "CHPS"}


def test_another_listing_of_the_firm_is_left_out(sample_market):
    frame = pl.DataFrame({"event_id": ["a"], "symbol": ["BABA"], "date": [date(2025, 8, 12)]})
    model = mi.PeerMean(("9988.HK", "MSFT"))
    result = SHORT.but(model=model).run(frame, sample_market)
    assert reasons(result, "BABA") == {"9988.HK": "is another listing of a treated firm", "MSFT": None}


def test_donors_of_other_hours_are_left_out_and_those_of_the_same_are_not(sample_market):
    frame = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["NVDA", "688041.SS"], "date": [date(2025, 8, 12)] * 2})
    model = mi.PeerMean(("DELL", "0700.HK", "000063.SZ"))  # New York, Hong Kong, Shenzhen
    result = SHORT.but(model=model).run(frame, sample_market)
    other = "trades at other hours than the event's exchange"
    assert reasons(result, "NVDA") == {"DELL": None, "0700.HK": other, "000063.SZ": other}
    assert reasons(result, "688041.SS") == {"DELL": other, "0700.HK": other, "000063.SZ": None}


def test_an_event_without_donors_goes_to_attrition_with_the_reasons(sample_market):
    chosen = aligned(sample_market, "NVDA", "AMD", "0981.HK")
    result = SHORT.but(model=mi.PeerMean(("NVDA", "AMD"))).run(chosen, sample_market)
    assert result.events.is_empty()
    assert set(result.attrition["reason"]) == {"no_donors"}
    detail = dict(result.attrition.select("event_id", "detail").iter_rows())[f"{H20}:NVDA"]
    assert detail.startswith("0 of 2 donors can be used, 1 needed")
    assert "is treated by this event" in detail
    assert "not used: 3 (no_donors 3)" in repr(result)
    assert result.donors.is_empty()


def test_a_donor_with_an_event_in_the_event_window_is_left_out(market):
    """Day 0 of event a is session 200, windows are [-2, 2]: those of sessions 196 to 204 share a day with its own."""
    calendar = days()
    dated = {"D0": 202, "D1": 204, "D2": 205, "D3": 196, "D4": 195}
    later = pl.DataFrame({
        "event_id": [f"x{donor}" for donor in dated], "symbol": list(dated),
        "date": [calendar[session] for session in dated.values()],
    })  # fmt: skip
    result = STUDY.but(model=MODELS[0]).run(pl.concat([events(), later]), market)
    own = result.donors.filter(pl.col("event_id") == "a", ~pl.col("used"))
    reason = "has an event of its own whose window overlaps the event's"
    assert own.select("donor", "reason").rows() == [(donor, reason) for donor in ("D0", "D1", "D3")]


@pytest.mark.parametrize(
    ("session", "donor", "reason"),
    [
        (200, 0, "has no return on day 0"),
        (202, 0, "has no return on 1 of 5 days of the event window"),
        (slice(60, 100), 2, "has 71% of the estimation sessions, 80% are needed"),
    ],
)
def test_a_donor_without_the_returns_is_left_out_with_a_note(session, donor, reason):
    benchmark, firms, donors = returns()
    donors[session, donor] = np.nan
    result = STUDY.but(model=MODELS[0]).run(events(), market_of(benchmark, firms, donors))
    own = result.donors.filter(pl.col("event_id") == "a", ~pl.col("used"))
    assert own.select("donor", "reason").rows() == [(f"D{donor}", reason)]
    assert own["weight"].null_count() == 1
    others = [each for each in range(donors.shape[1]) if each != donor]
    alone = STUDY.but(model=mi.PeerMean([f"D{each}" for each in others]))
    without = alone.run(events(), market_of(benchmark, firms, donors))
    same = [each.abnormal_returns.filter(pl.col("event_id") == "a")["ar"].to_numpy() for each in (result, without)]
    np.testing.assert_allclose(*same, rtol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.001])
def test_a_donor_that_never_moves_is_left_out(constant):
    benchmark, firms, donors = returns()
    donors[:, 3] = constant
    result = STUDY.but(model=MODELS[1]).run(events(), market_of(benchmark, firms, donors))
    assert set(result.donors.filter(~pl.col("used"))["reason"]) == {"does not vary in the estimation window"}
    assert result.attrition.is_empty()


def test_a_donor_that_moves_exactly_with_the_benchmark_is_left_out():
    benchmark, firms, donors = returns()
    donors[:, 3] = 2e-4 + 1.5 * benchmark
    for model in MODELS:
        result = STUDY.but(model=model).run(events(), market_of(benchmark, firms, donors))
        left_out = result.donors.filter(~pl.col("used"))
        assert left_out["reason"].to_list() == ["moves exactly with the event's benchmark in the estimation window"] * 5
        assert set(left_out["donor"]) == {"D3"}
        assert result.attrition.is_empty()


def test_fewer_donors_than_components_is_attrition():
    benchmark, firms, donors = returns()
    donors[200, :6] = np.nan
    result = STUDY.but(model=MODELS[2]).run(events(), market_of(benchmark, firms, donors))
    assert dict(result.attrition.select("event_id", "reason").iter_rows()) == dict.fromkeys("abc", "no_donors")
    assert "2 of 8 donors can be used, 3 needed" in result.attrition["detail"][0]


def test_fewer_components_than_the_model_takes_is_attrition_with_the_number():
    """D0 to D2 with a copy of D0 have 3 components, and 4 are taken; events a and d share a firm, a and b a date."""
    benchmark, firms, donors = returns()
    donors[:, 3] = donors[:, 0]
    model = mi.StatisticalFactors(("D0", "D1", "D2", "D3"), components=4)
    result = STUDY.but(model=model).run(events(), market_of(benchmark, firms, donors))
    assert set(result.attrition["reason"]) == {"singular_regressors"}
    wanted = "the donors have only 3 components in the days of a fold (4 of 5 estimation days), 4 needed"
    assert all(wanted in detail for detail in result.attrition["detail"])
    assert result.attrition.height == events().height
    three = STUDY.but(model=replace(model, components=3)).run(events(), market_of(benchmark, firms, donors))
    assert three.attrition.is_empty()


@pytest.mark.parametrize("components", ["cv", 1])
def test_a_donor_that_moves_in_one_fold_only_is_no_component_of_the_others(components):
    benchmark, firms, donors = returns()
    first, last = STUDY.estimation_window
    for day0 in (200, 240):
        donors[day0 + first : day0 + last + 1, 0] = 0.001
    only = np.arange(200 + last - 3, 200 + last + 1)
    donors[only, 0] = [0.02, -0.01, 0.03, -0.02]
    result = STUDY.but(model=mi.StatisticalFactors(("D0",), components=components)).run(
        events().filter(pl.col("event_id").is_in(["a", "b"])), market_of(benchmark, firms, donors)
    )
    assert set(result.attrition["reason"]) == {"singular_regressors"}
    assert "the donors have only 0 components" in result.attrition["detail"][0]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("constant", [0.0, 0.001])
@pytest.mark.parametrize("model", MODELS[1:], ids=lambda model: model.name)
def test_a_benchmark_that_moves_in_one_fold_only_is_attrition(model, constant):
    """Events a and b share day 0, the last of their five blocks of days ends 11 sessions before it."""
    benchmark, firms, donors = returns()
    benchmark[200 - 150 : 200 - 11 - 20] = constant
    own = events().filter(pl.col("event_id").is_in(["a", "b"]))
    result = STUDY.but(model=model).run(own, market_of(benchmark, firms, donors))
    assert result.attrition["reason"].to_list() == ["singular_regressors"] * 2


def test_days_of_a_fold_are_as_many_as_the_bound_of_observations_says():
    """With the least `min_observations` four fifths of the days leave five beyond constant, benchmark, components."""
    donors = [f"D{n}" for n in range(300)]
    for components in (1, 2, 41, 42, 150, 187):
        model, days = mi.StatisticalFactors(donors, components=components), np.arange(400)
        least = min(m for m in days if m - np.ceil(m / 5) >= components + 2 + 5)
        window = (-400, -11)
        assert mi.EventStudy(model, window, min_observations=int(least))
        with pytest.raises(mi.SpecificationError, match=f"must lie between {least} "):
            mi.EventStudy(model, window, min_observations=int(least) - 1)


def test_missing_days_of_returns_of_rank_one_are_filled_exactly():
    rng = np.random.default_rng(2)
    scores, loadings = rng.normal(size=120), rng.uniform(0.5, 2.0, 6)
    scores -= scores.mean()
    whole = np.outer(scores, loadings)
    holes = whole.copy()
    # rows in pairs of opposite scores, so that mean and spread of each donor stay proportional to its loading
    history = np.vstack([whole, -whole])
    holes[[3, 50], [1, 4]] = np.nan
    np.testing.assert_allclose(filled(holes, history), whole, rtol=1e-6, atol=1e-9)
    nothing = np.full((1, 6), np.nan)
    assert np.isnan(filled(nothing, history)).all()


def test_filled_days_are_near_what_was_removed():
    """Iterated components recover a missing return better than the donor's own mean does."""
    _, _, donors = returns(seed=8)
    holes, rng = donors.copy(), np.random.default_rng(1)
    missing = rng.random(donors.shape) < 0.05
    holes[missing] = np.nan
    error = (filled(holes, holes) - donors)[missing]
    plain = (np.broadcast_to(np.nanmean(holes, axis=0), donors.shape) - donors)[missing]
    assert (error**2).mean() < 0.6 * (plain**2).mean()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_chunks_executors_and_files_change_no_bit(market, model, tmp_path):
    whole = STUDY.but(model=model).run(events(), market)
    assert whole.attrition.is_empty()
    market.to_dataset(tmp_path / "panel")
    on_disk = STUDY.but(model=model).run(events(), mi.Market.scan(tmp_path / "panel"))
    others = [STUDY.but(model=model).run(events(), market, chunk=2), on_disk]
    if model is MODELS[1]:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            others.append(STUDY.but(model=model).run(events(), market, executor=pool, chunk=2))
    for other in others:
        for name in EventWindow.__dataclass_fields__:
            one, two = (getattr(each.estimation.event_window, name) for each in (whole, other))
            np.testing.assert_array_equal(one, two)
        assert whole.estimates.equals(other.estimates)
        assert whole.donors.equals(other.donors)
        assert whole.test(0, 1).equals(other.test(0, 1))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_answer_is_given(market, model):
    result = STUDY.but(model=model).run(events(), market)
    tests = result.test(0, 1, tests="all")
    assert tests.filter(pl.col("statistic").is_nan())["note"].null_count() == 0
    assert tests.filter(pl.col("role") == "primary")["valid"].item() in (True, False)
    assert result.caar().height == 5
    assert result.where(pl.col("event_id") == "a").donors.height == len(DONOR_NAMES)
    assert "effects are relative to the peers: 8 of 8 donors used by each event" in repr(result).replace("\n", " ")
    assert "with fewer than 10 donors intervals are too narrow" in repr(result).replace("\n", " ")
    assert "peers" in str(result.inspect("a").summary())
    assert result.estimates["n_factors"].min() >= 1
    flipped = result.where(pl.col("event_id") == "b").car(0, 1)
    assert flipped["car"].item() == result.car(0, 1).filter(pl.col("event_id") == "b")["car"].item()


def test_the_caution_on_few_donors_has_the_numbers_of_the_page():
    """Coverage of statistical factors, peer mean and ridge, with 5 and with 3 donors."""
    page = " ".join((ROOT / "docs" / "findings" / "peers.md").read_text(encoding="utf-8").split())
    numbers = re.search(
        r"statistical factors cover 94% with 10 donors, 92% with 8, (\d+)% with 5 and (\d+)% with 3, those of the peer "
        r"mean 94%, 93%, (\d+)% and (\d+)%, those of ridge 91%, 89%, (\d+)% and (\d+)%",
        page,
    )
    five, three = ([int(each) for each in numbers.groups()[k::2]] for k in (0, 1))
    wanted = f"{min(five)}% to {max(five)}% with 5 donors and {min(three)}% to {max(three)}% with 3"
    assert wanted in summary.FEW_DONORS


def test_enough_donors_need_no_caution(market, monkeypatch):
    monkeypatch.setattr(summary, "ENOUGH_DONORS", 8)
    assert "too narrow" not in repr(STUDY.but(model=MODELS[0]).run(events(), market)).replace("\n", " ")


def test_batches_of_events_are_refused(market, tmp_path):
    with pytest.raises(mi.SpecificationError, match="batches do not see each other"):
        mi.write_study(STUDY.but(model=MODELS[0]), events(), market, tmp_path / "out")


def test_other_models_have_no_donors(market):
    result = STUDY.run(events(), market)
    assert result.donors.is_empty()
    assert result.donors.columns == ["event_id", "symbol", *DONORS]
    assert "n_donors" not in result.estimates.columns


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_events_of_one_day_share_no_number_but_those_of_their_donors(market, model):
    together = STUDY.run(events(), market)  # checks the fixture: a, b and c have one day 0
    assert together.events.filter(date=days()[200]).height == 3
    whole = STUDY.but(model=model).run(events(), market)
    for name in ("a", "b", "c"):
        alone = STUDY.but(model=model).run(events().filter(pl.col("event_id") == name), market)
        assert alone.estimates.equals(whole.where(pl.col("event_id") == name).estimates)
        assert alone.car(0, 1).equals(whole.where(pl.col("event_id") == name).car(0, 1))


def test_donors_of_one_day_are_decomposed_once(market, monkeypatch):
    decomposed = []
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: decomposed.append(matrix.shape) or eigh(matrix))
    model = mi.StatisticalFactors(DONOR_NAMES, components=3)
    for names in (["a"], ["a", "b", "c"]):
        decomposed.clear()
        STUDY.but(model=model).run(events().filter(pl.col("event_id").is_in(names)), market)
        # five folds, the whole window to count candidates and once more to estimate
        assert len(decomposed) == 7


def test_a_donor_with_news_of_its_own_is_named():
    """Events a and b share firm days of session 200, where D2 moves by 15%; a and d share the firm."""
    benchmark, firms, donors = returns()
    quiet = STUDY.but(model=MODELS[0]).run(events(), market_of(benchmark, firms, donors))
    assert "Donor news" not in repr(quiet)
    donors[200, 2] += 0.15
    for model in MODELS:
        result = STUDY.but(model=model).run(events(), market_of(benchmark, firms, donors))
        own = result.donors.filter(pl.col("event_id") == "b")
        days_before = slice(200 + STUDY.estimation_window[0], 200 + STUDY.estimation_window[1] + 1)
        x = sm.add_constant(benchmark[days_before])
        for column in range(donors.shape[1]):
            fitted = sm.OLS(donors[days_before, column], x).fit()
            forecast = fitted.get_prediction(np.array([[1.0, benchmark[200]]]))
            ar, row = donors[200, column] - forecast.predicted_mean[0], own.row(column, named=True)
            assert row["donor"] == f"D{column}"
            np.testing.assert_allclose(row["ar_day0"], ar, rtol=1e-9)
            np.testing.assert_allclose(row["sar_day0"], ar / forecast.se_obs[0], rtol=1e-9)
            np.testing.assert_allclose(row["contribution"], -row["weight"] * ar, rtol=1e-9)
        told = " ".join(repr(result).split())
        assert "Donor news: beyond what the benchmark explains, D2 moved by +1" in told
        assert "standard errors; adds −" in told
    unused = STUDY.but(model=mi.PeerMean((*DONOR_NAMES, "F0"))).run(events(), market_of(benchmark, firms, donors))
    assert unused.donors.filter(~pl.col("used"))["ar_day0"].null_count() == unused.donors.filter(~pl.col("used")).height


def test_the_move_of_a_donor_equals_the_change_that_it_makes_in_the_effect():
    """The abnormal return falls by D2's contribution where D2 moves with its benchmark instead."""
    benchmark, firms, donors = returns()
    donors[200, 2] += 0.15
    with_news = STUDY.but(model=MODELS[0]).run(events(), market_of(benchmark, firms, donors))
    row = with_news.donors.filter(pl.col("event_id") == "a", pl.col("donor") == "D2").row(0, named=True)
    donors[200, 2] -= row["ar_day0"]
    without = STUDY.but(model=MODELS[0]).run(events(), market_of(benchmark, firms, donors))
    ar = [
        each.abnormal_returns.filter(pl.col("event_id") == "a", pl.col("tau") == 0)["ar"].item()
        for each in (with_news, without)
    ]
    np.testing.assert_allclose(ar[0] - ar[1], row["contribution"], rtol=1e-9)
