"""Texts and inputs that crash the chart renderer are cleaned or refused before drawing."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import altair as alt
import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.display import charts, firm_chart
from marketimpact.display.formats import clean_text, short_percent
from tests.command import ROOT

#: A vertical tab as word processors write it, NUL, escape, separators of lines and paragraphs, half a surrogate pair,
#: no characters of XML.
HOSTILE = ("\x0b", "\x00", "\x1b", "\u2028", "\u2029", "\ud800", "\ufffe", "\uffff", "\x85")


def firms(labels: list[str], group: str = "g") -> pl.DataFrame:
    n = len(labels)
    return pl.DataFrame(
        {"label": labels, "group": [group] * n, "car": [0.01] * n, "low": [0.0] * n, "high": [0.02] * n}
    )


def drawn_labels(svg: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r">(firm \d+)<", svg)))


@pytest.mark.parametrize("sign", HOSTILE, ids=[f"{ord(sign):04x}" for sign in HOSTILE])
def test_no_text_of_a_chart_ends_the_process(sign):
    """Polars holds no half of a surrogate pair, a title may."""
    inside = "x" if "\ud800" <= sign <= "\udfff" else sign
    chart = firm_chart.firm_effects(firms([f"a{inside}b", "c"], f"g{inside}h"), title=f"t{sign}u", simulated=False)
    svg, spec = charts.svg_and_spec(chart)
    assert "a b" in svg or inside == "x"
    assert "t u" in svg
    assert sign not in svg
    assert f"\\u{ord(sign):04x}" not in spec
    plain = alt.Chart(alt.InlineData([{f"x{inside}": 1}])).mark_point().encode(x=alt.X("y:Q", title=f"a{sign}"))
    assert "a " in charts.to_svg(plain)


def test_clean_text_keeps_other_scripts():
    assert clean_text("中芯国际 – é 🙂") == "中芯国际 – é 🙂"


@pytest.mark.parametrize("n", [1500, 3000])
def test_a_thousand_firms_are_drawn(n):
    """The largest and the smallest, and the distribution of all."""
    frame = firms([f"firm {k}" for k in range(n)]).with_columns(car=pl.int_range(-(n // 2), n - n // 2) / n)
    svg = charts.to_svg(firm_chart.firm_effects(frame, title="t", simulated=False))
    largest, smallest = range(n - 1, n - 1 - firm_chart.EXTREMES, -1), range(firm_chart.EXTREMES - 1, -1, -1)
    assert drawn_labels(svg) == [f"firm {k}" for k in (*largest, *smallest)]
    chart = firm_chart.firm_effects(frame, title="t", simulated=False).to_dict()
    counts = [row["n"] for row in chart["vconcat"][1]["data"]["values"]]
    assert sum(counts) == n
    low, middle, high = np.quantile(frame["car"].to_numpy(), (0.05, 0.5, 0.95))
    assert f"median {short_percent(middle)}, 90% between {short_percent(low)} and {short_percent(high)}" in " ".join(
        chart["vconcat"][1]["title"]["text"]
    )


def test_firms_stand_in_the_order_given():
    labels = [f"firm {k}" for k in (3, 1, 2, 10, 0)]
    svg = charts.to_svg(firm_chart.firm_effects(firms(labels), title="t", simulated=False))
    assert drawn_labels(svg) == labels


LIMITED = """
import resource, sys
import marketimpact as mi
import marketimpact.display.charts as charts
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30,) * 2)
for call in (lambda: charts.vega_script(), lambda: mi.write_report(None, sys.argv[1])):
    try:
        call()
    except mi.SpecificationError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a limit on the address space")
def test_a_limited_address_space_is_said_before_the_work(tmp_path):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "r.html")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("limited to 8 GiB (ulimit -v)") == 2


@pytest.mark.parametrize("sign", ["\x0b", "\u2028"])
@pytest.mark.parametrize("column", ["event_id", "symbol"])
def test_keys_with_control_characters_are_refused(golden_market, golden_study, column, sign):
    events = pl.DataFrame({"event_id": ["a", "b"], "symbol": ["US01", "US01"], "date": ["2023-01-04"] * 2})
    events = events.with_columns(pl.col("date").str.to_date(), pl.col(column) + sign)
    with pytest.raises(mi.DataError, match=f"{column} has characters"):
        golden_study.run(events, golden_market)
    securities = mi.securities().with_columns(pl.col("symbol") + sign)
    with pytest.raises(mi.DataError, match="symbol has characters"):
        mi.Market.load(securities, mi.SamplePrices())
