"""The state of a GPU, from a faked library of the driver."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import CELL

from harness import environment
from harness.environment import gpus
from harness.report.summary import disturbed
from harness.timing.clock import Clock
from harness.timing.gpu import LIBRARY, Gpu, Unreadable
from harness.worker import cell as worker
from harness.worker.cell import gpu_of, others_on, run_cell

UUID = "GPU-1234"


class Nvml:
    """The functions of NVIDIA's management library that are used. Each returns an error code, 0 for none."""

    def __init__(self) -> None:
        self.energy_mj, self.throttle, self.fails = 5_000, 0, ""
        self.used, self.processes = 7 * 2**30, 0

    def __getattr__(self, name: str):
        if not name.startswith("nvml"):
            raise AttributeError(name)
        return lambda *arguments: 3 if name == self.fails else getattr(self, name.removeprefix("nvml"))(*arguments)

    def Init_v2(self):
        return 0

    def DeviceGetHandleByUUID(self, uuid, device):
        device._obj.value = 77
        return 0 if uuid == UUID.encode() else 6

    def fill(self, device, found, value):
        assert device.value == 77
        found._obj.value = value
        return 0

    def DeviceGetTotalEnergyConsumption(self, device, found):
        self.energy_mj += 1_000
        return self.fill(device, found, self.energy_mj)

    def DeviceGetPowerUsage(self, device, found):
        return self.fill(device, found, 250_000)

    def DeviceGetCurrentClocksThrottleReasons(self, device, found):
        return self.fill(device, found, self.throttle)

    def DeviceGetClockInfo(self, device, kind, found):
        return self.fill(device, found, {0: 1980, 2: 3201}[kind])

    def DeviceGetUtilizationRates(self, device, found):
        found._obj.gpu = 93
        return 0

    def DeviceGetMemoryInfo(self, device, found):
        found._obj.used = self.used
        return 0

    def DeviceGetComputeRunningProcesses_v3(self, device, count, processes):
        assert device.value == 77 and processes is None and count._obj.value == 0
        count._obj.value = self.processes
        return 7 if self.processes else 0  # there is no room for a list


@pytest.fixture
def nvml() -> Nvml:
    return Nvml()


@pytest.fixture
def gpu(nvml: Nvml) -> Gpu:
    return Gpu(UUID, {LIBRARY: nvml}.__getitem__)


def test_a_reading_has_clocks_power_memory_and_utilisation(gpu):
    found = gpu.read()
    assert (found.energy_j, found.power_w, found.graphics_mhz, found.memory_mhz) == (6.0, 250.0, 1980, 3201)
    assert (found.utilisation, found.used_bytes, found.throttled) == (0.93, 7 * 2**30, ())


def test_the_energy_between_two_readings(gpu, nvml):
    before = gpu.read()
    nvml.throttle = 0x4 | 0x1 | 0x20  # 0x1 is an idle GPU
    after = gpu.read()._replace(at=before.at + 0.5)
    found = before.until(after)
    assert found["energy_j"] == 1.0 and found["mean_power_w"] == pytest.approx(2.0)
    assert found["throttled"] == ["power limit", "too hot"]


def test_each_timed_segment_has_the_energy_of_the_gpu(gpu, nvml):
    clock = Clock(gpu=gpu)
    with clock.phase("train"):
        pass
    assert clock.rate("train", 10).gpu["energy_j"] == 1.0
    nvml.fails = "nvmlDeviceGetPowerUsage"
    with clock.phase("train"):
        pass
    assert clock.rate("train", 10).gpu is None, "a GPU that stops telling is no reason to fail"
    with Clock().phase("train"):
        pass


@pytest.mark.parametrize(
    ("used", "processes", "said"),
    [
        (500 * 2**20, 0, None),
        (500 * 2**20, 1, "1 other process used the GPU when the cell began"),
        (2**33, 3, "3 other processes used the GPU when the cell began"),
        (2**33, 0, "8.6 GB of the GPU's memory were in use when the cell began"),  # processes of another container
    ],
)
def test_other_users_of_the_gpu_are_named(gpu, nvml, used, processes, said):
    nvml.used, nvml.processes = used, processes
    assert gpu.others() == said and others_on(gpu) == said


def test_a_driver_that_does_not_tell_about_others_is_no_reason_to_fail(gpu, nvml):
    nvml.fails = "nvmlDeviceGetMemoryInfo"
    assert others_on(gpu) is None and others_on(None) is None


def test_a_cell_on_a_gpu_that_others_use_is_disturbed(gpu, nvml, monkeypatch, tmp_path):
    """The reference runs on the CPU, but the cell looks at the GPU of the run."""
    monkeypatch.setattr(worker, "gpu_of", lambda device: (gpu, None))
    nvml.processes = 2
    result = run_cell(replace(CELL, options={"epochs": 1, "train_limit": 96}), tmp_path)
    assert result.status == "ok", result.reason
    assert result.evidence["disturbed"] == disturbed(result) == "2 other processes used the GPU when the cell began"


def test_a_cell_on_the_cpu_says_why_it_has_no_readings():
    assert gpu_of("cpu") == (None, "the cell ran on the CPU")


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
def test_a_cell_without_a_gpu_says_why_it_has_no_readings(monkeypatch):
    assert gpu_of("gpu") == (None, "the system names no NVIDIA GPU")
    monkeypatch.setattr(environment, "gpus", lambda: [UUID])
    found, reason = gpu_of("gpu")
    assert found is None and LIBRARY in reason


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
def test_a_machine_without_the_library_says_so():
    with pytest.raises(Unreadable, match=LIBRARY):
        Gpu(UUID)


@pytest.mark.parametrize("function", ["nvmlInit_v2", "nvmlDeviceGetHandleByUUID"])
def test_a_driver_that_refuses_is_named(nvml, function):
    nvml.fails = function
    with pytest.raises(Unreadable, match=f"{function} .* error 3"):
        Gpu(UUID, {LIBRARY: nvml}.__getitem__)


def test_a_gpu_that_does_not_tell_its_energy(gpu, nvml):
    nvml.fails = "nvmlDeviceGetTotalEnergyConsumption"
    with pytest.raises(Unreadable, match="TotalEnergyConsumption"):
        gpu.read()
