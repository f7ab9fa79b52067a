"""How long users wait: for the first word, for each further one, and for the whole answer.

Decides whether the candidate meets the policy's objectives (order-statistic bounds of a
percentile), is not slower than production in the same interleaved load (bootstrap of paired
blocks), and answers reliably (exact bounds of the error rate). A percentile that too few requests
were timed for is undecided, and the finding says how many it takes.

An objective that production is shown to miss as well, on the same machine in the same minutes, says
nothing about the candidate: the finding is undecided, and never passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from assay.errors import TooFewCasesError
from assay.records import Role
from evaluators.base import Evaluation, Evaluator, Inputs
from evaluators.latency_findings import error_finding, objective_finding, ratio_finding
from evaluators.latency_times import KINDS, Timed, curve, metrics, same_questions, take_apart

Percentile = Annotated[
    str, StringConstraints(pattern=r"^(ttft|tpot|e2e)_p[1-9][0-9]?(\.[0-9]+)?_ms$")
]
"""A metric such as `ttft_p99_ms`, `tpot_p50_ms` or `e2e_p99.9_ms`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Evaluator):
    """Judges the times of an interleaved load.

    Args:
        objectives: percentile → milliseconds it may not exceed.
        max_ratio: percentile → how many times production's it may be.
        max_error_rate: share of the timed requests that may fail.
        blocks: blocks of each model, in turn (read by the gate, which runs the load).
        per_block: requests a block.
        concurrency: requests in flight at any time.
    """

    unit: ClassVar[str] = "ms"
    direction: ClassVar[Literal["higher_is_better", "lower_is_better"]] = "lower_is_better"
    version: ClassVar[str] = "1"

    objectives: Mapping[Percentile, Annotated[float, Field(gt=0.0, allow_inf_nan=False)]] = field(
        default_factory=lambda: {"ttft_p99_ms": 500.0}
    )
    max_ratio: Mapping[Percentile, Annotated[float, Field(gt=1.0, allow_inf_nan=False)]] = field(
        default_factory=lambda: {"ttft_p95_ms": 1.25}
    )
    max_error_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01
    blocks: Annotated[int, Field(ge=1, le=10_000)] = 20
    per_block: Annotated[int, Field(ge=1, le=10_000)] = 25
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 4

    def evaluate(self, inputs: Inputs) -> Evaluation:
        """Judges the candidate's times.

        Raises:
            TooFewCasesError: a model was not timed, or the two were timed on different questions.
        """
        timed = {role: take_apart(answers.latency) for role, answers in inputs.answers().items()}
        candidate, production = timed[Role.CANDIDATE], timed.get(Role.PRODUCTION)
        alpha = inputs.rules.alpha
        findings = [
            objective_finding(name, limit, candidate, production, alpha)
            for name, limit in self.objectives.items()
        ]
        if production is not None and inputs.production is not None:
            if not same_questions(inputs.candidate.latency, inputs.production.latency):
                raise TooFewCasesError(
                    "the two models were not timed on the same cases in the same blocks, so their "
                    "times are no pairs; expected one interleaved load; run the gate again"
                )
            findings += [
                ratio_finding(name, limit, candidate, production, inputs.rules)
                for name, limit in self.max_ratio.items()
            ]
        findings.append(error_finding(self.max_error_rate, candidate, production, alpha))
        return Evaluation(
            findings=tuple(findings),
            metrics={role: metrics(load) for role, load in timed.items()},
            tables=_tables(timed),
        )


def _tables(timed: Mapping[Role, Timed]) -> dict[str, Any]:
    """Returns each model's counts, and the 101 percentiles of each kind of time (ms)."""
    return {
        "counts": {
            role.value: {"requests": load.requests, "errors": load.errors}
            for role, load in timed.items()
        },
        "percentiles_ms": {
            role.value: {kind: curve(load.all(kind)) for kind in KINDS}
            for role, load in timed.items()
        },
    }
