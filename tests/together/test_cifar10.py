"""Real colour pictures on all three frameworks."""

from __future__ import annotations

import os

import command
import pytest

CERTIFIED, ALONE = (), ("--no-parity",)


@pytest.mark.parametrize(
    ("model", "parity"),
    [
        ("cifar-resnet", ALONE),
        pytest.param("cifar-resnet", CERTIFIED, marks=pytest.mark.slow),
        pytest.param("two-block-cnn", CERTIFIED, marks=pytest.mark.slow),
    ],
)
def test_cifar10_is_the_same_on_all_three(tmp_path, model, parity):
    """The losses of the first five steps agree within 1e-4. With certificates, every verdict is equal."""
    if not os.environ.get("SAMEBENCH_DATA_DIR"):
        pytest.skip("needs CIFAR-10's official batches in the folder that SAMEBENCH_DATA_DIR names")
    small = ["scratch-cnn.epochs=1", "scratch-cnn.train_limit=1024", "segment_s=0"]
    slow = ["scratch-cnn.optimizer.lr=3e-5"]  # as in the first steps of a warm-up
    sets = [word for text in small + slow for word in ("--set", text)]
    done = command.samebench(
        "run", "--dataset", "cifar10", "--model", model, *parity, *sets, "--out", tmp_path / "run", timeout=1200
    )
    assert done.returncode == 0, done.stderr
    report = command.report(tmp_path / "run")
    (agreement,) = report["agreement"]
    assert {len(cell["evidence"]["first_losses"]) for cell in report["cells"]} == {5}
    assert agreement["first_losses_spread"] <= 1e-4 and not agreement["outliers"]
    verdict = "not-checked" if parity == ALONE else "equal"
    assert {cell["parity"]["verdict"].partition(":")[0] for cell in report["cells"]} == {verdict}
