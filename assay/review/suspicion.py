"""Golden cases whose label deserves a second look: by cleanlab's ranking, or by disagreement.

Decides the order in which they are looked at, and never that a label is wrong: cleanlab ranks well
but flags far too many, so nothing is dropped or changed by it. People decide.

Source: Northcutt, Jiang & Chuang, "Confident learning", JAIR 70 (2021); Kuan & Mueller, "Model-
agnostic label quality scoring", ICML DataPerf (2022): self-confidence, averaged over the models.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assay.records import AnswerStatus, GoldenCase, Prediction

Answers = Mapping[str, Prediction]
"""One model's answers, by case id."""


def disagreements(cases: Sequence[GoldenCase], first: Answers, second: Answers) -> tuple[str, ...]:
    """Returns the ids of cases to which both models answered, but not with the same label."""
    return tuple(
        case.id
        for case in cases
        if case.id in first
        and case.id in second
        and first[case.id].status is not AnswerStatus.ERROR
        and second[case.id].status is not AnswerStatus.ERROR
        and first[case.id].label != second[case.id].label
    )


def suspected_labels(
    cases: Sequence[GoldenCase], models: Sequence[Answers], labels: Sequence[str]
) -> tuple[str, ...] | None:
    """Returns the ids of suspected cases, the most suspicious first.

    A case is suspected when the models together hold another label for likelier than its own.

    Args:
        cases: the golden set.
        models: each model's answers; one without label probabilities is left out.
        labels: the task's.

    Returns:
        None where no model's answers hold label probabilities: not known, which is not "none".
    """
    voices = [m for m in models if any(answer.label_logprobs for answer in m.values())]
    ranked = [
        case for case in cases if voices and all(_weighs(m.get(case.id), labels) for m in voices)
    ]
    if not ranked:
        return None
    # Imported where it is used: it brings the machine-learning stack with it.
    from cleanlab.rank import get_label_quality_ensemble_scores, get_label_quality_scores

    given = np.array([labels.index(case.label) for case in ranked])
    shares = [np.stack([_shares(m[case.id], labels) for case in ranked]) for m in voices]
    scores = (
        get_label_quality_scores(given, shares[0])
        if len(shares) == 1
        else get_label_quality_ensemble_scores(
            given, shares, weight_ensemble_members_by="uniform", verbose=False
        )
    )
    likeliest = np.mean(shares, axis=0).argmax(axis=1)
    order = sorted(range(len(ranked)), key=lambda at: (scores[at], ranked[at].id))
    return tuple(ranked[at].id for at in order if likeliest[at] != given[at])


def _weighs(answer: Prediction | None, labels: Sequence[str]) -> bool:
    logprobs = (answer.label_logprobs if answer else None) or {}
    return any(label in logprobs for label in labels)


def _shares(answer: Prediction, labels: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities of the task's labels; one that the engine did not report has no share."""
    logprobs = answer.label_logprobs or {}
    found = np.array([logprobs.get(label, -np.inf) for label in labels])
    raised = np.exp(found - found.max())
    return np.asarray(raised / raised.sum())
