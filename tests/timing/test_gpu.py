"""The state of a GPU, from a faked library of the driver."""

from __future__ import annotations

import pytest

from harness import environment
from harness.environment import gpus
from harness.timing.clock import Clock
from harness.timing.gpu import LIBRARY, Gpu, Unreadable
from harness.worker.cell import gpu_of

UUID = "GPU-1234"


class Nvml:
    """The functions of NVIDIA's management library that are used. Each returns an error code, 0 for none."""

    def __init__(self) -> None:
        self.energy_mj, self.throttle, self.fails = 5_000, 0, ""

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
        found._obj.used = 7 * 2**30
        return 0


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
