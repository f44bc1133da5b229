"""Files of Keras' own networks, in both layouts. With them, every backend computes the same logits as Keras."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from harness.errors import SpecError
from harness.plugins import load_plugins
from harness.pretrained.formats import read_tensors
from harness.pretrained.renaming import canonical
from harness.spec import Array

LIMIT = 1e-4
BACKENDS = ("pytorch", "keras", "jax")
NETWORKS = ("mobilenet-v1", "mobilenet-v2", "resnet50", "inception-v3", "vgg16")


def run(script: str, *arguments: object) -> None:
    command = [sys.executable, Path(__file__).parent / script, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def files() -> Iterator[Path]:
    """The files of keras_files.py: some hundred megabytes, deleted after the tests."""
    with tempfile.TemporaryDirectory() as folder:
        run("keras_files.py", folder)
        yield Path(folder)


@pytest.fixture(scope="module", params=BACKENDS)
def seen(request: pytest.FixtureRequest, files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    """The results of read_keras_files.py for a backend."""
    out = tmp_path_factory.mktemp("seen") / f"{request.param}.npz"
    run("read_keras_files.py", request.param, files, out)
    return dict(np.load(out))


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_agree_with_keras(seen, files, name):
    expected = np.load(files / f"{name}.npz")["expected"]
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * np.abs(expected).max(), "the pictures must matter"
    difference = np.abs(seen[f"{name}.logits"] - expected).max() / np.abs(expected).max()
    print(f"{name}: {difference:.1e}")
    assert difference <= LIMIT


@pytest.mark.parametrize("name", NETWORKS)
def test_both_layouts_hold_the_same_weights(seen, name):
    newer, older = seen[f"{name}.weights"]
    assert newer == older


@pytest.mark.parametrize("layout", [".weights.h5", ".h5"])
@pytest.mark.parametrize("name", ["mobilenet-v1", "resnet50", "inception-v3"])
def test_a_network_without_its_classifier_is_refused(files, name, layout):
    model = load_plugins().models[name]((90, 75, 3), 10)
    tensors = read_tensors(files / f"{name}-headless{layout}")
    with refused(SpecError, "wrong-weights", "a file", sum(bool(node.parameters) for node in model.nodes)):
        canonical(model, tensors, "a file")
