"""Nothing that a run has started outlives it, even if the run is killed with a signal that nobody can catch.

A worker's process splits in two before it imports anything heavy: its child does the work, and what stays behind
guards it. The runner holds one end of a pipe; when the runner is gone, however that came, the pipe closes, and the
guard ends the whole process group. A guard ends as its worker ended, so that the runner sees the worker's own exit.
"""

from __future__ import annotations

import os
import resource
import signal
import threading

PIPE = "SAMEBENCH_GUARD_FD"
"""The environment variable that names the pipe's file descriptor."""


def stand_guard() -> None:
    """Go on as the worker, with this process behind it as its guard, if a runner has asked for one."""
    if (pipe := os.environ.pop(PIPE, None)) is None:
        return
    worker = os.fork()
    if worker:
        _guard(worker, int(pipe))
    os.close(int(pipe))


def _guard(worker: int, pipe: int) -> None:
    """Wait for the worker or for the end of the runner, whichever comes first; never returns."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group is asked to end: the worker first, then its guard
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_runner, args=(pipe,), daemon=True).start()
    _, status = os.waitpid(worker, 0)
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has left its own core, if any
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


def _end_with_runner(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written: this returns when the other end is closed
    os.killpg(0, signal.SIGKILL)
