"""The basis of a cell: the data, network, code, packages and machine behind its numbers. Only cells with the same basis
share a row of a report.

A run can be resumed after its pictures, a package, a backend or the machine have changed. Its cells are then of different
experiments, and a mean over them would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from harness.metric import Metric
from harness.result import Result

Basis = Mapping[str, str]
"""Values by their names. A value that a result does not have counts as equal to any other."""

Item = TypeVar("Item")

IN_EVIDENCE = {
    "dataset": "data set",
    "model": "network",
    "order_rule": "order of the pictures",
    "tuning_order_rule": "order of the pictures in the second training",
    "augmentation_rule": "augmentation",
    "tuning_augmentation_rule": "augmentation in the second training",
    "weights_rule": "rule of the first weights",
}
"""What is the same for every seed and every backend of one experiment, by its name in the evidence."""

START = "weights it started from"


def experiment_of(result: Result, metrics: Sequence[Metric]) -> Basis:
    """What the cell's experiment rests on, whichever backend runs it."""
    evidence = result.evidence
    found = {said: evidence.get(name) for name, said in IN_EVIDENCE.items()}
    return _known(
        found | {START: evidence.get("start", {}).get("hash")} | dict(_conditions_among(metrics, result.metrics))
    )


def _conditions_among(metrics: Sequence[Metric], found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The conditions of the task that are stored among its metrics, such as the number of pictures, and the places of its
    curves. An option that was not given stands for a default, which may change."""
    for metric in metrics:
        if metric.form == "value" and not metric.is_mean:
            yield metric.header, found.get(metric.name)
        elif metric.form == "curve" and metric.is_mean and metric.name in found:
            yield f"{metric.over}s", " ".join(f"{point[metric.over]:.4g}" for point in found[metric.name])


SELECTS = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Environment variables that name one of several devices. The device that was used is compared by its name."""


def conditions_of(result: Result) -> Basis:
    """What the backend's own work rests on: code, packages, switches, environment variables and machine."""
    evidence = result.evidence
    host, environment = evidence.get("host", {}), result.provenance.get("environment", {})
    return _known(
        {
            "code of the backend": evidence.get("backend_code"),
            "device": evidence.get("device"),
            "processor": host.get("processor"),
            "cores": host.get("cores"),
            "Python": host.get("python"),
            **result.versions,
            **result.settings,
            "samebench": result.provenance.get("samebench", {}).get("version"),
            **{name: value for name, value in environment.items() if name not in SELECTS},
            **{f"GPU's {name}": value for name, value in result.provenance.get("accelerator", {}).items()},
        }
    )


def basis_of(result: Result, metrics: Sequence[Metric]) -> Basis:
    """Everything that must be the same within a row."""
    return {**conditions_of(result), **experiment_of(result, metrics)}


def _known(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def grouped(items: Iterable[Item], basis: Callable[[Item], Basis]) -> list[tuple[dict[str, str], list[Item]]]:
    """The items in groups that rest on the same, each with what is known of it. An item that fits several groups is put into
    the first of them."""
    groups: list[tuple[dict[str, str], list[Item]]] = []
    for item in items:
        values = basis(item)
        known, members = next((group for group in groups if fits(values, group[0])), ({}, []))
        if not members:
            groups.append((known, members))
        known |= values
        members.append(item)
    return groups


def fits(one: Mapping[Any, str], other: Mapping[Any, str]) -> bool:
    """Whether nothing is known to differ."""
    return all(other.get(name, value) == value for name, value in one.items())


def rows_of(results: Sequence[Result], metrics: Sequence[Metric]) -> list[tuple[dict[str, str], list[Result]]]:
    """Cells of one task that differ in their seed only, as rows, each with what it rests on. Cells that did not finish know little of
    that: they are put into a row last."""
    place = {id(result): number for number, result in enumerate(results)}
    finished_first = sorted(results, key=lambda result: result.status != "ok")
    rows = grouped(finished_first, lambda result: basis_of(result, metrics))
    in_order = [(known, sorted(row, key=lambda result: place[id(result)])) for known, row in rows]
    return sorted(in_order, key=lambda row: place[id(row[1][0])])


def differing(groups: Iterable[Mapping[str, Any]]) -> set[str]:
    """The names that have several values among these."""
    values: dict[str, set[Any]] = {}
    for group in groups:
        for name, value in group.items():
            values.setdefault(name, set()).add(frozen(value))
    return {name for name, several in values.items() if len(several) > 1}


def frozen(value: Any) -> Any:
    """A value of plain data in a form that can be hashed."""
    if isinstance(value, Mapping):
        return frozenset((name, frozen(part)) for name, part in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def apart(known: Basis, others: Iterable[Basis]) -> dict[str, str]:
    """The values of one group that differ from those of another group."""
    differ = {name for other in others for name, value in other.items() if known.get(name, value) != value}
    return {name: value for name, value in known.items() if name in differ}
