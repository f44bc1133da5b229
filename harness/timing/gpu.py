"""The state of an NVIDIA GPU while something is timed: clocks, power, energy, utilisation, memory, and reasons for lower clocks.

It comes from NVIDIA's management library, which is part of the driver. Frameworks are not asked.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from harness.text import counted, format_bytes

LIBRARY = "libnvidia-ml.so.1"
GRAPHICS, MEMORY = 0, 2
"""Kinds of clocks in NVML."""

REASONS = {
    0x4: "power limit", 0x8: "slowdown by the hardware", 0x20: "too hot", 0x40: "too hot (hardware)",
    0x80: "power brake", 0x100: "display clocks",
}  # fmt: skip
"""Reasons for lower clocks that matter, by their bits. An idle GPU has others."""


TOO_SMALL = 7
"""NVML's error code if a list has more members than the caller has room for."""

IDLE_BYTES = 2 * 2**30
"""A GPU that nobody uses has less memory in use than this. Drivers keep up to several hundred MB for themselves."""


class GpuReading(NamedTuple):
    """The counters of a GPU at one moment."""

    at: float
    """Seconds of a monotonic clock."""

    energy_j: float
    power_w: float
    graphics_mhz: int
    memory_mhz: int
    utilisation: float
    """The share of the last moments in which some kernel ran."""

    used_bytes: int
    """The memory that all processes use."""

    throttled: tuple[str, ...]

    def until(self, later: GpuReading) -> dict[str, Any]:
        """What happened between this reading and a later one."""
        seconds = max(later.at - self.at, 1e-9)
        energy = later.energy_j - self.energy_j
        return {
            "energy_j": energy, "mean_power_w": energy / seconds, "graphics_mhz": later.graphics_mhz,
            "memory_mhz": later.memory_mhz, "utilisation": later.utilisation, "used_bytes": later.used_bytes,
            "throttled": sorted({*self.throttled, *later.throttled}),
        }  # fmt: skip


class Unreadable(Exception):
    """The GPU cannot be read; the message says why."""


class _Utilisation(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class Gpu:
    """One GPU, by its UUID."""

    def __init__(self, uuid: str, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        """Raises `Unreadable` if the driver's library or the GPU is not there."""
        try:
            self._nvml = load(LIBRARY)
        except OSError as error:
            raise Unreadable(f"{LIBRARY} cannot be loaded: {error}") from None
        self._call("nvmlInit_v2")
        self._device = ctypes.c_void_p()
        self._call("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(self._device))

    def read(self) -> GpuReading:
        """The present state. Raises `Unreadable` if the GPU does not tell it."""
        return GpuReading(
            time.perf_counter(),
            self._number("nvmlDeviceGetTotalEnergyConsumption", ctypes.c_ulonglong()) / 1e3,
            self._number("nvmlDeviceGetPowerUsage", ctypes.c_uint()) / 1e3,
            self._clock(GRAPHICS),
            self._clock(MEMORY),
            self._filled("nvmlDeviceGetUtilizationRates", _Utilisation()).gpu / 100,
            self._filled("nvmlDeviceGetMemoryInfo", _Memory()).used,
            self._throttled(),
        )

    def others(self) -> str | None:
        """What other processes have on this GPU, in words; None if that is nothing. Ask before this process uses the GPU. In a
        container the driver may not list the processes of others, but their memory counts."""
        count = ctypes.c_uint(0)
        code = self._nvml.nvmlDeviceGetComputeRunningProcesses_v3(self._device, ctypes.byref(count), None)
        if code in (0, TOO_SMALL) and count.value:
            return f"{counted(count.value, 'other process', 'other processes')} used the GPU when the cell began"
        used = self._filled("nvmlDeviceGetMemoryInfo", _Memory()).used
        if used > IDLE_BYTES:
            return f"{format_bytes(used)} of the GPU's memory were in use when the cell began"
        return None

    def _clock(self, kind: int) -> int:
        found = ctypes.c_uint()
        self._call("nvmlDeviceGetClockInfo", self._device, kind, ctypes.byref(found))
        return found.value

    def _throttled(self) -> tuple[str, ...]:
        bits = self._number("nvmlDeviceGetCurrentClocksThrottleReasons", ctypes.c_ulonglong())
        return tuple(reason for bit, reason in REASONS.items() if bits & bit)

    def _number(self, function: str, found: Any) -> int:
        return int(self._filled(function, found).value)

    def _filled(self, function: str, found: Any) -> Any:
        self._call(function, self._device, ctypes.byref(found))
        return found

    def _call(self, function: str, *arguments: Any) -> None:
        if code := getattr(self._nvml, function)(*arguments):
            raise Unreadable(f"{function} of NVIDIA's driver returned error {code}")
