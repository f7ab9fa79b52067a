"""What a load's times amount to: one finding an objective, a ratio, an error rate.

Decides passed, failed or undecided, and the sentence; leaves the percentiles' mathematics to
`assay.latency_ratio` and the choice of limits to the policy.
"""

from assay.errors import TooFewCasesError
from assay.latency_ratio import (
    MINIMUM_BLOCKS,
    PercentileEstimate,
    RatioEstimate,
    percentile,
    percentile_estimate,
    percentile_ratio,
    times_needed,
    times_needed_for_ratio,
)
from assay.rates import hold_rate
from assay.records import Finding, FindingStatus
from assay.seeds import stream
from evaluators.base import Rules
from evaluators.latency_times import Timed, parse_metric

_NAME = "latency"
_WHAT = {"ttft": "first token", "tpot": "second token", "e2e": "time"}


def objective_finding(
    metric: str, limit_ms: float, candidate: Timed, production: Timed | None, alpha: float
) -> Finding:
    """Holds a percentile of the candidate against the policy's objective."""
    kind, share = parse_metric(metric)
    times = candidate.all(kind)
    if not len(times):
        return _unmeasured(metric, "limit", f"no timed answer had a {_WHAT[kind]}", limit_ms, "ms")
    found = percentile_estimate(times, share, alpha=alpha)
    baseline = _baseline(kind, share, production, alpha)
    status, relation = _against_objective(found, baseline, limit_ms)
    needed = None
    if status is FindingStatus.UNDECIDED and found.upper is None:
        needed = times_needed(share, alpha=alpha) - len(times)
        relation += f" (bounding this percentile takes {needed} more timed requests)"
    most = "" if found.upper is None else f", at most {found.upper:.4g} ms at {_sure(alpha)}"
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/{metric}",
        kind="limit",
        status=status,
        reason=f"{metric.removesuffix('_ms')} is {found.value:.4g} ms over {len(times)} requests"
        f"{most}: {relation} the objective {limit_ms:g} ms.",
        candidate=found.value,
        production=None if baseline is None else baseline.value,
        interval=None if found.lower is None or found.upper is None else (found.lower, found.upper),
        bound=found.lower if status is FindingStatus.FAILED else found.upper,
        margin=limit_ms,
        n=len(times),
        unit="ms",
        needed=needed,
        sample="timed request",
    )


def ratio_finding(
    metric: str, limit: float, candidate: Timed, production: Timed, rules: Rules
) -> Finding:
    """Holds a percentile of the candidate against production's in the same load."""
    kind, share = parse_metric(metric)
    ours, theirs = candidate.all(kind), production.all(kind)
    smallest = min(len(ours), len(theirs))
    try:
        found = percentile_ratio(
            candidate.times[kind],
            production.times[kind],
            share,
            limit=limit,
            alpha=rules.alpha,
            replicates=rules.replicates,
            seed=stream(rules.seed, _NAME, metric),
        )
    except TooFewCasesError as error:
        if not smallest:
            why = f"no timed answer had a {_WHAT[kind]}"
            return _unmeasured(metric, "ratio", why, limit, "ms")
        blocks = min(len(candidate.times[kind]), len(production.times[kind]))
        missing_blocks = max(0, MINIMUM_BLOCKS - blocks) * -(-smallest // blocks)
        needed = max(times_needed_for_ratio(share) - smallest, missing_blocks) or None
        return _unmeasured(metric, "ratio", str(error), limit, "ms", needed)
    status, relation = _against_ratio(found, limit)
    bound = found.lower if status is FindingStatus.FAILED else found.upper
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/{metric}",
        kind="ratio",
        status=status,
        reason=f"{metric.removesuffix('_ms')} is {found.value:.3f} times production's over "
        f"{smallest} requests each, between {found.lower:.3f} and {found.upper:.3f} times at "
        f"{_sure(rules.alpha)} each way: {relation} the limit {limit:g}.",
        candidate=percentile(ours, share),
        production=percentile(theirs, share),
        difference=found.value,
        interval=(found.lower, found.upper),
        bound=bound,
        margin=limit,
        p=found.p,
        n=smallest,
        unit="ms",
    )


def error_finding(
    limit: float, candidate: Timed, production: Timed | None, alpha: float
) -> Finding:
    """Holds the share of the candidate's failed requests against the policy's limit."""
    held = hold_rate(candidate.errors, candidate.requests, limit, alpha=alpha)
    bounds = held.bounds
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/error_rate",
        kind="rate",
        status=held.status,
        reason=f"{bounds.hits} of {bounds.n} timed requests failed ({bounds.rate:.2%}, at most "
        f"{bounds.upper:.2%} at {_sure(alpha)}): {held.relation} the limit {limit:.2%}.",
        candidate=bounds.rate,
        production=None if production is None else production.errors / production.requests,
        interval=(bounds.lower, bounds.upper),
        bound=held.bound,
        margin=limit,
        n=bounds.n,
        needed=held.needed,
        sample="timed request",
    )


def noise_finding(metric: str, again: Timed, production: Timed, rules: Rules) -> Finding:
    """Says how far production's percentile lies from its own, timed twice in the same load.

    It decides nothing: a candidate's ratio that lies within it is not told from no change at all.
    """
    kind, share = parse_metric(metric)
    name = metric.removesuffix("_ms")
    smallest = min(len(again.all(kind)), len(production.all(kind)))
    found: RatioEstimate | None = None
    try:
        found = percentile_ratio(
            again.times[kind],
            production.times[kind],
            share,
            limit=1.0,
            alpha=rules.alpha,
            replicates=rules.replicates,
            seed=stream(rules.seed, _NAME, metric, "again"),
        )
        reason = (
            f"Production's own {name}, timed twice over {smallest} requests each, is "
            f"{found.value:.3f} times itself, between {found.lower:.3f} and {found.upper:.3f} at "
            f"{_sure(rules.alpha)} each way: what this load shows where nothing changed."
        )
    except TooFewCasesError as error:
        reason = f"Production's own {name} was not compared with itself: {error}."
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/{metric}",
        kind="noise_floor",
        status=FindingStatus.UNDECIDED if found is None else FindingStatus.PASSED,
        gating=False,
        reason=reason,
        production=percentile(production.all(kind), share) if smallest else None,
        difference=None if found is None else found.value,
        interval=None if found is None else (found.lower, found.upper),
        n=smallest,
        unit="ms",
    )


def worth_more(finding: Finding, left: int) -> bool:
    """Whether more of the same load may settle a finding.

    Not where it is settled, where the reason is no matter of numbers (an objective that production
    misses too, answers without a second token), or where it takes more requests than are left.

    Args:
        finding: one of a load's.
        left: requests of the candidate that the policy's bound leaves.
    """
    if finding.status is not FindingStatus.UNDECIDED or not finding.gating:
        return False
    if finding.needed is not None:
        return finding.needed <= left
    if finding.candidate is None:
        return False
    missed_by_both = (
        finding.kind == "limit"
        and finding.interval is not None
        and finding.margin is not None
        and finding.interval[0] > finding.margin
    )
    return not missed_by_both


def _against_objective(
    found: PercentileEstimate, baseline: PercentileEstimate | None, limit_ms: float
) -> tuple[FindingStatus, str]:
    if found.lower is not None and found.lower > limit_ms:
        if baseline is not None and baseline.lower is not None and baseline.lower > limit_ms:
            return (
                FindingStatus.UNDECIDED,
                "production is above it as well, so this machine or the objective is in question, "
                "not the candidate; above",
            )
        return FindingStatus.FAILED, "above"
    if found.upper is not None and found.upper <= limit_ms:
        return FindingStatus.PASSED, "within"
    return FindingStatus.UNDECIDED, "not shown to be within"


def _against_ratio(found: RatioEstimate, limit: float) -> tuple[FindingStatus, str]:
    if found.lower > limit:
        return FindingStatus.FAILED, "above"
    if found.upper <= limit:
        return FindingStatus.PASSED, "within"
    return FindingStatus.UNDECIDED, "not shown to be within"


def _baseline(
    kind: str, share: float, production: Timed | None, alpha: float
) -> PercentileEstimate | None:
    if production is None or not len(production.all(kind)):
        return None
    return percentile_estimate(production.all(kind), share, alpha=alpha)


def _unmeasured(
    metric: str, kind: str, why: str, limit: float, unit: str, needed: int | None = None
) -> Finding:
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/{metric}",
        kind=kind,
        status=FindingStatus.UNDECIDED,
        reason=f"{metric.removesuffix('_ms')} was not measured: {why}.",
        margin=limit,
        unit=unit,
        needed=needed,
        sample="timed request",
    )


def _sure(alpha: float) -> str:
    return f"{100 * (1 - alpha):.4g} % confidence"
