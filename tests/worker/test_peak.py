"""The speed limit of the machine: an impossible speed is invalid, and measuring it never hurts a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.reference.backend import NumPy
from harness.result import Cell, Result
from harness.timing.load import Usage
from harness.worker import peak
from harness.worker.cell import Conditions, run_cell
from harness.worker.peak import IMPOSSIBLE, above_peak, peak_flops

QUIET = Usage(1.0, 1.0, 0.0, 0.0)
FILE = """
import numpy as np
from harness import Conv, Unsupported, hookimpl
from harness.reference.backend import NumPy

class FakeTrainer(NumPy.training):
    calls = 0

    def segment(self, batches, lr, record):
        self.calls += 1
        if {fake} and self.calls > 1:  # returns before anything has been computed
            return np.ones(len(lr))
        return super().segment(batches, lr, record)

class Fake(NumPy):
    name = "fake"
    training = FakeTrainer

    def build(self, model, weights):
        if {lacks!r} in model.name:
            raise Unsupported("no such layer")
        return super().build(model, weights)

@hookimpl
def samebench_backend():
    return Fake
"""


def run(folder: Path, fake: bool = False, lacks: str = "nothing") -> Result:
    file = folder / "fake.py"
    file.write_text(FILE.replace("{fake}", str(fake)).replace("{lacks!r}", repr(lacks)))
    options = {"epochs": 1, "train_limit": 64}
    cell = Cell(
        "scratch-cnn", str(file), "default", "float64", "cpu", "two-block-cnn", "digits", None, 0, options
    )  # fmt: skip
    return run_cell(cell, folder / "artifacts", conditions=Conditions(segment_s=0.02))


def test_the_peak_is_a_speed_that_the_machine_reaches():
    first, second = peak_flops(NumPy("cpu", "default", "float64")), peak_flops(NumPy("cpu", "default", "float64"))
    assert 1e8 < first < 1e13 and 0.2 < first / second < 5


def test_a_possible_speed_is_no_problem():
    assert above_peak(IMPOSSIBLE * 1e9, 1e9, QUIET) is None
    assert "100 Gflop/s" in above_peak(100e9, 10e9, QUIET)
    busy = QUIET._replace(others_s=0.9, waited_s=0.5)
    assert above_peak(100e9, 10e9, busy) is None, "the peak was measured while other processes worked"


def test_a_backend_that_returns_before_its_work_is_done_is_invalid(tmp_path, monkeypatch):
    monkeypatch.setattr(peak, "load_problem", lambda record: None)  # other tests may use the processor now
    result = run(tmp_path, fake=True)
    assert result.status == "invalid" and "impossible" in result.reason, result.reason


@pytest.mark.parametrize("lacks", ["nothing", "convolution"])
def test_a_cell_has_a_peak_if_the_backend_has_its_layers(tmp_path, lacks):
    result = run(tmp_path, lacks=lacks)
    assert result.status == "ok" and result.time["flops"] > 0
    assert ("peak_flops" in result.time) == (lacks == "nothing")
