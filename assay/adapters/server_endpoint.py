"""A server that somebody else runs: found ready or not, never started and never stopped.

Decides whether it may be asked: healthy, of an accepted version, serving a model whose name is
known, answering the readiness question. What image, arguments and hardware are behind a URL cannot
be known from outside, and the identity says so instead of guessing.

A key is read from the environment: ASSAY_CANDIDATE_API_KEY or ASSAY_PRODUCTION_API_KEY, else
ASSAY_API_KEY. It is never an argument and never part of a URL.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from assay.adapters import server_readiness
from assay.adapters.server_readiness import ReadinessQuestion
from assay.errors import ConfigError, InfrastructureError
from assay.ports import Progress, RunningServer, ServeRequest
from assay.records import Endpoint, EngineIdentity, Postcondition

BACKEND = "endpoint"
UNKNOWN = "unknown"
_PATIENCE_S = 30.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointServer:
    """The port `ModelServer`, for servers that run already."""

    def launch(self, request: ServeRequest) -> "AttachedServer":
        """Takes note of a URL; nothing is started.

        Raises:
            ConfigError: no URL, or one that is not a server's.
        """
        return AttachedServer(request, read_url(request))

    def reap(self) -> Sequence[str]:
        """Returns nothing: nothing is ever left behind."""
        return ()


class AttachedServer:
    """Somebody else's server, for the time of one gate."""

    def __init__(self, request: ServeRequest, endpoint: Endpoint) -> None:
        self._request = request
        self._endpoint = endpoint

    def wait_ready(self, progress: Progress) -> RunningServer:
        """Waits a little until the server has answered its readiness question.

        Raises:
            ArtifactError: the server cannot put the question to its model.
            InfrastructureError: not there, too old, another model, or no answer.
        """
        started = time.monotonic()
        profile = self._request.profile
        self._wait_healthy(started + min(_PATIENCE_S, profile.startup_timeout_s), progress)
        version = server_readiness.engine_version(self._endpoint, minimum=profile.minimum_version)
        endpoint = replace(self._endpoint, model=self._served_name(progress))
        server_readiness.ask_once(
            endpoint,
            ReadinessQuestion(
                messages=self._request.readiness_messages,
                timeout_s=profile.request_timeout_s,
                request_id=server_readiness.request_id(
                    self._request.run_id, self._request.role.value
                ),
            ),
        )
        return RunningServer(
            endpoint=endpoint,
            identity=self._identity(version),
            started_in_s=time.monotonic() - started,
            log_tail=lambda: "(the log of a server that somebody else runs is theirs)",
            is_alive=lambda: server_readiness.is_healthy(endpoint),
        )

    def stop(self) -> None:
        """Does nothing: the server is somebody else's."""

    def postconditions(self) -> Sequence[Postcondition]:
        """Returns none: what stays is somebody else's."""
        return ()

    def _wait_healthy(self, end: float, progress: Progress) -> None:
        told = False
        while not server_readiness.is_healthy(self._endpoint):
            if time.monotonic() >= end:
                raise InfrastructureError(
                    f"{self._request.url}/health: no answer of 200 within {_PATIENCE_S:.0f} s; "
                    "expected a running vLLM; start it or correct the URL"
                )
            if not told:
                progress(f"waiting for {self._request.url}")
                told = True
            time.sleep(_POLL_S)

    def _served_name(self, progress: Progress) -> str:
        names = server_readiness.served_models(self._endpoint)
        if self._request.name in names:
            return self._request.name
        if len(names) == 1:
            progress(f"{self._request.url} serves it as {names[0]!r}")
            return names[0]
        raise InfrastructureError(
            f"{self._request.url}/v1/models: found {', '.join(map(repr, names)) or 'no model'}, "
            f"expected {self._request.name!r} among them; serve it with --served-model-name"
        )

    def _identity(self, version: str) -> EngineIdentity:
        return EngineIdentity(
            backend=BACKEND,
            profile=self._request.profile_name,
            engine="vllm",
            version=version,
            image=UNKNOWN,
            arguments=(),
            hardware=UNKNOWN,
        )

    def __enter__(self) -> Self:
        """Enters the context in which the server is used."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the server as it was."""


def read_url(request: ServeRequest) -> Endpoint:
    """Returns the endpoint of a request's URL: `http(s)://HOST[:PORT]` or `unix:///SOCKET`.

    Raises:
        ConfigError: no URL, another scheme, or credentials in it.
    """
    url = request.url
    flag = f"--{request.role.value}-url"
    if url is None:
        raise ConfigError(f"{flag} is missing; the endpoint back end needs a URL; give one")
    parts = urlsplit(url)
    key = os.environ.get(f"ASSAY_{request.role.name}_API_KEY") or os.environ.get("ASSAY_API_KEY")
    if parts.username or parts.password:
        raise ConfigError(
            f"{flag} holds a user name or password; expected none: give a key in the environment "
            f"variable ASSAY_{request.role.name}_API_KEY"
        )
    if parts.scheme == "unix" and not parts.netloc and parts.path:
        return Endpoint(
            base_url="http://localhost", model=request.name, uds=Path(parts.path), api_key=key
        )
    if parts.scheme in ("http", "https") and parts.hostname:
        base_url = url.rstrip("/").removesuffix("/v1")
        return Endpoint(base_url=base_url, model=request.name, api_key=key)
    raise ConfigError(
        f"{flag} {url!r} is no server's URL; expected http://HOST:PORT, https://HOST or "
        "unix:///PATH/TO/SOCKET"
    )
