"""Twelve rooms, imports that point down only, and a picture and tables that say the same."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import combinations

import grimp
import pytest

from docs import architecture
from tests.conftest import ROOT

#: Rooms in their layers, the highest first. `errors` is a module beside them.
LAYERS = [
    {"cli"},
    {"report"},
    {"analyses"},
    {"study"},
    {"estimation"},
    {"market", "inference"},
    {"models", "events", "sources"},
    {"core", "display"},
    {"errors"},
]
ROOMS = set().union(*LAYERS) - {"errors"}
#: Packages inside rooms.
NESTED = {
    "sources.yahoo", "sources.store", "sources.files", "sources.french", "market.checks", "inference.families",
    "inference.correlation", "analyses.specification_curve", "core.schema",
}  # fmt: skip
#: Arrows between rooms, those to `errors` among them. Fewer is better: lower the number when one goes.
MOST_ARROWS = 56


@cache
def graph() -> grimp.ImportGraph:
    """Imports of the package, those for types only too."""
    return grimp.build_graph("marketimpact", exclude_type_checking_imports=False, cache_dir=None)


def room_of(module: str) -> str:
    return module.split(".")[1]


def arrows() -> dict[tuple[str, str], list[str]]:
    """Room and room it imports from -> the imports."""
    found: dict[tuple[str, str], list[str]] = {}
    for importer in graph().modules - {"marketimpact"}:
        for imported in graph().find_modules_directly_imported_by(importer) - {"marketimpact"}:
            pair = room_of(importer), room_of(imported)
            if pair[0] != pair[1]:
                found.setdefault(pair, []).append(f"{importer} -> {imported}")
    return found


def sibling_imports(package: str) -> dict[str, set[str]]:
    """Each child of a package -> the other children that something in it imports from."""
    depth = package.count(".") + 2
    imports: dict[str, set[str]] = {child: set() for child in graph().find_children(package)}
    for importer in (m for m in graph().modules if m.startswith(f"{package}.")):
        child = ".".join(importer.split(".")[:depth])
        for imported in graph().find_modules_directly_imported_by(importer):
            other = ".".join(imported.split(".")[:depth])
            if other in imports and other != child:
                imports[child].add(other)
    return imports


def packages() -> list[str]:
    return sorted(module for module in graph().modules if graph().find_children(module))


def test_there_are_twelve_rooms():
    children = {room_of(module) for module in graph().find_children("marketimpact")}
    assert len(ROOMS) == 12
    assert children == ROOMS | {"errors"}
    folders = {path.parent.name for path in (ROOT / "marketimpact").glob("*/__init__.py")}
    assert folders == ROOMS
    files = {path.name for path in (ROOT / "marketimpact").glob("*.py")}
    assert files == {"__init__.py", "errors.py"}


def test_packages_inside_rooms_are_those_planned():
    nested = {package.removeprefix("marketimpact.") for package in packages()} - ROOMS - {"marketimpact"}
    assert nested == NESTED
    with_modules = {path.parent for path in (ROOT / "marketimpact").rglob("*.py")}
    assert {path.relative_to(ROOT / "marketimpact").as_posix() for path in with_modules} == {
        ".", *ROOMS, *(name.replace(".", "/") for name in NESTED),
    }  # fmt: skip


def test_the_contract_of_the_linter_has_the_same_layers():
    assert [set(layer) for layer in architecture.layers()] == LAYERS


def test_no_import_points_up_or_sideways():
    level = {room: n for n, layer in enumerate(LAYERS) for room in layer}
    wrong = {pair: imports for pair, imports in arrows().items() if level[pair[0]] >= level[pair[1]]}
    assert not wrong


def test_the_rooms_are_not_more_entangled_than_they_were():
    assert len(arrows()) <= MOST_ARROWS, sorted(arrows())


@pytest.mark.parametrize("package", packages())
def test_no_circle_between_siblings(package):
    try:
        TopologicalSorter(sibling_imports(package)).prepare()
    except CycleError as error:
        pytest.fail(f"{package}: {' -> '.join(reversed(error.args[1]))}")


def test_a_circle_would_be_found():
    names = [f"marketimpact.{room}" for room in ("study", "analyses")]
    imports = sibling_imports("marketimpact")
    assert names[0] in imports[names[1]]
    imports[names[0]].add(names[1])
    with pytest.raises(CycleError):
        TopologicalSorter(imports).prepare()


@pytest.mark.parametrize("path", architecture.files(), ids=lambda path: path.name)
def test_the_picture_is_drawn_from_the_layers(path):
    assert path.read_bytes() == architecture.files()[path].encode(), "python docs/architecture.py"


def test_the_picture_loads_nothing_from_other_hosts():
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"\s]+", picture) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"@import|@font-face|<image|href=", picture)


def test_no_boxes_of_the_picture_overlap():
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    boxes = [
        tuple(map(float, box))
        for box in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', picture)
    ]
    assert len(boxes) == len(ROOMS) + 1
    for one, other in combinations(boxes, 2):
        apart = (a + size <= b or b + other_size <= a
                 for a, b, size, other_size in zip(one[:2], other[:2], one[2:], other[2:], strict=True))  # fmt: skip
        assert any(apart), (one, other)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_says_what_it_is_in_one_sentence(room):
    source = (ROOT / "marketimpact" / room / "__init__.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring, f"{room} has no docstring"
    assert docstring.endswith(".")
    assert not re.search(r"[.!?]\s", docstring), docstring


def test_the_table_of_rooms_names_these_rooms():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("| room | what it does |")[1].split("\n\n")[0]
    sentences = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, flags=re.MULTILINE))
    assert list(sentences) == [room for layer in architecture.layers() for room in layer if room in ROOMS]
    assert all(sentence.endswith(".") and ". " not in sentence for sentence in sentences.values())


def test_the_page_adds_one_of_each_kind():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))
    for kind in ("a model", "a test", "a source", "a procedure"):
        assert "```python\n" in text[f"Add {kind}"], kind
