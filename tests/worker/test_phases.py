"""The phases of a cell: a delay shows up in its own phase and nowhere else, and the phases add up to the total."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import samebench

DELAYS = {
    "import": 0.5, "build": 0.6, "first_step": 0.7, "warm_up": 0.8, "train": 0.9, "curve": 1.0, "eval": 1.1, "weights": 1.2,
    "save": 1.3,
}  # fmt: skip
"""A delay for each phase, all of them different."""

FILE = """
import time
from harness import hookimpl
from harness.reference.backend import NumPy

DELAYS = {delays}
TESTED = 360

def late(phase):
    time.sleep(DELAYS.pop(phase, 0))

class LateTrainer(NumPy.training):
    calls = 0

    def segment(self, batches, lr, record):
        self.calls += 1
        late("first_step" if self.calls == 1 else "warm_up" if record else "train" if self.calls > 3 else "")
        return super().segment(batches, lr, record)

class Late(NumPy):
    name = "late"
    training = LateTrainer

    def build(self, model, weights):
        late("build")
        return super().build(model, weights)

    def forward(self, net, batches, **options):
        late("eval" if len(batches.examples) == TESTED else "curve")
        return super().forward(net, batches, **options)

    def weights(self, net):
        late("weights")
        return super().weights(net)

    def settings(self):
        late("save")
        return super().settings()

late("import")

@hookimpl
def samebench_backend():
    return Late
"""
OPTIONS = [
    "--task", "scratch-cnn", "--precision", "float64", "--no-parity", "--set", "scratch-cnn.epochs=2",
    "--set", "scratch-cnn.train_limit=160", "--set", "scratch-cnn.batch_size=4", "--set", "segment_s=0", "--set", "threads=1",
]  # fmt: skip


def times(folder: Path, delays: dict[str, float]) -> dict[str, float]:
    (folder / "late.py").write_text(FILE.replace("{delays}", repr(delays)))
    done = samebench("run", "--backend", "late.py", *OPTIONS, "--out", f"run{len(delays)}", cwd=folder)
    assert done.returncode == 0, done.stderr
    [result] = folder.glob(f"run{len(delays)}/cells/*/result.json")
    return json.loads(result.read_text())["time"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phases")
    return times(folder, {}), times(folder, DELAYS)


@pytest.mark.parametrize("phase", [*DELAYS, "start", "data", "repeat", "other", "machine_probe"])
def test_a_delay_shows_up_in_its_phase_and_nowhere_else(runs, phase):
    before, after = (time[f"{phase}_s"] for time in runs)
    delay = DELAYS.get(phase, 0.0)
    assert abs(after - before - delay) < 0.3 + 0.5 * before, f"{before:.2f} s, then {after:.2f} s"


SHORT = 0.05
"""Seconds outside of all phases that do not count: the cells here take less than a second."""


def test_the_phases_add_up_to_the_total(runs):
    for time in runs:
        phases = [seconds for name, seconds in time.items() if name.endswith("_s") and isinstance(seconds, float)]
        known = sum(phases) - time["total_s"] - time["other_s"] - time["process_s"]
        assert 0.95 * time["total_s"] - SHORT <= known <= time["total_s"] <= time["process_s"]
