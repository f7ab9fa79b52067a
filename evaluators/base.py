"""What every evaluator is: options as fields, one method, findings and metrics as its answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from assay.golden_set import GoldenSet
from assay.records import EngineSample, Finding, LatencySample, Prediction, Probe, Role
from assay.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswers:
    """What one model answered. A case that was not answered is absent, never a made-up answer.

    `predictions` maps golden case id → first answer, `probe_answers` probe id → answer; `repeats`
    holds the later answers to golden cases, one mapping for each further time they were asked. An
    evaluator that needs one answer a case takes the first: no other would be as good a choice.
    `latency` holds the interleaved load's samples in the order they were taken, `engine` what the
    engine said of itself meanwhile, and `latency_again` the samples of the same model timed against
    itself in the same load, where that was asked for.
    """

    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    probe_answers: Mapping[str, Prediction] = field(default_factory=dict)
    repeats: tuple[Mapping[str, Prediction], ...] = ()
    latency: tuple[LatencySample, ...] = ()
    engine: tuple[EngineSample, ...] = ()
    latency_again: tuple[LatencySample, ...] = ()

    def runs(self, times: int) -> tuple[Mapping[str, Prediction], ...]:
        """The first answers to the golden cases, the second ones and so on, `times` in all.

        A run that was not made is empty.
        """
        made = (self.predictions, *self.repeats)[:times]
        return made + ({},) * (times - len(made))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The policy's general rules, as evaluators need them.

    `repeats` is how many answers of each model to a case count.

    `seed` is derived from the inputs' digests; an evaluator that needs several streams derives
    them with `numpy.random.SeedSequence([seed, …])`.
    """

    alpha: float
    replicates: int
    stratum: str
    seed: int
    first_release: bool
    repeats: int = 1
    noise_floor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that an evaluator sees. `production` is None when there is no production model."""

    golden: GoldenSet
    probes: tuple[Probe, ...]
    task: Task
    candidate: ModelAnswers
    production: ModelAnswers | None
    rules: Rules

    def answers(self) -> Mapping[Role, ModelAnswers]:
        """The models that were asked, candidate first."""
        both = {Role.CANDIDATE: self.candidate}
        return both if self.production is None else both | {Role.PRODUCTION: self.production}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluator's answer.

    Args:
        findings: the checks, most important first.
        metrics: role → metric name (without the evaluator's prefix) → finite value. What was not
            measured is absent.
        tables: name → JSON-able value for the report (confusion matrices, percentiles); never case
            text.
    """

    findings: tuple[Finding, ...]
    metrics: Mapping[Role, Mapping[str, float]]
    tables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator(ABC):
    """Base of every evaluator; subclasses are frozen dataclasses whose fields are the options.

    `unit` and `direction` describe its metrics; `version` changes whenever its numbers could.
    """

    unit: ClassVar[str]
    direction: ClassVar[Literal["higher_is_better", "lower_is_better"]]
    version: ClassVar[str]

    @property
    def name(self) -> str:
        """The policy key and metric prefix: the name of the file it is written in."""
        return type(self).__module__.rpartition(".")[2]

    def check(self, task: Task) -> None:
        """Refuses options that do not fit the task, such as the name of a class it does not have.

        Raises:
            ConfigError: what was found, what was expected.
        """
        return None

    def explain(self) -> tuple[str, ...]:
        """Says in plain sentences what the options ask; empty where their descriptions do."""
        return ()

    def warnings(self, golden: GoldenSet, rules: Rules) -> tuple[str, ...]:
        """Says what a golden set can never show under these options, before anything is asked."""
        return ()

    @abstractmethod
    def evaluate(self, inputs: Inputs) -> Evaluation:
        """Judges the candidate's answers against production's and the policy.

        Raises:
            TooFewCasesError: the data cannot answer; becomes one undecided finding.
            EvaluatorError: the evaluator cannot compute; becomes one undecided finding.
        """
