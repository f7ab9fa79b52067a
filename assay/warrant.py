"""Whether `production` may move: what a promotion must show, and why one is refused.

Decides, from evidence on disk and public keys alone, whether a verdict is one that may move the
alias now: signed by a trusted gate, of this very artifact, against this very production, by the
policy and the golden set of today, not expired, on a back end that may promote, and with the people
whose agreement the policy asks for. Every registry asks this before it moves anything, so that no
flow, script or forgotten path can go around it.

An override lifts exactly the findings that it names, by two different people, until it ends; it
lifts nothing else: not the signature, not the digests, not an invalid run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assay import approvals as people
from assay import evidence
from assay.approvals import Approval
from assay.attestation import Attested, is_signed, verify
from assay.documents import parse_json, read_text
from assay.errors import ArtifactError, ConfigError
from assay.policy import Policy
from assay.records import ArtifactRef, Verdict, VerdictKind
from assay.verdict_document import verdict_from_json
from assay.verdict_trust import VerdictTrust
from assay.wording import counted

OVERRIDERS = 2
"""People that an override takes, whatever the policy says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warrant:
    """What a promotion rests on.

    Args:
        evidence: folder of the run whose verdict is used.
        policy: the policy as it is now.
        golden: digest of the golden set as it is now.
        audit_head: `<entries>:<digest>` of the audit log once this promotion was asked for, which
            the registry keeps, so that a log cut short is noticed.
    """

    evidence: Path
    policy: Policy
    golden: str
    audit_head: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why `production` does not move; `waits` when people only have to agree yet."""

    reason: str
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gatekeeper:
    """Whose signatures count here, and what time it is."""

    trust: VerdictTrust
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def why_not(
        self, warrant: Warrant, ref: ArtifactRef, expected: ArtifactRef | None
    ) -> Refusal | None:
        """Says why `production` may not move from `expected` to `ref`; None when it may."""
        now = self.now()
        if warrant.policy.promotion.unsigned == "allow" and not is_signed(warrant.evidence):
            return _why_not_unsigned(warrant, ref, expected, now)
        try:
            attested = verify(warrant.evidence, self.trust, now)
        except (ArtifactError, ConfigError) as error:
            return Refusal(reason=str(error))
        return _why_not_this(warrant, attested.verdict, ref, expected) or _why_not_signed(
            warrant, attested, now
        )


NOBODY = Gatekeeper(trust=VerdictTrust())
"""Trusts no key: with it, only what the policy lets pass unsigned can move anything."""


def _why_not_this(
    warrant: Warrant, verdict: Verdict, ref: ArtifactRef, expected: ArtifactRef | None
) -> Refusal | None:
    """Compares what the verdict was about with what is asked for now."""
    context, engine = verdict.context, verdict.context.engine
    if verdict.only:
        return Refusal(reason=f"only {', '.join(verdict.only)} was judged; run the gate in full")
    if context.candidate != ref:
        return Refusal(
            reason=f"the verdict is about {_say(context.candidate)}, and asked for is {_say(ref)}; "
            "run the gate for that one"
        )
    if _digest(context.production) != _digest(expected):
        return Refusal(
            reason=f"the verdict was computed against {_say(context.production)}, and production "
            f"is {_say(expected)}; run the gate again"
        )
    current = {"policy": warrant.policy.digest, "golden": warrant.golden}
    stale = [name for name, digest in current.items() if verdict.inputs.get(name) != digest]
    if stale:
        return Refusal(
            reason=f"the verdict was computed with another {' and another '.join(stale)} than is "
            "current now; run the gate again"
        )
    allowed = warrant.policy.backends_that_may_promote
    if engine is None or engine.backend not in allowed:
        return Refusal(
            reason=f"the policy lets {', '.join(allowed)} move production, and this verdict was "
            f"computed on {engine.backend if engine else 'no engine'}; run the gate there to "
            "promote"
        )
    return None


def _why_not_unsigned(
    warrant: Warrant, ref: ArtifactRef, expected: ArtifactRef | None, now: datetime
) -> Refusal | None:
    """Development: the policy lets a promote pass that nobody signed, and nothing beyond that."""
    path = warrant.evidence / "verdict.json"
    try:
        evidence.check_seal(warrant.evidence)
        verdict = verdict_from_json(parse_json(read_text(path), str(path)), str(path))
    except (ArtifactError, ConfigError) as error:
        return Refusal(reason=str(error))
    if refusal := _why_not_this(warrant, verdict, ref, expected):
        return refusal
    if verdict.verdict is not VerdictKind.PROMOTE:
        return Refusal(reason=f"the verdict is {verdict.verdict.value}, and it is not signed")
    if max(warrant.policy.promotion.approvals.values(), default=0):
        return Refusal(
            reason="the policy asks for approvals, which only a signed verdict can carry; give the "
            "gate a key (`assay store keygen --gate`) and run it again"
        )
    if frozen := warrant.policy.frozen_on(now.date()):
        return Refusal(reason=f"{frozen}, and only a signed override lifts that")
    return None


def _why_not_signed(warrant: Warrant, attested: Attested, now: datetime) -> Refusal | None:
    stated = attested.predicate
    if attested.expired:
        return Refusal(
            reason=f"the promote of run {stated.run_id} expired on {stated.expires_at}; run the "
            "gate again"
        )
    return _why_not_agreed(attested, warrant.policy, now, warrant.policy.frozen_on(now.date()))


def why_not_deployed(attested: Attested, policy: Policy, now: datetime) -> str | None:
    """Says why what evidence is about may not be deployed; None when it may.

    It may when the gate said promote, or people have overridden what it said and the override has
    not ended, and enough people approved. That a promote has expired, or that releases are frozen,
    keeps an alias from moving, not a promoted version from being started again.

    Args:
        attested: verified evidence.
        policy: the policy that it was judged by, from the evidence.
        now: the time.
    """
    if attested.predicate.only or attested.predicate.candidate is None:
        return "no artifact was judged in full"
    refusal = _why_not_agreed(attested, policy, now, None)
    return None if refusal is None else refusal.reason


def _why_not_agreed(
    attested: Attested, policy: Policy, now: datetime, frozen: str | None
) -> Refusal | None:
    """Says whether verdict and people together are for it."""
    stated = attested.predicate
    if stated.verdict is VerdictKind.INVALID:
        return Refusal(reason="the verdict is invalid: nothing was learnt; run the gate again")
    needed = people.to_override(stated, frozen)
    overrides: list[Approval] = []
    if needed or stated.verdict is not VerdictKind.PROMOTE:
        overrides, refusal = _overridden(attested, needed, frozen, now)
        if refusal:
            return refusal
    agreed = [one for one in attested.approvals if one.predicate.kind == "approval"]
    return _approved(policy, attested, people.people([*agreed, *overrides]))


def _overridden(
    attested: Attested, needed: frozenset[str], frozen: str | None, now: datetime
) -> tuple[list[Approval], Refusal | None]:
    stated = attested.predicate
    valid, complaints = [], []
    for one in attested.approvals:
        if one.predicate.kind == "override":
            why = people.why_no_override(one, stated, needed, now)
            valid += [] if why else [one]
            complaints += [why] if why else []
    found = people.people(valid)
    if len(found) >= OVERRIDERS:
        return valid, None
    names = ",".join(sorted(needed))
    why = frozen or f"the verdict is {stated.verdict.value}"
    have = f"; so far {' and '.join(found)} signed" if found else ""
    return [], Refusal(
        reason=f"{why}, and an override takes {OVERRIDERS} different people{have}: "
        f"`assay override {stated.run_id} --findings {names} --reason … --expires … --key …`"
        + "".join(f"; {complaint}" for complaint in complaints),
        waits=bool(found),
    )


def _approved(policy: Policy, attested: Attested, found: Sequence[str]) -> Refusal | None:
    stated = attested.predicate
    wanted = policy.promotion.approvers_for(stated.change)
    if len(found) >= wanted:
        return None
    have = f", so far {' and '.join(found)} did" if found else ""
    pending = "; what others signed since waits for the gate to countersign it"
    return Refusal(
        reason=f"the policy wants {counted(wanted, 'approval')} for a change of "
        f"class {stated.change}{have}{pending if attested.pending else ''}: `assay approve "
        f"{stated.run_id} --key …`, then run the same gate again",
        waits=True,
    )


def _digest(ref: ArtifactRef | None) -> str | None:
    return None if ref is None else ref.digest


def _say(ref: ArtifactRef | None) -> str:
    return "nothing" if ref is None else f"{ref.model} {ref.version} ({ref.digest[:19]}…)"
