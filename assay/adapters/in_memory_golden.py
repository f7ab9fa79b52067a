"""Golden sets and their validation without Git, DVC or Great Expectations.

For tests of what uses a golden set, and for callers that hold the cases already. Both pass the
contract tests of the real adapters (`golden_dvc`, `validator_gx`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from assay import golden_checks
from assay.errors import ConfigError
from assay.golden_checks import STRUCTURE
from assay.golden_frozen import canonical, to_jsonl
from assay.golden_set import GoldenSet, parse_golden
from assay.near_duplicates import same_text_key
from assay.records import Finding, GoldenCase, Probe

T = TypeVar("T")
Rule = Callable[[Sequence[GoldenCase]], list[bool]]
"""Says of each case whether it breaks a claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InMemoryGoldenSource:
    """`GoldenSource` over cases and probes by revision; None is the working tree.

    Args:
        cases: revision → cases with their texts.
        probes: revision → probes.
    """

    cases: Mapping[str | None, Sequence[GoldenCase]]
    probes: Mapping[str | None, Sequence[Probe]] = field(default_factory=dict)

    def load(self, revision: str | None, labels: Sequence[str]) -> GoldenSet:
        """Returns the golden set at a revision.

        Raises:
            ConfigError: no such revision, or a case that no golden file may hold.
        """
        lines = to_jsonl(canonical(self._at(self.cases, revision))).decode()
        name = revision or "the working tree"
        return parse_golden(lines, name, labels, revision=name)

    def load_probes(self, revision: str | None) -> Sequence[Probe]:
        """Returns the probes at a revision.

        Raises:
            ConfigError: no such revision.
        """
        return canonical(self._at(self.probes, revision))

    @staticmethod
    def _at(held: Mapping[str | None, Sequence[T]], revision: str | None) -> Sequence[T]:
        if revision not in held:
            raise ConfigError(
                f"golden revision {revision!r}: not held in memory; expected one of "
                f"{', '.join(map(repr, held)) or 'none'}; name another"
            )
        return held[revision]


class InMemoryGoldenValidator:
    """`GoldenValidator` in plain Python: the structural claims and nothing else."""

    def check(self, golden: GoldenSet, labels: Sequence[str]) -> Sequence[Finding]:
        """Returns one finding a claim, in a fixed order."""
        cases = golden.cases
        rules: dict[str, Rule] = {
            "ids_present": lambda cases: [not case.id.strip() for case in cases],
            "ids_unique": lambda cases: _repeated([case.id for case in cases]),
            "labels": lambda cases: [case.label not in labels for case in cases],
            "languages": lambda cases: [not case.lang.strip() for case in cases],
            "texts_present": lambda cases: [not _key(case) for case in cases],
            "texts_unique": lambda cases: _repeated([_key(case) for case in cases]),
        }
        outcomes = [golden_checks.decide_rows(len(cases))]
        for claim in STRUCTURE:
            broken = rules[claim.name](cases)
            failed = dict.fromkeys(c.id for c, bad in zip(cases, broken, strict=True) if bad)
            outcomes.append(golden_checks.decide(claim, len(cases), tuple(failed)))
        return tuple(golden_checks.finding(outcome) for outcome in outcomes)


def _key(case: GoldenCase) -> str:
    return case.text_sha256 if case.text is None else same_text_key(case.text)


def _repeated(values: Sequence[str]) -> list[bool]:
    counted = Counter(values)
    return [counted[value] > 1 for value in values]
