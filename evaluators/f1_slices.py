"""The slices of `emotion_f1`: languages, sources, named slices and the other strata.

Decides what the reader learns about parts of the golden set. Slices are explored, not gated:
accuracy of both models on the same cases by McNemar's exact test, at a controlled false discovery
rate over all slices. They never block, save those that the policy names (`f1_named_slices`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.cells import Cells, Counts
from assay.intervals import benjamini_hochberg
from assay.rates import exact_mcnemar
from assay.records import Finding, FindingStatus, GoldenCase, Role, slice_names
from evaluators.base import Inputs
from evaluators.f1_cells import cells_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What the slices showed: non-gating findings, metrics of each model, rows for the report."""

    findings: tuple[Finding, ...]
    metrics: Mapping[Role, Mapping[str, float]]
    rows: tuple[Mapping[str, Any], ...]


def explore(
    slices: Mapping[str, Sequence[GoldenCase]],
    inputs: Inputs,
    evaluator: str,
    *,
    rate: float,
    named: Collection[str] = (),
) -> Explored:
    """Explores every slice of the answered cases.

    Args:
        slices: from `slices_of`.
        inputs: both models' answers.
        evaluator: metric prefix.
        rate: false discovery rate over the explored slices.
        named: slices that decide, and so are reported here without being explored.
    """
    parts = {name: cells_of(members, inputs) for name, members in slices.items()}
    metrics = {
        role: {
            f"{name}/{key}": value
            for name, cells in parts.items()
            for key, value in _scores(cells, role).items()
        }
        for role in inputs.answers()
    }
    paired = inputs.production is not None
    open_to_find = {k: cells for k, cells in parts.items() if paired and k not in named}
    adjusted = benjamini_hochberg(np.array([_p(cells) for cells in open_to_find.values()]))
    adjusted_p = {name: float(p) for name, p in zip(open_to_find, adjusted, strict=True)}
    findings = [_finding(evaluator, k, parts[k], p, rate) for k, p in adjusted_p.items()]
    rows = [
        {"slice": name, "n": cells.n, "adjusted_p": adjusted_p.get(name)}
        | {role.value: _scores(cells, role) for role in inputs.answers()}
        for name, cells in parts.items()
    ]
    return Explored(findings=tuple(findings), metrics=metrics, rows=tuple(rows))


def slices_of(
    cases: Sequence[GoldenCase], stratum: str, named: Collection[str] = ()
) -> dict[str, list[GoldenCase]]:
    """Returns name → cases of every slice of the deciding stratum, and of every other stratum.

    Args:
        cases: of all strata.
        stratum: the one that decides.
        named: slices to return even where they hold every case.
    """
    found: dict[str, list[GoldenCase]] = {}
    for case in cases:
        if case.stratum == stratum:
            names = slice_names(case.lang, case.source, case.slices)
        else:
            names = (f"stratum_{case.stratum}",)
        for name in names:
            found.setdefault(name, []).append(case)
    core = sum(case.stratum == stratum for case in cases)
    # A slice that holds every case is the whole again.
    return {k: found[k] for k in sorted(found) if len(found[k]) != core or k in named}


def _scores(cells: Cells, role: Role) -> dict[str, float]:
    values = {"accuracy": cells.accuracy(role.value), "macro": cells.macro(role.value)}
    return {key: value for key, value in values.items() if value is not None}


def discordant(cells: Cells) -> tuple[int, int]:
    """Cases on which the candidate, and production, was right more often than the other."""
    gap, cases = _gaps(cells)
    return int(cases[gap > 0].sum()), int(cases[gap < 0].sum())


def discordance(cells: Cells) -> tuple[float, float]:
    """By how many cases the candidate was right more often, and production, a part as a part."""
    gap, cases = _gaps(cells)
    gained, lost = np.maximum(gap, 0) @ cases, np.maximum(-gap, 0) @ cases
    return float(gained / cells.repeats), float(lost / cells.repeats)


def _gaps(cells: Cells) -> tuple[Counts, Counts]:
    """Right answers to each kind of case, the candidate's less production's; and its cases."""
    kinds = cells.kinds()
    place = np.arange(len(kinds.truth))
    gap = kinds.candidate[place, kinds.truth] - kinds.production[place, kinds.truth]
    return gap, kinds.cases


def _p(cells: Cells) -> float:
    return exact_mcnemar(*discordant(cells))


def _finding(evaluator: str, name: str, cells: Cells, p: float, rate: float) -> Finding:
    candidate, production = cells.accuracy("candidate"), cells.accuracy("production")
    gained, lost = discordant(cells)
    difference = (candidate or 0.0) - (production or 0.0)
    status, outcome = FindingStatus.UNDECIDED, "not shown to differ"
    if p <= rate:
        status = FindingStatus.PASSED if gained > lost else FindingStatus.FAILED
        outcome = "better" if gained > lost else "worse"
    return Finding(
        evaluator=evaluator,
        metric=f"{evaluator}/{name}/accuracy",
        kind="information",
        status=status,
        reason=f"Accuracy on {name} is {candidate:.3f} against {production:.3f} in production: "
        f"{outcome} ({gained} cases gained, {lost} lost; explored, not gated).",
        slice=name,
        candidate=candidate,
        production=production,
        difference=difference,
        p=p,
        n=cells.n,
        gating=False,
    )
