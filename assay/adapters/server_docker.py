"""Serves a model in a throwaway container that reaches nothing and always ends.

::

    image resolved to something immutable ─▶ created ─▶ stdin attached ─▶ started ─▶ … ─▶ removed

Four ways out, each sufficient: `stop`; the attached stdin, whose end ends the server (the owner was
killed); the deadline inside; and `reap`, which finds containers of dead owners by their labels.
What the container may do is `server_container`'s; when it is ready is `server_engine`'s.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from assay.adapters import (
    server_container,
    server_hardware,
    server_owner,
    server_remains,
    server_usage,
    server_workspace,
    vllm_arguments,
)
from assay.adapters.server_container import LABEL_DEADLINE, LABEL_OWNER, LABEL_RUN, ContainerPlan
from assay.adapters.server_docker_engine import (
    PROBE_TIMEOUT_S,
    TROUBLE,
    connect,
    engine_holds,
    resolve_image,
    words_of,
)
from assay.adapters.server_engine import StartedEngine
from assay.adapters.server_failure import Ending
from assay.adapters.server_remains import Member
from assay.errors import ConfigError, InfrastructureError
from assay.ports import ProcessUsage, ServeRequest
from assay.records import Endpoint, EngineIdentity, Postcondition

__all__ = ["DockerServer", "ServerContainer", "engine_holds"]

BACKEND = "docker"
_ENGINE_TIMEOUT_S = 60
_LOG_LINES = 600
_OVERDUE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerServer:
    """The port `ModelServer`, with containers of the Docker engine of this machine."""

    def launch(self, request: ServeRequest) -> "ServerContainer":
        """Starts a container and returns at once.

        Raises:
            ConfigError: no engine on this machine, or an image that is not there or not pinned.
            InfrastructureError: the engine could not create or start the container.
        """
        artifact = vllm_arguments.artifact_of(request)
        client = connect(_ENGINE_TIMEOUT_S)
        image_id, image_name = resolve_image(client, request.profile.image, request.profile_name)
        server_container.make_readable(artifact)
        workspace = server_workspace.make(request.run_id)
        try:
            plan = ContainerPlan(
                request=request,
                workspace=workspace,
                image_id=image_id,
                owner=server_owner.this_process(),
                deadline=_deadline(request.profile.lifetime_s),
                api_key=secrets.token_urlsafe(24),
                cache=_cache(request, image_id),
            )
            return ServerContainer(client, plan, image_name)
        except OSError as error:
            workspace.remove()
            raise server_workspace.cannot_write(error) from error
        except BaseException:
            workspace.remove()
            raise

    def reap(self) -> Sequence[str]:
        """Removes containers and folders of dead owners; returns a sentence for each."""
        return (*_reap_containers(), *server_workspace.sweep())


class ServerContainer(StartedEngine):
    """One container, from its creation to its removal."""

    def __init__(self, client: Any, plan: ContainerPlan, image_name: str) -> None:
        endpoint = Endpoint(
            base_url="http://localhost",
            model=plan.request.name,
            uds=plan.workspace.socket,
            api_key=plan.api_key,
        )
        super().__init__(plan.request, endpoint, "limits.memory_gib in serving.yaml")
        self._client = client
        self._plan = plan
        self._image_name = image_name
        self._last_log = ""
        self._stopped = False
        self._family: frozenset[Member] = frozenset()
        self._gpu_memory = server_remains.gpu_memory(plan.request.profile.gpus)
        self._container = self._create()
        try:
            # Attached before the start: there is no moment without an owner.
            self._stdin = self._container.attach_socket(params={"stdin": 1, "stream": 1})
            self._container.start()
        except BaseException as error:
            self._remove()
            if isinstance(error, TROUBLE):
                raise _not_started(error, plan.request) from error
            raise

    def _create(self) -> Any:
        try:
            return self._client.containers.create(**server_container.creation_arguments(self._plan))
        except TROUBLE as error:
            raise _not_started(error, self._plan.request) from error

    def ending(self) -> Ending | None:
        """Returns how the container ended, None while it runs.

        Raises:
            InfrastructureError: the Docker engine does not answer.
        """
        try:
            self._container.reload()
        except NotFound:
            return Ending(exit_status=143)
        except TROUBLE as error:
            raise InfrastructureError(
                f"the Docker engine does not answer ({words_of(error)}); see that it runs"
            ) from error
        state = self._container.attrs["State"]
        if state["Status"] in ("created", "running", "restarting", "paused"):
            return None
        return Ending(
            exit_status=int(state["ExitCode"]), out_of_memory=bool(state.get("OOMKilled"))
        )

    def log(self) -> str:
        """Returns the latest part of the container's log, also after it was removed."""
        with suppress(*TROUBLE):
            self._last_log = self._container.logs(tail=_LOG_LINES).decode(errors="replace")
        return self._last_log

    def identity(self, version: str) -> EngineIdentity:
        """Returns what runs: the image by digest, or by id when it was built on this machine."""
        cpus = self.request.profile.limits.cpus
        share = "" if cpus is None else f", limited to {cpus:g} CPUs"
        return self._identity(
            backend=BACKEND,
            version=version,
            image=self._image_name,
            hardware=server_hardware.describe(self.request.profile.gpus) + share,
        )

    def usage(self) -> ProcessUsage | None:
        """Returns what the container uses; None where the Docker engine does not say."""
        with suppress(*TROUBLE):
            return server_usage.of_container(self._container.stats(stream=False, one_shot=True))
        return None

    def stop(self) -> None:
        """Removes the container and its folder; never raises."""
        if not self._stopped:
            self.log()
            self._family = self._processes()
            with suppress(OSError):
                self._stdin.close()
            self._remove()
            self._plan.workspace.remove()
            with suppress(*TROUBLE):
                self._client.close()
            self._stopped = True

    def postconditions(self) -> Sequence[Postcondition]:
        """Looks for container, processes, socket, folder and GPU memory that should be gone."""
        gpus, name = self.request.profile.gpus, self._container.id[:12]
        known = self._family
        return (
            _container_gone(self._container.id),
            *((server_remains.processes_gone(known, f"container {name}"),) if known else ()),
            *server_remains.folder_gone(self._plan.workspace),
            *server_remains.gpu_memory_gone(gpus, known, self._gpu_memory),
        )

    def _processes(self) -> frozenset[Member]:
        """Returns the container's processes, as far as this machine sees them."""
        with suppress(*TROUBLE):
            listed = self._container.top()
            column = listed["Titles"].index("PID")
            pids = [int(row[column]) for row in listed["Processes"] or ()]
            return server_remains.of_container(self._container.id, pids)
        return frozenset()

    def _remove(self) -> None:
        with suppress(*TROUBLE):
            self._container.remove(force=True, v=True)


def _container_gone(container_id: str) -> Postcondition:
    """Asks the engine anew: the client of the container was closed with it."""
    gone: bool | None
    try:
        client = connect(PROBE_TIMEOUT_S)
        try:
            status = client.containers.get(container_id).status
            gone, detail = False, f"it is {status}"
        finally:
            client.close()
    except NotFound:
        gone, detail = True, ""
    except (ConfigError, *TROUBLE) as error:
        gone, detail = None, f"the Docker engine does not answer ({words_of(error)})"
    return Postcondition(what="container", subject=container_id[:12], gone=gone, detail=detail)


def _cache(request: ServeRequest, image_id: str) -> Path | None:
    """Returns the folder for compiled kernels, None for an engine that compiles none.

    One folder an image and artifact: compiled kernels are code, so nothing that a candidate's
    container writes is ever loaded by production's, or outside a container.
    """
    if not vllm_arguments.compiles(request):
        return None
    artifact = vllm_arguments.artifact_of(request).ref.digest.removeprefix("sha256:")[:32]
    image = image_id.removeprefix("sha256:")[:16]
    return server_container.make_cache(request.cache_dir / "engine" / BACKEND / image / artifact)


def _reap_containers() -> Iterator[str]:
    try:
        client = connect(PROBE_TIMEOUT_S)
    except ConfigError:
        return
    try:
        found = client.containers.list(all=True, filters={"label": LABEL_OWNER}, sparse=True)
        for container in found:
            reason = _abandoned(container.attrs["Labels"])
            if reason is not None:
                with suppress(NotFound):
                    container.remove(force=True, v=True)
                run = container.attrs["Labels"].get(LABEL_RUN)
                yield f"removed container {container.id[:12]} of run {run!r}: {reason}"
    except TROUBLE as error:
        raise InfrastructureError(
            f"containers of dead owners could not be removed ({words_of(error)}); remove those "
            f"that `docker ps --all --filter label={LABEL_OWNER}` lists"
        ) from error
    finally:
        client.close()


def _abandoned(labels: dict[str, str]) -> str | None:
    if server_owner.is_dead(labels[LABEL_OWNER]):
        return f"its owner {labels[LABEL_OWNER]} is gone"
    with suppress(KeyError, ValueError):
        if datetime.now(UTC) > datetime.fromisoformat(labels[LABEL_DEADLINE]) + _OVERDUE:
            return f"it outlived its deadline {labels[LABEL_DEADLINE]}"
    return None


def _deadline(lifetime_s: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=lifetime_s)).isoformat(timespec="seconds")


def _not_started(error: BaseException, request: ServeRequest) -> ConfigError | InfrastructureError:
    words = words_of(error)
    if "device driver" in words:
        return ConfigError(
            f"serving.yaml: profile {request.profile_name} asks for {request.profile.gpus} GPU(s) "
            f"and the Docker engine offers none ({words}); install the NVIDIA container toolkit, "
            "or use --profile cpu"
        )
    return InfrastructureError(
        f"the container of {request.name!r} could not be started ({words}); see the Docker engine"
    )
