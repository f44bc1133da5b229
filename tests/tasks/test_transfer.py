"""Transfer learning on the reference: features that are computed once, heads, frozen parts, and the two tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from harness import BatchNorm, Conv, Dense, Dropout, Flatten, GlobalAvgPool, MaxPool, Model, Recipe, relu
from harness.data import Batches, Dataset, Examples
from harness.errors import SamebenchError, SpecError, UsageError
from harness.models.two_block_cnn import two_block_cnn
from harness.pictures.augmentation import Augmentation
from harness.plugins import load_plugins
from harness.recipe import Adam
from harness.reference.backend import NumPy, NumPyTrainer
from harness.task import TaskContext, Trained
from harness.tasks.common import fitting
from harness.tasks.common.stopping import Stopping
from harness.tasks.common.transfer import Head, Trunk, changed_tensors, head_alone, trunk_of, unfrozen_rates
from harness.tasks.feature_extraction import FeatureExtraction
from harness.tasks.feature_extraction import Options as Extracting
from harness.tasks.fine_tuning import FineTuning
from harness.tasks.fine_tuning import Options as Tuning

NORM = BatchNorm()


def small(input_shape=(8, 8, 1), classes=10) -> Model:
    """A network with two blocks with batch norms and dropout, and a block after the pooling."""
    trunk = (
        Conv(3, 3, padding=1), NORM, relu, MaxPool(2),
        Conv(4, 3, padding=1), NORM, relu, Dropout(0.5), Conv(4, 1), relu, GlobalAvgPool(),
        Dense(5), relu,
    )  # fmt: skip
    return Model("small", input_shape, trunk, head=(Dense(classes),))


def stripes(count: int, seed: int) -> Examples:
    """Pictures with a bright upper or left half."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 120, (count, 8, 8, 1)).astype(np.uint8)
    labels = (np.arange(count) % 2).astype(np.int32)
    for image, label in zip(images, labels, strict=True):
        image[:4] += np.uint8(100 * (label == 0))
        image[:, :4] += np.uint8(100 * (label == 1))
    return Examples(images, labels)


DATA = Dataset("stripes", ("above", "left"), stripes(128, 0), stripes(64, 1))


class Spy(NumPy):
    """Counts the pictures whose features are computed."""

    def start(self, device):
        self.seen: list[int] = []
        return super().start(device)

    def forward(self, net, batches, *, upto="logits"):
        if upto == "features":
            self.seen += [(id(batches.examples), int(row)) for row in batches.rows]
        return super().forward(net, batches, upto=upto)


def context(options, backend=None, build=two_block_cnn, data=DATA, **told) -> TaskContext:
    start = build((8, 8, 1), 10).init(7)
    return TaskContext(
        backend or NumPy(precision="float64"),
        build,
        data,
        0,
        options,
        start=Trained(small(), start) if start else None,
        **told,
    )


# Heads and trunks


def test_a_new_head_takes_the_place_of_the_old_one():
    model = Head(hidden=6, dropout=0.25).on(small, (8, 8, 1), 3)
    assert model.trunk == small().trunk and model.head == (Dropout(0.25), Dense(6), relu, Dense(3))
    assert Head().on(two_block_cnn, (8, 8, 1), 3).head == (Dense(3),)


def test_features_that_are_pictures_become_vectors():
    def build(input_shape, classes):
        return Model("open", input_shape, trunk=(Conv(2, 3),), head=(Flatten(), Dense(classes)))

    model = Head().on(build, (8, 8, 1), 3)
    assert model.shape_at(model.end("features")) == (72,)


def test_a_head_alone_has_the_names_and_the_first_weights_that_it_has_in_the_whole():
    whole = Head(hidden=6).on(small, (8, 8, 1), 3)
    alone, first = head_alone(whole), whole.init(5)
    assert {name: parameter.shape for name, parameter in alone.parameters.items()} == {
        name: parameter.shape for name, parameter in whole.parameters.items() if name.startswith("head.")
    }
    assert all((tensor == first[name]).all() for name, tensor in alone.init(5).items())
    assert {*trunk_of(first)} | {*alone.parameters} == {*whole.parameters}


def test_the_head_alone_on_features_is_the_whole_network():
    whole, reference = Head(hidden=6).on(small, (8, 8, 1), 3), NumPy(precision="float64")
    weights = whole.init(5)
    logits = reference.forward(reference.build(whole, weights), Batches.in_order(DATA.test, 16))
    task = context(Extracting(), reference)
    features = Trunk(task, reference.build(whole, weights)).features(DATA.test)
    alone = reference.build(head_alone(whole), {n: weights[n] for n in head_alone(whole).parameters})
    assert np.allclose(reference.forward(alone, Batches.in_order(features, 16)), logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("count", "segments"), [(1, 0), (256, 0), (257, 1), (700, 1), (2400, 2)])
def test_every_picture_goes_through_the_trunk_exactly_once_and_in_order(count, segments):
    spy = Spy(precision="float64")
    examples = stripes(count, 2)
    task = context(Extracting(), spy)
    trunk = Trunk(task, spy.build(two_block_cnn((8, 8, 1)), task.start.weights))
    features = trunk.features(examples)
    assert spy.seen == [(id(examples), row) for row in range(count)]
    expected = spy.forward(trunk.net, Batches.in_order(examples, 256), upto="features")
    assert (features.images[:, 0, 0] == expected).all() and (features.labels == examples.labels).all()
    assert len(trunk.rates) == segments, "the first batch compiles: no rate"
    timed = zip(trunk.rates, task.clock.phases.get("extract", []), strict=True)
    batches = -(-count // 256) - 1
    assert round(sum(rate * seconds for rate, seconds in timed)) == 256 * batches, "a short batch costs a full one"


# Parts that are trained


def nodes(model: Model, **chosen) -> set[str]:
    given = {"blocks": 1, "layers": None, "norms": False, "rate": 0.5} | chosen
    rates = unfrozen_rates(model, **given)
    recipe = Recipe(Adam(), rates=rates)
    assert {recipe.rate(name) for name in model.parameters if name.startswith("head.")} == {1.0}
    assert {recipe.rate(node.name) for node in model.nodes} <= {0.0, 0.5, 1.0}
    return {node.name.removeprefix("trunk.") for node in model.nodes if recipe.rate(node.name) == 0.5}


def test_a_block_is_a_run_of_layers_that_give_pictures_of_one_size():
    model = small()
    assert nodes(model) == {"globalavgpool1", "dense1", "relu4"}
    second = {"maxpool1", "conv2", "relu2", "dropout1", "conv3", "relu3"}
    assert nodes(model, blocks=2) == nodes(model) | second
    assert nodes(model, blocks=2, norms=True) == nodes(model) | second | {"batchnorm2"}
    assert nodes(model, blocks=3) == nodes(model, blocks=2) | {"conv1", "relu1"}
    assert nodes(two_block_cnn((8, 8, 1))) >= {"conv2"} and "conv1" not in nodes(two_block_cnn((8, 8, 1)))


@pytest.mark.parametrize(
    ("network", "blocks", "whole"),
    [("inception-v3", 1, ("mixed8", "mixed9", "mixed10")), ("resnet50-v1.5", 1, ("conv5_block1", "conv5_block2"))],
)
def test_paths_that_run_side_by_side_learn_together(network, blocks, whole):
    """The paths of the first of these layers have intermediate pictures of two sizes."""
    model = load_plugins().models[network]()
    learning = nodes(model, blocks=blocks, norms=True)
    for name in whole:
        inside = {node.name.removeprefix("trunk.") for node in model.nodes if node.name.startswith(f"trunk.{name}.")}
        assert inside and inside <= learning
    assert not any(name.startswith(("mixed7", "conv4")) for name in learning)


def test_layers_are_counted_from_the_end_by_their_kernels():
    model = small()
    assert nodes(model, layers=1) == {"dense1", "relu4"}
    assert nodes(model, layers=2) >= {"conv3", "dense1"} and "conv2" not in nodes(model, layers=2)


@pytest.mark.parametrize(("chosen", "values"), [({"blocks": 4}, [3, 1, 4]), ({"layers": 5}, [4, 1, 5])])
def test_more_blocks_or_layers_than_the_trunk_has_are_refused(chosen, values):
    with refused(SpecError, "out-of-range", "small", *values):
        nodes(small(), **chosen)


@pytest.mark.parametrize("name", list(load_plugins().models))
def test_the_last_block_of_every_network_can_learn_by_itself(name):
    model = load_plugins().models[name]()
    recipe = Recipe(Adam(), rates=unfrozen_rates(model, 1, None, False, 0.1))
    recipe.check(model)
    counts = model.counts(recipe.frozen(model))
    assert 0 < counts.frozen < counts.total and counts.trainable > sum(
        parameter.size for part, parameter in model.parameters.items() if part.startswith("head.")
    )


def test_a_change_of_one_bit_in_a_frozen_tensor_is_detected():
    before = small().init(0)
    after = {name: tensor.copy() for name, tensor in before.items()}
    after["trunk.batchnorm1.mean"][1] = np.nextafter(np.float32(0), np.float32(1))
    after["trunk.conv2.kernel"] += 1
    assert changed_tensors(before, after, ("trunk.batchnorm1", "trunk.conv1")) == ["trunk.batchnorm1.mean"]


# The tasks


def test_features_are_extracted_once_and_a_head_learns_from_them(monkeypatch):
    monkeypatch.setattr(fitting, "AT_ONCE", 16)
    spy = Spy(precision="float64")
    found = FeatureExtraction().run(context(Extracting(epochs=10, batch_size=16, validation=0.25), spy))
    assert len(spy.seen) == len({*spy.seen}) == len(DATA.train) + len(DATA.test), "each picture once"
    assert found.metrics["test_accuracy"] >= 0.95 and found.metrics["validation_accuracy"] >= 0.9
    assert found.metrics["features_per_s"] == np.median(found.rates) > 0
    counts = found.parameters
    assert counts.trainable == 256 * 2 + 2 and counts.frozen == counts.total - counts.trainable
    start = two_block_cnn((8, 8, 1)).init(7)
    assert all((found.trained.weights[name] == start[name]).all() for name in trunk_of(start))
    assert found.trained.weights["head.dense1.kernel"].std() > 0
    assert len(found.evidence["features"]["sample"]) == 4 and len(found.metrics["curve"]) >= 5


def test_the_network_that_is_kept_is_the_one_that_was_judged():
    reference = NumPy(precision="float64")
    for task, options in (
        (FeatureExtraction(), Extracting(epochs=3)),
        (FineTuning(), Tuning(head=Head(epochs=3), epochs=2)),
    ):
        found = task.run(context(options, reference))
        net = reference.build(found.trained.model, found.trained.weights)
        logits = reference.forward(net, Batches.in_order(DATA.test, 64))
        assert (logits.argmax(1) == DATA.test.labels).mean() == found.metrics["test_accuracy"]


TUNING = Tuning(head=Head(epochs=2, batch_size=16), epochs=3, batch_size=16, optimizer=Adam(lr=3e-3))


def test_fine_tuning_moves_the_last_block_and_nothing_before_it():
    found = FineTuning().run(context(TUNING))
    start, after = two_block_cnn((8, 8, 1)).init(7), found.trained.weights
    assert (after["trunk.conv1.kernel"] == start["trunk.conv1.kernel"]).all()
    assert (after["trunk.conv2.kernel"] != start["trunk.conv2.kernel"]).any()
    assert found.metrics["epochs_run"] == 3 and len(found.metrics["curve"]) == 4, "the first point is before it begins"
    assert found.metrics["test_accuracy"] >= found.metrics["head_test_accuracy"]
    assert found.parameters.frozen == 32 * 9 + 32


def test_batch_norms_stay_frozen_unless_they_are_to_be_trained():
    start = small((8, 8, 1)).init(7)
    for norms, moved in (("frozen", False), ("trained", True)):
        options = replace(TUNING, blocks=2, batch_norm=norms, stopping=Stopping(min_delta=0.0))
        after = FineTuning().run(context(replace(options, optimizer=Adam(lr=1e-2)), build=small)).trained.weights
        assert (after["trunk.batchnorm2.mean"] != start["trunk.batchnorm2.mean"]).any() == moved
        assert (after["trunk.batchnorm1.mean"] == start["trunk.batchnorm1.mean"]).all()


def test_tuning_that_does_harm_leaves_the_head_as_it_was():
    harm = replace(TUNING, optimizer=Adam(lr=3.0), epochs=9, head=Head(epochs=20, batch_size=16))
    found = FineTuning().run(context(harm))
    assert found.metrics["epochs_run"] == 3 and found.metrics["best_epoch"] == 0, "its patience"
    assert found.metrics["test_accuracy"] == found.metrics["head_test_accuracy"]


def test_a_backend_that_changes_frozen_tensors_is_detected_in_the_run():
    class Drifting(NumPy):
        class training(NumPyTrainer):
            def step(self, pixels, labels, lr):
                loss = super().step(pixels, labels, lr)
                if "trunk.conv1.bias" in self.net.weights:
                    self.net.weights["trunk.conv1.bias"] = self.net.weights["trunk.conv1.bias"] + 1e-12
                return loss

    with refused(SamebenchError, "contract", "numpy", "trunk.conv1.bias"):
        FineTuning().run(context(TUNING, Drifting(precision="float64")))


def test_augmented_pictures_are_new_in_every_epoch_and_equal_in_every_run():
    seen: list[bytes] = []

    class Watching(NumPy):
        def upload(self, examples):
            if examples.images.dtype == np.uint8 and len(examples) == 109:
                seen.append(examples.images.tobytes())
            return super().upload(examples)

    options = replace(TUNING, augmentation=Augmentation(flip=True, translation=0.2))
    runs = []
    for _ in range(2):
        seen.clear()
        told = context(options, Watching(precision="float64"))
        found = FineTuning().run(told)
        runs.append(tuple(seen))
        assert "wait" in told.clock.phases and told.clock.beside["input"] > 0
    assert runs[0] == runs[1] and len({*runs[0]}) == 4, "as they are, and three epochs"
    assert "tuning_augmented" in found.evidence


@pytest.mark.parametrize(
    ("make", "code", "values"),
    [
        (lambda: Extracting(epochs=0), "out-of-range", ["Options.epochs", 1, 0]),
        (lambda: Extracting(dropout=1.0), "out-of-range", ["Options.dropout", 0, 1, 1.0]),
        (lambda: Extracting(train_limit=0), "out-of-range", ["Options.train_limit", 1, 0]),
        (lambda: Tuning(blocks=0), "out-of-range", ["Options.blocks", 1, 0]),
        (lambda: Tuning(validation=0.0), "conflicting-options", ["fine-tuning.validation", 0]),
    ],
)
def test_options_that_make_no_sense_are_refused(make, code, values):
    with refused(UsageError, code, *values):
        make()
