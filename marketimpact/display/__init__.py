"""Charts and tables from frames."""
