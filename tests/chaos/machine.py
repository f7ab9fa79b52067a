"""A machine on which a release takes two seconds: real everything, but for the engine's mind.

Real command line, process back end, store with signatures, MLflow on a file, signed evidence; the
engine is `stand_in_engine`. Between two disturbances the machine is put back to the moment before
the release: 1.0.0 in production.
"""

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import psutil

from assay import evidence
from assay.adapters.registry_layout import DIGEST, VERSION
from assay.adapters.registry_moves import PRODUCTION as PRODUCTION_ALIAS
from assay.adapters.server_container import LABEL_RUN
from assay.records import RegisteredVersion
from assay.verdict_trust import VerdictTrust
from flows.journal import JOURNAL, read_events
from flows.proving import prove
from flows.settings import Settings
from flows.wiring import store_for
from tests.artifact_factory import make_artifact, make_keys
from tests.chaos.warm_gate import Moment
from tests.cli_desk import to_jsonl
from tests.gate_rig import make_trust

ROOT = Path(__file__).parents[2]
ENGINE = Path(__file__).with_name("stand_in_engine.py")
MODEL = "emotion"
LABELS = ("joy", "anger", "fear")
EACH = 30
PRODUCTION, BETTER, EQUAL, WORSE, HUNGRY = "1.0.0", "1.1.0", "1.1.1", "1.2.0", "1.3.0"
READMES = {
    PRODUCTION: "stand-in errors: 0.12 p\n",
    BETTER: "stand-in errors: 0.0 b\n",
    EQUAL: "stand-in errors: 0.12 p2\n",
    WORSE: "stand-in errors: 0.12 w\nstand-in: fear=anger\n",
    HUNGRY: "stand-in takes: 600\n",
}
TASK = """
schema_version: 1
name: emotion
labels: [joy, anger, fear]
messages: [{role: user, content: "{text}"}]
decoding: {mode: constrained, max_tokens: 4}
readiness_text: hello
"""
POLICY = """
schema_version: 1
first_release: allow
replicates: 999
backends_that_may_promote: [docker, process]
evaluators:
  emotion_f1: {margin: 0.3, macro_margin: 0.2, floor: 0.3, macro_floor: 0.4, minimum_support: 20}
  validity: {max_invalid_rate: 0.1, margin: 0.1}
"""
SERVING = """
schema_version: 1
profiles:
  cpu:
    image: assay/stand-in:1
    python: PYTHON
    arguments: [--dtype, bfloat16]
    environment: {STAND_IN_DELAY_S: "0.03"}
    startup_timeout_s: 60
    request_timeout_s: 2
    lifetime_s: 300
    concurrency: 8
    limits: {memory_gib: 0.25, pids: 256, shm_mib: 16, tmp_gib: 0.1}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A gate that has ended: its exit code (minus the signal that killed it), and what it said."""

    status: int
    said: str
    result: str


@dataclass(slots=True)
class Machine:
    """One machine: its folder, and the process that gates are forked from."""

    folder: Path
    host: subprocess.Popen[str]
    words: Path
    backend: str = "process"
    serving: str = SERVING
    models: Mapping[str, Path] | None = None
    more: dict[str, str] = field(default_factory=dict)
    data: Path | None = None
    started: int = 0

    @property
    def home(self) -> Path:
        """Everything a gate keeps."""
        return self.folder / "m" / "home"

    @property
    def place(self) -> Path:
        """What is put back between two disturbances."""
        return self.folder / "m"

    @property
    def temporary(self) -> Path:
        """The folder for temporary files, of this machine's gates alone."""
        return self.folder / "t"

    @property
    def settings(self) -> Settings:
        """Where things are."""
        return Settings(
            home=self.home,
            store=str(self.place / "store"),
            trust=self.place / "trust.yaml",
            tracking_uri=f"sqlite:///{self.home / 'mlflow.db'}",
            who="chaos",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command."""
        kept = ("PATH", "HOME", "LANG", "DOCKER_HOST")
        return {name: os.environ[name] for name in kept if name in os.environ} | {
            "ASSAY_HOME": str(self.home),
            "ASSAY_STORE": self.settings.store,
            "ASSAY_TRUST": str(self.settings.trust),
            "MLFLOW_TRACKING_URI": self.settings.tracking_uri,
            "ASSAY_WHO": "chaos",
            "ASSAY_TRACEBACK": "1",
            "TMPDIR": str(self.temporary),
            "DO_NOT_TRACK": "true",
            **self.more,
        }

    # --- commands ---------------------------------------------------------------------------------

    def ask_host(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Sends the forking process a request; returns its answer."""
        assert self.host.stdin is not None
        assert self.host.stdout is not None
        self.host.stdin.write(json.dumps(request) + "\n")
        self.host.stdin.flush()
        document = json.loads(self.host.stdout.readline())
        assert isinstance(document, dict)
        return document

    def start(
        self,
        *arguments: str,
        moments: Sequence[tuple[Moment, int]] = (),
        within: Path | None = None,
    ) -> "Running":
        """Starts a command, `within` a folder; at each moment it sends itself the signal."""
        self.started += 1
        said = self.words / f"said-{self.started}"
        started = self.ask_host(
            {
                "do": "start",
                "arguments": arguments,
                "environment": self.environment,
                "folder": str(within or self.place),
                "out": f"{said}.out",
                "err": str(said),
                "moments": [[list(moment), int(number)] for moment, number in moments],
            }
        )
        return Running(machine=self, pid=started["pid"], err=said)

    def run(self, *arguments: str, timeout_s: float = 120, within: Path | None = None) -> Ended:
        """Runs a command to its end."""
        return self.start(*arguments, within=within).end(timeout_s)

    def gate(self, version: str) -> list[str]:
        """Returns the arguments that gate a version."""
        return ["gate", MODEL, version, "--backend", self.backend, "--golden", "golden.jsonl"]

    # --- state ------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Puts the machine back to the moment before the release."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.folder / "before", self.place, symlinks=True)
        for path in self.words.glob("said-*"):
            path.unlink()

    def runs(self) -> list[str]:
        """Returns the runs, oldest first, without that of the first release."""
        first = {path.name for path in (self.folder / "before/home/runs").glob("*")}
        found = [path.name for path in (self.home / "runs").glob("*") if path.name not in first]
        return sorted(found, key=lambda name: (self.home / "runs" / name).stat().st_ctime_ns)

    def states(self, run: str) -> list[str]:
        """Returns a run's journal, as states; none where the gate was killed before it had one."""
        path = self.home / "runs" / run / JOURNAL
        return [event.state for event in read_events(path)] if path.exists() else []

    def production(self) -> RegisteredVersion | None:
        """Returns what the alias names, straight from MLflow's database.

        A client would keep its connection to a file that `restore` has replaced.
        """
        with closing(self.database()) as database:
            alias = database.execute(
                "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?",
                (MODEL, PRODUCTION_ALIAS),
            ).fetchone()
            if alias is None:
                return None
            tags = dict(
                database.execute(
                    "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?",
                    (MODEL, alias[0]),
                ).fetchall()
            )
        return RegisteredVersion(
            model=MODEL, version=tags[VERSION], digest=tags[DIGEST], number=str(alias[0])
        )

    def database(self) -> sqlite3.Connection:
        """Opens MLflow's database, as somebody does who goes around the gate."""
        return sqlite3.connect(self.database_file, timeout=30)

    @property
    def database_file(self) -> Path:
        """MLflow's database: the gate's own file, or a tracking server's."""
        return (self.data or self.home) / "mlflow.db"

    def verdict(self, run: str) -> dict[str, Any]:
        """Returns a run's verdict without what must differ: identity, times, what was reused."""
        document = json.loads((self.home / "runs" / run / "verdict.json").read_text())
        for name in ("run_id", "started_at", "finished_at", "notes"):
            document["context"].pop(name)
        document["inputs"].pop("candidate_predictions")  # they hold how long each answer took
        return document

    def questions(self) -> Counter[tuple[str, str]]:
        """Counts the golden cases that engines answered: (model's seed, case)."""
        cases = {row["text"]: row["id"] for row in golden_rows()}
        counted: Counter[tuple[str, str]] = Counter()
        for path in self.home.rglob("stand-in-questions"):
            for line in path.read_text().splitlines():
                one = json.loads(line)
                if one["text"] in cases:
                    counted[one["by"], cases[one["text"]]] += 1
        return counted

    def stored(self) -> set[tuple[str, str]]:
        """Returns the cases whose answers are on the disk, by the folder of their answers."""
        found = set()
        for path in (self.home / "answers").rglob("predictions.jsonl"):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    found.add((path.parent.name, json.loads(line)["case_id"]))
        return found

    def paid_for_production(self) -> set[tuple[str, str]]:
        """Returns the answers that the first release has paid for."""
        folders = {path.parent.name for path in (self.folder / "before").rglob("predictions.jsonl")}
        return {one for one in self.stored() if one[0] in folders}

    def forget_what_was_asked(self) -> None:
        """Begins to count anew."""
        for path in self.home.rglob("stand-in-questions"):
            path.unlink()

    # --- what must hold ---------------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        """Names what gates left: engines, private folders with their sockets, staged copies."""
        found = [f"process {one.pid}" for one in self.processes() if _is_engine(one)]
        found += [str(path) for path in self.temporary.iterdir() if path.name != locks_name()]
        found += [str(path) for path in (self.home / "staging").glob("*")]
        return found + [f"container {one}" for one in self.containers()]

    def containers(self, *, running: bool = False) -> list[str]:
        """Returns the containers of this machine's runs, also those that have ended."""
        if self.backend != "docker":
            return []
        found = []
        for run in (path.name for path in (self.home / "runs").glob("*")):
            command = ["docker", "ps", "--quiet", "--filter", f"label={LABEL_RUN}={run}"]
            command += [] if running else ["--all"]
            listed = subprocess.run(
                command, env=os.environ | self.more, capture_output=True, text=True, check=True
            )
            found += listed.stdout.split()
        return found

    def processes(self) -> list[psutil.Process]:
        """Returns what runs for this machine, but for the process that gates are forked from."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid in (self.host.pid, os.getpid()):
                    continue
                mine = str(process.environ().get("TMPDIR", "")).startswith(str(self.folder))
                mine |= any(str(self.folder) in word for word in process.cmdline())
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def wait_for_silence(self, timeout_s: float = 20) -> None:
        """Waits until nothing runs: all ends with its owner, nobody has to come by."""
        end = time.monotonic() + timeout_s
        while self.processes():
            assert time.monotonic() < end, [one.cmdline() for one in self.processes()]
            time.sleep(0.05)

    def check_alias(self) -> str:
        """Proves that production is the old version, or a new one with signed evidence."""
        held = self.production()
        assert held is not None
        if held.version != PRODUCTION:
            proofs = [
                prove(folder, VerdictTrust.load(self.settings.trust), datetime.now(UTC))
                for folder in (self.home / "reports").glob("*")
                if (folder / evidence.ATTESTATION).exists()
            ]
            subjects = {
                (p.verdict.context.candidate.digest, p.verdict.verdict.value)
                for p in proofs
                if p.verdict.context.candidate and p.attested
            }
            assert (held.digest, "promote") in subjects
        return held.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A command that runs."""

    machine: Machine
    pid: int
    err: Path

    def wait(self, timeout_s: float = 120) -> dict[str, Any]:
        """Waits for its end or its stop."""
        return self.machine.ask_host({"do": "wait", "pid": self.pid, "timeout_s": timeout_s})

    def until_stopped(self, timeout_s: float = 60) -> None:
        """Waits until it has reached a moment at which it stops itself."""
        found = self.wait(timeout_s)
        assert found.get("stopped"), (found, self.said())

    def go_on(self) -> None:
        """Lets it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self, timeout_s: float = 120) -> Ended:
        """Waits for its end."""
        found = self.wait(timeout_s)
        if "status" not in found:
            self.signal(signal.SIGKILL)
            raise AssertionError(f"did not end: {found}\n{self.said()}")
        out = self.err.with_suffix(".out")
        return Ended(status=found["status"], said=self.said(), result=out.read_text())

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def said(self) -> str:
        """Returns what it has said to people."""
        return self.err.read_text() if self.err.exists() else ""


def golden_rows() -> list[dict[str, Any]]:
    """Returns a golden set whose texts name their labels, between words that nobody else has."""
    import random

    rows = []
    for number in range(EACH * len(LABELS)):
        chance, label = random.Random(number), LABELS[number % len(LABELS)]
        words = ["".join(chance.choices("aeioulmnrst", k=6)) for _ in range(8)]
        rows.append(
            {
                "id": f"c-{number:04}",
                "text": " ".join([*words[:4], label, *words[4:]]),
                "label": label,
                "lang": "en" if number % 2 else "vi",
                "source": "handwritten",
                "stratum": "core",
                "slices": [],
                "added_in": "1.0.0",
            }
        )
    return rows


def _is_engine(process: psutil.Process) -> bool:
    """Whether it is the engine itself; the shell that guards it may take its five seconds."""
    with suppress(psutil.Error):
        return str(ENGINE) in process.cmdline()
    return False


def locks_name() -> str:
    """Returns the name of the folder of device locks, which stays."""
    return f"assay-{os.getuid()}"


@contextmanager
def prepared(
    folder: Path, preload: Mapping[str, str] | None = None, **changes: Any
) -> Iterator[Machine]:
    """Prepares a machine: keys, store, documents, and 1.0.0 put into production by a real gate."""
    with _host(folder, preload or {}) as host, TemporaryDirectory(prefix="aw-") as words:
        machine = Machine(folder=folder, host=host, words=Path(words), **changes)
        _fill(machine)
        if machine.models is None:
            first = machine.run(*machine.gate(PRODUCTION))
            assert first.status == 0, first.said + first.result
            assert machine.check_alias() == PRODUCTION
            machine.forget_what_was_asked()
        machine.place.rename(folder / "before")
        machine.restore()
        try:
            yield machine
        finally:
            for process in machine.processes():
                process.kill()


@contextmanager
def short_folder() -> Iterator[Path]:
    """Gives a folder whose name is short enough for sockets below it."""
    folder = Path(mkdtemp(prefix="ac-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _host(folder: Path, more: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    with (folder / "host.log").open("w") as log:
        host = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.warm_gate"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"DO_NOT_TRACK": "true", "TMPDIR": "/tmp", **more},
        )
        assert host.stdout is not None
        ready = host.stdout.readline()
        assert "ready" in ready, (folder / "host.log").read_text()
        try:
            yield host
        finally:
            assert host.stdin is not None
            host.stdin.close()
            host.wait(30)


def _fill(machine: Machine) -> None:
    machine.home.mkdir(parents=True)
    machine.temporary.mkdir()
    place = machine.place
    (place / "keys").mkdir()
    keys = make_keys(place / "keys")
    make_trust(place, machine.home)
    python = machine.folder / "python"
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {ENGINE} "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    serving = machine.serving.replace("PYTHON", str(python))
    for name, text in {"task": TASK, "policy": POLICY, "serving": serving}.items():
        (place / f"{name}.yaml").write_text(text)
    (place / "golden.jsonl").write_bytes(to_jsonl(golden_rows()))
    store = store_for(machine.settings)
    models = dict(machine.models or {})
    for seed, (version, readme) in enumerate(() if models else READMES.items()):
        models[version] = make_artifact(machine.folder / "models" / version, seed=seed)
        (models[version] / "README.md").write_text(readme)
    for version, model in models.items():
        store.publish(model, model=MODEL, version=version, private_key=keys.private)
