"""The life of one throwaway engine, the same for every back end that starts one.

::

    launch ──▶ starting ──healthy──▶ version read ──▶ question answered ──▶ ready
                  │                                                          │
                  ├─ ended early ───▶ ArtifactError or InfrastructureError   │
                  ├─ too late ──────▶ InfrastructureError                    │
                  └───────────────────────── stop ◀──────────────────────────┘
                                  (every way out of the context)

Decides the order of these steps and how long each may take; a back end says how its engine has
ended, what it has said, and how to stop it.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from assay.adapters import server_failure, server_readiness, vllm_arguments
from assay.adapters.server_failure import Ending
from assay.adapters.server_readiness import ReadinessQuestion
from assay.errors import InfrastructureError
from assay.ports import ProcessUsage, Progress, RunningServer, ServeRequest
from assay.records import Endpoint, EngineIdentity, Postcondition
from assay.uninterrupted import uninterrupted

_POLL_S = 0.25
_HEARTBEAT_S = 15.0
_DEATHBED_S = 3.0
_MILESTONES = (
    (re.compile(r"Starting vLLM server on"), "opening the socket"),
    (re.compile(r"AOT compiled function"), "kernels compiled"),
    (re.compile(r"Loading weights took"), "weights loaded, warming up"),
    (re.compile(r"Starting to load model"), "loading the weights"),
    (re.compile(r"Initializing a V1 LLM engine"), "starting the workers"),
    (re.compile(r"non-default args"), "reading the model's configuration"),
)
"""What vLLM 0.32 logs on its way up, latest first."""


class StartedEngine(ABC):
    """An engine that was started: `assay.ports.LaunchedServer` for back ends that start one."""

    def __init__(self, request: ServeRequest, endpoint: Endpoint, memory_setting: str) -> None:
        self.request = request
        self.artifact = vllm_arguments.artifact_of(request)
        self.endpoint = endpoint
        self._memory_setting = memory_setting
        self._launched_at = time.monotonic()

    @abstractmethod
    def ending(self) -> Ending | None:
        """Returns how the engine ended, None while it runs."""

    @abstractmethod
    def log(self) -> str:
        """Returns what the engine said, its latest part at least; empty when there is nothing."""

    @abstractmethod
    def identity(self, version: str) -> EngineIdentity:
        """Returns the identity of the engine that runs."""

    @abstractmethod
    def usage(self) -> ProcessUsage | None:
        """Returns what the engine's processes use, None where that is not to be had right now."""

    @abstractmethod
    def stop(self) -> None:
        """Ends the engine and removes all it left; may be called more than once, never raises."""

    @abstractmethod
    def postconditions(self) -> Sequence[Postcondition]:
        """Looks, after `stop`, for everything the engine must not leave; never raises."""

    def wait_ready(self, progress: Progress) -> RunningServer:
        """Waits until the engine has answered its readiness question.

        Raises:
            ArtifactError: the engine itself refuses the model.
            InfrastructureError: never ready in time, engine too old, out of memory; the message
                ends with the last log lines.
        """
        self._wait_healthy(progress)
        version = server_readiness.engine_version(
            self.endpoint, minimum=self.request.profile.minimum_version
        )
        self._ask()
        seconds = time.monotonic() - self._launched_at
        progress(f"ready after {seconds:.0f} s")
        return RunningServer(
            endpoint=self.endpoint,
            identity=self.identity(version),
            started_in_s=seconds,
            log_tail=lambda: server_failure.tail(self.log()),
            is_alive=lambda: self.ending() is None,
            usage=self.usage,
            gpus=self.request.profile.gpus,
        )

    def _ask(self) -> None:
        question = ReadinessQuestion(
            messages=self.request.readiness_messages,
            timeout_s=max(self._seconds_left(), self.request.profile.request_timeout_s),
            request_id=server_readiness.request_id(self.request.run_id, self.request.role.value),
        )
        try:
            server_readiness.ask_once(self.endpoint, question)
        except InfrastructureError as error:
            # A dying engine drops its connections before it is seen to have ended.
            end = time.monotonic() + _DEATHBED_S
            while time.monotonic() < end:
                self._raise_if_ended()
                time.sleep(_POLL_S)
            raise InfrastructureError(f"{error}; {self._last_words()}") from error

    def _wait_healthy(self, progress: Progress) -> None:
        told, told_at = "", float("-inf")
        while not server_readiness.is_healthy(self.endpoint):
            self._raise_if_ended()
            if self._seconds_left() <= 0:
                raise InfrastructureError(
                    f"{self._where()}: not ready after "
                    f"{self.request.profile.startup_timeout_s:.0f} s (last seen "
                    f"{told or 'starting'}); expected /health to answer 200; raise "
                    f"startup_timeout_s in serving.yaml or free the machine; {self._last_words()}"
                )
            stage, now = self._stage(), time.monotonic()
            if stage != told or now - told_at >= _HEARTBEAT_S:
                progress(f"{stage}, {now - self._launched_at:.0f} s")
                told, told_at = stage, now
            time.sleep(_POLL_S)

    def _raise_if_ended(self) -> None:
        ending = self.ending()
        if ending is not None:
            raise server_failure.explain(
                ending, self.log(), where=self._where(), memory=self._memory_setting
            )

    def _stage(self) -> str:
        said = self.log()
        return next((words for sign, words in _MILESTONES if sign.search(said)), "starting")

    def _seconds_left(self) -> float:
        return self._launched_at + self.request.profile.startup_timeout_s - time.monotonic()

    def _where(self) -> str:
        ref = self.artifact.ref
        return f"server of {ref.model}/{ref.version} ({self.request.profile_name} profile)"

    def _last_words(self) -> str:
        return f"its last words:\n{server_failure.tail(self.log())}"

    def _identity(self, *, backend: str, version: str, image: str, hardware: str) -> EngineIdentity:
        return EngineIdentity(
            backend=backend,
            profile=self.request.profile_name,
            engine=vllm_arguments.ENGINE,
            version=version,
            image=image,
            arguments=vllm_arguments.identity_arguments(self.request),
            hardware=hardware,
        )

    def __enter__(self) -> Self:
        """Enters the context in which the engine lives."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the engine, whatever happened; Ctrl-C waits until nothing of it is left."""
        with uninterrupted():
            self.stop()
