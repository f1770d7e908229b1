"""Tabulate the donors of a result, and name those whose own move on day 0 carries an effect."""

from __future__ import annotations

from typing import Any

import polars as pl

from marketimpact.display.formats import count, short_percent
from marketimpact.estimation.donor_moves import donor_moves
from marketimpact.estimation.estimates import Estimates
from marketimpact.study.questions import Questions

__all__ = ["donor_news_text", "donors_frame"]

#: A donor is named that moves on day 0 by so many standard errors of its market model, and
FAR = 4.0
#: adds at least this many standard errors to an event's abnormal return of that day.
CARRIES = 0.5
#: Donors that a sentence names.
MOST_NAMED = 3
DONORS = {
    "donor": pl.String,
    "used": pl.Boolean,
    "weight": pl.Float64,
    "reason": pl.String,
    "ar_day0": pl.Float64,
    "sar_day0": pl.Float64,
    "contribution": pl.Float64,
}


def donors_frame(values: Estimates) -> pl.DataFrame:
    """Build the frame of donors, one row per event and donor; see `StudyResult.donors`."""
    donors, lead = values.problem.donors, values.events.select("event_id", "symbol")
    if donors is None:
        return lead.clear().with_columns(pl.lit(None, kind).alias(name) for name, kind in DONORS.items())
    n, used = len(donors.symbols), donors.used.ravel()
    weights = values.fit.slopes[:, len(values.model.design.regressors) :]
    ar, sar = donor_moves(values.problem)
    columns = {
        "donor": list(donors.symbols) * lead.height,
        "used": used,
        "weight": weights.ravel(),
        "reason": [reason or None for reason in donors.reasons.ravel()],
        "ar_day0": ar.ravel(),
        "sar_day0": sar.ravel(),
        "contribution": (-weights * ar).ravel(),
    }
    own = pl.DataFrame(columns, schema=DONORS).with_columns(
        pl.when("used").then(pl.col("weight", "ar_day0", "sar_day0", "contribution").fill_nan(None))
    )
    return pl.concat([lead.select(pl.all().repeat_by(n).explode()), own], how="horizontal")


def donor_news_text(result: Questions) -> str:
    """Write a sentence on donors that moved far on day 0 and carry an effect; empty where there are none.

    On real days without such news it named a donor for 2% of events (docs/models/peer_mean.md).
    """
    first, last = result.estimation.settings.event
    if not result.model.design.donors or not first <= 0 <= last or result.events.is_empty():
        return ""
    se = pl.Series("se_day0", result.estimation.se[:, -first], dtype=pl.Float64)
    far = (
        donors_frame(result.estimation)
        .join(result.events.select("event_id", "date").with_columns(se), on="event_id", how="left", validate="m:1")
        .filter(pl.col("sar_day0").abs() >= FAR, pl.col("contribution").abs() >= CARRIES * pl.col("se_day0"))
        .sort(pl.col("contribution").abs(), descending=True)
        .unique(["donor", "date"], keep="first", maintain_order=True)
    )
    if far.is_empty():
        return ""
    rows = far.head(MOST_NAMED).rows(named=True)
    moves = [_move_text(rows[0], " standard errors; adds ", " to the abnormal return of ")]
    moves += [_move_text(row, "; ", " of ") for row in rows[1:]]
    more = f"; {count(far.height - MOST_NAMED, 'more move')} in .donors" if far.height > MOST_NAMED else ""
    return (
        f"Donor news: beyond what the benchmark explains, {', '.join(moves)}{more}. If a donor had news of its own, "
        "that part is no effect."
    )


def _move_text(row: dict[str, Any], errors: str, adds: str) -> str:
    return (
        f"{row['donor']} moved by {short_percent(row['ar_day0'])} on {row['date']} ({abs(row['sar_day0']):.1f}{errors}"
        f"{short_percent(row['contribution'])}{adds}{row['symbol']})"
    )
