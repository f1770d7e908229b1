"""Frames of an exposure slope: tests, slopes of the past, firms, and the slope session by session."""

from __future__ import annotations

import numpy as np
import polars as pl

from marketimpact.analyses.exposure_past import CrossSection, SlopeDesign, return_sums, slopes
from marketimpact.analyses.exposure_sections import LEAST_WINDOWS, Cut, check_windows, read_section
from marketimpact.analyses.exposure_tests import Past, against_past, filtered, hc1_p_values
from marketimpact.core.arrays import Floats, Ints, as_dates
from marketimpact.errors import SpecificationError
from marketimpact.inference import minimum_detectable_effect, quantile_of
from marketimpact.inference.reasons import MOST_RECENT_VARIANCE
from marketimpact.inference.volatility_filter import why_undefined
from marketimpact.market.market import Market

__all__ = ["check_past", "firms_frame", "past_frame", "path_frame", "slope_frame", "variance_doubt"]

#: Level of the intervals.
LEVEL = 0.95
#: Least variance known the evening before, relative to that of the past, with which the filtered test keeps its size:
#: very calm days do not last (docs/findings/exposure.md).
LEAST_FILTERED_VARIANCE = 0.5


def slope_frame(cut: Cut, design: SlopeDesign, found: Past) -> pl.DataFrame:
    """Test the slopes of one announcement: a row per exposure; see `ExposureSlope.frame`."""
    tests = against_past(found.slope, found.past)
    errors = filtered(found, design)
    deviation = found.slope - tests["past_mean"]
    half = tests["se"] * np.array([quantile_of(float(df), LEVEL) for df in tests["df"]])
    half_filtered = errors.half_widths(LEVEL)
    doubts = [variance_doubt(float(ratio)) for ratio in errors.variance_ratio]
    doubts_filtered = [
        why_undefined(errors, row, design.length) or _filter_doubt(float(ratio))
        for row, ratio in enumerate(errors.variance_ratio)
    ]
    notes = ["; ".join(filter(None, both)) for both in zip(doubts, doubts_filtered, strict=True)]
    numbers = {
        "slope": found.slope,
        **{name: tests[name] for name in ("past_mean", "se", "z", "df", "p_value", "p_rank")},
        "p_filtered": errors.p_values(deviation),
        "ci_low": deviation - half,
        "ci_high": deviation + half,
        "ci_low_filtered": deviation - half_filtered,
        "ci_high_filtered": deviation + half_filtered,
        "mde": tests["mde"],
        "mde_filtered": _mde(errors.se, errors.df),
        "se_filtered": errors.se,
        "df_filtered": errors.df,
        "variance_ratio": errors.variance_ratio,
        "exposure_sd": cut.section.x[:, 1:].std(axis=0, ddof=1),
    }
    frame = pl.DataFrame({"regressor": list(cut.announcement.exposures), **numbers})
    return frame.with_columns(pl.col(*numbers).fill_nan(None)).with_columns(
        pl.lit(len(cut.section.symbols), pl.Int64).alias("n_firms"),
        pl.Series("n_past", tests["n_past"]).cast(pl.Int64),
        pl.Series("valid", [not doubt for doubt in doubts]),
        pl.Series("valid_filtered", [not doubt for doubt in doubts_filtered]),
        pl.Series("note", [note or None for note in notes], dtype=pl.String),
        pl.Series("hc1_p", hc1_p_values(cut.section, design)),
    )


def check_past(cut: Cut, design: SlopeDesign, found: Past) -> list[str]:
    """Stop at too few slopes of the past; say how many there are where some are missing."""
    count, asked = int((~np.isnan(found.past)).all(axis=1).sum()), len(found.past)
    check_windows(cut.announcement, design, count if np.isfinite(found.slope).all() else 0)
    return [] if count == asked else [f"{count} of {asked} windows of the past have returns of enough firms"]


def _mde(se: Floats, df: Floats) -> Floats:
    """Compute minimum detectable effects, NaN where there is no standard error."""
    known = np.isfinite(se) & (df >= 1.0)
    effects = np.full(len(se), np.nan)
    effects[known] = minimum_detectable_effect(se[known], df[known])
    return effects


def variance_doubt(ratio: float) -> str:
    """Say why a slope cannot be compared with the past as it is; empty where it can."""
    if ratio <= MOST_RECENT_VARIANCE:
        return ""
    if np.isnan(ratio):
        return "the variance of the slope shortly before the event is unknown; p_value and p_rank take it to be usual"
    return (
        f"variance of the slope known the evening before is {ratio:.2f} times that of the past, which p_value and "
        "p_rank take to be unchanged: read p_filtered"
    )


def _filter_doubt(ratio: float) -> str:
    """Say why a filtered slope is doubtful; empty where it is not."""
    if ratio >= LEAST_FILTERED_VARIANCE:
        return ""
    return (
        f"variance of the slope known the evening before is only {ratio:.2f} of that of the past, where p_filtered "
        "rejects too often: read p_value and p_rank"
    )


def past_frame(market: Market, cut: Cut, design: SlopeDesign, found: Past) -> pl.DataFrame:
    """List the slopes of the windows of the past: ``regressor, tau, date, slope, n_firms``."""
    starts = design.past_starts()
    rows = cut.announcement.firms["_row"].to_numpy()[:, None] + starts
    has_return = ~np.isnan(return_sums(cut.section, design, starts, design.length))
    first = cut.announcement.firms["_first"].to_numpy()[:, None]
    days = np.where(rows >= first, market.days[np.maximum(rows, 0)], np.iinfo(np.int64).max).min(axis=0)
    windows = pl.DataFrame({"tau": starts, "n_firms": has_return.sum(axis=0)})
    windows = windows.with_columns(as_dates(days))
    return pl.concat(
        windows.select(
            pl.lit(name).alias("regressor"),
            "tau",
            "date",
            pl.Series("slope", found.past[:, column]).fill_nan(None),
            "n_firms",
        )
        for column, name in enumerate(cut.announcement.exposures)
    )


def firms_frame(cut: Cut, design: SlopeDesign) -> pl.DataFrame:
    """List the firms used: ``symbol, mic, date, ret``, the exposures, and what is known of them."""
    ret = return_sums(cut.section, design, np.array([design.window[0]]), design.length)[:, 0]
    firms = cut.announcement.firms.rename({"_weight": "weight"}, strict=False)
    lead = ["symbol", "mic", "date"]
    own = [name for name in firms.columns if name not in lead and name[:1] != "_"]
    return firms.select(*lead, pl.Series("ret", ret), *own)


def path_frame(market: Market, cut: Cut, design: SlopeDesign, found: Past, window: tuple[int, int]) -> pl.DataFrame:
    """Compute the slope session by session and summed from the first session on; see `ExposureSlope.path`."""
    first, last = window
    if first < design.window[0] - design.gap:
        raise SpecificationError(
            f"path({first}, {last}): the past ends in session {design.window[0] - design.gap - 1}, and a session "
            f"cannot be compared with itself. Begin at {design.window[0] - design.gap} or later, or "
            "choose a larger gap."
        )
    section = read_section(market, cut.announcement, design, min(design.first_read, first), last)
    sessions = np.arange(first, last + 1)
    daily = slopes(section, design, sessions, anchor=min(first, design.window[0]))[:, 1:]
    return pl.concat(
        _path_of(section, design, sessions, daily, found.daily, column=column).select(
            pl.lit(name).alias("regressor"), pl.all()
        )
        for column, name in enumerate(cut.announcement.exposures)
    )


def _path_of(
    section: CrossSection, design: SlopeDesign, sessions: Ints, daily: Floats, past: Floats, *, column: int
) -> pl.DataFrame:
    """Compute the path of one of the daily slopes, (S, K), whose past is (M, K)."""
    mean, half = _spread(past[:, [column]])
    slope = daily[:, column]
    total = np.cumsum(slope)
    centres, halves = np.array([_spread_of_sums(section, design, column, k + 1) for k in range(len(sessions))]).T
    numbers = {
        "slope": slope, "ci_low": slope - mean - half, "ci_high": slope - mean + half,
        "cumulative": total, "cumulative_low": total - centres - halves, "cumulative_high": total - centres + halves,
    }  # fmt: skip
    return pl.DataFrame({"tau": sessions, **numbers}).with_columns(pl.col(*numbers).fill_nan(None))


def _spread(past: Floats) -> tuple[float, float]:
    """Compute the mean of slopes of the past, (L, 1), and half the width of the interval of another one."""
    tests = against_past(past[0], past)
    return float(tests["past_mean"][0]), float(tests["se"][0]) * quantile_of(float(tests["df"][0]), LEVEL)


def _spread_of_sums(section: CrossSection, design: SlopeDesign, column: int, length: int) -> tuple[float, float]:
    """Compute the same of sums over `length` sessions; NaN with too few of them in the past."""
    past = slopes(section, design, design.past_starts(length), length)[:, 1:][:, [column]]
    return _spread(past) if (~np.isnan(past)).sum() >= LEAST_WINDOWS else (np.nan, np.nan)
