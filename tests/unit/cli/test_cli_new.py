"""The command line for strangers and programs: help, new, JSON, exit codes, the schema of study files."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path

import jsonschema
import polars as pl
import pytest
from typer.completion import get_completion_script

import marketimpact as mi
from marketimpact.cli.new_study import TEMPLATE
from marketimpact.cli.printing import json_rows
from marketimpact.cli.study_file import read_study
from marketimpact.cli.study_file_schema import StudyText, study_schema
from tests.command import in_a_process, marketimpact
from tests.conftest import ROOT
from tests.unit.cli.test_cli import SMALL

SHIPPED = ROOT / "studies" / "study.schema.json"


def keys(schema: dict, above: str = "") -> set[str]:
    """Every key of a schema that holds a value, with the name of its table."""
    found = set()
    for key, below in schema.get("properties", {}).items():
        inner = below.get("items", below)
        found |= keys(inner, f"{key}.") if "properties" in inner else {f"{above}{key}"}
    return found


def test_help_names_every_command_and_the_exit_codes():
    done = marketimpact("--help")
    assert done.returncode == 0
    for word in (
        "run",
        "new",
        "schema",
        "list",
        "align",
        "check",
        "fetch",
        "store",
        "register",
        "bundle",
        "Exit codes",
    ):
        assert f"\n  {word} " in done.stdout or f"{word}:" in done.stdout, word
    assert marketimpact("-h").stdout == done.stdout
    for command in ("run", "new", "schema", "list", "align", "check", "fetch", "store", "register", "bundle"):
        assert marketimpact(command, "--help").returncode == 0


def test_version_is_the_package_s():
    assert marketimpact("--version").stdout.startswith("marketimpact ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell):
    script = get_completion_script(prog_name="marketimpact", complete_var="_MARKETIMPACT_COMPLETE", shell=shell)
    assert "marketimpact" in script


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("list", "models"), 0),
        (("run", "nothing.toml"), 1),
        (("new", "taken.toml"), 1),
        (("run", "small.toml", "--out", "taken.toml"), 1),  # a file where a folder is wanted
        (("run", "--no-such-option"), 2),
        (("no-such-command",), 2),
        (("list", "nonsense"), 2),
        (("list", "tests", "--csv", "--json"), 2),
        (("new", "study.txt"), 2),
    ],
)
def test_exit_codes(words, code, tmp_path):
    (tmp_path / "taken.toml").write_text("title = 'mine'", encoding="utf-8")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    done = marketimpact(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (done.stdout == "") == (code != 0)
    assert (done.stderr == "") == (code == 0)
    assert (tmp_path / "taken.toml").read_text(encoding="utf-8") == "title = 'mine'"


@pytest.mark.parametrize(("words", "code"), [(("list", "models"), 0), (("run", "nothing.toml"), 1), (("--no",), 2)])
def test_exit_codes_of_a_process(words, code, tmp_path):
    done = in_a_process(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout == "", done.stderr == "") == (code, code != 0, code == 0)
    assert "Traceback" not in done.stderr


def test_new_writes_a_study_that_runs_as_it_is(tmp_path):
    name = "my first study.toml"
    done = marketimpact("new", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'marketimpact run "{name}"' in done.stdout
    ran = marketimpact("run", name, "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["simulated"] is True
    assert told["n_events"] == 5  # Nvidia and four designers, one announcement
    assert [(tmp_path / file).is_file() for file in told["reports"]] == [True]
    assert {Path(file).suffix for file in told["tables"].values()} == {".parquet"}
    tests = pl.read_parquet(tmp_path / told["tables"]["tests"])
    assert [row["test"] for row in told["tests"]] == tests["test"].to_list()
    assert marketimpact("new", name, "--force", cwd=tmp_path).returncode == 0


OWN = (
    "announcement_id,announced_at,time_zone,stance,headline,targets\n"
    'one,2025-08-12 12:45,Asia/Shanghai,restrictive,One,"NVDA, 0981.HK"\n'
    "two,2025-05-28 AMC,America/New_York,mixed,Two,NVDA;AMD\n"
)


def test_announcements_of_ones_own_take_one_command_and_a_run(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "my.csv").write_text(OWN, encoding="utf-8")
    done = marketimpact("new", "--announcements", "in/my.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tomllib.loads((tmp_path / "in" / "my.toml").read_text(encoding="utf-8"))["announcements"] == {
        "file": "my.csv"
    }
    ran = marketimpact("run", "in/my.toml", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    events = pl.read_parquet(tmp_path / json.loads(ran.stdout)["tables"]["events"])
    # 12:45 in Shanghai is before New York opens; after the close of 28 May is 29 May
    assert dict(events.select("event_id", pl.col("date").cast(pl.String)).iter_rows()) == {
        "one:0981.HK": "2025-08-12",
        "one:NVDA": "2025-08-12",
        "two:AMD": "2025-05-29",
        "two:NVDA": "2025-05-29",
    }


def test_securities_of_ones_own_go_with_announcements(tmp_path):
    (tmp_path / "my.csv").write_text(OWN.replace("NVDA;AMD", "MINE;AMD"), encoding="utf-8")
    mine = pl.DataFrame({"symbol": ["MINE"], "mic": ["XNAS"], "currency": ["USD"], "benchmark": ["^GSPC"]})
    universe = pl.concat([mi.securities().select(mine.columns), mine])
    universe.write_csv(tmp_path / "firms.csv")
    assert marketimpact("new", "--announcements", "my.csv", cwd=tmp_path).returncode == 1
    done = marketimpact("new", "--announcements", "my.csv", "--securities", "firms.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "MINE" in read_study(tmp_path / "my.toml").symbols()


def test_without_targets_the_groups_of_the_template_stay(tmp_path):
    rows = [line.rpartition(",")[0] for line in OWN.replace('"NVDA, 0981.HK"', "").splitlines()]
    (tmp_path / "my.csv").write_text("\n".join(rows), encoding="utf-8")
    assert marketimpact("new", "study.toml", "--announcements", "my.csv", cwd=tmp_path).returncode == 0
    plan = read_study(tmp_path / "study.toml")
    assert (list(plan.groups), plan.ids) == (["Nvidia", "Chinese AI-chip designers"], ())


@pytest.mark.parametrize("command", [("new", "--announcements"), ("align",)])
def test_an_unknown_target_is_an_error_with_the_nearest_symbol(tmp_path, command):
    (tmp_path / "my.csv").write_text(OWN.replace("NVDA;AMD", "NVDAA;AMD"), encoding="utf-8")
    done = marketimpact(*command, "my.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "do not name 'NVDAA' (did you mean 'NVDA'?), first among the targets of 'two'" in done.stderr
    assert ("2025-08-12" in done.stdout) == (command[0] == "align")
    assert not (tmp_path / "my.toml").exists()


def test_a_study_of_unknown_targets_stops_before_prices_are_read(tmp_path):
    (tmp_path / "my.csv").write_text(OWN.replace("0981.HK", "981.HK"), encoding="utf-8")
    (tmp_path / "my.toml").write_text('[announcements]\nfile = "my.csv"\n', encoding="utf-8")
    done = marketimpact("run", "my.toml", "--prices", "none.parquet", cwd=tmp_path)
    assert done.returncode == 1
    assert "do not name '981.HK' (did you mean '0981.HK'?)" in done.stderr


def test_align_takes_the_session_before_a_closed_day_on_request(tmp_path):
    (tmp_path / "my.csv").write_text(OWN.replace("2025-08-12 12:45", "2025-08-10 12:45"), encoding="utf-8")
    for options, day in (((), "2025-08-11"), (("--previous-session",), "2025-08-08")):
        done = marketimpact("align", "my.csv", "--csv", *options, cwd=tmp_path)
        frame = pl.read_csv(done.stdout.encode())
        assert frame.filter(pl.col("announcement_id") == "one")["date"].to_list() == [day, day]


def test_the_template_shows_every_key():
    text = TEMPLATE.read_text(encoding="utf-8")
    shown, table = set(), ""
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if bare.startswith("["):
            table = bare.strip("[]") + "."
        elif " = " in bare and bare.split(" = ")[0].isidentifier():
            shown.add(table + bare.split(" = ")[0])
    assert shown == keys(study_schema())


def test_the_shipped_schema_is_the_one_that_checks():
    assert json.loads(SHIPPED.read_text(encoding="utf-8")) == study_schema()
    jsonschema.Draft202012Validator.check_schema(study_schema())


@pytest.mark.parametrize("path", [ROOT / "studies" / "h20.toml", TEMPLATE], ids=lambda path: path.name)
def test_studies_that_run_keep_to_the_schema(path):
    jsonschema.validate(
        tomllib.loads(path.read_text(encoding="utf-8")), json.loads(SHIPPED.read_text(encoding="utf-8"))
    )
    assert read_study(path).windows[0] == (0, 1)


def test_defaults_of_the_schema_are_the_study_s():
    told = {key: value.get("default") for key, value in study_schema()["properties"]["study"]["properties"].items()}
    study = mi.EventStudy()
    for key in ("estimation_window", "event_window"):
        assert tuple(told[key]) == getattr(study, key)
    for key in ("min_observations", "missing", "serial_correlation"):
        assert told[key] == getattr(study, key)
    assert mi.MODELS[told["model"]]() == study.model


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# a comment\n\ntitel = 'x'", ["line 3: the top level has no key 'titel'"]),
        ("[study]\n\nmodel = 3", ["line 3: [study] model = 3"]),
        ("[study]\nserial_correlation = 1", ["line 2", "must be true or false"]),
        ("[study]\nmin_observations = true", ["line 2", "whole number"]),
        ("[study]\nmin_observations = 2", ["line 2", "must lie between"]),
        ("[study]\nmodel = 'capm'\nevent_window = [-20, 20]", ["line 3", "reaches into event_window"]),
        ("study.model = 'nothing'", ["line 1: [study] model"]),
        ("[report]\nwindows = [\n  [0, 1],\n  [2, 1],\n]", ["line 2", "is reversed"]),
        ("[report]\nwindows = []", ["line 2", "list of pairs"]),
        ("[[groups]]\nname = 'a'\nsymbols = ['X']\n\n[[groups]]\nsymbols = ['Y']", ["line 5", "needs a name"]),
        ("[[groups]]\nname='a'\nsymbols=['X']\n[[groups]]\nname='b'\nsymbols=[\n'Y',\n'X']", ["line 8: X in more"]),
        ("groups = 3", ["line 1", "double brackets"]),
        ("report = 'x'", ["line 1", "must be a table, written [report]"]),
        ("[securities]\nbenchmark = 'benchmrk'", ["line 2", "did you mean 'benchmark'"]),
        ("titel = 'x'\n[study]\nmodell = 'y'", ["line 1: the top", "line 3: [study] has no key 'modell'"]),
        ("title = 'x'\nquestion = = 3", ["at line 2"]),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, said):
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(mi.SpecificationError) as caught:
        read_study(path)
    for words in said:
        assert words in str(caught.value)


def test_an_unknown_announcement_and_symbol_are_said_with_their_line(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("[announcements]\nids = [\n  '2025-07-14-h20-resumption',\n  'nothing',\n]", encoding="utf-8")
    with pytest.raises(mi.SpecificationError, match=r"s\.toml, line 4: no announcement is called 'nothing'"):
        read_study(path).symbols()
    path.write_text("[[groups]]\nname = 'a'\nsymbols = ['NVDA']\n[[groups]]\nname = 'b'\nsymbols = ['NVDB']")
    with pytest.raises(mi.SpecificationError, match="line 6: the securities do not name 'NVDB'"):
        read_study(path).symbols()


def test_every_value_of_a_file_is_found_on_its_line():
    text = TEMPLATE.read_text(encoding="utf-8")
    source = StudyText("t.toml", text)
    lines = text.splitlines()
    assert lines[source.line(("study", "event_window")) - 1].startswith("event_window")
    assert lines[source.line(("groups", 1, "symbols")) - 1].startswith('symbols = ["688256.SS"')
    assert source.line(("nowhere",)) is None


@pytest.mark.parametrize("what", ["announcements", "campaigns", "securities", "models", "tests"])
def test_list_as_json_has_the_rows_of_the_csv(what):
    told = json.loads(marketimpact("list", what, "--json").stdout)
    assert len(told) == pl.read_csv(marketimpact("list", what, "--csv").stdout.encode(), infer_schema=False).height


def test_json_is_strict_where_numbers_are_not():
    frame = pl.DataFrame({"x": [1.5, math.nan, math.inf, None], "s": ["a", "b", "a", "b"]})
    assert json_rows(frame) == [{"x": 1.5, "s": "a"}, *({"x": None, "s": s} for s in "bab")]


def test_align_and_check_as_json(tmp_path):
    told = json.loads(marketimpact("align", "--symbols", "NVDA,2330.TW", "--json").stdout)
    assert {row["symbol"] for row in told} == {"NVDA", "2330.TW"}
    mi.SamplePrices().read(["NVDA"]).frame.write_parquet(tmp_path / "p.parquet")
    checked = marketimpact("check", "p.parquet", "--json", cwd=tmp_path)
    assert all(row["severity"] != "error" for row in json.loads(checked.stdout))
    assert checked.returncode == 0
