"""The certificate is "equal" for the reference itself, and "differs" with a place for every mutant."""

import re
from dataclasses import replace

import numpy as np
import pytest
from mutants import (
    THAWS,
    backend_with_layer,
    batch_norm_epsilon,
    momentum_ignored,
    padding_on_both_sides,
    thaws,
    wrong_without_record,
)
from refusals import refused

from harness import (
    SGD,
    Adam,
    AdamW,
    Attack,
    BatchNorm,
    Conv,
    Cosine,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Model,
    Normalize,
    Recipe,
    Residual,
    relu,
    swish,
    tanh,
)
from harness.conformance.kit import RULES, ConformanceError, Kit
from harness.conformance.suspects import SUSPECTS
from harness.parity import certify, rounding, trial
from harness.parity.attack import steps_of
from harness.parity.probes import awkward_examples, deviation, generic_weights
from harness.parity.standin import smaller
from harness.parity.training import TrainingTrial
from harness.reference import layers
from harness.reference.backend import NumPy
from harness.task import Subject
from harness.worker import certificates

PLAIN = Model(
    "plain",
    (8, 8, 2),
    (
        Conv(4, 3, stride=2, padding=((0, 1), (0, 1)), bias=False),
        BatchNorm(),
        relu,
        MaxPool(2),
        Conv(4, 1),
        relu,
        Flatten(),
    ),
    (Dense(5), relu, Dense(3)),
)
MOMENTUM = Recipe(SGD(lr=0.05, momentum=0.9), Cosine())


def certificate(backend, model=PLAIN, recipe=MOMENTUM, **options):
    return certify(lambda precision: backend(precision="float64"), Subject(model, recipe), "float64", **options)


@pytest.mark.parametrize(
    "optimizer", [SGD(), SGD(momentum=0.9, nesterov=True), Adam(), Adam(weight_decay=0.1, l1=0.01)]
)
def test_the_reference_is_equal_to_itself(optimizer):
    found = certificate(NumPy, recipe=Recipe(optimizer))
    assert found.verdict.is_equal
    assert not [excluded for excluded in found.excludes if "pictures" not in excluded]
    assert (
        found.deviations["logits"],
        found.deviations["gradients"] < 1e-9,
        found.deviations["trajectory"],
        found.steps,
    ) == (0, True, 0, 20)


@pytest.mark.parametrize(
    ("mutant", "where"),
    [
        (batch_norm_epsilon(NumPy), ""),
        (padding_on_both_sides(NumPy), ""),
        (momentum_ignored(NumPy), "weights|losses"),
        (wrong_without_record(NumPy), "gradients|weights|record=False"),
        (next(iter(SUSPECTS["flatten"].values())), ""),
        (next(iter(SUSPECTS["max_pool_ties"].values())), "gradient"),
        (SUSPECTS["batch_norm_training"]["the unbiased running variance of PyTorch"], "batchnorm1.variance"),
        (next(iter(SUSPECTS["softmax_loss"].values())), ""),
        (next(iter(SUSPECTS["segments"].values())), ""),
        (next(iter(SUSPECTS["input_gradient"].values())), "input gradients"),
    ],
)
def test_a_mutant_differs_and_the_verdict_names_the_place(mutant, where):
    verdict = certificate(mutant).verdict
    assert verdict.is_different and ("frozen" in verdict.reason or not verdict.found <= verdict.limit)
    assert any(part in verdict.text for part in where.split("|")), verdict


def test_stock_keras_adam_differs():
    cause = "an epsilon inside the bias correction, as in Keras' Adam"
    assert certificate(SUSPECTS["adam"][cause], recipe=Recipe(Adam())).verdict.is_different


def test_a_frozen_part_is_proven_frozen():
    recipe = Recipe(SGD(lr=0.05), rates=(("trunk", 0.0),))
    assert certificate(NumPy, recipe=recipe).verdict.is_equal
    for mutant in SUSPECTS["frozen_parts"].values():
        assert certificate(mutant, recipe=recipe).verdict.is_different


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("fault", THAWS)
def test_a_frozen_tensor_must_not_change_at_all(fault, record):
    recipe = Recipe(AdamW(lr=0.05), rates=(("trunk", 0.0), ("trunk.conv2", 0.1)))
    role, change = THAWS[fault]
    verdict = certificate(thaws(role, change, record), recipe=recipe).verdict
    assert re.match(rf"differs: (in float64, )?frozen trunk\.\w+1\.{role} changed by [\d.]+e-\d\d$", verdict.text), (
        verdict
    )


def test_features_are_compared():
    def forward(self, net, batches, *, upto="logits"):
        return NumPy.forward(self, net, batches, upto=upto) * (1 + 1e-8 * (upto == "features"))

    mutant = type("Mutant", (NumPy,), {"forward": forward})
    assert "features of plain: 1.0e-08" in certificate(mutant).verdict.text
    assert certificate(mutant, Model("headless", (4, 4, 1), (), PLAIN.trunk + PLAIN.head)).verdict.is_equal


SHRINKING = Model(
    "shrinking",
    (224, 160, 1),
    (Conv(2, 3, stride=4, padding=1), BatchNorm(), relu, MaxPool(8), Conv(4, 1), BatchNorm(), GlobalAvgPool()),
    (Dense(3),),
)


def test_a_large_network_is_certified_on_smaller_pictures_and_the_certificate_says_so():
    wide = replace(SHRINKING, trunk=(Conv(200, 3), *SHRINKING.trunk))
    recipe = Recipe(SGD(), rates=(("trunk", 0.0),))
    found = certificate(NumPy, wide, recipe)
    assert (found.verdict.is_equal, found.steps) == (True, 5)
    assert found.excludes[0] == "pictures of 224x160 (certified on 32x32)"


@pytest.mark.parametrize(
    ("size", "certified"),
    [
        ((224, 224), (32, 32)),
        ((299, 299), (43, 43)),
        ((225, 96), (33, 32)),
        ((32, 32), (32, 32)),
        ((20, 300), (20, 44)),
    ],
)
def test_the_smaller_size_has_the_remainder_of_the_published_size(size, certified):
    model = Model("wide", (*size, 3), (Conv(600, 3), GlobalAvgPool()), (Dense(3),))
    found, excludes = smaller(model, Recipe(SGD()))
    assert found.input_shape[:2] == certified
    assert bool(excludes) == (size != certified)


def test_windows_fit_the_smaller_size():
    model = Model("wide", (224, 224, 3), (Conv(600, 3), MaxPool(70), GlobalAvgPool()), (Dense(3),))
    assert smaller(model, Recipe(SGD()))[0].input_shape == (96, 96, 3)


def test_batch_norms_that_learn_see_more_than_single_pixels():
    wide = replace(SHRINKING, trunk=(Conv(200, 3, padding=1), *SHRINKING.trunk))
    assert smaller(wide, Recipe(SGD()))[0].input_shape == (64, 64, 1)
    frozen = Recipe(SGD(), rates=(("trunk.batchnorm2", 0.0),))
    assert smaller(wide, frozen)[0].input_shape == (32, 32, 1)


def test_a_deep_frozen_trunk_has_a_gradient_to_compare():
    block = Residual((Conv(8, 3, padding=1), BatchNorm(), relu))
    deep = Model("deep", (8, 8, 3), (Conv(8, 3), *(block,) * 12, GlobalAvgPool()), (Dense(3),))
    trial = TrainingTrial(deep, Recipe(Adam(), rates=(("trunk", 0.0),)), 3, 4)
    assert 0.01 < trial.losses[0] < 100
    assert np.abs(trial.gradients["head.dense1.kernel"]).max() > 0.01


def test_dropout_is_certified_at_rate_zero_and_listed_as_excluded():
    model = Model("dropping", (4, 4, 1), (Flatten(),), (Dense(8), relu, Dropout(0.5), Dense(3)))
    found = certificate(NumPy, model)
    assert found.verdict.is_equal and found.excludes == ["dropout masks"]


def test_a_tensor_that_rounding_decides_is_excluded_by_name():
    """Adam moves the bias before a batch norm by full steps, although its gradient is only a rounding error."""
    model = Model("doubled", (8, 8, 1), (Conv(4, 3), BatchNorm(), relu, GlobalAvgPool()), (Dense(3),))
    found = certificate(NumPy, model, Recipe(Adam()))
    assert "trunk.conv1.bias (rounding decides it)" in found.excludes
    assert not any("kernel" in name or "head" in name for name in found.excludes)

    def rounds_otherwise(layer, context, x):
        done = layers.conv(layer, context, x[..., ::-1])
        return layers.conv(layer, context, x)._replace(output=done.output) if x.shape[-1] == 1 else done

    assert certificate(backend_with_layer(Conv, rounds_otherwise), model, Recipe(Adam())).verdict.is_equal


def test_numbers_that_are_not_finite_differ():
    def forward(self, net, batches, *, upto="logits"):
        return NumPy.forward(self, net, batches, upto=upto) * np.nan

    verdict = certificate(type("Mutant", (NumPy,), {"forward": forward})).verdict
    assert verdict.text.startswith("differs: logits of plain: inf") and verdict.found == float("inf")


def test_a_deviation_is_relative_to_the_tensor_and_to_its_kind():
    assert deviation(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
    assert deviation(np.array([1.0, 2.2]), np.array([1.0, 2.0])) == pytest.approx(0.1)
    assert deviation(np.array([1e-17]), np.array([-1e-17])) == pytest.approx(2)
    assert deviation(np.array([1e-17]), np.array([-1e-17]), scale=1.0) == pytest.approx(2e-14)
    assert deviation(np.zeros(2), np.zeros(3)) == deviation(np.array([np.nan]), np.zeros(1)) == float("inf")
    assert deviation(np.zeros(2), np.zeros(2)) == 0


def test_the_pictures_are_awkward():
    examples = awkward_examples(PLAIN, 32)
    assert {0, 255} <= set(np.unique(examples.images)), "black and white pixels"
    assert sum(len(np.unique(image)) == 1 for image in examples.images) == 8, "uniform pictures"


def test_no_bias_offset_or_statistic_is_at_its_neutral_value():
    """With an offset of 0, the mean of a channel becomes 0. Before a relu, rounding then decides its sign."""
    model = Model("wide", (4, 4, 1), (Conv(2000, 1), BatchNorm(), GlobalAvgPool()), (Dense(3),))
    weights = generic_weights(model)
    for name, neutral in {"bias": 0, "offset": 0, "mean": 0, "scale": 1, "variance": 1}.items():
        node = "conv1" if name == "bias" else "batchnorm1"
        assert not (weights[f"trunk.{node}.{name}"] == neutral).any()
        assert weights[f"trunk.{node}.{name}"].dtype == np.float32


def test_the_float32_limit_is_larger_if_float32_moves_the_reference():
    """The batch norm enlarges differences of 1e-6 between values near 0.1, of which float32 holds few digits."""
    recipe, small, norm = Recipe(Adam(lr=1e-3)), Normalize((0.0,), (2e5,)), BatchNorm(epsilon=1e-14)
    plain = Model("plain", (6, 6, 1), trunk=(tanh, Flatten()), head=(Dense(3),))
    delicate = Model("delicate", (6, 6, 1), trunk=(small, Conv(2, 1), norm, tanh, Flatten()), head=(Dense(3),))
    assert TrainingTrial(plain, recipe, 5, 8).timed_limit("float32") == 1e-4
    assert TrainingTrial(plain, recipe, 5, 8).timed_limit("tf32") == 3e-2
    assert 1e-3 < TrainingTrial(delicate, recipe, 5, 8).timed_limit("float32") < 0.5


def test_the_worst_of_several_certificates_counts(monkeypatch):
    found = [
        {"verdict": "equal", "logits": 1e-15, "gradients": None, "attack": None, "steps": 5, "excludes": ["a"]},
        {
            "verdict": "differs: it does",
            "logits": 3e-15,
            "gradients": 1.0,
            "attack": None,
            "steps": 20,
            "excludes": ["a", "b"],
        },
        {"verdict": "equal", "logits": 2e-15, "gradients": "inf", "attack": None, "steps": 5, "excludes": []},
        {"verdict": "not-checked: too little", "logits": 0, "gradients": None, "attack": 0, "steps": 2, "excludes": []},
    ]
    for number, single in enumerate(found):
        single |= {
            "input_gradients": 0.0,
            "trajectory": 1e-14,
            "cached": True,
            "timed": {"logits": number * 1e-6, "limit": 1e-4},
        }
    monkeypatch.setattr(certificates, "certificate_of", lambda conditions, subject, places: found[subject])
    merged = certificates.certificate(None, range(3), None)
    assert merged["verdict"] == "differs: it does" and merged["steps"] == 20 and merged["excludes"] == ["a", "b"]
    assert merged["logits"] == 3e-15 and merged["gradients"] == float("inf") and merged["attack"] is None
    assert merged["timed"] == {"logits": 2e-6, "limit": 1e-4}
    assert certificates.certificate(None, [0, 0], None)["verdict"] == "equal"
    assert certificates.certificate(None, [0, 3], None)["verdict"] == "not-checked: too little"
    assert certificates.certificate(None, [3, 1], None)["verdict"] == "differs: it does"


STEP = Attack(epsilon=1 / 32, step_size=1 / 64, steps=2)
UNREAD = Model("unread", (8, 8, 2), (Conv(4, 1, stride=2), swish, Flatten()), (Dense(3),))
HALVES = Model("halves", (8, 8, 1), (Conv(2, 1, bias=False), swish, Flatten()), (Dense(3),))


def attack_certificate(backend, model: Model):
    return certify(lambda precision: backend(precision="float64"), Subject(model, attacks=(STEP,)), "float64")


def certain(model: Model, weights, labels) -> np.ndarray:
    """The pixels that are certain in every step of the attack."""
    images = np.random.default_rng(0).integers(64, 192, (len(labels), *model.input_shape)) / 256
    loss = "softmax" if model.logits_shape[0] > 1 else "sigmoid"
    net = NumPy(precision="float64").build(model, weights)
    steps = steps_of(net, images, np.array(labels), STEP, loss, images)
    return np.all([step.certain for step in steps], axis=0)


def cancelling(model: Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of HALVES that cancel two equal channels on the left of a picture."""
    weights = generic_weights(model, seed)
    weights["trunk.conv1.kernel"][...] = 0.5
    head = weights["head.dense1.kernel"].reshape(8, 8, 2, 3)  # a view
    head[:, :4, 1] = -head[:, :4, 0]
    return weights


def test_pixels_that_no_layer_reads_are_compared():
    assert certain(UNREAD, generic_weights(UNREAD), [0, 1]).all()
    found = attack_certificate(NumPy, UNREAD)
    assert found.verdict.is_equal and not any("attacked pixels" in what for what in found.excludes)


def test_a_backend_that_moves_pixels_that_no_layer_reads_differs():
    class Moving(NumPy):
        def run_attack(self, net, images, labels, attack, loss, start):
            moved = super().run_attack(net, images, labels, attack, loss, start)
            moved[:, 1::2] = np.clip(start[:, 1::2] + attack.step_size, 0, 1)  # rows that the stride skips
            return moved

    assert attack_certificate(Moving, UNREAD).verdict.text.startswith("differs: attacked pictures of unread, linf")


def test_pixels_whose_terms_cancel_are_excluded_and_too_many_prove_nothing(monkeypatch):
    found = certain(HALVES, cancelling(HALVES), [0, 1])
    assert found[:, :, 4:].all() and not found[:, :, :4].any()
    monkeypatch.setattr(trial, "generic_weights", cancelling)
    assert re.fullmatch(
        r"not-checked: rounding decides the step of \d\d\.\d\d% of the pixels of an attack, limit 0\.1%",
        attack_certificate(NumPy, HALVES).verdict.text,
    )


def test_a_deviation_differs_even_if_many_pixels_are_excluded(monkeypatch):
    monkeypatch.setattr(trial, "generic_weights", cancelling)
    verdict = attack_certificate(SUSPECTS["attacks"]["pixels below 0 or above 1"], HALVES).verdict
    assert verdict.text.startswith("differs: attacked pictures of halves, linf")


def test_rounding_decides_the_steps_of_a_loss_with_slope_zero():
    model = replace(UNREAD, head=(Dense(1),))
    weights = generic_weights(model)
    weights["head.dense1.bias"][...] = 60.0
    right, wrong = certain(model, weights, [1, 0])
    assert not right[::2, ::2].any(), "1 - 1 / (1 + e^-60) is 0, and with another formula it is e^-60"
    assert right[1::2].all() and right[:, 1::2].all(), "no layer reads these pixels, so no step moves them"
    assert wrong.all()


def test_the_rule_about_attacks_fails_without_pictures_to_compare(monkeypatch):
    RULES["attacks"](Kit(NumPy))
    monkeypatch.setattr(rounding, "CERTAIN", 1e14)
    with refused(ConformanceError, "broken-rule", "rounding"):
        RULES["attacks"](Kit(NumPy))


def test_a_layer_that_falls_back_to_float32_differs_and_breaks_its_rule():
    """In some versions, Keras' Dense does so on PyTorch, although the dtype is float64."""

    def single(layer, context, x):
        done = layers.dense(layer, context, x)
        return done._replace(output=done.output.astype(np.float32).astype(np.float64))

    backend = backend_with_layer(Dense, single)
    found = certificate(backend)
    assert found.verdict.is_different and found.deviations["logits"] > 1e-9
    with pytest.raises(ConformanceError):
        RULES["dense"](Kit(backend))
