"""What `assay verify` proves: signature, files, verdict, artifact — offline, with public keys only.

Decides the order of the proofs and what each one says to its reader. The proofs themselves are
`assay.attestation`'s, `flows.rejudge`'s and `assay.attestation_artifact`'s.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from assay import attestation
from assay.attestation import Attested
from assay.attestation_artifact import artifact_digest
from assay.errors import ArtifactError
from assay.policy import load_policy
from assay.records import Verdict
from assay.trust import TrustedKeys, trusted_key
from assay.verdict_trust import VerdictTrust
from assay.warrant import why_not_deployed
from flows.rejudge import sealed_files, verify_evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was proved: one sentence each; `attested` is None for evidence nobody signed."""

    verdict: Verdict
    attested: Attested | None
    sentences: tuple[str, ...]


def prove(
    folder: Path,
    trust: VerdictTrust,
    now: datetime,
    *,
    artifact: Path | None = None,
    deploy: bool = False,
    unsigned: bool = False,
) -> Proof:
    """Proves an evidence folder.

    Args:
        folder: the evidence.
        trust: whose signatures count.
        now: the time.
        artifact: a folder that must be the very artifact that was judged.
        deploy: whether the verdict (or people who overrode it) must let that artifact be deployed.
        unsigned: whether evidence that nobody signed is looked at, too.

    Raises:
        ArtifactError: something is not what it claims to be.
        ConfigError: the folder is no finished evidence, or a file is missing.
    """
    sealed_files(folder)
    signed = attestation.is_signed(folder)
    if not signed and unsigned and not deploy:
        verdict, attested = verify_evidence(folder), None
        sentences = ["nobody has signed this evidence: whoever wrote it could have written another"]
    elif not signed:
        raise ArtifactError(
            f"{folder}: nobody has signed this evidence, so nobody vouches for it; have the gate "
            "sign its verdicts (`assay store keygen --gate`), or look at it with --unsigned"
        )
    else:
        attested = attestation.verify(folder, trust, now)
        verdict = verify_evidence(folder)
        sentences = _signed_by(attested)
    sentences.append("every file is as sealed, and the verdict follows from them byte for byte")
    if artifact is not None:
        sentences.append(_is_subject(artifact, verdict))
    if deploy and attested is not None:
        why = why_not_deployed(attested, load_policy(folder / "policy.yaml"), now)
        if why:
            raise ArtifactError(f"{folder}: this must not be deployed: {why}")
        sentences.append("it may be deployed")
    return Proof(verdict=verdict, attested=attested, sentences=tuple(sentences))


def trust_of(path: Path, keys: tuple[Path, ...]) -> VerdictTrust:
    """Returns the trusted keys: the trust file's, or only the gates' public keys that are named.

    Raises:
        ConfigError: a file is missing or no key.
    """
    if keys:
        return VerdictTrust(gates=TrustedKeys(tuple(trusted_key(k, name=k.stem) for k in keys)))
    return VerdictTrust.load(path) if path.exists() else VerdictTrust()


def _signed_by(attested: Attested) -> list[str]:
    stated = attested.predicate
    lines = [f"signed by the gate's key {attested.key.name!r} on {stated.signed_at:%Y-%m-%d %H:%M}"]
    for one in attested.approvals:
        said = one.predicate
        until = f" until {said.expires_at:%Y-%m-%d %H:%M}" if said.expires_at else ""
        lines.append(f"{said.kind} by {one.key.name}{until}: {said.reason or 'no reason given'}")
    lines += [f"does not count: {reason}" for reason in attested.refused]
    if attested.expired:
        lines.append(f"its promote expired on {stated.expires_at}, and moves no alias any more")
    return lines


def _is_subject(artifact: Path, verdict: Verdict) -> str:
    candidate = verdict.context.candidate
    found = artifact_digest(artifact)
    if candidate is None or found != candidate.digest:
        raise ArtifactError(
            f"{artifact}: is the artifact {found}, and this evidence is about "
            f"{candidate.digest if candidate else 'none that was verified'}; find the evidence of "
            "this artifact, or pull the version that this evidence is about"
        )
    return f"{artifact} is {candidate.model} {candidate.version}, the very artifact that was judged"
