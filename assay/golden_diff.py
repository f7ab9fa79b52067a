"""What changed between two versions of a golden set, case by case.

Decides what counts as which change; leaves what the change does to past verdicts to
`flows.golden_impact`. A case is the same case where its id is; no text is held or shown, only ids.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from assay.golden_set import GoldenSet
from assay.records import GoldenCase

SHOWN = 10
"""Ids that a line for people names at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One case whose value is another one now."""

    id: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """Cases of one class in both versions."""

    label: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenDiff:
    """Everything that changed, each list in the order of ids.

    Attributes:
        before, after: digests of the two versions.
        added, removed: ids that only one version has.
        relabelled: cases whose label changed.
        moved: cases whose stratum changed.
        reworded: ids whose text changed: they keep the name of a case and are another one.
        annotated: ids of which only something else changed (slices, annotations, source, …).
        classes: cases of each class, in the order of labels.
        shared: cases with the same id and the same text in both.
    """

    before: str
    after: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[Changed, ...]
    moved: tuple[Changed, ...]
    reworded: tuple[str, ...]
    annotated: tuple[str, ...]
    classes: tuple[ClassCount, ...]
    shared: int

    @property
    def empty(self) -> bool:
        """Whether the two versions are the same set."""
        return self.before == self.after

    def to_json(self) -> dict[str, Any]:
        """Returns the difference as JSON."""
        return asdict(self)

    @property
    def counts(self) -> dict[str, int]:
        """How many cases changed in which way."""
        return {
            "added": len(self.added),
            "removed": len(self.removed),
            "relabelled": len(self.relabelled),
            "moved": len(self.moved),
            "reworded": len(self.reworded),
            "annotated": len(self.annotated),
        }


def diff(before: GoldenSet, after: GoldenSet) -> GoldenDiff:
    """Compares two versions of a golden set."""
    old = {case.id: case for case in before.cases}
    new = {case.id: case for case in after.cases}
    pairs = [(old[key], new[key]) for key in sorted(old.keys() & new.keys())]
    return GoldenDiff(
        before=before.digest,
        after=after.digest,
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        relabelled=_changed(pairs, "label"),
        moved=_changed(pairs, "stratum"),
        reworded=tuple(a.id for a, b in pairs if a.text_sha256 != b.text_sha256),
        annotated=tuple(a.id for a, b in pairs if _only_the_rest(a, b)),
        classes=_classes(before, after),
        shared=sum(a.text_sha256 == b.text_sha256 for a, b in pairs),
    )


def lines(change: GoldenDiff) -> list[str]:
    """Returns the difference as lines for people, which name ids and no text."""
    if change.empty:
        return ["the two are the same set"]
    found = [
        *_named("added", change.added),
        *_named("removed", change.removed),
        *_named("relabelled", [_arrow(one) for one in change.relabelled]),
        *_named("moved", [_arrow(one) for one in change.moved]),
        *_named("reworded", change.reworded),
        *_named("annotated otherwise", change.annotated),
    ]
    return found or ["only the order or the form of the rows differs"]


def _named(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"]


def _arrow(one: Changed) -> str:
    return f"{one.id} ({one.before} → {one.after})"


def _changed(pairs: Sequence[tuple[GoldenCase, GoldenCase]], field: str) -> tuple[Changed, ...]:
    return tuple(
        Changed(id=a.id, before=getattr(a, field), after=getattr(b, field))
        for a, b in pairs
        if getattr(a, field) != getattr(b, field)
    )


def _only_the_rest(before: GoldenCase, after: GoldenCase) -> bool:
    main = all(
        getattr(before, field) == getattr(after, field)
        for field in ("label", "stratum", "text_sha256")
    )
    rest = ("lang", "source", "slices", "added_in", "annotations", "agreement")
    return main and any(getattr(before, field) != getattr(after, field) for field in rest)


def _classes(before: GoldenSet, after: GoldenSet) -> tuple[ClassCount, ...]:
    old = Counter(case.label for case in before.cases)
    new = Counter(case.label for case in after.cases)
    return tuple(
        ClassCount(label=label, before=old[label], after=new[label])
        for label in sorted(old.keys() | new.keys())
    )
