"""The command that packs a study, its inputs and its outputs into a replication package."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Annotated, Any

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from marketimpact.cli.listed_prices import describe_prices, only_listed
from marketimpact.cli.options import Directory
from marketimpact.cli.price_options import Prices, Snapshot, Yahoo, price_source
from marketimpact.cli.register import refuse_existing, write_new
from marketimpact.cli.registration import registered_analysis
from marketimpact.cli.replication_readme import price_option, readme_text
from marketimpact.cli.source_hash import source_origin, source_sha256
from marketimpact.cli.studies import Outcome, execute
from marketimpact.cli.study_file import StudyFile, read_study
from marketimpact.core.resources import resource
from marketimpact.errors import SpecificationError
from marketimpact.events.catalogue_versions import CURRENT_VERSION, version_file
from marketimpact.report import require_programs

__all__ = ["bundle", "locked_versions", "zip_bytes"]

FORMAT = 1
#: Time stamp of every file of a package: the earliest that a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)
PROGRAM = Path(__file__).with_name("rerun.py")
REGISTRATION = "registration.toml"
#: Embedded inputs of every study, besides the announcements.
EMBEDDED = ("securities.csv", "policy_groups.csv", "calendar_overrides.csv")
#: Endings of the documentation and terms of the embedded data.
DOCUMENTS = ("", ".md", ".json", ".cff", ".txt")


def bundle(
    study: Annotated[str, typer.Argument(help="Study file (TOML), or the name of an embedded study.")],
    out: Annotated[Path, typer.Option(help="Package to write, such as bundle.zip.")],
    prices: Prices = None,
    yahoo: Yahoo = False,
    snapshot: Snapshot = None,
    directory: Directory = None,
    registered: Annotated[Path | None, typer.Option(help="Registration of the study, which is packed too.")] = None,
    exploratory: Annotated[
        bool, typer.Option("--exploratory", help="Go on where the study differs from its registration.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the package if it is there.")] = False,
) -> None:
    """Run a study and pack it for others to repeat with one command.

    The package has the inputs, exact versions, outputs, and the hash of every file. Prices are not packed, since their
    vendors' terms do not allow it: the package lists their symbols and columns, of which alone its outputs are made,
    and their fingerprint.
    """
    if exploratory and registered is None:
        raise typer.BadParameter("--exploratory goes with --registered")
    if out.suffix != ".zip":
        raise typer.BadParameter(f"{out} must end in .zip", param_hint="--out")
    refuse_existing(out, force=force)
    require_programs([])
    source = price_source(prices, snapshot, directory, yahoo=yahoo)
    plan = read_study(study)
    inputs = study_files(plan)
    analysis = None if registered is None else registered_analysis(registered, plan, exploratory=exploratory)
    if registered is not None:
        inputs[REGISTRATION] = registered.read_bytes()
    symbols = plan.symbols()
    with tempfile.TemporaryDirectory() as folder, only_listed(source, symbols) as listed:
        outcome = execute(plan, listed, Path(folder), ["html"], analysis)
        outputs = {f"outputs/{path.name}": path.read_bytes() for path in sorted(Path(folder).iterdir())}
        described = describe_prices(listed, symbols)
    files = package_files(plan, outcome, {**inputs, **outputs}, described)
    write_new(out, zip_bytes(files))
    typer.echo(f"Package: {out} ({len(files)} files)")
    typer.echo(f"Repeat it: unzip it, then python rerun.py{price_option(described)}")


def study_files(plan: StudyFile) -> dict[str, bytes]:
    """Collect the study file and the inputs that may be packed, by their paths in the package.

    Raises
    ------
    SpecificationError
        For a file of one's own outside the folder of the study file, where the package could not keep its path.
    """
    assert plan.file is not None  # of a study that was read
    files = {f"study/{plan.file.name}": plan.file.read_bytes()}
    for table, key in (("announcements", "file"), ("securities", "file"), ("prices", "calendar_overrides")):
        name = plan.content.get(table, {}).get(key)
        if name is None:
            continue
        inside = Path(os.path.normpath(name))
        if inside.is_absolute() or ".." in inside.parts:
            raise SpecificationError(
                f"{plan.source.name}: [{table}] {key} = {name!r} is not in the folder of the study file, so a package "
                "would not find it. Put it beside the study file, and name it relative to that."
            )
        files[f"study/{inside.as_posix()}"] = (plan.file.parent / inside).read_bytes()
    if plan.announcements_file is None:
        files["catalogue/announcements.csv"] = version_file(plan.version or CURRENT_VERSION).read_bytes()
    files |= {f"catalogue/{name}": resource("data", name).read_bytes() for name in EMBEDDED}
    documents = sorted(path for path in resource("data").iterdir() if path.is_file() and path.suffix in DOCUMENTS)
    return files | {f"catalogue/{path.name}": path.read_bytes() for path in documents}


def package_files(
    plan: StudyFile,
    outcome: Outcome,
    files: Mapping[str, bytes],
    prices: Mapping[str, Any],
) -> dict[str, bytes]:
    """Add program, lock file, README and manifest to the inputs and outputs; `prices` as `describe_prices` has them."""
    analysis = outcome.analysis
    lock = lock_text(locked_versions(_extras(plan))).encode()
    packed = {**files, "rerun.py": PROGRAM.read_bytes(), "requirements.lock": lock}
    assert plan.file is not None  # of a study that was read
    path = f"study/{plan.file.name}"
    own = [] if analysis is None else ["--registered", REGISTRATION]
    own += ["--exploratory"] if analysis is not None and analysis.differences else []
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "marketimpact": version("marketimpact"),
        "marketimpact_source": {"sha256": source_sha256(), **source_origin()},
        "python": platform.python_version(),
        "study": path,
        "command": ["run", path, "--only-listed", *own],
        "registration": None
        if analysis is None
        else {
            "sha256": analysis.hash,
            "registered_on": analysis.registered_on,
            "differences": list(analysis.differences),
            "notes": list(analysis.notes),
        },
        "prices": _prices(outcome, prices),
        "record": dict(outcome.run.result.record),
        "files": {name: hashlib.sha256(packed[name]).hexdigest() for name in sorted(packed)},
    }
    chosen = (
        f"The announcements are version {plan.version or CURRENT_VERSION} of marketimpact's chronology, "
        "`catalogue/announcements.csv`."
        if plan.announcements_file is None
        else f"The announcements are the author's own file, {plan.announcements_file.name}, in `study`."
    )
    packed["README.md"] = readme_text(manifest, title=plan.title, question=plan.question, frozen=chosen).encode()
    manifest["files"]["README.md"] = hashlib.sha256(packed["README.md"]).hexdigest()
    packed["manifest.json"] = (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()
    return packed


def _prices(outcome: Outcome, described: Mapping[str, Any]) -> dict[str, Any]:
    """Name the prices: source, fingerprint, and what `describe_prices` says of them."""
    market = outcome.run.result.market
    return {
        "source": market.source,
        "simulated": market.simulated,
        "embedded": described["kind"] == "embedded",
        **described,
        "sha256": market.fingerprint,
    }


def lock_text(lines: Iterable[str]) -> str:
    """Write a file that pip installs; marketimpact itself is on no index, and is a comment."""
    own = f"marketimpact=={version('marketimpact')}"
    head = [
        f"# Python {platform.python_version()}",
        f"# {own} is not below, since it comes from no package index: README.md says from where",
    ]
    return "".join(f"{line}\n" for line in [*head, *(line for line in lines if line != own)])


def _extras(plan: StudyFile) -> set[str]:
    """List the extras of marketimpact that the study needs."""
    garch = "arch" in plan.study.model.name
    own = (plan.announcements_file, plan.securities_file, plan.overrides_file)
    excel = any(path is not None and path.suffix.lower() == ".xlsx" for path in own)
    return {name for name, needed in (("garch", garch), ("excel", excel)) if needed}


def locked_versions(extras: Iterable[str] = ()) -> list[str]:
    """List marketimpact and every package that it needs here, as ``name==version``.

    Examples
    --------
    >>> any(line.startswith("polars==") for line in locked_versions())
    True
    """
    found: dict[str, str] = {}
    waiting = [("marketimpact", frozenset(extras))]
    seen = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        own = distribution(name)
        found[canonicalize_name(name)] = own.version
        for text in own.requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in wanted or {""}):
                waiting.append((needed.name, frozenset(needed.extras)))
    return [f"{name}=={found[name]}" for name in sorted(found)]


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Pack files in the order of their names with fixed time stamps: the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # as on Unix, wherever it is packed
            entry.external_attr = 0o644 << 16
            package.writestr(entry, files[name])
    return buffer.getvalue()
