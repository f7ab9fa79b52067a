"""How the cases that the macro average lacks are spread over the classes.

Decides how many more of each class narrow the macro's interval as far as the verdict asks, with as
few labels as possible. Var(macro ΔF1) is taken as the mean over K² of v_c / n_c, where v_c is n_c ·
Var(ΔF1) of class c as observed (`assay.power`) and n_c its cases; what classes have in common is
left out. The fewest cases for a variance lie where each n_c is proportional to √v_c (Neyman, JRSS
97 (1934)), save that no class gives cases back.
"""

import math
from collections.abc import Mapping

from assay.cells import Cells, count_cells
from assay.power import observed_variance
from assay.records import AnswerStatus, GoldenCase, Prediction

CORE = "core"


def core_cells(
    golden: Mapping[str, GoldenCase],
    production: Mapping[str, Prediction],
    candidate: Mapping[str, Prediction],
) -> Cells | None:
    """Returns the core cases that both models answered, counted; None where there is none."""
    said = [
        {name: p.label for name, p in model.items() if p.status is not AnswerStatus.ERROR}
        for model in (production, candidate)
    ]
    truth = {
        name: case.label
        for name, case in golden.items()
        if case.stratum == CORE and all(name in answers for answers in said)
    }
    if not truth:
        return None
    labels = {*truth.values(), *(said[m][name] for m in (0, 1) for name in truth)} - {None}
    return count_cells(sorted(map(str, labels)), truth, said[0], said[1])


def spread_over_classes(cells: Cells, needed: int) -> dict[str, int]:
    """Returns class → more cases of it, for the classes that need any.

    Args:
        cells: the core; every class has a case.
        needed: more cases of today's mix that would settle the macro average.
    """
    support = cells.support()
    weight = {label: observed_variance(cells.of_class(label)) for label in support}
    today = sum(weight[label] / count for label, count in support.items())
    target = today * cells.n / (cells.n + needed)
    growing = set(support)
    while True:
        kept = sum(weight[label] / support[label] for label in support if label not in growing)
        scale = sum(math.sqrt(weight[label]) for label in growing) / (target - kept)
        enough = {label for label in growing if scale * math.sqrt(weight[label]) <= support[label]}
        if not enough:
            break
        growing -= enough
    return {
        label: math.ceil(scale * math.sqrt(weight[label])) - support[label]
        for label in sorted(growing)
    }
