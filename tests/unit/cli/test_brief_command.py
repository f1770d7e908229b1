"""The command `brief` as a user types it."""

from __future__ import annotations

import warnings

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.cli.studies import recorded_warnings
from tests.command import marketimpact

NVDA = ("brief", "NVDA", "2025-08-12T00:45:00-04:00")


def test_a_symbol_and_a_moment_give_its_return_first(tmp_path):
    done = marketimpact(*NVDA, "--out", str(tmp_path / "b.csv"))
    assert done.returncode == 0, done.stderr
    row = pl.read_csv(tmp_path / "b.csv").row(0, named=True)
    verb = "rose" if row["ret_day0"] > 0 else "fell"
    assert f"NVIDIA (NVDA) {verb} {abs(row['ret_day0']):.1%} on day 0 (2025-08-12)" in " ".join(done.stdout.split())
    assert "SIMULATED PRICES" in done.stdout
    assert row["source"].startswith("SIMULATED PRICES")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_offset_decides_the_day():
    """After the close in New York it is the next session."""
    late = marketimpact("brief", "NVDA", "2025-08-12T17:22:59-04:00")
    same_instant = marketimpact("brief", "NVDA", "2025-08-12T21:22:59Z")
    assert "on day 0 (2025-08-13)" in " ".join(late.stdout.split())
    assert late.stdout.splitlines()[2:6] == same_instant.stdout.splitlines()[2:6]


def test_an_announcement_is_found_by_its_id(tmp_path):
    key = "2025-08-12-beijing-discourages-h20"
    done = marketimpact("brief", key, "--out", str(tmp_path / "b.png"), "--out", str(tmp_path / "b.html"))
    assert done.returncode == 0, done.stderr
    assert "Cambricon (688256.SS) rose 20.0% on day 0 (2025-08-12)" in " ".join(done.stdout.split())
    assert "ai chip designer" in done.stdout
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert "Cambricon" in (tmp_path / "b.html").read_text(encoding="utf-8")


def test_csv_has_a_row_per_firm():
    done = marketimpact("brief", "NVDA,AMD", "2025-08-12T00:45:00-04:00", "--csv")
    frame = pl.read_csv(done.stdout.encode())
    assert frame["symbol"].sort().to_list() == ["AMD", "NVDA"]


def test_prices_of_ones_own(tmp_path):
    own = mi.SamplePrices().read(["NVDA", "^GSPC"]).frame.with_columns(pl.col("close") * 1.5)
    own.write_parquet(tmp_path / "p.parquet")
    done = marketimpact(*NVDA, "--prices", str(tmp_path / "p.parquet"))
    assert "SIMULATED" not in done.stdout
    assert "FilePrices('p.parquet')" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("NVDA", "2025-08-12T00:45:00"), "has no offset from UTC, and day 0 depends on it. Add one:"),
        (("NVDA", "2025-08-12"), "has no offset from UTC"),
        (("NVDA", "yesterday"), "'yesterday' is no date and time. Write it as 2025-04-15T17:22:59-04:00."),
        (("NVDX", "2025-08-12T00:45:00Z"), "The securities do not name 'NVDX'. Did you mean 'NVDA'?"),
        (("NVDA",), "No announcement is called 'NVDA'. List them with: marketimpact list announcements."),
        (("2025-08-12-beijing-discourages",), "Did you mean '2025-08-12-beijing-discourages-h20'?"),
        (("NVDA", "2031-08-12T00:45:00Z"), "no event can be used, since"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_advice(words, said):
    done = marketimpact("brief", *words)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_warnings_of_a_run_stand_in_its_report(h20, tmp_path):
    with pytest.warns(mi.MarketImpactWarning, match="an odd price"), recorded_warnings() as messages:
        warnings.warn("There is an odd price.", mi.MarketImpactWarning, stacklevel=1)
    assert messages == ["There is an odd price."]
    page = mi.write_report(h20.result, tmp_path / "r.html", warnings=messages).read_text(encoding="utf-8")
    assert "Warning of the run: There is an odd price." in page
