"""Daily factors from Kenneth French's data library: a CSV or zip, from disk or from his site."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl

from marketimpact.core.text import listed
from marketimpact.errors import SourceError, SpecificationError
from marketimpact.sources.french.parser import FACTORS, join_factors, parse_factors, read_file
from marketimpact.sources.protocol import check_range, within

__all__ = ["FrenchFactors", "wrong_market"]

BASE = "https://mba.tuck.dartmouth.edu/pages/faculty/ken.french/ftp/"
DEFAULT_DATASET = "F-F_Research_Data_5_Factors_2x3_daily"
#: Seconds to connect, and seconds without a byte.
TIMEOUT = (10.0, 30.0)
RETRIES = 3  # and the statuses after which the same request may go through
RETRYABLE = (429, 500, 502, 503, 504)

UNKNOWN = "unknown"
UNITED_STATES = "XNYS XNAS XASE ARCX BATS"
CANADA = "XTSE XTSX NEOE"
PACIFIC = "XHKG XASX XSES XNZE"
EUROPE = "XAMS XETR XFRA XPAR XLON XBRU XSWX XWBO XCSE XMAD XHEL ASEX XATH XDUB XMSM XMIL MTAA XOSL XLIS XSTO"
EMERGING = "XSHG XSHE XTAI ROCO XKRX XKOS XBOM XNSE XBKK XIDX XKLS XPHS BVMF XMEX XSGO XJSE XSAU XIST XWAR XPRA XBUD"
#: Region -> the MICs of its exchanges, narrow regions first; his documentation lists the countries.
REGIONS = {
    "US": UNITED_STATES,
    "Japan": "XTKS",
    "Asia_Pacific_ex_Japan": PACIFIC,
    "North_America": f"{UNITED_STATES} {CANADA}",
    "Europe": EUROPE,
    "Developed_ex_US": f"{CANADA} XTKS {PACIFIC} {EUROPE}",
    "Developed": f"{UNITED_STATES} {CANADA} XTKS {PACIFIC} {EUROPE}",
    "Emerging": EMERGING,
}


@dataclass(frozen=True, slots=True)
class FrenchFactors:
    """Daily Fama-French factors, in decimals.

    All his factors, of every region, are in US dollars: beside returns in local currency they mix
    currencies, and the change of the exchange rate stays in the abnormal return. `rf` is always the US
    one-month bill rate. His files end one to two months before today.

    Usual names for the US: ``F-F_Research_Data_Factors_daily``, ``F-F_Research_Data_5_Factors_2x3_daily``,
    ``F-F_Momentum_Factor_daily``; for the regions ``Japan_3_Factors_Daily``, ``Japan_5_Factors_Daily``,
    ``Japan_Mom_Factor_Daily`` and so on, but ``Asia_Pacific_ex_Japan_MOM_Factor_Daily``.

    Parameters
    ----------
    name : str or tuple of str
        A dataset on his site, with or without ``_CSV.zip``. Several of one region are joined by date: the
        first sets the days, a day that another lacks is empty in its columns.
    path : str, pathlib.Path or tuple of these, optional
        His CSV or zip on disk, or several, joined likewise. `name` and the network are not used then.
    get : callable, optional
        Fetches a URL as bytes, raising `OSError` where it cannot. By default `requests`, with timeouts and
        up to three retries. Other errors of it pass through.

    Raises
    ------
    SpecificationError
        If a name cannot be one, is not of a daily file, or the files are of several regions.

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
            object.__setattr__(self, "path", self.path if isinstance(self.path, str | Path) else tuple(self.path))
        labels = self._labels()
        if not labels:
            raise SpecificationError(
                f"FrenchFactors is given no dataset. Name at least one, such as {DEFAULT_DATASET!r}."
            )
        regions = sorted({_region(label) for label in labels} - {UNKNOWN})
        if len(regions) > 1:
            raise SpecificationError(f"{listed(labels)} are of several regions: {listed(regions)}. Read them apart.")

    @property
    def region(self) -> str:
        """Region by the name of the dataset or file, such as 'US' or 'Japan'; 'unknown' for a renamed file."""
        return next((region for region in map(_region, self._labels()) if region != UNKNOWN), UNKNOWN)

    def read(self, first: date | None = None, last: date | None = None) -> pl.DataFrame:
        """Factors from disk or from his site.

        Parameters
        ----------
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        polars.DataFrame
            `date` and, as far as the files have them, ``mktrf smb hml rmw cma mom rf``: Float64, decimals
            (0.01 for 1 %), his codes -99.99 and -999 empty. One row per date, sorted.

        Raises
        ------
        SpecificationError
            If the bounds enclose nothing.
        DataError
            If a file is absent, no CSV of his format, not daily, repeats a date or has a value that is no
            number, or two files hold the same factor.
        SourceError
            If the network fails, or a file has no row on the dates asked for.
        """
        check_range(first, last)
        frame = reduce(join_factors, (_read(raw, label, first, last) for label, raw in self._contents()))
        return frame.select("date", *(name for name in FACTORS if name in frame.columns))

    def _labels(self) -> tuple[str, ...]:
        return _as_tuple(self.name) if self.path is None else tuple(Path(path).name for path in _as_tuple(self.path))

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        """What each dataset is called in a message, and its bytes."""
        if self.path is None:
            for name in _as_tuple(self.name):
                yield name, _fetch(f"{BASE}{name}_CSV.zip", name, self.get or _get)
            return
        for path in _as_tuple(self.path):
            yield Path(path).name, read_file(Path(path).expanduser())


def wrong_market(mics: Iterable[str], region: str) -> str | None:
    """A warning where factors of `region` are used for securities listed elsewhere.

    Parameters
    ----------
    mics : iterable of str
        Market identifier codes (ISO 10383) of the listings, such as 'XNAS'.
    region : str
        As `FrenchFactors.region` gives it.

    Returns
    -------
    str or None
        What to warn of; None where every exchange lies in the region, or the region is 'unknown'.

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
        raise SpecificationError(f"{region!r} is no region of his. There are {', '.join(REGIONS)}.")
    outside = sorted(set(mics).difference(REGIONS[region].split()))
    if not outside:
        return None
    home = {mic: next((name for name, mine in REGIONS.items() if mic in mine.split()), UNKNOWN) for mic in outside}
    bare = [mic for mic in outside if home[mic] in (UNKNOWN, "Emerging")]  # he is not known to have Emerging by day
    advice = [
        f"Daily factors of {name} cover {', '.join(mic for mic in outside if home[mic] == name)}."
        for name in sorted(set(home.values()) - {UNKNOWN, "Emerging"})
    ]
    if bare:
        advice.append(f"No daily factors of his are known to cover {', '.join(bare)}: use a local benchmark.")
    return (
        f"Factors of region {region} are used for securities on {', '.join(outside)}, outside it: they say "
        f"little of the market these trade in, and are of other hours. {' '.join(advice)}"
    )


def _as_tuple(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def _dataset_name(name: object) -> str:
    bare = re.sub(r"(_CSV)?(\.zip|\.csv)?$", "", name.strip(), flags=re.IGNORECASE) if isinstance(name, str) else ""
    if not re.fullmatch(r"[\w-]+", bare, flags=re.ASCII):
        raise SpecificationError(
            f"{name!r} is no dataset of his, such as {DEFAULT_DATASET!r}. A file on disk goes in path=."
        )
    if not bare.lower().endswith("_daily"):
        raise SpecificationError(f"{name!r} is not a daily dataset, which is needed; their names end in '_daily'.")
    return bare


def _region(label: str) -> str:
    if label.lower().startswith("f-f_"):
        return "US"
    # Developed_ex_US comes before Developed, which it begins with.
    return next((name for name in REGIONS if label.lower().startswith(f"{name.lower()}_") and name != "US"), UNKNOWN)


def _get(url: str) -> bytes:
    import requests  # noqa: PLC0415  # comes with yfinance; paid for only where it is used
    from urllib3.util import Retry  # noqa: PLC0415

    # Retry-After is not heeded: a server could make the call hang for as long as it likes.
    retry = Retry(RETRIES, backoff_factor=0.5, status_forcelist=RETRYABLE, respect_retry_after_header=False)
    with requests.Session() as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
        answer = session.get(url, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.content


def _fetch(url: str, name: str, get: Callable[[str], bytes]) -> bytes:
    try:
        return get(url)
    except OSError as error:  # every error of requests is one
        status = getattr(getattr(error, "response", None), "status_code", None)
        gone = status is not None and status not in RETRYABLE
        message = (
            f"{url} could not be fetched ({type(error).__name__}: {error}). "
            + ("Check the name on his site. " if gone else "Check the network, or ask again later. ")
            + "A file saved from a browser is read with FrenchFactors(path=...)."
        )
        raise SourceError(message, source="FrenchFactors()", symbols=(name,), retryable=not gone) from error


def _read(raw: bytes, label: str, first: date | None, last: date | None) -> pl.DataFrame:
    every = parse_factors(raw, label)
    frame = within(every, first, last)
    if frame.is_empty():
        message = (
            f"{label} has no factors on the dates asked for: it goes from {every.item(0, 'date')} to "
            f"{every.item(-1, 'date')}. His files end one to two months before today."
        )
        raise SourceError(message, source="FrenchFactors()", symbols=(label,), retryable=False)
    return frame
