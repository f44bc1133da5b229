"""One device for a whole run: GPUs are hidden or pinned, and a mix of devices is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import SMALL, samebench
from refusals import refused

from harness import environment
from harness.environment import NO_GPU, VISIBLE, device_variables, gpus, may_have_gpu, worker_environment
from harness.errors import UsageError
from harness.running import doctor
from harness.running.doctor import one_device
from harness.storage.places import Places
from harness.worker.provenance import relevant_variables

FIRST, SECOND = "GPU-11111111-aaaa", "GPU-22222222-bbbb"


@pytest.fixture
def two_gpus(tmp_path, monkeypatch) -> Path:
    """What the system says about two GPUs."""
    for number, uuid in enumerate((FIRST, SECOND)):
        folder = tmp_path / "gpus" / f"0000:0{number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t NVIDIA H200\nIRQ: 1\nGPU UUID: \t {uuid}\n")
    monkeypatch.setattr(environment, "GPUS", tmp_path / "gpus")
    monkeypatch.delenv(VISIBLE, raising=False)
    return tmp_path


@pytest.fixture
def answers(monkeypatch) -> dict[str, str | None]:
    """The device that each backend uses; None for a backend that cannot start."""
    devices: dict[str, str | None] = {}

    def probe(backend, places, **options):
        device = devices[backend]
        return {"reason": None, "device": device} if device else {"reason": "it is broken"}

    monkeypatch.setattr(doctor, "probe", probe)
    return devices


@pytest.fixture
def places(tmp_path) -> Places:
    return Places(None, tmp_path)


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (None, [FIRST, SECOND]), ("", []), ("1", [SECOND]), ("1,0", [SECOND, FIRST]), ("GPU-222", [SECOND]), ("-1", []),
        ("0,7,1", [FIRST]), ("x", []), ("MIG-1234", ["MIG-1234"]),
    ],
)  # fmt: skip
def test_gpus_are_those_of_the_system_that_the_user_leaves_visible(two_gpus, monkeypatch, chosen, found):
    if chosen is not None:
        monkeypatch.setenv(VISIBLE, chosen)
    assert gpus() == found


def test_a_machine_without_gpus(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "GPUS", tmp_path / "none")
    monkeypatch.setattr(environment, "OTHER_GPUS", (tmp_path / "kfd",))
    assert gpus() == [] and not may_have_gpu() and device_variables("gpu") == {}
    (tmp_path / "kfd").touch()
    assert may_have_gpu()


def test_the_cpu_hides_every_gpu_and_the_gpu_is_pinned(two_gpus, monkeypatch):
    assert device_variables("cpu") == NO_GPU and device_variables("auto") == {}
    assert device_variables("gpu") == {VISIBLE: FIRST}
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert worker_environment(device="cpu")["JAX_PLATFORMS"] == "cpu"
    assert worker_environment(device="gpu")["JAX_PLATFORMS"] == "cuda"


def test_a_part_of_a_gpu_that_the_user_has_chosen_is_used(two_gpus, monkeypatch):
    monkeypatch.setenv(VISIBLE, "MIG-1234")
    assert may_have_gpu() and worker_environment(device="gpu")[VISIBLE] == "MIG-1234"
    monkeypatch.setattr(environment, "GPUS", two_gpus / "none")
    assert gpus() == [], "it is a part of nothing"


@pytest.mark.parametrize("chosen", ["", "-1", "x"])
def test_gpus_that_the_user_hides_stay_hidden(two_gpus, monkeypatch, chosen):
    monkeypatch.setenv(VISIBLE, chosen)
    assert not gpus() and worker_environment(device="gpu")[VISIBLE] == chosen


@pytest.mark.parametrize(
    ("name", "usual"), [("XLA_PYTHON_CLIENT_PREALLOCATE", "false"), ("TF_FORCE_GPU_ALLOW_GROWTH", "true")]
)
def test_memory_is_taken_when_it_is_needed_unless_the_user_has_chosen(monkeypatch, name, usual):
    monkeypatch.delenv(name, raising=False)
    assert worker_environment()[name] == usual
    monkeypatch.setenv(name, "own")
    assert worker_environment()[name] == "own" and relevant_variables(worker_environment())[name] == "own"


def test_auto_is_the_cpu_without_a_gpu(tmp_path, monkeypatch, answers, places):
    monkeypatch.setattr(environment, "GPUS", tmp_path / "none")
    monkeypatch.setattr(environment, "OTHER_GPUS", ())
    assert one_device("auto", ["pytorch"], places) == "cpu", "no backend is asked"


def test_auto_is_the_device_of_all_backends(two_gpus, answers, places):
    answers |= {"pytorch": "gpu", "jax": "gpu", "keras": None}
    assert one_device("auto", answers, places) == "gpu"
    answers |= {"pytorch": "cpu", "jax": "cpu"}
    assert one_device("auto", answers, places) == "cpu"
    assert one_device("gpu", answers, places) == "gpu", "a device that the user names is not questioned here"


def test_a_mix_of_devices_is_refused(two_gpus, answers, places):
    answers |= {"pytorch": "gpu", "jax": "gpu", "keras": "cpu"}
    with refused(UsageError, "conflicting-options", "keras on the cpu", "pytorch, jax on the gpu", "--device cpu"):
        one_device("auto", answers, places)


def test_the_device_of_a_run_is_in_its_results(tmp_path):
    done = samebench("run", "--backend", "numpy", "--no-parity", "--device", "cpu", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 0, done.stderr
    [file] = tmp_path.glob("run/cells/*/result.json")
    result = json.loads(file.read_text())
    assert result["evidence"]["device"] == "cpu"
    assert {name: result["provenance"]["environment"].get(name) for name in NO_GPU} == NO_GPU | {
        "HIP_VISIBLE_DEVICES": ""
    }


def test_a_backend_that_cannot_use_the_device_of_the_run_is_a_row(tmp_path):
    done = samebench("run", "--backend", "numpy", "--no-parity", "--device", "gpu", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 1
    [cell] = json.loads(samebench("report", tmp_path / "run", "--format", "json").stdout)["cells"]
    assert cell["status"] == "wrong-device"
