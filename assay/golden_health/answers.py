"""What stored models made of the cases: those that none gets right, and those that all do.

Decides how answerable a set still is. A case that no model ever answers as labelled has a wrong
label, an ambiguous text, or is too hard for all; one that all answer right tells no two models
apart. Which stored answers belong to the set is the caller's: only those to cases whose text and
label have not changed since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.golden_health.health import Check, judged, named, unknown
from assay.golden_health.rules import HealthRules
from assay.records import AnswerStatus, GoldenCase, Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswers:
    """One model's stored answers, by case id.

    Attributes:
        model: its name and version.
        answers: case id → the first answer; a case without an answer is absent.
    """

    model: str
    answers: Mapping[str, Prediction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerability:
    """The cases that enough models answered.

    Attributes:
        models: names of the models.
        cases: how many cases were answered by every one of them.
        never, always: ids of the cases that no model and that each gets right.
        by_label: label → (never, sometimes, always).
    """

    models: tuple[str, ...]
    cases: int
    never: tuple[str, ...]
    always: tuple[str, ...]
    by_label: Mapping[str, tuple[int, int, int]]


def answerability(
    cases: Sequence[GoldenCase], models: Sequence[ModelAnswers], least: int
) -> Answerability | None:
    """Counts right answers; None where fewer than `least` models, or no case, can be counted.

    An error is no wrong answer: a case that one of the models never answered is left out.
    """
    if len(models) < least:
        return None
    never: list[str] = []
    always: list[str] = []
    by_label: dict[str, list[int]] = {}
    counted = 0
    for case in cases:
        answers = [model.answers.get(case.id) for model in models]
        if any(one is None or one.status is AnswerStatus.ERROR for one in answers):
            continue
        right = sum(one is not None and one.label == case.label for one in answers)
        counted += 1
        cell = by_label.setdefault(case.label, [0, 0, 0])
        cell[0 if right == 0 else 2 if right == len(answers) else 1] += 1
        if right == 0:
            never.append(case.id)
        elif right == len(answers):
            always.append(case.id)
    if not counted:
        return None
    return Answerability(
        models=tuple(model.model for model in models),
        cases=counted,
        never=tuple(never),
        always=tuple(always),
        by_label={label: (c[0], c[1], c[2]) for label, c in sorted(by_label.items())},
    )


def answer_checks(
    found: Answerability | None, rules: HealthRules, models: int
) -> tuple[Check, ...]:
    """Returns the checks of what is never and always answered right."""
    if found is None:
        says = (
            f"Answers of {models} models to this set are at hand; to speak of all models takes "
            f"{rules.models}."
        )
        action = "Name more evidence folders with --evidence."
        return tuple(unknown(f"answers/{name}", says, action) for name in ("never", "always"))
    never, always = len(found.never) / found.cases, len(found.always) / found.cases
    of = f"of {found.cases} cases that {len(found.models)} models answered"
    names = f": {named(found.never)}" if found.never else ""
    return (
        judged(
            "answers/never",
            never <= rules.most_never_right,
            f"{len(found.never)} {of} are right for none ({never:.1%}; up to "
            f"{rules.most_never_right:.0%} is expected){names}.",
            "Look at their labels and texts first: correct, or remove what nobody could answer.",
            value=never,
        ),
        judged(
            "answers/always",
            always <= rules.most_always_right,
            f"{len(found.always)} {of} are right for all ({always:.1%}; up to "
            f"{rules.most_always_right:.0%} is expected).",
            "Add harder cases: the set no longer tells models apart.",
            value=always,
        ),
    )
