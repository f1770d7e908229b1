"""Significance tests of no abnormal return, a module for each family."""
