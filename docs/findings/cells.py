"""Write numbers and tables of the pages of findings in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

import marketimpact as mi


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
