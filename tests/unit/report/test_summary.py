"""Sentences of the summary, recomputed from the result's own frames."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.report.content import report_content
from marketimpact.report.summary_text import summary
from tests.conftest import golden

Sentences = list[tuple[str, list[str]]]


@pytest.fixture(scope="module", params=[(0, 0), (0, 1), (-1, 1)])
def told(request, golden_market, golden_study) -> tuple[mi.StudyResult, tuple[int, int], Sentences]:
    """Five announcements to firms of three regions, firms that repeat, and what is said of a window."""
    events = golden("events_mixed").with_columns(
        pl.col("event_id").str.slice(0, 2).alias("announcement_id"), pl.col("symbol").str.slice(0, 2).alias("group")
    )
    result = golden_study.run(events, golden_market)
    return result, request.param, summary(report_content(result, windows=[request.param], group="group"))


def first_holding(tests: pl.DataFrame) -> dict[str, Any] | None:
    """The first row that holds, in the order of `StudyResult.test`."""
    return next((row for row in tests.iter_rows(named=True) if row["valid"]), None)


def by_group(result: mi.StudyResult, window: tuple[int, int]) -> dict[tuple[str, str], pl.DataFrame]:
    """All tests of every group of every announcement."""
    keys = result.events.select("announcement_id", "group").unique().sort("announcement_id", "group").rows()
    return {
        (name, group): result.where((pl.col("announcement_id") == name) & (pl.col("group") == group)).test(*window)
        for name, group in keys
    }


def test_the_number_of_groups_that_differ_and_how_many_chance_alone_would_give(told):
    result, window, sentences = told
    tests = by_group(result, window)
    best = [first_holding(table) for table in tests.values()]
    p = [row["p_value"] for row in best if row is not None and row["p_value"] == row["p_value"]]
    assert len(p) > result.events["announcement_id"].n_unique()  # several groups per announcement
    first = sentences[0][1][0]
    significant = sum(value < 0.05 for value in p)
    assert first.startswith(
        f"{significant} of {len(p)} means of groups in {list(window)} {'is' if significant == 1 else 'are'} "
        "statistically distinguishable"
    )
    assert f"no effect at all, {0.05 * len(p):.2g} would be expected by chance" in first


def test_firms_are_named_after_the_correction_only(told):
    result, window, sentences = told
    names = result.events["announcement_id"].unique().sort()
    families = [result.where(pl.col("announcement_id") == name).single_tests(*window) for name in names]
    frame = pl.concat(families)
    kept = frame.filter(pl.col("p_romano_wolf") < 0.05)
    assert kept.height < frame.filter(pl.col("p") < 0.05).height  # some stand out by themselves, not among all
    sentence = sentences[0][1][1]
    assert sentence.startswith(
        f"Of {frame['p_romano_wolf'].drop_nulls().len()} single moves of firms, {kept.height or 'none'} "
        f"{'is' if kept.height < 2 else 'are'} statistically distinguishable"
    )
    named = [word for word in sentence.partition(": ")[2].rstrip(".").replace(" and ", ", ").split(", ") if word]
    assert named[: min(kept.height, 6)] == kept["symbol"].to_list()[:6]
    assert (kept.height == 0) == (not named)


def test_tests_that_reject_are_counted_at_five_percent(told):
    result, window, sentences = told
    said = [line for _, lines in sentences[1:] for line in lines]
    between = 0
    for (name, group), tests in by_group(result, window).items():
        held, best = tests.filter("valid"), first_holding(tests)
        own = result.where((pl.col("announcement_id") == name) & (pl.col("group") == group))
        if best is None or held.height < 2 or best["p_value"] < 0.001:
            continue
        between += sum(0.05 <= p < 0.10 for p in held["p_value"])
        rejecting = sum(p < 0.05 for p in held["p_value"])
        path = own.caar(*window).row(-1, named=True)
        verdict = "statistically distinguishable from zero" if best["p_value"] < 0.05 else "no clear effect"
        matching = [
            line
            for line in said
            if f"p = {best['p_value']:.3f}; {rejecting} of {held.height} valid tests reject zero at 5%)" in line
            and f"; {verdict} (" in line
            and f"{abs(path['caar']):.2%}" in line
        ]
        assert matching, (name, group)
    assert between  # at 10% other numbers would be counted
