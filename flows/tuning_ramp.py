"""The ramp that measures a trial: the load engine's search, step by step.

Decides that a trial needs no run of full length (the best and the present settings are measured
again before anything is recommended), and what of a step the tuner sees. Rates, objectives and
whether a step counts are the load engine's (`assay.load`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.errors import InfrastructureError
from assay.load.objectives import LoadVerdict
from assay.load.profile import LoadProfile, Search
from assay.load.search import RateSearch
from assay.load.summary import LoadSummary
from assay.load_testing import LoadTest, run_step
from assay.ports import LoadGenerator, Question, RunningServer
from assay.tuning.trials import RampStep

_P99 = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRamp:
    """Implements `assay.tuning.ports.Ramp` with a load generator.

    Args:
        generator: sends the load.
        profile: the load; it has a search.
        questions: what is asked, the same in every trial.
        run_id: begins every request's id.
    """

    generator: LoadGenerator
    profile: LoadProfile
    questions: Sequence[Question]
    run_id: str

    def steps(self, running: RunningServer) -> Iterator[RampStep]:
        """Yields each step as it ends, the lowest rate first.

        Raises:
            InfrastructureError: the engine went away, or the generator could not keep up with the
                very first rate.
        """
        test = LoadTest(
            generator=self.generator,
            endpoint=running.endpoint,
            questions=self.questions,
            run_id=self.run_id,
        )
        search = RateSearch(self.profile.search or Search())
        while (rate := search.next_rate()) is not None:
            step, summary, verdict = run_step(self.profile, test, rate)
            if summary.generator.interrupted:
                raise KeyboardInterrupt
            if verdict.invalid and summary.answered:
                if not search.steps:
                    raise InfrastructureError(
                        f"at {rate:.3g} requests a second: {verdict.invalid[0]}"
                    )
                return  # what the generator cannot send is no miss of the engine's
            if not summary.answered and not running.is_alive():
                raise InfrastructureError(
                    f"the engine died at {rate:.3g} requests a second; its last words:\n"
                    f"{running.log_tail()}"
                )
            search.record(step)
            yield _as_ramp_step(rate, step.met, step.reason, summary, verdict)


def _as_ramp_step(
    rate: float, met: bool, reason: str, summary: LoadSummary, verdict: LoadVerdict
) -> RampStep:
    first_word = summary.times["ttft"].at(_P99)
    limit = next((r.limit for r in verdict.objectives if r.name == "ttft_p99_ms"), None)
    excess = None
    if first_word is not None and limit is not None and first_word.value > limit:
        excess = first_word.value / limit - 1
    return RampStep(
        rate_per_s=rate,
        met=met,
        ttft_p99_ms=None if first_word is None else first_word.value,
        output_tokens_per_s=summary.output_tokens_per_s,
        reason="" if met else reason,
        excess=excess,
    )
