"""The rules in a process of their own: a backend that ends its process, or crashes it, cannot end the check in silence.

The process runs this module. It reports to its parent on a pipe, one JSON object a line: the name of the backend, each rule
that begins, and the outcome of each rule. The parent counts the outcomes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.conformance import RULES, Outcome
from harness.conformance.kit import check_rule
from harness.environment import worker_environment
from harness.errors import SamebenchError, UsageError
from harness.options import nearest
from harness.plugins import load_backend
from harness.running.process import how_ended

PATIENCE = 5.0
"""Seconds to read the rest of the pipe after the process has ended. A process that it has started may keep the pipe open."""

Listen = Callable[[Outcome], None]


@dataclass
class Held:
    """The messages that the parent has received."""

    listen: Listen
    name: str | None = None
    """What the backend calls itself; None if it could not be loaded."""

    running: str | None = None
    """The rule that has begun and not ended."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    error: SamebenchError | None = None
    code: int = 0
    """The exit code of the process, or minus the number of the signal that ended it."""

    def hear(self, said: dict[str, Any]) -> None:
        if "name" in said:
            self.name = said["name"]
        elif "begins" in said:
            self.running = said["begins"]
        elif "outcome" in said:
            self.running = None
            self._take(Outcome(*said["outcome"]))
        else:
            self.error = (UsageError if said["usage"] else SamebenchError)(said["error"])

    def ended(self, code: int) -> None:
        """The process has ended: a rule that was running has failed."""
        self.code = code
        if self.running and not self.error:
            self._take(Outcome(self.running, "failed", f"the process ended while this rule ran: {self.how}"))

    def _take(self, outcome: Outcome) -> None:
        self.outcomes[outcome.rule] = outcome
        self.listen(outcome)

    @property
    def how(self) -> str:
        """How the process ended, in words."""
        return how_ended(self.code)

    @property
    def missing(self) -> list[str]:
        """The rules that have not run."""
        return [rule for rule in RULES if rule not in self.outcomes]


def check_apart(backend: str, device: str, mode: str, listen: Listen) -> Held:
    """Hold a backend to every rule; `listen` hears of each rule as it ends."""
    held, (heard, said) = Held(listen), os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.running.checking", str(said), backend, device, mode],
            env=worker_environment(), pass_fds=(said,),
        )  # fmt: skip
    finally:
        os.close(said)
    reader = threading.Thread(target=_hear, args=(heard, held), daemon=True)
    reader.start()
    try:
        code = process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    reader.join(PATIENCE)
    held.ended(code)
    return held


def _hear(pipe: int, held: Held) -> None:
    with open(pipe, encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):  # or else the process ended while it wrote
                held.hear(json.loads(line))


def main(pipe: str, backend: str, device: str, mode: str) -> None:
    """What the process does."""
    os.set_inheritable(int(pipe), False)

    def tell(**said: Any) -> None:
        os.write(int(pipe), json.dumps(said).encode() + b"\n")

    try:
        _hold(backend, device, mode, tell)
    except SamebenchError as error:
        tell(error=str(error), usage=isinstance(error, UsageError))


def _hold(backend: str, device: str, mode: str, tell: Callable[..., None]) -> None:
    loaded = load_backend(backend)
    tell(name=loaded.name)
    if mode not in loaded.modes and mode != "default":  # a backend without "default" breaks a rule
        raise UsageError(f"{loaded.name} has no mode {mode!r}; {nearest(mode, loaded.modes)}")
    for rule in list(RULES):
        tell(begins=rule)
        tell(outcome=check_rule(rule, loaded, device, mode))


if __name__ == "__main__":
    main(*sys.argv[1:])
