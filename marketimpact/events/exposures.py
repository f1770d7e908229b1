"""Give what share of revenue firms made in China, as it was known before a date."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike
from marketimpact.core.schema.vocabulary import BASES, PERIOD_TYPES
from marketimpact.core.text import did_you_mean
from marketimpact.errors import MarketImpactWarning, SpecificationError
from marketimpact.events.as_of import check_as_of, public_on
from marketimpact.events.catalogue import securities
from marketimpact.events.contract_files import load_table, parse_table
from marketimpact.events.dual_listings import firms

__all__ = ["EXPOSURE_REASONS", "exposures", "warn_of_mixed_bases"]

#: Reason a row is not used -> what it means, in the order in which they are tried.
EXPOSURE_REASONS = {
    "recalled": "no source was read",
    "total_recalled": "the total revenue is from memory",
    "no_china_share": "no China share",
    "period_type": "another kind of period",
    "basis": "another basis",
    "not_public": "not yet public",
    "too_old": "too old",
    "superseded": "a later row of the firm is used",
}
_COLUMNS = (
    "symbol", "china_revenue_share", "us_revenue_share", "basis", "region", "basis_detail", "fiscal_year",
    "period_type", "period_end", "public_on", "recorded_as", "verification", "total_verification", "source_title",
    "source_publisher", "source_url", "source_date", "notes",
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
        region, basis_detail, fiscal_year, period_type, period_end, public_on, recorded_as, verification,
        total_verification, source_title, source_publisher, source_url, source_date, notes``. ``public_on`` is
        ``filed_on`` where that day was seen, else the later of ``filed_on`` and 90 days after ``period_end``. Both
        listings of a firm have its share; ``recorded_as`` is the symbol under which the table has it. Of several rows
        of one period the last public one is taken, then one read in a source, then the first in the order of bases.

    Raises
    ------
    SpecificationError
        For an `as_of` that is no date, or an unknown kind of period or basis.
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Warns
    -----
    MarketImpactWarning
        With the number of firms that have rows but none that may be used; not with `all_rows`.

    Examples
    --------
    NVIDIA's share of fiscal 2025 as filed, not as recast a year later:

    >>> import polars as pl
    >>> import marketimpact as mi
    >>> rows = mi.exposures("2025-08-12", all_rows=True)
    >>> rows.filter("used", pl.col("symbol") == "NVDA").select("fiscal_year", "china_revenue_share", "basis").row(0)
    (2025, 0.1311, 'billing_location')
    """
    day = check_as_of(as_of)
    _check_choice("period_types", period_types, PERIOD_TYPES)
    _check_choice("bases", bases, BASES)
    rows = _with_reasons(_load(path), day, period_types, bases, max_age_days, recalled=recalled)
    if all_rows:
        return rows.with_columns(pl.col("reason").is_null().alias("used")).drop("firm")
    used = rows.filter(pl.col("reason").is_null())
    _warn_of_firms_without(rows, used, day)
    return used.rename({"symbol": "recorded_as"}).join(
        _listings(rows["firm"]), on="firm", how="inner", validate="1:m"
    ).select(_COLUMNS).sort("symbol")  # fmt: skip


def warn_of_mixed_bases(rows: pl.DataFrame, label: str, *, stacklevel: int = 3) -> None:
    """Warn where shares of different bases, or of China with and without Taiwan, are about to be pooled.

    Parameters
    ----------
    rows : polars.DataFrame
        One row per firm with ``basis``, and ``region`` where known; without ``basis`` nothing is known, and nothing
        is said.
    label : str
        Name of what pools them, at the start of the message.
    stacklevel : int
        Of the warning; the caller's caller by default.
    """
    if "basis" not in rows.columns:
        return
    counts = rows.group_by(pl.col("basis").fill_null("not stated")).len().sort("len", "basis", descending=[True, False])
    has_taiwan = rows["region"] == "greater_china" if "region" in rows.columns else pl.Series([False])
    with_taiwan = has_taiwan.fill_null(value=False)
    if counts.height < 2 and with_taiwan.all() == with_taiwan.any():
        return
    mixed = ", ".join(f"{basis} ({count})" for basis, count in counts.rows())
    taiwan = f"; {with_taiwan.sum()} include Taiwan" if with_taiwan.any() else ""
    warnings.warn(
        f"{label}: revenue shares of different bases are pooled: {mixed}{taiwan}. Their levels are not comparable: "
        "keep one with bases=[...], or use ranks.",
        MarketImpactWarning,
        stacklevel=stacklevel,
    )


def _check_choice(argument: str, given: Sequence[str] | None, known: Sequence[str]) -> None:
    """Raise SpecificationError for text instead of a list, an empty list, or an unknown value."""
    if given is None:
        return
    if isinstance(given, str) or not given:
        raise SpecificationError(f"{argument}={given!r}: give a list with some of {', '.join(known)}.")
    if unknown := [each for each in given if each not in known]:
        advice = did_you_mean(str(unknown[0]), known)
        raise SpecificationError(f"{argument}={list(given)!r}: {unknown[0]!r} is none of {', '.join(known)}.{advice}")


def _load(path: str | Path | FrameLike | None) -> pl.DataFrame:
    """Read the table; what it does not say counts as read in a source, and as a full year."""
    raw, label = load_table(path, "exposures")
    rows = parse_table(schema.Exposures, raw, label)
    firm_of = firms(securities())
    return rows.with_columns(
        pl.col("verification").fill_null("seen"),
        pl.col("total_verification").fill_null("seen"),
        pl.col("period_type").fill_null("FY"),
        public_on("period_end"),
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
    """Add `reason`: why a row is not the one of its firm, the first that applies; null for the row that is used."""
    oldest = date.min if max_age_days is None else day - timedelta(days=max_age_days)
    conditions = {
        "recalled": (pl.col("verification") != "seen") & (not recalled),
        "total_recalled": (pl.col("total_verification") == "recalled") & (not recalled),
        "no_china_share": pl.col("china_revenue_share").is_null(),
        "period_type": ~pl.col("period_type").is_in(list(period_types)),
        "basis": pl.lit(value=False) if bases is None else ~pl.col("basis").is_in(list(bases)).fill_null(value=False),
        "not_public": pl.col("public_on") >= day,
        "too_old": pl.col("period_end") < oldest,
    }
    reason = pl.coalesce(pl.when(condition).then(pl.lit(name)) for name, condition in conditions.items())
    found = rows.with_columns(reason.alias("reason"))
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
        .sort("firm", *order)
        .group_by("firm", maintain_order=True)
        .first()["_row"]
    )
    is_best = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(best.implode())
    return found.with_columns(
        pl.when(is_best).then(None).otherwise(pl.col("reason").fill_null("superseded")).alias("reason")
    )


def _listings(firm: pl.Series) -> pl.DataFrame:
    """List every listing of the firms: its other symbol is in the embedded securities."""
    known = pl.DataFrame(list(firms(securities()).items()), schema=["symbol", "firm"], orient="row")
    alone = pl.DataFrame({"firm": firm.unique()}).filter(~pl.col("firm").is_in(known["firm"].implode()))
    return pl.concat([known, alone.select(pl.col("firm").alias("symbol"), "firm")])


def _warn_of_firms_without(rows: pl.DataFrame, used: pl.DataFrame, day: date) -> None:
    """Warn of firms none of whose rows may be used, by the reason of the row that came closest."""
    rank_of = {reason: rank for rank, reason in enumerate(EXPOSURE_REASONS)}
    without = (
        rows.filter(~pl.col("firm").is_in(used["firm"].implode()))
        .group_by("firm")
        .agg(pl.col("reason").get(pl.col("reason").replace_strict(rank_of, return_dtype=pl.Int64).arg_max()))
    )
    if without.is_empty():
        return
    counts = without["reason"].value_counts().sort("count", "reason", descending=[True, False])
    reasons = ", ".join(f"{count} {EXPOSURE_REASONS[reason]}" for reason, count in counts.rows())
    warnings.warn(
        f"exposures before {day}: {used.height} firms have a China revenue share, {without.height} have rows but none "
        f"that may be used ({reasons}). all_rows=True lists them.",
        MarketImpactWarning,
        stacklevel=3,
    )
