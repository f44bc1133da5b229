"""The basis of a cell: the data, network, code, packages and machine behind its numbers. Only cells with the same basis
share a row of a report.

A run can be resumed after its pictures, a package, a backend or the machine have changed. Its cells then belong to different
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
    "dataset": "dataset",
    "model": "network",
    "order_rule": "order of the pictures",
    "tuning_order_rule": "order of the pictures in the second training",
    "augmentation_rule": "augmentation",
    "tuning_augmentation_rule": "augmentation in the second training",
    "weights_rule": "rule of the first weights",
}
"""The values that all seeds and backends of an experiment share, by their names in the evidence."""

START = "weights it started from"


def experiment_of(result: Result, metrics: Sequence[Metric]) -> Basis:
    """The part of the basis that does not depend on the backend."""
    evidence = result.evidence
    values = {label: evidence.get(name) for name, label in IN_EVIDENCE.items()}
    start = {START: evidence.get("start", {}).get("hash")}
    return _known(values | start | dict(_conditions_among(metrics, result.metrics)))


def _conditions_among(metrics: Sequence[Metric], found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The conditions among the metrics of a task, such as the number of pictures, and the places of its curves. Its options
    are not enough: the default of an option may change."""
    for metric in metrics:
        if metric.form == "value" and not metric.is_mean:
            yield metric.header, found.get(metric.name)
        elif metric.form == "curve" and metric.is_mean and metric.name in found:
            yield f"{metric.over}s", " ".join(f"{point[metric.over]:.4g}" for point in found[metric.name])


SELECTS = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Environment variables that choose a device. Devices are compared by their names instead."""


def conditions_of(result: Result) -> Basis:
    """The part of the basis that depends on the backend: code, packages, settings, environment variables and machine."""
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
    """The whole basis, which must be the same within a row."""
    return {**conditions_of(result), **experiment_of(result, metrics)}


def _known(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def grouped(items: Iterable[Item], basis: Callable[[Item], Basis]) -> list[tuple[dict[str, str], list[Item]]]:
    """The items in groups with the same basis, each with the known values of the basis. An item that fits several groups
    belongs to the first of them."""
    groups: list[tuple[dict[str, str], list[Item]]] = []
    for item in items:
        values = basis(item)
        known, members = next((group for group in groups if fits(values, group[0])), ({}, []))
        if not members:
            groups.append((known, members))
        known |= values
        members.append(item)
    return groups


def fits(values: Mapping[Any, str], other: Mapping[Any, str]) -> bool:
    """Whether no known value differs."""
    return all(other.get(name, value) == value for name, value in values.items())


def rows_of(results: Sequence[Result], metrics: Sequence[Metric]) -> list[tuple[dict[str, str], list[Result]]]:
    """Rows of cells that differ only in their seed, each with its basis. Unfinished cells have little of a basis, so they join
    a row last."""
    place = {id(result): number for number, result in enumerate(results)}
    finished_first = sorted(results, key=lambda result: result.status != "ok")
    rows = grouped(finished_first, lambda result: basis_of(result, metrics))
    in_order = [(known, sorted(row, key=lambda result: place[id(result)])) for known, row in rows]
    return sorted(in_order, key=lambda row: place[id(row[1][0])])


def differing(groups: Iterable[Mapping[str, Any]]) -> set[str]:
    """The names that have several values in these groups."""
    values: dict[str, set[Any]] = {}
    for group in groups:
        for name, value in group.items():
            values.setdefault(name, set()).add(frozen(value))
    return {name for name, several in values.items() if len(several) > 1}


def frozen(value: Any) -> Any:
    """A value of plain data in a hashable form."""
    if isinstance(value, Mapping):
        return frozenset((name, frozen(part)) for name, part in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def apart(known: Basis, others: Iterable[Basis]) -> dict[str, str]:
    """The values of a group that differ from those of another group."""
    differ = {name for other in others for name, value in other.items() if known.get(name, value) != value}
    return {name: value for name, value in known.items() if name in differ}
