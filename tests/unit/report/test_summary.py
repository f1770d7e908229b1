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


def primary(tests: pl.DataFrame) -> dict[str, Any] | None:
    """The row of the primary test where that is valid."""
    return next((row for row in tests.iter_rows(named=True) if row["role"] == "primary" and row["valid"]), None)


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
    best = [primary(table) for table in tests.values()]
    p = [row["p_value"] for row in best if row is not None and row["p_value"] == row["p_value"]]
    assert len(p) > result.events["announcement_id"].n_unique()  # several groups per announcement
    first = sentences[0][1][0]
    n_not_valid = len(tests) - len(p)
    assert bool(n_not_valid) == any(f"not valid for {n_not_valid} group" in line for line in sentences[0][1])
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
    kept = frame.filter(pl.col("p_romano_wolf_filtered") < 0.05)
    assert kept.height < frame.filter(pl.col("p_filtered") < 0.05).height  # some stand out by themselves, not among all
    sentence = next(line for line in sentences[0][1] if "single moves" in line)
    assert sentence.startswith(
        f"Of {frame['p_romano_wolf_filtered'].drop_nulls().len()} single moves of firms, {kept.height or 'none'} "
        f"{'is' if kept.height < 2 else 'are'} statistically distinguishable"
    )
    named = [word for word in sentence.partition(": ")[2].rstrip(".").replace(" and ", ", ").split(", ") if word]
    assert named[: min(kept.height, 6)] == kept["symbol"].to_list()[:6]
    assert (kept.height == 0) == (not named)


def test_a_sentence_has_the_numbers_of_one_test(told):
    result, window, sentences = told
    said = [line for _, lines in sentences[1:] for line in lines]
    for (name, group), tests in by_group(result, window).items():
        best, row = primary(tests), tests.row(0, named=True)
        own = result.where((pl.col("announcement_id") == name) & (pl.col("group") == group))
        mean = f"{abs(own.car(*window)['car'].mean()):.2%}"
        if best is None:
            reason = next(clause for clause in row["note"].split("; ") if clause.startswith("not valid: "))
            assert [line for line in said if mean in line and f"is not valid here{reason[9:]}" in line], (name, group)
            continue
        verdict = "statistically distinguishable from zero" if best["p_value"] < 0.05 else "no clear effect"
        ends = [f"{100 * best[end]:+.2f}%".replace("-", "−") for end in ("ci_low", "ci_high")]
        p = "p < 0.001" if best["p_value"] < 0.001 else f"p = {best['p_value']:.3f}"
        numbers = f"95% interval {ends[0]} to {ends[1]}, {p}"
        matching = [line for line in said if mean in line and f"; {verdict} (" in line and numbers in line]
        assert matching, (name, group)
        robust = tests.filter(pl.col("role") == "robustness", "valid")
        against = [q for q in robust["p_value"] if (q < 0.05) != (best["p_value"] < 0.05)]
        disagreement = f"{len(against)} of {robust.height} valid robustness test"
        assert (disagreement in matching[0]) == bool(against)


def test_without_a_group_an_announcement_has_one_sentence(golden_market, golden_study):
    """A role names what a firm does, not a group that was asked for."""
    events = golden("events_mixed").with_columns(
        pl.col("event_id").str.slice(0, 2).alias("announcement_id"), pl.col("symbol").alias("role")
    )
    result = golden_study.run(events, golden_market)
    sentences = summary(report_content(result))
    n = result.events["announcement_id"].n_unique()
    assert len(sentences) == 1 + n
    for (_, lines), (_, part) in zip(sentences[1:], result.by("announcement_id").groups(), strict=True):
        [line] = lines
        caar, height = part.car(0, 1)["car"].mean(), part.events.height
        assert line.startswith(f"All firms: {caar:+.2%} on average over {height} events".replace("-", "−"))
    assert f"of {n} means of announcements in [0, 1]" in sentences[0][1][0]
    one = golden_study.run(events.head(1), golden_market)
    assert summary(report_content(one))[1][1][0].startswith(f"{events['symbol'][0]}: ")
