"""All processes that a cell has started, and their end.

A process may leave its group by `os.setsid` and outlive its parent. On Linux, the guard of a cell adopts such orphans, so that they
stay below it and are found. A mark in the environment finds them even if the guard was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.timing.load import descendants

MARK = "SAMEBENCH_CELL_PROCESS"
"""The environment variable that marks all processes of a cell, with a value of its own."""

PROC = Path("/proc")
PATIENCE = 5.0
"""Seconds after which processes that cannot be ended are left alone."""

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent ends. Only Linux can do this."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def below(process: int) -> list[int]:
    """The children of a process, their children, and so on, without those that have ended. Empty if the system does not list them."""
    return [child for child in map(int, descendants(str(process))) if runs(child)]


def marked(value: str) -> list[int]:
    """The processes of this user that were started with this mark."""
    wanted, found = f"{MARK}={value}".encode(), []
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0") and runs(int(entry.name)):
                    found.append(int(entry.name))
    return found


def end_below(process: int) -> int:
    """Kill all processes below this one. Returns their number. New ones that are started meanwhile are killed too."""
    return _end(lambda: below(process))


def end_marked(value: str) -> int:
    """Kill all processes with this mark. Returns their number."""
    return _end(lambda: marked(value))


def runs(process: int) -> bool:
    """Whether a process exists and has not ended. A zombie has ended: only its parent has not asked yet."""
    try:
        return (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def _end(find: Callable[[], list[int]]) -> int:
    ended, deadline = set[int](), time.monotonic() + PATIENCE
    while (found := find()) and time.monotonic() < deadline:
        for process in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        ended.update(found)
        time.sleep(0.01)
    return len(ended)
