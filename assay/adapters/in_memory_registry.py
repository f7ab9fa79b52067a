"""The registry in dictionaries: for tests of everything that needs a registry but no MLflow.

Aliases move by the rules of every registry (`registry_aliases`), and it passes the contract tests
of the real one; only the place that remembers is a fake.
"""

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from assay import digests
from assay.adapters import registry_aliases as aliases
from assay.adapters import registry_layout as layout
from assay.artifact import check_model_name
from assay.errors import ConfigError, InfrastructureError
from assay.ports import GateRecord, Progress
from assay.records import ArtifactRef, PromotionOutcome, RegisteredVersion, SettingsMove, WayBack
from assay.warrant import NOBODY, Gatekeeper, Warrant


@dataclass(slots=True)
class RecordedRun:
    """A gate's run: the model's name, its tags, and its evidence by file name."""

    model: str
    tags: dict[str, str]
    files: dict[str, bytes]


@dataclass(slots=True)
class _Version:
    record: RegisteredVersion
    tags: dict[str, str] = field(default_factory=dict)


class InMemoryRegistry:
    """Lives as long as the object; `reachable = False` plays a registry that is down."""

    def __init__(self, gatekeeper: Gatekeeper = NOBODY) -> None:
        self.gatekeeper = gatekeeper
        self.reachable = True
        self.runs: dict[str, RecordedRun] = {}
        self._versions: dict[str, list[_Version]] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self._notes: dict[tuple[str, str], str] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.RLock()

    # --- Registry -------------------------------------------------------------------------------

    def production(self, model: str) -> RegisteredVersion | None:
        """Returns what the alias `production` names, or None (see `Registry.production`)."""
        with self._reaching(model):
            return self.named(model, aliases.PRODUCTION)

    def recorded_verdict(self, key: Mapping[str, str]) -> tuple[str, Mapping[str, object]] | None:
        """Returns (run id, verdict document) of the latest valid run with the same inputs."""
        with self._reaching(key["model"]):
            for name, run in self._gates(key["model"], key):
                data = run.files.get(layout.VERDICT_FILE, b"")
                if digests.of_bytes(data) != run.tags[layout.VERDICT_DIGEST]:
                    raise ConfigError(f"run {name}: {layout.VERDICT_FILE} is not what was recorded")
                return name, json.loads(data)
        return None

    def uses(self, model: str, golden_digest: str) -> int:
        """Returns how many valid gates of this model have used a golden set."""
        with self._reaching(model):
            return sum(1 for _ in self._gates(model, {"golden": golden_digest}))

    def record(self, gate: GateRecord) -> str:
        """Stores a gate's run and registers its candidate (see `Registry.record`)."""
        with self._reaching(gate.model):
            for name, run in self.runs.items():
                if run.tags[layout.RUN_ID] == gate.context.run_id:
                    return name
            name = secrets.token_hex(16)
            tags = layout.parent_tags(gate) | {layout.VERDICT: gate.verdict.verdict.value}
            self.runs[name] = RecordedRun(gate.model, tags, _files(gate.evidence_dir))
            self._register(gate, name)
            return name

    def promote(
        self,
        ref: ArtifactRef,
        *,
        expected: ArtifactRef | None,
        gate_run: str,
        warrant: Warrant,
        settings: SettingsMove | None = None,
    ) -> PromotionOutcome:
        """Moves `production` to `ref` (see `registry_aliases.promote`)."""
        with self._reaching(ref.model):
            return aliases.promote(
                self,
                ref,
                expected=expected,
                gate_run=gate_run,
                warrant=warrant,
                gatekeeper=self.gatekeeper,
                keep=lambda: self._keep_warrant(gate_run, warrant),
                settings=settings,
            )

    def repair(self, model: str) -> str | None:
        """Ends a half-done move (see `registry_moves.repair`)."""
        with self._reaching(model):
            return aliases.repair(self, model)

    def way_back(self, model: str, to_version: str | None) -> WayBack:
        """Returns where `production` may go back to (see `registry_aliases.way_back`)."""
        with self._reaching(model):
            aliases.repair(self, model)
            return aliases.way_back(self, model, to_version)

    def move_back(self, way: WayBack, *, reason: str, who: str, run: str) -> PromotionOutcome:
        """Moves `production` back (see `registry_aliases.move_back`)."""
        with self._reaching(way.current.model):
            return aliases.move_back(self, way, reason=reason, who=who, run=run)

    def evidence(self, run: str, destination: Path) -> None:
        """Copies a run's files to a folder (see `GateRuns.evidence`)."""
        with self._reaching("any"):
            if run not in self.runs:
                raise ConfigError(f"in-memory registry: no run {run!r}; name a recorded one")
            for name, data in self.runs[run].files.items():
                path = destination / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    def record_move_back(self, model: str, run_id: str, folder: Path, way: WayBack) -> str:
        """Stores the evidence of a move back."""
        with self._reaching(model):
            name = secrets.token_hex(16)
            tags = layout.move_back_tags(run_id, way)
            self.runs[name] = RecordedRun(model, tags, _files(folder))
            return name

    @contextmanager
    def turn(self, model: str, *, run_id: str, progress: Progress) -> Iterator[None]:
        """Lets one gate of a model run at a time, among the threads that share this object."""
        with self._reaching(model):
            lock = self._turns.setdefault(model, threading.Lock())
        if not lock.acquire(blocking=False):
            progress(f"another gate of {model} is running; waiting for it to finish")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    # --- AliasTable -----------------------------------------------------------------------------

    def named(self, model: str, alias: str) -> RegisteredVersion | None:
        """Returns the version an alias names, or None where there is no such alias."""
        number = self._aliases.get((model, alias))
        return None if number is None else self._numbered(model, number).record

    def registered(self, ref: ArtifactRef) -> RegisteredVersion | None:
        """Returns the registered version of an artifact, or None."""
        for version in self._versions.get(ref.model, ()):
            if (version.record.digest, version.record.version) == (ref.digest, ref.version):
                return version.record
        return None

    def called(self, model: str, version: str) -> RegisteredVersion | None:
        """Returns the registered version of this name, the latest of several; or None."""
        found = [v.record for v in self._versions.get(model, ()) if v.record.version == version]
        return found[-1] if found else None

    def point(self, model: str, alias: str, number: str | None) -> None:
        """Makes an alias name a version; None removes the alias."""
        if number is None:
            self._aliases.pop((model, alias), None)
        else:
            self._aliases[model, alias] = number

    def note(self, model: str, key: str, value: str) -> None:
        """Sets a tag of the model itself."""
        self._notes[model, key] = value

    def noted(self, model: str, key: str) -> str | None:
        """Returns a tag of the model itself, or None."""
        return self._notes.get((model, key))

    def tag(self, version: RegisteredVersion, key: str, value: str) -> None:
        """Sets a tag of a version."""
        found = self._numbered(version.model, version.number)
        found.tags[key] = value
        found.record = replace(found.record, settings=found.tags.get(aliases.SETTINGS))

    def tagged(self, version: RegisteredVersion, key: str) -> str | None:
        """Returns a tag of a version, or None."""
        return self._numbered(version.model, version.number).tags.get(key)

    # --- inside ---------------------------------------------------------------------------------

    @contextmanager
    def _reaching(self, model: str) -> Iterator[None]:
        check_model_name(model)
        if not self.reachable:
            raise InfrastructureError("in-memory registry: cannot be reached; try again")
        with self._lock:
            yield

    def _keep_warrant(self, run: str, warrant: Warrant) -> None:
        recorded, folder = self.runs[run], warrant.evidence
        for path in layout.signed_files(folder):
            recorded.files[path.relative_to(folder).as_posix()] = path.read_bytes()
        if warrant.audit_head is not None:
            recorded.tags[layout.AUDIT_HEAD] = warrant.audit_head

    def _gates(self, model: str, key: Mapping[str, str]) -> Iterator[tuple[str, RecordedRun]]:
        wanted = layout.ledger_tags(key).items()
        for name, run in reversed(self.runs.items()):
            matches = run.model == model and wanted <= run.tags.items()
            if matches and layout.counts(run.tags.get(layout.VERDICT)):
                yield name, run

    def _register(self, gate: GateRecord, run: str) -> None:
        ref = gate.context.candidate
        if ref is None or gate.source is None:
            return
        versions = self._versions.setdefault(ref.model, [])
        found = self.registered(ref)
        if found is None:
            found = RegisteredVersion(
                model=ref.model,
                version=ref.version,
                digest=ref.digest,
                number=str(len(versions) + 1),
            )
            versions.append(_Version(found))
        self.point(ref.model, aliases.CANDIDATE, found.number)
        version = self._numbered(ref.model, found.number)
        learnt = layout.counts(gate.verdict.verdict.value)
        if learnt or not layout.counts(version.tags.get(layout.VERDICT)):
            version.tags |= layout.version_tags(gate, run)
            version.record = replace(version.record, gate_run=run)

    def _numbered(self, model: str, number: str) -> _Version:
        return self._versions[model][int(number) - 1]


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
