"""Finds the highest rate that meets the objectives, one step of load after the other.

Decides which rate is tried next, and when the search is over; leaves running a step, and saying
whether it met the objectives, to `assay.load_testing`. The rule:

1. From `start_per_s` the rate grows by `growth` until a step misses (or to `max_per_s`), or
   shrinks by it until one meets (or to `min_per_s`).
2. Between the highest rate met and the lowest missed the geometric mean is tried, until the two
   are within `precision`.
3. A step is *met* when every objective's measured value is within its limit. That is a guess from
   few requests, so the highest rate met is run again for the profile's full duration, and counts
   only when the bounds agree (`judge_load`). Where they do not, the rate is lowered by
   `precision` and tried again, `CONFIRMATIONS` times in all.
"""

import math
from dataclasses import dataclass, field

from assay.load.profile import Search

CONFIRMATIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rate that was tried, and the sentence that says how it went."""

    rate_per_s: float
    met: bool
    confirmation: bool
    requests: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found: `rate_per_s` is None when no rate was confirmed."""

    rate_per_s: float | None
    reason: str
    steps: tuple[Step, ...]


@dataclass(slots=True)
class RateSearch:
    """The state of a search: ask `next_rate`, run it, tell `record`; then `confirm`."""

    search: Search
    met_per_s: float | None = None
    missed_per_s: float | None = None
    steps: list[Step] = field(default_factory=list)

    def next_rate(self) -> float | None:
        """Returns the rate of the next step, or None when stepping is over."""
        met, missed, search = self.met_per_s, self.missed_per_s, self.search
        if met is None and missed is None:
            return min(search.start_per_s, search.max_per_s)
        if met is None and missed is not None:
            lower = missed / search.growth
            return lower if lower >= search.min_per_s else None
        assert met is not None  # noqa: S101 - for the type checker
        if missed is None:
            return None if met >= search.max_per_s else min(met * search.growth, search.max_per_s)
        return None if missed / met <= 1 + search.precision else math.sqrt(met * missed)

    def record(self, step: Step) -> None:
        """Takes the outcome of a step."""
        self.steps.append(step)
        if step.confirmation:
            return
        if step.met:
            self.met_per_s = max(self.met_per_s or 0.0, step.rate_per_s)
        else:
            self.missed_per_s = min(self.missed_per_s or math.inf, step.rate_per_s)

    def next_confirmation(self) -> float | None:
        """Returns the rate to confirm, or None when there is none left to try."""
        tried = [step for step in self.steps if step.confirmation]
        if self.met_per_s is None or len(tried) >= CONFIRMATIONS or any(s.met for s in tried):
            return None
        return self.met_per_s / (1 + self.search.precision) ** len(tried)

    def result(self, interruption: str | None = None) -> SearchResult:
        """Returns what the search found, so far where something ended it early."""
        steps = tuple(self.steps)
        confirmed = next((s.rate_per_s for s in steps if s.confirmation and s.met), None)
        if confirmed is not None:
            reason = f"{confirmed:.3g} requests a second meet every objective"
            if self.missed_per_s is None:
                reason += "; the search ended at max_per_s, so more may be possible"
        elif interruption is not None:
            reason = interruption
        elif self.met_per_s is None:
            lowest = min((step.rate_per_s for step in steps), default=math.nan)
            reason = f"even {lowest:.3g} requests a second miss an objective: {steps[-1].reason}"
        else:
            reason = (
                f"{self.met_per_s:.3g} requests a second seemed to meet the objectives, and a run "
                f"of full length did not confirm it, nor {CONFIRMATIONS - 1} lower rates"
            )
        return SearchResult(rate_per_s=confirmed, reason=reason, steps=steps)
