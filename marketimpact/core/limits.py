"""Sizes that decide how work is cut up: one table, each with what it limits and what was measured.

None of them changes a result: the same numbers come out whatever they are. Modules read them when they are used
(``limits.NAME``), so that a test can set them. Measured on two cores with 24 GiB.
"""

from __future__ import annotations

# --- estimation -------------------------------------------------------------------------------------------------------

#: Events whose windows are cut side by side in array code: their arrays stay in the processor's cache.
FIT_CHUNK_EVENTS = 2_048
#: Events from which compiled kernels are loaded, which takes a third of a second ...
COMPILED_FIT_EVENTS = 4_096
#: ... and from which they are faster once they are loaded.
COMPILED_FIT_EVENTS_ONCE_LOADED = 64
#: Events of one part where parts are shared out to threads: shorter parts wait for the interpreter's lock.
THREAD_PART_EVENTS = 8_192
#: Event windows that are looked up at a time ...
EVENT_WINDOW_CHUNK_EVENTS = 8_192
#: ... unless all of them together have fewer numbers than this, and are then kept.
EVENT_WINDOW_KEPT_NUMBERS = 2**20
#: Events whose estimation windows are read at once from a panel on disk, at most.
PARQUET_CHUNK_EVENTS = 5_000
#: Bytes of returns in one task at most where nobody says otherwise: what Dask sends without a warning.
TASK_RETURNS_BYTES = 8_000_000
#: Chunks a study falls into at least where an executor does the work, so that its workers stay busy to the end ...
EXECUTOR_CHUNKS = 64
#: ... unless they would have fewer events than these, which cost less than sending them.
EXECUTOR_CHUNK_EVENTS = 50
#: Copies of an event window that exist at once while it is computed and assembled, at most.
EVENT_WINDOW_COPIES = 4
#: Copies of returns read from disk that exist at once: as read, concatenated, with their keys, as numbers.
PARQUET_COPIES = 6

# --- study ------------------------------------------------------------------------------------------------------------

#: Events whose p-values one thread looks up.
P_VALUE_PART_EVENTS = 65_536
#: Events up to which printing a result runs tests: some compare every pair of events.
EVENTS_TESTED_IN_REPR = 3_000
