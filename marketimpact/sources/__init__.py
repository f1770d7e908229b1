"""Who supplies prices: files, the embedded simulated sample, Yahoo Finance. And factors: Kenneth French's."""

from marketimpact.sources.files import FilePrices
from marketimpact.sources.french import FrenchFactors
from marketimpact.sources.protocol import PriceSource, PriceTable, fingerprint
from marketimpact.sources.sample import SamplePrices
from marketimpact.sources.yahoo import YahooPrices

__all__ = ["FilePrices", "FrenchFactors", "PriceSource", "PriceTable", "SamplePrices", "YahooPrices", "fingerprint"]
