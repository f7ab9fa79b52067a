"""How one step of a gate is run: named, timed, and retried only where nothing but the world failed.

Decides retries and timing; what a step does is in `conduct` and `measure`. The same steps run as
plain calls (`assay gate`) or as Prefect tasks (the flow), so the two cannot differ.
"""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from assay.errors import InfrastructureError
from assay.ports import Progress

T = TypeVar("T")


class Steps(Protocol):
    """Runs steps and remembers how long each took."""

    timings_s: dict[str, float]

    def run(self, name: str, action: Callable[[], T], *, retries: int = 0) -> T:
        """Runs `action`; an `InfrastructureError` is retried up to `retries` times."""
        ...


class PlainSteps:
    """Steps as plain calls in this process.

    Args:
        progress: told the name of each step as it starts.
        wait_s: first wait before a retry; doubles each time.
    """

    def __init__(self, progress: Progress, *, wait_s: float = 1.0) -> None:
        self.timings_s: dict[str, float] = {}
        self._progress = progress
        self._wait_s = wait_s

    def run(self, name: str, action: Callable[[], T], *, retries: int = 0) -> T:
        """Runs `action` under the step's name."""
        self._progress(name)
        started = time.monotonic()
        try:
            return Retrying(
                stop=stop_after_attempt(retries + 1),
                wait=wait_exponential(multiplier=self._wait_s, max=30),
                retry=retry_if_exception_type(InfrastructureError),
                before_sleep=lambda state: self._progress(f"{name}: trying again"),
                reraise=True,
            )(action)
        finally:
            elapsed = time.monotonic() - started
            self.timings_s[name] = self.timings_s.get(name, 0.0) + elapsed
