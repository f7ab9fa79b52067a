"""No key, token or case's text leaves a gate: everything that a run produced is searched for them.

Canaries are planted in the golden texts, the gate's signing key, an engine's API key and the
environment; then every file, the log, the output, MLflow's database and artifacts are searched. A
positive control plants one canary in each of these places and must find it.
"""

import io
import logging
import sqlite3
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from assay import digests
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.verdict_trust import VerdictTrust
from assay.warrant import Gatekeeper
from flows.approval import sign_approval
from flows.summary import as_markdown
from tests.gate_rig import POLICY, Rig, make_rig

TEXT = "canary-text-7f3a"
API_KEY = "canary-api-key-5d21"
TOKEN = "canary-token-91be"
SECRET_VARIABLES = ("VLLM_API_KEY", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN")


class Everything:
    """All that a run said and wrote, by place."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self.folders = folders
        self.said: dict[str, bytes] = {}

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Yields (place, bytes): files as they are, databases as text, archives unpacked."""
        yield from self.said.items()
        for folder in self.folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    data = path.read_bytes()
                    yield str(path), data
                    yield f"the name of {path}", str(path).encode()
                    if data.startswith(b"SQLite format 3"):
                        yield f"{path} (rows)", _rows(path)
                    if zipfile.is_zipfile(path):
                        with zipfile.ZipFile(path) as archive:
                            for name in archive.namelist():
                                yield f"{path}/{name}", archive.read(name)

    def found(self, canaries: dict[str, bytes]) -> list[str]:
        """Names each place that holds a canary, as it is or in base64."""
        return [
            f"{name} in {place}"
            for place, data in self.places()
            for name, canary in canaries.items()
            if canary in data or b64encode(canary)[:-4] in data
        ]


def _rows(path: Path) -> bytes:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return "\n".join(database.iterdump()).encode()


def plant(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Puts canaries where secrets are; returns them by name."""
    rig.cases = tuple(
        replace(
            case, text=f"{TEXT} {case.text}", text_sha256=digests.text_sha256(f"{TEXT} {case.text}")
        )
        for case in rig.cases
    )
    for name in SECRET_VARIABLES:
        monkeypatch.setenv(name, API_KEY if name == "VLLM_API_KEY" else TOKEN)
    private = (rig.settings.home / "gate.key").read_text().splitlines()
    return {
        "a case's text": TEXT.encode(),
        "the API key": API_KEY.encode(),
        "a token": TOKEN.encode(),
        "the gate's key": private[2].encode(),
        "an approver's key": rig.people["Ada"].read_text().splitlines()[2].encode(),
    }


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = make_rig(tmp_path)
    (tmp_path / "private").mkdir()
    hidden = (rig.settings.home / "gate.key").rename(tmp_path / "private" / "gate.key")
    (rig.settings.home / "gate.key").symlink_to(hidden)
    return rig


def run_everything(rig: Rig, caplog: pytest.LogCaptureFixture) -> Everything:
    """A promote that waits, an approval, a block and a crash in the middle of the questions."""
    caplog.set_level(logging.DEBUG)
    out, err = io.StringIO(), io.StringIO()
    everything = Everything((rig.settings.home, rig.folder / "mlflow"))
    rig.policy = POLICY + "promotion: {approvals: {standard: 1}}\n"
    errors = []
    with redirect_stdout(out), redirect_stderr(err):
        first = rig.gate("1.0.0")
        sign_approval(first.evidence_dir, rig.people["Ada"], rig.settings, rig.now(), None)
        results = [first, rig.gate("1.0.0"), rig.gate("1.2.0")]
        assert results[1].promotion is not None
        assert results[1].promotion.moved, results[1].promotion.reason
        try:
            rig.publish("1.3.0", seed=8)
            rig.answers["1.3.0"] = _crash
            rig.gate("1.3.0")
        except Exception as error:
            errors.append(repr(error))
    everything.said = {
        "standard output": out.getvalue().encode(),
        "standard error": err.getvalue().encode(),
        "the log": caplog.text.encode(),
        "progress": "\n".join(rig.said).encode(),
        "the Prefect artifact": "\n".join(map(as_markdown, results)).encode(),
        "errors": "\n".join(errors).encode(),
        "results": repr(results).encode(),
    }
    return everything


def _crash(case: object) -> str:
    raise ValueError("an engine's client broke")


def test_no_secret_and_no_text_is_in_anything_that_a_run_leaves(
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    canaries = plant(rig, monkeypatch)
    (tmp_path / "mlflow").mkdir()
    rig.registry = MlflowRegistry(  # type: ignore[assignment]
        f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}",
        tmp_path / "locks",
        Gatekeeper(trust=VerdictTrust.load(rig.settings.trust)),
    )
    everything = run_everything(rig, caplog)
    names = [place for place, _ in everything.places()]
    for part in ("attestation.json", "report.html", "audit.jsonl", "approvals/", "(rows)"):
        assert any(part in name for name in names), f"nothing of {part} was searched"
    assert everything.found(canaries) == []
    for place in (rig.settings.home / "x.log", tmp_path / "mlflow" / "x.bin"):
        for name, canary in canaries.items():  # the search does find what is there
            place.write_bytes(b"x" * 99 + canary + b"y")
            assert any(name in line for line in everything.found(canaries))
            place.write_bytes(b64encode(canary + b"padding"))
            assert any(name in line for line in everything.found(canaries))
        place.unlink()
    with sqlite3.connect(tmp_path / "mlflow" / "mlflow.db") as database:
        database.execute("create table planted (text)")
        database.execute("insert into planted values (?)", (TEXT,))
    assert any("(rows)" in line for line in everything.found(canaries))
    everything.said["the log"] += TOKEN.encode()
    assert "a token in the log" in everything.found(canaries)
