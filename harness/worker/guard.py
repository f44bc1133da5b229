"""Ends all processes of a run when the run ends, even if SIGKILL ends it.

A worker's process forks before it imports anything large: the child does the work, and the parent guards it. The runner
holds one end of a pipe. When the runner ends for any reason, the pipe closes, and the guard kills all processes of the cell. It
also kills those that the worker leaves behind when it ends. A guard exits in the same way as its worker, so that the runner gets
the exit status of the worker.
"""

from __future__ import annotations

import os
import resource
import signal
import threading

from harness.text import counted
from harness.worker.descendants import adopt_orphans, end_below

PIPE = "SAMEBENCH_GUARD_FD"
"""The environment variable with the file descriptor of the pipe."""


def stand_guard() -> None:
    """Continue in a child process as the worker, with this process as its guard, if the runner has passed a pipe."""
    if (pipe := os.environ.pop(PIPE, None)) is None:
        return
    adopt_orphans()
    worker = os.fork()
    if worker:
        _guard(worker, int(pipe))
    os.close(int(pipe))


def _guard(worker: int, pipe: int) -> None:
    """Wait until the worker or the runner ends. Never returns."""
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # the whole group gets the signal: the worker ends first, then its guard
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_runner, args=(pipe,), daemon=True).start()
    _, status = os.waitpid(worker, 0)
    if left := end_below(os.getpid()):
        os.write(2, f"samebench: the cell left {counted(left, 'process', 'processes')}, now ended\n".encode())
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no second core dump: the worker has written its own
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


def _end_with_runner(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written to the pipe: this returns when the other end is closed
    end_below(os.getpid())
    os.killpg(0, signal.SIGKILL)
