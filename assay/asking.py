"""Asks a model the golden set, as often as wanted, and the probes, and stores every answer.

Decides which messages a case or probe becomes, how words become a prediction, and what is left to
ask after a kill; leaves sending to the chat client, storing to `predictions`, and judging to the
evaluators. An answer that names no label is `invalid` and kept; a question without an answer is
`error`, is kept too, and is asked again by the next run.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from assay.errors import ConfigError, InfrastructureError
from assay.golden_set import GoldenSet
from assay.ports import AskLimits, ChatClient, Progress, Question
from assay.predictions import AnswerFile, final_answers, place, read_predictions
from assay.records import AnswerStatus, Endpoint, GoldenCase, Prediction, Probe
from assay.task import Task

NONSENSE = ("zq1", "zq2")
"""Answers that no model gives unless it is made to."""

_ECHO_EVERY_S = 1.0


def golden_questions(
    task: Task, cases: Sequence[GoldenCase], *, want_logprobs: bool = False, repeat: int = 0
) -> tuple[Question, ...]:
    """Returns the question for each case, in order; constrained where the task says so.

    Each repeat draws with a seed of its own: the same seed would only ask for the same answer.

    Raises:
        ConfigError: a case's text is not known.
    """
    choices = task.labels if task.decoding.mode == "constrained" else None
    decoding = task.decoding.model_copy(update={"seed": task.decoding.seed + repeat})
    return tuple(
        Question(
            case_id=case.id,
            messages=task.render(_text(case)),
            choices=choices,
            decoding=decoding,
            want_logprobs=want_logprobs,
        )
        for case in cases
    )


def probe_questions(task: Task, probes: Sequence[Probe]) -> tuple[Question, ...]:
    """Returns the question for each probe, in order; the answers are free.

    An injection hides in a text to be classified, so it is asked with the task's messages. Any
    other probe speaks to the model itself, and is asked alone.

    Raises:
        ConfigError: a probe's text is not known.
    """
    return tuple(
        Question(
            case_id=probe.id,
            messages=task.render(_text(probe))
            if probe.kind == "injection"
            else [{"role": "user", "content": _text(probe)}],
            choices=None,
            decoding=task.probe_decoding,
        )
        for probe in probes
    )


def ask_golden(
    client: ChatClient,
    endpoint: Endpoint,
    task: Task,
    golden: GoldenSet,
    path: Path,
    limits: AskLimits,
    run_id: str,
    progress: Progress,
    *,
    want_logprobs: bool = False,
    times: int = 1,
) -> tuple[Prediction, ...]:
    """Asks every golden case, as often as wanted, that `path` does not hold an answer to.

    The whole set is asked before any of it is asked again: two answers to a case then differ by as
    much as two runs do. Where the task is constrained, one question first shows that the engine
    really constrains.

    Args:
        client: sends the questions.
        endpoint: the model.
        task: what to ask and how to read it.
        golden: the cases.
        path: the answer file; made, or resumed. It belongs to one model, golden set, task and
            engine: the caller names it so.
        limits: how hard and how long to ask.
        run_id: begins every request's id.
        progress: told about once a second.
        want_logprobs: also ask for each label's log-probability (one request more a case).
        times: how many answers to each case are wanted.

    Returns:
        One prediction a case in the order of the golden set, then the second ones, and so on.

    Raises:
        ConfigError: a case's text is not known, or `path` holds something else.
        InfrastructureError: the server went away, ignores constraints, or the disk is full. What
            was answered is kept.
    """
    runs = [
        golden_questions(task, golden.cases, want_logprobs=want_logprobs, repeat=repeat)
        for repeat in range(times)
    ]

    def read(prediction: Prediction) -> Prediction:
        if prediction.raw is None:
            return prediction
        reading = task.read(prediction.raw)
        return replace(prediction, label=reading.label, status=reading.status)

    def before() -> None:
        if task.decoding.mode == "constrained":
            check_constrained(client, endpoint, task, limits, run_id=run_id)

    return _ask(client, endpoint, runs, path, limits, run_id, progress, read, before)


def ask_probes(
    client: ChatClient,
    endpoint: Endpoint,
    task: Task,
    probes: Sequence[Probe],
    path: Path,
    limits: AskLimits,
    run_id: str,
    progress: Progress,
) -> tuple[Prediction, ...]:
    """Asks every probe that `path` does not hold an answer to; see `ask_golden`.

    A probe's answer is words, not a label: `label` stays None and `status` is `ok`.
    """
    questions = probe_questions(task, probes)
    return _ask(
        client, endpoint, [questions], path, limits, run_id, progress, lambda p: p, lambda: None
    )


def count_answers(path: Path, times: int = 1) -> int:
    """Returns how many questions an answer file has answers to; 0 when there is no such file.

    Args:
        path: the answer file.
        times: how many answers to each case are wanted; further ones are not counted.

    Raises:
        ConfigError: it holds something else.
    """
    if not path.exists():
        return 0
    with AnswerFile(path) as file:
        return sum(repeat < times for _, repeat in file.done)


def check_constrained(
    client: ChatClient, endpoint: Endpoint, task: Task, limits: AskLimits, *, run_id: str
) -> None:
    """Makes sure that the engine constrains answers: it must say a word no model says by itself.

    An engine that does not know the field ignores it in silence, and its free answers would be
    judged as if they had been constrained.

    Raises:
        InfrastructureError: it does not, or there is no answer.
    """
    question = Question(
        case_id="constrained-check",
        messages=task.render(task.readiness_text),
        choices=NONSENSE,
        decoding=task.decoding.model_copy(update={"max_tokens": 16}),
    )
    answers: list[Prediction] = []
    client.ask(endpoint, [question], limits, answers.append, run_id=run_id)
    where = f"{endpoint.uds or endpoint.base_url} (model {endpoint.model!r})"
    if not answers or answers[0].raw is None:
        raise InfrastructureError(
            f"{where}: no answer to the question that checks constrained output; expected one; "
            "look at the end of the engine's log"
        )
    if answers[0].raw.strip() not in NONSENSE:
        raise InfrastructureError(
            f"{where}: the engine ignored structured_outputs: asked to say one of "
            f"{', '.join(map(repr, NONSENSE))}, it said something else; expected constrained "
            "output; use an engine that knows the field, or set decoding.mode: free in task.yaml"
        )


def _ask(
    client: ChatClient,
    endpoint: Endpoint,
    runs: Sequence[Sequence[Question]],
    path: Path,
    limits: AskLimits,
    run_id: str,
    progress: Progress,
    read: Callable[[Prediction], Prediction],
    before: Callable[[], None],
) -> tuple[Prediction, ...]:
    wanted = {(q.case_id, repeat): q for repeat, run in enumerate(runs) for q in run}
    with AnswerFile(path) as file:
        left = [spot for spot in wanted if spot not in file.done]
        if left:
            before()
        tally = _Tally(total=len(wanted), left=len(left), progress=progress)
        for repeat in range(len(runs)):

            def take(prediction: Prediction, repeat: int = repeat) -> None:
                answer = replace(read(prediction), repeat=repeat)
                file.append(answer)
                tally.count(answer)

            asked = [wanted[spot] for spot in left if spot[1] == repeat]
            if asked:
                client.ask(endpoint, asked, limits, take, run_id=run_id)
        tally.tell()
    final = {place(prediction): prediction for prediction in final_answers(read_predictions(path))}
    return tuple(final[spot] for spot in wanted if spot in final)


class _Tally:
    """Counts answers and tells of them, now and then, in one sentence."""

    def __init__(self, *, total: int, left: int, progress: Progress) -> None:
        self._total = total
        self._known = total - left
        self._counts = dict.fromkeys(AnswerStatus, 0)
        self._progress = progress
        self._started_s = self._told_s = time.monotonic()

    def count(self, answer: Prediction) -> None:
        self._counts[answer.status] += 1
        if time.monotonic() - self._told_s >= _ECHO_EVERY_S:
            self.tell()

    def tell(self) -> None:
        now_s = time.monotonic()
        asked = sum(self._counts.values())
        parts = [f"{self._known + asked:,} of {self._total:,} questions asked"]
        if self._known:
            parts.append(f"{self._known:,} answered before")
        if invalid := self._counts[AnswerStatus.INVALID]:
            parts.append(f"{invalid:,} not a label")
        if errors := self._counts[AnswerStatus.ERROR]:
            parts.append(f"{errors:,} without an answer")
        if asked and now_s > self._started_s:
            parts.append(f"{asked / (now_s - self._started_s):,.0f} a second")
        self._told_s = now_s
        self._progress(", ".join(parts))


def _text(item: GoldenCase | Probe) -> str:
    if item.text is None:
        raise ConfigError(
            f"{item.id!r}: only the digest of its text is known; expected the text; read the "
            "golden set or the probes themselves, not an evidence folder"
        )
    return item.text
