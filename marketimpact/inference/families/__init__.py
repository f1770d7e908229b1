"""Significance tests, a module for each family."""
