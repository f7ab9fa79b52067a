"""Accelerators as NVIDIA's management library tells of them; nothing where there is none.

Decides what is asked of NVML; leaves when to the probes. A figure that a device does not tell is
None, and a machine without a device or a driver has no figures at all: never zeros.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import pynvml

from assay.records import GpuSample

T = TypeVar("T")


class Gpus:
    """The accelerators of this machine that an engine was given.

    Figures are a whole device's: what else runs on it is in them.
    """

    def __init__(self, count: int) -> None:
        """Opens NVML where `count` devices are to be watched, the first ones of the machine."""
        self._handles: list[Any] = []
        self._open = False
        if count < 1:
            return
        try:
            pynvml.nvmlInit()
            self._open = True
            present = min(count, pynvml.nvmlDeviceGetCount())
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(present)]
        except pynvml.NVMLError:
            self._handles = []

    def sample(self) -> tuple[GpuSample, ...]:
        """Returns the figures of each device at this moment."""
        return tuple(_sample(index, handle) for index, handle in enumerate(self._handles))

    def close(self) -> None:
        """Lets NVML go; may be called more than once."""
        if self._open:
            self._open, self._handles = False, []
            _or_none(pynvml.nvmlShutdown)


def _sample(index: int, handle: Any) -> GpuSample:
    memory = _or_none(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    busy = _or_none(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    power = _or_none(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
    return GpuSample(
        index=index,
        busy_share=None if busy is None else busy / 100,
        memory_bytes=None if memory is None else int(memory.used),
        memory_total_bytes=None if memory is None else int(memory.total),
        power_w=None if power is None else power / 1000,
    )


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except pynvml.NVMLError:
        return None
