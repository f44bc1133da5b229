"""A clock that measures phases. Phases never overlap, and the clock never goes backwards."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from harness.timing.gpu import Gpu, GpuReading, Unreadable
from harness.timing.load import Reading, Usage


class Rate(float):
    """Items per second in a timed segment. It is a number that knows its count of items, its use of the processor, and the state
    of the GPU meanwhile."""

    count: float
    usage: Usage
    gpu: Mapping[str, Any] | None

    def __new__(cls, count: float, usage: Usage, gpu: Mapping[str, Any] | None = None) -> Self:
        rate = super().__new__(cls, count / usage.seconds)
        rate.count, rate.usage, rate.gpu = count, usage, gpu
        return rate

    def __reduce__(self) -> Any:
        return Rate, (self.count, self.usage, self.gpu)


class Clock:
    """Seconds by phase. Each section of a phase is kept; the time of a phase is their sum."""

    def __init__(self, started: float | None = None, gpu: Gpu | None = None) -> None:
        """`started` is the value of `time.monotonic` when this process was started. The time since then is the phase
        "start". The state of `gpu` is read before and after each section."""
        now = time.monotonic()
        self.started = now if started is None else started
        self.usage: dict[str, list[Usage]] = {}
        """The time and the processor time of each section, by phase."""

        self.beside: dict[str, float] = {}
        """Seconds of work in other threads during phases, such as augmentation."""
        self._running: str | None = None
        self._gpu, self._on_gpu = gpu, dict[str, Mapping[str, Any] | None]()
        if started is not None:
            self.usage["start"] = [Usage(now - started, time.process_time(), None, None)]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the body of the `with` statement as a section of the phase `name`. Phases do not nest."""
        if self._running:
            raise RuntimeError(f"the phase {self._running!r} is still running; {name!r} cannot start inside it")
        self._running, before, gpu = name, Reading.now(), self._read_gpu()
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - start
            self._running, later = None, self._read_gpu()
            self._on_gpu[name] = gpu.until(later) if gpu and later else None
            self.usage.setdefault(name, []).append(before.until(Reading.now(), seconds))

    def rate(self, name: str, count: float) -> Rate:
        """The rate of the last section of a phase, in which `count` items were processed."""
        return Rate(count, self.usage[name][-1], self._on_gpu.get(name))

    def _read_gpu(self) -> GpuReading | None:
        """The state of the GPU; None if there is none, or if it does not tell."""
        try:
            return self._gpu.read() if self._gpu else None
        except Unreadable:
            return None

    @property
    def phases(self) -> dict[str, list[float]]:
        """The seconds of each section, by phase."""
        return {name: [section.seconds for section in sections] for name, sections in self.usage.items()}

    def seconds(self, name: str) -> float:
        return sum(section.seconds for section in self.usage.get(name, []))

    @property
    def total(self) -> float:
        """Seconds since the start, in phases or not."""
        return time.monotonic() - self.started

    def record(self, *names: str) -> dict[str, float]:
        """Seconds by phase, also of the phases `names` if they have no section. "other" is the time outside of all phases, so
        that all of them add up to "total"."""
        seconds = {name: self.seconds(name) for name in dict.fromkeys((*names, *self.usage))}
        total = self.total
        return seconds | {"other": max(total - sum(seconds.values()), 0.0), "total": total}
