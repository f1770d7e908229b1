"""Write numbers and tables of the pages of findings in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

import marketimpact as mi
from marketimpact.display.formats import interval


def percent(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:+.2%}"


def unsigned(value: float | None) -> str:
    return percent(value).removeprefix("+")


def p_value(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def record(result: mi.StudyResult, others: Mapping[str, object] | None = None) -> str:
    """Tabulate the record of a study: settings, hashes of its inputs, versions, and other facts."""
    facts = {**result.record, **(others or {})}
    return table(["record", "value"], [[key, str(value)] for key, value in facts.items()])


#: Columns of `variance_cells`.
VARIANCE_COLUMNS = (
    "variance ratio", "constant variance: 95% interval", "p", "detectable", "evening before: 95% interval", "p",
    "detectable",
)  # fmt: skip


def variance_cells(part: mi.StudyResult, window: tuple[int, int]) -> list[str]:
    """Write the mean with a constant variance and with that known the evening before, valid or not.

    The ratio of the two variances, then interval, p and detectable effect of the portfolio's forecast error, and of the
    filtered placebo t.
    """
    names = ("portfolio_regression", "filtered_placebo_t")
    rows = part.test(*window, tests=names).rows_by_key("test", named=True, unique=True)
    ratio = part.sample(*window).filtered_mean.variance_ratio
    cells = ["" if np.isnan(ratio) else f"{ratio:.2f}"]
    for name in names:
        row = rows[name]
        if row["ci_low"] is None:
            cells += ["undefined", "", ""]
            continue
        mark = "" if row["valid"] else " (not valid)"
        ends = interval(row["ci_low"], row["ci_high"]).replace("−", "-")
        cells += [ends + mark, p_value(row["p_value"]), unsigned(row["effect_mde"])]
    return cells
