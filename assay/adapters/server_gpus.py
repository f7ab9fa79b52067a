"""The GPUs of this machine, as the driver's own library (NVML) sees them.

Decides which GPUs there are and whose memory they hold. A machine without a GPU, without a driver,
or whose driver does not answer has none to report: what is absent is absent, never zero.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU: its number on this machine, its lasting identity, its memory in use.

    `owners` maps the processes (as the host numbers them) that hold memory on it to bytes; None as
    a value where the driver does not say how much.
    """

    index: int
    uuid: str
    used_bytes: int
    owners: dict[int, int | None]


def found() -> tuple[Gpu, ...]:
    """Returns this machine's GPUs; empty where there is none to be asked."""
    import pynvml

    with suppress(pynvml.NVMLError), _opened():
        return tuple(_read(index) for index in range(pynvml.nvmlDeviceGetCount()))
    return ()


def still_held(processes: Collection[int]) -> dict[str, list[int]]:
    """Returns, by a GPU's identity, which of these processes hold memory on it."""
    return {gpu.uuid: sorted(set(processes) & gpu.owners.keys()) for gpu in found()}


@contextmanager
def _opened() -> Iterator[None]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _read(index: int) -> Gpu:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    uuid = pynvml.nvmlDeviceGetUUID(handle)
    return Gpu(
        index=index,
        uuid=uuid if isinstance(uuid, str) else uuid.decode(),
        used_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).used),
        owners={
            int(one.pid): None if one.usedGpuMemory is None else int(one.usedGpuMemory)
            for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        },
    )
