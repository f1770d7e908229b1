"""Runs of registered studies: every table says whether it is registered or exploratory."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.cli.registered_prices import compare_prices
from marketimpact.cli.registration import registered_analysis
from marketimpact.cli.study_file import read_study
from marketimpact.report import TABLE_DESCRIPTIONS
from marketimpact.report.registration_status import DESCRIPTIVE, EXPLORATORY, REGISTERED, RegisteredAnalysis
from tests.command import marketimpact
from tests.unit.cli.test_register import STUDY, SYMBOLS

#: With a curve, so that every table of a run is there.
CURVE = (
    '[specification]\nmodels = ["market_model", "mean_adjusted"]\nevent_windows = [[0, 1]]\n'
    'tests = ["bmp_kp"]\ngroups = ["Designers"]\ndraws = 19\n'
)
FRAMES = {
    "events": DESCRIPTIVE,
    "estimates": DESCRIPTIVE,
    "attrition": DESCRIPTIVE,
    "findings": DESCRIPTIVE,
    "price_repairs": DESCRIPTIVE,
    "abnormal_returns": EXPLORATORY,
    "car": EXPLORATORY,
    "caar": EXPLORATORY,
    "car_by_leg": EXPLORATORY,
    "specifications": EXPLORATORY,
    "specifications_joint": EXPLORATORY,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A folder with a registered study, run as registered, as exploratory and without its registration."""
    folder = tmp_path_factory.mktemp("registered")
    (folder / "s.toml").write_text(STUDY + CURVE, encoding="utf-8")
    (folder / "other.toml").write_text(STUDY.replace("Two groups", "Three") + CURVE, encoding="utf-8")
    assert marketimpact("register", "s.toml", "--date", "2025-06-01", cwd=folder).returncode == 0
    registered = ("--registered", "s.registration.toml")
    words = {
        "registered": ("s.toml", *registered, "--format", "html,md,tex", "--excel"),
        "exploratory": ("other.toml", *registered, "--exploratory", "--format", "md"),
        "plain": ("s.toml", "--format", "md"),
    }
    shown = {}
    for name, options in words.items():
        done = marketimpact("run", *options, "--out", name, cwd=folder)
        assert done.returncode == 0, done.stderr
        shown[name] = " ".join(done.stdout.split())
    return folder, shown


def test_every_frame_has_a_status(ran):
    folder, _ = ran
    frames = {path.stem: pl.read_parquet(path) for path in (folder / "registered").glob("*.parquet")}
    assert set(frames) == {*FRAMES, "tests"}
    assert set(frames) <= set(TABLE_DESCRIPTIONS)  # in words, in report and package
    for name, status in FRAMES.items():
        assert frames[name].columns[-1] == "registration_status"
        assert set(frames[name]["registration_status"]) <= {status}, name
    tests = frames["tests"]
    expected = pl.when(pl.col("role") == "primary").then(pl.lit(REGISTERED)).otherwise(pl.lit(EXPLORATORY))
    assert tests.select((pl.col("registration_status") == expected).all()).item()
    # two announcements, two groups and two windows, each with one primary test
    assert (tests["registration_status"] == REGISTERED).sum() == 8
    csv = pl.read_csv(folder / "registered" / "tests.csv", infer_schema_length=None)
    assert csv["registration_status"].to_list() == tests["registration_status"].to_list()


@pytest.mark.parametrize("suffix", ["md", "tex", "html"])
def test_every_table_of_a_report_has_a_status(ran, suffix):
    folder, _ = ran
    text = (folder / "registered" / f"report.{suffix}").read_text(encoding="utf-8")
    captions = {
        "md": r"^\*\*((?!SIMULATED).+)\*\*$",
        "tex": r"\\multicolumn.*?\\bfseries (.+?)\} \\\\|^\\textbf\{((?!SIMULATED).*)\}\\par$",
        "html": r'<p class="caption">(.*?)</p>',
    }
    found = ["".join(match.groups(default="")) for match in re.finditer(captions[suffix], text, flags=re.MULTILINE)]
    words = (REGISTERED, EXPLORATORY, DESCRIPTIVE)
    assert len(found) > 8
    assert all(any(word in caption.lower() for word in words) for caption in found), found
    assert any("Every group and window (registered)" in caption for caption in found)
    # the page folds further tables away, and shows that of the brief under a sentence on its status
    starts = {"md": r"^\| :?---", "tex": r"\\begin\{longtable\}"}.get(suffix)
    if starts is not None:
        assert len(found) >= len(re.findall(starts, text, flags=re.MULTILINE)) > 8
    assert "Charts: exploratory." in text


def test_the_terminal_and_the_page_say_what_is_registered(ran):
    folder, shown = ran
    sentence = "the primary tests of group means over [0, 0], [0, 1] are registered; everything else"
    assert sentence in shown["registered"]
    assert sentence in (folder / "registered" / "report.html").read_text(encoding="utf-8")
    book = pl.read_excel(folder / "registered" / "tables.xlsx", sheet_id=1, has_header=False)
    assert "registration_sha256" in str(book.to_dicts())


def test_the_terminal_says_how_many_registered_events_are_used(ran):
    _, shown = ran
    for group, n in (("Nvidia", 2), ("Designers", 8)):
        told = f"Group {group}: {n} of the {n} registered events have an estimate over [0, 1]."
        assert told in shown["registered"]
        assert told not in shown["exploratory"]
    assert "of 2025-06-01 (date given by hand): the primary tests" in shown["registered"]


def test_firms_that_have_fallen_out_and_other_prices_are_said(tmp_path):
    """Two of the four designers lose their prices; others than those of the sample are real for the package."""
    (tmp_path / "s.toml").write_text(STUDY, encoding="utf-8")
    assert marketimpact("register", "s.toml", cwd=tmp_path).returncode == 0
    few = mi.SamplePrices().read(["NVDA", "^GSPC", "688256.SS", "688041.SS", "000300.SS"]).frame
    ripple = 1.0 + 0.001 * (pl.col("date").dt.ordinal_day() * 7919 % 11)
    few.with_columns(pl.col("close") * ripple, pl.col("open") * ripple).write_parquet(tmp_path / "few.parquet")
    words = ("run", "s.toml", "--registered", "s.registration.toml", "--prices", "few.parquet", "--format", "md")
    done = marketimpact(*words, "--out", "few", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    fallen = "Group Designers: 4 of the 8 registered events have an estimate over [0, 1]."
    kinds = "The study was registered on simulated prices, and these are real."
    errors, output = " ".join(done.stderr.split()), " ".join(done.stdout.split())
    assert f"Registered events have fallen out. {fallen} The primary tests" in errors
    assert kinds in errors
    assert f"{kinds} Group Nvidia: 2 of the 2 registered events have an estimate over [0, 1]. {fallen}" in output
    report = " ".join((tmp_path / "few" / "report.md").read_text(encoding="utf-8").split())
    assert report.count("4 of the 8 registered events") >= 2
    whole = marketimpact("run", "s.toml", "--registered", "s.registration.toml", "--out", "whole", cwd=tmp_path)
    assert "registered" not in whole.stderr
    marketimpact("register", "s.toml", "--force", "--prices", "few.parquet", cwd=tmp_path)
    other = marketimpact("run", "s.toml", "--registered", "s.registration.toml", "--out", "other", cwd=tmp_path)
    assert "The study was registered on real prices, and these are simulated." in " ".join(other.stderr.split())


def changed_file(path: Path, change: pl.Expr) -> None:
    """Write prices of the sample, opens left out, with other closes."""
    prices = mi.SamplePrices().read(SYMBOLS).frame.select("symbol", "date", "close", "volume")
    prices.with_columns(change.alias("close")).write_parquet(path)


#: A day in the estimation windows of both announcements, before all event windows.
BEFORE = (pl.col("symbol") == "NVDA") & (pl.col("date") == date(2025, 3, 14))
#: A day in an event window.
AFTER = (pl.col("symbol") == "NVDA") & (pl.col("date") == date(2025, 7, 15))


def test_prices_that_have_changed_since_the_registration_are_said(tmp_path):
    (tmp_path / "s.toml").write_text(STUDY, encoding="utf-8")
    prices = tmp_path / "prices.parquet"
    close = pl.col("close")
    changed_file(prices, close)
    assert marketimpact("register", "s.toml", "--prices", "prices.parquet", cwd=tmp_path).returncode == 0
    words = ("run", "s.toml", "--registered", "s.registration.toml", "--prices", "prices.parquet", "--format", "md")
    lead = "The prices up to 2025-06-29, with which the study was registered, have changed since (fingerprint "

    def told(change: pl.Expr) -> tuple[str, str]:
        changed_file(prices, change)
        done = marketimpact(*words, "--out", "out", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stderr.split()), " ".join(done.stdout.split())

    errors, output = told(close)
    assert "have changed since" not in errors + output
    errors, output = told(close * pl.when(AFTER).then(1.05).otherwise(1.0))  # its window may have any prices
    assert "have changed since" not in errors + output
    errors, output = told(close * pl.when(BEFORE).then(1.05).otherwise(1.0))
    report = " ".join((tmp_path / "out" / "report.md").read_text(encoding="utf-8").split())
    for text in (errors, output, report.replace("&gt;", ">")):
        assert lead in text
        assert "and so have returns of NVDA (" in text
        assert "are registered; everything else" in text or text is errors
    # standard deviations of the registered returns, before and with the change, from the prices alone
    days = mi.SamplePrices().read(["NVDA"]).frame.filter(pl.col("date") <= date(2025, 6, 29))
    sds = [np.std(np.diff(c) / c[:-1], ddof=1) for c in (
        days["close"].to_numpy(),
        days.select(close * pl.when(BEFORE).then(1.05).otherwise(1.0)).to_series().to_numpy(),
    )]  # fmt: skip
    n = days.height - 1
    assert f"NVDA ({n:,} of sd {sds[0]:.3%} -> {n:,} of sd {sds[1]:.3%})" in output
    tests = pl.read_parquet(tmp_path / "out" / "tests.parquet")
    assert (tests["registration_status"] == REGISTERED).any()


def test_closes_that_a_vendor_adjusted_anew_are_said_to_have_the_same_returns(tmp_path):
    """A dividend after the registration scales all earlier closes, and no return; older records have no returns."""
    (tmp_path / "s.toml").write_text(STUDY, encoding="utf-8")
    changed_file(tmp_path / "prices.parquet", pl.col("close"))
    assert marketimpact("register", "s.toml", "--prices", "prices.parquet", cwd=tmp_path).returncode == 0
    changed_file(tmp_path / "prices.parquet", pl.col("close") * 0.9973)
    plan = read_study(tmp_path / "s.toml")
    source = mi.FilePrices(tmp_path / "prices.parquet")
    analysis = registered_analysis(tmp_path / "s.registration.toml", plan, exploratory=False)
    market = plan.market_until(date(2025, 6, 29), source)
    # the package takes other prices than the sample's for real ones
    analysis = replace(analysis, simulated=market.simulated)
    with pytest.warns(mi.MarketImpactWarning, match="but no security has another number or standard deviation"):
        noted = compare_prices(analysis, plan, source, market)
    assert noted.notes[-1].endswith("as where a vendor adjusts closes anew after a dividend or split.")
    older = {name: value for name, value in analysis.prices.items() if name != "returns"}
    with pytest.warns(mi.MarketImpactWarning, match="may have adjusted them anew, or somebody changed them"):
        compare_prices(replace(analysis, prices=older), plan, source, market)
    late = mi.FilePrices(pl.read_parquet(tmp_path / "prices.parquet").filter(pl.col("date") > date(2025, 7, 1)))
    with pytest.warns(mi.MarketImpactWarning, match="cannot be read any more"):
        compare_prices(analysis, plan, late, market)
    changed = replace(analysis, differences=("study.title",))
    assert compare_prices(changed, plan, source, market) is changed


def test_a_study_that_differs_is_exploratory_throughout(ran):
    folder, shown = ran
    assert "everything here is exploratory, since the study differs from it in study.title" in shown["exploratory"]
    for path in (folder / "exploratory").glob("*.parquet"):
        assert REGISTERED not in pl.read_parquet(path)["registration_status"], path.name
    report = (folder / "exploratory" / "report.md").read_text(encoding="utf-8")
    assert "(registered)" not in report
    assert "**Registered**" not in report
    assert 'study.title: "Two groups" -&gt; "Three"' in report


def test_without_a_registration_nothing_is_marked(ran):
    folder, shown = ran
    assert "egistration" not in shown["plain"]
    for path in (folder / "plain").iterdir():
        assert b"registration_status" not in path.read_bytes(), path.name
        assert b"xploratory" not in path.read_bytes(), path.name
    for path in (folder / "plain").glob("*.parquet"):
        marked = pl.read_parquet(folder / "registered" / path.name)
        assert marked.drop("registration_status").equals(pl.read_parquet(path))


def test_json_names_the_registration(ran):
    folder, _ = ran
    words = ("run", "other.toml", "--registered", "s.registration.toml", "--exploratory", "--json", "--out", "json")
    told = json.loads(marketimpact(*words, cwd=folder).stdout)
    assert told["registration"]["differences"] == ['study.title: "Two groups" -> "Three"']
    assert {row["registration_status"] for row in told["tests"]} == {EXPLORATORY}


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ('"NVDA"', '"AMD"', ['study.groups[Nvidia].symbols: ["NVDA"] -> ["AMD"]']),
        ("= 0.02", "= 0.03", ["study.registration.smallest_effect: 0.02 -> 0.03"]),
        (
            "[registration]",
            "[report]\nwindows = [[0, 2]]\n[registration]",
            ["study.report.windows: [[0, 1], [0, 0]] -> [[0, 2]]"],
        ),
        (
            "[registration]",
            'version = "2026.06"\n[registration]',
            ['inputs.announcements.catalogue: "2026.11" -> "2026.06"', 'with version = "2026.11" under'],
        ),
        ("[registration]", "[study]\nestimation_after = [31, 90]\n[registration]", ["estimation_after: absent -> [31"]),
    ],
)
def test_a_changed_study_stops_before_prices_are_read(tmp_path, before, after, lines):
    (tmp_path / "s.toml").write_text(STUDY, encoding="utf-8")
    assert marketimpact("register", "s.toml", cwd=tmp_path).returncode == 0
    (tmp_path / "s.toml").write_text(STUDY.replace(before, after, 1), encoding="utf-8")
    words = ("run", "s.toml", "--registered", "s.registration.toml", "--prices", "none.parquet")
    done = marketimpact(*words, cwd=tmp_path)
    assert done.returncode == 1
    for line in lines:
        assert line in done.stderr, done.stderr
    assert "add --exploratory to go on" in done.stderr
    assert not (tmp_path / "out").exists()


def test_groups_in_another_order_are_a_difference(tmp_path):
    (tmp_path / "s.toml").write_text(STUDY, encoding="utf-8")
    assert marketimpact("register", "s.toml", cwd=tmp_path).returncode == 0
    head, first, second = STUDY.split("[[groups]]\n")
    (tmp_path / "s.toml").write_text("[[groups]]\n".join([head, second, first]), encoding="utf-8")
    done = marketimpact("run", "s.toml", "--registered", "s.registration.toml", cwd=tmp_path)
    assert 'study.groups: ["Nvidia", "Designers"] -> ["Designers", "Nvidia"]' in done.stderr


def test_bad_registrations_are_one_message(tmp_path):
    (tmp_path / "s.toml").write_text(STUDY, encoding="utf-8")
    for words, code, message in (
        (("--registered", "none.toml"), 1, "There is no registration 'none.toml'"),
        (("--registered", "s.toml"), 1, "s.toml is no registration"),
        (("--registered", "."), 1, "cannot be read as a registration"),
        (("--exploratory",), 2, "--exploratory goes with --registered"),
    ):
        done = marketimpact("run", "s.toml", *words, cwd=tmp_path)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_windows_and_groups_that_are_not_declared_are_exploratory():
    analysis = RegisteredAnalysis("f" * 64, "2026-11-29", ((0, 1),), ("Nvidia",))
    assert analysis.status("tests", window=(0, 1), group="Nvidia") == REGISTERED
    assert analysis.status("tests", window=(0, 0), group="Nvidia") == EXPLORATORY
    assert analysis.status("tests", window=(0, 1), group="AMD") == EXPLORATORY
    assert analysis.status("tests", role="robustness", window=(0, 1), group="Nvidia") == EXPLORATORY
    assert analysis.status("regressions") == EXPLORATORY
    assert analysis.status("curve") == EXPLORATORY
    assert "over [0, 1] are registered" in analysis.sentence([(0, 0), (0, 1)])
    assert "everything here is exploratory" in analysis.sentence([(0, 0)])


def test_a_column_of_that_name_is_kept_under_another():
    analysis = RegisteredAnalysis("f" * 64, "2026-11-29", ((0, 1),))
    frame = pl.DataFrame({"event_id": ["a"], "registration_status": ["mine"]})
    marked = analysis.mark_tables({"events": frame}, None)["events"]
    assert marked.row(0, named=True) == {
        "event_id": "a",
        "registration_status_event": "mine",
        "registration_status": DESCRIPTIVE,
    }
