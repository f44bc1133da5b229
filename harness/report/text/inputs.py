"""The speed of input pipelines, beside that of the training that they feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.report.text.tables import Table, rate, row_names

HEADERS = ("reading alone", "training in memory", "training from files", "waiting")


def pipelines(title: str, rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """A table of the rows with an own input pipeline: images per second, and the share of the time of training from files that is
    lost to input. On a CPU, reading and training share the cores."""
    if found := [row for row in rows if "input" in row]:
        headers, names = row_names(found)
        cells = [(*name, *_cells(row)) for name, row in zip(names, found, strict=True)]
        yield Table(f"{title}: images/s", (*headers, *HEADERS), cells)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    measured = row["input"]
    speeds = (measured["read_per_s"], measured["in_memory_per_s"], row["images_per_s"])
    return *map(rate, speeds), f"{measured['waiting']:.0%}"
