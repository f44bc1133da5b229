"""The conditions of two runs: machine, data, precision, software, and the drift of the machine.

Verdicts need the same hardware, the same data and the same precision. Other software is usually the subject of the comparison,
so its differences are listed. The name of a host says nothing about its hardware and is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any, Literal

from harness.forms import is_number
from harness.report.basis import SELECTS, experiment_of
from harness.report.compare.matching import Pair, Row
from harness.report.declared import Declared
from harness.report.stats import FEWEST_RATES, Pairs, interval, paired_ratios, ratio_margin
from harness.result import Result

Group = Literal["machine", "data", "precision", "software", "settings"]
BLOCKING: tuple[Group, ...] = ("machine", "data", "precision")
"""The groups in which a difference allows no verdict."""

MEMORY, MEMORY_APART = "memory", 0.02
"""The memory of a machine, and the largest difference between two readings of the same memory: the kernel keeps a part."""

SPEED_MARGIN = 0.05
"""Speeds within this share are equivalent."""

Facts = Mapping[tuple[Group, str], Any]
"""Values by their group and name. None is an unknown value."""


@dataclass(frozen=True)
class Condition:
    """A condition in both runs, over all pairs of finished cells."""

    group: Group
    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    """The values in each run; only those that differ, if some do."""

    same: bool | None
    """None if a run does not know the value."""

    @property
    def is_obstacle(self) -> bool:
        """Whether it allows no verdict."""
        return self.group in BLOCKING and self.same is False


@dataclass(frozen=True)
class Drift:
    """The time of the same piece of work beside the cells of each run: it shows whether the machine itself has changed."""

    first: float
    second: float
    """Geometric means in seconds."""

    pairs: Pairs

    @property
    def limits(self) -> tuple[float, float] | None:
        """The interval of the ratio second / first; None if there are too few pairs."""
        found = interval(self.pairs, FEWEST_RATES)
        return found and (math.exp(found[0]), math.exp(found[1]))

    @property
    def is_too_large(self) -> bool:
        """Whether the machine has changed its speed by more than the margin: the whole interval lies outside of it."""
        found, margin = interval(self.pairs, FEWEST_RATES), ratio_margin(SPEED_MARGIN)
        return found is not None and (found[0] > margin or found[1] < -margin)


@dataclass(frozen=True)
class Conditions:
    """The conditions of all pairs."""

    all: Sequence[Condition]
    drift: Drift | None
    of_pairs: Mapping[int, Sequence[str]]
    """The names of blocking conditions that differ, by the id of the first result of a pair."""

    @property
    def obstacles(self) -> list[str]:
        """The names of all conditions that allow no verdict."""
        found = [one.name for one in self.all if one.is_obstacle]
        return [*found, *([SPEED_OF_MACHINE] if self.drift and self.drift.is_too_large else [])]

    def obstacles_of(self, pairs: Iterable[Pair], timed: bool) -> list[str]:
        """The names of the conditions that allow no verdict on these pairs. `timed`: whether it is about a speed or a time."""
        found = dict.fromkeys(name for pair in pairs for name in self.of_pairs[id(pair.first)])
        return [*found, *([SPEED_OF_MACHINE] if timed and self.drift and self.drift.is_too_large else [])]


SPEED_OF_MACHINE = "speed of the machine"


def conditions_of(rows: Sequence[Row], hosts: tuple[Any, Any], declared: Declared) -> Conditions:
    """The conditions of matched rows. `hosts` are the machines on which the runs were started: older cells name none."""
    found: dict[tuple[Group, str], list[tuple[Any, Any]]] = {}
    of_pairs: dict[int, list[str]] = {}
    finished = [pair for row in rows for pair in row.finished]
    for pair in finished:
        sides = [_facts(r, host, declared) for r, host in zip((pair.first, pair.second), hosts)]
        own = of_pairs[id(pair.first)] = []
        for fact in dict.fromkeys((*sides[0], *sides[1])):
            first, second = (side.get(fact) for side in sides)
            if first is None and second is None:
                continue
            found.setdefault(fact, []).append((first, second))
            if fact[0] in BLOCKING and is_same(fact[1], first, second) is False:
                own.append(fact[1])
    order = {group: place for place, group in enumerate((*BLOCKING, "software", "settings"))}
    every = [_condition(*fact, values) for fact, values in sorted(found.items(), key=lambda item: order[item[0][0]])]
    return Conditions(every, _drift(finished), of_pairs)


def _facts(result: Result, usual_host: Any, declared: Declared) -> Facts:
    """The conditions of one finished cell."""
    evidence, provenance = result.evidence, result.provenance
    host = evidence.get("host", usual_host)
    host = host if isinstance(host, dict) else {}
    system, _, kernel = str(host.get("system") or "").partition(" ")
    accelerator = provenance.get("accelerator", {})
    groups: dict[Group, Mapping[str, Any]] = {
        "machine": {
            "device": evidence.get("device"), "processor": host.get("processor"), "number of cores": _cores(host, usual_host),
            MEMORY: host.get("memory_bytes"), "system": system or None, "GPU": accelerator.get("name"),
        },
        "data": experiment_of(result, declared.get(result.cell.task, ())),
        "precision": {"precision": result.cell.precision},
        "software": {
            "samebench": _samebench(provenance.get("samebench", {})), "kernel": kernel or None, "Python": host.get("python"),
            **result.versions, **{f"GPU's {name}": value for name, value in accelerator.items() if name != "name"},
        },
        "settings": result.settings
        | {"cores in use": host.get("cores"), "shortest segment": result.time.get("shortest_segment")}
        | {name: value for name, value in provenance.get("environment", {}).items() if name not in SELECTS},
    }  # fmt: skip
    return {(group, name): value for group, values in groups.items() for name, value in values.items()}


def _cores(host: dict[str, Any], usual_host: Any) -> Any:
    """The cores of the machine. A cell sees fewer if the setting `threads` limits it, so the larger number counts if the run was
    started on the same processor."""
    found: Any = host.get("cores")
    whole: Any = usual_host.get("cores") if isinstance(usual_host, dict) else None
    if not (is_number(found) and is_number(whole)) or usual_host.get("processor") != host.get("processor"):
        return found
    return max(found, whole)


def _samebench(known: Mapping[str, Any]) -> str | None:
    """The version of samebench and its commit, if it ran from a checkout."""
    commit = f" ({known['commit'][:9]}{', changed' if known.get('changed') else ''})" if known.get("commit") else ""
    return f"{known['version']}{commit}" if known else None


def is_same(name: str, first: Any, second: Any) -> bool | None:
    """Whether two values of a condition are the same; None if one of them is unknown."""
    if first is None or second is None:
        return None
    if name == MEMORY and is_number(first) and is_number(second):
        return bool(abs(first - second) <= MEMORY_APART * max(first, second))
    return str(first) == str(second)


def _condition(group: Group, name: str, values: Sequence[tuple[Any, Any]]) -> Condition:
    verdicts = [is_same(name, first, second) for first, second in values]
    same = False if False in verdicts else None if None in verdicts else True
    shown = [pair for pair, verdict in zip(values, verdicts) if verdict is same]
    first, second = (tuple(dict.fromkeys(_text(name, value) for value in side)) for side in zip(*shown))
    return Condition(group, name, first, second, same)


def _text(name: str, value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value / 2**30:.1f} GiB" if name == MEMORY and is_number(value) else str(value)


def _drift(pairs: Sequence[Pair]) -> Drift | None:
    """The drift between the runs, by the probes of all pairs that have them."""
    found = [(one, other) for pair in pairs if (one := _probe(pair.first)) and (other := _probe(pair.second))]
    if not found:
        return None
    first, second = [one for one, _ in found], [other for _, other in found]
    return Drift(geometric_mean(first), geometric_mean(second), paired_ratios(first, second))


def _probe(result: Result) -> float | None:
    """The time of the probes before and after the cell: their geometric mean. Older cells have none."""
    probes = result.time.get("probe_s")
    values = [value for value in probes if is_number(value) and value > 0] if isinstance(probes, list) else []
    return geometric_mean(values) if values else None
