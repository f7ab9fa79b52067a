"""What every golden set must hold to be judged with, whatever its task, language or size.

Decides the structural expectations of a golden set and how their outcomes read as findings; leaves
checking them to the validators (`adapters.validator_gx`, and in memory), and what is expected of
one particular set (balance, lengths, near-duplicates) to that set's own stages.

An expectation about the rows of a set without rows is undecided, never passed: nothing was seen.
"""

from dataclasses import dataclass

from assay.records import Finding, FindingStatus

EVALUATOR = "golden_set"
"""Evaluator of the findings about a golden set, and the prefix of their metrics."""

SHOWN = 5
"""Ids a reason names at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing expected of a set.

    Attributes:
        name: short and unique; the last part of the finding's metric.
        says: the claim as a sentence without its full stop ("every case has an id").
        action: what to do where it is broken, in the imperative.
    """

    name: str
    says: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What checking a claim found.

    Attributes:
        claim: what was checked.
        rows: how many rows were looked at.
        status: passed, failed, or undecided where there was nothing to look at.
        failed: names (ids) of the rows that break it; empty for a claim about the whole set.
    """

    claim: Claim
    rows: int
    status: FindingStatus
    failed: tuple[str, ...] = ()


ROWS = Claim(name="rows", says="the set holds at least one case", action="add cases")
STRUCTURE = (
    Claim(name="ids_present", says="every case has an id", action="give each case an id"),
    Claim(name="ids_unique", says="no id appears twice", action="give each case its own id"),
    Claim(
        name="labels",
        says="every label is one of the task's",
        action="correct the label or add it to task.yaml",
    ),
    Claim(name="languages", says="every case names its language", action="fill in lang"),
    Claim(
        name="texts_present",
        says="every text shows something",
        action="write the text or remove the case",
    ),
    Claim(
        name="texts_unique",
        says="no text appears twice, also when case and white space are ignored",
        action="remove one of the two, which would count one case twice",
    ),
)
"""Claims about the rows, in the order in which they are reported after `ROWS`."""


def decide(claim: Claim, rows: int, failed: tuple[str, ...]) -> Outcome:
    """Returns the outcome of a claim about rows, of which `failed` break it."""
    if rows == 0:
        return Outcome(claim=claim, rows=0, status=FindingStatus.UNDECIDED)
    status = FindingStatus.FAILED if failed else FindingStatus.PASSED
    return Outcome(claim=claim, rows=rows, status=status, failed=failed)


def decide_rows(rows: int) -> Outcome:
    """Returns the outcome of `ROWS`."""
    status = FindingStatus.PASSED if rows else FindingStatus.FAILED
    return Outcome(claim=ROWS, rows=rows, status=status)


def finding(outcome: Outcome) -> Finding:
    """Returns an outcome as a gating finding that names at most `SHOWN` ids and no text."""
    return Finding(
        evaluator=EVALUATOR,
        metric=f"{EVALUATOR}/{outcome.claim.name}",
        kind="self_test",
        status=outcome.status,
        reason=sentence(outcome),
        n=outcome.rows,
        unit="cases",
    )


def sentence(outcome: Outcome) -> str:
    """Says in one English sentence what was expected, what was found and what to do."""
    claim = outcome.claim
    expected = f"Expected: {claim.says}"
    if outcome.status is FindingStatus.PASSED:
        return f"{expected}; so it is ({outcome.rows} rows)."
    if outcome.status is FindingStatus.UNDECIDED:
        return f"{expected}; there was no row to look at."
    if not outcome.failed:
        return f"{expected}; that is not so ({outcome.rows} rows); {claim.action}."
    names = ", ".join(map(repr, outcome.failed[:SHOWN]))
    more = len(outcome.failed) - SHOWN
    others = f" and {more} more" if more > 0 else ""
    return (
        f"{expected}; {len(outcome.failed)} of {outcome.rows} rows break it: {names}{others}; "
        f"{claim.action}."
    )
