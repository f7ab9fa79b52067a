"""Whether an evidence folder is what a trusted gate signed, unaltered.

::

    attestation.json ─ signed by a key under `gates` in trust.yaml, valid when it signed?
       └ digest of SHA256SUMS ─ every file of the folder is as sealed?
           └ every field of the statement ─ is what the files themselves say?
               └ approvals/*.json ─ the ones it lists are there, signed by listed people?

Decides authenticity, without any network and with public keys only. That the verdict follows from
the files is re-derived by `flows.rejudge`; whether it may move an alias is `warrant`'s.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from assay import digests, evidence
from assay.approvals import Approval, read_approval, why_not_about
from assay.attestation_statement import VerdictPredicate, VerdictStatement, facts_of, statement
from assay.documents import describe, parse_json, read_text
from assay.envelopes import MAX_ENVELOPE, verify_statement
from assay.errors import ArtifactError, ConfigError
from assay.records import Verdict
from assay.trust import TrustedKey
from assay.verdict_document import verdict_from_json
from assay.verdict_trust import VerdictTrust

MAX_ATTESTATION = 4 * 2**20
_MEND = (
    "fetch the evidence from the gate that made it, or list that gate's public key under `gates` "
    "in trust.yaml if you know whose it is"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """Evidence that a trusted gate vouches for.

    `approvals` are those that the gate has countersigned; `pending` are further ones in the folder
    that are signed by listed people and about this verdict; `refused` says why others do not count.
    `now` is when it was looked at.
    """

    folder: Path
    predicate: VerdictPredicate
    verdict: Verdict
    key: TrustedKey
    approvals: tuple[Approval, ...]
    pending: tuple[Approval, ...]
    refused: tuple[str, ...]
    now: datetime

    @property
    def expired(self) -> bool:
        """Whether a promote is too old to move an alias; a block never is."""
        expires = self.predicate.expires_at
        return expires is not None and expires <= self.now

    @property
    def digest(self) -> str:
        """Digest of the signed envelope."""
        return digests.of_file(self.folder / evidence.ATTESTATION)


def verify(folder: Path, trust: VerdictTrust, now: datetime) -> Attested:
    """Proves that a trusted gate signed this evidence, and that it is unaltered.

    Args:
        folder: the evidence.
        trust: whose signatures count.
        now: decides only whether a promote has expired.

    Raises:
        ArtifactError: the signature, a file or a field is not what it must be.
        ConfigError: the folder is no finished evidence, or nobody signed it.
    """
    predicate, key = _signed(folder, trust)
    evidence.check_seal(folder)
    path = folder / "verdict.json"
    verdict = verdict_from_json(parse_json(read_text(path), str(path)), str(path))
    _compare(folder, predicate, verdict)
    approvals, pending, refused = _countersigned(folder, predicate, trust)
    return Attested(
        folder=folder,
        predicate=predicate,
        verdict=verdict,
        key=key,
        approvals=approvals,
        pending=pending,
        refused=refused,
        now=now,
    )


def stated_by(folder: Path, trust: VerdictTrust) -> VerdictPredicate:
    """Returns what a trusted gate signed, without looking at the files that it signed it for.

    Raises:
        ArtifactError: no trusted gate signed it.
        ConfigError: nobody did.
    """
    return _signed(folder, trust)[0]


def is_signed(folder: Path) -> bool:
    """Whether somebody claims to have signed the evidence; `verify` says whether it is so."""
    return (folder / evidence.ATTESTATION).exists()


def _signed(folder: Path, trust: VerdictTrust) -> tuple[VerdictPredicate, TrustedKey]:
    path = folder / evidence.ATTESTATION
    if not is_signed(folder):
        raise ConfigError(
            f"{folder}: holds no {evidence.ATTESTATION}, so no gate has signed this verdict; "
            "expected evidence of a gate with a signing key; make one with `assay store keygen "
            "--gate`, and run the gate again"
        )
    payload, key = verify_statement(
        evidence.read_plain(path, MAX_ATTESTATION),
        trust.gates,
        str(path),
        mend=_MEND,
        max_bytes=MAX_ATTESTATION,
    )
    try:
        document = VerdictStatement.model_validate(parse_json(payload.decode("utf-8"), str(path)))
    except ValidationError as error:
        raise ArtifactError(f"{path}: {describe(error)}; {_MEND} [statement]") from None
    except (ConfigError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: {error} [statement]") from None
    predicate = document.predicate
    if reason := key.why_not(predicate.signed_at):
        raise ArtifactError(
            f"{path}: signed {predicate.signed_at.isoformat()}, but {reason}; {_MEND} "
            "[key-validity]"
        )
    if document.canonical() != statement(predicate).canonical():
        raise ArtifactError(
            f"{path}: its subject is not the artifact that it speaks of; {_MEND} [subject]"
        )
    return predicate, key


def _compare(folder: Path, predicate: VerdictPredicate, verdict: Verdict) -> None:
    """Holds every field of the statement against the files it was made from."""
    stated = predicate.model_dump(mode="json")
    facts = VerdictPredicate.model_validate(
        predicate.model_dump() | facts_of(folder, verdict)
    ).model_dump(mode="json")
    differing = sorted(name for name in stated if stated[name] != facts[name])
    if differing:
        raise ArtifactError(
            f"{folder}: {evidence.ATTESTATION} was signed for other contents: "
            f"{', '.join(differing)} differ from the files; {_MEND} [other-contents]"
        )


def _countersigned(
    folder: Path, predicate: VerdictPredicate, trust: VerdictTrust
) -> tuple[tuple[Approval, ...], tuple[Approval, ...], tuple[str, ...]]:
    listed = {one.file: one for one in predicate.approvals}
    accepted: list[Approval] = []
    pending: list[Approval] = []
    refused: list[str] = []
    for name, one in listed.items():
        path = folder / name
        if not path.is_file() or digests.of_file(path) != one.digest:
            raise ArtifactError(
                f"{path}: the {one.kind} of {one.by} that the gate countersigned is gone or "
                f"altered; {_MEND} [countersigned]"
            )
    for path in sorted((folder / evidence.APPROVALS).glob("*.json")):
        name = path.relative_to(folder).as_posix()
        try:
            envelope = evidence.read_plain(path, MAX_ENVELOPE)
            approval = read_approval(envelope, trust, str(path))
        except ArtifactError as error:
            refused.append(str(error))
            continue
        if reason := why_not_about(approval, predicate):
            refused.append(f"{path}: {reason}")
        elif listed.get(name) == approval.ref:
            accepted.append(approval)
        elif approval.ref.file == name:
            pending.append(approval)
        else:
            refused.append(f"{path}: expected the name {approval.ref.file}; give it that name")
    return tuple(accepted), tuple(pending), tuple(refused)
