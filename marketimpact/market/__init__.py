"""Prices to returns on each exchange's sessions."""

from marketimpact.market.market import FROM_RETURNS, Market

__all__ = ["FROM_RETURNS", "Market"]
