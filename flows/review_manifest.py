"""What the manifest of an export says of it: counts, orders and notes, never a text."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from assay.review.admission import ReviewItem
from assay.review.manifest import OrderRow, ReviewManifest
from assay.review.policy import RANDOM, ReviewPolicy
from assay.review.selection import Pool, Selection
from assay.review.work_orders import WorkOrder
from assay.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an export is called, what it follows from, and what was found while reading.

    `inputs` and `files` map names to digests; `rejected` counts lines, `notes` are sentences.
    """

    name: str
    who: str
    at: datetime
    seed: int
    inputs: Mapping[str, str]
    files: Mapping[str, str]
    rejected: int
    notes: tuple[str, ...]


def manifest_of(
    said: Said, task: Task, policy: ReviewPolicy, pool: Pool, chosen: Selection
) -> ReviewManifest:
    """Returns the manifest of what was chosen from a pool."""
    return ReviewManifest(
        export_id=said.name,
        created_at=said.at.isoformat(timespec="seconds"),
        who=said.who,
        seed=f"{said.seed:016x}",
        task=task.name,
        question=policy.question or task.name,
        labels=task.labels,
        budget=policy.budget,
        texts=len(chosen.items),
        selected=_count(item.selection for item in chosen.items),
        signals=_count(signal for item in chosen.items for signal in item.signals),
        offered=_offered(pool),
        left_out=dict(chosen.left_out),
        rejected=said.rejected,
        work_orders=tuple(_row(order, chosen) for order in pool.orders),
        inputs=dict(said.inputs),
        files=dict(said.files),
        notes=(*said.notes, *_notes(pool, policy, chosen)),
    )


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _offered(pool: Pool) -> dict[str, int]:
    doubts = {f"golden_{signal}": len(names) for signal, names in pool.doubts.items()}
    return {"traffic": len(pool.traffic), "feedback": len(pool.feedback), **doubts}


def _row(order: WorkOrder, chosen: Selection) -> OrderRow:
    return OrderRow(
        label=order.label,
        slice=order.slice,
        wanted_by=order.wanted_by,
        needed=order.needed,
        precision=order.precision,
        asked=order.asked,
        queued=chosen.queued[order.name],
        random_needed=chosen.random_needed[order.name],
    )


def _notes(pool: Pool, policy: ReviewPolicy, chosen: Selection) -> list[str]:
    drawn = [item for item in chosen.items if item.selection == RANDOM]
    notes = _notes_on_chance(pool, policy, drawn)
    notes += [
        f"{chosen.queued[order.name]} of {order.asked} texts are queued for `{order.name}`, of "
        f"which {order.needed} more cases are needed; hand over more traffic, or a larger budget."
        for order in pool.orders
        if chosen.queued[order.name] < order.asked
    ]
    for order in pool.orders if pool.traffic else ():
        wanted = chosen.random_needed[order.name]
        if wanted is None:
            notes.append(
                f"How much must be drawn at random to have {order.needed} more cases of "
                f"`{order.name}` in the stratum `core` is not known: nothing in the traffic tells "
                "them."
            )
        elif wanted > len(drawn):
            notes.append(
                f"Only what is drawn at random may enter the stratum `core`: {order.needed} more "
                f"cases of `{order.name}` take about {wanted} random texts, and these are "
                f"{len(drawn)}; raise the budget or `random_share`, or hand over more traffic."
            )
    return notes


def _notes_on_chance(pool: Pool, policy: ReviewPolicy, drawn: list[ReviewItem]) -> list[str]:
    share = round(policy.budget * policy.random_share)
    if share and not pool.traffic:
        return [
            "No traffic was given, so nothing was drawn at random, and nothing of this export may "
            "enter the stratum `core`: hand a plain sample of production's requests over with "
            "--traffic."
        ]
    if len(drawn) < share:
        return [f"The random share is {len(drawn)} of {share} texts: the traffic holds no more."]
    if len(drawn) > share:
        return [
            f"The random share is {len(drawn)} texts instead of {share}: work orders need cases of "
            "the stratum `core`, which only random texts may enter."
        ]
    return []
