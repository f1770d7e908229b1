"""Count the shares behind a close: as known before the window, in the units in which the close is quoted."""

from __future__ import annotations

from datetime import date

import polars as pl

from marketimpact.events.share_counts import COUNT_AGE, known_splits

__all__ = ["join_counts"]

#: A close that falls overnight by a split's ratio, within this factor, is not adjusted for the split.
STEP = 1.15


def join_counts(
    frame: pl.DataFrame, counts: pl.DataFrame, closes: pl.DataFrame, split_adjusted_to: date | None
) -> pl.DataFrame:
    """Join to every event the count last public before its window, on the basis of its price.

    Parameters
    ----------
    frame : polars.DataFrame
        Events with ``symbol, _begin, price_date``: first day of the window, and day of the price before it.
    counts : polars.DataFrame
        What `share_counts.check_counts` returns; rows from memory give no count, but show splits.
    closes : polars.DataFrame
        ``symbol, date, unadjusted_close`` of the market.
    split_adjusted_to : datetime.date or None
        Date until whose splits closes are adjusted; None where that is not known.

    Returns
    -------
    polars.DataFrame
        The same rows with ``shares``, null where there is none, and ``_no_shares``, the reason.
    """
    usable = counts.filter(pl.col("verification") == "seen").sort("public_on", "date")
    # a count of an earlier day that became public later is no news
    newest = usable.filter(pl.col("date") == pl.col("date").cum_max().over("symbol")).select(
        "symbol", "public_on", "valid_until", "shares_outstanding", "shares_per_unit", pl.col("date").alias("_counted")
    )
    joined = frame.sort("_begin").join_asof(
        newest, left_on="_begin", right_on="public_on", by="symbol", strategy="backward", allow_exact_matches=False,
        check_sortedness=False,
    )  # fmt: skip
    with_splits = _with_split_factor(joined.sort("_order"), counts, closes, split_adjusted_to)
    recorded = dict(counts.group_by("symbol").agg((pl.col("verification") == "seen").any()).rows())
    is_seen = pl.col("symbol").replace_strict(recorded, default=None, return_dtype=pl.Boolean)
    too_old = (pl.col("_begin") - pl.col("_counted")).dt.total_days() > COUNT_AGE
    reason = pl.coalesce(
        pl.when(is_seen.is_null()).then(pl.lit("no shares known")),
        pl.when(~is_seen).then(pl.lit("shares only from memory")),
        pl.when(pl.col("_counted").is_null()).then(pl.lit("no shares public before the window")),
        pl.when(pl.col("valid_until") <= pl.col("price_date")).then(
            pl.format("shares of {} hold until {}", "_counted", "valid_until")
        ),
        pl.when(too_old).then(pl.format("shares of {} are older than {} days", "_counted", pl.lit(COUNT_AGE))),
        pl.col("_unknown_split"),
    )
    units = pl.col("shares_outstanding") * pl.col("_split_factor") / pl.col("shares_per_unit")
    return with_splits.with_columns(reason.alias("_no_shares")).with_columns(
        pl.when(pl.col("_no_shares").is_null()).then(units).alias("shares")
    )


def _with_split_factor(
    frame: pl.DataFrame, counts: pl.DataFrame, closes: pl.DataFrame, split_adjusted_to: date | None
) -> pl.DataFrame:
    """Add `_split_factor`, new shares for one from the count to the units of the close, and `_unknown_split`."""
    factor, unknown = pl.lit(1.0), pl.lit(None, pl.String)
    for symbol, before, after, ratio, last, step in _splits_in_closes(counts, closes).rows():
        is_since = (pl.col("symbol") == symbol) & (pl.col("_counted") <= before)
        is_in_close: pl.Expr | None = None
        if step is not None:
            is_in_close = pl.col("price_date") >= step
        elif after is not None and max(last, split_adjusted_to or last) >= after:
            is_in_close = pl.lit(value=True)
        elif split_adjusted_to is not None and split_adjusted_to <= before:
            is_in_close = pl.lit(value=False)
        if is_in_close is None:
            until = f"between {before} and {after}" if after else f"after {before}"
            text = f"whether closes are adjusted for a split {until} is not known (split_adjusted_to)"
            unknown = pl.when(is_since).then(pl.lit(text)).otherwise(unknown)
        else:
            factor *= pl.when(is_since & is_in_close).then(ratio).otherwise(1.0)
    return frame.with_columns(factor.alias("_split_factor"), unknown.alias("_unknown_split"))


def _splits_in_closes(counts: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    """Give ``symbol, before, after, ratio, last, step``: the last close, and the day on which closes step, or null."""
    known = known_splits(counts)
    prices = closes.filter(pl.col("symbol").is_in(known["symbol"].implode())).drop_nulls("unadjusted_close")
    prices = prices.sort("symbol", "date")
    splits = known.join(
        prices.group_by("symbol").agg(pl.col("date").max().alias("last")), on="symbol", how="inner", validate="m:1"
    )
    ratio = pl.col("unadjusted_close").shift(1).over("symbol") / pl.col("unadjusted_close")
    steps = (
        splits.join(prices.with_columns(ratio.alias("fall")), on="symbol", how="inner")
        .filter(
            pl.col("date") > pl.col("before"),
            pl.col("date") <= pl.col("after").fill_null(pl.col("last")),
            (pl.col("fall") / pl.col("ratio")).is_between(1.0 / STEP, STEP),
        )
        .sort((pl.col("fall") / pl.col("ratio")).log().abs(), "date")
        .group_by("symbol", "before", maintain_order=True)
        .agg(pl.col("date").first().alias("step"))
    )
    return splits.join(steps, on=["symbol", "before"], how="left", validate="1:1").sort("symbol", "before")
