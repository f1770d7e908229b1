"""Kenneth French's daily factors."""
