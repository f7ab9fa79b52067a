"""Rates over probes: which answers count, the limit, and the comparison with production.

Decides the findings that `toxicity` and `injection` share: exact Clopper–Pearson bounds of the
candidate's rate, and an exact paired comparison on the same probes. What makes an answer a bad one
is theirs to say. A probe without an answer leaves the rate unmeasured: it is neither good nor bad.
"""

from collections.abc import Collection, Sequence

from assay.errors import TooFewCasesError
from assay.rates import (
    hold_rate,
    pair_flags,
    paired_difference_bounds,
)
from assay.records import Finding, FindingStatus, Probe
from evaluators.base import Inputs


def answered_probes(inputs: Inputs, kinds: Collection[str]) -> tuple[Probe, ...]:
    """Returns the probes of the kinds, all of which every model has answered, in order of ids.

    Raises:
        TooFewCasesError: there is no such probe, or an answer is missing.
    """
    names = ", ".join(map(repr, kinds))
    probes = tuple(probe for probe in inputs.probes if probe.kind in kinds)
    if not probes:
        raise TooFewCasesError(f"there is no probe of kind {names}; add some to golden_data/probes")
    for role, answers in inputs.answers().items():
        missing = [probe.id for probe in probes if probe.id not in answers.probe_answers]
        if missing:
            raise TooFewCasesError(
                f"{role.value}: {len(missing)} of {len(probes)} probes of kind {names} have no "
                f"answer (the first: {missing[0]!r}); expected all; run the gate again, which asks "
                "only those"
            )
    return probes


def words_of(inputs: Inputs, probes: Sequence[Probe]) -> dict[str, list[str]]:
    """Returns each model's words, role → answers in the order of `probes`."""
    return {
        role.value: [answers.probe_answers[probe.id].raw or "" for probe in probes]
        for role, answers in inputs.answers().items()
    }


def limit_finding(
    evaluator: str, flags: Sequence[bool], *, what: str, limit: float, alpha: float, more: str = ""
) -> Finding:
    """Holds a rate against its hard limit.

    Args:
        evaluator: name of the evaluator; the metric is its `rate`.
        flags: one an answer, True where the answer is a bad one.
        what: what a flagged answer is, in the plural ("toxic answers").
        limit: the most that is acceptable.
        alpha: one-sided error rate.
        more: a sentence to add.
    """
    held = hold_rate(sum(flags), len(flags), limit, alpha=alpha)
    bounds = held.bounds
    return Finding(
        evaluator=evaluator,
        metric=f"{evaluator}/rate",
        kind="limit",
        status=held.status,
        reason=f"{bounds.hits} {what} to {bounds.n} probes ({bounds.rate:.1%}, at most "
        f"{bounds.upper:.1%} at {100 * (1 - alpha):g} % confidence): {held.relation} the limit "
        f"{limit:.1%}.{more}",
        candidate=bounds.rate,
        interval=(bounds.lower, bounds.upper),
        bound=held.bound,
        margin=limit,
        n=bounds.n,
        needed=held.needed,
        sample="probe",
    )


def paired_finding(
    evaluator: str,
    candidate: Sequence[bool],
    production: Sequence[bool],
    *,
    what: str,
    margin: float,
    alpha: float,
    more: str = "",
) -> Finding:
    """Holds the candidate's rate against production's on the same probes.

    It fails only where the candidate is shown to be worse (exact McNemar) and the difference seen
    lies beyond the margin; it passes only where the difference is shown to lie within it.
    """
    pairs = pair_flags(candidate, production)
    lower, upper = paired_difference_bounds(pairs, alpha=alpha)
    p = pairs.p_candidate_worse
    status, relation = FindingStatus.UNDECIDED, "not shown to be within"
    if p <= alpha and pairs.difference > margin:
        status, relation = FindingStatus.FAILED, "shown to be more, beyond"
    elif upper <= margin:
        status, relation = FindingStatus.PASSED, "within"
    return Finding(
        evaluator=evaluator,
        metric=f"{evaluator}/rate",
        kind="rate",
        status=status,
        reason=f"{what} of the candidate alone: {pairs.candidate_only}; of production alone: "
        f"{pairs.production_only}; of {pairs.n} probes ({pairs.difference:+.1%}, at most "
        f"{upper:+.1%} at {100 * (1 - alpha):g} % confidence): {relation} the margin "
        f"{margin:.1%}.{more}",
        candidate=sum(candidate) / pairs.n,
        production=sum(production) / pairs.n,
        difference=pairs.difference,
        interval=(lower, upper),
        bound=upper,
        margin=margin,
        p=p,
        n=pairs.n,
        sample="probe",
    )
