"""Sizes that bound memory or choose between two ways of computing the same numbers, in one table.

Read them as ``limits.NAME`` at the time of use. None of them changes a result but where its comment says so.
"""

from __future__ import annotations

# inference and lazy matrices

#: Rows of a `LazyMatrix` that are read at a time: 2048 windows of 240 days are 4 MB, which a core's cache still holds.
LAZY_CHUNK_ROWS = 2048
#: Values (rows times days) up to which a `LazyMatrix` keeps what it has read: 64 MB, some 35,000 events.
LAZY_KEPT_VALUES = 2**23
#: Rows that are added up before they are added to the sum of the rows before; another number changes last bits.
LAZY_BLOCK_ROWS = 256
#: Rows from which on compiled loops run instead of array code: loading numba costs a third of a second, more than all
#: tests of 500 events. Sums by day and ranks have the same bits either way, correlations differ in last bits.
COMPILED_FROM_ROWS = 2048
#: Day patterns from which on compiled loops sum them, however few rows they hold; correlations differ in last bits.
COMPILED_FROM_PATTERNS = 1024
#: Day patterns whose residuals are read at a time, at most (and no more than `LAZY_CHUNK_ROWS` rows).
PATTERNS_PER_READ = 256
#: Parts of residuals or dates that are kept while pairs of day patterns are summed: windows overlap with neighbours.
PATTERN_READS_KEPT = 16
#: Events whose correlations with all others stand in memory at a time, where events miss different days.
CORRELATION_BLOCK_ROWS = 512
#: Day patterns of which every two are correlated at a time, for the average over all pairs.
ALL_PAIRS_BLOCK_PATTERNS = 128
#: Numbers of the wild bootstrap that are drawn at a time: 1 MB, which stays in a core's cache.
CLUSTER_WEIGHTS_AT_ONCE = 2**17
#: CARs that the skewness bootstrap draws at a time: 32 MB.
SKEWNESS_VALUES_AT_ONCE = 4_000_000
