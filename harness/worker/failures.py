"""The status and the reason for an exception in a worker."""

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
"""Parts of the messages of frameworks about too little memory."""


def explain(error: BaseException) -> tuple[Status, str]:
    """The status of a cell with this exception, and the reason."""
    if isinstance(error, Unsupported):
        return "unsupported", str(error)
    if isinstance(error, WrongDevice):
        return "wrong-device", str(error)
    if isinstance(error, Unavailable | PluginError):
        return "unavailable", str(error)
    if isinstance(error, ContractError):  # without a line number: the harness raised it, not the backend
        return "failed", str(error)
    # Frameworks have their own exceptions for this, which cannot be imported here.
    if isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY):
        return "oom", f"{type(error).__name__}: {error}"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return "failed", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
