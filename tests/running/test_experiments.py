"""The network, the dataset and the weights of a task: those that the user names, or else the task's own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from refusals import refused

from harness import Dense, Model, relu
from harness.errors import SamebenchError, UsageError
from harness.models.lenet5 import lenet5
from harness.plugins import load_plugins
from harness.pretrained.entries import save_trained
from harness.running.config import Settings, Source
from harness.running.experiments import Experiment, Experiments, experiments
from harness.running.plan import plan_cells
from harness.spec import Shape
from harness.storage.places import Places
from harness.worker.networks import builder_of, network_of

PLUGINS = load_plugins()
TOLD = {"variant": "small", "source": "a test", "licence": "CC0", "trained_on": "noise"}
BUNDLED = ("two-block-cnn", "digits:5-9", "two-block-cnn-digits04")
WHOLE = ("two-block-cnn", "digits", "two-block-cnn-digits")
TRANSFER, CHANGING = ("feature-extraction", "fine-tuning"), ("adversarial", "ideal-image")


def found(**named) -> Experiments:
    return experiments(PLUGINS, Settings.of(PLUGINS, [Source("here", named)]).config)


def test_by_default_each_task_has_its_own_network_and_dataset():
    chosen, left_out = found()
    assert sorted(chosen) == sorted(
        [
            *(Experiment(task, *BUNDLED) for task in TRANSFER),
            *(Experiment(task, *WHOLE) for task in CHANGING),
            Experiment("scratch-cnn", "two-block-cnn", "digits", None),
        ]
    )
    assert not left_out


def test_weights_decide_the_network_but_not_that_of_scratch_cnn():
    chosen, _ = found(weights="efficientnet-lite0", dataset="cats-vs-dogs")
    assert {(one.task, one.model, one.weights) for one in chosen} == {
        *((task, "efficientnet-lite0", "efficientnet-lite0") for task in (*TRANSFER, *CHANGING)),
        ("scratch-cnn", "two-block-cnn", None),
    }
    assert {one.dataset for one in chosen} == {"cats-vs-dogs"}
    both, _ = found(weights="efficientnet-lite0", model="lenet5", dataset="mnist")
    assert {one.model for one in both} == {"efficientnet-lite0", "lenet5"}


@pytest.mark.parametrize("named", [{"dataset": "mnist"}, {"model": "lenet5"}])
def test_without_fitting_weights_transfer_is_left_out_or_an_error(named):
    chosen, left_out = found(**named)
    assert [one.task for one in chosen] == ["scratch-cnn"] and len(left_out) == 4
    for task, said in zip(sorted((*TRANSFER, *CHANGING)), sorted(left_out), strict=True):
        assert f"{task} needs trained weights: add --weights NAME" in said
    with refused(
        UsageError,
        "missing-option",
        "fine-tuning",
        "--weights NAME",
        "two-block-cnn-digits04",
        "two-block-cnn",
        "digits:5-9",
    ):
        found(tasks=["fine-tuning"], **named)


def test_options_without_effect_are_reported():
    with refused(UsageError, "conflicting-options", "efficientnet-lite0", "lenet5", "--model"):
        found(tasks=["fine-tuning"], weights="efficientnet-lite0", model="lenet5")
    _, left_out = found(tasks=["scratch-cnn"], weights="efficientnet-lite0")
    assert left_out == ["the weights efficientnet-lite0: no chosen task starts from weights"]


def test_a_file_is_named_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_trained(tmp_path / "mine.safetensors", lenet5(), lenet5().init(0), tuple("0123456789"), TOLD)
    (one,), _ = found(tasks=["fine-tuning"], weights="mine.safetensors", dataset="mnist")
    assert (one.model, one.weights) == ("lenet5", os.path.join(Path(tmp_path), "mine.safetensors"))


@pytest.mark.parametrize(
    ("named", "code", "value"),
    [
        ({"dataset": "digit"}, "unknown-name", "'digits'"),
        ({"model": "lenet"}, "unknown-name", "'lenet5'"),
        ({"weights": "efficientnet"}, "unknown-name", "'efficientnet-lite0'"),
        ({"weights": "nowhere/file.pth"}, "not-found", "nowhere/file.pth"),
        ({"tasks": ["fine-tunning"]}, "unknown-name", "'fine-tuning'"),
    ],
)
def test_unknown_names_are_refused(named, code, value):
    with refused(UsageError, code, value):
        found(**named)


def test_a_learning_curve_is_a_matrix_over_numbers_of_pictures():
    asked = {"backends": ["numpy"], "train_limits": [64, 128], "tasks": [*TRANSFER, "scratch-cnn"]}
    settings = Settings.of(PLUGINS, [Source("here", asked)])
    cells = plan_cells(settings, experiments(PLUGINS, settings.config).chosen)
    assert [(cell.task, cell.options["train_limit"]) for cell in cells[:2]] == [
        ("feature-extraction", 64),
        ("feature-extraction", 128),
    ]
    assert len(cells) == 6
    with refused(UsageError, "given-twice", "train_limits", (64, 64)):
        Settings.of(PLUGINS, [Source("here", {"train_limits": [64, 64]})])


def kept(weights: str, input_shape: Shape, model: str | None = None) -> Model:
    """The network for pictures of this size, in a task that keeps the head."""
    places = Places(None, Path("nowhere"), offline=True)
    network, start = network_of(model or "two-block-cnn", weights, PLUGINS, places)
    return builder_of(PLUGINS.tasks["adversarial"], network, start)(input_shape, 3)


def test_a_network_that_keeps_its_head_is_built_for_the_size_of_the_pictures(tmp_path):
    build = PLUGINS.models["efficientnet-lite0"]
    at_99 = build((99, 99, 3), 1000)
    assert kept("efficientnet-lite0", (224, 224, 3), "efficientnet-lite0") == build()
    assert kept("efficientnet-lite0", (99, 99, 3), "efficientnet-lite0") == at_99
    assert at_99.trunk != build().trunk, "it is padded otherwise"
    tuned = replace(build((32, 32, 3), 3), head=(Dense(4), relu, Dense(3)))
    save_trained(tmp_path / "w.safetensors", tuned, tuned.init(0), ("a", "b", "c"), TOLD)
    assert kept(str(tmp_path / "w.safetensors"), (99, 99, 3)) == replace(at_99, head=tuned.head)


@pytest.mark.parametrize(
    ("weights", "model", "shape", "code", "values"),
    [
        (
            "two-block-cnn-digits",
            "two-block-cnn",
            (16, 16, 1),
            "conflicting-options",
            ["two-block-cnn-digits", "8x8x1", "16x16x1", "data.size"],
        ),
        ("vgg16-imagenet", "vgg16", (128, 128, 3), "wrong-shape", ["224x224", "128x128x3"]),
    ],
)
def test_a_size_that_trained_weights_do_not_fit_is_refused(weights, model, shape, code, values):
    with refused(SamebenchError, code, model, *values):
        kept(weights, shape, model)
