"""What an inconclusive verdict asks people for: so many more cases of a class.

Decides how many texts to queue for a class, given that not every text that production puts into it
belongs there. Which texts is left to `selection`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from assay.records import FindingStatus, GoldenCase, Prediction, Verdict, VerdictKind


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """More cases of one class.

    Attributes:
        label: the class.
        needed: cases of it that would settle the verdict.
        precision: share of production's answers of this class that are right on the golden set;
            None where it gave none.
        asked: texts to queue, so that about `needed` of them are of the class.
    """

    label: str
    needed: int
    precision: float | None
    asked: int


def work_orders(
    verdict: Verdict,
    golden: Mapping[str, GoldenCase],
    production: Mapping[str, Prediction],
) -> tuple[WorkOrder, ...]:
    """Returns the orders of a verdict, the largest first; none unless it is inconclusive.

    What is undecided for want of probes or of timed requests is no work for people, and neither is
    the macro average, which no class alone would settle.

    Args:
        verdict: as stored.
        golden: cases by id.
        production: its answers by case id.
    """
    if verdict.verdict is not VerdictKind.INCONCLUSIVE:
        return ()
    needed: dict[str, int] = {}
    for finding in verdict.findings:
        undecided = finding.gating and finding.status is FindingStatus.UNDECIDED
        if undecided and finding.sample == "case" and finding.label and finding.slice is None:
            needed[finding.label] = max(needed.get(finding.label, 0), finding.needed or 0)
    orders = (
        _order(label, count, golden, production) for label, count in needed.items() if count > 0
    )
    return tuple(sorted(orders, key=lambda order: (-order.needed, order.label)))


def _order(
    label: str,
    needed: int,
    golden: Mapping[str, GoldenCase],
    production: Mapping[str, Prediction],
) -> WorkOrder:
    said = [name for name, answer in production.items() if answer.label == label and name in golden]
    right = sum(golden[name].label == label for name in said)
    precision = right / len(said) if said else None
    asked = math.ceil(needed / precision) if precision else needed
    return WorkOrder(label=label, needed=needed, precision=precision, asked=asked)
