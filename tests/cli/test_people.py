"""`assay verify`, `approve`, `override`, `audit-log`, `store keygen --gate`: as people use them."""

import json
from pathlib import Path

import pytest

from assay.errors import ConfigError
from assay.verdict_trust import VerdictTrust
from flows.gate_key import make_gate_key
from tests.cli.conftest import Assay
from tests.gate_rig import MODEL, POLICY, Rig, make_rig

FAILED = "emotion_f1/joy,emotion_f1/anger,emotion_f1/fear,emotion_f1/macro"


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = make_rig(tmp_path / "rig")
    monkeypatch.setenv("ASSAY_HOME", str(rig.settings.home))
    monkeypatch.setenv("ASSAY_TRUST", str(rig.settings.trust))
    return rig


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "rig").mkdir(exist_ok=True)


def test_a_deploy_script_proves_a_promote_and_is_stopped_by_a_block(
    assay: Assay, rig: Rig, tmp_path: Path
) -> None:
    good = rig.gate("1.0.0")
    model = rig.store.pull(MODEL, "1.0.0", tmp_path / "pulled").folder
    key = rig.folder / "keys" / "gate.pub"
    done = assay(
        "verify", good.evidence_dir, "--artifact", model, "--key", key, "--deploy", "--json"
    )
    assert (done.code, done.document["verdict"]) == (0, "promote"), done.err
    assert "it may be deployed" in done.err
    assert "the very artifact that was judged" in done.err
    bad = rig.gate("1.2.0")
    assert assay("verify", bad.evidence_dir).code == 0
    stopped = assay("verify", bad.evidence_dir, "--deploy", "--json")
    assert stopped.code == 10
    assert "must not be deployed" in stopped.error
    other = assay("verify", bad.evidence_dir, "--artifact", model, "--json")
    assert other.code == 10
    stranger = assay("verify", good.evidence_dir, "--key", rig.keys.public, "--json")
    assert stranger.code == 10
    assert "no trusted key signed it" in stranger.error


def test_people_approve_and_override_by_command(assay: Assay, rig: Rig) -> None:
    rig.gate("1.0.0")
    rig.policy = POLICY + "promotion: {approvals: {standard: 1}}\n"
    waiting = rig.gate("1.1.0")
    run = waiting.verdict.context.run_id
    refused = assay("approve", run, "--key", rig.keys.private)
    assert refused.code == 2
    assert "nobody's key" in refused.err
    done = assay("approve", run, "--key", rig.people["Eve"], "--reason", "Looks good.")
    assert done.code == 0, done.err
    assert "payload" in json.loads(done.out)
    assert "signed by Eve so far" in done.err
    result = rig.gate("1.1.0")
    assert result.promotion is not None
    assert result.promotion.moved

    blocked = rig.gate("1.2.0").verdict.context.run_id
    words = ("override", blocked, "--findings", FAILED, "--reason", "It is needed today.")
    for who in ("Ada", "Bob"):
        done = assay(*words, "--expires", "3d", "--key", rig.people[who])
        assert done.code == 0, done.err
    ended = assay(*words, "--expires", "2020-01-01", "--key", rig.people["Ada"])
    assert ended.code == 2
    wrong = assay(*words, "--expires", "soon", "--key", rig.people["Ada"])
    assert "expected a date" in wrong.err
    assert rig.gate("1.2.0").promotion.moved  # type: ignore[union-attr]
    shown = assay("audit-log", "show")
    assert shown.out.count(": override emotion 1.2.0") == 2
    assert "It is needed today." in shown.out


def test_the_audit_log_is_held_against_signed_evidence(assay: Assay, rig: Rig) -> None:
    assert assay("audit-log", "verify").code == 2
    result = rig.gate("1.0.0")
    again = rig.gate("1.2.0")
    done = assay("audit-log", "verify", "--json")
    assert (done.code, done.document["heads"]) == (0, 2), done.err
    path = rig.settings.audit_log
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:2]))  # cut off at the end: a good chain, too short
    cut = assay("audit-log", "verify", "--json")
    assert cut.code == 10
    assert "cut off" in cut.error
    assert assay("audit-log", "verify", "--against", result.evidence_dir).code == 0
    assert assay("audit-log", "verify", "--against", again.evidence_dir).code == 10
    path.write_bytes(b"".join([whole[1], whole[0], *whole[2:]]))
    assert assay("audit-log", "verify").code == 10


def test_one_command_makes_the_gates_key_and_lists_it(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.notary import Notary
    from flows.settings import from_environment

    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSAY_TRUST", str(tmp_path / "trust.yaml"))
    done = assay("store", "keygen", "--gate")
    assert done.code == 0, done.err
    notary = Notary.of(from_environment())
    assert notary.key == tmp_path / "home" / "gate.key"
    assert len(notary.trust.gates.keys) == 1
    assert assay("store", "keygen", "--gate").code == 2, "a key is never overwritten"
    assert assay("store", "keygen").code == 2


@pytest.mark.parametrize(
    "text",
    [
        "schema_version: 1\nkeys: # models\n  - {name: r, public_key: r.pub}\n",
        "schema_version: 1\ngates:  # ours\n  - {name: g, public_key: r.pub}\n",
    ],
)
def test_a_trust_file_keeps_everything_else_as_it_is(rig: Rig, tmp_path: Path, text: str) -> None:
    from dataclasses import replace

    settings = replace(rig.settings, home=tmp_path / "h", trust=tmp_path / "t" / "trust.yaml")
    settings.trust.parent.mkdir()
    (tmp_path / "t" / "r.pub").write_bytes(rig.keys.public.read_bytes())
    settings.trust.write_text(text)
    before = VerdictTrust.load(settings.trust)
    made = make_gate_key(settings)
    after = settings.trust.read_text()
    assert set(text.splitlines()) < set(after.splitlines())
    assert len(VerdictTrust.load(settings.trust).gates.keys) == len(before.gates.keys) + 1
    assert made.private.stat().st_mode & 0o077 == 0


def test_a_trust_file_of_another_form_is_left_to_its_owner(rig: Rig, tmp_path: Path) -> None:
    from dataclasses import replace

    settings = replace(rig.settings, home=tmp_path / "h", trust=tmp_path / "t" / "trust.yaml")
    settings.trust.parent.mkdir()
    text = '{"schema_version": 1, "gates": []}\n'
    settings.trust.write_text(text)
    with pytest.raises(ConfigError, match="by hand"):
        make_gate_key(settings)
    assert settings.trust.read_text() == text
