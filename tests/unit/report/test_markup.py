"""Names from outside stay text: in the report, its charts, a notebook, and a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact import report
from marketimpact.core.csv_writer import csv_text
from marketimpact.display import charts, firm_chart
from marketimpact.report import html as page
from marketimpact.sources.protocol import price_table

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)' x='",
    "</style><script>alert(4)</script>",
    "</svg></figure><iframe src=//x.example>",
    "{{7*7}}{% raw %}${7*7}",
    "<!-- ]]> <![CDATA[ -->",
]
ALLOWED_OUTSIDE = {"", "data:,", "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@dataclass(frozen=True)
class Prices:
    """Prices of any symbols, with a source and notes that are as hostile as their names."""

    said: str

    def read(self, symbols, first=None, last=None):
        days = [date(2024, 1, 1) + timedelta(n) for n in range(620)]
        days = [day for day in days if day.weekday() < 5]
        draws = np.random.default_rng(7).normal(0, 0.01, (len(symbols), len(days)))
        rows = pl.concat(
            pl.DataFrame({"date": days, "close": 100 * np.exp(np.cumsum(draws[at]))}).select(
                pl.lit(symbol).alias("symbol"), "date", "close"
            )
            for at, symbol in enumerate(symbols)
        )
        return price_table(rows, requested=symbols, source=self.said, notes=(self.said,))


def harmless(text: str) -> str:
    """A letter of its own in place of every character."""
    return "abcdefg"[HOSTILE.index(text)] * len(text)


def written(path: Path, spell) -> Path:
    """A report of seven firms whose every name is spelt by `spell`."""
    said = [spell(text) for text in HOSTILE]
    firms = pl.DataFrame(
        {
            "symbol": [f"S{at}{text}" for at, text in enumerate(said)] + ["ZZ"],
            "name": [*said, "index"],
            "mic": ["XNYS"] * (len(said) + 1),
            "role": [*said, "index"],
            "benchmark": ["ZZ"] * len(said) + [None],
        }
    )
    facts = {
        "announcement_id": ["one", "two"],
        "announced_at": ["2025-08-12T14:30:00Z", "2025-08-13T14:30:00Z"],
        "time_zone": ["UTC"] * 2,
        "stance": ["mixed"] * 2,
        "targets": [[s for s in firms["symbol"] if s != "ZZ"]] * 2,
    }
    for at, name in enumerate(
        ["headline", "authority", "source_publisher", "anticipation", "confounders", "source_title"]
    ):
        facts[name] = [said[at], said[at + 1]]
    facts["source_url"] = ["javascript:alert(5)", f"https://x.example/{said[1]}"]
    chronology = mi.announcements(pl.DataFrame(facts))
    market = mi.Market.load(firms, Prices(said[0]))
    events = mi.align(chronology.filter(pl.col("announcement_id") == "one"), market)
    lost = events.head(1).with_columns(pl.lit(said[2]).alias("event_id"), pl.lit("unknown" + said[3]).alias("symbol"))
    result = mi.EventStudy(event_window=(-5, 5)).run(pl.concat([events, lost]), market)
    assert result.events.height == len(HOSTILE)
    return report.write_report(result, path, title=said[3], question=said[4], group="role", chronology=chronology)


class Skeleton(HTMLParser):
    """Elements with the names of their attributes, and what a reader sees."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.comments: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        element = tag, tuple(sorted(name for name, _ in attrs if name != "class"))
        # a longer title of a chart has more lines
        self.elements[element] = 1 if tag == "tspan" else self.elements[element] + 1
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def handle_comment(self, data):
        self.comments.append(data)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> tuple[Skeleton, Skeleton]:
    folder = tmp_path_factory.mktemp("markup")
    hostile, plain = written(folder / "hostile.html", str), written(folder / "plain.html", harmless)
    return Skeleton(hostile.read_text(encoding="utf-8")), Skeleton(plain.read_text(encoding="utf-8"))


def test_hostile_names_add_no_element_and_no_attribute(pages):
    hostile, plain = pages
    assert hostile.elements == plain.elements
    assert hostile.comments == plain.comments == []
    tags = {tag for tag, _ in hostile.elements}
    assert not tags & {"iframe", "img", "object", "embed", "form", "base", "foreignobject"}
    ours = {charts.vega_script(), page.LIVE_CHARTS}
    assert [text for text in hostile.scripts if text not in ours and not json.loads(text)["$schema"]] == []
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]


def test_no_address_runs_or_fetches(pages):
    addresses = {
        v for n, v in pages[0].attributes if n in ("href", "src", "xlink:href", "action", "xmlns", "xmlns:xlink")
    }
    links = {
        value for value in addresses if not value.startswith(("#", "data:text/csv;", "data:application/"))
    } - ALLOWED_OUTSIDE
    assert all(value.startswith("https://x.example/") for value in links)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_read_as_they_are(pages, text):
    assert text in pages[0].text


def test_nothing_is_evaluated(pages):
    assert "49" not in "".join(part for part in pages[0].text.split() if "7*7" in part)
    assert pages[0].text.count("{{7*7}}") > 2


@pytest.mark.parametrize("text", HOSTILE)
def test_charts_keep_names_as_text(text):
    frame = pl.DataFrame({"label": [text], "group": [text], "car": [0.1], "low": [0.0], "high": [0.2]})
    svg = charts.to_svg(firm_chart.firm_effects(frame, title=text, simulated=False))
    found = Skeleton(svg)
    assert {tag for tag, _ in found.elements} <= {"svg", "g", "path", "line", "text", "rect", "defs", "clippath"}
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    path = pl.DataFrame(
        {"tau": [0, 1], "caar": [0.1, 0.2], "ci_low": [0.0, 0.1], "ci_high": [0.2, 0.3], "g": [text] * 2}
    )
    ((name, drawn),) = charts.caar_paths(path, by="g", simulated=False)
    assert name == text
    assert text in Skeleton(charts.to_svg(drawn)).text


def test_a_notebook_shows_names_as_text():
    market = mi.Market.load(
        pl.DataFrame({"symbol": HOSTILE, "mic": ["XNYS"] * 7, "benchmark": [*HOSTILE[1:], HOSTILE[0]]}),
        Prices(HOSTILE[0]),
    )
    events = pl.DataFrame({"event_id": HOSTILE, "symbol": HOSTILE, "date": [date(2025, 8, 12)] * 7})
    result = mi.EventStudy().run(events, market)
    shown = Skeleton(result._repr_html_())
    assert not {tag for tag, _ in shown.elements} & {"script", "img", "iframe"}
    assert result.events.height == 7


def test_a_spreadsheet_computes_nothing_from_a_csv():
    texts = ["=1+1", "@SUM(A1)", "-2+3", "+1", "\t=1", "\r=1", '=HYPERLINK("http://x.example")', "plain", "^GSPC", None]
    written = csv_text(pl.DataFrame({"headline": texts, "car": [-0.1] * 10, "targets": [["=A1", "B"]] * 10}))
    rows = list(csv.DictReader(io.StringIO(written, newline="")))
    assert [row["headline"] for row in rows] == ["'" + text for text in texts[:3]] + ["+1"] + [
        *("'" + text for text in texts[4:7]), "plain", "^GSPC", ""
    ]  # fmt: skip
    assert {row["car"] for row in rows} == {"-0.1"}
    assert {row["targets"] for row in rows} == {"'=A1;B"}
