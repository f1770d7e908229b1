"""What `import marketimpact` brings along."""

from __future__ import annotations

import subprocess
import sys

import pytest

import marketimpact as mi
from marketimpact.core import schema
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
    assert {"marketimpact.study.result", "polars", "scipy"} <= loaded
    assert loaded & LATER == set()


def test_a_contract_is_read_on_first_use():
    code = (
        "import sys\nfrom marketimpact.core import schema\nassert 'dataframely' not in sys.modules\n"
        "print(*sorted(schema.Events.column_names()), 'dataframely' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["date", "event_id", "symbol", "True"]
    with pytest.raises(AttributeError, match="no attribute 'Evnts'"):
        _ = schema.Evnts  # type: ignore[attr-defined]


def test_study_files_and_the_version_are_read_on_first_use():
    code = (
        "import sys, marketimpact as mi\nassert mi.__version__ and 'marketimpact.cli' not in sys.modules\n"
        "print(mi.read_study('h20').name, mi.read_study is mi.read_study)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["h20", "True"]
    with pytest.raises(AttributeError, match="no attribute 'read_studies'"):
        _ = mi.read_studies  # type: ignore[attr-defined]
