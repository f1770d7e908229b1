"""Load announcements, securities, campaigns and events: embedded ones, or a user's of the same shape."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from marketimpact.core import schema
from marketimpact.core.frames import FrameLike, is_frame
from marketimpact.errors import SpecificationError
from marketimpact.events.announcement_times import settle_times
from marketimpact.events.catalogue_versions import version_file
from marketimpact.events.contract_files import load_table, parse_table

__all__ = ["announcements", "campaigns", "read_events", "securities"]

_NUMBER = r"^[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"


def announcements(
    path: str | Path | FrameLike | None = None, *, version: str | None = None, recalled: bool = False
) -> pl.DataFrame:
    """Load the chronology of policy announcements.

    Parameters
    ----------
    path : str, pathlib.Path or FrameLike, optional
        A CSV, Parquet or Excel file, or a frame, of the same shape as the embedded chronology, which is
        used by default. ``announcement_id``, ``announced_at``, ``stance`` and ``headline`` are
        needed; other columns may be left out, and further ones are kept. ``announced_at`` is one of:

        * an instant with an offset or ``Z``: ``2025-08-12T12:45:00+08:00``;
        * a local time in the row's ``time_zone``: ``2025-08-12 12:45``, or a column of datetimes without a zone;
        * a plain date, which stands for that whole day in ``time_zone``: ``2025-08-12``. A local midnight counts as
          one where ``time_precision`` is empty, since workbooks and pandas write dates so;
        * a date and *BMO* or *AMC* (before the open, after the close) of the exchange of ``time_zone``:
          ``2025-05-28 AMC``. The instant is then the minute before the opening or the closing time, and
          ``not_before`` and ``not_after`` bound it.

        ``targets`` are separated by ``;`` or ``,``. Where ``time_precision`` is absent, a plain date is taken as
        known to the day, *BMO* and *AMC* to the hour, and anything else to the minute.
    version : str, optional
        A version of the embedded chronology that `marketimpact.catalogue_versions` lists, such as ``"2026.06"``; the
        current one by default. Name it in a study that others are to repeat.
    recalled : bool
        Keep policy announcements of the embedded chronology that are from memory (``verification`` *recalled*: no
        page was read). They are left out by default; confounders from memory stay, so that an audit finds them. Your
        own announcements are never left out.

    Returns
    -------
    polars.DataFrame
        One row per announcement, sorted by (announced_at, announcement_id). ``announced_at`` is an
        instant in UTC; where ``time_precision`` is *day* it is the start of that date in
        ``time_zone``, and the time of day is unknown.

    Raises
    ------
    DataError
        For a file that cannot be read, or with every broken rule counted.
    SpecificationError
        For an unknown version, or a version beside a file of one's own.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
    >>> h20.select("time_precision", "stance", "campaign_id").row(0)
    ('hour', 'restrictive', '2025-08-h20-deal-and-discouragement')
    """
    if version is not None and path is not None:
        raise SpecificationError(
            f"version={version!r} is of the embedded chronology, but announcements of your own were given too. Give "
            "one of the two."
        )
    if not isinstance(recalled, bool):
        raise SpecificationError(f"recalled={recalled!r} must be True or False.")
    raw, label = load_table(path if version is None else version_file(version), "announcements")
    facts = (
        parse_table(schema.Announcements, settle_times(raw, label), label)
        .with_columns(pl.col("is_confounder").fill_null(value=False))
        .sort("announced_at", "announcement_id")
    )
    if path is not None or recalled:
        return facts
    return facts.filter((pl.col("verification") != "recalled") | pl.col("is_confounder"))


def securities(path: str | Path | FrameLike | None = None) -> pl.DataFrame:
    """Load the securities that announcements may hit, with exchange, benchmark and price limit.

    Parameters
    ----------
    path : str, pathlib.Path or FrameLike, optional
        A CSV, Parquet or Excel file, or a frame; the embedded universe by default. ``symbol`` and ``mic``
        are needed, further columns are kept.

    Returns
    -------
    polars.DataFrame
        One row per symbol, in the file's order. ``price_limit`` is a fraction of the previous
        close, null where the exchange has no limit in percent. ``policy_group`` is the firm's part in the chip
        trade with China by role and country, ``business`` its part by role alone; both are added from
        ``data/policy_groups.csv`` unless the file has one of them.

    Raises
    ------
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> cambricon = mi.securities().filter(pl.col("symbol") == "688256.SS")
    >>> cambricon.select("mic", "board", "benchmark", "price_limit").row(0)
    ('XSHG', 'STAR', '000300.SS', 0.2)
    """
    raw, label = load_table(path, "securities")
    return _with_policy_group(parse_table(schema.Securities, raw, label))


def _with_policy_group(firms: pl.DataFrame) -> pl.DataFrame:
    """Add policy groups from a file written before any return was seen, unless the frame has its own."""
    if {"policy_group", "business"} & set(firms.columns) or not {"role", "country"} <= set(firms.columns):
        return firms
    if firms["role"].null_count() == firms.height:
        return firms
    groups, _ = load_table(None, "policy_groups")
    policy_group = pl.when(pl.col("country").is_not_null()).then(
        pl.when(pl.col("country") == "CN").then("in_china").otherwise("abroad")
    )
    joined = firms.join(groups, on="role", how="left", validate="m:1", maintain_order="left")
    return joined.with_columns(policy_group.alias("policy_group")).drop("in_china", "abroad")


def campaigns(path: str | Path | FrameLike | None = None) -> pl.DataFrame:
    """Load campaigns: announcements too close in time and subject to be separate events.

    Parameters
    ----------
    path : str, pathlib.Path or FrameLike, optional
        A CSV, Parquet or Excel file, or a frame; the embedded campaigns by default.

    Returns
    -------
    polars.DataFrame
        One row per ``campaign_id``, sorted by (first, campaign_id): its title, first and last day
        and a summary. The column ``campaign_id`` of announcements refers to it.

    Raises
    ------
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Examples
    --------
    >>> import marketimpact as mi
    >>> mi.campaigns()["campaign_id"].head(2).to_list()
    ['2019-05-huawei-listing', '2025-08-h20-deal-and-discouragement']
    """
    raw, label = load_table(path, "campaigns")
    return parse_table(schema.Campaigns, raw, label).sort("first", "campaign_id")


def read_events(path: str | Path | FrameLike) -> pl.DataFrame:
    """Read events of your own, dates of securities, for `EventStudy.run`.

    Parameters
    ----------
    path : str, pathlib.Path or FrameLike
        A CSV, Parquet or Excel file, or a frame, with ``event_id``, ``symbol`` and ``date``; further columns are kept.
        Dates in text are written 2025-08-12. Further columns of a CSV become numbers where every cell is one, without
        leading zeros.

    Returns
    -------
    polars.DataFrame
        One row per ``event_id``, in the file's order.

    Raises
    ------
    DataError
        For a file that cannot be read, or with every broken rule counted.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> rows = pl.DataFrame({"event_id": ["a"], "symbol": ["NVDA"], "date": ["2025-08-12"]})
    >>> mi.read_events(rows).row(0)
    ('a', 'NVDA', datetime.date(2025, 8, 12))
    """
    raw, label = load_table(path, "events")
    events = parse_table(schema.Events, raw, label)
    if is_frame(path) or Path(str(path)).suffix.lower() != ".csv":
        return events
    own = [name for name in events.columns if name not in schema.Events.column_names()]
    return events.with_columns(events[name].cast(pl.Float64) for name in own if _are_numbers(events[name]))


def _are_numbers(cells: pl.Series) -> bool:
    """Return whether every cell of a text column is a number without leading zeros, and there is one."""
    return bool(cells.count()) and bool(cells.str.contains(_NUMBER).all())
