"""The report: complete, self-contained, escaped, honest, and the same bytes every time."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import marketimpact as mi
from marketimpact import report
from marketimpact.cli.study_file import read_study
from marketimpact.display import charts
from marketimpact.display.firm_chart import EXTREMES, MOST_FIRMS
from marketimpact.events import calendars
from marketimpact.events.exchange_names import NAMES, exchange
from marketimpact.report.content import MOST_DETAILED
from marketimpact.report.figures import MOST_PATHS, path_figures
from marketimpact.study import result as result_module
from tests.conftest import golden

SECTIONS = ["short", "announced", "reached", "moved", "paths", "tests", "around", "left-out", "record", "data"]
ADDRESSES = {"src", "href", "action", "data", "xlink:href", "srcset", "poster"}


class Page(HTMLParser):
    """What a browser would fetch, and what a reader would see."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.muted_rows = 0
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        if tag == "section":
            self.ids.append(named["id"])
        self.muted_rows += tag == "tr" and named.get("class") == "muted"
        if tag != "a":
            self.fetched += [v for k, v in attrs if k in ADDRESSES and not str(v).startswith(("data:", "#"))]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def answer(h20):
    return h20


@pytest.fixture(scope="module")
def page(answer, tmp_path_factory) -> Page:
    plan = read_study("h20")
    path = tmp_path_factory.mktemp("report") / "new" / "folder" / "report.html"
    report.write_report(
        answer.result, path, title=plan.title, question=plan.question, windows=plan.windows, group="group",
        chronology=answer.chronology,
    )  # fmt: skip
    return Page(path)


def test_every_section_is_there_in_order(page):
    assert page.ids == SECTIONS


def test_nothing_is_fetched_when_it_is_opened(page):
    assert page.fetched == []
    own = page.source.replace(charts.vega_script(), "")
    for word in ("@import", "url(", "<script src", "<iframe", "<object", "@font-face"):
        assert word not in own
    assert "default-src 'none'" in own


def test_the_banner_says_simulated_loudly(page):
    assert "SIMULATED PRICES" in page.text
    assert page.text.count("simulated prices") >= 15  # every chart says it too


def test_the_true_effect_stands_beside_the_estimate(page):
    assert "put in" in page.text
    assert "51 of 51 intervals contain the effect put into simulated prices" in page.text


def test_the_first_section_is_the_brief(page, answer):
    first = page.source.split('<section id="short"')[1].split("</section>")[0]
    made = report.brief(answer.result, windows=[(0, 1)], chronology=answer.chronology)
    for _, sentence in made.sentences:
        lead, _, rest = sentence.partition(":")
        assert f'<strong>{lead}</strong>:<span class="rest">{rest}</span>' in first.replace("&lt;", "<")
    assert "no test can distinguish a common effect" in page.text
    assert "“not significant” is no effect: the interval says which effects remain possible" in page.text


def test_benchmarks_are_named_beside_each_group(page):
    section = page.source.split('<section id="tests">')[1].split("</section>")[0]
    for name in ("S&amp;P 500 (^GSPC)", "CSI 300 (000300.SS)", "Hang Seng (^HSI)"):
        assert name in section


def test_returns_as_traded_stand_beside_abnormal_ones(page, answer):
    rows = answer.result.abnormal_returns.filter(pl.col("tau") == 0)
    assert "return day 0" in page.text
    for value in rows["ret"].head(12):
        written = f"{value:+.2%}".replace("-", "−")
        assert f">{written}</td>" in page.source


def test_intervals_of_the_tables_contain_zero_where_p_says_so_and_invalid_tests_have_no_p(page, answer):
    section = page.source.split('<section id="tests">')[1].split("</section>")[0]
    rows = [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", section)
    ]
    n_intervals = n_invalid = 0
    for cells in rows:
        ends = next((match for cell in cells if (match := re.fullmatch(r"([+−\d.]+)% to ([+−\d.]+)%", cell))), None)
        if ends:
            low, high = (float(end.replace("−", "-")) for end in ends.groups())
            p = cells[[bool(re.fullmatch(r"<?0\.\d+|1\.000", cell.replace("&lt;", "<"))) for cell in cells].index(True)]
            assert (low <= 0 <= high) == (float(p.replace("&lt;", "")) >= 0.05), cells
            n_intervals += 1
        if "no" in cells or any(cell.startswith("not valid") for cell in cells):
            assert not [cell for cell in cells[2:] if re.fullmatch(r"(&lt;)?\d\.\d+", cell)], cells
            n_invalid += 1
    assert n_intervals > 40
    assert n_invalid > 40


def test_the_window_table_has_the_numbers_of_the_primary_test(page, answer):
    plan = read_study("h20")
    for (_, group), part in answer.result.by("announcement_id", "group").groups():
        row = part.test(*plan.windows[0]).filter(role="primary").row(0, named=True)
        if not row["valid"]:
            continue
        ends = " to ".join(f"{100 * row[end]:+.2f}%".replace("-", "−") for end in ("ci_low", "ci_high"))
        p = "&lt;0.001" if row["p_value"] < 0.001 else f"{row['p_value']:.3f}"
        numbers = [ends, p, f"{100 * row['effect_mde']:.2f}%"]
        assert "".join(f'<td class="num">{number}</td>' for number in numbers[1:]) in page.source, group
        assert f">{ends}</td>" in page.source, group


def test_a_price_limit_is_named(page):
    assert "Cambricon (688256.SS) rose 20.0% on day 0" in page.text
    assert "at its daily price limit, so a lower bound" in page.text
    assert "lower bound" in page.text


def test_tests_that_do_not_hold_are_set_back(page):
    assert page.muted_rows > 20
    assert "not valid: takes events as independent" in page.text
    assert page.tags.count("details") > 5


def test_other_announcements_are_named(page):
    assert "US-China tariff truce extended to November" in page.text
    assert "online rumours of large Cambricon substrate orders" in page.text


def test_days_on_which_an_exchange_was_shut_are_named_only_where_a_window_has_them(page, answer):
    assert {"2023-09-01", "2023-09-08"} <= set(answer.result.market.repairs["date"].cast(pl.String))
    assert "2023-09-0" not in page.text
    assert "Where prices and calendars disagreed" not in page.text


def test_the_same_result_gives_the_same_bytes_in_any_process(h20_folders):
    """Two processes with other hash seeds."""
    one, two = (folder / "report.html" for folder in h20_folders)
    assert one.read_bytes() == two.read_bytes()
    tables = {".csv", ".parquet"}
    assert [path.name for path in one.parent.iterdir() if path.suffix not in tables] == ["report.html"]  # no draft


def test_markup_from_outside_stays_text(answer, tmp_path):
    nasty = '<script>alert("x")</script> & <b>'
    events = answer.events.with_columns(
        pl.lit(nasty).alias("headline"),
        pl.lit(nasty).alias("name"),
        pl.lit("javascript:alert(1)").alias("source_url"),
        pl.lit(nasty).alias("confounders"),
        pl.lit(nasty).alias("group"),
    )
    result = mi.EventStudy().run(events, answer.result.market)
    page = Page(
        report.write_report(result, tmp_path / "r.html", title=nasty, question=nasty, chronology=answer.chronology)
    )
    assert f"<script>{nasty[8:]}" not in page.source
    assert page.source.count("<script>") == 2  # Vega, and what puts its charts into the page
    assert "b" not in page.tags
    assert "javascript:" not in page.source
    assert nasty in page.text


def test_plain_events_make_a_report(golden_market, golden_study, tmp_path):
    result = golden_study.run(golden("events_mixed"), golden_market)
    page = Page(report.write_report(result, tmp_path / "r.html"))
    assert page.ids == ["short", "moved", "paths", "tests", "left-out", "record", "data"]
    assert "SIMULATED" not in page.text
    assert "33 estimation returns" in page.text


def test_plain_events_have_no_clock_to_search_a_chronology_with(golden_market, golden_study, tmp_path):
    events = golden("events_mixed").with_columns(pl.lit("one").alias("announcement_id"))
    result = golden_study.run(events, golden_market)
    page = Page(report.write_report(result, tmp_path / "r.html", chronology=mi.announcements()))
    assert page.ids == ["short", "moved", "paths", "tests", "left-out", "record", "data"]
    assert "other announcement" not in page.text


def test_every_event_of_a_firm_has_its_own_row_in_the_chart(golden_market, golden_study, tmp_path):
    result = golden_study.run(golden("events_mixed"), golden_market)
    assert result.events["symbol"].n_unique() < result.events.height
    page = Page(report.write_report(result, tmp_path / "r.html"))
    chart = page.source.split('<section id="moved">')[1].split("</svg>")[0]
    for row in result.events.iter_rows(named=True):
        assert chart.count(f">{row['symbol']} {row['date']}</text>") == 1


def test_of_many_groups_the_largest_have_a_path(golden_market, golden_study):
    result = golden_study.run(golden("events_mixed"), golden_market)
    content = report.report_content(result, group="symbol")
    counts = result.events.group_by("symbol").len().sort("len", "symbol", descending=[True, False])
    assert counts.height > MOST_PATHS
    figures, _ = path_figures(content.announcements[0], content)
    drawn = [figure.alt.split(",")[0].removeprefix("CAAR of ") for figure in figures]
    assert drawn == counts["symbol"].head(MOST_PATHS).sort().to_list()


def test_without_a_chronology_nothing_is_said_to_have_been_searched(answer, tmp_path):
    page = Page(report.write_report(answer.result, tmp_path / "r.html"))
    assert page.ids == SECTIONS  # the announcements' own record of other news stays
    assert "online rumours of large Cambricon substrate orders" in page.text
    assert "No chronology was searched for other announcements." in page.text
    assert "of the chronology" not in page.text


def test_every_section_that_is_named_exists(answer, tmp_path):
    events = answer.events.with_columns(pl.lit(None, pl.String).alias("confounders"))
    result = mi.EventStudy().run(events, answer.result.market)
    page = Page(report.write_report(result, tmp_path / "r.html"))
    assert "around" not in page.ids
    assert "What else happened" not in page.text


def test_one_date_is_said_of_each_announcement_not_of_all(page):
    assert "Within each announcement: all events share one date" in page.text


def test_connected_windows_of_two_dates_are_not_called_one_date(answer, tmp_path):
    """Of two announcements one hits on one date, the other on neighbouring dates."""
    first, second = answer.events["announcement_id"].unique().sort().to_list()[:2]
    events = answer.events.filter(pl.col("announcement_id").is_in([first, second]), pl.col("mic") == "XNAS")
    later = (pl.col("announcement_id") == second) & (pl.col("symbol") == "NVDA")
    events = events.with_columns(date=pl.when(later).then(pl.col("date").dt.offset_by("1d")).otherwise("date"))
    text = Page(report.write_report(mi.EventStudy().run(events, answer.result.market), tmp_path / "r.html")).text
    assert "Within 1 of 2 announcements: all events share one date" in text
    assert "Within 1 of 2 announcements: the windows of all events are connected by common days" in text


def test_the_issuers_own_date_is_named_where_it_differs(page):
    assert "2025-07-15 about 02:30 UTC, 2025-07-14 22:30 in New York" in page.text
    assert "2025-08-12 about 04:45 UTC, 12:45 in Shanghai" in page.text


def test_one_event_makes_a_report(golden_market, golden_study, tmp_path):
    result = golden_study.run(golden("events_mixed").head(1), golden_market)
    page = Page(report.write_report(result, tmp_path / "r.html", windows=[(0, 0)]))
    assert "filtered placebo t" in page.text


def test_a_report_on_nothing_says_so(golden_market, golden_study, tmp_path):
    events = pl.DataFrame({"event_id": ["a"], "symbol": ["ZZZ"], "date": [date(2023, 1, 4)]})
    result = golden_study.run(events, golden_market)
    page = Page(report.write_report(result, tmp_path / "r.html"))
    assert "nothing was estimated" in page.text
    assert "the security is not in the market" in page.text
    assert report.tables(result)["attrition"].height == 1


def test_bad_options_are_refused(answer, tmp_path):
    with pytest.raises(mi.SpecificationError, match="no column of the events"):
        report.write_report(answer.result, tmp_path / "r.html", group="colour")
    with pytest.raises(mi.SpecificationError, match="reaches outside"):
        report.write_report(answer.result, tmp_path / "r.html", windows=[(-30, 0)])
    assert not (tmp_path / "r.html").exists()


def test_tables_hold_every_event_and_window(answer):
    tables = report.tables(answer.result, windows=[(0, 1), (0, 0)], group="group")
    assert tables["car"].height == 2 * answer.result.events.height
    assert tables["tests"].height == 2 * 15 * answer.result.test(0, 1).height
    assert {"date", "day0_certainty", "phase"} <= set(tables["events"].columns)


def test_tables_are_the_answers_of_the_result_group_by_group(answer):
    tables = report.tables(answer.result, windows=[(0, 1)], group="group")
    grouped = answer.result.by("announcement_id", "group")
    assert tables["caar"].equals(grouped.caar())
    assert tables["tests"].drop("first", "last").equals(grouped.test(0, 1))
    alone = report.tables(mi.EventStudy().run(answer.events.drop("group", "role"), answer.result.market))
    assert alone["tests"].filter(last=1).drop("first", "last").equals(answer.result.by("announcement_id").test(0, 1))


def test_every_exchange_with_a_calendar_has_a_name_and_tables_say_it(page):
    assert set(calendars.EXCHANGES) <= set(NAMES)
    assert len(set(NAMES.values())) == len(NAMES)
    assert (exchange("XSHG"), exchange("XXXX"), exchange(None)) == ("Shanghai (XSHG)", "XXXX", "")
    section = page.source.split('<section id="reached">')[1].split("</section>")[0]
    assert ">Shanghai (XSHG)<" in section
    assert ">XSHG<" not in section


def test_a_few_price_limits_are_named_under_the_table_of_firms(page):
    section = page.source.split('<section id="moved">')[1].split("</section>")[0]
    notes = re.findall(r'<p class="note">(.*?)</p>', section)
    limit = "Cambricon (688256.SS): at the price limit on day 0."
    assert [limit in note for note in notes] == [False, False, True]
    assert "note</th>" not in section
    assert section.count("“Put in”: the effect that the simulated prices were given.") == 3


def test_charts_are_text_without_references(answer):
    chart = answer.result.where(pl.col("symbol") == "NVDA").plot()
    svg = charts.to_svg(chart)
    assert svg == charts.to_svg(chart)
    assert svg.startswith("<svg")
    assert "simulated prices" in svg
    assert svg.count("http") == svg.count("http://www.w3.org")


def test_a_chart_in_a_notebook_needs_no_network(answer):
    """Altair's own display loads scripts from elsewhere."""
    shown = answer.result.plot()._repr_mimebundle_()
    assert shown["image/svg+xml"].startswith("<svg")
    assert not any("html" in kind or "javascript" in kind for kind in shown)


def test_firms_have_the_variance_of_the_evening_before_and_are_one_family(page, answer):
    part = answer.result.where(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    single = part.single_tests(0, 1).filter(pl.col("symbol") == "688256.SS").row(0, named=True)
    for heading in ("p, family", "ratio"):
        assert heading in page.text
    for name in ("p_filtered", "p_romano_wolf_filtered"):
        assert f"{single[name]:.3f}" in page.text
    ends = " to ".join(
        f"{100 * single[end]:+.2f}%".replace("-", "−") for end in ("ci_low_filtered", "ci_high_filtered")
    )
    assert ends in page.text
    assert f"{single['variance_ratio']:.2f}" in page.text


def test_a_report_computes_the_cars_of_a_window_once_and_codes_announcements_once_a_result(h20, tmp_path, monkeypatch):
    windows, coded = [], []
    car, clusters = mi.StudyResult.car, result_module.clusters
    monkeypatch.setattr(mi.StudyResult, "car", lambda self, *args: windows.append((self, args)) or car(self, *args))
    monkeypatch.setattr(result_module, "clusters", lambda events, *by: coded.append(events) or clusters(events, *by))
    content = report.report_content(h20.result, windows=[(0, 1), (-1, 1)], group="group")
    tables = report.report_tables(content)
    report.write_reports(content, [tmp_path / "r.html"])
    of_all = [args for result, args in windows if result is h20.result]
    assert sorted(of_all) == [(-1, 1), (0, 0), (0, 1)]
    # the families of single tests take the primary window of each announcement again; each leg takes day 0 once
    of_legs = [args for result, args in windows if result.market.leg is not None]
    assert of_legs == [(0, 0)] * 3
    assert len(windows) - len(of_all) - len(of_legs) == len(content.announcements) == 3
    n_results = len(content.announcements) + sum(len(one.groups) for one in content.announcements)
    assert 0 < len(coded) <= n_results
    assert tables["car"].height == 2 * h20.result.events.height


def test_cars_of_a_group_are_those_of_its_own_result(h20):
    content = report.report_content(h20.result, windows=[(0, 1)], group="group")
    for announcement in content.announcements:
        for group in announcement.groups:
            assert_frame_equal(group.cars((0, 1)), group.result.car(0, 1).drop_nulls("car"))


def test_of_many_announcements_those_with_the_largest_cars_are_shown_in_detail(golden_market, golden_study):
    events = golden("events_mixed").with_columns(pl.col("event_id").alias("announcement_id"))
    content = report.report_content(golden_study.run(events, golden_market), windows=[(0, 1)])
    cars = content.result.car(0, 1).drop_nulls("car").sort(pl.col("car").abs(), descending=True)
    assert cars.height > MOST_DETAILED
    assert {one.key for one in content.detailed} == set(cars["event_id"].head(MOST_DETAILED))
    note = f"{MOST_DETAILED} of {len(content.announcements)} announcements are shown: those with the largest CARs."
    assert content.detail_note.startswith(note)
    few = report.report_content(golden_study.run(events.head(3), golden_market), windows=[(0, 1)])
    assert [one.key for one in few.detailed] == [one.key for one in few.announcements]
    assert few.detail_note == ""


def test_of_many_events_the_largest_and_smallest_are_listed(golden_market, golden_study, tmp_path):
    returns = golden("returns")["symbol"].unique().sort()
    days = golden("market")["date"].sort()
    rows = [(f"{symbol}-{k}", symbol, days[k]) for symbol in returns for k in (230, 260, 290)]
    events = pl.DataFrame(rows, schema=["event_id", "symbol", "date"], orient="row")
    result = golden_study.run(events, golden_market)
    with_car = result.car(0, 1).drop_nulls("car").height
    assert with_car > MOST_FIRMS
    page = Page(report.write_report(result, tmp_path / "r.html", windows=[(0, 1)]))
    section = page.source.split('<section id="moved">')[1].split("</section>")[0]
    assert section.count("<tr>") == 1 + 2 * EXTREMES
    assert f"{2 * EXTREMES} of {result.events.height} events are listed: the table `car` has all." in page.text
    assert f"All {with_car} events by size: median" in re.sub(r"<[^>]*>", "", section)
