"""One contract for every registry: in memory, MLflow on a file, and a real MLflow server."""

import json
import threading
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from assay import digests, evidence
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.adapters.signer_dsse import sign_statement
from assay.errors import ConfigError, InfrastructureError
from assay.ports import GateRecord
from assay.records import VerdictKind
from assay.verdict_document import verdict_from_json
from assay.warrant import Warrant
from tests import registry_rig as rig
from tests.artifact_factory import make_keys
from tests.registry_rig import Stage, gate, ref

_numbers = count()


@pytest.fixture(params=["in_memory", "sqlite", pytest.param("server", marks=pytest.mark.slow)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    if request.param == "in_memory":
        return rig.in_memory(tmp_path)
    if request.param == "sqlite":
        return rig.in_sqlite(tmp_path / "data", request.getfixturevalue("empty_database"))
    running = request.getfixturevalue("mlflow_server")
    return rig.on_mlflow(running.uri, running.data, tmp_path / "locks", lambda: None)


@pytest.fixture
def model() -> str:
    """A model of the test's own: the server lives as long as the session."""
    return f"emotion-{next(_numbers)}"


def first_release(stage: Stage, folder: Path, model: str, version: str = "1.0.0") -> str:
    """Records and promotes a first production version; returns its run."""
    run = stage.registry.record(gate(folder, version, model=model, run_id="first"))
    stage.registry.promote(
        ref(version, model),
        expected=None,
        gate_run=run,
        warrant=rig.warrant(folder, ref(version, model)),
    )
    return run


def test_a_model_nobody_gated_has_no_production_no_verdict_and_no_uses(
    stage: Stage, model: str
) -> None:
    key = rig.ledger_key("1.0.0", None, rig.golden(), model)
    assert stage.registry.production(model) is None
    assert stage.registry.recorded_verdict(key) is None
    assert stage.registry.uses(model, rig.golden().digest) == 0


def test_a_recorded_model_that_was_never_promoted_has_no_production(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    stage.registry.record(gate(tmp_path, model=model))
    assert stage.registry.production(model) is None


def test_a_verdict_is_found_again_by_its_inputs_and_by_no_others(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    record = gate(tmp_path, model=model)
    run = stage.registry.record(record)
    found = stage.again().recorded_verdict(record.ledger_key)
    assert found is not None
    assert found[0] == run
    assert verdict_from_json(dict(found[1]), "test") == record.verdict
    for name in ("candidate", "production", "golden"):
        other = {**record.ledger_key, name: digests.of_bytes(b"other")}
        assert stage.registry.recorded_verdict(other) is None


def test_the_latest_of_two_verdicts_on_the_same_inputs_is_found(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    stage.registry.record(gate(tmp_path, model=model, run_id="run-1"))
    record = gate(tmp_path, model=model, run_id="run-2", kind=VerdictKind.BLOCK)
    run = stage.registry.record(record)
    found = stage.registry.recorded_verdict(record.ledger_key)
    assert found is not None
    assert found[0] == run
    assert found[1]["verdict"] == "block"


def test_an_invalid_run_is_no_verdict_and_no_use(stage: Stage, model: str, tmp_path: Path) -> None:
    invalid = gate(tmp_path, model=model, kind=VerdictKind.INVALID, run_id="run-1")
    stage.registry.record(invalid)
    assert stage.registry.recorded_verdict(invalid.ledger_key) is None
    assert stage.registry.uses(model, invalid.golden.digest) == 0
    valid = gate(tmp_path, model=model, run_id="run-2")
    run = stage.registry.record(valid)
    stage.registry.record(gate(tmp_path, model=model, kind=VerdictKind.INVALID, run_id="run-3"))
    found = stage.registry.recorded_verdict(valid.ledger_key)
    assert found is not None
    assert found[0] == run
    assert stage.registry.uses(model, valid.golden.digest) == 1


def test_uses_count_the_gates_of_one_model_and_one_golden_set(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    other_golden = replace(rig.golden(), digest=digests.of_bytes(b"another golden set"))
    for number, used in enumerate((rig.golden(), rig.golden(), other_golden)):
        record = gate(tmp_path, model=model, run_id=f"run-{number}", golden_set=used)
        stage.registry.record(record)
    stage.registry.record(gate(tmp_path, model=f"{model}-b", run_id="run-b"))
    assert stage.registry.uses(model, rig.golden().digest) == 2


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_a_verdict_that_was_changed_after_it_was_recorded_is_refused(
    stage: Stage, model: str, tmp_path: Path, change: str
) -> None:
    record = gate(tmp_path, model=model, kind=VerdictKind.BLOCK)
    run = stage.registry.record(record)
    document = json.loads((record.evidence_dir / "verdict.json").read_bytes())
    forged = json.dumps(document | {"verdict": "promote"}).encode() if change == "edited" else None
    stage.rewrite(run, forged)
    with pytest.raises(ConfigError, match=run):
        stage.registry.recorded_verdict(record.ledger_key)


def test_recording_the_same_gate_again_is_recording_it_once(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    record = gate(tmp_path, model=model)
    run = stage.registry.record(record)
    assert stage.again().record(record) == run
    assert stage.registry.uses(model, record.golden.digest) == 1


def test_a_first_release_becomes_production(stage: Stage, model: str, tmp_path: Path) -> None:
    run = stage.registry.record(gate(tmp_path, "1.0.0", model=model))
    outcome = stage.registry.promote(
        ref("1.0.0", model),
        expected=None,
        gate_run=run,
        warrant=rig.warrant(tmp_path, ref("1.0.0", model)),
    )
    assert outcome.moved
    assert outcome.previous is None
    held = stage.again().production(model)
    assert held is not None
    assert (held.version, held.digest) == ("1.0.0", ref("1.0.0").digest)
    assert held.gate_run == run


def test_a_promotion_moves_production_and_remembers_the_version_before(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    first_release(stage, tmp_path, model)
    production = ref("1.0.0", model)
    run = stage.registry.record(gate(tmp_path, against=production, model=model))
    outcome = stage.registry.promote(
        ref("1.1.0", model),
        expected=production,
        gate_run=run,
        warrant=rig.warrant(tmp_path, ref("1.1.0", model)),
    )
    assert outcome.moved
    assert outcome.previous is not None
    assert outcome.previous.version == "1.0.0"
    held = stage.again().production(model)
    assert held is not None
    assert held == outcome.production
    assert held.version == "1.1.0"


def test_a_promotion_is_refused_when_production_is_not_what_was_judged_against(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    first_release(stage, tmp_path, model)
    run = stage.registry.record(gate(tmp_path, model=model))
    for expected in (None, ref("0.9.0", model)):
        outcome = stage.registry.promote(
            ref("1.1.0", model),
            expected=expected,
            gate_run=run,
            warrant=rig.warrant(tmp_path, ref("1.1.0", model)),
        )
        assert not outcome.moved
        assert "production is now 1.0.0" in outcome.reason
    held = stage.registry.production(model)
    assert held is not None
    assert held.version == "1.0.0"


def test_a_promotion_is_refused_when_production_vanished(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    run = stage.registry.record(gate(tmp_path, model=model))
    outcome = stage.registry.promote(
        ref("1.1.0", model),
        expected=ref("1.0.0", model),
        gate_run=run,
        warrant=rig.warrant(tmp_path, ref("1.1.0", model)),
    )
    assert not outcome.moved
    assert "production is now nothing" in outcome.reason
    assert stage.registry.production(model) is None


def test_a_promotion_repeated_after_a_lost_answer_has_moved_and_keeps_the_way_back(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    first_release(stage, tmp_path, model)
    production, candidate = ref("1.0.0", model), ref("1.1.0", model)
    run = stage.registry.record(gate(tmp_path, against=production, model=model))
    once = stage.registry.promote(
        candidate, expected=production, gate_run=run, warrant=rig.warrant(tmp_path, candidate)
    )
    twice = stage.again().promote(
        candidate, expected=production, gate_run=run, warrant=rig.warrant(tmp_path, candidate)
    )
    assert twice.moved
    assert twice == once


def test_promoting_what_is_in_production_moves_nothing_and_keeps_the_way_back(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    first_release(stage, tmp_path, model)
    production, candidate = ref("1.0.0", model), ref("1.1.0", model)
    run = stage.registry.record(gate(tmp_path, against=production, model=model))
    stage.registry.promote(
        candidate, expected=production, gate_run=run, warrant=rig.warrant(tmp_path, candidate)
    )
    outcome = stage.registry.promote(
        candidate,
        expected=candidate,
        gate_run="another-run",
        warrant=rig.warrant(tmp_path, candidate),
    )
    assert not outcome.moved
    assert outcome.previous is not None
    assert outcome.previous.version == "1.0.0"


def test_what_no_gate_recorded_cannot_be_promoted(stage: Stage, model: str, tmp_path: Path) -> None:
    first_release(stage, tmp_path, model)
    same_version_other_bytes = replace(ref("1.0.0", model), digest=digests.of_bytes(b"other"))
    for unknown in (ref("2.0.0", model), same_version_other_bytes):
        with pytest.raises(ConfigError, match="not a registered version"):
            stage.registry.promote(
                unknown,
                expected=ref("1.0.0", model),
                gate_run="run",
                warrant=rig.warrant(tmp_path, unknown),
            )


def test_a_refused_artifact_is_recorded_but_never_registered(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    record = gate(tmp_path, model=model, kind=VerdictKind.BLOCK, verified=False)
    assert stage.registry.record(record)
    with pytest.raises(ConfigError, match="not a registered version"):
        stage.registry.promote(
            ref("1.1.0", model),
            expected=None,
            gate_run="run",
            warrant=rig.warrant(tmp_path, ref("1.1.0", model)),
        )


def test_moving_back_returns_to_the_version_before_and_says_who_and_why(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    registry = stage.registry
    with pytest.raises(ConfigError, match="nothing to move back"):
        registry.way_back(model, None)
    first = first_release(stage, tmp_path, model)
    with pytest.raises(ConfigError, match="first release"):
        registry.way_back(model, None)
    production = ref("1.0.0", model)
    run = registry.record(gate(tmp_path, against=production, model=model))
    registry.promote(
        ref("1.1.0", model),
        expected=production,
        gate_run=run,
        warrant=rig.warrant(tmp_path, ref("1.1.0", model)),
    )
    with pytest.raises(ConfigError, match=r"'0\.1\.0' is not a registered version"):
        registry.way_back(model, "0.1.0")
    way = registry.way_back(model, None)
    assert (way.current.version, way.target.version) == ("1.1.0", "1.0.0")
    assert (way.evidence_run, way.was_production) == (first, True)
    outcome = registry.move_back(way, reason="slow", who="ada", run="back-1")
    assert outcome.moved
    assert "slow" in outcome.reason
    again = registry.move_back(registry.way_back(model, None), reason="x", who="ada", run="b")
    assert not again.moved
    assert again.reason == "production already is 1.0.0"
    held = stage.again().production(model)
    assert held is not None
    assert held.version == "1.0.0"
    refused = registry.promote(
        ref("1.1.0", model),
        expected=production,
        gate_run=run,
        warrant=rig.warrant(tmp_path, ref("1.1.0", model)),
    )
    assert not refused.moved
    assert "ada: slow" in refused.reason
    with pytest.raises(ConfigError, match="was itself moved back from"):
        registry.way_back(model, "1.1.0")


def test_a_version_that_never_was_in_production_is_told_from_one_that_was(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    first_release(stage, tmp_path, model)
    run = stage.registry.record(gate(tmp_path, against=ref("1.0.0", model), model=model))
    way = stage.registry.way_back(model, "1.1.0")
    assert (way.evidence_run, way.was_production) == (run, False)


def test_production_that_moved_after_the_way_back_was_found_is_not_moved_back(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    first_release(stage, tmp_path, model)
    production = ref("1.0.0", model)
    run = stage.registry.record(gate(tmp_path, against=production, model=model))
    stage.registry.promote(
        ref("1.1.0", model),
        expected=production,
        gate_run=run,
        warrant=rig.warrant(tmp_path, ref("1.1.0", model)),
    )
    way = stage.registry.way_back(model, None)
    between = ref("1.1.0", model)
    newer = gate(tmp_path, "1.2.0", against=between, model=model, run_id="run-2")
    other = stage.registry.record(newer)
    stage.registry.promote(
        ref("1.2.0", model),
        expected=between,
        gate_run=other,
        warrant=rig.warrant(tmp_path, ref("1.2.0", model)),
    )
    outcome = stage.registry.move_back(way, reason="slow", who="ada", run="back-1")
    assert not outcome.moved
    assert "production is now 1.2.0" in outcome.reason


def test_recorded_evidence_comes_back_as_it_was_sealed(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    from assay.evidence import check_seal

    record = gate(tmp_path, model=model)
    run = stage.registry.record(record)
    stage.again().evidence(run, tmp_path / "copy")
    check_seal(tmp_path / "copy")
    stored = (record.evidence_dir / "verdict.json").read_bytes()
    assert (tmp_path / "copy/verdict.json").read_bytes() == stored
    with pytest.raises(ConfigError):
        stage.again().evidence("0" * 32, tmp_path / "none")


def test_one_gate_of_a_model_has_its_turn_and_the_other_hears_whom_it_waits_for(
    stage: Stage, model: str
) -> None:
    said: list[str] = []
    order: list[str] = []
    entered, waited = threading.Event(), threading.Event()

    def hear(line: str) -> None:
        said.append(line)
        waited.set()

    def second() -> None:
        assert entered.wait(20)
        with stage.again().turn(model, run_id="run-2", progress=hear):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with stage.registry.turn(model, run_id="run-1", progress=said.append):
        entered.set()
        assert waited.wait(20)
        order.append("first")
    other.join(30)
    assert order == ["first", "second"]
    assert any("waiting for it to finish" in line for line in said)


def test_no_text_of_a_case_reaches_the_registry(stage: Stage, model: str, tmp_path: Path) -> None:
    stage.registry.record(gate(tmp_path, against=ref("1.0.0", model), model=model))
    stored = stage.stored()
    assert b"c-0" in stored
    assert rig.SECRET.encode() not in stored


@pytest.mark.parametrize("name", ["../up", "a' OR tags.x = 'b", "UPPER", ""])
def test_a_name_that_is_no_model_name_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(ConfigError, match="model name"):
        stage.registry.production(name)


def test_an_unreachable_registry_says_so(tmp_path: Path, empty_database: Path) -> None:
    for broken in (rig.in_memory(tmp_path), rig.in_sqlite(tmp_path / "data", empty_database)):
        broken.break_it()
        with pytest.raises(InfrastructureError, match="again"):
            broken.again().production("emotion-demo")


def refused(stage: Stage, model: str, record: GateRecord, **changes: object) -> str:
    """Asks for a promotion that must be refused; returns why."""
    run = stage.registry.record(record)
    ready = Warrant(evidence=record.evidence_dir, policy=rig.POLICY, golden=rig.golden().digest)
    outcome = stage.registry.promote(
        ref("1.1.0", model),
        expected=None,
        gate_run=run,
        warrant=replace(ready, **changes),  # type: ignore[arg-type]
    )
    assert not outcome.moved
    assert stage.again().production(model) is None
    return outcome.reason


@pytest.mark.parametrize("kind", [VerdictKind.BLOCK, VerdictKind.INCONCLUSIVE, VerdictKind.INVALID])
def test_a_signed_verdict_that_is_no_promote_moves_nothing(
    stage: Stage, model: str, tmp_path: Path, kind: VerdictKind
) -> None:
    record = gate(tmp_path, model=model, kind=kind)
    assert f"verdict is {kind.value}" in refused(stage, model, record)


def test_what_nobody_signed_moves_nothing(stage: Stage, model: str, tmp_path: Path) -> None:
    record = gate(tmp_path, model=model)
    (record.evidence_dir / evidence.ATTESTATION).unlink()
    assert "no gate has signed this verdict" in refused(stage, model, record)


def test_what_another_key_signed_moves_nothing(stage: Stage, model: str, tmp_path: Path) -> None:
    record = gate(tmp_path, model=model)
    stranger = make_keys(tmp_path / "keys").private
    envelope = json.loads((record.evidence_dir / evidence.ATTESTATION).read_bytes())
    signed = sign_statement(b64decode(envelope["payload"]), stranger)
    (record.evidence_dir / evidence.ATTESTATION).write_bytes(signed)
    assert "no trusted key signed it" in refused(stage, model, record)


def test_altered_evidence_moves_nothing(stage: Stage, model: str, tmp_path: Path) -> None:
    record = gate(tmp_path, model=model)
    path = record.evidence_dir / "candidate" / "predictions.jsonl"
    path.write_bytes(path.read_bytes().replace(b"joy", b"fear", 1))
    assert "changed since the evidence was sealed" in refused(stage, model, record)


def test_a_promote_moves_only_what_it_is_about(stage: Stage, model: str, tmp_path: Path) -> None:
    stage.registry.record(gate(tmp_path, "1.0.0", model=model, run_id="other"))
    record = gate(tmp_path, model=model)
    why = refused(stage, model, record, evidence=tmp_path / "other")
    assert "the verdict is about" in why


def test_a_promote_of_another_policy_or_golden_set_moves_nothing(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    record = gate(tmp_path, model=model)
    assert "another golden" in refused(stage, model, record, golden=digests.of_bytes(b"newer"))
    stricter = rig.POLICY.model_copy(update={"alpha": 0.01})
    assert "another policy" in refused(stage, model, record, policy=stricter)


def test_an_expired_promote_moves_nothing(stage: Stage, model: str, tmp_path: Path) -> None:
    record = gate(tmp_path, model=model)
    rig.sign(record.evidence_dir, record.verdict, expires_at=datetime.now(UTC))
    assert "expired" in refused(stage, model, record)


def test_what_a_promotion_rests_on_is_kept_with_its_run(
    stage: Stage, model: str, tmp_path: Path
) -> None:
    record = gate(tmp_path, model=model)
    run = stage.registry.record(record)
    head = "7:" + digests.of_bytes(b"head")
    warrant = replace(rig.warrant(tmp_path, ref("1.1.0", model)), audit_head=head)
    signed = (record.evidence_dir / evidence.ATTESTATION).read_bytes()
    assert stage.registry.promote(
        ref("1.1.0", model), expected=None, gate_run=run, warrant=warrant
    ).moved
    stage.again().evidence(run, tmp_path / "fetched")
    assert (tmp_path / "fetched" / evidence.ATTESTATION).read_bytes() == signed
    if isinstance(stage.registry, MlflowRegistry):
        assert stage.registry.audit_heads(model) == [head]
