"""An interval held against an upper limit: passed, failed, or undecided.

Decides the status that limits, rates and ratios share, and the words for it.
"""

from assay.records import FindingStatus


def held_against(lower: float, upper: float, limit: float) -> tuple[FindingStatus, str]:
    """Returns the status of a value known to lie in an interval, and how it relates to the limit.

    Args:
        lower: lower confidence bound.
        upper: upper confidence bound.
        limit: the most that is acceptable.
    """
    if lower > limit:
        return FindingStatus.FAILED, "shown to be beyond"
    if upper <= limit:
        return FindingStatus.PASSED, "within"
    return FindingStatus.UNDECIDED, "not shown to be within"
