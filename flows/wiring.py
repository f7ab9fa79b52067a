"""From settings to adapters: the only place that picks an implementation."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import ConfigError
from assay.ports import ChatClient, ModelServer, Registry
from assay.serving_profile import load_serving
from assay.warrant import Gatekeeper
from flows import teardown
from flows.gathering import Ports
from flows.notary import Notary
from flows.request import BackendName, GateRequest
from flows.resuming import unfinished
from flows.rollback import RollbackPorts
from flows.settings import Settings
from flows.watch_wiring import watch_for

if TYPE_CHECKING:
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.adapters.sealed_store import SealedStore

LOCAL_BACKENDS: tuple[BackendName, ...] = ("docker", "process")


def wire(request: GateRequest, settings: Settings) -> Ports:
    """Returns the adapters of one gate.

    Raises:
        ConfigError: the back end or the trust file is not usable; says how to mend it.
    """
    from assay.adapters.in_memory_store import InMemoryStore
    from assay.adapters.load_aiohttp import AiohttpLoad
    from assay.adapters.probe_vllm import VllmProbes
    from assay.adapters.server_hardware import free_memory_bytes
    from assay.adapters.validator_gx import GxValidator
    from assay.trust import TrustedKeys

    notary = Notary.of(settings)
    backend = request.backend or default_backend(request)
    server = guarded(server_for(backend), backend, settings)
    return Ports(
        # What answers at a URL never comes from the store, so no key has to be trusted for it.
        store=store_for(settings) if backend != "endpoint" else InMemoryStore(TrustedKeys(())),
        server=server,
        backend=backend,
        client=client_for(backend),
        golden=golden_source(settings),
        validator=GxValidator(),
        registry=registry_for(settings, notary),
        notary=notary,
        engine_probes=VllmProbes(),
        generator=AiohttpLoad(),
        free_memory_bytes=(lambda: None) if backend == "endpoint" else free_memory_bytes,
        watch=watch_for(settings),
    )


def wire_rollback(settings: Settings) -> RollbackPorts:
    """Returns the adapters of a move back; the store is not touched before it is asked.

    Raises:
        ConfigError: the trust file or the gate's key is wrong.
    """
    from assay.trust import TrustedKeys

    notary = Notary.of(settings)
    return RollbackPorts(
        registry=registry_for(settings, notary),
        notary=notary,
        store=lambda: store_for(settings),
        trusted=lambda: TrustedKeys.load(settings.trust),
    )


def golden_source(settings: Settings) -> "DvcGoldenSource":
    """Returns the golden sets of the folder that the command runs in, each as it was published.

    Raises:
        ConfigError: the trust file is wrong.
    """
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.golden_trust import GoldenTrust

    listed = settings.trust.exists()
    trust = GoldenTrust.load(settings.trust) if listed else GoldenTrust()
    return DvcGoldenSource(Path.cwd(), trust=trust)


def registry_for(settings: Settings, notary: Notary) -> Registry:
    """Returns the registry, which moves an alias only by what this machine's trust file lists."""
    from assay.adapters.registry_mlflow import MlflowRegistry

    gatekeeper = Gatekeeper(trust=notary.trust)
    return MlflowRegistry(settings.tracking_uri, settings.locks, gatekeeper)


def registry_to_read(settings: Settings) -> Registry:
    """Returns the registry for whoever only reads: without a gatekeeper it moves no alias."""
    from assay.adapters.registry_mlflow import MlflowRegistry

    return MlflowRegistry(settings.tracking_uri, settings.locks)


def store_for(settings: Settings) -> "SealedStore":
    """Returns the trusted store, with the keys pinned in the trust file.

    Raises:
        ConfigError: the trust file is missing or wrong.
    """
    from assay.adapters.store_cache import BlobCache
    from assay.adapters.store_fsspec import FsspecStore
    from assay.trust import TrustedKeys, read_artifact_rules

    if not settings.trust.exists():
        raise ConfigError(
            f"{settings.trust}: no such file; expected the public keys that may vouch for a model; "
            "list yours there (`assay store keygen` makes a pair), or name the file in ASSAY_TRUST"
        )
    return FsspecStore(
        settings.store,
        TrustedKeys.load(settings.trust),
        rules=read_artifact_rules(settings.trust),
        storage_options=settings.store_options,
        cache=BlobCache(settings.downloads, limit_bytes=settings.cache_limit_bytes),
    )


def reap_everything(settings: Settings) -> Sequence[str]:
    """Removes what dead gates left: engines of every back end, and staged copies.

    Returns a sentence for each thing removed, and for each run that can be continued. Nothing of a
    gate that still runs is touched: it holds the lock of its run's journal.
    """
    from assay.adapters.store_staging import STAGING_PREFIXES, sweep

    lines: list[str] = []
    for backend in LOCAL_BACKENDS:
        try:
            lines += server_for(backend).reap()
        except ConfigError as error:
            lines.append(f"{backend}: not looked at ({error})")
    lines += teardown.remove_staged(settings)
    temporary = Path(tempfile.gettempdir())
    for prefix in STAGING_PREFIXES:
        lines += [f"removed the copy {name}" for name in sweep(temporary, prefix)]
    lines += [
        f"run {run_id} can be continued: assay gate --resume {run_id}"
        for run_id in unfinished(settings)
    ]
    return lines


def guarded(server: ModelServer, backend: BackendName, settings: Settings) -> ModelServer:
    """Lets a back end start only the images that the trust file allows, where it speaks of them.

    A process has no image, and what answers at a URL does not show one: their verdicts move
    production only where the policy lists these back ends.

    Raises:
        ConfigError: the trust file or the vulnerability report that it names is wrong.
    """
    from assay.adapters.server_guarded import GuardedServer
    from assay.trust import read_image_policy

    if backend not in ("docker", "kubernetes") or not settings.trust.exists():
        return server
    policy = read_image_policy(settings.trust)
    return server if policy is None else GuardedServer(server, policy)


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
        from assay.adapters.chat_openai import OpenAIChat

        return OpenAIChat()
    from assay.adapters.chat_aiohttp import AiohttpChat

    return AiohttpChat()


def default_backend(request: GateRequest) -> BackendName:
    """Picks docker where an engine answers and holds the profile's image, else a process."""
    from assay.adapters.server_docker import engine_holds

    image = load_serving(request.serving).profile(request.profile).image
    return "docker" if engine_holds(image) else "process"
