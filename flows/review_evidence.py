"""What a gate's evidence says about where people should look.

Decides which of its files are read, and which golden cases of today they are about: the ones whose
text and label are still the same. What follows is decided by `assay.review`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.documents import parse_json, read_text
from assay.errors import ConfigError
from assay.evidence import check_seal
from assay.golden_set import GoldenSet, load_golden
from assay.predictions import final_answers, read_predictions
from assay.records import ArtifactRef, GoldenCase, Prediction, Role, Verdict
from assay.review.policy import DISAGREEMENT, SUSPECTED_LABEL
from assay.review.suspicion import disagreements, suspected_labels
from assay.review.work_orders import WorkOrder, work_orders
from assay.task import Task, load_task
from assay.verdict_document import verdict_from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What speaks for looking at what; `notes` say what could not be heard.

    Attributes:
        doubts: signal → ids of golden cases, in the order in which to look at them.
        sound: ids of golden cases against whose label nothing speaks.
        orders: classes and slices of which the verdict wants more cases.
        production: its answers by case id.
        version: the model that gave them.
        notes: sentences for the manifest.
    """

    doubts: Mapping[str, tuple[str, ...]]
    sound: frozenset[str]
    orders: tuple[WorkOrder, ...]
    production: Mapping[str, Prediction]
    version: str
    notes: tuple[str, ...]


def heard_of_nothing(golden: GoldenSet) -> Heard:
    """Without evidence nothing speaks against any label, and nothing is ordered."""
    return Heard(
        doubts={},
        sound=frozenset(case.id for case in golden.cases),
        orders=(),
        production={},
        version="production",
        notes=(),
    )


def read_evidence(folder: Path, golden: GoldenSet, task: Task) -> Heard:
    """Reads an evidence folder.

    Args:
        folder: as a gate wrote it.
        golden: the golden set of today, with texts.
        task: today's; the evidence must be of the same labels.

    Raises:
        ArtifactError: the folder was changed since it was sealed.
        ConfigError: it is no finished evidence folder, or one of another task.
    """
    check_seal(folder)
    labels = load_task(folder / "task.yaml").labels
    if set(labels) != set(task.labels):
        raise ConfigError(
            f"{folder}: its labels are {', '.join(map(repr, labels))}; expected "
            f"{', '.join(map(repr, task.labels))}; name evidence of this task, or the other --task"
        )
    where = str(folder / "verdict.json")
    verdict = verdict_from_json(parse_json(read_text(folder / "verdict.json"), where), where)
    cases, notes = _same_cases(folder, golden, task)
    production = _answers(folder / Role.PRODUCTION.value)
    candidate = _answers(folder / Role.CANDIDATE.value)
    suspects = suspected_labels(cases, (production, candidate), task.labels)
    if suspects is None:
        notes.append(
            "The answers hold no label probabilities, so no label can be suspected by cleanlab's "
            "ranking; that is not to say that none is wrong."
        )
    doubts = {
        SUSPECTED_LABEL: suspects or (),
        DISAGREEMENT: disagreements(cases, production, candidate),
    }
    return Heard(
        doubts=doubts,
        sound=_sound(cases, doubts, candidate, production),
        orders=_orders(verdict, cases, production, candidate, task, notes),
        production=production,
        version=_version(verdict.context.production),
        notes=tuple(notes),
    )


def _same_cases(
    folder: Path, golden: GoldenSet, task: Task
) -> tuple[tuple[GoldenCase, ...], list[str]]:
    judged = load_golden(folder / "golden_index.jsonl", task.labels)
    then = {case.id: (case.text_sha256, case.label) for case in judged.cases}
    same = tuple(
        case for case in golden.cases if then.get(case.id) == (case.text_sha256, case.label)
    )
    changed = judged.size - len(same)
    if not changed:
        return same, []
    return same, [
        f"{changed} of the {judged.size} cases that were judged are no longer in the golden set as "
        "they were; nothing is concluded about them."
    ]


def _answers(folder: Path) -> dict[str, Prediction]:
    """First answers by case id; empty where that model was not asked."""
    path = folder / "predictions.jsonl"
    if not path.is_file():
        return {}
    return {p.case_id: p for p in final_answers(read_predictions(path)) if p.repeat == 0}


def _sound(
    cases: tuple[GoldenCase, ...],
    doubts: Mapping[str, tuple[str, ...]],
    candidate: Mapping[str, Prediction],
    production: Mapping[str, Prediction],
) -> frozenset[str]:
    """Cases that a model finds by their label, and about which there is no doubt."""
    doubted = {name for names in doubts.values() for name in names}
    return frozenset(
        case.id
        for case in cases
        if case.id not in doubted
        and any(m[case.id].label == case.label for m in (candidate, production) if case.id in m)
    )


def _orders(
    verdict: Verdict,
    cases: tuple[GoldenCase, ...],
    production: Mapping[str, Prediction],
    candidate: Mapping[str, Prediction],
    task: Task,
    notes: list[str],
) -> tuple[WorkOrder, ...]:
    orders = work_orders(verdict, {case.id: case for case in cases}, production, candidate)
    if untold := sorted({order.name for order in orders if not order.told}):
        notes.append(
            f"The verdict also wants more cases of {', '.join(untold)}: people put cases into "
            "these slices, so no text can be queued for them."
        )
    return tuple(order for order in orders if order.label is None or order.label in task.labels)


def _version(production: ArtifactRef | None) -> str:
    return "production" if production is None else f"{production.model}@{production.version}"
