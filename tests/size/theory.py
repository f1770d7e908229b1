"""True size of unadjusted tests when SCARs share an average correlation r: derivable, therefore sure."""

from __future__ import annotations

from math import sqrt

from scipy.stats import norm, t

COUNTS = (10, 24, 30, 50, 100)
CORRELATIONS = (0.01, 0.02, 0.05, 0.10, 0.20)


def patell_size(n: int, r: float, critical: float = norm.ppf(0.975)) -> float:
    """The mean of n SCARs has variance (1 + (n-1) r) / n instead of 1 / n."""
    return float(2 * norm.sf(critical / sqrt(1 + (n - 1) * r)))


def bmp_size(n: int, r: float, critical: float = norm.ppf(0.975)) -> float:
    """The same, and the spread over events misses the shared part: sigma^2 (1 - r). For large n."""
    return float(2 * norm.sf(critical / sqrt((1 + (n - 1) * r) / (1 - r))))


def bmp_size_exact(n: int, r: float) -> float:
    """With the spread estimated from n events and t(n-1) quantiles: mean and spread are independent."""
    return float(2 * t.sf(t.ppf(0.975, n - 1) / sqrt((1 + (n - 1) * r) / (1 - r)), n - 1))
