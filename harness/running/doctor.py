"""Test whether each backend can be started here, in a separate process: it may crash or hang without harm.

The answer is cached until the backend's code or the installed packages change.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from harness.environment import describe_host, may_have_gpu, worker_environment
from harness.errors import UsageError
from harness.forms import problems
from harness.plugins import find_backends
from harness.result import digest
from harness.running.process import run_worker
from harness.storage.atomic import read_json
from harness.storage.places import Places
from harness.storage.sealed import read_sealed, write_json, write_sealed
from harness.worker.code_hash import code_of

TIMEOUT = 120.0


class FailedForm(Struct):
    """The answer about a backend that does not work."""

    reason: str


class WorksForm(Struct):
    """The answer about a backend that works."""

    reason: None
    modes: list[str]
    precisions: list[str]
    device: str
    versions: dict[str, str]
    settings: dict[str, str]


def _checked(answer: Any) -> dict[str, Any]:
    """The answer of a worker. Raises ValueError with the path of a problem."""
    works = isinstance(answer, dict) and answer.get("reason", "") is None
    for problem in problems(answer, WorksForm if works else FailedForm, "its answer"):
        raise ValueError(problem)
    return dict(answer)


def one_device(
    device: str, backends: Iterable[str], places: Places, pythons: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The device of a whole run: "cpu" or "gpu". "auto" is the GPU if this machine has one. All backends are then asked which
    device they use. Raises UsageError if they use different ones."""
    if device != "auto":
        return device
    if not may_have_gpu():
        return "cpu"
    found = {name: probe(name, places, python=pythons.get(name, sys.executable)) for name in backends}
    used = {name: answer["device"] for name, answer in found.items() if answer["reason"] is None}
    if len({*used.values()}) > 1:
        on = " and ".join(
            f"{', '.join(name for name, at in used.items() if at == place)} on the {place}"
            for place in sorted({*used.values()})
        )
        raise UsageError(
            f"the backends would run on different devices: {on}. Choose --device cpu, leave a backend out, or install its packages "
            "for GPUs",
            code="conflicting-options",
        )
    return next(iter(used.values()), "cpu")


def probe(
    backend: str, places: Places, device: str = "auto", timeout: float = TIMEOUT, python: str = sys.executable
) -> dict[str, Any]:
    """Start the backend in a process. `reason` says why that failed; it is None if it worked."""
    with tempfile.TemporaryDirectory(prefix="samebench-probe-") as name:
        folder = Path(name)
        request = {"probe": {"backend": backend, "device": device}, "limits": {"threads": None, "memory_bytes": None}}
        write_json(folder / "request.json", request)
        ended = run_worker(
            folder / "request.json", folder / "result.json", folder / "log.txt",
            environment=worker_environment(device=device), timeout=timeout, python=python,
        )  # fmt: skip
        try:
            found = _checked(read_json(folder / "result.json"))
        except FileNotFoundError:
            status, reason = ended.explain()
            found = {"reason": f"{status} when it was started: {reason.partition(' its log')[0].rstrip(';:')}"}
        except ValueError as error:
            found = {"reason": f"invalid when it was started: {error}"}
    found["seconds"] = ended.seconds
    write_sealed(_file(backend, places), found)
    return found


def last_probe(backend: str, places: Places) -> dict[str, Any] | None:
    """The answer of the last probe; None if there is none, or if the backend or a package has changed since."""
    try:
        return _checked(read_sealed(_file(backend, places)))
    except (OSError, ValueError):
        return None


def _file(backend: str, places: Places) -> Path:
    packages = sysconfig.get_path("purelib")
    installed = os.stat(packages).st_mtime_ns if os.path.isdir(packages) else 0
    return places.cache / "probes" / f"{digest([backend, code_of(backend), packages, installed])}.json"


def examine(places: Places) -> dict[str, Any]:
    """The content of `samebench doctor`, as plain data."""
    backends = {}
    for entry in find_backends().values():
        found = {"status": entry.status, "reason": entry.reason}
        if entry.status == "available":
            found |= probe(entry.name, places)
            found["status"] = "broken" if found["reason"] else "works"
        backends[entry.name] = found
    return {"host": describe_host(), "places": _describe(places), "backends": backends}


def as_text(found: dict[str, Any]) -> str:
    """The content of `samebench doctor`, as text."""
    host = found["host"]
    lines = [
        f"This machine: {host['processor']}, {host['cores']} cores, {host['memory_bytes'] / 2**30:.0f} GiB, "
        f"{host['system']}, Python {host['python']}",
        *(f"{name}: {place}" for name, place in found["places"].items()),
    ]
    for name, backend in found["backends"].items():
        lines += ["", f"{name}: {backend['status']}" + (f": {backend['reason']}" if backend["reason"] else "")]
        if backend["status"] == "works":
            versions = ", ".join(f"{package} {version}" for package, version in backend["versions"].items())
            settings = ", ".join(f"{switch} {value}" for switch, value in backend["settings"].items())
            lines += [
                f"  {versions}",
                f"  on the {backend['device'].upper()}, started in {backend['seconds']:.1f} s",
                f"  modes: {', '.join(backend['modes'])}; precisions: {', '.join(backend['precisions'])}",
                f"  {settings}",
            ]
    return "\n".join(lines)


def _describe(places: Places) -> dict[str, str]:
    return {
        "Your data (SAMEBENCH_DATA_DIR)": str(places.data or "not set"),
        "Cache (SAMEBENCH_CACHE_DIR)": str(places.cache),
    }
