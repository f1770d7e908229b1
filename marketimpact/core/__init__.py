"""Shared foundations: frame contracts, factorize, lazy matrices, threads, memory, text."""
