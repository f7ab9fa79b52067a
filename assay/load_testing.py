"""Runs a load profile against one model and says what it came to; the core of `assay loadtest`.

Decides the questions, their order, the plan handed to the generator, and the steps of a search for
the highest rate; leaves sending to the `LoadGenerator`, and figures and judgement to `assay.load`.
The same profile and seed ask two models the same questions in the same order at the same times.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from assay.asking import golden_questions
from assay.errors import ConfigError
from assay.load.arrivals import Seconds
from assay.load.objectives import (
    LoadOutcome,
    LoadVerdict,
    ObjectiveResult,
    judge_load,
    requests_to_decide,
)
from assay.load.profile import Closed, LengthPrompts, LoadProfile
from assay.load.prompts import draw_prompts
from assay.load.report import LoadReport
from assay.load.samples import TimedRequest
from assay.load.search import RateSearch, Step
from assay.load.summary import LoadSummary, Tally, is_good
from assay.ports import LoadGenerator, LoadPlan, Question
from assay.records import Endpoint, FindingStatus, GoldenCase
from assay.task import Decoding, Task

_SPARE = 1.5
"""A confirmation has so many times the fewest requests that can decide: one of them may be slow."""

Sink = Callable[[TimedRequest], None]
"""Gets every request as it ends, those of the warm-up too: a file, a live view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTest:
    """What a load test needs besides its profile.

    Args:
        generator: sends the load.
        endpoint: the model.
        questions: what is asked, in this order; see `load_questions`.
        run_id: begins every request's id.
        trace: arrival times in seconds, for a profile that replays them.
        began: told of each run before it begins (a search has many), with its live tally.
        sink: gets every request.
    """

    generator: LoadGenerator
    endpoint: Endpoint
    questions: Sequence[Question]
    run_id: str
    trace: Seconds | None = None
    began: Callable[[LoadProfile, Tally], None] = field(default=lambda profile, tally: None)
    sink: Sink = field(default=lambda request: None)


def load_questions(
    profile: LoadProfile, task: Task | None, cases: Sequence[GoldenCase]
) -> tuple[Question, ...]:
    """Returns a profile's questions, in an order drawn from its seed.

    Args:
        profile: says what is asked.
        task: asks the golden cases; may be None for prompts of drawn lengths.
        cases: the golden cases; none for prompts of drawn lengths.

    Raises:
        ConfigError: golden prompts without cases, or a case whose text is not known.
    """
    if isinstance(profile.prompts, LengthPrompts):
        return _drawn_questions(profile.prompts, profile.seed)
    if task is None or not cases:
        raise ConfigError(
            f"load profile {profile.name!r} asks the golden cases, and there is none; expected at "
            "least one; name the golden set, or set prompts: {kind: lengths}"
        )
    order = np.random.default_rng(profile.seed).permutation(len(cases))
    chosen = [cases[int(i)] for i in order[: profile.prompts.limit]]
    return golden_questions(task, chosen)


def load_plan(
    profile: LoadProfile, questions: Sequence[Question], trace: Seconds | None = None
) -> LoadPlan:
    """Returns what a generator is to do for a profile."""
    closed = isinstance(profile.arrivals, Closed)
    body: Mapping[str, object] = {}
    if isinstance(profile.prompts, LengthPrompts) and profile.prompts.ignore_eos:
        body = {"ignore_eos": True}
    return LoadPlan(
        questions=questions,
        starts_s=profile.schedule(trace),
        most_in_flight=profile.arrivals.concurrency
        if isinstance(profile.arrivals, Closed)
        else profile.max_in_flight,
        request_timeout_s=profile.request_timeout_s,
        warm_up_s=profile.warm_up_s,
        duration_s=profile.warm_up_s + profile.duration_s if closed else None,
        requests=profile.requests,
        body=body,
    )


def run_load_test(profile: LoadProfile, test: LoadTest) -> LoadReport:
    """Runs a profile, or its search for the highest rate, to the end.

    Raises:
        ConfigError: the profile cannot be run (a trace that is none, too many in flight).
        InfrastructureError: nothing listens there, or the caller is refused.
    """
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    if profile.search is not None:
        return _search(profile, test, started_at)
    summary = _run(profile, test)
    return _report(profile, test, started_at, summary, judge_load(profile, summary))


def _run(profile: LoadProfile, test: LoadTest, budget: int | None = None) -> LoadSummary:
    """Runs one load; ends it when more than `budget` requests were not good."""
    tally = Tally(profile)
    plan = load_plan(profile, test.questions, test.trace)
    test.began(profile, tally)
    bad = 0

    def take(request: TimedRequest) -> str | None:
        nonlocal bad
        tally.add(request)
        test.sink(request)
        bad += not request.warm_up and not is_good(request, profile.objectives)
        if budget is None or bad <= budget:
            return None
        return f"ended early: {bad:,} requests missed an objective, which settles it"

    return tally.summary(test.generator.run(test.endpoint, plan, take, run_id=test.run_id))


def run_step(
    profile: LoadProfile, test: LoadTest, rate: float, *, confirmation: bool = False
) -> tuple[Step, LoadSummary, LoadVerdict]:
    """Runs one step of a search: at one rate, long enough for its requests and no longer.

    A step that can no longer meet the objectives ends early; a confirmation has full length.

    Raises:
        ConfigError: the profile cannot be run.
        InfrastructureError: nothing listens there, or the caller is refused.
    """
    last = _step_profile(profile, rate, confirmation=confirmation)
    summary = _run(last, test, None if confirmation else _budget(last))
    verdict = judge_load(last, summary)
    return _step(rate, summary, verdict, confirmation=confirmation), summary, verdict


def _search(profile: LoadProfile, test: LoadTest, started_at: str) -> LoadReport:
    assert profile.search is not None  # noqa: S101 - for the type checker
    search = RateSearch(profile.search)
    last, summary, verdict = profile, None, None
    interruption = None
    while interruption is None:
        rate, confirmation = search.next_rate(), False
        if rate is None:
            rate, confirmation = search.next_confirmation(), True
        if rate is None:
            break
        last = _step_profile(profile, rate, confirmation=confirmation)
        step, summary, verdict = run_step(profile, test, rate, confirmation=confirmation)
        search.record(step)
        interruption = _why_over(step, summary, verdict)
    assert summary is not None  # noqa: S101 - a search has at least one step
    assert verdict is not None  # noqa: S101 - likewise
    found = search.result(interruption)
    report = _report(last, test, started_at, summary, verdict)
    outcome = _outcome(found.rate_per_s, search, verdict)
    judged = replace(report.verdict, outcome=outcome, notes=(found.reason, *report.verdict.notes))
    return report.model_copy(update={"search": found, "verdict": judged})


def _outcome(found: float | None, search: RateSearch, last: LoadVerdict) -> LoadOutcome:
    if found is not None:
        return LoadOutcome.MET
    if last.outcome is LoadOutcome.INVALID:
        return LoadOutcome.INVALID
    return LoadOutcome.MISSED if search.met_per_s is None else LoadOutcome.TOO_FEW


def _step_profile(profile: LoadProfile, rate: float, *, confirmation: bool) -> LoadProfile:
    """Returns the profile of one step: long enough for its requests, and no longer."""
    assert profile.search is not None  # noqa: S101 - for the type checker
    search = profile.search
    if confirmation:
        enough = _SPARE * requests_to_decide(profile)
        return profile.at_rate(rate, max(profile.duration_s, enough / rate))
    return profile.at_rate(rate, max(search.step_s, search.step_requests / rate))


def _budget(profile: LoadProfile) -> int:
    """Returns how many requests may miss something before an objective is missed for sure.

    Each percentile allows one in a hundred, the error rate its own share; beyond their sum at least
    one of them is exceeded, whatever the requests to come do.
    """
    wanted = profile.objectives
    percentiles = (wanted.ttft_p99_ms, wanted.e2e_p99_ms, wanted.tokens_per_s)
    allowed = 0.01 * sum(limit is not None for limit in percentiles)
    allowed += wanted.max_error_rate or 0.0
    return math.ceil(allowed * (profile.expected_requests or 0)) + 1


def _step(rate: float, summary: LoadSummary, verdict: LoadVerdict, *, confirmation: bool) -> Step:
    if confirmation:
        met = verdict.outcome is LoadOutcome.MET
    else:
        met = not verdict.invalid and summary.generator.stopped is None
        met = met and all(_seems_met(result) for result in verdict.objectives)
    failed = [r.reason for r in verdict.objectives if r.status is not FindingStatus.PASSED]
    reasons = [*verdict.invalid, *failed]
    return Step(
        rate_per_s=rate, met=met, confirmation=confirmation, requests=summary.requests,
        reason="within every objective" if met or not reasons else reasons[0],
    )  # fmt: skip


def _seems_met(result: ObjectiveResult) -> bool:
    """Tells whether the measured value meets an objective, whatever its bounds say."""
    if result.value is None:
        return result.status is FindingStatus.PASSED
    if result.name in ("tokens_per_s", "min_availability"):
        return result.value >= result.limit
    return result.value <= result.limit


def _why_over(step: Step, summary: LoadSummary, verdict: LoadVerdict) -> str | None:
    """Returns why a search cannot go on, or None when it can."""
    if summary.generator.interrupted:
        return f"interrupted at {step.rate_per_s:.3g} requests a second: the search is not finished"
    if verdict.invalid and summary.answered:
        return f"the search ended at {step.rate_per_s:.3g} requests a second: {verdict.invalid[0]}"
    return None


def _report(
    profile: LoadProfile,
    test: LoadTest,
    started_at: str,
    summary: LoadSummary,
    verdict: LoadVerdict,
) -> LoadReport:
    asked, prompts = summary.generator.sent, len(test.questions)
    if asked > prompts:
        times = math.ceil(asked / prompts)
        note = (
            f"each of {prompts:,} prompts was asked up to {times:,} times, so an engine with a "
            "prefix cache had met them before; the same holds for any model given this profile"
        )
        verdict = replace(verdict, notes=(*verdict.notes, note))
    return LoadReport(
        run_id=test.run_id,
        started_at=started_at,
        server=str(test.endpoint.uds or test.endpoint.base_url),
        model=test.endpoint.model,
        prompts=len(test.questions),
        profile=profile,
        summary=summary,
        verdict=verdict,
    )


def _drawn_questions(lengths: LengthPrompts, seed: int) -> tuple[Question, ...]:
    decoding = Decoding(mode="free", max_tokens=lengths.max_tokens)
    return tuple(
        Question(
            case_id=f"drawn-{number}",
            messages=[{"role": "user", "content": text}],
            choices=None,
            decoding=decoding,
        )
        for number, text in enumerate(draw_prompts(lengths, seed))
    )
