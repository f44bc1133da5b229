"""The time of a report: it grows with its cells, not with their square, and a cell costs little more than its JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from reports import CELL, REPORTERS, Kept, attacked, certified, judged, ok
from runs import cell, certificate, finished

from harness.report.summary import Report
from harness.result import Result
from harness.running import store as stores
from harness.running.store import Store

FEW, MANY = 250, 2000
EVIDENCE = {"device": "cpu", "weights": "w", "batches": "b", "first_losses": [1.0, 0.5]}

SHAPES = {
    "seeds": lambda number: ok(replace(CELL, seed=number), parity=certified(), evidence=EVIDENCE),
    "options": lambda number: ok(replace(CELL, options={"lr": number / 7}), parity=certified(), evidence=EVIDENCE),
    "pictures": lambda number: _other_options(attacked(), number),
}
"""The differences between cells: their seed, or an option; or they have pictures with judgements."""


def _other_options(result: Result, number: int) -> Result:
    return replace(result, cell=replace(result.cell, options={"steps": number}))


def report(results: list[Result]) -> Report:
    made = [result for result in results if result.artifacts]
    return Report.of(Kept(results, judged=judged(made)))


def seconds(results: list[Result], name: str) -> float:
    """The smaller of two processor times."""
    took = []
    for _ in range(2):
        start = time.process_time()
        assert REPORTERS[name](replace(report(results), full=name == "markdown"))
        took.append(time.process_time() - start)
    return min(took)


@pytest.mark.parametrize(
    ("shape", "name"), [("seeds", "json"), ("options", "table"), ("options", "csv"), ("pictures", "markdown")]
)
def test_the_time_of_a_report_grows_with_its_cells(shape, name):
    many = MANY if shape != "pictures" else MANY // 2
    results = list(map(SHAPES[shape], range(many)))
    few = results[: many * FEW // MANY]
    ratio = seconds(results, name) / seconds(few, name)
    assert ratio < 2 * len(results) / len(few), (
        f"{len(results) // len(few)} times the cells take {ratio:.0f} times as long"
    )


def test_the_record_and_each_certificate_are_read_once_for_all_cells(tmp_path, monkeypatch):
    read = []
    store, cells = Store(tmp_path), [cell(seed=seed) for seed in range(20)]
    record = {"id": "r", "started": "s", "finished": None, "host": {}, "config": {}}
    store.save_run(record | {"plan": [dict(vars(one)) for one in cells]})
    store.save_certificate(cells[0].configuration, certificate())
    for one in cells:
        store.save(finished(one))
    for function in ("read_json", "read_sealed"):
        original = getattr(stores, function)
        monkeypatch.setattr(stores, function, lambda path, original=original: read.append(path.name) or original(path))
    assert [one.verdict.is_equal for one in Report.of(Store(tmp_path)).results] == [True] * 20
    assert read.count("run.json") <= 3 and len(read) <= 20 + 1 + 3


STORED, WORTH = 200, 3.5
"""The number of stored cells, and the largest ratio of the time of their report to that of reading and sorting their JSON with
the standard library. It is 1.5 to 2.3; it was 5 to 6 when each check was written in Python and each seal sorted the JSON."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Store:
    """A run with cells as large as those of a task."""
    curve = [dict.fromkeys(("epoch", "train_loss", "train_accuracy"), 1 / (epoch + 3)) for epoch in range(10)]
    of_a_class = {"count": 36, "precision": 1 / 3, "recall": 2 / 3, "f1": 1 / 7}
    large = {
        "test_accuracy": 2 / 3, "test_loss": 1 / 7, "curve": curve,
        "per_class": [{"class": str(label), **of_a_class} for label in range(10)], "confusion": [[3] * 10] * 10,
    }  # fmt: skip
    features = {"scale": 1 / 3, "sample": [[number / 7 for number in range(20)]] * 4}
    options = {f"group{number}.option": number / 7 for number in range(40)}
    store = Store(tmp_path_factory.mktemp("stored"))
    cells = [cell(seed=seed, options=options) for seed in range(STORED)]
    store.save_run(
        {"id": "r", "started": "s", "finished": None, "host": {}, "config": {}, "plan": list(map(vars, cells))}
    )
    for one in cells:
        evidence = finished(one).evidence | {"features": features}
        store.save(finished(one, metrics=large, evidence=evidence, parity=certificate()))
    return store


def least(work: Callable[[], Any]) -> float:
    """The smallest of three processor times."""
    took = []
    for _ in range(3):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


@pytest.mark.parametrize("name", ["table", "json", "csv", "markdown"])
def test_the_report_of_a_cell_costs_little_more_than_its_json(stored, name):
    files = list(stored.folder.glob("cells/*/result.json"))
    assert len(files) == STORED
    plain = least(lambda: [json.dumps(json.loads(file.read_bytes()), sort_keys=True) for file in files])
    whole = least(lambda: REPORTERS[name](Report.of(Store(stored.folder), full=False)))
    assert whole < WORTH * plain, f"{whole / plain:.1f} times the time of reading and sorting the JSON"
