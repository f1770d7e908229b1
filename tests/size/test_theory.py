"""The table of true sizes, by formula and by simulation through the public interface."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from tests.size.theory import CORRELATIONS, COUNTS, bmp_size, bmp_size_exact, patell_size

#: n -> Patell/BMP at r = .01 .02 .05 .10 .20, as published in the design of this study.
TABLE = {
    10: ".060/.062 .071/.074 .104/.113 .155/.177 .241/.295",
    24: ".077/.079 .105/.108 .181/.193 .281/.306 .408/.459",
    30: ".084/.086 .119/.123 .211/.222 .321/.346 .452/.501",
    50: ".108/.110 .164/.168 .291/.304 .420/.444 .551/.594",
    100: ".165/.167 .256/.261 .422/.434 .553/.573 .667/.701",
}
REPLICATIONS = 1000
DAYS = [date(2020, 1, 1) + timedelta(n) for n in range(201)]


@pytest.mark.parametrize("n", COUNTS)
def test_the_formula_gives_the_table(n):
    for r, cell in zip(CORRELATIONS, TABLE[n].split(), strict=True):
        patell, bmp = map(float, cell.split("/"))
        assert round(patell_size(n, r), 3) == pytest.approx(patell, abs=1e-9), (n, r)
        assert round(bmp_size(n, r), 3) == pytest.approx(bmp, abs=1e-9), (n, r)


def rejections(n: int, r: float) -> tuple[float, float]:
    """Share of samples in which Patell's z and the BMP t reject; a common normal shock gives the correlation."""
    rng = np.random.default_rng([n, int(100 * r)])
    symbols = [f"S{i:03d}" for i in range(n)]
    study = mi.EventStudy(model=mi.MeanAdjusted(), estimation_window=(-200, -1), event_window=(0, 0))
    benchmark = pl.DataFrame({"date": DAYS, "ret": np.zeros(201)})
    events = pl.DataFrame({"event_id": symbols, "symbol": symbols, "date": [DAYS[-1]] * n})
    rejected = np.zeros(2)
    for _ in range(REPLICATIONS):
        returns = 0.02 * (np.sqrt(r) * rng.normal(size=201) + np.sqrt(1 - r) * rng.normal(size=(n, 201)))
        frame = pl.DataFrame({"symbol": np.repeat(symbols, 201), "date": DAYS * n, "ret": returns.ravel()})
        table = study.run(events, mi.Market.from_returns(frame, benchmark)).test(0, 0, tests=["patell_scar", "bmp"])
        p = dict(table.select("test", "p_value").iter_rows())
        rejected += [p["patell_scar"] < 0.05, p["bmp"] < 0.05]
    return tuple(rejected / REPLICATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize("r", [0.05, 0.20])
def test_simulation_gives_the_formula(n, r):
    """Three Monte Carlo standard errors; BMP against the form that knows the spread is estimated."""
    patell, bmp = rejections(n, r)
    for found, true in ((patell, patell_size(n, r)), (bmp, bmp_size_exact(n, r))):
        assert abs(found - true) < 3 * np.sqrt(true * (1 - true) / REPLICATIONS)
