"""Where a run happens, and what a worker's process finds in its environment."""

from __future__ import annotations

import os
import platform
import sys

# Set before a framework is imported, unless the user has set them already. Both frameworks would otherwise take
# nearly all of a GPU's memory at once, and the numbers for peak memory would mean nothing.
WORKER = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONUNBUFFERED": "1",
}


def worker_environment() -> dict[str, str]:
    return WORKER | os.environ


def describe_host() -> dict[str, str | int]:
    """This machine, in the words that belong under a table of times."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
