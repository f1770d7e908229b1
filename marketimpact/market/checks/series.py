"""Check whole series: currency, adjustment, copies of another symbol; report checks that were not possible."""

from __future__ import annotations

import polars as pl

from marketimpact.core.text import listed
from marketimpact.market.checks.findings import NOTE, finding_rows
from marketimpact.market.checks.prepare import CheckedPrices

__all__ = ["adjustments", "copied_series", "currencies", "unchecked"]

#: Hundredths of a currency that sources quote in.
MINOR = {"GBp": "GBP", "GBX": "GBP", "ILA": "ILS", "ZAc": "ZAR", "ZAC": "ZAR"}
#: Adjusted and unadjusted closes that differ by less than this (log) are the same.
SAME_BASIS = 1e-4
#: Log change of adj_close / close that rounding may explain: the first, plus the second over the lower price.
ROUNDING_STEP, ROUNDING_CENTS = 0.004, 0.015
#: A larger dividend, as part of the price, would be stated by the source.
LARGEST_DIVIDEND = 0.25
#: Returns are the same when they agree to this many decimals.
DECIMALS = 6
#: Two series are copies when this many returns agree, and this share of those in the span where they do.
FEWEST_SAME, SHARE_SAME = 20, 0.9


def currencies(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find symbols whose stated currency is not that of the securities, or not a single one."""
    stated = rows.raw.filter(pl.col("currency").is_not_null()).group_by("symbol").agg(
        pl.col("date").min(), pl.col("currency").unique().sort().alias("stated"), pl.len().alias("n")
    )  # fmt: skip
    known = rows.priced.group_by("symbol").agg(pl.col("expected").first())
    frame = stated.join(known, on="symbol", how="left", validate="1:1").with_columns(
        pl.col("stated").list.eval(pl.element().replace(MINOR)).list.unique().alias("major"),
    )
    several = pl.col("stated").list.len() > 1
    other = (pl.col("major").list.first() != pl.col("expected")).fill_null(value=False)
    minor = ~several & ~other & (pl.col("stated") != pl.col("major")) & pl.col("expected").is_not_null()
    listed = pl.col("stated").list.join(", ")
    detail = pl.concat_str(
        pl.format("prices in {}", listed),
        pl.coalesce(pl.format("; the securities say {}", "expected"), pl.lit("")),
    )
    return [
        finding_rows(frame.filter(several | other), "currency_mismatch", pl.col("n"), detail),
        finding_rows(frame.filter(minor), "minor_currency", pl.col("n"), detail),
    ]


def adjustments(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find changes between adjusted and unadjusted closes, and adjustments that no dividend explains."""
    ratio = (pl.col("close") / pl.col("unadjusted_close")).log()
    frame = rows.traded.with_columns(
        pl.when("from_adjusted").then(ratio).alias("adjustment"),
        (pl.col("from_adjusted") != pl.col("from_adjusted").shift(1).over("symbol"))
        .fill_null(value=False)
        .alias("switch"),
    )
    # the adjustment nearest to the switch, before or after it
    nearest = pl.coalesce(pl.col("adjustment").forward_fill(), pl.col("adjustment").backward_fill()).over("symbol")
    switched = frame.with_columns(nearest.alias("nearest")).filter("switch")
    off = pl.col("nearest").exp() - 1
    same = (pl.col("nearest").abs() < SAME_BASIS).fill_null(value=False)
    detail = pl.concat_str(
        pl.when("from_adjusted").then(pl.lit("adj_close begins")).otherwise(pl.lit("adj_close ends")),
        pl.lit(" here, and close stands in on the other side"),
        pl.when(same)
        .then(pl.lit("; the two are the same nearby"))
        .otherwise(pl.coalesce(pl.format("; the two differ by {}% nearby", (off * 100).round(2)), pl.lit(""))),
    )
    return [
        finding_rows(switched.filter(~same), "mixed_adjustment", off, detail),
        finding_rows(switched.filter(same), "mixed_adjustment", off, detail, severity=NOTE),
        *_steps(frame),
    ]


def _steps(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """Find changes of adj_close / close that no dividend explains: one raises the ratio, never lowers it."""
    both = frame.filter(pl.col("adjustment").is_not_null()).with_columns(
        pl.col("adjustment").diff().over("symbol").alias("step"),
        pl.min_horizontal("close", "unadjusted_close").alias("low"),
        (pl.col("dividend").fill_null(0.0) > 0).alias("paid"),
        (pl.col("dividend").fill_null(0.0) > 0).any().over("symbol").alias("pays"),
    )
    loose = ROUNDING_STEP + ROUNDING_CENTS / pl.min_horizontal("low", pl.col("low").shift(1).over("symbol"))
    unpaid = pl.col("pays") & ~pl.col("paid") & (pl.col("step") > loose)
    unexplained = both.filter((pl.col("step") < -loose) | (pl.col("step") > LARGEST_DIVIDEND) | unpaid)
    change = pl.col("step").exp() - 1
    detail = pl.format("adj_close / close changes by {}% where no dividend explains it", (change * 100).round(2))
    return [finding_rows(unexplained, "adjustment_step", change, detail)]


def copied_series(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find pairs of symbols with the same returns, over the whole or a part of their history."""
    unit = 10**DECIMALS
    moves = rows.traded.select("symbol", "date", (pl.col("ret") * unit).round(0).cast(pl.Int64).alias("move")).filter(
        pl.col("move") != 0
    )
    twins = moves.filter(pl.struct("date", "move").is_duplicated())
    same = twins.join(twins, on=["date", "move"], how="inner", suffix="_other").filter(
        pl.col("symbol") < pl.col("symbol_other")
    )
    pairs = (
        same.group_by("symbol", "symbol_other")
        .agg(
            pl.len().alias("n"),
            pl.col("date").quantile(0.05, "lower").alias("from"),
            pl.col("date").quantile(0.95, "higher").alias("to"),
            pl.col("date").min().alias("date"),
            pl.col("date").max().alias("last"),
        )
        .filter(pl.col("n") >= FEWEST_SAME)
    )
    inside = (
        pairs.join(moves.select("symbol", pl.col("date").alias("day")), on="symbol", how="inner")
        .filter(pl.col("day").is_between("from", "to"))
        .join(
            moves.select(pl.col("symbol").alias("symbol_other"), pl.col("date").alias("day")),
            on=["symbol_other", "day"],
            how="semi",
        )
        .group_by("symbol", "symbol_other")
        .agg(pl.len().alias("common"))
    )
    copies = pairs.join(inside, on=["symbol", "symbol_other"], how="inner", validate="1:1").filter(
        # nine tenths of the agreeing days lie between the two quantiles
        0.9 * pl.col("n") >= SHARE_SAME * pl.col("common")
    )
    detail = pl.format("{} returns are those of {}, to {}", "n", "symbol_other", "last")
    return [finding_rows(copies, "copied_series", pl.col("n"), detail)]


def unchecked(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Report each check that could not be made, with the symbols and the reason."""
    facts = rows.priced.group_by("symbol").agg(
        pl.col("calendar").first(),
        pl.col("expected").first(),
        (pl.col("volume") > 0).any().alias("volume"),
        pl.col("known").first(),
    ).sort("symbol")  # fmt: skip
    stated = set(rows.raw.filter(pl.col("currency").is_not_null())["symbol"])
    compared = set(rows.traded.filter(pl.col("market").is_not_null())["symbol"])
    without = {
        "Sessions and closed days (only weekends): no exchange is known for {}":
            facts.filter(pl.col("calendar").is_null())["symbol"].to_list(),
        "Price limits and currencies: the securities do not have {}":
            facts.filter(~pl.col("known"))["symbol"].to_list(),
        "Currencies: the prices state none for {}":
            [s for s in facts.filter("known")["symbol"] if s not in stated],
        "Copied closes and unfinished last rows: no volume of {}":
            facts.filter(~pl.col("volume").fill_null(value=False))["symbol"].to_list(),
        "Jumps are compared with no market: no benchmark's prices for {}":
            [s for s in facts["symbol"] if s not in compared],
    }  # fmt: skip
    lines = [(len(names), text.format(listed(names, quoted=False))) for text, names in without.items() if names]
    lines.append((facts.height, "Whether a symbol's rows are really that security's: prices alone cannot say"))
    frame = pl.DataFrame(lines, schema={"n": pl.Int64, "detail": pl.String}, orient="row").with_columns(
        pl.lit(None, pl.String).alias("symbol"), pl.lit(None, pl.Date).alias("date")
    )
    return [finding_rows(frame, "not_checked", pl.col("n"), pl.col("detail"))]
