"""Check a backend in a separate process. If the backend ends or crashes this process, the check reports it.

The process runs this module. It writes one JSON object per line to a pipe: the name of the backend, the start of each rule,
and the outcome of each rule. The parent process counts the outcomes.
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

import msgspec
from msgspec import UNSET, Struct, UnsetType

from harness.conformance import RULES, Outcome
from harness.conformance.kit import check_rule
from harness.environment import worker_environment
from harness.errors import SamebenchError, UsageError
from harness.options import nearest
from harness.plugins import load_backend
from harness.running.process import how_ended

PATIENCE = 5.0
"""Seconds to read the rest of the pipe after the process has ended. Its child processes may keep the pipe open."""

Listen = Callable[[Outcome], None]


class MessageForm(Struct):
    """A message of the process. It has one of the fields; `usage` says whether an error is the user's."""

    name: str | UnsetType = UNSET
    begins: str | UnsetType = UNSET
    outcome: Outcome | UnsetType = UNSET
    error: str | UnsetType = UNSET
    usage: bool = False


MESSAGES = msgspec.json.Decoder(MessageForm)


@dataclass
class Held:
    """The messages that the parent has received."""

    listen: Listen
    name: str | None = None
    """The name of the backend; None if it could not be loaded."""

    running: str | None = None
    """The rule that is running now."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    error: SamebenchError | None = None
    code: int = 0
    """The exit code of the process, or minus the number of the signal that ended it."""

    def hear(self, line: bytes) -> None:
        try:
            message = MESSAGES.decode(line)
        except ValueError as error:
            self.error = SamebenchError(
                f"the process of the check has sent a message that samebench cannot read: {error}; repeat the check, and "
                "report this if it happens again"
            )
            return
        if message.name is not UNSET:
            self.name = message.name
        elif message.begins is not UNSET:
            self.running = message.begins
        elif message.outcome is not UNSET:
            self.running = None
            self._take(message.outcome)
        elif message.error is not UNSET:
            self.error = (UsageError if message.usage else SamebenchError)(message.error)

    def ended(self, code: int) -> None:
        """Note that the process has ended. A rule that was running has failed."""
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
    """Check a backend against every rule. `listen` is called with the outcome of each rule."""
    held, (read_end, write_end) = Held(listen), os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.running.checking", str(write_end), backend, device, mode],
            env=worker_environment(device=device), pass_fds=(write_end,),
        )  # fmt: skip
    finally:
        os.close(write_end)
    reader = threading.Thread(target=_hear, args=(read_end, held), daemon=True)
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
    with open(pipe, "rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):  # otherwise the process ended while it wrote the line
                held.hear(line)


def main(pipe: str, backend: str, device: str, mode: str) -> None:
    """The main function of the process."""
    os.set_inheritable(int(pipe), False)

    def send(**message: Any) -> None:
        os.write(int(pipe), json.dumps(message).encode() + b"\n")

    try:
        _check(backend, device, mode, send)
    except SamebenchError as error:
        send(error=str(error), usage=isinstance(error, UsageError))


def _check(backend: str, device: str, mode: str, send: Callable[..., None]) -> None:
    loaded = load_backend(backend)
    send(name=loaded.name)
    if mode not in loaded.modes and mode != "default":  # a backend without "default" breaks a rule
        raise UsageError(f"{loaded.name} has no mode {mode!r}; {nearest(mode, loaded.modes)}", code="unknown-name")
    for rule in list(RULES):
        send(begins=rule)
        send(outcome=check_rule(rule, loaded, device, mode))


if __name__ == "__main__":
    main(*sys.argv[1:])
