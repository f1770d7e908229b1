"""Registrations: what is hashed, that no event window is read, and what is refused."""

from __future__ import annotations

import random
import tomllib
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import marketimpact as mi
from marketimpact.cli.registration import (
    SECURITY_COLUMNS,
    declaration,
    declaration_hash,
    read_registration,
    registration_text,
)
from marketimpact.cli.study_file import read_study
from marketimpact.cli.toml_text import sorted_keys, toml_text
from marketimpact.core.fingerprint import fingerprint
from tests.command import marketimpact

#: Five firms at two announcements: firms and dates repeat.
STUDY = """title = "Two groups"
[announcements]
ids = ["2025-07-14-h20-resumption", "2025-08-12-beijing-discourages-h20"]
[registration]
smallest_effect = 0.02
[[groups]]
name = "Nvidia"
symbols = ["NVDA"]
[[groups]]
name = "Designers"
symbols = ["688256.SS", "688041.SS", "688047.SS", "300474.SZ"]
"""
SYMBOLS = ["NVDA", "^GSPC", "688256.SS", "688041.SS", "688047.SS", "300474.SZ", "000300.SS"]
#: The tenth session before 2025-07-15, the first day 0, in Shanghai and New York, by their calendars of 2025.
FIRST_OF_WINDOW = {"688256.SS": date(2025, 7, 1), "NVDA": date(2025, 6, 30)}
WORDS = ("register", "s.toml", "--date", "2025-06-01")


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "s.toml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def written(folder: Path, text: str, name: str = "s.toml") -> str:
    """Hash of a study with this text."""
    (folder / name).write_text(text, encoding="utf-8")
    return declaration_hash(declaration(read_study(folder / name)))


def test_a_registration_is_written_twice_with_the_same_bytes(folder):
    done = marketimpact(*WORDS, cwd=folder)
    assert done.returncode == 0, done.stderr
    first = (folder / "s.registration.toml").read_bytes()
    again = marketimpact(*WORDS, "--out", "again.toml", cwd=folder)
    assert again.returncode == 0
    assert (folder / "again.toml").read_bytes() == first
    other_day = marketimpact("register", "s.toml", "--date", "2025-06-02", "--out", "day.toml", cwd=folder)
    assert other_day.returncode == 0
    differing = [
        (one, other)
        for one, other in zip(first.decode().splitlines(), (folder / "day.toml").read_text().splitlines(), strict=True)
        if one != other
    ]
    assert [one.partition(" = ")[0] for one, _ in differing] == ["record_sha256", "registered_on"]
    record = tomllib.loads(first.decode())
    assert record["hash"] in done.stdout
    assert "SIMULATED PRICES" in done.stdout
    assert b"SIMULATED PRICES" in first
    assert record["declared"]["inputs"]["announcements"]["catalogue"] == mi.catalogue_versions()["version"][-1]
    assert record["declared"]["inputs"]["announcements"]["sha256"] == mi.catalogue_versions()["sha256"][-1]
    assert [row["group"] for row in record["power"]] == ["Nvidia", "Designers"] * 2
    assert record["events"]["registered_before_first_day0"]
    row = record["power"][0]
    assert f"{row['primary_test']}, {row['df']:g} degrees of freedom" in " ".join(done.stdout.split())


def test_a_date_given_by_hand_is_said_and_recorded(folder):
    by_hand = marketimpact(*WORDS, cwd=folder)
    assert "the date of registration, 2025-06-01, was given by hand with --date" in by_hand.stdout
    assert tomllib.loads((folder / "s.registration.toml").read_text(encoding="utf-8"))["date_given"] is True
    assert read_registration(folder / "s.registration.toml").date_given
    by_clock = marketimpact("register", "s.toml", "--out", "now.toml", cwd=folder)
    assert "by hand" not in by_clock.stdout
    assert tomllib.loads((folder / "now.toml").read_text(encoding="utf-8"))["date_given"] is False


def test_the_last_date_read_is_before_every_event_window(folder):
    text = registration_text(read_study(folder / "s.toml"), mi.SamplePrices(), date(2025, 6, 1))
    assert tomllib.loads(text)["prices"]["last_date_read"] == "2025-06-29"
    assert min(FIRST_OF_WINDOW.values()) == date(2025, 6, 30)


@pytest.mark.parametrize("poison", [float("nan"), 1e9, None])
def test_prices_of_event_windows_and_after_change_no_byte(folder, poison):
    prices = mi.SamplePrices().read(SYMBOLS).frame
    first = min(FIRST_OF_WINDOW.values())
    poisoned = prices.with_columns(
        pl.when(pl.col("date") >= first).then(pl.lit(poison, pl.Float64)).otherwise("close").alias("close"),
        pl.when(pl.col("date") >= first).then(pl.lit(poison, pl.Float64)).otherwise("volume").alias("volume"),
    )
    assert poisoned.filter(pl.col("date") >= first).height > 500
    for name, frame in (("clean", prices), ("poisoned", poisoned)):
        (folder / name).mkdir()
        frame.write_parquet(folder / name / "prices.parquet")
        words = (*WORDS, "--prices", f"{name}/prices.parquet", "--out", f"{name}/s.toml")
        done = marketimpact(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    assert (folder / "clean" / "s.toml").read_bytes() == (folder / "poisoned" / "s.toml").read_bytes()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_text_in_later_rows_does_not_stop_it_and_changes_no_byte(folder, kind):
    """A CSV is parsed whole, but rows of the event windows and after are left out before they are checked."""
    prices = mi.SamplePrices().read(SYMBOLS).frame.select("symbol", "date", "close", "volume")
    is_late = pl.col("date") >= min(FIRST_OF_WINDOW.values())
    close = pl.when(is_late).then(pl.lit("xxx")).otherwise(pl.col("close").cast(pl.String)).alias("close")
    for name, frame in (("clean", prices), ("poisoned", prices.with_columns(close))):
        place = folder / name / "prices.csv" if kind == "file" else folder / name / "vendor"
        (place.parent if kind == "file" else place).mkdir(parents=True)
        if kind == "file":
            frame.write_csv(place)
        else:
            for symbol in SYMBOLS:
                rows = frame.filter(pl.col("symbol") == symbol)
                rows.select(Date="date", Close="close", Volume="volume").write_csv(place / f"{symbol}.csv")
        done = marketimpact(*WORDS, "--prices", str(place), "--out", f"{name}/s.toml", cwd=folder)
        assert done.returncode == 0, done.stderr
    assert (folder / "clean" / "s.toml").read_bytes() == (folder / "poisoned" / "s.toml").read_bytes()


def test_prices_before_the_event_windows_do_change_it(folder):
    """The test above would pass for a registration that reads nothing at all."""
    prices = mi.SamplePrices().read(SYMBOLS).frame
    changed = prices.with_columns(
        pl.when(pl.col("date") == date(2025, 3, 14)).then(pl.col("close") * 1.05).otherwise("close").alias("close")
    )
    plan = read_study(folder / "s.toml")
    one, other = (
        tomllib.loads(registration_text(plan, mi.FilePrices(frame), date(2025, 6, 1))) for frame in (prices, changed)
    )
    assert one["hash"] == other["hash"]
    assert one["prices"]["sha256"] != other["prices"]["sha256"]
    assert one["power"] != other["power"]


class Forbidding:
    """The sample, which refuses to read a day of an event window."""

    def read(self, symbols, first=None, last=None):
        assert last is not None
        assert last < min(FIRST_OF_WINDOW.values())
        return mi.SamplePrices().read(symbols, first, last)


def test_a_source_is_never_asked_for_an_event_window(folder):
    text = registration_text(read_study(folder / "s.toml"), Forbidding(), date(2025, 6, 1))
    assert tomllib.loads(text)["power"][0]["n_used"] == 1


def shuffled(value, draw: random.Random):
    """The same table with its keys in another order."""
    if isinstance(value, dict):
        keys = list(value)
        draw.shuffle(keys)
        return {key: shuffled(value[key], draw) for key in keys}
    return [shuffled(one, draw) for one in value] if isinstance(value, list) else value


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), comment=st.text("abc =[]\"'#äß\t", max_size=20), blank=st.integers(0, 3))
def test_order_of_keys_comments_and_white_space_keep_the_hash(tmp_path_factory, seed, comment, blank):
    folder = tmp_path_factory.mktemp("hash")
    text = toml_text(shuffled(tomllib.loads(STUDY), random.Random(seed)))
    noisy = "\n".join(f"{line}  # {comment}" + "\n" * blank if line else line for line in text.splitlines())
    assert written(folder, noisy) == written(folder, STUDY)


def test_a_default_that_is_written_out_keeps_the_hash(folder):
    text = '[report]\nwindows = [[0, 1], [0, 0]]\n[study]\nmodel = "market_model"\nmin_observations = 60\n'
    assert written(folder, text + STUDY.replace('title = "Two groups"\n', "")) == written(
        folder, STUDY.replace('title = "Two groups"\n', "")
    )


CHANGES = [
    ('title = "Two groups"', 'title = "Two  groups"'),
    ("smallest_effect = 0.02", "smallest_effect = 0.021"),
    ("smallest_effect = 0.02", "smallest_effect = {Nvidia = 0.02, Designers = 0.02}"),
    ('ids = ["2025-07-14-h20-resumption", ', "ids = ["),
    ('name = "Nvidia"', 'name = "NVIDIA"'),
    ('symbols = ["NVDA"]', 'symbols = ["NVDA", "AMD"]'),
    (', "300474.SZ"]', "]"),
    ("[registration]", "[report]\nwindows = [[0, 1], [-1, 1]]\n[registration]"),
    ("[registration]", "[report]\nwindows = [[0, 0], [0, 1]]\n[registration]"),
    ("[registration]", "[study]\nestimation_window = [-251, -11]\n[registration]"),
    ("[registration]", '[study]\nmodel = "mean_adjusted"\n[registration]'),
    ("[registration]", "[study]\nserial_correlation = true\n[registration]"),
    ("[registration]", "[study]\nestimation_after = [31, 130]\n[registration]"),
    ("[registration]", '[securities]\nbenchmark = "sector_proxy"\n[registration]'),
    ("[registration]", "[prices]\nrepair = []\n[registration]"),
    ("[registration]", "[specification]\n[registration]"),
    ("[announcements]", '[announcements]\nversion = "2026.06"'),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_every_declared_value_changes_the_hash(folder, before, after):
    assert before in STUDY
    assert written(folder, STUDY.replace(before, after, 1)) != written(folder, STUDY)


@settings(max_examples=25, deadline=None)
@given(first=st.integers(-9, 9), length=st.integers(0, 5))
def test_another_window_is_another_hash(tmp_path_factory, first, length):
    folder = tmp_path_factory.mktemp("windows")
    own = written(
        folder, STUDY.replace("[registration]", f"[report]\nwindows = [[{first}, {first + length}]]\n[registration]")
    )
    other = STUDY.replace("[registration]", f"[report]\nwindows = [[{first}, {first + length + 1}]]\n[registration]")
    assert own != written(folder, other)


def test_own_announcements_are_frozen_by_their_bytes(folder):
    rows = "announcement_id,announced_at,stance,headline,targets\na,2025-08-12T12:45+08:00,restrictive,News,NVDA\n"
    text = '[announcements]\nfile = "mine.csv"\n[registration]\nsmallest_effect = 0.02\n'
    (folder / "mine.csv").write_text(rows, encoding="utf-8")
    before = written(folder, text)
    (folder / "mine.csv").write_text(rows.replace("12:45", "12:46"), encoding="utf-8")
    assert written(folder, text) != before
    (folder / "mine.csv").write_text(rows, encoding="utf-8")
    assert written(folder, text) == before
    assert marketimpact(*WORDS, cwd=folder).returncode == 0


#: A value of each column of the securities that results use, which no firm of the study has.
OTHER_VALUES = {
    "mic": "XNYS", "currency": "EUR", "benchmark": "^IXIC", "sector_proxy": "SMH", "leg_benchmark": "QQQ",
    "price_limit": 0.15, "board": "other", "dual_listing": "NVDX", "role": "foundry", "country": "JP",
    "policy_group": "other", "business": "other",
}  # fmt: skip
OWN_SECURITIES = STUDY.replace("[registration]", '[securities]\nfile = "firms.csv"\n[registration]')


def hash_with_securities(folder: Path, firms: pl.DataFrame) -> str:
    firms.write_csv(folder / "firms.csv")
    return written(folder, OWN_SECURITIES)


@pytest.mark.parametrize("column", OTHER_VALUES)
def test_every_column_of_securities_that_results_use_changes_the_hash(folder, column):
    assert {"symbol", *OTHER_VALUES} == set(SECURITY_COLUMNS)
    firms = mi.securities().filter(pl.col("symbol").is_in(SYMBOLS))
    other = pl.when(pl.col("symbol") == "NVDA").then(pl.lit(OTHER_VALUES[column])).otherwise(column).alias(column)
    changed = firms.with_columns(other)
    assert not changed[column].equals(firms[column], null_equal=True)
    assert hash_with_securities(folder, changed) != hash_with_securities(folder, firms)


def test_columns_of_securities_that_are_absent_or_not_used_keep_the_hash(folder):
    firms = mi.securities().filter(pl.col("symbol").is_in(SYMBOLS))
    few = firms.select("symbol", "mic", "currency", "benchmark")
    before = hash_with_securities(folder, few)
    assert hash_with_securities(folder, few.with_columns(notes=pl.lit("a"), name=pl.lit("b"))) == before
    inputs = declaration(read_study(folder / "s.toml"))["inputs"]["securities"]
    assert inputs["sha256"] == fingerprint(few)
    assert inputs["columns"] == sorted(few.columns)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.dictionaries(
            st.text(max_size=5), st.text() | st.integers(-9, 9) | st.booleans() | st.floats(allow_nan=False)
        ),
        lambda below: st.dictionaries(st.text(max_size=5), below | st.lists(below, min_size=1, max_size=3), max_size=3),
        max_leaves=5,
    )
)
def test_toml_is_read_back_as_it_was_written(table):
    def without_surrogates(value):
        return not any("\ud800" <= sign <= "\udfff" for sign in str(value))

    if without_surrogates(table):
        assert tomllib.loads(toml_text(table)) == table
        assert toml_text(sorted_keys(table)) == toml_text(sorted_keys(dict(reversed(table.items()))))


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (STUDY.replace("smallest_effect = 0.02", ""), (), "[registration]\nsmallest_effect = 0.02"),
        (STUDY.replace("0.02", "2"), (), "fraction above 0 and below 1, such as 0.02 for 2%"),
        (STUDY.replace("0.02", "nan"), (), "smallest_effect is no number"),
        (STUDY.replace("0.02", "{Nvidia = 0.02}"), (), "the group 'Designers' has none"),
        (STUDY.replace("0.02", "{Nvidia = 0.02, Designer = 0.1}"), (), "no group is called 'Designer' (did you mean"),
        (STUDY.replace('"NVDA"', '"NVDB"'), (), "did you mean 'NVDA'"),
        (STUDY.replace("h20-resumption", "h21-resumption"), (), "did you mean '2025-07-14-h20-resumption'"),
        (STUDY.replace("[registration]", 'version = "2026.6"\n[registration]'), (), "Its versions are 2026.06"),
        (
            STUDY.replace("[registration]", 'version = "2026.06"\nfile = "a.csv"\n[registration]'),
            (),
            "Leave one of them",
        ),
        ('[announcements]\nfile = "none.csv"\n[registration]\nsmallest_effect = 0.1\n', (), "none.csv"),
        (
            STUDY.replace("[registration]", "[report]\nwindows = [[0, 1], [0, 11]]\n[registration]"),
            (),
            "line 5: [report] windows: [0, 11] reaches outside event_window = [-10, 10]",
        ),
        (STUDY, ("--date", "June"), "--date 'June' is no date"),
        (STUDY, ("--out", "."), "is a folder"),
        (STUDY, ("--prices", "none.parquet"), "There is no file none.parquet"),
        (STUDY, ("--out", "s.toml"), "s.toml exists already"),
        (STUDY, ("--out", "s.toml/r.toml"), "s.toml is no folder"),
    ],
)
def test_what_cannot_be_registered_is_one_message_and_exit_1(folder, text, words, message):
    (folder / "s.toml").write_text(text, encoding="utf-8")
    done = marketimpact("register", "s.toml", *words, cwd=folder)
    assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert [path.name for path in folder.iterdir()] == ["s.toml"]


def test_prices_that_begin_with_the_events_are_refused(folder):
    mi.SamplePrices().read(SYMBOLS, date(2025, 5, 1)).frame.write_parquet(folder / "late.parquet")
    done = marketimpact(*WORDS, "--prices", "late.parquet", cwd=folder)
    assert done.returncode == 1
    assert "has 60 sessions with prices up to 2025-06-29" in done.stderr
    assert not (folder / "s.registration.toml").exists()


def test_a_registration_after_the_events_says_so(folder):
    done = marketimpact("register", "s.toml", "--date", "2026-11-29", cwd=folder)
    assert "the first event was on 2025-07-15, and this registration is of 2026-11-29" in done.stdout
    refused = marketimpact("register", "s.toml", cwd=folder)
    assert (refused.returncode, "overwrite it with --force" in refused.stderr) == (1, True)
    assert marketimpact("register", "s.toml", "--force", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "smallest_effect = 0.02\n\n[declared.study.report]",
            "smallest_effect = 0.05\n\n[declared.study.report]",
            "its declared study",
        ),
        ('registered_on = "2025-06-01"', 'registered_on = "2025-05-01"', "its record"),
        ("n_used = 4", "n_used = 5", "its record"),
        ("format = 1", "format = 2", "format 2"),
        ("hash = ", "hush = ", "no registration"),
        ("format = 1", "format = ", "cannot be read as a registration"),
    ],
)
def test_a_registration_edited_by_hand_is_refused(folder, before, after, message):
    assert marketimpact(*WORDS, cwd=folder).returncode == 0
    path = folder / "s.registration.toml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(mi.SpecificationError, match=message):
        read_registration(path)


def test_line_ends_and_comments_of_a_registration_may_change(folder):
    assert marketimpact(*WORDS, cwd=folder).returncode == 0
    path = folder / "s.registration.toml"
    before = read_registration(path)
    path.write_bytes(b"\xef\xbb\xbf# deposited\r\n" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_registration(path) == before
