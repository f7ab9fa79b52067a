"""Real servers for the tests of adapters, each started once a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.adapters.registry_mlflow import MlflowRegistry
from assay.adapters.server_process import ProcessServer
from assay.ports import RunningServer
from tests import registry_rig as rig
from tests import serving_rig
from tests.s3_rig import S3Server, s3_server


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without content: its migrations take seconds, a copy takes none."""
    folder = tmp_path_factory.mktemp("empty")
    MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}", folder / "locks").production("nobody")
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Server]:
    """A real MLflow server that several tests share: each uses a model of its own."""
    with rig.mlflow_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server; each test uses a bucket of its own."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="session")
def tiny_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real vLLM with the tiny model, started once: it takes half a minute to come up.

    The first and the last test that ask it may lie a whole run apart.
    """
    cache = tmp_path_factory.mktemp("cache")
    request = serving_rig.request(serving_rig.tiny_model(), cache, lifetime_s=3600)
    with ProcessServer().launch(request) as server:
        yield server.wait_ready(print)
