"""What a GPU would compute, without a GPU: the programs that are lowered for CUDA multiply in the precision that was chosen."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from harness import Adam, Examples, Recipe
from harness.models.two_block_cnn import two_block_cnn

MODEL = two_block_cnn()
CONVOLUTIONS, PRODUCTS = 5, 6
"""In a training step: two layers of each kind, forward and backward, without the gradient of the pixels."""

EXPECTED = {
    "float32": ("HIGHEST", "f32"), "tf32": ("HIGH", "f32"), "bfloat16": ("DEFAULT", "bf16"), "float64": ("HIGHEST", "f64"),
}  # fmt: skip
"""The precision of XLA and the type of each result."""

OPERATION = re.compile(r"stablehlo\.(convolution|dot_general)\b.*-> tensor<[\dx]*x(\w+)>")
PRECISIONS = re.compile(r"\b(HIGHEST|HIGH|DEFAULT)\b")


def on_gpu(backend: type) -> type:
    """The backend, which reports a GPU although it computes on the CPU."""

    class OnGpu(backend):
        def start(self, device: str) -> str:
            super().start("cpu")
            return "gpu"

    return OnGpu


@pytest.mark.parametrize("precision", EXPECTED.keys())
def test_jax_multiplies_in_the_chosen_precision_on_cuda(backend: type, precision: str) -> None:
    if backend.name != "jax":
        pytest.skip("JAX lowers programs for devices that are not here")
    found = _lowered(on_gpu(backend), precision)
    assert [kind for kind, _, _ in found].count("convolution") == CONVOLUTIONS
    assert [kind for kind, _, _ in found].count("dot_general") == PRODUCTS
    assert {(chosen, dtype) for _, chosen, dtype in found} == {EXPECTED[precision]}


def _lowered(backend: Any, precision: str) -> list[tuple[str, str, str]]:
    """The convolutions and matrix products of a training step: the operation, its precision, and the type of its result."""
    from flax import nnx

    from backends.jax.backend import Chunk, Progress

    runner = backend("auto", "default", precision)
    trainer = runner.trainer(runner.build(MODEL, MODEL.init(0)), Recipe(Adam()))
    examples = Examples(np.zeros((8, *MODEL.input_shape), np.uint8), np.zeros(8, np.int32))
    _, learned, rest = nnx.split(trainer.network, trainer.learns, ...)
    order, rates = np.zeros((1, 8), np.int32), np.asarray([0.1], runner.dtype)
    traced = trainer.step.trace(
        learned, rest, trainer.state, Progress.start(runner.dtype), runner.on_device(examples), Chunk.of(order, rates)
    )
    operations = []
    for line in traced.lower(lowering_platforms=("cuda",)).as_text().splitlines():
        if found := OPERATION.search(line):
            both = set(PRECISIONS.findall(line))
            operations.append((found[1], both.pop() if len(both) == 1 else str(both), found[2]))
    return operations


IN_HLO = {
    "float32": ("highest", "f32"),
    "tf32": (None, "f32"),
    "bfloat16": (None, "bf16"),
    "float64": ("highest", "f64"),
}
"""TensorFlow's HLO: the precision of the operands, where None allows TF32, and the type of each result."""

HLO_OPERATION = re.compile(r"= (\w+)\[[\d,]*\]\S* (convolution|dot)\(")
HLO_PRECISION = re.compile(r"operand_precision=\{(\w+),(\w+)\}")


@pytest.mark.parametrize("precision", IN_HLO.keys())
def test_tensorflow_multiplies_in_the_chosen_precision_in_its_hlo(backend: type, precision: str) -> None:
    if backend.name != "keras":
        pytest.skip("TensorFlow shows the HLO of its functions")
    found = _hlo(on_gpu(backend), precision)
    assert {kind for kind, _, _ in found} == {"convolution", "dot"} and len(found) > 8
    assert {(chosen, dtype) for _, chosen, dtype in found} == {IN_HLO[precision]}


def _hlo(backend: Any, precision: str) -> list[tuple[str, str | None, str]]:
    """The convolutions and matrix products of a gradient: the operation, the precision of its operands, and the type of its
    result."""
    import tensorflow as tf

    runner = backend("auto", "compiled", precision)
    gradient = runner.build(MODEL, MODEL.init(0)).gradient_of("softmax")
    pixels = tf.zeros((8, *MODEL.input_shape), "float64" if precision == "float64" else "float32")
    operations = []
    for line in gradient.experimental_get_compiler_ir(pixels, tf.zeros(8, tf.int32))(stage="hlo").splitlines():
        if found := HLO_OPERATION.search(line):
            both = HLO_PRECISION.search(line)
            operations.append((found[2], both[1] if both and both[1] == both[2] else None, found[1]))
    return operations
