"""What a load came to: rates, percentiles, errors by kind, and the generator's own state.

Decides how requests are counted as they end, in memory that does not grow with them; leaves which
of it is good enough to `objectives`. A request that was given up takes part in the percentiles as
long as it was waited for (its true time is longer); one that failed otherwise has no time, and
takes part in the error rate alone. Tokens that an engine did not count are unknown, never none.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.load.percentiles import Percentile, Times
from assay.load.profile import LoadProfile, Objectives
from assay.load.samples import GeneratorRun, TimedRequest

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
KINDS = ("ttft", "itl", "tpot", "e2e")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSummary:
    """One kind of time, in milliseconds; `percentiles` in the order of `SHARES`.

    `given_up` of the `n` are lower bounds: requests that timed out. `relative_error` is that of a
    sketch; 0 where every time was kept.
    """

    n: int
    given_up: int
    mean_ms: float | None
    max_ms: float | None
    relative_error: float
    percentiles: tuple[Percentile, ...]

    def at(self, share: float) -> Percentile | None:
        """Returns one percentile, or None where there was no time."""
        return next((p for p in self.percentiles if p.share == share), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSummary:
    """A finished load in figures. Rates are per second of the measured time.

    Args:
        requests: measured requests: sent after the warm-up.
        answered: of those, with an answer.
        errors: kind → how many; `timeout` among them.
        unavailable: requests lost to a server that was not there (see `Objectives`).
        good: answered, and within every objective of a single request.
        measured_s: from the first measured intended start to the last end.
        offered_per_s: requests that were meant to start.
        answered_per_s, good_per_s: requests.
        input_tokens_per_s, output_tokens_per_s: None where an answer came without its counts.
        uncounted: answers without token counts.
        times: `ttft`, `itl`, `tpot`, `e2e`.
        lag: how late requests were sent by the generator's own doing; in a closed loop, nothing.
        held: requests that waited for a free place under the cap of requests in flight.
        longest_retry_after_s: the longest wait a server asked for.
        generator: what the generator says about itself.
    """

    requests: int
    answered: int
    errors: Mapping[str, int]
    unavailable: int
    good: int
    measured_s: float
    offered_per_s: float | None
    answered_per_s: float | None
    good_per_s: float | None
    input_tokens_per_s: float | None
    output_tokens_per_s: float | None
    uncounted: int
    times: Mapping[str, TimeSummary]
    lag: TimeSummary
    held: int
    longest_retry_after_s: float | None
    generator: GeneratorRun

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return self.requests - self.answered

    @property
    def good_share(self) -> float | None:
        """Goodput as a share of all requests."""
        return self.good / self.requests if self.requests else None


@dataclass(slots=True)
class Tally:
    """Counts a load's requests as they end, in any order; see `add` and `summary`."""

    profile: LoadProfile
    requests: int = 0
    answered: int = 0
    good: int = 0
    unavailable: int = 0
    uncounted: int = 0
    held: int = 0
    warmed_up: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    times: dict[str, Times] = field(default_factory=lambda: {kind: Times() for kind in KINDS})
    lag: Times = field(default_factory=Times)
    _input_tokens: int = 0
    _output_tokens: int = 0
    _retry_after_s: float | None = None
    _first_s: float = float("inf")
    _last_intended_s: float = 0.0
    _last_s: float = 0.0

    def add(self, request: TimedRequest) -> None:
        """Counts one request; one of the warm-up only as such."""
        if request.warm_up:
            self.warmed_up += 1
            return
        self.requests += 1
        if request.intended_s < self._first_s:
            self._first_s = request.intended_s
        if request.intended_s > self._last_intended_s:
            self._last_intended_s = request.intended_s
        if request.ended_s > self._last_s:
            self._last_s = request.ended_s
        self.held += request.held_s > 0
        self.lag.add(request.lag_ms)
        if request.ok:
            self._add_answer(request)
        else:
            self._add_error(request)

    def _add_answer(self, request: TimedRequest) -> None:
        self.answered += 1
        ttft_ms, tpot_ms = request.ttft_ms, request.tpot_ms
        if ttft_ms is not None:
            self.times["ttft"].add(ttft_ms)
        if tpot_ms is not None:
            self.times["tpot"].add(tpot_ms)
        self.times["e2e"].add(request.e2e_ms)
        self.times["itl"].extend(request.gaps_ms)
        if request.prompt_tokens is None or request.completion_tokens is None:
            self.uncounted += 1
        else:
            self._input_tokens += request.prompt_tokens
            self._output_tokens += request.completion_tokens
        self.good += is_good(request, self.profile.objectives)

    def _add_error(self, request: TimedRequest) -> None:
        kind = request.error_kind or "unknown"
        self.errors[kind] += 1
        self.unavailable += is_unavailable(kind)
        if request.retry_after_s is not None:
            self._retry_after_s = max(self._retry_after_s or 0.0, request.retry_after_s)
        if not request.timed_out:
            return
        self.times["e2e"].add(request.e2e_ms, censored=True)
        if request.ttft_ms is None:
            self.times["ttft"].add(request.e2e_ms, censored=True)
        else:
            self.times["ttft"].add(request.ttft_ms)

    def summary(self, run: GeneratorRun) -> LoadSummary:
        """Returns the figures of what was counted so far."""
        measured_s = max(0.0, self._last_s - self._first_s) if self.requests else 0.0
        alpha = self.profile.alpha

        def per_s(count: int) -> float | None:
            return count / measured_s if measured_s > 0 else None

        counted = self.answered > 0 and not self.uncounted
        return LoadSummary(
            requests=self.requests,
            answered=self.answered,
            errors=dict(self.errors.most_common()),
            unavailable=self.unavailable,
            good=self.good,
            measured_s=measured_s,
            offered_per_s=self._offered_per_s(),
            answered_per_s=per_s(self.answered),
            good_per_s=per_s(self.good),
            input_tokens_per_s=per_s(self._input_tokens) if counted else None,
            output_tokens_per_s=per_s(self._output_tokens) if counted else None,
            uncounted=self.uncounted,
            times={kind: _summed_up(times, alpha) for kind, times in self.times.items()},
            lag=_summed_up(self.lag, alpha),
            held=self.held,
            longest_retry_after_s=self._retry_after_s,
            generator=run,
        )

    def _offered_per_s(self) -> float | None:
        """Starts a second, by the n − 1 gaps between n intended starts."""
        span_s = self._last_intended_s - self._first_s
        return (self.requests - 1) / span_s if self.requests > 1 and span_s > 0 else None


def is_unavailable(error_kind: str) -> bool:
    """Tells whether an error means that no server was there to ask."""
    return error_kind in ("connection", "timeout", "broken") or error_kind.startswith("http_5")


def is_good(request: TimedRequest, objectives: Objectives) -> bool:
    """Tells whether one request got all that the objectives promise a single one.

    An answer of one token has no speed, so that objective says nothing about it; an answer whose
    tokens were not counted has one that is unknown, and is not good.
    """
    if not request.ok:
        return False
    if objectives.ttft_p99_ms is not None and not _within(request.ttft_ms, objectives.ttft_p99_ms):
        return False
    if objectives.e2e_p99_ms is not None and not _within(request.e2e_ms, objectives.e2e_p99_ms):
        return False
    if objectives.tokens_per_s is None or request.completion_tokens in (0, 1):
        return True
    return _within(request.tpot_ms, 1e3 / objectives.tokens_per_s)


def _within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _summed_up(times: Times, alpha: float) -> TimeSummary:
    return TimeSummary(
        n=times.n,
        given_up=times.censored,
        mean_ms=times.mean,
        max_ms=times.largest if times.n else None,
        relative_error=times.relative_error,
        percentiles=tuple(times.percentile(share, alpha=alpha) for share in SHARES)
        if times.n
        else (),
    )
