"""Which texts that people agreed on may become golden cases.

Decides, in an order that does not depend on how they came in (when they were decided, then their
id), that a new case repeats no golden case and no other new one, was not seen in training, and fits
the quotas of its label and source: no single source makes the golden set. What is refused for a
quota is quarantined, since another policy may want it; a repetition or a leak is rejected.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from assay.near_duplicates import words_key
from assay.relabelling.policy import RelabelPolicy
from assay.relabelling.similar_texts import near_pairs


class Training(Protocol):
    """What a model was trained on, as far as it may be known."""

    def seen(self, folded: Sequence[str]) -> Sequence[str | None]:
        """Returns, for each folded text, where it was seen; None where it was not."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that people agreed on."""

    id: str
    text: str
    label: str
    source: str
    decided_at: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a candidate is not admitted."""

    reason: str
    detail: str
    quarantined: bool = False


def admit(
    candidates: Sequence[Candidate],
    golden: Mapping[str, str],
    training: Sequence[Training],
    policy: RelabelPolicy,
) -> dict[str, Refused]:
    """Returns why candidates are refused, by id; those not named are admitted.

    Args:
        candidates: in any order, each with an id of its own.
        golden: text by id of the cases that are there already.
        training: what models were trained on.
        policy: the rules.
    """
    ordered = sorted(candidates, key=lambda one: (one.decided_at, one.id))
    folded = [words_key(one.text) for one in ordered]
    refused = _leaks(ordered, folded, training)
    near = _neighbours(folded, golden, policy.texts.near_duplicate)
    admitted: set[int] = set()
    first: dict[str, int] = {}
    known = {words_key(text): name for name, text in golden.items()}
    per_label: Counter[str] = Counter()
    per_source: Counter[str] = Counter()
    for at, one in enumerate(ordered):
        if one.id in refused:
            continue
        twin = known.get(folded[at]) or near[at].golden
        if twin is None:
            others = [first.get(folded[at]), *near[at].candidates]
            twin = next((ordered[n].id for n in others if n is not None and n in admitted), None)
        if twin is not None:
            refused[one.id] = Refused("duplicate", f"says the same as case {twin!r}")
        elif full := _full(one, per_label, per_source, policy):
            refused[one.id] = full
        else:
            admitted.add(at)
            first[folded[at]] = at
            per_label[one.label] += 1
            per_source[one.source] += 1
    return refused


@dataclass(slots=True)
class _Near:
    golden: str | None
    candidates: list[int]


def _neighbours(folded: Sequence[str], golden: Mapping[str, str], similar: float) -> list[_Near]:
    """Returns what each candidate nearly repeats: a golden case, earlier candidates."""
    names = {words_key(text): name for name, text in golden.items()}
    keys = list(names)
    first_new = len(keys)
    place: dict[str, list[int]] = {}
    for at, key in enumerate(folded):
        place.setdefault(key, []).append(at)
    fresh = [key for key in place if key not in names]
    found = [_Near(None, []) for _ in folded]
    keys += fresh
    for low, high in near_pairs(keys, first_new=first_new, similar=similar):
        for at in place[keys[high]]:
            if low < first_new:
                found[at].golden = found[at].golden or names[keys[low]]
            else:
                found[at].candidates += place[keys[low]]
        if low >= first_new:
            for at in place[keys[low]]:
                found[at].candidates += place[keys[high]]
    return found


def _leaks(
    ordered: Sequence[Candidate], folded: Sequence[str], training: Sequence[Training]
) -> dict[str, Refused]:
    refused: dict[str, Refused] = {}
    for source in training:
        for one, where in zip(ordered, source.seen(folded), strict=True):
            if where is not None:
                refused[one.id] = Refused("leak", f"the model may have seen it: {where}")
    return refused


def _full(
    one: Candidate, per_label: Counter[str], per_source: Counter[str], policy: RelabelPolicy
) -> Refused | None:
    quotas = policy.quotas
    if quotas.per_label is not None and per_label[one.label] >= quotas.per_label:
        detail = f"{quotas.per_label} cases of {one.label!r} come from people's answers already"
        return Refused("label-quota", detail, quarantined=True)
    if quotas.per_source is not None and per_source[one.source] >= quotas.per_source:
        detail = f"{quotas.per_source} cases come from source {one.source!r} already"
        return Refused("source-quota", detail, quarantined=True)
    return None
