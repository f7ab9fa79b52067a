"""From answers to counts: which golden cases `emotion_f1` compares, and its metrics.

Decides that a case counts when every model answered it, and that without production its side holds
no label at all.
"""

from collections.abc import Sequence

from assay.cells import Cells, count_cells
from assay.records import GoldenCase, Prediction, Role
from evaluators.base import Inputs


def answered_cases(inputs: Inputs) -> list[GoldenCase]:
    """Golden cases that every model answered, in the order of ids."""
    models = inputs.answers().values()
    return [case for case in inputs.golden.cases if all(case.id in m.predictions for m in models)]


def cells_of(cases: Sequence[GoldenCase], inputs: Inputs) -> Cells:
    """Counts answered cases by true label and both answers."""
    candidate = inputs.candidate.predictions
    production = inputs.production.predictions if inputs.production else {}
    return count_cells(
        inputs.task.labels,
        {case.id: case.label for case in cases},
        {case.id: _label(production.get(case.id)) for case in cases},
        {case.id: candidate[case.id].label for case in cases},
    )


def metrics_of(cells: Cells, role: Role) -> dict[str, float]:
    """Per-class F1, `macro` and `accuracy` of one model; what does not exist is absent."""
    values = cells.f1(role.value)
    whole = {"macro": cells.macro(role.value), "accuracy": cells.accuracy(role.value)}
    return values | {name: value for name, value in whole.items() if value is not None}


def _label(prediction: Prediction | None) -> str | None:
    return prediction.label if prediction else None
