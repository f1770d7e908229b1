"""Charts of paths in bars: what is drawn of bands and paths, and what is said above."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from marketimpact.display import charts
from marketimpact.display.bar_chart import bar_paths
from marketimpact.display.formats import SIMULATED_CHART

START = datetime(2025, 5, 7, 19, 41, tzinfo=UTC)
MINUTES = [-60.0, -30.0, 0.0, 30.0, 60.0, 90.0]


def path(symbol: str, ar: list[float], start: datetime = START) -> pl.DataFrame:
    width = [0.02, 0.01, 0.0, 0.01, 0.02, 0.03]
    return pl.DataFrame(
        {
            "symbol": symbol, "starts_at": start, "minute": MINUTES,
            "at": [start + timedelta(minutes=m) for m in MINUTES],
            "ret": ar, "ar": ar, "band_low": [-w for w in width], "band_high": width,
        }
    )  # fmt: skip


MOVED, STAYED = path("NVDA", [0.001, 0.0, 0.0, 0.005, 0.025, 0.04]), path("AMD", [0.0, 0.0, 0.0, -0.002, 0.001, 0.002])


def spec(paths: pl.DataFrame, **options) -> dict:
    return bar_paths(paths, **{"title": "t", "subtitle": "s", "simulated": False, **options}).to_dict()


def layers_of(plot: dict, mark: str) -> list[dict]:
    return [layer for layer in plot["layer"] if layer["mark"]["type"] == mark]


def rows_of(chart: dict, layer: dict) -> list[dict]:
    return layer["data"].get("values") or chart["datasets"][layer["data"]["name"]]


def test_the_band_has_two_sides_that_meet_at_the_instant():
    chart = spec(MOVED)
    before, after = (rows_of(chart, layer) for layer in layers_of(chart, "area"))
    assert [row["minute"] for row in before] == [-60, -30, 0]
    assert [row["minute"] for row in after] == [0, 30, 60, 90]
    assert before[-1]["band_high"] == after[0]["band_high"] == 0
    assert after[-1] == {"minute": 90, "band_low": -0.03, "band_high": 0.03}


def test_the_first_point_outside_the_band_is_marked_and_none_where_the_path_stays_inside():
    chart = spec(MOVED)
    (dot,) = layers_of(chart, "point")
    assert rows_of(chart, dot) == [{"minute": 60, "ar": 0.025, "text": "after 60 min"}]
    assert not layers_of(spec(STAYED), "point")


def test_a_point_before_the_instant_is_never_a_first_move():
    early = path("NVDA", [0.05, 0.03, 0.0, 0.0, 0.0, 0.0])
    assert not layers_of(spec(early), "point")


def test_several_securities_share_one_scale_and_keep_their_order():
    chart = spec(pl.concat([MOVED, STAYED]))
    assert [plot["title"]["text"] for plot in chart["concat"]] == ["NVDA", "AMD"]
    domains = [
        layer["encoding"]["y"]["scale"]["domain"] for plot in chart["concat"] for layer in layers_of(plot, "line")
    ]
    assert domains[0] == domains[1]
    assert domains[0][0] < -0.03 < 0.04 < domains[0][1]
    assert spec(pl.concat([MOVED, STAYED]), compact=True)["columns"] == 1


def test_a_listing_that_opens_later_has_the_clock_of_its_own_start():
    later = path("0981.HK", [0.0] * 6, START + timedelta(hours=6))
    drawn = charts.to_svg(bar_paths(pl.concat([MOVED, later]), title="t", subtitle="s", simulated=False))
    assert "minutes from 2025-05-07 19:41 UTC" in drawn
    assert "minutes from 2025-05-08 01:41 UTC" in drawn


@pytest.mark.parametrize("simulated", [True, False])
def test_a_chart_of_simulated_bars_says_so(simulated):
    drawn = charts.to_svg(bar_paths(MOVED, title="t", subtitle="s", simulated=simulated))
    assert (SIMULATED_CHART in drawn) is simulated


def test_texts_from_outside_stay_texts_and_colours_have_twins_for_the_dark():
    nasty = "<script>alert(1)</script>\x0b"
    both = pl.concat([MOVED, STAYED]).with_columns(pl.col("symbol").replace({"AMD": nasty}))
    drawn = charts.to_svg(bar_paths(both, title=nasty, subtitle="s", note=nasty, simulated=True))
    assert "<script" not in drawn
    assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawn)) - {"none", "transparent"} <= set(charts.DARK)
    assert drawn == charts.to_svg(bar_paths(both, title=nasty, subtitle="s", note=nasty, simulated=True))


@pytest.mark.parametrize(("compact", "most"), [(False, 640), (True, 380)])
def test_one_plot_fits_a_page_and_a_phone(compact, most):
    drawn = charts.to_svg(bar_paths(MOVED, title="t", subtitle="s", simulated=False, compact=compact))
    assert float(re.search(r'width="([\d.]+)"', drawn)[1]) <= most
