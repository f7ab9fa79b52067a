"""Holds a load against its objectives, and says when it cannot be held against anything.

Decides, for each objective, met, missed or undecided, by the bound that is on the safe side: met
when the upper bound is within the limit, missed when the lower one is beyond it or the requests
given up already settle it. Decides as well whether the run counts: a generator that was late or
out of breath measured itself, and a load that nobody answered measured nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from assay.latency_ratio import times_needed
from assay.load.percentiles import Percentile
from assay.load.profile import Closed, LoadProfile
from assay.load.summary import LoadSummary, TimeSummary
from assay.rates import cases_for_upper_bound, hold_rate
from assay.records import FindingStatus


class LoadOutcome(StrEnum):
    """The four possible ends of a load test."""

    MET = "met"
    MISSED = "missed"
    TOO_FEW = "too_few"
    INVALID = "invalid"

    @property
    def exit_code(self) -> int:
        """The exit code of `assay loadtest`: the gate's codes for the same four answers."""
        return {"met": 0, "missed": 10, "too_few": 11, "invalid": 12}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveResult:
    """One objective against what was measured.

    Args:
        name: the objective's field, such as `ttft_p99_ms`.
        limit: what is allowed, in `unit`.
        value: what was measured; None where nothing was.
        lower, upper: one-sided bounds of it.
        status: passed, failed or undecided.
        reason: one English sentence.
        needed: requests it takes in all to decide, where that can be said.
    """

    name: str
    limit: float
    unit: str
    value: float | None
    lower: float | None
    upper: float | None
    status: FindingStatus
    reason: str
    needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadVerdict:
    """The end of a load test: the objectives, and why it does not count, where it does not."""

    outcome: LoadOutcome
    objectives: tuple[ObjectiveResult, ...]
    invalid: tuple[str, ...]
    notes: tuple[str, ...]


def judge_load(profile: LoadProfile, summary: LoadSummary) -> LoadVerdict:
    """Holds a summary against its profile's objectives."""
    results = tuple(_results(profile, summary))
    invalid = tuple(_why_invalid(profile, summary))
    statuses = {result.status for result in results}
    if invalid:
        outcome = LoadOutcome.INVALID
    elif FindingStatus.FAILED in statuses:
        outcome = LoadOutcome.MISSED
    elif FindingStatus.UNDECIDED in statuses or _is_partial(summary):
        outcome = LoadOutcome.TOO_FEW
    else:
        outcome = LoadOutcome.MET
    return LoadVerdict(
        outcome=outcome, objectives=results, invalid=invalid, notes=tuple(_notes(profile, summary))
    )


def requests_to_decide(profile: LoadProfile) -> int:
    """Returns the fewest requests that can show every objective to be met, if all goes well."""
    wanted, alpha = profile.objectives, profile.alpha
    percentiles = (wanted.ttft_p99_ms, wanted.e2e_p99_ms, wanted.tokens_per_s)
    lost = None if wanted.min_availability is None else _lost(wanted.min_availability)
    needed = [1]
    if any(limit is not None for limit in percentiles):
        needed.append(times_needed(0.99, alpha=alpha))
    for limit in (wanted.max_error_rate, lost):
        if limit is not None:
            needed.append(cases_for_upper_bound(0.0, limit, alpha=alpha) or 1)
    return max(needed)


def _lost(availability: float) -> float:
    """Returns the share of requests that may be lost: without the noise of 1 − 0.999."""
    return round(1 - availability, 12)


def _is_partial(summary: LoadSummary) -> bool:
    """A load that was ended early can show a miss; what it did not see it cannot have met."""
    return summary.generator.interrupted or summary.generator.stopped is not None


def _results(profile: LoadProfile, summary: LoadSummary) -> Iterator[ObjectiveResult]:
    wanted, times = profile.objectives, summary.times
    if wanted.ttft_p99_ms is not None:
        yield _percentile_result("ttft_p99_ms", wanted.ttft_p99_ms, times["ttft"], "TTFT")
    if wanted.e2e_p99_ms is not None:
        yield _percentile_result("e2e_p99_ms", wanted.e2e_p99_ms, times["e2e"], "end-to-end time")
    if wanted.tokens_per_s is not None:
        yield _speed_result(wanted.tokens_per_s, times["tpot"], summary)
    if wanted.max_error_rate is not None:
        yield _rate_result(
            "max_error_rate", summary.failed, wanted.max_error_rate, summary, profile.alpha
        )
    if wanted.min_availability is not None:
        allowed = _lost(wanted.min_availability)
        lost = _rate_result(
            "min_availability", summary.unavailable, allowed, summary, profile.alpha
        )
        yield _turned(lost, wanted.min_availability)


def _percentile_result(name: str, limit: float, times: TimeSummary, what: str) -> ObjectiveResult:
    found = times.at(0.99)
    status = _status(found, limit)
    return ObjectiveResult(
        name=name, limit=limit, unit="ms", status=status,
        value=found.value if found else None,
        lower=found.lower if found else None,
        upper=found.upper if found else None,
        needed=found.needed if found else None,
        reason=_percentile_reason(what, limit, times, found, status),
    )  # fmt: skip


def _status(found: Percentile | None, limit: float) -> FindingStatus:
    if found is None:
        return FindingStatus.UNDECIDED
    if found.upper is not None and found.upper <= limit:
        return FindingStatus.PASSED
    if found.lower is not None and found.lower > limit:
        return FindingStatus.FAILED
    return FindingStatus.UNDECIDED


def _percentile_reason(
    what: str, limit: float, times: TimeSummary, found: Percentile | None, status: FindingStatus
) -> str:
    if found is None:
        return f"no request gave a {what}, so its p99 is not known; {limit:g} ms allowed"
    more = "more than " if found.at_least else ""
    says = f"the p99 of {what} is {more}{found.value:.4g} ms over {times.n:,} requests"
    if status is FindingStatus.PASSED:
        return f"{says}, at most {found.upper:.4g} ms: within {limit:g} ms"
    if status is FindingStatus.FAILED:
        return f"{says}, at least {found.lower:.4g} ms: beyond {limit:g} ms"
    if found.needed is not None and times.n < found.needed:
        return f"{says}; too few to bound it: that takes {found.needed:,}; {limit:g} ms allowed"
    return f"{says}; its bounds lie on both sides of {limit:g} ms: more requests would tell"


def _speed_result(limit: float, tpot: TimeSummary, summary: LoadSummary) -> ObjectiveResult:
    """Tokens a second are a thousand over the time per output token: the bounds change places."""
    found = tpot.at(0.99)
    status = _status(found, 1e3 / limit)
    if found is None:
        what = "no answer had two counted tokens in more than one piece"
        # Answers of one token are a model's way; they have no speed to be held to.
        return ObjectiveResult(
            name="tokens_per_s", limit=limit, unit="tokens/s", value=None, lower=None, upper=None,
            status=FindingStatus.UNDECIDED,
            reason=f"{what}, so the speed of a request is not known; {limit:g} tokens/s wanted, "
            "set tokens_per_s: null for a model that answers in one token",
        )  # fmt: skip
    value, lower, upper = (_speed(t) for t in (found.value, found.upper, found.lower))
    says = f"99 % of {tpot.n:,} answers come at {_number(value)} tokens/s or more"
    tail = {
        FindingStatus.PASSED: f"at least {_number(lower)}: as fast as {limit:g}",
        FindingStatus.FAILED: f"at most {_number(upper)}: slower than {limit:g}",
        FindingStatus.UNDECIDED: f"not shown to be as fast as {limit:g}",
    }[status]
    return ObjectiveResult(
        name="tokens_per_s", limit=limit, unit="tokens/s", value=value, lower=lower, upper=upper,
        status=status, reason=f"{says}, {tail}", needed=found.needed,
    )  # fmt: skip


def _speed(tpot_ms: float | None) -> float | None:
    """Tokens a second; None also for tokens that all came at once: faster than can be seen."""
    return None if tpot_ms is None or tpot_ms <= 0 else 1e3 / tpot_ms


def _number(value: float | None) -> str:
    return "more than can be seen" if value is None else f"{value:.4g}"


def _rate_result(
    name: str, hits: int, limit: float, summary: LoadSummary, alpha: float
) -> ObjectiveResult:
    what = "failed" if name == "max_error_rate" else "found no server"
    if not summary.requests:
        return ObjectiveResult(
            name=name, limit=limit, unit="1", value=None, lower=None, upper=None,
            status=FindingStatus.UNDECIDED, reason=f"no request was measured; {limit:.2%} allowed",
        )  # fmt: skip
    held = hold_rate(hits, summary.requests, limit, alpha=alpha)
    needed = None if held.needed is None else summary.requests + held.needed
    takes = f"; that takes {needed:,} requests" if needed is not None else ""
    return ObjectiveResult(
        name=name, limit=limit, unit="1", value=held.bounds.rate,
        lower=held.bounds.lower, upper=held.bounds.upper, status=held.status,
        reason=f"{hits:,} of {summary.requests:,} requests {what} ({held.bounds.rate:.3%}, "
        f"{held.bounds.lower:.3%} to {held.bounds.upper:.3%}): {held.relation} "
        f"{limit:.3g} of them{takes}",
        needed=needed,
    )  # fmt: skip


def _turned(lost: ObjectiveResult, limit: float) -> ObjectiveResult:
    """Returns a share of requests lost as the share that was not."""

    def rest(share: float | None) -> float | None:
        return None if share is None else 1 - share

    return ObjectiveResult(
        name=lost.name, limit=limit, unit=lost.unit, value=rest(lost.value),
        lower=rest(lost.upper), upper=rest(lost.lower), status=lost.status, reason=lost.reason,
        needed=lost.needed,
    )  # fmt: skip


def _why_invalid(profile: LoadProfile, summary: LoadSummary) -> Iterator[str]:
    run, limits = summary.generator, profile.generator
    if not summary.requests:
        yield "no request was measured; let the load run longer than its warm-up"
    elif not summary.answered:
        kinds = ", ".join(f"{kind} × {count:,}" for kind, count in summary.errors.items())
        yield (
            f"none of {summary.requests:,} requests was answered ({kinds}), so nothing is known "
            "about how fast; look at the end of the engine's log"
        )
    lag = summary.lag.at(0.99)
    if lag is not None and lag.value > limits.max_lag_p99_ms:
        yield (
            f"the generator sent requests late by {lag.value:.3g} ms at the 99th percentile, "
            f"{limits.max_lag_p99_ms:g} ms allowed: it could not keep up with the rate; lower "
            "the rate, or give it a core of its own"
        )
    if run.cpu_share > limits.max_cpu_share:
        yield (
            f"the generator used {run.cpu_share:.0%} of one core, {limits.max_cpu_share:.0%} "
            "allowed: the times include its own work; lower the load, or use a faster core"
        )


def _notes(profile: LoadProfile, summary: LoadSummary) -> Iterator[str]:
    run = summary.generator
    if run.interrupted:
        yield f"interrupted after {run.sent:,} requests: these are partial results"
    if run.stopped is not None:
        yield run.stopped
    if isinstance(profile.arrivals, Closed):
        yield (
            "a closed loop asks the next question when the last is answered, so a server that "
            "stalls is asked less: it hides queueing; judge objectives by an open loop"
        )
    if summary.held:
        yield (
            f"{summary.held:,} requests waited for a place among {profile.max_in_flight:,} in "
            "flight; the wait counts in their times"
        )
    if summary.uncounted:
        yield (
            f"{summary.uncounted:,} of {summary.answered:,} answers came without token counts, so "
            "tokens a second are not known; the server must honour stream_options.include_usage"
        )
    if summary.longest_retry_after_s is not None:
        yield (
            f"the server asked to be left alone for up to {summary.longest_retry_after_s:g} s "
            "(Retry-After); a load does not wait, it counts what users would have met"
        )
    if any(times.relative_error for times in summary.times.values()):
        error = max(times.relative_error for times in summary.times.values())
        yield f"percentiles of a sketch: each is within {error:.1%} of an order statistic"
