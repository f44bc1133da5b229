"""The charts that a report has: for each experiment, and for the whole run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.forms import is_number
from harness.metric import Format, Metric, headline_of, interval_text, number_text
from harness.parity.probes import LIMITS
from harness.report.charts.svg import MOST_CLASSES
from harness.report.charts.values import (
    Axis,
    Chart,
    Dot,
    Interval,
    Lines,
    Matrix,
    Point,
    Series,
    Stacked,
    Strip,
    StripRow,
)
from harness.report.stats import Typical
from harness.report.summary import Report, disturbed, peak_bytes, work_seconds
from harness.report.text.costs import costs
from harness.report.text.results import EXACT, one_each, report_experiments
from harness.report.text.tables import network_text, rate, row_names
from harness.result import Result

Row = Mapping[str, Any]
Names = Sequence[str]

PHASES = (
    "start", "data", "import", "build", "first_step", "warm_up", "train", "curve", "eval", "repeat", "peak", "save", "other",
)  # fmt: skip
"""The phases of a cell in their order. Others follow."""

NO_PHASES = ("total", "process", "wait", "machine_probe", "weights")
"""Times that are in other phases, or around them, or too short to be seen."""

POINTS, SEEDS = 60, 10
"""The largest number of points of a line, and of seeds with lines of their own."""

LONGEST_TRAINING = 1e6
"""The number of steps at which the chart of costs ends."""

TRAIN_LIMIT = "train_limit"
SMALLEST = 1e-18
"""Deviations of 0 are drawn here, because the axis has logarithms."""


def charts_of_report(report: Report) -> Iterator[tuple[str, Chart]]:
    """Every chart with the title of its experiment; charts of the whole run have none."""
    for title, rows in report_experiments(report).items():
        yield from ((title, chart) for chart in charts_of_experiment(report, rows))
    yield from (("", chart) for chart in charts_of_run(report))


def charts_of_experiment(report: Report, rows: Sequence[dict[str, Any]]) -> Iterator[Chart]:
    """The charts of rows that may be compared."""
    names, metrics = labels(rows), report.metrics[rows[0]["task"]]
    main = headline_of(metrics)
    candidates = [
        _speeds(report, rows, names),
        _accuracy_by_time(report, rows, names, main) if main else None,
        _phases(report, rows, names),
        _memory(report, rows, names),
        _costs(report, rows, names),
        *(chart for metric in metrics if metric.form == "curve" for chart in _curves(report, rows, names, metric)),
        *(chart for metric in metrics if metric.form == "confusion" for chart in _confusions(rows, names, metric)),
    ]
    yield from filter(None, candidates)


def charts_of_run(report: Report) -> Iterator[Chart]:
    """The charts over several experiments."""
    yield from _deviations(report)
    yield from _by_pictures(report)


def labels(rows: Sequence[Row]) -> list[str]:
    """The name of each row's backend, with its mode and what else tells rows apart, if they differ in them."""
    _, cells = row_names(rows)
    modes = {row["mode"] for row in rows} != {"default"}
    return ["/".join(cell[: 1 + modes]) + "".join(f" ({more})" for more in cell[2:]) for cell in cells]


def who_of(row: Row) -> str:
    """The name that decides the colour of a row: the backend, and its mode unless that is the default."""
    return str(row["backend"]) if row["mode"] == "default" else f"{row['backend']}/{row['mode']}"


def _speeds(report: Report, rows: Sequence[Row], names: Names) -> Strip | None:
    lines = []
    for row, name in zip(rows, names, strict=True):
        if "images_per_s" in row:
            dots = [
                Dot(speed, f"{name}, seed {result.cell.seed}: {number_text(speed, 'rate')}/s{_why(result)}")
                for result in _finished(report, row)
                if (speed := result.speed) is not None
            ]
            mark = " (disturbed)" if "disturbed" in row else ""
            text = f"{name}: {rate(row['images_per_s'])}/s{mark}"
            lines.append(StripRow(who_of(row), name + mark, dots, _typical(row["images_per_s"]), text))
    unit = next((row["rate"] for row in rows if "rate" in row), "images")
    axis = Axis(f"{unit} per second", "rate", better="higher", holds=(0.0,))
    return (
        Strip("speed", "Speed: each point is a cell, the mark their mean with its interval", axis, lines)
        if lines
        else None
    )


def _why(result: Result) -> str:
    reason = disturbed(result)
    return f" (disturbed: {reason})" if reason else ""


def _accuracy_by_time(report: Report, rows: Sequence[Row], names: Names, main: Metric) -> Lines | None:
    """The main number against the time that it took: the best backends are at the top left."""
    series = []
    for row, name in zip(rows, names, strict=True):
        points = [
            Point(
                work_seconds(result.time), float(value),
                f"{name}, seed {result.cell.seed}: {main.header} {number_text(value, main.format)}, "
                f"{work_seconds(result.time):.1f} s",
            )
            for result in _finished(report, row)
            if is_number(value := main.value_in(result.metrics)) and work_seconds(result.time) > 0
        ]  # fmt: skip
        if points:
            series.append(Series(who_of(row), name, points, "points"))
    if not series:
        return None
    x = Axis("seconds of training or attack", "size", log=True, better="lower")
    return Lines(
        "result-by-time", f"{_upper(main.header)} against time: a point for each cell", x, _axis_of(main), series
    )


def _phases(report: Report, rows: Sequence[Row], names: Names) -> Stacked | None:
    bars = []
    for row, name in zip(rows, names, strict=True):
        times = [_phases_of(result) for result in _finished(report, row)]
        if times:
            parts = {phase: statistics.fmean(time.get(phase, 0.0) for time in times) for phase in _in_order(times)}
            bars.append((who_of(row), name, _large(parts)))
    axis = Axis("seconds, the mean of a cell", "size", better="lower")
    return Stacked("phases", "Where the time of a cell goes", axis, bars) if bars else None


def _phases_of(result: Result) -> dict[str, float]:
    """The seconds of each phase of a cell."""
    times = {name.removesuffix("_s"): value for name, value in result.time.items() if name.endswith("_s")}
    return {
        name: float(value)
        for name, value in times.items()
        if isinstance(value, int | float) and name not in NO_PHASES and not name.endswith(("_beside", "_per"))
    }


def _in_order(times: Sequence[Mapping[str, float]]) -> list[str]:
    found = dict.fromkeys(name for time in times for name in time)
    return [*(name for name in PHASES if name in found), *(name for name in found if name not in PHASES)]


def _large(parts: Mapping[str, float]) -> dict[str, float]:
    """The seven largest parts, and the sum of the others as "other". They keep their order."""
    kept = {*sorted((name for name in parts if name != "other"), key=lambda name: -parts[name])[:7]}
    large = {name.replace("_", " "): value for name, value in parts.items() if name in kept}
    return large | {"other": sum(value for name, value in parts.items() if name not in kept)}


def _memory(report: Report, rows: Sequence[Row], names: Names) -> Strip | None:
    lines = []
    for row, name in zip(rows, names, strict=True):
        dots = [
            Dot(peak / 2**20, f"{name}, seed {result.cell.seed}: {peak / 2**20:,.0f} MiB")
            for result in _finished(report, row)
            if (peak := peak_bytes(result.memory))
        ]
        if dots:
            most = max(dot.value for dot in dots)
            lines.append(StripRow(who_of(row), name, dots, Interval(most), f"{name}: at most {most:,.0f} MiB"))
    axis = Axis("MiB", "count", better="lower", holds=(0.0,))
    return Strip("memory", "Peak memory of a cell; the mark is the largest", axis, lines) if lines else None


def _costs(report: Report, rows: Sequence[dict[str, Any]], names: Names) -> Lines | None:
    """The time of a training by its number of steps: where two lines cross, one backend overtakes the other."""
    series = []
    for row, name in zip(rows, names, strict=True):
        known = [*costs(report, row).values()]
        if known:
            steps = [10 ** (power / 4) for power in range(int(4 * math.log10(LONGEST_TRAINING)) + 1)]
            means = [statistics.fmean(cost.seconds(round(count)) for cost in known) for count in steps]
            series.append(
                Series(who_of(row), name, [
                    Point(round(count), mean, f"{name}: {mean:,.1f} s for {round(count):,} steps")
                    for count, mean in zip(steps, means, strict=True) if mean > 0
                ])
            )  # fmt: skip
    if len(series) < 2:
        return None
    x, y = Axis("steps of training", "count", log=True), Axis("seconds", "size", log=True, better="lower")
    return Lines("cost", "Time of a training by its length, with import and compilation", x, y, series)


def _curves(report: Report, rows: Sequence[Row], names: Names, metric: Metric) -> Iterator[Lines]:
    if metric.is_mean:
        yield from _mean_curves(rows, names, metric)
    else:
        yield from _curves_of_seeds(report, rows, names, metric)


def _mean_curves(rows: Sequence[Row], names: Names, metric: Metric) -> Iterator[Lines]:
    """A chart for each part of a curve: the mean over seeds at each place."""
    for key, format in metric.parts:
        known = [(row, name) for row, name in zip(rows, names, strict=True) if metric.name in row]
        series = [Series(who_of(row), name, list(_means(row, name, metric, key, format))) for row, name in known]
        if series:
            y = Axis(key.replace("_", " "), format, better=metric.better)
            yield Lines(
                f"{metric.name}-{key}", f"{_upper(metric.header)} by {metric.over}", Axis(metric.over), y, series
            )


def _means(row: Row, name: str, metric: Metric, key: str, format: Format) -> Iterator[Point]:
    for point in row[metric.name]:
        if key in point:
            mean, place = Interval(**point[key]), point[metric.over]
            text = interval_text(mean.mean, mean.low, mean.high, format)
            yield Point(place, mean.mean, f"{name}: {text} at {metric.over} {place:.3g}", mean)


def _curves_of_seeds(report: Report, rows: Sequence[Row], names: Names, metric: Metric) -> Iterator[Lines]:
    """A chart for each format of a curve, such as accuracies and losses: a line for each seed and part."""
    for format in dict.fromkeys(format for _, format in metric.parts):
        keys = [key for key, its in metric.parts if its == format]
        series, left_out = [], 0
        for row, name in zip(rows, names, strict=True):
            known = [result for result in _finished(report, row) if result.metrics.get(metric.name)]
            left_out = max(left_out, len(known) - SEEDS)
            for result in known[:SEEDS]:
                series += [
                    _line(result, row, name, metric, key, format, len(keys) > 1 and key == keys[0]) for key in keys
                ]
        series = [one for one in series if one.points]
        if series:
            note = f"the first {SEEDS} seeds of each backend" if left_out > 0 else ""
            label = " and ".join(key.replace("_", " ") for key in keys)
            title = f"{_upper(label)} by {metric.over}: a line for each seed"
            yield Lines(f"{metric.name}-{format}", title, Axis(metric.over), Axis(label, format), series, note)


def _line(result: Result, row: Row, name: str, metric: Metric, key: str, format: Format, dashed: bool) -> Series:
    points = [point for point in result.metrics[metric.name] if is_number(point.get(key))]
    if len(points) > POINTS:
        points = [points[round(place * (len(points) - 1) / (POINTS - 1))] for place in range(POINTS)]
    what = key.replace("_", " ")
    return Series(
        who_of(row), f"{name}, {what}" if len(metric.parts) > 1 else name,
        [
            Point(
                point[metric.over], point[key],
                f"{name}, seed {result.cell.seed}: {what} {number_text(point[key], format)} at {metric.over} "
                f"{point[metric.over]:.4g}",
            )
            for point in points
        ],
        "dashed" if dashed else "line",
    )  # fmt: skip


def _confusions(rows: Sequence[Row], names: Names, metric: Metric) -> Iterator[Matrix]:
    for row, name in zip(rows, names, strict=True):
        counts = row.get(metric.name)
        if counts and len(counts) <= MOST_CLASSES:
            classes = [str(found["class"]) for found in row[metric.of]]
            title = f"{name}: what was taken for what (rows: truth, columns: prediction)"
            yield Matrix(f"confusion-{name}", title, who_of(row), classes, counts)


def _deviations(report: Report) -> Iterator[Strip]:
    """The largest deviations of each backend from the reference, in float64."""
    lines: dict[tuple[str, str], list[Dot]] = {}
    for result in one_each(report.results):
        for key, what in EXACT.items():
            value = result.parity.get(key)
            if value is not None and is_number(value) and result.verdict.is_checked:
                who = result.shown if result.cell.mode == "default" else result.who
                text = f"{who}, {result.cell.task}, {result.cell.model}: {what} {value:.0e}"
                lines.setdefault((who, what), []).append(Dot(max(float(value), SMALLEST), text))
    if lines:
        rows = [StripRow(who, f"{who}: {what}", dots) for (who, what), dots in sorted(lines.items())]
        axis = Axis(
            "largest deviation, in float64", log=True, better="lower", limit=LIMITS["float64"], holds=(SMALLEST, 1e-6)
        )
        yield Strip(
            "deviations", "Deviation from the NumPy reference: left of the limit, all computed the same", axis, rows
        )


def _by_pictures(report: Report) -> Iterator[Lines]:
    """The main number of a task by the number of training pictures, if the run varies it."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in report.summary:
        if isinstance(row["options"].get(TRAIN_LIMIT), int) and TRAIN_LIMIT in row["varied"]:
            groups.setdefault((row["dataset"], row["precision"]), []).append(row)
    for (dataset, _), rows in groups.items():
        lines: dict[tuple[str, str], list[Point]] = {}
        main = None
        for row in rows:
            main = headline_of(report.metrics[row["task"]])
            if main and isinstance(found := row.get(main.name), Mapping):
                name = f"{row['task']}, {network_text(row)}, {who_of(row)}"
                count = row["options"][TRAIN_LIMIT]
                text = f"{name}: {interval_text(found['mean'], found['low'], found['high'], main.format)} with {count:,} pictures"
                point = Point(count, found["mean"], text, Interval(found["mean"], found["low"], found["high"]))
                lines.setdefault((who_of(row), name), []).append(point)
        if main and lines:
            series = [Series(who, name, points) for (who, name), points in lines.items()]
            x = Axis("training pictures", "count", log=True)
            yield Lines(
                "by-pictures",
                f"{_upper(main.header)} by the number of training pictures, {dataset}",
                x,
                _axis_of(main),
                series,
            )


def _axis_of(metric: Metric) -> Axis:
    return Axis(metric.header, metric.format, better=metric.better)


def _finished(report: Report, row: Row) -> list[Result]:
    return [result for result in report.results_of(row) if result.status == "ok"]


def _typical(found: Typical) -> Interval:
    return Interval(found["median"], found["low"], found["high"])


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
