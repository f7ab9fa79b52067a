"""Moves production back to a version that was good, in seconds, also when the store is down.

::

    way back ─▶ evidence of the target ─▶ its kept seals, the store's ─▶ alias, if still as found
                  sealed, signed, promote    signed by a key of today       ─▶ who, why, when

Decides what must be proved before the alias moves, what may stay unproved (and is then said to be),
and what is written down. A target whose evidence or signature is not what it must be is refused
whatever the hurry: the version in production may be bad, but one that nobody vouches for is worse.
The weights themselves are not fetched again: that takes minutes, and whoever deploys the version
verifies its own copy. How the alias moves is the registry's.
"""

import json
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from assay import attestation, evidence
from assay.adapters.store_seals import read_release
from assay.artifact import MANIFEST, RELEASE, check_model_name
from assay.documents import parse_json, read_text
from assay.errors import ArtifactError, AssayError, ConfigError, InfrastructureError
from assay.ports import ArtifactStore, Progress, Registry
from assay.records import ArtifactRef, PromotionOutcome, Role, Verdict, VerdictKind, WayBack
from assay.trust import TrustedKeys
from assay.verdict_document import verdict_from_json
from flows import journal as journals
from flows.conclude import SEALS
from flows.notary import Notary
from flows.notices import rollback_notice
from flows.notifying import tell
from flows.settings import Settings

STORE_TIMEOUT_S = 5.0
_LONGEST_REASON = 1000
DOCUMENT = "rollback.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackPorts:
    """What a move back works with. `store` and `trusted` are made when they are first needed."""

    registry: Registry
    notary: Notary
    store: Callable[[], ArtifactStore]
    trusted: Callable[[], TrustedKeys]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: proved, or not to be proved now. What is disproved raises."""

    what: str
    result: Literal["verified", "unverified"]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackResult:
    """What a move back did. `recorded_as` is the registry's run, None where nothing moved."""

    way: WayBack
    checks: tuple[Check, ...]
    outcome: PromotionOutcome
    evidence_dir: Path | None
    recorded_as: str | None

    @property
    def in_place(self) -> bool:
        """Whether the target is in production now, by this move or already."""
        held = self.outcome.production
        return held is not None and held.digest == self.way.target.digest


def roll_back(
    model: str,
    to_version: str | None,
    *,
    reason: str,
    run_id: str,
    settings: Settings,
    ports: RollbackPorts,
    progress: Progress,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> RollbackResult:
    """Moves `production` of a model back.

    Args:
        model: the model's name.
        to_version: where to; None is what `previous-production` names.
        reason: why, for the record.
        run_id: id of this move.
        settings: where things are, and who asks.
        ports: the adapters.
        progress: receives sentences for people.
        now: the clock.

    Raises:
        ArtifactError: the target's evidence or signature is not what it must be; nothing moved.
        ConfigError: there is no such target, or no reason.
        InfrastructureError: the registry cannot be reached, or nothing vouches for the artifact.
    """
    check_model_name(model)
    reason = _checked_reason(reason)
    way = ports.registry.way_back(model, to_version)
    if way.current.digest == way.target.digest:
        outcome = PromotionOutcome(
            moved=False,
            reason=f"production already is {way.current.version}",
            production=way.current,
            previous=None,
        )
        return RollbackResult(
            way=way, checks=(), outcome=outcome, evidence_dir=None, recorded_as=None
        )
    if to_version is None and not way.was_production:
        raise ConfigError(
            f"{model} {way.target.version}, which previous-production names, never was in "
            f"production by a gate; name it (--to {way.target.version}) if you mean it"
        )
    progress(f"verifying {way.target.version} before production leaves {way.current.version}")
    checks = _Proof(way, settings, ports, now()).run()
    folder = settings.reports / run_id
    record = _Record(folder, run_id, way, checks, settings.who, reason)
    record.write(now(), None)
    outcome = ports.registry.move_back(way, reason=reason, who=settings.who, run=run_id)
    record.write(now(), outcome)
    _log(ports.notary, record, outcome, now())
    recorded_as = _recorded(ports.registry, record, outcome, progress)
    if outcome.moved:
        notice = rollback_notice(way, reason=reason, run_id=run_id, who=settings.who, folder=folder)
        tell(notice, settings, progress)
    return RollbackResult(
        way=way, checks=checks, outcome=outcome, evidence_dir=folder, recorded_as=recorded_as
    )


class _Proof:
    """Everything that is looked at before the alias moves."""

    def __init__(
        self, way: WayBack, settings: Settings, ports: RollbackPorts, now: datetime
    ) -> None:
        self._way, self._settings, self._ports, self._now = way, settings, ports, now
        target = way.target
        self._ref = ArtifactRef(model=target.model, version=target.version, digest=target.digest)

    def run(self) -> tuple[Check, ...]:
        with tempfile.TemporaryDirectory(prefix="assay-rollback-") as private:
            folder = self._evidence(Path(private) / "evidence")
            of_verdict = self._verdict(folder)
            kept = self._kept_seals(folder)
        of_store = self._store()
        if kept.result == of_store.result == "unverified":
            raise InfrastructureError(
                f"nothing vouches for {self._ref.version} now: {kept.detail}, {of_store.detail}; "
                "expected one of the two; run the same command again once the store answers"
            )
        return (*of_verdict, kept, of_store)

    def _evidence(self, private: Path) -> Path:
        """Returns the target's evidence: this machine's, else the registry's copy of it."""
        run = self._way.evidence_run
        if run is None:
            raise ArtifactError(
                f"{self._ref.version}: no gate has judged it, so nothing proves that it is good; "
                "expected recorded evidence; name a version that was gated"
            )
        for path in sorted(self._settings.runs.glob(f"*/{journals.JOURNAL}"), reverse=True):
            try:
                found = [e for e in journals.read_events(path) if isinstance(e, journals.Recorded)]
            except ConfigError:
                continue
            if found and found[-1].run == run and Path(found[-1].evidence).is_dir():
                return Path(found[-1].evidence)
        self._ports.registry.evidence(run, private)
        return private

    def _verdict(self, folder: Path) -> tuple[Check, ...]:
        path = folder / "verdict.json"
        evidence.check_seal(folder)
        verdict = verdict_from_json(parse_json(read_text(path), str(path)), str(path))
        self._compare(verdict, path)
        sealed = Check(
            what="evidence",
            result="verified",
            detail=f"every file as sealed; run {verdict.context.run_id}: {verdict.verdict.value}",
        )
        signature = self._attested(folder)
        if verdict.verdict is not VerdictKind.PROMOTE:
            self._overridden(folder, verdict)
        return sealed, signature

    def _compare(self, verdict: Verdict, path: Path) -> None:
        if verdict.context.candidate != self._ref or verdict.only:
            raise ArtifactError(
                f"{path}: is about {verdict.context.candidate}, expected the whole verdict on "
                f"{self._ref}; the registry's tags were changed: find out by whom"
            )

    def _attested(self, folder: Path) -> Check:
        """Looks at the gate's signature; that the promote has aged since does not matter here."""
        if not self._ports.notary.trust.gates.keys or not attestation.is_signed(folder):
            if not self._way.was_production:
                raise ArtifactError(
                    f"{self._ref.version} never was in production, and no trusted gate has signed "
                    "its verdict; expected one of the two; name another version"
                )
            detail = "no gate's signature to be verified: it was not signed, or no gate is trusted"
            return Check(what="verdict's signature", result="unverified", detail=detail)
        attested = attestation.verify(folder, self._ports.notary.trust, self._now)
        detail = f"signed by gate {attested.key.name!r} on {attested.predicate.signed_at:%Y-%m-%d}"
        return Check(what="verdict's signature", result="verified", detail=detail)

    def _overridden(self, folder: Path, verdict: Verdict) -> None:
        """What did not pass may be gone back to only where people let it into production."""
        let_in = self._way.was_production and attestation.is_signed(folder)
        trust = self._ports.notary.trust
        if let_in and attestation.verify(folder, trust, self._now).approvals:
            return
        raise ArtifactError(
            f"{self._ref.version}: its verdict is {verdict.verdict.value!r}; expected 'promote'; "
            "name a version that passed its gate"
        )

    def _kept_seals(self, folder: Path) -> Check:
        """Verifies the signed release manifest that was kept when the version was gated."""
        what, path = "kept release manifest", folder / SEALS / Role.CANDIDATE.value / RELEASE
        if not path.is_file():
            return Check(what=what, result="unverified", detail=f"the evidence keeps no {RELEASE}")
        ref = self._ref
        release = read_release(
            path.read_bytes(),
            self._ports.trusted(),
            model=ref.model,
            version=ref.version,
            where=str(path.parent),
        )
        manifest = release.read_manifest((path.parent / MANIFEST).read_bytes(), str(path.parent))
        if manifest.digest != ref.digest:
            raise ArtifactError(
                f"{path}: releases {manifest.digest}, expected {ref.digest}; the registry's tags "
                "were changed: find out by whom"
            )
        detail = f"signed by {release.key.name!r}, {len(manifest.files)} files"
        return Check(what=what, result="verified", detail=detail)

    def _store(self) -> Check:
        """Opens the seals in the store once more, if it answers within seconds."""
        what, answer = "trusted store", _Answer()
        asking = threading.Thread(
            target=answer.of, args=(lambda: self._ports.store().confirm(self._ref),), daemon=True
        )
        asking.start()
        asking.join(STORE_TIMEOUT_S)
        error = answer.error
        if asking.is_alive():
            detail = f"the store did not answer within {STORE_TIMEOUT_S:.0f} s"
        elif isinstance(error, InfrastructureError):
            detail = f"the store did not answer ({error})"
        elif isinstance(error, ConfigError):
            raise ArtifactError(f"the trusted store does not vouch for it: {error}") from error
        elif error is not None:
            raise error
        else:
            detail = f"holds {self._ref.digest[:19]}… under a signature that is trusted today"
            return Check(what=what, result="verified", detail=detail)
        return Check(what=what, result="unverified", detail=detail)


class _Answer:
    """What a thread found out."""

    error: AssayError | None = None

    def of(self, action: Callable[[], None]) -> None:
        try:
            action()
        except AssayError as error:
            self.error = error
        except Exception as error:  # a library's own: the store is not usable now
            self.error = InfrastructureError(f"{type(error).__name__} from the store")


@dataclass(frozen=True, slots=True)
class _Record:
    """The evidence of the move itself: what was intended, before; what became of it, after."""

    folder: Path
    run_id: str
    way: WayBack
    checks: tuple[Check, ...]
    who: str
    reason: str

    def write(self, at: datetime, outcome: PromotionOutcome | None) -> None:
        document = {
            "schema_version": 1,
            "run_id": self.run_id,
            "model": self.way.current.model,
            "who": self.who,
            "reason": self.reason,
            "at": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "from": _place(self.way.current.version, self.way.current.digest),
            "to": _place(self.way.target.version, self.way.target.digest),
            "judged_by": self.way.evidence_run,
            "was_production": self.way.was_production,
            "checks": [
                {"what": c.what, "result": c.result, "detail": c.detail} for c in self.checks
            ],
            "state": "intended" if outcome is None else "moved" if outcome.moved else "not moved",
            "outcome": None if outcome is None else outcome.reason,
        }
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        journals.write_durably(self.folder / DOCUMENT, text.encode())
        if outcome is not None:
            evidence.seal(self.folder)


def _recorded(
    registry: Registry, record: _Record, outcome: PromotionOutcome, progress: Progress
) -> str | None:
    """Records the move; that it happened stands in the registry's tags already."""
    if not outcome.moved:
        return None
    model = record.way.current.model
    try:
        return registry.record_move_back(model, record.run_id, record.folder, record.way)
    except InfrastructureError as error:
        progress(f"production moved, but its record as a run failed ({error}); {record.folder}")
        return None


def _log(notary: Notary, record: _Record, outcome: PromotionOutcome, at: datetime) -> None:
    target = record.way.target
    notary.log.append(
        "rollback",
        who=record.who,
        at=at,
        run_id=record.run_id,
        model=target.model,
        version=target.version,
        about={"artifact": target.digest},
        note=outcome.reason[:2000],
    )


def _place(version: str, digest: str) -> dict[str, str]:
    return {"version": version, "digest": digest}


def _checked_reason(reason: str) -> str:
    found = " ".join(reason.split())
    if not found or len(found) > _LONGEST_REASON or not found.isprintable():
        raise ConfigError(
            f"--reason: found {found[:60]!r}; expected a sentence of up to {_LONGEST_REASON} "
            "characters that says why production moves back; write one"
        )
    return found
