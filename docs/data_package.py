"""Write data/datapackage.json, which describes the files of data/ for other programs: python docs/data_package.py.

Types come from the contracts of the package, meanings from the tables of data/README.md, rows and hashes from the
files. The format is Frictionless Data Package, version 2; `tests/tooling/test_data_package.py` checks it against the
files. To describe a further file, add it to RESOURCES, and a section with its columns to data/README.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.core import schema
from marketimpact.core.schema import vocabulary
from marketimpact.events.catalogue_versions import CURRENT_VERSION, VERSIONS

DATA = Path(__file__).parents[1] / "data"
#: Name of a file without its ending -> its title, and the contract of its columns, if it has one.
RESOURCES = {
    "announcements": ("Announcements of semiconductor policy, and confounders", "Announcements"),
    "campaigns": ("Clusters of announcements", "Campaigns"),
    "evidence": ("The source behind each cell that changed", None),
    "exposures": ("China revenue shares of firms", "Exposures"),
    "shares": ("Shares outstanding of listings", "ShareCounts"),
    "policy_groups": ("What a firm of a role is in the trade in chips with China", None),
    "securities": ("Securities that announcements may hit", "Securities"),
    "calendar_overrides": ("Sessions, closures and hours that exchange_calendars lacks", "CalendarOverrides"),
}
TYPES = {
    pl.String: "string", pl.Date: "date", pl.Float64: "number", pl.Int64: "integer", pl.Boolean: "boolean",
    pl.Time: "time", pl.Datetime("us", "UTC"): "datetime", pl.List(pl.String): "list",
}  # fmt: skip
#: Column that no contract has -> its type, where that is not text.
OTHER_TYPES = {("evidence", "source_date"): "date"}
#: Column -> its closed list of words.
WORDS = {
    "time_precision": vocabulary.PRECISIONS, "stance": vocabulary.STANCES, "verification": vocabulary.VERIFICATIONS,
    "confidence": vocabulary.CONFIDENCES, "anticipated": vocabulary.ANTICIPATED,
}  # fmt: skip
#: How the cells of a type are written, beside the name of the type.
FORMS: dict[str, dict[str, str]] = {"list": {"delimiter": ";", "itemType": "string"}, "time": {"format": "%H:%M"}}


def package() -> dict[str, Any]:
    """Describe the files of data/ as a data package."""
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": "marketimpact-chronology",
        "title": "Chronology of semiconductor policy announcements",
        "version": CURRENT_VERSION,
        "created": f"{VERSIONS[-1].date}T00:00:00Z",
        "description": "Dated, sourced announcements of export controls and other chip policy, the shocks that "
        "confound them, and the securities they may hit. README.md documents every column.",
        "licenses": [
            {
                "name": "CC-BY-4.0",
                "path": "https://creativecommons.org/licenses/by/4.0/",
                "title": "Creative Commons Attribution 4.0",
            }
        ],
        "contributors": [{"title": "The marketimpact developers", "roles": ["author"]}],
        "resources": [_resource(name, DATA / f"{name}.csv") for name in RESOURCES]
        + [_resource("announcements", DATA / "versions" / f"announcements-{one.version}.csv", one.version)
           for one in VERSIONS[:-1]],
    }  # fmt: skip


def codebook() -> dict[tuple[str, str], str]:
    """Read what each column of each file means from the tables of data/README.md."""
    page = (DATA / "README.md").read_text(encoding="utf-8")
    sections = re.split(r"^## (\w+)\.csv$", page, flags=re.MULTILINE)
    return {
        (file, column): meaning.replace("`", "")
        for file, text in zip(sections[1::2], sections[2::2], strict=True)
        for columns, meaning in re.findall(r"^\| (`.+?`) \| (.+?) \|", text.partition("\n## ")[0], flags=re.MULTILINE)
        for column in re.findall(r"`(\w+)`", columns)
    }


def _resource(table: str, path: Path, version: str | None = None) -> dict[str, Any]:
    """Describe one file: where it is, its size and hash, and the type and meaning of its columns."""
    title, contract = RESOURCES[table]
    raw = path.read_bytes()
    frame = pl.read_csv(raw, infer_schema=False)
    keys = list(getattr(schema, contract).primary_key()) if contract else []
    return {
        "name": table if version is None else f"{table}-{version}",
        "path": path.relative_to(DATA).as_posix(),
        "title": title if version is None else f"{title}, version {version}",
        "type": "table",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": len(raw),
        "hash": f"sha256:{hashlib.sha256(raw).hexdigest()}",
        "rows": frame.height,
        "schema": {
            "fields": [_field(table, contract, name) for name in frame.columns],
            "missingValues": [""],
            **({"primaryKey": keys} if keys else {}),
        },
    }


def _field(table: str, contract: str | None, name: str) -> dict[str, Any]:
    """Describe one column."""
    columns = getattr(schema, contract).columns() if contract else {}
    kind = TYPES[columns[name].dtype] if name in columns else OTHER_TYPES.get((table, name), "string")
    constraints: dict[str, Any] = {}
    if name in columns and not columns[name].nullable:
        constraints["required"] = True
    if name in WORDS and table == "announcements":
        constraints["enum"] = list(WORDS[name])
    return {
        "name": name,
        "type": kind,
        **FORMS.get(kind, {}),
        "description": codebook()[table, name],
        **({"constraints": constraints} if constraints else {}),
    }


if __name__ == "__main__":
    text = json.dumps(package(), indent=2, ensure_ascii=False) + "\n"
    (DATA / "datapackage.json").write_text(text, encoding="utf-8")
