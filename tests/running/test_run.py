"""The command line, end to end, on the reference: no test here needs a framework."""

from __future__ import annotations

import json
import re
import sys

import pytest
from command import SMALL, backend, command, on_a_terminal, processor_seconds, report, samebench, words
from refusals import has

from harness.cli import COMMANDS
from harness.conformance import RULES
from harness.models.two_block_cnn import two_block_cnn
from harness.pictures.inputs import DataOptions, NetworkInput, load
from harness.plugins import load_plugins
from harness.reference.backend import NumPy
from harness.result import Result, diverged
from harness.storage.places import Places
from harness.storage.sealed import read_sealed
from harness.task import TaskContext
from harness.tasks.scratch_cnn import Options, ScratchCNN

CAT = {"class": "cat", "precision": 1.0, "recall": 1.0, "f1": 1.0, "count": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    done = samebench("run", "--backend", "numpy", "--seeds", "2", "--out", folder, *SMALL)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_prints_its_table(run):
    folder, done = run
    assert "1 task on 1 backend, two-block-cnn on digits, float64, seeds 0-1, 2 of 2 cells" in words(done.stdout)
    assert "35,914" in done.stdout and "numpy computed the same as the reference." in words(done.stdout)
    assert "[2/2] scratch-cnn numpy/default seed" in done.stderr
    full = words(samebench("report", folder, "--full").stdout)
    assert "scratch-cnn: two-block-cnn on digits, float64" in full and "35,914" in full and "equal" in full
    assert "scratch-cnn, two-block-cnn: largest deviation from the NumPy reference, in float64" in full


def test_a_terminal_shows_the_progress_of_a_run(tmp_path):
    arguments = ["run", "--backend", "numpy", "--no-parity", "--seeds", "2", "--out", tmp_path / "run", *SMALL]
    code, said = on_a_terminal(*arguments)
    assert code == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    assert "0/2" in text and "1/2" in text
    assert "scratch-cnn numpy/default seed 0: epoch 1 of 1, loss " in text and " left" in text
    assert "[2/2] scratch-cnn numpy/default seed 1: ok" in text


def test_a_report_for_programs_has_the_promised_keys(run):
    folder, _ = run
    data = json.loads(samebench("report", folder, "--format", "json").stdout)
    assert data["schema"] == 1 and data["run"].keys() >= {"id", "started", "finished", "host", "config"}
    assert [cell["seed"] for cell in data["cells"]] == [0, 1]
    cell = data["cells"][0]
    assert cell.keys() >= {
        "task", "backend", "mode", "precision", "device", "model", "dataset", "weights", "seed", "status", "reason",
        "metrics", "time", "parameters", "memory", "parity", "versions",
    }  # fmt: skip
    assert cell["metrics"].keys() >= {"test_accuracy", "train_accuracy", "test_loss"}
    phases = {"import_s", "build_s", "first_step_s", "train_s", "eval_s", "total_s", "rate", "images_per_s"}
    assert cell["time"].keys() >= phases and cell["time"]["rate"] == "training images"
    assert cell["parameters"] == {"total": 35914, "trainable": 35914, "frozen": 0, "buffers": 0}
    assert cell["memory"]["peak_rss_bytes"] > 10_000_000 and cell["memory"]["peak_device_bytes"] is None
    assert cell["parity"].keys() >= {
        "verdict",
        "logits",
        "gradients",
        "trajectory",
        "attack",
        "steps",
        "timed",
        "excludes",
    }
    assert cell["parity"]["verdict"] == "equal" and cell["parity"]["timed"].keys() == {"logits", "losses", "limit"}
    summary = data["summary"][0]
    assert summary["n"] == 2 and summary["parity"] == "equal" and summary["parameters"] == 35914
    assert summary["test_accuracy"].keys() == {"mean", "low", "high"}
    assert summary["images_per_s"].keys() == {"median", "low", "high", "n"}


def test_a_report_can_be_written_to_a_file(run, tmp_path):
    folder, _ = run
    assert samebench("report", folder, "-o", tmp_path / "table.txt").returncode == 0
    assert "scratch-cnn" in (tmp_path / "table.txt").read_text()


def test_the_same_folder_resumes_the_run(run):
    folder, _ = run
    times = {file: file.stat().st_mtime_ns for file in folder.glob("cells/*/result.json")}
    again = samebench("run", "--backend", "numpy", "--seeds", "3", "--out", folder, *SMALL)
    assert again.returncode == 0 and "[1/1] scratch-cnn numpy/default seed 2" in again.stderr
    assert all(file.stat().st_mtime_ns == written for file, written in times.items())


def test_a_backend_whose_framework_is_missing_is_unavailable(tmp_path):
    missing = [
        row
        for row in json.loads(samebench("list", "backends", "--json").stdout)["backends"]
        if row["status"] != "available"
    ]
    if not missing:
        pytest.skip("every framework is installed here; the environment `core` has none")
    done = samebench("run", "--backend", missing[0]["name"], "--backend", "numpy", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 1
    assert "unavailable: backend" in words(done.stdout)
    assert f"pip install 'samebench[{missing[0]['name']}]'" in words(done.stdout)
    assert "numpy/default seed 0: ok" in done.stderr


def test_a_certificate_may_follow_later(tmp_path):
    command = ["run", "--backend", "numpy", "--out", tmp_path / "run", *SMALL]
    assert "Not proven: scratch-cnn" in samebench(*command, "--no-parity").stdout
    again = samebench(*command)
    assert "certificate of numpy/default: equal" in again.stderr
    assert "[1/1]" not in again.stderr
    assert "Not proven" not in again.stdout


def test_other_cells_in_the_same_folder_are_kept_and_told_apart(tmp_path):
    command = ["run", "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", *SMALL]
    samebench(*command)
    samebench(*command, "--set", "scratch-cnn.batch_size=16")
    summary = json.loads(samebench("report", tmp_path / "run", "--format", "json").stdout)["summary"]
    assert [(row["n"], row["options"]["batch_size"]) for row in summary] == [(1, 32), (1, 16)]


def test_divergence_is_a_status_and_nan_is_stored_as_text(tmp_path):
    file = backend(tmp_path, "weights = {name: tensor + float('inf') for name, tensor in weights.items()}")
    samebench("run", "--backend", file, "--no-parity", "--out", tmp_path / "run", *SMALL)
    report = json.loads(
        samebench("report", tmp_path / "run", "--format", "json").stdout, parse_constant=lambda word: pytest.fail(word)
    )
    assert (report["cells"][0]["status"], report["cells"][0]["metrics"]["test_loss"]) == ("diverged", "nan")
    assert report["summary"][0]["n"] == 0


def test_a_certificate_that_finds_infinity_can_be_written(tmp_path):
    file = backend(tmp_path, "weights = {name: tensor + float('nan') for name, tensor in weights.items()}")
    done = samebench("run", "--backend", file, "--out", tmp_path / "run", *SMALL)
    assert "differs: " in done.stderr
    parity = json.loads(samebench("report", tmp_path / "run", "--format", "json").stdout)["cells"][0]["parity"]
    assert parity["verdict"].startswith("differs: ")
    assert parity["logits"] == "inf"


def test_an_unsupported_cell_of_a_named_backend_is_a_failure(tmp_path):
    command = [
        "run",
        "--backend",
        backend(tmp_path, "raise Unsupported('not this one')"),
        "--no-parity",
        "--out",
        tmp_path / "run",
        *SMALL,
    ]
    done = samebench(*command)
    assert done.returncode == 1 and "unsupported: not this one" in words(done.stdout)
    assert "1 cell is unsupported, and the backend was named: scratch-cnn " in done.stderr


def test_an_unsupported_precision_is_reported_with_the_supported_ones(tmp_path):
    done = samebench("run", "--backend", "numpy", "--task", "scratch-cnn", "--out", tmp_path / "run")
    assert done.returncode == 1
    assert all(has(done.stderr, value) for value in ("unsupported: numpy", "'float32'", "float64")), done.stderr


def test_the_reference_declines_native_semantics(tmp_path):
    done = samebench("run", "--backend", "numpy", "--semantics", "native", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 1 and "unsupported: numpy has no first weights of its own" in words(done.stdout)


def test_validation_uses_a_share_of_the_training_pictures(tmp_path):
    held = ["--set", "scratch-cnn.validation=0.2"]
    done = samebench("run", "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", *SMALL[:-2], *held)
    assert done.returncode == 0, done.stderr
    (cell,) = report(tmp_path / "run")["cells"]
    assert 0 <= cell["metrics"]["validation_accuracy"] <= 1
    assert len(cell["evidence"]["first_losses"]) == 5


def test_the_test_split_is_not_used_before_the_end_of_training():
    seen = []

    class Watched(NumPy):
        def upload(self, examples):
            seen.append(len(examples))
            return super().upload(examples)

        def forward(self, net, batches, **options):
            seen.append(len(batches.examples))
            return super().forward(net, batches, **options)

        def trainer(self, *arguments):
            trainer = super().trainer(*arguments)
            segment = trainer.segment
            trainer.segment = lambda *given: (seen.append("trained"), segment(*given))[1]
            return trainer

    plugins = load_plugins()
    data = load(
        "digits", plugins.datasets, NetworkInput.untrained(two_block_cnn), DataOptions(), Places.from_environment()
    )
    options = Options(epochs=1, train_limit=1000, validation=0.1)
    ScratchCNN().run(TaskContext(Watched(precision="float64"), two_block_cnn, data, 0, options))
    assert seen.index(len(data.test)) > max(place for place, what in enumerate(seen) if what == "trained")
    assert seen.index(100) < seen.index(len(data.test)), "the share held out is judged first"


def test_a_wrong_backend_is_told_from_a_right_one_in_the_table(tmp_path):
    file = backend(tmp_path, "weights = {name: tensor * 1.001 for name, tensor in weights.items()}")
    command = ["run", "--backend", file, "--backend", "numpy", "--out", tmp_path / "run", *SMALL]
    done = samebench(*command)
    assert done.returncode == 1 and "1 cell differs from the reference" in done.stderr
    assert "mine/default seed 0: input gradients of two-block-cnn: " in words(done.stderr)
    expected = samebench(*command, "--allow-differs")
    assert expected.returncode == 0 and "Differs: scratch-cnn on mine" in expected.stdout, "the verdict stays"
    table = samebench("report", tmp_path / "run", "--full").stdout
    rows = {line.split()[0]: line.split()[-1] for line in table.splitlines() if "35,914" in line}
    assert rows == {"mine": "differs", "numpy": "equal"}, "the certificates say which backend is right"
    samebench("run", "--backend", file, "--backend", "numpy", "--no-parity", "--out", tmp_path / "blind", *SMALL)
    blind = words(samebench("report", tmp_path / "blind", "--full").stdout)
    assert "Parity of numpy/default, scratch-cnn: differs: its first weights" in blind, "without certificates, none is"


@pytest.mark.parametrize(
    ("arguments", "code", "values"),
    [
        (["run", "--backend", "pytoch"], 2, ["'pytoch'", "'pytorch'"]),
        (["run", "--task", "scratch"], 2, ["'scratch'", "scratch-cnn"]),
        (["run", "--model", "vgg"], 2, ["'vgg'", "vgg16"]),
        (["show", "lenet5", "--input", "32"], 2, ["--input", "32x32x3", "'32'"]),
        (["run", "--dataset", "digit"], 2, ["'digit'", "'digits'"]),
        (["run", "--seeds", "two"], 2, ["--seeds", "0,1,2", "'two'"]),
        (["run", "--seeds", "1,1"], 2, ["seeds", (1, 1)]),
        (["run", "--set", "scratch-cnn.lr=1"], 2, ["scratch-cnn.lr", "'scratch-cnn.optimizer.lr'"]),
        (
            ["run", "--set", "scratch-cnn.optimizer.ler=1"],
            2,
            ["scratch-cnn.optimizer.ler", "'scratch-cnn.optimizer.lr'"],
        ),
        (["run", "--set", "scratch-cnn.epochs=many"], 2, ["scratch-cnn.epochs", "'many'"]),
        (["run", "--set", "scratch-cnn.epochs=0"], 2, ["scratch-cnn.epochs", 1, 0]),
        (
            ["run", "--set", "scratch-cnn.schedule=warm"],
            2,
            ["scratch-cnn.schedule", "'constant'", "'cosine'", "'warmup-cosine'", "'warm'"],
        ),
        (["run", "--set", "scratch-cnn.optimizer.lr=-1"], 2, ["scratch-cnn.optimizer.lr", 0, "-1.0"]),
        (
            ["run", "--mode", "compield", "--backend", "pytorch"],
            2,
            ["'compield'", "'compiled'", "compiled, default"],
        ),
        (["run", "--mode", "compiled", "--backend", "numpy"], 2, ["numpy", "'compiled'", "default"]),
        (["check", "numpy", "--mode", "fast"], 2, ["numpy", "'fast'", "default"]),
        (["run", "--set", "epochs"], 2, ["--set", "KEY=VALUE", "'epochs'"]),
        (["report", "nowhere"], 2, ["nowhere", "run.json"]),
        (["check", "nowhere.py"], 2, ["nowhere.py"]),
    ],
)
def test_wrong_commands_fail_before_anything_runs(arguments, code, values, tmp_path):
    done = samebench(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    for value in values:
        assert has(done.stderr, value), (value, done.stderr)
    assert not list(tmp_path.iterdir())


def test_check_prints_a_line_for_each_rule(tmp_path):
    done = samebench("check", "numpy")
    assert done.returncode == 0 and "passed max_pool_ties" in words(done.stdout)
    assert (
        done.stdout.strip().splitlines()[-1]
        == f"numpy: {len(RULES) - 6} passed, 6 declined; {len(RULES)} of {len(RULES)} rules ran"
    )
    done = samebench("check", backend(tmp_path, "weights = {name: -tensor for name, tensor in weights.items()}"))
    assert done.returncode == 1 and "The rule: " in words(done.stdout)


def test_show_prints_a_network_layer_by_layer():
    said = samebench("show", "two-block-cnn", "--input", "8x8x1", "--classes", "3").stdout
    assert said.splitlines()[0] == "two-block-cnn, 8x8x1, 3 classes"
    rows = [line.split() for line in said.splitlines()]
    assert ["trunk.conv2", "Conv(64,", "3,", "padding=1)", "4x4x64", "18,496", "589,824"] in rows
    assert ["trunk.relu2", "relu", "4x4x64", "0", "0"] in rows
    assert said.splitlines()[-1] == "35,459 parameters, 0 batch-norm statistics, 659,840 flops a picture, forward"


def test_list_for_programs():
    found = json.loads(samebench("list", "--json").stdout)
    assert {"name": "numpy", "status": "available", "reason": None} in found["backends"]
    assert {
        "name": "lenet5",
        "parameters": {"total": 61706, "trainable": 61706, "buffers": 0},
        "flops": 833_040,
    } in found["models"]
    tasks = ["adversarial", "feature-extraction", "fine-tuning", "ideal-image", "scratch-cnn"]
    assert [task["name"] for task in found["tasks"]] == tasks
    names = [row["name"] for row in json.loads(samebench("list", "datasets", "--json").stdout)["datasets"]]
    assert names == sorted(names) and {"digits", "mnist", "cifar10", "folder", "synthetic", "cats-vs-dogs"} <= {*names}


@pytest.mark.parametrize(("arguments", "limit"), [("--help", 0.6), ("list", 2.6)])
def test_the_command_line_is_quick(arguments, limit, tmp_path, monkeypatch):
    """Processor time relative to importing what every command may use; the smallest ratio of several pairs. All modules are
    compiled before."""
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    packages = [sys.executable, "-c", "import click, numpy, PIL.Image, pluggy, tabulate"]
    pairs = [(processor_seconds(*command(arguments)), processor_seconds(*packages)) for _ in range(6)]
    ratios = [ours / theirs for ours, theirs in pairs[1:]]
    assert min(ratios) <= limit, ratios


def test_every_command_shows_an_example():
    for name in COMMANDS:
        assert f"Example: samebench {name}" in samebench(name, "--help").stdout


def test_a_result_is_checked_when_it_is_read(run):
    folder, _ = run
    good = read_sealed(next(folder.glob("cells/*/result.json")))
    assert Result.from_json(good, ScratchCNN.metrics).as_json() == good
    for change, path in [
        ({"status": "fine"}, "status is one of .*, not 'fine'"),
        ({"metrics": {"test_accuracy": 1.7}}, "metrics.test_accuracy"),
        ({"metrics": {"test_accuracy": [0.7]}}, "metrics.test_accuracy"),
        ({"metrics": {"macro_f1": None}}, "metrics.macro_f1 is a share from 0 to 1, not None"),
        ({"metrics": {"per_class": [CAT, CAT | {"recall": 2}]}}, r"metrics.per_class\[1\].recall is a share"),
        ({"metrics": {"per_class": [{"class": "cat"}]}}, r"metrics.per_class\[0\].count is missing"),
        ({"metrics": {"per_class": [CAT], "confusion": [[1, 0]]}}, "metrics.confusion is a square of counts"),
        ({"metrics": {"curve": [{"epoch": 1, "train_accuracy": -0.1}]}}, r"metrics.curve\[0\].train_accuracy is a"),
        (
            {"metrics": {"curve": [{"epoch": 1, "train_loss": "nan"}]}},
            r"metrics.curve\[0\].train_loss is a number, not 'nan'",
        ),
        (
            {"metrics": {"curve": [{"train_loss": 1.0}]}},
            r"metrics.curve\[0\].epoch is missing",
        ),
        ({"metrics": {"overfitting_gap": 7}}, "metrics.overfitting_gap is a difference of two shares, not 7"),
        ({"time": good["time"] | {"train_s": -1}}, "time.train_s is a number of at least 0"),
        ({"colour": "red"}, "colour is unknown"),
    ]:
        with pytest.raises(ValueError, match=path):
            Result.from_json(good | change, ScratchCNN.metrics)
    with pytest.raises(ValueError, match="metrics is missing"):
        Result.from_json({name: value for name, value in good.items() if name != "metrics"})


def test_a_class_without_pictures_has_no_recall(run):
    good = read_sealed(next(run[0].glob("cells/*/result.json")))
    metrics = {"per_class": [CAT, CAT | {"recall": None, "f1": None, "count": 0}], "confusion": [[1, 0], [0, 0]]}
    assert Result.from_json(good | {"metrics": metrics}, ScratchCNN.metrics).metrics == metrics


def test_numbers_that_are_not_finite_are_divergence():
    assert diverged({"test_loss": float("nan"), "test_accuracy": 0.1}) == "test_loss is nan"
    assert diverged({"test_loss": 0.1}) is None
    curve = [{"train_loss": 0.5}, {"train_loss": 0.4, "epochs": [1.0, float("inf")]}]
    assert diverged({"test_loss": 0.1, "curve": curve}) == "curve[1].epochs[1] is inf"
    assert diverged({"test_loss": 0.1, "curve": curve[:1], "per_class": [{"recall": None}]}) is None
