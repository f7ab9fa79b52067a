"""The absolute floors of `emotion_f1`, and what it says where a question cannot even be asked.

Decides whether each F1 clears its floor whatever production does, and names classes without a
golden case. Comparisons with production are in `f1_findings`.
"""

from collections.abc import Mapping

from assay.cells import Cells
from assay.intervals import Estimate, f1_estimate
from assay.noninferiority import confidence_bounds, macro_level_resampling
from assay.randomisation import MACRO
from assay.records import Finding
from assay.seeds import stream
from assay.wording import counted
from evaluators.f1_findings import FAILED, PASSED, UNDECIDED, F1Rules


def floor_findings(cells: Cells, rules: F1Rules) -> list[Finding]:
    """Returns the floors: the macro's, then each class's in the task's order.

    A class without a golden case is undecided, and so the macro with it. Without production, a
    quantity without a floor is undecided too: nothing would have been asked of it.
    """
    support = cells.support()
    findings = []
    if not all(support.values()):
        findings.append(_absent(rules, None, support))
    elif rules.macro_floor > 0:
        findings.append(_judged(rules, None, rules.macro_floor, _macro(cells, rules), cells.n))
    elif not rules.paired:
        findings.append(_unasked(rules, None))
    for label in rules.labels:
        floor = rules.floors[label]
        if not support[label]:
            findings.append(_absent(rules, label, support))
        elif floor > 0:
            estimate = _class(cells, rules, label)
            findings.append(_judged(rules, label, floor, estimate, support[label]))
        elif not rules.paired:
            findings.append(_unasked(rules, label))
    return findings


def _class(cells: Cells, rules: F1Rules, label: str) -> Estimate:
    confusion, k = cells.confusion("candidate"), cells.index(label)
    return f1_estimate(
        hits=float(confusion[k, k]) / cells.repeats,
        support=float(confusion[k].sum()) / cells.repeats,
        predicted=float(confusion[:, k].sum()) / cells.repeats,
        alpha=rules.rules.alpha,
    )


def _macro(cells: Cells, rules: F1Rules) -> Estimate:
    drawn = macro_level_resampling(cells, "candidate")
    lower, upper = confidence_bounds(
        drawn,
        alpha=rules.rules.alpha,
        replicates=rules.rules.replicates,
        seed=stream(rules.rules.seed, rules.evaluator, "level", MACRO),
    )
    return Estimate(value=drawn.observed, lower=lower, upper=upper)


def _judged(rules: F1Rules, label: str | None, floor: float, found: Estimate, n: int) -> Finding:
    what = f"F1 of `{label}`" if label else "Macro-F1"
    few = label is not None and n < rules.minimum_support
    if found.upper < floor:
        status, relation = FAILED, f"and its upper bound {found.upper:.3f} are below"
    elif found.lower >= floor and not few:
        status, relation = PASSED, f"and its lower bound {found.lower:.3f} clear"
    elif few:
        status = UNDECIDED
        relation = (
            f"rests on {counted(n, 'golden case')}, fewer than {rules.minimum_support}, against"
        )
    else:
        status = UNDECIDED
        relation = f"(between {found.lower:.3f} and {found.upper:.3f}) may lie on either side of"
    return Finding(
        evaluator=rules.evaluator,
        metric=f"{rules.evaluator}/{label or MACRO}",
        kind="floor",
        status=status,
        reason=f"{what} {found.value:.3f} {relation} the floor {floor:g}.",
        label=label,
        candidate=found.value,
        interval=(found.lower, found.upper),
        bound=found.upper if status is FAILED else found.lower,
        margin=floor,
        n=n,
        gating=label not in rules.advisory,
        unit="F1",
        needed=rules.minimum_support - n if few and status is UNDECIDED else None,
    )


def _absent(rules: F1Rules, label: str | None, support: Mapping[str, int]) -> Finding:
    missing = ", ".join(f"`{name}`" for name in rules.labels if not support[name])
    return Finding(
        evaluator=rules.evaluator,
        metric=f"{rules.evaluator}/{label or MACRO}",
        kind="floor",
        status=UNDECIDED,
        reason=f"No golden case of class `{label}` was answered, so it has no F1."
        if label
        else f"Macro-F1 is the mean over all classes, and there is no golden case of {missing}.",
        label=label,
        n=0 if label else sum(support.values()),
        gating=label not in rules.advisory,
        unit="F1",
        needed=rules.minimum_support if label else None,
    )


def _unasked(rules: F1Rules, label: str | None) -> Finding:
    what = f"F1 of `{label}`" if label else "macro-F1"
    return Finding(
        evaluator=rules.evaluator,
        metric=f"{rules.evaluator}/{label or MACRO}",
        kind="floor",
        status=UNDECIDED,
        reason=f"There is no production to compare with, and the policy sets no floor for {what}.",
        label=label,
        gating=label not in rules.advisory,
        unit="F1",
    )
