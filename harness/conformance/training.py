"""Rules about losses, optimisers and training. They compare several steps with the reference, in float64."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from harness.conformance.kit import AnyBackend, Kit, network, optional_rule, rule
from harness.data import Batches
from harness.parity import EXACT_LIMIT, FIRST_LOSSES
from harness.parity.probes import LIMITS, awkward_examples, deviation, generic_weights
from harness.recipe import SGD, Adam, AdamW, Cosine, LossName, Recipe
from harness.spec import Array, BatchNorm, Conv, Dense, Dropout, Flatten, Model, relu

NETWORK = network(Conv(4, 3, bias=False), BatchNorm(), relu)
DROPPING = network(Conv(4, 3, bias=False), BatchNorm(), relu, Dropout(0.5))
PLAIN = network(Conv(4, 3), relu)


LOSSES: dict[LossName, int] = {"softmax": 3, "sigmoid": 1}


def _agree_on_loss(kit: Kit, loss: LossName, classes: int) -> None:
    """Compare the loss for small and large logits. With large logits, a naive formula overflows."""
    model = Model("loss", (2, 2, 1), (Flatten(),), (Dense(classes),))

    def observe(backend: AnyBackend) -> dict[str, Array]:
        examples, seen = awkward_examples(model, 8), {}
        for factor in (1, 3, 1000):
            net = backend.build(model, {name: factor * w for name, w in generic_weights(model).items()})
            trainer = backend.trainer(net, Recipe(SGD(lr=0.1), loss=loss))
            seen[f"the loss, weights times {factor}"] = trainer.run(
                Batches.in_order(examples, 8), np.ones(1), record=True
            )
            seen |= {f"{name} after a step, weights times {factor}": w for name, w in backend.weights(net).items()}
        return seen

    kit.agree(observe)


@rule
def check_softmax_loss(kit: Kit) -> None:
    """The softmax loss is the cross-entropy from logits of any size, averaged over the batch."""
    _agree_on_loss(kit, "softmax", 3)


@optional_rule
def check_sigmoid_loss(kit: Kit) -> None:
    """The sigmoid loss is the cross-entropy of a single logit and labels 0 and 1, averaged over the batch."""
    _agree_on_loss(kit, "sigmoid", 1)


@rule
def check_input_gradient(kit: Kit) -> None:
    """The gradient of a picture's pixels is taken in evaluation mode and does not depend on the rest of the batch."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        seen = {}
        for loss, classes in LOSSES.items():
            model = replace(NETWORK, head=(Flatten(), Dense(classes)))
            examples, net = awkward_examples(model, 5), backend.build(model, generic_weights(model))
            trainer = backend.trainer(net, Recipe(SGD(lr=0.1), loss=loss))
            trainer.run(Batches.in_order(examples, 5), np.full(1, 0.1))
            pixels = examples.pixels(examples.images)
            for count in (5, 1):
                gradient = backend.input_gradient(net, pixels[:count], examples.labels[:count], loss)
                seen[f"the gradient of the {loss} loss, {count} pictures in the batch"] = gradient
        return seen

    kit.agree(observe)


@rule
def check_sgd_momentum(kit: Kit) -> None:
    """SGD: v = momentum * v + g, w -= lr * v. The velocity does not contain the rate, so a change acts at once."""
    kit.agree_on_training(PLAIN, Recipe(SGD(lr=0.1)))
    kit.agree_on_training(PLAIN, Recipe(SGD(lr=0.1, momentum=0.9)), np.array([0.1, 0.1, 0.1, 0.001, 0.001, 0.001]))


@optional_rule
def check_sgd_nesterov(kit: Kit) -> None:
    """Nesterov: w -= lr * (g + momentum * v)."""
    kit.agree_on_training(PLAIN, Recipe(SGD(lr=0.1, momentum=0.9, nesterov=True)))


@optional_rule
def check_adam(kit: Kit) -> None:
    """Adam is as published: both moments are bias-corrected, and epsilon is outside the root and the correction."""
    kit.agree_on_training(PLAIN, Recipe(Adam(lr=0.01, beta1=0.8, beta2=0.99, epsilon=1e-3)))
    kit.agree_on_training(PLAIN, Recipe(Adam(lr=0.01)))


@optional_rule
def check_coupled_decay(kit: Kit) -> None:
    """Coupled decay adds weight_decay * w to the gradient, before momentum and moments. By default only kernels
    decay."""
    kit.agree_on_training(PLAIN, Recipe(SGD(lr=0.1, momentum=0.9, weight_decay=0.1)))
    kit.agree_on_training(PLAIN, Recipe(Adam(lr=0.01, weight_decay=0.1)))
    kit.agree_on_training(NETWORK, Recipe(SGD(lr=0.1, weight_decay=0.1, decay_on="all")))


@optional_rule
def check_decoupled_decay(kit: Kit) -> None:
    """Decoupled decay subtracts lr * weight_decay * w from the weight. By default only kernels decay."""
    kit.agree_on_training(PLAIN, Recipe(SGD(lr=0.1, momentum=0.9, weight_decay=0.1, decoupled=True)))
    kit.agree_on_training(PLAIN, Recipe(AdamW(lr=0.01, weight_decay=0.1)))
    kit.agree_on_training(PLAIN, Recipe(AdamW(lr=0.01, weight_decay=0.1, decay_on="all")))


@optional_rule
def check_l1(kit: Kit) -> None:
    """L1 adds l1 * sign(w) to the gradient, with sign(0) = 0. By default it applies to kernels only."""
    kit.agree_on_training(PLAIN, Recipe(SGD(lr=0.1, momentum=0.9, l1=0.01)))
    kit.agree_on_training(PLAIN, Recipe(AdamW(lr=0.01, l1=0.01)))


@rule
def check_learning_rates(kit: Kit) -> None:
    """Each step uses its own learning rate of `lr`, in full precision. At rate 0 no weight changes."""
    rates = np.array([0.1, 0.01, 0.0, 0.3, 0.2, 1 / 3])
    kit.agree_on_training(PLAIN, Recipe(SGD()), rates)
    kit.agree_on_training(PLAIN, Recipe(Adam()), rates / 10)
    kit.agree_on_training(PLAIN, Recipe(SGD(lr=0.1), Cosine()))


@rule
def check_segments(kit: Kit) -> None:
    """Training in several segments gives the same result as a single segment: the optimiser keeps its state."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        seen, batches = {}, Batches.shuffled(awkward_examples(PLAIN, 24), 8, 0, range(2))
        for cuts in ((0, 6), (0, 1, 4, 6)):
            net = backend.build(PLAIN, generic_weights(PLAIN))
            trainer = backend.trainer(net, Recipe(Adam(lr=0.01)))
            for start, stop in itertools.pairwise(cuts):
                loss = trainer.run(batches[start:stop], np.full(stop - start, 0.01))
                seen[f"the mean loss of steps {start + 1} to {stop}"] = loss
            seen |= {f"{name} after segments cut at {cuts}": w for name, w in backend.weights(net).items()}
        return seen

    kit.agree(observe)


@rule
def check_recording(kit: Kit) -> None:
    """`record` returns the loss of each step. It changes neither the weights nor the mean of the losses."""
    backend, batches = kit.backend(), Batches.shuffled(awkward_examples(NETWORK, 24), 8, 0, range(2))
    net, seen = backend.build(NETWORK, generic_weights(NETWORK)), []
    for record in (True, False):
        backend.load(net, generic_weights(NETWORK))
        losses = backend.trainer(net, Recipe(Adam(lr=0.01))).run(batches, np.full(6, 0.01), record=record)
        seen.append((losses, backend.weights(net)))
    (steps, recorded), (mean, plain) = seen
    kit.demand(steps.shape == (6,), f"6 steps with record=True gave {steps.shape} losses")
    kit.demand(mean.shape == (1,), f"record=False gave {mean.shape} losses, not (1,)")
    off = abs(float(steps.mean() - mean[0]))
    kit.demand(
        off < 1e-9, f"the mean of the recorded losses is {steps.mean():.12g}, without record it is {mean[0]:.12g}"
    )
    for name, tensor in recorded.items():
        off = deviation(plain[name], tensor)
        kit.demand(
            off <= EXACT_LIMIT,
            f"{name} differs by {off:.1e} between record=True and record=False: both must run the same computation",
        )


@optional_rule
def check_part_rates(kit: Kit) -> None:
    """`rates` multiplies the learning rates of parts of the network. The longest path that fits wins."""
    rates = (("trunk", 0.1), ("trunk.batchnorm1", 3.0), ("head", 0.5))
    kit.agree_on_training(NETWORK, Recipe(SGD(lr=0.1, momentum=0.9), rates=rates))
    kit.agree_on_training(PLAIN, Recipe(AdamW(lr=0.01, weight_decay=0.1), rates=(("trunk", 0.1),)))


@rule
def check_frozen_parts(kit: Kit) -> None:
    """A part at rate 0 does not change at all. It runs in evaluation mode: batch norms keep their statistics, and
    dropout is off."""
    recipe = Recipe(SGD(lr=0.1, momentum=0.9, weight_decay=0.1), rates=(("trunk", 0.0),))
    kit.agree_on_training(DROPPING, recipe)
    backend, given = kit.backend(), generic_weights(NETWORK)
    net = backend.build(NETWORK, given)
    batches = Batches.shuffled(awkward_examples(NETWORK, 24), 8, 0, range(1))
    backend.trainer(net, recipe).run(batches, np.full(3, 0.1))
    after = backend.weights(net)
    changed = [name for name in given if name.startswith("trunk.") and not np.array_equal(after[name], given[name])]
    kit.demand(not changed, f"training changed frozen tensors: {', '.join(changed)}")


@rule
def check_two_trainers(kit: Kit) -> None:
    """Several trainers of the same network may run in turn. Each keeps its own optimiser and frozen parts."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        net = backend.build(NETWORK, generic_weights(NETWORK))
        batches = Batches.shuffled(awkward_examples(NETWORK, 24), 8, 0, range(1))
        whole = backend.trainer(net, Recipe(SGD(lr=0.1, momentum=0.9)))
        head = backend.trainer(net, Recipe(Adam(lr=0.01), rates=(("trunk", 0.0),)))
        for trainer in (whole, head, whole):
            trainer.run(batches, np.full(3, 0.05))
        return backend.weights(net)

    kit.agree(observe)


@optional_rule
def check_float32_training(kit: Kit) -> None:
    """In float32, the losses of the first steps are within 1e-4 of the reference, recorded or not."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        seen, batches = {}, Batches.shuffled(awkward_examples(PLAIN, 40), 8, 0, range(1))
        for record in (True, False):
            trainer = backend.trainer(backend.build(PLAIN, generic_weights(PLAIN)), Recipe(Adam(lr=0.01)))
            losses = trainer.run(batches[:FIRST_LOSSES], np.full(FIRST_LOSSES, 0.01), record=record)
            seen[f"the mean loss of {FIRST_LOSSES} steps with record={record}"] = losses.mean()
        return seen

    kit.agree(observe, "float32", LIMITS["float32"])


@rule
def check_thawing(kit: Kit) -> None:
    """A second trainer may train the parts that the first trainer froze."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        net = backend.build(NETWORK, generic_weights(NETWORK))
        batches = Batches.shuffled(awkward_examples(NETWORK, 24), 8, 0, range(1))
        for rates in ((("trunk", 0.0),), (("trunk", 0.1),)):
            backend.trainer(net, Recipe(SGD(lr=0.1), rates=rates)).run(batches, np.full(3, 0.1))
        return backend.weights(net)

    kit.agree(observe)
