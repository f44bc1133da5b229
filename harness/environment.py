"""The machine of a run, and the environment variables of a worker's process."""

from __future__ import annotations

import math
import os
import platform
import resource
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

# These are set before a framework is imported, unless the user has set them. Without them, XLA and TensorFlow take nearly
# all of a GPU's memory at once, and peak memory would mean nothing.
WORKER = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONUNBUFFERED": "1",
    # Let glibc keep the memory of large arrays. By default it requests each large array from the system, page by page, and
    # returns it. On a CPU, a network on large pictures then spends most of its time on that, most of all in PyTorch, whose
    # tuning guide recommends another allocator. Only glibc reads these variables.
    "MALLOC_MMAP_THRESHOLD_": str(2**40),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_ARENA_MAX": "1",  # another thread's arena gives large memory back in spite of both thresholds
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


CACHES = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton", "CUDA_CACHE_PATH": "cuda"}
"""Variables that name the folder of a compiler's cache, and a name for the folder."""

NO_CACHES = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
"""Variables that switch a cache off. By default, JAX has none."""

FRESH = "SAMEBENCH_FRESH_CACHES"
"""The variable that names the folder of a cell's own compiler caches."""


def fresh_caches(folder: Path) -> dict[str, str]:
    """Variables for compiler caches that start empty, in this folder."""
    return {FRESH: str(folder), **NO_CACHES} | {name: str(folder / place) for name, place in CACHES.items()}


VISIBLE = "CUDA_VISIBLE_DEVICES"
GPUS = Path("/proc/driver/nvidia/gpus")
"""A folder for each NVIDIA GPU. Its file `information` has a line "GPU UUID: GPU-..."."""

PART = "MIG-"
"""The start of the UUID of a part of a GPU."""

OTHER_GPUS = (Path("/dev/kfd"), Path("/dev/dxg"))
"""Files of the system if there is a GPU of AMD, or a GPU of Windows."""

NO_GPU = {VISIBLE: "", "HIP_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
"""Variables that hide every GPU from every framework. Some frameworks look for a GPU when they are imported."""


def gpus() -> list[str]:
    """The NVIDIA GPUs, or parts of GPUs (MIG), that this process may use, by their UUIDs. No framework is asked."""
    installed = [uuid for folder in sorted(GPUS.glob("*")) if (uuid := _uuid(folder / "information"))]
    if (chosen := os.environ.get(VISIBLE)) is None:
        return installed
    named = (_gpu_named(name, installed) for name in chosen.split(","))
    return list(takewhile(bool, named))  # CUDA stops at the first wrong name


def _gpu_named(name: str, installed: Sequence[str]) -> str:
    """The GPU that CUDA_VISIBLE_DEVICES names: by its number, by its UUID or the start of it, or as a part of a GPU. The system does
    not list parts of GPUs, so their names are not checked. Empty if there is no such GPU."""
    if name.isdecimal():
        return installed[int(name)] if int(name) < len(installed) else ""
    if name.startswith(PART):
        return name if installed else ""
    return next((uuid for uuid in installed if name and uuid.startswith(name)), "")


def may_have_gpu() -> bool:
    """Whether this machine has a GPU that this process may use, as far as the system tells."""
    return bool(gpus()) or any(file.exists() for file in OTHER_GPUS)


def _uuid(information: Path) -> str | None:
    try:
        lines = information.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("GPU UUID")), None)


def device_variables(device: str) -> dict[str, str]:
    """Variables for the device of a run: they hide all GPUs, or all but one."""
    if device == "cpu":
        return dict(NO_GPU)
    return {VISIBLE: found[0]} if device == "gpu" and (found := gpus()) else {}


def worker_environment(threads: int | None = None, device: str = "auto") -> dict[str, str]:
    """The environment of a worker. The number of threads is `threads`, or the user's own setting, or the number of cores."""
    limits = dict.fromkeys(THREADS, str(threads)) if threads else {}
    return WORKER | dict.fromkeys(THREADS, str(cores())) | os.environ | limits | device_variables(device)


def keep_within(threads: int | None, memory_bytes: int | None) -> None:
    """Limit the cores and the memory of this process. Call it before a framework is imported: thread pools take their
    size from the number of cores."""
    if threads and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def cores() -> int:
    """The number of cores that this process may use, including the limit of a container."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(bound, max(math.ceil(int(quota) / int(period)), 1))
    except (OSError, ValueError):  # no such file, or the quota is "max"
        return bound


def describe_host() -> dict[str, str | int]:
    """The processor, memory and system of this machine, for the notes under a table of times."""
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
