"""Latency: what passes, what fails, and what too few requests leave undecided."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.errors import ConfigError, TooFewCasesError
from assay.golden_set import GoldenSet
from assay.policy import Policy, load_policy
from assay.records import (
    AnswerStatus,
    EngineSample,
    Finding,
    FindingStatus,
    LatencySample,
    Role,
)
from assay.task import Task, load_task
from evaluators.base import Evaluation, Inputs, ModelAnswers, Rules
from evaluators.latency import Latency
from evaluators.registry import build

ROOT = Path(__file__).parents[2]
TASK: Task = load_task(ROOT / "task.yaml")
EMPTY = GoldenSet(cases=(), digest="sha256:" + "0" * 64, revision="test")


def samples(
    scale: float = 1.0, *, blocks: int = 20, per_block: int = 25, seed: int = 1, errors: int = 0,
    tokens: int = 3, spread: float = 0.3,
) -> tuple[LatencySample, ...]:  # fmt: skip
    """A load whose TTFT is log-normal around 20 ms × scale; the machine's mood is shared."""
    mood = np.random.default_rng(99).normal(0, 0.2, blocks)
    rng = np.random.default_rng(seed)
    taken = []
    for block in range(blocks):
        for i in range(per_block):
            failed = len(taken) < errors
            ttft = 20 * scale * float(np.exp(mood[block] + rng.normal(0, spread)))
            taken.append(
                LatencySample(
                    block=block, case_id=f"c{i}", started_s=block + i * 0.01,
                    status=AnswerStatus.ERROR if failed else AnswerStatus.OK,
                    error_kind="timeout" if failed else None,
                    ttft_ms=None if failed else ttft,
                    e2e_ms=None if failed else ttft + 4.0 * scale * (tokens - 1),
                    prompt_tokens=9, completion_tokens=None if failed else tokens, request_id="",
                )
            )  # fmt: skip
    return tuple(taken)


def evaluate(
    latency: Latency,
    candidate: Sequence[LatencySample],
    production: Sequence[LatencySample] | None = None,
) -> Evaluation:
    answers = None if production is None else ModelAnswers(latency=tuple(production))
    rules = Rules(
        alpha=0.05, replicates=2000, stratum="core", seed=5, first_release=production is None
    )
    return latency.evaluate(
        Inputs(
            golden=EMPTY, probes=(), task=TASK, candidate=ModelAnswers(latency=tuple(candidate)),
            production=answers, rules=rules,
        )
    )  # fmt: skip


def finding(evaluation: Evaluation, metric: str, kind: str) -> Finding:
    [found] = [f for f in evaluation.findings if f.metric == f"latency/{metric}" and f.kind == kind]
    return found


def test_the_same_model_twice_passes_everything() -> None:
    evaluation = evaluate(Latency(), samples(seed=1), samples(seed=2))
    assert [f.status for f in evaluation.findings] == [FindingStatus.PASSED] * 3
    ratio = finding(evaluation, "ttft_p95_ms", "ratio")
    assert ratio.difference == pytest.approx(1.0, abs=0.2)
    assert ratio.interval is not None
    assert ratio.difference is not None
    assert ratio.interval[0] < ratio.difference < ratio.interval[1] <= 1.25
    assert ratio.bound == ratio.interval[1]
    assert ratio.p is not None
    assert ratio.p <= 0.05


def test_twice_as_slow_fails_the_ratio_and_not_the_objective() -> None:
    evaluation = evaluate(Latency(), samples(2.0), samples(1.0, seed=2))
    ratio = finding(evaluation, "ttft_p95_ms", "ratio")
    assert ratio.status is FindingStatus.FAILED
    assert ratio.bound is not None
    assert ratio.bound > 1.25
    assert "above the limit 1.25" in ratio.reason
    assert finding(evaluation, "ttft_p99_ms", "limit").status is FindingStatus.PASSED


def test_a_ratio_near_the_limit_is_undecided() -> None:
    evaluation = evaluate(Latency(), samples(1.3), samples(1.0, seed=2))
    assert finding(evaluation, "ttft_p95_ms", "ratio").status is FindingStatus.UNDECIDED


def test_a_broken_objective_fails() -> None:
    objective = Latency(objectives={"ttft_p99_ms": 30.0}, max_ratio={})
    found = finding(evaluate(objective, samples(2.0), samples(0.3, seed=2)), "ttft_p99_ms", "limit")
    assert found.status is FindingStatus.FAILED
    assert found.bound is not None
    assert found.bound > 30
    assert found.unit == "ms"


def test_an_objective_that_production_misses_too_is_undecided_and_never_passes() -> None:
    objective = Latency(objectives={"ttft_p99_ms": 20.0}, max_ratio={})
    found = finding(evaluate(objective, samples(1.0), samples(1.0, seed=2)), "ttft_p99_ms", "limit")
    assert found.status is FindingStatus.UNDECIDED
    assert "production is above it as well" in found.reason
    alone = finding(evaluate(objective, samples(1.0)), "ttft_p99_ms", "limit")
    assert alone.status is FindingStatus.FAILED


def test_too_few_requests_for_a_percentile_are_undecided_and_it_says_how_many_it_takes() -> None:
    evaluation = evaluate(Latency(), samples(blocks=10), samples(blocks=10, seed=2))
    found = finding(evaluation, "ttft_p99_ms", "limit")
    assert found.status is FindingStatus.UNDECIDED
    assert found.needed == 299 - 250
    assert "49 more timed requests" in found.reason
    assert found.bound is None
    assert found.interval is None


def test_too_few_requests_cannot_hide_a_broken_objective() -> None:
    objective = Latency(objectives={"ttft_p99_ms": 10.0})
    found = finding(evaluate(objective, samples(blocks=10)), "ttft_p99_ms", "limit")
    assert found.status is FindingStatus.FAILED


def test_too_few_blocks_leave_the_ratio_undecided() -> None:
    evaluation = evaluate(Latency(), samples(blocks=5), samples(blocks=5, seed=2))
    found = finding(evaluation, "ttft_p95_ms", "ratio")
    assert found.status is FindingStatus.UNDECIDED
    assert "at least 10 blocks" in found.reason


def test_errors_are_a_rate_and_never_times() -> None:
    evaluation = evaluate(Latency(), samples(errors=40), samples(seed=2))
    found = finding(evaluation, "error_rate", "rate")
    assert found.status is FindingStatus.FAILED
    assert found.candidate == pytest.approx(0.08)
    assert finding(evaluation, "ttft_p99_ms", "limit").n == 460
    assert evaluation.metrics[Role.CANDIDATE]["error_rate"] == pytest.approx(0.08)


def test_one_error_in_a_few_requests_is_undecided() -> None:
    evaluation = evaluate(Latency(), samples(blocks=4, errors=1))
    found = finding(evaluation, "error_rate", "rate")
    assert found.status is FindingStatus.UNDECIDED


def test_a_load_that_failed_altogether_has_no_percentile_at_all() -> None:
    evaluation = evaluate(Latency(), samples(errors=500), samples(seed=2))
    assert finding(evaluation, "ttft_p99_ms", "limit").status is FindingStatus.UNDECIDED
    assert finding(evaluation, "ttft_p95_ms", "ratio").status is FindingStatus.UNDECIDED
    assert finding(evaluation, "error_rate", "rate").status is FindingStatus.FAILED
    assert set(evaluation.metrics[Role.CANDIDATE]) == {"error_rate"}


def test_no_samples_is_no_judgement() -> None:
    with pytest.raises(TooFewCasesError, match="no request was timed"):
        evaluate(Latency(), [])
    with pytest.raises(TooFewCasesError, match="no request was timed"):
        evaluate(Latency(), samples(), [])


def test_loads_over_different_questions_are_no_pairs() -> None:
    with pytest.raises(TooFewCasesError, match="not timed on the same cases"):
        evaluate(Latency(), samples(per_block=25), samples(per_block=26))


def test_metrics_are_there_only_where_measured() -> None:
    full = evaluate(Latency(), samples()).metrics[Role.CANDIDATE]
    assert set(full) == {
        *(f"{kind}_p{p}_ms" for kind in ("ttft", "tpot", "e2e") for p in (50, 95, 99)),
        "requests_per_s", "error_rate",
    }  # fmt: skip
    assert full["tpot_p50_ms"] == pytest.approx(4.0)
    assert full["requests_per_s"] == pytest.approx(25 / 0.26, rel=0.1)
    short = evaluate(Latency(), samples(tokens=1)).metrics[Role.CANDIDATE]
    assert not any(name.startswith("tpot") for name in short)
    few = evaluate(Latency(), samples(blocks=2, per_block=12)).metrics[Role.CANDIDATE]
    assert "ttft_p95_ms" in few
    assert "ttft_p99_ms" not in few


def test_an_objective_on_time_per_token_needs_two_tokens() -> None:
    latency = Latency(objectives={"tpot_p50_ms": 100.0}, max_ratio={})
    found = finding(evaluate(latency, samples(tokens=1)), "tpot_p50_ms", "limit")
    assert found.status is FindingStatus.UNDECIDED
    assert "no timed answer had a second token" in found.reason


def test_the_same_seed_gives_the_same_findings() -> None:
    one, two = (evaluate(Latency(), samples(), samples(seed=2)) for _ in range(2))
    assert one == two


def policy(options: dict[str, Any]) -> Policy:
    return Policy(schema_version=1, evaluators={"latency": options})


@pytest.mark.parametrize(
    "options",
    [
        {"objectives": {"ttft_p100_ms": 5}},
        {"objectives": {"tttf_p99_ms": 5}},
        {"objectives": {"ttft_p99_ms": 0}},
        {"max_ratio": {"ttft_p95_ms": 0.9}},
        {"blocks": 0},
        {"ttft_p99_ms": 500},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"evaluators\.latency"):
        build(policy(options), TASK)


def test_the_policy_of_the_repository_is_one_this_load_can_decide() -> None:
    [latency] = build(load_policy(ROOT / "policy.yaml"), TASK, only=["latency"])
    assert isinstance(latency, Latency)
    load = {"blocks": latency.blocks, "per_block": latency.per_block}
    evaluation = evaluate(latency, samples(0.5, **load), samples(0.5, seed=2, **load))
    assert {f.status for f in evaluation.findings} == {FindingStatus.PASSED}


def late(load: Sequence[LatencySample], by_s: float) -> tuple[LatencySample, ...]:
    """The same load, meant to be sent earlier than it was."""
    return tuple(replace(s, intended_s=s.started_s, started_s=s.started_s + by_s) for s in load)


def test_times_of_an_open_loop_count_from_when_they_were_meant_to_be_sent() -> None:
    on_time = evaluate(Latency(), late(samples(), 0.0)).metrics[Role.CANDIDATE]
    stalled = evaluate(Latency(), late(samples(), 2.0)).metrics[Role.CANDIDATE]
    for name in ("ttft_p50_ms", "ttft_p99_ms", "e2e_p99_ms"):
        assert stalled[name] == pytest.approx(on_time[name] + 2000)
    assert stalled["tpot_p50_ms"] == pytest.approx(on_time["tpot_p50_ms"])
    assert on_time["ttft_p50_ms"] == evaluate(Latency(), samples()).metrics[Role.CANDIDATE][
        "ttft_p50_ms"
    ]  # fmt: skip


def test_each_look_costs_its_share_of_alpha() -> None:
    once, thrice = Latency(max_ratio={}), Latency(max_ratio={}, max_blocks=80)
    assert (once.looks, thrice.looks) == ((20,), (20, 40, 80))
    wide, narrow = (
        finding(evaluate(one, samples()), "ttft_p99_ms", "limit") for one in (thrice, once)
    )
    assert wide.bound is not None
    assert narrow.bound is not None
    assert wide.bound >= narrow.bound
    assert "98.33 % confidence" in wide.reason
    assert "95 % confidence" in narrow.reason
    ratios = [
        finding(evaluate(replace(one, max_ratio={"ttft_p95_ms": 1.25}), samples(), samples(seed=2)),
                "ttft_p95_ms", "ratio").interval
        for one in (thrice, once)
    ]  # fmt: skip
    assert ratios[0] is not None
    assert ratios[1] is not None
    assert ratios[0][0] < ratios[1][0] < ratios[1][1] < ratios[0][1]


RULES = Rules(alpha=0.05, replicates=999, stratum="core", seed=5, first_release=False)
LONGER = Latency(max_blocks=80)


def test_a_load_is_settled_when_every_finding_is_decided() -> None:
    assert LONGER.settled(samples(), samples(seed=2), RULES)
    assert LONGER.settled(samples(2.0), samples(seed=2), RULES)


def test_a_load_that_noise_leaves_undecided_goes_on() -> None:
    assert not LONGER.settled(samples(1.3), samples(seed=2), RULES)
    assert not LONGER.settled(samples(blocks=8), samples(blocks=8, seed=2), RULES)


def test_a_load_does_not_go_on_for_what_more_requests_cannot_settle() -> None:
    both_miss = Latency(objectives={"ttft_p99_ms": 20.0}, max_ratio={}, max_blocks=80)
    assert both_miss.settled(samples(), samples(seed=2), RULES)
    far_too_rare = Latency(max_error_rate=0.0001, max_ratio={}, max_blocks=80)
    assert far_too_rare.settled(samples(), samples(seed=2), RULES)
    second = "tpot_p50_ms"
    one_token = Latency(objectives={second: 9.0}, max_ratio={second: 2.0}, max_blocks=80)
    assert one_token.settled(samples(tokens=1), samples(tokens=1, seed=2), RULES)


def test_a_bound_below_the_first_look_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_blocks is 5"):
        build(policy({"blocks": 10, "max_blocks": 5}), TASK)


def engine(waiting: float = 0.0, *, preempted: float = 0.0) -> tuple[EngineSample, ...]:
    return tuple(
        EngineSample(
            at_s=i * 0.25, running=4.0, waiting=waiting, kv_cache_share=0.5,
            preemptions=preempted * i, prefix_hits=10.0 * i, prefix_queries=40.0 * i,
            ttft_count=500.0 if i else 0.0, ttft_sum_s=10.0 if i else 0.0,
        )
        for i in range(80)
    )  # fmt: skip


def watched(candidate_engine, production_engine=None, scale: float = 1.0) -> Evaluation:
    rules = replace(RULES, first_release=False)
    return Latency().evaluate(
        Inputs(
            golden=EMPTY, probes=(), task=TASK,
            candidate=ModelAnswers(latency=samples(scale), engine=candidate_engine),
            production=ModelAnswers(latency=samples(seed=2), engine=production_engine or engine()),
            rules=rules,
        )
    )  # fmt: skip


def test_an_unhealthy_engine_is_the_reason_that_a_slow_models_finding_names() -> None:
    sick = watched(engine(3.0, preempted=0.5), scale=2.0)
    reason = finding(sick, "ttft_p95_ms", "ratio").reason
    assert "The candidate's engine was unhealthy: it preempted 39.5 requests" in reason
    assert "its waiting queue never drained (up to 3 requests)" in reason
    assert "Production's" not in reason
    passed = finding(sick, "ttft_p99_ms", "limit")
    assert passed.status is FindingStatus.PASSED
    assert "unhealthy" not in passed.reason
    both = watched(engine(), engine(9.0), scale=2.0)
    assert "Production's engine was unhealthy" in finding(both, "ttft_p95_ms", "ratio").reason


def test_what_the_engines_told_informs_and_never_decides() -> None:
    evaluation = watched(engine(3.0, preempted=1.0))
    about = [f for f in evaluation.findings if f.kind == "information"]
    assert [f.metric for f in about] == [
        "latency/engine_health_candidate", "latency/engine_clock_candidate",
        "latency/engine_health_production", "latency/engine_clock_production",
    ]  # fmt: skip
    assert not any(f.gating for f in about)
    assert about[0].status is FindingStatus.FAILED
    assert "25.0% of the prompt tokens were found" in about[2].reason
    assert "20 ms by the candidate's own" in about[1].reason


def test_both_models_have_the_same_metrics_of_their_engines() -> None:
    found = watched(engine(1.0), engine()).metrics
    new = set(found[Role.CANDIDATE]) - set(evaluate(Latency(), samples()).metrics[Role.CANDIDATE])
    assert new == {
        "queue_p95", "queue_max", "running_max", "kv_cache_max", "preemptions", "prefix_hit_rate",
        "idle_share", "engine_ttft_mean_ms", "ttft_outside_engine_ms",
    }  # fmt: skip
    assert set(found[Role.CANDIDATE]) == set(found[Role.PRODUCTION])
    assert found[Role.CANDIDATE]["queue_p95"] == 1.0


def test_production_against_itself_is_shown_beside_the_candidates_ratio() -> None:
    inputs = Inputs(
        golden=EMPTY, probes=(), task=TASK, candidate=ModelAnswers(latency=samples()),
        production=ModelAnswers(latency=samples(seed=2), latency_again=samples(seed=3)),
        rules=RULES,
    )  # fmt: skip
    found = finding(Latency().evaluate(inputs), "ttft_p95_ms", "noise_floor")
    assert not found.gating
    assert found.interval is not None
    assert found.interval[0] < 1 < found.interval[1]
    assert found.difference == pytest.approx(1.0, abs=0.2)
    unpaired = replace(
        inputs,
        production=ModelAnswers(latency=samples(seed=2), latency_again=samples(per_block=5)),
    )
    with pytest.raises(TooFewCasesError, match="production was timed against itself on other"):
        Latency().evaluate(unpaired)
