"""Exact statements about rates: one model's, and two models' on the same cases.

Decides what a count of flagged answers out of n says about the rate behind it: Clopper–Pearson
bounds (Biometrika 1934), the exact paired test (McNemar's, conditional on the discordant cases),
Tango's score test and interval of the paired difference (Statistics in Medicine 1998). What rate is
acceptable is the evaluator's and the policy's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from assay.errors import TooFewCasesError
from assay.records import FindingStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RateBounds:
    """A rate `hits / n` with one-sided exact bounds, each at confidence 1 − alpha."""

    hits: int
    n: int
    lower: float
    upper: float

    @property
    def rate(self) -> float:
        """The observed rate."""
        return self.hits / self.n


def clopper_pearson(hits: int, n: int, *, alpha: float) -> RateBounds:
    """Exact one-sided bounds of a rate.

    With 0 hits the upper bound is 1 − alpha^(1/n), about 3 / n at alpha = 0.05.

    Raises:
        TooFewCasesError: n is 0: there is no rate.
    """
    if n < 1:
        raise TooFewCasesError("a rate was asked of 0 cases; expected at least one; add cases")
    lower, upper = exact_bounds(hits, n, alpha=alpha)
    return RateBounds(hits=hits, n=n, lower=lower, upper=upper)


def exact_bounds(hits: float, n: float, *, alpha: float) -> tuple[float, float]:
    """The bounds themselves (lower, upper), continued to parts of a case."""
    lower = 0.0 if hits <= 0 else float(special.betaincinv(hits, n - hits + 1, alpha))
    upper = 1.0 if hits >= n else float(special.betaincinv(hits + 1, n - hits, 1 - alpha))
    return lower, upper


def cases_for_upper_bound(rate: float, limit: float, *, alpha: float) -> int | None:
    """Cases after which the upper bound of a rate lies at or below `limit`, if `rate` goes on.

    None when no number of cases would do (the rate is at or above the limit).
    """
    if rate >= limit or limit <= 0:
        return None
    low, high = 0, 1
    while clopper_pearson(math.ceil(rate * high), high, alpha=alpha).upper > limit:
        low, high = high, high * 2
        if high > 100_000_000:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        met = clopper_pearson(math.ceil(rate * middle), middle, alpha=alpha).upper <= limit
        low, high = (low, middle) if met else (middle, high)
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRate:
    """A rate held against a limit it may not exceed.

    `bound` is the one that decided, `relation` puts the status into words ("within"), and `needed`
    is how many more cases at the same rate would settle an undecided one, where that can be said.
    """

    bounds: RateBounds
    status: FindingStatus
    relation: str
    needed: int | None = None

    @property
    def bound(self) -> float:
        """The lower bound of a broken limit, else the upper one."""
        failed = self.status is FindingStatus.FAILED
        return self.bounds.lower if failed else self.bounds.upper


def hold_rate(hits: int, n: int, limit: float, *, alpha: float) -> HeldRate:
    """Holds `hits` of `n` against `limit` by exact one-sided bounds, each at level `alpha`."""
    bounds = clopper_pearson(hits, n, alpha=alpha)
    if bounds.lower > limit:
        return HeldRate(bounds=bounds, status=FindingStatus.FAILED, relation="more than")
    if bounds.upper <= limit:
        return HeldRate(bounds=bounds, status=FindingStatus.PASSED, relation="within")
    total = cases_for_upper_bound(bounds.rate, limit, alpha=alpha)
    return HeldRate(
        bounds=bounds,
        status=FindingStatus.UNDECIDED,
        relation="not shown to be within",
        needed=None if total is None else max(1, total - bounds.n),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedRates:
    """Two models' flags on the same cases.

    Args:
        n: cases.
        both: flagged for both models.
        candidate_only, production_only: the discordant cases. Of a case that was answered several
            times a part may be discordant; it varies less than a whole case.
    """

    n: int
    both: float
    candidate_only: float
    production_only: float

    @property
    def difference(self) -> float:
        """Candidate's rate minus production's."""
        return (self.candidate_only - self.production_only) / self.n

    @property
    def p_candidate_worse(self) -> float:
        """Exact one-sided p: the candidate is flagged no more often than production."""
        return exact_sign_test(self.candidate_only, self.production_only)


def pair_flags(candidate: Sequence[bool], production: Sequence[bool]) -> PairedRates:
    """Counts two models' flags, given in the same order of cases.

    Raises:
        TooFewCasesError: there is no case.
    """
    pairs = list(zip(candidate, production, strict=True))
    if not pairs:
        raise TooFewCasesError("a paired rate was asked of 0 cases; expected at least one")
    return PairedRates(
        n=len(pairs),
        both=sum(c and p for c, p in pairs),
        candidate_only=sum(c and not p for c, p in pairs),
        production_only=sum(p and not c for c, p in pairs),
    )


def exact_sign_test(more: float, fewer: float) -> float:
    """P(at least `more` of `more + fewer` fair coins show heads); 1 without a discordant case."""
    if more == 0:
        return 1.0
    return float(special.bdtrc(more - 1, more + fewer, 0.5))


def exact_mcnemar(first: int, second: int) -> float:
    """Two-sided exact p of McNemar's test on the two discordant counts."""
    return min(1.0, 2 * exact_sign_test(max(first, second), min(first, second)))


def paired_difference_bounds(pairs: PairedRates, *, alpha: float) -> tuple[float, float]:
    """One-sided score bounds (lower, upper) of the paired difference, each at 1 − alpha.

    Tango (1998), equation 5, solved by bisection. It stays honest where the Wald interval has no
    width: with no discordant case the bounds are ± z² / (n + z²).
    """
    z = float(special.ndtri(1 - alpha))
    upper = _tango_upper(pairs.candidate_only, pairs.production_only, pairs.n, z)
    lower = -_tango_upper(pairs.production_only, pairs.candidate_only, pairs.n, z)
    return lower, upper


def within_margin_p(pairs: PairedRates, margin: float) -> float:
    """p-value of H0: the candidate's rate exceeds production's by `margin` or more.

    Tango's score test; it is at most alpha exactly where the upper bound is at most `margin`.
    """
    score = _tango_score(pairs.candidate_only, pairs.production_only, pairs.n, margin)
    return float(special.ndtr(score))


def _tango_upper(more: float, fewer: float, n: int, z: float) -> float:
    low, high = (more - fewer) / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = _tango_score(more, fewer, n, middle) > -z
        low, high = (middle, high) if below else (low, middle)
    return high


def _tango_score(more: float, fewer: float, n: int, difference: float) -> float:
    """Score statistic of H0: rate difference = `difference`; falls as `difference` grows."""
    b = -more - fewer + (2 * n - more + fewer) * difference
    c = -fewer * difference * (1 - difference)
    nuisance = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * nuisance + difference * (1 - difference))
    gap = more - fewer - n * difference
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)
