"""Accuracy by the number of training pictures: a table for each dataset, a line for each task, network and backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness import (
    KEPT_APART,
    Report,
    Table,
    draw_table,
    headline_of,
    hookimpl,
    metric_text,
    network_text,
    printable,
    report_notes,
    seeds_text,
    short_hash,
    wrap_lines,
)

TRAIN_LIMIT = "train_limit"
NOTHING = "No task of this run was given a number of training pictures: see samebench learning-curve --help"


def as_learning_curve(report: Report) -> str:
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in report.summary:
        main = headline_of(report.metrics[row["task"]])
        if main and isinstance(row["options"].get(TRAIN_LIMIT), int):
            cell = {**row, "text": metric_text(main, row)}
            groups.setdefault((row["dataset"], row["precision"], main.header), []).append(cell)
    tables = [draw_table(_table(*about, rows)) for about, rows in groups.items()]
    notes = [wrap_lines(lines) for lines in report_notes(report) if lines]
    return printable("\n\n".join([*(tables or [NOTHING]), *notes]))


def _table(dataset: str, precision: str, what: str, rows: list[dict[str, Any]]) -> Table:
    counts = sorted({row["options"][TRAIN_LIMIT] for row in rows})
    lines: dict[tuple[str, ...], dict[int, str]] = {}
    for row in rows:
        way = row["task"], network_text(row), row["backend"], row["mode"], _apart(row)
        lines.setdefault(way, {})[row["options"][TRAIN_LIMIT]] = row["text"]
    names = ("task", "network", "backend", "mode", KEPT_APART)
    kept = len(names) if any(way[-1] for way in lines) else len(names) - 1
    return Table(
        f"{dataset}, {precision}: {what} by the number of training pictures",
        (*names[:kept], *(f"{count:,}" for count in counts)),
        [(*way[:kept], *(found.get(count, "-") for count in counts)) for way, found in lines.items()],
    )


def _apart(row: dict[str, Any]) -> str:
    """The values that distinguish a line from others of the same task and backend."""
    options = [f"{name}={value}" for name, value in row["varied"].items() if name != TRAIN_LIMIT]
    rests_on = [f"{name} {short_hash(value)}" for name, value in row["apart"].items()]
    semantics = [] if row["semantics"] == "aligned" else [row["semantics"]]
    return ", ".join([*semantics, *options, *([seeds_text(row["seeds"])] if rests_on else []), *rests_on])


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"learning-curve": as_learning_curve}
