"""The command line, called as a program calls it: arguments in; exit code, stdout, stderr out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.cli import main
from tests.cli_desk import Desk, make_desk


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
