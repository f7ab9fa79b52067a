"""Which classes are large enough for the margins that the policy in force holds them to.

Decides how a class's size reads; what a margin takes is `assay.power`, and which margins apply is
the policy's evaluator's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from assay.golden_health.health import Check, judged, unknown
from assay.power import cases_needed, detectable_difference, planning_variance, power_each


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a policy asks of each class.

    Attributes:
        margins: class → non-inferiority margin, for every class that decides.
        minimum: cases below which a class can never pass.
        alpha: one-sided error rate.
        tests: number of checks that must pass together.
        few, many: share of a class's cases on which exactly one of two models is right, for a
            candidate that changes few answers and for one that was trained anew.
        level: F1 around which they are.
    """

    margins: Mapping[str, float]
    minimum: int
    alpha: float
    tests: int
    few: float
    many: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPower:
    """What the cases of one class can show.

    Attributes:
        needed_few, needed_many: cases after which an equal candidate usually passes.
        detectable: margin at which the cases would do for a candidate that changes many answers;
            None where there is no case.
    """

    label: str
    cases: int
    margin: float
    needed_few: int
    needed_many: int
    detectable: float | None


def power_by_class(support: Mapping[str, int], demand: Demand) -> tuple[ClassPower, ...]:
    """Returns what each deciding class can show, in the order of labels."""
    power = power_each(demand.tests)
    few, many = (planning_variance(demand.level, rate, rate) for rate in (demand.few, demand.many))
    rows = []
    for label, margin in sorted(demand.margins.items()):
        cases = support.get(label, 0)
        detectable = (
            detectable_difference(many, cases, alpha=demand.alpha, power=power) if cases else None
        )
        rows.append(
            ClassPower(
                label=label,
                cases=cases,
                margin=margin,
                needed_few=cases_needed(few, margin, alpha=demand.alpha, power=power),
                needed_many=cases_needed(many, margin, alpha=demand.alpha, power=power),
                detectable=detectable,
            )
        )
    return tuple(rows)


def support_checks(rows: Sequence[ClassPower], demand: Demand | None) -> tuple[Check, ...]:
    """Returns whether every class can pass at all (deciding) and will usually (informing)."""
    if demand is None:
        return (
            unknown(
                "power/minimum",
                "How many cases the policy needs is not known: no policy with margins by class "
                "was given.",
                "Name it with --policy.",
            ),
        )
    never = [row for row in rows if row.cases < demand.minimum]
    seldom = [row for row in rows if demand.minimum <= row.cases < row.needed_many]
    worst = max((row.needed_many - row.cases for row in seldom), default=0)
    return (
        judged(
            "power/minimum",
            not never,
            f"{len(rows) - len(never)} of {len(rows)} deciding classes have the {demand.minimum} "
            "core cases without which a class can never pass.",
            "Label more of " + ", ".join(f"`{r.label}` ({demand.minimum - r.cases})" for r in never)
            + ", or make them advisory in the policy.",
            value=len(never),
        ),
        judged(
            "power/margin",
            not seldom,
            f"{len(rows) - len(never) - len(seldom)} of {len(rows)} classes have the cases with "
            "which an equal candidate that was trained anew usually passes.",
            f"Up to {worst} more cases of a class, or wider margins, would change that; until then "
            "expect inconclusive verdicts.",
            gating=False,
            value=len(seldom),
        ),
    )  # fmt: skip


def power_table(rows: Sequence[ClassPower]) -> list[dict[str, Any]]:
    """Returns the rows as JSON values."""
    return [asdict(row) for row in rows]
