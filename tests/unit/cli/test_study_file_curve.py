"""A specification curve in a study file: errors name lines, it runs, and the report has its numbers."""

from __future__ import annotations

import json
import re
from statistics import median

import polars as pl
import pytest

import marketimpact as mi
from marketimpact import report
from marketimpact.cli import study_file_curve as study_curve
from marketimpact.cli.new_study import TEMPLATE
from marketimpact.cli.study_file import read_study
from marketimpact.cli.study_file_schema import study_schema
from marketimpact.display.formats import percent
from marketimpact.report.specification_section import TITLE
from tests.command import marketimpact

BEIJING = "2025-08-12-beijing-discourages-h20"
DESIGNERS = ["688256.SS", "688041.SS", "688047.SS", "300474.SZ"]
STUDY = f"""
[announcements]
ids = ["2025-07-14-h20-resumption", "{BEIJING}"]

[specification]
groups = ["Designers"]
models = ["market_model", "ff3"]
estimation_windows = [[-250, -11]]
event_windows = [[0, 1], [-1, 1]]
tests = ["bmp_kp", "date_means_t"]
without = ["688256.SS", "688041.SS"]
draws = 19

[[groups]]
name = "Nvidia"
symbols = ["NVDA"]

[[groups]]
name = "Designers"
symbols = {json.dumps(DESIGNERS)}
"""


def written(folder, text: str):
    path = folder / "s.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return read_study(written(tmp_path_factory.mktemp("curve"), STUDY))


@pytest.fixture(scope="module")
def answer(plan):
    return plan.run(mi.SamplePrices())


@pytest.fixture(scope="module")
def curve(plan, answer):
    return plan.curve(answer, mi.SamplePrices())


def test_every_combination_is_a_row_with_only_the_events_requested(curve):
    frame = curve.curve.frame
    assert frame.height == 2 * 1 * 2 * 1 * 3 * 2
    ran = frame.drop_nulls("estimate")
    assert set(ran["model"]) == {"market_model"}  # the sample has no factors
    counts = dict(ran.group_by("filter").agg(pl.col("n_events").max()).iter_rows())
    assert counts == {"all": 8, "without Cambricon": 6, "without Hygon": 6}  # four firms, two announcements


def test_prices_are_loaded_once_for_each_benchmark(tmp_path, monkeypatch):
    both = STUDY.replace("draws = 19", 'draws = 0\nbenchmarks = ["benchmark", "sector_proxy"]')
    file, loaded, load = read_study(written(tmp_path, both)), [], mi.Market.load
    monkeypatch.setattr(mi.Market, "load", lambda *given, **options: loaded.append(options) or load(*given, **options))
    curve = file.curve(file.run(mi.SamplePrices()), mi.SamplePrices())
    assert curve.curve.frame["benchmark"].n_unique() == 2
    assert [options["benchmark"] for options in loaded] == ["benchmark", "sector_proxy"]


def test_a_row_is_what_a_study_of_the_same_events_says(curve, answer):
    events = answer.events.filter(pl.col("symbol").is_in(DESIGNERS) & (pl.col("symbol") != "688256.SS"))
    alone = mi.EventStudy(event_window=(-1, 1)).run(events, answer.result.market)
    row = curve.curve.frame.filter(
        pl.col("estimate").is_not_null(), filter="without Cambricon", event_window="[0, 1]", test="bmp_kp"
    ).row(0, named=True)
    assert row["estimate"] == pytest.approx(alone.car(0, 1)["car"].mean(), rel=1e-12)
    assert row["p_value"] == pytest.approx(alone.test(0, 1, tests=["bmp_kp"])["p_value"][0], rel=1e-12)
    assert (curve.joint.draws, curve.joint.n_chains) == (19, 2)


def test_another_benchmark_is_another_market(tmp_path):
    text = STUDY.replace("draws = 19", 'draws = 0\nbenchmarks = ["benchmark", "sector_proxy"]')
    plan = read_study(written(tmp_path, text))
    assert {"000300.SS", "588200.SS", "SOXX"} <= set(plan.symbols())
    found = plan.curve(plan.run(mi.SamplePrices()), mi.SamplePrices())
    medians = found.curve.frame.drop_nulls("estimate").group_by("benchmark").agg(pl.col("estimate").median())
    assert sorted(medians["benchmark"]) == ["benchmark", "sector proxy"]
    assert medians["estimate"].n_unique() == 2
    assert found.joint is None


def test_no_table_no_curve(tmp_path):
    plan = read_study(written(tmp_path, f"[announcements]\nids = ['{BEIJING}']"))
    assert plan.specification is None
    assert plan.curve(plan.run(mi.SamplePrices()), mi.SamplePrices()) is None


def test_defaults_of_the_schema_are_the_curve_s(tmp_path):
    told = study_schema()["properties"]["specification"]["properties"]
    plan = read_study(written(tmp_path, "[specification]")).specification
    assert list(plan.models) == told["models"]["default"]
    for key in ("estimation_windows", "event_windows"):
        assert [list(window) for window in getattr(plan, key)] == told[key]["default"]
    assert [list(plan.tests), list(plan.benchmarks)] == [told[key]["default"] for key in ("tests", "benchmarks")]
    assert plan.draws == told["draws"]["default"]
    assert [model.name for model in plan.models.values()] == list(plan.models)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"ff3"', '"ff33"', ["line 7", "did you mean 'ff3'", "must be a list of any of"]),
        ('"ff3"', '"factor_model"', ["line 7", "takes its factors from [study]"]),
        ('"ff3"', '"peer_mean"', ["line 7", "takes its donors from [study]"]),
        ('"ff3"', '"market_model"', ["line 7", "names 'market_model' twice"]),
        ("[[-250, -11]]", "[[-250, 0]]", ["line 8", "estimation window ends at session 0"]),
        ("[[-250, -11]]", "[-250, -11]", ["line 8", "list of pairs"]),
        ("[0, 1], [-1, 1]", "[0, 1], [1, -1]", ["line 9", "is reversed"]),
        ('"date_means_t"', '"date_mean_t"', ["line 10", "did you mean 'date_means_t'"]),
        ('"688256.SS", "688041.SS"]\ndraws', '"688256.SS", "NVDA"]\ndraws', ["line 11", "'NVDA' is in none of"]),
        ("draws = 19", "draws = -1", ["line 12", "0 or more"]),
        ("draws = 19", "draw = 19", ["line 12", "[specification] has no key 'draw'", "did you mean 'draws'"]),
        ('groups = ["Designers"]', 'groups = ["Designer"]', ["line 6", "not the name of one of the [[groups]]"]),
        ('groups = ["Designers"]', 'announcements = ["2025"]', ["line 6", "not among the ids"]),
        ("[specification]", "[[specification]]", ["line 5", "must be a table, written [specification]"]),
    ],
)
def test_what_is_wrong_with_a_curve_is_said_with_its_line(tmp_path, old, new, said):
    text = STUDY.replace(old, new, 1)
    assert text != STUDY
    with pytest.raises(mi.SpecificationError) as caught:
        read_study(written(tmp_path, text))
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize(("key", "name"), [("announcements", "nothing"), ("without", "NVDB")])
def test_what_no_event_has_is_refused_where_the_file_names_neither_ids_nor_groups(tmp_path, key, name):
    plan = read_study(written(tmp_path, f"[specification]\n{key} = ['{name}']\n[study]\nmin_observations = 60"))
    answer = read_study(written(tmp_path, f"[announcements]\nids = ['{BEIJING}']")).run(mi.SamplePrices())
    with pytest.raises(mi.SpecificationError, match=rf"line 2: .specification. {key}: '{name}' is not among"):
        plan.curve(answer, mi.SamplePrices())


def test_a_factor_model_is_the_study_s_own(tmp_path):
    text = "[study]\nmodel = 'factor_model'\nfactors = ['sox']\n[specification]\nmodels = ['factor_model']"
    plan = read_study(written(tmp_path, text))
    assert list(plan.specification.models.values()) == [plan.study.model]


def test_a_garch_model_of_the_study_keeps_its_options(tmp_path):
    text = "[study]\nmodel = 'garch11'\nforecast_from = 'event_window_start'\n"
    plan = read_study(written(tmp_path, f"{text}[specification]\nmodels = ['garch11', 'egarch11']"))
    assert list(plan.specification.models.values()) == [plan.study.model, mi.Egarch()]


def test_a_curve_without_room_for_placebo_days_stays_and_says_so(tmp_path):
    text = STUDY.replace("[[-250, -11]]", "[[-250, -11], [-40, -21]]").replace('"ff3"', '"mean_adjusted"')
    plan = read_study(written(tmp_path, f"[study]\nmin_observations = 15\n{text}"))
    with pytest.warns(mi.MarketImpactWarning, match="not tested as a whole"):
        found = plan.curve(plan.run(mi.SamplePrices()), mi.SamplePrices())
    assert found.joint is None
    assert found.curve.frame["estimate"].count() > 0


@pytest.fixture(scope="module")
def texts(answer, curve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    told = report.report_content(answer.result, group="group", curve=curve.curve, joint=curve.joint)
    paths = report.write_reports(told, [folder / f"r.{kind}" for kind in ("html", "md", "tex")])
    return {path.suffix: path.read_text(encoding="utf-8") for path in paths}, report.report_tables(told)


def test_the_words_say_what_a_plain_count_says(texts, curve):
    ran = [row for row in curve.curve.frame.iter_rows(named=True) if row["estimate"] is not None]
    held = [row for row in ran if row["valid"]]
    found = [row for row in held if row["p_value"] < 0.05]
    sizes = sorted(row["estimate"] for row in ran)
    low, middle, high = (percent(x) for x in (sizes[0], median(sizes), sizes[-1]))
    text = texts[0][".md"]
    assert 0 < len(held) < len(ran) < curve.curve.frame.height
    assert f"The CAAR lies between {low} and {high}, with a median of {middle}" in text
    assert f"above zero in {sum(size > 0 for size in sizes)} of {len(sizes)}." in text
    assert text.count(f"{len(found)} of {len(held)} with a valid test are significant at 5%") == 1
    name, observed, _, low, high, p = curve.joint.frame.row(0)
    ends = " to ".join(percent(end) for end in (low, high))
    verdict = "significant at 5%" if p < 0.05 else "not significant"
    assert f"the {name} is {percent(observed)}, on placebo days {ends} (p = {p:.3f}, {verdict})" in text  # in the brief
    assert f"its {name} is {percent(observed)}; 95% of curves on placebo days: {ends} (p = {p:.3f}, {verdict})" in text
    assert f"{curve.curve.frame.height - len(ran)} could not be run" in text
    assert f"Across {len(ran)} specifications" in text
    for name, observed, _, _, _, p in curve.joint.frame.iter_rows():
        size = {"mean z": f"{observed:.2f}", "share significant": f"{observed:.2%}"}.get(name, f"{observed:+.2%}")
        shown = "0.00%" if size == "+0.00%" else size.replace("-", "−")
        assert re.search(rf"\| {name} \| {re.escape(shown)} \| .* \| {p:.3f} \|", text)


def test_every_format_and_the_tables_carry_the_curve(texts, curve):
    pages, tables = texts
    assert all(TITLE in page for page in pages.values())
    assert all("without Cambricon" in page for page in pages.values())
    assert "could not be run" in pages[".tex"]
    assert tables["specifications"].equals(curve.curve.frame)
    assert tables["specifications_joint"].equals(curve.joint.frame)
    for kind in ("csv", "parquet"):
        assert f'download="specifications.{kind}"' in pages[".html"]
    section = pages[".html"].split('<section id="curve">')[1].split("</section>")[0]
    assert section.count("<figure") == 1
    assert "simulated prices" in section


def test_specifications_that_repeat_another_are_counted(answer, tmp_path):
    market = answer.result.market
    models = [mi.MarketModel(), mi.MeanAdjusted()]
    twice = {"own": market, "again": mi.Market.load(market.securities, mi.SamplePrices(), benchmark="sector_proxy")}
    curve = mi.specification_curve(answer.events, market, models=models, event_windows=[(0, 1)], benchmarks=twice)
    text = mi.write_report(answer.result, tmp_path / "r.md", curve=curve).read_text(encoding="utf-8")
    assert "1 of them have the very numbers of another" in text  # the mean does not look at a benchmark
    alone = mi.specification_curve(answer.events, market, models=models, event_windows=[(0, 1)])
    text = mi.write_report(answer.result, tmp_path / "r.md", curve=alone).read_text(encoding="utf-8")
    assert "very numbers" not in text


def test_without_a_joint_test_nothing_is_said_about_rarity(answer, curve, tmp_path):
    path = mi.write_report(answer.result, tmp_path / "r.md", curve=curve.curve)
    text = path.read_text(encoding="utf-8")
    assert "not compared with placebo days" in text
    assert "against placebo days" not in text
    assert TITLE not in mi.write_report(answer.result, path).read_text(encoding="utf-8")


def test_a_curve_of_which_nothing_ran_says_so(answer, tmp_path):
    curve = mi.specification_curve(answer.events, answer.result.market, models=[mi.FamaFrench3()])
    text = mi.write_report(answer.result, tmp_path / "r.md", curve=curve).read_text(encoding="utf-8")
    assert "None of 3 specifications could be run" in text
    assert "None of the 3 could be run; the table says why." in text


def test_the_template_has_a_curve_and_runs_it(tmp_path):
    written(tmp_path, TEMPLATE.read_text(encoding="utf-8").replace("# draws = 499", "draws = 9"))
    done = marketimpact("run", "s.toml", "--format", "md", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert pl.read_parquet(tmp_path / told["tables"]["specifications"]).height == 3 * 2 * 3 * 2
    assert study_curve.DEFAULT_DRAWS == 499
