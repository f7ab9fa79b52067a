"""How often production disagrees with itself, beside how often the candidate disagrees with it.

Decides what the reader learns when production was asked twice: the share of cases on which its own
second answer differs (the noise floor, an A/A comparison), and whether the candidate's answers
differ from production's more often than that. It informs, and decides nothing.
"""

from collections.abc import Sequence
from typing import Any

from assay.cells import Cells, count_cells
from assay.rates import pair_flags, paired_difference_bounds
from assay.records import INVALID_LABEL, Finding, FindingStatus, GoldenCase, Role
from evaluators.base import Inputs
from evaluators.f1_cells import labels_of
from evaluators.f1_tables import matrix_table

_NAME = "noise_floor"


def twice_answered(cases: Sequence[GoldenCase], inputs: Inputs) -> list[GoldenCase]:
    """Cases that production answered a second time."""
    if inputs.production is None:
        return []
    first, second = inputs.production.runs(2)
    return [case for case in cases if case.id in first and case.id in second]


def noise_findings(cases: Sequence[GoldenCase], inputs: Inputs, evaluator: str) -> list[Finding]:
    """Returns the noise floor, where production was asked twice or the policy wants it.

    Args:
        cases: answered by both models, of the deciding stratum.
        inputs: both models' answers.
        evaluator: metric prefix.
    """
    if inputs.production is None:
        return []
    twice = twice_answered(cases, inputs)
    if twice:
        return [_compared(twice, inputs, evaluator)]
    return [_unmeasured(evaluator)] if inputs.rules.noise_floor else []


def noise_metrics(cases: Sequence[GoldenCase], inputs: Inputs) -> dict[Role, dict[str, float]]:
    """Returns how often each model's answer is not production's first one.

    The candidate's first answer and production's second; empty where there is no second one.
    """
    twice = twice_answered(cases, inputs)
    if not twice:
        return {}
    flips, noise = _flags(twice, inputs)
    return {
        role: {_NAME: sum(flags) / len(flags)}
        for role, flags in ((Role.CANDIDATE, flips), (Role.PRODUCTION, noise))
    }


def noise_tables(cases: Sequence[GoldenCase], inputs: Inputs) -> dict[str, Any]:
    """Returns production's first answers (rows) against its second ones, as a table."""
    twice = twice_answered(cases, inputs)
    if not twice or inputs.production is None:
        return {}
    first, second = (labels_of(twice, run) for run in inputs.production.runs(2))
    cells: Cells = count_cells(
        inputs.task.labels, {case.id: case.label for case in twice}, first, second
    )
    matrix = cells.flips()
    return {
        _NAME: matrix_table([*cells.labels, INVALID_LABEL], matrix)
        | {"changed": cells.n - int(matrix.trace()), "n": cells.n}
    }


def _flags(twice: Sequence[GoldenCase], inputs: Inputs) -> tuple[list[bool], list[bool]]:
    """Whether the candidate's answer, and production's second one, is not production's first."""
    runs = inputs.production.runs(2) if inputs.production else ({}, {})
    first, second = (labels_of(twice, run) for run in runs)
    candidate = labels_of(twice, inputs.candidate.predictions)
    return (
        [candidate[case.id] != first[case.id] for case in twice],
        [second[case.id] != first[case.id] for case in twice],
    )


def _compared(twice: Sequence[GoldenCase], inputs: Inputs, evaluator: str) -> Finding:
    flips, noise = _flags(twice, inputs)
    pairs = pair_flags(flips, noise)
    lower, upper = paired_difference_bounds(pairs, alpha=inputs.rules.alpha)
    p = pairs.p_candidate_worse
    more = p <= inputs.rules.alpha
    meaning = (
        "more than chance in the answers explains"
        if more
        else "no more than chance in the answers may explain"
    )
    return Finding(
        evaluator=evaluator,
        metric=f"{evaluator}/{_NAME}",
        kind="information",
        # Both outcomes are knowledge: neither speaks for the candidate or against it.
        status=FindingStatus.PASSED,
        reason=f"Asked twice, production disagrees with itself on {sum(noise) / len(noise):.1%} of "
        f"{len(twice)} cases; the candidate disagrees with it on {sum(flips) / len(flips):.1%}, "
        f"{meaning}.",
        candidate=sum(flips) / len(flips),
        production=sum(noise) / len(noise),
        difference=pairs.difference,
        interval=(lower, upper),
        p=p,
        n=len(twice),
        gating=False,
        unit="share of cases",
    )


def _unmeasured(evaluator: str) -> Finding:
    return Finding(
        evaluator=evaluator,
        metric=f"{evaluator}/{_NAME}",
        kind="information",
        status=FindingStatus.UNDECIDED,
        reason="Production's second answers were not given, so how often it disagrees with itself "
        "is not known.",
        n=0,
        gating=False,
        unit="share of cases",
    )
