"""Draw specification_curve.svg from the embedded, simulated prices: python docs/procedures/specification_curve.py."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import marketimpact as mi
from marketimpact.display import charts


def curve() -> mi.SpecificationCurve:
    """Estimate 96 specifications of the effect of restrictive American announcements on Chinese securities."""
    own, proxy = (
        mi.Market.load(mi.securities(), mi.SamplePrices(), benchmark=b) for b in ("benchmark", "sector_proxy")
    )
    restrictive = (pl.col("jurisdiction") == "US") & (pl.col("stance") == "restrictive")
    events = mi.align(mi.announcements().filter(restrictive), own)
    return mi.specification_curve(
        events.filter(pl.col("country") == "CN"),
        own,
        models=[mi.MarketModel(), mi.MarketAdjusted(), mi.MeanAdjusted()],
        estimation_windows=[(-250, -11), (-120, -11)],
        event_windows=[(0, 0), (0, 1), (-1, 1), (0, 5)],
        benchmarks={"sector proxy": proxy},
        filters={"all": pl.lit(value=True), "unanticipated": pl.col("anticipated") == "no"},
    )


if __name__ == "__main__":
    made = curve()
    (Path(__file__).with_suffix(".svg")).write_text(charts.to_svg(made.plot()), encoding="utf-8")
    print(made)
    print(made.joint_test(draws=999))
