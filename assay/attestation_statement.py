"""What a gate signs about a verdict: an in-toto statement, the payload of `attestation.json`.

Decides the fields and how they follow from an evidence folder; signing is `signer_dsse`'s, and
whether a statement is to be believed is `attestation`'s.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from assay import digests, evidence
from assay.artifact import STATEMENT_TYPE, Subject
from assay.documents import Document
from assay.policy import ChangeClass, Policy
from assay.records import Finding, FindingStatus, Verdict, VerdictKind
from assay.verdict import SELF_TEST, verdict_bytes
from assay.verdict_document import ArtifactDocument, EngineDocument, ProblemDocument

VERDICT_PREDICATE = "urn:assay:verdict:v1"
PREDICTIONS = ("candidate/", "production/", f"{evidence.ANCHOR}/")

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class FindingSummary(Document):
    """One finding, as far as a promotion depends on it; the rest is in `verdict.json`."""

    metric: str
    kind: str
    slice: str | None
    status: FindingStatus


class Countersignature(Document):
    """A signed approval or override that the promotion rests on."""

    file: str = Field(pattern=r"^approvals/[0-9a-f]{64}\.json$")
    digest: Digest
    kind: Literal["approval", "override"]
    by: str


class LogHead(Document):
    """How long the audit log was, and the digest of its last entry: a shorter one was cut."""

    entries: int = Field(ge=1, le=2**53)
    head: Digest


class VerdictPredicate(Document):
    """What the gate states about one run; `inputs` are those of the verdict."""

    schema_version: Literal[1] = 1
    run_id: str
    verdict: VerdictKind
    only: tuple[str, ...]
    candidate: ArtifactDocument | None
    production: ArtifactDocument | None
    engine: EngineDocument | None
    inputs: dict[str, str]
    code: dict[str, Digest]
    predictions: dict[str, Digest]
    findings: tuple[FindingSummary, ...]
    self_test: Literal["passed", "failed", "not run"]
    problems: tuple[ProblemDocument, ...]
    verdict_digest: Digest
    evidence_digest: Digest
    change: ChangeClass
    approvals: tuple[Countersignature, ...] = ()
    signed_at: AwareDatetime
    expires_at: AwareDatetime | None
    audit_log: LogHead | None = None


class VerdictStatement(Document):
    """The in-toto statement: the subject is the artifact that was judged."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject]
    predicate_type: Literal["urn:assay:verdict:v1"] = Field(alias="predicateType")
    predicate: VerdictPredicate

    def canonical(self) -> bytes:
        """Returns the bytes that are signed (RFC 8785)."""
        return digests.canonical_json(self.model_dump(mode="json", by_alias=True))


def statement(predicate: VerdictPredicate) -> VerdictStatement:
    """Returns the statement of a predicate.

    Its subject is the artifact; for a run that verified none, the evidence itself, which no
    promotion can ever ask for.
    """
    candidate = predicate.candidate
    name = f"{candidate.model}/{candidate.version}" if candidate else f"run/{predicate.run_id}"
    digest = candidate.digest if candidate else predicate.evidence_digest
    return VerdictStatement.model_validate(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}],
            "predicateType": VERDICT_PREDICATE,
            "predicate": predicate,
        }
    )


def predicate_of(
    folder: Path,
    verdict: Verdict,
    *,
    policy: Policy,
    change: ChangeClass,
    code: Mapping[str, str],
    signed_at: datetime,
    audit_log: LogHead | None,
) -> VerdictPredicate:
    """Builds what is stated about a sealed evidence folder.

    Args:
        folder: the evidence, sealed.
        verdict: the verdict that it proves.
        policy: the policy of the run; it says how long a promote may be used.
        change: the change class that was asked for.
        code: name → digest of the packages that judged.
        signed_at: now.
        audit_log: its head, before this verdict is used for anything.
    """
    promote = verdict.verdict is VerdictKind.PROMOTE
    valid = timedelta(days=policy.promotion.valid_days)
    facts = facts_of(folder, verdict)
    return VerdictPredicate.model_validate(
        {
            **facts,
            "code": dict(code),
            "change": change,
            "signed_at": signed_at,
            "expires_at": signed_at + valid if promote else None,
            "audit_log": audit_log,
        }
    )


def facts_of(folder: Path, verdict: Verdict) -> dict[str, Any]:
    """Returns the fields of a predicate that follow from the evidence alone."""
    context = verdict.context
    sealed = evidence.sealed_digests(folder)
    plain = evidence.context_to_json(context)
    return {
        "run_id": context.run_id,
        "verdict": verdict.verdict,
        "only": verdict.only,
        "candidate": _ref(plain["candidate"]),
        "production": _ref(plain["production"]),
        "engine": plain["engine"],
        "inputs": dict(verdict.inputs),
        "predictions": {
            name: f"sha256:{digest}"
            for name, digest in sorted(sealed.items())
            if name.startswith(PREDICTIONS)
        },
        "findings": tuple(_summary(finding) for finding in verdict.findings if finding.gating),
        "self_test": _self_test(verdict.findings),
        "problems": plain["problems"],
        "verdict_digest": digests.of_bytes(verdict_bytes(verdict)),
        "evidence_digest": digests.of_file(folder / evidence.SUMS),
    }


def code_digest(package: Path) -> str:
    """Returns the digest of a package's files as installed, by name; caches are left out."""
    files = {
        path.relative_to(package).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return digests.of_json(files)


def _ref(plain: Mapping[str, Any] | None) -> ArtifactDocument | None:
    if plain is None:
        return None
    return ArtifactDocument(model=plain["model"], version=plain["version"], digest=plain["digest"])


def _summary(finding: Finding) -> FindingSummary:
    return FindingSummary(
        metric=finding.metric, kind=finding.kind, slice=finding.slice, status=finding.status
    )


def _self_test(findings: Sequence[Finding]) -> str:
    tests = [finding for finding in findings if finding.kind == SELF_TEST and finding.gating]
    if not tests:
        return "not run"
    return "passed" if all(f.status is FindingStatus.PASSED for f in tests) else "failed"
