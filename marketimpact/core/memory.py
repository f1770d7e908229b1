"""How much memory there is, and how much one may use."""

from __future__ import annotations

import os
import re
from pathlib import Path

from marketimpact.errors import SpecificationError

__all__ = ["free", "memory_budget"]

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B)\s*", re.IGNORECASE)
#: Of what is free, the share that is used where nobody says how much.
SHARE = 0.5
#: What a control group allows and uses, in its two versions.
_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def memory_budget(memory: int | str | None) -> int:
    """Bytes from ``memory=``: a number of bytes, text such as ``"2 GB"``, or None for half of what is free."""
    if memory is None:
        return int(SHARE * free())
    if isinstance(memory, str):
        found = _SIZE.fullmatch(memory)
        size = int(float(found[1]) * _UNITS[found[2].upper()]) if found and found[2].upper() in _UNITS else 0
    else:
        size = memory if isinstance(memory, int) and not isinstance(memory, bool) else 0
    if size <= 0:
        raise SpecificationError(f"memory={memory!r}: give bytes as a whole number, or text such as '2 GB'.")
    return size


def free() -> int:
    """Bytes that this process can still take: of the machine, its control group or ``ulimit``, the least of them."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = (line.split() for line in meminfo.read_text(encoding="ascii").splitlines())
        there = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    else:  # half of the machine stands for what is free of it
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if hasattr(os, "sysconf") else 2**31
    for allowed, used in _GROUPS:
        if allowed.exists() and used.exists() and (limit := allowed.read_text(encoding="ascii").strip()) != "max":
            there = min(there, max(int(limit) - int(used.read_text(encoding="ascii")), 0))
    return min([there, *_left_to_process()])


def _left_to_process() -> list[int]:
    """What ``ulimit -v`` and ``ulimit -d`` leave of the address space and of the data, where they are set."""
    taken = Path("/proc/self/statm")
    if not taken.exists():
        return []
    import resource  # noqa: PLC0415  # absent on Windows, as is /proc

    pages = [int(word) for word in taken.read_text(encoding="ascii").split()]
    limits = ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5]))
    soft = [(resource.getrlimit(kind)[0], used * resource.getpagesize()) for kind, used in limits]
    return [max(limit - used, 0) for limit, used in soft if limit != resource.RLIM_INFINITY]
