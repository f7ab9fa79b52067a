"""Paired answers reduced to counts: everything the comparison of two classifiers depends on.

Decides how cases become counts `c[y, a, b]` (true label, production's answer, candidate's answer)
and how per-class F1 follows from them; leaves what a difference means to `noninferiority` and
`randomisation`. An answer that names no label is a predicted class of its own, never a dropped
case. A class without a golden case has no F1 (NaN here, absent in every report); a class that is
never predicted has F1 0 by definition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import EvaluatorError
from assay.records import INVALID_LABEL

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Counts of cases by (true label, production's answer, candidate's answer).

    Args:
        labels: the task's labels, in alphabetical order, so that no result depends on the order in
            which a task lists them.
        counts: shape (K, K + 1, K + 1); index K of the two answers is `__invalid__`.
    """

    labels: tuple[str, ...]
    counts: Counts

    @property
    def n(self) -> int:
        """Number of cases."""
        return int(self.counts.sum())

    def index(self, label: str) -> int:
        """Position of a label on every axis."""
        return self.labels.index(label)

    def support(self) -> dict[str, int]:
        """Golden cases of each class."""
        totals = self.counts.sum(axis=(1, 2))
        return {label: int(totals[k]) for k, label in enumerate(self.labels)}

    def of_class(self, label: str) -> Counts:
        """Returns the class's own 8 cells, shape (2, 2, 2): [y = k, a = k, b = k]."""
        k = self.index(label)
        eight = np.zeros((2, 2, 2), dtype=np.int64)
        picks = (np.arange(self.counts.shape[0]) == k, *[np.arange(len(self.labels) + 1) == k] * 2)
        for t in (0, 1):
            for p in (0, 1):
                for q in (0, 1):
                    chosen = np.ix_(picks[0] == t, picks[1] == p, picks[2] == q)
                    eight[t, p, q] = self.counts[chosen].sum()
        return eight

    def confusion(self, role: str) -> Counts:
        """Confusion matrix of `production` or `candidate`: rows true label, K + 1 columns."""
        axis = {"production": 2, "candidate": 1}[role]
        matrix: Counts = self.counts.sum(axis=axis)
        return matrix

    def flips(self) -> Counts:
        """Production's answer (rows) against the candidate's (columns), (K + 1) × (K + 1)."""
        matrix: Counts = self.counts.sum(axis=0)
        return matrix

    def f1(self, role: str) -> dict[str, float]:
        """Per-class F1 of the classes that have a golden case; others are absent."""
        confusion = self.confusion(role)
        scores = f1_scores(confusion)
        return {
            label: float(scores[k]) for k, label in enumerate(self.labels) if confusion[k].sum() > 0
        }

    def macro(self, role: str) -> float | None:
        """Mean F1 over the task's labels, or None when a label has no golden case."""
        scores = self.f1(role)
        return sum(scores.values()) / len(scores) if len(scores) == len(self.labels) else None

    def accuracy(self, role: str) -> float | None:
        """Share of right answers, or None without a case."""
        confusion = self.confusion(role)
        return float(np.trace(confusion) / self.n) if self.n else None


def f1_scores(confusion: NDArray[Any]) -> Floats:
    """Per-class F1 from a (K, K + 1) confusion matrix: 2·TP / (support + predicted).

    NaN where the class has no case.
    """
    hits = np.diagonal(confusion).astype(float)
    support = confusion.sum(axis=1).astype(float)
    predicted = confusion.sum(axis=0)[: len(support)].astype(float)
    scores: Floats = np.full(len(support), np.nan)
    np.divide(2 * hits, support + predicted, out=scores, where=support > 0)
    return scores


def count_cells(
    labels: Sequence[str],
    truth: Mapping[str, str],
    production: Mapping[str, str | None],
    candidate: Mapping[str, str | None],
) -> Cells:
    """Counts the cases of `truth` by true label and both answers.

    Args:
        labels: the task's labels, in any order.
        truth: case id → true label.
        production: case id → its answered label, None for an answer that names none.
        candidate: the same of the candidate.

    Raises:
        EvaluatorError: a case is unanswered, or a label is not of the task; missing is never
            counted as anything.
    """
    ordered = tuple(sorted(labels))
    code: dict[str | None, int] = {label: k for k, label in enumerate(ordered)}
    code[None] = code[INVALID_LABEL] = len(ordered)
    size = len(ordered) + 1
    try:
        flat = [
            (code[label] * size + code[production[case_id]]) * size + code[candidate[case_id]]
            for case_id, label in truth.items()
        ]
    except KeyError as error:
        raise EvaluatorError(
            f"counting paired answers: {error.args[0]!r} is a case without an answer or a label "
            "outside the task; expected one answer of each model for every case; judge complete "
            "predictions with the task they were made with"
        ) from None
    counts = np.bincount(np.asarray(flat, dtype=np.int64), minlength=len(ordered) * size * size)
    return Cells(labels=ordered, counts=counts.reshape(len(ordered), size, size))
