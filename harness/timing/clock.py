"""A clock that measures phases. Phases never overlap, and the clock never goes backwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.timing.load import Reading, Usage


class Clock:
    """Seconds by phase. Each section of a phase is kept; the time of a phase is their sum."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.usage: dict[str, list[Usage]] = {}
        """The time and the processor time of each section, by phase."""

        self.segments: dict[float, Usage] = {}
        """The usage of each timed segment, by its rate."""

        self.beside: dict[str, float] = {}
        """Seconds of work in other threads during phases, such as augmentation."""
        self._running: str | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the body of the `with` statement as a section of the phase `name`. Phases do not nest."""
        if self._running:
            raise RuntimeError(f"the phase {self._running!r} is still running; {name!r} cannot start inside it")
        self._running, before = name, Reading.now()
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self._running = None
            self.usage.setdefault(name, []).append(before.until(Reading.now(), seconds))

    def rate(self, name: str, count: float) -> float:
        """The rate per second of the last section of a phase, in which `count` items were processed. The section is
        kept as a timed segment."""
        last = self.usage[name][-1]
        rate = count / last.seconds
        self.segments[rate] = last
        return rate

    @property
    def phases(self) -> dict[str, list[float]]:
        """The seconds of each section, by phase."""
        return {name: [section.seconds for section in sections] for name, sections in self.usage.items()}

    def seconds(self, name: str) -> float:
        return sum(section.seconds for section in self.usage.get(name, []))

    @property
    def total(self) -> float:
        """Seconds since this clock was created, in phases or not."""
        return time.perf_counter() - self.started
