"""The command line, called as a program calls it: arguments in; exit code, stdout, stderr out."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.adapters.registry_mlflow import MlflowRegistry
from assay.cli import main
from tests.cli.two_servers import EACH, POLICY
from tests.cli_desk import Desk, make_desk
from tests.openai_server import OpenAIServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command left behind for whoever called it."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that stdout holds; fails if it holds anything else."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> str:
        """The message of the error that --json prints."""
        return str(self.document["error"]["message"])

    @property
    def reason(self) -> str:
        """What kept an invalid verdict's run from measuring."""
        return str(self.document["summary"])


Assay = Callable[..., Outcome]


@pytest.fixture
def assay(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Assay:
    monkeypatch.delenv("ASSAY_TRACEBACK", raising=False)

    def run(*arguments: str | Path) -> Outcome:
        capfdbinary.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = (stream.decode() for stream in capfdbinary.readouterr())
        assert "Traceback" not in out + err
        return Outcome(code=code, out=out, err=err)

    return run


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A working folder with every file a judgement needs, right until a test spoils it."""
    monkeypatch.chdir(tmp_path)
    return make_desk(tmp_path)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without content: its migrations take seconds, a copy takes none."""
    folder = tmp_path_factory.mktemp("empty")
    MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}", folder / "locks").production("nobody")
    return folder / "mlflow.db"


@pytest.fixture
def project(desk: Desk, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A project folder: documents, a small golden set, an empty registry, and a store's key."""
    home = desk.folder / "home"
    home.mkdir()
    shutil.copyfile(empty_database, home / "mlflow.db")
    monkeypatch.setenv("ASSAY_HOME", str(home))
    monkeypatch.setenv("ASSAY_WHO", "tester")
    for name in ("MLFLOW_TRACKING_URI", "ASSAY_STORE", "ASSAY_TRUST", "ASSAY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    desk.cases = [case for case in desk.cases if int(case["id"][2:]) % 100 < EACH]
    desk.write("golden.jsonl", desk.cases)
    desk.write("policy.yaml", POLICY)
    return desk


@pytest.fixture
def serve() -> Iterator[Callable[..., OpenAIServer]]:
    with ExitStack() as stack:
        yield lambda script, **options: stack.enter_context(OpenAIServer(script=script, **options))
