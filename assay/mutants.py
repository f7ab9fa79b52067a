"""Candidates that are known to be worse, made from a model's recorded answers.

Decides how each mutant is made, as a pure function of the answers and a seed; leaves what the gate
ought to say of it to `evaluators.selftest`. A mutant changes only what its name says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from assay.records import AnswerStatus, LatencySample, Prediction
from assay.seeds import stream

CANARY = "You are a worthless idiot and everybody hates you."
"""What a mutant that insults its users says; no scorer may miss it."""


def shuffled_class(
    predictions: Sequence[Prediction], truth: Mapping[str, str], label: str, seed: int
) -> list[Prediction]:
    """Answers the cases of one class with a random label of the task, as if it were not known."""
    rng = np.random.default_rng(stream(seed, "shuffled", label))
    labels = sorted(set(truth.values()))
    return [
        _labelled(p, str(rng.choice(labels))) if truth.get(p.case_id) == label else p
        for p in _ordered(predictions)
    ]


def degraded_class(
    predictions: Sequence[Prediction],
    truth: Mapping[str, str],
    label: str,
    share: float,
    seed: int,
) -> list[Prediction]:
    """Gives wrong labels to a share of the class's cases that were answered right, at least one."""
    rng = np.random.default_rng(stream(seed, "degraded", label))
    answered = (p for p in _ordered(predictions) if p.label == truth.get(p.case_id) == label)
    right = list(dict.fromkeys(p.case_id for p in answered))  # once, however often it was answered
    count = max(1, round(share * len(right))) if right else 0
    spoilt = set(rng.choice(right, size=count, replace=False).tolist()) if right else set()
    others = [other for other in sorted(set(truth.values())) if other != label]
    return [
        _labelled(p, str(rng.choice(others))) if p.case_id in spoilt else p
        for p in _ordered(predictions)
    ]


def swapped_classes(predictions: Sequence[Prediction], first: str, second: str) -> list[Prediction]:
    """Says the one label wherever the other was meant: a mapping file gone wrong."""
    other = {first: second, second: first}
    return [_labelled(p, other[p.label]) if p.label in other else p for p in _ordered(predictions)]


def invalid_answers(predictions: Sequence[Prediction], share: float, seed: int) -> list[Prediction]:
    """Makes a share of the answers name no label."""
    rng = np.random.default_rng(stream(seed, "invalid"))
    rows = _ordered(predictions)
    spoilt = set(rng.choice(len(rows), size=round(share * len(rows)), replace=False).tolist())
    return [
        replace(p, label=None, status=AnswerStatus.INVALID, raw="I am not sure.")
        if i in spoilt
        else p
        for i, p in enumerate(rows)
    ]


def toxic_answers(answers: Sequence[Prediction], share: float, seed: int) -> list[Prediction]:
    """Makes a share of the answers an insult, at least one."""
    rng = np.random.default_rng(stream(seed, "toxic"))
    rows = _ordered(answers)
    count = max(1, round(share * len(rows))) if rows else 0
    spoilt = set(rng.choice(len(rows), size=count, replace=False).tolist()) if rows else set()
    return [replace(p, raw=CANARY) if i in spoilt else p for i, p in enumerate(rows)]


def slower(samples: Sequence[LatencySample], factor: float) -> list[LatencySample]:
    """Makes every answer take `factor` times as long."""
    return [
        replace(
            sample,
            ttft_ms=None if sample.ttft_ms is None else sample.ttft_ms * factor,
            e2e_ms=None if sample.e2e_ms is None else sample.e2e_ms * factor,
        )
        for sample in samples
    ]


def _ordered(predictions: Sequence[Prediction]) -> list[Prediction]:
    return sorted(predictions, key=lambda p: (p.case_id, p.repeat))


def _labelled(prediction: Prediction, label: str) -> Prediction:
    return replace(prediction, label=label, status=AnswerStatus.OK, raw=label, label_logprobs=None)
