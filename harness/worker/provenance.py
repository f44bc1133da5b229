"""Where a result comes from: the code of samebench, the environment variables, and the accelerator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from harness import __version__
from harness.backend import Backend
from harness.environment import CACHES, FRESH

STARTS = (
    "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "VECLIB_", "NUMEXPR_", "DNNL_", "ONEDNN_",
    "XLA_", "JAX_", "TF_", "KERAS_", "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "ATEN_", "TRITON_",
    "CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "HIP_", "HSA_", "ROCR_", "MIOPEN_",
    "MALLOC_", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONHASHSEED", "PYTHONOPTIMIZE",
)  # fmt: skip
"""Prefixes of environment variables that change numbers or speed: threads, compilers, precision, devices, memory."""

SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL")
"""Parts of names whose values are not stored."""

FRAMEWORKS = ("jax", "tensorflow", "torch")
"""Modules of frameworks that compute. Two of them in one process compete for threads and memory."""

DRIVER = Path("/proc/driver/nvidia/version")


def provenance(backend: Backend[Any]) -> dict[str, Any]:
    """The provenance of a result."""
    return {
        "samebench": samebench_version(),
        "environment": relevant_variables(os.environ),
        "accelerator": accelerator_of(backend),
        "frameworks": [name for name in FRAMEWORKS if sys.modules.get(name)],
    }


def mixed(frameworks: Iterable[str], versions: Mapping[str, str]) -> Iterator[str]:
    """A warning for each framework that is imported although the backend does not name it among its versions."""
    for name in frameworks:
        if name not in versions:
            yield (
                f"its process has also imported {name}, which takes threads and memory; if the backend needs it, its versions() "
                f"should name it"
            )


def relevant_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that change numbers or speed. The folder of fresh compiler caches is another one in each
    cell, so its name is left out."""
    fresh = FRESH in environment
    found = {
        name: value
        for name, value in environment.items()
        if name.startswith(STARTS)
        and not any(part in name.upper() for part in SECRET)
        and not (fresh and name in CACHES)
    }
    return dict(sorted((found | ({FRESH: "yes"} if fresh else {})).items()))


def accelerator_of(backend: Backend[Any]) -> dict[str, str]:
    """The GPU of the backend, as its framework describes it, and the driver; empty on a CPU."""
    if backend.device == "cpu":
        return {}
    return {**backend.accelerator(), **driver_version(DRIVER), **nvidia_packages()}


def nvidia_packages() -> dict[str, str]:
    """The versions of CUDA's libraries that are installed as Python packages: frameworks use these."""
    found = {str(package.name): package.version for package in distributions()}
    return {name: version for name, version in sorted(found.items()) if name.startswith("nvidia-")}


def driver_version(file: Path) -> dict[str, str]:
    """The version of NVIDIA's driver, from the kernel's own file: "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.1"."""
    try:
        words = file.read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return {}
    return {"driver": next((word for word in words if word[0].isdigit() and "." in word), "unknown")}


@cache
def samebench_version() -> dict[str, Any]:
    """The version of samebench. In a git checkout: also the commit, and whether files have changed since."""
    return {"version": __version__, **commit_of(Path(__file__).parents[2])}


def commit_of(folder: Path) -> dict[str, Any]:
    """The commit of a git checkout, and whether its files have changed; empty if the folder is not the root of a checkout."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "HEAD")
    if not root or not commit or Path(root).resolve() != folder.resolve():
        return {}
    return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain", "--", "harness", "backends"))}


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command that only reads; None if there is no git, or no checkout."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=folder, capture_output=True, text=True, timeout=10,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
