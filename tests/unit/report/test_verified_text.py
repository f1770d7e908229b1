"""Sentences of the report on how an announcement was verified, for each kind of row of the chronology."""

from __future__ import annotations

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.report.sections import verified_text


@pytest.mark.parametrize(
    ("announcement_id", "words"),
    [
        ("2025-08-12-beijing-discourages-h20", "date and substance seen"),
        ("2025-01-08-ai-diffusion-leak", "the clock is that of the first report's feed"),
        ("2025-01-13-ai-diffusion-rule", "the clock or the day was not"),
        ("2018-02-08-nvda-earnings", "recalled, no page seen"),
    ],
)
def test_words_follow_the_row(announcement_id, words):
    facts = mi.announcements().row(by_predicate=pl.col("announcement_id") == announcement_id, named=True)
    assert words in verified_text(facts)


def test_ones_own_word_and_none():
    assert verified_text({"verification": "checked by hand"}) == "checked by hand"
    assert verified_text({}) is None
