"""The share of answers that name no label of the task.

Decides whether the candidate's invalid answers stay under the policy's limit (exact
Clopper–Pearson bounds) and are no more frequent than production's on the same cases (exact paired
test, Tango's bound of the difference). Answers that never came are not invalid ones: the judgement
deals with those.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from assay.errors import TooFewCasesError
from assay.golden_set import GoldenSet
from assay.rates import (
    PairedRates,
    cases_for_upper_bound,
    hold_rate,
    pair_flags,
    paired_difference_bounds,
)
from assay.records import AnswerStatus, Finding, FindingStatus, Role
from assay.wording import are, counted
from evaluators.base import Evaluation, Evaluator, Inputs, Rules
from evaluators.f1_cells import answered_cases


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity(Evaluator):
    """Judges the rate of invalid answers.

    Args:
        max_invalid_rate: hard limit of the candidate's rate.
        margin: by how much the candidate's rate may exceed production's.
    """

    unit: ClassVar[str] = "1"
    direction: ClassVar[Literal["higher_is_better", "lower_is_better"]] = "lower_is_better"
    version: ClassVar[str] = "1"

    max_invalid_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.02
    margin: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.02

    def explain(self) -> tuple[str, ...]:
        """Says what must hold for answers without a label."""
        return (
            f"at most {self.max_invalid_rate:.2%} of the answers may name no label of the task, "
            f"and at most {self.margin:.2%} more of them than of production's",
        )

    def warnings(self, golden: GoldenSet, rules: Rules) -> tuple[str, ...]:
        """Says when even a model without an invalid answer could not be shown to be under them."""
        cases = sum(case.stratum == rules.stratum for case in golden.cases)
        limit = min(self.max_invalid_rate, self.margin)
        needed = cases_for_upper_bound(0.0, limit, alpha=rules.alpha)
        if needed is None or cases >= needed:
            return ()
        return (
            f"{cases} cases cannot show a rate under {limit:.2%} even if no answer is invalid; "
            f"that takes {needed}",
        )

    def evaluate(self, inputs: Inputs) -> Evaluation:
        """Judges the candidate's answers to the deciding stratum.

        Raises:
            TooFewCasesError: no case of the deciding stratum was answered.
        """
        cases = [c for c in answered_cases(inputs) if c.stratum == inputs.rules.stratum]
        if not cases:
            raise TooFewCasesError("no golden case of the deciding stratum was answered; add cases")
        flags = {
            role: [answers.predictions[case.id].status is AnswerStatus.INVALID for case in cases]
            for role, answers in inputs.answers().items()
        }
        findings = [self._limit(flags[Role.CANDIDATE], inputs.rules.alpha)]
        tables: dict[str, Any] = {}
        if Role.PRODUCTION in flags:
            pairs = pair_flags(flags[Role.CANDIDATE], flags[Role.PRODUCTION])
            findings.append(self._paired(pairs, inputs.rules.alpha))
            tables["pairs"] = {
                "n": pairs.n,
                "both": pairs.both,
                "candidate_only": pairs.candidate_only,
                "production_only": pairs.production_only,
            }
        return Evaluation(
            findings=tuple(findings),
            metrics={role: {"invalid_rate": sum(f) / len(f)} for role, f in flags.items()},
            tables=tables,
        )

    def _limit(self, flags: list[bool], alpha: float) -> Finding:
        limit = self.max_invalid_rate
        held = hold_rate(sum(flags), len(flags), limit, alpha=alpha)
        bounds = held.bounds
        named = f"{counted(bounds.n, 'answer')} {'names' if bounds.hits == 1 else 'name'} no label"
        return Finding(
            evaluator=self.name,
            metric=f"{self.name}/invalid_rate",
            kind="limit",
            status=held.status,
            reason=f"{bounds.hits} of {named} ({bounds.rate:.2%}, at most "
            f"{bounds.upper:.2%} at {100 * (1 - alpha):g} % confidence): {held.relation} the limit "
            f"{limit:.2%}.",
            candidate=bounds.rate,
            interval=(bounds.lower, bounds.upper),
            bound=held.bound,
            margin=limit,
            n=bounds.n,
            needed=held.needed,
        )

    def _paired(self, pairs: PairedRates, alpha: float) -> Finding:
        lower, upper = paired_difference_bounds(pairs, alpha=alpha)
        p, alone = pairs.p_candidate_worse, round(pairs.candidate_only)
        status, relation = FindingStatus.UNDECIDED, "not shown to be within"
        if p <= alpha and pairs.difference > self.margin:
            status, relation = FindingStatus.FAILED, "shown to be more, beyond"
        elif upper <= self.margin:
            status, relation = FindingStatus.PASSED, "within"
        return Finding(
            evaluator=self.name,
            metric=f"{self.name}/invalid_rate",
            kind="rate",
            status=status,
            reason=f"{counted(alone, 'answer')} {are(alone)} invalid "
            "for the candidate only and "
            f"{pairs.production_only} for production only, of {pairs.n} ({pairs.difference:+.2%}, "
            f"at most {upper:+.2%}): {relation} the margin {self.margin:.2%}.",
            candidate=(pairs.both + pairs.candidate_only) / pairs.n,
            production=(pairs.both + pairs.production_only) / pairs.n,
            difference=pairs.difference,
            interval=(lower, upper),
            bound=upper,
            margin=self.margin,
            p=p,
            n=pairs.n,
        )
