"""What people agree on about one text.

Decides whether the votes make a label: enough independent ones, and a share of them for one label
that reaches the majority. Otherwise the text waits for labels, or goes to adjudication; an
adjudicator's answer decides it. The distribution of votes is kept either way.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from assay.records import Annotation
from assay.relabelling.annotators import Annotators
from assay.relabelling.history import votes_of
from assay.relabelling.ledger import Answer, Item
from assay.relabelling.policy import Consensus

_ROUNDING = 1e-3
"""Two of three is two thirds, also where a policy writes 0.667."""


class Outcome(StrEnum):
    """What the votes come to."""

    AGREED = "agreed"
    WAITING = "waiting"
    ADJUDICATION = "adjudication"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the votes on one text come to.

    `annotations` are the votes, by pseudonym. `agreement` is the share of them for the label.
    `decided_at` is when the label that stands was first decided, never to change again; "" where
    no answer has a time.
    """

    outcome: Outcome
    label: str | None
    annotations: tuple[Annotation, ...]
    agreement: float | None
    decided_at: str
    adjudicated: bool = False

    @property
    def votes(self) -> dict[str, int]:
        """Label → votes, most first."""
        return votes_of(self.annotations)


def decide(
    item: Item, annotators: Annotators, rules: Consensus, earlier: tuple[Annotation, ...] = ()
) -> Decision:
    """Decides an item.

    Args:
        item: the text and its answers.
        annotators: whose answers count.
        rules: when people agree.
        earlier: votes the golden case held before; a person's own later answer replaces theirs.
    """
    counted: dict[str, Answer] = {
        who: answer
        for who, answer in item.answers.items()
        if annotators.why_not(who, answer) is None
    }
    votes = {one.annotator: ("", one.label) for one in earlier}
    votes |= {who: (answer.at, answer.label or "") for who, answer in counted.items()}
    ordered = sorted((at, who, label) for who, (at, label) in votes.items())
    annotations = tuple(
        Annotation(annotator=who, label=label) for _, who, label in sorted(ordered, key=_by_person)
    )
    label = _adjudicated(counted, rules)
    tally = Counter(label for _, _, label in ordered)
    agreed = _agreed(tally, rules)
    if label is None and agreed is None:
        few = len(ordered) < rules.labels
        outcome = Outcome.WAITING if few else Outcome.ADJUDICATION
        return Decision(outcome, None, annotations, None, "")
    standing = label or agreed or ""
    at = _decided_at(ordered, standing, rules) if label is None else ordered[-1][0]
    share = round(tally[standing] / len(ordered), 4)
    return Decision(Outcome.AGREED, standing, annotations, share, at, adjudicated=label is not None)


def _by_person(vote: tuple[str, str, str]) -> str:
    return vote[1]


def _agreed(tally: Mapping[str, int], rules: Consensus) -> str | None:
    total = sum(tally.values())
    if total < rules.labels:
        return None
    label, most = max(tally.items(), key=lambda pair: pair[1])
    return label if most >= (rules.majority - _ROUNDING) * total else None


def _decided_at(ordered: list[tuple[str, str, str]], label: str, rules: Consensus) -> str:
    """When the standing label was first agreed on and stayed so, as the votes came in."""
    tally = Counter(vote[2] for vote in ordered)
    at = ordered[-1][0]
    for moment, _, voted in reversed(ordered):
        if _agreed(tally, rules) != label:
            break
        at = moment
        tally[voted] -= 1
    return at


def _adjudicated(counted: Mapping[str, Answer], rules: Consensus) -> str | None:
    said = [
        (answer.at, who, answer.label)
        for who, answer in counted.items()
        if who in rules.adjudicators and answer.label is not None
    ]
    return max(said)[2] if said else None
