"""Reasons why an event cannot be used."""

from __future__ import annotations

import polars as pl

__all__ = ["ATTRITION", "REASONS"]

#: The closed list of reasons why an event cannot be used.
REASONS = {
    "unknown_symbol": "the security is not in the market",
    "no_prices": "the price source has no prices of the security",
    "no_date": "the event has no date",
    "before_data": "day 0 lies before the security's first price",
    "after_data": "day 0 lies after the security's last price",
    "other_listing": "the firm's other listing is used instead",
    "no_benchmark": "the security's benchmark has no prices",
    "estimation_window": "the event's own estimation window is incomplete, reversed or reaches into the event window",
    "too_few_observations": "the estimation window has fewer complete sessions than min_observations",
    "no_event_returns": "no session of the event window has a return",
    "implausible_return": "a return beyond a factor of three, neither repaired nor accepted, lies in its windows or "
    "between them",
    "singular_regressors": "a regressor is constant or a combination of the others in the estimation window",
    "no_variation": "the return does not vary around the model in the estimation window",
    "no_donors": "too few donors can be used: others are treated, trade at other hours or lack returns",
}


ATTRITION = {"event_id": pl.String, "reason": pl.String, "detail": pl.String}
