"""Decide what was public before a date."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from marketimpact.errors import SpecificationError

__all__ = ["FILING_DELAY", "check_as_of", "public_on"]

#: Calendar days after the end of a period by which a report counts as public where no filing day was seen.
FILING_DELAY = 90


def check_as_of(as_of: object) -> date:
    """Return the date; raise SpecificationError for anything but a date, or text such as 2025-08-12."""
    if isinstance(as_of, str):
        try:
            return date.fromisoformat(as_of)
        except ValueError:
            pass
    if isinstance(as_of, date) and not isinstance(as_of, datetime):
        return as_of
    advice = "of an instant give its local date, instant.date()" if isinstance(as_of, datetime) else "write 2025-08-12"
    raise SpecificationError(f"as_of={as_of!r} is not a date, before which a figure must be public: {advice}.")


def public_on(period_end: str) -> pl.Expr:
    """Return the day on which a row counts as public, from ``filed_on`` and ``filed_on_verification``.

    A filing day from memory counts only where it lies later than the usual delay: a recast figure was not public
    when its period was first reported.
    """
    is_seen = pl.col("filed_on_verification").fill_null("seen") == "seen"
    usual = pl.col(period_end) + pl.duration(days=FILING_DELAY)
    return (
        pl.when(is_seen & pl.col("filed_on").is_not_null())
        .then("filed_on")
        .otherwise(pl.max_horizontal("filed_on", usual))
        .alias("public_on")
    )
