"""Scales: zero is a tick, estimates and lines choose the range, and bands do not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from marketimpact.display.scales import interval_domain, line_domain, percent_axis, round_ticks

FIRMS = pl.DataFrame({"car": [0.2, -0.03, 0.01], "low": [0.1, -0.09, -0.04], "high": [0.3, 0.03, 0.06]})


@pytest.mark.parametrize("domain", [(-0.07, 0.12), (-0.004, 0.001), (0.0, 0.9), (-3.0, 0.2), (-1e-5, 1e-5)])
def test_ticks_are_few_inside_and_have_zero(domain):
    ticks = round_ticks(domain)
    assert 0.0 in ticks
    assert 2 <= len(ticks) <= 6
    assert all(domain[0] <= tick <= domain[1] for tick in ticks)
    np.testing.assert_allclose(np.diff(ticks), np.diff(ticks)[0])


def test_a_narrow_axis_has_fewer_ticks_and_hides_none():
    wide, narrow = percent_axis((-0.13, 0.31), 460), percent_axis((-0.13, 0.31), 120)
    assert len(narrow["values"]) < len(wide["values"])
    assert 0.0 in narrow["values"]
    assert narrow["labelOverlap"] is False


def test_an_index_has_a_tick_at_its_base():
    assert round_ticks((88.0, 131.0), base=100.0) == [90.0, 100.0, 110.0, 120.0, 130.0]


@pytest.mark.parametrize(
    ("domain", "written"), [((-0.3, 0.3), "+.0%"), ((-0.011, 0.012), "+.1%"), ((0, 0.0009), "+.2%")]
)
def test_labels_have_the_decimals_that_tell_ticks_apart(domain, written):
    axis = percent_axis(domain)
    assert f"'{written}'" in axis["labelExpr"]
    decimals = int(written[2]) + 2
    assert len({round(tick, decimals) for tick in axis["values"]}) == len(axis["values"])


def test_the_scale_of_estimates_has_zero_every_estimate_and_usual_intervals():
    low, high = interval_domain(FIRMS)
    assert low < -0.09
    assert high > 0.3
    outlier = pl.concat([FIRMS] * 5 + [pl.DataFrame({"car": [0.0], "low": [-5.0], "high": [7.0]})])
    low, high = interval_domain(outlier)
    assert -1 < low < -0.09
    assert 0.3 < high < 1
    low, high = interval_domain(pl.DataFrame({"car": [0.1], "low": [0.05], "high": [0.15]}))
    assert low < 0 < high


def test_the_scale_of_lines_has_zero_and_every_value():
    low, high = line_domain([0.02, 0.1, float("nan")])
    assert low < 0 < 0.1 < high < 0.2
    assert line_domain([]) == (-0.01, 0.01)
