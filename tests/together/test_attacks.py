"""Attacks on all three frameworks: similar pictures change the predicted class of a cat in the same way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BACKENDS = ("pytorch", "keras", "jax")
CAT, RETRIEVER, EPSILON = 285, 207, 4 / 255


@pytest.fixture(scope="module")
def cat(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """The attacks of each backend on the picture chelsea, with the trained EfficientNet-Lite0."""
    import skimage.data

    chelsea = Path(skimage.data.__file__).parent / "chelsea.png"
    folder = tmp_path_factory.mktemp("cat")
    for backend in BACKENDS:
        command = [sys.executable, Path(__file__).parent / "attack.py", backend, folder / f"{backend}.npz", chelsea]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stderr
    return {backend: dict(np.load(folder / f"{backend}.npz")) for backend in BACKENDS}


def test_every_framework_predicts_a_golden_retriever_after_a_targeted_attack(cat):
    found = {backend: float(made["targeted_seen"][RETRIEVER]) for backend, made in cat.items()}
    print(f"probability of the retriever: {found}")
    assert min(found.values()) >= 0.9


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_an_attack_changes_the_predicted_class(cat, attack):
    for backend, made in cat.items():
        assert made["before"].argmax() == CAT, backend
        assert made[f"{attack}_seen"].argmax() != CAT, backend


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "targeted"])
def test_the_change_is_small_and_all_frameworks_predict_the_same_class(cat, attack):
    """In float32, the signs of small gradients differ. A single step makes the same pictures, but many steps do not,
    because each step starts from the result of the step before it."""
    pictures = np.stack([made[attack] for made in cat.values()])
    assert np.abs(pictures - cat["jax"]["original"]).max() <= EPSILON + 1e-6
    assert len({int(made[f"{attack}_seen"].argmax()) for made in cat.values()}) == 1
    assert np.ptp([made[f"{attack}_seen"].max() for made in cat.values()]) <= 0.05
    other = (np.ptp(pictures, axis=0) > 1e-6).mean()
    print(f"{attack}: frameworks differ in {other:.2%} of the values")
    assert attack != "fgsm" or other <= 0.001


def test_accuracies_on_attacked_digits_are_within_half_a_point_for_all_backends(tmp_path):
    command = [
        sys.executable,
        "-m",
        "harness",
        "run",
        "--task",
        "adversarial",
        "--seeds",
        "2",
        "--set",
        "segment_s=0",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    asked = [sys.executable, "-m", "harness", "report", str(tmp_path / "run"), "--format", "json"]
    report = json.loads(subprocess.run(asked, capture_output=True, text=True).stdout)
    assert {cell["parity"]["verdict"] for cell in report["cells"]} == {"equal"}
    assert [found["accuracy_spread"] <= 0.005 for found in report["agreement"]] == [True, True]
    (judged,) = report["judgements"]
    assert judged["judges"] == ["numpy", *(f"{backend}/default" for backend in BACKENDS)] and not judged["problems"]
    scores = [score["accuracy"] for row in judged["scores"].values() for score in row.values()]
    assert len(scores) == 12 and np.ptp(scores) <= 0.005
