"""Tries documents on a server that runs: does it answer, with labels, with log-probabilities?

Decides what is asked (the readiness question, the check that output is constrained, a few golden
cases, one a label first) and which sentence says what to mend. It measures nothing: a handful of
cases says whether a gate could begin, not how it would end.
"""

import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from assay.adapters.chat_openai import OpenAIChat
from assay.adapters.server_endpoint import EndpointServer
from assay.asking import check_constrained, golden_questions
from assay.errors import AssayError
from assay.golden_set import load_golden
from assay.ports import AskLimits, Progress, RunningServer, ServeRequest
from assay.records import AnswerStatus, GoldenCase, Prediction, Role
from assay.serving_profile import Profile, load_serving
from assay.task import Task, load_task

CASES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing that was tried; `mend` is None where nothing is to be done.

    What only informs has `needed` False: a gate can do without it.
    """

    what: str
    found: str
    mend: str | None = None
    needed: bool = True

    @property
    def stops(self) -> bool:
        """Whether no gate can begin before this is mended."""
        return self.needed and self.mend is not None


def try_endpoint(
    folder: Path, url: str, *, golden: Path | None, profile: str, progress: Progress
) -> tuple[Trial, ...]:
    """Tries the documents of a folder on a server.

    Args:
        folder: holds task.yaml and serving.yaml.
        url: the server's; its key is in ASSAY_CANDIDATE_API_KEY or ASSAY_API_KEY.
        golden: a golden file; None tries the readiness question alone.
        profile: of serving.yaml, for its limits and the version that it asks for.
        progress: receives sentences for people.

    Raises:
        ConfigError: a document, the golden file or the URL is wrong.
    """
    task, served = load_task(folder / "task.yaml"), load_serving(folder / "serving.yaml")
    chosen = served.profile(profile)
    cases = _some(load_golden(golden, task.labels).cases, task) if golden else ()
    with tempfile.TemporaryDirectory(prefix="assay-trial-") as cache:
        request = ServeRequest(
            artifact=None,
            url=url,
            name=task.name,
            role=Role.CANDIDATE,
            profile=chosen,
            profile_name=profile,
            run_id=f"init-{secrets.token_hex(4)}",
            readiness_messages=task.render(task.readiness_text),
            cache_dir=Path(cache),
        )
        launched = EndpointServer().launch(request)
        try:
            server = launched.wait_ready(progress)
        except AssayError as error:
            return (Trial(what="server", found="cannot be asked", mend=str(error)),)
    found = f"{server.identity.engine} {server.identity.version}, model {server.endpoint.model!r}"
    return (Trial(what="server", found=found), *_answers(server, task, cases, chosen))


def _answers(
    server: RunningServer, task: Task, cases: Sequence[GoldenCase], profile: Profile
) -> list[Trial]:
    client, run_id = OpenAIChat(), f"init-{secrets.token_hex(4)}"
    limits = AskLimits(concurrency=4, request_timeout_s=profile.request_timeout_s, max_attempts=2)
    trials = []
    asked = [_readiness_case(task), *cases]
    answers: list[Prediction] = []
    try:
        if task.decoding.mode == "constrained":
            check_constrained(client, server.endpoint, task, limits, run_id=run_id)
            trials.append(Trial(what="constrained output", found="the engine keeps to the labels"))
        questions = golden_questions(task, asked, want_logprobs=True)
        client.ask(server.endpoint, questions, limits, answers.append, run_id=run_id)
    except AssayError as error:
        trials.append(Trial(what="answers", found="cannot be had", mend=str(error)))
        return trials
    by_case = {answer.case_id: answer for answer in answers}
    trials.append(_read("readiness question", [by_case[asked[0].id]], task))
    if cases:
        of_cases = [by_case[case.id] for case in cases]
        trials.append(_read("golden cases", of_cases, task))
        trials.append(_agreement(cases, by_case, task))
    trials.append(_logprobs(answers, task))
    return trials


def _read(what: str, answers: Sequence[Prediction], task: Task) -> Trial:
    statuses = [
        answer.status if answer.raw is None else task.read(answer.raw).status for answer in answers
    ]
    total, right = len(statuses), statuses.count(AnswerStatus.OK)
    found = f"{right} of {total} answered with a label"
    if silent := statuses.count(AnswerStatus.ERROR):
        kinds = ", ".join(
            sorted({answer.error_kind or "unknown" for answer in answers} - {"unknown"})
        )
        return Trial(
            what=what,
            found=f"{found}, {silent} without an answer ({kinds or 'no reason given'})",
            mend="see the engine's log; raise --max-model-len in serving.yaml if texts are long",
        )
    if right < total:
        return Trial(
            what=what,
            found=found,
            mend="set decoding.mode: constrained in task.yaml; or, where answers are to be free, "
            "ask with the words the model was trained with (messages), give it room "
            "(max_tokens), and trim what it adds (answer.strip)",
        )
    return Trial(what=what, found=found)


def _agreement(cases: Sequence[GoldenCase], answers: dict[str, Prediction], task: Task) -> Trial:
    """Says how many are as labelled: none of several is a sign that the question is another one."""
    right = sum(task.read(answers[case.id].raw or "").label == case.label for case in cases)
    found = f"{right} of {len(cases)} as labelled"
    mend = None
    if not right and len(cases) > 2:
        mend = (
            "ask with the words the model was trained with (messages in task.yaml), and see that "
            "the labels mean the same in the golden file"
        )
    return Trial(what="agreement", found=found, mend=mend, needed=False)


def _logprobs(answers: Sequence[Prediction], task: Task) -> Trial:
    had = sum(answer.label_logprobs is not None for answer in answers)
    found = f"{had} of {len(answers)} answers have the labels' log-probabilities"
    mend = None
    if task.decoding.mode != "constrained":
        mend = "nothing, unless policy.yaml is to name `calibration`: it needs constrained decoding"
    elif had < len(answers):
        mend = (
            "nothing, unless policy.yaml is to name `calibration`: then serve with --max-logprobs "
            f"{max(20, len(task.labels))} or more"
        )
    return Trial(what="log-probabilities", found=found, mend=mend, needed=False)


def _readiness_case(task: Task) -> GoldenCase:
    return GoldenCase(
        id="readiness-question",
        text=task.readiness_text,
        text_sha256="",
        label=task.labels[0],
        lang="und",
        source="task.yaml",
        stratum="core",
        slices=(),
        added_in="0.0.0",
    )


def _some(cases: Sequence[GoldenCase], task: Task) -> tuple[GoldenCase, ...]:
    """Returns a few cases, one of each label before a second of any."""
    by_label = [[case for case in cases if case.label == label] for label in task.labels]
    rounds = (case for one in zip_longest(*by_label) for case in one if case is not None)
    return tuple(case for case, _ in zip(rounds, range(CASES), strict=False))
