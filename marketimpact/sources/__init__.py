"""Read prices from files, folders, databases, AkShare, Yahoo or the simulated sample, and factors from French."""

from marketimpact.core.fingerprint import fingerprint
from marketimpact.sources.akshare import AksharePrices
from marketimpact.sources.bar_files import BarFiles, BarSource, BarTable
from marketimpact.sources.database import DatabasePrices
from marketimpact.sources.files.folder import FolderPrices
from marketimpact.sources.files.single_file import FilePrices
from marketimpact.sources.french.factors import FrenchFactors
from marketimpact.sources.protocol import PriceSource, PriceTable
from marketimpact.sources.sample import SamplePrices
from marketimpact.sources.store.store import PriceStore
from marketimpact.sources.store.stored_bars import StoredBars
from marketimpact.sources.store.stored_prices import StoredPrices
from marketimpact.sources.yahoo.intraday import YahooBars
from marketimpact.sources.yahoo.source import YahooPrices

__all__ = [
    "AksharePrices",
    "BarFiles",
    "BarSource",
    "BarTable",
    "DatabasePrices",
    "FilePrices",
    "FolderPrices",
    "FrenchFactors",
    "PriceSource",
    "PriceStore",
    "PriceTable",
    "SamplePrices",
    "StoredBars",
    "StoredPrices",
    "YahooBars",
    "YahooPrices",
    "fingerprint",
]
