"""What an answer costs: in tokens, in money by the token, or in money by the hour of a machine.

Decides whether the candidate is shown to cost no more than production times a ratio, over the same
questions, and to keep within the policy's budgets. Tokens are the engine's own count; a question
whose tokens were not counted leaves the cost unmeasured. Where the policy names the price of an
hour, the timed load says what a request and a million tokens cost at the rate it reached
(`cost_load`).
"""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from assay.cells import Floats
from assay.engine_price import Throughput, throughput
from assay.errors import ConfigError, TooFewCasesError
from assay.records import Finding, FindingStatus, Prediction, Role
from assay.task import Task
from evaluators.base import Evaluation, Evaluator, Inputs
from evaluators.cost_load import Budget, load_findings, load_metrics, load_rows, no_load
from evaluators.f1_cells import answered_cases
from evaluators.limits import held_against

_MINIMUM = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Evaluator):
    """Judges the cost of the answers to the golden set.

    Args:
        max_ratio: how many times production's mean cost the candidate's may be.
        prompt_price: price of a million prompt tokens; counts as 1 each where both prices are 0.
        completion_price: price of a million completion tokens.
        max_cost: hard limit of the mean cost of a thousand questions; 0 asks nothing.
        price_per_hour: price of an hour of the machine (its GPUs, or the host) that one engine has
            to itself; 0 where nobody pays by the hour. Needs the load of `latency`.
        max_per_request: budget of a request, at the rate of that load; 0 asks nothing.
        max_per_million_tokens: budget of a million tokens, prompt and answer; 0 asks nothing.
        max_hourly_ratio: how many times production's price of a request the candidate's may be;
            0 asks nothing.
        expected_requests_per_s: the traffic to plan for; says how many machines it takes and what
            share of them is idle. 0 plans nothing.
    """

    unit: ClassVar[str] = "cost per 1000 questions"
    direction: ClassVar[Literal["higher_is_better", "lower_is_better"]] = "lower_is_better"
    version: ClassVar[str] = "2"

    max_ratio: Annotated[float, Field(gt=1.0)] = 1.10
    prompt_price: Annotated[float, Field(ge=0.0)] = 0.0
    completion_price: Annotated[float, Field(ge=0.0)] = 0.0
    max_cost: Annotated[float, Field(ge=0.0)] = 0.0
    price_per_hour: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    max_per_request: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    max_per_million_tokens: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    max_hourly_ratio: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    expected_requests_per_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0

    def check(self, task: Task) -> None:
        """Refuses budgets by the hour without the price of one.

        Raises:
            ConfigError: names the option.
        """
        if self.price_per_hour:
            return
        for name in (
            "max_per_request",
            "max_per_million_tokens",
            "max_hourly_ratio",
            "expected_requests_per_s",
        ):
            if getattr(self, name):
                raise ConfigError(
                    f"{name} is {getattr(self, name):g} and price_per_hour is not set; expected "
                    "the price of an hour of the machine; set it, or remove the option"
                )

    def evaluate(self, inputs: Inputs) -> Evaluation:
        """Judges the cost of the same questions to both models.

        Raises:
            TooFewCasesError: too few questions were asked, or tokens were not counted.
        """
        cases = [c for c in answered_cases(inputs) if c.stratum == inputs.rules.stratum]
        costs = {
            role: self._costs(role, [answers.predictions[case.id] for case in cases])
            for role, answers in inputs.answers().items()
        }
        findings = []
        if Role.PRODUCTION in costs:
            findings.append(
                self._ratio(costs[Role.CANDIDATE], costs[Role.PRODUCTION], inputs.rules.alpha)
            )
        if self.max_cost:
            findings.append(self._limit(costs[Role.CANDIDATE], inputs.rules.alpha))
        metrics = {role: {"per_1000": float(values.mean())} for role, values in costs.items()}
        tables = {}
        if self._by_the_hour:
            loads, rules = self._loads(inputs), inputs.rules
            findings += load_findings(loads, self._budget, rules)
            timed = {role: load_metrics(one, self._budget, rules) for role, one in loads.items()}
            metrics = {role: values | timed[role] for role, values in metrics.items()}
            tables = {"by_the_hour": load_rows(timed)}
        if not findings:
            raise TooFewCasesError("there is no production to compare with, and no max_cost is set")
        return Evaluation(findings=tuple(findings), metrics=metrics, tables=tables)

    @property
    def _by_the_hour(self) -> bool:
        return self.price_per_hour > 0

    @property
    def _budget(self) -> Budget:
        return Budget(
            price_per_hour=self.price_per_hour,
            per_request=self.max_per_request,
            per_million_tokens=self.max_per_million_tokens,
            max_ratio=self.max_hourly_ratio,
            expected_requests_per_s=self.expected_requests_per_s,
        )

    def _loads(self, inputs: Inputs) -> dict[Role, Throughput]:
        missing = [role for role, one in inputs.answers().items() if not one.latency]
        if missing:
            raise no_load(missing)
        return {role: throughput(one.latency) for role, one in inputs.answers().items()}

    def _costs(self, role: Role, answers: list[Prediction]) -> Floats:
        """Cost of each question, in thousandths of the unit, so that the mean is that of 1,000."""
        counted = [
            (p.prompt_tokens, p.completion_tokens)
            for p in answers
            if p.prompt_tokens is not None and p.completion_tokens is not None
        ]
        if len(counted) < len(answers) or len(counted) < _MINIMUM:
            raise TooFewCasesError(
                f"{role.value}: tokens were counted for {len(counted)} of {len(answers)} "
                f"questions; expected all, of {_MINIMUM} or more; use an engine that reports usage"
            )
        tokens = np.array(counted, dtype=float)
        prices = np.array([self.prompt_price, self.completion_price]) / 1e6
        costs: Floats = 1000 * (tokens @ prices if prices.any() else tokens.sum(axis=1))
        return costs

    def _ratio(self, candidate: Floats, production: Floats, alpha: float) -> Finding:
        """Bounds the ratio of means over the same questions (delta method)."""
        if production.mean() <= 0:
            raise TooFewCasesError("production's mean cost is 0, so there is no ratio to it")
        ratio = float(candidate.mean() / production.mean())
        residual = candidate - ratio * production
        error = float(residual.std(ddof=1) / production.mean() / math.sqrt(len(candidate)))
        reach = float(ndtri(1 - alpha)) * error
        status, relation = held_against(ratio - reach, ratio + reach, self.max_ratio)
        return Finding(
            evaluator=self.name,
            metric=f"{self.name}/per_1000",
            kind="ratio",
            status=status,
            reason=f"A thousand questions cost {candidate.mean():.4g} against "
            f"{production.mean():.4g} in production ({ratio:.3f} times, at most "
            f"{ratio + reach:.3f}): {relation} {self.max_ratio:g} times.",
            candidate=float(candidate.mean()),
            production=float(production.mean()),
            difference=ratio,
            interval=(ratio - reach, ratio + reach),
            bound=ratio - reach if status is FindingStatus.FAILED else ratio + reach,
            margin=self.max_ratio,
            n=len(candidate),
            unit=self._priced(),
        )

    def _limit(self, candidate: Floats, alpha: float) -> Finding:
        mean = float(candidate.mean())
        error = float(candidate.std(ddof=1) / math.sqrt(len(candidate)))
        reach = float(ndtri(1 - alpha)) * error
        status, relation = held_against(mean - reach, mean + reach, self.max_cost)
        return Finding(
            evaluator=self.name,
            metric=f"{self.name}/per_1000",
            kind="limit",
            status=status,
            reason=f"A thousand questions cost {mean:.4g}, at most {mean + reach:.4g}: {relation} "
            f"the limit {self.max_cost:g}.",
            candidate=mean,
            interval=(mean - reach, mean + reach),
            bound=mean - reach if status is FindingStatus.FAILED else mean + reach,
            margin=self.max_cost,
            n=len(candidate),
            unit=self._priced(),
        )

    def _priced(self) -> str:
        return "money" if self.prompt_price or self.completion_price else "tokens"
