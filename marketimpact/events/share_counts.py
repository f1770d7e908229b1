"""Give shares outstanding as they were known before a date, and the splits since."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike
from marketimpact.core.own_columns import keep_own_columns
from marketimpact.events.as_of import check_date, first_reason, public_on, warn_of_left_out
from marketimpact.events.contract_files import load_table, parse_table

__all__ = ["COUNT_AGE", "SHARE_REASONS", "check_counts", "known_splits", "load_counts", "shares"]

#: Calendar days after which a count of shares is too old: a year between annual reports, and their delay.
COUNT_AGE = 400
#: Day until which splits are in `split_factor_since` of the embedded table.
SPLITS_UNTIL = date(2026, 11, 28)
#: Reason a count is not used -> what it means, in the order in which they are tried.
SHARE_REASONS = {
    "recalled": "no source was read",
    "not_public": "not yet public",
    "no_longer_valid": "no longer valid",
    "too_old": "too old",
    "superseded": "a later count of the symbol is used",
}
#: Columns that the look-up adds.
_TAKEN = ("public_on", "reason", "shares", "used")
_COLUMNS = (
    "symbol", "date", "shares", "shares_outstanding", "split_factor_since", "shares_current_basis", "shares_per_unit",
    "share_class", "valid_until", "filed_on", "public_on", "verification", "source_title", "source_url", "notes",
)  # fmt: skip


def shares(
    as_of: date | str | None = None,
    *,
    path: str | Path | FrameLike | None = None,
    recalled: bool = False,
    all_rows: bool = False,
) -> pl.DataFrame:
    """Look up shares outstanding, on the basis of the splits known today.

    Parameters
    ----------
    as_of : datetime.date or str, optional
        A date, such as ``"2025-08-12"``, strictly before which a count must be public; one row per symbol is then
        returned. By default every count is.
    path : str, pathlib.Path or FrameLike, optional
        A CSV, Parquet or Excel file, or a frame, of the same shape as the embedded table, which is used by default.
        ``symbol``, ``date`` and ``shares_outstanding`` are needed. A row without ``verification`` counts as read in
        its source, one without ``split_factor_since`` or ``shares_per_unit`` as 1.
    recalled : bool
        Whether counts written from memory, most of them rounded, may be used.
    all_rows : bool
        Whether to return every row of the table, with ``used`` and ``reason``, instead; needs `as_of`.

    Returns
    -------
    polars.DataFrame
        By symbol and date: ``symbol, date, shares, shares_outstanding, split_factor_since, shares_current_basis,
        shares_per_unit, share_class, valid_until, filed_on, public_on, verification, source_title, source_url,
        notes``, then columns of your own. ``shares`` are traded units of `symbol`: ``shares_outstanding`` of `date`,
        times ``split_factor_since`` (new shares for one, in splits until November 2026), over ``shares_per_unit`` (5
        for TSM, whose ADR stands for five shares). ``public_on`` is ``filed_on``, or 90 days after `date` where that is
        not known. A count holds for 400 days at most, and not from ``valid_until`` on (a merger paid in shares).

    Raises
    ------
    SpecificationError
        For an `as_of` that is no date, or `all_rows` without one.
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Warns
    -----
    MarketImpactWarning
        With the number of firms that have counts but none that may be used on the date; not with `all_rows`.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> rows = mi.shares("2025-08-12", all_rows=True)
    >>> rows.filter("used", pl.col("symbol") == "NVDA").select("date", "shares").row(0)
    (datetime.date(2025, 5, 23), 24400000000.0)
    """
    rows = load_counts(path)
    if as_of is None and not all_rows:
        may_be_used = pl.lit(value=True) if recalled else pl.col("verification") == "seen"
        return rows.filter(may_be_used).select(*_COLUMNS, pl.exclude(*_COLUMNS, "reason")).sort("symbol", "date")
    day = check_date("as_of", as_of)
    conditions = {
        "recalled": (pl.col("verification") != "seen") & (not recalled),
        "not_public": pl.col("public_on") >= day,
    }
    found = rows.with_columns(first_reason(conditions))
    is_latest = pl.col("date") == pl.col("date").filter(pl.col("reason").is_null()).max().over("symbol")
    later_conditions = {
        "no_longer_valid": pl.col("valid_until") < day,
        "too_old": pl.col("date") < day - timedelta(days=COUNT_AGE),
        "superseded": ~is_latest,
    }
    found = found.with_columns(pl.coalesce("reason", first_reason(later_conditions)).alias("reason"))
    if all_rows:
        return found.select(*_COLUMNS, pl.exclude(_COLUMNS), pl.col("reason").is_null().alias("used")).sort(
            "symbol", "date"
        )
    warn_of_left_out(found, "symbol", SHARE_REASONS, f"shares before {day}", "a count of shares")
    return found.filter(pl.col("reason").is_null()).select(*_COLUMNS, pl.exclude(*_COLUMNS, "reason")).sort("symbol")


def load_counts(path: str | Path | FrameLike | None) -> pl.DataFrame:
    """Read a table of counts; what it does not say counts as read in a source, without splits, one share a unit."""
    raw, label = load_table(path, "shares")
    return check_counts(raw, label)


def check_counts(raw: pl.DataFrame, label: str) -> pl.DataFrame:
    """Check a table of counts and add ``shares`` and ``public_on``."""
    rows = keep_own_columns(parse_table(schema.ShareCounts, raw, label), _TAKEN, label, stacklevel=5)
    counts = rows.with_columns(
        pl.col("verification").fill_null("seen"),
        pl.col("split_factor_since", "shares_per_unit").fill_null(1.0),
        public_on("date", pl.lit(value=True)),
    )
    on_current_basis = pl.col("shares_outstanding") * pl.col("split_factor_since")
    return counts.with_columns(
        on_current_basis.alias("shares_current_basis"), (on_current_basis / pl.col("shares_per_unit")).alias("shares")
    )


def known_splits(counts: pl.DataFrame) -> pl.DataFrame:
    """Find splits between counts: ``symbol, before, after, ratio``, by symbol and date.

    A split lies after the count of `before` and not after that of `after`: where no later count shows it, not after
    `SPLITS_UNTIL`, and null where that has passed. `ratio` is new shares for one.
    """
    later = pl.col("date", "split_factor_since").shift(-1).over("symbol").name.prefix("later_")
    last_day = pl.when(pl.col("date") < SPLITS_UNTIL).then(pl.lit(SPLITS_UNTIL))
    ordered = counts.sort("symbol", "date").with_columns(later)
    return ordered.select(
        "symbol",
        pl.col("date").alias("before"),
        pl.coalesce("later_date", last_day).alias("after"),
        (pl.col("split_factor_since") / pl.col("later_split_factor_since").fill_null(1.0)).alias("ratio"),
    ).filter(pl.col("ratio") != 1.0)
