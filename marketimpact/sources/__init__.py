"""Who supplies prices: files, the embedded simulated sample, Yahoo Finance. And factors: Kenneth French's."""

from marketimpact.sources.files import FilePrices
from marketimpact.sources.french import FrenchFactors
from marketimpact.sources.protocol import PriceSource, PriceTable, fingerprint
from marketimpact.sources.sample import SamplePrices
from marketimpact.sources.store import PriceStore
from marketimpact.sources.stored import StoredPrices
from marketimpact.sources.yahoo import YahooPrices

__all__ = [
    "FilePrices",
    "FrenchFactors",
    "PriceSource",
    "PriceStore",
    "PriceTable",
    "SamplePrices",
    "StoredPrices",
    "YahooPrices",
    "fingerprint",
]
