"""Data that is well-formed but cannot answer the question, or answers it badly."""

from pathlib import Path

from tests.cli.conftest import Assay, Outcome
from tests.cli_desk import Desk, answer


def statuses(done: Outcome, evaluator: str) -> dict[str | None, str]:
    return {
        f["class"]: f["status"]
        for f in done.document["findings"]
        if f["evaluator"] == evaluator and f["gating"] and f["kind"] == "non_inferiority"
    }


def test_a_class_without_a_case_is_undecided_and_has_no_f1(assay: Assay, desk: Desk) -> None:
    desk.cases = [case for case in desk.cases if case["label"] != "fear"]
    desk.write("golden.jsonl", desk.cases)
    for name in ("production", "candidate"):
        desk.write(f"{name}.jsonl", desk.answers(seed=1))
    done = assay(*desk.judge("--json"))
    assert done.code == 11
    of_fear = [f for f in done.document["findings"] if f["class"] == "fear" and f["gating"]]
    assert {f["status"] for f in of_fear} == {"undecided"}
    assert "emotion_f1/fear" not in done.document["metrics"]["candidate"]
    assert "fear" in " ".join(done.document["next_steps"])


def test_one_case_decides_nothing(assay: Assay, desk: Desk) -> None:
    desk.cases = desk.cases[:1]
    desk.write("golden.jsonl", desk.cases)
    for name in ("production", "candidate"):
        desk.write(f"{name}.jsonl", desk.answers(accuracy=1.0))
    done = assay(*desk.judge("--json"))
    assert done.code == 11
    assert "passed" not in statuses(done, "emotion_f1").values()


def test_one_answer_to_everything_is_blocked_beside_a_good_production(
    assay: Assay, desk: Desk
) -> None:
    desk.write("candidate.jsonl", [answer(case["id"], "joy") for case in desk.cases])
    done = assay(*desk.judge("--json"))
    assert done.code == 10
    assert statuses(done, "emotion_f1")["fear"] == "failed"


def test_one_answer_to_everything_by_both_is_not_promoted(assay: Assay, desk: Desk) -> None:
    for name in ("production", "candidate"):
        desk.write(f"{name}.jsonl", [answer(case["id"], "joy") for case in desk.cases])
    done = assay(*desk.judge("--json"))
    assert done.code == 10
    floors = [f for f in done.document["findings"] if f["kind"] == "floor"]
    assert {f["class"] for f in floors if f["status"] == "failed"} >= {"anger", "fear"}


def test_answers_that_name_no_label_block(assay: Assay, desk: Desk) -> None:
    desk.write("candidate.jsonl", [answer(case["id"], None) for case in desk.cases])
    done = assay(*desk.judge("--json"))
    assert done.code == 10
    assert done.document["metrics"]["candidate"]["validity/invalid_rate"] == 1
    assert done.document["metrics"]["candidate"]["emotion_f1/joy"] == 0


def test_calibration_without_log_probabilities_is_undecided(assay: Assay, desk: Desk) -> None:
    policy = (desk.folder / "policy.yaml").read_text() + "  calibration: {}\n"
    desk.write("policy.yaml", policy)
    done = assay(*desk.judge("--json"))
    assert done.code == 11
    assert not [key for key in done.document["metrics"]["candidate"] if "calibration" in key]


def test_selftest_refuses_incomplete_answers(assay: Assay, tmp_path: Path, desk: Desk) -> None:
    desk.write("production.jsonl", desk.answers()[1:])
    done = assay(
        "selftest", "--golden", "golden.jsonl", "--production", "production.jsonl", "--json"
    )
    assert done.code == 10
    assert done.document["sound"] is False
