"""People's part: who may sign what, when it counts, and that nothing else moves production."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assay import attestation, evidence
from assay.adapters import registry_layout as layout
from assay.adapters.signer_dsse import sign_statement
from assay.approvals import add_to, approval_statement
from assay.audit_log import AuditLog
from assay.errors import ConfigError
from assay.records import PromotionOutcome, VerdictKind
from assay.verdict_trust import VerdictTrust
from flows.approval import Signed, accept, evidence_folder, sign_approval, sign_override
from flows.conclude import GateResult
from tests.artifact_factory import make_keys
from tests.gate_rig import MODEL, POLICY, Rig, make_rig

FAILED = ("emotion_f1/anger", "emotion_f1/fear", "emotion_f1/macro")
"""What does not pass in 1.2.0, which takes every fear for anger."""

ONE = POLICY + "promotion: {approvals: {standard: 1, emergency: 2, low-risk: 0}}\n"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = make_rig(tmp_path)
    assert rig.gate("1.0.0").promotion is not None
    return rig


def approve(rig: Rig, result: GateResult, who: str, reason: str | None = None) -> Signed:
    return sign_approval(result.evidence_dir, rig.people[who], rig.settings, rig.now(), reason)


def override(rig: Rig, result: GateResult, who: str, **changes: object) -> Signed:
    fields = {
        "findings": FAILED,
        "reason": "The class of fear is going away in the next task.",
        "expires_at": rig.now() + timedelta(days=3),
    }
    return sign_override(
        result.evidence_dir,
        rig.people[who],
        rig.settings,
        rig.now(),
        **(fields | changes),  # type: ignore[arg-type]
    )


def outcome(result: GateResult) -> PromotionOutcome:
    assert result.promotion is not None
    return result.promotion


def production(rig: Rig) -> str | None:
    held = rig.registry.production(MODEL)
    return None if held is None else held.version


def log(rig: Rig) -> list[tuple[str, str]]:
    return [(one.what, one.who) for one in AuditLog(rig.settings.audit_log).verify().entries]


# --- approvals ------------------------------------------------------------------------------------


def test_a_promote_waits_until_the_policys_people_have_approved(rig: Rig) -> None:
    rig.policy = ONE
    waiting = rig.gate("1.1.0")
    assert waiting.verdict.verdict is VerdictKind.PROMOTE
    assert outcome(waiting).waits
    assert "1 approval" in outcome(waiting).reason
    assert f"assay approve {waiting.verdict.context.run_id}" in outcome(waiting).reason
    assert production(rig) == "1.0.0"

    signed = approve(rig, waiting, "Eve", "Looks good to me.")
    assert signed.people == ("Eve",)
    done = rig.gate("1.1.0")
    assert done.reused
    assert outcome(done).moved
    assert production(rig) == "1.1.0"

    attested = attestation.verify(
        done.evidence_dir, VerdictTrust.load(rig.settings.trust), rig.now()
    )
    assert [one.by for one in attested.predicate.approvals] == ["Eve"]
    assert [one.key.name for one in attested.approvals] == ["Eve"]
    assert ("approval", "Eve") in log(rig)
    assert [what for what, _ in log(rig)][-2:] == ["promotion asked", "promotion"]


@pytest.mark.parametrize(
    ("change", "who", "moved"),
    [
        ("low-risk", [], True),
        ("standard", ["Ada"], True),
        ("emergency", ["Ada"], False),
        ("emergency", ["Ada", "Eve"], True),
    ],
)
def test_the_class_of_the_change_says_how_many(
    rig: Rig, change: str, who: list[str], moved: bool
) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0", change=change)
    for name in who:
        approve(rig, result, name)
    rig.gate("1.1.0", change=change)
    assert production(rig) == ("1.1.0" if moved else "1.0.0")


def test_an_approval_of_one_class_does_not_count_for_another(rig: Rig) -> None:
    rig.policy = ONE
    approve(rig, rig.gate("1.1.0", change="standard"), "Ada")
    asked = rig.gate("1.1.0", change="emergency")
    assert not outcome(asked).moved
    assert "2 approvals" in outcome(asked).reason
    assert production(rig) == "1.0.0"


def test_one_person_counts_once_whatever_keys_they_have(rig: Rig) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0", change="emergency")
    approve(rig, result, "Ada")
    with pytest.raises(ConfigError, match="has to be another person"):
        approve(rig, result, "Ada")
    second = make_keys(rig.folder / "keys", "ada2")
    text = rig.settings.trust.read_text()
    rig.settings.trust.write_text(
        text + "  - {name: Ada, roles: [approve], public_key: keys/ada2.pub}\n"
    )
    trust = VerdictTrust.load(rig.settings.trust)
    rig.registry.gatekeeper = replace(rig.registry.gatekeeper, trust=trust)
    with pytest.raises(ConfigError, match="has to be another person"):
        sign_approval(result.evidence_dir, second.private, rig.settings, rig.now(), None)
    plant(rig, result, second.private, kind="approval", by="Ada")  # around the command
    assert not outcome(rig.gate("1.1.0", change="emergency")).moved
    assert production(rig) == "1.0.0"


def plant(rig: Rig, result: GateResult, key: Path, **fields: object) -> None:
    """Puts a signed statement into the evidence by hand, as somebody without the command would."""
    trust = VerdictTrust.load(rig.settings.trust)
    stated = attestation.verify(result.evidence_dir, trust, rig.now()).predicate
    changes = {"signed_at": rig.now()} | fields
    statement = approval_statement(stated, **changes)
    add_to(result.evidence_dir, sign_statement(statement.canonical(), key))


REFUSED_SIGNERS: dict[str, tuple[Callable[[Rig], Path], str]] = {
    "an unlisted key": (lambda rig: make_keys(rig.folder / "x", "x").private, "nobody's key"),
    "the gate's own key": (lambda rig: rig.settings.home / "gate.key", "nobody's key"),
    "the publisher's key": (lambda rig: rig.keys.private, "nobody's key"),
    "no key": (lambda rig: rig.folder / "nowhere", "cannot be read"),
}


@pytest.mark.parametrize("who", REFUSED_SIGNERS)
def test_who_is_not_listed_cannot_approve(rig: Rig, who: str) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0")
    key, message = REFUSED_SIGNERS[who]
    with pytest.raises(ConfigError, match=message):
        sign_approval(result.evidence_dir, key(rig), rig.settings, rig.now(), None)
    assert not (result.evidence_dir / evidence.APPROVALS).exists()


def test_what_an_unlisted_key_signed_by_hand_counts_for_nothing(rig: Rig) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0")
    plant(rig, result, make_keys(rig.folder / "x", "x").private, kind="approval", by="Ada")
    plant(rig, result, rig.people["Eve"], kind="approval", by="Ada")  # Eve, under Ada's name
    assert not outcome(rig.gate("1.1.0")).moved
    attested = attestation.verify(
        result.evidence_dir, VerdictTrust.load(rig.settings.trust), rig.now()
    )
    assert len(attested.refused) == 2
    assert any("the key is 'Eve's" in why or "'Eve'" in why for why in attested.refused)


def test_a_revoked_approver_has_never_approved(rig: Rig) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0")
    approve(rig, result, "Eve")
    text = rig.settings.trust.read_text()
    rig.settings.trust.write_text(text.replace("eve.pub}", "eve.pub, revoked: true}"))
    trust = VerdictTrust.load(rig.settings.trust)
    rig.registry.gatekeeper = replace(rig.registry.gatekeeper, trust=trust)
    assert not outcome(rig.gate("1.1.0")).moved


def test_a_tag_approves_nothing(rig: Rig) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0")
    run = result.recorded_as
    assert run is not None
    rig.registry.runs[run].tags |= {"assay.approved": "true", layout.VERDICT: "promote"}
    assert not outcome(rig.gate("1.1.0")).moved
    blocked = rig.gate("1.2.0")
    assert blocked.recorded_as is not None
    rig.registry.runs[blocked.recorded_as].tags |= {layout.VERDICT: "promote"}
    assert rig.gate("1.2.0").promotion is None
    assert production(rig) == "1.0.0"


def test_an_approval_that_was_taken_away_afterwards_is_missed(rig: Rig) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0")
    path = approve(rig, result, "Eve").path
    assert outcome(rig.gate("1.1.0")).moved
    path.unlink()
    from assay.errors import ArtifactError

    with pytest.raises(ArtifactError, match="approval of Eve"):
        attestation.verify(result.evidence_dir, VerdictTrust.load(rig.settings.trust), rig.now())


def test_a_statement_carried_from_another_machine_counts(rig: Rig) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0")
    signed = approve(rig, result, "Eve")
    signed.path.unlink()
    trust = VerdictTrust.load(rig.settings.trust)
    assert "not a signed statement" in str(accept(result.evidence_dir, b"{}", trust, rig.now()))
    other = rig.gate("1.2.0")
    assert "for the artifact" in str(accept(other.evidence_dir, signed.envelope, trust, rig.now()))
    assert accept(result.evidence_dir, signed.envelope, trust, rig.now()) is None
    assert outcome(rig.gate("1.1.0")).moved


def test_a_promote_that_has_expired_is_not_approved(rig: Rig) -> None:
    rig.policy = ONE
    result = rig.gate("1.1.0")
    rig.now = lambda: datetime.now(UTC) + timedelta(days=8)
    with pytest.raises(ConfigError, match="expired"):
        approve(rig, result, "Ada")


def test_a_block_is_not_approved_and_a_promote_not_overridden(rig: Rig) -> None:
    with pytest.raises(ConfigError, match="a block takes an override"):
        approve(rig, rig.gate("1.2.0"), "Ada")
    with pytest.raises(ConfigError, match="nothing to override"):
        override(rig, rig.gate("1.1.0"), "Ada", findings=())


# --- overrides ------------------------------------------------------------------------------------


def test_two_people_override_a_block_and_the_evidence_and_the_log_say_so(rig: Rig) -> None:
    blocked = rig.gate("1.2.0")
    assert blocked.verdict.verdict is VerdictKind.BLOCK
    assert blocked.promotion is None
    override(rig, blocked, "Ada")
    one = rig.gate("1.2.0")
    assert outcome(one).waits
    assert "so far Ada signed" in outcome(one).reason
    assert production(rig) == "1.0.0"
    assert override(rig, blocked, "Bob").people == ("Ada", "Bob")
    done = rig.gate("1.2.0")
    assert outcome(done).moved
    assert done.verdict.verdict is VerdictKind.BLOCK, "an override lifts a verdict, not changes it"
    assert production(rig) == "1.2.0"
    assert [entry for entry in log(rig) if entry[0] == "override"] == [
        ("override", "Ada"), ("override", "Bob"),
    ]  # fmt: skip
    stored = rig.registry.runs[str(done.recorded_as)].files
    assert sum(name.startswith("approvals/") for name in stored) == 2
    assert json.loads(stored["attestation.json"])["payloadType"].endswith("in-toto+json")


LATER = datetime.now(UTC) + timedelta(days=3)
REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "not all findings are named": ({"findings": FAILED[:2]}, "does not name emotion_f1/macro"),
    "none is named": ({"findings": ()}, "does not name"),
    "one that did not fail is named": (
        {"findings": (*FAILED, "validity/invalid_rate")},
        "stands in nobody's way",
    ),
    "it has ended": ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "ended on 2020"),
    "it gives no reason": ({"reason": "-"}, "reason"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_override_that_would_not_count_is_not_signed(rig: Rig, what: str) -> None:
    blocked = rig.gate("1.2.0")
    changes, message = REFUSED[what]
    with pytest.raises(ConfigError, match=message):
        override(rig, blocked, "Ada", **changes)
    assert not (blocked.evidence_dir / evidence.APPROVALS).exists()


def test_the_second_must_be_somebody_else_who_may(rig: Rig) -> None:
    blocked = rig.gate("1.2.0")
    override(rig, blocked, "Ada")
    with pytest.raises(ConfigError, match="has to be another person"):
        override(rig, blocked, "Ada")
    with pytest.raises(ConfigError, match="'Eve' may approve only"):
        override(rig, blocked, "Eve")
    fields = {"findings": FAILED, "reason": "I say so, loudly.", "expires_at": LATER}
    for who in ("Ada", "Eve"):  # around the command
        plant(rig, blocked, rig.people[who], kind="override", by=who, **fields)
    assert not outcome(rig.gate("1.2.0")).moved
    assert production(rig) == "1.0.0"


def test_an_override_ends(rig: Rig) -> None:
    blocked = rig.gate("1.2.0")
    for who in ("Ada", "Bob"):
        override(rig, blocked, who)
    rig.now = lambda: datetime.now(UTC) + timedelta(days=4)
    refused = outcome(rig.gate("1.2.0"))
    assert not refused.moved
    assert "ended on" in refused.reason


def test_an_override_of_one_artifact_lifts_nothing_for_another(rig: Rig) -> None:
    blocked = rig.gate("1.2.0")
    envelopes = [override(rig, blocked, who).envelope for who in ("Ada", "Bob")]
    rig.answers["1.3.0"] = rig.answers["1.2.0"]
    rig.publish("1.3.0", seed=9)
    other = rig.gate("1.3.0")
    for envelope in envelopes:
        add_to(other.evidence_dir, envelope)
    refused = outcome(rig.gate("1.3.0"))
    assert not refused.moved
    assert production(rig) == "1.0.0"


def test_an_invalid_run_cannot_be_overridden(rig: Rig) -> None:
    rig.cases = rig.cases[:0]
    result = rig.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.INVALID
    with pytest.raises(ConfigError, match=r"no artifact|nothing to override|nothing was learnt"):
        override(rig, result, "Ada", findings=())


def test_a_refused_artifact_cannot_be_overridden(rig: Rig) -> None:
    rig.store.transport.files[f"{MODEL}/1.1.0/config.json"] = b"{}"
    result = rig.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.BLOCK
    with pytest.raises(ConfigError, match="verified no artifact"):
        override(rig, result, "Ada", findings=("artifact/verified",))


def test_a_freeze_is_lifted_by_an_override_and_by_nothing_else(rig: Rig) -> None:
    rig.policy = POLICY + "freeze: true\n"
    frozen = rig.gate("1.1.0")
    assert frozen.verdict.verdict is VerdictKind.BLOCK
    for who in ("Ada", "Bob"):
        override(rig, frozen, who, findings=("policy/freeze",))
    assert outcome(rig.gate("1.1.0")).moved
    assert production(rig) == "1.1.0"


def test_a_promote_from_before_a_freeze_does_not_move_inside_it(rig: Rig) -> None:
    start = (datetime.now(UTC) + timedelta(days=2)).date()
    window = f"{{start: {start}, until: {start + timedelta(days=3)}, reason: holidays}}"
    rig.policy = ONE + f"freeze_windows: [{window}]\n"
    result = rig.gate("1.1.0")
    approve(rig, result, "Ada")
    rig.now = lambda: datetime.now(UTC) + timedelta(days=3)
    refused = outcome(rig.gate("1.1.0"))
    assert not refused.moved
    assert "frozen" in refused.reason
    for who in ("Ada", "Bob"):
        override(rig, result, who, findings=("policy/freeze",))
    assert outcome(rig.gate("1.1.0")).moved


def test_a_run_is_found_by_its_id_or_its_folder(rig: Rig, tmp_path: Path) -> None:
    result = rig.gate("1.1.0", report_dir=tmp_path / "mine")
    run_id = result.verdict.context.run_id
    assert evidence_folder(run_id, rig.settings) == result.evidence_dir.resolve()
    assert evidence_folder(str(result.evidence_dir), rig.settings) == result.evidence_dir.resolve()
    with pytest.raises(ConfigError, match="neither an evidence folder nor a run"):
        evidence_folder("20200101T000000Z-00000000", rig.settings)
