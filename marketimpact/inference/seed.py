"""Seed of the tests that draw."""

__all__ = ["SEED"]

#: The same events give the same p-value.
SEED = 20250812
