"""What people sign after a verdict: an approval of a promote, or an override of a block.

Decides what such a statement says, that a listed person signed it, and why one does not count.
Whether there are enough of them is the warrant's to say. Each is a DSSE envelope of its own in the
evidence's `approvals/`, named after its digest, so nobody's statement can replace another's.

A statement binds the person to one verdict on one evidence folder and one artifact digest: it can
be carried anywhere (MLflow, a form, e-mail) and is worth nothing for any other release.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError

from assay import digests, evidence
from assay.artifact import STATEMENT_TYPE, Subject
from assay.attestation_statement import Countersignature, Digest, VerdictPredicate
from assay.documents import Document, describe, parse_json
from assay.envelopes import verify_statement
from assay.errors import ArtifactError, ConfigError
from assay.policy import ChangeClass
from assay.records import FindingStatus, VerdictKind
from assay.trust import Office, TrustedKey
from assay.verdict_trust import VerdictTrust

FREEZE = "policy/freeze"
"""The metric of the finding that a freeze makes, which a promotion inside one is held against."""

Reason = Annotated[str, Field(min_length=8, max_length=2000, pattern=r"^\S.*\S$")]
_MEND = "ask the person to sign it with a key that trust.yaml lists under `approvers`"


class ApprovalPredicate(Document):
    """What a person states about one verdict.

    An override names the findings it overrides, a reason and when it ends; an approval has none.
    """

    schema_version: Literal[1] = 1
    kind: Literal["approval", "override"]
    by: str
    run_id: str
    change: ChangeClass
    verdict_digest: Digest
    evidence_digest: Digest
    findings: tuple[str, ...] = ()
    reason: Reason | None = None
    signed_at: AwareDatetime
    expires_at: AwareDatetime | None = None


class ApprovalStatement(Document):
    """The in-toto statement: the subject is the artifact that was judged."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject]
    predicate_type: Literal["urn:assay:approval:v1"] = Field(alias="predicateType")
    predicate: ApprovalPredicate

    def canonical(self) -> bytes:
        """Returns the bytes that are signed (RFC 8785)."""
        return digests.canonical_json(self.model_dump(mode="json", by_alias=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A statement that a listed person signed: `ref` names it in an attestation."""

    predicate: ApprovalPredicate
    artifact: str
    key: TrustedKey
    ref: Countersignature


def approval_statement(stated: VerdictPredicate, **fields: object) -> ApprovalStatement:
    """Builds what a person signs about a verdict.

    Args:
        stated: the gate's own statement, already verified.
        fields: those of `ApprovalPredicate` that the verdict does not give.

    Raises:
        ConfigError: the run verified no artifact, or a field is not what it must be.
    """
    if stated.candidate is None:
        raise ConfigError(
            f"run {stated.run_id}: it verified no artifact, so there is nothing that could be "
            "approved; publish the model again and gate it"
        )
    try:
        return ApprovalStatement.model_validate(
            {
                "_type": STATEMENT_TYPE,
                "subject": [
                    {
                        "name": f"{stated.candidate.model}/{stated.candidate.version}",
                        "digest": {"sha256": stated.candidate.digest.removeprefix("sha256:")},
                    }
                ],
                "predicateType": "urn:assay:approval:v1",
                "predicate": {
                    "run_id": stated.run_id,
                    "change": stated.change,
                    "verdict_digest": stated.verdict_digest,
                    "evidence_digest": stated.evidence_digest,
                    **fields,
                },
            }
        )
    except ValidationError as error:
        raise ConfigError(f"the statement: {describe(error)}; correct it and sign again") from None


def read_approval(envelope: bytes, trust: VerdictTrust, where: str) -> Approval:
    """Opens a signed approval or override.

    Raises:
        ArtifactError: no listed person signed it, the key was not valid then, the person may not do
            this, or it is no such statement.
    """
    payload, key = verify_statement(envelope, trust.people, where, mend=_MEND)
    try:
        document = ApprovalStatement.model_validate(parse_json(payload.decode("utf-8"), where))
    except ValidationError as error:
        raise ArtifactError(f"{where}: {describe(error)}; sign it again [statement]") from None
    except (ConfigError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{where}: {error} [statement]") from None
    said = document.predicate
    if reason := key.why_not(said.signed_at):
        raise ArtifactError(
            f"{where}: signed {said.signed_at.isoformat()}, but {reason}; {_MEND} [key-validity]"
        )
    if said.by != key.name:
        raise ArtifactError(
            f"{where}: states that {said.by!r} signed it, but the key is {key.name!r}'s; {_MEND} "
            "[signer]"
        )
    office: Office = "approve" if said.kind == "approval" else "override"
    if office not in trust.roles_of(key):
        raise ArtifactError(
            f"{where}: {key.name!r} may {' and '.join(trust.roles_of(key))} only, and this is an "
            f"{said.kind}; have it signed by somebody whose roles in trust.yaml hold {office!r} "
            "[role]"
        )
    digest = digests.of_bytes(envelope)
    return Approval(
        predicate=said,
        artifact=f"sha256:{document.subject[0].digest.sha256}",
        key=key,
        ref=Countersignature(file=file_name(digest), digest=digest, kind=said.kind, by=key.name),
    )


def file_name(digest: str) -> str:
    """Returns where an envelope of a digest lies in an evidence folder."""
    return f"{evidence.APPROVALS}/{digest.removeprefix('sha256:')}.json"


def add_to(folder: Path, envelope: bytes) -> Path:
    """Puts an envelope beside the evidence; the same one twice is there once."""
    path = folder / file_name(digests.of_bytes(envelope))
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(envelope)
    partial.replace(path)
    return path


def to_override(stated: VerdictPredicate, frozen: str | None) -> frozenset[str]:
    """Returns the metrics that an override must name: all that did not pass, and a freeze."""
    open_ = {one.metric for one in stated.findings if one.status is not FindingStatus.PASSED}
    return frozenset(open_ | ({FREEZE} if frozen else set()))


def why_not_about(approval: Approval, stated: VerdictPredicate) -> str | None:
    """Says why a statement is about another verdict, evidence or artifact; None when it is not."""
    said, who = approval.predicate, f"the {approval.predicate.kind} of {approval.key.name}"
    if stated.candidate is None or approval.artifact != stated.candidate.digest:
        found = stated.candidate.digest if stated.candidate else "no verified artifact"
        return f"{who} is for the artifact {approval.artifact}, and this is {found}"
    if (said.run_id, said.verdict_digest, said.evidence_digest) != (
        stated.run_id,
        stated.verdict_digest,
        stated.evidence_digest,
    ):
        return f"{who} is for the verdict of run {said.run_id}, and this is run {stated.run_id}"
    if said.change != stated.change:
        return f"{who} is for a change of class {said.change}, and this one is {stated.change}"
    return None


def why_no_override(
    approval: Approval, stated: VerdictPredicate, needed: frozenset[str], now: datetime
) -> str | None:
    """Says why an override does not count for this verdict now; None when it does."""
    said, who = approval.predicate, f"the override of {approval.key.name}"
    if about := why_not_about(approval, stated):
        return about
    if stated.verdict is VerdictKind.INVALID:
        return "the verdict is invalid: nothing was learnt, so there is nothing to override"
    if said.reason is None or said.expires_at is None:
        return f"{who} gives no reason or no end; both are needed"
    if said.expires_at <= now:
        return f"{who} ended on {said.expires_at.isoformat()}; a new one is needed"
    missing = sorted(needed - set(said.findings))
    if missing:
        return f"{who} does not name {', '.join(missing)}, which did not pass either"
    unknown = sorted(set(said.findings) - needed - {FREEZE})
    if unknown:
        return f"{who} names {', '.join(unknown)}, which stands in nobody's way; check the names"
    return None


def people(approvals: Sequence[Approval]) -> list[str]:
    """Returns the different people behind statements, in the order in which they signed."""
    ordered = sorted(approvals, key=lambda one: one.predicate.signed_at)
    return list(dict.fromkeys(one.key.name for one in ordered))
