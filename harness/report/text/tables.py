"""What tables of a report are, and what all of them say alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from harness.metric import Metric, interval_text, number_text
from harness.report.stats import Median

KEPT_APART = "kept apart"
"""The header of the column that tells rows of one backend apart."""

LEFT_COLUMNS = ("task", "network", "backend", "mode", KEPT_APART, "parity", "class", "truth", "made on")
"""The columns that are set to the left; numbers are set to the right."""


MOST = 2
"""A table names this many differences at most; a note names all."""


ONE_DIGIT = 1e-9
"""A share of the last digit that is shown. A smaller excess is an error of arithmetic, and is not rounded up."""


class Table(NamedTuple):
    """Rows that may be compared."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]


def network_text(row: Mapping[str, Any]) -> str:
    """The network of a row of the summary, and its pretrained weights."""
    if not row["weights"]:
        return str(row["model"])
    weights = PurePath(row["weights"]).name
    return f"{row['model']} (pretrained)" if weights == row["model"] else f"{row['model']} (pretrained: {weights})"


def experiment_title(row: Mapping[str, Any]) -> str:
    """What a row of the summary is about, without the backend. Options, and values that the row rests on, are named where
    rows differ in them."""
    title = f"{row['task']}: {network_text(row)} on {row['dataset']}, {row['precision']}"
    title += "".join(f", {name}={value}" for name, value in row["varied"].items())
    title += "".join(
        f", {name} {short_hash(value)}" for name, value in row["apart"].items() if name in row["of_experiment"]
    )
    return title + ("" if row["semantics"] == "aligned" else ", each framework's own optimiser and first weights")


def row_names(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The first columns of a table of these rows, with their headers: the backend, the mode, and, where a backend has several
    rows, what keeps them apart."""
    names = [(row["backend"], row["mode"]) for row in rows]
    if len(set(names)) == len(names):
        return ("backend", "mode"), [*names]
    return ("backend", "mode", KEPT_APART), [(*name, kept_apart(row)) for name, row in zip(names, rows, strict=True)]


def kept_apart(row: Mapping[str, Any]) -> str:
    """The seeds of a row, and what differs in other rows of its backend: seed 0, torch 2.12.0"""
    differ = [f"{name} {short_hash(value)}" for name, value in row["apart"].items() if name not in row["of_experiment"]]
    return ", ".join([seeds_text(row["seeds"]), *differ[:MOST], *(["…"] if differ[MOST:] else [])])


def seeds_text(numbers: Sequence[int]) -> str:
    """Seeds by their numbers: seed 3; seeds 0-5; seeds 0, 2-4."""
    runs: list[list[int]] = []
    for number in sorted({*numbers}):
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    told = ", ".join("-".join(map(str, run)) for run in runs)
    return f"seed {told}" if told.isdigit() else f"seeds {told}"


def short_hash(value: str) -> str:
    """The first digits of a fingerprint; any other value as it is."""
    digits = value.removeprefix("sha256:")
    return digits[:8] if re.fullmatch("[0-9a-f]{16,}", digits) else value


def seed_count(row: Mapping[str, Any]) -> str:
    """How many seeds a row of the summary rests on."""
    return str(row["n"]) if row["n"] == row["cells"] else f"{row['n']} of {row['cells']}"


def metric_text(metric: Metric, row: Mapping[str, Any]) -> str:
    """The value of a metric in a row of the summary, with its interval if it has one: 98.24% (97.73 to 98.75)."""
    value = row.get(metric.name)
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return interval_text(value["mean"], value["low"], value["high"], metric.format)
    return number_text(value, metric.format)


def rate(value: Median | None) -> str:
    """A median rate with its interval."""
    return "-" if value is None else interval_text(value["median"], value["low"], value["high"], "rate")


def number_of(value: Median) -> str:
    """A median rate without its interval."""
    return number_text(value["median"], "rate")


def tiny(deviation: float | None) -> str:
    return "-" if deviation is None else f"{deviation:.0e}" if deviation else "0"


def within(deviation: float) -> str:
    """As `tiny`, and never smaller than the deviation is."""
    step = 10.0 ** math.floor(math.log10(deviation)) if deviation else 0.0
    return tiny(math.ceil(deviation / step - ONE_DIGIT) * step if step else 0.0)
