"""Prices, shares and rates from files."""
