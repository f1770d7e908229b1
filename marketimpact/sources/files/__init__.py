"""Read prices, share counts and exchange rates from files."""
