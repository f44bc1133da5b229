"""One worker process: started in a group of its own, listened to, kept in bounds, and ended with all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.result import Status
from harness.storage.atomic import NEW, free
from harness.text import printable
from harness.worker import guard
from harness.worker.failures import OUT_OF_MEMORY
from harness.worker.progress import PROGRESS

GRACE = 5.0
"""Seconds between asking a worker to end and ending it."""

LOG_HEAD, LOG_LIMIT, FLOOD = 256 * 1024, 2 * 1024 * 1024, 64 * 1024 * 1024
"""A log beyond the limit keeps its head and its end. It is cut when its writer has ended; earlier only in a flood, when
a line that is written at that moment may be lost."""

LOG_END, LAST = 64 * 1024, 20
"""Of the end of a log so many bytes are read, and so many lines are looked at."""

LINE = 1000
"""A longer line of progress is several."""

NOT_STARTED = 127
"""The exit code of a process that could not be started, as shells have it."""

POLL = 0.2


def how_ended(code: int) -> str:
    """An exit code in words: a negative one is a signal. Real-time signals have no names."""
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


@dataclass(frozen=True)
class Ended:
    """How a worker's process ended."""

    code: int | None  # None: it ran out of time
    seconds: float
    log: Path
    by_kernel: bool = False  # the machine ran out of memory, and the kernel chose a victim
    last_lines: tuple[str, ...] = ()
    """How its log ends."""

    def explain(self) -> tuple[Status, str]:
        """The status and reason of a process that left no valid result."""
        if self.code is None:
            return "timeout", f"still running after {self.seconds:.0f} s; its log: {self.log}"
        if self.code == 0:
            return "invalid", f"the worker ended without a valid result; its log: {self.log}"
        how = how_ended(self.code)
        if self.by_kernel or any(word in line for line in self.last_lines for word in OUT_OF_MEMORY):
            return "oom", f"host memory ran out ({how}); {self._last_words()}"
        return "crashed", f"{how}; {self._last_words()}"

    def _last_words(self) -> str:
        if not self.last_lines:
            return f"its log {self.log} is empty"
        return f"its log ends: {printable(self.last_lines[-1][:300])}"


def run_worker(
    request: Path,
    result: Path,
    log: Path,
    *,
    environment: Mapping[str, str],
    timeout: float,
    python: str = sys.executable,
    listen: Callable[[str], None] = lambda line: None,
) -> Ended:
    """Run the worker on a request until it ends or its time is up; `listen` hears how far it is."""
    alive, ours = os.pipe()  # closes by itself when this process ends, however it ends
    heard, said = os.pipe()
    start, kills = time.monotonic(), _kernel_kills()
    try:
        with Log(log) as output:
            try:
                process = subprocess.Popen(
                    [python, "-P", "-m", "harness.worker.cell", str(request), str(result)],
                    stdin=subprocess.DEVNULL, stdout=output.end, stderr=subprocess.STDOUT, start_new_session=True,
                    env={**environment, guard.PIPE: str(alive), PROGRESS: str(said)}, pass_fds=(alive, said),
                )  # fmt: skip
            except OSError as error:
                os.close(heard)
                return Ended(NOT_STARTED, 0.0, log, last_lines=(f"{python} cannot be started: {error.strerror}",))
            os.close(said)
            said = -1
            hearing = threading.Thread(target=_hear, args=(heard, listen), daemon=True)
            hearing.start()
            try:
                code = _wait(process, start + timeout, output)
            finally:
                _end_group(process)
            hearing.join(1.0)
            output.cap(LOG_LIMIT)
            last_lines = output.last_lines()
    finally:
        for end in (alive, ours, said):
            if end >= 0:
                os.close(end)
    by_kernel = code == -signal.SIGKILL and _kernel_kills() > kills
    return Ended(code, time.monotonic() - start, log, by_kernel, last_lines)


class Log:
    """A new file for the output of a worker. It is held open, so that it can be cut and read whatever a cell does to its name."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(free(path), os.O_RDWR | NEW, 0o666)
        self.end = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        """For writers: they append, wherever the end is."""

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)
        os.close(self.end)

    def cap(self, limit: int) -> None:
        """Cut what lies between the head of the log and its end, if it is too long."""
        size = os.fstat(self._file).st_size
        if size <= limit:
            return
        tail = os.pread(self._file, LOG_HEAD, size - LOG_HEAD)
        os.ftruncate(self._file, LOG_HEAD)
        left_out = f"\n[samebench: {size - 2 * LOG_HEAD} bytes left out here]\n"
        os.pwrite(self._file, left_out.encode() + tail, LOG_HEAD)

    def last_lines(self) -> tuple[str, ...]:
        size = os.fstat(self._file).st_size
        text = os.pread(self._file, LOG_END, max(size - LOG_END, 0)).decode(errors="replace")
        return tuple(text.strip().splitlines()[-LAST:])


def _wait(process: subprocess.Popen[bytes], deadline: float, log: Log) -> int | None:
    """The exit code; None when the deadline has passed. Meanwhile the log is kept from filling the disk."""
    ended = threading.Event()

    def reap() -> None:
        process.wait()
        ended.set()

    threading.Thread(target=reap, daemon=True).start()  # `wait` with a time limit would look only every 50 ms
    while not ended.wait(max(min(POLL, deadline - time.monotonic()), 0)):
        if time.monotonic() >= deadline:
            return None
        log.cap(FLOOD)
    return process.returncode


def _hear(pipe: int, listen: Callable[[str], None]) -> None:
    with open(pipe, errors="replace") as lines:
        while line := lines.readline(LINE):
            listen(printable(line.rstrip("\n")))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, then end it, with all that it started; a second Ctrl-C does not wait."""
    try:
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _kernel_kills() -> int:
    """How many processes this machine's kernel has ended for want of memory; 0 where it does not say."""
    try:
        with open("/proc/vmstat") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0
