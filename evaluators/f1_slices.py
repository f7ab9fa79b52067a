"""The slices of `emotion_f1`: languages, sources, named slices and the other strata.

Decides what the reader learns about parts of the golden set. Slices are explored, not gated:
accuracy of both models on the same cases by McNemar's exact test, at a controlled false discovery
rate over all slices. They never block.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.cells import Cells
from assay.intervals import benjamini_hochberg
from assay.rates import exact_mcnemar
from assay.records import Finding, FindingStatus, GoldenCase, Role
from evaluators.base import Inputs
from evaluators.f1_cells import cells_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What the slices showed: non-gating findings, metrics of each model, rows for the report."""

    findings: tuple[Finding, ...]
    metrics: Mapping[Role, Mapping[str, float]]
    rows: tuple[Mapping[str, Any], ...]


def explore(
    cases: Sequence[GoldenCase], inputs: Inputs, evaluator: str, *, rate: float
) -> Explored:
    """Explores every slice of the answered cases.

    Args:
        cases: answered cases of all strata; slices are of the deciding stratum.
        inputs: both models' answers.
        evaluator: metric prefix.
        rate: false discovery rate over all slices.
    """
    parts = {name: cells_of(members, inputs) for name, members in _slices(cases, inputs).items()}
    metrics = {
        role: {
            f"{name}/{key}": value
            for name, cells in parts.items()
            for key, value in _scores(cells, role).items()
        }
        for role in inputs.answers()
    }
    paired = inputs.production is not None
    p_values = [_p(cells) if paired else 1.0 for cells in parts.values()]
    adjusted = benjamini_hochberg(np.array(p_values))
    findings = [
        _finding(evaluator, name, cells, float(p), rate)
        for (name, cells), p in zip(parts.items(), adjusted, strict=True)
        if paired
    ]
    rows = [
        {"slice": name, "n": cells.n, "adjusted_p": float(p) if paired else None}
        | {role.value: _scores(cells, role) for role in inputs.answers()}
        for (name, cells), p in zip(parts.items(), adjusted, strict=True)
    ]
    return Explored(findings=tuple(findings), metrics=metrics, rows=tuple(rows))


def _slices(cases: Sequence[GoldenCase], inputs: Inputs) -> dict[str, list[GoldenCase]]:
    found: dict[str, list[GoldenCase]] = {}
    for case in cases:
        if case.stratum == inputs.rules.stratum:
            names = [f"lang_{case.lang}", f"source_{case.source}"]
            names += [f"slice_{name}" for name in case.slices]
        else:
            names = [f"stratum_{case.stratum}"]
        for name in dict.fromkeys(re.sub(r"[^\w.-]+", "_", name) for name in names):
            found.setdefault(name, []).append(case)
    core = sum(case.stratum == inputs.rules.stratum for case in cases)
    # A slice that holds every case is the whole again.
    return {name: found[name] for name in sorted(found) if len(found[name]) != core}


def _scores(cells: Cells, role: Role) -> dict[str, float]:
    values = {"accuracy": cells.accuracy(role.value), "macro": cells.macro(role.value)}
    return {key: value for key, value in values.items() if value is not None}


def _discordant(cells: Cells) -> tuple[int, int]:
    """Cases that only the candidate, and only production, got right."""
    size = len(cells.labels)
    right = np.arange(size)
    both = int(cells.counts[right, right, right].sum())
    candidate = int(np.trace(cells.confusion("candidate")))
    production = int(np.trace(cells.confusion("production")))
    return candidate - both, production - both


def _p(cells: Cells) -> float:
    return exact_mcnemar(*_discordant(cells))


def _finding(evaluator: str, name: str, cells: Cells, p: float, rate: float) -> Finding:
    candidate, production = cells.accuracy("candidate"), cells.accuracy("production")
    gained, lost = _discordant(cells)
    difference = (gained - lost) / cells.n
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
