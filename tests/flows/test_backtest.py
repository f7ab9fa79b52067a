from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from assay import evidence
from assay.errors import ArtifactError, ConfigError
from assay.records import ArtifactRef, Problem, Role, VerdictKind
from assay.refusal import unmeasured
from assay.verdict import verdict_bytes
from evaluators.judgement import RawAnswers, judge
from flows.backtest import backtest, evidence_folders
from tests.judgement_cases import CONTEXT, answers, balanced, noisy, policy, task

GOLD = balanced(150)
GOOD = noisy(GOLD, 0.8, 1)
# Every sixteenth answer is lost: too much for a margin of 0.05, not for one of 0.2.
WORSE = [None if i % 16 == 0 else answer for i, answer in enumerate(GOOD)]


def write_policy(path: Path, **emotion_f1) -> Path:
    document = policy({"emotion_f1": emotion_f1}).model_dump(mode="json")
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    root = tmp_path / "reports"
    for number, candidate in enumerate((GOOD, WORSE)):
        folder = root / f"run-{number}"
        folder.mkdir(parents=True)
        ref = ArtifactRef(model="demo", version=f"1.{number}.0", digest=f"sha256:{number}")
        context = replace(CONTEXT, run_id=f"run-{number}", candidate=ref)
        given = {
            Role.CANDIDATE: RawAnswers(predictions=answers(GOLD, candidate)),
            Role.PRODUCTION: RawAnswers(predictions=answers(GOLD, GOOD)),
        }
        judged = judge(
            golden=GOLD, probes=(), task=task(), policy=policy({"emotion_f1": {}}),
            candidate=given[Role.CANDIDATE], production=given[Role.PRODUCTION], context=context,
        )  # fmt: skip
        write_policy(folder / "policy.yaml")
        (folder / "task.yaml").write_text(yaml.safe_dump(task().model_dump(mode="json")))
        evidence.write_json(folder / "run.json", evidence.context_to_json(context))
        evidence.write_indexes(folder, GOLD.cases, ())
        for role, raw in given.items():
            evidence.write_answers(
                folder / role.value, predictions=raw.predictions, probe_answers=(), latency=()
            )
        (folder / "verdict.json").write_bytes(verdict_bytes(judged.verdict))
        evidence.seal(folder)
    return root


def test_the_recorded_policy_changes_nothing(reports, tmp_path):
    found = backtest(evidence_folders(reports), write_policy(tmp_path / "same.yaml"))
    assert [row.changed for row in found] == [False, False]
    assert found[0].recorded is VerdictKind.PROMOTE
    assert found[1].recorded in (VerdictKind.BLOCK, VerdictKind.INCONCLUSIVE)


def test_a_wider_policy_shows_which_verdicts_would_change(reports, tmp_path):
    wide = write_policy(tmp_path / "wide.yaml", margin=0.2, macro_margin=0.2)
    kept, changed = backtest(evidence_folders(reports), wide)
    assert not kept.changed
    assert changed.changed
    assert changed.proposed is VerdictKind.PROMOTE
    assert "demo 1.1.0" in changed.sentence
    assert "under the proposed policy promote" in changed.sentence


def test_a_run_without_answers_is_not_judged(reports, tmp_path):
    folder = reports / "run-9"
    folder.mkdir()
    problem = Problem(where="server", reason="it died.", action="Look at its log.")
    verdict = unmeasured(replace(CONTEXT, run_id="run-9", problems=(problem,)))
    (folder / "verdict.json").write_bytes(verdict_bytes(verdict))
    evidence.seal(folder)
    [row] = backtest([folder], write_policy(tmp_path / "same.yaml"))
    assert row.proposed is None
    assert not row.changed
    assert row.recorded is VerdictKind.INVALID


def test_altered_evidence_and_a_wrong_policy_are_refused(reports, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("schema_version: 1\nevaluators: {emotion_f9: {}}\n")
    with pytest.raises(ConfigError, match="emotion_f9"):
        backtest(evidence_folders(reports), wrong)
    predictions = reports / "run-0" / "candidate" / "predictions.jsonl"
    predictions.write_text(predictions.read_text().replace('"joy"', '"fear"', 1))
    with pytest.raises(ArtifactError, match="predictions"):
        backtest(evidence_folders(reports), write_policy(tmp_path / "same.yaml"))
