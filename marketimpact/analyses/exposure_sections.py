"""Cut the cross-section of an announcement out of the market, and leave out firms without the returns it needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from marketimpact.analyses.exposure_inputs import UNUSED, Announcement, unused
from marketimpact.analyses.exposure_past import (
    FEWEST_FIRMS,
    LEAST_ESTIMATION,
    LEAST_PRESENT,
    CrossSection,
    SlopeDesign,
    is_collinear,
    return_sums,
)
from marketimpact.core.arrays import Bools, Floats, Ints, as_dates
from marketimpact.errors import DataError
from marketimpact.market.market import Market

__all__ = ["LEAST_PAST", "LEAST_WINDOWS", "Cut", "check_windows", "cut_section", "read_section"]

#: Fewest sessions of the past, and fewest windows in them.
LEAST_PAST, LEAST_WINDOWS = 60, 20
#: Regressors that a cross-section must have fewer of than firms, by at least this number.
LEAST_DF = 3


class Cut(NamedTuple):
    """Firms of an announcement that can be used, their cross-section, the others, and what a reader should know."""

    announcement: Announcement
    section: CrossSection
    attrition: pl.DataFrame
    notes: tuple[str, ...]


def read_section(
    market: Market, announcement: Announcement, design: SlopeDesign, first: int, last: int
) -> CrossSection:
    """Read returns and benchmark returns of the firms from session `first` to `last` around day 0.

    Days that the design excludes are missing before the event window.
    """
    rows, inside = _rows(announcement, first, last)
    ret, benchmark = (np.where(inside, market.column(name)[rows], np.nan) for name in ("ret", "market"))
    if design.excluded is not None:
        before = np.arange(first, last + 1) < design.window[0]
        ret[design.excluded[rows] & before] = np.nan
    symbols = tuple(announcement.firms["symbol"])
    return CrossSection(symbols, announcement.x, announcement.weights, first, ret, benchmark)


def _rows(announcement: Announcement, first: int, last: int) -> tuple[Ints, Bools]:
    """Find the panel's row of every firm and session, (N, S), and whether the security has that session."""
    own, begin, end = (announcement.firms[name].to_numpy()[:, None] for name in ("_row", "_first", "_last"))
    rows = own + np.arange(first, last + 1)
    return np.clip(rows, begin, end), (rows >= begin) & (rows <= end)


def cut_section(market: Market, announcement: Announcement, design: SlopeDesign) -> Cut:
    """Cut the cross-section of an announcement, and check that slopes can be estimated from it.

    Raises
    ------
    DataError
        For fewer than eight firms, too little past, and exposures that are constant or collinear.
    """
    lost = [_implausible(market, announcement, design)]
    announcement = announcement.without(lost[0]["symbol"])
    section = read_section(market, announcement, design, design.first_read, design.window[1])
    has_return = ~np.isnan(return_sums(section, design, np.array([design.window[0]]), design.length)[:, 0])
    symbols = announcement.firms["symbol"]
    why = f"no return in sessions {design.window[0]} to {design.window[1]}"
    if design.abnormal:
        why += f", or fewer than {LEAST_ESTIMATION} before them for the market model"
    lost.append(unused(announcement, symbols.filter(~pl.Series(has_return)), "no_event_return", why))
    announcement, section = announcement.without(lost[1]["symbol"]), section.take(has_return)
    _check_count(announcement, lost)
    windows, present = _usable_windows(announcement, section, design)
    is_short = present < LEAST_PRESENT
    detail = f"returns in fewer than {LEAST_PRESENT:.0%} of the {windows} windows of the past"
    lost.append(unused(announcement, announcement.firms["symbol"].filter(pl.Series(is_short)), "short_past", detail))
    announcement, section = announcement.without(lost[2]["symbol"]), section.take(~is_short)
    _check_count(announcement, lost)
    _check_exposures(announcement)
    return Cut(announcement, section, pl.concat(lost), _notes(market, announcement, design))


def _implausible(market: Market, announcement: Announcement, design: SlopeDesign) -> pl.DataFrame:
    """List the firms with a return beyond a factor of three that is read, of their own or of their benchmark."""
    none = pl.DataFrame(schema=UNUSED)
    if market.implausible.is_empty():
        return none
    rows, _ = _rows(announcement, design.first_read, design.window[1])
    span = announcement.firms.select("symbol").with_columns(
        as_dates(market.days[rows[:, 0]]).alias("from"), as_dates(market.days[rows[:, -1]]).alias("to")
    )
    own = span.with_columns(pl.col("symbol").alias("step"))
    if design.abnormal and "benchmark" in market.securities.columns:
        named = market.securities.select("symbol", pl.col("benchmark").alias("step"))
        own = pl.concat([own, span.join(named, on="symbol", how="inner", validate="1:1")])
    touched = own.join(market.implausible.rename({"symbol": "step", "date": "day"}), on="step", how="inner")
    touched = touched.filter(pl.col("day").is_between("from", "to")).unique("symbol", maintain_order=True)
    lists = []
    for symbol, step, ret, day in touched.select("symbol", "step", "ret", "day").iter_rows():
        accept = f"accept=[('{step}', '{day}')] if it is real"
        detail = f"{step} has a return of {ret:+,.1%} on {day}: correct it, or {accept}"
        lists.append(unused(announcement, pl.Series([symbol]), "implausible_return", detail))
    return pl.concat([none, *lists])


def _usable_windows(announcement: Announcement, section: CrossSection, design: SlopeDesign) -> tuple[int, Floats]:
    """Count the windows of the past that enough firms have, and the share of them that each firm has, (N,)."""
    has_return = ~np.isnan(return_sums(section, design, design.past_starts(), design.length))
    usable = has_return.sum(axis=0) >= max(FEWEST_FIRMS, len(section.symbols) / 2)
    count = int(usable.sum())
    check_windows(announcement, design, count)
    return count, has_return[:, usable].mean(axis=1)


def check_windows(announcement: Announcement, design: SlopeDesign, count: int) -> None:
    """Stop at too few windows of the past."""
    if count >= LEAST_WINDOWS and count * design.length >= LEAST_PAST:
        return
    more = f", and up to {design.estimation} before each to estimate from" if design.estimates_before else ""
    raise DataError(
        f"{announcement.name}: {count} windows of {design.length} sessions have returns of enough firms before the "
        f"event; {LEAST_WINDOWS} windows of {LEAST_PAST} sessions in all are needed{more}. Load a longer span, or "
        "choose a later date."
    )


def _check_count(announcement: Announcement, lost: list[pl.DataFrame]) -> None:
    """Stop at fewer firms than a cross-section needs."""
    count, dropped = announcement.firms.height, pl.concat(lost)
    least = max(FEWEST_FIRMS, len(announcement.exposures) + 1 + LEAST_DF)
    if count < least:
        others = ", ".join(f"{reason} {n}" for reason, n in dropped.group_by("reason").len().sort("reason").iter_rows())
        raise DataError(
            f"{announcement.name}: {count} firms have exposures and returns; a slope needs {least}."
            + (f" Not used: {others} (the error's rows)." if others else "")
            + " Add firms, or compare the symbols of the exposures with market.panel_securities.",
            rows=dropped,
        )


def _check_exposures(announcement: Announcement) -> None:
    """Stop at exposures that are constant, or of which one is a combination of others."""
    x, count = announcement.x, announcement.firms.height
    for column, name in enumerate(announcement.exposures, start=1):
        if is_collinear(x[:, [0, column]]):
            raise DataError(
                f"{announcement.name}: {name!r} is {x[0, column]:g} for all {count} firms that can be used, so there "
                "is no slope. Choose firms that differ in it."
            )
        if is_collinear(x[:, : column + 1]):
            raise DataError(
                f"{announcement.name}: {name!r} is a combination of a constant and the exposures before it among the "
                f"{count} firms, so their slopes cannot be told apart. Leave one of them out."
            )


def _notes(market: Market, announcement: Announcement, design: SlopeDesign) -> tuple[str, ...]:
    """Write what a reader should know of the windows of the past."""
    notes = []
    moved = announcement.firms.filter(pl.col("date").cast(pl.String) != announcement.name)
    if moved.height and announcement.is_date:
        notes.append(f"no session on {announcement.name}: day 0 of {moved.height} firms is {moved['date'].min()!s}")
    if "basis" in announcement.firms.columns and announcement.firms["basis"].n_unique() > 1:
        counts = (
            announcement.firms["basis"].fill_null("not stated").value_counts().sort("count", "basis", descending=True)
        )
        bases = ", ".join(f"{basis} {count}" for basis, count in counts.iter_rows())
        notes.append(f"shares of different bases are pooled ({bases}): their levels are not comparable")
    days = market.days[_rows(announcement, int(design.past_starts()[0]), 0)[0][:, 0]]
    if int(np.ptp(days)) > 0:
        notes.append(
            f"firms on several exchanges: their sessions of the past, counted from each firm's own day 0, lie up to "
            f"{int(np.ptp(days))} calendar days apart, so that shocks they share are not on one date there"
        )
    return tuple(notes)
