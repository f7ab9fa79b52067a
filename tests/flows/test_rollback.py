"""Moving production back: what is proved first, what may stay unproved, and what is on record."""

import json
import time
from pathlib import Path

import pytest

from assay import evidence
from assay.audit_log import AuditLog
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.records import VerdictKind
from flows.rollback import RollbackResult, roll_back
from tests.gate_rig import MODEL, Rig, make_rig

RUN = "20261123T151200Z-0000000f"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A rig in which 1.1.0 has replaced 1.0.0."""
    rig = make_rig(tmp_path)
    assert rig.gate("1.0.0").not_promoted is None
    assert rig.gate("1.1.0").not_promoted is None
    return rig


def back(rig: Rig, to: str | None = None, reason: str = "fear is missed") -> RollbackResult:
    return roll_back(
        MODEL,
        to,
        reason=reason,
        run_id=RUN,
        settings=rig.settings,
        ports=rig.rollback_ports(),
        progress=rig.said.append,
    )


def production(rig: Rig) -> str:
    held = rig.registry.production(MODEL)
    assert held is not None
    return held.version


def results(result: RollbackResult) -> dict[str, str]:
    return {check.what: check.result for check in result.checks}


def test_production_goes_back_to_the_version_before_with_everything_verified(rig: Rig) -> None:
    result = back(rig)
    assert result.outcome.moved
    assert production(rig) == "1.0.0"
    assert set(results(result).values()) == {"verified"}
    assert len(results(result)) == 4
    assert result.evidence_dir is not None
    evidence.check_seal(result.evidence_dir)
    stored = json.loads((result.evidence_dir / "rollback.json").read_text())
    assert (stored["who"], stored["reason"], stored["state"]) == (
        "tester",
        "fear is missed",
        "moved",
    )
    assert (stored["from"]["version"], stored["to"]["version"]) == ("1.1.0", "1.0.0")
    assert result.recorded_as is not None
    assert rig.registry.runs[result.recorded_as].tags["assay.kind"] == "rollback"
    entry = json.loads(rig.settings.audit_log.read_text().splitlines()[-1])
    assert (entry["what"], entry["version"]) == ("rollback", "1.0.0")
    assert AuditLog(rig.settings.audit_log).verify().entries


def test_what_was_moved_back_from_cannot_be_promoted_again(rig: Rig) -> None:
    back(rig)
    result = rig.gate("1.1.0")
    assert result.not_promoted is not None
    assert "fear is missed" in result.not_promoted
    assert production(rig) == "1.0.0"


def test_a_store_that_is_down_does_not_hold_production_back_and_is_said(rig: Rig) -> None:
    rig.store.transport.reachable = False
    result = back(rig)
    assert result.outcome.moved
    assert results(result)["trusted store"] == "unverified"
    assert results(result)["kept release manifest"] == "verified"


def test_a_store_that_hangs_costs_seconds(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.rollback.STORE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(rig.store, "confirm", lambda ref: time.sleep(5))
    started = time.monotonic()
    result = back(rig)
    assert time.monotonic() - started < 4
    assert result.outcome.moved
    assert results(result)["trusted store"] == "unverified"


def test_where_neither_store_nor_kept_manifest_vouches_nothing_moves(rig: Rig) -> None:
    rig.store.transport.reachable = False
    for folder in rig.settings.reports.iterdir():
        for path in (folder / "seals").rglob("*.json"):
            path.unlink()
        evidence.seal(folder)
        (folder / evidence.ATTESTATION).unlink()
    with pytest.raises(InfrastructureError, match="nothing vouches for 1\\.0\\.0"):
        back(rig)
    assert production(rig) == "1.1.0"


def test_altered_evidence_holds_production_where_it_is(rig: Rig) -> None:
    for path in rig.settings.reports.rglob("verdict.json"):
        path.write_text(path.read_text().replace("may be the first", "is the first"))
    with pytest.raises(ArtifactError, match=r"verdict\.json changed since"):
        back(rig)
    assert production(rig) == "1.1.0"


def test_a_key_that_was_revoked_since_vouches_for_nothing(rig: Rig) -> None:
    trust = rig.settings.trust
    trust.write_text(
        trust.read_text().replace(
            "{name: release, public_key: keys/release.pub}",
            "{name: release, public_key: keys/release.pub, revoked: true}",
        )
    )
    with pytest.raises(ArtifactError, match="revoked"):
        back(rig)
    assert production(rig) == "1.1.0"


def test_a_store_that_no_longer_holds_the_version_is_no_way_back(rig: Rig) -> None:
    rig.store.transport.remove(f"{MODEL}/1.0.0")
    with pytest.raises(ArtifactError, match="no version '1\\.0\\.0'"):
        back(rig)
    assert production(rig) == "1.1.0"


def test_a_blocked_version_is_no_way_back_even_by_name(rig: Rig) -> None:
    assert rig.gate("1.2.0").verdict.verdict is VerdictKind.BLOCK
    with pytest.raises(ArtifactError, match=r"'block'; expected 'promote'"):
        back(rig, "1.2.0")
    with pytest.raises(ConfigError, match=r"'9\.9\.9' is not a registered version"):
        back(rig, "9.9.9")
    assert production(rig) == "1.1.0"


def test_going_back_twice_does_not_bring_the_bad_version_back(rig: Rig) -> None:
    back(rig)
    again = back(rig)
    assert again.in_place
    assert not again.outcome.moved
    assert production(rig) == "1.0.0"


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001, "bell\x07"])
def test_a_move_back_needs_a_reason(rig: Rig, reason: str) -> None:
    with pytest.raises(ConfigError, match="--reason"):
        back(rig, reason=reason)
    assert production(rig) == "1.1.0"


def test_a_kill_in_the_middle_is_repaired_and_the_same_command_finishes_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(model: str, alias: str, number: str | None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(rig.registry, "point", killed)
        with pytest.raises(KeyboardInterrupt):
            back(rig)
    stored = json.loads((rig.settings.reports / RUN / "rollback.json").read_text())
    assert stored["state"] == "intended"
    assert back(rig).outcome.moved
    assert production(rig) == "1.0.0"
