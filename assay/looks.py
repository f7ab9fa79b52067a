"""How often a load is looked at before it ends, and what each look may cost in error.

Decides the looks (few, fixed before the load begins) and the error rate of each; leaves looking to
the gate and the bounds to the evaluators.

Whoever looks at growing data until it decides errs more often than once in 1/alpha: with three
looks at 5 % each, up to three times as often. So every bound of every look is held to alpha divided
by the number of looks that the plan allows (Bonferroni: the chance that any look errs is at most
the sum). That holds whatever makes the load stop, however the looks depend on each other, and for
any bound; the price is a bound that is a little wider than one that knew their joint law
(Lan & DeMets 1983).
"""


def looks(blocks: int, max_blocks: int) -> tuple[int, ...]:
    """Returns after how many blocks a load is looked at: doubling from `blocks` to `max_blocks`.

    The last is `max_blocks`; where that is no more than `blocks` there is one look.
    """
    found = [blocks]
    while found[-1] < max_blocks:
        found.append(min(2 * found[-1], max_blocks))
    return tuple(found)


def level(alpha: float, planned: tuple[int, ...]) -> float:
    """Returns the error rate of each bound at each of the planned looks."""
    return alpha / len(planned)
