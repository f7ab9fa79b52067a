"""Per-class and macro F1 of the candidate against production's, on the same golden cases.

Decides, for every class and the macro, whether the candidate is shown to be no worse than
production by the policy's margin (tilted non-inferiority test), shown to be worse (approximate
randomisation over all classes, and a drop at or beyond the margin), or neither; and whether each
F1 clears its absolute floor. Only the policy's stratum drives this. Slices and languages are
explored and reported; only those that the policy names decide. What the findings add up to is left
to `assay.verdict`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from assay.errors import ConfigError, TooFewCasesError
from assay.golden_set import GoldenSet
from assay.records import Finding, GoldenCase
from assay.task import Task
from evaluators.base import Evaluation, Evaluator, Inputs, Rules
from evaluators.f1_cells import answered_cases, cells_of, metrics_of
from evaluators.f1_findings import F1Rules, comparisons
from evaluators.f1_floors import floor_findings
from evaluators.f1_named_slices import check_names, named_findings
from evaluators.f1_noise import noise_findings, noise_metrics, noise_tables
from evaluators.f1_power import F1Margins, shortages
from evaluators.f1_slices import explore, slices_of
from evaluators.f1_tables import tables_of

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Margin = Annotated[float, Field(gt=0.0, lt=1.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionF1(Evaluator):
    """Judges per-class and macro F1.

    Args:
        margin: how far below production a class's F1 may lie and still count as as good.
        margins: class → margin, where it differs.
        macro_margin: the same for macro-F1.
        floor: absolute floor of every class's F1; 0 asks nothing.
        floors: class → floor, where it differs.
        macro_floor: absolute floor of macro-F1; 0 asks nothing.
        minimum_support: golden cases a class needs before it may pass.
        advisory: classes that are reported and do not decide.
        slices: slice (`lang_vi`, `source_forum`, `slice_sarcasm`) → how far below production its
            accuracy may lie; a slice that is named here decides, all others only inform.
        false_discovery_rate: of the explored slices (Benjamini–Hochberg).
    """

    unit: ClassVar[str] = "F1"
    direction: ClassVar[Literal["higher_is_better", "lower_is_better"]] = "higher_is_better"
    version: ClassVar[str] = "2"

    margin: Margin = 0.05
    margins: Mapping[str, Margin] = field(default_factory=dict)
    macro_margin: Margin = 0.03
    floor: Fraction = 0.0
    floors: Mapping[str, Fraction] = field(default_factory=dict)
    macro_floor: Fraction = 0.0
    minimum_support: Annotated[int, Field(ge=1)] = 50
    advisory: tuple[str, ...] = ()
    slices: Mapping[str, Margin] = field(default_factory=dict)
    false_discovery_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.10

    def check(self, task: Task) -> None:
        """Refuses names of classes that the task does not have, and of slices that cannot be."""
        check_names(self.slices)
        named = {"margins": self.margins, "floors": self.floors, "advisory": self.advisory}
        for option, classes in named.items():
            for label in classes:
                if label not in task.labels:
                    raise ConfigError(
                        f"{option}: {label!r} is not a class; expected one of "
                        f"{', '.join(map(repr, task.labels))}; correct the policy"
                    )

    def explain(self) -> tuple[str, ...]:
        """Says what must hold for every class and the macro."""
        sentences = [
            f"every class's F1 must be shown to lie less than {self.margin:g} below production's, "
            f"and macro-F1 less than {self.macro_margin:g}",
            *(f"for `{label}` it is {margin:g}" for label, margin in self.margins.items()),
            "a class shown to be worse by its margin or more blocks",
            f"a class needs {self.minimum_support} golden cases before it may pass",
        ]
        if self.floor or self.macro_floor:
            sentences.append(
                f"whatever production does, F1 must be shown to reach {self.floor:g} in every "
                f"class and {self.macro_floor:g} in the mean"
            )
        sentences += [f"for `{k}` the floor is {floor:g}" for k, floor in self.floors.items()]
        sentences += [
            f"on {name} its accuracy must be shown to lie less than {margin:g} below production's"
            for name, margin in self.slices.items()
        ]
        if self.advisory:
            sentences.append(f"{', '.join(self.advisory)}: reported, without deciding")
        return tuple(sentences)

    def warnings(self, golden: GoldenSet, rules: Rules) -> tuple[str, ...]:
        """Says which classes and named slices are too small for their margin."""
        margins = F1Margins(
            margin=self.margin,
            margins=self.margins,
            minimum_support=self.minimum_support,
            advisory=self.advisory,
            slices=self.slices,
        )
        return shortages(margins, golden, rules)

    def evaluate(self, inputs: Inputs) -> Evaluation:
        """Judges the candidate's labels.

        Raises:
            TooFewCasesError: no case of the deciding stratum was answered.
        """
        core = self._core(inputs)
        cells, rules = cells_of(core, inputs), self._rules(inputs)
        noise = noise_metrics(core, inputs)
        slices = slices_of(answered_cases(inputs), inputs.rules.stratum, self.slices)
        explored = explore(
            slices, inputs, self.name, rate=self.false_discovery_rate, named=self.slices
        )
        return Evaluation(
            findings=(
                *comparisons(cells, rules),
                *named_findings(slices, self.slices, inputs, rules),
                *floor_findings(cells, rules),
                *noise_findings(core, inputs, self.name),
                *sorted(explored.findings, key=lambda finding: (finding.p, finding.metric)),
            ),
            metrics={
                role: metrics_of(cells, role) | noise.get(role, {}) | dict(explored.metrics[role])
                for role in inputs.answers()
            },
            tables=tables_of(cells, rules)
            | noise_tables(core, inputs)
            | {"slices": list(explored.rows)},
        )

    def against(self, inputs: Inputs, baseline: str) -> tuple[Finding, ...]:
        """Compares the candidate with another model in production's place, without floors.

        Args:
            inputs: that model's answers stand where production's do.
            baseline: what to call it.

        Raises:
            TooFewCasesError: no case of the deciding stratum was answered.
        """
        rules = replace(self._rules(inputs), baseline=baseline, slices=0)
        return tuple(comparisons(cells_of(self._core(inputs), inputs), rules))

    def _core(self, inputs: Inputs) -> list[GoldenCase]:
        stratum = inputs.rules.stratum
        core = [case for case in answered_cases(inputs) if case.stratum == stratum]
        if not core:
            raise TooFewCasesError(
                f"no case of the stratum {stratum!r} was answered; expected at least one; add "
                "cases of that stratum, or name another in the policy"
            )
        return core

    def _rules(self, inputs: Inputs) -> F1Rules:
        labels = inputs.task.labels
        return F1Rules(
            evaluator=self.name,
            labels=labels,
            margins={label: self.margins.get(label, self.margin) for label in labels},
            floors={label: self.floors.get(label, self.floor) for label in labels},
            macro_margin=self.macro_margin,
            macro_floor=self.macro_floor,
            minimum_support=self.minimum_support,
            advisory=frozenset(self.advisory),
            paired=inputs.production is not None,
            rules=inputs.rules,
            slices=len(self.slices),
        )
