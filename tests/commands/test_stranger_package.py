"""A task with a metric of its own, a network and a report format, in a package that samebench knows nothing of."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import command
import pytest

PLUGIN = """
from dataclasses import dataclass

from harness import (
    SGD, Conv, Dense, EpochGroups, Fit, Flatten, Metric, Model, Recipe, Subject, Task, TaskResult, first_evidence, hookimpl,
    metrics_of, relu,
)

api_version = 2


def tiny(input_shape=(8, 8, 1), classes=10):
    return Model("tiny", input_shape, (Conv(4, 3), relu, Flatten()), (Dense(classes),))


@dataclass(frozen=True)
class Options:
    epochs: int = 1
    train_limit: int | None = 200


class Stretching(Task):
    name = "stretching"
    rate = "training images"
    options = Options
    model = "tiny"
    metrics = (
        Metric("stretch", "stretch of logits", "size", better="lower", headline=True),
        Metric("test_accuracy", "accuracy", "share", better="higher"),
    )

    def subjects(self, model, input_shape, classes, options):
        return [Subject(model(input_shape, classes), Recipe(SGD(lr=0.1)))]

    def run(self, context):
        data = context.dataset
        train, _ = data.for_training(0.0, context.options.train_limit)
        model = context.build_model(data.shape, len(data.classes))
        groups = EpochGroups(context, train, 20, context.options.epochs)
        with context.clock.phase("build"):
            net = context.backend.build(model, context.first_weights(model))
        fit = Fit(context, net, model, Recipe(SGD(lr=0.1)))
        evidence = first_evidence(context, net, model)
        points = fit.follow(groups)
        found = metrics_of(fit, train, data.test, points)
        return TaskResult(
            metrics={"stretch": 1.5 + context.seed, "test_accuracy": found["test_accuracy"]},
            rates=fit.rates,
            parameters=model.counts(),
            evidence=evidence | groups.evidence | fit.evidence,
        )


def one_line(report):
    return f"{len(report.results)} cells, {report.summary[0]['stretch']['mean']:.2f}"


@hookimpl
def samebench_tasks():
    return [Stretching()]


@hookimpl
def samebench_models():
    return {"tiny": tiny}


@hookimpl
def samebench_reporters():
    return {"one-line": one_line}
"""
SEEDS = 3


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> dict[str, str]:
    """The environment in which the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "stretching.py").write_text(PLUGIN)
    (folder / "stretching-1.0.dist-info").mkdir()
    (folder / "stretching-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: stretching\nVersion: 1.0\n")
    (folder / "stretching-1.0.dist-info/entry_points.txt").write_text("[samebench.plugins]\nstretching = stretching\n")
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


@pytest.fixture(scope="module")
def run(stranger, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stretching") / "run"
    done = command.samebench(
        "run", "--task", "stretching", "--backend", "numpy", "--precision", "float64", "--seeds", SEEDS, "--set", "segment_s=0", "--out", folder,
        env=stranger,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stretch of logits" in done.stdout and "2.5" in done.stdout
    return folder


def report(run: Path, *options: str, **settings) -> str:
    done = command.samebench("report", run, *options, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["table", "markdown", "evaluation"])
def test_the_metric_has_its_column_and_interval(run, stranger, name):
    text = report(run, "--format", name, env=stranger)
    assert "stretch of logits" in text
    assert "2.5 (0.0159 to 4.98)" in text


def test_the_metric_is_in_csv(run, stranger):
    rows = list(csv.DictReader(io.StringIO(report(run, "--format", "csv", env=stranger))))
    assert [float(row["metrics.stretch"]) for row in rows] == [1.5, 2.5, 3.5]


def test_the_metric_is_in_json(run, stranger):
    found = json.loads(report(run, "--format", "json", env=stranger))
    assert [cell["metrics"]["stretch"] for cell in found["cells"]] == [1.5, 2.5, 3.5]
    (row,) = found["summary"]
    assert row["stretch"]["mean"] == 2.5 and row["stretch"]["low"] < 2.5 < row["stretch"]["high"]
    assert row["parity"] == "equal"


def test_the_strangers_format(run, stranger):
    assert report(run, "--format", "one-line", env=stranger).strip() == f"{SEEDS} cells, 2.50"


@pytest.mark.parametrize("name", ["table", "markdown", "evaluation", "csv", "json"])
def test_the_metric_is_reported_where_the_package_is_missing(run, name):
    """A run stores the declarations of its metrics."""
    heading = "stretch" if name in ("csv", "json") else "stretch of logits"
    assert heading in report(run, "--format", name)
