"""The comparisons of `emotion_f1`: every class and the macro against production.

Decides the status and the sentence of each comparison, and how many cases would settle an open one;
the tests themselves are `assay.noninferiority` and `assay.randomisation`. Absolute floors are in
`f1_floors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from assay.cells import Cells
from assay.noninferiority import (
    Comparison,
    class_resampling,
    compare,
    macro_resampling,
    standard_error,
)
from assay.power import cases_needed, detectable_difference, observed_variance, power_each
from assay.randomisation import MACRO, worse_p_values
from assay.records import Finding, FindingStatus
from assay.seeds import stream
from assay.tilting import Resampling
from assay.wording import are, counted
from evaluators.base import Rules

PASSED, FAILED, UNDECIDED = FindingStatus.PASSED, FindingStatus.FAILED, FindingStatus.UNDECIDED


@dataclass(frozen=True, slots=True, kw_only=True)
class F1Rules:
    """The evaluator's options, resolved for each label.

    `paired` says that there is a model to compare with, `baseline` what to call it; `slices` is the
    number of slices that decide.
    """

    evaluator: str
    labels: tuple[str, ...]
    margins: Mapping[str, float]
    floors: Mapping[str, float]
    macro_margin: float
    macro_floor: float
    minimum_support: int
    advisory: frozenset[str]
    paired: bool
    rules: Rules
    baseline: str = "production"
    slices: int = 0

    @property
    def power(self) -> float:
        """Power at which each gating comparison is planned, so that all pass together."""
        classes = sum(label not in self.advisory for label in self.labels)
        return power_each(1 + classes + self.slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One quantity compared with production, before it is judged.

    Args:
        label: the class, None for the macro.
        result: difference, bounds and p-value.
        margin: δ.
        candidate, production: the F1 of each.
        n: golden cases that inform it.
        minimum: golden cases it needs.
        variance: n · Var(difference).
        worse_p: adjusted p-value that the candidate is worse.
    """

    label: str | None
    result: Comparison
    margin: float
    candidate: float
    production: float
    n: int
    minimum: int
    variance: float
    worse_p: float

    @property
    def trivial(self) -> bool:
        """Whether production is so low that no candidate could lose a whole margin."""
        return self.production <= self.margin


def comparisons(cells: Cells, rules: F1Rules) -> list[Finding]:
    """Returns the macro's comparison, then each class's in the task's order."""
    if not rules.paired:
        return []
    support = cells.support()
    worse = _worse(cells, rules)
    findings = [_judged(_macro(cells, rules, worse[MACRO]), rules)] if MACRO in worse else []
    for label in rules.labels:
        if support[label]:
            findings.append(_judged(_class(cells, rules, label, worse.get(label, 1.0)), rules))
    return findings


def _worse(cells: Cells, rules: F1Rules) -> Mapping[str, float]:
    support = cells.support()
    tested = [k for k in cells.labels if support[k] and k not in rules.advisory]
    return worse_p_values(
        cells,
        tested=[*tested, MACRO] if all(support.values()) else tested,
        replicates=rules.rules.replicates,
        seed=stream(rules.rules.seed, rules.evaluator, "randomisation"),
    )


def _class(cells: Cells, rules: F1Rules, label: str, worse_p: float) -> Compared:
    eight = cells.of_class(label)
    return Compared(
        label=label,
        result=_tested(class_resampling(eight), rules, rules.margins[label], label),
        margin=rules.margins[label],
        candidate=cells.f1("candidate")[label],
        production=cells.f1("production")[label],
        n=cells.support()[label],
        minimum=rules.minimum_support,
        variance=observed_variance(eight),
        worse_p=worse_p,
    )


def _macro(cells: Cells, rules: F1Rules, worse_p: float) -> Compared:
    drawn = macro_resampling(cells)
    return Compared(
        label=None,
        result=_tested(drawn, rules, rules.macro_margin, MACRO),
        margin=rules.macro_margin,
        candidate=cells.macro("candidate") or 0.0,
        production=cells.macro("production") or 0.0,
        n=cells.n,
        minimum=1,
        variance=cells.n * standard_error(drawn) ** 2,
        worse_p=worse_p,
    )


def _tested(drawn: Resampling, rules: F1Rules, margin: float, name: str) -> Comparison:
    return compare(
        drawn,
        margin=margin,
        alpha=rules.rules.alpha,
        replicates=rules.rules.replicates,
        seed=stream(rules.rules.seed, rules.evaluator, "noninferiority", name),
    )


def _judged(found: Compared, rules: F1Rules) -> Finding:
    status = _status(found, rules)
    return Finding(
        evaluator=rules.evaluator,
        metric=f"{rules.evaluator}/{found.label or MACRO}",
        kind="non_inferiority",
        status=status,
        reason=_sentence(found, status, rules),
        label=found.label,
        candidate=found.candidate,
        production=found.production,
        difference=found.result.difference,
        interval=(found.result.lower, found.result.upper),
        bound=found.result.lower,
        margin=found.margin,
        p=found.worse_p if status is FAILED else found.result.p,
        n=found.n,
        gating=found.label not in rules.advisory,
        unit="F1",
        needed=_needed(found, rules) if status is UNDECIDED else None,
    )


def _status(found: Compared, rules: F1Rules) -> FindingStatus:
    alpha, result = rules.rules.alpha, found.result
    if found.worse_p <= alpha and result.difference <= -found.margin:
        return FAILED
    if found.n < found.minimum or result.p > alpha:
        return UNDECIDED
    # Where production is below the margin the check cannot fail, so passing it says nothing: there
    # only a candidate shown to be better passes.
    if found.trivial and result.lower <= 0:
        return UNDECIDED
    return PASSED


def _sentence(found: Compared, status: FindingStatus, rules: F1Rules) -> str:
    what = f"F1 of `{found.label}`" if found.label else "Macro-F1"
    result, level = found.result, 100 * (1 - rules.rules.alpha)
    start = (
        f"{what} is {found.candidate:.3f} against {found.production:.3f} in {rules.baseline} "
        f"({result.difference:+.3f})"
    )
    bound = f"its {level:g} % lower bound {result.lower:+.3f}"
    if status is FAILED:
        return (
            f"{start}: a drop of at least the margin {found.margin:g}, and shown to be a real one "
            f"(p = {found.worse_p:.4f})."
        )
    if status is PASSED:
        return f"{start}; {bound} is above the margin {-found.margin:g}."
    if found.n < found.minimum:
        few = f"{counted(found.n, 'golden case')} {are(found.n)} fewer"
        return f"{start}; {few} than the {found.minimum} it needs."
    if result.p <= rules.rules.alpha:
        return (
            f"{start}; {rules.baseline} is not above the margin {found.margin:g}, so the "
            "comparison could not fail; set a smaller margin for it, or make the class advisory."
        )
    smallest = detectable_difference(
        found.variance, found.n, alpha=rules.rules.alpha, power=rules.power
    )
    return (
        f"{start}; {bound} does not clear the margin {-found.margin:g}: "
        f"{counted(found.n, 'case')} with this "
        f"much disagreement can only show equal models to be within {smallest:.3f}."
    )


def _needed(found: Compared, rules: F1Rules) -> int | None:
    """More cases of the kind that informs the comparison, were the difference as it is now."""
    floor = max(1, found.minimum - found.n)
    if found.result.p <= rules.rules.alpha:
        if not found.trivial or found.result.lower > 0:
            return floor  # the margin is cleared: nothing but the number of cases is wanting
        if found.n >= found.minimum:
            return None
    difference = found.result.difference
    # To pass from above the margin; to be shown worse from at or below it.
    distance = found.margin + min(difference, 0.0)
    if distance <= 0:
        distance = -difference
    total = cases_needed(found.variance, distance, alpha=rules.rules.alpha, power=rules.power)
    return max(floor, total - found.n)
