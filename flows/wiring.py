"""From settings to adapters: the only place that picks an implementation."""

from pathlib import Path

from assay.errors import ConfigError
from assay.ports import ChatClient, ModelServer
from assay.serving_profile import load_serving
from flows.conduct import Ports
from flows.request import BackendName, GateRequest
from flows.settings import Settings


def wire(request: GateRequest, settings: Settings) -> Ports:
    """Returns the adapters of one gate.

    Raises:
        ConfigError: the back end or the trust file is not usable; says how to mend it.
    """
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.adapters.registry_mlflow import MlflowRegistry
    from assay.adapters.store_fsspec import FsspecStore
    from assay.adapters.validator_gx import GxValidator
    from assay.trust import TrustedKeys

    backend = request.backend or default_backend(request)
    return Ports(
        store=FsspecStore(settings.store, TrustedKeys.load(settings.trust)),
        server=server_for(backend),
        backend=backend,
        client=client_for(backend),
        golden=DvcGoldenSource(Path.cwd()),
        validator=GxValidator(),
        registry=MlflowRegistry(settings.tracking_uri, settings.locks),
    )


def server_for(backend: BackendName) -> ModelServer:
    """Returns the server adapter of a back end."""
    if backend == "docker":
        from assay.adapters.server_docker import DockerServer

        return DockerServer()
    if backend == "process":
        from assay.adapters.server_process import ProcessServer

        return ProcessServer()
    if backend == "endpoint":
        from assay.adapters.server_endpoint import EndpointServer

        return EndpointServer()
    raise ConfigError(
        f"--backend {backend}: not available in this version; use docker, process or endpoint"
    )


def client_for(backend: BackendName) -> ChatClient:
    """Returns the client of a back end: lean for our own engines, openai's for endpoints."""
    if backend == "endpoint":
        from assay.adapters.chat_openai import OpenAIChatClient

        return OpenAIChatClient()
    from assay.adapters.chat_aiohttp import AiohttpChatClient

    return AiohttpChatClient()


def default_backend(request: GateRequest) -> BackendName:
    """Picks docker where an engine answers and holds the profile's image, else a process."""
    from assay.adapters.server_docker import engine_holds

    image = load_serving(request.serving).profile(request.profile).image
    return "docker" if engine_holds(image) else "process"
