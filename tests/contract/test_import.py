"""What `import marketimpact` brings along, and what a typed program sees of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

from marketimpact import schema
from tests.conftest import ROOT

#: Heavy or optional; each is imported by the function that needs it.
LATER = {
    "altair", "arch", "dask", "dataframely", "distributed", "duckdb", "exchange_calendars", "filelock", "great_tables",
    "jinja2", "jsonschema", "llvmlite", "matplotlib", "numba", "pandas", "pydantic", "rich", "scipy.linalg",
    "scipy.special", "scipy.stats", "sqlalchemy", "statsmodels", "tenacity", "typer", "vl_convert", "yfinance",
}  # fmt: skip


def test_nothing_heavy_comes_with_the_package():
    code = "import sys, marketimpact; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"marketimpact.result", "polars", "scipy"} <= loaded
    assert loaded & LATER == set()


def test_a_contract_is_read_when_it_is_first_asked_for():
    code = (
        "import sys\nfrom marketimpact import schema\nassert 'dataframely' not in sys.modules\n"
        "print(*sorted(schema.Events.column_names()), 'dataframely' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["date", "event_id", "symbol", "True"]
    with pytest.raises(AttributeError, match="no attribute 'Evnts'"):
        _ = schema.Evnts  # type: ignore[attr-defined]


def test_a_typed_program_sees_the_types(tmp_path: Path, monkeypatch):
    """A program outside the package is told of a wrong argument and of what comes back."""
    monkeypatch.setenv("MYPYPATH", "")
    (tmp_path / "consumer.py").write_text(
        "import marketimpact as mi\n"
        "study = mi.EventStudy(event_window=(-1, 1))\n"
        "reveal_type(study)\n"
        "mi.EventStudy(min_observations='many')\n",
        encoding="utf-8",
    )
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path}", "--follow-imports=silent"]
    told, _, code = api.run([*options, str(tmp_path / "consumer.py")])
    assert code == 1
    assert 'consumer.py:3: note: Revealed type is "marketimpact.study.EventStudy"' in told
    assert 'consumer.py:4: error: Argument "min_observations"' in told
    assert "py.typed" not in told
