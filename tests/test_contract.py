"""The contract checks the results of a backend: their type, the type of their numbers, and their shape."""

from __future__ import annotations

import gc
from functools import wraps
from typing import Any

import numpy as np
import pytest
from mutants import wrap
from refusals import refused

from harness import SGD, Backend, Recipe, SpecError, Trainer, Unsupported, Upto
from harness.arrays.returned import Networks, is_real
from harness.attack import Attack
from harness.conformance.contract import NETWORK, SGD_1
from harness.conformance.kit import check_rule
from harness.data import Batches
from harness.errors import ContractError
from harness.parity import certify
from harness.parity.probes import awkward_examples, deviation, generic_weights
from harness.reference.backend import NumPy
from harness.task import Subject
from harness.worker.jobs import certify as answer

EXAMPLES = awkward_examples(NETWORK, 16)
BATCHES = Batches(EXAMPLES, np.arange(16), 6)
PIXELS = EXAMPLES.pixels(EXAMPLES.images)


def changed(method: str, change: Any) -> type:
    """The reference with a changed result of a method."""
    real = getattr(NumPy, method)
    return wrap(NumPy, name="mine", **{method: lambda self, *given, **named: change(real(self, *given, **named))})


def called(backend: type, method: str) -> Any:
    """The value that the method returns to the harness, on a small network."""
    made = backend(precision="float64")
    if method in ("versions", "settings", "peak_device_bytes"):
        return getattr(made, method)()
    if method == "native_weights":
        return made.native_weights(NETWORK, 0)
    net = made.build(NETWORK, generic_weights(NETWORK))
    given = {
        "forward": (BATCHES,), "weights": (), "device_of": (), "trainer": (SGD_1,),
        "input_gradient": (PIXELS, EXAMPLES.labels, "softmax"),
    }  # fmt: skip
    if method == "run_attack":
        return made.perturb(net, PIXELS, EXAMPLES.labels, Attack(steps=1), "softmax", PIXELS)
    return getattr(made, method)(net, *given[method])


ARRAYS = {
    "words": (lambda x: x.astype(str), "<U"),
    "complex": (lambda x: x.astype(complex), "complex128"),
    "objects": (lambda x: x.astype(object), "object"),
    "whole numbers": (lambda x: x.astype(int), "int64"),
    "a list": (lambda x: x.tolist(), "list"),
    "a row less": (lambda x: x[:-1], "(15,"),
    "a side more": (lambda x: x[..., None], "(16,"),
    "none": (lambda x: None, "NoneType None"),
}


@pytest.mark.parametrize("what", ARRAYS)
@pytest.mark.parametrize("method", ["forward", "input_gradient", "run_attack"])
def test_arrays_that_a_backend_returns_are_checked(method, what):
    change, came = ARRAYS[what]
    shape = (16, 3) if method == "forward" else (16, 6, 6, 2)
    with refused(ContractError, "contract", f"mine: {method}", "float32", "float64", shape) as error:
        called(changed(method, change), method)
    assert came in str(error.value).partition(";")[0]
    called(NumPy, method)


WEIGHTS = {
    "a name less": (lambda found: dict(list(found.items())[1:]), "probe", "trunk.conv1.kernel"),
    "a name more": (lambda found: found | {"more": np.zeros(1)}, "probe", "more"),
    "another shape": (lambda found: found | {"head.dense1.bias": np.zeros(4)}, "head.dense1.bias", "float64", (4,), (3,)),
    "words": (lambda found: {name: tensor.astype(str) for name, tensor in found.items()}, "trunk.conv1.kernel", "<U32"),
    "a list": (lambda found: list(found.values()), "list"),
    "numbers for names": (lambda found: dict(enumerate(found.values())), "dict"),
    "lists": (lambda found: {name: tensor.tolist() for name, tensor in found.items()}, "trunk.conv1.kernel", "list"),
}  # fmt: skip


@pytest.mark.parametrize("what", WEIGHTS)
@pytest.mark.parametrize("method", ["weights", "native_weights"])
def test_weights_that_a_backend_returns_are_checked(method, what, monkeypatch):
    change, *values = WEIGHTS[what]
    monkeypatch.setattr(NumPy, "native_weights", lambda self, model, seed: generic_weights(model, seed), raising=False)
    with refused(ContractError, "contract", f"mine: {method}", *values):
        called(changed(method, change), method)


@pytest.mark.parametrize(
    ("method", "found", "code", "values"),
    [
        ("device_of", "cuda:0", "contract", ["mine: device_of", "str", "'cuda:0'", "'cpu'", "'gpu'"]),
        ("device_of", None, "contract", ["mine: device_of", "NoneType None"]),
        ("versions", ["torch"], "contract", ["mine: versions", "list ['torch']", "str"]),
        ("versions", {"torch": (2, 0)}, "contract", ["mine: versions", "dict {'torch': (2, 0)}"]),
        ("settings", {"threads": 2}, "contract", ["mine: settings", "dict {'threads': 2}"]),
        ("peak_device_bytes", 1.5, "contract", ["mine: peak_device_bytes", "float 1.5", None]),
        ("peak_device_bytes", -1, "contract", ["mine: peak_device_bytes", "int -1"]),
        ("trainer", object(), "wrong-type", ["harness.Trainer", "object"]),
    ],
)  # fmt: skip
def test_other_results_of_a_backend_are_checked(method, found, code, values):
    with refused(ContractError, code, "mine", *values):
        called(changed(method, lambda _: found), method)


def test_the_device_of_a_backend_is_checked():
    with refused(ContractError, "contract", "mine: start", "'tpu'", "'cpu'", "'gpu'"):
        wrap(NumPy, name="mine", start=lambda self, device: "tpu")(precision="float64")


class Losses(Trainer):
    def __init__(self, losses: Any) -> None:
        self.losses = losses

    def segment(self, batches: Any, lr: Any, record: bool) -> Any:
        return self.losses


@pytest.mark.parametrize(
    ("losses", "record", "right"),
    [
        (np.zeros(1), False, True),
        (np.zeros(4), True, True),
        (np.full(1, np.nan), False, True),
        (np.zeros(3), False, False),
        (np.zeros((4, 1)), False, False),
        (np.zeros(1), True, False),
        (np.zeros(()), False, False),
        (0.5, False, False),
        ([0.5], False, False),
        (np.array(["0.5"]), False, False),
        (np.array([0.5], object), False, False),
    ],
)
def test_losses_are_checked(losses, record, right):
    def run() -> Any:
        return Losses(losses).run(Batches(EXAMPLES, np.arange(16), 4), np.full(4, 0.1), record=record)

    if right:
        assert run() is losses, "a loss that diverged is a result too"
    else:
        with refused(ContractError, "contract", "Losses: segment", "float64", "(4,)" if record else "(1,)"):
            run()


def test_without_record_the_losses_of_the_steps_are_averaged():
    losses = np.array([1, 2, 3, 6], np.float32)
    trainer, batches = Losses(losses), Batches(EXAMPLES, np.arange(16), 4)
    mean = trainer.run(batches, np.full(4, 0.1))
    assert mean.tolist() == [3] and mean.dtype == np.float64
    assert trainer.run(batches, np.full(4, 0.1), record=True) is losses


class Padded(NumPy):
    """Returns a row for each of `batches.order`."""

    name = "mine"

    def forward(self, net: Any, batches: Batches, *, upto: Upto = "logits") -> Any:
        return NumPy.forward(self, net, Batches(batches.examples, batches.order.ravel(), batches.batch_size), upto=upto)


def test_rows_that_fill_the_last_batch_are_removed():
    assert len(BATCHES.rows) == 16 and BATCHES.order.size == 18
    assert np.array_equal(called(Padded, "forward"), called(NumPy, "forward"))


@pytest.mark.parametrize("method", ["trainer", "native_trainer"])
@pytest.mark.parametrize(
    ("recipe", "code", "values"),
    [
        (Recipe(SGD(lr=0.1), loss="sigmoid"), "wrong-shape", ["sigmoid"]),
        (Recipe(SGD(lr=0.1), rates=(("tail", 0.1),)), "unknown-name", ["'tail'"]),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_before_the_backend_runs(method, recipe, code, values):
    backend = wrap(NumPy, **{method: lambda self, *given: pytest.fail("the backend ran")})(precision="float64")
    net = backend.build(NETWORK, generic_weights(NETWORK))
    with refused(SpecError, code, *values):
        getattr(backend, method)(net, recipe)


def test_tf32_is_refused_on_a_cpu():
    everything = wrap(NumPy, precisions=("tf32", "float64"))
    with refused(Unsupported, "unsupported-mode", "tf32", "float32"):
        everything(precision="tf32")
    assert wrap(everything, start=lambda self, device: "gpu")(precision="tf32").device == "gpu"


def test_numbers_that_are_not_finite_are_a_result():
    found = called(changed("forward", lambda x: x * np.nan), "forward")
    assert np.isnan(found).all(), "a training may diverge; the status says so"


def test_bfloat16_is_a_real_number():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    assert is_real(np.dtype(bfloat16)) and not is_real(np.dtype("V2"))
    called(changed("forward", lambda x: x.astype(bfloat16)), "forward")
    assert deviation(np.array([1.0, 2.0], bfloat16), np.array([1.0, 2.0])) == 0


def test_inherited_methods_are_checked_too():
    """The method comes from a base class that is no backend."""

    class Beside:
        def forward(self, net: Any, batches: Any, *, upto: str = "logits") -> Any:
            return NumPy.forward(self, net, batches, upto=upto).tolist()  # type: ignore[arg-type]

    class Mine(Beside, NumPy):
        name = "mine"

    with refused(ContractError, "contract", "mine: forward", "list"):
        called(Mine, "forward")


def test_a_method_that_copies_the_attributes_of_a_checked_one_is_checked():
    @wraps(NumPy.forward)
    def forward(self: Any, *given: Any, **named: Any) -> Any:
        return NumPy.forward(self, *given, **named).tolist()

    with refused(ContractError, "contract", "mine: forward", "list"):
        called(wrap(NumPy, name="mine", forward=forward), "forward")


def test_the_rows_of_a_network_without_weak_references_are_checked():
    """A dictionary does not support weak references, so its model is not known."""
    real = {name: getattr(NumPy, name) for name in ("build", "forward")}

    def mine(change: Any) -> type:
        return wrap(
            NumPy, name="mine",
            build=lambda self, model, weights: {"net": real["build"](self, model, weights)},
            forward=lambda self, net, batches, **named: change(real["forward"](self, net["net"], batches, **named)),
        )  # fmt: skip

    assert called(mine(lambda x: x), "forward").shape == (16, 3)
    for wrong in (lambda x: x[:15], lambda x: x.astype(str), lambda x: x[:, 0]):
        with refused(ContractError, "contract", "float32", "float64", "(16, ...)"):
            called(mine(wrong), "forward")
    weights = {"weights": lambda self, net: {"kernel": [0.5]}}
    with refused(ContractError, "contract", "kernel", "[0.5]", "float64", "(...,)"):
        called(type("Lists", (mine(lambda x: x),), weights), "weights")


def test_methods_of_the_harness_are_not_overridden():
    for name, instead in (("__init__", "start"), ("on_device", "upload"), ("perturb", "run_attack")):
        with refused(SpecError, "name-taken", name, instead):
            wrap(NumPy, **{name: lambda self, *given: None})
    with refused(SpecError, "name-taken", "Mine", "run", "segment"):
        type("Mine", (Trainer,), {"run": lambda self, *given: None})
    beside = type("Beside", (), {"perturb": lambda self, *given: "no pictures"})
    with refused(SpecError, "name-taken", "Mine", "perturb"):
        type("Mine", (beside, NumPy), {})


def test_networks_are_known_while_they_exist():
    class Net:
        pass

    networks, net = Networks(), Net()
    networks.add(net, NETWORK)
    known = networks.get(net)
    assert known and known.model is NETWORK and known.outputs == {"features": (3, 3, 4), "logits": (3,)}
    assert networks.get(Net()) is None and networks.get({}) is None
    del net
    gc.collect()
    assert not len(networks)


def test_abstract_methods_stay_abstract():
    class Half(Backend[Any]):
        name = "half"

    assert {"forward", "weights"} <= Half.__abstractmethods__


@pytest.mark.parametrize("dtype", [str, complex, object, int, bool])
def test_the_deviation_is_infinite_for_other_than_real_numbers(dtype):
    reference = np.array([1.0, 0.0])
    assert deviation(reference.astype(dtype), reference) == float("inf")
    assert deviation(reference, reference) == 0


def test_a_certificate_differs_if_a_backend_breaks_the_contract(monkeypatch):
    mine = changed("forward", lambda x: x.astype(str))
    with pytest.raises(ContractError):
        certify(lambda precision: mine(precision=precision), Subject(NETWORK, SGD_1), "float64", steps=1, batch=2)
    monkeypatch.setattr("harness.worker.certificates.load_backend", lambda name: mine)
    request = {
        "backend": "mine", "mode": "default", "precision": "float64", "device": "auto",
        "subjects": {"it": {
            "task": "scratch-cnn", "model": "two-block-cnn", "weights": None, "dataset": "digits", "options": {},
        }},
    }  # fmt: skip
    verdict = answer(request)["it"]["verdict"]
    assert verdict.startswith("differs: mine: forward returned an array of <U"), verdict


def test_a_rule_fails_if_a_backend_breaks_the_contract():
    outcome = check_rule("dense", changed("forward", lambda x: x.astype(str)))
    assert outcome.status == "failed" and "mine: forward returned an array of <U" in outcome.message
