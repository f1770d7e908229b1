"""Every public function that takes a market, a result, a study or bars names what it was given in their place."""

from __future__ import annotations

import inspect
from datetime import date

import polars as pl
import pytest

import marketimpact as mi

KINDS = {"market": "Market", "result": "StudyResult", "study": "EventStudy", "bars": "Bars"}
DOORS = [
    (name, argument)
    for name in mi.__all__
    if inspect.isfunction(getattr(mi, name))
    for argument in inspect.signature(getattr(mi, name)).parameters
    if argument in KINDS
]
DAYS = pl.date_range(date(2025, 8, 1), date(2025, 8, 12), eager=True)
MARKET = pl.DataFrame({"date": DAYS, "ret": [0.01, -0.01] * 6})
RETURNS = pl.concat(
    MARKET.with_columns(pl.lit(name).alias("symbol"), pl.col("ret") * k) for name, k in [("A", 2), ("B", 3)]
)
FRAME = pl.DataFrame({"event_id": ["a", "b", "c"], "symbol": ["NVDA", "NVDA", "AMD"], "date": [date(2025, 8, 12)] * 3})


def test_the_doors_are_found():
    assert len(DOORS) > 25
    assert {argument for _, argument in DOORS} == set(KINDS)


@pytest.mark.parametrize("wrong", [FRAME, None, mi.Market, "prices.parquet"], ids=["frame", "None", "class", "text"])
@pytest.mark.parametrize(("name", "argument"), DOORS)
def test_a_wrong_object_is_named(name, argument, wrong):
    function = getattr(mi, name)
    needed = {
        key: FRAME
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    sound = {"study": mi.EventStudy(), "path": "r.html"}
    if argument != "market" and "market" in needed:
        sound["market"] = mi.Market.from_returns(RETURNS, MARKET)
    needed |= {key: value for key, value in sound.items() if key in needed}
    given = {**needed, argument: wrong}
    kind = KINDS[argument]
    says = rf"^{argument} is .*, not an? {kind}\. Give |^{name} was given .* where it needs the {kind}"
    with pytest.raises(mi.SpecificationError, match=says):
        function(**given)
