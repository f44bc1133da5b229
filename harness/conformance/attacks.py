"""Rules about attacks: changes of pictures along their gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.attack import Attack
from harness.conformance.kit import AnyBackend, Kit, network, rule
from harness.parity.attack import Attacked
from harness.parity.probes import awkward_examples, generic_weights
from harness.reference.backend import NumPy
from harness.spec import Array, BatchNorm, Conv, MaxPool, swish

NETWORK = network(Conv(4, 3, padding=1), BatchNorm(), swish, MaxPool(2))
FGSM = Attack(epsilon=1 / 32, step_size=1 / 32, steps=1)
TEN_STEPS = Attack(epsilon=1 / 32, step_size=1 / 128, steps=10)
FIRST = "one step of its full size"
ATTACKS = {
    FIRST: FGSM,
    "ten steps within a box": TEN_STEPS,
    "ten steps within a ball": Attack(norm="l2", epsilon=0.5, step_size=0.125, steps=10),
    "steps towards a class": Attack(epsilon=1 / 32, step_size=1 / 128, steps=4, targeted=True, goal="logit"),
    "an ideal image": Attack(norm="free", step_size=1 / 64, steps=4, targeted=True, goal="logit", variation=1 / 16),
}


@rule
def check_logit_gradient(kit: Kit) -> None:
    """For the objective "logit", `input_gradient` returns the gradient of minus the logit of each picture's label."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        examples, net = awkward_examples(NETWORK, 5), backend.build(NETWORK, generic_weights(NETWORK))
        pixels = examples.pixels(examples.images)
        return {"the gradient of minus the logit": backend.input_gradient(net, pixels, examples.labels, "logit")}

    kit.agree(observe)


@rule
def check_attacks(kit: Kit) -> None:
    """Attacked pictures are those that `harness.attack` defines. They do not depend on the rest of the batch."""
    examples, weights = awkward_examples(NETWORK, 8), generic_weights(NETWORK)
    images, net = examples.pixels(examples.images), NumPy(precision="float64").build(NETWORK, weights)
    cases = {what: (attack, images) for what, attack in ATTACKS.items()}
    cases["a random start"] = TEN_STEPS, replace(TEN_STEPS, random_start=True).start_pictures(images, 3)
    made = {
        what: Attacked(net, images, examples.labels, attack, "softmax", start, len(images))
        for what, (attack, start) in cases.items()
    }
    for what, attacked in made.items():
        kit.demand(
            attacked.settled > 0,
            f"rounding decides some step of every picture of {what}, so equal pictures would prove nothing; give the "
            "rule another network",
        )

    def observe(backend: AnyBackend) -> dict[str, Array]:
        net = backend.build(NETWORK, weights)
        found = {what: attacked.made_by(backend, net) for what, attacked in made.items()}
        return found | {"one picture alone": made[FIRST].made_by(backend, net, 1)}

    kit.agree(observe)


@rule
def check_attacks_change_nothing_else(kit: Kit) -> None:
    """An attack changes neither the network nor the array of original pictures."""
    backend, examples = kit.backend(), awkward_examples(NETWORK, 4)
    net = backend.build(NETWORK, generic_weights(NETWORK))
    images = examples.pixels(examples.images)
    kept, before = images.copy(), backend.weights(net)
    backend.perturb(net, images, examples.labels, replace(FGSM, steps=2), "softmax", images)
    kit.demand(np.array_equal(images, kept), "the attack changed the array of original pictures: copy it")
    for name, tensor in backend.weights(net).items():
        kit.demand(np.array_equal(tensor, before[name]), f"{name} has changed: an attack runs in evaluation mode")
