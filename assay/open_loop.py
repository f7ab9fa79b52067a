"""Blocks of an open loop: the sender whose requests start by a schedule, however slow the answers.

Decides each block's schedule (the same for both models, another for every block) and refuses times
that the generator itself has spoilt; leaves sending to the load generator, and counting from the
intended start to whoever judges the samples.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.errors import ConfigError, InfrastructureError
from assay.load.arrivals import Seconds
from assay.load.named_profiles import named_profile
from assay.load.profile import Constant, Gamma, LoadProfile, Poisson
from assay.load.samples import TimedRequest, latency_sample
from assay.ports import LoadGenerator, LoadPlan, Question
from assay.records import Endpoint, LatencySample

_AHEAD = 4.0
"""How many times a block's expected length is drawn at first: enough arrivals, nearly always."""


def steady_profile(name: str, changes: Mapping[str, Mapping[str, Any]]) -> LoadProfile:
    """Returns a load profile whose arrivals can be cut into blocks that are alike.

    Args:
        name: of the profile.
        changes: the policy's `load:`.

    Raises:
        ConfigError: there is no such profile, or it has no steady rate.
    """
    profile = named_profile(name, changes)
    if not isinstance(profile.arrivals, Constant | Poisson | Gamma):
        raise ConfigError(
            f"evaluators.latency: arrivals {name!r} are of kind {profile.arrivals.kind!r}; "
            "expected a steady rate (constant, poisson or gamma), because every block is to be "
            "like the others; name another load profile"
        )
    return profile


@dataclass(slots=True, kw_only=True)
class OpenLoop:
    """A `Sender` of `assay.interleaving`.

    Args:
        generator: sends a block.
        profile: steady arrivals, the most in flight, the timeout, and the generator's limits.
        seed: decides the schedules, with the block's number.
        run_id: begins every request's id.
    """

    generator: LoadGenerator
    profile: LoadProfile
    seed: int
    run_id: str
    _lags_ms: list[float] = field(default_factory=list)

    def __call__(
        self, endpoint: Endpoint, questions: Sequence[Question], block: int, clock_zero_s: float
    ) -> Sequence[LatencySample]:
        """Sends one block; see `assay.interleaving.Sender`."""
        ended: list[TimedRequest] = []
        plan = LoadPlan(
            questions=questions,
            starts_s=self.schedule(block, len(questions)),
            most_in_flight=self.profile.max_in_flight,
            request_timeout_s=self.profile.request_timeout_s,
        )
        begun_s = time.monotonic() - clock_zero_s
        run = self.generator.run(endpoint, plan, ended.append, run_id=self.run_id)
        if run.interrupted:
            raise KeyboardInterrupt
        if run.stopped is not None:
            raise InfrastructureError(
                f"{endpoint.uds or endpoint.base_url}: the load ended early ({run.stopped}); look "
                "at the end of the engine's log and run the same command again"
            )
        self._lags_ms.extend(request.lag_ms for request in ended)
        ended.sort(key=lambda request: request.index)
        return [
            latency_sample(request, block=block, begun_s=begun_s, open_loop=True)
            for request in ended
        ]

    def schedule(self, block: int, requests: int) -> Seconds:
        """Returns when each of a block's requests is meant to start, in seconds from its begin."""
        arrivals = self.profile.arrivals
        assert isinstance(arrivals, Constant | Poisson | Gamma)  # noqa: S101 - see steady_profile
        duration_s = _AHEAD * requests / arrivals.rate_per_s
        seed = int(np.random.SeedSequence([self.seed, block]).generate_state(1)[0])
        while True:
            changes = {"warm_up_s": 0.0, "duration_s": duration_s, "seed": seed}
            starts = self.profile.model_copy(update=changes).schedule()
            if starts is not None and len(starts) >= requests:
                return starts[:requests]
            duration_s *= 2

    def check_lag(self) -> None:
        """Refuses a load in which the generator itself was late.

        Raises:
            InfrastructureError: the 99th percentile of its lag is beyond the profile's limit.
        """
        limit = self.profile.generator.max_lag_p99_ms
        lag = float(np.quantile(self._lags_ms, 0.99, method="higher")) if self._lags_ms else 0.0
        if lag > limit:
            raise InfrastructureError(
                f"the load generator started requests up to {lag:.3g} ms late (p99), expected at "
                f"most {limit:g} ms: the times are partly its own; free the machine, or lower the "
                f"rate of load profile {self.profile.name!r}"
            )
