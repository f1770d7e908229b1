"""The commands `catalogue check`, `diff` and `add` as a user types them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import polars as pl
import pytest
from typer.testing import CliRunner

import marketimpact as mi
from marketimpact.cli import app
from tests.command import ENTRY, marketimpact
from tests.conftest import ROOT

HEAD = (
    "announcement_id,announced_at,time_precision,time_zone,stance,headline,source_title,source_publisher,source_url,"
    "verification,confidence,notes"
)
RULE = (
    "2026-03-02-rule,2026-03-02,day,America/New_York,mixed,A rule,Page,Paper,https://example.org,seen,high,-6% that day"
)
LATER = "2026-03-02-reply,2026-03-02T14:00:00Z,minute,America/New_York,none,A reply,Page,Paper,https://example.org,seen,high,Stamp"
MEMORY = "2026-04-02-old,2026-04-02,day,Asia/Tokyo,mixed,Old,recalled,Nobody,,recalled,low,"
CELLS = (
    "announcement_id=2026-01-05-new", "announced_at=2026-01-05", "time_zone=Asia/Shanghai", "stance=restrictive",
    "headline=A new one", "source_title=Page", "source_publisher=Paper", "source_url=https://example.org",
    "verification=partly_seen", "confidence=medium",
)  # fmt: skip
#: Start of a cell -> what a row without it lacks.
NEEDED = {
    "time_zone=": "time_zone",
    "source_title=": "source_title",
    "source_publisher=": "source_publisher",
    "source_url=": "source_url",
    "verification=": "verification",
    "confidence=": "confidence",
}


@pytest.fixture
def own(tmp_path):
    """A file with two announcements of one day and one from memory."""
    path = tmp_path / "own.csv"
    path.write_text("\n".join([HEAD, RULE, LATER, MEMORY, ""]), encoding="utf-8")
    return path


def ids(path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["announcement_id"] for row in csv.DictReader(file)]


class TestCheck:
    def test_the_embedded_chronology_passes(self):
        done = marketimpact("catalogue", "check", str(ROOT / "data" / "announcements.csv"))
        assert done.returncode == 0
        assert "0 refused" in done.stdout
        assert "from memory" in done.stderr

    def test_a_good_file_with_a_row_from_memory_passes_with_a_warning(self, own):
        done = marketimpact("catalogue", "check", str(own))
        assert done.returncode == 0
        assert done.stdout == "3 announcements, 0 refused for want of source, zone or evidence\n"
        assert done.stderr == "warning: 1 row from memory, no page was read: '2026-04-02-old'\n"

    @pytest.mark.parametrize(
        ("cell", "lacks"),
        [
            ("https://example.org", "source_url"),
            ("Page", "source_title"),
            ("Paper", "source_publisher"),
            ("America/New_York", "time_zone"),
            ("seen", "verification"),
            ("high", "confidence"),
            ("Stamp", "notes"),
        ],
    )
    def test_a_row_says_what_it_lacks(self, tmp_path, cell, lacks):
        path = tmp_path / "a.csv"
        path.write_text("\n".join([HEAD, RULE, LATER.replace(cell, ""), ""]), encoding="utf-8")
        done = marketimpact("catalogue", "check", str(path), "--csv")
        assert done.returncode == 1
        (row,) = csv.DictReader(done.stdout.splitlines())
        assert row["announcement_id"] == "2026-03-02-reply"
        assert row["lacks"].startswith(lacks)

    @pytest.mark.parametrize("address", ["https://", "https:///page", "example.org/page", "https://page"])
    def test_an_address_without_a_host_is_none(self, tmp_path, address):
        path = tmp_path / "a.csv"
        text = "\n".join([HEAD, RULE, LATER.replace("https://example.org", address), ""])
        path.write_text(text, encoding="utf-8")
        done = marketimpact("catalogue", "check", str(path), "--csv")
        (row,) = csv.DictReader(done.stdout.splitlines())
        assert row["lacks"] == "source_url (an address such as https://www.bis.gov/page)"

    def test_a_date_needs_no_remark_until_it_has_a_bound(self, tmp_path):
        row = RULE.replace("-6% that day", "")
        path = tmp_path / "a.csv"
        path.write_text(f"{HEAD}\n{row}\n", encoding="utf-8")
        assert marketimpact("catalogue", "check", str(path)).returncode == 0
        path.write_text(f"{HEAD},not_after\n{row},2026-03-02T14:30:00Z\n", encoding="utf-8")
        done = marketimpact("catalogue", "check", str(path), "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)[0]["lacks"] == "notes (where the clock or the bound comes from)"

    def test_a_broken_rule_is_one_message(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text(f"{HEAD}\n{RULE}\n{RULE}\n", encoding="utf-8")
        done = marketimpact("catalogue", "check", str(path))
        assert done.returncode == 1
        assert "the key must not repeat (announcement_id): 2 rows" in done.stderr

    def test_through_the_runner_of_typer(self, own):
        done = CliRunner().invoke(app, ["catalogue", "check", str(own)])
        assert (done.exit_code, "3 announcements" in done.stdout) == (0, True)


class TestDiff:
    def test_against_a_loop_over_the_two_files(self, tmp_path):
        files = {
            "2026.06": ROOT / "data" / "versions" / "announcements-2026.06.csv",
            "2026.11": ROOT / "data" / "announcements.csv",
        }
        tables = {}
        for version, path in files.items():
            with path.open(encoding="utf-8", newline="") as file:
                tables[version] = {row["announcement_id"]: row for row in csv.DictReader(file)}
        before, after = tables.values()
        expected = {(key, "added", "headline") for key in set(after) - set(before)}
        for key, row in before.items():
            fields = {*row, *after[key]}
            expected |= {(key, "changed", name) for name in fields if row.get(name, "") != after[key].get(name, "")}
        out = tmp_path / "changes.csv"
        done = marketimpact("catalogue", "diff", "2026.06", "2026.11", "--out", str(out))
        assert done.returncode == 0, done.stderr
        changes = pl.read_csv(out, infer_schema=False)
        assert set(changes.select("announcement_id", "change", "field").rows()) == expected
        assert changes.height == len(expected)
        assert f"{len(set(after) - set(before))} added, 0 removed" in done.stdout
        moved = sum(
            (row["time_precision"], after[key]["time_precision"]) == ("day", "minute") for key, row in before.items()
        )
        assert f"precision: day -> minute {moved}" in done.stdout

    def test_the_other_way_round_rows_are_removed(self):
        there, back = (
            pl.read_csv(marketimpact("catalogue", "diff", *names, "--csv").stdout.encode(), infer_schema=False)
            for names in (("2026.06", "2026.11"), ("2026.11", "2026.06"))
        )
        assert set(there["change"]) == {"added", "changed"}
        assert set(back["change"]) == {"removed", "changed"}
        assert there.height == back.height

    def test_a_file_of_ones_own(self, own, tmp_path):
        other = tmp_path / "other.csv"
        other.write_text(
            own.read_text(encoding="utf-8").replace("14:00:00Z,minute", "14:30:00Z,hour"), encoding="utf-8"
        )
        done = marketimpact("catalogue", "diff", str(own), str(other), "--json")
        assert [(row["field"], row["before"], row["after"]) for row in json.loads(done.stdout)] == [
            ("announced_at", "2026-03-02T14:00:00Z", "2026-03-02T14:30:00Z"),
            ("time_precision", "minute", "hour"),
        ]
        assert json.loads(marketimpact("catalogue", "diff", str(own), str(own), "--json").stdout) == []

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("2026.6", "2026.11"), "'2026.6' is no version of the chronology. Did you mean '2026.06'?"),
            (("2026.06", "gone.csv"), "there is no such file"),
        ],
    )
    def test_neither_version_nor_file(self, words, message):
        done = marketimpact("catalogue", "diff", *words)
        assert done.returncode == 1
        assert message in done.stderr

    def test_out_must_be_csv(self, own):
        done = marketimpact("catalogue", "diff", str(own), str(own), "--out", "a.xlsx")
        assert done.returncode == 2


class TestAdd:
    def test_a_row_is_added_in_order_and_the_others_keep_their_cells(self, own):
        before = own.read_text(encoding="utf-8").splitlines()
        done = marketimpact("catalogue", "add", str(own), *CELLS)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"Added to {own}: 1 announcement; it has 4 now.\n"
        lines = own.read_text(encoding="utf-8").splitlines()
        assert lines[0] == HEAD
        assert lines[2:] == before[1:]
        assert ids(own)[0] == "2026-01-05-new"
        assert mi.announcements(own).height == 4
        assert [path.name for path in own.parent.iterdir()] == ["own.csv"]

    def test_rows_of_a_toml_file_and_of_a_csv_file_are_the_same(self, own, tmp_path):
        toml = "\n".join(
            ["[[announcements]]", *(f'{cell.replace("=", " = ", 1)}"'.replace("= ", '= "', 1) for cell in CELLS)]
        )
        (tmp_path / "rows.toml").write_text(
            toml + '\ntargets = ["NVDA", "AMD"]\nis_confounder = false\n', encoding="utf-8"
        )
        names, values = zip(*(cell.split("=", 1) for cell in CELLS), strict=True)
        text = f"{','.join(names)},targets,is_confounder\n{','.join(values)},NVDA;AMD,false\n"
        (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
        written = []
        for rows in ("rows.toml", "rows.csv"):
            target = tmp_path / f"{rows}.out.csv"
            done = marketimpact("catalogue", "add", str(target), "--rows", str(tmp_path / rows))
            assert done.returncode == 0, done.stderr
            written.append(target.read_bytes())
        assert written[0] == written[1]
        assert mi.announcements(target)["targets"].to_list() == [["NVDA", "AMD"]]

    def test_an_instant_of_toml_keeps_its_offset(self, tmp_path):
        cells = dict(cell.split("=", 1) for cell in CELLS)
        del cells["announced_at"]
        lines = [f'{name} = "{value}"' for name, value in cells.items()]
        toml = "\n".join(["[[announcements]]", "announced_at = 2026-01-05T09:30:00+08:00", 'notes = "Stamp"', *lines])
        (tmp_path / "rows.toml").write_text(toml, encoding="utf-8")
        done = marketimpact("catalogue", "add", "new.csv", "--rows", "rows.toml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert mi.announcements(tmp_path / "new.csv")["announced_at"].dt.to_string("%H:%M").to_list() == ["01:30"]

    @pytest.mark.parametrize("start", NEEDED)
    def test_a_refused_row_says_what_is_missing_and_changes_nothing(self, own, start):
        before = own.read_bytes()
        cells = ["time_precision=minute" if cell.startswith("time_zone") else cell for cell in CELLS]
        cells[1] = "announced_at=2026-01-05T09:30:00+08:00"
        cells += ["notes=Stamp", "time_zone=Asia/Shanghai"]
        done = marketimpact("catalogue", "add", str(own), *(cell for cell in cells if not cell.startswith(start)))
        assert done.returncode == 1
        assert f"refused: 2026-01-05-new lacks {NEEDED[start]} (" in done.stderr
        assert own.read_bytes() == before

    def test_one_refused_row_keeps_all_out(self, own, tmp_path):
        rows = tmp_path / "rows.csv"
        good, bad = "2026-05-04-c" + RULE[15:], "2026-05-05-d" + RULE[15:].replace("https://example.org", "")
        rows.write_text(f"{HEAD}\n{good}\n{bad}\n", encoding="utf-8")
        before = own.read_bytes()
        done = marketimpact("catalogue", "add", str(own), "--rows", str(rows))
        assert done.returncode == 1
        assert "2026-05-05-d lacks source_url" in done.stderr
        assert own.read_bytes() == before

    def test_an_identifier_is_never_given_again(self, own):
        cells = [cell.replace("2026-01-05-new", " 2026-03-02-rule ") for cell in CELLS]
        before = own.read_bytes()
        done = marketimpact("catalogue", "add", str(own), *cells)
        assert done.returncode == 1
        assert "has '2026-03-02-rule' already, and an identifier is never given again" in done.stderr
        capitals = [cell.replace("2026-01-05-new", "2026-03-02-Rule") for cell in CELLS]
        done = marketimpact("catalogue", "add", str(own), *capitals)
        assert "has '2026-03-02-Rule' already, and an identifier is never given again" in done.stderr
        assert own.read_bytes() == before

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (("own.csv",), 2, "COLUMN=VALUE"),
            (("own.csv", "stance"), 2, "is no cell"),
            (("own.csv", "stance=a", "stance=b"), 2, "given twice"),
            (("own.xlsx", "stance=mixed"), 2, "must end in .csv"),
            (("own.csv", "stance=mixed", "--rows", "rows.csv"), 2, "COLUMN=VALUE"),
            (("own.csv", "--rows", "rows.json"), 2, ".csv or .toml"),
            (("own.csv", "--rows", "gone.csv"), 1, "there is no such file"),
            (("own.csv", "--rows", "gone.toml"), 1, "cannot be read as TOML"),
            (("own.csv", "--rows", "empty.toml"), 1, "double brackets"),
            (("own.csv", "stanse=mixed"), 1, "no column 'stanse'. Did you mean 'stance'?"),
            (("own.csv", *CELLS[1:]), 1, "lacks the column 'announcement_id'"),
            (("own.csv", *CELLS[:3], "stance=mixd", *CELLS[4:]), 1, "stance must be one of"),
        ],
    )
    def test_wrong_use_and_wrong_input(self, own, words, code, message):
        (own.parent / "empty.toml").write_text("[announcements]\nstance = 'mixed'\n", encoding="utf-8")
        before = own.read_bytes()
        done = marketimpact("catalogue", "add", *words, cwd=own.parent)
        assert done.returncode == code, done.stderr
        assert message in " ".join(done.stderr.replace("│", "").split())
        assert own.read_bytes() == before


def test_the_installed_command(own):
    words = [sys.executable, "-c", ENTRY, "catalogue", "check", str(own)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 announcements")


def test_commands_say_why_an_announcement_from_memory_is_left_out(tmp_path):
    read = mi.announcements()["announcement_id"]
    left_out = mi.announcements(recalled=True).filter(~pl.col("announcement_id").is_in(read.implode()))
    key = left_out["announcement_id"][0]
    (tmp_path / "s.toml").write_text(f'[announcements]\nids = ["{key}"]\n', encoding="utf-8")
    for words in (("brief", key), ("run", "s.toml", "--out", "o")):
        done = marketimpact(*words, cwd=tmp_path)
        assert done.returncode == 1
        assert f"nnouncement '{key}' is from memory: no page was read" in done.stderr
        assert not (tmp_path / "o").exists()


def test_an_announcement_that_a_version_does_not_have_is_not_from_memory(tmp_path):
    new = set(mi.announcements()["announcement_id"]) - set(
        mi.announcements(version="2026.06", recalled=True)["announcement_id"]
    )
    text = f'[announcements]\nversion = "2026.06"\nids = ["{min(new)}"]\n'
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    done = marketimpact("run", "s.toml", "--out", "o", cwd=tmp_path)
    assert done.returncode == 1
    assert f"no announcement is called '{min(new)}'" in done.stderr
