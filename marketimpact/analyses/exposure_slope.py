"""Exposure slopes: whether firms with more of an exposure moved more, on one date or over several."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from marketimpact.analyses.exposure_dates import mean_slopes
from marketimpact.analyses.exposure_frames import check_past, firms_frame, past_frame, slope_frame
from marketimpact.analyses.exposure_inputs import UNUSED, Announcement, announcements_of
from marketimpact.analyses.exposure_past import LEAST_ESTIMATION, Method, SlopeDesign
from marketimpact.analyses.exposure_results import ExposureSlope, ExposureSlopes
from marketimpact.analyses.exposure_sections import LEAST_PAST, LEAST_WINDOWS, Cut, cut_section
from marketimpact.analyses.exposure_tests import past_of
from marketimpact.core.arguments import require
from marketimpact.core.frames import FrameLike
from marketimpact.errors import DataError, SpecificationError
from marketimpact.estimation.excluded_days import ExcludedDays
from marketimpact.estimation.windows import check_window
from marketimpact.market.market import Market

__all__ = ["ExposureSlope", "ExposureSlopes", "exposure_slope"]


def exposure_slope(
    market: Market,
    date_or_events: object,
    exposure: str | Sequence[str] | FrameLike,
    window: tuple[int, int] = (0, 1),
    *,
    columns: str | Sequence[str] | None = None,
    past: int = 250,
    gap: int = 10,
    method: Method = "ols",
    weights: str | None = None,
    abnormal: bool = False,
    estimation: int = 250,
    exclude: FrameLike | None = None,
) -> ExposureSlope | ExposureSlopes:
    """Regress the returns of firms on an exposure, and compare the slope with those of the same firms in the past.

    Parameters
    ----------
    market : Market
        Returns; also those of one leg of the session.
    date_or_events : datetime.date, str or FrameLike
        A date, such as ``"2025-08-12"``: day 0 of every firm is its first session from then on. Or events as `align`
        returns them: day 0 is each firm's own; events of several announcements give `ExposureSlopes`.
    exposure : str, sequence of str or FrameLike
        A frame with ``symbol`` (and ``announcement_id``, where exposures differ between announcements) and exposures,
        numbers or true and false. Or the names of columns of the events, of ``market.securities``, or of
        `marketimpact.exposures`, which is then looked up as of each announcement, one listing per firm: the one with
        returns, and of two the one under whose symbol the share is recorded. Where the frame, the events or the
        securities that hold an exposure have ``public_on`` or ``filed_on``, these must lie before the announcement.
    window : tuple of int
        First and last session over which returns are summed.
    columns : str or sequence of str, optional
        Exposures among the columns of a frame; by default its only column of numbers.
    past : int
        Sessions of the past that the slope is compared with, in windows as long as `window` that do not overlap.
    gap : int
        Sessions between the past and the window, and between each window and what is estimated before it.
    method : {"ols", "gls"}
        Least squares; or weighted by the inverse covariance of the firms in the `estimation` sessions before each
        window: principal components, and each firm's own variance.
    weights : str, optional
        Column of positive weights of the firms (least squares only), found where the exposures are.
    abnormal : bool
        Whether returns are those beyond a market model, fitted in the `estimation` sessions before each window, of the
        event and of the past alike.
    estimation : int
        Sessions before each window that ``method="gls"`` and ``abnormal=True`` estimate from.
    exclude : FrameLike, optional
        ``symbol, date``: days that the past leaves out, such as those of `contaminated_days`.

    Returns
    -------
    ExposureSlope or ExposureSlopes
        Of one announcement, or of several.

    Raises
    ------
    SpecificationError
        For settings that are not possible, unknown columns, and two listings of a firm (unless the exposure is looked
        up).
    DataError
        For fewer than eight firms, exposures that are constant, collinear, infinite or public too late, weights that
        are not positive, a firm twice, and a past of less than 60 sessions.

    Warns
    -----
    MarketImpactWarning
        Where shares of revenue of different bases are pooled.

    Notes
    -----
    Null: on the event's days the slope is as on the days of the past. ``z = (b - mean) / (sd sqrt(1 + 1 / L))`` from
    t(L - 1), and a rank among L + 1; filtered: each slope over its volatility known the evening before (see
    docs/tests/filtered_placebo_t.md). z and rank hold where the variance of the slope has not risen, the filtered test
    unless it has just fallen far; `valid` and `valid_filtered` say so. A p-value of the event's cross-section alone,
    such as that of White's errors, takes the firms as independent and rejects too often where firms with much of the
    exposure share a shock. Sessions of the past are counted on each firm's own exchange. Cohn, Johnson, Liu and
    Wardlaw (2026) for returns on one date; the filter and several dates are our additions. See
    docs/procedures/exposure_slope.md for what it assumes
    and when not to use it.

    Examples
    --------
    >>> import polars as pl
    >>> import marketimpact as mi
    >>> firms = mi.securities().filter(pl.col("mic").is_in(["XNAS", "XNYS"]))
    >>> market = mi.Market.load(firms, mi.SamplePrices())
    >>> makers = firms.select("symbol", (pl.col("role") == "equipment").alias("makes_tools"))
    >>> result = mi.exposure_slope(market, "2025-08-12", makers)
    >>> result.frame.select("regressor", "n_firms", "n_past", "valid").row(0)
    ('makes_tools', 45, 125, True)
    """
    require(market, "Market", "market")
    excluded = None if exclude is None else ExcludedDays.of(exclude).rows(market)
    design = SlopeDesign(check_window(window, "window"), past, gap, method, abnormal, estimation, excluded)
    _check_design(design)
    if method == "gls" and weights is not None:
        raise SpecificationError(f"weights={weights!r} with method='gls', which weights by covariance. Choose one.")
    announcements, attrition = announcements_of(market, date_or_events, exposure, columns, weights, design=design)
    if len(announcements) == 1:
        return _one(market, announcements[0], design, attrition)
    return _several(market, announcements, design, attrition)


def _check_design(design: SlopeDesign) -> None:
    """Stop at settings that are not possible."""
    least = {"past": LEAST_PAST, "gap": 0, "estimation": LEAST_ESTIMATION}
    for name, fewest in least.items():
        value = getattr(design, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < fewest:
            raise SpecificationError(f"{name}={value!r}: give a whole number of sessions, {fewest} or more.")
    if design.method not in ("ols", "gls"):
        raise SpecificationError(
            f"method={design.method!r}: choose 'ols', or 'gls' (weights from the covariance of the firms)."
        )
    if not isinstance(design.abnormal, bool):
        raise SpecificationError(f"abnormal={design.abnormal!r}: give True or False.")
    windows = len(design.past_starts())
    if windows < LEAST_WINDOWS:
        raise SpecificationError(
            f"past={design.past} holds {windows} windows of {design.length} sessions; {LEAST_WINDOWS} are needed: give "
            f"past={LEAST_WINDOWS * design.length} or more."
        )
    if design.window[0] > design.gap:
        raise SpecificationError(
            f"window={design.window} with gap={design.gap}: the past would hold day 0. Give gap={design.window[0]}."
        )


def _one(market: Market, announcement: Announcement, design: SlopeDesign, attrition: pl.DataFrame) -> ExposureSlope:
    """Estimate and test the slopes of one announcement."""
    cut = cut_section(market, announcement, design)
    found = past_of(cut.section, design)
    windows = check_past(cut, design, found)
    frame = slope_frame(cut, design, found)
    return ExposureSlope(
        frame=frame,
        past=past_frame(market, cut, design, found),
        firms=firms_frame(cut, design),
        attrition=pl.concat([attrition, cut.attrition]).sort("symbol", maintain_order=True),
        announcement=announcement.name,
        notes=tuple(dict.fromkeys([*windows, *cut.notes, *frame["note"].drop_nulls()])),
        _market=market,
        _cut=cut,
        _design=design,
        _past=found,
    )


def _several(
    market: Market,
    announcements: Sequence[Announcement],
    design: SlopeDesign,
    attrition: pl.DataFrame,
) -> ExposureSlopes:
    """Estimate the slopes of every announcement, and test their mean; one without a slope is listed."""
    results, lost = [], [attrition]
    for announcement in announcements:
        try:
            results.append(_one(market, announcement, design, pl.DataFrame(schema=UNUSED)))
        except DataError as error:
            row = {
                "announcement_id": [announcement.name],
                "symbol": [None],
                "reason": ["no_slope"],
                "detail": [str(error)],
            }
            lost.append(pl.DataFrame(row, schema=UNUSED))
    if len(results) < 2:
        raise DataError(
            f"{len(results)} of {len(announcements)} announcements have a slope; a mean needs two. The first without: "
            f"{lost[1]['detail'][0]}",
            rows=pl.concat(lost),
        )

    def gathered(name: str) -> pl.DataFrame:
        frames: list[pl.DataFrame] = [getattr(each, name) for each in results]
        return pl.concat(
            frame.select(pl.lit(each.announcement).alias("announcement_id"), pl.exclude("announcement_id"))
            for each, frame in zip(results, frames, strict=True)
        )

    cuts: list[Cut] = [each._cut for each in results]
    return ExposureSlopes(
        frame=mean_slopes(market, cuts, design, [each._past for each in results]),
        slopes=gathered("frame"),
        past=gathered("past"),
        firms=gathered("firms"),
        attrition=pl.concat([*lost, gathered("attrition")]).sort("announcement_id", "symbol", nulls_last=True),
        notes=tuple(dict.fromkeys(note for cut in cuts for note in cut.notes)),
        _market=market,
        _design=design,
    )
