"""A gate that asks each case several times: what it asks, pays for once, stores and proves."""

import json
from collections import Counter
from pathlib import Path

import pytest

from assay import asking
from assay.adapters.chat_wire import Failure
from assay.predictions import read_predictions
from assay.records import GoldenCase, Role, VerdictKind
from assay.verdict import verdict_bytes
from flows.rejudge import evidence_files, judge_files, verify_evidence
from tests.gate_rig import POLICY, TASK, Rig, make_rig, mostly_right

THRICE = POLICY.replace("replicates: 999", "replicates: 999\nrepeats: 3")
NOISY = POLICY.replace("replicates: 999", "replicates: 999\nnoise_floor: true")


@pytest.fixture
def released(tmp_path: Path) -> Rig:
    """A rig in which 1.0.0 is production."""
    rig = make_rig(tmp_path)
    assert rig.gate("1.0.0").verdict.verdict is VerdictKind.PROMOTE
    rig.asked.clear()
    return rig


def times_asked(rig: Rig, version: str) -> Counter[str]:
    return Counter(name for name in rig.asked if name.startswith(f"{version}/"))


def wavering() -> object:
    """A model that answers as production does, and every fortieth time something else."""
    count = 0

    def answer(case: GoldenCase) -> str | Failure:
        nonlocal count
        count += 1
        return "joy" if count % 40 == 0 else mostly_right(case)

    return answer


def test_every_case_is_asked_as_often_as_the_policy_says_and_the_evidence_proves_it(
    released: Rig,
) -> None:
    released.policy = THRICE
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert set(times_asked(released, "1.1.0").values()) == {3}
    # Production's first answers were paid for by its own release.
    assert set(times_asked(released, "1.0.0").values()) == {2}
    stored = read_predictions(result.evidence_dir / "candidate" / "predictions.jsonl")
    assert Counter(row.repeat for row in stored) == {0: 240, 1: 240, 2: 240}
    assert verdict_bytes(verify_evidence(result.evidence_dir)) == verdict_bytes(result.verdict)
    judged = judge_files(evidence_files(result.evidence_dir)).verdict
    assert verdict_bytes(judged) == (result.evidence_dir / "verdict.json").read_bytes()


def test_a_gate_that_was_stopped_half_way_asks_no_question_twice(released: Rig) -> None:
    released.policy = THRICE
    stop_at = 2 * 240 + 300

    def stop(count: int) -> None:
        if count == stop_at:
            raise KeyboardInterrupt

    released.before_answer = stop
    with pytest.raises(KeyboardInterrupt):
        released.gate("1.1.0")
    released.before_answer = lambda count: None
    assert released.gate("1.1.0").verdict.verdict is VerdictKind.PROMOTE
    # What was in flight when it stopped (one a connection) is all that may be asked again.
    assert sum(times_asked(released, "1.1.0").values()) <= 3 * 240 + 32
    assert sum(times_asked(released, "1.0.0").values()) <= 2 * 240 + 32


def test_production_is_asked_twice_for_its_noise_floor_and_the_candidate_once(
    released: Rig,
) -> None:
    released.policy = NOISY
    released.answers["1.0.0"] = wavering()  # type: ignore[assignment]
    result = released.gate("1.1.0")
    assert set(times_asked(released, "1.1.0").values()) == {1}
    assert set(times_asked(released, "1.0.0").values()) == {1}
    [found] = [f for f in result.verdict.findings if f.metric == "emotion_f1/noise_floor"]
    assert found.production is not None
    assert 0 < found.production <= 6 / 240
    assert found.candidate == pytest.approx(0.1)
    document = json.loads((result.evidence_dir / "verdict.json").read_text())
    assert any(found.reason == row["reason"] for row in document["findings"])
    report = (result.evidence_dir / "report.html").read_text()
    assert "What changes when production is asked twice" in report
    assert "when asked again" in report
    assert "production disagrees with itself on" in report
    assert verdict_bytes(verify_evidence(result.evidence_dir)) == verdict_bytes(result.verdict)


def test_a_policy_that_asks_less_often_takes_the_first_answers(released: Rig) -> None:
    released.policy = THRICE
    released.gate("1.1.0")
    released.asked.clear()
    released.policy = POLICY.replace("margin: 0.05", "margin: 0.06")
    result = released.gate("1.2.0")
    stored = result.evidence_dir / Role.PRODUCTION.value / "predictions.jsonl"
    assert {row.repeat for row in read_predictions(stored)} == {0}
    assert not times_asked(released, "1.1.0")


def test_each_repeat_draws_with_a_seed_of_its_own(released: Rig) -> None:
    import yaml

    from assay.task import Task

    task = Task.model_validate(yaml.safe_load(TASK))
    seeds = [
        asking.golden_questions(task, released.cases[:1], repeat=repeat)[0].decoding.seed
        for repeat in range(3)
    ]
    assert seeds == [0, 1, 2]
