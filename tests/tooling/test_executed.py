"""Programs of pages: what they give stands below them, is kept, and an error stops the build."""

from __future__ import annotations

import logging

import nbformat
import pytest

from docs import executed

PAGE = """# Title

```python
a = 6 * 7
```

Words between.

```python
print(a, "<b>")
```

```r
library(none)
```

```python
class Table:
    def _repr_html_(self):
        return "<style>td {color: red}</style>\\n<table><tr><td>" + "long " * 20 + "</td></tr></table>"


class Chart:
    def _repr_mimebundle_(self, **_):
        return {"image/svg+xml": "<svg><g class='role-title-text'><text>My &amp; title</text></g></svg>"}


display(Table())
Chart()
```
"""
#: jupyter's own warnings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(executed, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(executed, "inputs", lambda: "as they are")
    return tmp_path / "kept"


def test_what_a_program_gives_stands_below_it_and_is_kept(kept, monkeypatch):
    text, pictures = executed.from_page(PAGE, "page")
    first, between, second, *_ = text.split("\n\n")[1:]
    assert (first, between) == ("```python\na = 6 * 7\n```", "Words between.")
    assert second == '```python\nprint(a, "<b>")\n```'
    assert '<pre class="output" tabindex="0">42 &lt;b&gt;</pre>' in text
    assert text.count("library(none)") == 1
    assert '<td class="long">long long' in text
    assert "color: red" not in text.split("display(Table())")[1]
    assert "![My & title](page_1.svg){.drawn}" in text
    assert list(pictures) == ["page_1.svg"]
    assert pictures["page_1.svg"].startswith(b"<svg>")

    def fail(_):
        raise AssertionError("run again")

    monkeypatch.setattr(executed, "execute", fail)
    assert executed.from_page(PAGE.replace("Words", "Other words"), "page")[1] == pictures
    with pytest.raises(AssertionError, match="run again"):
        executed.from_page(PAGE.replace("6 * 7", "6 * 8"), "page")
    monkeypatch.setattr(executed, "inputs", lambda: "the package changed")
    with pytest.raises(AssertionError, match="run again"):
        executed.from_page(PAGE, "page")


def test_a_progress_bar_that_has_gone_leaves_nothing():
    gone = nbformat.v4.new_output("display_data", data={"text/html": "", "text/plain": "<HTML object>"})
    assert executed.shown(gone, "page", {}) == ""


def test_the_build_says_what_runs_and_what_is_kept(kept, monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="mkdocs.executed")
    monkeypatch.setattr(executed, "execute", lambda notebook: notebook)
    story = tmp_path / "story.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), story)
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    executed.run_side_by_side([story], [page])
    counted, running, *each, end = caplog.messages
    assert counted.startswith("Programs of 1 notebooks and 1 pages: 2 to run, 0 unchanged")
    assert running.startswith("Running ")
    assert sorted(line.split(": ")[1] for line in each) == ["page.md has run", "story.ipynb has run"]
    assert [line.split(": ")[0] for line in each] == ["1 of 2", "2 of 2"]
    assert "the next build runs only what has changed" in end
    caplog.clear()
    executed.run_side_by_side([story], [page])
    assert len(caplog.messages) == 1
    assert "0 to run, 2 unchanged" in caplog.text


def test_what_no_page_needs_is_forgotten(kept, monkeypatch):
    monkeypatch.setattr(executed, "USED", set())
    monkeypatch.setattr(executed, "execute", lambda notebook: notebook)
    kept.mkdir()
    (kept / "old.ipynb").write_text("{}")
    executed.from_page(PAGE, "page")
    assert len(list(kept.iterdir())) == 2
    executed.forget_others()
    assert [path.name for path in kept.iterdir()] == [path.name for path in executed.USED]


def test_an_error_names_the_page_and_nothing_is_kept(kept):
    with pytest.raises(executed.CellExecutionError, match="ZeroDivisionError") as caught:
        executed.from_page("```python\n1 / 0\n```\n", "broken")
    assert caught.value.__notes__ == ["This happened in broken.md."]
    assert not kept.exists()


def test_the_package_and_its_data_are_among_the_inputs(monkeypatch, tmp_path):
    (tmp_path / "marketimpact").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(executed, "ROOT", tmp_path)
    seen = [executed.inputs.__wrapped__()]
    for name in ("marketimpact/a.py", "data/a.csv"):
        (tmp_path / name).write_text("1")
        seen.append(executed.inputs.__wrapped__())
        (tmp_path / name).write_text("2")
        seen.append(executed.inputs.__wrapped__())
    assert len(set(seen)) == 5


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (["<text>One &amp; only</text>"], "One & only"),
        (["<text>NVDA</text>", "<text>AMD</text>", "<text>Both leave the band</text>"], "Both leave the band"),
        (["<text><tspan>A long</tspan><tspan x='0'>title</tspan></text>"], "A long title"),
        ([], ""),
    ],
)
def test_a_chart_is_described_by_its_own_title_in_one_line(titles, expected):
    groups = "".join(f"<g class='mark-text role-title-text'>{title}</g>" for title in titles)
    assert executed.title_of(f"<svg>{groups}</svg>") == expected
