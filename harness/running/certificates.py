"""Certificates of one backend, made once: they are kept under everything that they rest on.

That is the network and the recipe, the mode, the precision and the device, the code of the harness and of the backend,
the version of every installed package, and the machine. No seed: a certificate is about all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from harness.backend import Precision
from harness.environment import describe_host
from harness.parity import certify
from harness.places import Places
from harness.plugins import load_backend
from harness.result import digest
from harness.running.sources import code_of, digest_of
from harness.running.store import read_sealed, write_sealed
from harness.task import Subject


class Conditions(NamedTuple):
    """How a backend is run."""

    backend: str
    mode: str
    precision: Precision
    device: str


def certificate(conditions: Conditions, subjects: Iterable[Subject], places: Places) -> dict[str, Any]:
    """The first certificate among those of the subjects that is not "equal"; or one that is."""
    found = [_one(conditions, subject, places) for subject in subjects]
    return next((answer for answer in found if answer["verdict"] != "equal"), found[0])


def _one(conditions: Conditions, subject: Subject, places: Places) -> dict[str, Any]:
    file = places.cache / "certificates" / f"{_key(conditions, subject)}.json"
    try:
        return read_sealed(file) | {"cached": True}
    except (OSError, ValueError):
        pass
    backend = load_backend(conditions.backend)
    made = certify(
        lambda precision: backend(conditions.device, conditions.mode, precision), subject, conditions.precision
    )
    write_sealed(file, asdict(made))
    return asdict(made) | {"cached": False}


def _key(conditions: Conditions, subject: Subject) -> str:
    harness = Path(__file__).parent.parent
    return digest(
        {
            "conditions": conditions,
            "subject": repr(subject),
            "harness": digest_of(sorted(harness.rglob("*.py"))),
            "backend": code_of(conditions.backend),
            "packages": sorted(f"{package.name} {package.version}" for package in distributions()),
            "host": describe_host(),
            "accelerators": sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*")),
        }
    )
