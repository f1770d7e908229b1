"""Who supplies prices: files, the embedded simulated sample, Yahoo Finance."""

from marketimpact.sources.files import FilePrices
from marketimpact.sources.protocol import PriceSource, PriceTable, fingerprint
from marketimpact.sources.sample import SamplePrices
from marketimpact.sources.yahoo import YahooPrices

__all__ = ["FilePrices", "PriceSource", "PriceTable", "SamplePrices", "YahooPrices", "fingerprint"]
