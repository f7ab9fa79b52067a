"""Gates as MLflow runs: one experiment a model, one parent run a gate, one child run a model.

Decides how a finished gate is written so that a process killed half-way leaves nothing that counts:
a run counts once it is `FINISHED` and has a verdict tag, and both come last. Names and tables are
`registry_layout`'s, the child runs `registry_model_runs`', descriptions `registry_pages`', how
versions are registered `registry_versions`', how errors look `registry_connection`'s.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assay import digests
from assay.adapters import registry_layout as layout
from assay.adapters import registry_pages as pages
from assay.adapters.registry_connection import MlflowConnection
from assay.adapters.registry_model_runs import ModelRuns
from assay.adapters.registry_versions import MlflowVersions
from assay.artifact import check_model_name
from assay.errors import ConfigError, InfrastructureError
from assay.ports import GateRecord
from assay.records import Role, WayBack
from assay.warrant import Warrant

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run

_RUNS_PER_PAGE = 500


class MlflowRuns:
    """Implements `assay.ports.GateRuns` with MLflow's client API."""

    def __init__(self, connection: MlflowConnection, versions: MlflowVersions) -> None:
        self._mlflow = connection
        self._versions = versions
        self._models = ModelRuns(connection)

    def recorded_verdict(self, key: Mapping[str, str]) -> tuple[str, Mapping[str, object]] | None:
        """Returns (run id, verdict document) of the latest valid run with the same inputs.

        Raises:
            ConfigError: that run's `verdict.json` is gone, or is not the one that was recorded.
            InfrastructureError: MLflow cannot be reached.
        """
        with self._mlflow.reaching():
            for run in self._gates(key["model"], key):
                return run.info.run_id, json.loads(self._verdict_bytes(run))
        return None

    def uses(self, model: str, golden_digest: str) -> int:
        """Returns how many valid gates of this model have used a golden set."""
        with self._mlflow.reaching():
            return sum(1 for _ in self._gates(model, {"golden": golden_digest}))

    def record(self, gate: GateRecord) -> str:
        """Stores the parent run, a child run a model, and the candidate's registered version.

        May be called again after a failure: what the failed call left is removed, and a gate that
        was recorded already is not recorded twice.
        """
        check_model_name(gate.model)
        with self._mlflow.reaching():
            experiment = self._experiment(gate.model)
            done = self._clear(experiment, gate)
            return done or self._write(experiment, gate)

    def evidence(self, run: str, destination: Path) -> None:
        """Downloads a gate's evidence (see `GateRuns.evidence`)."""
        from mlflow.exceptions import MlflowException

        with self._mlflow.reaching():
            try:
                found = self._mlflow.client.list_artifacts(run)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                found = []
            if not any(entry.path == layout.VERDICT_FILE for entry in found):
                raise ConfigError(
                    f"MLflow run {run}: holds no {layout.VERDICT_FILE}; expected the evidence of a "
                    "gate; name a version whose gate is recorded"
                )
            destination.mkdir(parents=True, exist_ok=True)
            self._mlflow.client.download_artifacts(run, "", str(destination))

    def record_move_back(self, model: str, run_id: str, folder: Path, way: WayBack) -> str:
        """Stores a move back as a finished run of the model's experiment."""
        check_model_name(model)
        with self._mlflow.reaching():
            client = self._mlflow.client
            name = f"rollback {way.current.version} to {way.target.version}"
            tags = layout.move_back_tags(run_id, way)
            run = str(
                client.create_run(self._experiment(model), run_name=name, tags=tags).info.run_id
            )
            client.log_artifacts(run, str(folder))
            client.set_terminated(run, "FINISHED")
            return run

    def keep_warrant(self, run: str, warrant: Warrant) -> None:
        """Stores the statements that a promotion rests on with the gate's run."""
        client = self._mlflow.client
        for path in layout.signed_files(warrant.evidence):
            client.log_artifact(run, str(path), layout.folder_of(path, warrant.evidence))
        if warrant.audit_head is not None:
            client.set_tag(run, layout.AUDIT_HEAD, warrant.audit_head)

    def audit_heads(self, model: str) -> list[str]:
        """Returns how long the audit log was at each promotion of a model, as it was noted."""
        check_model_name(model)
        with self._mlflow.reaching():
            experiment = self._mlflow.client.get_experiment_by_name(model)
            if experiment is None:
                return []
            runs = self._search(experiment.experiment_id, {"assay.kind": "gate"})
            noted = [run.data.tags.get(layout.AUDIT_HEAD) for run in runs]
        return [head for head in noted if head]

    # --- reading --------------------------------------------------------------------------------

    def _gates(self, model: str, key: Mapping[str, str]) -> Iterator["Run"]:
        """Yields the valid gates of a model with these ledger entries, latest first."""
        check_model_name(model)
        experiment = self._mlflow.client.get_experiment_by_name(model)
        if experiment is None:
            return
        for run in self._search(experiment.experiment_id, layout.ledger_tags(key), finished=True):
            if layout.counts(run.data.tags.get(layout.VERDICT)):
                yield run

    def _search(
        self, experiment: str, tags: Mapping[str, str], *, finished: bool = False
    ) -> Iterator["Run"]:
        terms = [f"tags.`{name}` = '{_quotable(value)}'" for name, value in tags.items()]
        if finished:
            terms.append("attributes.status = 'FINISHED'")
        token = None
        while True:
            page = self._mlflow.client.search_runs(
                [experiment],
                filter_string=" and ".join(terms),
                max_results=_RUNS_PER_PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _verdict_bytes(self, run: "Run") -> bytes:
        """Downloads a run's verdict and holds it against the digest its tag states."""
        client, name = self._mlflow.client, layout.VERDICT_FILE
        stated = run.data.tags.get(layout.VERDICT_DIGEST)
        found = "no file"
        if any(entry.path == name for entry in client.list_artifacts(run.info.run_id)):
            with tempfile.TemporaryDirectory() as folder:
                path = client.download_artifacts(run.info.run_id, name, folder)
                data = Path(path).read_bytes()
            found = digests.of_bytes(data)
            if found == stated:
                return data
        raise ConfigError(
            f"MLflow run {run.info.run_id}: {name}: found {found}, expected {stated}, as it was "
            "recorded; find out who can write to MLflow's artifacts, then delete the run (mlflow "
            f"runs delete --run-id {run.info.run_id}), and the gate measures anew"
        )

    # --- writing --------------------------------------------------------------------------------

    def _experiment(self, model: str) -> str:
        client = self._mlflow.client
        found = client.get_experiment_by_name(model) or self._new_experiment(model)
        if found.lifecycle_stage != "active":
            raise ConfigError(
                f"MLflow: the experiment {model!r} is deleted; restore it with: mlflow experiments "
                f"restore --experiment-id {found.experiment_id}"
            )
        return str(found.experiment_id)

    def _new_experiment(self, model: str) -> "Experiment":
        from mlflow.exceptions import MlflowException

        database, location = self._mlflow.database, None
        if database is not None:  # MLflow's default is below wherever this process stands
            location = (database.parent / "mlflow-artifacts" / model).as_uri()
        try:
            self._mlflow.client.create_experiment(
                model, artifact_location=location, tags=pages.EXPERIMENT_TAGS
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another gate was first
                raise
        made = self._mlflow.client.get_experiment_by_name(model)
        if made is None:
            raise InfrastructureError(f"MLflow: the experiment {model!r} vanished; run again")
        return made

    def _clear(self, experiment: str, gate: GateRecord) -> str | None:
        """Removes what a failed call left of this gate; returns its run if it was finished."""
        for run in self._search(experiment, {layout.RUN_ID: gate.context.run_id}):
            if run.info.status == "FINISHED" and layout.VERDICT in run.data.tags:
                return str(run.info.run_id)
            for child in self._search(experiment, {"mlflow.parentRunId": run.info.run_id}):
                self._mlflow.client.delete_run(child.info.run_id)
            self._mlflow.client.delete_run(run.info.run_id)
        return None

    def _write(self, experiment: str, gate: GateRecord) -> str:
        client = self._mlflow.client
        parent = str(
            client.create_run(
                experiment, run_name=f"gate {gate.version}", tags=layout.parent_tags(gate)
            ).info.run_id
        )
        children = [
            self._models.write(experiment, parent, Role(role), metrics, gate)
            for role, metrics in gate.verdict.metrics.items()
        ]
        self._models.write_dataset(parent, gate)
        client.log_artifacts(parent, str(gate.evidence_dir))
        links = pages.Links(experiment)
        text = pages.run_page(gate.verdict, links, parent, children)
        client.set_tag(parent, "mlflow.note.content", text)
        self._versions.register(gate, parent, links)
        client.set_tag(parent, layout.VERDICT, gate.verdict.verdict.value)
        client.set_terminated(parent, "FINISHED")
        return parent


def _quotable(value: str) -> str:
    """Refuses what could end a quoted value in MLflow's filter language, which has no escape."""
    if "'" in value or "\\" in value:
        raise ConfigError(
            f"MLflow: cannot search for {value!r}: expected a name or digest without quotes and "
            "backslashes; choose another name"
        )
    return value
