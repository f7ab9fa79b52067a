"""What is asked of a load test, and what the answer must meet: `load:` in `policy.yaml`.

Decides the arrival models, their limits and the objectives; the profiles that have names are
`assay.load.named_profiles`. Sending is the generator's, judging `assay.load.summary`'s.
"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from assay.documents import Document
from assay.load import arrivals as starts

MOST_REQUESTS = 20_000_000
"""More than four times a day at 50 a second; beyond it the plan itself is a mistake."""

Rate = Annotated[float, Field(gt=0.0, le=100_000.0, allow_inf_nan=False)]
Duration = Annotated[float, Field(gt=0.0, le=7 * 86_400.0, allow_inf_nan=False)]
Limit = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Closed(Document):
    """A closed loop: so many requests in flight, each followed by the next. Hides queueing."""

    kind: Literal["closed"]
    concurrency: int = Field(ge=1, le=4096, description="Requests in flight at any time.")


class Constant(Document):
    """An open loop of evenly spaced arrivals."""

    kind: Literal["constant"]
    rate_per_s: Rate = Field(description="Requests a second.")


class Poisson(Document):
    """An open loop of independent users."""

    kind: Literal["poisson"]
    rate_per_s: Rate = Field(description="Requests a second, on average.")


class Gamma(Document):
    """An open loop with bursts: gaps of a gamma law."""

    kind: Literal["gamma"]
    rate_per_s: Rate = Field(description="Requests a second, on average.")
    shape: float = Field(
        default=0.25, ge=0.01, le=100.0,
        description="1 is Poisson; below it requests come in bursts, above it more evenly.",
    )  # fmt: skip


class Ramp(Document):
    """An open loop whose rate changes evenly from one value to another."""

    kind: Literal["ramp"]
    from_per_s: Rate = Field(description="Requests a second at the start.")
    to_per_s: Rate = Field(description="Requests a second at the end.")


class Spike(Document):
    """An open loop of independent users with a rush in the middle."""

    kind: Literal["spike"]
    rate_per_s: Rate = Field(description="Requests a second before and after the rush.")
    times: float = Field(default=5.0, gt=1.0, le=1000.0, description="How many times in the rush.")
    share: float = Field(
        default=0.2, gt=0.0, lt=1.0, description="Share of the duration that is the rush."
    )


class Replay(Document):
    """An open loop that repeats recorded arrivals; the trace is a file of seconds, one a line."""

    kind: Literal["replay"]
    trace: str = Field(min_length=1, description="File of arrival times in seconds, ascending.")
    speed: float = Field(default=1.0, gt=0.0, le=1000.0, description="2 replays twice as fast.")


Arrivals = Annotated[
    Closed | Constant | Poisson | Gamma | Ramp | Spike | Replay, Field(discriminator="kind")
]


class GoldenPrompts(Document):
    """Prompts are the golden cases, as the task asks them."""

    kind: Literal["golden"]
    limit: int | None = Field(default=None, ge=1, description="Use so many of them at most.")


class LengthPrompts(Document):
    """Prompts are nonsense of a drawn length: for load without data, or for a given shape of it.

    Lengths are drawn from a log-normal law with these median and spread.
    """

    kind: Literal["lengths"]
    prompts: int = Field(default=1000, ge=1, le=100_000, description="Different prompts.")
    words_median: float = Field(default=64.0, ge=1.0, le=100_000.0, description="Words a prompt.")
    words_sigma: float = Field(
        default=0.5, ge=0.0, le=3.0, description="Spread: standard deviation of the logarithm."
    )
    words_max: int = Field(default=2048, ge=1, le=200_000, description="Longest prompt, in words.")
    max_tokens: int = Field(default=64, ge=1, le=65_536, description="Tokens of an answer.")
    ignore_eos: bool = Field(
        default=True, description="Whether the engine must fill max_tokens (vLLM's ignore_eos)."
    )


Prompts = Annotated[GoldenPrompts | LengthPrompts, Field(discriminator="kind")]


class Objectives(Document):
    """What a load must meet. Leave one out with null: it is then neither met nor missed."""

    ttft_p99_ms: Limit | None = Field(
        default=500.0, description="Time to the first word that 99 % of requests stay within."
    )
    e2e_p99_ms: Limit | None = Field(
        default=None, description="Time to the whole answer that 99 % stay within."
    )
    tokens_per_s: Limit | None = Field(
        default=50.0,
        description="Output tokens a second, after the first, that 99 % of requests reach.",
    )
    max_error_rate: float | None = Field(
        default=0.001, gt=0.0, lt=1.0, description="Share of requests that may fail."
    )
    min_availability: float | None = Field(
        default=0.999,
        gt=0.0,
        lt=1.0,
        description="Share of requests that found a server: not refused a connection, cut off, "
        "left waiting, or answered with HTTP 5xx.",
    )


class GeneratorLimits(Document):
    """When the generator itself could not keep up, and so measured itself."""

    max_lag_p99_ms: Limit = Field(
        default=25.0, description="Start later than intended that 99 % of requests stay within."
    )
    max_cpu_share: float = Field(
        default=0.9, gt=0.0, le=1.0, description="Share of one core that it may use."
    )


class Search(Document):
    """How the highest rate that meets the objectives is found: see `assay.load.search`."""

    start_per_s: Rate = Field(default=2.0, description="Rate of the first step.")
    min_per_s: Rate = Field(default=0.1, description="Rate below which nothing is tried.")
    max_per_s: Rate = Field(default=2000.0, description="Rate at which the search ends.")
    growth: float = Field(default=2.0, gt=1.0, le=10.0, description="Factor from step to step.")
    precision: float = Field(
        default=0.1, gt=0.0, lt=1.0,
        description="The search ends when the highest rate met and the lowest missed are so near.",
    )  # fmt: skip
    step_s: Duration = Field(default=15.0, description="Length of a step, at least.")
    step_requests: int = Field(default=100, ge=10, description="Requests of a step, at least.")


class LoadProfile(Document):
    """One load test. Every field may be overridden in `policy.yaml`, by profile."""

    name: str = Field(min_length=1, pattern="^[a-z][a-z0-9-]{0,39}$", description="Its name.")
    arrivals: Arrivals = Field(description="When requests start.")
    duration_s: Duration = Field(description="How long requests are sent, after the warm-up.")
    requests: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS,
        description="Ends a closed loop after so many measured requests, where that is sooner.",
    )  # fmt: skip
    warm_up_s: float = Field(
        default=5.0, ge=0.0, le=3600.0,
        description="Load of the same kind before it, whose times are thrown away.",
    )  # fmt: skip
    max_in_flight: int = Field(
        default=1024, ge=1, le=16_384,
        description="Requests in flight at most; later ones wait, and the wait counts.",
    )  # fmt: skip
    request_timeout_s: Duration = Field(default=30.0, description="After it a request has failed.")
    seed: int = Field(default=0, ge=0, description="Decides arrivals, and the order of prompts.")
    prompts: Prompts = Field(default=GoldenPrompts(kind="golden"), description="What is asked.")
    objectives: Objectives = Field(default=Objectives(), description="What must be met.")
    generator: GeneratorLimits = Field(
        default=GeneratorLimits(), description="When a run does not count."
    )
    search: Search | None = Field(
        default=None, description="Looks for the highest rate that meets the objectives."
    )
    alpha: float = Field(
        default=0.05, gt=0.0, lt=0.5, description="Error rate of each one-sided bound."
    )

    @model_validator(mode="after")
    def _is_a_plan(self) -> Self:
        if self.search is not None and not isinstance(self.arrivals, Constant | Poisson | Gamma):
            raise ValueError("a search changes one rate: expected constant, poisson or gamma")
        if self.requests is not None and not isinstance(self.arrivals, Closed):
            raise ValueError("requests ends a closed loop only; an open one ends by duration_s")
        expected = self.expected_requests
        if expected is not None and not 1 <= expected <= MOST_REQUESTS:
            raise ValueError(
                f"rate and duration make {expected:.3g} requests; expected 1 to {MOST_REQUESTS}; "
                "change the rate or the duration"
            )
        return self

    @property
    def expected_requests(self) -> float | None:
        """Requests of an open loop, on average and without the warm-up; None where unknown."""
        match self.arrivals:
            case Constant() | Poisson() | Gamma():
                return self.arrivals.rate_per_s * self.duration_s
            case Ramp(from_per_s=start, to_per_s=end):
                return (start + end) / 2 * self.duration_s
            case Spike(rate_per_s=rate, times=times, share=share):
                return rate * self.duration_s * (1 + share * (times - 1))
            case _:
                return None

    def at_rate(self, rate_per_s: float, duration_s: float | None = None) -> Self:
        """Returns the same load at another rate, and for another time where that is given.

        Raises:
            ValueError: its arrivals have no single rate.
        """
        if not isinstance(self.arrivals, Constant | Poisson | Gamma | Spike):
            raise ValueError(f"arrivals of kind {self.arrivals.kind!r} have no single rate")
        changes = {"arrivals": self.arrivals.model_copy(update={"rate_per_s": rate_per_s})}
        return self.model_copy(
            update=changes | ({} if duration_s is None else {"duration_s": duration_s})
        )

    def schedule(self, trace: starts.Seconds | None = None) -> starts.Seconds | None:
        """Returns every intended start in seconds, the warm-up's first; None for a closed loop.

        A request belongs to the warm-up when it is meant to start before `warm_up_s`.

        Args:
            trace: the recorded times, for a replay; it has a warm-up only if it begins with one.
        """
        rng = np.random.default_rng(self.seed)
        total = self.warm_up_s + self.duration_s
        match self.arrivals:
            case Closed():
                return None
            case Constant(rate_per_s=rate):
                return starts.constant(rate, total)
            case Poisson(rate_per_s=rate):
                return starts.poisson(rate, total, rng)
            case Gamma(rate_per_s=rate, shape=shape):
                return starts.gamma(rate, total, shape, rng)
            case Ramp(from_per_s=start, to_per_s=end):
                warm = self._warm_up(start, rng)
                main = starts.ramp(start, end, self.duration_s)
                return np.concatenate([warm, self.warm_up_s + main])
            case Spike(rate_per_s=rate, times=times, share=share):
                warm = self._warm_up(rate, rng)
                main = starts.spike(rate, self.duration_s, times, share, rng)
                return np.concatenate([warm, self.warm_up_s + main])
            case Replay(trace=name, speed=speed):
                times_s = np.empty(0) if trace is None else trace
                replayed = starts.replay(times_s, name) / speed
                return replayed[replayed < total]

    def _warm_up(self, rate_per_s: float, rng: np.random.Generator) -> starts.Seconds:
        if self.warm_up_s == 0:
            return np.empty(0)
        return starts.poisson(rate_per_s, self.warm_up_s, rng)
