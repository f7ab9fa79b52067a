"""Tuning in MLflow: a parent run a study, a child run a trial, beside the gates of the same model.

Decides the names: params are the settings, metrics are `tuning/goodput_per_s`,
`tuning/ttft_p99_ms` and `tuning/cost_per_million_tokens`, so that MLflow's own pictures (parallel
coordinates, scatter) show the search. A metric that was not measured is absent. Runs are found
again by the study's id and the trial's number, so a resumed study goes on in the run it began.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assay.adapters.registry_connection import MlflowConnection
from assay.adapters.registry_pages import EXPERIMENT_TAGS
from assay.artifact import check_model_name
from assay.errors import ConfigError
from assay.tuning.ports import StudyRecord
from assay.tuning.space import Value
from assay.tuning.trials import TrialRecord

if TYPE_CHECKING:
    from mlflow.entities import Run

STUDY, TRIAL, STATE = "assay.study", "assay.trial", "assay.trial_state"
_LONGEST_TAG = 4900


class MlflowTuningLog:
    """Implements `assay.tuning.ports.TuningLog`.

    Args:
        tracking_uri: `sqlite:///…`, or the URL of a tracking server.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._mlflow = MlflowConnection(tracking_uri)

    def open(self, study: StudyRecord) -> str:
        """Returns the id of the study's run, which is made or found again."""
        check_model_name(study.model)
        with self._mlflow.reaching():
            experiment = self._experiment(study.model)
            for run in self._runs(experiment, {STUDY: study.study, "assay.kind": "tune"}):
                self._mlflow.client.update_run(run.info.run_id, status="RUNNING")
                return str(run.info.run_id)
            tags = {
                "assay.kind": "tune",
                STUDY: study.study,
                "assay.version": study.version,
                "assay.artifact_digest": study.artifact_digest,
            }
            if study.who:
                tags["mlflow.user"] = study.who
            name = f"tune {study.version}"
            info = self._mlflow.client.create_run(experiment, run_name=name, tags=tags).info
            for key, value in study.facts.items():
                self._mlflow.client.log_param(info.run_id, key, value[:_LONGEST_TAG])
            return str(info.run_id)

    def log_trial(
        self,
        run: str,
        trial: TrialRecord,
        params: Mapping[str, Value],
        metrics: Mapping[str, float],
    ) -> None:
        """Stores one trial as a child run; one that is stored already is left as it is."""
        from mlflow.entities import Metric, Param

        with self._mlflow.reaching():
            client = self._mlflow.client
            experiment = client.get_run(run).info.experiment_id
            tags = {"mlflow.parentRunId": run, TRIAL: str(trial.number)}
            for found in self._runs(experiment, tags):
                if found.info.status == "FINISHED":
                    return
                client.delete_run(found.info.run_id)
            tags |= {STATE: trial.state.value}
            if trial.reason:
                tags["mlflow.note.content"] = _note(trial)
            name = f"trial {trial.number}"
            info = client.create_run(experiment, run_name=name, tags=tags).info
            # MLflow takes no key that begins with a dash.
            client.log_batch(
                info.run_id,
                params=[Param(key.lstrip("-"), str(value)) for key, value in params.items()],
                metrics=[Metric(key, value, info.start_time, 0) for key, value in metrics.items()],
            )
            client.set_terminated(info.run_id, "FINISHED")

    def close(self, run: str, folder: Path, *, reason: str, metrics: Mapping[str, float]) -> None:
        """Stores the recommendation and its files, and ends the run."""
        from mlflow.entities import Metric

        with self._mlflow.reaching():
            client = self._mlflow.client
            start = client.get_run(run).info.start_time
            client.log_artifacts(run, str(folder))
            client.set_tag(run, "mlflow.note.content", reason[:_LONGEST_TAG])
            client.log_batch(
                run, metrics=[Metric(key, value, start, 0) for key, value in metrics.items()]
            )
            client.set_terminated(run, "FINISHED")

    def _experiment(self, model: str) -> str:
        from mlflow.exceptions import MlflowException

        client = self._mlflow.client
        database, location = self._mlflow.database, None
        if database is not None:  # MLflow's default is below wherever this process stands
            location = (database.parent / "mlflow-artifacts" / model).as_uri()
        try:
            return str(
                client.create_experiment(model, artifact_location=location, tags=EXPERIMENT_TAGS)
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(model)
        if found is None or found.lifecycle_stage != "active":
            raise ConfigError(
                f"MLflow: the experiment {model!r} is deleted; restore it, or tune another model"
            )
        return str(found.experiment_id)

    def _runs(self, experiment: str, tags: Mapping[str, str]) -> "list[Run]":
        terms = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        return list(
            self._mlflow.client.search_runs([experiment], filter_string=" and ".join(terms))
        )


def _note(trial: TrialRecord) -> str:
    text = trial.reason
    if trial.log_tail:
        text += f"\n\n```\n{trial.log_tail}\n```"
    return text[:_LONGEST_TAG]
