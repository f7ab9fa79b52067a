"""What an ingestion says about itself: agreement, people, reasons, as the proposal's summary.

Decides which figures are computed over which answers: only those that count, honeypots apart.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from assay.relabelling.agreement import Agreement, alpha_by_label, krippendorff_alpha
from assay.relabelling.annotators import Annotators, Person, dropped, is_honeypot
from assay.relabelling.proposal import (
    AgreementSummary,
    CheckSummary,
    ExportSummary,
    PersonSummary,
    Summary,
    published_base,
)
from flows.relabel_ingestion import Ingested, policy_digest


def summarise(found: Ingested, written: Mapping[str, str]) -> Summary:
    """Returns the summary of an ingestion.

    Args:
        found: the ingestion.
        written: digest of each file of the proposal, by name.
    """
    labels = tuple(found.request.labels)
    counts = _counts(found, labels)
    people = found.derived.annotators.people
    shown = sum(person.shown for person in people.values())
    anchored = sum(person.anchored for person in people.values())
    reasons = Counter(f"{fate.status}: {fate.reason}" for _, fate in found.fates())
    for refusal in found.refusals:
        status = "quarantined" if refusal.quarantined else "rejected"
        reasons[f"{status}: {refusal.reason}"] += 1
    return Summary(
        version=found.version,
        sound=found.sound,
        export=ExportSummary(
            name=found.export.path.name,
            digest=found.export.digest,
            format=found.export.format,
            rows=found.export.rows,
        ),
        golden_before=published_base(found.request.folder, found.request.golden.digest),
        golden_digest=found.after.digest,
        cases=found.after.size,
        rows={name: found.rows[name] for name in ("accepted", "quarantined", "rejected")},
        reasons=dict(sorted(reasons.items())),
        changes=dict(sorted(Counter(row.change for row in found.changes).items())),
        answers_not_counted=dict(
            sorted(dropped(found.derived.annotators, found.ledger.items.values()).items())
        ),
        agreement=_agreement(krippendorff_alpha(counts)),
        agreement_by_label={
            label: _agreement(one) for label, one in alpha_by_label(counts, labels).items()
        },
        anchoring_share=_share(anchored, shown),
        annotators=_people(found.derived.annotators),
        checks=tuple(
            CheckSummary(check=one.metric, status=one.status.value, reason=one.reason)
            for one in found.checks
        ),
        policy_digest=policy_digest(found.request.policy),
        digests=dict(sorted(written.items())),
    )


def _counts(
    found: Ingested, labels: tuple[str, ...]
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    place = {label: at for at, label in enumerate(labels)}
    counts = np.zeros((len(found.ledger.items), len(labels)), dtype=np.int64)
    annotators = found.derived.annotators
    for row, item in enumerate(found.ledger.items.values()):
        if is_honeypot(item):
            continue
        for who, answer in item.answers.items():
            if answer.label is not None and annotators.why_not(who, answer) is None:
                counts[row, place[answer.label]] += 1
    return counts


def _agreement(one: Agreement) -> AgreementSummary:
    return AgreementSummary(
        alpha=one.alpha, interval=one.interval, units=one.units, labels=one.labels
    )


def _people(annotators: Annotators) -> tuple[PersonSummary, ...]:
    total = sum(person.answers for person in annotators.people.values())
    return tuple(_person(who, annotators.people[who], total) for who in sorted(annotators.people))


def _person(who: str, person: Person, total: int) -> PersonSummary:
    return PersonSummary(
        annotator=who,
        answers=person.answers,
        share_of_answers=_share(person.answers, total),
        honeypots=person.honeypots,
        honeypot_accuracy=_share(person.honeypots_right, person.honeypots),
        anchoring_share=_share(person.anchored, person.shown),
        out=person.out,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
