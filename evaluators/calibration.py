"""Whether the model's confidence can be relied on by those who act on it.

Decides whether the candidate's expected calibration error is shown to exceed production's by no
more than a margin, and to stay under an absolute limit. It needs the probability of every label of
the task with each answer; answers that came without are not guessed at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from assay.calibration_error import (
    Confidences,
    calibration_difference,
    calibration_error,
    calibration_estimate,
    confidence_of,
    reliability,
)
from assay.errors import TooFewCasesError
from assay.predictions import finite_logprobs
from assay.records import Finding, FindingStatus, GoldenCase, Prediction, Role
from assay.seeds import stream
from evaluators.base import Evaluation, Evaluator, Inputs, Rules
from evaluators.f1_cells import answered_cases
from evaluators.limits import held_against


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Evaluator):
    """Judges expected calibration error.

    Args:
        margin: by how much the candidate's error may exceed production's.
        max_error: hard limit of the candidate's error; 1 asks nothing.
        bins: bins of equal mass.
        max_missing_rate: share of the answers that may come without label probabilities.
    """

    unit: ClassVar[str] = "1"
    direction: ClassVar[Literal["higher_is_better", "lower_is_better"]] = "lower_is_better"
    version: ClassVar[str] = "1"

    margin: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.03
    max_error: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    bins: Annotated[int, Field(ge=2, le=100)] = 15
    max_missing_rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.01

    def evaluate(self, inputs: Inputs) -> Evaluation:
        """Judges the confidence of the candidate's valid answers.

        Raises:
            TooFewCasesError: too many answers carry no probability of every label.
        """
        core = [c for c in answered_cases(inputs) if c.stratum == inputs.rules.stratum]
        known = self._known(core, inputs)
        found = {
            role: Confidences(
                confidence=np.array([known[role][case_id][0] for case_id in _shared(known)]),
                right=np.array(
                    [known[role][case_id][1] for case_id in _shared(known)], dtype=float
                ),
            )
            for role in known
        }
        findings = []
        if Role.PRODUCTION in found:
            findings.append(self._paired(found, inputs.rules))
        if self.max_error < 1 or not findings:
            findings.append(self._limit(found[Role.CANDIDATE], inputs.rules))
        tables: dict[str, Any] = {
            f"reliability_{role.value}": reliability(one, bins=self.bins)
            for role, one in found.items()
        }
        return Evaluation(
            findings=tuple(findings),
            metrics={
                role: {"ece": calibration_error(one, bins=self.bins)} for role, one in found.items()
            },
            tables=tables,
        )

    def _known(
        self, cases: Sequence[GoldenCase], inputs: Inputs
    ) -> dict[Role, dict[str, tuple[float, bool]]]:
        """Each model's confidence and correctness, by case, where both are known."""
        known: dict[Role, dict[str, tuple[float, bool]]] = {}
        for role, answers in inputs.answers().items():
            valid = [(case, answers.predictions[case.id]) for case in cases]
            valid = [(case, p) for case, p in valid if p.label is not None]
            rows = {
                case.id: (confidence, p.label == case.label)
                for case, p in valid
                if (confidence := _confidence(p, inputs.task.labels)) is not None
            }
            without = len(valid) - len(rows)
            if not rows or without > self.max_missing_rate * len(valid):
                raise TooFewCasesError(
                    f"{role.value}: {without} of {len(valid)} valid answers carry no finite "
                    "log-probability of every label; expected nearly all to; ask for "
                    "log-probabilities, or take calibration out of the policy"
                )
            known[role] = rows
        return known

    def _paired(self, found: Mapping[Role, Confidences], rules: Rules) -> Finding:
        candidate, production = found[Role.CANDIDATE], found[Role.PRODUCTION]
        gap = calibration_difference(
            candidate,
            production,
            bins=self.bins,
            alpha=rules.alpha,
            replicates=rules.replicates,
            seed=stream(rules.seed, self.name, "difference"),
        )
        status, relation = held_against(gap.lower, gap.upper, self.margin)
        ours, theirs = (calibration_error(m, bins=self.bins) for m in (candidate, production))
        return Finding(
            evaluator=self.name,
            metric=f"{self.name}/ece",
            kind="rate",
            status=status,
            reason=f"Calibration error is {ours:.3f} against {theirs:.3f} in production "
            f"({gap.value:+.3f}, at most {gap.upper:+.3f} at {_sure(rules.alpha)}): {relation} the "
            f"margin {self.margin:g}.",
            candidate=ours,
            production=theirs,
            difference=gap.value,
            interval=(gap.lower, gap.upper),
            bound=gap.lower if status is FindingStatus.FAILED else gap.upper,
            margin=self.margin,
            n=len(candidate.confidence),
        )

    def _limit(self, candidate: Confidences, rules: Rules) -> Finding:
        error = calibration_estimate(
            candidate,
            bins=self.bins,
            alpha=rules.alpha,
            replicates=rules.replicates,
            seed=stream(rules.seed, self.name, "level"),
        )
        status, relation = held_against(error.lower, error.upper, self.max_error)
        if self.max_error == 1:
            status, relation = FindingStatus.UNDECIDED, "and the policy sets no max_error below"
        return Finding(
            evaluator=self.name,
            metric=f"{self.name}/ece",
            kind="limit",
            status=status,
            reason=f"Calibration error is {error.value:.3f}, at most {error.upper:.3f} at "
            f"{_sure(rules.alpha)}: {relation} the limit {self.max_error:g}.",
            candidate=error.value,
            interval=(error.lower, error.upper),
            bound=error.lower if status is FindingStatus.FAILED else error.upper,
            margin=self.max_error,
            n=len(candidate.confidence),
        )


def _confidence(prediction: Prediction, labels: Sequence[str]) -> float | None:
    logprobs = finite_logprobs(prediction)
    if logprobs is None or prediction.label is None:
        return None
    return confidence_of(prediction.label, logprobs, labels)


def _shared(known: Mapping[Role, Mapping[str, object]]) -> list[str]:
    """Cases whose confidence is known of every model, in the order of ids."""
    return sorted(set.intersection(*(set(rows) for rows in known.values())))


def _sure(alpha: float) -> str:
    return f"{100 * (1 - alpha):g} % confidence"
