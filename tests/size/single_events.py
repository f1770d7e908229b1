"""Rejection rates of the p-values of `StudyResult.single_tests`, by event and by family.

    POLARS_MAX_THREADS=1 python -m tests.size.single_events 500        writes the tables of docs/tests/README.md

Twelve firms on one date (one firm where the key ends in `one`), as `tests.size.situations` draws them; each situation
changes one fact.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

import numpy as np
import polars as pl

from tests.size.situations import MARKET_SD, SECTOR_SD, Floats, Parts, Situation, autocorrelated, garch, since

SEED = 20261129
NOMINAL = 0.05
#: Effect on day 0 whose power is counted: about 2.6 standard deviations of a calm firm's residuals.
EFFECT = 0.06
#: Samples with an effect are one in so many.
POWER_SHARE = 4
#: Share of valid p-values below which their rate is not stated.
LEAST_SHARE = 0.05
PAGE = Path(__file__).parents[2] / "docs" / "tests" / "README.md"
#: p-values and the columns that say where they are valid.
BY_EVENT = {"p": "valid_t", "sq_p": "valid_sq", "p_filtered": "valid_filtered"}
BY_FAMILY = {
    "p_holm": "valid_adjusted",
    "p_romano_wolf": "valid_romano_wolf",
    "p_romano_wolf_filtered": "valid_romano_wolf_filtered",
}
WITH_POWER = ("p", "p_filtered")


def normal(parts: Parts, rng: np.random.Generator) -> Floats:
    firms, sessions = parts.shape
    parts.market, parts.sector = MARKET_SD * rng.normal(size=sessions), SECTOR_SD * rng.normal(size=sessions)
    parts.own = rng.normal(size=(firms, sessions))
    return parts.returns()


def garch_shocks(parts: Parts, rng: np.random.Generator) -> Floats:
    parts.sector = SECTOR_SD * garch(rng, 1, parts.shape[1])[0]
    parts.own = garch(rng, *parts.shape)
    return parts.returns()


TWELVE = (12,)
SITUATIONS = {
    "normal": Situation("calm", "normal shocks", TWELVE, normal),
    "t5": Situation("calm", "t5 shocks", TWELVE),
    "garch": Situation("garch", "GARCH, t5 shocks", TWELVE, garch_shocks),
    "garch_one": Situation("garch", "GARCH, one firm", (1,), garch_shocks),
    "x2_3": Situation("regime", "volatility x2 from three sessions before", TWELVE, since(3, 2.0)),
    "x2_10": Situation("regime", "volatility x2 from ten sessions before", TWELVE, since(10, 2.0)),
    "x2_40": Situation("regime", "volatility x2 from 40 sessions before", TWELVE, since(40, 2.0)),
    "half_40": Situation("regime", "volatility halved from 40 sessions before", TWELVE, since(40, 0.5)),
    "x2_10_one": Situation("regime", "one firm, volatility x2 from ten sessions before", (1,), since(10, 2.0)),
    "L12": Situation("calm", "12 sessions", TWELVE, window=(0, 11)),
    "L21": Situation("calm", "21 sessions", TWELVE, window=(0, 20)),
    "ar_L11": Situation("ar", "11 sessions, AR(1) residuals of 0.2", TWELVE, autocorrelated, window=(0, 10)),
}


def draw(key: str, samples: range, effect: float = 0.0) -> pl.DataFrame:
    """Test the events of samples of a situation, numbered by `sample`; each has a seed of its own."""
    situation = SITUATIONS[key].with_effect(effect)
    kept = [*BY_EVENT, *BY_EVENT.values(), *BY_FAMILY, *BY_FAMILY.values()]
    frames = []
    for sample in samples:
        drawn = situation.draw(np.random.default_rng([SEED, crc32(key.encode()), sample]))
        tested = drawn.study.run(drawn.events, drawn.market).single_tests(*drawn.window)
        frames.append(tested.select(pl.lit(sample).alias("sample"), *kept))
    return pl.concat(frames)


def rejections(frame: pl.DataFrame, p: str, valid: str) -> pl.DataFrame:
    """Say of each event whether it is rejected, whether its p is valid, and both."""
    rejected, is_valid = (pl.col(p) < NOMINAL).fill_null(value=False), pl.col(valid)
    return frame.select(
        "sample",
        rejected.alias("rejected"),
        is_valid.alias("valid"),
        (rejected & is_valid).alias("rejected_valid"),
    )


def cell(counted: pl.DataFrame, share: float) -> str:
    """Write the rate of all, the rate of those that are valid, and the share of events that are."""
    everyone = f"{counted['rejected'].mean():.3f}".lstrip("0")
    if share < LEAST_SHARE:
        return f"{everyone} / {'hardly any' if share else 'none'} valid"
    among_valid = f"{counted['rejected_valid'].sum() / counted['valid'].sum():.3f}".lstrip("0")
    return f"{everyone} / {among_valid} ({f'{share:.2f}'.removeprefix('0')})"


def by_event(frame: pl.DataFrame, p: str) -> str:
    """Write rejections by event."""
    counted = rejections(frame, p, BY_EVENT[p])
    return cell(counted, counted["valid"].sum() / counted.height)


def by_family(frame: pl.DataFrame, p: str) -> str:
    """Write families with a rejection: of any event, and of any valid one among families that have one."""
    counted = rejections(frame, p, BY_FAMILY[p])
    families = counted.group_by("sample").agg(pl.col("rejected", "valid", "rejected_valid").any())
    return cell(families, counted["valid"].sum() / counted.height)


def event_error(frame: pl.DataFrame, p: str = "p") -> float:
    """Compute the Monte-Carlo error of a rate by event; the events of a sample are one draw."""
    shares = rejections(frame, p, BY_EVENT[p]).group_by("sample").agg(pl.col("rejected").mean())["rejected"].to_numpy()
    return float(shares.std(ddof=1) / np.sqrt(len(shares)))


def lines(header: list[str], rows: Mapping[str, list[str]]) -> str:
    """Write a table, one row per situation."""
    body = [f"| {SITUATIONS[key].title} | " + " | ".join(cells) + " |" for key, cells in rows.items()]
    return "\n".join(["| situation | " + " | ".join(header) + " |", "|" + " --- |" * (len(header) + 1), *body])


def text(without: Mapping[str, pl.DataFrame], with_effect: Mapping[str, pl.DataFrame]) -> str:
    """Write both tables, each with its number of samples and Monte-Carlo errors."""
    n, m = without["t5"]["sample"].n_unique(), with_effect["t5"]["sample"].n_unique()
    size = {
        key: [*(by_event(frame, p) for p in BY_EVENT), *(by_family(frame, p) for p in BY_FAMILY)]
        for key, frame in without.items()
    }
    power = {key: [by_event(frame, p) for p in WITH_POWER] for key, frame in with_effect.items()}
    twelve = [key for key in without if SITUATIONS[key].sizes == TWELVE]
    largest = max(event_error(without[key], p) for key in twelve for p in BY_EVENT)
    largest_power = max(event_error(with_effect[key], p) for key in twelve for p in WITH_POWER)
    return f"""\
Rejections at 5% without an effect, {n:,} samples: all p-values / those that are valid (share of events valid). `p`, \
`sq_p` and `p_filtered` by event, Monte-Carlo error {event_error(without["t5"]):.3f} in calm samples and at most \
{largest:.3f}; the others by family, any error, {np.sqrt(0.05 * 0.95 / n):.3f} at 5% and {np.sqrt(0.25 / n):.3f} where \
half err. One firm: {np.sqrt(0.05 * 0.95 / n):.3f} at 5%.

{lines([f"`{p}`" for p in (*BY_EVENT, *BY_FAMILY)], size)}

Rejections at 5% by event where every firm moves by {EFFECT:.0%} on day 0, {m:,} samples, Monte-Carlo error at most \
{largest_power:.3f}, of one firm {np.sqrt(0.25 / m):.3f}.

{lines([f"`{p}`" for p in WITH_POWER], power)}"""


if __name__ == "__main__":
    count = int(sys.argv[1])
    tables = text(
        {key: draw(key, range(count)) for key in SITUATIONS},
        {key: draw(key, range(count // POWER_SHARE), EFFECT) for key in SITUATIONS},
    )
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        re.sub(r"(?s)(<!-- single events -->\n).*?(<!-- end -->)", rf"\g<1>{tables}\n\g<2>", page), encoding="utf-8"
    )
