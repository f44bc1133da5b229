"""Sinks: trackers of experiments that get every finished cell, each in a process of its own (`harness.running.sink`).

They work between cells, never while a cell is timed. A sink that fails, hangs or is missing is given up with a warning, and the
run goes on without it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from harness.environment import worker_environment
from harness.errors import UsageError
from harness.plugins import Plugins
from harness.running.process import FLOOD, LOG_LIMIT, Log, how_ended
from harness.running.store import Store
from harness.text import printable
from harness.worker import guard
from harness.worker.descendants import MARK, end_below, end_marked

FOLDER, ANSWERS = "sinks", "SAMEBENCH_ANSWERS_FD"
"""The folder of a run for the files of its sinks; and the environment variable with the file descriptor for a sink's answers."""


class Patience(NamedTuple):
    """The seconds after which a sink is given up: for its start, for each cell, and for its end."""

    start: float = 90.0
    cell: float = 30.0
    end: float = 30.0


class Wanted(NamedTuple):
    """A sink that the user wants: --sink NAME, or --sink NAME=PLACE."""

    name: str
    where: str | None


def wanted_sinks(texts: Sequence[str], plugins: Plugins) -> list[Wanted]:
    """The sinks of a run. Raises UsageError for an unknown name, and for a name that is given twice."""
    found: list[Wanted] = []
    for text in texts:
        name, equals, where = text.partition("=")
        if equals and not where:
            raise UsageError(f"the sink {text!r} has no place: write {name}, or {name}=PLACE", code="wrong-form")
        plugins.sinks[name]
        if name in {sink.name for sink in found}:
            raise UsageError(f"the sink {name} is given twice: give it once", code="given-twice")
        found.append(Wanted(name, where or None))
    return found


@contextmanager
def sinking(
    store: Store,
    wanted: Sequence[Wanted],
    say: Callable[[str], None],
    patience: Patience = Patience(),  # noqa: B008 - a value
) -> Iterator[Callable[[str], None]]:
    """The function that gives a finished cell, by its key, to all sinks. At the end, the sinks may finish; if an error ends the
    run, they are ended at once."""
    sinks = list(_started(store, wanted, say))

    def log(key: str) -> None:
        for sink in sinks:
            sink.ask(key, patience.cell)

    try:
        for sink in sinks:
            sink.hear(patience.start)
        yield log
        for sink in sinks:
            sink.finish(patience.end)
    finally:
        for sink in sinks:
            sink.end()


def _started(store: Store, wanted: Sequence[Wanted], say: Callable[[str], None]) -> Iterator[_Sink]:
    for sink in wanted:
        try:
            yield _Sink(sink, store, say)
        except OSError as error:
            say(f"warning: the sink {sink.name} cannot be started: {error}; the run goes on without it")


class _Sink:
    """The process of a sink. It says "ready", and then answers each key with a line when the cell is logged."""

    def __init__(self, wanted: Wanted, store: Store, say: Callable[[str], None]) -> None:
        self.name, self.say, self.mark = wanted.name, say, os.urandom(16).hex()
        self.log = Log(store.room(FOLDER, wanted.name) / "log.txt")
        alive, self._ours = os.pipe()  # the system closes it when this process ends, for any reason
        self._answers, answers = os.pipe()
        self._unread = b""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.running.sink", str(store.folder), *filter(None, wanted)],
            stdin=subprocess.PIPE, stdout=self.log.end, stderr=subprocess.STDOUT, start_new_session=True, bufsize=0,
            env={**worker_environment(1, "cpu"), guard.PIPE: str(alive), ANSWERS: str(answers), MARK: self.mark},
            pass_fds=(alive, answers),
        )  # fmt: skip
        os.close(alive)
        os.close(answers)
        self.works = True

    def ask(self, key: str, seconds: float) -> None:
        """Give the sink a cell, and wait until it is logged."""
        if not self.works:
            return
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, and `hear` says so
            self.process.stdin.write(f"{key}\n".encode())
        self.hear(seconds)
        if self.works:
            self.log.cap(FLOOD)

    def hear(self, seconds: float) -> None:
        """Wait for an answer. Without one, the sink is given up."""
        deadline = time.monotonic() + seconds
        while self.works and b"\n" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(deadline - time.monotonic(), 0))
            said = os.read(self._answers, 4096) if ready else b""
            if not ready:
                self._give_up(f"has not answered for {seconds:g} s")
            elif not said:
                self.finish(1.0, "has ended before the run")
            self._unread += said
        self._unread = self._unread.partition(b"\n")[2]

    def finish(self, seconds: float, how: str = "") -> None:
        """Let the sink end by itself. It is given up if it fails, if it takes longer, or if it ends too early (`how`)."""
        if not self.works:
            return
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._give_up(f"has not ended after {seconds:g} s")
            return
        if code or how:
            self._give_up(how if not code else f"has failed ({how_ended(code)})")
        self.works = False

    def _give_up(self, why: str) -> None:
        words = self.log.last_lines()
        self.end()
        last = f": {printable(words[-1][:300])}" if words else ""
        self.say(f"warning: the sink {self.name} {why}{last}; the run goes on without it")

    def end(self) -> None:
        """End the process and all that it has started."""
        self.works = False
        if self._ours < 0:
            return
        if self.process.poll() is None:
            end_below(self.process.pid)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        end_marked(self.mark)
        self.log.cap(LOG_LIMIT)
        self.log.close()
        os.close(self._ours)
        os.close(self._answers)
        self._ours = -1
        if self.process.stdin:
            self.process.stdin.close()
