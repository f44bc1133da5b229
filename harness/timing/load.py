"""The use of the processor while something is timed: by this process, and by others.

Linux counts the processor time of the whole machine, and for how long some task waited for a core. On other systems,
only the time of this process is known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

OTHERS = 0.15
"""Cores that other processes may use while something is timed."""

WAITED = 0.05
"""The largest share of the time in which tasks may wait for a core, if other processes use cores."""

SHORTEST = 0.2
"""The shortest time that is judged, in seconds: Linux counts in steps of 0.01 s."""

STALL = 1.25
"""The largest ratio of a segment's time to that of the fastest, if its threads neither work nor wait for a core longer."""

STAT, PRESSURE, THREADS = Path("/proc/stat"), Path("/proc/pressure/cpu"), Path("/proc/self/task")
IDLE = (3, 4)
"""Places in the first line of /proc/stat of the time that no process used: idle, and waiting for a disk."""


class Usage(NamedTuple):
    """The length of a segment of time, and the processor time used in it, all in seconds."""

    seconds: float
    own_s: float
    """Of this process and its child processes, over all their threads."""

    others_s: float | None
    """Of all other processes, and of a hypervisor that took the cores away; None if it is not counted."""

    waited_s: float | None
    """For how long some task of the machine was ready to run and had no core; None if it is not counted."""

    delayed_s: float | None = None
    """For how long threads of this process were ready to run and had no core, over all threads; None if it is not counted."""

    @property
    def idle_share(self) -> float:
        """The share of the time in which no thread of this process worked or waited for a core, if they did so one at a time."""
        return max(1 - (self.own_s + (self.delayed_s or 0.0)) / self.seconds, 0.0)


class Reading(NamedTuple):
    """The counters at one moment."""

    own: float
    busy: float | None
    waited: float | None
    delayed: float | None = None

    @classmethod
    def now(cls) -> Reading:
        return cls(time.process_time() + _by_children(), _busy(), _waited(), _delayed())

    def until(self, later: Reading, seconds: float) -> Usage:
        """The usage between this reading and a later one, which are `seconds` apart."""
        own = later.own - self.own
        others = None if self.busy is None or later.busy is None else max(later.busy - self.busy - own, 0.0)
        waited = None if self.waited is None or later.waited is None else later.waited - self.waited
        delayed = None
        if self.delayed is not None and later.delayed is not None:
            delayed = max(later.delayed - self.delayed, 0.0)  # a thread that ends takes its counter along
        return Usage(seconds, own, others, waited, delayed)


def load_problem(measured: Mapping[str, Any]) -> str | None:
    """The load of other processes, or the stalls, that spoil the speed of a cell; None if there is neither. `measured` holds the
    usage of each timed segment, as a result keeps it."""
    seconds, own, others, waited, delayed = (measured.get(f"segment_{name}", []) for name in Usage._fields)
    if used := _cores_of_others(seconds, others, waited):
        return f"other processes used {used:.1f} cores while it was timed"
    if found := stalled(seconds, own, delayed):
        return f"{len(found)} of {len(seconds)} timed segments stalled: they took longer, with no more processor time"
    return None


def busy_since(start: float, before: Reading) -> str | None:
    """A warning if other processes have used cores since `start`, a value of `time.perf_counter`; otherwise None. It waits
    until enough time has been measured."""
    time.sleep(max(start + SHORTEST - time.perf_counter(), 0.0))
    seconds = time.perf_counter() - start
    usage = before.until(Reading.now(), seconds)
    waited = [] if usage.waited_s is None else [usage.waited_s]
    if usage.others_s is not None and (used := _cores_of_others([usage.seconds], [usage.others_s], waited)):
        return (
            f"This machine is busy: other processes use {used:.1f} cores. Speeds measured now are marked as disturbed."
        )
    return None


def _cores_of_others(seconds: Sequence[float], others: Sequence[float], waited: Sequence[float]) -> float | None:
    """The number of cores that other processes used, if they disturb what is timed."""
    total = sum(seconds)
    if total >= SHORTEST and sum(others) > OTHERS * total and (not waited or sum(waited) > WAITED * total):
        return sum(others) / total
    return None


def stalled(seconds: Sequence[float], own: Sequence[float], delayed: Sequence[float] = ()) -> list[int]:
    """The segments that took longer than the fastest, although their threads neither worked nor waited for a core longer. Times below
    `SHORTEST` count as that: threads of a BLAS spin for some time after their work, which looks like work."""
    if not seconds or len(seconds) != len(own):
        return []
    waits = delayed if len(delayed) == len(own) else [0.0] * len(own)
    active = [worked + waited for worked, waited in zip(own, waits)]
    fastest = min(range(len(seconds)), key=seconds.__getitem__)
    shortest, least = max(seconds[fastest], SHORTEST), max(active[fastest], SHORTEST)
    return [
        number
        for number, (taken, work) in enumerate(zip(seconds, active))
        if taken / shortest > STALL * max(1.0, work / least)
    ]


def _by_children() -> float:
    """Processor seconds of all child processes: of those that run, such as the workers of an input pipeline, and of those that have
    ended."""
    ended = os.times()
    return ended.children_user + ended.children_system + sum(map(_seconds_of, descendants("self")))


def descendants(process: str) -> list[str]:
    """The numbers of the child processes, and of their children; empty if the system does not list them."""
    found = []
    with suppress(OSError):
        for thread in Path("/proc", process, "task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [child, *descendants(child)]
    return found


def _seconds_of(process: str) -> float:
    """The processor seconds of a process, and of its children that have ended; 0 if it has ended too."""
    try:
        numbers = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[11:15]
    except OSError:
        return 0.0
    return sum(map(int, numbers)) / os.sysconf("SC_CLK_TCK")


def _busy() -> float | None:
    """Processor seconds that all processes of this machine have used."""
    try:
        numbers = STAT.read_text().partition("\n")[0].split()[1:9]
        return sum(int(n) for place, n in enumerate(numbers) if place not in IDLE) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def _waited() -> float | None:
    """Seconds in which some task was ready to run and had no core."""
    try:
        return int(PRESSURE.read_text().partition("total=")[2].split()[0]) / 1e6
    except (OSError, ValueError, IndexError):
        return None


def _delayed() -> float | None:
    """Seconds in which threads of this process were ready to run and had no core."""
    try:
        return sum(int((thread / "schedstat").read_text().split()[1]) for thread in THREADS.iterdir()) / 1e9
    except (OSError, ValueError, IndexError):
        return None
