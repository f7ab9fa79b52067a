"""Whether a model's stored answers are the answers to the questions that were asked.

Decides what makes answers unusable (missing, twice, for an unknown case, with a label the task does
not have, too many errors) and drops nothing silently. The policy says how many answers to a case
count; more are no fault, and the first ones count. A question that got no answer (`error`) is
unmeasured: neither right nor wrong nor invalid. Up to the policy's share such cases are left out
for both models; beyond it nothing can be concluded.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assay import digests
from assay.engine_samples import engine_row
from assay.golden_set import GoldenSet
from assay.policy import Policy
from assay.predictions import Place, final_answers, place, to_json
from assay.records import (
    AnswerStatus,
    EngineSample,
    LatencySample,
    Prediction,
    Probe,
    Problem,
    Role,
)
from assay.task import Task
from assay.wording import are, counted
from evaluators.base import ModelAnswers

_SHOWN = 3
_AGAIN = "ask the model again, or judge the complete file."


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswers:
    """One model's answers as read from files, in the files' order; nothing is checked yet."""

    predictions: Sequence[Prediction] = ()
    probe_answers: Sequence[Prediction] = ()
    latency: Sequence[LatencySample] = ()
    engine: Sequence[EngineSample] = ()
    latency_again: Sequence[LatencySample] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedAnswers:
    """Answers by case, why they cannot be judged, if they cannot, and what was left aside."""

    answers: ModelAnswers
    problems: tuple[Problem, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())


def check_answers(
    role: Role,
    raw: RawAnswers,
    golden: GoldenSet,
    probes: tuple[Probe, ...],
    task: Task,
    policy: Policy,
    *,
    partial: bool,
) -> CheckedAnswers:
    """Checks one model's answers against what was asked.

    Args:
        role: whose answers.
        raw: as read from files.
        golden: the cases that must be answered.
        probes: must be answered if any of them is: no file at all is the evaluators' to judge.
        task: its labels.
        policy: how many answers to a case count, and how many questions may stay unanswered.
        partial: whether answers to the golden set may be absent altogether (`--only`).
    """
    predictions = final_answers(raw.predictions)
    probe_answers = final_answers(raw.probe_answers)
    problems: list[Problem] = []
    tolerated, times = policy.max_unanswered_rate, policy.repeats
    if predictions or not partial:
        where = f"{role.value} predictions"
        asked = {case.id for case in golden.cases}
        problems += _coverage(where, predictions, asked, tolerated, times)
        problems += _labels(where, predictions, task)
    if probe_answers:
        where = f"{role.value} probe answers"
        asked = {probe.id for probe in probes}
        # A probe is asked once, so that any second answer to it is one too many.
        once = [replace(answer, repeat=0) for answer in probe_answers]
        problems += _coverage(where, once, asked, tolerated, 1, sample="probe")
    return CheckedAnswers(
        answers=ModelAnswers(
            predictions=_by_case(predictions),
            probe_answers=_by_case(probe_answers),
            repeats=tuple(
                _by_case(predictions, repeat)
                for repeat in range(1, 1 + max((p.repeat for p in predictions), default=0))
            ),
            latency=tuple(raw.latency),
            engine=tuple(raw.engine),
            latency_again=tuple(raw.latency_again),
        ),
        problems=tuple(problems),
        notes=_surplus(role, predictions, policy),
    )


def counted_answers(predictions: Iterable[Prediction], policy: Policy) -> list[Prediction]:
    """Returns the answers that the policy counts: the first ones to every case."""
    return [prediction for prediction in predictions if prediction.repeat < policy.repeats]


def content_digests(raw: RawAnswers) -> dict[str, str]:
    """Digests of the files' content: predictions in the order of cases, latency as taken."""
    found = {}
    for name, answers in (("predictions", raw.predictions), ("probe_answers", raw.probe_answers)):
        if answers:
            ordered: list[Prediction] = sorted(answers, key=place)
            found[name] = _digest(ordered)
    for name, samples in (("latency", raw.latency), ("latency_again", raw.latency_again)):
        if samples:
            found[name] = _digest(samples)
    if raw.engine:
        found["engine_samples"] = _lines_digest(map(engine_row, raw.engine))
    return found


def _digest(rows: Iterable[Prediction | LatencySample]) -> str:
    return _lines_digest(map(to_json, rows))


def _lines_digest(rows: Iterable[dict[str, Any]]) -> str:
    lines = (digests.canonical_json(_writable(row)) + b"\n" for row in rows)
    return digests.of_bytes(b"".join(lines))


def _writable(value: Any) -> Any:
    """JSON has no NaN: a number that is not finite has its name for an identity."""
    if isinstance(value, dict):
        return {key: _writable(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _by_case(predictions: Iterable[Prediction], repeat: int = 0) -> dict[str, Prediction]:
    return {
        p.case_id: p
        for p in predictions
        if p.repeat == repeat and p.status is not AnswerStatus.ERROR
    }


def _surplus(role: Role, predictions: Sequence[Prediction], policy: Policy) -> tuple[str, ...]:
    """Says which answers do not count, where the noise floor does not explain them."""
    surplus = sum(p.repeat >= policy.times_asked(role) for p in predictions)
    if not surplus:
        return ()
    return (
        f"{role.value}: {_answers(surplus)} left out of the comparison, because the policy counts "
        f"{counted(policy.repeats, 'answer')} to each case",
    )


def _coverage(
    where: str,
    predictions: Sequence[Prediction],
    asked: Collection[str],
    tolerated: float,
    times: int,
    sample: str = "case",
) -> list[Problem]:
    counts = Counter(map(place, predictions))
    total = len(asked) * times
    problems = []
    missing = sorted(
        (case_id, repeat)
        for case_id in asked
        for repeat in range(times)
        if (case_id, repeat) not in counts
    )
    if missing:
        what = (
            f"{len(missing)} of {counted(total, 'question')} {_has(len(missing))} no answer "
            f"({_places(missing)})"
        )
        what += f"; the policy asks each case {times} times" if times > 1 else ""
        problems.append(_problem(where, what, _AGAIN))
    unknown = sorted({case_id for case_id, _ in counts if case_id not in asked})
    if unknown:
        what = f"{_answers(len(unknown))} for unknown {sample}s ({_some(unknown)})"
        action = "judge with the golden set and probes that were asked."
        problems.append(_problem(where, what, action))
    twice = sorted(spot for spot, count in counts.items() if count > 1)
    if twice:
        what = f"{counted(len(twice), sample)} {are(len(twice))} answered more than once "
        what += f"({_places(twice)})"
        action = f"keep one answer a {sample}"
        action += ", or number several with `repeat` from 0." if sample == "case" else "."
        problems.append(_problem(where, what, action))
    failed = [p for p in predictions if p.status is AnswerStatus.ERROR and p.repeat < times]
    if len(failed) > tolerated * total:
        kinds = Counter(p.error_kind for p in failed if p.error_kind).most_common(_SHOWN)
        why = "".join(f"; {kind} × {count}" for kind, count in kinds)
        what = (
            f"{len(failed)} of {counted(total, 'question')} ended in an error "
            f"({_places(sorted(map(place, failed)))}{why}), more than the {tolerated:g} the "
            "policy tolerates"
        )
        action = "look at the engine's log, then run the gate again: only those are asked again."
        problems.append(_problem(where, what, action))
    return problems


def _labels(where: str, predictions: Sequence[Prediction], task: Task) -> list[Problem]:
    odd = [p for p in predictions if p.status is AnswerStatus.OK and p.label not in task.labels]
    if not odd:
        return []
    what = (
        f"{_answers(len(odd))} marked ok with a label the task does not have "
        f"({_some(sorted({repr(p.label) for p in odd}))}, case {odd[0].case_id!r})"
    )
    return [_problem(where, what, "judge with the task.yaml the model was asked with.")]


def _answers(count: int) -> str:
    return f"{counted(count, 'answer')} {are(count)}"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (", …" if len(names) > _SHOWN else "")


def _places(places: Sequence[Place]) -> str:
    return _some(
        [f"{case_id} repeat {repeat}" if repeat else case_id for case_id, repeat in places]
    )


def _problem(where: str, what: str, action: str) -> Problem:
    return Problem(where=where, reason=f"{where}: {what}.", action=action)
