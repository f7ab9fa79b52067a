"""Paired answers reduced to counts: everything the comparison of two classifiers depends on.

Decides how cases become counts `c[y, a, b]` (true label, production's answer, candidate's answer)
and how per-class F1 follows from them; leaves what a difference means to `noninferiority` and
`randomisation`. Where each case was asked several times, its answers count by their share, and the
cases of one kind (same truth, same answers of both models whatever their order) are counted: the
case stays the unit. An answer that names no label is a predicted class of its own, never a dropped
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
class Kinds:
    """Cases that cannot be told apart, counted.

    Args:
        truth: true label of each kind, shape (m,).
        production, candidate: how many of a case's answers were each label, (m, K + 1).
        cases: number of cases of each kind, shape (m,).
    """

    truth: Counts
    production: Counts
    candidate: Counts
    cases: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Counts of answers by (true label, production's answer, candidate's answer).

    Args:
        labels: the task's labels, in alphabetical order, so that no result depends on the order in
            which a task lists them.
        counts: shape (K, K + 1, K + 1); index K of the two answers is `__invalid__`. The first
            answers of both models are one pair, the second ones another.
        repeats: answers of each model to each case.
        clusters: the cases by kind, where there are several answers to each; else the counts are
            the kinds.
    """

    labels: tuple[str, ...]
    counts: Counts
    repeats: int = 1
    clusters: Kinds | None = None

    @property
    def n(self) -> int:
        """Number of cases."""
        return int(self.counts.sum()) // self.repeats

    def kinds(self) -> Kinds:
        """Returns the cases by kind."""
        if self.clusters is not None:
            return self.clusters
        y, a, b = np.nonzero(self.counts)
        one = np.eye(len(self.labels) + 1, dtype=np.int64)
        return Kinds(truth=y, production=one[a], candidate=one[b], cases=self.counts[y, a, b])

    def index(self, label: str) -> int:
        """Position of a label on every axis."""
        return self.labels.index(label)

    def support(self) -> dict[str, int]:
        """Golden cases of each class."""
        totals = self.counts.sum(axis=(1, 2)) // self.repeats
        return {label: int(totals[k]) for k, label in enumerate(self.labels)}

    def of_class(self, label: str) -> Counts:
        """Returns the class's own cells: cases by [y = k, production's and candidate's answers k].

        Shape (2, R + 1, R + 1) for R answers of each model to a case; with one answer, the 8 cells
        [y = k, a = k, b = k].
        """
        k, kinds = self.index(label), self.kinds()
        own = np.zeros((2, self.repeats + 1, self.repeats + 1), dtype=np.int64)
        place = ((kinds.truth == k).astype(int), kinds.production[:, k], kinds.candidate[:, k])
        np.add.at(own, place, kinds.cases)
        return own

    def confusion(self, role: str) -> Counts:
        """Answers of `production` or `candidate`: rows true label, K + 1 columns."""
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
        return float(np.trace(confusion) / confusion.sum()) if self.n else None


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
    production: Mapping[str, str | None] | Sequence[Mapping[str, str | None]],
    candidate: Mapping[str, str | None] | Sequence[Mapping[str, str | None]],
) -> Cells:
    """Counts the cases of `truth` by true label and both models' answers.

    Args:
        labels: the task's labels, in any order.
        truth: case id → true label.
        production: case id → its answered label, None for an answer that names none; one mapping
            for each time the cases were asked.
        candidate: the same of the candidate, asked as often.

    Raises:
        EvaluatorError: a case is unanswered, or a label is not of the task; missing is never
            counted as anything.
    """
    ordered = tuple(sorted(labels))
    code: dict[str | None, int] = {label: k for k, label in enumerate(ordered)}
    code[None] = code[INVALID_LABEL] = size = len(ordered)
    first = [production] if isinstance(production, Mapping) else production
    second = [candidate] if isinstance(candidate, Mapping) else candidate
    try:
        y = np.array([code[label] for label in truth.values()], dtype=np.int64)
        a, b = (
            np.array([[code[run[case_id]] for case_id in truth] for run in runs], dtype=np.int64)
            for runs in (first, second)
        )
    except KeyError as error:
        raise EvaluatorError(
            f"counting paired answers: {error.args[0]!r} is a case without an answer or a label "
            "outside the task; expected one answer of each model for every case; judge complete "
            "predictions with the task they were made with"
        ) from None
    if a.shape != b.shape:
        raise EvaluatorError(
            f"counting paired answers: production answered {len(a)} times and the candidate "
            f"{len(b)} times; expected as many; judge both with as many answers to each case"
        )
    flat = (y * (size + 1) + a) * (size + 1) + b
    counts = np.bincount(flat.ravel(), minlength=size * (size + 1) ** 2)
    return Cells(
        labels=ordered,
        counts=counts.reshape(size, size + 1, size + 1),
        repeats=len(a),
        clusters=_clusters(y, a, b, size + 1) if len(a) > 1 else None,
    )


def _clusters(y: Counts, a: Counts, b: Counts, size: int) -> Kinds:
    """Counts cases by truth and by how often either model gave each answer.

    Args:
        y: true label of each case, shape (n,).
        a: production's answers, shape (R, n).
        b: the candidate's.
        size: number of possible answers.
    """
    # The order of a case's answers means nothing: sorted, equal cases are equal rows.
    rows = np.concatenate([y[:, None], np.sort(a, axis=0).T, np.sort(b, axis=0).T], axis=1)
    kinds, cases = np.unique(rows, axis=0, return_counts=True)
    said = kinds[:, 1:].reshape(len(kinds), 2, -1)
    shares = (said[..., None] == np.arange(size)).sum(axis=2)
    return Kinds(truth=kinds[:, 0], production=shares[:, 0], candidate=shares[:, 1], cases=cases)
