"""Average correlation of the residuals of pairs of events."""
