"""Errors stop a market, repairs are requested and recorded, and the findings reach report and command line."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

import marketimpact as mi
from marketimpact import report
from marketimpact.sources.protocol import price_table
from tests.command import marketimpact
from tests.conftest import ROOT
from tests.unit.market.test_checks import AMERICAN, CHINESE, FIRMS, PRICES, at, changed, days_of

DAYS = days_of(AMERICAN)
SPLIT = DAYS[300]
HELD = PRICES.filter(at(AMERICAN, DAYS[99]))["close"].item()
COPIED = changed(at(AMERICAN, DAYS[100], DAYS[101]), close=pl.lit(HELD), volume=pl.lit(0.0))
UNADJUSTED = changed((pl.col("symbol") == AMERICAN) & (pl.col("date") < SPLIT), close=pl.col("close") * 4)
THANKSGIVING = date(2022, 11, 24)
HOLIDAY = pl.concat(
    [PRICES, PRICES.filter(at(AMERICAN, date(2022, 11, 23))).with_columns(pl.lit(THANKSGIVING).alias("date"))]
)
NOTHING = {"symbol": pl.String, "date": pl.Date, "what": pl.String, "before": pl.Float64, "after": pl.Float64}


def load(frame: pl.DataFrame, firms: pl.DataFrame = FIRMS, **options: object) -> mi.Market:
    return mi.Market.load(firms, mi.FilePrices(frame), **options)


def returns(market: mi.Market, symbol: str = AMERICAN) -> pl.DataFrame:
    return market.panel.filter(pl.col("symbol") == symbol).select("date", "ret")


def test_a_clean_market_has_no_repairs_and_nothing_to_say():
    market = load(PRICES)
    assert market.price_repairs.is_empty()
    assert dict(market.price_repairs.schema) == NOTHING
    assert market.findings.filter(pl.col("severity") != "note").is_empty()
    assert not any("jump" in note for note in market.notes)
    assert "warnings about prices" not in repr(market)


def test_copied_closes_are_undone_by_default_and_kept_on_request():
    market = load(COPIED)
    assert market.price_repairs.rows() == [
        (AMERICAN, DAYS[100], "copied_closes", HELD, None),
        (AMERICAN, DAYS[101], "copied_closes", HELD, None),
    ]
    assert market.fills.rows() == [(AMERICAN, day, HELD) for day in DAYS[100:102]]
    kept = load(COPIED, repair=("closed_days",))
    assert (kept.price_repairs.is_empty(), kept.fills.is_empty()) == (True, True)
    zero = returns(kept).filter(pl.col("date").is_between(DAYS[100], DAYS[101]))["ret"].to_list()
    assert zero == [0.0, 0.0]
    told = kept.findings.filter(pl.col("finding") == "copied_close").select("severity", "value").rows()
    assert told == [("warning", 2.0)]
    assert market.findings.filter(pl.col("finding") == "copied_close")["severity"].to_list() == ["note"]
    assert kept.fingerprint != market.fingerprint


def test_prices_on_closed_days_are_left_out_or_refused():
    market = load(HOLIDAY)
    held = HOLIDAY.filter(at(AMERICAN, THANKSGIVING))["close"].item()
    assert market.price_repairs.rows() == [(AMERICAN, THANKSGIVING, "closed_days", held, None)]
    assert returns(market).equals(returns(load(PRICES)))
    assert any(note == "closed_day_price: prices on days their exchange was shut: 1 (XNAS.01)" for note in market.notes)
    assert "warnings about prices: 1" in repr(market)
    with pytest.raises(mi.DataError, match=r"1 prices on days .* the first of XNAS\.01") as caught:
        load(HOLIDAY, repair=())
    assert caught.value.rows.select("symbol", "date").rows() == [(AMERICAN, THANKSGIVING)]


def test_a_split_is_rescaled_only_on_request():
    with pytest.warns(mi.MarketImpactWarning, match=r"XNAS\.01 .*: as a 4-for-1 split would"):
        found = load(UNADJUSTED)
    assert returns(found).filter(pl.col("date") == SPLIT)["ret"].item() < -0.7
    assert found.price_repairs.is_empty()
    assert any(AMERICAN in note and note.startswith("split_like_jump: ") for note in found.notes)
    mended = load(UNADJUSTED, repair=("copied_closes", "closed_days", "splits"))
    true = PRICES.filter(at(AMERICAN, DAYS[299]))["close"].item()
    assert mended.price_repairs.rows() == [
        (AMERICAN, DAYS[299], "splits", pytest.approx(4 * true), pytest.approx(true))
    ]
    difference = (returns(mended)["ret"] - returns(load(PRICES))["ret"]).abs().max()
    assert difference < 1e-12
    assert mended.findings.filter(pl.col("finding") == "split_like_jump")["severity"].to_list() == ["note"]
    assert any(f"closes of {AMERICAN} to {DAYS[299]} were divided by 4" in note for note in mended.notes)


def test_two_splits_of_one_symbol_multiply():
    earlier = (pl.col("symbol") == AMERICAN) & (pl.col("date") < DAYS[500])
    twice = changed(earlier, UNADJUSTED, close=pl.col("close") / 10)
    mended = load(twice, repair=("splits",))
    assert (returns(mended)["ret"] - returns(load(PRICES))["ret"]).abs().max() < 1e-12
    assert mended.price_repairs.select("date", "what").rows() == [(DAYS[299], "splits"), (DAYS[499], "splits")]


def test_a_stated_split_that_was_not_adjusted_for_stops_the_load():
    stated = UNADJUSTED.with_columns(pl.when(at(AMERICAN, SPLIT)).then(4.0).alias("split"), adj_close="close")
    with pytest.raises(mi.DataError, match="certainly wrong") as caught:
        load(stated)
    assert caught.value.counts == {"unadjusted_split": 1}
    assert caught.value.rows.select("symbol", "date", "value").rows() == [(AMERICAN, SPLIT, 4.0)]
    assert load(stated, repair=("splits",)).price_repairs.height == 1


def test_a_currency_that_is_another_stops_the_load():
    euros = changed(pl.col("symbol") == CHINESE, currency=pl.lit("EUR"))
    with pytest.raises(mi.DataError, match=r"XSHG.02 .*prices in EUR; the securities say CNY") as caught:
        load(euros)
    assert caught.value.counts == {"currency_mismatch": 1}
    # only what is requested can stop it
    others = load(euros, FIRMS.filter(pl.col("symbol") != CHINESE))
    assert others.findings.filter(pl.col("severity") == "error").is_empty()


class Listed:
    """A source that states a currency per symbol, and no more."""

    def __init__(self, currency: str) -> None:
        self.currency = currency

    def read(self, symbols, first=None, last=None):
        frame = PRICES.filter(pl.col("symbol").is_in(list(symbols))).drop("currency")
        stated = frame.select(pl.col("symbol").unique()).with_columns(pl.lit(self.currency).alias("currency"))
        return price_table(frame, requested=symbols, source="Listed()", listings=stated)


def test_the_currency_of_a_source_s_listings_counts():
    american = FIRMS.filter(pl.col("mic") == "XNAS")
    assert mi.Market.load(american, Listed("USD")).findings.filter(pl.col("severity") != "note").is_empty()
    with pytest.raises(mi.DataError, match=r"currency_mismatch: .*: 4 \(XNAS\.00"):
        mi.Market.load(american, Listed("EUR"))


def test_identical_rows_are_dropped_only_on_request():
    again = pl.concat([PRICES, PRICES.filter(at(AMERICAN, DAYS[5], DAYS[6]))])
    with pytest.raises(mi.DataError, match="must not repeat"):
        load(again)
    market = load(again, repair=("duplicates",))
    closes = PRICES.filter(at(AMERICAN, DAYS[5], DAYS[6]))["close"].to_list()
    assert market.price_repairs.rows() == [
        (AMERICAN, day, "duplicates", close, close) for day, close in zip(DAYS[5:7], closes, strict=True)
    ]
    assert market.panel.equals(load(PRICES).panel)
    conflict = pl.concat([again, PRICES.filter(at(AMERICAN, DAYS[5])).with_columns(pl.col("close") + 1)])
    with pytest.raises(mi.DataError, match="must not repeat"):
        load(conflict, repair=("duplicates",))


@pytest.mark.parametrize("repair", ["splits", ("everything",), ("splits", "copies")])
def test_a_repair_that_does_not_exist_is_refused(repair):
    with pytest.raises(mi.SpecificationError, match="copied_closes, closed_days, splits, duplicates"):
        load(PRICES, repair=repair)


# --- report and command line ----------------------------------------------------------------------


def study(market: mi.Market) -> mi.StudyResult:
    days = [DAYS[400], DAYS[400], DAYS[500]]
    events = pl.DataFrame({"event_id": ["a", "b", "c"], "symbol": [AMERICAN, CHINESE, AMERICAN], "date": days})
    return mi.EventStudy(estimation_window=(-250, -11), event_window=(-1, 1)).run(events, market)


def test_the_report_names_warnings_and_its_tables_have_all(tmp_path):
    dirty = changed(at(CHINESE, days_of(CHINESE)[250]), UNADJUSTED, close=pl.col("close") * 0.5)
    with pytest.warns(mi.MarketImpactWarning, match="split"):
        result = study(load(dirty))
    page = mi.write_report(result, tmp_path / "dirty.html").read_text(encoding="utf-8")
    part = page.split('id="doubts"')[1].split("</section>")[0]
    assert part.index("split like jump") < part.index("spike")
    assert "a 4-for-1 split" in part
    assert "not_checked" not in part
    assert f"every price is right: those of {AMERICAN}, {CHINESE} are doubtful" in page.split("</section>")[0]
    clean = mi.write_report(study(load(PRICES)), tmp_path / "clean.html").read_text(encoding="utf-8")
    assert 'id="doubts"' not in clean
    tables = report.tables(result)
    assert tables["findings"].equals(result.market.findings)
    assert tables["price_repairs"].equals(result.market.price_repairs)


def test_check_prints_what_it_finds_and_says_so_in_its_exit_code(tmp_path):
    FIRMS.write_csv(tmp_path / "firms.csv")
    PRICES.write_parquet(tmp_path / "clean.parquet")
    done = marketimpact("check", "clean.parquet", "--securities", "firms.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 errors, 0 warnings" in done.stdout
    changed(at(AMERICAN, DAYS[5]), UNADJUSTED, close=pl.lit(-1.0)).write_csv(tmp_path / "dirty.csv")
    done = marketimpact("check", "dirty.csv", "--securities", "firms.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.index("non_positive_price") < done.stdout.index("split_like_jump")
    assert "1 error, 1 warning" in done.stdout
    assert "1 error, 1 warning" in marketimpact("check", "dirty.csv", "--notes", cwd=tmp_path).stdout
    done = marketimpact("check", "dirty.csv", cwd=tmp_path)
    assert "not checked: Sessions and closed days (only weekends): no exchange is known for XHKG.00" in done.stdout
    done = marketimpact("check", "dirty.csv", "--csv", cwd=tmp_path)  # none of these are embedded securities
    assert done.returncode == 1
    rows = pl.read_csv(done.stdout.encode(), infer_schema_length=None)
    assert rows.columns == ["symbol", "date", "finding", "severity", "value", "detail"]
    assert {"non_positive_price", "split_like_jump", "not_checked"} <= set(rows["finding"])


def test_a_file_that_is_none_is_an_error(tmp_path):
    done = marketimpact("check", "nothing.csv", cwd=tmp_path)
    assert (done.returncode, "There is no file" in done.stderr) == (1, True)
    assert str(ROOT) not in done.stdout
