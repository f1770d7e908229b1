"""Result of `bar_path`: its frame, what has no path, and a chart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import polars as pl

from marketimpact.core.text import did_you_mean, listed
from marketimpact.display import bar_chart
from marketimpact.display.formats import SIMULATED_TABLE, count, p_value, short_percent
from marketimpact.display.tables import Table, lines_to_html
from marketimpact.errors import SpecificationError

__all__ = ["BarPath", "outside_band"]

#: Securities of a chart, at most.
MOST_PLOTS = 12


@dataclass(frozen=True, eq=False, repr=False)
class BarPath:
    """Paths of securities around announcements, with the band of the same clock on past days.

    Attributes
    ----------
    frame : polars.DataFrame
        One row per announcement, security and point: ``announcement_id, symbol, mic, starts_at, minute, at, ret, ar,
        point_low, point_high, band_low, band_high, p_value, n_days, quote_at, note``; see `bar_path`.
    attrition : polars.DataFrame
        ``announcement_id, symbol, note``: announcements and securities without a path, and why.
    level : float
        Share of past paths that leave the band somewhere on a side of the instant.
    simulated : bool
        Whether the bars are simulated.
    """

    frame: pl.DataFrame
    attrition: pl.DataFrame
    level: float
    simulated: bool

    def plot(
        self, announcement_id: str | None = None, *, symbols: Collection[str] | None = None, compact: bool = False
    ) -> Any:
        """Draw the abnormal return of each security around one announcement, with the band, as an Altair chart.

        Parameters
        ----------
        announcement_id : str, optional
            Which announcement; may be left out where only one has a path.
        symbols : collection of str, optional
            Securities, in the order in which they are drawn; all by default, at most 12.
        compact : bool
            Whether plots are narrow and stand below each other, for phones.

        Raises
        ------
        SpecificationError
            For an announcement or a security without a path, several announcements, or more than 12 securities.
        """
        own = self.frame.filter(pl.col("announcement_id") == self._one(announcement_id))
        drawn = self._chosen(own, symbols)
        return bar_chart.bar_paths(
            pl.concat(own.filter(pl.col("symbol") == symbol) for symbol in drawn),
            title=self._finding(own, drawn),
            subtitle=f"abnormal return from the instant on; {1 - self.level:.0%} of past days stay in the grey band",
            note=own["announcement_id"][0],
            simulated=self.simulated,
            compact=compact,
        )

    def _one(self, announcement_id: str | None) -> str:
        known = self.frame["announcement_id"].unique().sort().to_list()
        if not known:
            raise SpecificationError("No announcement has a path, so there is nothing to draw; see .attrition.")
        if announcement_id is None and len(known) == 1:
            return str(known[0])
        if announcement_id is None:
            raise SpecificationError(f"{len(known)} announcements have a path. Name one of {listed(known)}.")
        if announcement_id not in known:
            raise SpecificationError(
                f"announcement_id={announcement_id!r} has no path.{did_you_mean(str(announcement_id), known)} "
                f"There are those of {listed(known)}; .attrition says why others have none."
            )
        return announcement_id

    def _chosen(self, own: pl.DataFrame, symbols: Collection[str] | None) -> list[str]:
        known = own["symbol"].unique().sort().to_list()
        if isinstance(symbols, str):
            raise SpecificationError(f"symbols={symbols!r} is text. Give a list: [{symbols!r}].")
        chosen = list(dict.fromkeys(symbols or known))
        absent = [symbol for symbol in chosen if symbol not in known]
        if absent:
            raise SpecificationError(
                f"{absent[0]!r} has no path here.{did_you_mean(str(absent[0]), known)} There are those of "
                f"{listed(known)}."
            )
        if len(chosen) > MOST_PLOTS:
            raise SpecificationError(
                f"{len(chosen)} securities are too many for one chart. Give at most {MOST_PLOTS} as symbols."
            )
        return chosen

    def _finding(self, own: pl.DataFrame, symbols: list[str]) -> str:
        """Write in one line which of the securities left their band, and when the first did."""
        moved = outside_band(own.filter(pl.col("symbol").is_in(symbols)))
        if moved.is_empty():
            stays = f"{symbols[0]} stays" if len(symbols) == 1 else f"All {len(symbols)} stay"
            return f"{stays} inside the band of past days"
        first = moved.filter(pl.col("at") == pl.col("at").min())
        minute, ar = first.select("minute", "ar").row(0)
        if len(symbols) == 1:
            return f"{symbols[0]} leaves the band of past days after {minute:g} minutes, at {short_percent(ar)}"
        names = listed(
            [symbol for symbol in symbols if symbol in first["symbol"].to_list()], quoted=False, separator=" and "
        )
        return f"{moved.height} of {len(symbols)} leave the band of past days, first {names} after {minute:g} minutes"

    def __repr__(self) -> str:
        """Describe the paths in a few lines."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return lines_to_html(self._lines()) + Table(self.frame)._repr_html_()

    def _lines(self) -> list[str]:
        paths = self.frame.select("announcement_id", "symbol").unique().height
        points = self.frame["minute"].n_unique()
        lines = [f"BarPath: {count(paths, 'path')} of {count(points, 'point')}, band of {1 - self.level:.0%}"]
        moved = outside_band(self.frame)
        for row in moved.sort("announcement_id", "at", "symbol").head(5).iter_rows(named=True):
            lines.append(
                f"  {row['announcement_id']}, {row['symbol']}: outside after {row['minute']:g} minutes, "
                f"{short_percent(row['ar'])}, p {p_value(row['p_value'])}"
            )
        if moved.height < paths:
            lines.append(f"  {paths - moved.height} stayed inside")
        if noted := self.frame.filter(pl.col("note") != "").select("announcement_id", "symbol").n_unique():
            lines.append(f"  {count(noted, 'path')} with a note (see .frame)")
        if self.attrition.height:
            lines.append(f"  {self.attrition.height} without a path (see .attrition)")
        return [*lines, *([f"  {SIMULATED_TABLE}"] if self.simulated else [])]


def outside_band(path: pl.DataFrame) -> pl.DataFrame:
    """Keep the first point after the instant at which each path lies outside the band, where it does."""
    found = path.filter(bar_chart.LEFT_BAND).sort("minute")
    return found.unique(["announcement_id", "symbol", "mic", "starts_at"], keep="first", maintain_order=True)
