"""The policy's rules about releases as such: freezes, and the anchor release.

Decides the findings that no evaluator owns. A freeze blocks whatever was measured. The anchor is
compared like production, with the policy's cumulative margins, so that many releases, each a little
worse than the last, cannot add up to a large loss unseen.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from assay.errors import AssayError
from assay.policy import Policy
from assay.records import Finding, FindingStatus, Role
from evaluators.base import Evaluator, Inputs
from evaluators.completeness import RawAnswers, check_answers
from evaluators.emotion_f1 import EmotionF1

_NAME = "policy"


def freeze_findings(policy: Policy, started_at: str | None) -> tuple[Finding, ...]:
    """Returns a failed finding while releases are frozen, or the error budget is spent.

    Args:
        policy: the policy.
        started_at: when the run began (ISO 8601); None where it is not stated.
    """
    if not (policy.freeze or policy.freeze_windows or policy.error_budget):
        return ()
    if policy.freeze or started_at is not None:
        day = datetime.fromisoformat(started_at).date() if started_at else datetime.min.date()
        why = policy.frozen_on(day)
        status = FindingStatus.FAILED if why else FindingStatus.PASSED
    else:
        why = "the run states no time, so freeze windows and the error budget cannot be checked"
        status = None
    return (
        Finding(
            evaluator=_NAME,
            metric=f"{_NAME}/freeze",
            kind="limit",
            status=status or FindingStatus.UNDECIDED,
            reason=f"{why[:1].upper()}{why[1:]}." if why else "Releases are not frozen.",
        ),
    )


def anchor_findings(
    policy: Policy, chosen: Sequence[Evaluator], inputs: Inputs, anchor: RawAnswers | None
) -> tuple[Finding, ...]:
    """Returns the comparison with the pinned release, where the policy pins one."""
    judge = next((e for e in chosen if isinstance(e, EmotionF1)), None)
    if policy.anchor is None or judge is None:
        return ()
    if anchor is None:
        return (_undecided(policy.anchor.version, "its answers were not given"),)
    checked = check_answers(
        Role.PRODUCTION, anchor, inputs.golden, (), inputs.task, policy, partial=False
    )
    if checked.problems:
        return (_undecided(policy.anchor.version, checked.problems[0].reason),)
    pinned = replace(
        judge, margin=policy.anchor.margin, margins={}, macro_margin=policy.anchor.macro_margin
    )
    try:
        found = pinned.against(
            replace(inputs, production=checked.answers), f"the anchor {policy.anchor.version}"
        )
    except AssayError as error:
        return (_undecided(policy.anchor.version, str(error)),)
    return tuple(replace(finding, metric=f"{finding.metric}/anchor") for finding in found)


def _undecided(version: str, why: str) -> Finding:
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/anchor",
        kind="non_inferiority",
        status=FindingStatus.UNDECIDED,
        reason=f"The anchor {version} could not be compared with: {why}.",
    )
