"""Check whole series: currency, adjustment, copies of another symbol; report checks that were not possible."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.core.symbol_rows import neighbour, of_symbols
from marketimpact.core.text import listed
from marketimpact.market.checks.findings import NOTE, WARNING, finding_rows
from marketimpact.market.checks.prepare import CheckedPrices
from marketimpact.market.checks.usual_range import usual_range

__all__ = ["adjustments", "copied_series", "currencies", "payouts", "unchecked"]

#: Hundredths of a currency that sources quote in.
MINOR = {"GBp": "GBP", "GBX": "GBP", "ILA": "ILS", "ZAc": "ZAR", "ZAC": "ZAR"}
#: Adjusted and unadjusted closes that differ by less than this (log) are the same.
SAME_BASIS = 1e-4
#: Log change of adj_close / close that rounding may explain: the first, plus the second over the lower price.
ROUNDING_STEP, ROUNDING_CENTS = 0.004, 0.015
#: A larger dividend, as part of the price, would be stated by the source.
LARGEST_DIVIDEND = 0.25
#: Closes that do not fall by the dividends stated beside them are reported from this log likelihood ratio on.
ADJUSTED_ALREADY = 10.0
#: Returns are the same when they agree to this many decimals.
DECIMALS = 6
#: More than twice the largest move in this unit, as a log return of any two prices.
MOST_MOVES = 1 << 34
#: Two series are copies when this many returns agree, and this share of those in the span where they do.
FEWEST_SAME, SHARE_SAME = 20, 0.9


def currencies(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find symbols whose stated currency is not that of the securities, or not a single one."""
    if "currency" not in rows.given:
        return []
    stated = rows.raw.filter(pl.col("currency").is_not_null()).group_by("symbol").agg(
        pl.col("date").min(), pl.col("currency").unique().sort().alias("stated"), pl.len().alias("n")
    )  # fmt: skip
    frame = stated.join(rows.facts.select("symbol", "expected"), on="symbol", how="left", validate="1:1").with_columns(
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
    if not rows.given & {"unadjusted_close", "from_adjusted"}:
        return []
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


def payouts(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Report stated dividends and splits: those in returns, those that cannot be, those that closes do not show."""
    if rows.stated.is_empty():
        return []
    columns = ("symbol", "date", "close", "reference", "market", neighbour("close").alias("last_close"))
    own = rows.traded.select(*columns).with_row_index("position")
    used = rows.payouts.join(own, on=["symbol", "date"], how="inner", validate="1:1")
    used = used.with_columns(scale=pl.Series(usual_range(rows.traded, used["position"].to_numpy()), dtype=pl.Float64))
    move = pl.format("close {} after {}", pl.col("close").round(4), pl.col("last_close").round(4))
    dividend = pl.concat_str(move, pl.format(" with a dividend of {}", pl.col("payout").round(6)))
    shares = pl.concat_str(move, pl.format(" where the source states {} shares for one", pl.col("ratio")))
    split = used.filter(pl.col("ratio") != 1.0).join(
        rows.stated.select("symbol", pl.col("date").alias("stated_on"), "split"),
        on=["symbol", "stated_on"], how="left", validate="m:1",
    )  # fmt: skip
    moved = ((pl.col("date") != pl.col("stated_on")) | (pl.col("ratio") != pl.col("split"))).fill_null(value=False)
    elsewhere = pl.concat_str(shares, pl.format(" as {} on {}: is it news of that day?", "split", "stated_on"))
    paid = used.filter(pl.col("payout") > 0)
    too_large = pl.col("reference") < 0
    return [
        finding_rows(paid.filter(~too_large), "stated_dividend", pl.col("payout"), dividend),
        finding_rows(paid.filter(too_large), "impossible_payout", pl.col("payout"), dividend),
        finding_rows(split.filter(~moved), "unadjusted_split", pl.col("ratio"), shares, severity=NOTE),
        finding_rows(split.filter(moved), "unadjusted_split", pl.col("ratio"), elsewhere, severity=WARNING),
        *_impossible(rows.stated),
        _unmatched(rows),
        _adjusted_already(paid),
    ]


def _impossible(stated: pl.DataFrame) -> list[pl.DataFrame]:
    """Find stated dividends and splits that are negative or not finite."""
    found = []
    for name in ("dividend", "split"):
        wrong = ~(pl.col(name).is_finite() & (pl.col(name) > 0))
        detail = pl.format("a {} of {}", pl.lit(name), name)
        found.append(finding_rows(stated.filter(wrong), "impossible_payout", pl.col(name), detail))
    return found


def _unmatched(rows: CheckedPrices) -> pl.DataFrame:
    """Count, per symbol, stated splits by which its closes do not step."""
    matched = rows.payouts.select("symbol", pl.col("stated_on").alias("date")).drop_nulls()
    left = rows.stated.filter(pl.col("split") > 0).join(matched, on=["symbol", "date"], how="anti")
    counted = left.group_by("symbol").agg(pl.col("date").min(), pl.len().alias("n"), pl.col("date").max().alias("last"))
    detail = pl.format("closes do not step by {} stated split(s), to {}, and are used as they are", "n", "last")
    return finding_rows(counted, "split_in_closes", pl.col("n"), detail)


def _adjusted_already(paid: pl.DataFrame) -> pl.DataFrame:
    """Find symbols whose closes do not fall by their dividends, by the likelihoods of both."""
    move = (pl.col("close") / pl.col("last_close")).log() - pl.col("market").fill_null(0.0)
    due = (1.0 - pl.col("payout") / pl.col("last_close")).clip(lower_bound=1e-6).log()
    evidence = (((move - due) ** 2 - move**2) / pl.col("scale") ** 2 / 2).sum().alias("evidence")
    counted = paid.group_by("symbol", maintain_order=True).agg(
        pl.col("date").min(), pl.len().alias("n"), pl.col("date").max().alias("last"), evidence
    )
    doubtful = counted.filter(pl.col("evidence") > ADJUSTED_ALREADY)
    detail = pl.format("closes do not fall by the {} dividend(s) stated, to {}", "n", "last")
    return finding_rows(doubtful, "dividend_in_closes", pl.col("n"), detail)


def copied_series(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find pairs of symbols with the same returns, over the whole or a part of their history."""
    unit = 10**DECIMALS
    moves = rows.traded.select("symbol", "date", (pl.col("ret") * unit).round(0).cast(pl.Int64).alias("move")).filter(
        pl.col("move") != 0
    )
    day_and_move = moves.select(pl.col("date").to_physical().cast(pl.Int64) * MOST_MOVES + pl.col("move")).to_series()
    # sorted numbers show repeated ones much sooner than a hash of each
    ordered = np.sort(day_and_move.to_numpy())
    repeated = pl.Series(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
    twins = moves.filter(day_and_move.is_in(repeated.implode()))
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
    if pairs.is_empty():
        return []
    moves = of_symbols(moves, pl.concat([pairs["symbol"], pairs["symbol_other"]]))
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
    volume = rows.priced.group_by("symbol").agg((pl.col("volume") > 0).any().alias("volume"))
    facts = rows.facts.join(volume, on="symbol", how="left", validate="1:1").sort("symbol")
    stated = _symbols_with(rows.raw, "currency") if "currency" in rows.given else set()
    compared = _symbols_with(rows.traded, "market")
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


def _symbols_with(rows: pl.DataFrame, name: str) -> set[str]:
    """Return the symbols that have any value in a column."""
    counts = rows.group_by("symbol").agg(pl.col(name).count())
    return set(counts.filter(pl.col(name) > 0)["symbol"])
