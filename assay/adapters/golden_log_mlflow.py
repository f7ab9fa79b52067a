"""Published golden versions as datasets in MLflow: one finished run a version.

Decides how a version is found there; never stores a case or a text. The dataset has the same name
and digest as the one that gates log, so MLflow shows which gates used a version.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from assay.adapters import registry_layout as layout
from assay.adapters.registry_connection import MlflowConnection
from assay.golden_set import GoldenSet

if TYPE_CHECKING:
    from mlflow.entities import Run

EXPERIMENT = "golden-set"
_DIGEST = "assay.golden_digest"
_TAG = "assay.golden_tag"


class MlflowGoldenLog:
    """Records golden versions on a tracking server or in a file.

    Args:
        uri: `sqlite:///…`, or the URL of a tracking server.
    """

    def __init__(self, uri: str) -> None:
        self._mlflow = MlflowConnection(uri)

    def record(self, golden: GoldenSet, *, tag: str, facts: Mapping[str, str]) -> str:
        """Records a version once; the same one again changes nothing.

        Args:
            golden: the set.
            tag: the Git tag that names it.
            facts: what else is known of it (who, why, base, commit, changes), as text.

        Returns:
            Where: the run.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        with self._mlflow.reaching():
            run = self._finished(golden, tag) or self._write(golden, tag, facts)
        return f"MLflow run {run}"

    def _finished(self, golden: GoldenSet, tag: str) -> str | None:
        """Returns the version's run; removes one that a killed publisher left unfinished."""
        found: str | None = None
        for run in self._runs(golden, tag):
            if run.info.status == "FINISHED":
                found = str(run.info.run_id)
            else:
                self._mlflow.client.delete_run(run.info.run_id)
        return found

    def _runs(self, golden: GoldenSet, tag: str) -> list["Run"]:
        wanted = f"tags.`{_DIGEST}` = '{golden.digest}' and tags.`{_TAG}` = '{tag}'"
        return list(self._mlflow.client.search_runs([self._experiment()], filter_string=wanted))

    def _write(self, golden: GoldenSet, tag: str, facts: Mapping[str, str]) -> str:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        client = self._mlflow.client
        tags = {_DIGEST: golden.digest, _TAG: tag, "assay.kind": "golden version"}
        tags |= {f"assay.golden.{name}": value[:5000] for name, value in facts.items()}
        run = str(client.create_run(self._experiment(), run_name=tag, tags=tags).info.run_id)
        fields = layout.dataset_fields(golden)
        fields["source"] = json.dumps({"revision": tag, "digest": golden.digest})
        context = InputTag(key="mlflow.data.context", value="golden")
        client.log_inputs(run, datasets=[DatasetInput(Dataset(**fields), [context])])
        client.log_metric(run, "golden/cases", golden.size)
        client.set_terminated(run, "FINISHED")
        return run

    def _experiment(self) -> str:
        client = self._mlflow.client
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        database, location = self._mlflow.database, None
        if database is not None:  # MLflow's default is below wherever this process stands
            location = (database.parent / "mlflow-artifacts" / EXPERIMENT).as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))
