"""`make results` replaces the tables of the pages of findings, keeps their prose, and says which numbers changed.

On simulated prices of some securities, in copies of the pages.
"""

from __future__ import annotations

import re
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from docs.findings import brown_warner, exposure, minutes, peers, peers_effects, regimes, results
from docs.findings.changes import BLOCK, changes, outdated
from tests.conftest import ROOT

FINDINGS = ROOT / "docs" / "findings"
SYMBOLS = [*regimes.FIRMS, "0981.HK", "688981.SS", "688256.SS", "0700.HK", "9988.HK", "^GSPC", "000300.SS", "^HSI"]
OLD = """| group | window | CAAR | p |
| --- | --- | --- | --- |
| buyers | [0, 0] | -5.03% | 0.017 |
| buyers | [0, 1] | +1.20% |  |
| sellers | [0, 0] | +0.10% | 0.900 |

78 cells tested, 14 of them below 0.05.
"""


@pytest.fixture(scope="module")
def prices(tmp_path_factory) -> mi.FilePrices:
    path = tmp_path_factory.mktemp("prices") / "prices.parquet"
    mi.SamplePrices().read(SYMBOLS).frame.write_parquet(path)
    return mi.FilePrices(path)


@pytest.fixture(scope="module")
def folder(prices, tmp_path_factory) -> tuple[Path, str]:
    """Copies of the pages, made anew from the simulated prices, and what was reported."""
    path = tmp_path_factory.mktemp("findings")
    for page in results.PAGES:
        shutil.copy(FINDINGS / f"{page}.md", path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(brown_warner, "SAMPLES", 2)
        patch.setattr(brown_warner, "N", 8)
        patch.setattr(regimes, "STEP", 131)
        patch.setattr(exposure, "STEP", 41)
        patch.setattr(peers, "STEP", 331)
        patch.setattr(peers, "NIGHTS_STEP", 331)
        patch.setattr(peers, "SAMPLES", 4)
        return path, "\n".join(results.remake(prices, folder=path))


def prose(text: str) -> str:
    return BLOCK.sub("", text)


@pytest.mark.parametrize("page", list(results.PAGES))
def test_tables_are_replaced_and_prose_is_kept(folder, page):
    path, report = folder
    before = (FINDINGS / f"{page}.md").read_text(encoding="utf-8")
    after = (path / f"{page}.md").read_text(encoding="utf-8")
    assert prose(after) == prose(before)
    assert all(block[3].startswith("| ") for block in BLOCK.finditer(after))
    assert after != before
    assert f"{page}.md:\n" in report


def test_every_table_of_the_pages_is_written_by_the_code():
    for page in results.PAGES:
        text = (FINDINGS / f"{page}.md").read_text(encoding="utf-8")
        assert not re.search(r"^\|", prose(text), flags=re.MULTILINE), page
        assert len({block[2] for block in BLOCK.finditer(text)}) == text.count("<!-- table:") == text.count("<!-- end")


def test_figures_are_those_of_the_page(folder):
    path, report = folder
    shown = set(re.findall(r"\((\w+\.svg)\)", (path / "h20.md").read_text(encoding="utf-8")))
    assert {file.name for file in path.glob("*.svg")} == shown == {file.name for file in FINDINGS.glob("h20*.svg")}
    assert all(f"{file} is drawn anew" in report for file in shown)


def test_a_planted_change_is_reported_with_the_sentence_that_quotes_it(folder, prices):
    path, _ = folder
    page = path / "h20.md"
    text = page.read_text(encoding="utf-8")
    row = next(line for line in BLOCK.search(text)[3].splitlines()[2:] if line.count("%") >= 4)
    announcement, group, window, _, true = [cell.strip() for cell in row.strip("|").split("|")][:5]
    planted = row.replace(f" {true} ", " -83.61% ", 1)
    page.write_text(text.replace(row, planted) + "\nShares fell by 83.6%. They rose by 12.3%.\n", encoding="utf-8")
    report = "\n".join(results.remake(prices, ["h20"], path)).splitlines()
    assert report[:3] == ["h20.md:", "  groups", f"    {announcement}, {group}, {window}, CAAR: -83.61% -> {true}"]
    assert report[3].startswith("  Prose that quotes")
    assert [line.partition(": ")[2] for line in report[4:]] == ["Shares fell by 83.6%."]
    assert list(results.remake(prices, ["h20"], path)) == ["h20.md: no number changed"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("-5.03%", "-4.38%", ["buyers, [0, 0], CAAR: -5.03% -> -4.38%"]),
        ("+1.20% |  |", "+1.20% | 0.300 |", ["buyers, [0, 1], p: (empty) -> 0.300"]),
        ("| sellers | [0, 0] | +0.10% | 0.900 |\n", "", ["row removed: sellers | [0, 0] | +0.10% | 0.900"]),
        ("\n\n78", "\n| sellers | [0, 1] | +1.00% |  |\n\n78", ["row added: sellers | [0, 1] | +1.00% | "]),
        ("78 cells tested, 14 of them below 0.05.", "None.", [f"text: {OLD.splitlines()[-1]} -> None."]),
        ("", "", []),
    ],
)  # fmt: skip
def test_changes_are_listed_cell_by_cell(old, new, expected):
    assert [str(change) for change in changes(OLD, OLD.replace(old, new, 1))] == expected


def test_columns_that_go_and_come_are_listed():
    fewer = "\n".join(line.rsplit("|", 2)[0] + "|" for line in OLD.splitlines()[:5])
    assert [str(change) for change in changes(fewer, "\n".join(OLD.splitlines()[:5]))] == ["column added: p"]
    gone = [str(change) for change in changes("\n".join(OLD.splitlines()[:5]), fewer)]
    assert gone[0] == "buyers, [0, 0], p, column removed: 0.017"
    assert len(gone) == 3


@pytest.mark.parametrize(
    ("sentence", "quoted"),
    [
        ("US firms lost 5.0% (p = 0.90).", "5.0%"),
        ("They did 5.0 points worse.", "5.0"),
        ("A t over dates gives p = 0.017.", "0.017"),
        ("A t over dates gives p = 0.02.", "0.02"),
        ("In 14 of them.", "14"),
        ("They lost 5.1% on 2025-08-14, and 1.2% later.", ""),
        ("Nominal level 0.05.", ""),
    ],
)
def test_prose_that_quotes_a_figure_is_found(sentence, quoted):
    fresh = OLD.replace("-5.03%", "-4.38%").replace("0.017", "0.200").replace("14", "12")
    page = f"# Title\n\nNothing here.\n<!-- table: groups -->\n{OLD}<!-- end -->\n{sentence}\n"
    expected = [f"line 13 ({quoted}): {sentence}"] if quoted else []
    assert list(outdated(page, changes(OLD, fresh))) == expected


def test_a_page_and_its_module_must_have_the_same_tables():
    page = "<!-- table: one -->\n<!-- end -->\n"
    with pytest.raises(LookupError, match=r"h20\.md and its module do not have the same tables: two"):
        results.replaced(page, {"one": "", "two": ""}, "h20.md")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([""], "make results PRICES=FILE"),
        (["nowhere.parquet"], "There is no file nowhere.parquet"),
        (["broken.parquet"], "broken.parquet"),
        (["prices.parquet", "h21"], "h21: there are no such pages"),
        (["prices.parquet", "minutes"], "no folder of bars was given. Write: make results PRICES=FILE BARS=FOLDER"),
        (["prices.parquet", "--bars", "nowhere"], "There is no folder nowhere of bars"),
    ],
)
def test_what_cannot_be_used_gives_one_line(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("broken.parquet").write_text("no table", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        results.main(arguments)
    assert said in str(stopped.value)
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize(
    ("arguments", "made"),
    [
        (["prices.parquet"], [*results.PAGES]),
        (["prices.parquet", "--bars", "bars"], [*results.PAGES, "minutes"]),
        (["prices.parquet", "h20", "--bars", "bars"], ["h20"]),
        (["prices.parquet", "minutes", "--bars", "bars"], ["minutes"]),
    ],
)
def test_minutes_are_made_where_bars_are_given(arguments, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bars").mkdir()
    pl.DataFrame({"date": [date(2024, 1, 2)], "symbol": ["AMD"], "close": [1.0]}).write_parquet("prices.parquet")
    seen: list[str] = []
    monkeypatch.setattr(results, "remake", lambda prices, pages: seen.extend(pages) or [])
    monkeypatch.setattr(minutes, "main", lambda folder: seen.append("minutes") if folder == "bars" else None)
    results.main(arguments)
    assert seen == made


def test_rates_have_errors_clustered_by_month():
    """The rate is a ratio of sums over months; its error is that of statsmodels' cluster-robust mean."""
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(3)
    days = [date(2024, 1, 1) + timedelta(n) for n in range(300)]
    p = rng.uniform(0, 0.2, 300)
    months = np.array([day.year * 12 + day.month for day in days])
    fit = sm.OLS((p < 0.05).astype(float), np.ones(300)).fit(
        cov_type="cluster", cov_kwds={"groups": months, "use_correction": False}
    )
    g = len(set(months.tolist()))
    error = float(fit.bse[0]) * np.sqrt(g / (g - 1))
    assert regimes.rate(pl.DataFrame({"date": days, "p": p})) == f"{(p < 0.05).mean():.1%} ± {error:.1%}"
    assert regimes.rate(pl.DataFrame({"date": days[:10], "p": p[:10]})) == "few days"
    assert regimes.rate(pl.DataFrame({"date": days, "p": p + 0.05})) == "0 of 300"


def test_an_effect_reaches_no_estimation_window(prices):
    """Each of the days of one batch has the effect on its day 0, and the estimate that it has without one."""
    securities = mi.securities().filter(pl.col("symbol").is_in(regimes.FIRMS))
    panel = mi.Market.load(securities, prices).panel.drop_nulls(["ret", "market"])
    days = panel["date"].unique().sort()[260:].gather_every(regimes.APART)
    plain, hit = (regimes.run(panel, days, effect) for effect in (0.0, 0.03))
    assert len(days) > 1
    assert hit.estimates.equals(plain.estimates)
    gain = hit.car(0, 1)["car"] - plain.car(0, 1)["car"]
    assert gain.to_numpy() == pytest.approx(0.03, abs=1e-12)
    assert regimes.group_ratio(hit) == regimes.group_ratio(plain)


def test_policy_counts_pairs_that_are_valid_under_both_models():
    """Three announcements of one group: p .01 and .04 and one not valid; Holm over the two pairs that are left."""
    rows = [
        ("sellers", name, model, 2, 8 if model == peers_effects.PAIR[1] else None, 0.01, "", p)
        for name, both in {"a": (0.01, 0.03), "b": (0.04, 0.2), "c": (0.001, np.nan)}.items()
        for model, p in zip(peers_effects.PAIR, both, strict=True)
    ]
    tested = pl.DataFrame(rows, schema=peers_effects.TESTED, orient="row")
    pairs = peers_effects.policy_pairs(tested)
    assert pairs["announcement"].to_list() == ["a", "b"]
    # Holm: the smaller p times two, then the larger of that and the other p
    assert pairs["market model, Holm"].to_list() == pytest.approx([0.02, 0.04])
    assert pairs["statistical factors, Holm"].to_list() == pytest.approx([0.06, 0.2])
    counts = peers_effects.policy_table(tested, pairs).splitlines()[2:]
    assert counts == ["| sellers | 3 | 2 | 2 | 2 | 1 | 0 |", "| all groups | 3 | 2 | 2 | 2 | 1 | 0 |"]
    found = peers_effects.findings_table(tested, pairs).splitlines()[2:]
    assert [line.split(" | ")[1] for line in found] == ["a", "b"]


def test_small_p_on_ordinary_days_are_counted_among_valid_tests():
    """The bound for two pairs is 0.025: one of three valid tests of the market model is below, 0.075 by chance."""
    p = [0.02, 0.03, 0.9, 0.001]
    placebo = pl.DataFrame({"model": "market model", "p": p, "valid": [True, True, True, False]})
    first, second = peers_effects.tail_table(placebo, 2).splitlines()[2:]
    assert first == "| market model | 3 | 0.02500 | 1 | 0.1 |"
    assert second == "| statistical factors | 0 | 0.02500 | 0 | 0.0 |"
