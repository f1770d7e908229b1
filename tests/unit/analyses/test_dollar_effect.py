"""Abnormal returns as money: by hand, and on markets with known truth."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

import marketimpact as mi
from marketimpact.inference.correlation.pairs import window_correlation

FIRMS = ["NVDA", "AMD", "0981.HK"]
EVENT = date(2024, 6, 12)


@pytest.fixture(scope="module")
def result():
    """Three firms on two announcements; AMD did not trade on the day before the second."""
    sample = mi.SamplePrices().read([*FIRMS, "^GSPC", "^HSI"]).frame
    gap = date(2024, 9, 10)
    frame = sample.select(
        "symbol", "date", (pl.col("close") * 2).alias("close"), pl.col("close").alias("adj_close"), "volume"
    ).filter(~((pl.col("symbol") == "AMD") & (pl.col("date") == gap)))
    market = mi.Market.load(mi.securities().filter(pl.col("symbol").is_in(FIRMS)), mi.FilePrices(frame))
    rows = [(f"{d}:{s}", s, d, str(d)) for d in (EVENT, gap + timedelta(days=1)) for s in FIRMS]
    events = pl.DataFrame(rows, schema=["event_id", "symbol", "date", "announcement_id"], orient="row")
    return mi.EventStudy(event_window=(-2, 2)).run(events, market)


SHARES = pl.DataFrame({"symbol": ["NVDA", "AMD"], "shares": [1000.0, 500.0]})
RATES = pl.DataFrame({"date": [date(2024, 6, 10), date(2024, 9, 9)], "currency": "HKD", "rate": [0.125, 0.13]})


def test_a_firm_by_hand(result):
    table = mi.dollar_effect(result, 0, 1, shares=SHARES, rates=RATES)
    car = {r["event_id"]: r for r in result.car(0, 1).iter_rows(named=True)}
    row = table.row(by_predicate=pl.col("event_id") == f"{EVENT}:NVDA", named=True)
    before = result.market.panel.filter((pl.col("symbol") == "NVDA") & (pl.col("date") == date(2024, 6, 11)))
    price = 2 * before["close"].item()
    mine = car[f"{EVENT}:NVDA"]
    assert row["price"] == pytest.approx(price)
    assert row["price_date"] == date(2024, 6, 11)
    assert row["market_value"] == pytest.approx(1000 * price)
    assert row["effect"] == pytest.approx(1000 * price * mine["car"])
    assert row["se"] == pytest.approx(1000 * price * mine["se"])
    assert row["high"] - row["effect"] == pytest.approx(1.9699815 * row["se"], rel=1e-4)  # t(238), 97.5%
    # t(238): 80 of 100 samples of the noncentral t lie beyond its 97.5% quantile
    assert stats.nct.sf(stats.t.ppf(0.975, 238), 238, row["mde"] / row["se"]) == pytest.approx(0.8, abs=1e-6)
    assert row["note"] is None
    late = table.row(by_predicate=pl.col("event_id") == "2024-09-11:AMD", named=True)
    assert late["price_date"] == date(2024, 9, 9)


def test_what_is_missing_is_reported(result):
    table = mi.dollar_effect(result, 0, 1, shares=SHARES, rates=RATES)
    smic = table.filter(pl.col("symbol") == "0981.HK")
    assert smic["note"].to_list() == ["no shares", "no shares"]
    assert smic["effect"].null_count() == smic["mde"].null_count() == 2
    without = mi.dollar_effect(
        result, 0, 1, shares=SHARES.vstack(pl.DataFrame({"symbol": ["0981.HK"], "shares": [7.0]}))
    )
    assert without.filter(pl.col("symbol") == "0981.HK")["note"].to_list() == ["no rate from HKD"] * 2
    groups = mi.dollar_effect(result, 0, 1, shares=SHARES, rates=RATES, by="announcement_id")
    assert groups["n_valued"].to_list() == [2, 2]
    assert groups["note"].to_list() == ["1 of 3 events could not be valued"] * 2


def test_other_currencies_and_dated_shares(result):
    shares = pl.DataFrame(
        {"symbol": ["0981.HK"] * 2, "date": [date(2024, 1, 1), date(2024, 8, 1)], "shares": [10.0, 20.0]}
    )
    table = mi.dollar_effect(result, 0, 0, shares=shares, rates=RATES).filter(pl.col("symbol") == "0981.HK")
    assert table["shares"].to_list() == [10.0, 20.0]
    assert table["rate"].to_list() == [0.125, 0.13]
    value = table["price"] * table["shares"] * table["rate"]
    assert table["market_value"].to_list() == pytest.approx(value.to_list())


def test_a_group_is_the_sum_and_its_variance_holds_the_correlation(result):
    each = mi.dollar_effect(result, 0, 1, shares=SHARES, rates=RATES)
    groups = mi.dollar_effect(result, 0, 1, shares=SHARES, rates=RATES, by="announcement_id")
    first = each.filter(pl.col("event_id").str.starts_with(str(EVENT)) & pl.col("effect").is_not_null())
    assert groups["effect"][0] == pytest.approx(first["effect"].sum())
    part, _ = window_correlation(result.sample(0, 1))
    ids = result.events["event_id"].to_list()
    i, j = ids.index(f"{EVENT}:NVDA"), ids.index(f"{EVENT}:AMD")
    by_id = {r["event_id"]: r["se"] for r in first.iter_rows(named=True)}
    a, b = by_id[f"{EVENT}:NVDA"], by_id[f"{EVENT}:AMD"]
    assert groups["se"][0] == pytest.approx(np.sqrt(a**2 + b**2 + 2 * part[i, j] * a * b))
    assert groups["mde"][0] == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * groups["se"][0])
    assert groups["currency"].to_list() == ["USD", "USD"]


def test_the_interval_covers_the_true_loss():
    """100 markets, four firms with a shared shock, 3% lost on day 0: the sum's interval holds it in 95 of 100."""
    firms = pl.DataFrame({"symbol": list("ABCD"), "mic": "XNAS", "currency": "USD", "benchmark": "M"})
    trading = mi.Market.load(mi.securities().filter(pl.col("symbol") == "NVDA"), mi.SamplePrices())
    days = trading.panel["date"].to_list()[:300]
    events = pl.DataFrame({"event_id": list("ABCD"), "symbol": list("ABCD"), "date": days[250], "announcement_id": "x"})
    shares = pl.DataFrame({"symbol": list("ABCD"), "shares": [1.0, 2.0, 3.0, 4.0]})
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        market, common = rng.normal(0, 0.01, 300), rng.normal(0, 0.01, 300)
        closes = {"M": 100 * np.cumprod(1 + market)}
        for name in "ABCD":
            ret = market + common + rng.normal(0, 0.01, 300)
            ret[250] -= 0.03
            closes[name] = 50 * np.cumprod(1 + ret)
        frame = pl.concat(
            pl.DataFrame({"symbol": s, "date": days, "close": c, "adj_close": c, "volume": 1.0})
            for s, c in closes.items()
        )
        built = mi.Market.load(firms, mi.FilePrices(frame))
        study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-1, 1)).run(events, built)
        row = mi.dollar_effect(study, 0, 0, shares=shares, by="announcement_id").row(0, named=True)
        truth = -0.03 * row["market_value"]
        covered += row["low"] <= truth <= row["high"]
    assert abs(covered / 100 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 100)


def test_what_cannot_be_valued_is_refused(result):
    with pytest.raises(mi.DataError, match="shares lacks shares; it has symbol"):
        mi.dollar_effect(result, 0, 0, shares=pl.DataFrame({"symbol": ["NVDA"]}))
    with pytest.raises(mi.DataError, match="not above zero"):
        mi.dollar_effect(result, 0, 0, shares=pl.DataFrame({"symbol": ["NVDA"], "shares": [-1.0]}))
    with pytest.raises(mi.DataError, match="more than one row"):
        mi.dollar_effect(result, 0, 0, shares=pl.concat([SHARES, SHARES]))
    with pytest.raises(mi.DataError, match="rates lacks rate"):
        mi.dollar_effect(result, 0, 0, shares=SHARES, rates=RATES.drop("rate"))
    with pytest.raises(mi.SpecificationError, match="no column of the events"):
        mi.dollar_effect(result, 0, 0, shares=SHARES, by="colour")
    adjusted = mi.Market.load(mi.securities().filter(pl.col("symbol") == "NVDA"), mi.SamplePrices())
    events = pl.DataFrame({"event_id": ["x"], "symbol": ["NVDA"], "date": [EVENT]})
    with pytest.raises(mi.SpecificationError, match="no traded prices"):
        mi.dollar_effect(mi.EventStudy().run(events, adjusted), 0, 0, shares=SHARES)


def test_both_listings_of_a_firm_are_not_summed():
    names = ["0981.HK", "688981.SS"]
    frame = mi.SamplePrices().read([*names, "^HSI", "000300.SS"]).frame.with_columns(pl.col("close").alias("adj_close"))
    market = mi.Market.load(mi.securities().filter(pl.col("symbol").is_in(names)), mi.FilePrices(frame))
    events = pl.DataFrame({"event_id": names, "symbol": names, "date": EVENT, "announcement_id": "x"})
    study = mi.EventStudy().run(events, market)
    shares = pl.DataFrame({"symbol": names, "shares": [1.0, 1.0]})
    rates = pl.DataFrame({"date": [EVENT - timedelta(days=2)] * 2, "currency": ["HKD", "CNY"], "rate": [0.13, 0.14]})
    with pytest.raises(mi.SpecificationError, match="counted twice"):
        mi.dollar_effect(study, 0, 0, shares=shares, rates=rates, by="announcement_id")
    assert mi.dollar_effect(study, 0, 0, shares=shares, rates=rates)["effect"].null_count() == 0


def test_shares_and_rates_from_files(result, tmp_path):
    dated = SHARES.with_columns(date=pl.lit(date(2024, 1, 1)))
    dated.write_csv(tmp_path / "shares.csv")
    RATES.write_parquet(tmp_path / "rates.parquet")
    from_files = mi.dollar_effect(result, 0, 1, shares=tmp_path / "shares.csv", rates=str(tmp_path / "rates.parquet"))
    assert_frame_equal(from_files, mi.dollar_effect(result, 0, 1, shares=dated, rates=RATES))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("symbol,shares\nNVDA,many\n", "shares 'many' is not a number"),
        ("symbol,date,shares\nNVDA,01/02/2024,5\n", "'01/02/2024' is not a date written YYYY-MM-DD"),
        ("symbol,shares\nNVDA,5,6\n", "row"),
        ("symbol,count\nNVDA,5\n", "lacks shares; it has symbol, count"),
        ("symbol,shares\nNVDA,inf\n", "not above zero"),
    ],
)
def test_broken_files_of_shares_are_refused(result, tmp_path, text, told):
    (tmp_path / "shares.csv").write_text(text)
    with pytest.raises(mi.DataError, match=told):
        mi.dollar_effect(result, 0, 1, shares=tmp_path / "shares.csv")
    with pytest.raises(mi.DataError, match="no file"):
        mi.dollar_effect(result, 0, 1, shares=tmp_path / "other.csv")


@pytest.mark.parametrize(("age", "rate"), [(4, 0.125), (5, 0.125), (6, None)])
def test_a_rate_counts_for_five_days(result, age, rate):
    """The price is of 2024-06-11, the day before the window."""
    shares = pl.DataFrame({"symbol": ["0981.HK"], "shares": [10.0]})
    rates = pl.DataFrame({"date": [date(2024, 6, 11) - timedelta(days=age)], "currency": "HKD", "rate": [0.125]})
    table = mi.dollar_effect(result, 0, 1, shares=shares, rates=rates)
    row = table.row(by_predicate=pl.col("event_id") == f"{EVENT}:0981.HK", named=True)
    assert row["price_date"] == date(2024, 6, 11)
    assert row["rate"] == rate
    assert row["note"] == (None if rate else "no rate from HKD")
    assert (row["effect"] is None) == (rate is None)


@pytest.mark.parametrize(("first", "begin"), [(0, EVENT), (-1, date(2024, 6, 11)), (1, date(2024, 6, 13))])
def test_a_count_of_the_window_s_first_day_is_not_known_before_it(result, first, begin):
    dates = [date(2024, 1, 2), begin - timedelta(days=1), begin, begin + timedelta(days=1)]
    shares = pl.DataFrame({"symbol": "NVDA", "date": dates, "shares": [1.0, 2.0, 3.0, 4.0]})
    table = mi.dollar_effect(result, first, 1, shares=shares)
    row = table.row(by_predicate=pl.col("event_id") == f"{EVENT}:NVDA", named=True)
    assert row["shares"] == 2.0
    earlier = mi.dollar_effect(result, first, 1, shares=shares.filter(pl.col("date") >= begin))
    assert earlier.row(by_predicate=pl.col("event_id") == f"{EVENT}:NVDA", named=True)["note"] == "no shares"


@pytest.mark.parametrize(("last", "note"), [(date(2024, 9, 6), None), (date(2024, 9, 5), "price of 2024-09-05")])
def test_a_price_is_old_after_ten_days(last, note):
    """The window begins on 2024-09-16: ten days after one price, eleven after the other."""
    begin = date(2024, 9, 16)
    frame = mi.SamplePrices().read(["NVDA", "AMD", "^GSPC"]).frame.with_columns(pl.col("close").alias("adj_close"))
    gone = (pl.col("symbol") == "AMD") & (pl.col("date") > last) & (pl.col("date") < begin)
    firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "AMD"]))
    market = mi.Market.load(firms, mi.FilePrices(frame.filter(~gone)))
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["AMD", "NVDA"], "date": [begin] * 2})
    table = mi.dollar_effect(mi.EventStudy(event_window=(-2, 2)).run(events, market), 0, 1, shares=SHARES)
    assert table.select("price_date", "note").rows() == [(last, note), (date(2024, 9, 13), None)]
    assert table["effect"].null_count() == 0


def test_a_market_in_one_currency_keeps_that_of_its_prices(result):
    """Returns in dollars beside prices in yen or yuan: the value of the shares is still converted."""
    market = result.market
    symbols = market.securities["symbol"].to_list()
    currencies = market.securities["currency"].unique().drop_nulls().to_list()
    days = market.panel["date"].unique().sort()
    rates = days.to_frame().join(pl.DataFrame({"currency": [c for c in currencies if c != "USD"]}), how="cross")
    rates = rates.with_columns(rate=pl.lit(0.01))
    shares = pl.DataFrame({"symbol": symbols, "shares": [1e6] * len(symbols)})
    converted = mi.EventStudy().run(result.events, market.in_currency("USD", rates))
    own = mi.dollar_effect(mi.EventStudy().run(result.events, market), 0, 0, shares=shares, rates=rates)
    both = mi.dollar_effect(converted, 0, 0, shares=shares, rates=rates).join(own, on="event_id", suffix="_own")
    assert both.height
    assert both["market_value"].to_list() == both["market_value_own"].to_list()


class TestEmbeddedCounts:
    """Counts of filings on the split basis of the price; two firms on two dates, one splits two for one."""

    DAYS = (date(2024, 3, 20), date(2024, 9, 11))
    SPLIT = date(2024, 6, 10)

    @staticmethod
    def study(closes: pl.DataFrame, days: tuple[date, ...] = DAYS) -> mi.StudyResult:
        sample = mi.SamplePrices().read(["NVDA", "AMD", "^GSPC"]).frame
        frame = sample.select("symbol", "date", "close", "volume", adj_close="close")
        changed = frame.join(closes, on=["symbol", "date"], how="left", validate="1:1").with_columns(
            close=pl.col("close") * pl.col("factor").fill_null(1.0)
        )
        market = mi.Market.load(
            mi.securities().filter(pl.col("symbol").is_in(["NVDA", "AMD"])), mi.FilePrices(changed.drop("factor"))
        )
        rows = [(f"{d}:{s}", s, d, str(d)) for d in days for s in ("NVDA", "AMD")]
        events = pl.DataFrame(rows, schema=["event_id", "symbol", "date", "announcement_id"], orient="row")
        return mi.EventStudy(event_window=(-2, 2)).run(events, market)

    @staticmethod
    def factors(value: float, before: date) -> pl.DataFrame:
        """Multiply closes of NVDA before a day."""
        days = mi.SamplePrices().read(["NVDA"]).frame.filter(pl.col("date") < before)
        return days.select("symbol", "date", pl.lit(value).alias("factor"))

    @pytest.fixture
    def counts(self) -> pl.DataFrame:
        return pl.DataFrame({
            "symbol": ["NVDA", "NVDA", "AMD", "AMD"],
            "date": [date(2024, 1, 31), date(2024, 7, 31), date(2024, 1, 31), date(2024, 7, 31)],
            "shares_outstanding": [100.0, 202.0, 70.0, 71.0],
            "split_factor_since": [2.0, 1.0, 1.0, 1.0],
            "filed_on": [date(2024, 2, 20), date(2024, 8, 20), date(2024, 2, 20), date(2024, 8, 20)],
        })  # fmt: skip

    @staticmethod
    def counted(table: pl.DataFrame) -> dict[str, float | None]:
        return dict(table.select("event_id", "shares").rows())

    def test_closes_adjusted_for_the_split(self, counts):
        table = mi.dollar_effect(self.study(self.factors(1.0, self.SPLIT)), 0, 1, shares=counts)
        assert self.counted(table) == {
            "2024-03-20:NVDA": 200.0, "2024-03-20:AMD": 70.0, "2024-09-11:NVDA": 202.0, "2024-09-11:AMD": 71.0,
        }  # fmt: skip
        assert table["market_value"].to_list() == pytest.approx((table["shares"] * table["price"]).to_list())

    def test_closes_as_traded(self, counts):
        """Twice the close before the split, and half the shares: the value is the same."""
        adjusted = mi.dollar_effect(self.study(self.factors(1.0, self.SPLIT)), 0, 1, shares=counts)
        traded = mi.dollar_effect(self.study(self.factors(2.0, self.SPLIT)), 0, 1, shares=counts)
        assert self.counted(traded)["2024-03-20:NVDA"] == 100.0
        assert traded["market_value"].to_list() == pytest.approx(adjusted["market_value"].to_list())

    def test_a_count_from_before_the_split_serves_an_event_after_it(self, counts):
        day = date(2024, 7, 10)
        for factor in (1.0, 2.0):
            study = self.study(self.factors(factor, self.SPLIT), (day, date(2024, 3, 20)))
            assert self.counted(mi.dollar_effect(study, 0, 1, shares=counts))[f"{day}:NVDA"] == 200.0

    @pytest.mark.parametrize(
        ("adjusted_to", "shares"),
        [(None, None), ("2024-06-01", None), (date(2024, 1, 31), 100.0), ("2024-07-31", 200.0), ("2026-11-28", 200.0)],
    )
    def test_closes_that_end_before_a_split_do_not_show_their_basis(self, counts, adjusted_to, shares):
        sample = mi.SamplePrices().read(["NVDA", "AMD", "^GSPC"]).frame.filter(pl.col("date") < date(2024, 6, 3))
        frame = sample.select("symbol", "date", "close", "volume", adj_close="close")
        firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "AMD"]))
        rows = [(f"{d}:{s}", s, d) for d in (date(2024, 3, 20), date(2024, 4, 10)) for s in ("NVDA", "AMD")]
        events = pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")
        study = mi.EventStudy(event_window=(-2, 2)).run(events, mi.Market.load(firms, mi.FilePrices(frame)))
        table = mi.dollar_effect(study, 0, 1, shares=counts, split_adjusted_to=adjusted_to)
        nvda = table.filter(pl.col("symbol") == "NVDA")
        assert nvda["shares"].to_list() == [shares] * 2
        assert [note is not None and "between 2024-01-31 and 2024-07-31" in note for note in nvda["note"]] == [
            shares is None
        ] * 2
        assert table.filter(pl.col("symbol") == "AMD")["shares"].to_list() == [70.0] * 2

    def test_a_large_fall_that_is_no_split_is_not_taken_for_one(self, counts):
        """A fall by a third is far from one for two."""
        table = mi.dollar_effect(self.study(self.factors(1.5, self.SPLIT)), 0, 1, shares=counts)
        assert self.counted(table)["2024-03-20:NVDA"] == 200.0

    def test_a_count_that_is_not_public_is_not_used(self, counts):
        study = self.study(self.factors(1.0, self.SPLIT), (date(2024, 2, 20), date(2024, 2, 21)))
        table = mi.dollar_effect(study, 0, 1, shares=counts)
        notes = dict(table.select("event_id", "note").rows())
        assert notes["2024-02-20:AMD"] == "no shares public before the window"
        assert notes["2024-02-21:AMD"] is None

    def test_what_mi_shares_gives_is_taken_like_the_table(self, counts):
        study = self.study(self.factors(1.0, self.SPLIT))
        expected = mi.dollar_effect(study, 0, 1, shares=counts)
        assert_frame_equal(mi.dollar_effect(study, 0, 1, shares=mi.shares(path=counts)), expected)

    def test_without_shares_those_of_filings_are_taken(self):
        study = self.study(self.factors(1.0, self.SPLIT))
        message = r"2 of 4 events .*: AMD 2 of 2 \(shares of 2022-01-28 hold until"
        with pytest.warns(mi.MarketImpactWarning, match=message):
            table = mi.dollar_effect(study, 0, 1)
        # 2.5 billion of the filing of 2024-02-21 and 24.53 billion of 2024-08-28, in shares after the split
        assert self.counted(table) == {
            "2024-03-20:NVDA": 25e9, "2024-03-20:AMD": None, "2024-09-11:NVDA": 24.53e9, "2024-09-11:AMD": None,
        }  # fmt: skip

    def test_the_warning_names_everyone_and_gives_each_its_own_remedy(self):
        """NVDA has a count, and closes that end before its split of June 2024; six others have none."""
        others = ["AMD", "ASML", "MU", "QCOM", "AVGO", "TSM"]
        sample = mi.SamplePrices().read(["NVDA", "^GSPC"]).frame.filter(pl.col("date") < date(2024, 6, 3))
        nvda = sample.filter(pl.col("symbol") == "NVDA")
        copies = [nvda.with_columns(pl.lit(name).alias("symbol")) for name in others]
        frame = pl.concat([sample, *copies]).select("symbol", "date", "close", "volume", adj_close="close")
        firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", *others]))
        rows = [(f"{d}:{s}", s, d) for d in (date(2024, 3, 20), date(2024, 4, 10)) for s in ("NVDA", *others)]
        events = pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")
        study = mi.EventStudy(event_window=(-2, 2)).run(events, mi.Market.load(firms, mi.FilePrices(frame)))
        with pytest.warns(mi.MarketImpactWarning, match="dollar_effect") as caught:
            mi.dollar_effect(study, 0, 1)
        without, _, unclear = str(caught[0].message).partition(" Give counts of your own with shares=. ")
        assert without.startswith("dollar_effect: 12 of 14 events have no count of shares: ")
        assert all(f"{name} 2 of 2" in without for name in others)
        assert "NVDA" not in without
        assert unclear.startswith("2 of 14 events have a count that cannot be used: NVDA 2 of 2 (whether closes are")
        assert "Say with split_adjusted_to= until when" in unclear

    def test_a_date_that_is_none_is_refused(self, result):
        with pytest.raises(mi.SpecificationError, match="split_adjusted_to='soon' is not a date"):
            mi.dollar_effect(result, 0, 1, shares=SHARES, split_adjusted_to="soon")
        with pytest.raises(mi.SpecificationError, match="split_adjusted_to needs counts with their splits"):
            mi.dollar_effect(result, 0, 1, shares=SHARES, split_adjusted_to="2025-01-01")


@pytest.mark.shared
def test_market_values_that_were_published(shared):
    """NVDA was worth about 4.4 trillion dollars on 2025-08-11, 1.1 trillion on 2023-10-16; KLA 120 billion in 2025."""
    firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "KLAC"]))
    market = mi.Market.load(firms, mi.FilePrices(shared / "data" / "prices.parquet"))
    days = (date(2025, 8, 12), date(2023, 10, 17))
    rows = [(f"{d}:{s}", s, d) for d in days for s in ("NVDA", "KLAC")]
    events = pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")
    study = mi.EventStudy(event_window=(-2, 2)).run(events, market)
    with pytest.warns(mi.MarketImpactWarning, match="KLAC"):
        # KLA split ten for one after its closes end
        table = mi.dollar_effect(study, 0, 1, split_adjusted_to="2026-03-12")
    value = dict(table.select("event_id", "market_value").rows())
    assert value["2025-08-12:NVDA"] == pytest.approx(4.4e12, rel=0.02)
    assert value["2023-10-17:NVDA"] == pytest.approx(1.14e12, rel=0.02)
    assert value["2025-08-12:KLAC"] == pytest.approx(120e9, rel=0.03)
    assert value["2023-10-17:KLAC"] is None
