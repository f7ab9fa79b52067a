"""What an inconclusive verdict asks people for: so many more cases of a class, a slice, or any.

Decides how many texts to queue, given that not every text that production puts into a class belongs
there, and that the macro average asks for cases of the classes that widen its interval. Which texts
is left to `selection`; what has to be drawn at random for it, to `core_share`.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from assay.records import Finding, FindingStatus, GoldenCase, Prediction, Verdict, VerdictKind
from assay.review.allocation import core_cells, spread_over_classes

_TOLD = ("lang_", "source_")
"""Slices that a request tells by itself; into the others cases are put by people."""

Answers = Mapping[str, Prediction]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """More cases of one class, of one slice, or of any kind (both None).

    Attributes:
        label: the class.
        slice: the slice.
        needed: cases that would settle the verdict.
        precision: share of production's answers of this class that are right on the golden set;
            None where it gave none, or where no class is asked for.
        asked: texts to queue, so that about `needed` of them are such cases; 0 where no text can be
            told to be one, so that only what is drawn at random serves the order.
        wanted_by: metrics of the findings that ask for it.
    """

    label: str | None
    needed: int
    precision: float | None
    asked: int
    slice: str | None = None
    wanted_by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the order is for, in words."""
        return " in ".join(filter(None, (self.label, self.slice))) or "any class"

    @property
    def told(self) -> bool:
        """Whether a request tells that it is in the slice, or there is none."""
        return self.slice is None or self.slice.startswith(_TOLD)

    def takes(self, label: str | None, slices: Collection[str]) -> bool:
        """Whether a text of this label of production's, in these slices, is what is asked for."""
        return self.label in (None, label) and (self.slice is None or self.slice in slices)


def work_orders(
    verdict: Verdict,
    golden: Mapping[str, GoldenCase],
    production: Answers,
    candidate: Answers | None = None,
) -> tuple[WorkOrder, ...]:
    """Returns the orders of a verdict, the largest first; none unless it is inconclusive.

    What is undecided for want of probes or of timed requests is no work for people.

    Args:
        verdict: as stored.
        golden: cases by id.
        production: its answers by case id.
        candidate: likewise; without them the macro average asks for cases of any class.
    """
    if verdict.verdict is not VerdictKind.INCONCLUSIVE:
        return ()
    wants: dict[tuple[str | None, str | None], _Want] = {}
    for finding in verdict.findings:
        for label, count in _wanted(finding, golden, production, candidate or {}):
            want = wants.setdefault((label, finding.slice), _Want(0, {}))
            want.needed = max(want.needed, count)
            want.by[finding.metric] = None
    orders = (
        _order(label, part, want, golden, production) for (label, part), want in wants.items()
    )
    return tuple(sorted(orders, key=lambda order: (-order.needed, order.name)))


@dataclass(slots=True)
class _Want:
    needed: int
    by: dict[str, None]


def _wanted(
    finding: Finding, golden: Mapping[str, GoldenCase], production: Answers, candidate: Answers
) -> Iterator[tuple[str | None, int]]:
    """Yields class (None: any) and cases of it that a finding asks for."""
    undecided = finding.gating and finding.status is FindingStatus.UNDECIDED
    if not undecided or finding.sample != "case" or not finding.needed:
        return
    mean = finding.label is None and finding.slice is None and finding.kind == "non_inferiority"
    cells = core_cells(golden, production, candidate) if mean else None
    if cells is None or not all(cells.support().values()):
        yield finding.label, finding.needed
    else:
        yield from spread_over_classes(cells, finding.needed).items()


def _order(
    label: str | None,
    part: str | None,
    want: _Want,
    golden: Mapping[str, GoldenCase],
    production: Answers,
) -> WorkOrder:
    precision = None if label is None else _precision(label, golden, production)
    told = (label or part) and (part is None or part.startswith(_TOLD))
    asked = math.ceil(want.needed / precision) if precision else want.needed
    return WorkOrder(
        label=label,
        slice=part,
        needed=want.needed,
        precision=precision,
        asked=asked if told else 0,
        wanted_by=tuple(want.by),
    )


def _precision(label: str, golden: Mapping[str, GoldenCase], production: Answers) -> float | None:
    said = [name for name, answer in production.items() if answer.label == label and name in golden]
    right = sum(golden[name].label == label for name in said)
    return right / len(said) if said else None
