"""The factor alarm beside the primary estimates: where it rings, where it is silent, where there is no candidate."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.report import brief_of, report_content, write_reports
from marketimpact.report.content import ReportContent

DAYS, DAY0 = 260, 240
DATES = np.busday_offset("2021-01-04", np.arange(DAYS)).astype("datetime64[D]").tolist()
SILENT = "No factor at hand lay unusually far out on day 0 (looked at: smb)."
RINGS = f"Factor alarm: on {DATES[DAY0]} size (small less large firms, smb), which the model leaves out, moved"


def result(shock: float | None, study: mi.EventStudy | None = None) -> mi.StudyResult:
    """Three firms of one date; they load on a factor that moves by `shock` on day 0, unnamed in the market if None."""
    rng = np.random.default_rng(12)
    market, size = rng.normal(0, 0.01, (2, DAYS))
    size[DAY0] = shock or 0.0
    wide = pl.DataFrame({name: market + size + rng.normal(0, 0.01, DAYS) for name in "ABC"})
    rows = wide.with_columns(date=pl.Series(DATES)).unpivot(index="date", variable_name="symbol", value_name="ret")
    factors = None if shock is None else pl.DataFrame({"date": DATES, "smb": size})
    known = mi.Market.from_returns(rows, pl.DataFrame({"date": DATES, "ret": market}), factors)
    events = pl.DataFrame({"event_id": ["a", "b", "c"], "symbol": ["A", "B", "C"], "date": [DATES[DAY0]] * 3})
    return (study or mi.EventStudy(estimation_window=(-200, -11), event_window=(-1, 2))).run(events, known)


@pytest.fixture(scope="module")
def ringing() -> ReportContent:
    return report_content(result(0.08))


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_it_stands_below_the_estimates_of_the_brief(ringing):
    brief = brief_of(ringing)
    assert brief.factor_alarm.startswith(RINGS)
    short = one_line(brief.short_text())
    assert short.index("All firms") < short.index(RINGS)
    assert one_line(repr(brief)).count(RINGS) == 1
    html = brief.html()
    assert '<p class="small alarm"><strong>Factor alarm</strong>: on' in html
    assert html.index('class="sizes"') < html.index("small alarm") < html.index("What may be said")


def test_reports_have_it_in_short_and_beside_the_tests(ringing, tmp_path):
    write_reports(ringing, [tmp_path / "report.md", tmp_path / "report.html"])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.count(RINGS) == 2
    assert text.index("## Is it statistically significant?") < text.rindex(RINGS)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("which the model leaves out, moved") == 2


def test_silence_is_one_line_and_without_candidates_there_is_none():
    assert brief_of(report_content(result(0.0))).factor_alarm == SILENT
    nothing = brief_of(report_content(result(None)))
    assert nothing.factor_alarm == ""
    assert "alarm" not in nothing.html()
    assert "factor" not in nothing.short_text().lower()


def test_a_window_without_day_0_and_no_event_have_no_alarm():
    later = mi.EventStudy(estimation_window=(-200, -11), event_window=(1, 3))
    assert report_content(result(0.08, later)).factor_alarm == ""
    assert report_content(result(0.08).where(pl.col("symbol") == "none")).factor_alarm == ""
