"""Orders of drawing: by chance that a seed fixes, by stratum in turn, by weight.

Pure and blind to what is drawn. Chance is a digest of seed, purpose and id: the order of lines in
a file does not matter, and a request more moves no other.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


def chance(seed: int, purpose: str, name: str) -> bytes:
    """Returns a place in a random order: the same for the same seed, purpose and name."""
    return hashlib.sha256(f"{seed:016x}\n{purpose}\n{name}".encode()).digest()


def in_turn(items: Iterable[T], stratum: Callable[[T], Hashable]) -> Iterator[T]:
    """Yields the items stratum by stratum in turn, each stratum in the order given.

    A stratum's first item decides its place, so none is favoured beyond the order given.
    """
    strata: dict[Hashable, list[T]] = {}
    for item in items:
        strata.setdefault(stratum(item), []).append(item)
    queues = [iter(found) for found in strata.values()]
    while queues:
        left = []
        for queue in queues:
            try:
                yield next(queue)
            except StopIteration:
                continue
            left.append(queue)
        queues = left


def by_weight(
    queues: Mapping[str, Iterator[T | None]], weights: Mapping[str, float]
) -> Iterator[tuple[str, T]]:
    """Yields from several queues, as often from each as its weight says, until all are empty.

    The next is always from the queue that is furthest behind its weight (Sainte-Laguë's divisors).
    A None in a queue was refused: it costs the queue nothing.
    """
    taken = dict.fromkeys(queues, 0)
    open_queues = dict(queues)
    while open_queues:
        name = max(open_queues, key=lambda n: (weights[n] / (2 * taken[n] + 1), n))
        found = next((item for item in open_queues[name] if item is not None), None)
        if found is None:
            del open_queues[name]
            continue
        taken[name] += 1
        yield name, found


def spread(rare: list[T], common: list[T], seed: int) -> list[T]:
    """Mixes the rare among the common: one at a chance place of each equal stretch.

    Whoever stops early has met their share of them, and nobody can tell where the next one is.
    """
    if not rare:
        return list(common)
    mixed: list[T] = []
    stretch = len(common) / len(rare)
    for at, item in enumerate(rare):
        part = common[round(at * stretch) : round((at + 1) * stretch)]
        draw = int.from_bytes(chance(seed, "place", str(at))[:8], "big") % (len(part) + 1)
        mixed += [*part[:draw], item, *part[draw:]]
    return mixed
