"""The command line and environment that turn a verified artifact into a vLLM server.

Decides what every back end gives the engine, and what of it is the engine's identity; leaves
starting it to the back ends. What would let an artifact run code or reach the network is never
given here, and `serving_profile` refuses it in `serving.yaml`.
"""

from collections.abc import Mapping

from assay.documents import parse_json, read_text
from assay.errors import ArtifactError, ConfigError
from assay.ports import ServeRequest
from assay.records import PulledArtifact

ENGINE = "vllm"
SERVER_MODULE = "vllm.entrypoints.openai.api_server"
"""Started with `python -m`: the `vllm` command of the CPU build does not work."""

_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONUNBUFFERED": "1",
}


def artifact_of(request: ServeRequest) -> PulledArtifact:
    """Returns the artifact that a back end is to start an engine with.

    Raises:
        ConfigError: the request names the URL of somebody's server instead.
    """
    if request.artifact is None:
        raise ConfigError(
            f"{request.url!r} is a server that runs already, and this back end starts its own; "
            "use --backend endpoint for it"
        )
    return request.artifact


def quantization_method(artifact: PulledArtifact) -> str | None:
    """Returns the quantization method of an artifact, None when it is not quantized.

    The checkpoint's own configuration decides; what the release metadata states must agree.

    Raises:
        ArtifactError: configuration and metadata name different methods.
    """
    path = artifact.folder / "config.json"
    config = parse_json(read_text(path), str(path))
    section = config.get("quantization_config") if isinstance(config, dict) else None
    found = section.get("quant_method") if isinstance(section, dict) else None
    stated = artifact.metadata.get("quantization")
    if isinstance(stated, Mapping):
        stated = stated.get("method", stated.get("quant_method"))
    # What `store publish` fills in names the layout too: awq-4bit-g128.
    method = str(stated).partition("-")[0] if isinstance(stated, str) else stated
    if stated is not None and method != found:
        raise ArtifactError(
            f"{artifact.ref.model}/{artifact.ref.version}: config.json says quantization "
            f"{found!r}, metadata.json says {stated!r}; expected the same; publish a version "
            "whose metadata describes its checkpoint"
        )
    return found if found is None else str(found)


def server_arguments(
    request: ServeRequest, *, model: str, socket: str, template: str | None
) -> list[str]:
    """Returns the arguments that follow `python -m SERVER_MODULE`.

    Args:
        request: what to serve.
        model: the model folder, as the server sees it.
        socket: the unix socket to listen on, as the server sees it.
        template: our own copy of the chat template, as the server sees it, or None.
    """
    arguments = ["--model", model, "--uds", socket, "--served-model-name", request.name]
    if template is not None:
        arguments += ["--chat-template", template]
    return arguments + _settled_arguments(request)


def identity_arguments(request: ServeRequest) -> tuple[str, ...]:
    """Returns what can change an answer or a time: arguments, then the profile's environment.

    This run's own names and paths are left out.
    """
    environment = sorted(request.profile.environment.items())
    return (*_settled_arguments(request), *(f"{name}={value}" for name, value in environment))


def _settled_arguments(request: ServeRequest) -> list[str]:
    method = quantization_method(artifact_of(request))
    return [
        *(("--quantization", method) if method else ()),
        # A line for every request costs time and says nothing of use.
        "--disable-uvicorn-access-log",
        *request.profile.arguments,
    ]


def compiles(request: ServeRequest) -> bool:
    """Whether this engine compiles kernels at start-up, so that keeping its cache pays."""
    return "--enforce-eager" not in request.profile.arguments


def server_environment(
    request: ServeRequest, *, api_key: str, home: str, cache: str
) -> dict[str, str]:
    """Returns the environment of the server, complete but for PATH and the like.

    Args:
        request: what to serve.
        api_key: the key that `/v1` asks for; in the environment, never in the arguments.
        home: a writable folder, as the server sees it.
        cache: where compiled kernels may be kept, as the server sees it.
    """
    return {
        **_QUIET,
        "HOME": home,
        "USER": "assay",
        "LOGNAME": "assay",
        "XDG_CACHE_HOME": cache,
        "XDG_CONFIG_HOME": home,
        "VLLM_CACHE_ROOT": f"{cache}/vllm",
        "VLLM_CONFIG_ROOT": f"{home}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor",
        "TRITON_CACHE_DIR": f"{cache}/triton",
        "VLLM_API_KEY": api_key,
        **request.profile.environment,
    }
