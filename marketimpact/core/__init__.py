"""What every room may use: frame contracts, factorize, lazy matrices, threads, memory, text, limits."""
