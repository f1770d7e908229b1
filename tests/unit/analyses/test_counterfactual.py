"""Synthetic and matched controls of many events: returns matched by date, read once; placebos computed once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.analyses import counterfactual
from marketimpact.market import parquet_panel

DAYS = [day for n in range(420) if (day := date(2023, 1, 2) + timedelta(n)).weekday() < 5]
FIRMS, DONORS = ["A", "B", "C"], ["P", "Q", "R", "S", "T"]
WINDOWS = {"estimation_window": (-150, -11), "event_window": (-1, 2)}
#: Days on which the second exchange is closed.
CLOSED = {40, 41, 100, 170, 249}


@pytest.fixture(scope="module")
def market() -> mi.Market:
    """Firms of one exchange, donors of two of the same hours, one with missing returns; Z, which no event needs."""
    rng = np.random.default_rng(7)
    index = rng.normal(0, 0.01, len(DAYS))
    rows, benchmark = [], [("XNYS", DAYS[t], index[t]) for t in range(len(DAYS))]
    benchmark += [("XNAS", DAYS[t], index[t]) for t in range(len(DAYS)) if t not in CLOSED]
    for name in [*FIRMS, *DONORS, "Z"]:
        own = index + rng.normal(0, 0.01, len(DAYS))
        mic = "XNAS" if name in "ST" else "XNYS"
        for t in range(len(DAYS)):
            if mic == "XNYS" or t not in CLOSED:
                missing = (name == "R" and t in {120, 130}) or (name == "C" and t in {140, 251})
                rows.append((name, mic, DAYS[t], None if missing else own[t]))
    returns = pl.DataFrame(rows, schema=["symbol", "mic", "date", "ret"], orient="row")
    return mi.Market.from_returns(returns, pl.DataFrame(benchmark, schema=["mic", "date", "ret"], orient="row"))


def events(*dated: tuple[str, int]) -> pl.DataFrame:
    rows = [(f"{symbol} {day}", symbol, DAYS[day]) for symbol, day in dated]
    return pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")


def plain_returns(market, event, coverage):
    """Complete estimation returns and event returns of a firm and its donors by loops over dates; donors left out."""
    found = {(symbol, day): ret for symbol, day, ret in market.panel.select("symbol", "date", "ret").iter_rows()}
    symbol, day0 = event
    spans = ((day0 - 150, day0 - 11), (day0 - 1, day0 + 2))
    before, during = ([d for d in DAYS[a : b + 1] if found[symbol, d] is not None] for a, b in spans)

    def has(donor, days):
        return sum(found.get((donor, day)) is not None for day in days)

    enough = [d for d in DONORS if has(d, before) >= coverage * len(before)]
    usable = [d for d in enough if has(d, during) == len(during)]
    complete = [day for day in before if has(symbol, [day]) + sum(has(d, [day]) for d in usable) == 1 + len(usable)]
    tables = (np.array([[found[s, day] for s in (symbol, *usable)] for day in days]) for days in (complete, during))
    return usable, *tables


@pytest.mark.parametrize("event", [("A", 200), ("B", 200), ("C", 250), ("A", 250)])
def test_returns_of_donors_are_those_of_the_events_own_dates(market, event):
    found = mi.synthetic_control(
        events(("A", 200), ("B", 200), ("A", 250), ("C", 250)), market, DONORS, coverage=0.95, **WINDOWS
    )
    usable, before, during = plain_returns(market, event, 0.95)
    own = pl.col("event_id") == f"{event[0]} {event[1]}"
    weights = found.weights.filter(own)
    assert weights["donor"].to_list() == usable
    row = found.table.row(by_predicate=own, named=True)
    assert (row["n_obs"], row["n_days"], row["n_donors"]) == (len(before), len(during), len(usable))
    w = weights["weight"].to_numpy()
    assert row["pre_rmse"] == pytest.approx(np.sqrt(((before[:, 0] - before[:, 1:] @ w) ** 2).mean()), rel=1e-12)
    gaps = found.gaps.filter(own)
    np.testing.assert_allclose(gaps["ret"], during[:, 0], rtol=1e-12)
    np.testing.assert_allclose(gaps["expected"], during[:, 1:] @ w, rtol=1e-12, atol=1e-15)
    left_out = set(found.left_out.filter(own)["donor"])
    assert left_out == set(DONORS) - set(usable)


def test_the_second_exchange_is_left_out_where_it_was_closed(market):
    found = mi.synthetic_control(events(("A", 200), ("A", 250)), market, DONORS, coverage=0.95, **WINDOWS)
    reasons = {(row["event_id"], row["donor"]): row["reason"] for row in found.left_out.iter_rows(named=True)}
    assert reasons == {("A 250", donor): "lacks 1 sessions of the event window" for donor in "ST"}


@pytest.mark.parametrize(
    ("dated", "fits"),
    [
        # every firm once, and every donor as a placebo once: the donors and days are the same
        ([("A", 200), ("B", 200)], 2 + 5),
        # another date has other days
        ([("A", 200), ("B", 200), ("A", 230)], 3 + 2 * 5),
        # C lacks a return in the estimation window
        ([("A", 200), ("C", 200)], 2 + 2 * 5),
    ],
)
def test_events_with_the_same_donors_and_days_share_their_placebos(market, monkeypatch, dated, fits):
    calls, fit = [], counterfactual.simplex_weights
    monkeypatch.setattr(counterfactual, "simplex_weights", lambda y, x: calls.append(x.shape) or fit(y, x))
    together = mi.synthetic_control(events(*dated), market, DONORS, coverage=0.95, **WINDOWS)
    assert len(calls) == fits
    alone = [mi.synthetic_control(events(one), market, DONORS, coverage=0.95, **WINDOWS).table for one in dated]
    assert together.table.equals(pl.concat(alone).sort("event_id"))


def test_a_panel_on_disk_is_read_once_and_only_the_securities_that_are_needed(market, tmp_path, monkeypatch):
    stored = market.to_dataset(tmp_path / "panel")
    three = events(("A", 200), ("B", 200), ("A", 230))
    reads, read_columns = [], parquet_panel.read_columns

    def counting(folder, symbols, columns):
        reads.append((set(symbols), set(columns)))
        return read_columns(folder, symbols, columns)

    monkeypatch.setattr(parquet_panel, "read_columns", counting)
    found = mi.synthetic_control(three, stored, DONORS, coverage=0.95, **WINDOWS)
    assert reads == [({"A", "B", *DONORS}, {"date", "ret"})]
    assert found.table.equals(mi.synthetic_control(three, market, DONORS, coverage=0.95, **WINDOWS).table)


def test_a_donor_that_is_the_security_itself_leaves_no_gap_and_no_p_value(market):
    panel = market.panel.select("symbol", "date", "ret")
    twins = [panel.filter(pl.col("symbol") == "A").with_columns(symbol=pl.lit(name)) for name in ("A", "B", "P", "Q")]
    benchmark = pl.DataFrame({"date": DAYS, "ret": np.random.default_rng(8).normal(0, 0.01, len(DAYS))})
    same = mi.Market.from_returns(pl.concat(twins), benchmark)
    found = mi.synthetic_control(events(("A", 200), ("B", 200)), same, ["P", "Q"], **WINDOWS)
    assert found.table["pre_rmse"].to_list() == found.table["car"].to_list() == [0.0, 0.0]
    assert found.table["ratio"].is_nan().all()
    assert found.table["p_value"].to_list() == [None, None]
    assert found.weights.group_by("event_id").agg(pl.col("weight").sum())["weight"].to_list() == [1.0, 1.0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("penalty", [None, "ridge"])
def test_a_donor_that_another_repeats_counts_as_having_as_large_a_ratio(seed, penalty):
    """Of 19 donors two are one security: they fit each other but for rounding, and 0 / 0 is no small ratio."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.01, (len(DAYS), 1)) + rng.normal(0, 0.01, (len(DAYS), 20))
    returns[:, 19] = returns[:, 1]
    returns[[200, 220], 0] += 0.5  # no other donor has a ratio as large
    names = ["A", *(f"D{number}" for number in range(19))]
    rows = pl.DataFrame(returns, schema=names).with_columns(date=pl.Series(DAYS))
    index = pl.DataFrame({"date": DAYS, "ret": returns.mean(axis=1)})
    market = mi.Market.from_returns(rows.unpivot(index="date", variable_name="symbol", value_name="ret"), index)
    windows = {"estimation_window": (-150, -30), "event_window": (0, 0)}
    found = mi.synthetic_control(events(("A", 200), ("A", 220)), market, names[1:], penalty=penalty, **windows)
    assert found.table["p_value"].to_list() == [3 / 20, 3 / 20]


def test_text_in_place_of_a_list_is_refused(market):
    size = pl.DataFrame({"symbol": [*FIRMS, *DONORS], "size": range(8)})
    for given in ("P", "P,Q"):
        with pytest.raises(mi.SpecificationError, match=f"donors='{given}' is text, which would be read letter by"):
            mi.synthetic_control(events(("A", 200)), market, given, **WINDOWS)
        with pytest.raises(mi.SpecificationError, match=f"controls='{given}' is text.*Give a list"):
            mi.matched_controls(events(("A", 200)), market, given, size, **WINDOWS)
    with pytest.raises(mi.SpecificationError, match="allow='P' is text"):
        mi.synthetic_control(events(("A", 200)), market, DONORS, allow="P", **WINDOWS)
    with pytest.raises(mi.SpecificationError, match="allow names 'Z', which is not among controls"):
        mi.matched_controls(events(("A", 200)), market, DONORS, size, allow=["Z"], **WINDOWS)
    with pytest.raises(mi.SpecificationError, match="controls is empty"):
        mi.matched_controls(events(("A", 200)), market, [], size, **WINDOWS)
    for given in (["P", "Q", "P"], iter(["P", "P"])):
        with pytest.raises(mi.SpecificationError, match=r"donors has 'P' twice\. Give each symbol once"):
            mi.synthetic_control(events(("A", 200)), market, given, **WINDOWS)
    drawn = mi.synthetic_control(events(("A", 200)), market, (each for each in DONORS), allow=iter(["P"]), **WINDOWS)
    assert drawn.table.equals(mi.synthetic_control(events(("A", 200)), market, DONORS, **WINDOWS).table)
    series = mi.synthetic_control(events(("A", 200)), market, pl.Series(DONORS), allow=pl.Series(["P"]), **WINDOWS)
    assert series.table.equals(mi.synthetic_control(events(("A", 200)), market, DONORS, **WINDOWS).table)


CHOICE = ["BABA", "AMD", "9988.HK", "AVGO", "^SOX", "SMH", "SPY", "QQQ", "P", "Q"]


@pytest.fixture(scope="module")
def named() -> mi.Market:
    """Firms and funds by their real symbols, returns drawn; one security names SMH as its sector fund."""
    rng = np.random.default_rng(11)
    index = rng.normal(0, 0.01, len(DAYS))
    symbols = ["NVDA", *CHOICE]
    rows = pl.concat(
        pl.DataFrame({"symbol": name, "date": DAYS, "ret": index + rng.normal(0, 0.01, len(DAYS))}) for name in symbols
    )
    market = mi.Market.from_returns(rows, pl.DataFrame({"date": DAYS, "ret": index}))
    listings, funds = {"BABA": "9988.HK", "9988.HK": "BABA"}, {"P": "SMH"}
    columns = {"dual_listing": [*map(listings.get, symbols)], "sector_proxy": [*map(funds.get, symbols)]}
    return replace(market, securities=pl.DataFrame({"symbol": symbols, **columns}))


def compared(events, market, method, **options):
    """Reasons of donors by event, of a synthetic control or of matched controls."""
    given = {**WINDOWS, **options}
    if method == "matched":
        size = pl.DataFrame({"symbol": ["NVDA", *CHOICE], "size": range(11)})
        found = mi.matched_controls(events, market, CHOICE, size, **given)
    else:
        found = mi.synthetic_control(events, market, CHOICE, **given)
    reasons = {name: {} for name in events["event_id"]}
    for name, donor, reason in found.left_out.iter_rows():
        reasons[name][donor] = reason
    return found, reasons


@pytest.mark.parametrize("method", ["synthetic", "matched"])
def test_donors_are_refused_by_the_rule_of_models_with_donors(named, method):
    """A firm repeats, and a date: NVDA twice, and BABA on NVDA's first date."""
    ids = ["2025-08-12-beijing-discourages-h20", "b", "b"]  # the first targets AMD, NVDA and 9988.HK, but not BABA
    dated = events(("NVDA", 200), ("NVDA", 240), ("BABA", 240)).with_columns(announcement_id=pl.Series(ids))
    found, reasons = compared(dated, named, method)
    fund = "is a fund or index, and may hold a treated firm"
    funds = {"^SOX": fund, "SMH": fund, "SPY": fund, "QQQ": fund}
    treated = "is treated by this event"
    listing = "is another listing of a treated firm"
    assert reasons["NVDA 200"] == {"AMD": treated, "9988.HK": treated, "BABA": listing, **funds}
    assert reasons["NVDA 240"] == {"BABA": treated, "9988.HK": listing, **funds}
    study = mi.EventStudy(mi.PeerMean(CHOICE), (-150, -11), (-1, 2))
    of_model = study.run(dated, named).donors.filter("used").select("event_id", "donor").sort("event_id", "donor")
    assert found.weights.select("event_id", "donor").sort("event_id", "donor").equals(of_model)


@pytest.mark.parametrize("method", ["synthetic", "matched"])
def test_an_event_of_its_own_counts_by_its_whole_window_as_in_models_with_donors(named, method):
    """Windows are [-1, 2]: of NVDA on 200 they share a day with those of 197 to 203; a firm repeats, and a date."""
    dated = {"P": 203, "Q": 204, "AVGO": 197, "AMD": 196}
    both = events(("NVDA", 200), ("NVDA", 280), *dated.items(), ("AMD", 280))
    found, reasons = compared(both, named, method)
    own = "has an event of its own whose window overlaps the event's"
    assert {donor for donor, why in reasons["NVDA 200"].items() if why == own} == {"P", "AVGO"}
    assert {donor for donor, why in reasons["NVDA 280"].items() if why == own} == {"AMD"}
    model = mi.EventStudy(mi.PeerMean(CHOICE), (-150, -11), (-1, 2)).run(both, named)
    columns = ["event_id", "donor", "reason"]
    of_model = model.donors.filter(~pl.col("used")).select(columns).sort(columns)
    assert found.left_out.select(columns).sort(columns).equals(of_model)


@pytest.mark.parametrize("method", ["synthetic", "matched"])
def test_donors_of_other_hours_are_left_out_as_in_models_with_donors(sample_market, method):
    """New York, Hong Kong and Shenzhen; a date repeats, and a firm: `allow` takes no donor of other hours."""
    day, donors = date(2025, 8, 12), ["DELL", "0700.HK", "000063.SZ"]
    frame = pl.DataFrame({
        "event_id": ["a", "b", "c"], "symbol": ["NVDA", "688041.SS", "NVDA"], "date": [day, day, date(2025, 5, 20)],
    })  # fmt: skip
    options = {"event_window": (0, 1), "coverage": 0.8, "allow": ["0700.HK"]}
    if method == "matched":
        size = pl.DataFrame({"symbol": ["NVDA", "688041.SS", *donors], "size": [5.0, 4.0, 3.0, 2.0, 1.0]})
        found = mi.matched_controls(frame, sample_market, donors, size, **options)
    else:
        found = mi.synthetic_control(frame, sample_market, donors, **options)
    other = "trades at other hours than the event's exchange"
    wanted = {
        ("a", "0700.HK"),
        ("a", "000063.SZ"),
        ("b", "DELL"),
        ("b", "0700.HK"),
        ("c", "0700.HK"),
        ("c", "000063.SZ"),
    }
    assert set(found.left_out.rows()) == {(*pair, other) for pair in wanted}
    study = mi.EventStudy(mi.PeerMean(donors, allow=["0700.HK"]), event_window=(0, 1)).run(frame, sample_market)
    assert set(study.donors.filter(~pl.col("used")).select("event_id", "donor", "reason").rows()) == set(
        found.left_out.rows()
    )


def test_exchanges_without_known_hours_are_other_hours_unless_they_keep_one_calendar():
    """Returns without clocks: Nasdaq keeps New York's calendar, Taipei does not; A has two events, two share a date."""
    rng = np.random.default_rng(12)
    index = rng.normal(0, 0.01, len(DAYS))
    mics = {"A": "XNYS", "B": "XNAS", "P": "XNAS", "S": "XTAI"}
    returns = pl.concat(
        pl.DataFrame({"symbol": name, "mic": mic, "date": DAYS, "ret": index + rng.normal(0, 0.01, len(DAYS))})
        for name, mic in mics.items()
    )
    benchmark = pl.concat(pl.DataFrame({"mic": mic, "date": DAYS, "ret": index}) for mic in ("XNYS", "XNAS", "XTAI"))
    known = mi.Market.from_returns(returns, benchmark)
    dated = events(("A", 200), ("B", 200), ("A", 250))
    found = mi.synthetic_control(dated, known, ["P", "S"], **WINDOWS)
    other = "trades at other hours than the event's exchange"
    assert set(found.left_out.rows()) == {(name, "S", other) for name in dated["event_id"]}
    model = mi.EventStudy(mi.PeerMean(["P", "S"]), (-150, -11), (-1, 2)).run(dated, known)
    assert set(model.donors.filter(pl.col("used"))["donor"]) == {"P"}


@pytest.mark.parametrize("method", ["synthetic", "matched"])
def test_donors_that_are_allowed_by_name_are_used(named, method):
    dated = events(("NVDA", 200), ("NVDA", 240), ("BABA", 240)).with_columns(targets=pl.lit("AMD;AVGO"))
    _, reasons = compared(dated, named, method)
    assert set(reasons["NVDA 200"]) == {"AMD", "AVGO", "^SOX", "SMH", "SPY", "QQQ"}
    _, reasons = compared(dated, named, method, allow=["AMD", "^SOX", "SMH", "BABA", "9988.HK"])
    assert set(reasons["NVDA 200"]) == set(reasons["NVDA 240"]) == {"AVGO", "SPY", "QQQ"}
    assert reasons["BABA 240"]["BABA"] == "is the event's own security"
