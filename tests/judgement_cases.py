"""Golden sets, answers and policies for the tests of the judgement, made from counts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from assay.golden_set import GoldenSet, golden_digest
from assay.policy import Policy
from assay.records import AnswerStatus, GoldenCase, Prediction, RunContext
from assay.task import Task
from evaluators.judgement import Judgement, RawAnswers, judge

LABELS = ("joy", "anger", "fear")
CONTEXT = RunContext(run_id="run-1")


def task(labels: Sequence[str] = LABELS) -> Task:
    return Task.model_validate(
        {
            "schema_version": 1,
            "name": "emotion",
            "labels": list(labels),
            "messages": [{"role": "user", "content": "{text}"}],
            "decoding": {"mode": "constrained"},
            "readiness_text": "hello",
        }
    )


def policy(evaluators: Mapping[str, Any] | None = None, **general: Any) -> Policy:
    return Policy.model_validate(
        {
            "schema_version": 1,
            "replicates": 999,
            "evaluators": evaluators or {"emotion_f1": {}},
            **general,
        }
    )


def golden(
    truth: Iterable[str], *, strata: Sequence[str] = (), slices: Sequence[tuple[str, ...]] = ()
) -> GoldenSet:
    cases = tuple(
        GoldenCase(
            id=f"c-{i:05}",
            text=None,
            text_sha256=f"{i:064x}",
            label=label,
            lang="en" if i % 2 else "vi",
            source="handwritten",
            stratum=strata[i] if strata else "core",
            slices=slices[i] if slices else (),
            added_in="1.0.0",
        )
        for i, label in enumerate(truth)
    )
    return GoldenSet(cases=cases, digest=golden_digest(cases), revision="test")


def balanced(each: int, labels: Sequence[str] = LABELS) -> GoldenSet:
    return golden([label for label in labels for _ in range(each)])


def answers(gold: GoldenSet, labels: Sequence[str | None]) -> list[Prediction]:
    """One answer a case, in the golden set's order; None is an answer that names no label."""
    return [
        Prediction(
            case_id=case.id,
            label=label,
            status=AnswerStatus.INVALID if label is None else AnswerStatus.OK,
            raw=label or "hmm",
            request_id=f"r-{case.id}",
        )
        for case, label in zip(gold.cases, labels, strict=True)
    ]


def noisy(gold: GoldenSet, accuracy: float, seed: int, labels: Sequence[str] = LABELS) -> list[str]:
    """Answers that are right with a probability, and else anything."""
    rng = np.random.default_rng(seed)
    return [
        case.label if rng.random() < accuracy else str(rng.choice(labels)) for case in gold.cases
    ]


def judged(
    gold: GoldenSet,
    production: Sequence[str | None] | None,
    candidate: Sequence[str | None],
    /,
    **changes: Any,
) -> Judgement:
    arguments: dict[str, Any] = {
        "golden": gold,
        "probes": (),
        "task": task(),
        "policy": policy(),
        "candidate": RawAnswers(predictions=answers(gold, candidate)),
        "production": None
        if production is None
        else RawAnswers(predictions=answers(gold, production)),
        "context": CONTEXT,
    }
    return judge(**(arguments | changes))
