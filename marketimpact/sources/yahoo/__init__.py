"""Prices and shares from Yahoo Finance."""
