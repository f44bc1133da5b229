"""A status and a reason for what went wrong in a worker."""

from __future__ import annotations

import traceback
from pathlib import Path

from harness.errors import ContractError, PluginError, Unavailable, Unsupported, WrongDevice
from harness.result import Status

OUT_OF_MEMORY = (
    "MemoryError",
    "bad_alloc",
    "RESOURCE_EXHAUSTED",
    "out of memory",
    "OOM when",
    "Cannot allocate memory",
)
"""Each framework says it in words of its own."""


def explain(error: BaseException) -> tuple[Status, str]:
    """A status and a reason for an exception."""
    if isinstance(error, Unsupported):
        return "unsupported", str(error)
    if isinstance(error, WrongDevice):
        return "wrong-device", str(error)
    if isinstance(error, Unavailable | PluginError):
        return "unavailable", str(error)
    if isinstance(error, ContractError):  # the line that found it is the harness's own
        return "failed", str(error)
    # Each framework has an exception of its own for this, and none of them is known here.
    if isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY):
        return "oom", f"{type(error).__name__}: {error}"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return "failed", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
