"""The price store: what was fetched, kept and dated."""
