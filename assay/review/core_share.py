"""How much is drawn at random, where a verdict wants more cases of the core.

Only what is drawn at random may enter the core, so only that settles a verdict. Decides how many
random texts would hold the cases that are asked for, and how far the budget goes towards that: what
the work orders leave of it, and at least half of what honeypots and the usual random share leave.
Enlarging is no choice among texts: more of the same random order is taken.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from assay.records import slice_names
from assay.review.requests import Request
from assay.review.work_orders import WorkOrder

Language = Callable[[str | None], str | None]


def slices_of(request: Request, language: Language) -> tuple[str, ...]:
    """Returns the slices that a request tells by itself.

    Args:
        request: as production logged it.
        language: what a request's language counts as where it names none.
    """
    return slice_names(language(request.lang), request.source or "production")


def random_needed(
    orders: Sequence[WorkOrder], traffic: Sequence[Request], language: Language
) -> dict[str, int | None]:
    """Returns, by order, how many random texts hold about as many cases as it needs.

    None where the traffic does not tell: it holds no such text, or production never named the
    class on the golden set, or people alone put cases into the slice.
    """
    found: dict[str, int | None] = {}
    for order in orders:
        hits = sum(order.takes(r.label, slices_of(r, language)) for r in traffic)
        right = order.precision if order.label else 1.0
        known = hits and right and order.told
        rate = hits / len(traffic) * right if known and right else 0.0
        found[order.name] = math.ceil(order.needed / rate) if rate else None
    return found


def random_texts(
    usual: int, room: int, orders: Sequence[WorkOrder], needed: Mapping[str, int | None]
) -> int:
    """Returns how many texts to draw at random.

    Args:
        usual: by the policy's share; 0 draws none, whatever is ordered.
        room: what the honeypots leave of the budget.
        orders: of the verdict.
        needed: from `random_needed`.
    """
    usual = min(usual, room)
    wanted = max((count for count in needed.values() if count), default=0)
    if not usual or wanted <= usual:
        return usual
    left = room - usual
    spared = max(left - sum(order.asked for order in orders), left // 2)
    return usual + min(wanted - usual, spared)
