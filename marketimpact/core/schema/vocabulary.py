"""Closed lists of values in frames, and a sentence for each broken rule."""

from __future__ import annotations

from datetime import date, timedelta

__all__ = [
    "ADVICE",
    "ANTICIPATED",
    "BASES",
    "CONFIDENCES",
    "DATE_OR_INSTANT",
    "FIRST_DAY",
    "HIGHEST_PRICE",
    "IDENTIFIER",
    "LARGEST_RETURN",
    "LAST_DAY",
    "LONGEST_DAY",
    "LOWEST_PRICE",
    "MEANING",
    "PERIOD_TYPES",
    "PRECISIONS",
    "PRESENT",
    "PRINTABLE",
    "REGIONS",
    "ROUNDING",
    "STANCES",
    "TOTALS",
    "UTC",
    "VERIFICATIONS",
]

PRECISIONS = ("minute", "hour", "day")
STANCES = ("restrictive", "permissive", "mixed", "none")
VERIFICATIONS = ("seen", "partly_seen", "recalled")
CONFIDENCES = ("high", "medium", "low")
ANTICIPATED = ("no", "partly", "yes")
#: What counts as China revenue; of two rows alike but for it, the earlier basis is taken.
BASES = (
    "billing_location",
    "shipment",
    "customer_location",
    "customer_headquarters",
    "region_of_sale",
    "operating_segment",
    "part_of_sales",
    "as_stated",
)
#: What the source's China covers.
REGIONS = ("china", "mainland", "china_and_hong_kong", "greater_china", "unclear")
PERIOD_TYPES = ("FY", "9M", "H1", "Q", "event")
#: How the total behind a share is known; *stated*: the source states the share itself.
TOTALS = ("seen", "stated", "recalled")
#: Two shares of one total, rounded to two decimals, may exceed 1 by so much.
ROUNDING = 0.01
UTC = "UTC"
#: Prices outside are no prices, and their returns or squares may be no finite number.
LOWEST_PRICE, HIGHEST_PRICE = 1e-30, 1e30
#: No price is older than those of the first indices.
FIRST_DAY, LAST_DAY = date(1789, 1, 1), date(2199, 12, 31)
#: A local day lasts up to 25 hours, when the clocks go back.
LONGEST_DAY = timedelta(hours=25)
#: Of symbols and event ids: no control character, no line or paragraph separator.
PRINTABLE = r"^[^\p{Cc}\u2028\u2029]*$"
#: Products of more than thirty such numbers still fit a float.
LARGEST_RETURN = 1e9
#: A date, or an instant with its offset: the form says how well it is known.
DATE_OR_INSTANT = r"^\d{4}-\d{2}-\d{2}(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?(Z|[+-]\d{2}:\d{2}))?$"
IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._\-]*$"

#: Marks a nullable column that must be present.
PRESENT = {"present": True}

#: Rule -> its requirement, in the words of an error message.
MEANING = {
    "primary_key": "the key must not repeat",
    "nullability": "must not be empty",
    "min_exclusive": "must be above zero",
    "min": "must not be negative",
    "max": f"must not be above {LARGEST_RETURN:.0e}",
    "nan": "must not be NaN (leave a missing value empty)",
    "inf": "must be finite",
    "regex": "has characters that an identifier cannot have",
    "min_length": "must not be empty",
    "inner_nullability": "has an empty entry",
    "time_precision_allowed": f"time_precision must be one of {', '.join(PRECISIONS)}",
    "stance_allowed": f"stance must be one of {', '.join(STANCES)}",
    "verification_allowed": f"verification must be one of {', '.join(VERIFICATIONS)}",
    "confidence_allowed": f"confidence must be one of {', '.join(CONFIDENCES)}",
    "anticipated_allowed": f"anticipated must be one of {', '.join(ANTICIPATED)}",
    "official_at_is_iso": "official_at must be a date, such as 2025-08-12, or an instant with its offset, such as "
    "2025-04-15T21:22:59Z",
    "effective_at_is_iso": "effective_at must be a date, such as 2025-08-12, or an instant with its offset, such as "
    "2025-04-15T21:22:59Z",
    "time_zone_known": "time_zone must be an IANA name such as Asia/Shanghai",
    "day_needs_time_zone": "a date-only announcement needs the time_zone whose date it is",
    "day_has_no_clock": "a date-only announcement must not have a clock time: write the plain date, such as "
    "2025-08-12, or the instant at which that date begins in time_zone",
    "bounds_in_order": "not_before and not_after must be in order and enclose announced_at (for a date-only "
    "announcement, part of its day)",
    "no_offset": "has a clock time but no offset, so its session is unknown: name the place in a column time_zone, "
    "such as Asia/Shanghai, or write 2025-08-12T12:45:00+08:00 (Z for UTC)",
    "clock_change": "falls into the hour in which clocks change in its time_zone, so that it exists twice or not at "
    "all: write the offset, such as 2025-11-02T01:30:00-05:00",
    "no_session_of_word": "is a date with words: BMO and AMC (before the open, after the close) need a day on which "
    "the exchange of time_zone trades, and a zone with such an exchange, such as America/New_York; "
    "write the time of day instead",
    "unreadable_instant": "is not an ISO 8601 instant, such as 2025-08-12T12:45:00+08:00 or 2025-08-12T04:45:00Z",
    "no_clock": "is a plain date: add the clock time and its offset, or set time_precision to day",
    "unreadable_date": "is not a date, such as 2025-08-12",
    "unreadable_time": "is not a time of day, such as 09:30",
    "closes_after_open": "close must be later than open",
    "closed_day_has_no_hours": "a day without a session (is_session false) must not have open or close",
    "unreadable_truth": "must be true or false",
    "unreadable_number": "is not a number",
    "dates_in_order": "first must not be after last",
    "return_not_below_minus_one": "a simple return must be above -1, or -1 for a total loss (percent: divide by 100; "
    "log returns: exp(ret) - 1)",
    "date_in_range": f"date must lie between {FIRST_DAY} and {LAST_DAY}",
    "close_above_zero": "close must be above zero",
    "unadjusted_close_above_zero": "unadjusted_close must be above zero",
    "close_in_range": f"close must lie between {LOWEST_PRICE:g} and {HIGHEST_PRICE:g}, or returns are not finite",
    "share_between_zero_and_one": "a revenue share must lie between 0 and 1 (percent: divide by 100)",
    "shares_add_up": "china_revenue_share and us_revenue_share together must not be above 1",
    "period_type_allowed": f"period_type must be one of {', '.join(PERIOD_TYPES)}",
    "basis_allowed": f"basis must be one of {', '.join(BASES)}",
    "region_allowed": f"region must be one of {', '.join(REGIONS)}",
    "total_verification_allowed": f"total_verification must be one of {', '.join(TOTALS)}",
    "filed_on_verification_allowed": f"filed_on_verification must be one of {', '.join(VERIFICATIONS)}",
    "filed_after_period": "filed_on must not be before period_end",
    "exposure_not_repeated": "(symbol, period_end, period_type, basis, region, filed_on) must not repeat",
    "current_basis_adds_up": "shares_current_basis must be shares_outstanding times split_factor_since",
    "filed_after_count": "filed_on must not be before date",
    "valid_after_count": "valid_until must be after date",
    "benchmark_is_not_itself": "a security cannot be its own benchmark",
    "leg_benchmark_is_not_itself": "a security cannot be the benchmark of its own legs (leg_benchmark)",
}

#: Rule -> what to do, where its requirement does not say so.
ADVICE = {
    "close_above_zero": "Leave a missing price empty; a total loss is a last close of 0 with the column delisted true",
    "dividend|min": "Write the amount per share on the ex-date, and leave other cells empty",
    "dividend|inf": "Write the amount per share on the ex-date, and leave other cells empty",
    "split|min_exclusive": "Write new shares for one on the day it takes effect, and leave other cells empty",
    "split|inf": "Write new shares for one on the day it takes effect, and leave other cells empty",
}
