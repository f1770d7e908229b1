"""Fetch prices and share counts from Yahoo Finance."""
