"""How vLLM is started (`serving.yaml`): image, engine arguments, limits, one profile a machine.

Decides what an engine is started with; leaves starting it to the server adapters.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from packaging.version import InvalidVersion, Version
from pydantic import Field, field_validator

from assay import digests
from assay.documents import Document, read_yaml
from assay.errors import ConfigError

_SETTINGS = {"image", "python", "arguments", "environment", "gpus", "limits"}
_BY_DIGEST = re.compile(r"^(?:\S+@)?sha256:[0-9a-f]{64}$")


_REFUSED = frozenset(
    {
        "--trust-remote-code",
        "--enable-prompt-embeds",
        "--trust-request-chat-template",
        "--enable-lora",
        "--allowed-local-media-path",
        "--host",
        "--port",
        "--uds",
        "--model",
        "--api-key",
        "--chat-template",
        "--quantization",
        "--served-model-name",
        "--config",
        "-q",
    }
)
REFUSED_VARIABLES = {
    "VLLM_SERVER_DEV_MODE": "opens endpoints that pause the server and replace its weights",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "lets a request load adapters that no gate has seen",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "unpickles what it receives",
}
"""Variables of the engine that nobody may set, and what each would do."""
_OWN_VARIABLES = frozenset({"VLLM_API_KEY", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"})


def refuse_dangerous(argument: str) -> None:
    """Refuses an engine argument that Assay sets itself, or that lets an artifact do harm.

    The engine's parser takes underscores for dashes, and the beginning of an option for the option.

    Raises:
        ValueError: it is one of these.
    """
    name = argument.split("=")[0].replace("_", "-")
    begins = name.startswith("--") and len(name) > len("--")
    if name in _REFUSED or (begins and any(option.startswith(name) for option in _REFUSED)):
        raise ValueError(f"{argument!r} is not allowed here: Assay sets or forbids it")


def refuse_dangerous_variable(name: str) -> None:
    """Refuses an environment variable that Assay sets itself, or that opens the engine.

    Raises:
        ValueError: it is one of these.
    """
    if name in REFUSED_VARIABLES:
        raise ValueError(f"{name!r} is not allowed here: it {REFUSED_VARIABLES[name]}")
    if name in _OWN_VARIABLES:
        raise ValueError(f"{name!r} is not allowed here: Assay sets it")


class ContainerLimits(Document):
    """What a throwaway container may use."""

    memory_gib: float = Field(gt=0)
    pids: int = Field(default=512, ge=16)
    shm_mib: int = Field(default=512, ge=16)
    tmp_gib: float = Field(default=2, gt=0)
    cpus: float | None = Field(default=None, gt=0)


class Profile(Document):
    """One way to start the engine.

    `image` is what the docker and kubernetes back ends run: a reference by digest, or a local tag,
    which is resolved to its image id before use. `arguments` and `environment` are given to the
    engine as they are; model, name, socket, key, quantization and chat template are set by Assay.
    """

    image: str
    python: str = Field(
        default=".venv-serving/bin/python",
        description="interpreter of the serving environment, for the process back end",
    )
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    gpus: int = Field(default=0, ge=0)
    minimum_version: str = "0.32.0"
    startup_timeout_s: float = Field(default=600, gt=0, allow_inf_nan=False)
    request_timeout_s: float = Field(default=60, gt=0, allow_inf_nan=False)
    lifetime_s: float = Field(
        default=7200, gt=0, allow_inf_nan=False, description="the deadline inside the container"
    )
    concurrency: int = Field(default=32, ge=1, le=4096)
    settle_s: float = Field(
        default=0,
        ge=0,
        le=60,
        description="how long an engine keeps a core busy after its last answer (vLLM 0.32: 1 s); "
        "waited for each time the other engine of this machine is timed",
    )
    limits: ContainerLimits

    @field_validator("minimum_version")
    @classmethod
    def _is_a_version(cls, version: str) -> str:
        try:
            Version(version)
        except InvalidVersion:
            raise ValueError("expected a version like 0.32.0") from None
        return version

    @field_validator("environment")
    @classmethod
    def _no_dangerous_variables(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            refuse_dangerous_variable(name)
        return environment

    @field_validator("arguments")
    @classmethod
    def _no_dangerous_arguments(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        for argument in arguments:
            refuse_dangerous(argument)
        return arguments

    @property
    def settings(self) -> dict[str, Any]:
        """What can change an answer or a time, as plain JSON; how long Assay waits is not in it."""
        return self.model_dump(mode="json", include=_SETTINGS)

    def with_settings(self, settings: Mapping[str, Any]) -> Self:
        """Returns this profile with another's `settings`."""
        return self.model_validate(self.model_dump(mode="json") | dict(settings))


class Serving(Document):
    """The whole of `serving.yaml`."""

    schema_version: Literal[1]
    profiles: dict[Literal["cpu", "gpu"], Profile]

    def profile(self, name: str) -> Profile:
        """Returns one profile.

        Raises:
            ConfigError: no profile has this name.
        """
        for known, profile in self.profiles.items():
            if known == name:
                return profile
        raise ConfigError(
            f"serving.yaml: no profile {name!r}; expected one of {', '.join(self.profiles)}"
        )

    @property
    def digest(self) -> str:
        """Digest of the canonical form; comments and layout do not change it."""
        return digests.of_json(self.model_dump(mode="json"))


def is_by_digest(image: str) -> bool:
    """Whether an image reference is immutable: by digest, or an image id."""
    return _BY_DIGEST.match(image) is not None


def load_serving(path: Path) -> Serving:
    """Reads and validates `serving.yaml`.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    return read_yaml(path, Serving)
