"""People's part in a release: they sign an approval or an override, and a waiting run goes on.

Decides what is checked before somebody signs (so that nobody signs what would not count), where the
statement goes, and which Prefect run waits for it. Whether statements suffice is `assay.warrant`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from assay import approvals, attestation, evidence
from assay.approvals import Approval, approval_statement, read_approval, to_override
from assay.attestation import Attested
from assay.audit_log import AuditLog
from assay.errors import ArtifactError, ConfigError
from assay.policy import load_policy
from assay.records import VerdictKind
from assay.trust import Office, TrustedKey
from assay.verdict_trust import VerdictTrust
from flows.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement that was just signed, as it may be carried elsewhere, and who signed so far."""

    run_id: str
    envelope: bytes
    path: Path
    people: tuple[str, ...]


def evidence_folder(run: str, settings: Settings) -> Path:
    """Returns the evidence that a person means: a folder, or a run of this machine.

    Raises:
        ConfigError: there is neither.
    """
    for folder in (Path(run), settings.reports / run):
        if (folder / evidence.SUMS).is_file():
            return folder.resolve()
    raise ConfigError(
        f"{run!r}: neither an evidence folder nor a run in {settings.reports}; name one of these, "
        "or fetch the evidence first: mlflow artifacts download --run-id … --dst-path …"
    )


def sign_approval(
    folder: Path, key: Path, settings: Settings, now: datetime, reason: str | None
) -> Signed:
    """Signs a person's approval of a promote.

    Raises:
        ArtifactError: the evidence is not what a trusted gate signed.
        ConfigError: the verdict is no promote, or this person's approval would not count.
    """
    trust = VerdictTrust.load(settings.trust)
    attested = attestation.verify(folder, trust, now)
    person = _person(key, trust, "approve", now)
    stated = attested.predicate
    if stated.verdict is not VerdictKind.PROMOTE:
        raise ConfigError(
            f"run {stated.run_id}: its verdict is {stated.verdict.value!r}, and only a promote is "
            "approved; a block takes an override (`assay override`)"
        )
    if attested.expired:
        raise ConfigError(
            f"run {stated.run_id}: its promote expired on {stated.expires_at}; run the gate again"
        )
    _check_first(attested, person, "approval")
    fields = {"kind": "approval", "by": person.name, "reason": reason, "signed_at": now}
    return _sign(folder, key, attested, trust, fields, settings)


def sign_override(
    folder: Path,
    key: Path,
    settings: Settings,
    now: datetime,
    *,
    findings: tuple[str, ...],
    reason: str,
    expires_at: datetime,
) -> Signed:
    """Signs a person's override of what did not pass.

    Raises:
        ArtifactError: the evidence is not what a trusted gate signed.
        ConfigError: this override would not count; says why.
    """
    trust = VerdictTrust.load(settings.trust)
    attested = attestation.verify(folder, trust, now)
    person = _person(key, trust, "override", now)
    frozen = load_policy(folder / "policy.yaml").frozen_on(now.date())
    needed = to_override(attested.predicate, frozen)
    if not needed and attested.predicate.verdict is VerdictKind.PROMOTE:
        raise ConfigError(
            f"run {attested.predicate.run_id}: its verdict is 'promote', so there is nothing to "
            "override; approve it (`assay approve`) where the policy asks for that"
        )
    _check_first(attested, person, "override")
    fields = {
        "kind": "override",
        "by": person.name,
        "findings": tuple(sorted(set(findings))),
        "reason": reason,
        "signed_at": now,
        "expires_at": expires_at,
    }
    return _sign(folder, key, attested, trust, fields, settings, needed)


def _person(key: Path, trust: VerdictTrust, office: Office, now: datetime) -> TrustedKey:
    from assay.adapters.signer_dsse import load_private_key

    _, key_id = load_private_key(key)
    person = trust.people.by_id(key_id)
    if person is None:
        raise ConfigError(
            f"{key}: nobody's key: the trust file does not list it under `approvers`; have its "
            "public key listed there, with a name and roles, or sign with a key that is"
        )
    if office not in trust.roles_of(person):
        raise ConfigError(
            f"{key}: {person.name!r} may {' and '.join(trust.roles_of(person))} only; have this "
            f"signed by somebody whose roles hold {office!r}"
        )
    if reason := person.why_not(now):
        raise ConfigError(f"{key}: {reason}; sign with a key that is valid now")
    return person


def _check_first(attested: Attested, person: TrustedKey, kind: str) -> None:
    """The second person has to be another one."""
    for one in (*attested.approvals, *attested.pending):
        if one.predicate.kind == kind and one.key.name == person.name:
            expires = one.predicate.expires_at
            if expires is None or expires > attested.now:
                raise ConfigError(
                    f"run {attested.predicate.run_id}: {person.name!r} has signed an {kind} of it "
                    "already, and counts once; the next has to be another person"
                )


def _sign(
    folder: Path,
    key: Path,
    attested: Attested,
    trust: VerdictTrust,
    fields: Mapping[str, object],
    settings: Settings,
    needed: frozenset[str] | None = None,
) -> Signed:
    from assay.adapters.signer_dsse import sign_statement

    stated = attested.predicate
    envelope = sign_statement(approval_statement(stated, **fields).canonical(), key)
    approval = read_approval(envelope, trust, "the statement")
    if needed is not None:
        why = approvals.why_no_override(approval, stated, needed, attested.now)
        if why:
            raise ConfigError(f"run {stated.run_id}: {why}")
    path = approvals.add_to(folder, envelope)
    _log(approval, attested, settings)
    kind, signed = approval.predicate.kind, (*attested.approvals, *attested.pending, approval)
    people = approvals.people([one for one in signed if one.predicate.kind == kind])
    return Signed(run_id=stated.run_id, envelope=envelope, path=path, people=tuple(people))


def _log(approval: Approval, attested: Attested, settings: Settings) -> None:
    said, candidate = approval.predicate, attested.verdict.context.candidate
    names = f"{', '.join(said.findings)}: " if said.findings else ""
    AuditLog(settings.audit_log).append(
        said.kind,
        who=approval.key.name,
        at=said.signed_at,
        run_id=said.run_id,
        model=candidate.model if candidate else None,
        version=candidate.version if candidate else None,
        about={"artifact": approval.artifact, "statement": approval.ref.digest},
        note=f"{names}{said.reason or ''}",
    )


def accept(folder: Path, envelope: bytes, trust: VerdictTrust, now: datetime) -> str | None:
    """Puts a statement that came from elsewhere beside the evidence; says why not, or None.

    Args:
        folder: the evidence.
        envelope: the statement, as a form or another machine handed it over.
        trust: whose signatures count.
        now: the time.
    """
    try:
        approval = read_approval(envelope, trust, "what was handed over")
        stated = attestation.verify(folder, trust, now).predicate
    except ArtifactError as error:
        return str(error)
    if why := approvals.why_not_about(approval, stated):
        return why
    approvals.add_to(folder, envelope)
    return None
