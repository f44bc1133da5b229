"""The speeds of a run in the format of pytest-benchmark, so that its tools can compare them with other runs.

Each row of the summary is a benchmark. A value is the time for one image in a timed segment. `pytest-benchmark compare
FILE1 FILE2` reads such files; pytest-benchmark itself is not needed to write them.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness import Report, Result, hookimpl, report_experiments, row_names

VERSION = "5.2.3"
"""The version of pytest-benchmark whose format this is."""


def as_pytest_benchmark(report: Report) -> str:
    host = report.run.get("host", {})
    found = {
        "machine_info": {"node": "", "machine": "", "cpu": {"brand_raw": host.get("processor", "")}} | host,
        "commit_info": {"id": report.run.get("id"), "project": "samebench"},
        "benchmarks": list(_benchmarks(report)),
        "left_out": [_left_out(result) for result in report.results if result.status != "ok"],
        "datetime": report.run.get("started"),
        "version": VERSION,
    }
    return json.dumps(found, indent=1, allow_nan=False)


def _left_out(result: Result) -> dict[str, Any]:
    """A cell without a speed. pytest-benchmark does not read this."""
    cell = result.cell
    who = {"task": cell.task, "backend": result.shown, "mode": cell.mode, "seed": cell.seed}
    return who | {"status": result.status, "reason": result.reason}


def _benchmarks(report: Report) -> Iterator[dict[str, Any]]:
    """A benchmark for each row with a speed. The benchmarks of an experiment are a group."""
    for title, rows in report_experiments(report).items():
        for row, name in zip(rows, row_names(rows)[1], strict=True):
            seconds = [
                1 / rate for result in report.results_of(row) if result.status == "ok" for rate in _rates(result)
            ]
            if not seconds:
                continue
            called = f"{row['task']}[{'-'.join(name)}]"
            yield {
                "group": title,
                "name": called,
                "fullname": f"{title}::{called}",
                "params": {"backend": row["backend"], "mode": row["mode"]},
                "param": "-".join(name),
                "extra_info": _about(row),
                "options": {},
                "stats": _statistics(seconds),
            }


def _rates(result: Result) -> list[float]:
    return [rate for rate in result.time["images_per_s"] if rate > 0]


def _about(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("backend", "mode", "task", "model", "dataset", "weights", "precision", "n", "seeds", "rate")
    disturbed = row.get("disturbed", [])
    return {key: row[key] for key in keys} | {
        "verdict": row["parity"].text,
        "disturbed": disturbed,
        "unit": "s per image",
    }


def _statistics(seconds: Sequence[float]) -> dict[str, Any]:
    """The statistics that pytest-benchmark shows. An outlier is more than a standard deviation from the mean, or more than 1.5
    interquartile ranges outside the quartiles."""
    mean, several = statistics.fmean(seconds), len(seconds) > 1
    deviation = statistics.stdev(seconds) if several else 0.0
    quartiles = statistics.quantiles(seconds, n=4, method="inclusive") if several else [seconds[0]] * 3
    first, median, third = quartiles
    far = 1.5 * (third - first)
    within = [value for value in seconds if first - far <= value <= third + far]
    beyond_deviation = sum(abs(value - mean) > deviation for value in seconds)
    return {
        "min": min(seconds), "max": max(seconds), "mean": mean, "stddev": deviation, "rounds": len(seconds),
        "median": median, "iqr": third - first, "q1": first, "q3": third,
        "iqr_outliers": len(seconds) - len(within), "stddev_outliers": beyond_deviation,
        "outliers": f"{beyond_deviation};{len(seconds) - len(within)}",
        "ld15iqr": min(within), "hd15iqr": max(within), "ops": 1 / mean, "total": sum(seconds), "iterations": 1,
        "data": list(seconds),
    }  # fmt: skip


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"pytest-benchmark": as_pytest_benchmark}
