"""The page of minutes and the simulated rates of its tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests

import marketimpact as mi
from docs.findings import minutes as finding
from docs.size import minutes as size
from tests.conftest import ROOT

RATES = ROOT / "docs" / "size" / "minutes.csv"


def test_p_values_of_holm_are_those_of_statsmodels():
    p = np.random.default_rng(1).uniform(0, 0.2, 12).tolist()
    assert finding.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_the_list_has_first_reports_and_no_bounds(tmp_path):
    clocks = pl.DataFrame({
        "announcement_id": ["a", "a", "b", "c", "d"], "bound": ["first_report"] * 3 + ["not_after", "first_report"],
        "instant_utc": ["2025-05-07T19:41:42Z", "2025-05-07T19:50:00Z", "2023-05-07T19:41:42Z", "2025-05-08T10:00:00Z",
                        "2025-05-09T10:00:00Z"],
        "confidence": ["high", "medium", "high", "high", "low"],
    })  # fmt: skip
    clocks.write_csv(tmp_path / "clocks.csv")
    found = finding.announcements(tmp_path / "clocks.csv")
    own = found.filter(pl.col("announcement_id").is_in(list("abcd")))
    assert own.select("announcement_id", "announced_at").rows() == [("a", datetime(2025, 5, 7, 19, 41, 42, tzinfo=UTC))]
    stated = mi.announcements().filter(pl.col("announcement_id").is_in(found["announcement_id"].implode()))
    assert stated["time_precision"].unique().to_list() == ["minute"]
    assert not stated["is_confounder"].any()


def test_tables_of_simulated_bars_count_what_was_planted():
    first = datetime(2025, 8, 6, 15, 0, tzinfo=UTC)
    instants = [first + timedelta(days=k) for k in (0, 1, 7, 8)]
    effects = {(symbol, at): 0.05 for symbol in ("NVDA", "MU") for at in instants[:3]}
    source = mi.SampleBars(["NVDA", "MU", "TSM", "^GSPC"], datetime(2025, 1, 2).date(), effects=effects)
    bars = mi.Bars.load(mi.securities(), source)
    news = pl.DataFrame({
        "announcement_id": list("abcd"), "announced_at": instants, "stance": "mixed", "headline": "Simulated",
    })  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "BENCHMARK", "^GSPC")
        found = finding.tested(news, bars, "tight", finding.FIRMS)
    assert (found["rank_p"] <= 0.05).sum() >= 3
    lines = finding.counts({"mean of three; tight": found}).splitlines()
    assert lines[2].startswith(f"| mean of three | tight | 4 | {(found['rank_p'] <= 0.05).sum()} | 0.2 |")
    assert len(finding.by_announcement(found).splitlines()) == 2 + found.height


def test_rates_by_hour_keep_their_size_and_have_the_power_predicted():
    rates = pl.read_csv(RATES)
    assert set(rates["minute"]) == set(size.MINUTES)
    null = rates.filter(pl.col("effect") == 0)
    error = (null["nominal_rank"] * (1 - null["nominal_rank"]) / null["samples"]).sqrt()
    excess = ((null["rejected_rank"] / null["samples"] - null["nominal_rank"]) / error).abs()
    assert (excess <= 2.0).mean() >= 0.9
    assert excess.max() <= 3.0
    effects = rates.filter(pl.col("effect") > 0)
    assert (effects["rejected_t"] / effects["samples"] - effects["predicted_power"]).abs().max() <= 0.06


def test_a_simulated_market_has_the_shape_that_is_said():
    market, firms = size.draw(np.random.default_rng(4))
    assert market.shape == (size.SESSIONS, size.PER_DAY)
    assert firms.shape == (3, size.SESSIONS, size.PER_DAY)
    spread = firms[:, :, 1:].std(axis=(0, 1))
    assert spread[:6].mean() > 1.5 * spread[30:45].mean() < 1.3 * spread[-6:].mean()


def test_the_page_has_the_rates_of_the_file():
    assert size.table() in (ROOT / "docs" / "procedures" / "minute_bars.md").read_text(encoding="utf-8")
