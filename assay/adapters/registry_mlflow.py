"""The registry on MLflow: one experiment a model, one parent run a gate, one child run a model.

Decides how a finished gate looks in MLflow and how the alias `production` moves. MLflow has no
compare-and-set for aliases, so a move happens under a lock of ours, is read back, and is refused
when `production` is no longer the version the verdict was computed against.

A registered version is found by its artifact digest, never by a counter; no weights are uploaded:
its source names the trusted store. No case text is ever sent.
"""

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from assay.errors import ConfigError, InfrastructureError
from assay.ports import GateRecord
from assay.records import (
    ArtifactRef,
    Prediction,
    PromotionOutcome,
    RegisteredVersion,
    Role,
    VerdictKind,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PRODUCTION = "production"
PREVIOUS = "previous-production"
CANDIDATE = "candidate"
LOCK_TIMEOUT_S = 60.0

_log = logging.getLogger(__name__)


class MlflowRegistry:
    """Implements `assay.ports.Registry` with MLflow's client API.

    Args:
        tracking_uri: `sqlite:///…`, or the URL of a tracking server.
        lock_dir: folder of the promotion locks, shared by every gate on this machine.
    """

    def __init__(self, tracking_uri: str, lock_dir: Path) -> None:
        self._uri = tracking_uri
        self._lock_dir = lock_dir
        self._connected: MlflowClient | None = None

    def production(self, model: str) -> RegisteredVersion | None:
        """Returns what the alias `production` names, or None."""
        return self._aliased(model, PRODUCTION)

    def recorded_verdict(self, key: Mapping[str, str]) -> tuple[str, Mapping[str, object]] | None:
        """Returns (run id, verdict document) of an earlier valid run with the same inputs."""
        runs = self._runs(
            key["model"], {"assay.ledger." + name: value for name, value in key.items()}
        )
        for run in runs:
            if run.data.tags.get("assay.verdict") in (None, VerdictKind.INVALID.value):
                continue
            with self._reaching(), tempfile.TemporaryDirectory() as folder:
                path = self._client.download_artifacts(run.info.run_id, "verdict.json", folder)
                return run.info.run_id, json.loads(Path(path).read_text(encoding="utf-8"))
        return None

    def uses(self, model: str, golden_digest: str) -> int:
        """Returns how many valid gates of this model have used a golden set."""
        runs = self._runs(model, {"assay.ledger.golden": golden_digest})
        return sum(
            run.data.tags.get("assay.verdict") not in (None, VerdictKind.INVALID.value)
            for run in runs
        )

    def record(self, gate: GateRecord) -> str:
        """Stores the parent run, a child run a model, and the candidate's registered version.

        The verdict tag is written last: a run without it was cut short and counts for nothing.
        """
        with self._reaching():
            experiment = self._experiment(gate.model)
            parent = self._client.create_run(
                experiment,
                run_name=f"gate {gate.version}",
                tags=_parent_tags(gate),
            ).info.run_id
            for role, metrics in gate.verdict.metrics.items():
                self._record_child(experiment, parent, Role(role), metrics, gate)
            self._log_dataset(parent, gate)
            self._client.log_artifacts(parent, str(gate.evidence_dir))
            self._register(gate, parent)
            self._client.set_tag(parent, "mlflow.note.content", _note(gate))
            self._client.set_tag(parent, "assay.verdict", gate.verdict.verdict.value)
            self._client.set_terminated(parent, "FINISHED")
        return str(parent)

    def promote(
        self, ref: ArtifactRef, *, expected: ArtifactRef | None, gate_run: str
    ) -> PromotionOutcome:
        """Moves `production` to `ref` under a lock, and reads it back."""
        with self._lock(ref.model), self._reaching():
            current = self.production(ref.model)
            held = None if current is None else current.digest
            wanted = None if expected is None else expected.digest
            if held != wanted:
                return PromotionOutcome(
                    moved=False,
                    reason=f"production is now {_say(current)}, but the verdict was computed "
                    f"against {expected.version if expected else 'no production'}; run the gate "
                    "again against the present production",
                    production=current,
                    previous=None,
                )
            target = self._by_digest(ref)
            if target is None:
                raise ConfigError(
                    f"MLflow: {ref.model} {ref.version} ({ref.digest}) is not a registered "
                    "version; record its gate first"
                )
            if current is not None:
                self._client.set_registered_model_alias(ref.model, PREVIOUS, current.number)
            self._client.set_registered_model_alias(ref.model, PRODUCTION, target.version)
            self._client.set_model_version_tag(
                ref.model, target.version, "assay.promoted_by", gate_run
            )
            after = self.production(ref.model)
        moved = after is not None and after.digest == ref.digest
        if not moved:
            raise InfrastructureError(
                f"MLflow: the alias production of {ref.model} was set to {ref.version} but reads "
                f"back as {_say(after)}; something else is moving it: find out what, then promote "
                "again"
            )
        return PromotionOutcome(
            moved=True,
            reason=f"production moved from {_say(current)} to {ref.version}",
            production=after,
            previous=current,
        )

    # --- connection -----------------------------------------------------------------------------

    @property
    def _client(self) -> "MlflowClient":
        if self._connected is None:
            os.environ.setdefault("DO_NOT_TRACK", "true")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            from mlflow import MlflowClient  # two seconds: only when a registry is really used

            if self._uri.startswith("sqlite:///"):
                path = Path(self._uri.removeprefix("sqlite:///"))
                path.parent.mkdir(parents=True, exist_ok=True)
                logging.getLogger("alembic").setLevel(logging.WARNING)
            self._connected = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._connected

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns MLflow's and the network's errors into ours, once, at the outermost call."""
        try:
            yield
        except (ConfigError, InfrastructureError):
            raise
        except Exception as error:  # MLflow's stores raise SQLAlchemy's, requests' and their own
            raise InfrastructureError(
                f"MLflow at {_without_password(self._uri)}: {type(error).__name__}: "
                f"{str(error).splitlines()[0][:300] if str(error) else 'no message'}; check that "
                "the tracking server runs and MLFLOW_TRACKING_URI names it, then run the same "
                "command again"
            ) from error

    @contextmanager
    def _lock(self, model: str) -> Iterator[None]:
        self._lock_dir.mkdir(parents=True, exist_ok=True)
        path = self._lock_dir / f"promote-{model}.lock"
        try:
            with FileLock(path, timeout=LOCK_TIMEOUT_S):
                yield
        except Timeout:
            raise InfrastructureError(
                f"{path}: another promotion of {model} holds the lock for more than "
                f"{LOCK_TIMEOUT_S:.0f} s; wait for it, then run the same command again"
            ) from None

    # --- runs -----------------------------------------------------------------------------------

    def _experiment(self, model: str) -> str:
        found = self._client.get_experiment_by_name(model)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if self._uri.startswith("sqlite:///"):
            database = Path(self._uri.removeprefix("sqlite:///")).resolve()
            location = (database.parent / "mlflow-artifacts" / model).as_uri()
        return str(self._client.create_experiment(model, artifact_location=location))

    def _runs(self, model: str, tags: Mapping[str, str]) -> Sequence[Any]:
        with self._reaching():
            experiment = self._client.get_experiment_by_name(model)
            if experiment is None:
                return []
            terms = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
            return list(
                self._client.search_runs(
                    [experiment.experiment_id],
                    filter_string=" and ".join([*terms, "attributes.status = 'FINISHED'"]),
                    max_results=1000,
                    order_by=["attributes.start_time DESC"],
                )
            )

    def _record_child(
        self,
        experiment: str,
        parent: str,
        role: Role,
        metrics: Mapping[str, float],
        gate: GateRecord,
    ) -> None:
        from mlflow.entities import Metric, Param

        context = gate.context
        ref = context.candidate if role is Role.CANDIDATE else context.production
        version = ref.version if ref else "unknown"
        run = self._client.create_run(
            experiment,
            run_name=f"{role.value} {version}",
            tags={
                "mlflow.parentRunId": parent,
                "assay.role": role.value,
                "assay.artifact_digest": ref.digest if ref else "unknown",
            },
        )
        identifier, now = run.info.run_id, run.info.start_time
        self._client.log_batch(
            identifier,
            metrics=[Metric(name, value, now, 0) for name, value in sorted(metrics.items())],
            params=[Param("model", gate.model), Param("version", version)],
        )
        self._log_dataset(identifier, gate)
        rows = gate.predictions.get(role, ())
        if rows:
            self._client.log_table(identifier, _table(rows, gate), "predictions.json")
        self._client.set_terminated(identifier, "FINISHED")

    def _log_dataset(self, run_id: str, gate: GateRecord) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        profile = {"num_rows": gate.golden.size, "digest": gate.golden.digest}
        dataset = Dataset(
            name="golden",
            digest=gate.golden.digest.removeprefix("sha256:")[:36],
            source_type="dvc",
            source=json.dumps({"revision": gate.golden.revision, "digest": gate.golden.digest}),
            profile=json.dumps(profile),
        )
        tag = InputTag(key="mlflow.data.context", value="golden")
        self._client.log_inputs(run_id, datasets=[DatasetInput(dataset=dataset, tags=[tag])])

    # --- registered versions --------------------------------------------------------------------

    def _register(self, gate: GateRecord, parent: str) -> None:
        ref = gate.context.candidate
        if ref is None or gate.source is None:
            return
        self._ensure_model(ref.model)
        found = self._by_digest(ref)
        if found is None:
            found = self._client.create_model_version(
                ref.model,
                source=gate.source,
                tags={"assay.version": ref.version, "assay.artifact_digest": ref.digest},
            )
        for key, value in {
            "assay.verdict": gate.verdict.verdict.value,
            "assay.gate_run": parent,
            "assay.reason": gate.verdict.summary[:4000],
        }.items():
            self._client.set_model_version_tag(ref.model, found.version, key, value)
        self._client.update_model_version(ref.model, found.version, description=_note(gate))
        self._client.set_registered_model_alias(ref.model, CANDIDATE, found.version)

    def _ensure_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._client.create_registered_model(model)

    def _by_digest(self, ref: ArtifactRef) -> "ModelVersion | None":
        found = self._client.search_model_versions(
            f"name = '{ref.model}' and tags.`assay.artifact_digest` = '{ref.digest}'"
        )
        same = [one for one in found if one.tags.get("assay.version") == ref.version]
        return min(same, key=lambda one: int(one.version)) if same else None

    def _aliased(self, model: str, alias: str) -> RegisteredVersion | None:
        from mlflow.exceptions import MlflowException

        with self._reaching():
            try:
                found = self._client.get_model_version_by_alias(model, alias)
            except MlflowException as error:
                # A missing alias raises INVALID_PARAMETER_VALUE, a missing model the other.
                if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                    return None
                raise
            tags = found.tags
            if "assay.version" not in tags or "assay.artifact_digest" not in tags:
                raise ConfigError(
                    f"MLflow: {model} version {found.version}, which the alias {alias!r} names, "
                    "has no tags assay.version and assay.artifact_digest; it was not registered by "
                    "a gate: move the alias to a version that was"
                )
            return RegisteredVersion(
                model=model,
                version=tags["assay.version"],
                digest=tags["assay.artifact_digest"],
                number=str(found.version),
                gate_run=tags.get("assay.gate_run"),
            )


def _parent_tags(gate: GateRecord) -> dict[str, str]:
    context = gate.context
    tags = {"assay.run_id": context.run_id, "assay.kind": "gate", "mlflow.user": context.who or ""}
    for role, ref in (("candidate", context.candidate), ("production", context.production)):
        if ref is not None:
            tags[f"assay.{role}"] = ref.version
            tags[f"assay.{role}_digest"] = ref.digest
    return tags | {"assay.ledger." + name: value for name, value in gate.ledger_key.items()}


def _note(gate: GateRecord) -> str:
    steps = "\n".join(f"- {step}" for step in gate.verdict.next_steps)
    return f"**{gate.verdict.verdict.value}**: {gate.verdict.summary}\n\n{steps}\n"


def _table(rows: Sequence[Prediction], gate: GateRecord) -> dict[str, list[Any]]:
    golden = {case.id: case for case in gate.golden.cases}
    kept = [row for row in rows if row.case_id in golden]
    return {
        "case_id": [row.case_id for row in kept],
        "golden": [golden[row.case_id].label for row in kept],
        "predicted": [row.label for row in kept],
        "status": [row.status.value for row in kept],
        "lang": [golden[row.case_id].lang for row in kept],
        "e2e_ms": [row.e2e_ms for row in kept],
    }


def _say(version: RegisteredVersion | None) -> str:
    return "nothing" if version is None else version.version


def _without_password(uri: str) -> str:
    scheme, found, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else uri
