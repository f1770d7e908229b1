"""In every view interval, p and minimum detectable effect are of one test, and invalid tests have no p."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.display.formats import interval, p_value
from marketimpact.study.headline import headline

#: Four firms on one date that an announcement moves apart: no test of their mean is valid.
APART = (4, 1, np.array([0.3, -0.3, 0.25, -0.25]))
WINDOWS = [(0, 0), (0, 1), (-1, 1), (-5, 5)]
ENDS = r"([+−\d.]+)% to ([+−\d.]+)%"
P = re.compile(r"p (?:= (\d\.\d+)|< (\d\.\d+))")


def simulated_groups() -> Iterator[mi.StudyResult]:
    """Groups of one to six firms on one to three dates, without and with effects of both signs, also at once."""
    rng = np.random.default_rng(20)
    days = [date(2024, 1, 1) + timedelta(n) for n in range(300)]
    for firms, dates, effect in [
        (1, 1, 0),
        (2, 1, 0.04),
        (3, 2, -0.03),
        (4, 1, 0),
        (5, 1, 0.03),
        (6, 3, 0.02),
        APART,
    ] * 3:
        market, common = 0.01 * rng.normal(size=(2, len(days)))
        values = market + 0.5 * common + 0.015 * rng.standard_t(5, size=(firms, len(days)))
        first = [270 + 12 * (firm % dates) for firm in range(firms)]
        values[np.arange(firms), first] += effect
        names = [f"F{firm}" for firm in range(firms)]
        returns = pl.concat(
            pl.DataFrame({"date": days, "symbol": [name] * len(days), "ret": row})
            for name, row in zip(names, values, strict=True)
        )
        events = pl.DataFrame({"event_id": names, "symbol": names, "date": [days[day] for day in first]})
        study = mi.EventStudy(estimation_window=(-230, -11), event_window=(-5, 5))
        yield study.run(events, mi.Market.from_returns(returns, pl.DataFrame({"date": days, "ret": market})))


@pytest.fixture(scope="module")
def parts(sample_market) -> list[mi.StudyResult]:
    """Groups of the embedded prices, and simulated ones."""
    news = mi.announcements().filter(pl.col("announcement_id").str.contains("h20|entity"))
    result = mi.EventStudy().run(mi.align(news, sample_market), sample_market)
    groups = [part for _, part in result.by("announcement_id").groups()] + [
        part for _, part in result.by("role").groups()
    ]
    return [result, *groups[::3], *simulated_groups()]


def as_number(cell: str) -> float:
    return float(cell.replace("−", "-").removeprefix("<"))


def contains_zero(text: str) -> bool | None:
    found = re.search(ENDS, text)
    return None if found is None else as_number(found[1]) <= 0 <= as_number(found[2])


def test_the_interval_of_every_test_excludes_zero_exactly_where_it_rejects(parts):
    n_rejected = 0
    for part in parts:
        for window in WINDOWS:
            frame = part.test(*window).drop_nulls(["ci_low", "ci_high"])
            inside = (frame["ci_low"] <= 0) & (frame["ci_high"] >= 0)
            assert (inside == (frame["p_value"] >= 0.05)).all()
            n_rejected += (~inside).sum()
    assert n_rejected > 50


def test_printed_intervals_and_p_agree_and_invalid_tests_have_no_p(parts):
    n_shown = n_invalid = 0
    for part in parts:
        for window in WINDOWS:
            table = part.show.test(*window)
            valid = dict(zip(table.frame["test"], table.frame["valid"], strict=True))
            for row in table.shown.iter_rows(named=True):
                name = row["test"].removesuffix(" (primary)")
                assert valid[name] == row["valid"]
                assert row["valid"] or row["p"] == row["95% interval"] == row["minimum detectable effect"] == "–"
                n_invalid += not row["valid"]
                inside = contains_zero(row["95% interval"])
                assert inside is None or inside == (as_number(row["p"]) >= 0.05)
                n_shown += inside is not None
            invalid = table.frame.filter(~pl.col("valid"), pl.col("p_value").is_not_nan())
            folded = next((note for note in table.notes if note.startswith("Not valid here")), "")
            assert not any(f"{p:.3f}" in folded for p in invalid["p_value"])
    assert n_shown > 100
    assert n_invalid > 3


def several_announcements(part) -> bool:
    """Return whether the repr shows a part announcement by announcement."""
    return "announcement_id" in part.events.columns and part.events["announcement_id"].n_unique() > 1


def own_lines(part) -> str:
    """Return the repr's sentence on the primary test of one sample, on one line."""
    after = repr(part).split("no valid test\n")[1]
    return " ".join(after.split())


def test_the_repr_has_the_numbers_of_its_test(parts):
    n_valid = n_not_valid = 0
    for part in parts:
        row = part.test(0, 1).filter(role="primary").row(0, named=True)
        told = own_lines(part)
        if several_announcements(part):  # shown announcement by announcement
            assert not told.startswith("primary test")
            continue
        assert told.startswith(f"primary test {row['test']}")
        if row["valid"]:
            found = P.search(told)
            assert found is not None
            assert contains_zero(told) == (as_number(found[1] or found[2]) >= 0.05 if found[1] else False)
            assert f"minimum detectable effect {100 * row['effect_mde']:.2f}% (80% power, 5% level)" in told
        else:
            assert "is not valid: " in told
            assert P.search(told) is None
            assert "detectable" not in told
        n_valid, n_not_valid = n_valid + row["valid"], n_not_valid + (not row["valid"])
    assert n_valid > 10
    assert n_not_valid


def test_the_repr_names_the_mean_that_the_test_estimates_where_it_is_not_the_caar(parts):
    for part in parts:
        row = part.test(0, 1).filter(role="primary").row(0, named=True)
        if row["valid"] and not several_announcements(part):
            caar = f"{part.car(0, 1)['car'].mean():+.2%}".replace("-", "−")
            effect = f"{row['effect']:+.2%}".replace("-", "−")
            told = own_lines(part).split("95% interval")[0]
            assert (effect in told) == (effect != caar)
            assert ("weighted by 1/se" in told) == (effect != caar and row["test"] == "bmp_kp")


def frame_of(*rows: tuple[str, str, bool, float, str]) -> pl.DataFrame:
    """A frame of tests with one interval."""
    frame = pl.DataFrame(rows, schema=["test", "role", "valid", "p_value", "note"], orient="row")
    numbers = {"statistic": 1.0, "n_events": 9, "effect": 0.01, "ci_low": -0.01, "ci_high": 0.03, "effect_mde": 0.02}
    return frame.with_columns(pl.lit(value).alias(name) for name, value in numbers.items())


@pytest.mark.parametrize(
    ("p", "others", "said", "disagreement"),
    [
        (0.30, [0.20, 0.40], "0 of 2 valid robustness tests reject at 5%", False),
        (0.03, [0.01, 0.04], "2 of 2 valid robustness tests also reject at 5%", False),
        (0.30, [0.03, 0.40], "1 of 2 valid robustness tests rejects: r0 p = 0.030", True),
        (0.03, [0.20, 0.40], "2 of 2 valid robustness tests do not reject: r0 p = 0.200, r1 p = 0.400", True),
        (0.03, [0.0004], "1 of 1 valid robustness test also rejects at 5%", False),
        (0.03, [], "", False),
    ],
)
def test_robustness_tests_agree_or_are_named(p, others, said, disagreement):
    rows = [("bmp_kp", "primary", True, p, "")]
    rows += [(f"r{n}", "robustness", True, other, "") for n, other in enumerate(others)]
    rows += [("bad", "robustness", False, 0.0001, "not valid: x"), ("patell", "other", True, 0.0001, "")]
    told = headline(frame_of(*rows))
    assert (told.robustness, told.disagreement) == (said, disagreement)
    agree = sum((other < 0.05) == (p < 0.05) for other in others)
    assert told.agreement == (f"{agree} of {len(others)} agree" if others else "")
    assert (told.p, told.low, told.high, told.mde) == (p, -0.01, 0.03, 0.02)


def test_a_primary_test_that_is_not_valid_has_a_reason_and_no_numbers_but_its_effect():
    note = "average correlation 0.2; not valid: needs at least 5 dates, here are 3; one date: a caveat"
    told = headline(frame_of(("date_means_t", "primary", False, 0.01, note), ("a", "robustness", True, 0.04, "")))
    assert (told.valid, told.rejects) == (False, False)
    assert told.why_not == "needs at least 5 dates, here are 3"
    assert told.p is told.low is told.high is told.mde is None
    assert told.effect == 0.01
    assert told.robustness == "1 of 1 valid robustness test rejects at 5%"
    assert told.agreement == "1 of 1 reject"
    assert headline(frame_of(("bmp", "other", True, 0.5, ""))) is None


def test_printed_numbers_keep_their_side_of_zero_and_of_five_percent():
    assert interval(0.00004, 0.03) == "+0.004% to +3.00%"
    assert interval(-0.0000012, 0.03) == "−0.0001% to +3.00%"
    assert interval(-0.02, 0.0) == "−2.00% to 0.00%"
    assert interval(None, 0.01) == "up to +1.00%"
    assert interval(-0.01, None) == "−1.00% or more"
    assert interval(None, None) == "–"
    assert [p_value(p) for p in (0.0494, 0.0496, 0.04996, 0.05, 0.0504)] == [
        "0.049", "0.0496", "0.04996", "0.050", "0.050",
    ]  # fmt: skip
