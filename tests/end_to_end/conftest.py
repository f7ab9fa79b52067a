"""What a session prepares once: a machine with a first release, and a Label Studio server."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.end_to_end.machine import ROOT, Machine, prepare
from tests.label_studio_rig import LabelStudioServer, environment, label_studio_server


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with 1.0.0 in production, put there by a gate on real vLLM."""
    if not (ROOT / ".venv-serving/bin/python").exists():
        pytest.skip("no serving environment: run `make serving`")
    prepared = prepare(tmp_path_factory.mktemp("machine") / "home")
    first = prepared.gate("1.0.0", "process")
    assert first.code == 0, first.said
    return prepared


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A real server, one for all tests: each has a project of its own."""
    try:
        environment()
    except (FileNotFoundError, subprocess.SubprocessError) as error:
        pytest.skip(f"Label Studio cannot be installed here: {type(error).__name__}")
    with label_studio_server(tmp_path_factory.mktemp("label-studio")) as running:
        yield running
