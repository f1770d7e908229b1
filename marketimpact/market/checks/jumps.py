"""Check single returns: splits, price limits, scale errors, spikes, changes between sources."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import polars as pl

from marketimpact.core.arrays import Ints
from marketimpact.core.symbol_rows import neighbour, owners
from marketimpact.market.checks.findings import finding_rows
from marketimpact.market.checks.prepare import CheckedPrices
from marketimpact.market.checks.usual_range import least_range, usual_range, window_medians
from marketimpact.market.session_returns import spans
from marketimpact.market.trading_rules import EARLIER_BANDS, price_bands

__all__ = ["SPLITS", "jumps", "seams", "split_ratio", "split_terms"]

#: Usual ratios: shares after a split for one before; their inverses are reverse splits.
USUAL_SPLITS = (2, 3, 4, 5, 10, 20)
#: All ratios; their inverses are reverse splits and changes of an ADR's ratio.
SPLITS = (2, 2.5, *range(3, 17), 18, 20, 25, 30, 40, 50, 60, 75, 80, 100, 120, 150, 200, 250, 300, 500, 1000)
#: Ratios of splits (not of reverse ones) that are as small as a day's news.
SMALL_SPLITS = (Fraction(5, 4), Fraction(4, 3), Fraction(3, 2))
#: Factors between a currency and its hundredth, or thousands and units.
SCALES = (100, 1000)
#: Greatest log distance of a jump from that of a split: this many usual moves, within bounds that separate 4 from 5.
NEAR, NEAR_LEAST, NEAR_MOST = 5.0, 0.05, 0.11
#: A usual ratio is chosen although another one is nearer, as long as its distance times this is the smaller.
USUAL_WEIGHT = 0.5
#: A small split is a jump of so many standard deviations; its greatest log distance from the ratio in usual moves, and
#: altogether; the largest median move afterwards.
SMALL_SIGMAS, NEAR_SMALL, NEAR_SMALL_MOST, MAX_SIGMAS_AFTER_SMALL = 25.0, 2.0, 0.05, 2.0
#: News is traded more than the days around it, by this factor; without volume only so large a jump is taken for a
#: small split, in standard deviations.
NEWS_VOLUME, VOLUME_ROWS, MIN_VOLUMES, SIGMAS_WITHOUT_VOLUME = 2.25, 10, 3, 40.0
#: A step that no share makes in a day: by this log size and so many standard deviations, or beyond a factor of three.
LEAST_IMPLAUSIBLE, IMPLAUSIBLE_SIGMAS, BEYOND = math.log(2.0), 15.0, math.log(3.0)
#: Greatest log distance of a scale step from a factor of 100 or 1000.
NEAR_SCALE = 0.35
#: A jump is far outside the usual range beyond this many standard deviations; a spike and a mere move need more.
FAR_SIGMAS, SPIKE_SIGMAS, MOVE_SIGMAS = 8.0, 10.0, 10.0
#: Smallest log jump that can be reported as a split, as a spike, as a mere move.
LEAST_SPLIT, LEAST_SPIKE, LEAST_MOVE = 0.4, 0.1, 0.2
#: The benchmark is quiet when its move is no more than this part of a jump.
MAX_BENCHMARK_SHARE = 0.25
#: A spike reverts when the two returns cancel to within this part of the first.
REVERSAL_TOLERANCE = 0.15
#: After a split most of the next rows move as usual, after bad news they do not: the largest median move, in standard
#: deviations, over this number of rows.
MAX_SIGMAS_AFTER_SPLIT, ROWS_AFTER_SPLIT = 4.0, 3
#: A close is beyond its limit by more than this many ticks and this part of the close before: adjusted
#: prices are rounded.
SLACK_TICKS, SLACK_SHARE = 2.0, 0.002
#: A move beyond this many bands is a breach that the exchange cannot have allowed; smaller ones are counted per symbol.
BREACH_BANDS = 1.3
#: After a longer suspension a symbol may trade without a limit.
LONGEST_SUSPENSION = 20
#: Share of a number that the order of operations may change.
ROUNDING = 1e-9
#: A stated split below this ratio is not distinguishable from a day's move.
MIN_STATED_SPLIT = 1.2
#: A close moves as the stated split when the rest of its move is no more than this part of the split's.
STATED_SPLIT_TOLERANCE = 0.25


def split_ratio(log_jump: pl.Expr, near: pl.Expr | float) -> pl.Expr:
    """Find the split, in new shares for one, that explains a log jump (4 for a fall to a quarter), or null.

    Of several the nearest, usual ones preferred; see `USUAL_WEIGHT`.
    """
    ratios = [float(n) for n in SPLITS] + [1.0 / n for n in SPLITS]
    usual = {*USUAL_SPLITS, *(1.0 / n for n in USUAL_SPLITS)}
    weighted = []
    for ratio in ratios:
        distance = (log_jump + math.log(ratio)).abs()
        weight = USUAL_WEIGHT if ratio in usual else 1.0
        weighted.append(pl.when(distance <= near).then(weight * distance))
    return pl.concat_list(weighted).list.arg_min().replace_strict(dict(enumerate(ratios)), default=None)


def split_terms(ratio: float) -> str:
    """Name a split by its ratio of new shares for one.

    Examples
    --------
    >>> split_terms(4.0), split_terms(2.5), split_terms(1 / 8)
    ('4-for-1 split', '5-for-2 split', '1-for-8 reverse split')
    """
    terms = Fraction(ratio).limit_denominator(1000)
    kind = "split" if ratio > 1 else "reverse split"
    return f"{terms.numerator}-for-{terms.denominator} {kind}"


def jumps(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find jumps far outside the usual range, and report each once, as its likeliest kind."""
    frame = _classified(_measured(rows))
    value = {"split_like_jump": pl.col("ratio"), "unadjusted_split": pl.col("split")}
    return [
        *(
            finding_rows(frame.filter(pl.col("kind") == name), name, value.get(name, pl.col("ret").exp() - 1), detail)
            for name, detail in _descriptions().items()
        ),
        # the return that reverts a spike is not a second finding
        _overshoots(frame.filter(pl.col("kind").is_null(), pl.col("band").is_not_null(), ~pl.col("returned"))),
    ]


def _classified(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `kind`, the likeliest kind of each jump, or null; the first that applies."""
    size, far = pl.col("own").abs(), pl.col("sigmas")
    quiet = (pl.col("market").abs() <= MAX_BENCHMARK_SHARE * size).fill_null(value=True)
    scale = _scales(size)
    lasting = _lasting(frame, scale & (far > FAR_SIGMAS))
    calm = pl.col("after") <= MAX_SIGMAS_AFTER_SPLIT
    # an index has no shares to split
    share = ~pl.col("symbol").str.starts_with("^")
    split = share & (far > FAR_SIGMAS) & (size >= LEAST_SPLIT) & quiet & pl.col("ratio").is_not_null() & calm
    small = share & quiet & (far > SMALL_SIGMAS) & pl.col("small_ratio").is_not_null()
    small &= pl.col("market").is_not_null() & pl.col("band").is_null()
    # among other such moves it is turmoil, not a spike
    spike = (far > SPIKE_SIGMAS) & (size >= LEAST_SPIKE) & pl.col("reverts") & ~pl.col("was_far")
    unlikely = quiet & calm & (far > IMPLAUSIBLE_SIGMAS) & (size >= LEAST_IMPLAUSIBLE)
    beyond = (pl.col("ret").abs() > BEYOND) & (pl.col("gap") <= LONGEST_SUSPENSION).fill_null(value=True)
    kind = (
        pl.when(_stated(far)).then(pl.lit("unadjusted_split"))
        .when(pl.col("returned") & ~scale).then(None)
        .when(scale & (far > FAR_SIGMAS) & ~(split & lasting)).then(pl.lit("scale_step"))
        .when(spike).then(pl.lit("spike"))
        .when(split | small).then(pl.lit("split_like_jump"))
        .when((pl.col("ret").exp() - 1).abs() > BREACH_BANDS * pl.col("band")).then(pl.lit("limit_breach"))
        .when(unlikely | beyond).then(pl.lit("implausible_return"))
        .when((far > MOVE_SIGMAS) & (size >= LEAST_MOVE)).then(pl.lit("large_move"))
    )  # fmt: skip
    return frame.with_columns(kind.alias("kind"), pl.coalesce("ratio", "small_ratio").alias("ratio"))


def _scales(size: pl.Expr) -> pl.Expr:
    """Mark jumps by a factor near 100 or 1000."""
    return pl.any_horizontal((size - math.log(n)).abs() <= NEAR_SCALE for n in SCALES)


def _lasting(frame: pl.DataFrame, scale: pl.Expr) -> pl.Expr:
    """Mark symbols whose steps by a factor of 100 or 1000 are one only: another unit begins and ends."""
    once = frame.filter(scale).group_by("symbol").len().filter(pl.col("len") == 1)["symbol"]
    return pl.col("symbol").is_in(once.implode())


def _stated(far: pl.Expr) -> pl.Expr:
    """Mark rows on which the source states a split and the close moves by its ratio."""
    split = pl.col("split")
    step = pl.when(split.is_finite() & (split > 0)).then(split.log())
    fits = (pl.col("own") + step).abs() <= STATED_SPLIT_TOLERANCE * step.abs()
    return ((step.abs() >= math.log(MIN_STATED_SPLIT)) & fits & (far > FAR_SIGMAS)).fill_null(value=False)


def _overshoots(frame: pl.DataFrame) -> pl.DataFrame:
    """Count closes a little beyond the limit per symbol: typical of dividends subtracted from earlier closes."""
    size = (pl.col("ret").exp() - 1).abs()
    counted = frame.group_by("symbol", maintain_order=True).agg(
        pl.col("date").first(),
        pl.col("date").last().alias("last"),
        pl.len().alias("n"),
        size.max().alias("most"),
        pl.col("band").get(size.arg_max()),
    )
    detail = pl.format(
        "{} closes a little beyond the limit, to {}: up to {}% where it is {}%",
        "n", "last", (pl.col("most") * 100).round(1), (pl.col("band") * 100).round(0).cast(pl.Int64),
    )  # fmt: skip
    return finding_rows(counted, "limit_overshoot", pl.col("n"), detail)


def _measured(rows: CheckedPrices) -> pl.DataFrame:
    """Select rows that may be jumps, with the measures that kinds of jumps differ in.

    These are the size in usual moves, the returns around it, the nearest split, the volume and the price limit.
    """
    traded, breaches = rows.traded, _breaches(rows)
    positions = np.union1d(_candidates(rows), breaches["position"].to_numpy()).astype(np.int64)
    own, before = pl.col("own"), pl.col("before")
    around = traded.select(
        neighbour("close").alias("last_close"), neighbour("own").alias("before"), neighbour("own", 1).alias("following")
    )
    frame = pl.concat([traded[positions], around[positions]], how="horizontal").with_columns(
        position=pl.Series(positions, dtype=pl.UInt32)
    )
    frame = frame.join(breaches, on="position", how="left", validate="1:1", maintain_order="left")
    after = pl.concat_list(f"after_{n}" for n in range(1, ROWS_AFTER_SPLIT + 1)).list.median()
    frame = frame.with_columns(*_sigmas_around(traded, positions), _busy(traded, positions)).with_columns(
        # the median: a single piece of news soon after is not turmoil
        after.fill_null(0.0).alias("after"),
        ((own + pl.col("following")).abs() <= REVERSAL_TOLERANCE * own.abs()).fill_null(value=False).alias("reverts"),
        # the return that reverts a spike is not a second finding
        ((own + before).abs() <= REVERSAL_TOLERANCE * before.abs()).fill_null(value=False).alias("_back"),
        (pl.col("sigmas_before") > SPIKE_SIGMAS).fill_null(value=False).alias("was_far"),
        (before.abs() >= LEAST_SPIKE).fill_null(value=False).alias("_was_large"),
    )  # fmt: skip
    returned = pl.col("_back") & pl.col("was_far") & pl.col("_was_large")
    return frame.with_columns(returned.alias("returned"), *_ratios())


def _candidates(rows: CheckedPrices) -> Ints:
    """Return the rows of `traded` that can be a jump of any kind, but for those beyond a price limit."""
    own, ret = pl.col("own").abs(), pl.col("ret").abs()
    large = rows.traded.select("symbol", "own", "ret", "split").with_row_index("position").filter(
        (own >= LEAST_SPIKE) | (ret > BEYOND) | pl.col("split").is_not_null()
    )  # fmt: skip
    # the usual range is no smaller than this
    least = least_range(rows.traded.select("symbol", "own"))
    known = large.join(least, on="symbol", how="left", validate="m:1", maintain_order="left")
    is_far = own > FAR_SIGMAS * pl.col("least_range") * (1 - ROUNDING)
    return known.filter(is_far | (ret > BEYOND))["position"].to_numpy()


def _sigmas_around(traded: pl.DataFrame, positions: Ints) -> list[pl.Series]:
    """Divide the returns of a row, of the one before and of those after it by their usual range."""
    owner, size = owners(traded["symbol"]), np.abs(traded["own"].to_numpy())
    names = {-1: "sigmas_before", 0: "sigmas"} | {n: f"after_{n}" for n in range(1, ROWS_AFTER_SPLIT + 1)}
    measured = np.unique(np.concatenate([np.clip(positions + n, 0, len(owner) - 1) for n in names]))
    scale = usual_range(traded, measured)
    columns = []
    for n, name in names.items():
        there = np.clip(positions + n, 0, len(owner) - 1)
        sigmas = size[there] / scale[np.searchsorted(measured, there)]
        is_same = (owner[there] == owner[positions]) & (there == positions + n)
        columns.append(pl.Series(name, np.where(is_same, sigmas, np.nan), nan_to_null=True))
        if n == 0:
            columns.append(pl.Series("scale", scale[np.searchsorted(measured, there)]))
    return columns


def _busy(traded: pl.DataFrame, positions: Ints) -> pl.Series:
    """Compare each day's volume with the larger of the medians before and after it: shares double with a split."""
    volume = traded["volume"].to_numpy()
    volume = np.where(volume > 0, volume, np.nan)
    before, after = (
        window_medians(volume, traded["symbol"], positions, window, least=MIN_VOLUMES)
        for window in ((-VOLUME_ROWS, -1), (1, VOLUME_ROWS))
    )
    return pl.Series("busy", volume[positions] / np.fmax(before, after), nan_to_null=True)


def _ratios() -> list[pl.Expr]:
    """Find the ratio of the nearest split, and that of a small split where nothing speaks for news instead."""
    own, scale = pl.col("own"), pl.col("scale")
    ratio = split_ratio(own, (NEAR * scale).clip(NEAR_LEAST, NEAR_MOST))
    near = (NEAR_SMALL * scale).clip(upper_bound=NEAR_SMALL_MOST)
    no_news = pl.coalesce(pl.col("busy") <= NEWS_VOLUME, pl.col("sigmas") > SIGMAS_WITHOUT_VOLUME)
    calm = no_news & (pl.col("after") <= MAX_SIGMAS_AFTER_SMALL)
    fits = [
        pl.when(calm & ((own + math.log(small)).abs() <= near)).then(pl.lit(float(small))) for small in SMALL_SPLITS
    ]
    measured = (own.abs() >= LEAST_MOVE) & (pl.col("sigmas") > FAR_SIGMAS)
    return [
        pl.when(measured & (own.abs() >= LEAST_SPLIT)).then(ratio).alias("ratio"),
        pl.when(measured).then(pl.coalesce(fits)).alias("small_ratio"),
    ]


def _descriptions() -> dict[str, pl.Expr]:
    """Write the sentence of each kind of jump."""
    move = pl.format("close {} after {}, {}%", pl.col("close").round(4), pl.col("last_close").round(4),
                     ((pl.col("ret").exp() - 1) * 100).round(1))  # fmt: skip
    usual = pl.format(", {} times its usual daily range", pl.col("sigmas").round(0).cast(pl.Int64))
    market = pl.coalesce(
        pl.format(", its benchmark {}%", ((pl.col("market").exp() - 1) * 100).round(1)),
        pl.lit(", no benchmark to compare"),
    )
    known = [float(n) for n in (*SPLITS, *SMALL_SPLITS)] + [1.0 / n for n in SPLITS]
    names = {ratio: f"a {split_terms(ratio)}" for ratio in known}
    terms = pl.col("ratio").replace_strict(names, default=None, return_dtype=pl.String)
    bonus = pl.when(pl.col("ret").is_between(-math.log(2.2), 0.0)).then(
        pl.format("; a bonus issue of {} for 10 would do that", ((pl.col("own").neg().exp() - 1) * 10).round(1))
    ).otherwise(pl.lit(""))  # fmt: skip
    band = pl.format("; the limit is {}%", (pl.col("band") * 100).round(0).cast(pl.Int64))
    return {
        "unadjusted_split": pl.concat_str(move, pl.format(" where the source states {} shares for one", "split")),
        "scale_step": pl.concat_str(move, pl.lit(": a factor near 100 or 1000")),
        "spike": pl.concat_str(move, usual, market, pl.lit(", and back on the next row")),
        "split_like_jump": pl.concat_str(move, usual, market, pl.lit(": as "), terms, pl.lit(" would")),
        "limit_breach": pl.concat_str(move, market, band, bonus),
        "implausible_return": pl.concat_str(move, usual, market),
        "large_move": pl.concat_str(move, usual, market),
    }


def _breaches(rows: CheckedPrices) -> pl.DataFrame:
    """Find closes beyond the daily limit: ``position`` among the rows of `traded`, and ``band``."""
    facts = rows.facts.filter(pl.col("price_limit").is_not_null())
    limited = rows.traded.select("symbol", "session", "date", "close", "gap", "reference").with_row_index("position")
    limited = limited.filter(pl.col("symbol").is_in(facts["symbol"].implode()), pl.col("session").is_not_null())
    least = pl.min_horizontal(facts["price_limit"].min(), *(band for _, band, _ in EARLIER_BANDS))
    is_first = (pl.col("symbol") != pl.col("symbol").shift(1)).fill_null(value=True)
    is_large = (pl.col("close") - pl.col("reference")).abs() > least * pl.col("reference")
    # the first row tells when the symbol was listed
    panel = rows.with_facts(limited.filter(is_first | is_large), "mic")
    banded = price_bands(panel, facts, spans(panel))
    slack = SLACK_TICKS * pl.col("tick") + SLACK_SHARE * pl.col("last_close")
    move = pl.col("close") - pl.col("last_close")
    beyond = move.abs() > pl.col("band") * pl.col("last_close") + slack
    return banded.filter(beyond, pl.col("gap") <= LONGEST_SUSPENSION).select("position", "band")


def seams(rows: CheckedPrices) -> list[pl.DataFrame]:
    """Find changes from one stated source or adjustment to another, and the return across each."""
    if "origin" not in rows.given:
        return []
    is_same = pl.col("symbol") == pl.col("symbol").shift(1)
    changed = is_same & (pl.col("origin") != pl.col("origin").shift(1))
    positions = rows.traded.select(changed.fill_null(value=False)).to_series().arg_true().to_numpy().astype(np.int64)
    frame = rows.traded[positions].with_columns(
        rows.traded["origin"].gather(positions - 1).alias("from"),
        pl.Series("scale", usual_range(rows.traded, positions), dtype=pl.Float64),
    )
    frame = frame.with_columns((pl.col("own").abs() / pl.col("scale")).alias("sigmas"))
    detail = pl.format("from '{}' to '{}', with a move of {}%, {} times its usual daily range", "from", "origin",
                     ((pl.col("ret").exp() - 1) * 100).round(2), pl.col("sigmas").round(1))  # fmt: skip
    wild = pl.col("sigmas") > FAR_SIGMAS
    value = pl.col("ret").exp() - 1
    return [
        finding_rows(frame.filter(wild), "basis_step", value, detail),
        finding_rows(frame.filter(~wild), "source_change", value, detail),
    ]
