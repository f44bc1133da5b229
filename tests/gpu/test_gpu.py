"""The GPU path of the backend of `--backend`. Without a GPU, these tests are skipped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness import Adam, Batches, Examples, Recipe
from harness.conformance.kit import check_rule
from harness.environment import gpus
from harness.models.two_block_cnn import two_block_cnn
from harness.worker.provenance import accelerator_of

pytestmark = pytest.mark.skipif(not gpus(), reason="needs an NVIDIA GPU: tests/gpu/first-run.sh says what to run there")

MODEL = two_block_cnn()
RULES = ("float32_products", "tf32_products", "nothing_pending", "no_stalls", "device", "bfloat16")


@pytest.fixture
def on_gpu(backend: type, mode: str) -> Any:
    return backend("gpu", mode)


def examples(count: int = 256) -> Examples:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *MODEL.input_shape), np.uint8)
    return Examples(images, random.integers(0, 10, count).astype(np.int32))


def test_tensors_are_on_the_gpu(on_gpu: Any) -> None:
    net = on_gpu.build(MODEL, MODEL.init(0))
    assert on_gpu.device == on_gpu.device_of(net) == "gpu"


def test_the_gpu_has_a_name_a_driver_and_libraries(on_gpu: Any) -> None:
    found = accelerator_of(on_gpu)
    assert found["name"] and found["driver"][0].isdigit()


def test_memory_of_the_gpu_is_counted(on_gpu: Any) -> None:
    trainer = on_gpu.trainer(on_gpu.build(MODEL, MODEL.init(0)), Recipe(Adam()))
    trainer.run(Batches.shuffled(examples(), 64, 0, range(1)), np.full(4, 1e-3))
    peak = on_gpu.peak_device_bytes()
    assert peak > 4 * MODEL.counts().total * 3, "weights and both moments of Adam"


@pytest.mark.parametrize("rule", RULES)
def test_rules_hold_on_the_gpu(backend: type, mode: str, rule: str) -> None:
    outcome = check_rule(rule, backend, "gpu", mode)
    assert outcome.status == "passed", outcome.message
