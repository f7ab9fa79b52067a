"""Whose answers count.

Decides, for each person, whether their answers are votes: not where too many honeypots were missed,
nor where one person gave too large a share of all answers. A single answer is no vote when it is a
skip, empty, not one label of the task, or faster than anyone reads. Answers that do not count stay
in the ledger: they may count later, and nothing is lost.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from assay.relabelling.ledger import Answer, AnswerKind, Item
from assay.relabelling.policy import RelabelPolicy

TOO_FAST = "too_fast"
FAILED_HONEYPOTS = "failed_honeypots"
OVER_CAP = "over_cap"


@dataclass(slots=True)
class Person:
    """What is known of one annotator.

    `answers` counts valid, unhurried labels outside honeypots; `shown` those given with a
    prediction in view, of which `anchored` repeat it.
    """

    answers: int = 0
    honeypots: int = 0
    honeypots_right: int = 0
    shown: int = 0
    anchored: int = 0
    out: str | None = None


@dataclass(slots=True)
class Annotators:
    """Everybody who answered, by pseudonym, and what became of answers that do not count."""

    people: dict[str, Person] = field(default_factory=dict)
    minimum_lead_time_s: float = 0.0

    def why_not(self, who: str, answer: Answer) -> str | None:
        """Returns why an answer is no vote; None where it is."""
        if answer.kind is not AnswerKind.LABEL:
            return answer.kind.value
        if answer.lead_time_s is not None and answer.lead_time_s < self.minimum_lead_time_s:
            return TOO_FAST
        person = self.people.get(who)
        return None if person is None else person.out


def judge_annotators(
    items: Iterable[Item], known_labels: Mapping[str, str], policy: RelabelPolicy
) -> Annotators:
    """Decides who counts.

    Args:
        items: the whole ledger.
        known_labels: label by id of the golden cases, the reference of honeypots among them.
        policy: the rules.
    """
    rules = policy.annotators
    found = Annotators(minimum_lead_time_s=rules.minimum_lead_time_s)
    for item in items:
        reference = reference_label(item, known_labels)
        trap = is_honeypot(item)
        for who, answer in item.answers.items():
            person = found.people.get(who)
            if person is None:
                person = found.people[who] = Person()
            if found.why_not(who, answer) is None:
                _count(person, answer, trap, reference)
    total = sum(person.answers for person in found.people.values())
    for person in found.people.values():
        missed = person.honeypots_right < rules.honeypot_accuracy * person.honeypots
        if person.honeypots >= rules.honeypots and missed:
            person.out = FAILED_HONEYPOTS
        elif total >= rules.cap_from and person.answers > rules.max_share * total:
            person.out = OVER_CAP
    return found


def is_honeypot(item: Item) -> bool:
    """Whether an item measures annotators, and so changes no case."""
    return item.honeypot or item.reference is not None


def reference_label(item: Item, known_labels: Mapping[str, str]) -> str | None:
    """Returns the right answer to a honeypot: its `ground_truth`, else the golden case's label."""
    if item.reference is not None and item.reference.label is not None:
        return item.reference.label
    return known_labels.get(item.id) if item.honeypot else None


def _count(person: Person, answer: Answer, trap: bool, reference: str | None) -> None:
    if trap:
        if reference is not None:
            person.honeypots += 1
            person.honeypots_right += answer.label == reference
        return
    person.answers += 1
    if answer.shown is not None:
        person.shown += 1
        person.anchored += answer.label == answer.shown


def dropped(annotators: Annotators, items: Iterable[Item]) -> Counter[str]:
    """Counts the answers that are no votes, by reason."""
    counted: Counter[str] = Counter()
    for item in items:
        for who, answer in item.answers.items():
            if why := annotators.why_not(who, answer):
                counted[why] += 1
    return counted
