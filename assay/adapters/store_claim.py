"""One publisher at a time: a claim on a version, held while its files are being written.

The claim is a small file beside the versions. A publisher that was killed leaves it behind; it
counts no more once its process is gone (on the same host) or after an hour.
"""

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import psutil

from assay.adapters.store_transport import Transport
from assay.documents import Document, parse_json, validate
from assay.errors import ConfigError, InfrastructureError

_STALE_AFTER = timedelta(hours=1)
_MAX_BYTES = 4096


class Claim(Document):
    """Who is publishing: enough to tell whether they still are."""

    token: str
    host: str
    pid: int
    process_started: float
    since: datetime


@contextmanager
def claimed(transport: Transport, path: str, now: datetime) -> Iterator[Claim]:
    """Holds the claim at a path for the length of the block.

    Raises:
        InfrastructureError: somebody else holds it.
    """
    mine = Claim(
        token=secrets.token_hex(16),
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        since=now,
    )
    data = json.dumps(mine.model_dump(mode="json")).encode()
    if not transport.create(path, data):
        other = current(transport, path)
        if other is not None and not _is_stale(other, now):
            raise InfrastructureError(
                f"{transport.url}: process {other.pid} on {other.host} has been publishing this "
                f"version since {other.since.isoformat()}; wait for it, or remove {path} from the "
                "store if you know that it is gone"
            )
        transport.remove(path)
        if not transport.create(path, data):
            raise InfrastructureError(
                f"{transport.url}: somebody else began to publish this version just now; try again"
            )
    try:
        yield mine
    finally:
        # What cannot be removed now goes stale by itself, and must not hide another error.
        with suppress(InfrastructureError):
            holder = current(transport, path)
            if holder is not None and holder.token == mine.token:
                transport.remove(path)


def current(transport: Transport, path: str) -> Claim | None:
    """Returns who holds the claim, or None when nobody does or it cannot be told."""
    folder, _, name = path.rpartition("/")
    if name not in transport.entries(folder):
        return None
    with transport.open(path) as stream:
        data = stream.read(_MAX_BYTES)
    try:
        return validate(parse_json(data.decode("utf-8"), path), Claim, path)
    except (ConfigError, UnicodeDecodeError):
        return None


def _is_stale(claim: Claim, now: datetime) -> bool:
    if now - claim.since > _STALE_AFTER:
        return True
    if claim.host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(claim.pid).create_time() - claim.process_started) > 1.0
    except psutil.NoSuchProcess:
        return True
