"""Signed evidence: what is signed, and that nothing signed can be changed, replayed or outlived."""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assay import attestation, digests, evidence
from assay.adapters.signer_dsse import sign_statement
from assay.attestation_artifact import artifact_digest
from assay.audit_log import AuditLog
from assay.errors import ArtifactError, ConfigError
from assay.records import VerdictKind
from assay.trust import TrustedKeys
from assay.verdict_trust import VerdictTrust
from flows.conclude import GateResult
from flows.notary import CODE, installed_code
from flows.proving import prove, trust_of
from tests.artifact_factory import make_keys
from tests.gate_rig import MODEL, POLICY, Rig, make_rig


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rig, GateResult, GateResult]:
    """A promote of 1.0.0 and a block of 1.2.0; tests alter copies."""
    rig = make_rig(tmp_path_factory.mktemp("gated"))
    return rig, rig.gate("1.0.0"), rig.gate("1.2.0")


@pytest.fixture
def rig(gated: tuple[Rig, GateResult, GateResult]) -> Rig:
    return gated[0]


@pytest.fixture
def folder(gated: tuple[Rig, GateResult, GateResult], tmp_path: Path) -> Path:
    return copied(gated[1].evidence_dir, tmp_path / "promote")


@pytest.fixture
def blocked(gated: tuple[Rig, GateResult, GateResult], tmp_path: Path) -> Path:
    return copied(gated[2].evidence_dir, tmp_path / "block")


def copied(source: Path, target: Path) -> Path:
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return target


def now() -> datetime:
    return datetime.now(UTC)


def trust(rig: Rig) -> VerdictTrust:
    return VerdictTrust.load(rig.folder / "trust.yaml")


def payload(folder: Path) -> dict[str, object]:
    envelope = json.loads((folder / evidence.ATTESTATION).read_bytes())
    document: dict[str, object] = json.loads(b64decode(envelope["payload"]))
    return document


def test_the_statement_names_everything_the_verdict_rests_on(
    rig: Rig, gated: tuple[Rig, GateResult, GateResult]
) -> None:
    result = gated[2]
    attested = attestation.verify(result.evidence_dir, trust(rig), now())
    stated, context = attested.predicate, result.verdict.context
    assert context.candidate is not None
    assert context.production is not None
    statement = payload(result.evidence_dir)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [
        {
            "name": f"{MODEL}/1.2.0",
            "digest": {"sha256": context.candidate.digest.removeprefix("sha256:")},
        }
    ]
    assert stated.verdict is VerdictKind.BLOCK
    assert {"golden", "policy", "task", "serving", "image"} <= stated.inputs.keys()
    assert stated.production is not None
    assert stated.production.digest == context.production.digest
    assert stated.code == installed_code()
    assert set(stated.code) == set(CODE)
    assert set(stated.predictions) == {
        "candidate/predictions.jsonl",
        "production/predictions.jsonl",
    }
    for name, digest in stated.predictions.items():
        assert digests.of_file(result.evidence_dir / name) == digest
    assert len(stated.findings) == sum(f.gating for f in result.verdict.findings)
    assert stated.self_test == "not run"
    assert stated.change == "standard"
    assert stated.audit_log is not None
    assert AuditLog(rig.settings.audit_log).verify([stated.audit_log]).entries


def test_a_promote_expires_and_a_block_does_not(rig: Rig, folder: Path, blocked: Path) -> None:
    later = now() + timedelta(days=8)
    assert not attestation.verify(folder, trust(rig), now()).expired
    assert attestation.verify(folder, trust(rig), later).expired
    assert not attestation.verify(blocked, trust(rig), later).expired


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


Altered = Callable[[Path], object]
ALTERED: dict[str, Altered] = {
    "an answer": lambda f: edit(f / "candidate/predictions.jsonl", '"fear"', '"joy"'),
    "the verdict": lambda f: edit(f / "verdict.json", '"block"', '"promote"'),
    "who asked": lambda f: edit(f / "run.json", "tester", "nobody"),
    "the report": lambda f: edit(f / "report.html", "<title>", "<title>x"),
    "a threshold": lambda f: edit(f / "policy.yaml", "margin: 0.05", "margin: 0.06"),
    "a file more": lambda f: (f / "notes.txt").write_text("seen"),
    "a file less": lambda f: (f / "timings.json").unlink(),
    "a file hidden beside the approvals": lambda f: hide(f),
}


def hide(folder: Path) -> None:
    (folder / evidence.APPROVALS / "inner").mkdir(parents=True)
    (folder / evidence.APPROVALS / "inner" / "x").write_text("hidden")


@pytest.mark.parametrize("what", ALTERED)
def test_signed_evidence_that_was_altered_is_refused_also_when_sealed_anew(
    rig: Rig, blocked: Path, what: str
) -> None:
    attestation.verify(blocked, trust(rig), now())
    ALTERED[what](blocked)
    with pytest.raises(ArtifactError, match="changed since the evidence was sealed"):
        attestation.verify(blocked, trust(rig), now())
    evidence.seal(blocked)
    with pytest.raises(ArtifactError, match="signed for other contents"):
        attestation.verify(blocked, trust(rig), now())


def test_a_statement_moved_to_other_evidence_is_refused(
    rig: Rig, folder: Path, blocked: Path
) -> None:
    signed = (folder / evidence.ATTESTATION).read_bytes()
    (blocked / evidence.ATTESTATION).write_bytes(signed)
    with pytest.raises(ArtifactError, match="other contents"):
        attestation.verify(blocked, trust(rig), now())


def forged(folder: Path, key: Path, **changes: object) -> None:
    document = payload(folder)
    document |= changes
    data = digests.canonical_json(document)
    (folder / evidence.ATTESTATION).write_bytes(sign_statement(data, key))


def test_only_a_key_that_is_listed_for_gates_counts(rig: Rig, folder: Path, tmp_path: Path) -> None:
    stranger = make_keys(tmp_path / "other", "stranger").private
    for key in (stranger, rig.keys.private, rig.people["Ada"]):
        forged(folder, key)
        with pytest.raises(ArtifactError, match="no trusted key signed it"):
            attestation.verify(folder, trust(rig), now())
    with pytest.raises(ArtifactError, match=r"trusted: none"):
        attestation.verify(folder, VerdictTrust(), now())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"revoked": True}, "revoked"),
        ({"valid_until": datetime(2020, 1, 1, tzinfo=UTC)}, "valid until"),
        ({"valid_from": datetime(2999, 1, 1, tzinfo=UTC)}, "valid from"),
    ],
)
def test_a_gate_key_vouches_only_within_its_validity(
    rig: Rig, folder: Path, changes: dict[str, object], message: str
) -> None:
    key = replace(trust(rig).gates.keys[0], **changes)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match=message):
        attestation.verify(folder, VerdictTrust(gates=TrustedKeys((key,))), now())


def test_a_trusted_key_cannot_sign_nonsense_either(rig: Rig, folder: Path) -> None:
    gate_key = rig.settings.home / "gate.key"
    subject = [{"name": f"{MODEL}/9.9.9", "digest": {"sha256": "0" * 64}}]
    forged(folder, gate_key, subject=subject)
    with pytest.raises(ArtifactError, match="its subject is not the artifact"):
        attestation.verify(folder, trust(rig), now())
    forged(folder, gate_key, subject=subject, predicateType="urn:assay:release:v1")
    with pytest.raises(ArtifactError, match="predicateType"):
        attestation.verify(folder, trust(rig), now())


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"payload": 1}'])
def test_what_is_no_envelope_is_refused(rig: Rig, folder: Path, content: bytes) -> None:
    (folder / evidence.ATTESTATION).write_bytes(content)
    with pytest.raises(ArtifactError, match="not a signed statement"):
        attestation.verify(folder, trust(rig), now())


def test_evidence_is_proved_with_the_public_key_alone(rig: Rig, folder: Path) -> None:
    only = trust_of(Path("no trust file"), (rig.folder / "keys" / "gate.pub",))
    proof = prove(folder, only, now(), deploy=True)
    assert proof.verdict.verdict is VerdictKind.PROMOTE
    assert any("it may be deployed" in line for line in proof.sentences)


def test_a_signature_does_not_make_a_verdict_follow(rig: Rig, blocked: Path) -> None:
    edit(blocked / "verdict.json", '"verdict": "block"', '"verdict": "promote"')
    evidence.seal(blocked)
    from assay.verdict_document import verdict_from_json
    from tests.registry_rig import sign

    verdict = verdict_from_json(json.loads((blocked / "verdict.json").read_bytes()))
    sign(blocked, verdict)
    from tests.registry_rig import GATEKEEPER

    attestation.verify(blocked, GATEKEEPER.trust, now())
    with pytest.raises(ArtifactError, match="does not follow from the evidence"):
        prove(blocked, GATEKEEPER.trust, now())


def test_what_was_blocked_must_not_be_deployed(rig: Rig, blocked: Path) -> None:
    prove(blocked, trust(rig), now())
    with pytest.raises(ArtifactError, match="must not be deployed: the verdict is block"):
        prove(blocked, trust(rig), now(), deploy=True)


def test_evidence_that_nobody_signed_proves_nothing_unless_that_is_asked_for(
    rig: Rig, folder: Path
) -> None:
    (folder / evidence.ATTESTATION).unlink()
    with pytest.raises(ArtifactError, match="nobody has signed"):
        prove(folder, trust(rig), now())
    proof = prove(folder, trust(rig), now(), unsigned=True)
    assert proof.attested is None
    assert "nobody has signed" in proof.sentences[0]
    with pytest.raises(ArtifactError, match="nobody has signed"):
        prove(folder, trust(rig), now(), unsigned=True, deploy=True)


def pulled(rig: Rig, version: str, target: Path) -> Path:
    return rig.store.pull(MODEL, version, target).folder


def test_this_very_folder_is_the_artifact_that_was_judged(
    rig: Rig, folder: Path, tmp_path: Path
) -> None:
    judged = pulled(rig, "1.0.0", tmp_path / "pulled")
    proof = prove(folder, trust(rig), now(), artifact=judged)
    assert any("the very artifact that was judged" in line for line in proof.sentences)
    other = pulled(rig, "1.2.0", tmp_path / "other")
    with pytest.raises(ArtifactError, match="this evidence is about"):
        prove(folder, trust(rig), now(), artifact=other)


@pytest.mark.parametrize("change", ["edited", "removed", "added", "linked"])
def test_an_artifact_that_was_touched_is_another(rig: Rig, tmp_path: Path, change: str) -> None:
    model = pulled(rig, "1.0.0", tmp_path / "pulled")
    copy = tmp_path / "copy"
    for name in ("model", "seals"):
        copied(model.parent / name, copy / name)
    assert artifact_digest(copy / "model") == artifact_digest(model)
    assert artifact_digest(copy) == artifact_digest(model)
    path = copy / "model" / "config.json"
    if change == "edited":
        path.write_bytes(path.read_bytes() + b" ")
    elif change == "removed":
        path.unlink()
    elif change == "added":
        (copy / "model" / "extra.py").write_text("")
    else:
        path.rename(copy / "elsewhere.json")
        path.symlink_to(copy / "elsewhere.json")
    with pytest.raises(ArtifactError, match=r"manifest states|plain files"):
        artifact_digest(copy / "model")


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no manifest\.json"):
        artifact_digest(tmp_path)


def test_without_a_key_the_gate_says_so_first_judges_and_moves_nothing(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    (rig.settings.home / "gate.key").unlink()
    result = rig.gate("1.0.0")
    before_anything_ran = rig.said[: rig.said.index("remove what dead gates left")]
    assert any(
        "make a key with `assay store keygen --gate`" in said for said in before_anything_ran
    )
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert not result.promotion.moved
    assert "keygen --gate" in result.promotion.reason
    assert rig.registry.production(MODEL) is None


def test_development_without_a_key_is_what_the_policy_allows_and_no_more(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    (rig.settings.home / "gate.key").unlink()
    rig.policy = POLICY + "promotion: {unsigned: allow}\n"
    result = rig.gate("1.0.0")
    assert any("not signed, which the policy allows" in said for said in rig.said)
    assert result.promotion is not None
    assert result.promotion.moved
    assert not attestation.is_signed(result.evidence_dir)
    entries = AuditLog(rig.settings.audit_log).verify().entries
    assert entries[0].note == "promote, not signed"
    rig.policy = POLICY + "promotion: {unsigned: allow, approvals: {standard: 1}}\n"
    again = rig.gate("1.1.0")
    assert again.promotion is not None
    assert not again.promotion.moved
    assert "only a signed verdict can carry" in again.promotion.reason


def test_a_key_that_nobody_lists_signs_and_moves_nothing(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    (rig.settings.home / "gate.key").unlink()
    make_keys(tmp_path / "new", "gate").private.rename(rig.settings.home / "gate.key")
    result = rig.gate("1.0.0")
    assert any("not listed under `gates`" in said for said in rig.said)
    assert attestation.is_signed(result.evidence_dir)
    assert result.promotion is not None
    assert not result.promotion.moved
    assert "no trusted key signed it" in result.promotion.reason


def test_a_recorded_verdict_that_no_trusted_gate_signed_is_measured_anew(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.gate("1.0.0")
    first = rig.gate("1.2.0")
    assert rig.gate("1.2.0").reused
    (first.evidence_dir / evidence.ATTESTATION).unlink()
    again = rig.gate("1.2.0")
    assert not again.reused
    assert any("is not used again" in line for line in rig.said)
    assert again.verdict.verdict is VerdictKind.BLOCK


def test_an_expired_promote_is_measured_anew_and_then_moves(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.gate("1.0.0")
    rig.interrupt_at = ("move production", False)
    with pytest.raises(KeyboardInterrupt):
        rig.gate("1.1.0")
    rig.interrupt_at = None
    rig.now = lambda: datetime.now(UTC) + timedelta(days=8)
    result = rig.gate("1.1.0")
    assert not result.reused
    assert result.promotion is not None
    assert result.promotion.moved
