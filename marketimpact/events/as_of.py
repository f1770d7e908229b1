"""Decide what was public before a date."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import date, datetime

import polars as pl

from marketimpact.errors import MarketImpactWarning, SpecificationError

__all__ = ["FILING_DELAY", "check_date", "first_reason", "public_on", "warn_of_left_out"]

#: Calendar days after the end of a period by which a report counts as public where no filing day was seen.
FILING_DELAY = 90


def check_date(argument: str, given: object) -> date:
    """Return a date given as one, or as text such as 2025-08-12; raise SpecificationError for anything else."""
    if isinstance(given, str):
        try:
            return date.fromisoformat(given)
        except ValueError:
            pass
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    advice = "Of an instant give its local date, .date()" if isinstance(given, datetime) else "Write 2025-08-12"
    raise SpecificationError(f"{argument}={given!r} is not a date. {advice}.")


def public_on(period_end: str, is_seen: pl.Expr) -> pl.Expr:
    """Return the day on which a row counts as public: ``filed_on`` where it was seen, else not before the usual delay.

    A filing day from memory counts only where it lies later than that: a recast figure was not public when its period
    was first reported.
    """
    usual = pl.col(period_end) + pl.duration(days=FILING_DELAY)
    return (
        pl.when(is_seen & pl.col("filed_on").is_not_null())
        .then("filed_on")
        .otherwise(pl.max_horizontal("filed_on", usual))
        .alias("public_on")
    )


def first_reason(conditions: Mapping[str, pl.Expr]) -> pl.Expr:
    """Return the name of the first condition that holds, null where none does."""
    return pl.coalesce(pl.when(condition).then(pl.lit(name)) for name, condition in conditions.items()).alias("reason")


def warn_of_left_out(
    rows: pl.DataFrame, key: str, meanings: Mapping[str, str], label: str, what: str, *, more: str = ""
) -> None:
    """Warn of firms none of whose rows may be used, each by the reason of its row that came closest.

    Parameters
    ----------
    rows : polars.DataFrame
        Every row, with `key` and ``reason``, which is null for the row of a firm that is used.
    key : str
        Column of the firm.
    meanings : mapping of str to str
        Reason -> its words, in the order in which they are tried.
    label, what : str
        Begin of the message; what the other firms have.
    more : str
        A clause on the rows that are used; with one, there is a warning also where no firm is left out.
    """
    used = rows.filter(pl.col("reason").is_null())[key]
    rank_of = {reason: rank for rank, reason in enumerate(meanings)}
    rank = pl.col("reason").replace_strict(rank_of, default=-1, return_dtype=pl.Int64)
    without = rows.filter(~pl.col(key).is_in(used.implode())).group_by(key).agg(pl.col("reason").get(rank.arg_max()))
    if without.is_empty() and not more:
        return
    counts = without["reason"].value_counts().sort("count", "reason", descending=[True, False])
    reasons = ", ".join(f"{count} {meanings[reason]}" for reason, count in counts.rows())
    lacking = f", {without.height} have rows but none that may be used ({reasons})" if reasons else ""
    warnings.warn(
        f"{label}: {used.n_unique()} firms have {what}{lacking}{more and '; '}{more}. all_rows=True lists them.",
        MarketImpactWarning,
        stacklevel=3,
    )
