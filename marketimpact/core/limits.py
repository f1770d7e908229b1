"""Sizes of chunks, parts and caches, each with what it limits and what was measured.

Modules read them at the time of use (``limits.NAME``), so that a test can set them. None changes a result unless its
comment says so. Measured on two cores with 24 GiB; sizes without a figure were chosen for their memory, not timed.
"""

from __future__ import annotations

# --- estimation -------------------------------------------------------------------------------------------------------

#: Events whose windows are read together in array code: 240 days of two columns are 8 MB.
FIT_CHUNK_EVENTS = 2_048
#: Least number of events for which compiled kernels are loaded, which takes a third of a second: array code takes as
#: long for 5,000 events, kernels a tenth of it.
COMPILED_FIT_EVENTS = 4_096
#: Least number of events for which kernels that are loaded already are used: from 64 on they took half as long or less.
COMPILED_FIT_EVENTS_ONCE_LOADED = 64
#: Events of one part of the work of threads: shorter parts wait for the interpreter's lock. From 1,000 to 20,000 the
#: time of 20,000 events did not differ by more than the noise.
THREAD_PART_EVENTS = 8_192
#: Events whose event windows are computed at a time, unless the windows of all events are kept.
EVENT_WINDOW_CHUNK_EVENTS = 8_192
#: Numbers in the event windows of all events below which they are kept.
EVENT_WINDOW_KEPT_NUMBERS = 2**20
#: Events whose estimation windows are read at once from a panel on disk, at most.
PARQUET_CHUNK_EVENTS = 5_000
#: Bytes of returns in one task at most by default: Dask sends that without a warning.
TASK_RETURNS_BYTES = 8_000_000
#: Least number of chunks of a study on an executor, so that its workers stay busy to the end.
EXECUTOR_CHUNKS = 64
#: Least number of events of a chunk on an executor by default: fitting fewer costs less than sending them.
EXECUTOR_CHUNK_EVENTS = 50
#: Copies of an event window that exist at once while it is computed and assembled, at most.
EVENT_WINDOW_COPIES = 4
#: Copies of returns read from disk that exist at once: as read, concatenated, with their keys, as numbers.
PARQUET_COPIES = 6

# --- market -----------------------------------------------------------------------------------------------------------

#: Rows whose symbols are coded at a time when a market is made from returns: 16 MB of text.
SYMBOL_CHUNK_ROWS = 2**20
#: Rows whose returns are written at a time: 1 MB, which stays in a core's cache.
RETURN_CHUNK_ROWS = 2**17
#: Mean number of rows per run of one symbol from which symbols are coded by run instead of by row.
LONG_RUN_ROWS = 8

#: Bars of some symbols that are in memory together, unless one symbol has more: 56 MB, and some copies.
BAR_ROWS_AT_ONCE = 2**20

#: Bytes of text files of bars from which they are laid out as Parquet in a temporary folder: 1 GB of text is 0.6 GB of
#: bars in memory.
BAR_TEXT_BYTES = 2**26

# --- sources ----------------------------------------------------------------------------------------------------------

#: Symbols per statement of a database; databases limit the number of parameters, some to 999.
SYMBOLS_PER_STATEMENT = 500
#: Lines read from a vendor's file to find its header and first row ...
VENDOR_HEAD_LINES = 8
#: ... and bytes of one line at most, so that a file without line breaks is not read whole.
VENDOR_LINE_BYTES = 1_000_000

# --- study ------------------------------------------------------------------------------------------------------------

#: Events whose p-values one thread computes at a time.
P_VALUE_PART_EVENTS = 65_536
#: Events up to which printing a result runs tests: some compare every pair of events.
EVENTS_TESTED_IN_REPR = 3_000
#: Events up to which weighted tests of SCARs take the correlation of every two events, (N, N): a second for 1,500.
WEIGHTED_PAIRS_EVENTS = 3_000

# --- inference and lazy matrices --------------------------------------------------------------------------------------

#: Rows of a `LazyMatrix` that are read at a time: 2048 windows of 240 days are 4 MB, which a core's cache still holds.
LAZY_CHUNK_ROWS = 2048
#: Values (rows times days) up to which a `LazyMatrix` keeps what it has read: 64 MB, some 35,000 events.
LAZY_KEPT_VALUES = 2**23
#: Rows that are added up before they are added to the sum of the rows before; another number changes last bits.
LAZY_BLOCK_ROWS = 256
#: Least number of rows for which compiled loops replace array code: loading numba costs a third of a second, more than
#: all tests of 500 events. Sums by day and ranks have the same bits either way, correlations differ in last bits.
COMPILED_FROM_ROWS = 2048
#: Least number of day patterns for compiled sums, whatever the number of rows; correlations differ in last bits.
COMPILED_FROM_PATTERNS = 1024
#: Day patterns whose residuals are read at a time, at most (and no more than `LAZY_CHUNK_ROWS` rows).
PATTERNS_PER_READ = 256
#: Parts of residuals or dates that are kept while pairs of day patterns are summed: windows overlap with neighbours.
PATTERN_READS_KEPT = 16
#: Events whose correlations with all others are in memory at a time, where events miss different days.
CORRELATION_BLOCK_ROWS = 512
#: Day patterns whose pairs are correlated at a time, for the average over all pairs.
ALL_PAIRS_BLOCK_PATTERNS = 128
#: Numbers of the wild bootstrap that are drawn at a time: 1 MB, which stays in a core's cache.
CLUSTER_WEIGHTS_AT_ONCE = 2**17
#: Dates whose events are diagnosed, evenly spread over all of them; chosen, not timed: pooled moments need no more.
DIAGNOSED_DATES = 400
#: CARs that the skewness bootstrap draws at a time: 1 MB, which stays in a core's cache.
SKEWNESS_VALUES_AT_ONCE = 2**17

# --- analyses ---------------------------------------------------------------------------------------------------------

#: Moved events of a placebo distribution that are estimated at once.
PLACEBO_BATCH_EVENTS = 20_000

#: Events up to which a report has legs: it runs the study once more for each of them and for the whole session.
LEG_EVENTS = 5_000

# --- threads and codes ------------------------------------------------------------------------------------------------

#: Parts submitted per thread before the first result is fetched; it bounds the memory of waiting results.
PARTS_PER_THREAD = 2
#: Range of values up to which `factorize` builds a counting table; a wider one if there are as many rows.
COUNTING_TABLE_VALUES = 2**20
#: Codes below this fit 16 bits, which numpy sorts by radix.
RADIX_SORT_CODES = 2**16
