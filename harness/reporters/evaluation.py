"""What the networks learnt and what they confuse: by class, by pair of classes, and along the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from harness import (
    Report,
    Table,
    draw_table,
    hookimpl,
    percent,
    printable,
    report_experiments,
    report_notes,
    row_names,
    seed_count,
    wrap_lines,
)

Row = Mapping[str, Any]
"""A row of the summary: one experiment on one backend, over its seeds."""

NAME = 24
SIDE_BY_SIDE = 3
"""Names are cut to so many characters, and so many backends share a table, for a line to fit a terminal."""

DRAWN = 20
"""Confusions of at most so many classes are a table; of more, the most frequent ones are named."""

NAMED = 10
POINTS = 20
"""A longer learning curve is thinned out. All of it is in the JSON report."""

OVERVIEW = (
    "n", "test accuracy", "macro F1", "over-fitting gap", "parameters", "trainable", "frozen", "buffers",
)  # fmt: skip
SHARES = "precision  recall      F1"
CURVE = {
    "training_loss": "training loss",
    "train_loss": "train loss",
    "train_accuracy": "train accuracy",
    "validation_loss": "validation loss",
    "validation_accuracy": "validation accuracy",
}


def as_evaluation(report: Report) -> str:
    trained = {
        title: rows for title, rows in report_experiments(report).items() if not any(map(_changed_pictures, rows))
    }
    sections = [text for title, rows in trained.items() for text in _section(title, rows)]
    paragraphs = [wrap_lines(lines) for lines in report_notes(report) if lines]
    return printable(
        "\n\n".join(
            [*(sections or ["There is nothing to evaluate: no cell of the run has trained a network."]), *paragraphs]
        )
    )


def _changed_pictures(row: Row) -> bool:
    """Whether its task has changed pictures, and trained nothing that could be evaluated."""
    return "robust_accuracy" in row or "target_probability" in row


def _section(title: str, rows: Sequence[Row]) -> Iterator[str]:
    headers, names = row_names(rows)
    overview = [(*name, *_overview(row)) for name, row in zip(names, rows, strict=True)]
    yield draw_table(Table(title, (*headers, *OVERVIEW), overview))
    rows = [{**row, "who": "/".join(name)} for name, row in zip(names, rows, strict=True)]
    known = [row for row in rows if "per_class" in row]
    for start in range(0, len(known), SIDE_BY_SIDE):
        yield draw_table(_classes(known[start : start + SIDE_BY_SIDE]))
    for row in known:
        if "confusion" in row:
            yield draw_table(_matrix(row)) if len(row["confusion"]) <= DRAWN else wrap_lines(list(_confusions(row)))
    yield from (draw_table(_curve(row)) for row in rows if "curve" in row)
    if missing := list(filter(None, map(_missing, rows))):
        yield wrap_lines(missing)


def _overview(row: Row) -> tuple[str, ...]:
    counts = row.get("parameter_counts", {})
    sizes = (f"{counts[name]:,}" if name in counts else "-" for name in ("total", "trainable", "frozen", "buffers"))
    shares = (percent(row.get(name)) for name in ("test_accuracy", "macro_f1", "overfitting_gap"))
    return seed_count(row), *shares, *sizes


def _classes(rows: Sequence[Row]) -> Table:
    """Each class on all these backends. A backend that was given other classes has none of these."""
    known = [{found["class"]: found for found in row["per_class"]} for row in rows]
    counts = {name: found["count"] for classes in reversed(known) for name, found in classes.items()}
    return Table(
        f"By class: the mean over {_seeds(rows)}; count is that of the pictures in the test split",
        ("class", "count", *(f"{_who(row)}\n{SHARES}" for row in rows)),
        [(_name(name), f"{n:,}", *(_shares(classes.get(name)) for classes in known)) for name, n in counts.items()],
    )


def _shares(found: Mapping[str, Any] | None) -> str:
    """Three numbers under the words of SHARES."""
    values = [found[name] if found else None for name in ("precision", "recall", "f1")]
    told = ["-" if value is None else f"{value:.1%}" for value in values]
    return f"{told[0]:>9}  {told[1]:>6}  {told[2]:>6}"


def _matrix(row: Row) -> Table:
    """Every pair of classes. Columns have letters for names, so that they are narrow; what never happened is a dot."""
    letters = ascii_lowercase[: len(row["confusion"])]
    return Table(
        f"{_who(row)}: what was taken for what, over {_seeds([row])}; a row is the truth, a column the prediction",
        ("truth", *letters),
        [
            (f"{letter} {_name(found['class'])}", *(str(n) if n else "." for n in counts))
            for letter, found, counts in zip(letters, row["per_class"], row["confusion"], strict=True)
        ],
    )


def _confusions(row: Row) -> Iterator[str]:
    """The pairs of classes that were confused most often."""
    names = [_name(found["class"]) for found in row["per_class"]]
    pairs = [
        (count, names[truth], names[taken])
        for truth, counts in enumerate(row["confusion"])
        for taken, count in enumerate(counts)
        if count and truth != taken
    ]
    pairs.sort(key=lambda pair: -pair[0])
    yield f"{_who(row)}: what was taken for what, over {_seeds([row])}" + ("" if pairs else ": nothing was confused")
    for count, truth, taken in pairs[:NAMED]:
        yield f"  {truth} taken for {taken}, {count:,} time{'s' if count > 1 else ''}"
    if len(pairs) > NAMED:
        yield f"  and {len(pairs) - NAMED:,} more pairs, {sum(count for count, *_ in pairs[NAMED:]):,} times together"


def _curve(row: Row) -> Table:
    points = row["curve"]["points"]
    shown = points
    if len(points) > POINTS:
        shown = [points[round(i * (len(points) - 1) / (POINTS - 1))] for i in range(POINTS)]
    columns = {name: header for name, header in CURVE.items() if any(name in point for point in points)}
    title = f"{_who(row)}: the learning curve of seed {row['curve']['seed']}"
    return Table(
        title + (f", {POINTS} of its {len(points)} points" if shown is not points else ""),
        ("epoch", *columns.values()),
        [(f"{round(point['epoch'], 2):g}", *(_value(point, name) for name in columns)) for point in shown],
    )


def _value(point: Mapping[str, float], name: str) -> str:
    if name not in point:
        return "-"
    return f"{point[name]:.2%}" if name.endswith("accuracy") else f"{point[name]:.4f}"


def _missing(row: Row) -> str | None:
    """What a reader may look for in vain: an older run, a task that keeps none, or very many classes."""
    if not row["n"]:
        return f"{_who(row)}: no cell has finished."
    parts = {"per_class": "classes", "confusion": "confusions", "curve": "learning curve"}
    missing = [name for part, name in parts.items() if part not in row]
    return f"{_who(row)}: its cells hold no {', no '.join(missing)}." if missing else None


def _seeds(rows: Sequence[Row]) -> str:
    """How many seeds are taken together, by those rows that may differ in it."""
    numbers = sorted({row["per_class_n"] for row in rows})
    return f"{' or '.join(map(str, numbers))} seed{'s' if numbers != [1] else ''}"


def _who(row: Row) -> str:
    return _name(row["who"])


def _name(text: str) -> str:
    """A name on one line, and no longer than a column."""
    line = " ".join(printable(text).split())
    return line if len(line) <= NAME else line[: NAME - 1] + "…"


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"evaluation": as_evaluation}
