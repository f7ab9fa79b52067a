"""Real MLflow for the tests of adapters: started once a session, since it takes a while."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.adapters.registry_mlflow import MlflowRegistry
from tests import registry_rig as rig


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
