"""One promotion at a time across machines, on a registry that has no compare-and-set.

MLflow offers one thing that only one caller can do: create a registered model of a given name. A
promotion creates `Promotion of <model>` and deletes it when it is done, so it is seen for a moment
in the list of models. What a killed process left there is taken over once the same claim has been
seen for `STALE_S`; a promotion takes about a second.
"""

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assay.errors import InfrastructureError

if TYPE_CHECKING:
    from mlflow import MlflowClient

STALE_S = 30.0
TIMEOUT_S = 60.0
_POLL_S = 0.5
_TOKEN = "assay.claim"  # noqa: S105 - a tag's name


@contextmanager
def claimed(
    client: "MlflowClient", model: str, *, stale_s: float = STALE_S, timeout_s: float = TIMEOUT_S
) -> Iterator[None]:
    """Holds the claim on a model's aliases for the length of the block.

    Raises:
        InfrastructureError: others have held it all the time.
    """
    name = f"Promotion of {model}"
    mine = f"{socket.gethostname()}/{secrets.token_hex(8)}"
    deadline = time.monotonic() + timeout_s
    seen, since = "", time.monotonic()
    while not _create(client, name, mine):
        now, holder = time.monotonic(), _holder(client, name)
        if holder != seen:
            seen, since = holder, now
        if holder and now - since > stale_s:
            _delete(client, name, holder)
        elif now > deadline:
            raise InfrastructureError(
                f"MLflow: {holder.partition('/')[0]} has been promoting {model} for more than "
                f"{timeout_s:.0f} s; wait for it, then run the same command again"
            )
        else:
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        _delete(client, name, mine)


def _create(client: "MlflowClient", name: str, token: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            name, tags={_TOKEN: token}, description="held while a gate moves an alias"
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # The answer to our own creation may have been lost, and the request sent again.
        return _holder(client, name) == token
    return True


def _holder(client: "MlflowClient", name: str) -> str:
    """Returns the token of whoever holds the claim; empty when nobody does any more."""
    from mlflow.exceptions import MlflowException

    try:
        tags = client.get_registered_model(name).tags
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""
    return str(tags.get(_TOKEN, "unknown"))


def _delete(client: "MlflowClient", name: str, token: str) -> None:
    """Deletes the claim if it still is that of `token`."""
    from mlflow.exceptions import MlflowException

    if _holder(client, name) != token:
        return
    try:
        client.delete_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
