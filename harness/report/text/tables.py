"""Tables of a report, and the texts that all of them share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from harness.metric import Metric, interval_text, number_text
from harness.report.stats import FEWEST_RATES, Typical
from harness.result import OWN_WAYS

KEPT_APART = "kept apart"
"""The header of the column that tells rows of one backend apart."""

LEFT_COLUMNS = ("task", "network", "backend", "mode", KEPT_APART, "parity", "class", "truth", "made on", "step")
"""The columns that are aligned to the left. Other columns are numbers, aligned to the right."""

MOST = 2
"""The largest number of differences that a table names. A note names all."""

ONE_DIGIT = 1e-9
"""A fraction of the last digit that is shown. A smaller excess is a rounding error, and is not rounded up."""


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
    """The experiment of a row of the summary. Options and values of its basis are named if rows differ in them."""
    title = f"{row['task']}: {network_text(row)} on {row['dataset']}, {row['precision']}"
    title += "".join(f", {name}={value}" for name, value in row["varied"].items())
    title += "".join(
        f", {name} {short_hash(value)}" for name, value in row["apart"].items() if name in row["of_experiment"]
    )
    title += ", each framework's own input pipeline" if reads_files(row) else ""
    return title + (f", {OWN_WAYS[row['semantics']]}" if row["semantics"] in OWN_WAYS else "")


def reads_files(row: Mapping[str, Any]) -> bool:
    """Whether the backends of this row read the picture files by their own input pipelines."""
    return bool(row["options"].get("data.pipeline") == "own")


def row_names(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The headers and the cells of the first columns for these rows: backend and mode; and, if a backend has several rows, the
    values in which they differ."""
    names = [(row["backend"], row["mode"]) for row in rows]
    if len(set(names)) == len(names):
        return ("backend", "mode"), [*names]
    return ("backend", "mode", KEPT_APART), [(*name, kept_apart(row)) for name, row in zip(names, rows, strict=True)]


def kept_apart(row: Mapping[str, Any]) -> str:
    """The seeds of a row, and the values in which it differs from other rows of its backend: seed 0, torch 2.12.0"""
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
    text = ", ".join("-".join(map(str, run)) for run in runs)
    return f"seed {text}" if text.isdigit() else f"seeds {text}"


def short_hash(value: str) -> str:
    """The first digits of a hash. Any other value is unchanged."""
    digits = value.removeprefix("sha256:")
    return digits[:8] if re.fullmatch("[0-9a-f]{16,}", digits) else value


def seed_count(row: Mapping[str, Any]) -> str:
    """The number of finished seeds in a row of the summary."""
    return str(row["n"]) if row["n"] == row["cells"] else f"{row['n']} of {row['cells']}"


def metric_text(metric: Metric, row: Mapping[str, Any]) -> str:
    """The value of a metric in a row of the summary, with its interval if it has one: 98.24% (97.73 to 98.75)."""
    value = row.get(metric.name)
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return interval_text(value["mean"], value["low"], value["high"], metric.format)
    return number_text(value, metric.format)


def rate(value: Typical | None) -> str:
    """A rate with its interval: 15,493 (15,067 to 17,394). If it has none, the number of its cells says why: 928 (n = 3)."""
    if value is None:
        return "-"
    text = interval_text(value["median"], value["low"], value["high"], "rate")
    return text if value["n"] >= FEWEST_RATES else f"{text} (n = {value['n']})"


def number_of(value: Typical) -> str:
    """A rate without its interval."""
    return number_text(value["median"], "rate")


def tiny(deviation: float | None) -> str:
    return "-" if deviation is None else f"{deviation:.0e}" if deviation else "0"


def within(deviation: float) -> str:
    """Like `tiny`, but rounded up."""
    step = 10.0 ** math.floor(math.log10(deviation)) if deviation else 0.0
    return tiny(math.ceil(deviation / step - ONE_DIGIT) * step if step else 0.0)
