"""Every printed cell of docs/replications is met from the authors' data, and the pages say what was met."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

from docs.findings.changes import BLOCK
from docs.replications import goldsmith_pinkham_lyu, incerti, replicate
from docs.replications.printed import ERRORS, STATES, WITHIN, compared, counts
from tests.conftest import ROOT, SHARED

PAGES = ROOT / "docs" / "replications"
DATA = SHARED / "replications"
HEAD = ("printed", "ours", "difference", "Monte-Carlo error", "state")


def table_rows(page: str, name: str) -> list[dict[str, str]]:
    """The rows of a table of a page, by column."""
    blocks = {block[2]: block[3] for block in BLOCK.finditer((PAGES / f"{page}.md").read_text(encoding="utf-8"))}
    head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in blocks[name].splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


@cache
def rows(page: str) -> list[dict[str, str]]:
    """The rows of the table of all cells."""
    return table_rows(page, "cells")


def cell(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(value for name, value in row.items() if name not in HEAD)


def tolerance(printed: str) -> float:
    """Half a unit of the last printed digit."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2]) + 1e-9


def data_of(module) -> Path:
    folder = DATA / module.FOLDER
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/replications/{module.FOLDER}, data of the paper, not part of the repository")
    return folder


@pytest.fixture(scope="module")
def ours_incerti() -> dict[tuple[str, ...], float]:
    cells = incerti.replicated(data_of(incerti))
    return {(row["event"], row["window"], row["what"]): row["ours"] for row in cells.iter_rows(named=True)}


@pytest.fixture(scope="module")
def ours_simulated() -> dict[tuple[str, ...], float]:
    cells = goldsmith_pinkham_lyu.replicated(data_of(goldsmith_pinkham_lyu))
    letters = {name: title[0] for name, title in goldsmith_pinkham_lyu.PANELS.items()}
    return {
        (letters[row["panel"]], row["estimator"], row["periods"], row["statistic"]): row["ours"]
        for row in cells.iter_rows(named=True)
    }


@pytest.mark.shared
@pytest.mark.parametrize("row", rows("incerti"), ids=lambda row: "-".join(cell(row)))
def test_a_printed_cell_of_incerti_and_incerti_is_met(row, ours_incerti):
    assert ours_incerti[cell(row)] == pytest.approx(float(row["printed"]), abs=tolerance(row["printed"]))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    "row",
    rows("goldsmith_pinkham_lyu"),
    ids=lambda row: "-".join(cell(row)),
)
def test_a_printed_cell_of_goldsmith_pinkham_and_lyu_is_met(row, ours_simulated):
    """To the digit, or within three Monte-Carlo errors where the data has five of the 50 seeds."""
    error = float(row["Monte-Carlo error"] or 0.0)
    assert bool(row["Monte-Carlo error"]) == (row["state"] == WITHIN)
    allowed = tolerance(row["printed"]) + ERRORS * (error + 0.0005 * bool(error))
    assert ours_simulated[cell(row)] == pytest.approx(float(row["printed"]), abs=allowed)


@pytest.mark.slow
@pytest.mark.shared
def test_the_factor_alarm_rings_in_the_panels_of_a_chosen_day():
    """The share of 50 seeds, and the bias that the paper prints for the CAPM on day 0, in points."""
    data_of(goldsmith_pinkham_lyu)
    lines = goldsmith_pinkham_lyu.remake_alarm(DATA)[0]["alarm"].splitlines()[2:]
    for line, printed in zip(lines, (-0.07, -0.04, 2.71, 2.26), strict=True):
        panel, seeds, rings, _, bias = [each.strip() for each in line.strip("|").split("|")]
        share, (mean, error) = int(rings.split("%")[0]), (float(each.strip(")")) for each in bias.split(" ("))
        assert seeds == "50"
        assert share == 100 if panel[0] in "CD" else share <= 12  # 5 by chance; 14 or more in 1 of 80 such samples
        assert mean == pytest.approx(printed, abs=3 * error + 0.01)


@pytest.mark.shared
def test_components_of_the_controls_see_the_factor_that_the_capm_misses():
    """One panel of one seed: the CAPM is off by more than a point where the synthetic control is right."""
    folder = data_of(goldsmith_pinkham_lyu)
    own = (pl.col("panel").cast(pl.String) == "timing", pl.col("seed") == 1234)
    treated, factors, controls = (
        goldsmith_pinkham_lyu._dated(pl.scan_parquet(folder / f"{name}.parquet").filter(*own).collect())
        for name in ("treated", "factors", "controls_5_seeds")
    )
    few = controls.filter(pl.col("firm").rank("dense") <= 60)
    averages = goldsmith_pinkham_lyu.synthetic_averages(treated, few, factors).sort("tau")
    day0, *others = (averages["mean"] / averages["se"]).to_list()
    assert averages["mean"][0] == pytest.approx(0.03, abs=3 * averages["se"][0])
    assert day0 > 4
    assert np.mean(np.abs(others) < 3) == 1
    capm = goldsmith_pinkham_lyu.run(treated, factors, [goldsmith_pinkham_lyu.CAPM])[goldsmith_pinkham_lyu.CAPM]
    assert abs(goldsmith_pinkham_lyu._averages(capm).filter(tau=0)["mean"].item() - 0.03) > 0.01


def test_rejections_of_simple_means_are_those_of_a_regression_with_robust_errors():
    """Treated less controls on each of 11 days in one regression, HC1, against statsmodels."""
    rng = np.random.default_rng(4)
    n = {True: 40, False: 460}
    days = {
        flag: rng.normal(0, 0.01 * (1 + flag), (goldsmith_pinkham_lyu.N_DAYS, size)) + 0.004 * flag
        for flag, size in n.items()
    }
    wide = np.vstack([np.column_stack([np.arange(len(days[f])).repeat(n[f]), np.full(days[f].size, f), days[f].ravel()])
                      for f in n])  # fmt: skip
    each = np.arange(goldsmith_pinkham_lyu.N_DAYS)
    dummies = (wide[:, :1] == each).astype(float)
    fitted = sm.OLS(wide[:, 2], np.hstack([dummies, dummies * wide[:, 1:2]])).fit(cov_type="HC1", use_t=True)
    key = {"panel": "none", "seed": 1234, "tau": each}
    means = days[True].mean(axis=1) - days[False].mean(axis=1)
    simulations = pl.DataFrame(
        {**key, "mean": means, "se": days[True].std(axis=1, ddof=1) / np.sqrt(n[True]), "n": n[True]}
    )
    controls = pl.DataFrame({**key, "ret": days[False].tolist()}).explode("ret")
    rejects = goldsmith_pinkham_lyu._two_samples(simulations, controls)["rejects"].to_numpy()
    assert 0 < rejects.sum() < len(rejects)
    assert rejects.tolist() == (fitted.pvalues[len(each) :] < 0.05).tolist()


@pytest.fixture(scope="module")
def by_hand() -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Mean abnormal returns less the effect, their standard errors and n - 1, (seeds, days), by panel and estimator."""
    folder = data_of(goldsmith_pinkham_lyu)
    treated, factors = (pl.read_parquet(folder / f"{name}.parquet") for name in ("treated", "factors"))
    before, after, found = slice(0, 239), slice(239, 250), {}
    moves = {key: part.sort("tau") for key, part in factors.group_by("panel", "seed")}
    for (panel, seed), own in treated.group_by("panel", "seed"):
        returns = own.pivot("firm", index="tau", values="ret").sort("tau").drop("tau").to_numpy()
        market, size, rf, mean_control = moves[panel, seed].select("mktrf", "smb", "rf", "control_mean").to_numpy().T
        for name, y, regressors in (
            ("CAPM", returns - rf[:, None], [market]),
            ("Correct Factor Structure", returns, [market, size]),
            ("Simple Means", returns - mean_control[:, None], None),
        ):
            ar = y[after]
            if regressors:
                x = np.column_stack([np.ones(len(y)), *regressors])
                ar = (y - x @ np.linalg.lstsq(x[before], y[before], rcond=None)[0])[after]
            ar = ar - rf[after, None] * (name == "Correct Factor Structure") - 0.03 * np.eye(1, 11).T
            n = ar.shape[1]
            each = ar.mean(axis=1), ar.std(axis=1, ddof=1) / np.sqrt(n), np.full(11, n - 1)
            found.setdefault((goldsmith_pinkham_lyu.PANELS[panel][0], name), []).append(each)
    return {key: tuple(np.array(part) for part in zip(*each, strict=True)) for key, each in found.items()}


@pytest.mark.shared
def test_errors_of_a_day_are_means_over_seeds_and_days_and_printed_ones_sums_over_days(by_hand):
    """The printed RMSE is sqrt(11) times that of a day, by plain numpy."""
    cells = {cell(row): float(row["ours"]) for row in rows("goldsmith_pinkham_lyu")}
    of_day = {row["panel"]: row for row in table_rows("goldsmith_pinkham_lyu", "rmse")}
    for (panel, estimator), (bias, *_) in by_hand.items():
        rmse = 100 * np.sqrt((bias**2).mean())
        assert float(of_day[panel][estimator]) == pytest.approx(rmse, abs=0.0051)
        assert cells[panel, estimator, "All Periods", "RMSE"] == pytest.approx(np.sqrt(11) * rmse, abs=0.00051)


@pytest.mark.shared
def test_rejections_by_n_minus_one_are_those_of_numpy(by_hand):
    """With the paper's 11 (n - 1) degrees of freedom every cell is met, with n - 1 five are not."""
    met = []
    for row in table_rows("goldsmith_pinkham_lyu", "rejections"):
        if row["estimator"] not in ("CAPM", "Correct Factor Structure"):
            assert not row["n - 1 beside printed"]
            continue
        bias, se, df = (part[:, 1:] for part in by_hand[row["panel"], row["estimator"]])
        theirs, ours = ((2 * stats.t.sf(np.abs(bias / se), k * df) < 0.05).mean() for k in (11, 1))
        assert float(row["the paper's test (the table of cells)"]) == pytest.approx(theirs, abs=1e-9)
        assert float(row["n - 1"]) == pytest.approx(ours, abs=1e-9)
        assert abs(theirs - float(row["printed"])) <= tolerance(row["printed"])
        met.append(abs(ours - float(row["printed"])) <= tolerance(row["printed"]))
        assert row["n - 1 beside printed"] == ("met" if met[-1] else "differs")
    assert met.count(False) == 5


@pytest.mark.shared
def test_rejections_of_a_day_are_those_of_the_public_test():
    """One simulated panel, every day, through `StudyResult.test`."""
    folder = data_of(goldsmith_pinkham_lyu)
    own = pl.col("panel").cast(pl.String) == "none", pl.col("seed") == 1234
    treated, factors = (
        goldsmith_pinkham_lyu._dated(pl.scan_parquet(folder / f"{name}.parquet").filter(*own).collect())
        for name in ("treated", "factors")
    )
    for name, result in goldsmith_pinkham_lyu.run(treated, factors, goldsmith_pinkham_lyu.KNOWN).items():
        found = goldsmith_pinkham_lyu._rejections(goldsmith_pinkham_lyu._averages(result), factors, name).sort("tau")
        tests = pl.concat(result.test(tau, tau, tests=["cross_sectional_t"]) for tau in range(11))
        assert tests["df"].unique().to_list() == [result.events.height - 1]
        assert found["rejects_test"].to_list() == (tests["p_value"] < 0.05).to_list()
        assert tests["valid"].sum() == 0


@pytest.mark.parametrize("page", list(replicate.PAGES))
def test_a_page_says_of_each_cell_what_its_numbers_say(page):
    for row in rows(page):
        if not row["ours"]:
            assert row["state"] == "open", row
            continue
        # ours is written with one digit more than printed, and so is a Monte-Carlo error
        difference, error = abs(float(row["ours"]) - float(row["printed"])), row.get("Monte-Carlo error")
        rounding = 0.5 * 10.0 ** -len(row["ours"].partition(".")[2])
        allowed = ERRORS * (float(error) + rounding) if error else 0.0
        is_met = difference <= tolerance(row["printed"]) + rounding + allowed
        assert row["state"] == ((WITHIN if error else "met") if is_met else "differs"), row


def test_the_summary_counts_the_cells_of_the_pages():
    summary = (PAGES / "README.md").read_text(encoding="utf-8")
    for page in replicate.PAGES:
        states = [row["state"] for row in rows(page)]
        counted = [str(len(states)), *(str(states.count(state)) for state in STATES)]
        assert f"({page}.md) | {' | '.join(counted)} |" in summary


def test_a_cell_is_met_by_half_a_unit_of_its_last_digit():
    cells = compared(pl.DataFrame({"printed": [0.10, 0.10, 0.10], "ours": [0.105, 0.1051, None], "part": "a"}), 2)
    assert cells["state"].to_list() == ["met", "differs", "open"]
    assert counts(cells, "part", "part").splitlines()[2:] == [
        "| a | 3 | 1 | 0 | 1 | 1 |",
        "| all | 3 | 1 | 0 | 1 | 1 |",
    ]


def test_a_cell_with_a_monte_carlo_error_is_compared_within_three_of_them():
    given = {"printed": 0.1, "ours": [0.15, 0.134, 0.136, None, 0.10], "error": [0.02, 0.01, 0.01, None, None]}
    states = compared(pl.DataFrame(given), 2)["state"].to_list()
    assert states == [WITHIN, WITHIN, "differs", "open", "met"]


def test_without_data_pages_stay_as_they_are(tmp_path):
    for path in PAGES.glob("*.md"):
        shutil.copy(path, tmp_path)
    said = list(replicate.remake(tmp_path / "none", tmp_path))
    assert said[:2] == [
        f"{page}.md: left as it is, since there is no folder {module.FOLDER} in {tmp_path / 'none'}"
        for page, module in replicate.PAGES.items()
    ]
    assert said[2] == "README.md: no number changed"
    assert (tmp_path / "incerti.md").read_text() == (PAGES / "incerti.md").read_text()


@pytest.mark.parametrize(("given", "words"), [([], "No folder was given"), (["nowhere"], "There is no folder nowhere")])
def test_a_folder_that_is_not_there_is_refused(given, words):
    with pytest.raises(SystemExit, match=words):
        replicate.main(given)
