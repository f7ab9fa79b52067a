"""Evidence proves its verdict, or is said not to; every kind of run leaves evidence that can."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from assay import evidence
from assay.errors import ArtifactError, ConfigError
from assay.records import VerdictKind
from assay.verdict import verdict_bytes
from flows.rejudge import Files, ModelFiles, evidence_files, judge_files, verify_evidence
from tests.cli_desk import make_desk
from tests.gate_rig import Rig, make_rig


@pytest.fixture
def released(tmp_path: Path) -> Rig:
    rig = make_rig(tmp_path)
    assert rig.gate("1.0.0").verdict.verdict is VerdictKind.PROMOTE
    return rig


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(("version", "kind"), [("1.1.0", "promote"), ("1.2.0", "block")])
def test_a_measured_verdict_follows_from_its_evidence(
    released: Rig, version: str, kind: str
) -> None:
    result = released.gate(version)
    assert result.verdict.verdict.value == kind
    proved = verify_evidence(result.evidence_dir)
    assert verdict_bytes(proved) == verdict_bytes(result.verdict)
    judged = judge_files(evidence_files(result.evidence_dir)).verdict
    assert verdict_bytes(judged) == (result.evidence_dir / "verdict.json").read_bytes()


def test_a_run_that_measured_nothing_proves_that(released: Rig) -> None:
    released.cases = released.cases[:0]
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    assert verify_evidence(result.evidence_dir) == result.verdict


Altered = Callable[[Path], None]
ALTERED: dict[str, Altered] = {
    "an answer": lambda f: edit(f / "candidate/predictions.jsonl", '"fear"', '"joy"'),
    "a golden label": lambda f: edit(f / "golden_index.jsonl", '"label": "fear"', '"label": "joy"'),
    "a threshold": lambda f: edit(f / "policy.yaml", "margin: 0.05", "margin: 0.06"),
    "the task": lambda f: edit(f / "task.yaml", "max_tokens: 4", "max_tokens: 5"),
    "who asked": lambda f: edit(f / "run.json", "tester", "nobody"),
    "the verdict": lambda f: edit(f / "verdict.json", '"block"', '"promote"'),
    "a number": lambda f: edit(f / "verdict.json", '"margin": 0.05', '"margin": 0.5'),
    "an answer less": lambda f: drop_line(f / "candidate/predictions.jsonl"),
    "an answer twice": lambda f: repeat_line(f / "production/predictions.jsonl"),
    "no production": lambda f: (f / "production/predictions.jsonl").unlink(),
    "no candidate": lambda f: (f / "candidate/predictions.jsonl").unlink(),
}


def drop_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


def repeat_line(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.partition(b"\n")[0] + b"\n" + content)


@pytest.mark.parametrize("what", ALTERED)
def test_whatever_is_altered_the_evidence_no_longer_proves_its_verdict(
    released: Rig, what: str
) -> None:
    folder = released.gate("1.2.0").evidence_dir
    ALTERED[what](folder)
    with pytest.raises(ArtifactError, match="changed since the evidence was sealed"):
        verify_evidence(folder)
    evidence.seal(folder)  # as somebody would who wants it believed
    with pytest.raises(ArtifactError, match="does not follow from the evidence"):
        verify_evidence(folder)


@pytest.mark.parametrize("name", ["verdict.json", "run.json", "policy.yaml", "task.yaml"])
def test_sealed_evidence_that_lacks_a_file_is_no_evidence(released: Rig, name: str) -> None:
    folder = released.gate("1.2.0").evidence_dir
    (folder / name).unlink()
    evidence.seal(folder)
    with pytest.raises(ConfigError, match=rf"{name}: no such file"):
        verify_evidence(folder)


def test_a_verdict_that_is_none_is_refused(released: Rig) -> None:
    folder = released.gate("1.2.0").evidence_dir
    for content in ("", "[]", '{"verdict": "promote"}', "\xff"):
        (folder / "verdict.json").write_bytes(content.encode("latin-1"))
        evidence.seal(folder)
        with pytest.raises(ConfigError, match=r"verdict\.json"):
            verify_evidence(folder)


def test_only_some_evaluators_are_named_in_the_order_of_the_request(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    files = Files(
        golden=tmp_path / "golden.jsonl",
        policy=tmp_path / "policy.yaml",
        task=tmp_path / "task.yaml",
        candidate=ModelFiles(predictions=tmp_path / "candidate.jsonl"),
        production=ModelFiles(predictions=tmp_path / "production.jsonl"),
    )
    judged = judge_files(files, ("validity",)).verdict
    assert judged.only == ("validity",)
    assert {finding.evaluator for finding in judged.findings} == {"validity"}
    assert judged.context.run_id == "judge"
    assert json.loads(verdict_bytes(judged))["only"] == ["validity"]
    assert len(desk.cases) == judged.findings[0].n
