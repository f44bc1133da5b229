"""The evaluation of trained networks: by class, by pair of classes, and along the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from harness import (
    Metric,
    Report,
    Table,
    draw_table,
    hookimpl,
    metric_text,
    number_text,
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
"""The largest number of characters of a name, and of backends in a table, so that a line fits a terminal."""

DRAWN = 20
"""The largest number of classes whose confusions are a table. With more classes, the most frequent pairs are listed."""

NAMED = 10
POINTS = 20
"""NAMED is the largest number of listed pairs. POINTS is that of the points of a curve; the JSON report has all points."""

COUNTS = {"total": "parameters", "trainable": "trainable", "frozen": "frozen", "buffers": "buffers"}
SHARES = "precision  recall      F1"


def as_evaluation(report: Report) -> str:
    experiments = report_experiments(report).items()
    sections = [text for title, rows in experiments for text in _section(title, rows, report.metrics[rows[0]["task"]])]
    paragraphs = [wrap_lines(lines) for lines in report_notes(report) if lines]
    return printable("\n\n".join([*(sections or ["There is nothing to evaluate: no cell is known."]), *paragraphs]))


def _section(title: str, rows: Sequence[Row], metrics: Sequence[Metric]) -> Iterator[str]:
    headers, names = row_names(rows)
    numbers = [metric for metric in metrics if metric.form == "value" and metric.is_mean and metric.shown != "no"]
    overview = [(*name, *_overview(row, numbers)) for name, row in zip(names, rows, strict=True)]
    yield draw_table(Table(title, (*headers, "n", *(metric.header for metric in numbers), *COUNTS.values()), overview))
    rows = [{**row, "who": "/".join(name)} for name, row in zip(names, rows, strict=True)]
    parts = [metric for metric in metrics if metric.form != "value" and metric.shown != "no"]
    for metric in parts:
        yield from DRAWINGS[metric.form](metric, [row for row in rows if metric.name in row])
    if missing := [line for row in rows if (line := _missing(row, parts))]:
        yield wrap_lines(missing)


def _overview(row: Row, numbers: Sequence[Metric]) -> tuple[str, ...]:
    counts = row.get("parameter_counts", {})
    sizes = (f"{counts[name]:,}" if name in counts else "-" for name in COUNTS)
    return seed_count(row), *(metric_text(metric, row) for metric in numbers), *sizes


def _by_class(metric: Metric, rows: Sequence[Row]) -> Iterator[str]:
    for start in range(0, len(rows), SIDE_BY_SIDE):
        yield draw_table(_classes(metric.name, rows[start : start + SIDE_BY_SIDE]))


def _classes(part: str, rows: Sequence[Row]) -> Table:
    """The shares of each class on these backends. A backend that has other classes shows none."""
    known = [{found["class"]: found for found in row[part]} for row in rows]
    counts = {name: found["count"] for classes in reversed(known) for name, found in classes.items()}
    return Table(
        f"By class: the mean over {_seeds(part, rows)}; count is that of the pictures in the test split",
        ("class", "count", *(f"{_who(row)}\n{SHARES}" for row in rows)),
        [(_name(name), f"{n:,}", *(_shares(classes.get(name)) for classes in known)) for name, n in counts.items()],
    )


def _shares(found: Mapping[str, Any] | None) -> str:
    """Three numbers under the words of SHARES."""
    values = [found[name] if found else None for name in ("precision", "recall", "f1")]
    texts = ["-" if value is None else f"{value:.1%}" for value in values]
    return f"{texts[0]:>9}  {texts[1]:>6}  {texts[2]:>6}"


def _by_pair(metric: Metric, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        few = len(row[metric.name]) <= DRAWN
        yield draw_table(_matrix(metric, row)) if few else wrap_lines(list(_confusions(metric, row)))


def _matrix(metric: Metric, row: Row) -> Table:
    """The confusions of all pairs of classes. Columns have letters as headers, to be narrow. A dot stands for zero."""
    letters = ascii_lowercase[: len(row[metric.name])]
    return Table(
        f"{_who(row)}: what was taken for what, over {_seeds(metric.of, [row])}; a row is the truth, a column the prediction",
        ("truth", *letters),
        [
            (f"{letter} {_name(found['class'])}", *(str(n) if n else "." for n in counts))
            for letter, found, counts in zip(letters, row[metric.of], row[metric.name], strict=True)
        ],
    )


def _confusions(metric: Metric, row: Row) -> Iterator[str]:
    """The most frequent confusions of two classes."""
    names = [_name(found["class"]) for found in row[metric.of]]
    pairs = [
        (count, names[truth], names[taken])
        for truth, counts in enumerate(row[metric.name])
        for taken, count in enumerate(counts)
        if count and truth != taken
    ]
    pairs.sort(key=lambda pair: -pair[0])
    yield f"{_who(row)}: what was taken for what, over {_seeds(metric.of, [row])}" + (
        "" if pairs else ": nothing was confused"
    )
    for count, truth, taken in pairs[:NAMED]:
        yield f"  {truth} taken for {taken}, {count:,} time{'s' if count > 1 else ''}"
    if len(pairs) > NAMED:
        yield f"  and {len(pairs) - NAMED:,} more pairs, {sum(count for count, *_ in pairs[NAMED:]):,} times together"


def _along(metric: Metric, rows: Sequence[Row]) -> Iterator[str]:
    """The curve of a seed of each row. Curves of means are left out: the other formats have them."""
    if not metric.is_mean:
        yield from (draw_table(_curve(metric, row)) for row in rows)


def _curve(metric: Metric, row: Row) -> Table:
    points = row[metric.name]["points"]
    shown = points
    if len(points) > POINTS:
        shown = [points[round(i * (len(points) - 1) / (POINTS - 1))] for i in range(POINTS)]
    columns = {key: format for key, format in metric.parts if any(key in point for point in points)}
    title = f"{_who(row)}: the {metric.header} of seed {row[metric.name]['seed']}"
    return Table(
        title + (f", {POINTS} of its {len(points)} points" if shown is not points else ""),
        (metric.over, *(key.replace("_", " ") for key in columns)),
        [
            (
                f"{round(point[metric.over], 2):g}",
                *(number_text(point[key], format) if key in point else "-" for key, format in columns.items()),
            )
            for point in shown
        ],
    )


DRAWINGS = {"classes": _by_class, "confusion": _by_pair, "curve": _along}


def _missing(row: Row, parts: Sequence[Metric]) -> str | None:
    """A line about the parts that a row lacks: an older run, a task that stores none, or too many classes."""
    if not row["n"]:
        return f"{_who(row)}: no cell has finished."
    missing = [metric.header for metric in parts if metric.name not in row]
    return f"{_who(row)}: its cells hold no {', no '.join(missing)}." if missing else None


def _seeds(part: str, rows: Sequence[Row]) -> str:
    """The number of seeds that are averaged, which may differ between rows."""
    numbers = sorted({row[f"{part}_n"] for row in rows})
    return f"{' or '.join(map(str, numbers))} seed{'s' if numbers != [1] else ''}"


def _who(row: Row) -> str:
    return _name(row["who"])


def _name(text: str) -> str:
    """A name on one line, cut to the width of a column."""
    line = " ".join(printable(text).split())
    return line if len(line) <= NAME else line[: NAME - 1] + "…"


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"evaluation": as_evaluation}
