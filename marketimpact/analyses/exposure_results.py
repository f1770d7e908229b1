"""Results of exposure slopes: frames, a chart, and a few lines to read."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from marketimpact.analyses.exposure_frames import path_frame
from marketimpact.analyses.exposure_past import SlopeDesign
from marketimpact.analyses.exposure_sections import Cut
from marketimpact.analyses.exposure_tests import Past
from marketimpact.core.text import did_you_mean, listed
from marketimpact.display import exposure_chart
from marketimpact.display.formats import SIMULATED_TABLE, interval, p_value, percent
from marketimpact.display.tables import Table, lines_to_html
from marketimpact.errors import SpecificationError
from marketimpact.estimation.windows import check_window
from marketimpact.market.market import Market

__all__ = ["ExposureSlope", "ExposureSlopes"]

#: Columns of `ExposureSlope.frame` that are shown.
SHOWN = ("regressor", "slope", "past_mean", "ci_low", "ci_high", "mde", "p_value", "p_rank", "valid", "p_filtered",
         "valid_filtered", "note", "hc1_p")  # fmt: skip
#: Columns of `ExposureSlopes.frame` that are shown.
SHOWN_MEAN = ("regressor", "test", "slope", "ci_low", "ci_high", "p_value", "mde", "n_dates", "valid", "note")
#: Sessions on either side of day 0 of a path by default.
AROUND = 5
WIDTH = 100
NOTES = (
    "slope, past_mean, ci_low, ci_high, mde: per unit of the exposure; ci_low, ci_high: of slope less past_mean.",
    "p_value, p_rank: among the slopes of the past as they are.",
    "p_filtered: each slope over its volatility known the evening before.",
    "hc1_p: not valid on one date, since firms share shocks; shown for comparison only.",
)


@dataclass(frozen=True, eq=False, repr=False)
class ExposureSlope:
    """The slope of one announcement, against the slopes of the same firms in the past.

    Attributes
    ----------
    frame : polars.DataFrame
        One row per exposure: ``regressor, slope`` (fraction of return per unit of the exposure), ``past_mean`` (mean
        slope of the past), ``se, z, df, p_value`` (``(slope - past_mean) / se`` with ``se = sd sqrt(1 + 1 / L)``, sd
        that of the L slopes of the past; two-sided, t(`df`), `df` L - 1), ``p_rank`` (share of the L + 1 slopes at
        least as far from `past_mean`, ties counted), ``p_filtered`` (each slope over its volatility known the evening
        before), ``ci_low, ci_high, ci_low_filtered, ci_high_filtered`` (95% intervals of `slope` less `past_mean`),
        ``mde, mde_filtered`` (minimum detectable slopes, 80% power, 5% level), ``se_filtered, df_filtered``,
        ``variance_ratio`` (variance of the slope known the evening before over that of the past), ``exposure_sd``
        (standard deviation of the exposure over the firms), ``n_firms, n_past`` (firms; windows of the past),
        ``valid`` (of `p_value` and `p_rank`: whether that ratio is at most 1.5), ``valid_filtered`` (of `p_filtered`:
        whether it is at least 0.5), ``note``, and ``hc1_p``, the p-value that White's errors (HC1) of the event's
        cross-section give, which is not valid on one date.
    past : polars.DataFrame
        ``regressor, tau, date, slope, n_firms``: the windows of the past, by their first session.
    firms : polars.DataFrame
        Firms used: ``symbol, mic, date`` (day 0), ``ret`` (sum over the window), the exposures and what is known of
        them.
    attrition : polars.DataFrame
        ``announcement_id, symbol, reason, detail`` of the firms that are not used: *no_exposure*, *no_weight*,
        *no_event* (an exposure alone), *other_listing* (another one of the firm is used), *no_event_return*,
        *short_past*, *implausible_return*, and those of `StudyResult.attrition` without a day 0.
    announcement : str
        Its `announcement_id`, or the date.
    notes : tuple of str
        What a reader should know.
    """

    frame: pl.DataFrame
    past: pl.DataFrame
    firms: pl.DataFrame
    attrition: pl.DataFrame
    announcement: str
    notes: tuple[str, ...]
    _market: Market
    _cut: Cut
    _design: SlopeDesign
    _past: Past

    def path(self, first: int | None = None, last: int | None = None) -> pl.DataFrame:
        """Compute the slope session by session, and summed from `first` on.

        Parameters
        ----------
        first, last : int, optional
            Sessions from day 0; by default five around day 0, and the window.

        Returns
        -------
        polars.DataFrame
            ``regressor, tau, slope, ci_low, ci_high, cumulative, cumulative_low, cumulative_high``: slopes per unit of
            the exposure, and 95% intervals of them less the mean of the past, from the spread of single sessions and of
            sums over as many sessions in the past, as it is (not filtered). Null where a return or the past is missing.

        Raises
        ------
        SpecificationError
            For a path that begins in the past that it is compared with.
        """
        window = self._design.window
        begin = max(min(-AROUND, window[0]), window[0] - self._design.gap) if first is None else first
        sessions = check_window((begin, max(AROUND, window[1]) if last is None else last), "path")
        return path_frame(self._market, self._cut, self._design, self._past, sessions)

    def plot(self, regressor: str | None = None) -> Any:
        """Draw the firms' returns against an exposure, and the summed slope session by session with its band.

        Parameters
        ----------
        regressor : str, optional
            The exposure; by default the first.

        Raises
        ------
        SpecificationError
            For another name.
        """
        name = _one_of(regressor, self._cut.announcement.exposures)
        row = self.frame.row(by_predicate=pl.col("regressor") == name, named=True)
        return exposure_chart.exposure_slope(
            self.firms.select("symbol", "ret", pl.col(name).alias("exposure")),
            self.path().filter(regressor=name),
            slope=row["slope"],
            exposure=name,
            title=f"{self.announcement}\n{_sentence(row)}",
            measure=f"{_returns(self._design)} over sessions {_window(self._design)}",
            simulated=self._market.simulated,
        )

    def __repr__(self) -> str:
        """Describe the slopes in a few lines."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        table = Table(
            self.frame, columns=SHOWN, footnotes="note", notes=_table_notes(NOTES, self._market),
            unit=self._market.unit, dropped_first=("past_mean", "valid_filtered"),
        )  # fmt: skip
        return lines_to_html(self._lines()) + table._repr_html_()

    def _lines(self) -> list[str]:
        count = len(self._cut.section.symbols)
        lines = [f"ExposureSlope: {self.announcement}, {count} firms, {_how(self._design)}"]
        for row in self.frame.iter_rows(named=True):
            lines += _wrapped(f"{row['regressor']}: {_sentence(row)}", "  ")
            marks = ["" if row[name] else " (not valid)" for name in ("valid", "valid_filtered")]
            lines += _wrapped(
                f"among {row['n_past']} windows of the past z {_number(row['z'])}, p {p_value(row['p_value'])}, rank p "
                f"{p_value(row['p_rank'])}{marks[0]}; filtered p {p_value(row['p_filtered'])}{marks[1]}; HC1 p "
                f"{p_value(row['hc1_p'])} (not valid on one date)",
                "    ",
            )
        return [*lines, *_closing_lines(self.notes, self.attrition, self._market)]


@dataclass(frozen=True, eq=False, repr=False)
class ExposureSlopes:
    """The mean slope over several announcements, and the slope of each.

    Attributes
    ----------
    frame : polars.DataFrame
        One row per exposure and test: ``regressor, test, slope, se, statistic, df, p_value, ci_low, ci_high, mde,
        n_dates, n_firms, valid, note``; `n_dates` counts distinct days 0. Tests: *fama_macbeth* (mean over its standard
        error over dates, t(D - 1)), *past_z* and *past_rank* (among the mean slopes of all dates moved by the same
        number of sessions), *pooled* (all returns with an effect of each date, errors clustered by date, t(D - 1)).
        Intervals of `past_z` and `past_rank` are of the slope less that of the past. Where the announcements all have
        the same slope, *fama_macbeth* and *pooled* have no p-value.
    slopes : polars.DataFrame
        ``announcement_id`` and the columns of `ExposureSlope.frame`: the slope of each announcement.
    past : polars.DataFrame
        ``announcement_id`` and the columns of `ExposureSlope.past`.
    firms : polars.DataFrame
        ``announcement_id`` and the columns of `ExposureSlope.firms`.
    attrition : polars.DataFrame
        As in `ExposureSlope`; an announcement without a slope is a row without a symbol, reason *no_slope*.
    notes : tuple of str
        What a reader should know.
    """

    frame: pl.DataFrame
    slopes: pl.DataFrame
    past: pl.DataFrame
    firms: pl.DataFrame
    attrition: pl.DataFrame
    notes: tuple[str, ...]
    _market: Market
    _design: SlopeDesign

    def plot(self, regressor: str | None = None) -> Any:
        """Draw the slope of every announcement with its interval, and the mean.

        Parameters
        ----------
        regressor : str, optional
            The exposure; by default the first.

        Raises
        ------
        SpecificationError
            For another name.
        """
        names = self.slopes["regressor"].unique(maintain_order=True).to_list()
        name = _one_of(regressor, names)
        mean = self.frame.row(
            by_predicate=(pl.col("regressor") == name) & (pl.col("test") == "fama_macbeth"), named=True
        )
        low, high = (
            pl.when("valid").then(f"ci_{end}").otherwise(f"ci_{end}_filtered") + pl.col("past_mean")
            for end in ("low", "high")
        )
        rows = self.slopes.filter(regressor=name).select(
            "announcement_id", "slope", low.alias("low"), high.alias("high")
        )
        return exposure_chart.slopes_by_date(
            rows,
            mean=mean["slope"],
            title=f"{name}: mean slope {percent(mean['slope'])} per unit over {rows.height} announcements",
            measure=f"slope of {_returns(self._design)} over sessions {_window(self._design)} per unit of {name}, "
            "95% intervals against the past, filtered where the variance has risen",
            simulated=self._market.simulated,
        )

    def __repr__(self) -> str:
        """Describe the mean slopes in a few lines."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        notes = ("slope, ci_low, ci_high, mde: per unit of the exposure.",)
        table = Table(
            self.frame, columns=SHOWN_MEAN, muted="valid", footnotes="note", notes=_table_notes(notes, self._market),
            unit=self._market.unit,
        )  # fmt: skip
        return lines_to_html(self._lines()) + table._repr_html_()

    def _lines(self) -> list[str]:
        dates = self.slopes["announcement_id"].n_unique()
        lines = [f"ExposureSlopes: {dates} announcements, {_how(self._design)}"]
        for row in self.frame.iter_rows(named=True):
            ends = f" (95% {interval(row['ci_low'], row['ci_high'])})" if row["ci_low"] is not None else ""
            doubt = "" if row["valid"] else f"; not valid: {row['note']}"
            lines += _wrapped(
                f"{row['regressor']}, {row['test']}: mean slope {percent(row['slope'])} per unit{ends}, p "
                f"{p_value(row['p_value'])}, detectable {percent(row['mde']).lstrip('+')}{doubt}",
                "  ",
            )
        return [*lines, *_closing_lines(self.notes, self.attrition, self._market)]


def _sentence(row: dict[str, Any]) -> str:
    """Say a slope with interval, p-value and detectable size: against the past, filtered where that is not valid."""
    filtered = "_filtered" if not row["valid"] and row["p_filtered"] is not None else ""
    p = row["p_filtered"] if filtered else row["p_value"]
    how = "at the volatility of the evening before" if filtered else "against the past"
    if p is None:
        return f"slope {percent(row['slope'])} per unit, without a test"
    ends = interval(row[f"ci_low{filtered}"], row[f"ci_high{filtered}"])
    return (
        f"slope {percent(row['slope'])} per unit, on ordinary days {percent(row['past_mean'])}; difference 95% {ends}, "
        f"p {p_value(p)} {how}, detectable {percent(row[f'mde{filtered}']).lstrip('+')}"
    )


def _how(design: SlopeDesign) -> str:
    """Say what was regressed and compared."""
    method = "GLS" if design.method == "gls" else "least squares"
    return f"{_returns(design)} over sessions {_window(design)}, {method}, {design.past} sessions of the past"


def _returns(design: SlopeDesign) -> str:
    return "abnormal returns" if design.abnormal else "returns"


def _window(design: SlopeDesign) -> str:
    return f"{design.window[0]} to {design.window[1]}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}".replace("-", "−")


def _one_of(name: str | None, names: Sequence[str]) -> str:
    """Return the exposure that is asked for, by default the first."""
    if name is not None and name not in names:
        raise SpecificationError(f"regressor={name!r} is none of {listed(names)}.{did_you_mean(str(name), names)}")
    return names[0] if name is None else name


def _closing_lines(notes: Sequence[str], attrition: pl.DataFrame, market: Market) -> list[str]:
    """Write the notes, the firms that are not used, and whether prices are simulated."""
    lines = [line for note in notes for line in _wrapped(f"note: {note}", "  ")]
    if attrition.height:
        counts = attrition.group_by("reason").len().sort("len", "reason", descending=[True, False])
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.iter_rows())
        lines += _wrapped(f"not used: {reasons} (see .attrition)", "  ")
    return [*lines, *([f"  {SIMULATED_TABLE}"] if market.simulated else [])]


def _table_notes(notes: tuple[str, ...], market: Market) -> tuple[str, ...]:
    return (*notes, SIMULATED_TABLE) if market.simulated else notes


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)
