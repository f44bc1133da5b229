"""`samebench run --pipeline own`, with a backend that reads picture files by a pipeline of its own."""

from __future__ import annotations

import json

import pytest
from command import samebench, words
from folders import picture_folder
from refusals import refused
from reports import report, shown
from runs import timed

from harness.errors import UsageError
from harness.plugins import load_plugins
from harness.report.text.inputs import pipelines
from harness.running.config import Settings, Source
from harness.running.experiments import experiments

PLUGINS = load_plugins()

FILE = """
import time
import numpy as np
from harness import hookimpl
from harness.reference.backend import NumPy

class Pipeline:
    about = "a loop that takes its time"

    def __init__(self, examples):
        self.examples, self.random = examples, np.random.default_rng(examples.seed)

    def batches(self, order):
        for rows in order:
            time.sleep(0.002 * len(rows))
            pictures = np.stack([self.examples.read(row, self.random) for row in rows])
            yield pictures / 255, self.examples.labels[rows]

class ReadingTrainer(NumPy.training):
    def segment(self, batches, lr, record):
        if not batches.examples.are_read_from_files:
            return super().segment(batches, lr, record)
        source = self.backend.on_device(batches.examples).batches(batches.order)
        return np.array([self.step(*batch, rate) for batch, rate in zip(source, lr, strict=True)])

class Reading(NumPy):
    name = "reading"
    training = ReadingTrainer

    def own_pipeline(self, examples):
        return Pipeline(examples)

@hookimpl
def samebench_backend():
    return Reading
"""
OPTIONS = [
    "--precision", "float64", "--set", "scratch-cnn.epochs=2", "--set", "scratch-cnn.batch_size=4", "--set", "segment_s=0.05",
    "--set", "threads=1", "--set", "scratch-cnn.augmentation.flip=true", "--set", "data.size=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "reading.py").write_text(FILE)
    picture_folder(folder / "pictures", 20)
    chosen = ["--backend", "reading.py", "--backend", "numpy", "--dataset", "folder:pictures", "--pipeline", "own"]
    done = samebench("run", *chosen, *OPTIONS, "--out", "run", cwd=folder)
    return folder / "run", done


def result(run, backend):
    folder, _ = run
    [file] = folder.glob(f"cells/scratch-cnn.{backend}.*/result.json")
    return json.loads(file.read_text())


def test_the_report_has_the_speeds_of_reading_and_training(run):
    folder, done = run
    assert "fine-tuning" in done.stderr and "adversarial" in done.stderr  # tasks that are left out, with the reasons
    text = samebench("report", folder, "--full").stdout
    assert "each framework's own input pipeline: images/s" in words(text)
    for header in ("reading alone", "training in memory", "training from files", "waiting"):
        assert header in words(text)
    assert "Specific to reading: input pipeline: a loop that takes its time" in words(text)
    [row] = [row for row in json.loads(samebench("report", folder, "--format", "json").stdout)["summary"] if row["n"]]
    read, in_memory = (row["input"][name]["median"] for name in ("read_per_s", "in_memory_per_s"))
    assert read < 1 / 0.002  # a picture takes 2 ms
    together = row["images_per_s"]["median"]
    assert together < min(read, in_memory)
    assert row["input"]["waiting"] == pytest.approx(1 - together / in_memory)


def test_there_is_no_certificate_and_the_reason_is_given(run):
    found = result(run, "reading")
    assert found["status"] == "ok"
    assert found["parity"]["verdict"] == "not-checked: own pipeline"
    assert not list(run[0].glob("certificates/*"))


def test_the_order_is_still_that_of_the_harness(run):
    evidence = result(run, "reading")["evidence"]
    assert "batches" in evidence and "order_rule" in evidence
    assert "augmented" not in evidence and "augmentation_rule" not in evidence


def test_a_backend_without_a_pipeline_is_unsupported(run):
    found = result(run, "numpy")
    assert found["status"] == "unsupported"
    assert "no input pipeline of its own" in found["reason"]


def chosen(**named):
    settings = Settings.of(PLUGINS, [Source("here", {"data.pipeline": "own", **named})])
    return experiments(PLUGINS, settings.config, settings.data.pipeline)


def test_only_tasks_that_train_on_pictures_are_run():
    found = chosen()
    assert {experiment.task for experiment in found.chosen} == {"scratch-cnn", "fine-tuning"}
    assert len(found.left_out) == 3
    with refused(UsageError, "missing-option", "adversarial", "--pipeline own"):
        chosen(tasks=["adversarial"])


def test_filters_of_the_harness_are_refused():
    with refused(UsageError, "conflicting-options", "data.steps", "--pipeline own"):
        chosen(**{"data.steps": ["grey"]})


def test_a_dataset_without_files_is_refused_before_anything_runs(tmp_path):
    done = samebench(
        "run", "--pipeline", "own", "--task", "scratch-cnn", "--backend", "numpy", "--out", tmp_path / "run"
    )
    assert done.returncode == 2
    assert "folder:PATH" in done.stderr
    assert not (tmp_path / "run").exists()


def test_waiting_is_never_negative():
    own = {"data.pipeline": "own"}
    fast = timed([100.0], time={"read_per_s": [500.0], "in_memory_per_s": [95.0]}, options=own)
    slow = timed([100.0], "b", time={"read_per_s": [110.0], "in_memory_per_s": [400.0]}, options=own)
    [table] = pipelines("title", report(*fast, *slow).summary)
    assert [row[-1] for row in table.rows] == ["0%", "75%"]
    assert not list(pipelines("title", report(*timed([100.0])).summary))
    assert "own input pipeline" in shown("table", *fast)
