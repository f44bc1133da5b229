"""In float64, a backend trains the same networks as the reference in the tasks of transfer learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness import Adam, Head
from harness.data import Dataset
from harness.datasets.digits import digits
from harness.parity.probes import deviation
from harness.pictures.augmentation import Augmentation
from harness.pictures.inputs import LoadRequest
from harness.plugins import load_plugins
from harness.pretrained.entries import start_from
from harness.reference.backend import NumPy
from harness.storage.places import Places
from harness.task import TaskContext, TaskResult
from harness.tasks.common.transfer import changed_tensors
from harness.tasks.feature_extraction import FeatureExtraction
from harness.tasks.feature_extraction import Options as Extracting
from harness.tasks.fine_tuning import FineTuning
from harness.tasks.fine_tuning import Options as Tuning
from harness.worker.networks import trained_network

SHORT = Head(epochs=2, batch_size=16)
TUNING = Tuning(head=SHORT, epochs=2, batch_size=8, train_limit=64, validation=0.25, optimizer=Adam(lr=1e-3))
CASES = {
    "features": (FeatureExtraction(), Extracting(epochs=2, batch_size=16, hidden=8, train_limit=64)),
    "the last block": (FineTuning(), TUNING),
    "augmented": (FineTuning(), replace(TUNING, layers=2, augmentation=Augmentation(rotation=20, translation=0.1))),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    return digits(LoadRequest(Places(None, tmp_path_factory.mktemp("cache")), "5-9"))


def run(case: str, backend, data: Dataset, places: Places) -> tuple[TaskResult, dict]:
    task, options = CASES[case]
    plugins = load_plugins()
    start = start_from("two-block-cnn-digits04", None, plugins.weights, plugins.models, places)
    trained = trained_network(start)
    return task.run(TaskContext(backend, start.build, data, 3, options, start=trained)), dict(trained.weights)


@pytest.mark.parametrize("case", CASES)
def test_transfer_gives_the_network_that_the_reference_gives(backend, mode, data, tmp_path, case):
    if mode == "compiled" and case != "the last block":
        pytest.skip("compilation takes minutes; one case covers the compiler")
    places = Places(None, tmp_path, offline=True)
    expected, start = run(case, NumPy(precision="float64"), data, places)
    found, _ = run(case, backend("cpu", mode, "float64"), data, places)
    for name, tensor in expected.trained.weights.items():
        assert deviation(found.trained.weights[name], tensor) <= 1e-9, name
    same = ("batches", "tuning_batches", "tuning_augmented", "model", "weights")
    assert {n: found.evidence.get(n) for n in same} == {n: expected.evidence.get(n) for n in same}
    assert np.allclose(found.evidence["features"]["sample"], expected.evidence["features"]["sample"], rtol=0, atol=1e-9)
    assert found.metrics["confusion"] == expected.metrics["confusion"]
    assert (found.parameters == expected.parameters and found.parameters.frozen > 0) or case == "augmented"
    frozen = ("trunk.conv1",) if case != "augmented" else ()
    assert not changed_tensors({n: start[n] for n in start if n.startswith("trunk.")}, found.trained.weights, frozen)
