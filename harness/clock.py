"""Time told apart: phases that never overlap, on a clock that never runs backwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds by phase. Every stretch keeps its own value; a phase's time is their sum."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.stretches: dict[str, list[float]] = {}
        self.beside: dict[str, float] = {}
        """Seconds of work that went on while phases did, such as pictures made ahead."""
        self._running: str | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside as a stretch of the phase `name`; phases do not nest."""
        if self._running:
            raise RuntimeError(f"the phase {self._running!r} is still running; {name!r} cannot start inside it")
        self._running, start = name, time.perf_counter()
        try:
            yield
        finally:
            self._running = None
            self.stretches.setdefault(name, []).append(time.perf_counter() - start)

    def seconds(self, name: str) -> float:
        return sum(self.stretches.get(name, []))

    @property
    def total(self) -> float:
        """Seconds since this clock was made, whatever they went into."""
        return time.perf_counter() - self.started
