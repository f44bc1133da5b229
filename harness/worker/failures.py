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
        return "unsupported", _message(error)
    if isinstance(error, WrongDevice):
        return "wrong-device", _message(error)
    if isinstance(error, Unavailable | PluginError):
        return "unavailable", _message(error)
    if isinstance(error, ContractError):  # without a line number: the harness raised it, not the backend
        return "failed", _message(error)
    # Frameworks have their own exceptions for this, which cannot be imported here.
    said = f"{type(error).__name__}: {_message(error)}"
    if isinstance(error, MemoryError) or any(word in said for word in OUT_OF_MEMORY):
        return "oom", said
    where = traceback.extract_tb(error.__traceback__)[-1]
    return "failed", f"{said} ({Path(where.filename).name}:{where.lineno})"


def _message(error: BaseException) -> str:
    """The message of an exception of a stranger, which may raise another one."""
    try:
        return str(error)
    except Exception as other:
        return f"its message cannot be shown, because that raises {type(other).__name__}"
