"""Check opens: missing, not above zero, copied, outside the day's range, on another basis than the close, at the limit.

`unusable_opens` finds those that no leg may use; the checks report them, the missing ones, and those locked at the
price limit, which are real.
"""

from __future__ import annotations

import math

import polars as pl

from marketimpact.core.symbol_rows import keep_rows, neighbour, of_symbols
from marketimpact.market.checks.findings import finding_rows
from marketimpact.market.checks.jumps import LEAST_SPLIT, NEAR_MOST, SLACK_SHARE, split_ratio
from marketimpact.market.checks.prepare import CheckedPrices
from marketimpact.market.checks.usual_range import MEDIAN_OF_NORMAL
from marketimpact.market.session_returns import spans
from marketimpact.market.trading_rules import price_bands

__all__ = ["locked_opens", "missing_opens", "opens", "unusable_opens"]

#: An open or a close is outside the day's range by more than this part of it; adjusted prices are rounded.
RANGE_TOLERANCE = 0.0005
#: A run of opens that repeat a close is a copy when its probability by chance in as many rows is below this; its fewest
#: rows; the bounds of the share of such opens that is taken as usual; above this share all of them are copies.
COPY_CHANCE, COPY_ROWS, COPY_SHARES, MOST_COPIES = 1e-5, 8, (0.001, 0.3), 0.5
#: Rows around a row in which that share is counted: where ticks are coarse, opens often repeat the close before.
SHARE_ROWS = 121
#: Rows around a row over which the basis of opens is compared with that of closes, and how many are needed.
BASIS_ROWS, MIN_BASIS_ROWS = 41, 21
#: Opens are on another basis where more than this share of closes lies outside the day's range or, without a range,
#: where the median log move from open to close is beyond this size and this many standard errors of the fewest rows.
SHARE_OUTSIDE, BASIS_STEP, BASIS_SIGMAS = 0.5, 0.01, 4.5
#: The mean distance of two normals is this many standard deviations.
MEAN_DISTANCE = 2.0 / math.sqrt(math.pi)
#: A split between open and close of one day: closes move by no more than this part of it; the moves of opens are so
#: many usual ones at least.
SPLIT_TOLERANCE, SPLIT_SIGMAS = 0.25, 8.0
#: A price is at its limit when the move is at least this part of the band.
NEAR_LIMIT = 0.8

_DAY, _BASIS = pl.col("day"), pl.col("basis")
_IS_OUTSIDE = ~_BASIS.is_between(pl.col("low") * (1 - RANGE_TOLERANCE), pl.col("high") * (1 + RANGE_TOLERANCE))


def unusable_opens(prices: pl.DataFrame) -> pl.DataFrame:
    """Find opens that are no opening prices on the basis of the closes, so that no leg may use them.

    Parameters
    ----------
    prices : polars.DataFrame
        ``symbol, date, close, open``, sorted by symbol and date, one row each, and perhaps ``unadjusted_close, high,
        low, split``.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, finding``, sorted: *non_positive_open*, *copied_open*, *open_on_other_basis* or
        *open_outside_range*. Rows without a close or an open are not among them.

    Examples
    --------
    >>> from datetime import date
    >>> days = [date(2024, 1, 2), date(2024, 1, 3)]
    >>> prices = pl.DataFrame({"symbol": ["NVDA"] * 2, "date": days, "close": [48.2, 47.6], "open": [0.0, 47.5]})
    >>> unusable_opens(prices).rows()
    [('NVDA', datetime.date(2024, 1, 2), 'non_positive_open')]
    """
    return _classified(prices).filter(pl.col("finding").is_not_null()).select("symbol", "date", "finding")


def opens(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Report unusable opens, runs of rows of one kind as one finding."""
    if not _has_opens(rows):
        return []
    frame = _classified(rows.priced).with_columns(pl.struct("symbol", "finding").rle_id().alias("run"))
    runs = (
        frame.filter(pl.col("finding").is_not_null())
        .group_by("symbol", "run", "finding", maintain_order=True)
        .agg(
            pl.col("date").first(),
            pl.col("date").last().alias("last"),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("open", "basis", "high", "low", "copy").first(),
        )
    )
    price = {name: pl.col(name).round(4) for name in ("open", "basis", "high", "low")}
    details = {
        "non_positive_open": pl.format("an open of {}", price["open"]),
        "copied_open": pl.format("open {} is the close {}", price["open"], "copy"),
        "open_on_other_basis": pl.format("open {} beside a close of {}", price["open"], price["basis"]),
        "open_outside_range": pl.format("open {}, lowest {}, highest {}", price["open"], price["low"], price["high"]),
    }
    length = pl.format("; {} row(s), to {}", "n", "last")
    return [
        finding_rows(runs.filter(pl.col("finding") == name), name, pl.col("n"), pl.concat_str(detail, length))
        for name, detail in details.items()
    ]


def missing_opens(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Count rows with a close and no open, per symbol, where the source has opens at all."""
    if not _has_opens(rows):
        return []
    missing = pl.col("open").is_null()
    frame = rows.priced.select("symbol", "date", missing.alias("missing"))
    frame = frame.with_columns(pl.struct("symbol", "missing").rle_id().alias("run"))
    runs = frame.group_by("symbol", "run", maintain_order=True).agg(
        pl.col("missing").first(),
        pl.col("date").first(),
        pl.col("date").last().alias("last"),
        pl.len().cast(pl.Int64).alias("n"),
    )
    counted = runs.group_by("symbol", maintain_order=True).agg(
        pl.col("date", "last", "n").filter("missing"), pl.col("n").sum().alias("rows")
    )
    longest = pl.col("n").list.arg_max()
    counted = counted.filter(pl.col("n").list.len() > 0).with_columns(
        pl.col("n").list.sum().alias("missing"),
        pl.col("date").list.get(0),
        pl.col("date").list.get(longest).alias("from"),
        pl.col("last").list.get(longest).alias("to"),
        pl.col("n").list.get(longest).alias("most"),
    )
    detail = pl.format(
        "no open on {} of {} rows with a close; the longest run has {}, {} to {}",
        "missing", "rows", "most", "from", "to",
    )  # fmt: skip
    return [finding_rows(counted, "missing_open", pl.col("missing"), detail)]


def locked_opens(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find sessions that opened and closed at the price limit, so that most who wanted to trade could not."""
    facts = rows.facts.filter(pl.col("price_limit").is_not_null())
    if not _has_opens(rows) or facts.is_empty():
        return []
    frame = _with_basis(of_symbols(rows.traded, facts["symbol"]))
    is_one_price = (pl.col("open") == _BASIS) & (pl.col("high") == pl.col("low")).fill_null(value=True)
    is_first = (pl.col("symbol") != pl.col("symbol").shift(1)).fill_null(value=True)
    moved = (pl.col("close") - pl.col("reference")).abs() > SLACK_SHARE * pl.col("reference")
    # the first row tells when the symbol was listed
    few = frame.filter(is_first | (is_one_price & moved), pl.col("session").is_not_null())
    banded = price_bands(rows.with_facts(few, "mic"), facts, spans(few))
    move = pl.col("close") / pl.col("last_close") - 1.0
    locked = banded.filter(is_one_price & moved, move.abs() > NEAR_LIMIT * pl.col("band"))
    detail = pl.format(
        "open and close {}, {}% from the close before, where the limit is {}%",
        pl.col("open").round(4), (move * 100).round(1), (pl.col("band") * 100).round(0).cast(pl.Int64),
    )  # fmt: skip
    return [finding_rows(locked, "locked_open", move, detail)]


def _has_opens(rows: CheckedPrices) -> bool:
    return "open" in rows.priced.columns and rows.priced["open"].count() > 0


def _with_basis(prices: pl.DataFrame) -> pl.DataFrame:
    """Add ``basis``, the close on whose basis opens are, and the columns ``high, low, split`` that are absent."""
    absent = [pl.lit(None, pl.Float64).alias(name) for name in ("high", "low", "split") if name not in prices.columns]
    names = [name for name in ("unadjusted_close", "close") if name in prices.columns]
    return prices.with_columns(pl.coalesce(names).alias("basis"), *absent)


def _classified(prices: pl.DataFrame) -> pl.DataFrame:
    """Add to rows with a close: ``basis``; ``finding``, why the open is unusable, or null; ``copy``, of which close."""
    frame = _with_basis(keep_rows(prices, pl.col("close") > 0))
    is_price = pl.col("open") > 0
    frame = frame.with_columns(
        neighbour("basis").alias("last_close"), pl.when(is_price).then((_BASIS / pl.col("open")).log()).alias("day")
    )
    frame = frame.with_columns(_copies(frame), _spans_off_basis(frame), _splits_within_days(frame))
    lowest, highest = pl.col("low") * (1 - RANGE_TOLERANCE), pl.col("high") * (1 + RANGE_TOLERANCE)
    outside = ~pl.col("open").is_between(lowest, highest) & (lowest <= highest)
    finding = (
        pl.when(~is_price).then(pl.lit("non_positive_open"))
        .when(pl.col("copy").is_not_null()).then(pl.lit("copied_open"))
        .when(pl.col("off_basis") | pl.col("has_split")).then(pl.lit("open_on_other_basis"))
        .when(outside & ~_IS_OUTSIDE).then(pl.lit("open_outside_range"))
    )  # fmt: skip
    return frame.with_columns(finding.alias("finding"))


def _copies(frame: pl.DataFrame) -> pl.Series:
    """Name the close that an open repeats, in runs that are too long for chance or in most rows; null elsewhere."""
    # a session of one price, such as one locked at its limit, is no copy
    has_range = (pl.col("high") != pl.col("low")).fill_null(value=True)
    kinds = {
        "before": pl.col("open") == pl.col("last_close"),
        "of the day": (pl.col("open") == _BASIS) & has_range,
    }
    found = [
        pl.when(_are_too_many(frame.select("symbol", same=same.fill_null(value=False)))).then(pl.lit(name))
        for name, same in kinds.items()
    ]
    return frame.select(pl.coalesce(found).alias("copy")).to_series()


def _are_too_many(rows: pl.DataFrame) -> pl.Series:
    """Mark rows with `same` in runs that chance does not explain, and all of a symbol where most are so."""
    is_run = pl.all_horizontal(pl.col("same").shift(n) for n in range(COPY_ROWS))
    numbered = rows.with_row_index("row")
    own = of_symbols(numbered, numbered.filter(is_run.fill_null(value=False))["symbol"])
    number = pl.col("same").cast(pl.Float64)
    usual = number.rolling_mean(SHARE_ROWS, min_samples=1, center=True).over("symbol")
    longest = (pl.len().over("symbol") / COPY_CHANCE).log() / -usual.clip(*COPY_SHARES).log()
    length = pl.len().over(pl.struct("symbol", "same").rle_id())
    are_most = number.mean().over("symbol") > MOST_COPIES
    is_copy = pl.col("same") & ((length >= longest.clip(lower_bound=COPY_ROWS)) | are_most)
    copies = own.filter(is_copy)["row"]
    return numbered.select(pl.col("row").is_in(copies.implode())).to_series()


def _spans_off_basis(frame: pl.DataFrame) -> pl.Series:
    """Mark rows in spans in which opens are on another basis than closes."""
    has_range = pl.col("high").is_not_null() & pl.col("low").is_not_null()
    rows = frame.select(
        "symbol", "day", _IS_OUTSIDE.fill_null(value=False).alias("outside"), has_range.alias("has_range")
    ).with_row_index("row")
    # most symbols have neither closes outside the range nor days without one
    doubtful = (pl.col("outside").sum() > SHARE_OUTSIDE * MIN_BASIS_ROWS) | ~pl.col("has_range").all()
    own = of_symbols(rows, rows.group_by("symbol").agg(doubtful.alias("doubt")).filter("doubt")["symbol"])
    # differences of neighbours: a wrong basis does not change them
    scale = _local_mean((_DAY - neighbour("day")).abs()) / MEAN_DISTANCE
    # at the ends of a symbol there are as few rows as this
    least = BASIS_SIGMAS * scale / math.sqrt(MIN_BASIS_ROWS)
    level = pl.when(least.is_not_null()).then(pl.max_horizontal(pl.lit(BASIS_STEP), least))
    own = own.with_columns(level.alias("level"), _local_mean(_DAY).alias("mean"))
    most = _local_mean(pl.col("outside").cast(pl.Float64)) > SHARE_OUTSIDE
    # the median is slow, and differs from the mean only where a few moves are large
    far = of_symbols(own, own.filter(~pl.col("has_range"), pl.col("mean").abs() > pl.col("level"))["symbol"])
    median = _DAY.rolling_median(BASIS_ROWS, min_samples=MIN_BASIS_ROWS, center=True).over("symbol")
    found = [far.filter(~pl.col("has_range"), median.abs() > pl.col("level"))["row"], own.filter(most)["row"]]
    return rows.select(pl.col("row").is_in(pl.concat(found).implode()).alias("off_basis")).to_series()


def _local_mean(values: pl.Expr) -> pl.Expr:
    """Average over the rows of a symbol around each row."""
    return values.rolling_mean(BASIS_ROWS, min_samples=MIN_BASIS_ROWS, center=True).over("symbol")


def _splits_within_days(frame: pl.DataFrame) -> pl.Series:
    """Mark opens that differ from the close of the day by the ratio of a split, stated or as closes do not move."""
    rows = frame.select("symbol", "day", "split", "basis", "last_close").with_row_index("row")
    large = rows.filter(_DAY.abs() > SPLIT_TOLERANCE * LEAST_SPLIT)
    stated = pl.when((pl.col("split") > 0) & (pl.col("split") != 1.0)).then(pl.col("split").log().abs())
    is_stated = (stated >= LEAST_SPLIT) & ((_DAY.abs() - stated).abs() <= SPLIT_TOLERANCE * stated)
    still = (_BASIS / pl.col("last_close")).log().abs() <= SPLIT_TOLERANCE * _DAY.abs()
    likely = large.filter(_DAY.abs() > LEAST_SPLIT, still)
    usual = of_symbols(rows, likely["symbol"]).group_by("symbol").agg(_DAY.abs().median().alias("usual"))
    likely = likely.join(usual, on="symbol", how="left", validate="m:1", maintain_order="left").filter(
        _DAY.abs() > SPLIT_SIGMAS * pl.col("usual") / MEDIAN_OF_NORMAL, split_ratio(_DAY, NEAR_MOST).is_not_null()
    )
    found = pl.concat([large.filter(is_stated)["row"], likely["row"]])
    return rows.select(pl.col("row").is_in(found.implode()).alias("has_split")).to_series()
