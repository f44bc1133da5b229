"""The peak memory of a process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""The number of bytes in a unit of `ru_maxrss`: macOS counts bytes, Linux KiB."""


def peak_rss() -> int:
    """The peak memory of this process in bytes.

    Linux counts it in `VmHWM`. The usual `ru_maxrss` also holds the memory of the parent when it started this process. Elsewhere
    there is nothing else.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
