"""Another classifier by its own task and golden set: nothing in the gate knows emotions."""

import json
import shutil
from pathlib import Path

import pytest

from assay.cli import main
from assay.golden_set import load_golden
from assay.predictions import to_json
from assay.records import AnswerStatus, GoldenCase, Prediction, VerdictKind
from flows.rejudge import verify_evidence
from tests import gate_rig
from tests.gate_rig import make_rig

EXAMPLE = Path(__file__).parents[2] / "examples" / "intents"
INTENTS = ("balance", "lost_card", "transfer")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    target = Path(shutil.copytree(EXAMPLE, tmp_path / "intents"))
    monkeypatch.chdir(target)
    command = ["golden", "import", "source.csv", "--mapping", "mapping.yaml"]
    assert main([*command, "--out", "golden.jsonl"]) == 0
    return target


def mostly_right(case: GoldenCase) -> str:
    wrong = int(case.id[-3:]) % 7 == 0
    return INTENTS[(INTENTS.index(case.label) + 1) % 3] if wrong else case.label


def deaf_to_losses(case: GoldenCase) -> str:
    return "transfer" if case.label == "lost_card" else mostly_right(case)


def test_it_is_imported_whole_and_every_row_is_accounted_for(folder: Path) -> None:
    golden = load_golden(folder / "golden.jsonl", INTENTS)
    assert golden.size == 60
    assert {case.lang for case in golden.cases} == {"en", "vi"}
    rows = [json.loads(line) for line in (folder / "golden.report.jsonl").read_text().splitlines()]
    assert len(rows) == 63
    assert [row["status"] for row in rows].count("left out") == 3
    assert "asdf" not in (folder / "golden.report.jsonl").read_text()


def test_stored_answers_are_judged(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cases = load_golden(folder / "golden.jsonl", INTENTS).cases
    for name, answer in {"p1": deaf_to_losses, "p2": mostly_right}.items():
        rows = [
            to_json(
                Prediction(
                    case_id=case.id, label=answer(case), status=AnswerStatus.OK, raw=answer(case)
                )
            )
            for case in cases
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["--golden", "golden.jsonl", "--candidate", "p1.jsonl", "--production", "p2.jsonl"]
    capfd.readouterr()
    code = main(["judge", *files, "--policy", "policy.yaml", "--json"])
    verdict = json.loads(capfd.readouterr().out)
    assert (code, verdict["verdict"]) == (10, "block")
    assert "lost_card" in verdict["summary"]


def test_a_whole_gate_runs_on_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rig").mkdir()
    rig = make_rig(tmp_path / "rig")
    rig.cases = load_golden(folder / "golden.jsonl", INTENTS).cases
    rig.answers = {"1.0.0": mostly_right, "1.1.0": gate_rig.always_right, "1.2.0": deaf_to_losses}
    documents = {name: folder / f"{name}.yaml" for name in ("task", "policy")}
    assert rig.gate("1.0.0", **documents).verdict.verdict is VerdictKind.PROMOTE
    blocked = rig.gate("1.2.0", **documents)
    assert blocked.verdict.verdict is VerdictKind.BLOCK
    assert "lost_card" in blocked.verdict.summary
    promoted = rig.gate("1.1.0", **documents)
    assert promoted.promotion is not None, promoted.verdict.summary
    assert promoted.promotion.moved
    assert verify_evidence(promoted.evidence_dir).verdict is VerdictKind.PROMOTE
    page = (promoted.evidence_dir / "report.html").read_text()
    assert not {"joy", "anger", "sadness", "emotions"} & set(page.lower().split())
