"""Engine settings gated like a model: which are compared, what is recorded, what may move."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from assay.adapters.in_memory_server import InMemoryEngine, InMemoryServer
from assay.errors import ConfigError
from assay.ports import ServeRequest
from assay.records import VerdictKind
from assay.serving_profile import load_serving
from assay.verdict import verdict_bytes
from flows.rejudge import verify_evidence
from flows.settings_change import as_text
from tests.gate_rig import MODEL, SERVING, Rig, make_rig

POLICY = """
schema_version: 1
first_release: FIRST
replicates: 999
backends_that_may_promote: [docker]
evaluators:
  emotion_f1: {margin: 0.05, macro_margin: 0.03, floor: 0.3, macro_floor: 0.4}
"""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A machine on which 1.0.0 was promoted with the settings of `SERVING`."""
    rig = make_rig(tmp_path)
    rig.policy = POLICY
    assert rig.gate("1.0.0").verdict.verdict is VerdictKind.PROMOTE
    rig.asked.clear()
    rig.server.requests.clear()
    return rig


def other(rig: Rig, *arguments: str, name: str = "other.yaml") -> Path:
    """Writes a serving file with other engine arguments."""
    document = yaml.safe_load(SERVING)
    document["profiles"]["cpu"]["arguments"] = list(arguments)
    path = rig.folder / name
    path.write_text(yaml.safe_dump(document))
    return path


def settings_in_production(rig: Rig) -> list[str]:
    held = rig.registry.production(MODEL)
    assert held is not None
    assert held.settings is not None
    return list(json.loads(held.settings)["settings"]["arguments"])


def test_other_settings_for_the_version_in_production_are_compared_with_its_own(rig: Rig) -> None:
    result = rig.gate("1.0.0", serving=other(rig, "--max-num-seqs", "1"))
    served = {request.role.value: request.profile.arguments for request in rig.server.requests}
    assert served == {"candidate": ("--max-num-seqs", "1"), "production": ()}
    context = result.verdict.context
    assert context.engine is not None
    assert context.production_engine is not None
    assert context.engine.arguments == ("--max-num-seqs", "1")
    assert context.production_engine.arguments == ()
    assert result.verdict.summary.startswith("The new engine settings of emotion 1.0.0 may replace")


def test_settings_that_pass_become_productions_and_the_alias_stays(rig: Rig) -> None:
    result = rig.gate("1.0.0", serving=other(rig, "--max-num-seqs", "32"))
    assert result.promotion is not None
    assert result.promotion.moved
    assert "stays 1.0.0" in result.promotion.reason
    assert settings_in_production(rig) == ["--max-num-seqs", "32"]
    again = rig.gate("1.0.0", serving=rig.folder / "other.yaml")
    assert again.reused
    assert verdict_bytes(again.verdict) == verdict_bytes(result.verdict)


def test_settings_that_fail_change_nothing_that_is_recorded_of_the_version(rig: Rig) -> None:
    before = rig.registry.production(MODEL)
    rig.answers["1.0.0"] = lambda case: "anger"
    result = rig.gate("1.0.0", serving=other(rig, "--max-num-seqs", "1"))
    assert result.verdict.verdict is VerdictKind.BLOCK
    assert result.verdict.summary.startswith("The new engine settings of emotion 1.0.0 must not")
    assert any("gate the corrected settings" in step for step in result.verdict.next_steps)
    assert rig.registry.production(MODEL) == before
    assert rig.gate("1.0.0", serving=rig.folder / "other.yaml").reused


def test_productions_answers_are_reused_and_the_candidates_are_asked_on_its_own_engine(
    rig: Rig,
) -> None:
    result = rig.gate("1.0.0", serving=other(rig, "--max-num-seqs", "1"))
    assert len(rig.asked) == len(rig.cases)
    assert any("production: 240 of 240" in note for note in result.verdict.context.notes)


def test_the_evidence_holds_both_serving_files_and_proves_its_verdict(rig: Rig) -> None:
    result = rig.gate("1.0.0", serving=other(rig, "--max-num-seqs", "1"))
    folder = result.evidence_dir
    theirs = yaml.safe_load((folder / "production_serving.yaml").read_text())
    ours = yaml.safe_load((folder / "serving.yaml").read_text())
    assert theirs["profiles"]["cpu"]["arguments"] == []
    assert ours["profiles"]["cpu"]["arguments"] == ["--max-num-seqs", "1"]
    assert result.verdict.inputs["production_serving"].startswith("sha256:")
    assert verdict_bytes(verify_evidence(folder)) == verdict_bytes(result.verdict)


def test_a_timeout_is_no_engine_setting(rig: Rig) -> None:
    document = yaml.safe_load(SERVING)
    document["profiles"]["cpu"]["startup_timeout_s"] = 5
    path = rig.folder / "patient.yaml"
    path.write_text(yaml.safe_dump(document))
    result = rig.gate("1.0.0", serving=path)
    assert result.verdict.context.production_engine is None


def test_another_model_is_compared_on_one_engine_and_a_note_says_that_settings_differ(
    rig: Rig,
) -> None:
    result = rig.gate("1.1.0", serving=other(rig, "--max-num-seqs", "1"))
    assert {request.profile.arguments for request in rig.server.requests} == {
        ("--max-num-seqs", "1")
    }
    notes = " ".join(result.verdict.context.notes)
    assert "promoted with other engine settings" in notes
    assert "assay gate emotion 1.0.0" in notes


def test_settings_named_for_production_are_those_it_is_measured_with(rig: Rig) -> None:
    named = other(rig, "--max-num-seqs", "8", name="named.yaml")
    result = rig.gate("1.0.0", production_serving=named)
    served = {request.role.value: request.profile.arguments for request in rig.server.requests}
    assert served == {"candidate": (), "production": ("--max-num-seqs", "8")}
    assert (result.evidence_dir / "production_serving.yaml").read_bytes() == named.read_bytes()
    assert "cannot move its settings" in " ".join(result.verdict.context.notes)


def test_settings_compared_with_others_than_productions_do_not_move_them(rig: Rig) -> None:
    before = settings_in_production(rig)
    result = rig.gate(
        "1.0.0",
        serving=other(rig, "--max-num-seqs", "32"),
        production_serving=other(rig, "--max-num-seqs", "1", name="weak.yaml"),
    )
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert not result.promotion.moved
    assert settings_in_production(rig) == before


def test_a_model_and_its_settings_are_not_changed_in_one_verdict(rig: Rig) -> None:
    with pytest.raises(ConfigError, match=r"candidate is 1\.1\.0 and production is 1\.0\.0"):
        rig.gate("1.1.0", production_serving=other(rig, "--max-num-seqs", "1"))


def test_settings_for_a_production_that_is_not_there_are_refused(tmp_path: Path) -> None:
    fresh = make_rig(tmp_path)
    with pytest.raises(ConfigError, match="has no production"):
        fresh.gate("1.0.0", production_serving=other(fresh, "--max-num-seqs", "1"))


def test_settings_for_a_server_that_somebody_else_runs_are_refused(rig: Rig) -> None:
    with pytest.raises(ConfigError, match="no engine is started"):
        rig.gate(
            "1.0.0",
            backend="endpoint",
            candidate_url="http://localhost:1",
            production_serving=other(rig),
        )


def test_two_settings_on_two_kinds_of_machine_are_not_compared(rig: Rig) -> None:
    class OneMachineEach(InMemoryServer):
        def launch(self, request: ServeRequest) -> InMemoryEngine:
            self.identity = replace(self.identity, hardware=request.role.value)
            return super().launch(request)

    rig.server = OneMachineEach()
    result = rig.gate("1.0.0", serving=other(rig, "--max-num-seqs", "1"))
    assert result.verdict.verdict is VerdictKind.INVALID
    assert "different machines" in result.verdict.summary


def test_settings_of_another_profile_are_not_taken_for_this_ones(rig: Rig) -> None:
    held = rig.registry.production(MODEL)
    assert held is not None
    assert held.settings is not None
    profile = load_serving(rig.folder / "serving.yaml").profile("cpu")
    rig.registry.tag(held, "assay.engine_settings", as_text("gpu", profile))
    result = rig.gate("1.0.0", serving=other(rig, "--max-num-seqs", "1"))
    assert result.verdict.context.production_engine is None
