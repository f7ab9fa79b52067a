"""The tables of `emotion_f1` for the report: confusion matrices, flips, what each class can show.

Decides nothing; every number here is also behind a finding, or describes the data.
"""

from typing import Any

from assay.cells import Cells, Counts
from assay.power import detectable_difference, observed_variance
from assay.records import INVALID_LABEL
from assay.relabels import relabels_to_flip
from assay.seeds import stream
from evaluators.f1_findings import F1Rules

_REPLICATES = 999
"""Draws of each test behind a number of relabels, which is for orientation."""


def tables_of(cells: Cells, rules: F1Rules) -> dict[str, Any]:
    """Returns name → JSON-able table."""
    columns = [*cells.labels, INVALID_LABEL]
    tables: dict[str, Any] = {
        "confusion_candidate": {
            "rows": list(cells.labels),
            "columns": columns,
            "counts": cells.confusion("candidate").tolist(),
        }
    }
    if rules.paired:
        tables["confusion_production"] = {
            "rows": list(cells.labels),
            "columns": columns,
            "counts": cells.confusion("production").tolist(),
        }
        tables["flips"] = _flips(cells, columns)
        tables["relabels"] = _relabels(cells, rules)
        tables["power"] = [_power(cells, rules, label) for label in rules.labels]
    return tables


def _flips(cells: Cells, columns: list[str]) -> dict[str, Any]:
    """Production's answer (rows) against the candidate's (columns)."""
    matrix = cells.flips()
    return matrix_table(columns, matrix) | {
        "changed": int(matrix.sum()) - int(matrix.trace()),
        "n": int(matrix.sum()),
    }


def matrix_table(columns: list[str], counts: Counts) -> dict[str, Any]:
    """Returns a matrix of one model's answers (rows) against another's as a table."""
    return {"rows": columns, "columns": columns, "counts": counts.tolist()}


def _relabels(cells: Cells, rules: F1Rules) -> list[dict[str, Any]]:
    """How many golden labels would have to be wrong to turn each class's comparison."""
    support = cells.support()
    return [
        {
            "class": label,
            "relabels": relabels_to_flip(
                cells.of_class(label),
                margin=rules.margins[label],
                alpha=rules.rules.alpha,
                replicates=_REPLICATES,
                seed=stream(rules.rules.seed, rules.evaluator, "relabels", label),
            ),
        }
        for label in rules.labels
        if support[label]
    ]


def _power(cells: Cells, rules: F1Rules, label: str) -> dict[str, Any]:
    support = cells.support()[label]
    row: dict[str, Any] = {"class": label, "support": support, "margin": rules.margins[label]}
    if support:
        eight = cells.of_class(label)
        false_positives, positives = (
            int(cases.sum()) - int(cases.trace()) for cases in (eight[0], eight[1])
        )
        row["discordant_positives"] = positives
        row["discordant_false_positives"] = false_positives
        row["detectable_difference"] = detectable_difference(
            observed_variance(eight), support, alpha=rules.rules.alpha, power=rules.power
        )
    return row
