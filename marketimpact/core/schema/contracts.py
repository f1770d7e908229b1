"""Contracts of the frames that rooms exchange; `marketimpact.core.schema` checks them."""
# ruff: noqa: D102, N805 -- dataframely's rules are class methods, and each one's name is the rule

from __future__ import annotations

import dataframely as dy
import polars as pl

from marketimpact.core.schema.vocabulary import (
    ANTICIPATED,
    BASES,
    CONFIDENCES,
    DATE_OR_INSTANT,
    FIRST_DAY,
    HIGHEST_PRICE,
    IDENTIFIER,
    LARGEST_RETURN,
    LAST_DAY,
    LONGEST_DAY,
    LOWEST_PRICE,
    PERIOD_TYPES,
    PRECISIONS,
    PRESENT,
    PRINTABLE,
    REGIONS,
    ROUNDING,
    STANCES,
    TOTALS,
    UTC,
    VERIFICATIONS,
)

__all__ = [
    "Announcements",
    "Benchmark",
    "CalendarOverrides",
    "Campaigns",
    "Events",
    "Exposures",
    "Found",
    "PriceRows",
    "Prices",
    "ReturnRows",
    "Returns",
    "Securities",
    "ShareCounts",
    "SymbolDays",
    "Symbols",
]


def _is_iso(name: str) -> pl.Expr:
    """Mark texts that are a date, or an instant with its offset."""
    day = pl.col(name).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    return pl.col(name).is_null() | (pl.col(name).str.contains(DATE_OR_INSTANT) & day.is_not_null())


class Announcements(dy.Schema):
    """Dated, sourced policy facts; one row per `announcement_id`."""

    announcement_id = dy.String(primary_key=True, regex=IDENTIFIER)
    announced_at = dy.Datetime(time_unit="us", time_zone=UTC)
    time_precision = dy.String()
    stance = dy.String()
    headline = dy.String(min_length=1)
    time_zone = dy.String(nullable=True)
    campaign_id = dy.String(nullable=True)
    not_before = dy.Datetime(time_unit="us", time_zone=UTC, nullable=True)
    not_after = dy.Datetime(time_unit="us", time_zone=UTC, nullable=True)
    official_document = dy.String(nullable=True)
    official_at = dy.String(nullable=True)
    first_reported_at = dy.Datetime(time_unit="us", time_zone=UTC, nullable=True)
    effective_at = dy.String(nullable=True)
    jurisdiction = dy.String(nullable=True)
    authority = dy.String(nullable=True)
    instrument = dy.String(nullable=True)
    targets = dy.List(dy.String(), nullable=True)
    detail = dy.String(nullable=True)
    source_title = dy.String(nullable=True)
    source_publisher = dy.String(nullable=True)
    source_url = dy.String(nullable=True)
    source_date = dy.Date(nullable=True)
    verification = dy.String(nullable=True)
    date_seen = dy.Bool(nullable=True)
    confidence = dy.String(nullable=True)
    anticipated = dy.String(nullable=True)
    anticipation = dy.String(nullable=True)
    is_confounder = dy.Bool(nullable=True)
    confounders = dy.String(nullable=True)
    notes = dy.String(nullable=True)

    @dy.rule()
    def time_precision_allowed(cls) -> pl.Expr:
        return pl.col("time_precision").is_in(PRECISIONS)

    @dy.rule()
    def stance_allowed(cls) -> pl.Expr:
        return pl.col("stance").is_in(STANCES)

    @dy.rule()
    def verification_allowed(cls) -> pl.Expr:
        return pl.col("verification").is_in(VERIFICATIONS)

    @dy.rule()
    def confidence_allowed(cls) -> pl.Expr:
        return pl.col("confidence").is_in(CONFIDENCES)

    @dy.rule()
    def anticipated_allowed(cls) -> pl.Expr:
        return pl.col("anticipated").is_in(ANTICIPATED)

    @dy.rule()
    def official_at_is_iso(cls) -> pl.Expr:
        return _is_iso("official_at")

    @dy.rule()
    def effective_at_is_iso(cls) -> pl.Expr:
        return _is_iso("effective_at")

    @dy.rule()
    def day_needs_time_zone(cls) -> pl.Expr:
        return (pl.col("time_precision") != "day") | pl.col("time_zone").is_not_null()

    @dy.rule()
    def bounds_in_order(cls) -> pl.Expr:
        begin = pl.col("announced_at")
        end = pl.when(pl.col("time_precision") == "day").then(begin + LONGEST_DAY).otherwise(begin)
        early = (pl.col("not_before") <= end).fill_null(value=True)
        late = (pl.col("not_after") >= begin).fill_null(value=True)
        return early & late & (pl.col("not_before") <= pl.col("not_after")).fill_null(value=True)


class Campaigns(dy.Schema):
    """Clusters of announcements that belong together; one row per `campaign_id`."""

    campaign_id = dy.String(primary_key=True, regex=IDENTIFIER)
    title = dy.String(min_length=1)
    first = dy.Date()
    last = dy.Date()
    summary = dy.String(nullable=True)

    @dy.rule()
    def dates_in_order(cls) -> pl.Expr:
        return pl.col("first") <= pl.col("last")


class CalendarOverrides(dy.Schema):
    """Sessions, closures and local trading hours that an exchange's calendar lacks, one row per (mic, date)."""

    mic = dy.String(primary_key=True, min_length=1)
    date = dy.Date(primary_key=True)
    is_session = dy.Bool(nullable=True)
    open = dy.Time(nullable=True)
    close = dy.Time(nullable=True)
    source = dy.String(nullable=True)

    @dy.rule()
    def closes_after_open(cls) -> pl.Expr:
        return pl.col("close") > pl.col("open")

    @dy.rule()
    def closed_day_has_no_hours(cls) -> pl.Expr:
        return pl.col("is_session").fill_null(value=True) | (pl.col("open").is_null() & pl.col("close").is_null())


class Securities(dy.Schema):
    """Shares and indices; one row per Yahoo-style `symbol`."""

    symbol = dy.String(primary_key=True, min_length=1, regex=PRINTABLE)
    mic = dy.String(min_length=1, regex=PRINTABLE)
    currency = dy.String(nullable=True)
    name = dy.String(nullable=True)
    country = dy.String(nullable=True)
    role = dy.String(nullable=True)
    benchmark = dy.String(nullable=True, regex=PRINTABLE)
    sector_proxy = dy.String(nullable=True, regex=PRINTABLE)
    leg_benchmark = dy.String(nullable=True, regex=PRINTABLE)
    board = dy.String(nullable=True)
    dual_listing = dy.String(nullable=True)
    price_limit = dy.Float64(nullable=True, min_exclusive=0.0)
    listed_on = dy.Date(nullable=True)

    @dy.rule()
    def benchmark_is_not_itself(cls) -> pl.Expr:
        return pl.col("benchmark") != pl.col("symbol")

    @dy.rule()
    def leg_benchmark_is_not_itself(cls) -> pl.Expr:
        return pl.col("leg_benchmark") != pl.col("symbol")


class Exposures(dy.Schema):
    """Revenue shares of firms by period, as a source gave them; a later filing may recast a period."""

    symbol = dy.String(min_length=1, regex=PRINTABLE)
    period_end = dy.Date()
    china_revenue_share = dy.Float64(nullable=True, metadata=PRESENT)
    us_revenue_share = dy.Float64(nullable=True)
    fiscal_year = dy.Int64(nullable=True)
    period_type = dy.String(nullable=True)
    basis = dy.String(nullable=True)
    region = dy.String(nullable=True)
    basis_detail = dy.String(nullable=True)
    filed_on = dy.Date(nullable=True)
    filed_on_verification = dy.String(nullable=True)
    verification = dy.String(nullable=True)
    total_verification = dy.String(nullable=True)
    source_title = dy.String(nullable=True)
    source_publisher = dy.String(nullable=True)
    source_url = dy.String(nullable=True)
    source_date = dy.String(nullable=True)
    notes = dy.String(nullable=True)

    @dy.rule()
    def share_between_zero_and_one(cls) -> pl.Expr:
        shares = pl.col("china_revenue_share", "us_revenue_share")
        return pl.all_horizontal(shares.is_between(0.0, 1.0).fill_null(value=True))

    @dy.rule()
    def shares_add_up(cls) -> pl.Expr:
        either_outside = pl.max_horizontal("china_revenue_share", "us_revenue_share") > 1.0
        return either_outside | (pl.col("china_revenue_share") + pl.col("us_revenue_share") <= 1.0 + ROUNDING)

    @dy.rule()
    def period_type_allowed(cls) -> pl.Expr:
        return pl.col("period_type").is_in(PERIOD_TYPES)

    @dy.rule()
    def basis_allowed(cls) -> pl.Expr:
        return pl.col("basis").is_in(BASES)

    @dy.rule()
    def region_allowed(cls) -> pl.Expr:
        return pl.col("region").is_in(REGIONS)

    @dy.rule()
    def verification_allowed(cls) -> pl.Expr:
        return pl.col("verification").is_in(VERIFICATIONS)

    @dy.rule()
    def total_verification_allowed(cls) -> pl.Expr:
        return pl.col("total_verification").is_in(TOTALS)

    @dy.rule()
    def filed_on_verification_allowed(cls) -> pl.Expr:
        return pl.col("filed_on_verification").is_in(VERIFICATIONS)

    @dy.rule()
    def filed_after_period(cls) -> pl.Expr:
        return pl.col("filed_on") >= pl.col("period_end")

    @dy.rule()
    def date_in_range(cls) -> pl.Expr:
        dates = pl.col("period_end", "filed_on")
        return pl.all_horizontal(dates.is_between(FIRST_DAY, LAST_DAY).fill_null(value=True))

    @dy.rule()
    def exposure_not_repeated(cls) -> pl.Expr:
        return ~pl.struct("symbol", "period_end", "period_type", "basis", "region", "filed_on").is_duplicated()


class ShareCounts(dy.Schema):
    """Shares outstanding as reported, one row per (symbol, date), with the splits since."""

    symbol = dy.String(primary_key=True, min_length=1, regex=PRINTABLE)
    date = dy.Date(primary_key=True)
    shares_outstanding = dy.Float64(min_exclusive=0.0)
    split_factor_since = dy.Float64(nullable=True, min_exclusive=0.0)
    shares_current_basis = dy.Float64(nullable=True, min_exclusive=0.0)
    shares_per_unit = dy.Float64(nullable=True, min_exclusive=0.0)
    share_class = dy.String(nullable=True)
    valid_until = dy.Date(nullable=True)
    filed_on = dy.Date(nullable=True)
    verification = dy.String(nullable=True)
    source_title = dy.String(nullable=True)
    source_url = dy.String(nullable=True)
    notes = dy.String(nullable=True)

    @dy.rule()
    def verification_allowed(cls) -> pl.Expr:
        return pl.col("verification").is_in(VERIFICATIONS)

    @dy.rule()
    def current_basis_adds_up(cls) -> pl.Expr:
        product = pl.col("shares_outstanding") * pl.col("split_factor_since").fill_null(1.0)
        return (pl.col("shares_current_basis") / product - 1.0).abs() < ROUNDING

    @dy.rule()
    def filed_after_count(cls) -> pl.Expr:
        return pl.col("filed_on") >= pl.col("date")

    @dy.rule()
    def valid_after_count(cls) -> pl.Expr:
        return pl.col("valid_until") > pl.col("date")

    @dy.rule()
    def date_in_range(cls) -> pl.Expr:
        return pl.col("date").is_between(FIRST_DAY, LAST_DAY)


class Prices(dy.Schema):
    """Long prices, one row per (symbol, date); an empty `close` is a day without a price."""

    symbol = dy.String(primary_key=True, min_length=1)
    date = dy.Date(primary_key=True)
    close = dy.Float64(nullable=True, metadata=PRESENT)
    volume = dy.Float64(nullable=True, min=0.0)
    unadjusted_close = dy.Float64(nullable=True)
    dividend = dy.Float64(nullable=True, min=0.0)
    split = dy.Float64(nullable=True, min_exclusive=0.0)
    delisted = dy.Bool(nullable=True)
    open = dy.Float64(nullable=True)
    high = dy.Float64(nullable=True)
    low = dy.Float64(nullable=True)

    @dy.rule()
    def date_in_range(cls) -> pl.Expr:
        return pl.col("date").is_between(FIRST_DAY, LAST_DAY)

    @dy.rule()
    def close_above_zero(cls) -> pl.Expr:
        last = pl.col("date") == pl.col("date").filter(pl.col("close").is_not_null()).max().over("symbol")
        total_loss = (pl.col("close") == 0) & pl.col("delisted").fill_null(value=False) & last
        return (pl.col("close") > 0) | total_loss | pl.col("close").is_nan()

    @dy.rule()
    def unadjusted_close_above_zero(cls) -> pl.Expr:
        total_loss = (pl.col("close") == 0).fill_null(value=False) & (pl.col("unadjusted_close") == 0)
        return (pl.col("unadjusted_close") > 0) | total_loss | pl.col("unadjusted_close").is_nan()

    @dy.rule()
    def close_in_range(cls) -> pl.Expr:
        in_range = pl.col("close").is_between(LOWEST_PRICE, HIGHEST_PRICE)
        return in_range | (pl.col("close") <= 0) | ~pl.col("close").is_finite()


class PriceRows(Prices):
    """Long prices; a pair of symbol and date may repeat."""

    symbol = dy.String(min_length=1)
    date = dy.Date()


class ReturnRows(dy.Schema):
    """Long simple returns; an empty `ret` is a day without a return, -1 a total loss."""

    symbol = dy.String(min_length=1)
    date = dy.Date()
    ret = dy.Float64(nullable=True, max=LARGEST_RETURN, metadata=PRESENT)

    @dy.rule()
    def return_not_below_minus_one(cls) -> pl.Expr:
        return pl.col("ret") >= -1.0


class Returns(ReturnRows):
    """Long simple returns with one row per (symbol, date)."""

    symbol = dy.String(primary_key=True, min_length=1)
    date = dy.Date(primary_key=True)
    ret = dy.Float64(nullable=True, max=LARGEST_RETURN, metadata=PRESENT)


class Benchmark(dy.Schema):
    """Simple returns of one benchmark, one row per date."""

    date = dy.Date(primary_key=True)
    ret = dy.Float64(nullable=True, max=LARGEST_RETURN, metadata=PRESENT)

    @dy.rule()
    def return_not_below_minus_one(cls) -> pl.Expr:
        return pl.col("ret") >= -1.0


class Symbols(dy.Schema):
    """Facts about securities; a symbol may repeat."""

    symbol = dy.String(min_length=1)


class Found(dy.Schema):
    """Events that other news may explain, as `audit` finds them; an event may repeat."""

    event_id = dy.String(min_length=1)
    where = dy.String()


class SymbolDays(dy.Schema):
    """Dates of securities; a pair may repeat."""

    symbol = dy.String(min_length=1)
    date = dy.Date()


class Events(dy.Schema):
    """One announcement as it hits one security; `event_id` is the only key."""

    event_id = dy.String(primary_key=True, min_length=1, regex=PRINTABLE)
    symbol = dy.String(min_length=1, regex=PRINTABLE)
    date = dy.Date(nullable=True, metadata=PRESENT)
