"""Read Kenneth French's daily factors."""
