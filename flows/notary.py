"""What a gate signs and writes down: its verdicts, countersignatures and the audit log.

Decides which key signs, when a person's approval is countersigned, and what is logged; what the
statements say and whether they are believed is `assay.attestation`'s. Without a key the gate still
judges, says at once that nothing it finds can move production, and signs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from assay import attestation, digests, evidence
from assay.attestation import Attested
from assay.attestation_statement import (
    LogHead,
    VerdictPredicate,
    code_digest,
    predicate_of,
    statement,
)
from assay.audit_log import AuditLog, Event
from assay.errors import ArtifactError, ConfigError
from assay.policy import ChangeClass, Policy
from assay.records import PromotionOutcome, Verdict
from assay.verdict import verdict_bytes
from assay.verdict_trust import VerdictTrust
from flows.settings import Settings

CODE = ("assay", "evaluators", "flows")
"""The packages whose code makes a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notary:
    """One machine's signing key, trusted keys and audit log.

    Args:
        key: the gate's private key; None where there is none.
        trust: whose signatures count here.
        log: the audit log.
        reports: where evidence is found by its run.
        who: the person or service that runs the gate.
    """

    key: Path | None
    trust: VerdictTrust
    log: AuditLog
    reports: Path
    who: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def of(cls, settings: Settings) -> "Notary":
        """Returns the notary of this machine.

        Raises:
            ConfigError: the signing key or the trust file cannot be used.
        """
        if settings.signing_key is not None:
            _load_key(settings.signing_key)
        return cls(
            key=settings.signing_key,
            trust=VerdictTrust.load(settings.trust) if settings.trust.exists() else VerdictTrust(),
            log=AuditLog(settings.audit_log),
            reports=settings.reports,
            who=settings.who,
        )

    def complaint(self, policy: Policy) -> str | None:
        """Says why nothing that this gate signs can move production; None when it can."""
        if self.key is None:
            if policy.promotion.unsigned == "allow":
                return "no signing key: the verdict is not signed, which the policy allows"
            return (
                "no signing key: this gate can judge, but nothing it finds can move production; "
                "make a key with `assay store keygen --gate`"
            )
        if why := self.trust.why_no_gate(_load_key(self.key), self.now()):
            return (
                f"{self.key}: nothing that this key signs can move production here: {why}; list "
                "its public key there"
            )
        return None

    def sign(self, folder: Path, verdict: Verdict, policy: Policy, change: ChangeClass) -> None:
        """Logs a verdict, and signs it and its sealed evidence where there is a key."""
        found = {
            "verdict": digests.of_bytes(verdict_bytes(verdict)),
            "evidence": digests.of_file(folder / evidence.SUMS),
        }
        kind = verdict.verdict.value
        note = f"{kind}: {verdict.summary}"[:500] if self.key else f"{kind}, not signed"
        head = self._log("verdict", verdict, found, note)
        if self.key is not None:
            self._write(
                folder,
                predicate_of(
                    folder,
                    verdict,
                    policy=policy,
                    change=change,
                    code=installed_code(),
                    signed_at=self.now(),
                    audit_log=head,
                ),
            )
        self._find_again(folder, verdict.context.run_id)

    def countersign(self, folder: Path, change: ChangeClass) -> Attested | None:
        """Signs a verdict again, with what people have signed since and the class of the change.

        Returns:
            The evidence as it stands then; None where nobody signed it in the first place.

        Raises:
            ArtifactError: the evidence is not what a trusted gate signed.
        """
        if not attestation.is_signed(folder):
            return None
        attested = attestation.verify(folder, self.trust, self.now())
        stated = attested.predicate
        same = stated.change == change
        if self.key is None or (same and not attested.pending):
            return attested
        kept = (*attested.approvals, *attested.pending) if same else ()
        changed = stated.model_copy(
            update={
                "change": change,
                "approvals": tuple(one.ref for one in kept),
                "signed_at": self.now(),
            }
        )
        self._write(folder, changed)
        return attestation.verify(folder, self.trust, self.now())

    def why_not_reused(self, folder: Path) -> str | None:
        """Says why a recorded verdict is not believed, so that it is measured anew; None if it is.

        Where no gate is trusted at all there is nothing to hold it against: it is shown, and moves
        nothing that the policy does not let pass unsigned.
        """
        if not self.trust.gates.keys:
            return None
        try:
            attested = attestation.verify(folder, self.trust, self.now())
        except (ArtifactError, ConfigError) as error:
            return str(error)
        return "its promote has expired" if attested.expired else None

    def asked(self, folder: Path, verdict: Verdict) -> str:
        """Logs that a promotion is asked for; returns the log's head as the registry keeps it."""
        path = folder / evidence.ATTESTATION
        signed = {"attestation": digests.of_file(path)} if path.exists() else {}
        head = self._log("promotion asked", verdict, signed, "")
        return f"{head.entries}:{head.head}"

    def settled(self, verdict: Verdict, outcome: PromotionOutcome) -> None:
        """Logs what became of the alias."""
        note = outcome.reason if outcome.moved else f"not moved: {outcome.reason}"
        self._log("promotion", verdict, {}, note[:2000])

    def _log(self, what: Event, verdict: Verdict, about: dict[str, str], note: str) -> LogHead:
        candidate = verdict.context.candidate
        artifact = {"artifact": candidate.digest} if candidate else {}
        return self.log.append(
            what,
            who=self.who,
            at=self.now(),
            run_id=verdict.context.run_id,
            model=candidate.model if candidate else None,
            version=candidate.version if candidate else None,
            about=artifact | about,
            note=note,
        )

    def _write(self, folder: Path, predicate: VerdictPredicate) -> None:
        from assay.adapters.signer_dsse import sign_statement

        if self.key is None:
            raise ConfigError("no signing key; make one with `assay store keygen --gate`")
        envelope = sign_statement(statement(predicate).canonical(), self.key)
        path = folder / evidence.ATTESTATION
        partial = folder / evidence.UNFINISHED
        partial.write_bytes(envelope)
        partial.replace(path)

    def _find_again(self, folder: Path, run_id: str) -> None:
        """Makes evidence in a folder of the user's own findable by its run, like all other."""
        link = self.reports / run_id
        if folder != link and not link.exists():
            self.reports.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder, target_is_directory=True)


def installed_code() -> dict[str, str]:
    """Returns the digests of the packages that are judging now.

    Raises:
        ConfigError: one of them is not installed as files.
    """
    found = {}
    for name in CODE:
        spec = find_spec(name)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise ConfigError(f"the package {name!r} is not installed as files; install it again")
        found[name] = code_digest(Path(places[0]))
    return found


def _load_key(path: Path) -> str:
    from assay.adapters.signer_dsse import load_private_key

    return load_private_key(path)[1]
