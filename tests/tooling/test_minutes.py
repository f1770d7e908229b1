"""The page of minutes and the simulated rates of its tests."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

import marketimpact as mi
from docs.findings import minutes as finding
from docs.findings.changes import BLOCK
from docs.size import minutes as size
from tests.conftest import ROOT

RATES = ROOT / "docs" / "size" / "minutes.csv"
PAGE = ROOT / "docs" / "findings" / "minutes.md"
#: Of the rule as it was committed before its numbers.
DECLARED = "5f7fff232e3675d34b1e388371f06ed01b230c3901654d40854144079e00ff11"


def test_p_values_of_holm_are_those_of_statsmodels():
    p = np.random.default_rng(1).uniform(0, 0.2, 12).tolist()
    assert finding.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_the_list_is_that_of_the_rule_and_of_the_catalogue():
    found = finding.announcements()
    stated = mi.announcements().filter(pl.col("announcement_id").is_in(found["announcement_id"].implode()))
    assert stated["time_precision"].unique().to_list() == ["minute"]
    assert not stated["is_confounder"].any()
    assert stated["not_before"].null_count() == stated["not_after"].null_count() == stated.height
    assert set(stated["confidence"]) <= {"medium", "high"}
    left_out = mi.announcements().filter(pl.col("announced_at") >= finding.FIRST, pl.col("time_precision") == "minute")
    others = left_out.filter(~pl.col("announcement_id").is_in(found["announcement_id"].implode()))
    assert others.filter(
        ~pl.col("is_confounder"), pl.col("not_before").is_null(), pl.col("not_after").is_null()
    ).is_empty()


def test_what_the_first_run_did_not_have_was_no_minute_then():
    new = finding.added(finding.announcements())
    before = mi.announcements(version=finding.BEFORE).filter(pl.col("announcement_id").is_in(new))
    assert "minute" not in before["time_precision"].to_list()
    first_reports = mi.announcements().filter(pl.col("announcement_id").is_in(new))["first_reported_at"]
    assert first_reports.null_count() == len(new) > 0


def test_the_sentences_of_the_page_have_the_numbers_of_its_tables():
    """The count, its p and what is left without one of them, from the table of announcements by scipy."""
    blocks = {block[2]: block[3] for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in blocks["announcements"].splitlines()[2:]]
    k, n = sum(float(row[6]) <= 0.05 for row in rows), len(rows)
    p = [binomtest(k - out, n - out, 0.05, alternative="greater").pvalue for out in (0, 1)]
    assert f"Of {n} announcements {k} have a rank p of 5% or less" in blocks["summary"]
    assert f"the one-sided p of the count is {p[0]:.4f}." in blocks["summary"]
    assert f"without one of the {k} it is {k - 1} of {n - 1}, p {p[1]:.4f}." in blocks["summary"]
    assert f"| mean of three | tight | {n} | {k} | {0.05 * n:.1f} | {p[0]:.4f} |" in blocks["counts"]
    new = finding.added(finding.announcements())
    old = [row for row in rows if row[0] not in new]
    kept = sum(float(row[6]) <= 0.05 for row in old)
    assert f"**The first run did not reject**: {kept} of {len(old)}, p" in blocks["summary"]
    sure = [row[0] for row in rows if float(row[7]) <= 0.05]
    assert f"**{len(sure)} single moves stand" in blocks["summary"]
    assert all(f"`{name}`" in blocks["summary"] for name in sure)
    waited = sum(row[2] != "at once" for row in rows)
    assert f"In the {n - waited} announcements that met trading" in blocks["summary"]
    assert f"In the {waited} that came at night" in blocks["summary"]


def test_the_rule_of_the_page_is_the_one_that_was_declared():
    text = PAGE.read_text(encoding="utf-8")
    rule = text[text.index("## The rule\n") : text.index("## What came out")]
    assert hashlib.sha256(rule.encode()).hexdigest() == DECLARED


@pytest.mark.shared
def test_the_page_is_that_of_the_bars_at_hand(shared, tmp_path, monkeypatch):
    folder = shared / "data" / "bars"
    if not (folder / "NVDA_1m_alert.parquet").exists():
        pytest.skip("needs ../shared/data/bars, which is not part of the repository")
    shutil.copy(PAGE, tmp_path)
    monkeypatch.setattr(finding, "HERE", tmp_path)
    finding.main(str(folder))
    assert (tmp_path / "minutes.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    assert (tmp_path / "minutes_path.svg").read_bytes() == (PAGE.parent / "minutes_path.svg").read_bytes()


@pytest.mark.shared
def test_the_jump_of_21_november_is_found_by_a_plain_loop(shared):
    file = shared / "data" / "bars" / "NVDA_1m_alert.parquet"
    if not file.exists():
        pytest.skip("needs ../shared/data/bars, which is not part of the repository")
    stamp = datetime(2025, 11, 21, 18, 49, 8, tzinfo=UTC)
    largest, before = (0.0, stamp), None
    for start, close in pl.read_parquet(file).sort("start").select("start", "close").iter_rows():
        inside = timedelta(minutes=-10) <= start - stamp <= timedelta(minutes=19)
        if before is not None and inside and abs(close / before - 1) > abs(largest[0]):
            largest = close / before - 1, start
        before = close
    assert largest[1] + timedelta(minutes=1) < stamp
    assert f"| {largest[1]:%H:%M} | {largest[0]:+.2%} | 8 s before the stamp |" in PAGE.read_text(encoding="utf-8")


def test_real_placebo_rates_keep_their_size_at_every_hour():
    rates = pl.read_csv(RATES.with_name("minutes_real.csv"))
    assert set(rates["minute"].drop_nulls()) == set(size.MINUTES)
    for name in ("rank_p", "p_value"):
        away = ((rates[name] - 0.05) / rates[f"{name}_error"]).abs()
        assert (away <= 2.0).mean() >= 0.8
        assert away.max() <= 3.5


def test_errors_of_real_rates_are_clustered_by_day():
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(5)
    days = np.repeat(np.arange(80), 5)
    p = 0.7 * np.repeat(rng.uniform(0, 0.15, 80), 5) + 0.3 * rng.uniform(0, 0.15, 400)
    dates = [date(2025, 1, 1) + timedelta(int(k)) for k in days]
    found = pl.DataFrame({"date": dates, "minute": 30, "rank_p": p, "p_value": p})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(size, "MINUTES", (30,))
        (row, whole) = size.real_rates(found)
    fit = sm.OLS((p <= 0.05).astype(float), np.ones(400)).fit(
        cov_type="cluster", cov_kwds={"groups": days, "use_correction": False}
    )
    assert row["rank_p"] == pytest.approx((p <= 0.05).mean(), abs=5e-5)
    assert row["rank_p_error"] == pytest.approx(float(fit.bse[0]), abs=5e-5)
    assert (row["windows"], row["days"]) == (whole["windows"], whole["days"]) == (400, 80)


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
    page = (ROOT / "docs" / "procedures" / "minute_bars.md").read_text(encoding="utf-8")
    assert size.table() in page
    assert size.real_table() in page
