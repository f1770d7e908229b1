"""The brief: every number of its text stands in a frame of the result, and nothing simulated passes for real."""

from __future__ import annotations

import re
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact import report
from marketimpact.display.formats import ordinal, p_value
from marketimpact.report.brief_table import MOST_COLUMNS, MOST_ROWS, size_table
from tests.conftest import golden

H20 = "2025-08-12-beijing-discourages-h20"
#: Numbers that are part of a name or of the method, and not results.
NOT_RESULTS = re.compile(
    r"\[[−\-\d, ]+\]|(?<![\d.])9?5%|\d{4}-\d{2}-\d{2}|day 0|\bH20\b|\bA?I?B?\d+[A-Z]+\b|[A-Z^]*\d+[.]?[A-Z]{2}\b|"
    r"marketimpact [\d.]+|"
    r"S&P 500|CSI 300|Nikkei 225|\(announcement \d+\)|^\d+\. ",
    re.MULTILINE,
)
NUMBER = re.compile(
    r"[+−]?\d[\d,]*(?:\.\d+)?%?|\b(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth)\b"
)


@pytest.fixture(scope="module")
def brief(h20):
    return mi.brief(h20.result, title="H20", windows=[(0, 1)], chronology=h20.chronology)


def written(frames) -> set[str]:
    """Every number of the frames in every way in which the brief may write one."""
    texts: set[str] = set()
    for value in (value for frame in frames for row in frame.iter_rows() for value in row):
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int):
            texts |= {f"{value:,}", f"{value}th", *([ordinal(value)] if value > 0 else [])}
        elif isinstance(value, float) and np.isfinite(value):
            signed = f"{value:+.1%}".replace("-", "−")
            texts |= {signed, signed.lstrip("+−"), p_value(value), p_value(value).lstrip("<")}
    return texts | {"0.0%"}


def unfounded(text: str, frames) -> list[str]:
    """Numbers of a text that no frame has."""
    known = written(frames)
    return [n for n in NUMBER.findall(NOT_RESULTS.sub(" ", text)) if n.rstrip(",") not in known]


def test_every_number_of_the_sentences_stands_in_a_frame(brief):
    sentences = "\n".join(sentence for _, sentence in brief.sentences)
    assert len(NUMBER.findall(NOT_RESULTS.sub(" ", sentences))) > 15
    assert unfounded(sentences, [brief.firms, brief.groups]) == []


def test_the_checker_finds_a_number_that_is_not_there(brief):
    sentence = brief.sentences[2][1]
    assert unfounded(sentence.replace("+23.5%", "+23.7%"), [brief.firms, brief.groups]) == ["+23.7%"]
    frames = [brief.firms.drop("rank", "announcement")]
    assert unfounded(sentence, frames) == []
    assert unfounded(sentence.replace("17 firms", "18 firms"), frames) == ["18"]
    assert unfounded(sentence.replace("the largest", "the fifth largest"), frames) == ["fifth"]


def test_every_number_of_the_table_and_the_lines_stands_in_a_frame(brief):
    cells = " ".join(cell.text for _, row in brief.table.rows for cell in row)
    means = {f"{100 * value:+.1f}".replace("-", "−") for value in brief.groups["caar"]} | {"0.0"}
    assert set(cells.split()) <= means
    text = repr(brief)
    lines = [line for line in text.splitlines() if re.match(r"  \S.* (0\.\d{3}|–)$", line)]
    assert len(lines) == 15
    assert unfounded("\n".join(lines), [brief.groups]) == []


def test_the_frames_are_those_of_the_result(brief, h20):
    car = h20.result.car(0, 1).select("event_id", "car")
    joined = brief.firms.join(car, on="event_id", suffix="_result")
    assert joined.height == h20.result.events.height
    np.testing.assert_array_equal(joined["car"], joined["car_result"])
    day0 = brief.firms.join(h20.result.car(0, 0).select("event_id", "car"), on="event_id", suffix="_result")
    np.testing.assert_array_equal(day0["car_day0"], day0["car_result"])
    for row in brief.groups.iter_rows(named=True):
        part = h20.result.where(
            (pl.col("announcement_id") == row["announcement_id"]) & (pl.col("group") == row["group"])
        )
        primary = part.test(row["first"], row["last"]).filter(role="primary").row(0, named=True)
        assert row["test"] == primary["test"]
        assert (row["p"] is None) == (not primary["valid"])
        if primary["valid"]:
            assert (row["p"], row["low"], row["high"]) == tuple(primary[c] for c in ("p_value", "ci_low", "ci_high"))
            assert row["significant"] == (primary["p_value"] < 0.05)


def test_returns_and_ranks_are_those_of_the_prices(brief, h20):
    returns = h20.result.market.select("symbol", "date", "ret").drop_nulls("ret")
    for row in brief.firms.iter_rows(named=True):
        own = [(day, value) for symbol, day, value in returns.iter_rows() if symbol == row["symbol"]]
        own.sort()
        at = [day for day, _ in own].index(row["date"])
        compounded = (1 + own[at][1]) * (1 + own[at + 1][1]) - 1
        assert row["ret_day0"] == pytest.approx(own[at][1], rel=1e-12)
        assert row["ret"] == pytest.approx(compounded, rel=1e-9, abs=1e-12)
        last = [value for _, value in own[max(0, at - 249) : at + 1]]
        larger = sum(value * last[-1] > 0 and abs(value) > abs(last[-1]) for value in last[:-1])
        assert (row["rank"], row["n_sessions"]) == (larger + 1, len(last))


def test_the_sentence_is_about_the_largest_return_of_day_0(brief):
    for (_,), part in brief.firms.partition_by("announcement", as_dict=True).items():
        largest = part.filter("largest")
        assert largest.height == 1
        assert largest["ret_day0"].abs()[0] == part["ret_day0"].abs().max()
    headline, sentence = brief.sentences[2]
    assert headline.startswith("Beijing is reported")
    assert sentence.startswith(
        "Cambricon (688256.SS) rose 20.0% on day 0 (2025-08-12), the largest rise of its last 250"
    )
    assert "at its daily price limit, so a lower bound" in sentence
    assert sentence.endswith("significant at 5%, also after correction for all 17 firms (p = 0.017).")


def shocked_market(shocks: dict[int, float], n: int = 320) -> tuple[mi.Market, pl.DataFrame]:
    """Two firms with 1% noise, an index, and two events of one firm; shocks are added to firm A."""
    draws = np.random.default_rng(7).normal(scale=0.01, size=(3, n))
    days = [date(2024, 1, 1) + timedelta(days=k) for k in range(n)]
    own = draws[0].copy()
    for at, value in shocks.items():
        own[at] = value
    returns = pl.concat(
        pl.DataFrame({"symbol": name, "date": days, "ret": values}) for name, values in (("A", own), ("B", draws[1]))
    )
    market = mi.Market.from_returns(returns, pl.DataFrame({"date": days, "ret": draws[2]}))
    events = pl.DataFrame(
        {"event_id": ["one", "two", "other"], "symbol": ["A", "A", "B"], "date": [days[300], days[260], days[300]]}
    )
    return market, events


def test_a_fall_that_reverses_is_significant_on_day_0_and_not_over_the_window():
    market, events = shocked_market({300: -0.17, 301: 0.16})
    made = mi.brief(mi.EventStudy(estimation_window=(-200, -11)).run(events, market))
    sentence = made.sentences[0][1]
    assert sentence.startswith("A fell 17.0% on day 0 (2024-10-27), the largest fall of its last 250 sessions:")
    assert sentence.endswith("significant at 5% on day 0 but not over [0, 1].")


def test_a_move_that_comes_late_is_not_significant_on_day_0():
    market, events = shocked_market({300: 0.03, 301: 0.17})
    study = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5))
    sentence = mi.brief(study.run(events.filter(event_id="one"), market), windows=[(1, 1)]).sentences[0][1]
    assert "over [1, 1]" in sentence
    assert sentence.endswith(("significant at 5% over [1, 1] but not on day 0.", "significant at 5%."))


def test_windows_without_day_0_are_alone():
    market, events = shocked_market({})
    study = mi.EventStudy(estimation_window=(-200, -31), event_window=(-20, -10))
    made = mi.brief(study.run(events, market))
    assert made.windows == ((-20, -10),)
    assert "over [-20, -10]" in made.sentences[0][1]
    assert unfounded(made.sentences[0][1], [made.firms]) == []


def test_words_of_ranks():
    assert [ordinal(n) for n in (1, 3, 10, 11, 12, 13, 21, 22, 103, 111)] == [
        "first", "third", "tenth", "11th", "12th", "13th", "21st", "22nd", "103rd", "111th",
    ]  # fmt: skip


def test_it_fits_a_terminal_of_80_columns(brief):
    assert max(map(len, repr(brief).splitlines())) <= 80


def test_riddles_are_gone(brief, h20):
    page = brief.html() + repr(brief) + repr(h20.result)
    for words in ("cannot be told", "held", "alike", "no clear effect", "found ", "hangs on"):
        assert words not in page, words


def test_every_export_names_its_source_and_marks_simulated_prices(brief, tmp_path):
    for suffix in ("svg", "html", "csv"):
        text = brief.save(tmp_path / f"brief.{suffix}").read_text(encoding="utf-8")
        assert "SIMULATED PRICES" in text, suffix
        assert "SamplePrices()" in text, suffix
        assert "estimated over sessions" in text.replace("\n", " ") or suffix == "svg"
    png = brief.save(tmp_path / "brief.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    rows = pl.read_csv(tmp_path / "brief.csv", infer_schema_length=None)
    assert rows.height == brief.firms.height
    assert rows["source"].unique().to_list() == [brief.source]


def test_real_prices_are_not_called_simulated(golden_market, golden_study, tmp_path):
    made = mi.brief(golden_study.run(golden("events_mixed"), golden_market))
    assert "SIMULATED" not in made.html() + repr(made) + made.save(tmp_path / "b.svg").read_text(encoding="utf-8")


def test_another_suffix_is_refused(brief, tmp_path):
    with pytest.raises(mi.SpecificationError, match=r"ends in '.docx'. A brief is written as .svg or .png"):
        brief.save(tmp_path / "brief.docx")


def test_the_fragment_has_no_scripts_and_escapes_what_comes_from_outside(h20):
    nasty = '<script>alert("x")</script>'
    events = h20.events.with_columns(pl.lit(nasty).alias("headline"), pl.lit(nasty).alias("group"))
    fragment = mi.brief(mi.EventStudy().run(events, h20.result.market)).html()
    assert "<script" not in fragment
    assert "&lt;script&gt;" in fragment


def test_volumes_have_no_brief_but_a_report(golden_market, golden_study, tmp_path, h20):
    market = h20.result.market
    volumes = market.volumes() if callable(getattr(market, "volumes", None)) else None
    if volumes is None:
        pytest.skip("this market has no volumes")
    result = mi.EventStudy().run(h20.events, volumes)
    with pytest.raises(mi.SpecificationError, match="a brief names returns as traded"):
        mi.brief(result)
    page = report.write_report(result, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "This result is about log volume" in page


def test_a_result_without_events_says_so(h20):
    empty = mi.brief(h20.result.where(pl.lit(value=False)))
    assert "No event could be used" in repr(empty)
    assert "No event could be used" in empty.html()
    with pytest.raises(mi.SpecificationError, match="no chart to draw"):
        empty.save("brief.svg")


def test_many_announcements_are_summarised(golden_market, golden_study):
    events = golden("events_mixed")
    events = events.with_columns(pl.col("event_id").alias("announcement_id"))
    made = mi.brief(golden_study.run(events, golden_market))
    n = made.n_announcements
    assert n > MOST_ROWS
    assert len(made.shown) == 8
    assert made.hidden == f"8 of {n} announcements are shown: those with the largest moves."
    assert len(made.panels) == 1
    assert len(made.table.rows) == MOST_ROWS
    assert f"{MOST_ROWS} of {n} announcements" in made.table.note
    largest = made.firms.filter("largest").sort(pl.col("ret_day0").abs(), descending=True)["announcement"].head(8)
    assert {number for number, _, _ in made.shown} == set(largest)


def test_shades_follow_size_and_marks_follow_tests(brief):
    wide = size_table(brief.groups, brief.windows)
    assert len(wide.heads) <= MOST_COLUMNS
    cells = [cell for _, row in wide.rows for cell in row]
    assert max(cell.opacity for cell in cells) == 0.5
    significant = brief.groups["significant"].sum()
    assert sum(cell.mark == "*" for cell in cells) == significant > 0
    assert sum(cell.mark == "°" for cell in cells) == brief.groups["significant"].null_count() > 0


def test_the_truth_of_simulated_prices_is_counted(brief):
    inside = sum(row["low"] <= row["true_car"] <= row["high"] for row in brief.firms.iter_rows(named=True))
    assert f"{inside} of 51 intervals contain the effect put into simulated prices." in brief.may


def test_signed_results_keep_returns_as_traded(h20):
    one = h20.result.where(pl.col("announcement_id") == H20)
    plain, signed = mi.brief(one), mi.brief(one.signed({"restrictive": -1}))
    key = ["event_id"]
    assert plain.firms.sort(key)["ret"].to_list() == pytest.approx(signed.firms.sort(key)["ret"].to_list())
    assert plain.firms.sort(key)["car"].to_list() == pytest.approx([-x for x in signed.firms.sort(key)["car"]])
