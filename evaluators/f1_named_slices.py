"""The slices of `emotion_f1` that the policy names: parts of the golden set that decide.

Decides whether the candidate's accuracy on a named slice is shown to lie less than the slice's own
margin below production's (Tango's score test on the same cases), shown to be worse (exact McNemar,
corrected for the number of named slices, and a drop of at least the margin), or neither. Accuracy
and not F1, because a slice need not hold every class. All other slices are explored (`f1_slices`).
"""

from collections.abc import Mapping, Sequence

from assay.errors import ConfigError
from assay.power import cases_needed
from assay.rates import (
    PairedRates,
    exact_sign_test,
    paired_difference_bounds,
    within_margin_p,
)
from assay.records import Finding, FindingStatus, GoldenCase
from evaluators.base import Inputs
from evaluators.f1_cells import cells_of
from evaluators.f1_findings import F1Rules
from evaluators.f1_slices import discordance, discordant

_KINDS = ("lang_", "source_", "slice_")


def check_names(names: Mapping[str, float]) -> None:
    """Refuses names that no slice can have.

    Raises:
        ConfigError: what was found, what was expected.
    """
    for name in names:
        if not name.startswith(_KINDS):
            raise ConfigError(
                f"slices: {name!r} is no slice; expected `lang_…`, `source_…` or `slice_…`, as the "
                "report's table of slices names them; correct the policy"
            )


def named_findings(
    slices: Mapping[str, Sequence[GoldenCase]],
    named: Mapping[str, float],
    inputs: Inputs,
    rules: F1Rules,
) -> list[Finding]:
    """Returns one gating comparison for each slice that the policy names.

    Args:
        slices: the golden set's slices, name → answered cases.
        named: slice → margin of its accuracy.
        inputs: both models' answers; without production there is nothing to compare.
        rules: the evaluator's options.
    """
    if not rules.paired:
        return []
    return [
        _compared(name, margin, slices[name], inputs, rules, len(named))
        if name in slices
        else _absent(name, margin, rules)
        for name, margin in named.items()
    ]


def _compared(
    name: str,
    margin: float,
    cases: Sequence[GoldenCase],
    inputs: Inputs,
    rules: F1Rules,
    comparisons: int,
) -> Finding:
    cells = cells_of(cases, inputs)
    candidate, production = cells.accuracy("candidate") or 0.0, cells.accuracy("production") or 0.0
    gained, lost = discordant(cells)
    up, down = discordance(cells)
    # Rates of wrong answers, so that "worse" is "more" as everywhere in `rates`.
    wrong = PairedRates(
        n=cells.n,
        both=cells.n * (1 - candidate) - down,
        candidate_only=down,
        production_only=up,
    )
    alpha = rules.rules.alpha
    # 0.0 - x and not -x: no change is +0, not -0.
    upper, lower = (0.0 - bound for bound in paired_difference_bounds(wrong, alpha=alpha))
    difference = 0.0 - wrong.difference
    p, worse_p = within_margin_p(wrong, margin), comparisons * exact_sign_test(lost, gained)
    failed = worse_p <= alpha and difference <= -margin
    # Below the margin production could not be missed by it: there only a better candidate passes.
    could_fail = production > margin or lower > 0
    enough = cells.n >= rules.minimum_support
    status, relation = FindingStatus.UNDECIDED, "not shown to clear"
    if failed:
        status, relation = FindingStatus.FAILED, "worse by at least"
    elif enough and could_fail and p <= alpha:
        status, relation = FindingStatus.PASSED, "above"
    elif not enough:
        relation = f"not enough (at least {rules.minimum_support} cases) to hold against"
    return Finding(
        evaluator=rules.evaluator,
        metric=f"{rules.evaluator}/{name}/accuracy",
        kind="non_inferiority",
        status=status,
        reason=f"Accuracy on {name} is {candidate:.3f} against {production:.3f} in "
        f"{rules.baseline} ({difference:+.3f}; {gained} cases gained, {lost} lost of {cells.n}), "
        f"its {100 * (1 - alpha):g} % lower bound {lower:+.3f}: {relation} the margin {-margin:g}.",
        slice=name,
        candidate=candidate,
        production=production,
        difference=difference,
        interval=(lower, upper),
        bound=lower,
        margin=margin,
        p=min(1.0, worse_p) if failed else p,
        n=cells.n,
        needed=_needed(wrong, margin, rules) if status is FindingStatus.UNDECIDED else None,
    )


def _needed(wrong: PairedRates, margin: float, rules: F1Rules) -> int:
    """More cases of the slice after which the question would usually be settled."""
    changed = (wrong.candidate_only + wrong.production_only + 1) / wrong.n
    distance = margin - max(wrong.difference, 0.0)
    distance = distance if distance > 0 else wrong.difference
    total = cases_needed(changed, distance, alpha=rules.rules.alpha, power=rules.power)
    return max(1, rules.minimum_support - wrong.n, total - wrong.n)


def _absent(name: str, margin: float, rules: F1Rules) -> Finding:
    return Finding(
        evaluator=rules.evaluator,
        metric=f"{rules.evaluator}/{name}/accuracy",
        kind="non_inferiority",
        status=FindingStatus.UNDECIDED,
        reason=f"No golden case of the slice {name} was answered, so nothing is known of it.",
        slice=name,
        margin=margin,
        n=0,
        needed=rules.minimum_support,
    )
