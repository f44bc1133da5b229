"""Certificates of one backend. They are made once and cached, under a key of everything that they depend on.

The key contains the network and the recipe, the mode, the precision and the device, the code of the backend and the code
that makes certificates, the version of every installed package, and the machine. It contains no seed: a certificate holds
for all seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from harness.backend import Backend, Precision
from harness.environment import describe_host
from harness.forms import certificate_problems
from harness.parity import certify
from harness.plugins import load_backend
from harness.result import digest
from harness.storage.places import Places
from harness.storage.sealed import read_sealed, write_sealed
from harness.task import Subject, fingerprint_of
from harness.verdict import DEVIATIONS, verdict_in, worst
from harness.worker.code_hash import code_of, harness_code_of


class Conditions(NamedTuple):
    """The mode, the precision and the device of a backend."""

    backend: str
    mode: str
    precision: Precision
    device: str


def certificate(conditions: Conditions, subjects: Iterable[Subject], places: Places) -> dict[str, Any]:
    """One certificate for all subjects: the worst verdict, and the largest deviation of each kind."""
    subjects = list(subjects)
    found = [certificate_of(conditions, subject, places) for subject in subjects]
    return {
        "about": {"subjects": fingerprint_of(subjects), "versions": found[0].get("versions", {})},
        "verdict": worst(map(verdict_in, found)).text,
        **_largest(found, DEVIATIONS),
        "steps": max(one["steps"] for one in found),
        "timed": _largest([one["timed"] for one in found], found[0]["timed"]),
        "excludes": list(dict.fromkeys(left for one in found for left in one["excludes"])),
        "cached": all(one["cached"] for one in found),
    }


def _largest(found: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, float | None]:
    """The largest value of each number; None if no certificate has it."""
    numbers = {name: [value for one in found if (value := one[name]) is not None] for name in names}
    return {name: max(map(float, values), default=None) for name, values in numbers.items()}


def certificate_of(conditions: Conditions, subject: Subject, places: Places) -> dict[str, Any]:
    """The certificate of one subject, from the cache or made now."""
    file = places.cache / "certificates" / f"{_key(conditions, subject)}.json"
    with suppress(OSError, ValueError):
        kept = read_sealed(file)
        if not any(certificate_problems(kept)):
            return kept | {"cached": True}
    backend, versions = load_backend(conditions.backend), dict[str, str]()

    def make(precision: Precision) -> Backend[Any]:
        made: Backend[Any] = backend(conditions.device, conditions.mode, precision)
        versions.update(made.versions())
        return made

    found = certify(make, subject, conditions.precision).as_json() | {"versions": versions}
    write_sealed(file, found)
    return found | {"cached": False}


def _key(conditions: Conditions, subject: Subject) -> str:
    return digest(
        {
            "conditions": conditions,
            "subject": repr(subject),
            "harness": harness_code_of(conditions.backend),
            "backend": code_of(conditions.backend),
            "packages": sorted(f"{package.name} {package.version}" for package in distributions()),
            "host": describe_host(),
            "accelerators": sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*")),
        }
    )
