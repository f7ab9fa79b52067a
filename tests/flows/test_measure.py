"""The timed load of a whole gate: engines side by side or in turns, watched, in the evidence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.adapters.in_memory_load import InMemoryLoad, Scripted
from assay.adapters.in_memory_probe import InMemoryProbes
from assay.engine_samples import read_engine_samples
from assay.errors import ArtifactError, ConfigError
from assay.predictions import read_latency
from assay.records import EngineSample, Role, VerdictKind
from flows.rejudge import evidence_files, judge_files, verify_evidence
from tests.gate_rig import POLICY, Rig, make_rig

LATENCY = (
    "  latency: {blocks: 10, max_blocks: 20, per_block: 5, objectives: {ttft_p50_ms: 500}, "
    "max_ratio: {ttft_p50_ms: 9.0}, max_error_rate: 0.2}\n"
)


def healthy(model: str, at_s: float) -> EngineSample:
    return EngineSample(
        at_s=at_s, running=0.0, waiting=0.0, kv_cache_share=0.1, preemptions=0.0,
        prefix_hits=0.0, prefix_queries=8.0,
    )  # fmt: skip


def released(folder: Path, script: Callable[[str, float], EngineSample] = healthy) -> Rig:
    """A rig whose engines are watched, with 1.0.0 in production."""
    rig = make_rig(folder)
    assert rig.gate("1.0.0").verdict.verdict is VerdictKind.PROMOTE
    rig.policy, rig.delay_ms = POLICY + LATENCY, 1.0
    rig.engine_probes = InMemoryProbes(script=script)
    rig.server.launched.clear()
    return rig


def test_engines_are_side_by_side_and_what_they_told_is_evidence(tmp_path: Path) -> None:
    rig = released(tmp_path)
    result = rig.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE, result.verdict.summary
    assert len(rig.server.launched) == 2
    for role in Role:
        told = read_engine_samples(result.evidence_dir / role.value / "engine_samples.jsonl")
        assert {sample.session for sample in told} == {0}
        assert f"{role.value}_engine_samples" in result.verdict.inputs
        assert result.verdict.metrics[role.value]["latency/preemptions"] == 0.0
    assert judge_files(evidence_files(result.evidence_dir)).verdict == result.verdict
    assert rig.engine_probes is not None
    assert rig.engine_probes.open_now == []
    assert rig.server.running == []


def test_evidence_whose_engines_told_something_else_is_no_proof(tmp_path: Path) -> None:
    result = released(tmp_path).gate("1.1.0")
    path = result.evidence_dir / "candidate" / "engine_samples.jsonl"
    path.write_text(path.read_text().replace('"kv_cache_share": 0.1', '"kv_cache_share": 0.9'))
    with pytest.raises(ArtifactError, match=r"candidate/engine_samples\.jsonl"):
        verify_evidence(result.evidence_dir)
    assert judge_files(evidence_files(result.evidence_dir)).verdict != result.verdict


def test_where_memory_is_short_the_engines_take_turns(tmp_path: Path) -> None:
    rig = released(tmp_path)
    rig.free_memory_bytes = 2**30
    result = rig.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE, result.verdict.summary
    assert 4 <= len(rig.server.launched) <= 5  # two to be asked, and three turns of the load
    assert set(rig.server.launched) == {"1.0.0", "1.1.0"}
    assert any("the engines take turns" in note for note in result.verdict.context.notes)
    timed = [read_latency(result.evidence_dir / role.value / "latency.jsonl") for role in Role]
    asked = [sorted((sample.block, sample.case_id) for sample in taken) for taken in timed]
    assert asked[0] == asked[1]
    assert rig.server.running == []


def test_a_load_that_is_too_short_to_decide_goes_on_until_it_does(tmp_path: Path) -> None:
    rig = released(tmp_path)
    rig.policy = rig.policy.replace("{ttft_p50_ms: 500}", "{ttft_p95_ms: 60000}")
    result = rig.gate("1.1.0")
    blocks = {s.block for s in read_latency(result.evidence_dir / "candidate" / "latency.jsonl")}
    assert blocks == set(range(20))  # ten blocks of five do not bound a 95th percentile
    assert "not decided after 10 blocks" in "\n".join(rig.said)
    assert any("97.5 % confidence" in finding.reason for finding in result.verdict.findings)
    assert result.verdict.verdict is VerdictKind.PROMOTE, result.verdict.summary


def test_production_is_timed_against_itself_where_the_policy_wants_its_noise(
    tmp_path: Path,
) -> None:
    rig = released(tmp_path)
    rig.policy = rig.policy.replace("replicates: 999", "replicates: 999\nnoise_floor: true")
    result = rig.gate("1.1.0")
    again = read_latency(result.evidence_dir / "production" / "latency_again.jsonl")
    assert len(again) == len(read_latency(result.evidence_dir / "production" / "latency.jsonl"))
    [floor] = [f for f in result.verdict.findings if f.kind == "noise_floor" and f.interval]
    assert floor.metric == "latency/ttft_p50_ms"
    assert judge_files(evidence_files(result.evidence_dir)).verdict == result.verdict


def test_an_open_loop_counts_from_when_a_request_was_meant_to_be_sent(tmp_path: Path) -> None:
    rig = released(tmp_path)
    rig.policy = rig.policy.replace("per_block: 5", "per_block: 5, arrivals: steady").replace(
        "evaluators:",
        "load: {steady: {arrivals: {kind: constant, rate_per_s: 100}, duration_s: 9, "
        "generator: {max_lag_p99_ms: 5000}}}\nevaluators:",
    )
    rig.generator = InMemoryLoad(script=lambda body: Scripted(first_token_s=0.001))
    result = rig.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE, result.verdict.summary
    samples = read_latency(result.evidence_dir / "candidate" / "latency.jsonl")
    assert all(sample.intended_s is not None for sample in samples)
    assert judge_files(evidence_files(result.evidence_dir)).verdict == result.verdict


def test_arrivals_that_the_policy_does_not_know_are_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    rig = released(tmp_path)
    rig.policy = rig.policy.replace("per_block: 5", "per_block: 5, arrivals: sometimes")
    with pytest.raises(ConfigError, match="no load profile 'sometimes'"):
        rig.gate("1.1.0")
    assert rig.server.launched == []
