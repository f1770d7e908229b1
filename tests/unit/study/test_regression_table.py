"""Regressions side by side: the numbers are statsmodels', terms are words, and few clusters are said."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy
import statsmodels.formula.api as smf
from statsmodels.iolib.summary2 import summary_col

import marketimpact as mi
from marketimpact.display.tables import Table
from tests.conftest import golden

FORMULAS = ("car ~ size", "car ~ size + bank", "car ~ size * bank + C(region)")


@pytest.fixture(scope="module")
def result(golden_market, golden_study) -> mi.StudyResult:
    """Events whose firms and dates repeat, with characteristics of their own."""
    rng = np.random.default_rng(5)
    events = pl.concat([golden("events_mixed"), golden("events_clustered")])
    return golden_study.run(
        events.with_columns(
            pl.Series("size", rng.normal(size=events.height)),
            pl.Series("bank", rng.integers(0, 2, events.height)),
            pl.Series("region", rng.choice(["north_east", "south"], events.height)),
            pl.Series("wave", rng.permutation(events.height) % 10),
        ),
        golden_market,
    )


def by_hand(result: mi.StudyResult) -> pd.DataFrame:
    columns = ["car", "scar", "se", "size", "bank", "region", "wave", "symbol", "date"]
    return pd.DataFrame(result.car(0, 1).drop_nulls("car").select(columns).to_dict(as_series=False))


def fits(result: mi.StudyResult, cluster: list[str]) -> list:
    """Statsmodels' own fits, by its formulas."""
    data = by_hand(result)
    groups = np.column_stack([pd.factorize(data[name])[0] for name in cluster])
    given = {"groups": groups[:, 0] if len(cluster) == 1 else groups}
    return [smf.ols(formula, data).fit(cov_type="cluster", cov_kwds=given, use_t=True) for formula in FORMULAS]


def cells(table: Table) -> dict[str, list[str]]:
    """Rows by their first cell; a row beneath another, which has none, follows it."""
    rows: dict[str, list[str]] = {}
    last = ""
    for term, *numbers in table.shown.select(table.columns).iter_rows():
        rows[term or f"{last} beneath"] = numbers
        last = term or last
    return rows


@pytest.mark.parametrize("cluster", [["symbol"], ["date", "symbol"]])
def test_the_numbers_are_those_of_statsmodels(result, cluster):
    table = result.show.regress(*FORMULAS, window=(0, 1), cluster=cluster)
    theirs = fits(result, cluster)
    assert table.frame["model"].unique(maintain_order=True).to_list() == ["(1)", "(2)", "(3)"]
    for (_, ours), fitted in zip(table.frame.group_by("model", maintain_order=True), theirs, strict=True):
        assert ours["term"].to_list() == list(fitted.params.index)
        for column, expected in (("coef", fitted.params), ("se", fitted.bse), ("t", fitted.tvalues)):
            np.testing.assert_allclose(ours[column], expected, rtol=1e-9)
        np.testing.assert_allclose(ours.select("ci_low", "ci_high"), fitted.conf_int(), rtol=1e-9)
        np.testing.assert_allclose(ours["r2"], fitted.rsquared, rtol=1e-9)
        assert set(ours["n_events"]) == {len(by_hand(result))}


def test_in_two_ways_the_smaller_number_of_clusters_gives_the_degrees_of_freedom(result):
    table = result.show.regress("car ~ size + bank", window=(0, 1), cluster=("date", "symbol"))
    data = by_hand(result)
    smaller = min(data["date"].nunique(), data["symbol"].nunique())
    assert data["date"].nunique() != data["symbol"].nunique()
    assert set(table.frame["df"]) == {smaller - 1}
    expected = 2 * scipy.stats.t.sf(np.abs(table.frame["t"]), smaller - 1)
    np.testing.assert_allclose(table.frame["p"], expected, rtol=1e-9)
    said = re.sub(r"\s+", " ", repr(table))
    assert "t(min(G) - 1), where min(G) is the smaller of the two numbers of clusters" in said
    assert r"t(min(G) - 1)" in table.to_latex()
    one_way = result.show.regress("car ~ size", window=(0, 1), cluster="symbol")
    assert set(one_way.frame["df"]) == {data["symbol"].nunique() - 1}
    assert "t(G - 1), where G is the number of clusters" in repr(one_way)


def test_cells_are_those_of_statsmodels_own_table_in_percent(result):
    rows = cells(result.show.regress(*FORMULAS, window=(0, 1), cluster="symbol"))
    theirs = summary_col(fits(result, ["symbol"]), float_format="%.12f").tables[0]
    names = {"Intercept": "Constant", "size": "Size", "bank": "Bank", "size:bank": "Size × Bank",
             "C(region)[T.south]": "Region: south"}  # fmt: skip
    assert list(rows)[:-3:2] == ["Size", "Bank", "Region: south", "Size × Bank", "Constant"]
    for term, words in names.items():
        expected = [theirs.loc[term].to_list(), theirs.iloc[theirs.index.get_loc(term) + 1].to_list()]
        for ours, numbers in zip((rows[words], rows[f"{words} beneath"]), expected, strict=True):
            for cell, number in zip(ours, numbers, strict=True):
                assert (cell == "") == (number in ("", "()") or number != number)
                if cell:
                    value = float(cell.strip("()").replace("−", "-"))
                    places = len(cell.strip("()").partition(".")[2])
                    assert value == pytest.approx(100 * float(number.strip("()")), abs=0.500001 * 10**-places)
    assert rows["Events"] == [str(len(by_hand(result)))] * 3
    assert rows["Clusters: symbol"] == [str(by_hand(result)["symbol"].nunique())] * 3
    assert "R²" in rows


def test_terms_clusters_and_headings_have_the_words_that_are_given(result):
    labels = {"size": "Log market value", "bank": "Bank", "symbol": "firm", "region": "Home"}
    table = result.show.regress(*FORMULAS, window=(0, 1), cluster="symbol", labels=labels)
    assert {"Log market value", "Log market value × Bank", "Home: south", "Clusters: firm"} <= set(cells(table))
    written = table.to_latex(headings={"(1)": "All"})
    assert "Log market value $\\times$ Bank" in written
    assert " & All & (2) & (3)" in written
    for raw in ("size:bank", "[T.", "Intercept", "term"):
        assert raw not in written
    assert r"\midrule" + "\nEvents" in written


def test_levels_of_comparison_are_said(result):
    formulas = ("car ~ size", "car ~ C(region, Treatment('south')) * size", "car ~ 0 + region")
    notes = result.show.regress(*formulas, window=(0, 1), cluster="symbol", labels={"region": "Home"}).notes
    assert [note for note in notes if "comparison" in note] == ["(2): Level of comparison: Home: south."]


def test_stars_need_enough_clusters(result):
    """23 firms are more than 20 clusters; ten waves are few, and with the bootstrap enough."""
    many = result.show.regress("scar ~ size", window=(0, 1), cluster="symbol")
    n_symbols = by_hand(result)["symbol"].nunique()
    assert n_symbols >= 20
    assert many.frame["valid"].all()
    few = result.show.regress("scar ~ size", window=(0, 1), cluster="wave")
    assert by_hand(result)["wave"].nunique() < 20
    assert not few.frame["valid"].any()
    assert r"\rlap{$" not in few.to_latex(stars=True)
    bootstrapped = result.show.regress("scar ~ size", window=(0, 1), cluster="wave", bootstrap=True)
    assert bootstrapped.frame["n_varying_clusters"][1] > 4
    assert bootstrapped.frame["valid"].all()


def test_a_regressor_of_one_cluster_has_no_star(result):
    one = result.car(0, 1)["symbol"][0]
    alone = result.events.with_columns((pl.col("symbol") == one).cast(pl.Int64).alias("alone"))
    again = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5), min_observations=60)
    table = again.run(alone, result.market).show.regress("car ~ alone + size", window=(0, 1), cluster="symbol")
    valid = dict(zip(table.frame["term"], table.frame["valid"], strict=True))
    assert valid == {"Intercept": True, "alone": False, "size": True}
    assert "identify Alone (1." in repr(table)


def test_warnings_stand_beneath_the_table_with_their_models_and_without_python(result):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = result.show.regress("car ~ size", "car ~ size + bank", window=(0, 1), cluster="wave")
    with pytest.warns(mi.MarketImpactWarning) as caught:
        result.regress("car ~ size", (0, 1), cluster="wave")
    assert "Only" in str(caught[0].message)
    notes = " ".join(table.notes)
    assert f"Only {by_hand(result)['wave'].nunique()} clusters by wave" in notes
    assert "wild_cluster_bootstrap" not in table.to_latex()
    assert "bootstrap=True" in repr(table)
    assert "bootstrap=True" not in table.to_latex()


def test_the_bootstrap_shows_its_p_values(result):
    table = result.show.regress("car ~ size", window=(0, 1), cluster="wave", bootstrap=True)
    with pytest.warns(mi.MarketImpactWarning):
        expected = mi.wild_cluster_bootstrap(result.regress("car ~ size", (0, 1), cluster="wave"))
    assert table.frame["p_wild"].to_list() == expected["p_wild"].to_list()
    shown = [row[1] for row in table.shown.select(table.columns).rows() if row[1].startswith("[")]
    assert shown == [f"[{p:.3f}]" for p in reversed(expected["p_wild"].to_list())]  # the constant is last
    assert "wild cluster bootstrap" in table.to_latex()


def test_responses_and_weights_are_said(result):
    table = result.show.regress("car ~ size", "scar ~ size", window=(0, 1), cluster="symbol", weights="precision")
    notes = " ".join(table.notes)
    assert "(1): Dependent variable: CAR over [0, 1], in percent." in notes
    assert "(2): Dependent variable: SCAR over [0, 1]." in notes
    assert "Weighted by one over the squared standard error" in notes
    data = by_hand(result)
    expected = smf.wls("scar ~ size", data, weights=1 / data["se"] ** 2).fit()
    ours = table.frame.filter(model="(2)")
    np.testing.assert_allclose(ours["coef"], expected.params, rtol=1e-9)


def test_a_negative_variance_has_no_standard_error_and_the_note_says_so(sample_market):
    """Five firms and their roles: the covariance of two kinds of clusters is not positive for some terms."""
    firms = ["NVDA", "AMD", "AVGO", "QCOM", "MU"]
    events = mi.align(mi.announcements(), sample_market, symbols="all").filter(pl.col("symbol").is_in(firms))
    table = (
        mi.EventStudy()
        .run(events, sample_market)
        .show.regress("scar ~ stance + C(role)", window=(0, 1), cluster=("announcement_id", "symbol"))
    )
    assert table.frame["se"].is_nan().any()
    assert "gives a negative variance" in " ".join(table.notes)
    assert "SIMULATED PRICES" in " ".join(table.notes)
    assert "(–)" in repr(table)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_what_cannot_be_regressed_is_refused(result):
    with pytest.raises(mi.SpecificationError, match="given no formula"):
        result.show.regress(window=(0, 1))
    with pytest.raises(mi.SpecificationError, match=r"result\.show\.regress with symbol in the formula"):
        result.by("symbol").show.regress("car ~ size", window=(0, 1))
    with pytest.raises(mi.SpecificationError, match=r"\(2\) 'car ~ size \+ I\(2 \* size\)': 'size', .* combinations"):
        result.show.regress("car ~ size", "car ~ size + I(2 * size)", window=(0, 1), cluster="symbol")
    with pytest.raises(mi.SpecificationError, match="clusters of one kind"):
        result.show.regress("car ~ size", window=(0, 1), cluster=("date", "symbol"), bootstrap=True)
    with pytest.raises(mi.SpecificationError, match="Did you mean 'size'"):
        result.show.regress("car ~ sise", window=(0, 1), cluster="date")
