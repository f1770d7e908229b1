"""Dollar effects: abnormal returns times the market value on the day before the window."""

from __future__ import annotations

import warnings
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy

from marketimpact.analyses.market_value import join_counts
from marketimpact.core.arguments import require
from marketimpact.core.arrays import Floats, as_dates
from marketimpact.core.frames import FrameLike
from marketimpact.core.own_columns import unknown_column
from marketimpact.errors import MarketImpactWarning, SpecificationError
from marketimpact.events.as_of import check_date
from marketimpact.events.share_counts import check_counts, load_counts
from marketimpact.inference import minimum_detectable_effect, window_correlation
from marketimpact.market.conversions import check_shares, read_shares
from marketimpact.market.exchange_rates import RATE_AGE, check_rates

if TYPE_CHECKING:
    from marketimpact.study.result import StudyResult

__all__ = ["dollar_effect"]

_GROUP_SCHEMA = {
    "effect": pl.Float64, "se": pl.Float64, "low": pl.Float64, "high": pl.Float64, "mde": pl.Float64,
    "market_value": pl.Float64, "currency": pl.String, "n_events": pl.Int64, "n_valued": pl.Int64, "note": pl.String,
}  # fmt: skip


def dollar_effect(
    result: StudyResult,
    first: int,
    last: int,
    *,
    shares: FrameLike | str | Path | None = None,
    rates: FrameLike | str | Path | None = None,
    currency: str = "USD",
    by: str | None = None,
    level: float = 0.95,
    split_adjusted_to: date | str | None = None,
) -> pl.DataFrame:
    """Convert abnormal returns to money: CAR times the market value on the day before the window.

    Parameters
    ----------
    result : StudyResult
        The study; its market must have traded prices (`unadjusted_close`: `YahooPrices`, or a file with both ``close``
        and ``adj_close``).
    first, last : int
        The window.
    shares : FrameLike, str or pathlib.Path, optional
        Counts of shares; a frame or a CSV, Parquet or Excel file. By default those of `shares` that were read in a
        filing; a frame that `shares` returns, or a table of that shape, is used likewise: the count last public before
        the window, put on the split basis of the price. Else ``symbol, shares`` and, where they change, ``date``: the
        count last known before the window is taken, and must be on the basis of the price: with prices adjusted for
        splits (Yahoo's are), today's count and not the one of the day. `YahooPrices.shares` reads such counts.
    rates : FrameLike, str or pathlib.Path, optional
        ``date, currency, rate``: units of `currency` for one unit of the row's, up to five days old; needed for
        securities in other currencies. Checked as in `Market.in_currency`.
    currency : str
        Currency of the effects.
    by : str, optional
        Column of the events whose groups are summed, such as ``"announcement_id"`` or ``"policy_group"``.
    level : float
        Confidence level of the intervals.
    split_adjusted_to : datetime.date or str, optional
        Date until whose splits closes are adjusted: the day they were downloaded. Needed only where the closes end
        before a split that the counts know of, since they do not show whether they are adjusted for it.

    Returns
    -------
    polars.DataFrame
        Without `by` one row per event: ``event_id, symbol, date, price_date, price, shares, rate, market_value, car,
        effect, se, low, high, mde, currency, note``. With `by` one row per group: ``effect, se, low, high, mde,
        market_value, currency, n_events, n_valued, note``. `mde` is the minimum detectable effect (80% power, 5%
        level). Money in units of `currency`, not millions. Where the price, shares, rate or return is missing the
        effect is null and `note` says so; `n_valued` counts the events of a group that could be valued.

    Raises
    ------
    SpecificationError
        When the market has no traded prices, both listings of a firm would be summed, or an option is invalid.
    DataError
        For broken `shares` or `rates`.

    Warns
    -----
    MarketImpactWarning
        With the securities that have no count, or one that cannot be used, and why, where `shares` is not given.

    Notes
    -----
    ``effect = V CAR`` with se ``V se(CAR)`` and t(df); a sum has variance ``sum_ij V_i V_j rho_ij se_i se_j c_ij``,
    with rho the correlation of residuals and c the share of common days, and a normal interval. Assumes that the
    announcement did not raise the variance, and takes market values as known. A market value is of the listed shares
    in `shares`; a price times all shares of a firm with several classes is an approximation.
    """
    require(result, "StudyResult", "result")
    if not 0.0 < level < 1.0:
        raise SpecificationError(f"level={level!r} must lie between 0 and 1, such as 0.95.")
    if by is not None and by not in result.events.columns:
        raise unknown_column(f"by={by!r}", by, result.events.columns)
    adjusted_to = None if split_adjusted_to is None else check_date("split_adjusted_to", split_adjusted_to)
    effects = _event_effects(result, first, last, shares, rates, currency, adjusted_to)
    tail = 0.5 + level / 2.0
    if by is None:
        quantile = pl.Series(scipy.special.stdtrit(effects["df"].to_numpy().astype(float), tail))
        detectable = pl.Series(
            "mde", minimum_detectable_effect(*effects.select("se", "df").cast(pl.Float64).to_numpy().T)
        )
        return effects.with_columns(
            (pl.col("effect") - quantile * pl.col("se")).alias("low"),
            (pl.col("effect") + quantile * pl.col("se")).alias("high"),
            detectable.fill_nan(None),
            pl.lit(currency).alias("currency"),
        ).select(
            "event_id", "symbol", "date", "price_date", "price", "shares", "rate", "market_value", "car",
            "effect", "se", "low", "high", "mde", "currency", "note",
        )  # fmt: skip
    return _group_effects(result, effects, first, last, by, currency, float(scipy.special.ndtri(tail)))


def _event_effects(  # noqa: PLR0917  # the options of dollar_effect
    result: StudyResult,
    first: int,
    last: int,
    shares: FrameLike | str | Path | None,
    rates: FrameLike | str | Path | None,
    currency: str,
    split_adjusted_to: date | None,
) -> pl.DataFrame:
    """Compute the market value and effect of every event, in the order of the result's events."""
    car = result.car(first, last)
    day = result.estimation.dates[:, first - result.estimation.settings.event[0]]
    frame = car.select("event_id", "symbol", "date", "car", pl.col("se").alias("_se"), "df").with_columns(
        as_dates(day).alias("_begin")
    )
    frame = _with_price(frame, result.market.traded)
    frame = _with_shares(frame, shares, result.market.traded, split_adjusted_to)
    securities = result.market.securities
    if "currency" not in securities.columns:
        raise SpecificationError("This market has no currencies of its securities: use Market.load.")
    # returns may have been converted to another currency than that of the prices
    prices = "price_currency" if "price_currency" in securities.columns else "currency"
    frame = frame.join(securities.select("symbol", pl.col(prices).alias("_currency")), on="symbol", how="left",
                       validate="m:1", maintain_order="left")  # fmt: skip
    frame = _with_rate(frame, rates, currency)
    missing = [
        pl.when(pl.col("car").is_null()).then(pl.lit("no return in the window")),
        pl.when(pl.col("price").is_null()).then(pl.lit("no traded price before the window")),
        pl.when(pl.col("shares").is_null()).then(pl.col("_no_shares")),
        pl.when(pl.col("rate").is_null()).then(pl.format("no rate from {}", pl.col("_currency").fill_null("?"))),
    ]
    is_old = (pl.col("_begin") - pl.col("price_date")).dt.total_days() > 10
    old_price = pl.when(is_old.fill_null(value=False)).then(pl.format("price of {}", "price_date"))
    value = pl.col("price") * pl.col("shares") * pl.col("rate")
    return frame.with_columns(
        value.alias("market_value"),
        (value * pl.col("car")).alias("effect"),
        (value * pl.col("_se")).alias("se"),
        pl.concat_str([*missing, old_price], separator="; ", ignore_nulls=True).replace("", None).alias("note"),
    )


def _with_price(frame: pl.DataFrame, traded: pl.DataFrame) -> pl.DataFrame:
    """Join the last traded price before the window begins."""
    if traded.is_empty():
        raise SpecificationError(
            "This market has no traded prices, only closes adjusted for dividends, which give no market value. "
            "Load it from YahooPrices, or from a file with both close and adj_close."
        )
    prices = traded.drop_nulls("unadjusted_close").select(
        "symbol", pl.col("date").alias("price_date"), pl.col("unadjusted_close").alias("price")
    )
    return (
        frame.with_row_index("_order")
        .sort("_begin")
        .join_asof(
            prices.sort("price_date"), left_on="_begin", right_on="price_date", by="symbol", strategy="backward",
            allow_exact_matches=False, check_sortedness=False, coalesce=False,
        )
        .sort("_order")
    )  # fmt: skip


def _with_shares(
    frame: pl.DataFrame,
    given: FrameLike | str | Path | None,
    traded: pl.DataFrame,
    split_adjusted_to: date | None,
) -> pl.DataFrame:
    """Join the count of shares last known before the window, and the reason where there is none."""
    if given is None:
        joined = join_counts(frame, load_counts(None), traded, split_adjusted_to)
        _warn_of_uncovered(joined)
        return joined
    table = read_shares(given)
    if "shares_outstanding" in table.columns:
        counts = check_counts(table.select(pl.exclude("shares", "public_on")), "shares").with_columns(
            pl.lit("seen").alias("verification")
        )
        return join_counts(frame, counts, traded, split_adjusted_to)
    if split_adjusted_to is not None:
        raise SpecificationError(
            "split_adjusted_to needs counts with their splits (shares_outstanding, split_factor_since), as mi.shares "
            "gives them. Plain counts must be on the basis of the price already: leave it out."
        )
    return _with_plain_counts(frame, check_shares(table)).with_columns(pl.lit("no shares").alias("_no_shares"))


def _with_plain_counts(frame: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """Join counts that are on the basis of the price: one of a security, or the last one dated before the window."""
    if "date" not in counts.columns:
        return frame.join(counts.select("symbol", "shares"), on="symbol", how="left", validate="m:1",
                          maintain_order="left")  # fmt: skip
    dated = counts.select("symbol", pl.col("date").alias("_counted"), "shares").sort("_counted")
    return (
        frame.sort("_begin")
        .join_asof(dated, left_on="_begin", right_on="_counted", by="symbol", strategy="backward",
                   allow_exact_matches=False, check_sortedness=False)
        .sort("_order")
    )  # fmt: skip


def _warn_of_uncovered(frame: pl.DataFrame) -> None:
    """Warn of securities without a count that can be used: of those without one, and of those of unknown basis."""
    is_unknown_basis = (pl.col("_no_shares") == pl.col("_unknown_split")).fill_null(value=False)
    without = _uncovered(frame, pl.col("_no_shares").is_not_null() & ~is_unknown_basis)
    unclear = _uncovered(frame, is_unknown_basis)
    n, sentences = frame.height, []
    if without.height:
        sentences.append(
            f"{without['lacking'].sum()} of {n} events have no count of shares: {_by_reason(without)}. Give counts of "
            "your own with shares=."
        )
    if unclear.height:
        sentences.append(
            f"{unclear['lacking'].sum()} of {n} events have a count that cannot be used: {_by_reason(unclear)}. Say "
            "with split_adjusted_to= until when the closes are adjusted for splits: the day they were downloaded."
        )
    if sentences:
        warnings.warn(f"dollar_effect: {' '.join(sentences)}", MarketImpactWarning, stacklevel=5)


def _uncovered(frame: pl.DataFrame, lacks: pl.Expr) -> pl.DataFrame:
    """Count the events of each security that lack a count, with the reason of the last: ``lacking, len, reason``."""
    reason = pl.col("_no_shares").filter(lacks).last().alias("reason")
    return (
        frame.sort("_begin", "symbol", nulls_last=True)
        .group_by("symbol", maintain_order=True)
        .agg(lacks.sum().alias("lacking"), pl.len(), reason)
        .filter(pl.col("lacking") > 0)
        .sort("symbol")
    )


def _by_reason(firms: pl.DataFrame) -> str:
    """Name every security under its reason, so that the same reason is not repeated."""
    named = firms.group_by("reason", maintain_order=True).agg(pl.format("{} {} of {}", "symbol", "lacking", "len"))
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in named.rows())


def _with_rate(frame: pl.DataFrame, rates: FrameLike | str | Path | None, currency: str) -> pl.DataFrame:
    """Join the exchange rate, units of `currency` for one of the security's, on the day of the price."""
    is_home_currency = pl.col("_currency") == currency
    if rates is None:
        return frame.with_columns(pl.when(is_home_currency).then(1.0).alias("rate"))
    quoted = check_rates(rates, currency).rename({"date": "_quoted", "currency": "_currency"})
    joined = frame.sort("price_date", nulls_last=True).join_asof(
        quoted, left_on="price_date", right_on="_quoted", by="_currency", strategy="backward", tolerance=RATE_AGE,
        check_sortedness=False,
    )  # fmt: skip
    return joined.sort("_order").with_columns(
        pl.when(is_home_currency).then(1.0).otherwise(pl.col("rate")).alias("rate")
    )


def _group_effects(  # noqa: PLR0917
    result: StudyResult, effects: pl.DataFrame, first: int, last: int, by: str, currency: str, quantile: float
) -> pl.DataFrame:
    """Sum the effects of every group, allowing for the correlation of its members' abnormal returns."""
    sample = result.sample(first, last)
    correlation, _ = window_correlation(sample)
    np.fill_diagonal(correlation, 1.0)
    covariance = correlation * sample.se[:, None] * sample.se[None, :]
    with_car = effects.filter(pl.col("car").is_not_null()).with_columns(
        result.events.filter(effects["car"].is_not_null())[by].alias("_group"), pl.Series("_firm", sample.firm),
        pl.Series("_cluster", sample.cluster),
    )  # fmt: skip
    counts = result.events.group_by(by).len()
    rows = []
    for value in result.events[by].unique().sort(nulls_last=True).to_list():
        in_group = pl.col("_group").eq_missing(pl.lit(value, dtype=with_car.schema["_group"]))
        valued = with_car.select(in_group & pl.col("effect").is_not_null()).to_series().to_numpy()
        members, index = with_car.filter(valued), np.flatnonzero(valued)
        _check_dual_listings(members, by, value)
        n = counts.filter(pl.col(by).eq_missing(pl.lit(value, dtype=counts.schema[by])))["len"].item()
        note = f"{n - len(index)} of {n} events could not be valued" if len(index) < n else None
        estimate = _summed_effect(members, covariance[np.ix_(index, index)], quantile)
        rows.append((value, *estimate, currency, n, len(index), note))
    return pl.DataFrame(rows, schema={by: result.events.schema[by], **_GROUP_SCHEMA}, orient="row")


def _summed_effect(members: pl.DataFrame, covariance: Floats, quantile: float) -> tuple[float | None, ...]:
    """Sum the effects of some events: ``effect, se, low, high, mde, market_value``; null where there is none."""
    if members.is_empty():
        return (None,) * 6
    market_value = members["market_value"].to_numpy()
    effect, total = float(members["effect"].sum()), float(market_value.sum())
    variance = float(market_value @ covariance @ market_value)
    if not variance > 0:
        return effect, None, None, None, None, total
    se = float(np.sqrt(variance))
    mde = float(minimum_detectable_effect(se, np.inf))
    return effect, se, effect - quantile * se, effect + quantile * se, mde, total


def _check_dual_listings(members: pl.DataFrame, by: str, value: object) -> None:
    """Refuse two listings of a firm in one sum, since they share one market value."""
    dual = members.filter(pl.col("symbol").n_unique().over("_firm", "_cluster") > 1)
    if dual.height:
        raise SpecificationError(
            f"{by} {value!r} holds both listings of a firm, {', '.join(sorted(set(dual['symbol'])))}, whose value "
            "would be counted twice. Keep one with mi.one_listing(events, securities, prefer=[...])."
        )
