"""How long users wait: for the first word, for each further one, and for the whole answer.

Decides whether the candidate meets the policy's objectives (order-statistic bounds of a
percentile), is not slower than production in the same interleaved load (bootstrap of paired
blocks), and answers reliably (exact bounds of the error rate). A percentile that too few requests
were timed for is undecided, and the finding says how many it takes.

An objective that production is shown to miss as well, on the same machine in the same minutes, says
nothing about the candidate: the finding is undecided, and never passes.

A load that noise leaves undecided goes on, up to `max_blocks` (`settled`). Each bound is then held
to its share of alpha, so that looking several times errs no more often than looking once
(`assay.looks`). Times of an open loop count from when a request was meant to be sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from assay.errors import ConfigError, TooFewCasesError
from assay.looks import level, looks
from assay.records import Finding, LatencySample, Role
from assay.task import Task
from evaluators.base import Evaluation, Evaluator, Inputs, Rules
from evaluators.latency_engine import (
    engine_findings,
    engine_health,
    engine_metrics,
    engine_rows,
    engine_series,
    with_reasons,
)
from evaluators.latency_findings import (
    error_finding,
    noise_finding,
    objective_finding,
    ratio_finding,
    worth_more,
)
from evaluators.latency_times import (
    KINDS,
    Timed,
    curve,
    metrics,
    percentile_rows,
    same_questions,
    take_apart,
    timeline,
)

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
        max_blocks: where the times do not decide, the load goes on up to so many blocks, looked at
            each time it has doubled; 0 for no more than `blocks`.
        per_block: requests a block.
        concurrency: requests in flight at any time, where the load is a closed loop.
        arrivals: the load profile (of that name, or of the policy's `load:`) whose arrivals time
            the models: an open loop, in which a slow model does not slow its own load, and times
            count from when a request was meant to be sent. Empty: a closed loop.
    """

    unit: ClassVar[str] = "ms"
    direction: ClassVar[Literal["higher_is_better", "lower_is_better"]] = "lower_is_better"
    version: ClassVar[str] = "2"

    objectives: Mapping[Percentile, Annotated[float, Field(gt=0.0, allow_inf_nan=False)]] = field(
        default_factory=lambda: {"ttft_p99_ms": 500.0}
    )
    max_ratio: Mapping[Percentile, Annotated[float, Field(gt=1.0, allow_inf_nan=False)]] = field(
        default_factory=lambda: {"ttft_p95_ms": 1.25}
    )
    max_error_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01
    blocks: Annotated[int, Field(ge=1, le=10_000)] = 20
    max_blocks: Annotated[int, Field(ge=0, le=100_000)] = 0
    per_block: Annotated[int, Field(ge=1, le=10_000)] = 25
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 4
    arrivals: str = ""

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many blocks of each model the load is looked at."""
        return looks(self.blocks, self.max_blocks)

    def check(self, task: Task) -> None:
        """Refuses a bound below what is asked in any case.

        Raises:
            ConfigError: `max_blocks` is below `blocks`.
        """
        if self.max_blocks and self.max_blocks < self.blocks:
            raise ConfigError(
                f"max_blocks is {self.max_blocks}, found below blocks ({self.blocks}); expected "
                "as many or more, or 0 for no more; correct one of the two"
            )

    def settled(
        self,
        candidate: Sequence[LatencySample],
        production: Sequence[LatencySample] | None,
        rules: Rules,
    ) -> bool:
        """Whether more of this load would change nothing: decided, or not to be had by the bound.

        Args:
            candidate: what was timed of it so far.
            production: the same of production; None where there is none.
            rules: of the judgement that is to come; its seed may be another.
        """
        load = take_apart(candidate)
        beside = None if production is None else take_apart(production)
        left = self.looks[-1] * self.per_block - load.requests
        return not any(worth_more(found, left) for found in self._judged(load, beside, rules))

    def evaluate(self, inputs: Inputs) -> Evaluation:
        """Judges the candidate's times.

        Raises:
            TooFewCasesError: a model was not timed, or the two were timed on different questions.
        """
        answers = inputs.answers()
        timed = {role: take_apart(one.latency) for role, one in answers.items()}
        if inputs.production is not None and not same_questions(
            inputs.candidate.latency, inputs.production.latency
        ):
            raise TooFewCasesError(
                "the two models were not timed on the same cases in the same blocks, so their "
                "times are no pairs; expected one interleaved load; run the gate again"
            )
        seen = engine_health(answers)
        production = timed.get(Role.PRODUCTION)
        judged = self._judged(timed[Role.CANDIDATE], production, inputs.rules)
        findings = [
            *with_reasons(judged, seen),
            *self._noise(inputs, production),
            *engine_findings(answers, seen),
        ]
        alpha = level(inputs.rules.alpha, self.looks)
        return Evaluation(
            findings=tuple(findings),
            metrics={
                role: metrics(load)
                | (engine_metrics(seen[role], answers[role]) if role in seen else {})
                for role, load in timed.items()
            },
            tables=_tables(timed)
            | {"percentile_rows": percentile_rows(timed, alpha), "timeline": timeline(answers)}
            | ({"engines": engine_rows(seen), "queue": engine_series(answers)} if seen else {}),
        )

    def _judged(self, candidate: Timed, production: Timed | None, rules: Rules) -> list[Finding]:
        """Holds the times against the policy, each bound at its share of alpha."""
        rules = replace(rules, alpha=level(rules.alpha, self.looks))
        alpha = rules.alpha
        findings = [
            objective_finding(name, limit, candidate, production, alpha)
            for name, limit in self.objectives.items()
        ]
        if production is not None:
            findings += [
                ratio_finding(name, limit, candidate, production, rules)
                for name, limit in self.max_ratio.items()
            ]
        findings.append(error_finding(self.max_error_rate, candidate, production, alpha))
        return findings

    def _noise(self, inputs: Inputs, production: Timed | None) -> list[Finding]:
        """Production against itself, where it was timed twice in the same blocks."""
        again = () if inputs.production is None else inputs.production.latency_again
        if production is None or inputs.production is None or not again:
            return []
        if not same_questions(again, inputs.production.latency):
            raise TooFewCasesError(
                "production was timed against itself on other cases or blocks, so its times are no "
                "pairs; expected one interleaved load; run the gate again"
            )
        rules = replace(inputs.rules, alpha=level(inputs.rules.alpha, self.looks))
        second = take_apart(again)
        return [noise_finding(name, second, production, rules) for name in self.max_ratio]


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
