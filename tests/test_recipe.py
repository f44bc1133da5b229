"""Recipes: schedules, rates of parts, and errors."""

import numpy as np
import pytest
from refusals import refused

from harness import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Conv,
    Cosine,
    Dense,
    Flatten,
    Model,
    Parameter,
    Recipe,
    SpecError,
    StepDecay,
    Warmup,
    relu,
)

MODEL = Model("test", (4, 4, 1), (Conv(2, 3), relu, Conv(2, 1), Flatten()), (Dense(3),))


def test_schedules():
    assert Constant().factors(3).tolist() == [1, 1, 1]
    assert Cosine().factors(4) == pytest.approx([1, 0.8535533906, 0.5, 0.1464466094])
    assert Cosine(final=0.1).factors(2) == pytest.approx([1, 0.55])
    assert StepDecay(at=(0.5, 0.75), factor=0.1).factors(8) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert Warmup(share=0.5).factors(4) == pytest.approx([0.5, 1, 1, 1])
    assert Warmup(share=0.25, then=Cosine()).factors(4) == pytest.approx([1, 1, 0.75, 0.25])
    assert all(schedule.factors(0).shape == (0,) for schedule in (Constant(), Cosine(), StepDecay(), Warmup()))


def test_learning_rates_are_the_optimisers_rate_times_the_schedule():
    assert Recipe(SGD(lr=0.5), StepDecay(at=(0.5,))).learning_rates(2) == pytest.approx([0.5, 0.05])


def test_the_longest_path_decides_the_rate_of_a_part():
    recipe = Recipe(SGD(), rates=(("trunk", 0.0), ("trunk.conv2", 0.1)))
    assert recipe.rate("head.dense1") == 1
    assert recipe.rate("trunk.conv1.kernel") == 0
    assert recipe.rate("trunk.conv2") == recipe.rate("trunk.conv2.bias") == 0.1
    assert recipe.rate("trunk.conv22") == 0
    assert recipe.frozen(MODEL) == ("trunk.conv1", "trunk.relu1", "trunk.flatten1")


def test_by_default_only_kernels_decay():
    kernel, bias = Parameter((3,), "kernel"), Parameter((3,), "bias")
    assert AdamW().decays(kernel) and not AdamW().decays(bias)
    assert AdamW(decay_on="all").decays(bias)
    assert not Adam().decays(kernel)


@pytest.mark.parametrize(
    ("wrong", "code", "values"),
    [
        (lambda: SGD(lr=-1), "out-of-range", ["SGD.lr", 0, -1]),
        (lambda: SGD(momentum=1.0), "out-of-range", ["SGD.momentum", 0, 1, 1.0]),
        (lambda: SGD(nesterov=True), "conflicting-options", ["nesterov", "momentum"]),
        (
            lambda: Recipe(SGD(), rates=(("torso", 0.1),)).check(MODEL),
            "unknown-name",
            ["test", "'torso'", "head, head.dense1"],
        ),
        (lambda: Recipe(SGD(), loss="sigmoid").check(MODEL), "wrong-shape", ["sigmoid", "test", 3]),
    ],
)
def test_invalid_recipes_are_refused(wrong, code, values):
    with refused(SpecError, code, *values):
        wrong()


def test_rates_are_exact_in_float64():
    assert Recipe(SGD(lr=0.1)).learning_rates(1).dtype == np.float64
