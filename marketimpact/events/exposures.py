"""Give what share of revenue firms made in China, as it was known before a date."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike
from marketimpact.core.own_columns import keep_own_columns
from marketimpact.core.schema.vocabulary import BASES, PERIOD_TYPES
from marketimpact.core.text import did_you_mean, listed
from marketimpact.core.whole_numbers import is_whole
from marketimpact.errors import MarketImpactWarning, SpecificationError
from marketimpact.events.as_of import check_date, first_reason, public_on, warn_of_left_out
from marketimpact.events.catalogue import securities
from marketimpact.events.contract_files import load_table, parse_table
from marketimpact.events.dual_listings import firms

__all__ = ["EXPOSURE_REASONS", "exposures", "mixed_bases", "warn_of_mixed_bases"]

#: Reason a row is not used -> what it means, in the order in which they are tried.
EXPOSURE_REASONS = {
    "recalled": "no source was read",
    "total_recalled": "the total revenue is from memory",
    "no_china_share": "no China share",
    "period_type": "another kind of period",
    "basis": "another basis",
    "not_public": "not yet public",
    "too_old": "too old",
    "superseded": "another row of the symbol is used",
}
#: Reason for which a newer period is not used -> its words in the warning; *superseded* is no lack.
_NEWER = {
    "recalled": "was not read",
    "total_recalled": "was not read",
    "no_china_share": "has no China share",
    "basis": "has another basis",
}
#: Most calendar days that `max_age_days` takes, a hundred years.
MOST_DAYS = 36525
#: Columns that the look-up adds.
_TAKEN = ("firm", "newer_left_out", "public_on", "reason", "recorded_as", "used")
_COLUMNS = (
    "symbol", "china_revenue_share", "us_revenue_share", "basis", "region", "basis_detail", "fiscal_year",
    "period_type", "period_end", "public_on", "newer_left_out", "recorded_as", "filed_on", "filed_on_verification",
    "verification", "total_verification", "source_title", "source_publisher", "source_url", "source_date", "notes",
)  # fmt: skip


def exposures(
    as_of: date | str,
    *,
    path: str | Path | FrameLike | None = None,
    period_types: Sequence[str] = ("FY",),
    bases: Sequence[str] | None = None,
    max_age_days: int | None = 730,
    recalled: bool = False,
    all_rows: bool = False,
) -> pl.DataFrame:
    """Look up the latest China revenue share of every firm that was public before a date.

    Parameters
    ----------
    as_of : datetime.date or str
        The date, such as day 0 of an announcement or ``"2025-08-12"``. A figure must be public strictly before it.
    path : str, pathlib.Path or FrameLike, optional
        A CSV, Parquet or Excel file, or a frame, of the same shape as the embedded table, which is used by default.
        ``symbol``, ``period_end`` and ``china_revenue_share`` are needed. A row without ``verification``,
        ``total_verification`` or ``filed_on_verification`` counts as read in its source, one without ``period_type``
        as a full year.
    period_types : sequence of str
        Kinds of period that may be used, of *FY*, *9M*, *H1*, *Q* and *event*, the preferred first: with
        ``("FY", "H1")`` a half year serves only firms without a full year.
    bases : sequence of str, optional
        What may count as China revenue, such as ``["shipment"]``; by default every basis. Levels of different bases
        are not comparable.
    max_age_days : int, optional
        Number of calendar days from the end of the period to `as_of` beyond which a row is too old; None for no limit.
    recalled : bool
        Whether rows written from memory may be used, and shares of a total from memory. The default takes only shares
        read in a source whose total was read too, or that the source itself states.
    all_rows : bool
        Whether to return every row of the table, with ``public_on``, ``used`` and ``reason``, instead.

    Returns
    -------
    polars.DataFrame
        One row per symbol, sorted: ``symbol, china_revenue_share, us_revenue_share`` (fractions of revenue), ``basis,
        region, basis_detail, fiscal_year, period_type, period_end, public_on, newer_left_out, recorded_as, filed_on,
        filed_on_verification, verification, total_verification, source_title, source_publisher, source_url,
        source_date, notes``, then columns of your own. ``newer_left_out`` is the end of the firm's newest period of an
        allowed kind that was public before `as_of`, is newer than the one used, and is not used, such as one that was
        not read; null where there is none. ``public_on`` is ``filed_on`` where that day was seen, else
        the later of ``filed_on`` and 90 days after ``period_end``. A listing without a row that may be used has the
        share of the firm's other one, under ``recorded_as``. Of several rows of one period the last public one is
        taken, then one read in a source, then the first in the order of bases.

    Raises
    ------
    SpecificationError
        For an `as_of` that is no date, or an unknown kind of period or basis.
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Warns
    -----
    MarketImpactWarning
        With the number of firms that have rows but none that may be used, and the firms for which an older year is used
        since the newer one was not read, has no China share or has another basis; not with `all_rows`.

    Examples
    --------
    NVIDIA's share of fiscal 2025 as filed, not as recast a year later:

    >>> import polars as pl
    >>> import marketimpact as mi
    >>> rows = mi.exposures("2025-08-12", all_rows=True)
    >>> rows.filter("used", pl.col("symbol") == "NVDA").select("fiscal_year", "china_revenue_share", "basis").row(0)
    (2025, 0.1311, 'billing_location')
    """
    day = check_date("as_of", as_of)
    _check_choice("period_types", period_types, PERIOD_TYPES)
    if bases is not None:
        _check_choice("bases", bases, BASES)
    _check_age(max_age_days)
    rows = _with_reasons(_load(path), day, period_types, bases, max_age_days, recalled=recalled)
    if all_rows:
        return rows.with_columns(pl.col("reason").is_null().alias("used")).drop("firm")
    used = _with_newer(rows, day, period_types)
    older = _older_used(used, "year" if set(period_types) == {"FY"} else "period")
    warn_of_left_out(rows, "firm", EXPOSURE_REASONS, f"exposures before {day}", "a China revenue share", more=older)
    listed = _with_other_listings(used.with_columns(pl.col("symbol").alias("recorded_as")))
    return listed.select(*_COLUMNS, pl.exclude(*_COLUMNS, "firm", "reason", "_newer_reason")).sort("symbol")


def mixed_bases(rows: pl.DataFrame) -> str | None:
    """Describe the bases of revenue shares that are about to be pooled; None where there is nothing to say.

    Parameters
    ----------
    rows : polars.DataFrame
        One row per firm with ``basis``, and ``region`` where known; without ``basis`` nothing is known.
    """
    if "basis" not in rows.columns or rows.is_empty():
        return None
    counts = rows.group_by(pl.col("basis").fill_null("not stated")).len().sort("len", "basis", descending=[True, False])
    has_taiwan = rows["region"] == "greater_china" if "region" in rows.columns else pl.Series([False])
    with_taiwan = has_taiwan.fill_null(value=False)
    if counts.height < 2 and with_taiwan.all() == with_taiwan.any():
        return None
    mixed = ", ".join(f"{basis} ({count})" for basis, count in counts.rows())
    taiwan = f"; {with_taiwan.sum()} include Taiwan" if with_taiwan.any() else ""
    return (
        f"revenue shares of different bases are pooled: {mixed}{taiwan}. Their levels are not comparable: keep one "
        "with mi.exposures(..., bases=[...]), or use ranks."
    )


def warn_of_mixed_bases(rows: pl.DataFrame, label: str, *, stacklevel: int = 3) -> None:
    """Warn where `mixed_bases` has something to say; `label` names what pools them, at the start of the message."""
    if message := mixed_bases(rows):
        warnings.warn(f"{label}: {message}", MarketImpactWarning, stacklevel=stacklevel)


def _check_choice(argument: str, given: object, known: Sequence[str]) -> None:
    """Raise SpecificationError for anything but a list, an empty list, or an unknown value."""
    if not isinstance(given, list | tuple) or not given:
        raise SpecificationError(f"{argument}={given!r}: give a list with some of {', '.join(known)}.")
    if unknown := [each for each in given if each not in known]:
        advice = did_you_mean(str(unknown[0]), known)
        raise SpecificationError(f"{argument}={list(given)!r}: {unknown[0]!r} is none of {', '.join(known)}.{advice}")


def _check_age(days: object) -> None:
    """Raise SpecificationError for anything but a whole number of days above zero, or None."""
    is_count = is_whole(days) and 0 < days <= MOST_DAYS
    if days is not None and not is_count:
        raise SpecificationError(
            f"max_age_days={days!r}: give a whole number of days from 1 to {MOST_DAYS}, or None for no limit."
        )


def _load(path: str | Path | FrameLike | None) -> pl.DataFrame:
    """Read the table; what it does not say counts as read in a source, and as a full year."""
    raw, label = load_table(path, "exposures")
    if "source_date" in raw.columns and (raw["source_date"].dtype == pl.Date or raw["source_date"].dtype.is_integer()):
        raw = raw.with_columns(
            pl.col("source_date").cast(pl.String)
        )  # a workbook holds days as dates, years as numbers
    rows = keep_own_columns(parse_table(schema.Exposures, raw, label), _TAKEN, label, stacklevel=4)
    firm_of = firms(securities())
    return rows.with_columns(
        pl.col("verification").fill_null("seen"),
        pl.col("total_verification").fill_null("seen"),
        pl.col("period_type").fill_null("FY"),
        public_on("period_end", pl.col("filed_on_verification").fill_null("seen") == "seen"),
        pl.col("symbol").replace(firm_of).alias("firm"),
    )


def _with_reasons(
    rows: pl.DataFrame,
    day: date,
    period_types: Sequence[str],
    bases: Sequence[str] | None,
    max_age_days: int | None,
    *,
    recalled: bool,
) -> pl.DataFrame:
    """Add `reason`: why a row is not the one of its symbol, the first that applies; null for the row that is used."""
    oldest = date.min if max_age_days is None else day - timedelta(days=int(max_age_days))
    conditions = {
        "recalled": (pl.col("verification") != "seen") & (not recalled),
        "total_recalled": (pl.col("total_verification") == "recalled") & (not recalled),
        "no_china_share": pl.col("china_revenue_share").is_null(),
        "period_type": ~pl.col("period_type").is_in(list(period_types)),
        "basis": pl.lit(value=False) if bases is None else ~pl.col("basis").is_in(list(bases)).fill_null(value=False),
        "not_public": pl.col("public_on") >= day,
        "too_old": pl.col("period_end") < oldest,
    }
    found = rows.with_columns(first_reason(conditions))
    order = (
        pl.col("period_type").replace_strict(
            {each: k for k, each in enumerate(period_types)}, default=len(period_types)
        ),
        -pl.col("period_end").to_physical(),
        -pl.col("public_on").to_physical(),
        pl.col("verification") != "seen",
        pl.col("basis").replace_strict({each: k for k, each in enumerate(BASES)}, default=len(BASES)),
        pl.col("china_revenue_share"),
    )
    best = (
        found.with_row_index("_row")
        .filter(pl.col("reason").is_null())
        .sort("symbol", *order)
        .group_by("symbol", maintain_order=True)
        .first()["_row"]
    )
    is_best = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(best.implode())
    return found.with_columns(
        pl.when(is_best).then(None).otherwise(pl.col("reason").fill_null("superseded")).alias("reason")
    )


def _with_newer(rows: pl.DataFrame, day: date, period_types: Sequence[str]) -> pl.DataFrame:
    """Give the rows that are used, with `newer_left_out` and the reason of the firm's newest row that is not used.

    That row is of an allowed kind of period, was public before `day`, and its period ended after that of the row used.
    """
    rank_of = {reason: rank for rank, reason in enumerate(EXPOSURE_REASONS)}
    newer = (
        rows.filter(
            pl.col("reason").is_not_null(), pl.col("public_on") < day, pl.col("period_type").is_in(list(period_types))
        )
        .sort("firm", "period_end", pl.col("reason").replace_strict(rank_of, return_dtype=pl.Int64))
        .group_by("firm", maintain_order=True)
        .agg(pl.col("period_end").last().alias("newer_left_out"), pl.col("reason").last().alias("_newer_reason"))
    )
    is_newer = pl.col("newer_left_out") > pl.col("period_end")
    return (
        rows.filter(pl.col("reason").is_null())
        .join(newer, on="firm", how="left", validate="m:1", maintain_order="left")
        .with_columns(pl.when(is_newer).then(pl.col(name)).alias(name) for name in ("newer_left_out", "_newer_reason"))
    )


def _older_used(used: pl.DataFrame, period: str) -> str:
    """Name the firms for which an older period is used since the newer one cannot be; empty where there are none."""
    clauses = []
    for why in dict.fromkeys(_NEWER.values()):
        reasons = [reason for reason, words in _NEWER.items() if words == why]
        symbols = used.filter(pl.col("_newer_reason").is_in(reasons))["symbol"].unique().sort().to_list()
        if symbols:
            named = listed(symbols, limit=len(symbols), quoted=False)
            clauses.append(f"an older {period} is used for {named} since the newer one {why}")
    return "; ".join(clauses)


def _with_other_listings(used: pl.DataFrame) -> pl.DataFrame:
    """Add a firm's other listing, which the embedded securities name, where it has no row of its own."""
    pairs = securities().select(pl.col("symbol").alias("other"), pl.col("dual_listing").alias("symbol")).drop_nulls()
    others = used.join(pairs, on="symbol", how="inner", validate="1:1").filter(
        ~pl.col("other").is_in(used["symbol"].implode())
    )
    return pl.concat([used, others.with_columns(pl.col("other").alias("symbol")).drop("other")])
