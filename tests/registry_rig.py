"""What tests of the registry share: real MLflow (file and server), and finished gates to record."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from assay import digests, evidence
from assay.adapters.in_memory_registry import InMemoryRegistry
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.adapters.signer_dsse import sign_statement
from assay.attestation_statement import predicate_of, statement
from assay.golden_set import GoldenSet
from assay.policy import Policy
from assay.ports import GateRecord
from assay.records import (
    AnswerStatus,
    ArtifactRef,
    EngineIdentity,
    Finding,
    FindingStatus,
    GoldenCase,
    Prediction,
    Problem,
    Role,
    RunContext,
    Verdict,
    VerdictKind,
)
from assay.trust import TrustedKey, TrustedKeys
from assay.verdict import verdict_bytes
from assay.verdict_trust import VerdictTrust
from assay.warrant import Gatekeeper, Warrant

ROOT = Path(__file__).parents[1]
MODEL = "emotion-demo"
SECRET = "zq-nobody-may-read-this"
"""Part of each golden case's text: whatever a registry stores, this must not be in it."""

Registry = InMemoryRegistry | MlflowRegistry


def ref(version: str, model: str = MODEL) -> ArtifactRef:
    """Returns the artifact of a version."""
    return ArtifactRef(model=model, version=version, digest=digests.of_bytes(version.encode()))


def golden() -> GoldenSet:
    """Returns a golden set of four cases."""
    cases = tuple(
        GoldenCase(
            id=f"c-{number}",
            text=f"{SECRET} {number}",
            text_sha256=digests.text_sha256(f"{SECRET} {number}"),
            label=label,
            lang="en",
            source="test",
            stratum="core",
            slices=(),
            added_in="1",
        )
        for number, label in enumerate(("joy", "fear", "joy", "anger"))
    )
    return GoldenSet(cases=cases, digest=digests.of_bytes(b"golden"), revision="golden-1")


POLICY = Policy(
    schema_version=1, evaluators={"emotion_f1": {}}, backends_that_may_promote=("docker",)
)
ENGINE = EngineIdentity(
    backend="docker",
    profile="cpu",
    engine="vllm",
    version="0.32.0",
    image="sha256:" + "0" * 64,
    arguments=(),
    hardware="test",
)


def _gate_key() -> tuple[bytes, Gatekeeper]:
    """Returns a gate's key that is the same in every process of a test, and who trusts it."""
    key = derive_private_key(7, SECP256R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    trusted = TrustedKey(name="gate", pem=pem, key_id=hashlib.sha256(pem).hexdigest())
    return private, Gatekeeper(trust=VerdictTrust(gates=TrustedKeys((trusted,))))


GATE_KEY, GATEKEEPER = _gate_key()
METRICS = {"emotion_f1/joy": 0.75, "emotion_f1/macro": 0.5, "latency/ttft_p99_ms": 12.25}


def gate(
    folder: Path,
    version: str = "1.1.0",
    *,
    kind: VerdictKind = VerdictKind.PROMOTE,
    against: ArtifactRef | None = None,
    run_id: str = "run-1",
    golden_set: GoldenSet | None = None,
    metrics: Mapping[str, float] = METRICS,
    verified: bool = True,
    model: str = MODEL,
) -> GateRecord:
    """Writes an evidence folder as the gate does and returns the record of that gate."""
    used = golden_set or golden()
    candidate = ref(version, model) if verified else None
    problems = (Problem(where="engine", reason="It died.", action="restart it"),)
    context = RunContext(
        run_id=run_id,
        who="ada",
        candidate=candidate,
        production=against,
        engine=ENGINE,
        problems=problems if kind is VerdictKind.INVALID else (),
    )
    finding = Finding(
        evaluator="emotion_f1",
        metric="emotion_f1/joy",
        kind="floor",
        status=FindingStatus.PASSED,
        reason="It holds.",
    )
    verdict = Verdict(
        verdict=kind,
        summary=f"{model} {version}: {kind.value}.",
        findings=(finding,),
        next_steps=("Read the report.",),
        inputs={"policy": POLICY.digest, "golden": used.digest},
        metrics={"candidate": metrics} | ({"production": metrics} if against else {}),
        seed=7,
        only=(),
        context=context,
    )
    answers = [
        Prediction(case_id=case.id, label=case.label, status=AnswerStatus.OK, raw=case.label)
        for case in used.cases
    ]
    predictions = {Role.CANDIDATE: answers} | ({Role.PRODUCTION: answers} if against else {})
    home = folder / run_id
    home.mkdir(parents=True)
    evidence.write_indexes(home, used.cases, ())
    for role, rows in predictions.items():
        evidence.write_answers(home / role.value, predictions=rows, probe_answers=(), latency=())
    (home / "verdict.json").write_bytes(verdict_bytes(verdict))
    evidence.seal(home)
    sign(home, verdict)
    return GateRecord(
        model=model,
        version=version,
        verdict=verdict,
        context=context,
        evidence_dir=home,
        predictions=predictions,
        golden=used,
        source=f"trusted-store://{model}/{version}@{candidate.digest}" if candidate else None,
        ledger_key=ledger_key(version, against, used, model),
    )


def sign(home: Path, verdict: Verdict, **changes: object) -> None:
    """Signs sealed evidence with the gate's key, as a gate does; `changes` are of the predicate."""
    stated = predicate_of(
        home,
        verdict,
        policy=POLICY,
        change="standard",
        code={"assay": digests.of_bytes(b"code")},
        signed_at=datetime.now(UTC),
        audit_log=None,
    ).model_copy(update=changes)
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "gate.key"
        key.write_bytes(GATE_KEY)
        envelope = sign_statement(statement(stated).canonical(), key)
    (home / evidence.ATTESTATION).write_bytes(envelope)


def warrant(folder: Path, wanted: ArtifactRef, *, policy: Policy | None = None) -> Warrant:
    """Returns the warrant of the latest gate below `folder` that was about an artifact."""
    found = [
        home
        for home in folder.glob("*")
        if (home / "verdict.json").exists() and _candidate(home) == wanted.digest
    ]
    found.sort(key=lambda home: home.stat().st_mtime_ns)
    return Warrant(
        evidence=found[-1] if found else folder / "nowhere",
        policy=policy or POLICY,
        golden=golden().digest,
    )


def _candidate(home: Path) -> str | None:
    candidate = json.loads((home / "verdict.json").read_bytes())["context"]["candidate"]
    return candidate and candidate["digest"]


def ledger_key(
    version: str, against: ArtifactRef | None, used: GoldenSet, model: str = MODEL
) -> dict[str, str]:
    """Returns the key under which a gate's verdict is found again."""
    return {
        "model": model,
        "candidate": ref(version, model).digest,
        "production": against.digest if against else "none",
        "golden": used.digest,
    }


@dataclass(frozen=True, slots=True)
class Stage:
    """A registry, and the ways around it that a test needs.

    `again` returns a second registry on the same data, as another process would have; `rewrite`
    changes the stored verdict of a run (None: removes it); `stored` returns all bytes it keeps;
    `break_it` makes it unreachable.
    """

    registry: Registry
    again: Callable[[], Registry]
    rewrite: Callable[[str, bytes | None], None]
    stored: Callable[[], bytes]
    break_it: Callable[[], None]
    uri: str | None = None
    folder: Path = field(default_factory=Path)


def in_memory(folder: Path) -> Stage:
    """Returns a stage whose registry is the fake."""
    registry = InMemoryRegistry(GATEKEEPER)

    def rewrite(run: str, data: bytes | None) -> None:
        files = registry.runs[run].files
        files.pop("verdict.json") if data is None else files.update({"verdict.json": data})

    def stored() -> bytes:
        return repr(registry.runs).encode() + b"".join(
            data for run in registry.runs.values() for data in run.files.values()
        )

    def break_it() -> None:
        registry.reachable = False

    return Stage(registry, lambda: registry, rewrite, stored, break_it)


def on_mlflow(uri: str, data: Path, locks: Path, break_it: Callable[[], None]) -> Stage:
    """Returns a stage on real MLflow whose files lie below `data`."""

    def rewrite(run: str, changed: bytes | None) -> None:
        (path,) = data.rglob(f"{run}/artifacts/verdict.json")
        path.unlink() if changed is None else path.write_bytes(changed)

    def stored() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file())

    return Stage(
        MlflowRegistry(uri, locks, GATEKEEPER),
        lambda: MlflowRegistry(uri, locks, GATEKEEPER),
        rewrite,
        stored,
        break_it,
        uri,
        data,
    )


def in_sqlite(data: Path, template: Path) -> Stage:
    """Returns a stage on a database file; `template` is an empty one, which saves its making."""
    data.mkdir()
    database = data / "mlflow.db"
    shutil.copy(template, database)

    def break_it() -> None:
        database.unlink()
        database.mkdir()

    return on_mlflow(f"sqlite:///{database}", data, data.parent / "locks", break_it)


@dataclass(frozen=True, slots=True)
class Server:
    """A running MLflow server; its database and artifacts lie in `data`."""

    uri: str
    data: Path
    kill: Callable[[], None]


@contextmanager
def mlflow_server(data: Path) -> Iterator[Server]:
    """Starts a real MLflow server on a free port of 127.0.0.1 and ends it."""
    data.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{data / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(data / "artifacts")]
    with _serving(command, port, data.parent, {}) as kill:
        yield Server(f"http://127.0.0.1:{port}", data, kill)


@contextmanager
def serve_script(home: Path) -> Iterator[str]:
    """Runs `mlflow/serve.sh` on a gate's home folder; yields the server's URL."""
    port = _free_port()
    command = [str(ROOT / "mlflow/serve.sh"), str(port)]
    with _serving(command, port, home.parent, {"ASSAY_HOME": str(home)}):
        yield f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _serving(
    command: list[str], port: int, folder: Path, more: Mapping[str, str]
) -> Iterator[Callable[[], None]]:
    """Runs a server's command until the block ends; yields what kills it earlier."""
    log = folder / "mlflow-server.log"
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | dict(more)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )

    def kill() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)

    try:
        _wait(f"http://127.0.0.1:{port}", process, log)
        yield kill
    finally:
        kill()


def _wait(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(uri + "/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise AssertionError(f"the MLflow server did not start:\n{log.read_text()[-3000:]}")
