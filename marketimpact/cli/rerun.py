"""Repeat the study of a replication package and compare what it gives with what was handed over.

Run it in the folder of the package: python rerun.py [--prices FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RERUN = "rerun"


def main(words: list[str] | None = None) -> int:
    """Check the package, run the study and compare; return 0 where everything is the same, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prices", type=Path, help="prices: a Parquet or CSV file, or a folder with a file per symbol")
    parser.add_argument("--snapshot", help="prices of this snapshot of your price store")
    parser.add_argument("--store", type=Path, help="folder of the price store")
    options = parser.parse_args(words)
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    faults = _changed_files(manifest["files"])
    _show("Files of the package", faults)
    lock = (HERE / "requirements.lock").read_text(encoding="utf-8")
    own = f"marketimpact=={manifest['marketimpact']}\n"
    _show("Package versions", _other_versions(own + lock) + _other_source(manifest["marketimpact_source"]["sha256"]))
    prices = _price_options(options, manifest["prices"])
    if prices is None:
        return 1
    _remove_outputs(manifest["files"])
    told = _run(manifest["command"], prices)
    if told is None:
        return 1
    others = _compare_prices(told["record"], manifest["prices"])
    _show("Prices", others)
    outputs = _compare_outputs(manifest["files"], told)
    _show("Outputs", outputs)
    differ = bool(faults or others or outputs)
    print("The results differ." if differ else "Everything is the same, byte for byte.")
    return int(differ)


def _show(what: str, faults: list[str]) -> None:
    print(f"{what}: {'as handed over' if not faults else ''}".rstrip())
    for fault in faults:
        print(f"  {fault}")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _changed_files(files: dict[str, str]) -> list[str]:
    """List files of the manifest that are missing or changed."""
    missing = [f"{name} is missing" for name in files if not (HERE / name).is_file()]
    changed = [
        f"{name} was changed after it was handed over"
        for name, sha256 in files.items()
        if (HERE / name).is_file() and _sha256(HERE / name) != sha256
    ]
    return missing + changed


def _other_versions(lock: str) -> list[str]:
    """List packages whose version is not the one in the lock file."""
    found = []
    for line in lock.splitlines():
        name, separator, expected = line.partition("==")
        if not separator or line.startswith("#"):
            continue
        try:
            own = version(name)
        except PackageNotFoundError:
            own = "not installed"
        if own != expected:
            found.append(f"{name} {expected} was used, here it is {own}")
    return found


def _other_source(expected: str) -> list[str]:
    """Say where the installed marketimpact has another source, which its version alone does not show."""
    try:
        from marketimpact.cli.source_hash import source_sha256  # noqa: PLC0415  # it may not be installed
    except ImportError:
        return ["the source of marketimpact cannot be compared: it is not installed, or is of another version"]
    own = source_sha256()
    if own == expected:
        return []
    return [
        f"marketimpact of source {expected[:12]} was used, here it is {own[:12]}: another copy, whatever its version"
    ]


def _price_options(options: argparse.Namespace, prices: dict[str, Any]) -> list[str] | None:
    """Choose the options of prices; None where prices are needed and none were given."""
    given = {"--prices": options.prices, "--snapshot": options.snapshot, "--store": options.store}
    # what is given is relative to where the user is, the study runs in the package
    words = [
        word
        for name, value in given.items()
        if value is not None
        for word in (name, str(value.resolve() if isinstance(value, Path) else value))
    ]
    if words or prices["embedded"]:
        return words
    option = "--snapshot NAME" if prices["kind"] == "store" else "--prices FILE"
    print(
        f"This study needs prices that may not be handed on: {prices['source']}, {len(prices['symbols'])} symbols. "
        f"README.md says where they come from. Then: python rerun.py {option}"
    )
    return None


def _remove_outputs(files: dict[str, str]) -> None:
    """Remove outputs of an earlier rerun, so that none of them is taken for one of this."""
    for name in _outputs(files):
        (HERE / RERUN / name.removeprefix("outputs/")).unlink(missing_ok=True)


def _outputs(files: dict[str, str]) -> dict[str, str]:
    return {name: sha256 for name, sha256 in files.items() if name.startswith("outputs/")}


def _run(command: list[str], prices: list[str]) -> dict[str, Any] | None:
    """Run the study; give what it says as JSON, or None where it stopped."""
    words = [sys.executable, "-m", "marketimpact.cli", *command, *prices, "--out", RERUN, "--json"]
    done = subprocess.run(words, cwd=HERE, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)
    if done.returncode:
        print(f"The study stopped with exit code {done.returncode}.")
        return None
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _compare_prices(record: dict[str, str], prices: dict[str, Any]) -> list[str]:
    """Compare the fingerprint and the name of the prices."""
    faults = []
    if record["market_sha256"] != prices["sha256"]:
        faults.append(f"other prices: fingerprint {record['market_sha256'][:12]}, not {prices['sha256'][:12]}")
    if record["prices"] != prices["source"]:
        faults.append(f"their name is {record['prices']}, not {prices['source']}: the report quotes it")
    return faults


def _compare_outputs(files: dict[str, str], told: dict[str, Any]) -> list[str]:
    """List outputs that differ, of tables from which row on, and tables that were written only now."""
    expected = _outputs(files)
    faults = [f"{name} was written, and is not in the package" for name in told["tables"]
              if f"outputs/{name}.csv" not in expected]  # fmt: skip
    for name, sha256 in expected.items():
        own = HERE / RERUN / name.removeprefix("outputs/")
        if not own.is_file():
            faults.append(f"{name} was not written")
        elif _sha256(own) != sha256:
            faults.append(f"{name} differs{_first_difference(HERE / name, own)}")
    return faults


def _first_difference(one: Path, other: Path) -> str:
    """Say in which line two tables differ first."""
    if one.suffix != ".csv" or not one.is_file():
        return ""
    lines, others = (path.read_text(encoding="utf-8").splitlines() for path in (one, other))
    differing = [n for n, pair in enumerate(zip(lines, others, strict=False), start=1) if pair[0] != pair[1]]
    first = differing[0] if differing else min(len(lines), len(others)) + 1
    return f", first in line {first}; {len(differing)} of {len(lines)} lines differ"


if __name__ == "__main__":
    sys.exit(main())
