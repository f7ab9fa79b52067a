"""The way of a release, with everything real but MLflow, the engine and the model's words."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from assay.adapters.chat_wire import Failure
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.records import FindingStatus, RegisteredVersion, VerdictKind
from assay.verdict import verdict_bytes
from flows.conclude import GateResult
from flows.rejudge import evidence_files, judge_files, verify_evidence
from tests.gate_rig import MODEL, POLICY, Rig, make_rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return make_rig(tmp_path)


def production(rig: Rig) -> str | None:
    held = rig.registry.production(MODEL)
    return None if held is None else held.version


def assert_nothing_is_left(rig: Rig) -> None:
    assert rig.server.running == []
    assert list(rig.settings.staging.glob("*")) == []


@pytest.fixture
def released(rig: Rig) -> Rig:
    """A rig in which 1.0.0 is production."""
    assert rig.gate("1.0.0").verdict.verdict is VerdictKind.PROMOTE
    rig.asked.clear()
    return rig


def test_a_first_release_is_promoted_only_if_the_policy_says_so(rig: Rig) -> None:
    refused = rig.gate("1.0.0", first="refuse")
    assert refused.verdict.verdict is VerdictKind.INVALID
    assert "first_release" in refused.verdict.summary
    assert production(rig) is None
    assert rig.asked == []

    assert rig.gate("1.0.0").promotion is not None
    assert production(rig) == "1.0.0"


def test_a_better_candidate_is_promoted_and_production_moves(released: Rig) -> None:
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert production(released) == "1.1.0"
    assert result.promotion is not None
    assert result.promotion.previous is not None
    assert result.promotion.previous.version == "1.0.0"
    assert_nothing_is_left(released)


def test_a_candidate_with_one_broken_class_is_blocked_and_the_class_is_named(
    released: Rig,
) -> None:
    result = released.gate("1.2.0")
    assert result.verdict.verdict is VerdictKind.BLOCK
    assert "fear" in result.verdict.summary
    assert production(released) == "1.0.0"
    assert result.promotion is None


def test_productions_answers_are_not_paid_for_twice(released: Rig) -> None:
    result = released.gate("1.1.0")
    assert [line for line in released.asked if line.startswith("1.0.0/")] == []
    assert any("production: 240 of 240" in note for note in result.verdict.context.notes)


def test_the_same_question_is_answered_from_the_record(released: Rig) -> None:
    first = released.gate("1.2.0")
    launched = list(released.server.launched)
    again = released.gate("1.2.0")
    assert again.reused
    assert verdict_bytes(again.verdict) == verdict_bytes(first.verdict)
    assert released.server.launched == launched


def test_production_itself_gets_the_verdict_by_which_it_was_promoted(released: Rig) -> None:
    promoted = released.gate("1.1.0")
    again = released.gate("1.1.0")
    assert again.reused
    assert verdict_bytes(again.verdict) == verdict_bytes(promoted.verdict)


def test_evidence_proves_its_verdict_byte_for_byte(released: Rig) -> None:
    for version in ("1.1.0", "1.2.0"):
        folder = released.gate(version).evidence_dir
        stored = json.loads((folder / "verdict.json").read_text())
        assert verify_evidence(folder).verdict.value == stored["verdict"]
        assert judge_files(evidence_files(folder)).verdict.verdict.value == stored["verdict"]


def test_altered_evidence_is_noticed(released: Rig) -> None:
    folder = released.gate("1.2.0").evidence_dir
    predictions = folder / "candidate" / "predictions.jsonl"
    predictions.write_text(predictions.read_text().replace('"anger"', '"fear"', 1))
    with pytest.raises(ArtifactError, match=r"candidate/predictions\.jsonl"):
        verify_evidence(folder)


def test_a_verdict_that_does_not_follow_from_its_evidence_is_noticed(released: Rig) -> None:
    from assay import evidence

    folder = released.gate("1.2.0").evidence_dir
    path = folder / "verdict.json"
    path.write_text(path.read_text().replace('"verdict": "block"', '"verdict": "promote"'))
    evidence.seal(folder)
    with pytest.raises(ArtifactError, match="does not follow"):
        verify_evidence(folder)


def test_no_case_text_is_ever_stored_or_said(released: Rig) -> None:
    result = released.gate("1.2.0")
    for path in result.evidence_dir.rglob("*"):
        if path.is_file():
            assert b"secret text" not in path.read_bytes(), path
    assert not any("secret text" in line for line in released.said)


def test_a_tampered_artifact_is_refused_before_anything_of_it_runs(released: Rig) -> None:
    name = f"{MODEL}/1.1.0/model.safetensors"
    stored = bytearray(released.store.transport.files[name])
    stored[-9] ^= 1
    released.store.transport.files[name] = bytes(stored)
    launched = len(released.server.launched)

    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.BLOCK
    assert "model.safetensors" in result.verdict.summary
    assert len(released.server.launched) == launched
    assert production(released) == "1.0.0"
    assert verify_evidence(result.evidence_dir) == result.verdict
    assert_nothing_is_left(released)


def test_an_engine_that_refuses_the_candidate_blocks_it(released: Rig) -> None:
    released.server.failures = {"1.1.0": ArtifactError("the engine refuses the weights")}
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.BLOCK
    assert "refuses the weights" in result.verdict.summary
    assert_nothing_is_left(released)


def test_an_unknown_version_is_a_usage_error_that_lists_what_exists(released: Rig) -> None:
    with pytest.raises(ConfigError, match=r"1\.2\.0"):
        released.gate("9.9.9")
    assert_nothing_is_left(released)


@pytest.mark.parametrize("version", ["1.1.0", "1.0.0"], ids=["candidate", "production"])
def test_an_engine_that_never_gets_ready_makes_the_run_invalid(released: Rig, version: str) -> None:
    released.server.failures = {version: InfrastructureError("not ready after 600 s")}
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    assert "not ready after 600 s" in result.verdict.summary
    assert production(released) == "1.0.0"
    assert_nothing_is_left(released)

    released.server.failures = {}
    assert released.gate("1.1.0").verdict.verdict is VerdictKind.PROMOTE


def test_a_store_that_is_down_makes_the_run_invalid(released: Rig) -> None:
    released.store.transport.reachable = False
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    assert result.verdict.context.problems[0].where == "trusted store"
    assert production(released) == "1.0.0"


def test_a_registry_that_is_down_at_the_start_stops_the_gate_before_anything_runs(
    released: Rig,
) -> None:
    launched = len(released.server.launched)
    released.registry.reachable = False
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    assert result.verdict.context.problems[0].where == "registry"
    assert result.recorded_as is None
    assert len(released.server.launched) == launched
    assert verify_evidence(result.evidence_dir) == result.verdict


def test_a_registry_that_goes_down_before_the_end_loses_nothing(released: Rig) -> None:
    real, calls = released.registry.record, []

    def fails(gate: object) -> str:
        calls.append(gate)
        raise InfrastructureError("MLflow is down")

    released.registry.record = fails  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError, match=r"'promote'.*could not be recorded"):
        released.gate("1.1.0")
    assert len(calls) == 3
    assert production(released) == "1.0.0"
    assert_nothing_is_left(released)

    released.registry.record = real  # type: ignore[method-assign]
    released.asked.clear()
    assert released.gate("1.1.0").verdict.verdict is VerdictKind.PROMOTE
    assert released.asked == []
    assert production(released) == "1.1.0"


def test_a_gate_killed_between_record_and_promotion_promotes_when_run_again(
    released: Rig,
) -> None:
    real = released.registry.promote

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    released.registry.promote = killed  # type: ignore[assignment,method-assign]
    with pytest.raises(KeyboardInterrupt):
        released.gate("1.1.0")
    assert production(released) == "1.0.0"

    released.registry.promote = real  # type: ignore[method-assign]
    result = released.gate("1.1.0")
    assert result.reused
    assert production(released) == "1.1.0"


def test_an_interrupted_gate_leaves_nothing_and_asks_nothing_twice(released: Rig) -> None:
    def interrupt(count: int) -> None:
        if count == 100:
            raise KeyboardInterrupt

    released.before_answer = interrupt
    with pytest.raises(KeyboardInterrupt):
        released.gate("1.1.0")
    assert_nothing_is_left(released)
    assert production(released) == "1.0.0"

    paid = len(list((released.settings.answers).rglob("predictions.jsonl")))
    assert paid == 2
    stored = sum(
        len(path.read_text().splitlines())
        for path in released.settings.answers.rglob("predictions.jsonl")
    )
    released.asked.clear()
    released.before_answer = lambda count: None
    assert released.gate("1.1.0").verdict.verdict is VerdictKind.PROMOTE
    assert len(released.asked) == 480 - stored


def test_a_baseline_that_is_not_what_is_deployed_makes_the_run_invalid(released: Rig) -> None:
    ghost = RegisteredVersion(model=MODEL, version="1.0.0", digest="sha256:" + "f" * 64, number="1")
    released.registry.production = lambda model: ghost  # type: ignore[method-assign]
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    assert "not what is deployed" in result.verdict.summary


def test_production_that_moved_meanwhile_is_not_overwritten(released: Rig) -> None:
    def move(count: int) -> None:
        if count == 50:
            other = next(
                one.record
                for one in released.registry._versions[MODEL]
                if one.record.version == "1.2.0"
            )
            released.registry.point(MODEL, "production", other.number)

    released.gate("1.2.0")  # registers it
    released.before_answer, count_from = move, len(released.asked)
    released.before_answer = lambda count: move(count - count_from)
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert not result.promotion.moved
    assert production(released) == "1.2.0"


def test_a_golden_set_that_fails_its_checks_makes_the_run_invalid(released: Rig) -> None:
    twin = replace(released.cases[0], id="joy-999")
    released.cases = (*released.cases, twin)
    launched = len(released.server.launched)
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    assert result.verdict.context.problems[0].where == "golden set"
    assert len(released.server.launched) == launched


def test_an_engine_that_dies_half_way_makes_the_run_invalid(released: Rig) -> None:
    good = released.answers["1.1.0"]
    counted: list[int] = []

    def dies(case: object) -> str | Failure:
        counted.append(1)
        if len(counted) > 60:
            return Failure(kind="connection")
        return good(case)  # type: ignore[arg-type]

    released.answers["1.1.0"] = dies
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    assert production(released) == "1.0.0"
    assert_nothing_is_left(released)


def test_a_back_end_the_policy_does_not_list_promotes_nothing(released: Rig) -> None:
    released.server.identity = replace(released.server.identity, backend="process")
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert not result.promotion.moved
    assert "process" in result.promotion.reason
    assert production(released) == "1.0.0"


def test_what_dead_gates_left_is_removed_first(released: Rig) -> None:
    released.server.left_behind = ["removed container 1f2e"]
    released.gate("1.1.0")
    assert "removed container 1f2e" in released.said


def test_two_gates_of_one_model_wait_for_each_other(released: Rig) -> None:
    from concurrent.futures import ThreadPoolExecutor

    together: list[int] = []
    released.before_answer = lambda count: together.append(len(released.server.running))

    def gate(version: str) -> GateResult:
        return released.gate(version)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(gate, ("1.1.0", "1.2.0")))
    assert {result.verdict.verdict for result in results} <= {
        VerdictKind.PROMOTE,
        VerdictKind.BLOCK,
    }
    assert max(together) <= 2  # one gate's two engines, never four


ANCHORED = POLICY + "anchor: {version: 1.1.0, margin: 0.08, macro_margin: 0.05}\n"


def test_a_release_is_compared_with_the_pinned_anchor_too(released: Rig) -> None:
    released.policy = ANCHORED
    released.publish("1.3.0", seed=7)
    released.answers["1.3.0"] = released.answers["1.0.0"]  # as production, far below the anchor
    result = released.gate("1.3.0")
    assert result.verdict.verdict is VerdictKind.BLOCK
    failed = {f.metric for f in result.verdict.findings if f.status is FindingStatus.FAILED}
    assert failed
    assert all("anchor" in metric for metric in failed)
    assert verify_evidence(result.evidence_dir).verdict is VerdictKind.BLOCK
    assert_nothing_is_left(released)

    launched = released.server.launched.count("1.1.0")
    released.publish("1.4.0", seed=8)
    released.answers["1.4.0"] = released.answers["1.1.0"]
    assert released.gate("1.4.0").verdict.verdict is VerdictKind.PROMOTE
    assert released.server.launched.count("1.1.0") == launched


def test_an_anchor_that_does_not_verify_makes_the_run_invalid(released: Rig) -> None:
    released.policy = ANCHORED.replace("1.1.0", "0.0.9")
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    assert result.verdict.context.problems[0].where == "anchor 0.0.9"


STEPS = (
    "remove what dead gates left",
    "repair an interrupted promotion",
    "load the golden set",
    "check the golden set",
    "read production's alias",
    "pull and verify candidate 1.1.0",
    "pull and verify production 1.0.0",
    "look for a recorded verdict",
    "launch the engines",
    "wait for candidate's engine",
    "wait for production's engine",
    "ask candidate",
    "ask production",
    "count the golden set's uses",
    "judge",
    "write the evidence",
    "record in MLflow",
    "move production",
)


@pytest.mark.parametrize("step", STEPS)
def test_a_gate_interrupted_before_any_step_leaves_nothing_and_can_be_run_again(
    released: Rig, step: str
) -> None:
    released.interrupt_at = (step, False)
    with pytest.raises(KeyboardInterrupt):
        released.gate("1.1.0")
    assert_nothing_is_left(released)
    assert production(released) == "1.0.0"

    released.interrupt_at = None
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert production(released) == "1.1.0"


def test_the_steps_that_can_be_interrupted_are_all_there_are(released: Rig) -> None:
    before = len(released.said)
    released.gate("1.1.0")
    run = set(released.said[before:])
    assert set(STEPS) <= run
