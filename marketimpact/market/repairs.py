"""Repairs of prices: each is asked for by name, and each change is a row. Nothing is mended that is not asked for."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from marketimpact.errors import DataError, SpecificationError
from marketimpact.market import trading_rules as trading
from marketimpact.market.checks import NOTE, WARNING

__all__ = [
    "DEFAULT",
    "REPAIRED",
    "REPAIRS",
    "check_repairs",
    "closed_days",
    "mark_repaired",
    "repeats",
    "without_copies",
    "without_splits",
]

#: Repair -> what it does.
REPAIRS = {
    "copied_closes": "a close without volume that repeats the one before is emptied",
    "closed_days": "a price on a day its exchange was shut is left out; without this it is an error",
    "splits": "closes before a split they were not adjusted for are rescaled by its ratio",
    "duplicates": "of rows that say the same one is kept; without this they are an error",
}
#: What `Market.load` does unless told otherwise.
DEFAULT = ("copied_closes", "closed_days")
#: Every change: the close before and after, null where it was taken away.
REPAIRED = {"symbol": pl.String, "date": pl.Date, "what": pl.String, "before": pl.Float64, "after": pl.Float64}
#: Findings that a repair settles.
SETTLES = {
    "splits": ("unadjusted_split", "split_like_jump"),
    "duplicates": ("repeated_rows",),
}


def check_repairs(repair: Collection[str]) -> tuple[str, ...]:
    """The repairs asked for, sorted.

    Raises
    ------
    SpecificationError
        For a name that is none, or a bare text.
    """
    names = {repair} if isinstance(repair, str) else set(repair)
    if isinstance(repair, str) or not names <= set(REPAIRS):
        strange = ", ".join(repr(name) for name in sorted(names - set(REPAIRS))) or repr(repair)
        raise SpecificationError(
            f"repair cannot be {strange}. Give a tuple of any of {', '.join(REPAIRS)}, "
            f"such as repair={DEFAULT!r}, or ()."
        )
    return tuple(sorted(names))


def mark_repaired(findings: pl.DataFrame, repair: Collection[str]) -> pl.DataFrame:
    """What a repair takes care of becomes a note; copies that stay become a warning."""
    done = [name for what in repair for name in SETTLES.get(what, ())]
    mended = pl.col("finding").is_in(done)
    copied = (pl.col("finding") == "copied_close") & pl.lit("copied_closes" not in repair)
    severity = pl.when(mended).then(pl.lit(NOTE)).when(copied).then(pl.lit(WARNING)).otherwise("severity")
    said = pl.when(mended).then(pl.format("{} Repaired.", "detail")).otherwise("detail")
    return findings.with_columns(severity.alias("severity"), said.alias("detail"))


def without_copies(frame: pl.DataFrame, repair: Collection[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Prices (``symbol, date, close, volume``) and the copied closes taken out of them, if that was asked for."""
    quoted = frame.select("symbol", "date", "close", "volume")
    if "copied_closes" not in repair:
        return quoted.sort("symbol", "date"), quoted.clear().select("symbol", "date", "close")
    return trading.undo_fills(quoted)


def without_splits(
    quoted: pl.DataFrame, findings: pl.DataFrame, repair: Collection[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Prices on the basis after their last split, and the last close before each split as it was and is."""
    splits = findings.filter(pl.col("finding").is_in(SETTLES["splits"])).select(
        "symbol", pl.col("date").alias("day"), pl.col("value").alias("ratio")
    )
    if "splits" not in repair or splits.is_empty():
        return quoted, pl.DataFrame(schema=REPAIRED)
    earlier = quoted.join(splits, on="symbol", how="inner").filter(pl.col("date") < pl.col("day"))
    factors = earlier.group_by("symbol", "date").agg(pl.col("ratio").product().alias("factor"))
    whole = quoted.join(factors, on=["symbol", "date"], how="left", validate="1:1", maintain_order="left")
    after = pl.col("close") / pl.col("factor").fill_null(1.0)
    shown = earlier.drop_nulls("close").sort("date").group_by("symbol", "day").agg(pl.col("date").last())
    done = whole.join(shown, on=["symbol", "date"], how="semi").select(
        "symbol", "date", pl.lit("splits").alias("what"), pl.col("close").alias("before"), after.alias("after")
    )
    return whole.with_columns(after.alias("close")).drop("factor"), done


def closed_days(
    securities: pl.DataFrame, prices: pl.DataFrame, listed: pl.DataFrame, source: str, repair: Collection[str]
) -> pl.DataFrame:
    """Prices of securities on days their exchange was shut, which no return can use.

    Raises
    ------
    DataError
        When there are some and leaving them out was not asked for.
    """
    own = prices.join(securities.select("symbol", "mic"), on="symbol", how="inner", validate="m:1")
    stray = own.join(listed, on=["mic", "date"], how="anti").sort("symbol", "date")
    if stray.height and "closed_days" not in repair:
        row = stray.row(0, named=True)
        raise DataError(
            f"{source} has {stray.height} prices on days the exchange was shut, the first of {row['symbol']} on "
            f"{row['date']}. Drop these rows, or leave them out with repair=('closed_days', ...).",
            counts={"closed_day_price": stray.height},
            rows=stray,
        )
    gone = pl.lit(None, pl.Float64).alias("after")
    return stray.select("symbol", "date", pl.lit("closed_days").alias("what"), pl.col("close").alias("before"), gone)


def repeats(frame: pl.DataFrame, findings: pl.DataFrame, repair: Collection[str]) -> pl.DataFrame:
    """Dates whose row was there more than once; the close is what it was."""
    if "duplicates" not in repair:
        return pl.DataFrame(schema=REPAIRED)
    repeated = findings.filter(pl.col("finding") == "repeated_rows")
    return frame.join(repeated, on=["symbol", "date"], how="semi").select(
        "symbol", "date", pl.lit("duplicates").alias("what"), pl.col("close").alias("before"),
        pl.col("close").alias("after"),
    )  # fmt: skip
