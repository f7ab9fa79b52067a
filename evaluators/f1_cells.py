"""From answers to counts: which golden cases `emotion_f1` compares, and its metrics.

Decides that a case counts when every model answered it as often as the policy asks, and that
without production its side holds no label at all.
"""

from collections.abc import Mapping, Sequence

from assay.cells import Cells, count_cells
from assay.records import GoldenCase, Prediction, Role
from evaluators.base import Inputs

Labels = Mapping[str, str | None]


def answered_cases(inputs: Inputs) -> list[GoldenCase]:
    """Golden cases that every model answered each time, in the order of ids."""
    runs = [run for model in inputs.answers().values() for run in model.runs(inputs.rules.repeats)]
    return [case for case in inputs.golden.cases if all(case.id in run for run in runs)]


def cells_of(cases: Sequence[GoldenCase], inputs: Inputs) -> Cells:
    """Counts answered cases by true label and both models' answers."""
    times = inputs.rules.repeats
    production = inputs.production.runs(times) if inputs.production else ({},) * times
    return count_cells(
        inputs.task.labels,
        {case.id: case.label for case in cases},
        [labels_of(cases, run) for run in production],
        [labels_of(cases, run) for run in inputs.candidate.runs(times)],
    )


def labels_of(cases: Sequence[GoldenCase], run: Mapping[str, Prediction]) -> Labels:
    """Case id → answered label; None for an answer that names none, or where there is no model."""
    return {case.id: run[case.id].label if case.id in run else None for case in cases}


def metrics_of(cells: Cells, role: Role) -> dict[str, float]:
    """Per-class F1, `macro` and `accuracy` of one model; what does not exist is absent."""
    values = cells.f1(role.value)
    whole = {"macro": cells.macro(role.value), "accuracy": cells.accuracy(role.value)}
    return values | {name: value for name, value in whole.items() if value is not None}
