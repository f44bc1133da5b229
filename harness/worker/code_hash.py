"""The files that make up a backend, and a hash of them: what was found out about it holds until they change."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.plugins import find_backend, find_module
from harness.result import digest


def backend_files(name: str) -> list[Path]:
    """The backend's own file, if it was given as one, or the modules beside the one that its package announces."""
    if name.endswith(".py"):
        return [Path(name)]
    entry = find_backend(name)
    spec = find_module(entry.module) if entry else None
    return sorted(Path(spec.origin).parent.glob("*.py")) if spec and spec.origin else []


def code_of(name: str) -> str:
    """Changes whenever the backend's code does."""
    return digest_of(backend_files(name))


def code_if_there(name: str) -> str | None:
    """The same; None if a cell has removed the backend's files, or put something else in their place."""
    try:
        return code_of(name) if all(file.is_file() for file in backend_files(name)) else None
    except OSError:
        return None


def digest_of(files: Iterable[Path]) -> str:
    """Changes whenever a byte of the files does."""
    return digest([file.read_text(errors="replace") for file in files])
