"""The endpoint back end: a server that somebody else runs is found ready or not, and left alone."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import pytest

from assay.adapters.server_endpoint import EndpointServer
from assay.errors import ArtifactError, AssayError, ConfigError, InfrastructureError
from assay.ports import ServeRequest
from tests import serving_rig


def at(url: str | None, name: str = "tiny") -> ServeRequest:
    """Returns a request to use the server at a URL."""
    request = serving_rig.request(Path("unused"), Path("unused"))
    return replace(request, artifact=None, url=url, name=name)


def quietly(_: str) -> None:
    """Progress nobody reads."""


@pytest.fixture
def run() -> Iterator[Callable[[str], str]]:
    """Runs somebody else's server, failing as told; returns its URL."""
    engine = serving_rig.ROOT / "tests/serving/fault_engine.py"
    processes: list[subprocess.Popen[bytes]] = []
    folders: list[Path] = []

    def start(mode: str) -> str:
        # Not tmp_path: a socket's path must be short.
        folders.append(Path(mkdtemp(prefix="assay-other-")))
        path = folders[-1] / "s.sock"
        processes.append(subprocess.Popen([sys.executable, engine, mode, "--uds", path]))
        end = time.monotonic() + 10
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        return f"unix://{path}"

    yield start
    for process in processes:
        process.kill()
        process.wait(10)
    for folder in folders:
        shutil.rmtree(folder)


def test_a_ready_server_is_used_and_left_running(run: Callable[[str], str]) -> None:
    url = run("serves")
    with EndpointServer().launch(at(url)) as server:
        running = server.wait_ready(quietly)
        assert running.identity.version == "0.32.0"
        assert (running.identity.image, running.identity.hardware) == ("unknown", "unknown")
    assert running.is_alive()


def test_the_one_model_of_a_server_is_asked_by_the_name_it_has(run: Callable[[str], str]) -> None:
    told: list[str] = []
    with EndpointServer().launch(at(run("serves"), name="emotion")) as server:
        assert server.wait_ready(told.append).endpoint.model == "tiny"
    assert any("serves it as 'tiny'" in words for words in told)


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("two_models", InfrastructureError, "found 'a', 'b', expected 'tiny'"),
        ("old", InfrastructureError, "found vLLM '0.6.6'"),
        ("garbage", InfrastructureError, "expected a chat completion"),
        ("error_500", InfrastructureError, "InternalServerError"),
        ("no_template", ArtifactError, "no chat template"),
    ],
)
def test_a_server_that_may_not_be_asked_is_refused(
    run: Callable[[str], str], mode: str, kind: type[AssayError], words: str
) -> None:
    with EndpointServer().launch(at(run(mode))) as server, pytest.raises(kind) as caught:
        server.wait_ready(quietly)
    assert words in str(caught.value)


def test_a_server_that_is_not_there_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("assay.adapters.server_endpoint._PATIENCE_S", 0.0)
    server = EndpointServer().launch(at("http://127.0.0.1:9"))
    with pytest.raises(InfrastructureError, match="start it or correct the URL"):
        server.wait_ready(quietly)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "--candidate-url is missing"),
        ("ftp://host", "no server's URL"),
        ("localhost:8000", "no server's URL"),
        ("http://user:secret@host", "holds a user name or password"),
    ],
)
def test_a_wrong_url_is_refused_without_showing_a_secret(url: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        EndpointServer().launch(at(url))
    assert "secret" not in str(caught.value)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_API_KEY", "shared")
    assert EndpointServer().launch(at("https://host/v1/"))._endpoint.api_key == "shared"
    monkeypatch.setenv("ASSAY_CANDIDATE_API_KEY", "own")
    endpoint = EndpointServer().launch(at("https://host/v1/"))._endpoint
    assert (endpoint.api_key, endpoint.base_url) == ("own", "https://host")
