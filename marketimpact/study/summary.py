"""Summary of a result in a few lines, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from marketimpact.core import limits
from marketimpact.display.formats import interval
from marketimpact.inference import DEFAULT_TESTS, tests_frame
from marketimpact.study.headline import Headline, date_caveat, effect_writer, headline, measure, p_text
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
    unit = result.market.unit
    write = effect_writer(unit)
    caar = write(float(sample.car.mean()))
    points = f" log points ({unit})" if unit.startswith("log ") else ""
    lines = [f"  CAAR [{first}, {last}] {caar}{points} over {sample.n} event{'s' if sample.n != 1 else ''}"]
    if sample.n > limits.EVENTS_TESTED_IN_REPR:
        return [*lines, f"  tests: see .test({first}, {last})"]
    told = headline(tests_frame(DEFAULT_TESTS, sample))
    if told is not None:
        lines += [f"    {line}" for line in _test_lines(told, caar, write)]
    caveat = date_caveat(sample)
    return [*lines, f"  {caveat}"] if caveat else lines


def _test_lines(told: Headline, caar: str, write: Callable[[float | None], str]) -> list[str]:
    """Write the primary test with its interval and detectable effect, and whether the robustness tests agree."""
    if told.valid:
        effect = write(told.effect)
        parts = [f"{measure(told.test)} {effect}"] if effect != caar and told.effect is not None else []
        parts += [f"95% interval {interval(told.low, told.high, write)}"] if told.low is not None else []
        lines = [f"primary test {told.test}: {', '.join([*parts, p_text(told.p)])}"]
        if told.mde is not None:
            lines.append(f"minimum detectable effect {write(told.mde).lstrip('+')} (80% power, 5% level)")
    else:
        lines = [f"primary test {told.test} is not valid: {told.why_not}"]
    return [*lines, told.robustness] if told.robustness else lines


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
