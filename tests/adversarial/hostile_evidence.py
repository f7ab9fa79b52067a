"""Hostile evidence: statements, approvals and logs that somebody without the right key has made."""

import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from assay import attestation, digests, evidence
from assay.adapters.signer_dsse import sign_statement
from assay.approvals import approval_statement, read_approval
from assay.attestation_statement import LogHead
from assay.audit_log import AuditLog
from tests.adversarial.corpus import Hostile
from tests.adversarial.world import keys, trust

Build = Callable[[Path], object]
NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)


def block(folder: Path) -> Path:
    return folder / "evidence" / "block"


def verify(folder: Path) -> object:
    return attestation.verify(block(folder), trust(folder), datetime.now(UTC))


def row(
    name: str, code: str, build: Build, meet: Callable[[Path], object] = verify, words: str = ""
) -> Hostile:
    return Hostile(
        name=f"evidence: {name}", code=code, build=build, meet=meet, words=words, needs_world=True
    )


def statement_of(folder: Path) -> dict[str, Any]:
    envelope = json.loads((block(folder) / evidence.ATTESTATION).read_bytes())
    value: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return value


def signed_by(name: str, change: Callable[[dict[str, Any]], object]) -> Build:
    """The statement, changed, and signed by somebody."""

    def build(folder: Path) -> None:
        document = statement_of(folder)
        change(document)
        data = digests.canonical_json(document)
        signed = sign_statement(data, keys(folder, name).private)
        (block(folder) / evidence.ATTESTATION).write_bytes(signed)

    return build


def stated(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["predicate"].update(fields)


def edited(name: str, old: str, new: str, *, seal: bool = False) -> Build:
    def build(folder: Path) -> None:
        path = block(folder) / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        if seal:
            evidence.seal(block(folder))

    return build


def statement_of_the_promote(folder: Path) -> None:
    source = folder / "evidence" / "promote" / evidence.ATTESTATION
    (block(folder) / evidence.ATTESTATION).write_bytes(source.read_bytes())


def a_pipe(name: str) -> Build:
    def build(folder: Path) -> None:
        (block(folder) / name).unlink(missing_ok=True)
        (block(folder) / name).parent.mkdir(exist_ok=True)
        os.mkfifo(block(folder) / name)

    return build


def a_folder(name: str) -> Build:
    def build(folder: Path) -> None:
        (block(folder) / name).unlink()
        (block(folder) / name).mkdir()

    return build


def a_link(name: str) -> Build:
    """The same bytes, from a place where they can change after they were looked at."""

    def build(folder: Path) -> None:
        path = block(folder) / name
        path.rename(folder / "elsewhere")
        path.symlink_to(folder / "elsewhere")

    return build


def grown(name: str, size: int) -> Build:
    return lambda folder: os.truncate(block(folder) / name, size)


def revoked(folder: Path) -> None:
    path = folder / "trust.yaml"
    text = path.read_text().replace("{name: gate, ", "{name: gate, revoked: true, ")
    path.write_text(text)


# --- approvals ------------------------------------------------------------------------------------


def approval(folder: Path, **fields: object) -> bytes:
    predicate = attestation.stated_by(block(folder), trust(folder))
    told = {"kind": "approval", "by": "Eve", "signed_at": NOW} | fields
    return approval_statement(predicate, **told).canonical()


def approved(signer: str, **fields: object) -> Build:
    return lambda folder: (folder / "approval.json").write_bytes(
        sign_statement(approval(folder, **fields), keys(folder, signer).private)
    )


def bare(folder: Path) -> None:
    """An approval that nobody signed."""
    (folder / "approval.json").write_bytes(approval(folder))


def raw(data: bytes) -> Build:
    return lambda folder: (folder / "approval.json").write_bytes(data)


def approve(folder: Path) -> object:
    return read_approval((folder / "approval.json").read_bytes(), trust(folder), "approval.json")


def ended(folder: Path) -> None:
    approved("eve")(folder)
    path = folder / "trust.yaml"
    until = (NOW - timedelta(days=1)).isoformat()
    path.write_text(
        path.read_text().replace("{name: Eve, ", f'{{name: Eve, valid_until: "{until}", ')
    )


def person(name: str, code: str, build: Build) -> Hostile:
    return row(f"an approval {name}", code, build, approve)


# --- the audit log --------------------------------------------------------------------------------


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Build:
    def build(folder: Path) -> None:
        path = folder / "audit.jsonl"
        head = AuditLog(path).verify().head
        assert head is not None
        (folder / "head.json").write_text(head.model_dump_json())
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return build


def audit(folder: Path) -> object:
    head = LogHead.model_validate_json((folder / "head.json").read_bytes())
    return AuditLog(folder / "audit.jsonl").verify([head])


def append(folder: Path) -> object:
    return AuditLog(folder / "audit.jsonl").append("verdict", who="x", at=NOW)


def changed(at: int, **fields: Any) -> Callable[[list[bytes]], list[bytes]]:
    def change(entries: list[bytes]) -> list[bytes]:
        entry = json.loads(entries[at]) | fields
        entries[at] = json.dumps(entry, separators=(",", ":"), sort_keys=True).encode() + b"\n"
        return entries

    return change


def rewritten(entries: list[bytes]) -> list[bytes]:
    """A whole history, well chained, in which somebody else did it."""
    previous = "sha256:" + "0" * 64
    new = []
    for entry in entries:
        document = json.loads(entry) | {"previous": previous, "who": "nobody"}
        line = digests.canonical_json(document)
        previous = digests.of_bytes(line)
        new.append(line + b"\n")
    return new


def log(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Hostile:
    return row(f"an audit log {name}", "audit-log", lines(change), audit)


PROMOTED = '"verdict": "block"', '"verdict": "promote"'
ALL = [
    row("a verdict edited from block to promote", "seal", edited("verdict.json", *PROMOTED)),
    row("a verdict edited and sealed again", "other-contents",
        edited("verdict.json", *PROMOTED, seal=True)),
    row("an answer edited and sealed again", "other-contents",
        edited("candidate/predictions.jsonl", '"fear"', '"joy"', seal=True)),
    row("a margin edited and sealed again", "other-contents",
        edited("policy.yaml", "margin: 0.05", "margin: 0.5", seal=True)),
    row("the statement of another run", "other-contents", statement_of_the_promote),
    row("a promote signed by a stranger", "untrusted-key",
        signed_by("stranger", stated(verdict="promote"))),
    row("a promote signed by the release key", "untrusted-key",
        signed_by("release", stated(verdict="promote"))),
    row("a promote signed by an approver", "untrusted-key",
        signed_by("ada", stated(verdict="promote"))),
    row("a promote that the gate's own key signed for a block", "other-contents",
        signed_by("gate", stated(verdict="promote"))),
    row("a statement about another subject", "subject",
        signed_by("gate", lambda d: d["subject"][0].update(name="other/1.0.0"))),
    row("a release manifest in the place of a verdict", "statement",
        signed_by("gate", lambda d: d.update(predicateType="urn:assay:release:v1"))),
    row("a countersigned approval that is not there", "countersigned",
        signed_by("gate", stated(approvals=[{
            "file": f"approvals/{'0' * 64}.json", "digest": f"sha256:{'0' * 64}",
            "kind": "approval", "by": "Eve"}]))),
    row("an approval named by a path", "statement",
        signed_by("gate", stated(approvals=[{
            "file": "approvals/../../x.json", "digest": f"sha256:{'0' * 64}",
            "kind": "approval", "by": "Eve"}]))),
    row("a gate's key that was revoked", "key-validity", revoked),
    row("a file that the seal does not name", "seal",
        lambda folder: (block(folder) / "notes.txt").write_text("x")),
    row("a file that is a link", "seal", a_link("verdict.json")),
    row("predictions that are a pipe", "seal", a_pipe("candidate/predictions.jsonl")),
    row("predictions of a tebibyte", "seal", grown("candidate/predictions.jsonl", 2**40)),
    row("a hidden file of a tebibyte", "seal",
        lambda folder: ((block(folder) / "x").touch(), os.truncate(block(folder) / "x", 2**40))),
    row("a statement that is a pipe", "not-a-file", a_pipe(evidence.ATTESTATION)),
    row("a statement that is a folder", "not-a-file", a_folder(evidence.ATTESTATION)),
    row("a statement that is a link", "not-a-file", a_link(evidence.ATTESTATION)),
    row("a statement of a tebibyte", "not-a-file", grown(evidence.ATTESTATION, 2**40)),
    person("that nobody signed", "envelope", bare),
    person("signed by a stranger", "untrusted-key", approved("stranger")),
    person("signed by the gate itself", "untrusted-key", approved("gate")),
    person("signed by one in the name of another", "signer", approved("eve", by="Ada")),
    person("that overrides, of one who may only approve", "role", approved(
        "eve", kind="override", reason="It is in a hurry.", expires_at=NOW, findings=("a/b",))),
    person("of a key that had ended", "key-validity", ended),
    person("of five mebibytes", "envelope", raw(b" " * 5 * 2**20)),
    person("in YAML", "envelope", raw(b"payload: !!python/object:os.system x")),
    log("with an entry edited", changed(0, who="nobody")),
    log("with an entry removed", lambda entries: entries[1:]),
    log("with two entries in another order",
        lambda entries: [entries[1], entries[0], *entries[2:]]),
    log("with an entry twice", lambda entries: [entries[0], *entries]),
    log("cut short", lambda entries: entries[:-1]),
    log("emptied", lambda entries: []),
    log("rewritten from its beginning", rewritten),
    log("with a number beyond what JSON carries", changed(0, number=2**60)),
    log("that is no text", lambda entries: [b"\xff\n", *entries]),
    log("of deep lists", lambda entries: [b"[" * 100_000 + b"\n", *entries]),
    row("an audit log whose last line is a bomb, appended to", "audit-log",
        lines(lambda entries: [*entries, b"[" * 100_000 + b"\n"]), append),
]  # fmt: skip
