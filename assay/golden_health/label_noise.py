"""How far the golden labels can be trusted: agreement of annotators, and which to look at first.

Decides both. Where people annotated, Krippendorff's alpha says how far they agree. Where models
gave probabilities, labels are ranked by the probability that they got, less the mean that labels of
their class get ("adjusted self-confidence": Kuan & Mueller 2022, "Model-agnostic label quality
scoring to detect real-world label errors"). The ranking is an order for people to look in and
nothing more: its scores flag far too much, so no label is called wrong and no row dropped by it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.golden_health.health import Check, judged, unknown
from assay.golden_health.rules import HealthRules
from assay.records import FindingStatus, GoldenCase
from assay.relabelling.agreement import Agreement, alpha_by_label, krippendorff_alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A case whose label models find unlikely; `score` orders and means nothing else."""

    id: str
    label: str
    score: float
    models: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """Agreement overall and by label; `disputed` are cases whose label most annotators refuse."""

    overall: Agreement
    by_label: Mapping[str, Agreement]
    cases: int
    disputed: tuple[str, ...]


def agreement(cases: Sequence[GoldenCase]) -> Annotated | None:
    """Returns how far annotators agree; None where no case has two annotations."""
    several = [case for case in cases if len(case.annotations) > 1]
    if not several:
        return None
    labels = tuple(sorted({one.label for case in several for one in case.annotations}))
    column = {label: at for at, label in enumerate(labels)}
    counts = np.zeros((len(several), len(labels)), dtype=np.int64)
    disputed = []
    for row, case in enumerate(several):
        for one in case.annotations:
            counts[row, column[one.label]] += 1
        votes = sum(one.label == case.label for one in case.annotations)
        if 2 * votes < len(case.annotations):
            disputed.append(case.id)
    return Annotated(
        overall=krippendorff_alpha(counts),
        by_label=alpha_by_label(counts, labels),
        cases=len(several),
        disputed=tuple(disputed),
    )


def agreement_checks(found: Annotated | None, rules: HealthRules) -> tuple[Check, ...]:
    """Returns the check of agreement, decided by its interval, and of disputed labels."""
    if found is None or found.overall.alpha is None or found.overall.interval is None:
        return (
            unknown(
                "labels/agreement",
                "How far annotators agree is not known: no case has two annotations that could "
                "differ.",
                "Have a sample of cases labelled by three people each, and ingest their answers.",
            ),
        )
    low, high = found.overall.interval
    least, alpha = rules.least_agreement, found.overall.alpha
    says = (
        f"Krippendorff's alpha is {alpha:.3f} ({low:.3f} to {high:.3f}) on {found.cases} cases; at "
        f"least {least:g} is expected."
    )
    action = "Sharpen the labelling guide where people differ, and label those classes again."
    if low < least <= high:
        check = unknown("labels/agreement", says, "Annotate more cases to decide.", value=alpha)
    else:
        check = judged("labels/agreement", low >= least, says, action, value=alpha)
    return (
        check,
        judged(
            "labels/disputed",
            not found.disputed,
            f"{len(found.disputed)} of {found.cases} annotated cases have a label that most of "
            "their annotators refused.",
            "Send them to adjudication.",
            gating=False,
            value=len(found.disputed),
        ),
    )


def rank_labels(
    cases: Sequence[GoldenCase], probabilities: Sequence[Mapping[str, Mapping[str, float]]]
) -> tuple[Suspect, ...]:
    """Orders the cases from the label that models find least likely.

    Args:
        cases: the set.
        probabilities: for each model, case id → label → probability.

    Returns:
        The cases for which some model gave a probability of the golden label.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    for model in probabilities:
        given = {
            case.id: model[case.id][case.label]
            for case in cases
            if case.id in model and case.label in model[case.id]
        }
        totals: dict[str, float] = defaultdict(float)
        sizes: Counter[str] = Counter()
        for case in cases:
            if case.id in given:
                totals[case.label] += given[case.id]
                sizes[case.label] += 1
        for case in cases:
            if case.id in given:
                usual = totals[case.label] / sizes[case.label]
                scores[case.id].append(given[case.id] - usual)
    suspects = (
        Suspect(
            id=case.id,
            label=case.label,
            score=sum(scores[case.id]) / len(scores[case.id]),
            models=len(scores[case.id]),
        )
        for case in cases
        if case.id in scores
    )
    return tuple(sorted(suspects, key=lambda one: (one.score, one.id)))


def ranking_check(suspects: Sequence[Suspect]) -> Check:
    """Says whether there is an order in which to look at labels; it never fails."""
    if not suspects:
        return unknown(
            "labels/order",
            "Which labels to look at first is not known: no stored prediction has probabilities "
            "of labels.",
            "Name evidence folders of constrained decoding with --evidence.",
            gating=False,
        )
    return Check(
        name="labels/order",
        status=FindingStatus.PASSED,
        says=f"{len(suspects)} labels are ordered by how unlikely models find them; the order says "
        "where to look first, not which are wrong.",
        gating=False,
    )
