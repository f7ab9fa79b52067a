"""The Docker engine of this machine: whether it answers, and which image a reference names.

Decides which images may run: one named by digest, which is pulled when it is not there, or one that
is on this machine already, recorded by its id. What runs in them is not decided here.
"""

from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from assay.errors import ConfigError, InfrastructureError
from assay.serving_profile import is_by_digest

PROBE_TIMEOUT_S = 5
TROUBLE = (DockerException, requests.RequestException)
"""What the Docker SDK raises when something is wrong."""


def connect(timeout_s: int) -> Any:
    """Returns a client of this machine's engine.

    Raises:
        ConfigError: no engine answers, or it is another machine's.
    """
    try:
        client = docker.from_env(timeout=timeout_s)
        client.ping()
    except TROUBLE as error:
        raise ConfigError(
            f"no Docker engine answers on this machine ({words_of(error)}); start one, or use "
            "--backend process for development"
        ) from error
    if not client.api.base_url.startswith("http+docker://"):
        raise ConfigError(
            f"the Docker engine is at {client.api.base_url}; expected one on this machine, because "
            "the container is reached by a unix socket in a shared folder; unset DOCKER_HOST"
        )
    return client


def engine_holds(image: str) -> bool:
    """Whether a Docker engine answers on this machine and has this image already."""
    try:
        client = connect(PROBE_TIMEOUT_S)
    except ConfigError:
        return False
    try:
        client.images.get(image)
    except TROUBLE:
        return False
    finally:
        client.close()
    return True


def resolve_image(client: Any, reference: str, profile_name: str) -> tuple[str, str]:
    """Returns (image id to run, name to record) of an image.

    A reference by digest is pulled when it is not there. A tag must be there already and is
    recorded by its image id: what a tag names can change between production and candidate.

    Raises:
        ConfigError: the image is not there, and a tag cannot be pulled.
        InfrastructureError: the pull failed.
    """
    where = f"serving.yaml: profile {profile_name}: image {reference!r}"
    try:
        image = client.images.get(reference)
    except ImageNotFound:
        if not is_by_digest(reference) or "@" not in reference:
            raise ConfigError(
                f"{where} is not on this machine, and only a reference by digest is pulled; build "
                "the CPU image with serving/build_image.sh, or pin the digest you verified "
                "(repository@sha256:…; `docker buildx imagetools inspect IMAGE` shows it)"
            ) from None
        image = _pull(client, reference, where)
    except TROUBLE as error:
        raise InfrastructureError(f"{where} cannot be looked up ({words_of(error)})") from error
    return image.id, reference if "@" in reference else image.id


def _pull(client: Any, reference: str, where: str) -> Any:
    repository, _, digest = reference.partition("@")
    try:
        # The engine verifies that what it pulls by digest has that digest.
        client.images.pull(repository, tag=digest)
        return client.images.get(reference)
    except TROUBLE as error:
        raise InfrastructureError(
            f"{where} could not be pulled ({words_of(error)}); expected the registry to hold it; "
            "check the digest, the network and `docker login`"
        ) from error


def words_of(error: BaseException) -> str:
    """Returns what an error of the SDK says, in a bearable length."""
    explanation = error.explanation if isinstance(error, APIError) else None
    return str(explanation or error)[:300]
