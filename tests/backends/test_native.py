"""`--semantics native` for the backend of `--backend`: the framework's own initial weights and optimisers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from harness import (
    SGD,
    Adam,
    AdamW,
    AvgPool,
    Batches,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Model,
    Recipe,
    Unsupported,
    relu,
    swish,
)
from harness.parity.probes import awkward_examples, deviation, generic_weights
from harness.reference.backend import NumPy

WIDE = Model(
    "wide",
    (4, 4, 64),
    (Conv(256, 3, padding=1), BatchNorm(), Conv(512, 3, groups=4), BatchNorm(), GlobalAvgPool()),
    (Dense(2048), relu, Dense(2)),
)
KERNELS = ("trunk.conv1.kernel", "trunk.conv2.kernel", "head.dense1.kernel")

SMALL = Model(
    "small",
    (6, 6, 2),
    (Conv(6, 3, padding=1, bias=False), BatchNorm(), swish, AvgPool(2), Conv(4, 2), swish, Flatten()),
    (Dense(3),),
)
RATES = np.array([0.01, 0.01, 0.03, 0.001, 0.0, 0.02])

RECIPES = {
    "sgd": Recipe(SGD()),
    "momentum": Recipe(SGD(momentum=0.9)),
    "nesterov": Recipe(SGD(momentum=0.9, nesterov=True)),
    "momentum, decay": Recipe(SGD(momentum=0.9, weight_decay=0.1)),
    "adam": Recipe(Adam(beta1=0.5, beta2=0.7, epsilon=0.1)),  # not the optimiser's defaults
    "adam, decay": Recipe(Adam(weight_decay=0.1)),
    "adamw": Recipe(AdamW(weight_decay=0.1)),
    "adamw, decay on all": Recipe(AdamW(weight_decay=0.1, decay_on="all")),
    "adamw, no decay": Recipe(AdamW(weight_decay=0.0)),
    "frozen conv": Recipe(AdamW(), rates=(("trunk", 0.0), ("trunk.conv2", 1.0))),
}

L1 = Recipe(SGD(l1=0.1))
SLOW_TRUNK = Recipe(Adam(), rates=(("trunk", 0.1),))
COUPLED, DECOUPLED = Recipe(SGD(weight_decay=0.1)), Recipe(SGD(weight_decay=0.1, decoupled=True))
COUPLED_ADAM = Recipe(Adam(weight_decay=0.1))
KERAS_CANNOT = [(L1, "L1"), (SLOW_TRUNK, "learning rate")]
CANNOT = {
    "pytorch": [(L1, "L1"), (DECOUPLED, "decoupled")],
    "keras": KERAS_CANNOT,
    "keras-on-jax": KERAS_CANNOT,
    "keras-on-torch": KERAS_CANNOT,
    "jax": [
        (L1, "L1"),
        (SLOW_TRUNK, "learning rate"),
        *((recipe, "weight decay") for recipe in (COUPLED, DECOUPLED, COUPLED_ADAM)),
    ],
}


@pytest.fixture
def float64(backend, mode):
    return backend(mode=mode, precision="float64")


# Initial weights


def test_the_seed_decides_the_initial_weights(backend, mode, float64):
    first = float64.native_weights(WIDE, 3)
    assert {name: (w.shape, w.dtype) for name, w in first.items()} == {
        name: (parameter.shape, np.float32) for name, parameter in WIDE.parameters.items()
    }
    float64.trainer(float64.build(SMALL, SMALL.init(0)), Recipe(SGD()), seed=9)  # draws from global generators
    again, other = float64.native_weights(WIDE, 3), float64.native_weights(WIDE, 4)
    in_float32 = backend(mode=mode).native_weights(WIDE, 3)
    for name, tensor in first.items():
        assert np.array_equal(tensor, again[name]) and np.array_equal(tensor, in_float32[name]), name
    for name in KERNELS:
        assert not np.array_equal(first[name], other[name]), name


def test_initial_weights_have_the_distribution_of_the_framework(float64):
    weights = float64.native_weights(WIDE, 0)
    for name in KERNELS:
        kernel, bias = weights[name], weights[name.replace("kernel", "bias")]
        std, largest, bound_of_bias = DRAWN[float64.name](kernel)
        assert kernel.std() == pytest.approx(std, rel=0.01) and abs(kernel.mean()) < 0.02 * std, name
        assert np.abs(kernel).max() == pytest.approx(largest, rel=0.01), name  # it depends on the distribution
        assert np.abs(bias).max() == pytest.approx(bound_of_bias, rel=0.02), name
        assert bias.std() == pytest.approx(bound_of_bias / 3**0.5, rel=0.1), name
    for name in WIDE.parameters:
        if "batchnorm" in name:
            assert (weights[name] == name.endswith(("scale", "variance"))).all(), name


def torch_draws(kernel):
    """`nn.Conv2d` and `nn.Linear`: kernels and biases are uniform within 1 / sqrt(fan_in)."""
    bound = fans(kernel)[0] ** -0.5
    return bound / 3**0.5, bound, bound


def keras_draws(kernel):
    """Glorot-uniform. A convolution in groups counts all output channels."""
    std = (2 / sum(fans(kernel))) ** 0.5
    return std, std * 3**0.5, 0


def flax_draws(kernel):
    """LeCun-normal, truncated at two standard deviations and scaled to its original variance."""
    std = fans(kernel)[0] ** -0.5
    return std, 2 * std / 0.87962566, 0


def fans(kernel):
    places = int(np.prod(kernel.shape[:-2]))
    return places * kernel.shape[-2], places * kernel.shape[-1]


DRAWN = {
    "pytorch": torch_draws,
    "keras": keras_draws,
    "keras-on-jax": keras_draws,
    "keras-on-torch": keras_draws,
    "jax": flax_draws,
}


# Optimisers


@pytest.mark.parametrize("name", RECIPES)
def test_training_agrees_with_the_stock_optimiser_called_by_hand(name, float64, mode):
    recipe, optimizer = RECIPES[name], RECIPES[name].optimizer
    if mode != "default" and name not in ("momentum, decay", "adamw"):
        pytest.skip("to save time, compiled modes test only two optimisers")
    if float64.name == "jax" and optimizer.weight_decay and not optimizer.decoupled:
        pytest.skip("Optax has no coupled decay; another test covers the refusal")
    expected, actual = by_hand(float64.name, recipe), trained(float64, recipe)
    for tensor, right in expected.items():
        assert deviation(actual[tensor], right) < 1e-9, tensor


def trained(backend, recipe, make="native_trainer"):
    """Every tensor after six steps in two segments."""
    net = backend.build(SMALL, generic_weights(SMALL))
    trainer = getattr(backend, make)(net, recipe)
    for part in (slice(0, 4), slice(4, 6)):
        trainer.run(batches()[part], RATES[part])
    return backend.weights(net)


def batches():
    return Batches.shuffled(awkward_examples(SMALL, 24), 8, seed=0, epochs=range(2))


def by_hand(framework, recipe):
    """The tensors after the same training, with the reference's gradients and direct calls of the framework's
    optimiser."""
    reference = NumPy(precision="float64")
    net = reference.build(SMALL, generic_weights(SMALL))
    gradients_only = reference.trainer(net, replace(recipe, optimizer=SGD(lr=0.0)))
    update = None
    for step in range(len(RATES)):
        gradients_only.run(batches()[step : step + 1], np.zeros(1))
        learned = {name: net.weights[name] for name in gradients_only.gradients}
        update = update or STOCK[framework](recipe.optimizer, learned)
        net.weights |= update(gradients_only.gradients, float(RATES[step]))
    return net.weights


def decayed(optimizer, name):
    return optimizer.decay_on == "all" or name.endswith("kernel")


def torch_by_hand(optimizer, weights):
    import torch

    tensors = {name: torch.nn.Parameter(torch.tensor(w)) for name, w in weights.items()}
    groups = [
        {"params": [t for name, t in tensors.items() if decayed(optimizer, name)]},
        {"params": [t for name, t in tensors.items() if not decayed(optimizer, name)], "weight_decay": 0.0},
    ]
    if isinstance(optimizer, SGD):
        stock = torch.optim.SGD(
            groups, momentum=optimizer.momentum, nesterov=optimizer.nesterov, weight_decay=optimizer.weight_decay
        )
    else:
        stock = {Adam: torch.optim.Adam, AdamW: torch.optim.AdamW}[type(optimizer)](
            groups, weight_decay=optimizer.weight_decay
        )

    def update(gradients, lr):
        for group in stock.param_groups:
            group["lr"] = lr
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[name])
        stock.step()
        return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}

    return update


def keras_by_hand(optimizer, weights):
    import keras

    variables = {name: keras.Variable(w, dtype="float64", name=name.replace(".", "_")) for name, w in weights.items()}
    decay = {"weight_decay": optimizer.weight_decay} if optimizer.weight_decay or type(optimizer) is AdamW else {}
    if isinstance(optimizer, SGD):
        stock = keras.optimizers.SGD(momentum=optimizer.momentum, nesterov=optimizer.nesterov, **decay)
    else:
        stock = {Adam: keras.optimizers.Adam, AdamW: keras.optimizers.AdamW}[type(optimizer)](**decay)
    if optimizer.decay_on == "kernels":
        stock.exclude_from_weight_decay(var_names=["bias", "scale", "offset"])
    stock.build(list(variables.values()))

    def update(gradients, lr):
        stock.learning_rate = lr
        tensors = [keras.ops.convert_to_tensor(gradients[name], "float64") for name in variables]
        stock.apply(tensors, list(variables.values()))
        return {name: keras.ops.convert_to_numpy(variable).copy() for name, variable in variables.items()}

    return update


def optax_by_hand(optimizer, weights):
    import jax
    import jax.numpy as jnp
    import optax

    def schedule(step):
        return jnp.asarray(RATES)[step]

    if isinstance(optimizer, SGD):
        stock = optax.sgd(schedule, optimizer.momentum, optimizer.nesterov)
    elif type(optimizer) is Adam:
        stock = optax.adam(schedule)
    else:
        mask = {name: decayed(optimizer, name) for name in weights}
        stock = optax.adamw(schedule, weight_decay=optimizer.weight_decay, mask=mask)
    weights = jax.tree.map(jnp.asarray, weights)
    state = stock.init(weights)

    def update(gradients, lr):
        nonlocal weights, state
        moves, state = stock.update(jax.tree.map(jnp.asarray, gradients), state, weights)
        weights = optax.apply_updates(weights, moves)
        return {name: np.array(w) for name, w in weights.items()}

    return update


STOCK = {
    "pytorch": torch_by_hand,
    "keras": keras_by_hand,
    "keras-on-jax": keras_by_hand,
    "keras-on-torch": keras_by_hand,
    "jax": optax_by_hand,
}


def test_only_the_adam_of_keras_differs_from_the_published_adam(float64):
    native, published = (trained(float64, Recipe(Adam()), make) for make in ("native_trainer", "trainer"))
    off = max(deviation(native[name], tensor) for name, tensor in published.items())
    assert off > 1e-6 if float64.name.startswith("keras") else off < 1e-9


def test_options_that_the_stock_optimiser_lacks_are_unsupported(float64):
    for recipe, lacks in CANNOT[float64.name]:
        with refused(Unsupported, "unsupported", lacks):
            float64.native_trainer(float64.build(SMALL, SMALL.init(0)), recipe)


def test_a_backend_describes_its_native_semantics(backend):
    assert set(backend.native) == {"first weights", "SGD", "Adam", "AdamW"}


def test_the_reference_has_no_native_semantics():
    reference = NumPy(precision="float64")
    assert not reference.native
    with refused(Unsupported, "unsupported", "numpy"):
        reference.native_weights(SMALL, 0)
    with refused(Unsupported, "unsupported", "numpy"):
        reference.native_trainer(reference.build(SMALL, SMALL.init(0)), Recipe(SGD()))
