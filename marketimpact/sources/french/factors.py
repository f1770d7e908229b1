"""Read daily factors of Kenneth French's data library, from disk or from its site."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial, reduce
from pathlib import Path
from time import monotonic
from typing import Any

import polars as pl

from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import DataError, SourceError, SpecificationError
from marketimpact.sources.bounded_requests import BLOCK_BYTES, read_body, run_within
from marketimpact.sources.french.parser import FACTORS, join_factors, parse_factors, read_file
from marketimpact.sources.protocol import check_range, within

__all__ = ["FrenchFactors", "wrong_market"]

BASE = "https://mba.tuck.dartmouth.edu/pages/faculty/ken.french/ftp/"
DEFAULT_DATASET = "F-F_Research_Data_5_Factors_2x3_daily"
#: Seconds to connect, and seconds without a byte.
TIMEOUT = (10.0, 30.0)
#: Seconds of a download with its retries.
DOWNLOAD_SECONDS = 120.0
RETRIES = 3
#: HTTP statuses after which the same request may succeed.
RETRYABLE = (429, 500, 502, 503, 504)

UNKNOWN = "unknown"
UNITED_STATES = (
    "XNYS XNAS XASE ARCX BATS XNGS XNMS XNCM XNIM XBOS XPSX XPHL XPSE XCIS XCHI IEXG BATY EDGA EDGX MEMX LTSE "
    "OOTC OTCM OTCQ OTCB PINX"
)
CANADA = "XTSE XTSX XTNX XCNQ NEOE"
JAPAN = "XTKS XJPX"
PACIFIC = "XHKG XGEM XASX CHIA XSES XSCA XNZE"
EUROPE = (
    "XAMS ALXA XETR XETA XETB XFRA FRAA FRAB XSTU XDUS XHAM XPAR ALXP XMLI XLON AIMX XBRU ALXB MLXB XSWX XVTX XWBO "
    "WBAH XCSE FNDK DSME XMAD BMEX XMCE XHEL FNFI FSME ASEX XATH XDUB XMSM XESM XMIL MTAA EXGM XOSL XOAS MERK XLIS "
    "ALXL XSTO FNSE SSME"
)
EMERGING = (
    "XSHG XSHE XTAI ROCO XKRX XKOS XKON XBOM XNSE XBKK XMAI XIDX XKLS MESQ XPHS XKAR BVMF XMEX BIVA XBUE XSGO XLIM "
    "XBOG XJSE XSAU XIST XWAR XNCO XPRA XBUD XMOS MISX"
)
#: Region -> MICs of its exchanges, narrow regions first; French's documentation lists the countries.
REGIONS = {
    "US": UNITED_STATES,
    "Japan": JAPAN,
    "Asia_Pacific_ex_Japan": PACIFIC,
    "North_America": f"{UNITED_STATES} {CANADA}",
    "Europe": EUROPE,
    "Developed_ex_US": f"{CANADA} {JAPAN} {PACIFIC} {EUROPE}",
    "Developed": f"{UNITED_STATES} {CANADA} {JAPAN} {PACIFIC} {EUROPE}",
    "Emerging": EMERGING,
}


@dataclass(frozen=True, slots=True)
class FrenchFactors:
    """Daily Fama-French factors, in decimals.

    The factors of every region are in US dollars: with returns in local currency, the change of the exchange
    rate stays in the abnormal return. `rf` is always the US one-month bill rate. The files end one to two
    months before today.

    Usual names for the US: ``F-F_Research_Data_Factors_daily``, ``F-F_Research_Data_5_Factors_2x3_daily``,
    ``F-F_Momentum_Factor_daily``; for the regions ``Japan_3_Factors_Daily``, ``Japan_5_Factors_Daily``,
    ``Japan_Mom_Factor_Daily`` and so on, but ``Asia_Pacific_ex_Japan_MOM_Factor_Daily``.

    Parameters
    ----------
    name : str or tuple of str
        A dataset on Kenneth French's site, with or without ``_CSV.zip``. Several of one region are joined by date: the
        first sets the days, a day that another lacks is empty in its columns.
    path : str, pathlib.Path or tuple of these, optional
        CSV or zip (by deflate) from that site on disk, at most 50 MB, or several, joined likewise; `name` and the
        network are then not used.
    get : callable, optional
        Fetches a URL as bytes, raising `OSError` where it cannot. By default `requests`, with up to three retries in
        two minutes, and at most 50 MB. Its other errors are not caught.

    Raises
    ------
    SpecificationError
        If a name or path is invalid, a name not of a daily file, or the files are of several regions.

    Examples
    --------
    >>> FrenchFactors(("F-F_Research_Data_Factors_daily", "F-F_Momentum_Factor_daily")).region
    'US'
    >>> FrenchFactors("Japan_3_Factors_Daily_CSV.zip").name
    'Japan_3_Factors_Daily'
    """

    name: str | tuple[str, ...] = DEFAULT_DATASET
    path: str | Path | tuple[str | Path, ...] | None = None
    get: Callable[[str], bytes] | None = None

    def __post_init__(self) -> None:
        if self.path is None:
            names = tuple(_dataset_name(name) for name in _as_tuple(self.name))
            object.__setattr__(self, "name", names[0] if isinstance(self.name, str) else names)
        else:
            object.__setattr__(self, "path", _paths(self.path))
        labels = self._labels()
        if not labels:
            raise SpecificationError(f"FrenchFactors has no dataset. Give at least one, such as {DEFAULT_DATASET!r}.")
        regions = sorted({_region(label) for label in labels} - {UNKNOWN})
        if len(regions) > 1:
            raise SpecificationError(
                f"{listed(labels)} are of several regions: {listed(regions)}. Read them separately."
            )

    @property
    def region(self) -> str:
        """Return the region in the name of the dataset or file, such as 'US'; 'unknown' for a renamed file."""
        return next((region for region in map(_region, self._labels()) if region != UNKNOWN), UNKNOWN)

    def read(self, first: date | None = None, last: date | None = None) -> pl.DataFrame:
        """Read factors from disk or from Kenneth French's site.

        Parameters
        ----------
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        polars.DataFrame
            `date` and, as far as the files have them, ``mktrf smb hml rmw cma mom rf``: Float64, decimals
            (0.01 for 1 %), the codes -99.99 and -999 as null. One row per date, sorted.

        Raises
        ------
        SpecificationError
            If the bounds are not in order, or `get` returns no bytes.
        DataError
            If a file is absent, too large, a damaged zip, not in his format, not daily, repeats a date or has a value
            that is no number, or two files have the same factor.
        SourceError
            If the network fails, or a file has no row on the requested dates.
        """
        check_range(first, last)
        frame = reduce(join_factors, (_read(raw, label, first, last) for label, raw in self._contents()))
        return frame.select("date", *(name for name in FACTORS if name in frame.columns))

    def _labels(self) -> tuple[str, ...]:
        """Return the names of the datasets or files."""
        return _as_tuple(self.name) if self.path is None else tuple(Path(path).name for path in _as_tuple(self.path))

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield the label of each dataset for messages, and its bytes."""
        if self.path is None:
            for name in _as_tuple(self.name):
                yield name, _fetch(f"{BASE}{name}_CSV.zip", name, self.get or _get)
            return
        for path in _as_tuple(self.path):
            yield Path(path).name, read_file(_expanded(path))


def wrong_market(mics: Iterable[str], region: str) -> str | None:
    """Return a warning where factors of `region` are used for securities listed elsewhere.

    Parameters
    ----------
    mics : iterable of str
        Market identifier codes (ISO 10383) of the listings, such as 'XNAS'.
    region : str
        As `FrenchFactors.region` gives it.

    Returns
    -------
    str or None
        Text of the warning; None where every exchange is in the region, or the region is 'unknown'.

    Raises
    ------
    SpecificationError
        If there is no such region.

    Examples
    --------
    >>> wrong_market(["XNYS", "XNAS"], "US") is None
    True
    """
    if region == UNKNOWN:
        return None
    if region not in REGIONS:
        raise SpecificationError(
            f"{region!r} is not a region of Kenneth French's factors.{did_you_mean(region, REGIONS)} "
            f"Regions: {', '.join(REGIONS)}."
        )
    outside = sorted(set(mics).difference(REGIONS[region].split()))
    if not outside:
        return None
    region_of = {mic: next((name for name, mics in REGIONS.items() if mic in mics.split()), UNKNOWN) for mic in outside}
    uncovered = [mic for mic in outside if region_of[mic] in (UNKNOWN, "Emerging")]  # no daily Emerging factors known
    advice = [
        f"Daily factors of {name} cover {', '.join(mic for mic in outside if region_of[mic] == name)}."
        for name in sorted(set(region_of.values()) - {UNKNOWN, "Emerging"})
    ]
    if uncovered:
        advice.append(
            f"No daily factors of Kenneth French's library are known to cover {', '.join(uncovered)}: "
            "use a local benchmark."
        )
    return (
        f"Factors of region {region} are used for securities on {', '.join(outside)}, outside it: they "
        f"measure another market at other hours. {' '.join(advice)}"
    )


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _paths(paths: Any) -> Any:
    """Return a path, or a tuple of them; raise SpecificationError for anything else."""
    given = _as_tuple(paths)
    if invalid := [path for path in given if not isinstance(path, str | Path)]:
        raise SpecificationError(f"path={invalid[0]!r} is not a path. Give the path of a CSV or zip, or several.")
    return given if isinstance(paths, tuple | list) else paths


def _expanded(path: str | Path) -> Path:
    """Return a path with the home folder for ``~``, or raise DataError."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"{path} cannot be read ({error}). Write the path without ~.") from error


def _dataset_name(name: object) -> str:
    """Strip the ending of a dataset's name; raise SpecificationError for other names."""
    dataset = re.sub(r"(_CSV)?(\.zip|\.csv)?$", "", name.strip(), flags=re.IGNORECASE) if isinstance(name, str) else ""
    if not re.fullmatch(r"[\w-]+", dataset, flags=re.ASCII):
        raise SpecificationError(
            f"{name!r} is not a dataset of Kenneth French's library, such as {DEFAULT_DATASET!r}. "
            "Give a file on disk as path=."
        )
    if not dataset.lower().endswith("_daily"):
        raise SpecificationError(f"{name!r} is not a daily dataset. Give one whose name ends in '_daily'.")
    return dataset


def _region(label: str) -> str:
    """Return the region at the start of a name, or 'unknown'."""
    if label.lower().startswith("f-f_"):
        return "US"
    # Developed_ex_US is tried before Developed, which it starts with
    return next((name for name in REGIONS if label.lower().startswith(f"{name.lower()}_") and name != "US"), UNKNOWN)


def _get(url: str) -> bytes:
    """Download within `DOWNLOAD_SECONDS`, with timeouts and retries."""
    return run_within(partial(_download, url, monotonic() + DOWNLOAD_SECONDS), DOWNLOAD_SECONDS)


def _download(url: str, end: float) -> bytes:
    """Download until `end`, a time of `time.monotonic`."""
    import requests  # noqa: PLC0415  # slow to import
    from urllib3.util import Retry  # noqa: PLC0415

    # without Retry-After, which would let a server delay the call without limit
    retry = Retry(RETRIES, backoff_factor=0.5, status_forcelist=RETRYABLE, respect_retry_after_header=False)
    with requests.Session() as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
        with session.get(url, timeout=TIMEOUT, stream=True) as answer:
            answer.raise_for_status()
            return read_body(answer.iter_content(BLOCK_BYTES), end)


def _fetch(url: str, name: str, get: Callable[[str], bytes]) -> bytes:
    """Download a dataset; raise SourceError where that fails."""
    try:
        content = get(url)
    except OSError as error:  # base class of all errors of requests
        status = getattr(getattr(error, "response", None), "status_code", None)
        is_final = status is not None and status not in RETRYABLE
        message = (
            f"{url} could not be fetched ({type(error).__name__}: {error}). "
            + ("Check the name on Kenneth French's site. " if is_final else "Check the network, or try again later. ")
            + "Read a file saved from a browser with FrenchFactors(path=...)."
        )
        raise SourceError(message, source="FrenchFactors()", symbols=(name,), retryable=not is_final) from error
    if not isinstance(content, bytes):
        raise SpecificationError(f"get({url!r}) returned {type(content).__name__}. Return the bytes of the answer.")
    return content


def _read(raw: bytes, label: str, first: date | None, last: date | None) -> pl.DataFrame:
    """Parse a file and filter it by date; raise SourceError where no row is left."""
    factors = parse_factors(raw, label)
    frame = within(factors, first, last)
    if frame.is_empty():
        message = (
            f"{label} has no factors on the requested dates: it goes from {factors.item(0, 'date')} to "
            f"{factors.item(-1, 'date')}. The files end one to two months before today."
        )
        raise SourceError(message, source="FrenchFactors()", symbols=(label,), retryable=False)
    return frame
