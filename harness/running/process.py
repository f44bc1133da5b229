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
from harness.running import guard
from harness.text import printable

PROGRESS = "SAMEBENCH_PROGRESS_FD"
"""The environment variable that names the pipe on which a worker says how far it is."""

GRACE = 5.0
"""Seconds between asking a worker to end and ending it."""

LOG_HEAD, LOG_LIMIT, FLOOD = 256 * 1024, 2 * 1024 * 1024, 64 * 1024 * 1024
"""A log beyond the limit keeps its head and its end. It is cut when its writer has ended; earlier only in a flood, when
a line that is written at that moment may be lost."""

POLL = 0.2
OUT_OF_MEMORY = (
    "MemoryError",
    "bad_alloc",
    "RESOURCE_EXHAUSTED",
    "out of memory",
    "OOM when",
    "Cannot allocate memory",
)


@dataclass(frozen=True)
class Ended:
    """How a worker's process ended."""

    code: int | None  # None: it ran out of time
    seconds: float
    log: Path
    by_kernel: bool = False  # the machine ran out of memory, and the kernel chose a victim

    def explain(self) -> tuple[Status, str]:
        """The status and reason of a process that left no valid result."""
        if self.code is None:
            return "timeout", f"still running after {self.seconds:.0f} s; its log: {self.log}"
        if self.code == 0:
            return "invalid", f"the worker ended without a valid result; its log: {self.log}"
        how = signal.Signals(-self.code).name if self.code < 0 else f"exit code {self.code}"
        if self.by_kernel or any(word in line for line in self._last_lines(20) for word in OUT_OF_MEMORY):
            return "oom", f"host memory ran out ({how}); {self._last_words()}"
        return "crashed", f"{how}; {self._last_words()}"

    def _last_words(self) -> str:
        lines = self._last_lines(1)
        return f"its log ends: {printable(lines[0][:300])}" if lines else f"its log {self.log} is empty"

    def _last_lines(self, count: int) -> list[str]:
        return self.log.read_text(errors="replace").strip().splitlines()[-count:]


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
        with log.open("a") as output:
            output.truncate(0)
            process = subprocess.Popen(
                [python, "-P", "-m", "harness.running.worker", str(request), str(result)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={**environment, guard.PIPE: str(alive), PROGRESS: str(said)}, pass_fds=(alive, said),
            )  # fmt: skip
        os.close(said)
        said = -1
        hearing = threading.Thread(target=_hear, args=(heard, listen), daemon=True)
        hearing.start()
        try:
            code = _wait(process, start + timeout, log)
        finally:
            _end_group(process)
        hearing.join(1.0)
    finally:
        for end in (alive, ours, said):
            if end >= 0:
                os.close(end)
    _cap(log, LOG_LIMIT)
    by_kernel = code == -signal.SIGKILL and _kernel_kills() > kills
    return Ended(code, time.monotonic() - start, log, by_kernel)


def _wait(process: subprocess.Popen[bytes], deadline: float, log: Path) -> int | None:
    """The exit code; None when the deadline has passed. Meanwhile the log is kept from filling the disk."""
    ended = threading.Event()

    def reap() -> None:
        process.wait()
        ended.set()

    threading.Thread(target=reap, daemon=True).start()  # `wait` with a time limit would look only every 50 ms
    while not ended.wait(max(min(POLL, deadline - time.monotonic()), 0)):
        if time.monotonic() >= deadline:
            return None
        _cap(log, FLOOD)
    return process.returncode


def _hear(pipe: int, listen: Callable[[str], None]) -> None:
    with open(pipe, errors="replace") as lines:
        for line in lines:
            listen(printable(line.rstrip("\n")))


def _cap(log: Path, limit: int) -> None:
    """Cut what lies between the head of a log and its end, if it is too long. Writers append, wherever the end is."""
    size = log.stat().st_size
    if size <= limit:
        return
    with log.open("r+b") as file:
        file.seek(size - LOG_HEAD)
        tail = file.read()
        file.truncate(LOG_HEAD)
        file.seek(LOG_HEAD)
        file.write(f"\n[samebench: {size - 2 * LOG_HEAD} bytes left out here]\n".encode() + tail)


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
