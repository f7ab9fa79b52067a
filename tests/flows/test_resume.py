"""Going on with a killed run: same id, same inputs, same verdict, no answered case asked again."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from assay import evidence
from assay.errors import ConfigError, InfrastructureError
from assay.golden_set import GoldenCase
from assay.predictions import read_predictions
from assay.records import (
    AnswerStatus,
    EngineSample,
    LatencySample,
    Prediction,
    VerdictKind,
)
from assay.verdict import verdict_bytes
from evaluators.judgement import RawAnswers
from flows import resuming
from flows.conclude import GateResult
from flows.journal import JOURNAL, Journal, Opened, read_events
from flows.rejudge import model_files, read_answers, verify_evidence
from flows.wiring import reap_everything
from tests.flows.test_conduct import STEPS, assert_nothing_is_left, production
from tests.gate_rig import MODEL, Rig, make_rig

GHOST = "20261123T151200Z-0000000f"


@pytest.fixture
def released(tmp_path: Path) -> Rig:
    """A rig in which 1.0.0 is production, and one finished run."""
    rig = make_rig(tmp_path)
    rig.gate("1.0.0")
    rig.asked.clear()
    return rig


def kill(rig: Rig, step: str, *, after: bool = True, version: str = "1.1.0") -> str:
    """Starts a gate, kills it at a step, and returns its run."""
    rig.interrupt_at = (step, after)
    with pytest.raises(KeyboardInterrupt):
        rig.gate(version)
    rig.interrupt_at = None
    return rig.latest_run()


def states(rig: Rig, run: str) -> list[str]:
    return [event.state for event in read_events(rig.settings.runs / run / JOURNAL)]


@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_after_any_step_goes_on_and_ends_as_if_nothing_had_happened(
    released: Rig, step: str
) -> None:
    run = kill(released, step)
    assert_nothing_is_left(released)
    moved = step == "move production"
    assert production(released) == ("1.1.0" if moved else "1.0.0")

    result = released.resume()
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.verdict.context.run_id == run
    assert result.not_promoted is None
    assert result.promotion is not None
    assert result.promotion.moved
    assert production(released) == "1.1.0"
    assert len(released.asked) == len(set(released.asked))
    proved = verify_evidence(result.evidence_dir)
    assert verdict_bytes(proved) == verdict_bytes(result.verdict)
    assert states(released, run)[-1] == "finished"
    assert sorted(states(released, run)) == sorted(set(states(released, run)) | {"finished"}) or (
        step == "move production"  # intended twice: the first time its answer was lost
    )
    assert_nothing_is_left(released)


def test_what_was_measured_is_not_measured_again_and_gives_the_same_verdict(released: Rig) -> None:
    run = kill(released, "judge", after=False)
    launched = len(released.server.launched)
    before = (released.settings.runs / run / "journal.jsonl").read_text()
    result = released.resume(run)
    assert len(released.server.launched) == launched
    assert (released.settings.runs / run / "journal.jsonl").read_text().startswith(before)
    undisturbed = make_and_gate(released.folder / "other")
    ours = {f.metric: (f.candidate, f.production, f.p) for f in result.verdict.findings}
    theirs = {f.metric: (f.candidate, f.production, f.p) for f in undisturbed.verdict.findings}
    assert ours == theirs


def make_and_gate(folder: Path) -> GateResult:
    folder.mkdir()
    rig = make_rig(folder)
    rig.gate("1.0.0")
    return rig.gate("1.1.0")


def test_a_finished_run_gives_its_recorded_result_and_touches_nothing(released: Rig) -> None:
    first = released.gate("1.2.0")
    run, launched = released.latest_run(), len(released.server.launched)
    released.registry.reachable = released.store.transport.reachable = False
    again = released.resume(run)
    assert verdict_bytes(again.verdict) == verdict_bytes(first.verdict)
    assert (again.evidence_dir, again.recorded_as) == (first.evidence_dir, first.recorded_as)
    assert len(released.server.launched) == launched
    assert resuming.finished_result(released.settings, run) is not None


def test_changed_documents_are_named_and_nothing_goes_on(released: Rig) -> None:
    run = kill(released, "ask candidate")
    request = resuming.request_of(released.settings, run)
    asked = len(released.asked)
    released.policy = released.policy.replace("margin: 0.05", "margin: 0.04")
    policy = released.folder / "policy.yaml"
    policy.write_text(policy.read_text().replace("margin: 0.05", "margin: 0.04"))
    with pytest.raises(ConfigError, match=r"policy \(.*policy\.yaml\) changed since"):
        released.conduct(request, resume=run)
    assert len(released.asked) == asked
    assert production(released) == "1.0.0"


def test_a_comment_in_a_document_changes_nothing(released: Rig) -> None:
    run = kill(released, "ask candidate")
    policy = released.folder / "policy.yaml"
    policy.write_text(policy.read_text() + "# seen by Ada\n")
    assert released.resume(run).verdict.verdict is VerdictKind.PROMOTE


def test_another_golden_set_or_production_is_named(released: Rig) -> None:
    run = kill(released, "ask candidate")
    kept = released.cases
    released.cases = kept[:-1]
    with pytest.raises(ConfigError, match="the golden set"):
        released.resume(run)
    released.cases = kept
    assert released.gate("1.1.0").not_promoted is None
    with pytest.raises(ConfigError, match=r"production \(1\.0\.0 → 1\.1\.0\)"):
        released.resume(run)


def test_another_request_is_no_resumption(released: Rig) -> None:
    run = kill(released, "ask candidate")
    with pytest.raises(ConfigError, match="version changed since"):
        released.conduct(released.request("1.2.0"), resume=run)


@pytest.mark.parametrize("run", ["../../etc", GHOST, ""])
def test_a_run_that_is_not_there_is_answered_with_those_that_are(released: Rig, run: str) -> None:
    left = kill(released, "ask candidate")
    with pytest.raises(ConfigError, match=f"to be continued: {left}"):
        resuming.request_of(released.settings, run)


def test_stored_answers_that_were_changed_are_not_judged(released: Rig) -> None:
    run = kill(released, "judge", after=False)
    path = released.settings.runs / run / "measured/candidate/predictions.jsonl"
    assert read_predictions(path)
    path.write_text(path.read_text().replace('"anger"', '"fear"', 1))
    with pytest.raises(ConfigError, match=r"predictions\.jsonl: is not what this run stored"):
        released.resume(run)


def test_a_registry_that_was_away_at_the_end_is_asked_by_the_resumption(released: Rig) -> None:
    real = released.registry.record

    def fails(gate: object) -> str:
        raise InfrastructureError("MLflow is down")

    released.registry.record = fails  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError, match=f"--resume {GHOST[:6]}|goes on from here"):
        released.gate("1.1.0")
    released.registry.record = real  # type: ignore[method-assign]
    launched = len(released.server.launched)
    assert released.resume().not_promoted is None
    assert production(released) == "1.1.0"
    assert len(released.server.launched) == launched


def test_a_torn_last_line_never_happened(released: Rig) -> None:
    run = kill(released, "judge")
    path = released.settings.runs / run / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"schema_version": 1, "number": 99, "at": "20')
    assert released.resume(run).not_promoted is None
    assert path.read_bytes().startswith(whole)


def test_a_journal_that_lost_a_line_is_refused(released: Rig) -> None:
    run = kill(released, "judge")
    path = released.settings.runs / run / JOURNAL
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[2:]))
    with pytest.raises(ConfigError, match="lines are missing"):
        released.resume(run)


def test_two_processes_cannot_work_on_one_run(released: Rig) -> None:
    run = kill(released, "judge")
    with Journal(released.settings.runs / run) as journal:
        assert isinstance(journal.events[0], Opened)
        with pytest.raises(ConfigError, match="another process is working on this run"):
            released.resume(run)


def test_runs_that_can_be_continued_are_listed_with_the_command(released: Rig) -> None:
    run = kill(released, "judge")
    assert resuming.unfinished(released.settings) == [run]
    staged = released.settings.staging / f"{run}-abcdefgh"
    staged.mkdir()
    with Journal(released.settings.runs / run):
        assert any("left alone" in line for line in reap_everything(released.settings))
        assert staged.exists()
    lines = reap_everything(released.settings)
    assert not staged.exists()
    assert f"run {run} can be continued: assay gate --resume {run}" in lines


@pytest.mark.parametrize(("gone", "words"), [(False, "is still there"), (None, "could not be")])
def test_a_server_that_leaks_is_told_loudly_and_moves_nothing_if_seen(
    released: Rig, gone: bool | None, words: str
) -> None:
    released.server.leaks = {"container": gone}
    result = released.gate("1.1.0")
    told = json.loads((result.evidence_dir / "teardown.json").read_text())
    assert told["clean"] is False
    found = {(one["what"], one["gone"]) for one in told["conditions"]}
    assert found == {("container", gone), ("processes", True), ("staging", True)}
    assert any(words in line for line in released.said)
    if gone is None:
        assert result.verdict.verdict is VerdictKind.PROMOTE
        assert any(words in note for note in result.verdict.context.notes)
        return
    assert any(line.startswith("NOT THROWN AWAY") for line in released.said)
    assert result.verdict.verdict is VerdictKind.INVALID
    assert {p.where for p in result.verdict.context.problems} == {"teardown: container"}
    assert production(released) == "1.0.0"
    assert verify_evidence(result.evidence_dir) == result.verdict

    released.server.leaks = {}
    asked = len(released.asked)
    assert released.gate("1.1.0").not_promoted is None
    assert len(released.asked) == asked  # nothing is paid for twice


def test_clean_evidence_says_what_was_looked_for(released: Rig) -> None:
    told = json.loads((released.gate("1.2.0").evidence_dir / "teardown.json").read_text())
    assert told["clean"] is True
    assert [one["what"] for one in told["conditions"]].count("processes") == 2


def test_every_kind_of_answer_survives_the_journal(released: Rig, tmp_path: Path) -> None:
    case: GoldenCase = released.cases[0]
    answer = Prediction(case_id=case.id, label=case.label, status=AnswerStatus.OK, raw="x")
    timed = LatencySample(
        block=0, case_id=case.id, started_s=0.5, status=AnswerStatus.OK, error_kind=None,
        ttft_ms=1.0, e2e_ms=2.0, prompt_tokens=3, completion_tokens=4, request_id="r",
    )  # fmt: skip
    kinds = {
        "predictions": answer, "probe_answers": answer, "latency": timed, "latency_again": timed,
        "engine": EngineSample(at_s=0.5, running=2.0),
    }  # fmt: skip
    assert set(kinds) == {field.name for field in fields(RawAnswers)}
    given = RawAnswers(**{name: (one,) for name, one in kinds.items()})
    evidence.write_answers(tmp_path / "a", **{name: (one,) for name, one in kinds.items()})
    assert read_answers(model_files(tmp_path / "a")) == given


def test_the_gate_that_waited_judges_against_what_is_in_production_then(released: Rig) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(released.gate, ("1.1.0", "1.1.0")))
    assert production(released) == "1.1.0"
    assert all(result.not_promoted is None for result in results)
    assert {result.reused for result in results} == {False, True}
    assert any(f"another gate of {MODEL} is running; waiting" in line for line in released.said)
