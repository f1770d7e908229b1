"""Who supplies prices: files and folders, databases, AkShare's frames, the simulated sample, Yahoo. And factors."""

from marketimpact.sources.akshare import AksharePrices
from marketimpact.sources.database import DatabasePrices
from marketimpact.sources.files import FilePrices
from marketimpact.sources.folder import FolderPrices
from marketimpact.sources.french import FrenchFactors
from marketimpact.sources.protocol import PriceSource, PriceTable, fingerprint
from marketimpact.sources.sample import SamplePrices
from marketimpact.sources.store import PriceStore
from marketimpact.sources.stored import StoredPrices
from marketimpact.sources.yahoo import YahooPrices

__all__ = [
    "AksharePrices",
    "DatabasePrices",
    "FilePrices",
    "FolderPrices",
    "FrenchFactors",
    "PriceSource",
    "PriceStore",
    "PriceTable",
    "SamplePrices",
    "StoredPrices",
    "YahooPrices",
    "fingerprint",
]
