"""Returns beyond a factor of three: the events they touch, acceptance, and every door."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.market import checks
from tests.command import marketimpact
from tests.unit.market.test_checks import AMERICAN, FIRMS, PRICES, at, changed, days_of

DAYS = days_of(AMERICAN)
OTHER = "XNAS.02"
STEP = DAYS[340]
STUDY = mi.EventStudy(estimation_window=(-100, -11), event_window=(-1, 1))
WARNS = pytest.mark.filterwarnings("ignore::marketimpact.MarketImpactWarning")


def stepped(ratio: float = 1 / 8, symbol: str = AMERICAN, day: date = STEP) -> pl.DataFrame:
    earlier = (pl.col("symbol") == symbol) & (pl.col("date") < day)
    return changed(earlier, close=pl.col("close") * ratio)


def events(*positions: int, symbol: str = AMERICAN, days: list[date] = DAYS) -> pl.DataFrame:
    """Events of a security at some of its days, and of another firm at the first."""
    rows = [(f"{symbol} {n:03d}", symbol, days[n]) for n in positions]
    return pl.DataFrame(
        [*rows, ("other", OTHER, days[positions[0]])], schema=["event_id", "symbol", "date"], orient="row"
    )


def dropped(result: mi.StudyResult) -> list[str]:
    return result.attrition.filter(pl.col("reason") == "implausible_return")["event_id"].to_list()


@WARNS
@pytest.mark.parametrize("ratio", [1 / 8, 1 / 30, 7, 50, 13.4, 100, 1 / 1000])
def test_events_that_a_step_touches_go_to_attrition_and_others_stay(ratio):
    """The step at 340 lies in windows of 100 sessions before to one session after day 0, and in the gap between."""
    market = mi.Market.load(FIRMS, mi.FilePrices(stepped(ratio)))
    result = STUDY.run(events(338, 339, 340, 345, 440, 441), market)
    assert dropped(result) == [f"{AMERICAN} {n}" for n in (339, 340, 345, 440)]
    closes = dict(PRICES.filter(pl.col("symbol") == AMERICAN).select("date", "close").iter_rows())
    size = closes[STEP] / closes[DAYS[339]] / ratio - 1
    detail = result.attrition.filter(pl.col("event_id") == f"{AMERICAN} 345")["detail"].item()
    for part in (AMERICAN, str(STEP), f"{size:+,.1%}", "repair=('splits',)", "accept="):
        assert part in detail
    assert market.implausible.rows() == [(AMERICAN, STEP, pytest.approx(size))]
    assert any(AMERICAN in note for note in market.notes if note.startswith(("split_like_jump", "implausible_return")))
    assert "warnings about prices: 1" in repr(market)


@WARNS
def test_a_repaired_split_touches_nothing():
    market = mi.Market.load(FIRMS, mi.FilePrices(stepped()), repair=("splits",))
    assert market.implausible.is_empty()
    assert dropped(STUDY.run(events(345), market)) == []


@pytest.mark.parametrize("day", [STEP, STEP.isoformat()])
@pytest.mark.parametrize("repair", [(), ("splits",)])
def test_an_accepted_step_is_a_note_and_is_not_rescaled(day, repair):
    market = mi.Market.load(FIRMS, mi.FilePrices(stepped()), accept=[(AMERICAN, day)], repair=repair)
    assert market.implausible.is_empty()
    assert dropped(STUDY.run(events(345), market)) == []
    assert market.findings.filter(pl.col("date") == STEP)["severity"].to_list() == ["note"]
    assert f"accepted as real: {AMERICAN} on {STEP}" in market.notes
    assert market.price_repairs.is_empty()


@WARNS
@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("XNAS.99", STEP), "is no security or benchmark of this market"),
        ((AMERICAN, DAYS[341]), rf"no step. Its steps are \('{AMERICAN}', '{STEP}'\)"),
        ((OTHER, STEP), rf"no step. Its steps are \('{AMERICAN}', '{STEP}'\)"),
        ((AMERICAN, "10 June"), "Give a list of pairs"),
        ((AMERICAN, datetime(2022, 5, 10)), "Give a list of pairs"),
        (AMERICAN, "Give a list of pairs"),
    ],
)
def test_an_accepted_pair_without_a_step_is_an_error(pair, message):
    with pytest.raises(mi.SpecificationError, match=message):
        mi.Market.load(FIRMS, mi.FilePrices(stepped()), accept=[pair])


def test_a_market_without_steps_accepts_none():
    with pytest.raises(mi.SpecificationError, match="It has no steps at all"):
        mi.Market.load(FIRMS, mi.FilePrices(PRICES), accept=[(AMERICAN, STEP)])


@WARNS
def test_a_step_of_the_benchmark_touches_models_that_read_it():
    market = mi.Market.load(FIRMS, mi.FilePrices(stepped(symbol="^GSPC")))
    assert market.implausible["symbol"].unique().to_list() == ["^GSPC"]
    touched = events(345, 445)
    assert dropped(STUDY.run(touched, market)) == [f"{AMERICAN} 345", "other"]
    assert dropped(STUDY.but(model=mi.MeanAdjusted()).run(touched, market)) == []


@WARNS
def test_leads_and_lags_of_the_benchmark_reach_further():
    market = mi.Market.load(FIRMS, mi.FilePrices(stepped(symbol="^GSPC")))
    ends = events(338, 441, 445)
    assert dropped(STUDY.run(ends, market)) == []
    both = {f"{AMERICAN} 338", f"{AMERICAN} 441", "other"}
    assert set(dropped(STUDY.but(model=mi.Dimson(leads=1, lags=1, leads_into_event=True)).run(ends, market))) == both


@WARNS
def test_an_excluded_step_of_the_estimation_window_is_not_read():
    market = mi.Market.load(FIRMS, mi.FilePrices(stepped()))
    days = pl.DataFrame({"symbol": [AMERICAN], "date": [STEP]})
    assert dropped(STUDY.but(exclude=days).run(events(341, 400), market)) == [f"{AMERICAN} 341"]


@WARNS
def test_a_fall_over_a_missing_day_touches_trade_to_trade_returns_only():
    market = mi.Market.load(FIRMS, mi.FilePrices(stepped().filter(~at(AMERICAN, DAYS[339]))))
    touched = events(400)
    assert dropped(STUDY.run(touched, market)) == []
    assert dropped(STUDY.but(missing="trade_to_trade").run(touched, market)) == [f"{AMERICAN} 400"]


@WARNS
def test_conversions_keep_implausible_returns_and_volumes_have_none(tmp_path):
    market = mi.Market.load(FIRMS, mi.FilePrices(stepped()))
    rates = pl.DataFrame({"date": DAYS}).join(
        pl.DataFrame({"currency": ["CNY", "HKD", "JPY"], "rate": [0.15, 0.13, 0.01]}), how="cross"
    )
    factor = market.with_factor("step", AMERICAN)
    assert factor.implausible.rows() == [
        *market.implausible.rows(),
        *[("step", *row[1:]) for row in factor.implausible.rows()[1:]],
    ]
    for other in (market.in_currency("USD", rates), market.in_logs(), market.to_dataset(tmp_path / "kept")):
        assert other.implausible.equals(market.implausible)
        assert dropped(STUDY.run(events(345), other)) == [f"{AMERICAN} 345"]
    assert market.volumes().implausible.is_empty()
    model = mi.FactorModel(("market", "step"))
    assert "other" in dropped(STUDY.but(model=model).run(events(345), factor))
    assert dropped(STUDY.run(events(345), factor)) == [f"{AMERICAN} 345"]


@WARNS
def test_check_and_report_show_the_finding(tmp_path):
    stepped(34.6).write_parquet(tmp_path / "prices.parquet")
    FIRMS.write_csv(tmp_path / "firms.csv")
    done = marketimpact("check", "prices.parquet", "--securities", "firms.csv", cwd=tmp_path)
    assert "implausible_return" in done.stdout
    market = mi.Market.load(FIRMS, mi.FilePrices(tmp_path / "prices.parquet"))
    page = mi.write_report(STUDY.run(events(345), market), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "implausible return" in page.split('id="doubts"')[1].split("</section>")[0]


# --- markets made from returns --------------------------------------------------------------------

SESSIONS = [day for n in range(700) if (day := date(2022, 1, 3) + timedelta(days=n)).weekday() < 5]


def made(planted: dict[tuple[str, int], float | None] | None = None, **options: object) -> mi.Market:
    """Three firms with the returns planted; the symbol ``benchmark`` is the benchmark's."""
    rng = np.random.default_rng(3)
    market = rng.normal(0, 0.01, len(SESSIONS))
    series = {"benchmark": market} | {name: market + rng.normal(0, 0.01, len(SESSIONS)) for name in ("A", "B", OTHER)}
    frames = {name: pl.DataFrame({"date": SESSIONS, "ret": values}) for name, values in series.items()}
    for (name, row), value in (planted or {}).items():
        own = pl.when(pl.col("date") == SESSIONS[row]).then(value).otherwise("ret")
        frames[name] = frames[name].with_columns(own.alias("ret"))
    benchmark = frames.pop("benchmark")
    returns = pl.concat([frame.with_columns(pl.lit(name).alias("symbol")) for name, frame in frames.items()])
    return mi.Market.from_returns(returns, benchmark, **options)


@pytest.mark.parametrize("ret", [2.01, 29.0, -0.67, -0.99])
def test_returns_handed_in_obey_the_same_rule(ret):
    market = made({("A", 200): ret})
    assert market.implausible.rows() == [("A", SESSIONS[200], ret)]
    assert market.findings.select("finding", "severity", "value").rows() == [("implausible_return", "warning", ret)]
    assert any(note.startswith("implausible_return") for note in market.notes)
    assert "warnings about prices: 1" in repr(market)
    result = STUDY.run(events(198, 199, 300, 301, symbol="A", days=SESSIONS), market)
    assert dropped(result) == ["A 199", "A 300"]
    assert "correct the returns" in result.attrition["detail"][0]


@pytest.mark.parametrize("ret", [1.99, -0.66, 0.4, -0.4])
def test_returns_within_a_factor_of_three_are_used_and_a_halved_or_doubled_price_is_told(ret):
    market = made({("A", 200): ret})
    assert market.implausible.is_empty()
    assert dropped(STUDY.run(events(250, symbol="A", days=SESSIONS), market)) == []
    told = [("A", SESSIONS[200], "implausible_return", "warning")] if abs(np.log1p(ret)) > np.log(2) else []
    assert market.findings.select("symbol", "date", "finding", "severity").rows() == told
    assert len(market.notes) == len(told)


def test_a_benchmark_handed_in_touches_every_event():
    with pytest.warns(mi.MarketImpactWarning, match="below -67%"):
        market = made({("benchmark", 200): -0.9})
    assert market.implausible.rows() == [("benchmark", SESSIONS[200], -0.9)]
    assert dropped(STUDY.run(events(250, symbol="A", days=SESSIONS), market)) == ["A 250", "other"]
    with pytest.warns(mi.MarketImpactWarning, match="below -67%"):
        accepted = made({("benchmark", 200): -0.9}, accept=[("benchmark", SESSIONS[200])])
    assert dropped(STUDY.run(events(250, symbol="A", days=SESSIONS), accepted)) == []


def test_the_fall_with_which_returns_end_is_a_delisting():
    last = {("A", 300): -0.95} | {("A", row): None for row in range(301, len(SESSIONS))}
    assert made(last).implausible.is_empty()
    assert made(last | {("A", 310): 0.0}).implausible.height == 1
    assert made({("A", len(SESSIONS) - 1): -0.95}).implausible.height == 1


def test_accepted_returns_are_a_note_and_others_an_error():
    market = made({("A", 200): 9.0, ("B", 210): 9.0}, accept=[("A", str(SESSIONS[200]))])
    assert market.implausible["symbol"].to_list() == ["B"]
    assert market.findings.sort("symbol")["severity"].to_list() == ["note", "warning"]
    assert f"accepted as real: A on {SESSIONS[200]}" in market.notes
    with pytest.raises(mi.SpecificationError, match="no step"):
        made({("A", 200): 9.0}, accept=[("A", SESSIONS[201])])
    with pytest.raises(mi.SpecificationError, match="is no security"):
        made({("A", 200): 9.0}, accept=[("Z", SESSIONS[200])])


def test_notes_of_findings_are_written_in_one_place():
    market = made({("A", 200): 9.0})
    assert market.notes == tuple(checks.market_notes(market.findings))
