"""The golden set that follows from the set before people answered, their answers and the policy.

Decides what becomes of every text that people were asked about: a new case, a golden case
relabelled or confirmed, a wait, an adjudication, a refusal. A pure function: the same ledger, in
whatever pieces it came, gives the same set.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay import digests
from assay.near_duplicates import words_key
from assay.records import GoldenCase
from assay.relabelling.admission import Candidate, Training, admit
from assay.relabelling.annotators import (
    OVER_CAP,
    Annotators,
    is_honeypot,
    judge_annotators,
    reference_label,
)
from assay.relabelling.consensus import Decision, Outcome, decide
from assay.relabelling.history import Why
from assay.relabelling.ledger import Item, Key
from assay.relabelling.policy import RelabelPolicy
from assay.relabelling.redaction import redact

ACCEPTED, QUARANTINED, REJECTED = "accepted", "quarantined", "rejected"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one text: `status` accepted, quarantined or rejected, and why."""

    status: str
    reason: str
    detail: str
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """The golden set that follows: cases by id, the fate of every item, why each case changed."""

    cases: Mapping[str, GoldenCase]
    fates: Mapping[Key, Fate]
    why: Mapping[str, Why]
    annotators: Annotators


class Derivation:
    """One derivation.

    Args:
        base: the cases before people answered, by id.
        items: the ledger.
        added_in: version by id of cases that were added before.
        version: version that a new case is added in.
        training: what models were trained on.
        policy: the rules.
    """

    def __init__(
        self,
        base: Mapping[str, GoldenCase],
        items: Mapping[Key, Item],
        *,
        added_in: Mapping[str, str],
        version: str,
        training: Sequence[Training],
        policy: RelabelPolicy,
    ) -> None:
        self._base, self._items, self._policy = base, items, policy
        self._added_in, self._version, self._training = added_in, version, training
        known = {name: case.label for name, case in base.items()}
        self._known = known
        self._annotators = judge_annotators(items.values(), known, policy)
        self._cases = dict(base)
        self._fates: dict[Key, Fate] = {}
        self._why: dict[str, Why] = {}
        self._new: dict[str, tuple[Key, Decision]] = {}

    def run(self) -> Derived:
        """Returns what follows."""
        owners = self._owners()
        for key, item in self._items.items():
            case = self._base.get(item.id)
            if is_honeypot(item):
                self._fates[key] = self._honeypot(item)
            elif case is not None and not _same_text(case, item):
                detail = f"golden case {item.id!r} has another text"
                self._fates[key] = Fate(REJECTED, "other-text", detail)
            elif owners[item.id] != key:
                detail = f"id {item.id!r} named another text before"
                self._fates[key] = Fate(QUARANTINED, "other-text", detail)
            else:
                self._decide(key, item, case)
        self._admit()
        return Derived(self._cases, self._fates, self._why, self._annotators)

    def _owners(self) -> dict[str, Key]:
        """Returns which text each id stands for: the one that was answered first."""
        owners: dict[str, Key] = {}
        for key, item in self._items.items():
            held = owners.get(item.id)
            if held is None or (item.first_at, key) < (self._items[held].first_at, held):
                owners[item.id] = key
        return owners

    def _honeypot(self, item: Item) -> Fate:
        if reference_label(item, self._known) is None:
            detail = "a honeypot without a known answer measures nobody"
            return Fate(QUARANTINED, "honeypot-unknown", detail)
        return Fate(ACCEPTED, "honeypot", "measures annotators; changes no case")

    def _decide(self, key: Key, item: Item, case: GoldenCase | None) -> None:
        earlier = () if case is None else case.annotations
        decision = decide(item, self._annotators, self._policy.consensus, earlier)
        if decision.outcome is not Outcome.AGREED:
            self._fates[key] = self._undecided(item, decision)
            self._why[item.id] = Why(self._fates[key].detail, decision.annotations, _last(item))
        elif case is None:
            self._new[item.id] = (key, decision)
        else:
            self._relabel(key, item, case, decision)

    def _undecided(self, item: Item, decision: Decision) -> Fate:
        votes, rules = len(decision.annotations), self._policy.consensus
        if decision.outcome is Outcome.ADJUDICATION:
            told = ", ".join(f"{label} {count}" for label, count in decision.votes.items())
            detail = f"no label has {rules.majority:.0%} of the votes: {told}"
            return Fate(QUARANTINED, "adjudication", detail, decision)
        people = self._annotators.people
        capped = any(people[who].out == OVER_CAP for who in item.answers)
        reason = "annotator-cap" if capped else "waiting"
        detail = f"{votes} of {rules.labels} independent labels"
        if capped:
            detail += "; another is of a person with too large a share of all answers"
        return Fate(QUARANTINED, reason, detail, decision)

    def _relabel(self, key: Key, item: Item, case: GoldenCase, decision: Decision) -> None:
        label = decision.label or case.label
        changed = label != case.label
        detail = _says(decision)
        fate = Fate(ACCEPTED, "relabelled" if changed else "confirmed", detail, decision)
        self._cases[item.id] = dataclasses.replace(
            case, label=label, annotations=decision.annotations, agreement=decision.agreement
        )
        self._fates[key] = fate
        self._why[item.id] = Why(detail, decision.annotations, decision.decided_at, item.selection)

    def _admit(self) -> None:
        candidates = [
            Candidate(
                name,
                self._items[key].text,
                one.label or "",
                self._items[key].source,
                one.decided_at,
            )
            for name, (key, one) in self._new.items()
        ]
        golden = {name: case.text for name, case in self._base.items() if case.text is not None}
        refused = admit(candidates, golden, self._training, self._policy)
        for name, (key, decision) in self._new.items():
            if (why := refused.get(name)) is not None:
                status = QUARANTINED if why.quarantined else REJECTED
                self._fates[key] = Fate(status, why.reason, why.detail, decision)
                self._why[name] = Why(why.detail, decision.annotations, decision.decided_at)
                continue
            item, detail = self._items[key], _says(decision)
            self._cases[name] = self._case(item, decision)
            self._fates[key] = Fate(ACCEPTED, "added", detail, decision)
            self._why[name] = Why(detail, decision.annotations, decision.decided_at, item.selection)

    def _case(self, item: Item, decision: Decision) -> GoldenCase:
        core = item.selection in self._policy.core_selection
        return GoldenCase(
            id=item.id,
            text=item.text,
            text_sha256=digests.text_sha256(item.text),
            label=decision.label or "",
            lang=item.lang,
            source=item.source,
            stratum="core" if core else "hitl",
            slices=(),
            added_in=self._added_in.get(item.id, self._version),
            annotations=decision.annotations,
            agreement=decision.agreement,
        )


def _says(decision: Decision) -> str:
    votes = len(decision.annotations)
    for_it = decision.votes.get(decision.label or "", 0)
    how = "adjudicated; " if decision.adjudicated else ""
    return sys.intern(f"{how}{for_it} of {votes} people say {decision.label!r}")


def _last(item: Item) -> str:
    return max((answer.at for answer in item.answers.values()), default="")


def _same_text(case: GoldenCase, item: Item) -> bool:
    """Whether people saw the case's text, as it is or redacted."""
    if case.text is None:
        return case.text_sha256 == digests.text_sha256(item.text)
    return words_key(item.text) in (words_key(case.text), words_key(redact(case.text).text))
