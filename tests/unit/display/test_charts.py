"""Charts: what is drawn, and that it is text without references."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import altair as alt
import polars as pl
import pytest

from marketimpact.display import charts, firm_chart
from marketimpact.display import curve_chart as curvechart
from marketimpact.display import time_charts as timecharts

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
        for layer in chart["layer"]
        if layer["encoding"].get("y", {}).get("field") == "caar"
    )


def test_an_svg_is_the_same_twice_and_refers_to_nothing():
    for chart in (
        charts.caar_path(PATH, title="t", simulated=False),
        firm_chart.firm_effects(firms(), title="t", simulated=True),
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
        firm_chart.firm_effects(firms(), title="t", simulated=simulated),
    ):
        assert ("simulated prices" in charts.to_svg(chart)) is simulated


def test_text_from_outside_stays_text():
    svg = charts.to_svg(charts.caar_path(PATH, title=NASTY, simulated=False))
    svg += charts.to_svg(
        firm_chart.firm_effects(firms(label=[NASTY, "b", "c"], group=[NASTY, "g", "h"]), title=NASTY, simulated=False)
    )
    assert "<script" not in svg
    assert "<b>" not in svg
    assert "&lt;script&gt;" in svg


def test_a_path_draws_every_session_its_band_and_its_last_value():
    chart = charts.caar_path(PATH, title="t", simulated=False).to_dict()
    layers = [
        layer
        for layer in chart["layer"]
        if layer["mark"].get("shape") is None  # arrows of a clipped band
    ]
    assert [layer["mark"]["type"] for layer in layers] == ["area", "rule", "rule", "text", "line"]
    rows = [chart["datasets"][layer["data"]["name"]] for layer in layers]
    assert rows[-1] == PATH.to_dicts()
    assert rows[-2] == [{"tau": 1, "caar": 0.03, "text": "+3.0%"}]


@pytest.mark.parametrize("times", [1, 20])
def test_the_scale_of_paths_is_that_of_the_lines_whatever_the_bands(times):
    wide = PATH.with_columns(pl.col("ci_low", "ci_high") * times, pl.lit("wide").alias("group"))
    narrow = wide.with_columns(pl.col("caar") / 10, pl.lit("narrow").alias("group"))
    made = charts.caar_paths(pl.concat([wide, narrow]), by="group", simulated=False)
    assert [name for name, _ in made] == ["wide", "narrow"]
    low, high = domain(made[0][1])
    assert domain(made[1][1]) == [low, high]
    assert -0.035 < low < -0.02
    assert 0.03 < high < 0.045
    axes = [layer["encoding"]["y"]["axis"] for layer in made[0][1]["layer"] if "axis" in layer["encoding"].get("y", {})]
    assert axes
    assert all(0.0 in axis["values"] for axis in axes)


def test_paths_are_written_without_altair_and_are_the_charts_that_it_would_write(monkeypatch):
    paths = PATH.with_columns(pl.lit("g").alias("group"), noise=0.01)
    built = []
    monkeypatch.setattr(alt.Chart, "__init__", lambda *_, **__: built.append(1))
    ((_, spec),) = charts.caar_paths(paths, by="group", simulated=True)
    assert not built
    assert alt.LayerChart.from_dict(spec, validate=True).to_dict(validate=True) == spec


def test_a_path_without_a_band_is_drawn():
    bare = PATH.with_columns(pl.lit(None, pl.Float64).alias("ci_low"), pl.lit(None, pl.Float64).alias("ci_high"))
    ((_, chart),) = charts.caar_paths(bare.with_columns(pl.lit("g").alias("group")), by="group", simulated=False)
    low, high = domain(chart)
    assert low < -0.02
    assert high > 0.03
    assert charts.to_svg(chart).startswith("<svg")


def test_firms_stand_in_the_order_given():
    svg = charts.to_svg(firm_chart.firm_effects(firms(), title="t", simulated=False))
    places = [svg.index(f">{label}</text>") for label in firms()["label"]]
    assert places == sorted(places)


def test_groups_differ_by_shape_as_well_as_by_colour():
    chart = firm_chart.firm_effects(firms(), title="t", simulated=False).to_dict()
    (dots,) = [layer for layer in chart["layer"] if layer.get("name") == "dots"]
    for channel in ("color", "shape"):
        scale = dots["encoding"][channel]["scale"]
        assert scale["domain"] == ["hit", "spared"]
        assert len(set(scale["range"])) == 2


def test_the_effect_that_was_put_in_is_drawn_where_it_is_known():
    known = firm_chart.firm_effects(firms(true_car=[0.22, 0.0, 0.0]), title="t", simulated=True)
    assert "the effect that was put in" in charts.to_svg(known)
    assert "put in" not in charts.to_svg(firm_chart.firm_effects(firms(), title="t", simulated=True))


def test_a_band_wider_than_the_lines_ends_at_the_frame_and_says_how_far_it_extends():
    flat = PATH.with_columns(pl.col("ci_low", "ci_high").clip(-0.03, 0.03))
    parts = {"a": flat, "c": PATH.with_columns(pl.col("ci_low", "ci_high") * 12)}
    paths = pl.concat(part.with_columns(pl.lit(name).alias("group")) for name, part in parts.items())
    made = dict(charts.caar_paths(paths, by="group", simulated=False))
    low, high = domain(made["a"])
    svg = charts.to_svg(made["c"])
    assert "the band runs on to −60% and +120%" in " ".join(made["c"]["title"]["subtitle"])
    assert "runs on" not in charts.to_svg(made["a"])
    chart = made["c"]
    arrows = [layer for layer in chart["layer"] if layer["mark"].get("shape", "").startswith("triangle")]
    marked = [[row["tau"] for row in chart["datasets"][layer["data"]["name"]]] for layer in arrows]
    wide = paths.filter(pl.col("group") == "c")
    assert marked == [
        [tau for tau, end in wide.select("tau", "ci_low").iter_rows() if end < low],
        [tau for tau, end in wide.select("tau", "ci_high").iter_rows() if end > high],
    ]
    drawn = chart["datasets"][chart["layer"][0]["data"]["name"]]
    assert min(row["ci_low"] for row in drawn) == low
    assert max(row["ci_high"] for row in drawn) == high
    (told,) = [chart["datasets"][layer["data"]["name"]] for layer in chart["layer"] if layer["mark"]["type"] == "line"]
    assert max(row["ci_high"] for row in told) == pytest.approx(1.2)  # the hover has the whole band
    assert "clip" not in svg  # clipping refers to ids, which charts of one page would share


def test_firms_of_one_section_share_a_scale_and_wider_intervals_end_at_the_frame():
    chart = firm_chart.firm_effects(firms(), title="t", simulated=False, domain=(-0.05, 0.25)).to_dict()
    scales = [layer["encoding"]["x"]["scale"] for layer in chart["layer"] if "scale" in layer["encoding"]["x"]]
    assert scales
    assert all(scale["domain"] == [-0.05, 0.25] for scale in scales)
    axes = [layer["encoding"]["x"]["axis"] for layer in chart["layer"] if "axis" in layer["encoding"]["x"]]
    assert all(0.0 in axis["values"] for axis in axes)
    shown = {row["label"]: (row["shown_low"], row["shown_high"]) for row in chart["datasets"]["rows"]}
    assert shown["NVIDIA (NVDA)"] == (-0.05, 0.03)
    assert shown["Cambricon (688256.SS)"] == (0.10, 0.25)
    assert "2 ends lie outside the frame" in " ".join(chart["title"]["subtitle"])


def test_every_firm_has_its_value_beside_it_and_before_its_name_on_a_phone():
    marked = firms(mark=["‡", "", ""])
    wide = charts.to_svg(firm_chart.firm_effects(marked, title="t", simulated=False))
    narrow = charts.to_svg(firm_chart.firm_effects(marked, title="t", simulated=False, compact=True, width=120))
    for label, value in (("Cambricon", "+20.0% ‡"), ("NVIDIA", "−3.0%"), ("Intel", "+1.0%")):
        assert f">{value}</text>" in wide
        assert f">{value} {label}</text>" in narrow
    for group in ("hit", "spared"):
        assert f">{group}</text>" in wide
        assert f">{group}</text>" in narrow
    assert "legend" not in wide + narrow


def test_lines_are_named_at_their_ends_without_overlap():
    names = [f"group {k}" for k in range(6)]
    days = [date(2025, 8, 11), date(2025, 8, 12)]
    levels = pl.concat(
        pl.DataFrame({"date": days, "group": [name] * 2, "level": [100.0, 100.0 + k / 10]})
        for k, name in enumerate(names)
    )
    marks = pl.DataFrame({"date": days[1:], "number": ["1"], "headline": ["h"]})
    chart = timecharts.timeline(levels, marks, title="t", simulated=False).to_dict()
    labels = [
        chart["datasets"][layer["data"]["name"]] if "name" in layer["data"] else layer["data"]["values"]
        for layer in chart["layer"]
        if layer["encoding"].get("y", {}).get("field") == "label_level"
    ]
    (rows,) = labels
    assert {row["text"].rsplit(" ", 1)[0] for row in rows} == set(names)
    low, high = next(
        layer["encoding"]["y"]["scale"]["domain"] for layer in chart["layer"] if layer.get("name") == "lines"
    )
    pixels = sorted(260 * (high - row["label_level"]) / (high - low) for row in rows)
    assert all(below - above >= 12.9 for above, below in pairwise(pixels))
    axis = next(layer["encoding"]["y"]["axis"] for layer in chart["layer"] if layer.get("name") == "lines")
    assert 100.0 in axis["values"]


def test_a_curve_is_scaled_to_its_estimates_and_counts_what_it_cuts_and_what_failed():
    curve = pl.DataFrame(
        {
            "specification": [0, 1, 2], "estimate": [0.01, 0.03, None], "ci_low": [-0.5, 0.02, None],
            "ci_high": [0.52, 0.04, None], "p_value": [0.9, 0.01, None], "valid": [True, False, False],
            "model": ["a", "b", "b"],
        }
    )  # fmt: skip
    chart = curvechart.specification_curve(curve, ["model"], title="t", simulated=False).to_dict()
    panel = chart["vconcat"][0]["layer"]
    low, high = panel[0]["encoding"]["y"]["scale"]["domain"]
    assert -0.01 < low < 0
    assert 0.03 < high < 0.04
    assert 0.0 in panel[0]["encoding"]["y"]["axis"]["values"]
    told = " ".join(chart["title"]["subtitle"])
    assert "could not be run: 1 of 3 specifications; intervals wider than the frame: 2" in told
    marks = chart["vconcat"][1]["layer"][0]["data"]["values"]
    assert marks == [{"rank": 2, "label": "test not valid"}]  # its p below 5% is no evidence


def brightness(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] if len(colour) == 7 else [0.0] * 3
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_of_a_chart_has_a_twin_for_the_dark_that_stands_out():
    news = (datetime(2025, 8, 12, 4, 45, tzinfo=UTC),) * 2
    levels = pl.DataFrame({"date": [date(2025, 8, 11), date(2025, 8, 12)] * 2, "group": ["a"] * 2 + ["b"] * 2})
    marks = pl.DataFrame({"date": [date(2025, 8, 12)], "number": ["1"], "headline": ["h"]})
    curve = pl.DataFrame(
        {
            "specification": [0, 1], "estimate": [0.1, -0.2], "ci_low": [0.0, -0.3], "ci_high": [0.2, -0.1],
            "p_value": [0.01, 0.2], "valid": [True, False], "model": ["a", "b"],
        }
    )  # fmt: skip
    path = PATH.with_columns(group=1, noise=0.01)
    levels = levels.with_columns(level=pl.Series([100.0, 90.0] * 2))
    made = [
        *(chart for _, chart in charts.caar_paths(path, by="group", simulated=True)),
        firm_chart.firm_effects(firms(mark=["†", "", "‡"], true_car=[0.1, 0, 0]), title="t", simulated=True),
        timecharts.session_clock(SESSIONS, news, title="t"),
        timecharts.timeline(levels, marks, title="t", simulated=False),
        curvechart.specification_curve(curve, ["model"], title="t", simulated=False),
    ]
    drawn = "".join(map(charts.to_svg, made))
    used = set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawn)) - {"none", "transparent"}
    assert used <= set(charts.DARK)
    for paper, colours in (
        ("#ffffff", charts.PALETTE),
        (charts.DARK["#ffffff"], [charts.DARK[c] for c in charts.PALETTE]),
    ):
        for colour in colours:
            light, dark = sorted((brightness(colour), brightness(paper)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3


OPENS = [datetime(2025, 8, 12, hour, 30, tzinfo=UTC) for hour in (1, 5, 13)]
CLOSES = [datetime(2025, 8, 12, hour, tzinfo=UTC) for hour in (4, 8, 20)]
SESSIONS = pl.DataFrame(
    {
        "exchange": ["Hong Kong", "Hong Kong", "Nasdaq", "Nasdaq"],
        "mic": ["XHKG", "XHKG", "XNAS", "XNAS"],
        "start": [*OPENS, OPENS[2] + timedelta(days=1)],
        "end": [*CLOSES, CLOSES[2] + timedelta(days=1)],
        "kind": ["day 0", "day 0", "day 0", "other session"],
    }
)


def test_day_0_is_written_behind_its_close_where_the_announcement_cannot_be():
    news = (datetime(2025, 8, 12, 4, 45, tzinfo=UTC),) * 2
    chart = timecharts.session_clock(SESSIONS, news, title="t").to_dict()
    labels = [
        layer["data"]["values"] for layer in chart["layer"] if layer["encoding"].get("text") == {"value": "day 0"}
    ]
    assert labels == [
        [
            {"exchange": "Hong Kong", "end": "2025-08-12T08:00:00Z"},
            {"exchange": "Nasdaq", "end": "2025-08-12T20:00:00Z"},
        ]
    ]
    svg = charts.to_svg(timecharts.session_clock(SESSIONS, news, title="t"))
    assert "Hong Kong</text>" in svg
    assert "XHKG</text>" not in svg
    assert "announcement</text>" in svg


def test_a_list_to_pick_from_has_every_group_and_firm_once():
    chart = firm_chart.firm_effects(firms(group=["hit", "hit", "NVIDIA (NVDA)"]), title="t", simulated=False).to_dict()
    (bound,) = [param["bind"] for param in chart["params"] if param["name"] == "pick"]
    assert bound["options"] == [None, "hit", "NVIDIA (NVDA)", "Cambricon (688256.SS)", "Intel (INTC)"]
    assert bound["labels"] == ["everything", *bound["options"][1:]]
