"""Titles of charts: findings, in numbers of their frames."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from marketimpact.display.formats import short_percent
from marketimpact.report.chart_titles import firms_finding, hours_finding, path_finding, prices_finding
from marketimpact.report.content import report_content

DAYS = pl.Series([date(2025, 8, 12)])
NEWS = datetime(2025, 8, 12, 4, 45, tzinfo=UTC)


def firms(**columns: list[object]) -> pl.DataFrame:
    frame = {
        "firm": ["Intel (INTC)", "Cambricon (688256.SS)", "NVIDIA (NVDA)"],
        "car": [0.012, 0.235, -0.031],
        "p": [0.6, 0.0005, 0.25],
        "p_family": [0.9, 0.017, 0.9],
        "at_limit": [False, False, False],
        "ret_day0": [0.02, 0.1999, -0.008],
    }
    return pl.DataFrame(frame | columns)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, "Cambricon +23.5%, significant; 2 others −3.1% to +1.2%"),
        ({"at_limit": [False, True, False]}, "Cambricon hit its 20% limit, significant; 2 others −3.1% to +1.2%"),
        ({"p_family": [0.9, 0.06, 0.9]}, "Cambricon +23.5%, significant only by itself; 2 others −3.1% to +1.2%"),
        ({"p": [0.6, 0.05, 0.2]}, "Cambricon +23.5%, not significant; 2 others −3.1% to +1.2%"),
        ({"p": [0.6, None, 0.2]}, "Cambricon +23.5%; 2 others −3.1% to +1.2%"),
        ({"p": [0.6, float("nan"), 0.2]}, "Cambricon +23.5%; 2 others −3.1% to +1.2%"),
    ],
)
def test_the_title_of_firms_names_the_largest_and_the_range_of_the_others(columns, expected):
    assert firms_finding(firms(**columns)) == expected


def test_one_and_two_firms_have_no_range():
    assert firms_finding(firms().head(1)) == "Intel +1.2%, not significant"
    assert firms_finding(firms().filter(pl.col("car") < 0.1)) == "NVIDIA −3.1%, not significant; Intel +1.2%"


def test_the_title_of_a_path_is_the_mean_and_the_verdict_of_the_primary_test(h20):
    content = report_content(h20.result, windows=[(0, 1)])
    verdicts = set()
    for announcement in content.announcements:
        for group in announcement.groups:
            row = group.result.test(0, 1).filter(role="primary").row(0, named=True)
            mean = short_percent(float(group.result.car(0, 1)["car"].to_numpy().mean()))
            verdict = "no valid test"
            if row["valid"]:
                verdict = "significant" if row["p_value"] < 0.05 else "not significant"
            assert path_finding(group, (0, 1)) == f"{group.name}\n{mean} over [0, 1], {verdict}"
            verdicts.add(verdict)
    assert len(verdicts) == 3


def stretches(*rows: tuple[str, float, float]) -> pl.DataFrame:
    """Stretches of trading by exchange, in hours from the announcement."""
    times = [(name, NEWS + timedelta(hours=start), NEWS + timedelta(hours=end)) for name, start, end in rows]
    return pl.DataFrame(times, schema=["exchange", "start", "end"], orient="row")


def test_the_title_of_trading_hours_says_who_traded_first_and_last():
    hours = stretches(("Hong Kong", -3, -1), ("Hong Kong", 0.25, 3), ("Shanghai", 0.25, 2), ("Nasdaq", 8.75, 15))
    told = hours_finding(hours, (NEWS, NEWS), DAYS).replace("\u00a0", " ")
    assert told == "First to trade: Hong Kong and Shanghai after 15 min; last: Nasdaq after 8 h 45 min"
    inside = stretches(("Nasdaq", -2, 4))
    assert hours_finding(inside, (NEWS, NEWS), DAYS) == "First to trade: Nasdaq at once"
    many = stretches(*[(f"Exchange {k}", 1, 2) for k in range(4)])
    assert "Exchange 0, Exchange 1 and 2 others after 1 h" in hours_finding(many, (NEWS, NEWS), DAYS).replace(
        "\u00a0", " "
    )


def test_where_the_time_of_day_is_not_known_the_title_names_day_0():
    days = pl.Series([date(2025, 8, 13), date(2025, 8, 12)])
    told = hours_finding(stretches(("Nasdaq", 1, 2)), (NEWS, NEWS + timedelta(hours=24)), days)
    assert told == "Time of day not known: day 0 is 2025-08-12 or 2025-08-13"


def test_the_title_of_prices_names_the_highest_and_the_lowest_group():
    days = [date(2025, 5, 1), date(2025, 5, 2)]
    levels = pl.DataFrame({"date": days * 2, "group": ["a-b"] * 2 + ["c"] * 2, "level": [100.0, 156.0, 100.0, 96.2]})
    assert prices_finding(levels) == "a-b +56%, c −4% since 2025-05-01"
