"""Firms, exposures and day 0 of every announcement of an exposure slope, and the firms that cannot be used."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import polars as pl

from marketimpact.analyses.exposure_past import LEAST_PRESENT, SlopeDesign
from marketimpact.core.arrays import Bools, Floats, Ints
from marketimpact.core.frames import is_frame, to_polars
from marketimpact.core.layouts import SYMBOL_DAYS, SYMBOLS
from marketimpact.core.text import did_you_mean, listed
from marketimpact.core.type_advice import how_to_convert
from marketimpact.errors import DataError, MarketImpactWarning, SpecificationError
from marketimpact.estimation.positions import locate_day0
from marketimpact.events.catalogue import securities
from marketimpact.events.dual_listings import OTHER_LISTING, firms
from marketimpact.events.exposures import exposures, warn_of_mixed_bases
from marketimpact.market.market import Market
from marketimpact.study.event_groups import listed_twice

__all__ = ["UNUSED", "Announcement", "announcements_of", "unused"]

#: Columns that name the rows of a frame of exposures.
KEYS = ("symbol", "announcement_id")
#: Columns with the day on which an exposure became public.
PUBLIC = ("public_on", "filed_on")
#: Columns that say what counts as revenue in a country, and whether a newer figure could not be used.
BASIS = ("basis", "region", "newer_left_out")
#: Exposures that `marketimpact.exposures` has.
SHARES_OF_REVENUE = ("china_revenue_share", "us_revenue_share")
#: Symbol under which an exposure that was looked up is recorded; listings of one firm share it.
RECORDED = "_recorded_as"
#: Columns of the firms that are no exposures.
RESERVED = ("symbol", "mic", "date", "ret", "weight", *PUBLIC, *BASIS)
#: Columns of the firms that are not used.
UNUSED = {"announcement_id": pl.String, "symbol": pl.String, "reason": pl.String, "detail": pl.String}


@dataclass(frozen=True, eq=False)
class Announcement:
    """Firms with an exposure and a day 0 of one announcement.

    Attributes
    ----------
    name : str
        Its `announcement_id`, or the date.
    firms : polars.DataFrame
        ``symbol, mic, date``, the exposures, ``_weight`` where firms have weights, and rows of the panel: ``_row`` of
        day 0, ``_first`` and ``_last`` of the security. Sorted by symbol.
    exposures : tuple of str
        Names of the exposures.
    is_date : bool
        Whether a date was given, not events.
    """

    name: str
    firms: pl.DataFrame
    exposures: tuple[str, ...]
    is_date: bool = False

    @property
    def x(self) -> Floats:
        """A constant and the exposures, (N, k)."""
        return np.column_stack([np.ones(self.firms.height), self.firms.select(self.exposures).to_numpy()])

    @property
    def weights(self) -> Floats | None:
        """Weights of the firms, (N,); None where they have none."""
        return self.firms["_weight"].to_numpy() if "_weight" in self.firms.columns else None

    def without(self, symbols: pl.Series) -> Announcement:
        """Leave out some firms."""
        return replace(self, firms=self.firms.filter(~pl.col("symbol").is_in(symbols.implode())))


def announcements_of(
    market: Market,
    date_or_events: object,
    exposure: object,
    columns: object,
    weights: str | None,
    *,
    design: SlopeDesign,
) -> tuple[list[Announcement], pl.DataFrame]:
    """Find the firms of every announcement with day 0, exposures and weights, and list those that cannot be used.

    Raises
    ------
    SpecificationError
        For an argument of another kind, and unknown columns.
    DataError
        For frames that break a rule: a firm twice, exposures that are not finite or became public too late, weights
        that are not positive, no day 0 at all.
    """
    table, names = _exposures(exposure, columns)
    if taken := [name for name in names if name in RESERVED or name[:1] == "_"]:
        raise SpecificationError(f"{taken[0]!r} is the name of a column of the result. Rename the exposure.")
    events = _events(market, date_or_events, table)
    located, positions, dropped = locate_day0(events, market)
    if located.is_empty():
        raise _no_day0(dropped)
    located = located.with_columns(
        _row=positions.first_row + positions.day0,
        _first=positions.first_row,
        _last=positions.first_row + positions.n_sessions - 1,
    )
    group = "announcement_id" if "announcement_id" in located.columns else "date"
    located = located.with_columns(pl.col(group).cast(pl.String).alias("_announcement"))
    label = pl.lit(None, pl.String) if group == "date" else pl.col("announcement_id").cast(pl.String)
    named = events.select("event_id", label.alias("announcement_id"), "symbol")
    lost = named.join(dropped, on="event_id", how="inner", validate="1:1").select(*UNUSED)
    valued = _with_values(located, market, table, names, weights)
    complete, without = _complete(valued, names, weights)
    complete, others = _one_listing(complete, market, design)
    _check_firms(complete, market)
    attrition = pl.concat([lost.cast(UNUSED), without, others, *_not_events(table, events, date_or_events)])  # type: ignore[arg-type]
    parts = complete.partition_by("_announcement", as_dict=True)
    if "basis" in complete.columns:
        warn_of_mixed_bases(complete.unique(["symbol", "basis"]), listed(names, quoted=False), stacklevel=4)
    is_date = not is_frame(date_or_events)
    found = [Announcement(str(name), part.sort("symbol"), names, is_date) for (name,), part in sorted(parts.items())]
    if not found:
        raise DataError(
            f"No firm with a day 0 has {listed(names)}: {without.height} have none. Compare the symbols of the "
            "exposures with market.panel_securities."
        )
    return found, attrition.sort("announcement_id", "symbol", nulls_last=True)


def unused(announcement: Announcement, symbols: pl.Series, reason: str, detail: str) -> pl.DataFrame:
    """List firms of an announcement that are not used, with one reason."""
    frame = pl.DataFrame({"symbol": symbols.cast(pl.String)})
    words = {"announcement_id": announcement.name, "reason": reason, "detail": detail}
    return frame.with_columns(pl.lit(text).alias(name) for name, text in words.items()).select(*UNUSED)


def _exposures(exposure: object, columns: object) -> tuple[pl.DataFrame | None, tuple[str, ...]]:
    """Read a frame of exposures, or None, and the names of the exposures."""
    chosen = (columns,) if isinstance(columns, str) else columns
    if not is_frame(exposure):
        names = (exposure,) if isinstance(exposure, str) else exposure
        if columns is not None or not _are_names(names):
            raise SpecificationError(
                f"exposure={exposure!r}, columns={columns!r}: give a frame with 'symbol' and the exposure (columns= "
                "chooses among its columns), or the name of a column of the events or of market.securities alone."
            )
        return None, tuple(names)  # type: ignore[arg-type]  # _are_names has seen them
    frame = to_polars(exposure, "exposure", SYMBOLS)
    if frame.is_empty() or "symbol" not in frame.columns:
        raise DataError(
            f"exposure must have rows and the column 'symbol'; it has {frame.height} rows and {listed(frame.columns)}."
        )
    _check_rows_once(frame)
    if chosen is None:
        chosen = [name for name, kind in frame.schema.items() if kind.is_numeric() or kind == pl.Boolean]
        if len(chosen) != 1:
            what = f"{len(chosen)} columns of numbers ({listed(chosen)})" if chosen else "no column of numbers"
            raise SpecificationError(
                f"exposure has {what} among {listed(frame.columns)}. Name those to use: columns=[...]."
            )
    if not _are_names(chosen):
        raise SpecificationError(f"columns={columns!r}: give names of columns of the exposures.")
    return frame, tuple(chosen)  # type: ignore[arg-type]


def _are_names(names: object) -> bool:
    """Check for a list or tuple of one name or more, none of them twice."""
    if not isinstance(names, list | tuple) or not names:
        return False
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _check_rows_once(frame: pl.DataFrame) -> None:
    """Stop at a firm that has two rows for one announcement."""
    keys = [name for name in KEYS if name in frame.columns]
    repeated = frame.filter(frame.select(keys).is_duplicated())
    if repeated.height:
        raise DataError(
            f"exposure has {repeated['symbol'][0]} twice ({repeated.height} rows of such firms). Keep one row per "
            "firm, such as the last that was public before the announcement.",
            rows=repeated,
        )


def _events(market: Market, given: object, table: pl.DataFrame | None) -> pl.DataFrame:
    """Make events of a date, one per firm of the market or of the exposures; events stay as they are."""
    if is_frame(given):
        frame = to_polars(given, "date_or_events", SYMBOL_DAYS)
        if lacking := [name for name in ("event_id", "symbol", "date") if name not in frame.columns]:
            raise DataError(
                f"date_or_events lacks {listed(lacking)}; it has {listed(frame.columns)}. Give what mi.align returns."
            )
        return frame
    day = _as_date(given)
    own = market.panel_securities["symbol"].cast(pl.String)
    named = [] if table is None else [table["symbol"].cast(pl.String)]
    symbols = pl.concat([own, *named]).unique().sort()
    frame = pl.DataFrame({"event_id": symbols, "symbol": symbols})
    return frame.with_columns(pl.lit(day).alias("date"), pl.lit(str(day)).alias("announcement_id"))


def _as_date(given: object) -> date:
    """Read a date, or text such as 2025-08-12."""
    if isinstance(given, str):
        try:
            return date.fromisoformat(given)
        except ValueError:
            given = repr(given)
    elif isinstance(given, date) and not isinstance(given, datetime):
        return given
    raise SpecificationError(
        f"date_or_events={given!s} is no date. Give a datetime.date, text such as '2025-08-12', or events with day 0 "
        "as mi.align returns them; an instant has another session on each exchange."
    )


def _no_day0(dropped: pl.DataFrame) -> DataError:
    """Build the error for a date on which no firm has a session."""
    counts = dropped.group_by("reason").len().sort("reason")
    reasons = ", ".join(f"{reason} {n}" for reason, n in counts.iter_rows())
    example = dropped["detail"][0] if dropped.height else "no events"
    return DataError(
        f"No firm has a day 0 among the market's sessions ({reasons}: {example}). Choose a date inside the prices, or "
        "load a longer span.",
        rows=dropped,
    )


def _with_values(
    located: pl.DataFrame, market: Market, table: pl.DataFrame | None, names: Sequence[str], weights: str | None
) -> pl.DataFrame:
    """Add exposures, weights and what else is known of them, from the table, the events, the securities or the package.

    Where no table is given, exposures that are columns of neither events nor securities are those of
    `marketimpact.exposures` as of the announcement.
    """
    wanted = [*names, *([weights] if weights is not None else [])]
    if table is not None:
        if unknown := [name for name in wanted if name not in table.columns]:
            raise _unknown(unknown[0], "the exposures", table.columns)
        located = _joined(located, table, wanted)
        _check_public(located, table, "exposure")
    else:
        absent = [name for name in wanted if name not in located.columns]
        fixed = [name for name in absent if name in market.securities.columns]
        shares = [name for name in absent if name in SHARES_OF_REVENUE and name not in fixed]
        known = [*located.columns, *market.securities.columns, *SHARES_OF_REVENUE]
        if unknown := [name for name in absent if name not in (*fixed, *shares)]:
            raise _unknown(unknown[0], "the events, of market.securities or of mi.exposures", known)
        if len(absent) < len(wanted):
            _check_public(located, located, "events")
        if fixed:
            located = _joined(located, market.securities.drop(*BASIS, strict=False), fixed)
            _check_public(located, market.securities, "market.securities")
        located = _joined(located, _looked_up(located), [*shares, RECORDED]) if shares else located
    return _as_numbers(located, names, weights)


def _unknown(name: str, where: str, known: Sequence[str]) -> SpecificationError:
    """Build the error for a name that is no column."""
    public = [each for each in dict.fromkeys(known) if not each.startswith("_")]
    columns = listed(public, limit=20, quoted=False)
    return SpecificationError(f"{name!r} is no column of {where}: {columns}.{did_you_mean(str(name), public)}")


def _joined(located: pl.DataFrame, table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Add some columns of a table to the events, with days of publication and bases where it has them."""
    keys = [name for name in (*KEYS, "_announcement") if name in table.columns]
    if "announcement_id" in keys and "announcement_id" not in located.columns:
        raise DataError("exposure is by announcement_id, which the events do not have. Use mi.align for events.")
    taken = list(dict.fromkeys([*names, *(name for name in (*PUBLIC, *BASIS) if name in table.columns)]))
    return located.drop(taken, strict=False).join(
        table.select(*(pl.col(key).cast(pl.String) for key in keys), *taken),
        on=keys, how="left", validate="m:1", maintain_order="left",
    )  # fmt: skip


def _looked_up(located: pl.DataFrame) -> pl.DataFrame:
    """Look up the shares of revenue that were public before each announcement."""
    days = located.group_by("_announcement").agg(_known_before(located).min().alias("day")).sort("_announcement")
    with warnings.catch_warnings():  # firms without a share are listed with the others that are not used
        warnings.simplefilter("ignore", MarketImpactWarning)
        parts = [exposures(day).with_columns(pl.lit(name).alias("_announcement")) for name, day in days.iter_rows()]
    return pl.concat(parts).rename({"recorded_as": RECORDED})


def _known_before(located: pl.DataFrame) -> pl.Expr:
    """Give the day before which an exposure must be public: that of the announcement, or day 0 where it is unknown."""
    if isinstance(located.schema.get("announced_at"), pl.Datetime):
        return pl.coalesce(pl.col("announced_at").dt.date(), "date")
    return pl.col("date")


def _check_public(found: pl.DataFrame, source: pl.DataFrame, label: str) -> None:
    """Stop at exposures that became public on the announcement's day or later; `source` is where they come from."""
    day = _known_before(found)
    for name in (each for each in PUBLIC if each in source.columns):
        if found.schema[name] not in (pl.Date, pl.Null):
            advice = how_to_convert(found[name], "dates")
            raise DataError(f"{label}: {name!r} has type {found.schema[name]}, must hold dates. {advice}")
        late = found.filter(pl.col(name) >= day)
        if late.height:
            raise DataError(
                f"{label}: {late.height} values became public on the announcement's day or after it, such as that of "
                f"{late['symbol'][0]} on {late[name][0]} ({name}). They explain nothing: give the last value known "
                "before the announcement.",
                rows=late.select("symbol", name),
            )


def _as_numbers(found: pl.DataFrame, names: Sequence[str], weights: str | None) -> pl.DataFrame:
    """Convert exposures and weights to numbers; raise for text, infinite numbers and weights that are not positive."""
    for name in (*names, *([weights] if weights is not None else [])):
        kind = found.schema[name]
        if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
            raise SpecificationError(
                f"{name!r} has type {kind}, an exposure is a number. Make one of it, such as "
                f"(pl.col({name!r}) == value).cast(pl.Float64)."
            )
    found = found.with_columns(pl.col(*names).cast(pl.Float64).fill_nan(None))
    infinite = found.filter(pl.any_horizontal(pl.col(*names).is_infinite()))
    if infinite.height:
        raise DataError(
            f"{listed(names)}: {infinite.height} exposures are infinite, such as that of {infinite['symbol'][0]}. "
            "Leave such cells empty.",
            rows=infinite.select("symbol", *names),
        )
    if weights is None:
        return found
    found = found.with_columns(pl.col(weights).cast(pl.Float64).fill_nan(None).alias("_weight"))
    wrong = found.filter((pl.col("_weight") <= 0) | pl.col("_weight").is_infinite())
    if wrong.height:
        raise DataError(
            f"weights={weights!r}: {wrong.height} weights are not positive and finite, such as {wrong['_weight'][0]} "
            f"of {wrong['symbol'][0]}. Leave firms without a weight empty; they are then listed as not used.",
            rows=wrong.select("symbol", weights),
        )
    return found


def _complete(valued: pl.DataFrame, names: Sequence[str], weights: str | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split events into those with every exposure and a weight, and the others with the reason."""
    needed = dict.fromkeys(names, "no_exposure") | ({} if weights is None else {"_weight": "no_weight"})
    reason = pl.coalesce(pl.when(pl.col(name).is_null()).then(pl.lit(why)) for name, why in needed.items())
    label = {"_weight": weights}
    detail = pl.concat_str(
        [pl.when(pl.col(name).is_null()).then(pl.lit(f"no {label.get(name, name)}")) for name in needed],
        separator=", ",
        ignore_nulls=True,
    )
    marked = valued.with_columns(reason.alias("reason"), detail.alias("detail"))
    own = [name for name in (*PUBLIC, *BASIS, RECORDED) if name in valued.columns]
    kept = ["_announcement", "symbol", "mic", "date", *names, *needed, *own, "_row", "_first", "_last"]
    complete = marked.filter(pl.col("reason").is_null()).select(*dict.fromkeys(kept))
    without = marked.filter(pl.col("reason").is_not_null())
    return complete, without.select(pl.col("_announcement").alias("announcement_id"), *list(UNUSED)[1:]).cast(UNUSED)  # type: ignore[arg-type]


def _one_listing(complete: pl.DataFrame, market: Market, design: SlopeDesign) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep one listing of each firm whose exposure was looked up, by announcement, and list the others.

    The one with returns in the window and in the past; of two, the one under whose symbol the exposure is recorded.
    """
    if RECORDED not in complete.columns:
        return complete, pl.DataFrame(schema=UNUSED)
    firm = pl.col(RECORDED).replace(firms(securities())).replace(market.firms)
    in_window, in_past = _has_returns(complete, market, design)
    ranked = complete.with_columns(
        pl.Series("_in_window", in_window),
        pl.Series("_in_past", in_past),
        (pl.col(RECORDED) == pl.col("symbol")).alias("_is_own"),
        firm.alias("_firm"),
    )
    order = ("_in_window", "_in_past", "_is_own", "symbol")
    best = pl.col("symbol").sort_by(*order, descending=[True, True, True, False]).first()
    chosen = ranked.with_columns(best.over("_announcement", "_firm").alias("_used"))
    is_kept = chosen["symbol"] == chosen["_used"]
    others = chosen.filter(~is_kept).select(
        pl.col("_announcement").alias("announcement_id"),
        "symbol",
        pl.lit(OTHER_LISTING).alias("reason"),
        pl.format("another listing of the firm is used ({})", "_used").alias("detail"),
    )
    return complete.filter(is_kept), others.cast(UNUSED)  # type: ignore[arg-type]


def _has_returns(complete: pl.DataFrame, market: Market, design: SlopeDesign) -> tuple[Bools, Bools]:
    """Check each listing for a return in every session of the window, and in most sessions of the past, (N,)."""
    own, begin, end = (complete[name].to_numpy()[:, None] for name in ("_row", "_first", "_last"))
    first, last = design.window

    def share(sessions: Ints) -> Floats:
        rows = own + sessions
        inside = (rows >= begin) & (rows <= end)
        known = inside & ~np.isnan(market.column("ret")[np.clip(rows, begin, end)])
        return np.asarray(known.mean(axis=1))

    past = np.arange(first - design.gap - design.past, first - design.gap)
    return share(np.arange(first, last + 1)) == 1.0, share(past) >= LEAST_PRESENT


def _check_firms(complete: pl.DataFrame, market: Market) -> None:
    """Stop at a firm twice in one announcement, by two events or by two listings."""
    repeated = complete.filter(complete.select("_announcement", "symbol").is_duplicated())
    if repeated.height:
        raise DataError(
            f"{repeated['symbol'][0]} has two events of {repeated['_announcement'][0]}. Give one row per firm and "
            "announcement.",
            rows=repeated.select("symbol", "date"),
        )
    labelled = complete.select(pl.col("_announcement").alias("announcement_id"), "symbol")
    if pairs := listed_twice(labelled, market):
        raise SpecificationError(
            f"{listed(pairs, quoted=False)}: two listings of one firm would count it twice. Keep one, with "
            "mi.one_listing(events, market.securities, prefer=[...]), or give an exposure for one of them alone."
        )


def _not_events(table: pl.DataFrame | None, events: pl.DataFrame, given: object) -> list[pl.DataFrame]:
    """List the firms that have an exposure and no event."""
    if table is None or not is_frame(given):
        return []
    absent = table.filter(~pl.col("symbol").cast(pl.String).is_in(events["symbol"].implode()))
    words = {"announcement_id": None, "reason": "no_event", "detail": "an exposure, and no event"}
    named = absent.select(
        pl.col("symbol").cast(pl.String), *(pl.lit(text, pl.String).alias(name) for name, text in words.items())
    )
    return [named.unique("symbol", maintain_order=True).select(*UNUSED)]
