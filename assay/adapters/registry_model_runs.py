"""The child runs of a gate in MLflow: one a model, made to be laid beside each other.

Decides what both carry under the same names: metrics, parameters (which show what differed in how
they were measured), the golden set as a dataset, the answers as a table, and a picture of them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from assay.adapters import registry_layout as layout
from assay.adapters import registry_plots as plots
from assay.adapters.registry_connection import MlflowConnection
from assay.ports import GateRecord
from assay.records import Role

if TYPE_CHECKING:
    from mlflow.entities import Metric

_METRICS_PER_BATCH = 500


class ModelRuns:
    """Writes child runs; every call belongs inside `MlflowConnection.reaching`."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._mlflow = connection

    def write(
        self,
        experiment: str,
        parent: str,
        role: Role,
        metrics: Mapping[str, float],
        gate: GateRecord,
    ) -> str:
        """Stores one model of a gate as a finished run below `parent`; returns its id."""
        from mlflow.entities import Metric, Param

        client, context = self._mlflow.client, gate.context
        ref = context.candidate if role is Role.CANDIDATE else context.production
        tags = {"mlflow.parentRunId": parent, "assay.role": role.value}
        if ref is not None:
            tags[layout.DIGEST] = ref.digest
        name = f"{role.value} {ref.version}" if ref else role.value
        info = client.create_run(experiment, run_name=name, tags=tags).info
        run = str(info.run_id)
        params = layout.model_params(gate, role)
        client.log_batch(run, params=[Param(key, value) for key, value in params.items()])
        values = [
            Metric(key, value, info.start_time, 0)
            for key, value in layout.metric_keys(metrics).items()
        ]
        self._write_metrics(run, values)
        self.write_dataset(run, gate)
        self._write_answers(run, name, role, gate)
        client.set_terminated(run, "FINISHED")
        return run

    def write_dataset(self, run: str, gate: GateRecord) -> None:
        """Names the golden set as what a run was measured on."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        dataset = Dataset(**layout.dataset_fields(gate.golden))
        context = InputTag(key="mlflow.data.context", value="golden")
        # MLflow looks for the dataset and then inserts it: of two gates that meet a new golden set
        # at once, the slower one's insert is refused, and finds the row when it asks again.
        again = Retrying(
            retry=retry_if_exception_type(MlflowException),
            stop=stop_after_attempt(3),
            wait=wait_random(max=0.2),
            reraise=True,
        )
        again(self._mlflow.client.log_inputs, run, datasets=[DatasetInput(dataset, [context])])

    def _write_metrics(self, run: str, values: list["Metric"]) -> None:
        for start in range(0, len(values), _METRICS_PER_BATCH):
            batch = values[start : start + _METRICS_PER_BATCH]
            self._mlflow.client.log_batch(run, metrics=batch)

    def _write_answers(self, run: str, name: str, role: Role, gate: GateRecord) -> None:
        rows = gate.predictions.get(role, ())
        if rows:
            table = layout.predictions_table(rows, gate.golden)
            self._mlflow.client.log_table(run, table, "predictions.json")
        figure = plots.confusion(rows, gate.golden, name)
        if figure is not None:
            self._mlflow.client.log_figure(run, figure, layout.CONFUSION_FILE)
        # Not with the gate's run: its files are the sealed evidence, and nothing else.
        differences = plots.differences(gate.verdict.findings)
        if differences is not None and role is Role.CANDIDATE:
            self._mlflow.client.log_figure(run, differences, layout.DIFFERENCES_FILE)
