"""A back end that starts only images which `trust.yaml` allows.

Decides when the image is looked at: before anything is started where its digest is known, and again
once the engine has said its version and the container its image; what is allowed is decided by
`image_policy`. A refused image says nothing about the candidate, so nothing is measured in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from assay.errors import InfrastructureError
from assay.image_policy import ImagePolicy
from assay.ports import (
    LaunchedServer,
    ModelServer,
    Progress,
    RunningServer,
    ServeRequest,
)
from assay.records import Postcondition
from assay.serving_profile import is_by_digest


class GuardedServer:
    """Implements `assay.ports.ModelServer` around another one."""

    def __init__(
        self,
        server: ModelServer,
        policy: ImagePolicy,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._server = server
        self._policy = policy
        self._now = now

    def launch(self, request: ServeRequest) -> LaunchedServer:
        """Starts an engine, if its image may be started (see `ModelServer.launch`).

        Raises:
            InfrastructureError: the image is refused; nothing was started.
        """
        image = request.profile.image
        if is_by_digest(image):
            self.check(image, None)
        return _GuardedEngine(server=self._server.launch(request), guard=self)

    def reap(self) -> Sequence[str]:
        """Removes what dead owners left behind (see `ModelServer.reap`)."""
        return self._server.reap()

    def check(self, image: str, version: str | None) -> None:
        """Refuses an image that may not serve; `version` is None before the engine has spoken.

        Raises:
            InfrastructureError: says why.
        """
        reason = self._policy.why_not(image, version, self._now())
        if reason is not None:
            raise InfrastructureError(f"trust.yaml (images): {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _GuardedEngine:
    server: LaunchedServer
    guard: GuardedServer

    def wait_ready(self, progress: Progress) -> RunningServer:
        running = self.server.wait_ready(progress)
        self.guard.check(running.identity.image, running.identity.version)
        return running

    def stop(self) -> None:
        self.server.stop()

    def postconditions(self) -> Sequence[Postcondition]:
        return self.server.postconditions()

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.__exit__(kind, error, trace)
