"""Reports the progress of a worker to the runner, as lines in a pipe."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

PROGRESS = "SAMEBENCH_PROGRESS_FD"
"""The environment variable with the file descriptor of the pipe."""


def teller() -> Callable[[str], None]:
    """A function that sends a line to the runner, if there is one. It never blocks: if the pipe is full, the line is lost."""
    if (number := os.environ.pop(PROGRESS, None)) is None:
        return lambda line: None
    pipe = int(number)
    os.set_inheritable(pipe, False)
    os.set_blocking(pipe, False)

    def tell(line: str) -> None:
        with contextlib.suppress(OSError):
            os.write(pipe, line.replace("\n", " ").encode()[:500] + b"\n")

    return tell
