"""Where a run happens, and what a worker's process finds there."""

from __future__ import annotations

import math
import os
import platform
import resource
import sys
from pathlib import Path

# Set before a framework is imported, unless the user has set them already. Both frameworks would otherwise take
# nearly all of a GPU's memory at once, and the numbers for peak memory would mean nothing.
WORKER = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONUNBUFFERED": "1",
    # Large arrays come from memory that the process keeps. By default glibc gets each from the system, page by page, and
    # gives it back: on a CPU a network of large pictures then spends most of its time there, in PyTorch above all,
    # whose own guide to tuning advises another allocator. Other systems do not look at these.
    "MALLOC_MMAP_THRESHOLD_": str(2**40),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def worker_environment(threads: int | None = None) -> dict[str, str]:
    """The environment of a worker: as many threads as asked for, or what the user has set, or one for each core."""
    asked = dict.fromkeys(THREADS, str(threads)) if threads else {}
    return WORKER | dict.fromkeys(THREADS, str(cores())) | os.environ | asked


def keep_within(threads: int | None, memory_bytes: int | None) -> None:
    """Hold this process to so many cores, which frameworks with thread pools of their own look at, and so much
    memory. Called before a framework is imported."""
    if threads and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def cores() -> int:
    """The cores this process may use: those it is bound to, or fewer where a container's share is smaller."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(bound, max(math.ceil(int(quota) / int(period)), 1))
    except (OSError, ValueError):  # no such file, or the quota is "max"
        return bound


def describe_host() -> dict[str, str | int]:
    """This machine, in the words that belong under a table of times."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
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
