"""Verifies a stored run here: what it says is confirmed, refuted, or cannot be confirmed, with the reason.

- the seal: nothing in the stored result was changed afterwards
- the files: the weights and pictures that the cell has made are those whose hashes it has stored
- the data: the dataset that this machine loads is the same
- the network: the same network, recipe and attack
- the certificate: it is made again, with the packages that are installed here
- the numbers: accuracies agree with the stored confusions, weights and pictures, which are evaluated again

Whoever can change a result can also seal it again. So the seal alone confirms nothing that the others do not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.environment import worker_environment
from harness.forms import certificate_problems, is_number
from harness.metric import Metric, headline_of
from harness.plugins import find_backends
from harness.report.crosscheck import REFERENCE
from harness.result import Cell, Result
from harness.running.process import run_worker
from harness.running.store import Store
from harness.storage.atomic import read_json
from harness.storage.places import file_hash
from harness.storage.sealed import PICTURES, write_json
from harness.tasks.common.evaluation import contradiction
from harness.text import is_file
from harness.verdict import verdict_in

Outcome = Literal["confirmed", "refuted", "not confirmable"]
CHECKS = ("seal", "files", "data", "network", "certificate", "numbers")
TIMEOUT = 3600.0

FLIPPED = 0.0005
"""The share of predictions that rounding may change, where float32 and float64 disagree; at least one picture."""

LOSS = 1e-3
"""The largest relative difference of a loss."""


class Check(NamedTuple):
    """The outcome of one check of a cell."""

    cell: Cell
    shown: str
    name: str
    outcome: Outcome
    reason: str


class Verification(NamedTuple):
    checks: list[Check]

    @property
    def refuted(self) -> list[Check]:
        return [check for check in self.checks if check.outcome == "refuted"]


def verify(store: Store, certificates: bool = True) -> Verification:
    """All checks of all cells of a run."""
    good: list[Result] = []
    checks: list[Check] = []
    for result in store.results():
        if result.status == "ok":
            good.append(result)
            checks.append(_check(result, "seal", "confirmed", "its hash is that of its contents"))
        elif result.status == "invalid" and "its stored result cannot be used" in str(result.reason):
            checks.append(_check(result, "seal", "refuted", str(result.reason)))
    kept = {result.cell.key: _kept(store, result) for result in good}
    checks += [check for result in good for check in _files(store, result, kept[result.cell.key])]
    facts = _facts(store, good, {key: files for key, (files, _) in kept.items()})
    remade = _certificates(good) if certificates else {}
    for result in good:
        found = facts.get(result.cell.key, {"problem": "the worker gave no answer"})
        checks += _compared(result, found, store.metrics_of(result.cell.task))
        checks.append(_certified(result, found, remade.get(result.cell.configuration), certificates))
    order = {key: number for number, key in enumerate(dict.fromkeys(check.cell.key for check in checks))}
    return Verification(sorted(checks, key=lambda check: (order[check.cell.key], CHECKS.index(check.name))))


def _check(result: Result, name: str, outcome: Outcome, reason: str) -> Check:
    return Check(result.cell, result.shown, name, outcome, reason)


def _kept(store: Store, result: Result) -> tuple[list[str], list[str]]:
    """The files of the cell that are there and unchanged, and those that have changed."""
    good: list[str] = []
    changed: list[str] = []
    for name, wanted in result.artifacts.items():
        file = store.artifacts(result.cell) / name
        if file.is_file() and not file.is_symlink():
            (good if file_hash(file, wanted) == wanted else changed).append(name)
    return good, changed


def _files(store: Store, result: Result, kept: tuple[list[str], list[str]]) -> Iterator[Check]:
    good, changed = kept
    if changed:
        yield _check(result, "files", "refuted", f"{', '.join(changed)} has changed: its hash is not the stored one")
    elif missing := [name for name in result.artifacts if name not in good]:
        yield _check(result, "files", "not confirmable", f"{', '.join(missing)} is not kept")
    elif good:
        yield _check(result, "files", "confirmed", f"{', '.join(good)}: the stored hash")
    else:
        yield _check(result, "files", "not confirmable", "the cell has made no files")


def _facts(store: Store, results: Sequence[Result], kept: Mapping[str, list[str]]) -> dict[str, dict[str, Any]]:
    """The facts about each cell, computed by the reference in a process of its own: no framework is needed."""
    cells = {
        result.cell.key: {"cell": asdict(result.cell), "artifacts": str(store.artifacts(result.cell).absolute()), "kept": kept[result.cell.key]}
        for result in results
    }  # fmt: skip
    request = {
        "verify": {"backend": REFERENCE, "mode": "default", "precision": "float64", "device": "cpu", "cells": cells}
    }
    return _answers(request, cells)


def _certificates(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """The certificate of each configuration, made again by the backends that are installed. Backends in files of the run are not
    executed: the run may come from a stranger."""
    groups: dict[tuple[str, str, str], dict[str, Cell]] = {}
    installed = find_backends()
    for result in results:
        cell = result.cell
        if (
            not is_file(cell.backend)
            and cell.backend in installed
            and installed[cell.backend].status == "available"
            and not cell.own
        ):
            groups.setdefault((cell.backend, cell.mode, cell.precision), {})[cell.configuration] = cell
    found: dict[str, dict[str, Any]] = {}
    for (backend, mode, precision), cells in groups.items():
        names = ("task", "model", "weights", "dataset", "options")
        subjects = {name: {field: getattr(cell, field) for field in names} for name, cell in cells.items()}
        request = {"backend": backend, "mode": mode, "precision": precision, "device": "auto", "subjects": subjects}
        found |= _answers(request, cells)
    return found


def _answers(request: Mapping[str, Any], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The answer of a worker for each name; a problem for all if it gave none."""
    with tempfile.TemporaryDirectory(prefix="samebench-verify-") as folder:
        place = Path(folder)
        write_json(place / "request.json", {**request, "limits": {"threads": None, "memory_bytes": None}})
        ended = run_worker(
            place / "request.json",
            place / "result.json",
            place / "log.txt",
            environment=worker_environment(),
            timeout=TIMEOUT,
        )
        try:
            answers = read_json(place / "result.json")
        except (FileNotFoundError, ValueError):
            return {name: {"problem": ": ".join(ended.explain())} for name in names}
    return answers if isinstance(answers, dict) else {}


def _compared(result: Result, found: Mapping[str, Any], metrics: Sequence[Metric]) -> Iterator[Check]:
    """The checks of the data, the network and the numbers."""
    if "problem" in found:
        yield from (_check(result, name, "not confirmable", found["problem"]) for name in ("data", "network"))
    else:
        yield _same(result, "data", "dataset", result.evidence.get("dataset"), found["dataset"])
        if "start" in found and result.evidence.get("start", {}).get("hash") not in (None, found["start"]):
            yield _check(result, "network", "refuted", "it started from other weights than those of this name here")
        else:
            yield _same(result, "network", "network and recipe", result.evidence.get("subjects"), found["subjects"])
    yield _numbers(result, found, metrics)


def _same(result: Result, name: str, what: str, stored: Any, here: Any) -> Check:
    if stored is None:
        return _check(result, name, "not confirmable", f"the cell has stored no hash of its {what}")
    if stored != here:
        return _check(result, name, "refuted", f"its {what} is {stored}, and here it is {here}")
    return _check(result, name, "confirmed", f"the same {what}")


def _numbers(result: Result, found: Mapping[str, Any], metrics: Sequence[Metric]) -> Check:
    """Whether the stored numbers agree with what the cell has kept."""
    if wrong := contradiction(result.metrics):
        return _check(result, "numbers", "refuted", wrong)
    pictures = max(FLIPPED, 1.5 / found.get("examples", 1))
    confirmed = []
    for metric in metrics:
        own, where = metric.value_in(result.metrics), ""
        if metric.judged and "judged" in found:
            here, where = found["judged"][metric.judged], "pictures"
        elif metric.form == "value" and (here := found.get("metrics", {}).get(metric.name)) is not None:
            where = "weights"
        if not where or own is None or not (is_number(own) and is_number(here)):
            continue
        if abs(own - here) > (pictures if metric.format == "share" else LOSS * max(abs(here), LOSS)):
            text = f"its {metric.name} is {own:.6g}, but its stored {where} have {here:.6g}"
            return _check(result, "numbers", "refuted", text)
        confirmed.append(metric.header)
    if found.get("strange"):
        text = f"{len(found['strange'])} of its original pictures are not in the test split"
        return _check(result, "numbers", "refuted", text)
    if confirmed:
        return _check(result, "numbers", "confirmed", f"computed again: {', '.join(confirmed)}")
    main, kept = headline_of(metrics), "weights" if PICTURES not in result.artifacts else "pictures"
    text = f"its {kept} are not kept, so {main.header if main else 'its result'} cannot be computed again"
    return _check(result, "numbers", "not confirmable", text)


def _certified(result: Result, found: Mapping[str, Any], remade: Mapping[str, Any] | None, wanted: bool) -> Check:
    """Whether a certificate made here has the verdict of the stored one."""
    stored, about = result.verdict, result.parity.get("about", {}).get("subjects")
    if not stored.is_checked:
        return _check(result, "certificate", "not confirmable", f"it has none: {stored.details or 'not checked'}")
    if about is not None and "subjects" in found and about != found["subjects"]:
        return _check(
            result, "certificate", "refuted", f"it is of another network or recipe: {about}, not {found['subjects']}"
        )
    if not wanted:
        return _check(result, "certificate", "not confirmable", "certificates were not to be made")
    if remade is None:
        return _check(
            result, "certificate", "not confirmable", f"{result.shown} is not installed here, or is a file of the run"
        )
    if "problem" in remade or any(certificate_problems(remade)):
        return _check(
            result, "certificate", "not confirmable", str(remade.get("problem", "the worker gave no valid certificate"))
        )
    here = verdict_in(remade)
    if not here.is_checked:
        return _check(result, "certificate", "not confirmable", here.details)
    if here.kind != stored.kind:
        return _check(
            result, "certificate", "refuted", f"it says {stored.text}, and one that is made here says {here.text}"
        )
    versions = remade.get("about", {}).get("versions", {})
    other = sorted(
        f"{name} {version}" for name, version in versions.items() if result.versions.get(name) not in (None, version)
    )
    return _check(
        result,
        "certificate",
        "confirmed",
        f"made again: {here.text}" + (f" (with {', '.join(other)})" if other else ""),
    )
