"""A worker process in its own process group. Its progress is read and its time and log are limited. When it ends, all
processes that it has started are ended too."""

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
from harness.text import format_bytes, printable
from harness.worker import guard
from harness.worker.descendants import MARK, below, end_below, end_marked
from harness.worker.failures import OUT_OF_MEMORY
from harness.worker.memory import RSS_UNIT
from harness.worker.progress import PROGRESS

GRACE, QUICK = 5.0, 0.5
"""Seconds between SIGTERM and SIGKILL: after the time limit, and if the user or the system ends the run."""

LOG_HEAD, LOG_LIMIT, FLOOD = 256 * 1024, 2 * 1024 * 1024, 64 * 1024 * 1024
"""Sizes in bytes. A log above LOG_LIMIT keeps only its head and its end. It is cut after its writer has ended. Above FLOOD it
is cut at once; then a line that is written at that moment may be lost."""

LOG_END, LAST = 64 * 1024, 20
"""The number of bytes that are read from the end of a log, and the number of its last lines that are kept."""

LINE = 1000
"""Longer lines of progress are split."""

OF_DEVICE = ("CUDA", "cuda", "GPU", "HIP", "HBM")
"""Parts of messages about the memory of an accelerator."""

NOT_STARTED = 127
"""The exit code of a process that could not be started, as in a shell."""

POLL = 0.2


def how_ended(code: int) -> str:
    """An exit code in words. A negative exit code is a signal. Real-time signals have no names."""
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


@dataclass(frozen=True)
class Ended:
    """How a worker's process ended."""

    code: int | None
    """The exit code; None if the time limit has passed."""

    seconds: float
    log: Path
    by_kernel: bool = False
    """Whether the kernel has killed it because the machine ran out of memory."""

    last_lines: tuple[str, ...] = ()
    """The last lines of its log."""

    peak_rss_bytes: int = 0
    """The peak memory of the largest of its processes."""

    def explain(self) -> tuple[Status, str]:
        """The status and reason of a process that left no valid result."""
        if self.code is None:
            return "timeout", f"still running after {self.seconds:.0f} s; its log: {self.log}"
        if self.code == 0:
            return "invalid", f"the worker ended without a valid result; its log: {self.log}"
        how = how_ended(self.code)
        lines = [line for line in self.last_lines if any(word in line for word in OUT_OF_MEMORY)]
        if self.by_kernel or lines:
            where = "device" if not self.by_kernel and any(word in lines[-1] for word in OF_DEVICE) else "host"
            peak = format_bytes(self.peak_rss_bytes)
            return "oom", f"{where} memory ran out ({how}); peak memory on the host {peak}; {self._last_words()}"
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
    """Run the worker on a request until it ends or the time limit has passed. `listen` is called with each line of its
    progress."""
    alive, ours = os.pipe()  # the system closes it when this process ends, for any reason
    read_end, write_end = os.pipe()
    start, kills, mark = time.monotonic(), _kernel_kills(), os.urandom(16).hex()
    try:
        with Log(log) as output:
            try:
                process = subprocess.Popen(
                    [python, "-P", "-m", "harness.worker.cell", str(request), str(result)],
                    stdin=subprocess.DEVNULL, stdout=output.end, stderr=subprocess.STDOUT, start_new_session=True,
                    env={**environment, guard.PIPE: str(alive), PROGRESS: str(write_end), MARK: mark},
                    pass_fds=(alive, write_end),
                )  # fmt: skip
            except OSError as error:
                os.close(read_end)
                return Ended(NOT_STARTED, 0.0, log, last_lines=(f"{python} cannot be started: {error.strerror}",))
            os.close(write_end)
            write_end = -1
            hearing = threading.Thread(target=_hear, args=(read_end, listen), daemon=True)
            hearing.start()
            child, grace = _Child(process), QUICK
            try:
                code = _wait(child, start + timeout, output)
                in_time = code is not None or result.exists()
                grace = GRACE
            finally:
                _end_all(child, mark, grace)
            if not in_time:
                result.unlink(missing_ok=True)  # the cell has finished after its time limit
            hearing.join(1.0)
            output.cap(LOG_LIMIT)
            last_lines = output.last_lines()
    finally:
        for end in (alive, ours, write_end):
            if end >= 0:
                os.close(end)
    by_kernel = code == -signal.SIGKILL and _kernel_kills() > kills
    return Ended(code, time.monotonic() - start, log, by_kernel, last_lines, child.peak_rss_bytes)


class _Child:
    """A process that a thread waits for. `Popen.wait` with a time limit would look only every 50 ms, and does not tell the memory."""

    code: int | None = None
    """The exit code; None if the process has not ended."""

    peak_rss_bytes = 0
    """The peak memory of the process, or of one of its children if that is more. A little of it may be memory of this process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid, self._process, self._ended = process.pid, process, threading.Event()
        threading.Thread(target=self._reap, daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the process ends. Returns whether it has ended."""
        return self._ended.wait(seconds)

    def _reap(self) -> None:
        try:
            _, status, used = os.wait4(self.pid, 0)
        except ChildProcessError:  # the user ignores SIGCHLD, so the system does not keep how a process ended
            code = 0
        else:
            code, self.peak_rss_bytes = os.waitstatus_to_exitcode(status), used.ru_maxrss * RSS_UNIT
        self.code = self._process.returncode = code
        self._ended.set()


class Log:
    """A new file for the output of a worker. It stays open, so that it can be cut and read even if a cell renames it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(free(path), os.O_RDWR | NEW, 0o666)
        self.end = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        """The file for writers, opened for appending."""

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._file)
        os.close(self.end)

    def cap(self, limit: int) -> None:
        """Remove the part between the head and the end of the log, if the log is too long."""
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


def _wait(child: _Child, deadline: float, log: Log) -> int | None:
    """The exit code; None if the deadline has passed. Meanwhile a very large log is cut, before it fills the disk."""
    while not child.wait(max(min(POLL, deadline - time.monotonic()), 0)):
        if time.monotonic() >= deadline:
            return None
        log.cap(FLOOD)
    return child.code


def _hear(pipe: int, listen: Callable[[str], None]) -> None:
    with open(pipe, errors="replace") as lines:
        while line := lines.readline(LINE):
            listen(printable(line.rstrip("\n")))


def _end_all(child: _Child, mark: str, grace: float) -> None:
    """Ask the process to end, then kill it and all processes that it has started. A second Ctrl-C skips the wait."""
    try:
        if child.code is None:
            _signal_group(child, signal.SIGTERM)
            for member in below(child.pid):
                _signal_outside(child.pid, member)
            child.wait(grace)
    finally:
        if child.code is None:
            end_below(child.pid)  # before the guard, which adopts those whose parents end
        _signal_group(child, signal.SIGKILL)
        child.wait()
        end_marked(mark)


def _signal_outside(group: int, process: int) -> None:
    """Ask a process to end that has left its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process) != group:
            os.kill(process, signal.SIGTERM)


def _signal_group(leader: _Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, number)


def _kernel_kills() -> int:
    """The number of processes that the kernel has killed because memory ran out; 0 if that is unknown."""
    try:
        with open("/proc/vmstat") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0
