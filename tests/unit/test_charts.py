"""Charts: what is drawn, and that it is text without references."""

from __future__ import annotations

import polars as pl
import pytest

from marketimpact import charts

PATH = pl.DataFrame(
    {"tau": [-1, 0, 1], "caar": [0.01, -0.02, 0.03], "ci_low": [-0.01, -0.05, -0.04], "ci_high": [0.03, 0.01, 0.10]}
)
NASTY = "<script>alert(1)</script> & <b>"


def firms(**columns: list[object]) -> pl.DataFrame:
    frame = {
        "label": ["Cambricon (688256.SS)", "NVIDIA (NVDA)", "Intel (INTC)"],
        "group": ["hit", "hit", "spared"],
        "car": [0.20, -0.03, 0.01],
        "low": [0.10, -0.09, -0.04],
        "high": [0.30, 0.03, 0.06],
    }
    return pl.DataFrame(frame | columns)


def domain(chart) -> list[float]:
    return next(
        layer["encoding"]["y"]["scale"]["domain"]
        for layer in chart.to_dict()["layer"]
        if layer["encoding"].get("y", {}).get("field") == "caar"
    )


def test_an_svg_is_the_same_twice_and_refers_to_nothing():
    for chart in (
        charts.caar_path(PATH, title="t", simulated=False),
        charts.firm_effects(firms(), title="t", simulated=True),
    ):
        svg = charts.to_svg(chart)
        assert svg == charts.to_svg(chart)
        assert svg.startswith("<svg")
        assert svg.count("http") == svg.count("http://www.w3.org")
        for word in ("<script", "<image", "@import", "url(http", "@font-face"):
            assert word not in svg


@pytest.mark.parametrize("simulated", [True, False])
def test_a_chart_on_simulated_prices_says_so(simulated):
    for chart in (
        charts.caar_path(PATH, title="t", simulated=simulated),
        charts.firm_effects(firms(), title="t", simulated=simulated),
    ):
        assert ("simulated prices" in charts.to_svg(chart)) is simulated


def test_text_from_outside_stays_text():
    svg = charts.to_svg(charts.caar_path(PATH, title=NASTY, simulated=False))
    svg += charts.to_svg(
        charts.firm_effects(firms(label=[NASTY, "b", "c"], group=[NASTY, "g", "h"]), title=NASTY, simulated=False)
    )
    assert "<script" not in svg
    assert "<b>" not in svg
    assert "&lt;script&gt;" in svg


def test_a_path_draws_every_session_and_its_band():
    chart = charts.caar_path(PATH, title="t", simulated=False).to_dict()
    drawn = [layer["mark"]["type"] for layer in chart["layer"]]
    assert drawn == ["area", "rule", "rule", "line"]
    assert chart["datasets"][chart["layer"][-1]["data"]["name"]] == PATH.to_dicts()


def test_groups_share_one_scale_that_holds_every_band_and_zero():
    wide = PATH.with_columns(pl.lit("wide").alias("group"))
    narrow = PATH.with_columns(pl.col("caar", "ci_low", "ci_high") / 10, pl.lit("narrow").alias("group"))
    made = charts.caar_paths(pl.concat([wide, narrow]), by="group", simulated=False)
    assert [name for name, _ in made] == ["wide", "narrow"]
    low, high = domain(made[0][1])
    assert domain(made[1][1]) == [low, high]
    assert low < -0.05
    assert high > 0.10


def test_a_path_without_a_band_is_drawn():
    bare = PATH.with_columns(pl.lit(None, pl.Float64).alias("ci_low"), pl.lit(None, pl.Float64).alias("ci_high"))
    ((_, chart),) = charts.caar_paths(bare.with_columns(pl.lit("g").alias("group")), by="group", simulated=False)
    low, high = domain(chart)
    assert low < -0.02
    assert high > 0.03
    assert charts.to_svg(chart).startswith("<svg")


def test_firms_stand_in_the_order_given():
    svg = charts.to_svg(charts.firm_effects(firms(), title="t", simulated=False))
    places = [svg.index(f">{label}</text>") for label in firms()["label"]]
    assert places == sorted(places)


def test_groups_differ_by_shape_as_well_as_by_colour():
    dots = charts.firm_effects(firms(), title="t", simulated=False).to_dict()["layer"][-1]
    for channel in ("color", "shape"):
        scale = dots["encoding"][channel]["scale"]
        assert scale["domain"] == ["hit", "spared"]
        assert len(set(scale["range"])) == 2


def test_the_effect_that_was_put_in_is_drawn_where_it_is_known():
    known = charts.firm_effects(firms(true_car=[0.22, 0.0, 0.0]), title="t", simulated=True)
    assert "the effect that was put in" in charts.to_svg(known)
    assert "put in" not in charts.to_svg(charts.firm_effects(firms(), title="t", simulated=True))
