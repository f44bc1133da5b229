"""Runs the command line in tests, with the reference as the backend. No framework is needed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SMALL = [
    "--task",
    "scratch-cnn",
    "--precision",
    "float64",
    "--set",
    "segment_s=0",
    "--set",
    "scratch-cnn.epochs=1",
    "--set",
    "scratch-cnn.train_limit=96",
]
"""Options for a quick cell with the reference."""

FILE = """
import ctypes, locale, os, signal, subprocess, sys, threading, time
from harness import Unsupported, hookimpl
from harness.reference.backend import NumPy

class Mine(NumPy):
    name = "mine"

    def build(self, model, weights):
        FAULT
        return super().build(model, weights)

@hookimpl
def samebench_backend():
    return Mine
"""


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "harness", *map(str, arguments)]


def samebench(*arguments: Any, timeout: float = 300, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout, **options)


def on_a_terminal(*arguments: Any, **environment: str) -> tuple[int, str]:
    """The exit code and the output of a command that runs on a terminal."""
    process, terminal = pty.fork()
    if not process:
        os.execvpe(
            sys.executable, command(*arguments), os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"} | environment
        )
    said = b""
    with contextlib.suppress(OSError):  # which is how a terminal says that nobody writes any more
        while part := os.read(terminal, 65536):
            said += part
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said.decode()


def words(text: str) -> str:
    """The text with a single space for each line break, whose places vary."""
    return " ".join(text.split())


def backend(folder: Path, fault: str) -> Path:
    """A backend in a file: the reference, with a fault in `build`."""
    file = folder / "mine.py"
    file.write_text(FILE.replace("FAULT", fault))
    return file


def report(folder: Path) -> dict[str, Any]:
    return json.loads(samebench("report", folder, "--format", "json").stdout)


def cells(folder: Path) -> dict[str, tuple[str, str | None]]:
    """The status and the reason of each cell by backend."""
    return {Path(cell["backend"]).stem: (cell["status"], cell["reason"]) for cell in report(folder)["cells"]}


def processor_seconds(*command: str) -> float:
    """The processor time of a command in seconds. It hardly depends on other work of the machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert subprocess.run(command, capture_output=True).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def slowness() -> float:
    """The factor by which this machine is now slower than a usual machine, which imports NumPy in 0.1 s."""
    return max(1.0, min(processor_seconds(sys.executable, "-c", "import numpy") for _ in range(3)) / 0.1)


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def lives(process: int) -> bool:
    """Whether a process runs. A zombie does not run."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
