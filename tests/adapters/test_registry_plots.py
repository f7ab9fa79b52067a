"""The pictures that MLflow shows: drawn from answers and findings, and absent where nothing is."""

from dataclasses import replace

from assay.adapters import registry_plots as plots
from assay.records import AnswerStatus, Finding, FindingStatus, Prediction
from tests.registry_rig import golden


def answers(labels: dict[str, str | None]) -> list[Prediction]:
    return [
        Prediction(
            case_id=case,
            label=label,
            status=AnswerStatus.OK if label else AnswerStatus.INVALID,
            raw=label or "?",
        )
        for case, label in labels.items()
    ]


def test_the_matrix_counts_the_first_answer_to_each_golden_case() -> None:
    rows = answers({"c-0": "joy", "c-1": "joy", "c-2": None, "c-3": "anger", "c-unknown": "joy"})
    figure = plots.confusion([*rows, replace(rows[0], repeat=1)], golden(), "candidate 1.0.0")
    assert figure is not None
    (axes,) = figure.axes
    assert axes.get_title() == "candidate 1.0.0"
    columns = [label.get_text() for label in axes.get_xticklabels()]
    counts = [int(text.get_text()) for text in axes.texts]
    assert columns == ["anger", "fear", "joy", "no label"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["anger", "fear", "joy"]
    assert counts == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1]


def test_the_margin_lies_on_the_side_that_the_bound_is_on() -> None:
    worse = Finding(
        evaluator="emotion_f1",
        metric="emotion_f1/joy",
        kind="non_inferiority",
        status=FindingStatus.FAILED,
        reason="It dropped.",
        difference=-0.1,
        interval=(-0.2, 0.0),
        bound=-0.2,
        margin=0.05,
    )
    more = replace(worse, metric="toxicity/rate", difference=0.1, interval=(0.0, 0.2), bound=0.2)
    figure = plots.differences([worse, more])
    assert figure is not None
    (axes,) = figure.axes
    margins = [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "|"]
    assert margins == [-0.05, 0.05]
    assert [label.get_text() for label in axes.get_yticklabels()] == [worse.metric, more.metric]


def test_nothing_measured_is_no_picture() -> None:
    assert plots.confusion([], golden(), "candidate") is None
    floor = Finding(
        evaluator="validity",
        metric="validity/invalid_rate",
        kind="limit",
        status=FindingStatus.PASSED,
        reason="It holds.",
        candidate=0.0,
    )
    assert plots.differences([floor]) is None
