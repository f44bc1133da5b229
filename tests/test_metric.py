"""Declarations of metrics: valid values, storage, and their use in every report."""

from __future__ import annotations

import ast
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from refusals import refused
from reports import CELL, REPORTERS, Kept, attacked, ok, report
from runs import cell, run_here

import harness
from harness import Metric, SpecError, Task, UsageError
from harness.metric import FORMATS, check_metrics, headline_of, interval_text, number_text, plain_metrics
from harness.plugins import load_plugins
from harness.report.declared import declared_metrics
from harness.report.summary import Report
from harness.running.store import Store

TASKS = load_plugins().tasks
SHARPNESS = Metric("sharpness", "sharpness of edges", "size", better="lower", at="radius")
DECLARED = (
    Metric("hits", "hit rate", "share", better="higher", headline=True),
    SHARPNESS,
    Metric("radius", average="none", shown="details"),
    Metric("warmth", shown="details"),
    Metric("secret", shown="no"),
    Metric("by_size", "hits", form="curve", over="size", parts=(("hits", "share"),)),
    Metric("history", "history", form="curve", average="none", over="round", parts=(("score", "number"),)),
)


@pytest.mark.parametrize(
    ("value", "format", "text"),
    [
        (0.98244, "share", "98.24%"),
        (-0.05, "difference", "-5.00%"),
        (0.066123, "number", "0.0661"),
        (0.25, "loss", "0.2500"),
        (12345, "count", "12,345"),
        (3.5, "count", "3.5"),
        (15493.4, "rate", "15,493"),
        (0.0892, "rate", "0.089"),
    ],
)
def test_each_format_writes_numbers_in_one_way(value, format, text):
    assert number_text(value, format) == text


def test_intervals_have_the_form_of_their_mean():
    assert interval_text(0.9824, 0.9773, 0.9875, "share") == "98.24% (97.73 to 98.75)"
    assert interval_text(9.0, 8.51, 11.2, "rate") == "9 (8.5 to 11)"
    assert interval_text(0.5, None, None, "share") == "50.00%"


@pytest.mark.parametrize("format", FORMATS)
def test_a_number_outside_of_its_format_is_refused(format):
    metric, (least, most) = Metric("x", format=format), Metric("x", format=format).ends
    inside = [value for value in (least, most) if abs(value) < 1e9]
    for value in (*inside, 0.5):
        assert not list(metric.problems({"x": value}))
    for value in (
        *(end + sign for end, sign in ((least, -1.0), (most, 1.0)) if abs(end) < 1e9),
        None,
        "1",
        True,
        [1.0],
    ):
        (problem,) = metric.problems({"x": value})
        assert problem.startswith("metrics.x is a")
    assert not list(metric.problems({})), "a task may leave out declared metrics"


@pytest.mark.parametrize(
    ("changes", "code", "values"),
    [
        ({"format": "percent"}, "unknown-name", ["format", "share", "'percent'"]),
        ({"better": "up"}, "unknown-name", ["better", "higher, lower, None", "'up'"]),
        ({"average": "median"}, "unknown-name", ["average", "'median'"]),
        ({"shown": "yes"}, "unknown-name", ["shown", "'yes'"]),
        ({"form": "table"}, "unknown-name", ["form", "'table'"]),
        ({"name": "images_per_s"}, "wrong-form", ["'images_per_s'"]),
        ({"name": "two words"}, "wrong-form", ["'two words'"]),
        ({"form": "curve"}, "missing-option", ["x", "`over`", "`parts`"]),
        ({"form": "curve", "over": "x", "parts": (("y", "percent"),)}, "missing-option", ["x", "`over`", "`parts`"]),
        ({"form": "curve", "over": 'a"b', "parts": (("y", "share"),)}, "wrong-form", ["x"]),
        ({"form": "curve", "over": "x", "parts": (("\ud800", "share"),)}, "wrong-form", ["x"]),
    ],
)
def test_a_wrong_declaration_is_refused(changes, code, values):
    with refused(SpecError, code, *values):
        Metric(**{"name": "x"} | changes)


@pytest.mark.parametrize(
    ("metrics", "code", "values"),
    [
        ((Metric("x"), Metric("x")), "name-taken", ["x"]),
        ((Metric("x", headline=True), Metric("y", headline=True)), "conflicting-options", ["x", "y"]),
        ((Metric("x", at="epsilon"),), "unknown-name", ["x", "epsilon"]),
        ((Metric("x", of="y", at="z"), Metric("y"), Metric("z")), "conflicting-options", ["x", "y", "z"]),
    ],
)
def test_a_task_with_contradictory_metrics_is_refused(metrics, code, values):
    with refused(SpecError, code, *values):
        type("Mine", (Task,), {"metrics": metrics})
    with refused(SpecError, code, *values):
        check_metrics(metrics)


@pytest.mark.parametrize("task", list(TASKS))
def test_declarations_can_be_stored(task):
    for metric in TASKS[task].metrics:
        assert Metric.from_json(json.loads(json.dumps(metric.as_json()))) == metric
        assert Metric.from_json(metric.as_json() | {"colour": "of a later version"}) == metric


@pytest.mark.parametrize(
    "data", [3, {}, {"name": 3}, {"name": "x", "form": "y"}, {"name": "x", "parts": 3}, {"name": "x", "parts": [["y"]]},
             {"name": "x", "headline": 1}, {"name": "x", "format": []}, {"name": "x", "over": None}],
)  # fmt: skip
def test_stored_declarations_are_checked(data):
    with pytest.raises(ValueError, match=r"metrics\.mine\[0\]"):
        declared_metrics({"metrics": {"mine": [data]}}, ["mine"])
    for stored in (3, {"mine": 3}):
        with pytest.raises(ValueError, match="metrics is an object"):
            declared_metrics({"metrics": stored}, ["mine"])


def test_every_shipped_task_has_a_headline():
    assert {task: headline_of(TASKS[task].metrics).header for task in TASKS} == {
        "adversarial": "robust accuracy", "feature-extraction": "test accuracy", "fine-tuning": "test accuracy",
        "ideal-image": "probability", "scratch-cnn": "test accuracy",
    }  # fmt: skip


def test_no_other_module_knows_a_metric_by_its_name():
    home = Path(harness.__file__).parent
    names = {metric.name for task in TASKS for metric in TASKS[task].metrics} - {"epsilon", "pictures"}
    assert len(names) > 20
    for file in home.rglob("*.py"):
        if file.parent.name not in ("tasks", "common"):
            words = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
            known = {"curve", "confusion", "total_variation"}  # two forms of metrics, and a function of harness.attack
            assert not (names - known) & {word for word in words if isinstance(word, str)}, file


# A task of another author.


def found(seed: int, backend: str = "numpy", **changes) -> harness.Result:
    metrics = {
        "hits": 0.5 + 0.01 * seed, "sharpness": 3.0 + seed, "radius": 2.5, "warmth": 7.0, "secret": 9.0,
        "by_size": [{"size": 1, "hits": 0.25}, {"size": 2, "hits": 0.75}],
        "history": [{"round": 1, "score": 1.5}, {"round": 2, "score": 2.5}],
    }  # fmt: skip
    return ok(replace(CELL, task="mine", seed=seed, backend=backend), metrics=metrics | changes)


class Declaring(Kept):
    """A run with the stored declarations of its task. The task itself is not installed."""

    run = Kept.run | {"metrics": {"mine": [metric.as_json() for metric in DECLARED]}}


def shown_by(name: str, *results) -> str:
    return " ".join(REPORTERS[name](Report.of(Declaring(results))).replace("|", " ").split())


THREE = [found(seed) for seed in range(3)]


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_a_strangers_metric_has_its_column_and_its_interval_in_tables(name):
    text = shown_by(name, *THREE)
    assert "hit rate sharpness of edges" in text and "51.00% (48.52 to 53.48)" in text and "4 (1.52 to 6.48)" in text
    assert (
        "hits by size; sharpness of edges at radius 2.5" in text.replace("\\", "") or "hits by size; radius 2.5" in text
    )
    assert "25.00% 75.00% 7 (7 to 7)" in text, "details stand beside the curve"
    assert "secret" not in text and "test accuracy" not in text


def test_a_strangers_metric_is_in_the_evaluation():
    text = shown_by("evaluation", *THREE)
    assert "hit rate sharpness of edges warmth" in text
    assert "51.00% (48.52 to 53.48) 4 (1.52 to 6.48) 7 (7 to 7)" in text
    assert "the history of seed 0 round score" in text and "2 2.5" in text


def test_programs_have_a_strangers_metric_with_its_interval():
    data = json.loads(REPORTERS["json"](Report.of(Declaring(THREE))))
    (row,) = data["summary"]
    assert row["hits"] == {
        "mean": pytest.approx(0.51),
        "low": pytest.approx(0.48516, abs=1e-5),
        "high": pytest.approx(0.53484, abs=1e-5),
    }
    assert row["secret"]["mean"] == 9.0 and row["radius"] == 2.5
    assert data["metrics"]["mine"][1]["better"] == "lower"
    (first, *_) = csv.DictReader(io.StringIO(REPORTERS["csv"](Report.of(Declaring(THREE)))))
    assert first["metrics.hits"] == "0.5" and float(first["row.hits.mean"]) == pytest.approx(0.51)
    assert float(first["row.sharpness.low"]) == pytest.approx(1.51586, abs=1e-5)


def test_a_condition_keeps_rows_apart():
    (one, other) = Report.of(Declaring([found(0), found(1, radius=3.5)])).summary
    assert one["apart"] == {"radius": "2.5"} and other["apart"] == {"radius": "3.5"}
    (one, other) = Report.of(Declaring([found(0), found(1, by_size=[{"size": 3, "hits": 1.0}])])).summary
    assert one["apart"] == {"sizes": "1 2"}


def test_a_task_that_declares_nothing_is_shown_plainly():
    results = [replace(one, cell=replace(one.cell, task="old")) for one in THREE]
    text = " ".join(REPORTERS["table"](report(*results)).split())
    assert "hits sharpness radius warmth secret" in text and "0.51 (0.485 to 0.535)" in text
    assert [metric.name for metric in plain_metrics([{"a": 1, "n": 2, "b": "x", "c d": 1.0, "e": True}])] == ["a"]
    assert plain_metrics([]) == () and headline_of(()) is None


def test_a_task_without_metrics_still_works():
    assert tuple(Task.metrics) == ()


def test_metrics_declared_as_compared_must_agree():
    declared = [replace(metric, compared=metric.name == "hits").as_json() for metric in DECLARED]

    class Comparing(Kept):
        run = Kept.run | {"metrics": {"mine": declared}}

    def verdicts(*hits: float) -> list[str]:
        same = {"device": "cpu", "weights": "w"}
        results = [replace(found(0, name, hits=value), evidence=same) for name, value in zip("abc", hits, strict=True)]
        return [result.verdict.kind for result in Report.of(Comparing(results)).results]

    assert verdicts(0.5, 0.5, 0.504) == ["not-checked"] * 3
    assert verdicts(0.5, 0.5, 0.52) == ["not-checked", "not-checked", "differs"]


def test_a_run_of_an_earlier_version_uses_the_declarations_of_the_installed_task():
    assert "metrics" not in Kept.run
    assert "clean accuracy robust accuracy" in " ".join(REPORTERS["table"](report(attacked())).split())


def test_a_run_stores_what_its_tasks_declare(tmp_path, monkeypatch):
    """So that its report needs no plugin; what is no longer installed stays when the run goes on."""
    run_here(tmp_path, [cell()], monkeypatch)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["metrics"] == {"scratch-cnn": [metric.as_json() for metric in TASKS["scratch-cnn"].metrics]}
    gone = [metric.as_json() for metric in DECLARED]
    (tmp_path / "run.json").write_text(json.dumps(record | {"metrics": record["metrics"] | {"gone": gone}}))
    run_here(tmp_path, [cell(seed=1)], monkeypatch)
    assert Store(tmp_path).metrics_of("gone") == DECLARED
    assert Store(tmp_path).metrics_of("scratch-cnn") == TASKS["scratch-cnn"].metrics
    (tmp_path / "run.json").write_text(json.dumps(record | {"metrics": {"gone": [{"name": 3}]}}))
    with refused(UsageError, "unreadable-file", "run.json", "metrics.gone[0].name"):
        Report.of(Store(tmp_path))
