"""Import the compiled loops of this room when they are first needed."""

from __future__ import annotations

from typing import Any

__all__ = ["kernels"]


def kernels() -> Any:
    """Import `marketimpact.inference.kernels`: numba is slow to load, and small studies do not need it."""
    from marketimpact.inference import kernels as loaded  # noqa: PLC0415

    return loaded
