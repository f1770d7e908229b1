"""Turn stated dividends and splits into total returns, for symbols without an adjusted close."""

from __future__ import annotations

import math

import polars as pl

from marketimpact.market.checks.usual_range import usual_range

__all__ = ["adjusted_close", "dividends_by_row", "match_splits", "stated_payouts"]

#: A close moves by a split stated on its day when the rest of its move is no more than this part of the split's.
SAME_DAY_TOLERANCE = 0.3
#: A smaller split, in usual moves, is not distinguishable from a day's own move.
LEAST_SPLIT_SIGMAS = 3.0
#: Rows by which a split may be stated too early or too late; then, or inverted, it must fit better and be this large.
ROWS_APART, TOLERANCE, LEAST_SIGMAS, LEAST_RATIO = 3, 0.25, 8.0, 1.2


def stated_payouts(raw: pl.DataFrame) -> pl.DataFrame:
    """Select stated dividends and splits of symbols without an adjusted close: ``symbol, date, dividend, split``.

    Zero and one are no event; impossible values stay.
    """
    adjusted = raw.filter(pl.col("from_adjusted"))["symbol"].unique()
    events = raw.filter(~pl.col("symbol").is_in(adjusted.implode()), pl.col("date").is_not_null()).select(
        "symbol",
        "date",
        pl.when(pl.col("dividend") != 0.0).then("dividend"),
        pl.when(~pl.col("split").is_in([0.0, 1.0])).then("split"),
    )
    stated = events.filter(pl.any_horizontal(pl.col("dividend", "split").is_not_null()))
    return stated.unique(maintain_order=True)


def dividends_by_row(stated: pl.DataFrame, traded: pl.DataFrame) -> pl.DataFrame:
    """Sum possible dividends on the next row with a price: ``symbol, date, payout``.

    Those on or before a symbol's first row are in no return.
    """
    amount = pl.col("dividend")
    paid = stated.filter(amount.is_finite() & (amount > 0)).select("symbol", "date", "dividend")
    placed = _next_rows(paid, traded).filter(pl.col("row") > 0)
    return placed.group_by("symbol", "date").agg(pl.col("dividend").sum().alias("payout")).sort("symbol", "date")


def match_splits(stated: pl.DataFrame, traded: pl.DataFrame) -> pl.DataFrame:
    """Find the step that each stated split makes: ``symbol, date, ratio`` in new shares for one, and ``stated_on``.

    Parameters
    ----------
    stated : polars.DataFrame
        As `stated_payouts` gives it.
    traded : polars.DataFrame
        ``symbol, date, own``, sorted; `own` counts dividends.

    Returns
    -------
    polars.DataFrame
        One row per step; nothing for a split that closes do not show: they are adjusted for it already.
    """
    value = pl.col("split")
    splits = stated.filter(value.is_finite() & (value > 0)).select("symbol", "date", "split", stated_on="date")
    placed = _next_rows(splits, traded).select("symbol", "stated_on", "split", pl.col("row").alias("stated_row"))
    own = traded.select("symbol", "date", "own").with_row_index("position")
    steps = _numbered(own.join(placed, on="symbol", how="semi", maintain_order="left"))
    pairs = placed.join(steps, on="symbol", how="inner").with_columns(
        (pl.col("row") - pl.col("stated_row")).abs().alias("apart")
    )
    near = pairs.filter(pl.col("apart") <= ROWS_APART)
    near = near.with_columns(scale=pl.Series(usual_range(traded, near["position"].to_numpy())))
    candidates = pl.concat(
        [
            near.with_columns(pl.col("split").alias("ratio"), inverted=pl.lit(value=False)),
            near.with_columns((1.0 / pl.col("split")).alias("ratio"), inverted=pl.lit(value=True)),
        ]
    ).with_columns(_misfit().alias("misfit"))
    order = ["apart", "inverted", "misfit", "symbol", "date"]
    matched = candidates.filter(_fits()).sort(order).unique(["symbol", "stated_on"], keep="first", maintain_order=True)
    unique = matched.unique(["symbol", "date"], keep="first", maintain_order=True)
    return unique.select("symbol", "date", "ratio", "stated_on").sort("symbol", "date")


def _misfit() -> pl.Expr:
    """Measure the rest of a move after a split, as part of the split's."""
    step = pl.col("ratio").log()
    return (pl.col("own") + step).abs() / step.abs()


def _fits() -> pl.Expr:
    """Mark moves that a stated split makes."""
    size = pl.col("ratio").log().abs()
    as_stated = (pl.col("apart") == 0) & ~pl.col("inverted") & (pl.col("misfit") <= SAME_DAY_TOLERANCE)
    far = pl.col("own").abs() > LEAST_SIGMAS * pl.col("scale")
    otherwise = (pl.col("misfit") <= TOLERANCE) & far & (size >= math.log(LEAST_RATIO))
    return (as_stated & (size >= LEAST_SPLIT_SIGMAS * pl.col("scale"))) | otherwise


def _numbered(traded: pl.DataFrame) -> pl.DataFrame:
    """Add `row`, which counts the rows of each symbol."""
    return traded.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over("symbol").alias("row"))


def _next_rows(events: pl.DataFrame, traded: pl.DataFrame) -> pl.DataFrame:
    """Move each event to its symbol's next row with a price, with the row's number; those after the last one go."""
    own = traded.select("symbol", "date").join(events, on="symbol", how="semi", maintain_order="left")
    rows = _numbered(own).select("symbol", "row", pl.col("date").alias("day")).sort("day")
    placed = events.sort("date").join_asof(
        rows, left_on="date", right_on="day", by="symbol", strategy="forward", check_sortedness=False
    )
    return placed.drop_nulls("day").with_columns(pl.col("day").alias("date")).drop("day")


def adjusted_close() -> pl.Expr:
    """Adjust closes backward for ``payout`` and ``ratio``, so that their returns are total ones.

    The return over a row is ``(close + payout) ratio / close before - 1``. Rows are sorted by (symbol, date); an empty
    close stays empty, and one of zero, a total loss, has no payout.
    """
    growth = (pl.col("close") + pl.col("payout")) / pl.col("close") * pl.col("ratio")
    growth = pl.when(pl.col("close") > 0).then(growth).otherwise(1.0)
    later = growth.cum_prod(reverse=True).shift(-1).fill_null(1.0).over("symbol")
    return pl.col("close") / later
