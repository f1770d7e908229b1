"""The factor alarm against statsmodels, on drawn factors, and in the simulation of Goldsmith-Pinkham and Lyu."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

import marketimpact as mi
from marketimpact.analyses.factor_alarm import FactorAlarm
from tests.conftest import SHARED

GPL = SHARED / "replications" / "goldsmith_pinkham_lyu_2025"
NEEDS_GPL = pytest.mark.skipif(not GPL.exists(), reason="needs ../shared/replications, which is not here")
DAYS, DAY0, FIRMS, OTHERS = 320, 270, 4, 14
#: A date that repeats, and a firm that repeats.
EVENTS = [("a", "F0", DAY0), ("b", "F1", DAY0), ("c", "F2", DAY0), ("d", "F0", 300)]
STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(0, 1))


def days() -> list[object]:
    return np.busday_offset("2021-01-04", np.arange(DAYS)).astype("datetime64[D]").tolist()


def drawn(shock: float = 0.0, *, named: bool = True, seed: int = 3) -> tuple[mi.Market, dict[str, np.ndarray]]:
    """Firms and others that load on a style factor, which moves by `shock` on day 0."""
    rng = np.random.default_rng(seed)
    market, style, size = rng.normal(0, 0.01, (3, DAYS))
    style[DAY0] = shock
    noise = rng.normal(0, 0.01, (DAYS, FIRMS + OTHERS))
    ret = market[:, None] + style[:, None] * rng.uniform(0.8, 1.2, FIRMS + OTHERS) + noise
    names = [*(f"F{n}" for n in range(FIRMS)), *(f"O{n}" for n in range(OTHERS))]
    wide = pl.DataFrame(ret, schema=names).with_columns(date=pl.Series(days()))
    factors = pl.DataFrame({"date": days(), "style": style, "size": size}) if named else None
    benchmark = pl.DataFrame({"date": days(), "ret": market})
    rows = wide.unpivot(index="date", variable_name="symbol", value_name="ret")
    series = {"market": market, "style": style, "size": size, **{name: ret[:, k] for k, name in enumerate(names)}}
    return mi.Market.from_returns(rows, benchmark, factors), series


def events(rows: list[tuple[str, str, int]] = EVENTS) -> pl.DataFrame:
    dates = days()
    return pl.DataFrame(
        [(event, firm, dates[day0]) for event, firm, day0 in rows], schema=["event_id", "symbol", "date"], orient="row"
    )


def test_a_named_factor_equals_statsmodels():
    market, series = drawn(shock=0.03)
    table = mi.factor_alarm(STUDY.run(events(), market), components=0).table
    window, x = np.arange(DAY0 - 200, DAY0 - 10), sm.add_constant(series["market"])
    fits = {name: sm.OLS(series[name][window], x[window]).fit() for name in ("style", "size")}
    influence = {name: fit.get_influence().hat_matrix_diag for name, fit in fits.items()}
    past = np.max([np.abs(f.resid) / np.sqrt(f.mse_resid * (1 - influence[name])) for name, f in fits.items()], axis=0)
    firms = [sm.OLS(series[name][window], x[window]).fit().resid for name in ("F0", "F1", "F2")]
    for name, fit in fits.items():
        row = table.filter(pl.col("date") == days()[DAY0], pl.col("factor") == name).row(0, named=True)
        forecast = fit.get_prediction(x[DAY0])
        move = series[name][DAY0] - forecast.predicted_mean[0]
        z = move / forecast.se_obs[0]
        loading = sm.OLS(np.mean(firms, axis=0), sm.add_constant(fit.resid)).fit().params[1]
        expected = [move, z, (1 + (past >= abs(z)).sum()) / (1 + len(past)), loading, loading * move]
        np.testing.assert_allclose([row[c] for c in ("move", "z", "p_value", "loading", "bias")], expected, rtol=1e-9)
        assert (row["n_days"], row["n_events"]) == (len(window), 3)


def test_it_rings_for_a_named_factor_that_moves_and_says_by_how_much():
    market, _ = drawn(shock=0.06)
    alarm = mi.factor_alarm(STUDY.run(events(EVENTS[:3]), market))
    top = alarm.table.row(0, named=True)
    assert alarm.rings
    assert top["p_value"] <= 0.01
    style = alarm.table.filter(pl.col("factor") == "style").row(0, named=True)
    assert style["bias"] == pytest.approx(0.06, abs=0.015)
    assert "(z +" in alarm.sentence
    assert alarm.sentence in repr(alarm)


def test_it_rings_for_a_factor_that_nobody_named():
    """Untreated securities show the factor; the model with their components is silent about it."""
    market, _ = drawn(shock=0.06, named=False)
    alarm = mi.factor_alarm(STUDY.run(events(EVENTS[:3]), market))
    assert alarm.rings
    mean = alarm.table.filter(pl.col("factor") == "mean of untreated").row(0, named=True)
    assert mean["rings"]
    assert mean["bias"] == pytest.approx(0.06, abs=0.015)
    donors = [f"O{n}" for n in range(OTHERS)]
    known = mi.factor_alarm(STUDY.but(model=mi.PeerMean(donors)).run(events(EVENTS[:3]), market))
    assert not known.rings
    assert known.sentence == ""
    assert "silent" in repr(known)


def test_the_sentence_names_factor_days_and_effect_for_readers_without_statistics():
    market, series = drawn(shock=0.06)
    alarm = mi.factor_alarm(STUDY.run(events(EVENTS[:3]), market), factors=["style"], components=0)
    top = alarm.table.row(0, named=True)
    assert top["p_value"] == pytest.approx(1 / 191)  # farther than on every day before
    assert alarm.line == alarm.sentence
    start = f"Factor alarm: on {days()[DAY0]} the factor style, which the model leaves out, moved farther"
    assert alarm.sentence.startswith(start)
    assert f"on any of the 190 days before (z +{top['z']:.1f})" in alarm.sentence
    assert f"mean abnormal return of about +{top['bias']:.1%} that day" in alarm.sentence
    # a move that three days before reached as well
    calmer, _ = drawn(shock=float(np.sort(np.abs(series["style"][DAY0 - 200 : DAY0 - 10]))[-4]))
    less = mi.factor_alarm(STUDY.run(events(EVENTS[:3]), calmer), factors=["style"], components=0)
    n = round(190 - (191 * less.table["p_value"].item() - 1))
    assert 180 < n < 190
    assert f"on {n} of the 190 days before" in less.sentence
    twice = FactorAlarm(pl.concat([alarm.table, alarm.table.with_columns(pl.col("date").dt.offset_by("7d"))]))
    assert twice.sentence.startswith(f"Factor alarm (2 of 2 dates ring, {days()[DAY0]}, ")
    assert twice.sentence.partition(": ")[2].startswith(f"on {days()[DAY0]}")
    assert "judged by how F0, F1, F2 followed it before, this alone would give them" in alarm.sentence


def test_published_factors_are_in_words_and_silence_says_what_was_looked_at():
    market, series = drawn(seed=5)
    factors = pl.DataFrame({"date": days(), "smb": series["style"], "mom": series["size"]})
    ret = market.panel.select("symbol", "date", "ret")
    named = mi.Market.from_returns(ret, pl.DataFrame({"date": days(), "ret": series["market"]}), factors)
    quiet = STUDY.run(events([("a", "F0", 250), ("b", "F1", 250)]), named)
    assert mi.factor_alarm(quiet).line == (
        "No factor at hand lay unusually far out on day 0 (looked at: mom, smb and common movements of untreated "
        "shares)."
    )
    loud = factors.with_columns(smb=pl.when(pl.col("date") == days()[250]).then(-0.09).otherwise("smb"))
    moved = mi.Market.from_returns(ret, pl.DataFrame({"date": days(), "ret": series["market"]}), loud)
    sentence = mi.factor_alarm(STUDY.run(quiet.events.select("event_id", "symbol", "date"), moved)).sentence
    assert "size (small less large firms, smb)" in sentence
    assert "(z −" in sentence


def with_factors(market: mi.Market, index: np.ndarray, factors: dict[str, object]) -> mi.Market:
    """The same returns with other factor columns."""
    frame = pl.DataFrame({"date": days(), **factors}, strict=False)
    benchmark = pl.DataFrame({"date": days(), "ret": index})
    return mi.Market.from_returns(market.panel.select("symbol", "date", "ret"), benchmark, frame)


def test_factors_that_cannot_be_looked_at_are_named_with_the_reason():
    """Events a, b and c share day 0, a and d the firm; d's day 0 lies 30 sessions later."""
    market, series = drawn(seed=5)
    style = series["style"]
    late = [None if day == DAY0 else value for day, value in enumerate(style.tolist())]
    short = [value if day > DAY0 - 60 else None for day, value in enumerate(style.tolist())]
    columns = {"style": style, "late": late, "short": short, "flat": np.full(DAYS, 0.01), "copy": 2 * series["market"]}
    result = STUDY.run(events(), with_factors(market, series["market"], columns))
    first, second = days()[DAY0], days()[300]
    few, constant = "fewer than 60 returns in the estimation window", "constant in the estimation window"
    explained = "explained by the model's regressors"
    wanted = {
        (first, "late", "no return on day 0"), (first, "short", few), (first, "flat", constant),
        (first, "copy", explained), (second, "flat", constant), (second, "copy", explained),
    }  # fmt: skip
    for options in ({"factors": list(columns)}, {}):
        alarm = mi.factor_alarm(result, components=0, **options)
        assert set(alarm.left_out.select("date", "factor", "reason").rows()) == wanted
        told = (
            f"Not looked at: flat (constant in the estimation window, {first}, {second}); copy (explained by the "
            f"model's regressors, {first}, {second}); short (fewer than 60 returns in the estimation window, {first}); "
            f"late (no return on day 0, {first})."
        )
        assert alarm.line.endswith(told)
        assert told in repr(alarm)
    nothing = mi.factor_alarm(result, factors=iter(["style"]), components=0)
    assert nothing.left_out.is_empty()
    assert "Not looked at" not in nothing.line + repr(nothing)
    with pytest.raises(mi.SpecificationError, match=r"no candidate.*Not looked at: flat \(constant"):
        mi.factor_alarm(result, factors=["flat"], components=0)
    with pytest.raises(mi.SpecificationError, match="factors has 'style' twice"):
        mi.factor_alarm(result, factors=["style", "style"])


@pytest.mark.parametrize("model", [mi.MarketModel(), mi.MeanAdjusted(), mi.FactorModel(("market", "size"))])
def test_series_of_rounding_noise_and_copies_are_no_component(model):
    """Constant, twice the benchmark, the benchmark but for rounding, a factor of the model: none changes a number."""
    market, series = drawn(shock=0.03)
    junk = {
        "ZERO": np.zeros(DAYS), "CONSTANT": np.full(DAYS, 0.001), "TWICE": 2 * series["market"],
        "ALMOST": series["market"] + np.random.default_rng(2).normal(0, 1e-9, DAYS),
    }  # fmt: skip
    if "size" in model.design.columns:
        junk["SIZE"] = 1e-4 + series["size"] - 0.5 * series["market"]
    wide = pl.DataFrame({"date": days(), **junk})
    rows = wide.unpivot(index="date", variable_name="symbol", value_name="ret")
    ret = pl.concat([market.panel.select("symbol", "date", "ret"), rows.select("symbol", "date", "ret")])
    benchmark = pl.DataFrame({"date": days(), "ret": series["market"]})
    factors = pl.DataFrame({"date": days(), "size": series["size"]})
    both = [
        mi.factor_alarm(STUDY.but(model=model).run(events(), mi.Market.from_returns(own, benchmark, factors))).table
        for own in (market.panel.select("symbol", "date", "ret"), ret)
    ]
    assert set(both[0]["factor"]) >= {"mean of untreated", "component 1", "component 2", "component 3"}
    order = ["date", "factor"]
    for name in ("move", "z", "p_value", "loading", "bias"):
        plain, with_junk = (each.sort(order)[name].to_numpy() for each in both)
        np.testing.assert_allclose(plain, with_junk, rtol=1e-8, atol=1e-12)


def test_components_are_no_more_than_the_securities_have():
    """Two series, each of five securities: two components, not a third of rounding noise."""
    rng = np.random.default_rng(4)
    index, own = rng.normal(0, 0.01, DAYS), rng.normal(0, 0.01, (DAYS, 4))
    columns = {"F0": index + own[:, 2], "F1": index + own[:, 3]}
    columns |= {f"U{n}": index + own[:, n % 2] for n in range(10)}
    wide = pl.DataFrame({"date": days(), **columns})
    rows = wide.unpivot(index="date", variable_name="symbol", value_name="ret")
    market = mi.Market.from_returns(rows, pl.DataFrame({"date": days(), "ret": index}))
    dated = events([("a", "F0", DAY0), ("b", "F1", DAY0), ("c", "F0", 300), ("d", "F1", 300)])
    table = mi.factor_alarm(STUDY.run(dated, market)).table
    assert set(table["factor"]) == {"mean of untreated", "component 1", "component 2"}


def test_what_is_no_result_with_events_is_refused():
    market, _ = drawn()
    result = STUDY.run(events(), market)
    for given in (market, result.car(0, 1)):
        with pytest.raises(mi.SpecificationError, match=f"result is a {type(given).__name__}, not a StudyResult"):
            mi.factor_alarm(given)
    with pytest.raises(mi.SpecificationError, match="The result has no events"):
        mi.factor_alarm(result.where(pl.col("symbol") == "nobody"))


@pytest.mark.filterwarnings("ignore::marketimpact.errors.MarketImpactWarning")  # drawn returns have no GARCH
@pytest.mark.parametrize("name", sorted(set(mi.MODELS) - set(mi.models.PEER_MODELS) - {"factor_model"}))
def test_every_model_has_an_alarm(name):
    """Also the model with estimation days of its own after the event."""
    market, series = drawn(shock=0.08)
    drawn_too = np.random.default_rng(4).normal(0, 0.01, (DAYS, 8))
    others = pl.DataFrame(drawn_too, schema=["mktrf", "smb", "hml", "rmw", "cma", "mom", "sox", "rf"])
    factors = others.with_columns(date=pl.Series(days()), style=series["style"], rf=pl.lit(0.0001))
    benchmark = pl.DataFrame({"date": days(), "ret": series["market"]})
    known = mi.Market.from_returns(market.panel.select("symbol", "date", "ret"), benchmark, factors)
    study = mi.EventStudy(mi.MODELS[name](), estimation_window=(-200, -11), event_window=(0, 1))
    alarm = mi.factor_alarm(study.run(events(EVENTS[:3]), known), factors=["style"], components=0)
    assert alarm.rings


def alarm_of(p_values: np.ndarray, mics: tuple[str, ...] = ("XNAS",)) -> FactorAlarm:
    """An alarm of one factor with a p-value for each date and exchange, (T, E)."""
    rows = [
        {"date": days()[day], "mic": mic, "factor": "smb", "n_days": 240, "move": 0.01, "z": 2.0,
         "farthest_before": 9.0, "p_value": p, "rings": p <= 0.05,
         "loading": 1.0, "bias": 0.01, "n_events": 1, "symbols": [f"{mic}1"]}
        for day, row in enumerate(p_values) for mic, p in zip(mics, row, strict=True)
    ]  # fmt: skip
    return FactorAlarm(pl.DataFrame(rows).sort("p_value"))


@pytest.mark.parametrize("n_exchanges", [1, 3])
@pytest.mark.parametrize("n_dates", [1, 2, 5, 20])
def test_over_several_dates_it_keeps_its_level(n_dates, n_exchanges):
    """Independent dates with tails of index 3 and 240 days before: at most 5% ring (Monte-Carlo error 1.1 points)."""
    rng, mics, ringing = np.random.default_rng(8), ("XNAS", "XHKG", "XSHG")[:n_exchanges], 0
    calendar = days()
    for _ in range(400):
        moves = np.abs(rng.standard_t(3, (n_dates, n_exchanges, 241)))
        z, before = moves[:, :, 0], moves[:, :, 1:]
        p = (1 + (before >= z[:, :, None]).sum(axis=2)) / 241
        own = pl.DataFrame(
            {"date": [day for day in calendar[:n_dates] for _ in mics], "mic": mics * n_dates, "z": z.ravel(),
             "farthest_before": before.max(axis=2).ravel()}
        )  # fmt: skip
        table = alarm_of(p, mics).table.drop("z", "farthest_before")
        ringing += FactorAlarm(table.join(own, on=["date", "mic"], validate="1:1")).rings
    assert 0 < ringing / 400 < 0.05 + 3 * 0.011


def test_beyond_the_farthest_day_the_p_value_falls_with_the_cube():
    """One date of twenty, four times as far out as any of 240 days before; 1.1 times is not enough."""
    p = np.full((20, 1), 0.5)
    p[7] = 1 / 241
    far = pl.when(pl.col("p_value") < 0.1)
    for times, rings in ((4.0, True), (1.1, False)):
        alarm = FactorAlarm(alarm_of(p).table.with_columns(z=far.then(-9.0 * times).otherwise("z")))
        assert alarm.dates["p_value"][0] == pytest.approx(1 / 241 / times**3)
        assert alarm.rings is rings
    assert alarm.line.startswith(f"A factor lay unusually far out on 1 of 20 dates ({days()[7]}), no more than chance")


def test_one_of_two_dates_far_out_rings_and_is_named():
    market, _ = drawn(shock=0.15)
    alarm = mi.factor_alarm(STUDY.run(events(), market), factors=["style"], components=0)
    assert alarm.dates["rings"].to_list() == [True, False]
    assert alarm.rings
    assert alarm.line.startswith(f"Factor alarm (1 of 2 dates ring, {days()[DAY0]}): on {days()[DAY0]} the factor")
    # 2.5% over the number of dates is the limit of the smallest p-value; two dates at 5% ring by their number
    found = [alarm_of(np.array(p)[:, None]).rings for p in ([0.0125, 0.9], [0.013, 0.9], [0.05, 0.05], [0.05, 0.051])]
    assert found == [True, False, True, False]


def test_silence_over_several_dates_is_true_of_each():
    quiet, far = alarm_of(np.array([[0.3], [0.6]])), alarm_of(np.array([[0.04], [0.6], [0.9]]))
    looked_at = "(looked at for events on Nasdaq: smb)."
    assert quiet.line == f"No factor at hand lay unusually far out on any of the 2 dates {looked_at}"
    assert far.line == (
        f"A factor lay unusually far out on 1 of 3 dates ({days()[0]}), no more than chance gives: about one ordinary "
        f"date in twenty is such a date {looked_at}"
    )


def test_exchanges_of_one_date_are_one_date():
    mics = ("XNAS", "XHKG", "XSHG")
    alarm = alarm_of(np.array([[0.004, 0.02, 0.03]]), mics)
    assert alarm.dates.row(0) == (days()[0], pytest.approx(0.012), True)
    assert "dates" not in alarm.sentence
    assert "judged by how XNAS1 on Nasdaq followed it before, this alone would give it a mean" in alarm.sentence
    assert not alarm_of(np.array([[0.03, 0.03, 0.03]]), mics).rings


def three_exchanges(names: list[str]) -> mi.StudyResult:
    """Two firms of each of three exchanges and one date, and factor columns joined by date."""
    rng = np.random.default_rng(6)
    mics = ("XNAS", "XHKG", "XSHG")
    market = rng.normal(0, 0.01, (DAYS, 3))
    style = rng.normal(0, 0.01, DAYS)
    style[DAY0] = 0.15
    dates = pl.Series("date", days(), dtype=pl.Date)
    benchmark = pl.concat(
        [pl.DataFrame({"date": dates, "ret": market[:, k], "mic": mic}) for k, mic in enumerate(mics)]
    )
    rows = [
        pl.DataFrame({"date": dates, "symbol": f"{mic}{n}", "mic": mic, "ret": market[:, k] + own})
        for k, mic in enumerate(mics) for n, own in enumerate(rng.normal(0, 0.01, (2, DAYS)), 1)
    ]  # fmt: skip
    columns = {name: style / 100 if name.lower() == "rf" else style for name in names}
    known = mi.Market.from_returns(pl.concat(rows), benchmark, pl.DataFrame({"date": dates, **columns}))
    symbols = [f"{mic}{n}" for mic in mics for n in (1, 2)]
    return STUDY.run(pl.DataFrame({"event_id": symbols, "symbol": symbols, "date": [days()[DAY0]] * 6}), known)


def test_named_factors_are_for_the_americas_unless_the_caller_names_them():
    """Hong Kong and Shanghai close before New York opens: a column with New York's date is no factor of theirs."""
    result = three_exchanges(["smb"])
    alarm = mi.factor_alarm(result)
    assert alarm.table["mic"].to_list() == ["XNAS"]
    assert "judged by how XNAS1, XNAS2 on Nasdaq followed it before" in alarm.sentence
    named = mi.factor_alarm(result, factors=["smb"])
    assert sorted(named.table["mic"]) == ["XHKG", "XNAS", "XSHG"]
    assert named.dates.height == 1
    # the smallest of three ranks of 1 / 191, beyond the farthest day before it by the cube, times three exchanges
    beyond = named.table.select("farthest_before", pl.col("z").abs()).rows()
    assert named.dates["p_value"].item() == pytest.approx(3 / 191 * min((before / z) ** 3 for before, z in beyond))
    elsewhere = result.where(pl.col("mic") != "XNAS")
    with pytest.raises(mi.SpecificationError, match="for events outside the Americas name the factors"):
        mi.factor_alarm(elsewhere)


def test_the_market_and_the_riskless_rate_are_no_candidates_however_spelled():
    names = ["mkt_rf", "Mkt-RF", "MKT_RF", "RF", "rf", "mktrf", "SMB"]
    assert mi.factor_alarm(three_exchanges(names)).table["factor"].to_list() == ["SMB"]
    with pytest.raises(mi.SpecificationError, match="There is no candidate"):
        mi.factor_alarm(three_exchanges(names[:-1]))


def test_one_ordinary_day_in_twenty_rings():
    market, _ = drawn(seed=11)
    separate = [(f"e{day}", f"F{day % FIRMS}", day) for day in range(211, 315)]
    alarm = mi.factor_alarm(STUDY.run(events(separate), market))
    by_day = alarm.table.group_by("date").agg(pl.col("rings").any())
    # days share most of their past: the bound is generous
    assert by_day["rings"].mean() < 0.13
    assert by_day.height == len(separate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": ["stile"]}, "'stile', and the market has 'style', 'size'. Did you mean 'style'"),
        ({"factors": "style"}, "give a list"),
        ({"components": -1}, "whole number"),
        ({"components": True}, "whole number"),
    ],
)
def test_a_wrong_question_raises(options, message):
    market, _ = drawn()
    with pytest.raises(mi.SpecificationError, match=message):
        mi.factor_alarm(STUDY.run(events(), market), **options)


def test_a_factor_that_the_model_reads_is_no_candidate():
    market, _ = drawn()
    result = STUDY.but(model=mi.FactorModel(("market", "style"))).run(events(), market)
    assert "style" not in mi.factor_alarm(result).table["factor"].to_list()
    with pytest.raises(mi.SpecificationError, match="reads 'style' already"):
        mi.factor_alarm(result, factors=["style"])


def test_without_candidates_it_says_what_to_give():
    market, _ = drawn(named=False)
    with pytest.raises(mi.SpecificationError, match="There is no candidate"):
        mi.factor_alarm(STUDY.run(events(), market), components=0)


@pytest.mark.parametrize("lacking", [range(DAY0, DAYS), range(DAY0 - 160, DAY0 - 10)])
def test_a_factor_without_returns_does_not_silence_the_others(lacking):
    """As published factors end before the prices do: the other candidates are those of a market without it."""
    market, series = drawn(shock=0.06, named=False)
    late = pl.Series([None if day in lacking else 0.01 * (-1) ** day for day in range(DAYS)], dtype=pl.Float64)
    benchmark = pl.DataFrame({"date": days(), "ret": series["market"]})
    ret = market.panel.select("symbol", "date", "ret")
    known = mi.Market.from_returns(ret, benchmark, pl.DataFrame({"date": days(), "late": late}))
    alarm = mi.factor_alarm(STUDY.run(events(EVENTS[:3]), known))
    assert alarm.table.equals(mi.factor_alarm(STUDY.run(events(EVENTS[:3]), market)).table)
    assert alarm.rings
    with pytest.raises(mi.SpecificationError, match="with a return on day 0 and on 60 estimation days"):
        mi.factor_alarm(STUDY.run(events(EVENTS[:3]), known), components=0)


def published_market(panel: str, seed: int) -> tuple[pl.DataFrame, mi.Market]:
    """Five treated firms of one seed of the paper's simulation, with a benchmark and the size factor."""
    own = pl.col("panel").cast(pl.String) == panel, pl.col("seed") == seed
    date = (pl.date(2000, 1, 1) + pl.duration(days=pl.col("tau") + 239)).alias("date")
    factors = pl.scan_parquet(GPL / "factors.parquet").filter(*own).with_columns(date).collect()
    rows = pl.scan_parquet(GPL / "treated.parquet").filter(*own).with_columns(date, symbol=pl.format("F{}", "firm"))
    rows = rows.filter(pl.col("firm").rank("dense") <= 5).collect()
    benchmark = factors.select("date", ret=pl.col("mktrf") + pl.col("rf"))
    market = mi.Market.from_returns(
        rows.select("date", "symbol", "ret"), benchmark, factors.select("date", "smb", "rf")
    )
    chosen = rows.filter(pl.col("tau") == 0).select("date", "symbol", event_id="symbol")
    return chosen, market


@NEEDS_GPL
@pytest.mark.shared
@pytest.mark.parametrize(("panel", "rings"), [("none", False), ("timing", True), ("both", True)])
def test_it_rings_where_policy_follows_the_factor(panel, rings):
    """Panel A, C and D of Goldsmith-Pinkham and Lyu (2025, Table 1), all 50 seeds."""
    study = mi.EventStudy(mi.Capm(), estimation_window=(-239, -1), event_window=(0, 10))
    ringing, biases = 0, []
    for seed in range(1234, 1284):
        alarm = mi.factor_alarm(study.run(*published_market(panel, seed)))
        ringing += alarm.rings
        biases.append(alarm.table["bias"].item())
    if rings:
        assert ringing == 50
        # what leaving the factor out adds is the bias that the paper prints for the CAPM, 2.71 and 2.26 points
        assert np.mean(biases) == pytest.approx({"timing": 0.0271, "both": 0.0226}[panel], abs=0.006)
    else:
        assert ringing <= 6  # 2.5 of 50 by chance; 7 or more in 1 of 70 such samples
        assert abs(np.mean(biases)) < 0.004
