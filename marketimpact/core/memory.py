"""Measure free memory and read ``memory=`` arguments as bytes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from marketimpact.core.whole_numbers import is_whole
from marketimpact.errors import SpecificationError

__all__ = ["free_memory", "memory_budget"]

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B)\s*", re.IGNORECASE)
#: Share of the free memory that is used by default.
DEFAULT_SHARE = 0.5
#: Files with the limit and the usage of a control group, for cgroup versions 2 and 1.
_CONTROL_GROUP_FILES = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def memory_budget(memory: int | str | None) -> int:
    """Convert ``memory=`` to bytes: a number of bytes, text such as ``"2 GB"``, or None for half of the free memory.

    Raises
    ------
    SpecificationError
        If it is neither, or not above zero.
    """
    if memory is None:
        return int(DEFAULT_SHARE * free_memory())
    if isinstance(memory, str):
        match = _SIZE.fullmatch(memory)
        size = int(float(match[1]) * _UNITS[match[2].upper()]) if match and match[2].upper() in _UNITS else 0
    else:
        size = int(memory) if is_whole(memory) else 0
    if size <= 0:
        raise SpecificationError(
            f"memory={memory!r} is no amount of memory. Give bytes as a whole number, or text such as '2 GB'."
        )
    return size


def free_memory() -> int:
    """Return the bytes this process can still allocate: the smallest limit of machine, control group and ``ulimit``."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = (line.split() for line in meminfo.read_text(encoding="ascii").splitlines())
        available = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    else:  # free memory is unknown here: take half of the machine's
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if hasattr(os, "sysconf") else 2**31
    for limit_file, usage_file in _CONTROL_GROUP_FILES:
        if limit_file.exists() and usage_file.exists():
            limit = limit_file.read_text(encoding="ascii").strip()
            if limit != "max":
                available = min(available, max(int(limit) - int(usage_file.read_text(encoding="ascii")), 0))
    return min([available, *_left_by_ulimit()])


def _left_by_ulimit() -> list[int]:
    """Return the bytes left by ``ulimit -v`` (address space) and ``ulimit -d`` (data), where they are set."""
    usage = Path("/proc/self/statm")
    if not usage.exists():
        return []
    import resource  # noqa: PLC0415  # absent on Windows, as is /proc

    pages = [int(word) for word in usage.read_text(encoding="ascii").split()]
    limits = ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5]))
    soft = [(resource.getrlimit(limit_type)[0], used * resource.getpagesize()) for limit_type, used in limits]
    return [max(limit - used, 0) for limit, used in soft if limit != resource.RLIM_INFINITY]
