"""Summary of a result in a few lines, for terminals and notebooks."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core import limits
from marketimpact.inference import (
    DEFAULT_TESTS,
    ONE_DATE,
    band_of,
    minimum_detectable_effect,
    primary_test,
    structure,
    tests_frame,
)
from marketimpact.study.questions import Questions

__all__ = ["as_lines", "headline_window", "reasons", "title"]


def as_lines(result: Questions) -> list[str]:
    """Summarise a result in a few lines."""
    values, events = result.estimation, result.events
    lines = [f"StudyResult: {title(result)}" + ("   [SIMULATED PRICES]" if result.market.simulated else "")]
    counts = [f"{events.height} event{'s' if events.height != 1 else ''}"]
    counts += [f"{events['symbol'].n_unique()} securities", f"{events['date'].n_unique()} day-0 dates"]
    lines.append("  " + ", ".join(counts) + f"; event window {list(values.settings.event)}")
    if result.attrition.height:
        lines.append(f"  not used: {result.attrition.height} ({reasons(result.attrition)}); see .attrition")
    if events.height:
        lines += _headline(result)
    return lines


def _headline(result: Questions) -> list[str]:
    first, last = headline_window(result)
    sample = result.sample(first, last)
    if sample.n == 0:
        return [f"  no event has a return in [{first}, {last}]"]
    lines = [f"  CAAR [{first}, {last}] {_size(float(sample.car.mean()), result)} over {sample.n} events"]
    if sample.n > limits.EVENTS_TESTED_IN_REPR:
        return [*lines, f"  tests: see .test({first}, {last})"]
    se, df, _ = band_of(sample, primary_test(structure(sample)).name)
    if np.isfinite(se):
        smallest = float(minimum_detectable_effect(se, df))
        lines.append(f"    minimum detectable effect {_size(smallest, result).lstrip('+')} (80% power, 5% level)")
    tests = tests_frame(DEFAULT_TESTS, sample).filter(pl.col("valid"))
    for row in tests.head(2).iter_rows(named=True):
        lines.append(f"    {row['test']}: statistic {row['statistic']:.2f}, p = {row['p_value']:.3f}")
    if structure(sample).n_independent_groups == 1 and sample.n > 1:
        lines.append("  " + ONE_DATE)
    return lines


def _size(value: float, result: Questions) -> str:
    """Write a mean CAR with its unit."""
    if result.market.unit.startswith("log "):
        return f"{value:+.3f} log points ({result.market.unit})"
    return f"{value:+.2%}"


def reasons(attrition: pl.DataFrame) -> str:
    """List each reason with its number of events, the commonest first."""
    counted = attrition["reason"].value_counts(sort=True, name="n").sort("n", "reason", descending=[True, False])
    return ", ".join(f"{row['reason']} {row['n']}" for row in counted.iter_rows(named=True))


def headline_window(result: Questions) -> tuple[int, int]:
    """Return day 0 where the event window contains it, else the whole event window."""
    first, last = result.estimation.settings.event
    return (0, 0) if first <= 0 <= last else (first, last)


def title(result: Questions) -> str:
    """Name the model and the estimation window."""
    first, last = result.estimation.settings.estimation
    return f"{result.model.name}, estimated over [{first}, {last}]"
