"""Which classes of a golden set are too small for their margin, before any model is asked.

Decides what to warn of; how many cases a comparison takes is `assay.power`. How much two models
will disagree is not known beforehand, so two kinds of candidate stand for all: one that changes few
answers (the same model quantised again) and one that was trained anew.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.golden_set import GoldenSet
from assay.power import cases_needed, detectable_difference, planning_variance, power_each
from evaluators.base import Rules
from evaluators.f1_slices import slices_of

REQUANTISED, RETRAINED = 0.05, 0.20
"""Share of a class's cases on which exactly one of two models is right: little, and much."""

LEVEL = 0.7
"""F1 around which the models are taken to differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class F1Margins:
    """The options of `emotion_f1` that decide how many cases a class needs."""

    margin: float
    margins: Mapping[str, float]
    minimum_support: int
    advisory: tuple[str, ...]
    slices: Mapping[str, float] = field(default_factory=dict)


def shortages(margins: F1Margins, golden: GoldenSet, rules: Rules) -> tuple[str, ...]:
    """Returns a sentence for each class or named slice that can never, or will seldom, pass."""
    support = Counter(case.label for case in golden.cases if case.stratum == rules.stratum)
    gating = [label for label in sorted(support) if label not in margins.advisory]
    power = power_each(1 + len(gating) + len(margins.slices))
    sentences = []
    for label in gating:
        cases, margin = support[label], margins.margins.get(label, margins.margin)
        if cases < margins.minimum_support:
            sentences.append(
                f"`{label}` has {cases} cases and can never pass: it needs "
                f"{margins.minimum_support}, or must be made advisory"
            )
            continue
        sentences += _seldom(label, cases, margin, rules.alpha, power)
    sizes = slices_of(golden.cases, rules.stratum, margins.slices)
    for name in margins.slices:
        cases = len(sizes.get(name, ()))
        if cases < margins.minimum_support:
            sentences.append(
                f"the slice {name} has {cases} cases and can never pass: it needs "
                f"{margins.minimum_support}, or must not be named in the policy"
            )
    return tuple(sentences)


def _seldom(label: str, cases: int, margin: float, alpha: float, power: float) -> list[str]:
    few, many = (planning_variance(LEVEL, rho, rho) for rho in (REQUANTISED, RETRAINED))
    if cases < cases_needed(few, margin, alpha=alpha, power=power):
        kind, variance, rho = "even an equal candidate that changes few answers", few, REQUANTISED
    elif cases < cases_needed(many, margin, alpha=alpha, power=power):
        kind, variance, rho = "an equal candidate that changes many answers", many, RETRAINED
    else:
        return []
    needed = cases_needed(variance, margin, alpha=alpha, power=power)
    smallest = detectable_difference(variance, cases, alpha=alpha, power=power)
    return [
        f"`{label}` has {cases} cases: {kind} ({rho:.0%} of the class) will often be inconclusive "
        f"at the margin {margin:g}; that takes {needed} cases, or a margin of {smallest:.2f}"
    ]
