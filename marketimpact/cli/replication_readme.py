"""The README of a replication package, by the headings that data editors of economics journals ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marketimpact.report import TABLE_DESCRIPTIONS

__all__ = ["readme_text"]

_EMBEDDED = """\
The prices are the sample that comes inside the package marketimpact. They are **simulated**, with known effects, and
say nothing about the firms. They need not be obtained."""
_NOT_SHIPPED = """\
Prices are not part of this package, since their vendors' terms do not allow it. To obtain them, download daily prices
of the symbols below from the source named, as a Parquet or CSV file with a row per symbol and date (`symbol`, `date`,
`close` or `adj_close`, `volume`), and give the file the name that the source states, which the report quotes. Adjusted
prices are rescaled after dividends and splits, so that a later download may have another fingerprint; `rerun.py` then
says so, and which results differ."""
_COMPUTING = """\
Python {python} and the packages of `requirements.lock`, of which marketimpact {marketimpact} is one. No network, no
graphics card and no other program is needed. A study of some dozen firms takes minutes and less than 2 GB of memory.
Resampling uses fixed seeds: the same inputs and versions give the same bytes."""
_COMMAND = """\
It checks the files of this package, runs the study into the folder `rerun`, and says which outputs differ from those in
`outputs`."""
_INPUTS = """\
`catalogue` and `study` have copies of them. The program reads the author's own files from `study`, and embedded ones
from marketimpact itself, which has the same files in the version that `requirements.lock` names. The embedded ones may
be copied and changed under the terms of `catalogue/LICENSE.md`; `catalogue/CITATION.cff` says how to name them, and
`catalogue/README.md` what their columns mean and how they were verified."""
_REFERENCES = """\
The marketimpact developers, *marketimpact: event studies of semiconductor policy*, version {marketimpact}. Sources of
announcements are named in their file, row by row; sources of tests and models in the documentation of marketimpact."""
_STUDY = "the study: announcements, groups, windows, model, tests"
_PROGRAMS = [
    ["`rerun.py`", "checks, runs and compares"],
    ["`manifest.json`", "SHA-256 of every file, and of the prices that are not here"],
    ["`requirements.lock`", "exact versions of all packages"],
]
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
    command = f"python rerun.py{'' if embedded else ' --prices FILE'}"
    steps = [
        "Install Python and the packages of `requirements.lock`, in an environment of their own.",
        *([] if embedded else ["Obtain the prices as described above."]),
        f"Run `{command}`. Exit code 0: everything is the same.",
    ]
    sections = [
        f"# Replication package: {title}",
        "## Overview",
        " ".join(filter(None, (question, "One command repeats every table and chart:"))),
        f"```sh\npip install -r requirements.lock\n{command}\n```",
        _COMMAND,
        _registration(manifest),
        "## Data availability and provenance",
        "### Announcements, securities and calendars",
        f"{frozen} {_INPUTS}",
        "### Prices",
        _EMBEDDED if embedded else _NOT_SHIPPED,
        _table(["", "prices used"], _price_rows(prices)),
        "" if embedded else _TERMS,
        "## Computational requirements",
        _COMPUTING.format(**manifest),
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


def _price_rows(prices: Mapping[str, Any]) -> list[list[str]]:
    return [
        ["source", prices["source"]],
        ["span", f"{prices['first']} to {prices['last']}"],
        ["symbols", ", ".join(prices["symbols"])],
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
    """List the outputs, tables as one row for both formats."""
    outputs = [name for name in files if name.startswith("outputs/")]
    rows = []
    for name in sorted({name.rpartition(".")[0] if _is_table(name) else name for name in outputs}):
        known = TABLE_DESCRIPTIONS.get(name.removeprefix("outputs/"))
        rows.append([f"`{name}`" + (" (.csv, .parquet)" if known else ""), known or "the report, with all of them"])
    return rows


def _is_table(name: str) -> bool:
    return name.endswith((".csv", ".parquet"))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *[[cell.replace("|", r"\|") for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
