"""Trained networks on all three frameworks: the same classes, the same probabilities, the same features."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BACKENDS = ("pytorch", "keras", "jax")
CAT = 285  # Egyptian cat, the class predicted for chelsea of scikit-image


def own(name: str) -> Path | None:
    """A file or folder in the user's data folder; None if it does not exist."""
    data = os.environ.get("SAMEBENCH_DATA_DIR")
    return Path(data, name) if data and Path(data, name).exists() else None


@pytest.fixture(scope="module")
def photos() -> list[Path]:
    folder = own("imagenet-samples")
    return sorted(folder.glob("*.JPEG")) if folder else []


@pytest.fixture(scope="module")
def seen(tmp_path_factory, photos) -> dict[str, dict[str, np.ndarray]]:
    """For each network and backend, the predicted probabilities: of chelsea first, then of the photos."""
    import skimage.data

    chelsea = Path(skimage.data.__file__).parent / "chelsea.png"
    folder = tmp_path_factory.mktemp("seen")
    for backend in BACKENDS:
        command = [
            sys.executable,
            Path(__file__).parent / "look.py",
            backend,
            folder / f"{backend}.npz",
            chelsea,
            *photos,
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stderr
    found = {backend: dict(np.load(folder / f"{backend}.npz")) for backend in BACKENDS}
    return {network: {backend: found[backend][network] for backend in BACKENDS} for network in found["jax"]}


@pytest.mark.parametrize("network", ["efficientnet-lite0", "mobilenet-v1-0.75"])
def test_every_framework_predicts_the_same_cat(seen, network):
    if network not in seen:
        pytest.skip("needs weights/mobilenet_075_224.weights.h5 in the folder that SAMEBENCH_DATA_DIR names")
    assert {backend: int(found[0].argmax()) for backend, found in seen[network].items()} == dict.fromkeys(BACKENDS, CAT)


@pytest.mark.parametrize("network", ["efficientnet-lite0", "mobilenet-v1-0.75"])
def test_probabilities_are_equal(seen, network):
    if network not in seen:
        pytest.skip("needs weights/mobilenet_075_224.weights.h5 in the folder that SAMEBENCH_DATA_DIR names")
    apart = np.ptp(list(seen[network].values()), axis=0).max()
    print(f"{network}: probabilities within {apart:.1e}")
    assert apart <= 1e-4


@pytest.mark.parametrize("network", ["efficientnet-lite0", "mobilenet-v1-0.75"])
def test_most_photos_are_classified_correctly(seen, photos, network):
    labels = own("labels/imagenet_class_index.json")
    if not (photos and labels and network in seen):
        pytest.skip("needs imagenet-samples, labels and weights in the folder that SAMEBENCH_DATA_DIR names")
    classes = json.loads(labels.read_text())
    truth = [photo.name.partition("_")[0] for photo in photos]
    for backend, found in seen[network].items():
        right = [classes[str(n)][0] == name for n, name in zip(found[1:].argmax(1), truth, strict=True)]
        print(f"{network} on {backend}: {np.mean(right):.0%} of {len(right)} photos")
        assert len(right) == 100 and np.mean(right) >= 0.78


def test_features_of_cats_and_dogs_give_similar_accuracies(tmp_path):
    if not own("cats_vs_dogs"):
        pytest.skip("needs cats_vs_dogs in the folder that SAMEBENCH_DATA_DIR names")
    asked = ["run", "--task", "feature-extraction", "--dataset", "cats-vs-dogs", "--weights", "efficientnet-lite0"]
    command = [
        sys.executable,
        "-m",
        "harness",
        *asked,
        "--no-parity",
        "--set",
        "segment_s=0",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    report = subprocess.run(
        [sys.executable, "-m", "harness", "report", str(tmp_path / "run"), "--format", "json"],
        capture_output=True,
        text=True,
    )
    data = json.loads(report.stdout)
    accuracies = {cell["backend"]: cell["metrics"]["test_accuracy"] for cell in data["cells"]}
    assert accuracies.keys() == {*BACKENDS} and min(accuracies.values()) >= 0.97, accuracies
    assert max(accuracies.values()) - min(accuracies.values()) <= 0.005, accuracies
    (agreement,) = data["agreement"]
    assert agreement["features_spread"] <= 1e-3 and not agreement["outliers"]
