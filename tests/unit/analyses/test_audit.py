"""What is planted is found, and nothing else is."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from polars.testing import assert_frame_equal

import marketimpact as mi
from tests.conftest import golden
from tests.unit.market.small_market import announcements, market

A1, A2, NYA, NYB, NYD = "600001.SS", "600002.SS", "NYA", "NYB", "NYD"
DAY0, DAY1 = date(2025, 3, 5), date(2025, 3, 6)
STUDY = mi.EventStudy(estimation_window=(-80, -11), event_window=(-5, 5), min_observations=30)
LISTED = announcements(
    {"id": "own", "at": "2025-03-05T03:00Z", "targets": [A1, A2, NYA], "campaign": "c"},
    {"id": "second", "at": "2025-06-04T03:00Z", "targets": [A1, NYA]},
    {"id": "rival", "at": "2025-03-06T03:00Z", "targets": [A1]},
    {"id": "camp", "at": "2025-03-05T04:00Z", "targets": [NYB], "campaign": "c"},
    # after New York's close, and so on the next session everywhere
    {"id": "results", "at": "2025-03-05T22:00Z", "targets": [NYA], "instrument": "earnings", "confounder": True},
    {"id": "holiday", "at": "2025-03-06T04:00Z", "targets": [NYD], "confounder": True},
    {"id": "later", "at": "2025-03-12T03:00Z", "targets": [NYA]},
)
OWN = pl.col("announcement_id").is_in(["own", "second"])


@pytest.fixture(scope="module")
def eventful(tmp_path_factory) -> mi.Market:
    """One close at the limit, one suspension, one shock to one index; calm indices around both announcements."""
    calm = (DAY0, DAY1, date(2025, 6, 4), date(2025, 6, 5))
    return market(
        tmp_path_factory.mktemp("eventful"),
        planted={(A2, DAY0): 0.1, ("^NY", DAY1): -0.09},
        untraded=((A1, DAY1),),
        calm=calm,
    )


@pytest.fixture(scope="module")
def result(eventful) -> mi.StudyResult:
    return STUDY.run(mi.align(LISTED.filter(OWN), eventful), eventful)


def in_event_window(found: pl.DataFrame) -> list[tuple[str, str, str | None, str]]:
    part = found.filter(pl.col("where") == "event window")
    named = pl.when(pl.col("relation").is_not_null()).then("what")
    return list(part.select("event_id", "kind", "relation", named).iter_rows())


def test_what_was_planted_in_the_event_windows_is_found_and_nothing_else(result):
    found = mi.audit(result, LISTED)
    assert in_event_window(found) == [
        ("own:600001.SS", "announcement", "campaign", "camp"),
        ("own:600001.SS", "announcement", "security", "rival"),
        ("own:600001.SS", "confounder", "any", "results"),
        ("own:600001.SS", "confounder", "security", "holiday"),  # NYD is the firm's other listing
        ("own:600001.SS", "no_return", None, None),
        ("own:600002.SS", "announcement", "campaign", "camp"),
        ("own:600002.SS", "announcement", "sector", "rival"),
        ("own:600002.SS", "confounder", "any", "holiday"),
        ("own:600002.SS", "confounder", "any", "results"),
        ("own:600002.SS", "price_limit", None, None),
        ("own:NYA", "announcement", "any", "rival"),
        ("own:NYA", "announcement", "sector", "camp"),
        ("own:NYA", "confounder", "any", "holiday"),
        ("own:NYA", "earnings", "security", "results"),
        ("own:NYA", "index_shock", None, None),
    ]


def test_findings_carry_their_days_and_words(result):
    found = mi.audit(result, LISTED).filter(pl.col("where") == "event window")
    told = {row["kind"]: row for row in found.filter(pl.col("relation").is_null()).iter_rows(named=True)}
    assert (told["price_limit"]["first"], told["price_limit"]["n_days"]) == (DAY0, 1)
    assert told["price_limit"]["what"] == "at the upper price limit on 0"
    assert (told["no_return"]["first"], told["no_return"]["what"]) == (DAY1, "no return on 1")
    assert told["index_shock"]["first"] == told["index_shock"]["last"] == DAY1
    # New York's benchmark over the 70 sessions of the estimation window
    index = result.market.panel.filter(pl.col("symbol") == NYA)
    day0 = index["date"].index_of(DAY0)
    usual = 100 * np.quantile(np.abs(index["market"].to_numpy()[day0 - 80 : day0 - 10]), 0.99)
    assert told["index_shock"]["what"] == f"benchmark -9.0% on 1, beyond {usual:.2f}% either way"
    assert set(found["kind"]) <= set(mi.audit.__globals__["FINDINGS"])


def test_days_of_the_estimation_window_are_counted_once(result):
    found = mi.audit(result, LISTED, scope="security").filter(
        pl.col("where") == "estimation window", pl.col("event_id").str.starts_with("second")
    )
    # "own" and "rival" lie one session apart: seven and seven days, eight in all; "holiday" on the 6th alone: seven
    counted = {(s, k): (n, w) for s, k, n, w in found.select("symbol", "kind", "n_days", "what").iter_rows()}
    assert counted == {
        (A1, "announcement"): (8, "own; rival"),
        (A1, "confounder"): (7, "holiday"),
        (A1, "no_return"): (2, "no return"),  # the suspension and the session after it
        (NYA, "announcement"): (12, "later; own"),  # the 5th and the 12th of March, five sessions apart
        (NYA, "earnings"): (7, "results"),
    }
    none_near = mi.audit(result, LISTED, scope="security", near=0).filter(
        pl.col("event_id") == "second:600001.SS", pl.col("kind") == "announcement"
    )
    assert none_near["n_days"].to_list() == [2]


def test_scope_and_campaign_narrow_what_counts(result):
    near = mi.audit(result, LISTED, scope="security")
    assert set(near["relation"].drop_nulls()) == {"security"}
    assert [row[3] for row in in_event_window(near) if row[3]] == ["rival", "holiday", "results"]
    without = mi.audit(result, LISTED, own_campaign=False)
    assert not [row for row in in_event_window(without) if row[3] == "camp"]
    assert "rival" in [row[3] for row in in_event_window(without)]
    silent = mi.audit(result, LISTED.head(0))
    assert set(silent["kind"]) == {"price_limit", "no_return", "index_shock"}


def test_an_uncertain_day_is_found_wherever_it_may_fall(eventful, result):
    vague = announcements(
        {"id": "vague", "at": "2025-03-03T16:00Z", "precision": "day", "zone": "Asia/Shanghai", "targets": [A2, A1]}
    )
    # made on the 4th in Shanghai, perhaps after the close: then the 5th is its session
    found = mi.audit(result, vague, scope="security")
    assert ("own:600002.SS", "announcement", "security", "vague") in in_event_window(found)


def test_events_serve_as_announcements_where_there_is_no_clock(golden_market, golden_study):
    events = golden("events_mixed").select("event_id", "symbol", "date")
    first = events.row(0, named=True)
    other = pl.DataFrame({"event_id": ["other"], "symbol": [first["symbol"]], "date": [first["date"]]})
    result = golden_study.run(events, golden_market)
    found = mi.audit(result, pl.concat([events, other]), window=(0, 0))
    got = found.filter(pl.col("where") == "event window", pl.col("event_id") == first["event_id"])
    assert "other" in got["what"].to_list()
    assert not found.filter(pl.col("where") == "event window", pl.col("what") == pl.col("event_id")).height
    with pytest.raises(mi.SpecificationError, match="no opening hours"):
        mi.audit(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"near": -1}, "number of sessions"),
        ({"near": 1.5}, "number of sessions"),
        ({"scope": "firm"}, "choose one of"),
        ({"sector": "colour"}, "no column of the market's securities"),
        ({"shock": 1.0}, "between 0 and 1"),
        ({"window": (1, 0)}, "is reversed"),
    ],
)
def test_wrong_options_are_refused(result, options, message):
    with pytest.raises(mi.SpecificationError, match=message):
        mi.audit(result, LISTED, **options)


@pytest.fixture(scope="module")
def mixed() -> tuple[mi.StudyResult, pl.DataFrame]:
    """60 events of 20 firms on 12 dates: 2% on day 0, and 10% more for the 20 that another announcement met."""
    rng = np.random.default_rng(11)
    days = pl.date_range(date(2023, 1, 2), date(2025, 6, 30), eager=True).to_list()
    index = rng.normal(0, 0.01, len(days))
    returns = {f"F{i:02d}": 0.9 * index + rng.normal(0, 0.005, len(days)) for i in range(20)}
    rows, others = [], []
    for i in range(60):
        symbol, place = f"F{i % 20:02d}", 300 + 40 * (i % 12)
        returns[symbol][place] += 0.12 if i % 3 == 0 else 0.02
        rows.append({"event_id": f"e{i}", "symbol": symbol, "date": days[place]})
        others += [{"event_id": f"o{i}", "symbol": symbol, "date": days[place]}] if i % 3 == 0 else []
    frame = pl.DataFrame({"date": days, **returns}).unpivot(index="date", variable_name="symbol", value_name="ret")
    market = mi.Market.from_returns(frame, pl.DataFrame({"date": days, "ret": index}))
    study = mi.EventStudy(estimation_window=(-150, -11), event_window=(-3, 3))
    return study.run(pl.DataFrame(rows), market), pl.DataFrame(others)


def test_the_effect_is_recovered_without_the_contaminated_events(mixed):
    result, others = mixed
    found = mi.audit(result, others, window=(0, 0)).filter(pl.col("kind") == "announcement")
    table = mi.with_and_without(result, found, (0, 0), tests=["bmp_kp", "cross_sectional_t"])
    caar = dict(table.select("sample", "caar").unique().iter_rows())
    assert caar["clean"] == pytest.approx(0.02, abs=0.0025)
    assert caar["contaminated only"] == pytest.approx(0.12, abs=0.005)
    assert caar["all"] == pytest.approx((40 * 0.02 + 20 * 0.12) / 60, abs=0.003)
    assert table["sample"].to_list() == ["all"] * 2 + ["clean"] * 2 + ["contaminated only"] * 2
    assert dict(table.select("sample", "n_events").iter_rows()) == {"all": 60, "clean": 40, "contaminated only": 20}


def test_a_sample_without_events_says_so(mixed):
    result, others = mixed
    found = mi.audit(result, others, window=(0, 0))
    table = mi.with_and_without(result, found.head(0), (0, 0), tests=["bmp"])
    empty = table.row(2, named=True)
    assert (empty["caar"], empty["n_events"], empty["valid"]) == (None, 0, False)
    assert "no event" in empty["note"]
    with pytest.raises(mi.DataError, match="lacks the column 'where'"):
        mi.with_and_without(result, found.drop("where"))
    with pytest.raises(mi.DataError, match="does not have"):
        mi.with_and_without(result, pl.DataFrame({"event_id": ["x"], "where": ["event window"]}))


def test_contaminated_days_are_those_of_the_securitys_own_exchange(eventful):
    days = mi.contaminated_days(LISTED.filter(pl.col("announcement_id") == "results"), eventful, near=1)
    assert days.select("symbol", "date").rows() == [(NYA, date(2025, 3, day)) for day in (5, 6, 7)]
    wider = mi.contaminated_days(LISTED.filter(pl.col("announcement_id") == "rival"), eventful, near=0, scope="sector")
    assert wider.rows() == [(A1, DAY1, 1, "rival"), (A2, DAY1, 1, "rival"), (NYD, DAY1, 1, "rival")]
    every = mi.contaminated_days(LISTED.filter(pl.col("announcement_id") == "rival"), eventful, near=0, scope="any")
    assert every["symbol"].n_unique() == 5
    with pytest.raises(mi.SpecificationError, match="days have no campaign"):
        mi.contaminated_days(LISTED, eventful, scope="campaign")


def test_excluded_days_leave_the_audit_of_the_estimation_window(eventful, result):
    days = mi.contaminated_days(LISTED, eventful, near=3)
    clean = STUDY.but(exclude=days).run(mi.align(LISTED.filter(OWN), eventful), eventful)
    left = mi.audit(clean, LISTED, scope="security").filter(pl.col("where") == "estimation window")
    assert "security" not in left["relation"].to_list()
    # the eight days around March that had returns: all but the suspension and the session after it
    before, after = (r.estimates.filter(pl.col("event_id") == "second:600001.SS")["n_obs"][0] for r in (result, clean))
    assert before - after == 8 + 1 - 2 - 1


@pytest.fixture(scope="module")
def dropped() -> pl.DataFrame:
    """Every ninth session of every security, event windows and all; rows twice, which changes nothing."""
    returns = golden("returns").select("symbol", "date").sort("symbol", "date").gather_every(9)
    return pl.concat([returns, returns.head(50)])


def test_dropping_days_is_one_dummy_for_each(golden_market, golden_study, dropped):
    events = golden("events_mixed")
    result = golden_study.but(exclude=dropped).run(events, golden_market)
    panel = golden_market.panel.join(
        dropped.unique().with_columns(pl.lit(value=True).alias("out")), on=["symbol", "date"], how="left"
    ).sort("symbol", "session")
    taus = np.arange(-200, 6)
    for event in result.events.head(6).iter_rows(named=True):
        own = panel.filter(pl.col("symbol") == event["symbol"])
        day0 = own["date"].index_of(event["date"])
        part = own[[day0 + int(tau) for tau in taus]].with_columns(pl.Series("tau", taus)).drop_nulls("ret")
        window = part.filter(pl.col("tau") <= -11)
        out = window["out"].fill_null(value=False).to_numpy()
        dummies = np.eye(window.height)[:, out]
        x = np.column_stack([np.ones(window.height), window["market"].to_numpy(), dummies])
        fitted = sm.OLS(window["ret"].to_numpy(), x).fit()
        got = result.estimates.filter(pl.col("event_id") == event["event_id"]).row(0, named=True)
        assert got["n_obs"] == window.height - out.sum() < window.height
        assert got["df"] == fitted.df_resid
        assert (got["alpha"], got["beta"]) == pytest.approx(tuple(fitted.params[:2]), rel=1e-9)
        assert got["sigma"] == pytest.approx(np.sqrt(fitted.mse_resid), rel=1e-9)
        later = part.filter(pl.col("tau") >= -5)
        x_event = np.column_stack([np.ones(later.height), later["market"], np.zeros((later.height, int(out.sum())))])
        said = fitted.get_prediction(x_event)
        ar = result.abnormal_returns.filter(pl.col("event_id") == event["event_id"]).drop_nulls("ar")
        assert ar["tau"].to_list() == later["tau"].to_list()  # days of the event window are not dropped
        np.testing.assert_allclose(ar["ar"], later["ret"].to_numpy() - said.predicted_mean, rtol=1e-9)
        np.testing.assert_allclose(ar["se"], said.se_obs, rtol=1e-9)
        assert result.inspect(event["event_id"]).nobs == got["n_obs"]


def test_every_test_goes_by_the_days_that_are_left(golden_market, golden_study, dropped):
    events = golden("events_mixed")
    result = golden_study.but(exclude=dropped).run(events, golden_market)
    # the same market with those returns taken out by hand, and put back in the event windows
    kept = result.abnormal_returns.select("symbol", "date").unique()
    gone = dropped.unique().join(kept, on=["symbol", "date"], how="anti")
    returns = golden("returns").join(gone, on=["symbol", "date"], how="anti")
    market = mi.Market.from_returns(returns, golden("market"), golden("factors"), allow_missing_sessions=True)
    by_hand = golden_study.run(events, market)
    same = by_hand.estimates.join(result.estimates, on=["event_id", "n_obs"], how="semi")["event_id"]
    assert same.len() > 3  # others have days of another event's window among their estimation days
    held = pl.col("event_id").is_in(same.implode())
    # the sessions before the events are put back too, and the filtered tests leave excluded ones out
    names = [test.name for test in mi.TESTS.values() if not test.filters]
    assert_frame_equal(
        result.where(held).test(0, 1, tests=names), by_hand.where(held).test(0, 1, tests=names), rel_tol=1e-9
    )


def test_min_observations_counts_what_is_left(golden_market, golden_study):
    events = golden("events_mixed")
    first = events.filter(pl.col("event_id") == golden_study.run(events, golden_market).events["event_id"][0])
    sessions = golden_market.panel.filter(pl.col("symbol") == first["symbol"][0]).select("symbol", "date")
    days = sessions.filter(pl.col("date") < first["date"][0])[-150:]
    why = golden_study.but(exclude=days).run(first, golden_market).attrition.row(0, named=True)
    assert why["reason"] == "too_few_observations"
    # 150 sessions back from day 0, of which the last ten lie after the estimation window
    assert why["detail"].endswith("140 sessions are excluded")


def test_the_record_names_the_excluded_days_and_equal_days_are_equal(golden_market, golden_study, dropped):
    study, other = golden_study.but(exclude=dropped), golden_study.but(exclude=dropped.unique().reverse())
    assert study == other
    assert hash(study.exclude) == hash(other.exclude)
    assert study != golden_study.but(exclude=dropped.head(3)) != golden_study
    assert f"ExcludedDays({dropped.unique().height} symbol-days, sha256=" in repr(study)
    assert study.but(event_window=(-1, 1)).exclude is study.exclude
    empty = golden_study.but(exclude=dropped.head(0))
    plain = golden_study.run(golden("events_mixed"), golden_market)
    assert_frame_equal(empty.run(golden("events_mixed"), golden_market).estimates, plain.estimates)


def test_invalid_excluded_days_are_reported(golden_market, golden_study):
    with pytest.raises(mi.DataError, match="exclude lacks the column 'date'"):
        golden_study.but(exclude=pl.DataFrame({"symbol": ["A"]}))
    with pytest.raises(mi.DataError, match="exclude must be a frame of polars, pandas or pyarrow"):
        golden_study.but(exclude=["A"])
    strangers = pl.DataFrame({"symbol": ["nobody", "nobody"], "date": [date(2020, 1, 1), date(2020, 1, 2)]})
    with pytest.warns(mi.MarketImpactWarning, match="none of which is a session"):
        golden_study.but(exclude=strangers).run(golden("events_mixed"), golden_market)


def test_the_embedded_chronology_is_audited_and_the_events_keep_their_key(sample_market):
    sample = sample_market
    year = mi.announcements().filter(pl.col("announced_at").dt.year() == 2024, ~pl.col("is_confounder"))
    study = mi.EventStudy().run(mi.align(year, sample), sample)
    found = mi.audit(study)
    assert not found.select("event_id", "kind", "relation", "where", "what").is_duplicated().any()
    assert found.join(study.events, on="event_id", how="anti").is_empty()
    own = found.join(study.events.select("event_id", "announcement_id"), on="event_id", validate="m:1")
    assert not own.filter(pl.col("what") == pl.col("announcement_id")).height


def test_results_of_another_firm_confound_whether_or_not_they_are_marked(eventful):
    """Earnings of the firm itself are earnings, those of another of its sector news that confounds."""
    known = announcements(
        {"id": "own", "at": "2025-03-05T03:00Z", "targets": [A1, A2, NYA], "campaign": "c"},
        {"id": "results", "at": "2025-03-05T22:00Z", "targets": [NYA], "instrument": "earnings"},
        {"id": "rule", "at": "2025-03-06T22:00Z", "targets": [NYA]},
        {"id": "news", "at": "2025-03-06T22:30Z", "targets": [NYA], "confounder": True},
    )
    with_rival = mi.align(LISTED.filter(OWN), eventful, symbols=[NYA, NYB])
    found = mi.audit(STUDY.run(with_rival, eventful), known, window=(-2, 5))
    told = found.filter((pl.col("where") == "event window") & pl.col("relation").is_not_null())
    kinds = {(row[0], row[3]): row[1:3] for row in told.select("event_id", "kind", "relation", "what").iter_rows()}
    assert kinds["own:NYA", "results"] == ("earnings", "security")
    assert kinds["own:NYB", "results"] == ("confounder", "sector")
    assert kinds["own:NYA", "rule"] == ("announcement", "security")
    assert kinds["own:NYB", "rule"] == ("announcement", "sector")
    assert kinds["own:NYB", "news"] == ("confounder", "sector")
