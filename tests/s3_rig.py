"""A real S3 server (moto's, in a process of its own) for tests and benchmarks."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import s3fs

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where the server answers."""

    url: str

    @property
    def options(self) -> Mapping[str, Any]:
        """What fsspec needs to reach it."""
        return {
            "endpoint_url": self.url,
            "key": ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            "secret": ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        }

    def files(self) -> s3fs.S3FileSystem:
        """A client of its own, to reach around the store's back."""
        return s3fs.S3FileSystem(**self.options, skip_instance_cache=True, use_listings_cache=False)

    def bucket(self) -> str:
        """Makes an empty bucket and returns its name."""
        name = f"models-{uuid.uuid4().hex[:12]}"
        self.files().mkdir(name)
        return name


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Starts a server; its log lies in the folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "s3.log"
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=os.environ | ENVIRONMENT,
        )
    server = S3Server(f"http://127.0.0.1:{port}")
    try:
        _wait(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait(server: S3Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"moto's server ended: {log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{server.url}/moto-api/", timeout=2):  # noqa: S310
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"moto's server does not answer: {log.read_text()[-2000:]}")
