"""Rules about attacks: pictures that are changed along their gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.attack import Attack
from harness.conformance.kit import AnyBackend, Kit, network, rule
from harness.parity.rounding import rounding_reference
from harness.probes import awkward_examples, stirred
from harness.recipe import LossName
from harness.reference.attacks import MOST_LEFT_OUT, attacked
from harness.reference.backend import NumPy
from harness.spec import Array, BatchNorm, Conv, MaxPool, swish

NETWORK = network(Conv(4, 3, padding=1), BatchNorm(), swish, MaxPool(2))
FGSM = Attack(epsilon=1 / 32, step_size=1 / 32, steps=1)
TEN_STEPS = Attack(epsilon=1 / 32, step_size=1 / 128, steps=10)
ATTACKS = {
    "one step of its full size": FGSM,
    "ten steps within a box": TEN_STEPS,
    "ten steps within a ball": Attack(norm="l2", epsilon=0.5, step_size=0.125, steps=10),
    "steps towards a class": Attack(epsilon=1 / 32, step_size=1 / 128, steps=4, targeted=True, goal="logit"),
    "an ideal image": Attack(norm="free", step_size=1 / 64, steps=4, targeted=True, goal="logit", variation=1 / 16),
}


@rule
def check_logit_gradient(kit: Kit) -> None:
    """Asked for a logit, the gradient of the pixels is that of minus the logit of each picture's label."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        examples, net = awkward_examples(NETWORK, 5), backend.build(NETWORK, stirred(NETWORK))
        pixels = examples.pixels(examples.images)
        return {"the gradient of minus the logit": backend.input_gradient(net, pixels, examples.labels, "logit")}

    kit.agree(observe)


@rule
def check_attacks(kit: Kit) -> None:
    """An attacked picture is the one that the rules in `harness.attack` make, whatever else is in the batch."""
    examples = awkward_examples(NETWORK, 8)
    images, weights = examples.pixels(examples.images), stirred(NETWORK)
    plain, noisy = (
        judge.build(NETWORK, weights) for judge in (NumPy(precision="float64"), rounding_reference(back=True))
    )
    cases = {what: (attack, slice(None), images) for what, attack in ATTACKS.items()}
    cases["begun elsewhere"] = (TEN_STEPS, slice(None), replace(TEN_STEPS, random_start=True).first(images, 3))
    cases["one picture alone"] = (FGSM, slice(0, 1), images)

    def given(case: tuple[Attack, slice, Array]) -> tuple[Array, Array, Attack, LossName, Array]:
        attack, some, start = case
        return images[some], examples.labels[some], attack, "softmax", start[some]

    made = {what: attacked(plain, noisy, *given(case)) for what, case in cases.items()}
    for what, expected in made.items():
        left = expected.left_out
        kit.demand(
            left <= MOST_LEFT_OUT,
            f"{what} leaves {left:.1%} of its pixels to rounding, limit {MOST_LEFT_OUT:.1%}: pictures that are equal "
            "elsewhere would prove nothing of the backend; give the rule another network",
        )

    def observe(backend: AnyBackend) -> dict[str, Array]:
        net = backend.build(NETWORK, weights)
        return {
            what: np.where(made[what].settled, backend.perturb(net, *given(case)), 0.0) for what, case in cases.items()
        }

    kit.agree(observe)


@rule
def check_attacks_change_nothing_else(kit: Kit) -> None:
    """An attack leaves the network and the pictures that it was given as they were."""
    backend, examples = kit.backend(), awkward_examples(NETWORK, 4)
    net = backend.build(NETWORK, stirred(NETWORK))
    images = examples.pixels(examples.images)
    kept, before = images.copy(), backend.weights(net)
    backend.perturb(net, images, examples.labels, replace(FGSM, steps=2), "softmax", images)
    kit.demand(np.array_equal(images, kept), "the array of pictures was written to: copy it")
    for name, tensor in backend.weights(net).items():
        kit.demand(np.array_equal(tensor, before[name]), f"{name} has changed: an attack runs in evaluation mode")
