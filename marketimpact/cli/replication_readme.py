"""The README of a replication package, by the headings that data editors of economics journals ask for."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from marketimpact.report import TABLE_DESCRIPTIONS

__all__ = ["price_option", "readme_text"]

_EMBEDDED = """\
The prices are the sample that comes inside the package marketimpact. They are **simulated**, with known effects, and
say nothing about the firms. They need not be obtained."""
_OBTAIN = """\
Prices are not part of this package, since their vendors' terms do not allow it. {how} Adjusted prices are rescaled
after dividends and splits, so that a later download may have another fingerprint; `rerun.py` then says so, and which
results differ."""
_EXACTLY = "The outputs are made of exactly these, so that the same prices give the same bytes."
#: How to obtain prices, by their kind.
_HOW = {
    "file": f"""\
To obtain them, download daily prices of the symbols below from the author's vendor, over the span below, as a
file with a row per symbol and date and the columns below, under the name that the source states, which the report
quotes. All columns listed count: closes make the returns, `open` those overnight and in the day (`car_by_leg`), and the
findings of the checks of prices, which read all of them, are among the outputs. {_EXACTLY}""",
    "folder": f"""\
To obtain them, download the vendor's CSV files below, one per symbol, with all their columns, into a folder of the name
that the source states, which the report quotes. {_EXACTLY}""",
    "store": """\
They lie in the author's price store. With a copy of the store, `--store FOLDER` names it, and `--snapshot` the snapshot
that the source states. Without one, `marketimpact fetch` fetches the symbols below and says its own snapshot, which the
report quotes.""",
    "other": "To obtain them, download daily prices of the symbols below from the source named.",
}
_COMPUTING = """\
Python {python}, the packages of `requirements.lock`, and marketimpact {marketimpact}. No network, no graphics card and
no other program is needed. A study of some dozen firms takes minutes and less than 2 GB of memory. Resampling uses
fixed seeds: the same inputs and versions give the same bytes."""
_OWN_PACKAGE = """\
marketimpact is on no package index. {where} `MARKETIMPACT` stands for its folder or its wheel. Its version number alone
does not say which copy it is: the one used here has the source hash `{sha256}` (SHA-256 over its modules, templates and
data). `rerun.py` computes that of the copy that is installed, and warns where it differs."""
_COMMAND = """\
`rerun.py` checks the files of this package, runs the study into the folder `rerun`, and says which outputs differ from
those in `outputs`."""
_INPUTS = """\
`study` has the author's files, `catalogue` the embedded ones: securities, groups and calendars. The program reads the
former from `study`, and the latter from marketimpact itself, whose source hash covers them. The embedded ones may be
copied and changed under the terms of `catalogue/LICENSE.md`; `catalogue/CITATION.cff` says how to name them, and
`catalogue/README.md` what their columns mean and how they were verified."""
_REFERENCES = """\
The marketimpact developers, *marketimpact: event studies of semiconductor policy*, version {marketimpact}. Sources of
announcements are named in their file, row by row; sources of tests and models in the documentation of marketimpact."""
_STUDY = "the study: announcements, groups, windows, model, tests"
_PROGRAMS = [
    ["`rerun.py`", "checks, runs and compares"],
    ["`manifest.json`", "SHA-256 of every file, and of the prices that are not here"],
    ["`requirements.lock`", "exact versions of all packages but marketimpact itself"],
]
#: Rows of the table of prices that only some kinds of them have.
_LISTS = {"columns": "columns", "origin": "what the file says of their origin", "files": "files"}
_TERMS = "The outputs contain returns computed from these prices: check your vendor's terms before you publish them."


def readme_text(manifest: Mapping[str, Any], *, title: str, question: str, frozen: str) -> str:
    """Write the README of a replication package.

    Parameters
    ----------
    manifest : mapping
        The content of ``manifest.json`` except the README itself.
    title, question : str
        Of the study.
    frozen : str
        Which announcements were used.
    """
    prices = manifest["prices"]
    embedded = prices["embedded"]
    command = f"python rerun.py{price_option(prices)}"
    steps = [
        "Install Python and the packages of `requirements.lock`, in an environment of their own, and marketimpact, as "
        "described under computational requirements.",
        *([] if embedded else ["Obtain the prices as described above."]),
        f"Run `{command}`. Exit code 0: everything is the same.",
    ]
    sections = [
        f"# Replication package: {title}",
        "## Overview",
        " ".join(filter(None, (question, "Once all is installed, one command repeats every table and chart:"))),
        f"```sh\npip install -r requirements.lock\npip install --no-deps MARKETIMPACT\n{command}\n```",
        _COMMAND,
        _registration(manifest),
        "## Data availability and provenance",
        "### Announcements, securities and calendars",
        _paragraph(frozen, _INPUTS),
        "### Prices",
        _EMBEDDED if embedded else _obtain(prices),
        _table(["", "prices used"], _price_rows(prices)),
        "" if embedded else _TERMS,
        "## Computational requirements",
        _paragraph(_COMPUTING.format(**manifest)),
        _own_package(manifest),
        "## Programs",
        _table(["file", "what"], [[f"`{manifest['study']}`", _STUDY], *_PROGRAMS]),
        "## Instructions",
        "\n".join(f"{n}. {step}" for n, step in enumerate(steps, start=1)),
        "## Tables and charts",
        "All are written by `marketimpact run`, which `rerun.py` calls.",
        _table(["output", "what"], _outputs(manifest["files"])),
        "## References",
        _REFERENCES.format(**manifest),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def price_option(prices: Mapping[str, Any]) -> str:
    """Write the option with which `rerun.py` finds the prices, by their kind; empty for embedded ones."""
    options = {"embedded": "", "folder": " --prices FOLDER", "store": " --snapshot NAME"}
    return options.get(prices["kind"], " --prices FILE")


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _paragraph(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), 120, break_long_words=False, break_on_hyphens=False)


def _obtain(prices: Mapping[str, Any]) -> str:
    """Say how to obtain prices, and what to do about symbols without any."""
    missing = "Symbols without prices were asked for and not there: leave them out." if prices["missing"] else ""
    return _paragraph(*filter(None, (_OBTAIN.format(how=_HOW[prices["kind"]]), missing)))


def _own_package(manifest: Mapping[str, Any]) -> str:
    """Say where to get marketimpact, and which copy."""
    source = manifest["marketimpact_source"]
    commit = f"commit {source['commit']}" if "commit" in source else None
    if "url" in source:
        where = f"Get it from {source['url']}{f', {commit}' if commit else ''}."
    else:
        where = f"Ask whoever handed you this package for the copy that was used{f' ({commit})' if commit else ''}."
    return _paragraph(_OWN_PACKAGE.format(where=where, sha256=source["sha256"]))


def _price_rows(prices: Mapping[str, Any]) -> list[list[str]]:
    return [
        ["source", prices["source"]],
        ["span", f"{prices['first']} to {prices['last']}"],
        ["symbols", ", ".join(prices["symbols"])],
        *([label, _code(prices[key])] for key, label in _LISTS.items() if prices.get(key)),
        ["without prices", ", ".join(prices["missing"]) or "none"],
        ["fingerprint (`market_sha256` of the record)", prices["sha256"]],
    ]


def _registration(manifest: Mapping[str, Any]) -> str:
    registration = manifest["registration"]
    if registration is None:
        return "This study was not registered."
    differs = registration["differences"]
    end = (
        f"The study differs from it, so that all results are exploratory: {'; '.join(differs)}."
        if differs
        else "Tables say which results are registered and which are exploratory."
    )
    return (
        f"The study was registered on {registration['registered_on']} (`registration.toml`, hash "
        f"`{registration['sha256']}`). {' '.join([end, *registration['notes']])}"
    )


def _outputs(files: Mapping[str, str]) -> list[list[str]]:
    """List the tables, each as one row for both formats, and the report."""
    outputs = [name for name in files if name.startswith("outputs/")]
    tables = sorted({name.rpartition(".")[0] for name in outputs if _is_table(name)})
    return [
        *([f"`{name}` (.csv, .parquet)", TABLE_DESCRIPTIONS[name.removeprefix("outputs/")]] for name in tables),
        *([f"`{name}`", "the report, with all of them"] for name in outputs if not _is_table(name)),
    ]


def _is_table(name: str) -> bool:
    return name.endswith((".csv", ".parquet"))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *[[cell.replace("|", r"\|") for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
