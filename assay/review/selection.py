"""What one export asks about: the budget, shared out.

Decides, in this order: the random share, drawn from traffic before anything else looks at it, and
enlarged where a verdict wants more of the core (`core_share`); work orders, one text each in turn;
then the signals by their weights; honeypots are mixed in at the end. Within an order or a signal
the strata (label, language) take turns. What one share cannot use goes to the next but never to the
random share's meaning: without traffic it is empty, and the export says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.records import GoldenCase, Prediction
from assay.review.admission import Admission, ReviewItem, Shown, golden_item
from assay.review.core_share import random_needed, random_texts, slices_of
from assay.review.drawing import by_weight, chance, in_turn, spread
from assay.review.policy import (
    HONEYPOT,
    LOW_CONFIDENCE,
    RANDOM,
    SUSPECTED_LABEL,
    WORK_ORDER,
    ReviewPolicy,
)
from assay.review.requests import Request, united
from assay.review.work_orders import WorkOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Everything that could be asked about.

    Attributes:
        traffic: requests drawn without regard to what became of them.
        feedback: requests about which something was said.
        golden: the golden set, with texts.
        doubts: signal → ids of golden cases, in the order in which to look at them.
        sound: ids of golden cases whose label nothing speaks against: the honeypots.
        orders: of the verdict, the largest first.
        answers: production's answers to the golden set, by case id.
        version: the model that gave `answers`.
    """

    traffic: tuple[Request, ...]
    feedback: tuple[Request, ...]
    golden: tuple[GoldenCase, ...]
    doubts: Mapping[str, tuple[str, ...]]
    sound: frozenset[str]
    orders: tuple[WorkOrder, ...]
    answers: Mapping[str, Prediction]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The items in the order in which people meet them; counts of what was left out, and why.

    `queued` maps each work order's name to the texts drawn for it, `random_needed` to the random
    texts that would hold what it needs.
    """

    items: tuple[ReviewItem, ...]
    left_out: Mapping[str, int]
    queued: Mapping[str, int]
    random_needed: Mapping[str, int | None]


def select(pool: Pool, policy: ReviewPolicy, admission: Admission, seed: int) -> Selection:
    """Shares the budget out.

    Args:
        pool: what could be asked about.
        policy: budget, shares and weights.
        admission: what may leave; it knows the golden set already.
        seed: of every draw.
    """
    count = round(policy.budget * policy.honeypot_share)
    traps = admission.honeypots(_sound_cases(pool, seed), count)
    room = policy.budget - len(traps)
    needed = random_needed(pool.orders, pool.traffic, admission.language)
    usual = round(policy.budget * policy.random_share)
    drawn = _random(pool, admission, seed, random_texts(usual, room, pool.orders, needed))
    everything = united(pool.feedback, pool.traffic)
    ordered, queued = _ordered(pool, everything, admission, seed, room - len(drawn))
    left = room - len(drawn) - len(ordered)
    signalled = _signalled(pool, everything, policy, admission, seed, left)
    # Cases that are now under review measure nobody.
    asked = {item.id for item in signalled}
    traps = [case for case in traps if case.id not in asked]
    rest = sorted([*drawn, *signalled], key=lambda item: chance(seed, "queue", item.id))
    honeypots = [golden_item(case, HONEYPOT, (), None) for case in traps]
    return Selection(
        items=tuple(spread(honeypots, [*ordered, *rest], seed)),
        left_out=dict(sorted(admission.left_out.items())),
        queued=queued,
        random_needed=needed,
    )


def _random(pool: Pool, admission: Admission, seed: int, share: int) -> list[ReviewItem]:
    drawn: list[ReviewItem] = []
    for request in sorted(pool.traffic, key=lambda r: chance(seed, RANDOM, r.id)):
        if len(drawn) >= share:
            break
        if item := admission.request(request, RANDOM):
            drawn.append(item)
    return drawn


def _ordered(
    pool: Pool, requests: Sequence[Request], admission: Admission, seed: int, room: int
) -> tuple[list[ReviewItem], dict[str, int]]:
    queues: dict[str, Iterator[ReviewItem]] = {}
    slices = {request.id: slices_of(request, admission.language) for request in requests}
    for order in pool.orders:
        named = [r for r in requests if order.takes(r.label, slices[r.id])]
        named.sort(key=lambda r: chance(seed, WORK_ORDER, r.id))
        strata = in_turn(named, lambda r: (r.label, r.lang))
        admitted = (admission.request(r, WORK_ORDER) for r in strata)
        queues[order.name] = (item for item in admitted if item is not None)
    items: list[ReviewItem] = []
    queued = {order.name: 0 for order in pool.orders}
    open_orders = [order for order in pool.orders if order.asked]
    while open_orders and len(items) < room:
        order = open_orders.pop(0)
        item = next(queues[order.name], None)
        if item is None:
            continue
        items.append(item)
        queued[order.name] += 1
        if queued[order.name] < order.asked:
            open_orders.append(order)
    return items, queued


def _signalled(
    pool: Pool,
    requests: Sequence[Request],
    policy: ReviewPolicy,
    admission: Admission,
    seed: int,
    room: int,
) -> list[ReviewItem]:
    queues = {signal: _queue(signal, pool, requests, admission, seed) for signal in policy.signals}
    items: list[ReviewItem] = []
    if room > 0:
        for _, item in by_weight(queues, policy.signals):
            items.append(item)
            if len(items) == room:
                break
    return items


def _queue(
    signal: str, pool: Pool, requests: Sequence[Request], admission: Admission, seed: int
) -> Iterator[ReviewItem | None]:
    """Requests and golden cases about which a signal was raised, in turn; None was refused."""
    raised = [request for request in requests if signal in request.signals]
    raised.sort(key=lambda r: (_doubt(r, signal), chance(seed, signal, r.id)))
    by_id = {case.id: case for case in pool.golden}
    named = [by_id[name] for name in pool.doubts.get(signal, ()) if name in by_id]
    if signal != SUSPECTED_LABEL:  # cleanlab's order is the point of it
        named.sort(key=lambda case: chance(seed, signal, case.id))
        named = list(in_turn(named, lambda case: (case.label, case.lang)))
    outside = in_turn(raised, lambda r: (r.label, r.lang))
    both: list[Request | GoldenCase] = list(
        in_turn([*outside, *named], lambda entry: isinstance(entry, GoldenCase))
    )
    for entry in both:
        if isinstance(entry, Request):
            yield admission.request(entry, signal)
        else:
            yield admission.case(entry, signal, _doubts(pool, entry), _shown(pool, entry))


def _doubt(request: Request, signal: str) -> float:
    """The least confident first, where that is the signal; one that does not say, last."""
    if signal != LOW_CONFIDENCE:
        return 0.0
    return 1.0 if request.confidence is None else request.confidence


def _doubts(pool: Pool, case: GoldenCase) -> tuple[str, ...]:
    return tuple(sorted(signal for signal, names in pool.doubts.items() if case.id in names))


def _shown(pool: Pool, case: GoldenCase) -> Shown | None:
    answer = pool.answers.get(case.id)
    if answer is None or answer.label is None:
        return None
    return Shown(label=answer.label, model_version=pool.version, score=None)


def _sound_cases(pool: Pool, seed: int) -> list[GoldenCase]:
    sound = [case for case in pool.golden if case.id in pool.sound and case.text is not None]
    sound.sort(key=lambda case: chance(seed, HONEYPOT, case.id))
    return list(in_turn(sound, lambda case: case.label))
