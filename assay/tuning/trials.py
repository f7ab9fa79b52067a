"""What became of one point of the space, and the measurement behind it.

Decides what a ramp's steps amount to: the highest rate that met the objectives, and the lowest that
missed them. Measuring is the load engine's; choosing points the optimiser's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from assay.tuning.space import Value


class TrialState(StrEnum):
    """How a trial ended.

    `measured`: a highest rate was found. `pruned`: not even the first, lowest rate met the
    objectives. `refused`: the engine did not start, or died, with these settings. `killed`: the
    process that ran it ended before the trial did.
    """

    MEASURED = "measured"
    PRUNED = "pruned"
    REFUSED = "refused"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RampStep:
    """One rate of a ramp.

    Args:
        rate_per_s: requests a second that were meant to start.
        met: whether every objective was met.
        ttft_p99_ms: of this step; None where no first word came.
        output_tokens_per_s: of all requests together; None where the engine counted none.
        reason: one sentence that says which objective was missed, empty where none was.
        excess: by how much the objective on the first word was missed, as a share of it; None where
            it was met or not measured.
    """

    rate_per_s: float
    met: bool
    ttft_p99_ms: float | None
    output_tokens_per_s: float | None
    reason: str = ""
    excess: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RampResult:
    """The highest rate that met the objectives, and what else a ramp showed.

    Args:
        goodput_per_s: highest rate that met every objective.
        missed_per_s: lowest higher rate that did not; None where the ramp ended without one.
        ttft_p99_ms: at the first rate, which is the same in every ramp; None where not measured.
        output_tokens_per_s: at the highest rate met; None where not counted.
    """

    goodput_per_s: float
    missed_per_s: float | None
    ttft_p99_ms: float | None
    output_tokens_per_s: float | None

    def cost_per_million_tokens(self, price_per_hour: float | None) -> float | None:
        """Returns what a million output tokens cost at the highest rate met; None if unknown."""
        if price_per_hour is None or not self.output_tokens_per_s:
            return None
        return price_per_hour / (self.output_tokens_per_s * 3600) * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One trial, as it is stored and shown.

    Args:
        number: from 0; trial 0 is the settings as they are.
        point: setting → value.
        state: how it ended.
        result: where it was measured.
        excess: pruned trials: how far the first step lay beyond the objective (0.5: by half).
        reason: one sentence, for trials that were not measured.
        log_tail: the engine's last lines, for trials that it refused.
        seconds: how long the trial took, engine start included.
    """

    number: int
    point: Mapping[str, Value]
    state: TrialState
    result: RampResult | None = None
    excess: float | None = None
    reason: str = ""
    log_tail: str = ""
    seconds: float = 0.0


def ramp_result(steps: Sequence[RampStep]) -> RampResult | None:
    """Returns what the steps of a ramp amount to, None where no step met the objectives.

    A rate counts as met only if no lower rate was missed: an engine that fails at 4 a second and
    passes at 8 passed by luck.
    """
    missed = min((step.rate_per_s for step in steps if not step.met), default=None)
    met = [step for step in steps if step.met and (missed is None or step.rate_per_s < missed)]
    if not met:
        return None
    best = max(met, key=lambda step: step.rate_per_s)
    return RampResult(
        goodput_per_s=best.rate_per_s,
        missed_per_s=missed,
        ttft_p99_ms=steps[0].ttft_p99_ms,
        output_tokens_per_s=best.output_tokens_per_s,
    )


def metrics_of(trial: TrialRecord, price_per_hour: float | None) -> dict[str, float]:
    """Returns a trial's figures by metric key; what was not measured is absent."""
    found: dict[str, float | None] = {"seconds": trial.seconds or None}
    if trial.result is not None:
        found |= {
            "goodput_per_s": trial.result.goodput_per_s,
            "missed_per_s": trial.result.missed_per_s,
            "ttft_p99_ms": trial.result.ttft_p99_ms,
            "output_tokens_per_s": trial.result.output_tokens_per_s,
            "cost_per_million_tokens": trial.result.cost_per_million_tokens(price_per_hour),
        }
    return {f"tuning/{name}": value for name, value in found.items() if value is not None}
