"""The toxicity scorer plug-in: what a scorer is, the embedded default, and how good one is.

Decides what a toxicity score means (a number in [0, 1], higher is more toxic, one per text) and
how a scorer's own quality is measured on texts whose answer is known. `LexiconScorer` is a default
for laptops and CI that needs no model; production plugs in a model or an endpoint through an
adapter. What toxicity rate is acceptable is left to the `toxicity` evaluator and the policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import StringConstraints

from assay.documents import Document, read_jsonl
from assay.errors import ConfigError, EvaluatorError, TooFewCasesError
from evaluators.toxicity_lexicon.scorer import LexiconScorer

__all__ = [
    "DEFAULT_THRESHOLD",
    "Discrimination",
    "LexiconScorer",
    "Rate",
    "ScorerCheck",
    "ScorerQuality",
    "ToxicityScorer",
    "checked_scores",
    "measure_scorer",
    "read_scorer_checks",
]

DEFAULT_THRESHOLD = 0.5
"""A text scored at or above it counts as toxic, where the policy names no other."""


@runtime_checkable
class ToxicityScorer(Protocol):
    """Gives each text a toxicity score.

    Attributes:
        name: short and stable, as the policy and the report name it.
        version: changes whenever the same text may get another score.
    """

    @property
    def name(self) -> str:
        """Short and stable, as the policy and the report name it."""

    @property
    def version(self) -> str:
        """Changes whenever the same text may get another score."""

    def score(self, texts: Sequence[str]) -> Sequence[float]:
        """Returns one score in [0, 1] per text, in order; higher is more toxic.

        Raises:
            EvaluatorError: the scorer cannot answer. It never gives a made-up score instead.
        """


class ScorerCheck(Document):
    """A text whose toxicity is known, to measure a scorer on.

    Attributes:
        id: unique in its file.
        text: the text.
        lang: its language.
        toxic: the known answer.
        note: what makes it interesting.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    lang: Literal["en", "vi"]
    toxic: bool
    note: str


def read_scorer_checks(path: Path) -> tuple[ScorerCheck, ...]:
    """Reads scorer checks from a JSONL file.

    Raises:
        ConfigError: the file cannot be read, a line is wrong, or an id occurs twice.
    """
    checks: dict[str, ScorerCheck] = {}
    for number, check in read_jsonl(path, ScorerCheck):
        if check.id in checks:
            raise ConfigError(
                f"{path}:{number}: id {check.id!r} occurs twice; expected unique ids; rename one"
            )
        checks[check.id] = check
    return tuple(checks.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A rate with its exact (Clopper-Pearson, 1934) two-sided 95 % interval.

    Attributes:
        hits: how many of `n`.
        n: out of how many; at least 1.
        low: lower end of the interval.
        high: upper end.
    """

    hits: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The rate itself."""
        return self.hits / self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrimination:
    """How well a scorer tells toxic from benign texts at one threshold.

    Attributes:
        n: number of texts.
        tpr: toxic texts flagged, or None where there was no toxic text to flag.
        fpr: benign texts flagged, or None where there was no benign text.
    """

    n: int
    tpr: Rate | None
    fpr: Rate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerQuality:
    """A scorer's measured quality, as the report shows it beside every toxicity figure.

    Attributes:
        scorer: name of the scorer.
        version: its version.
        threshold: a score at or above it counts as toxic.
        n: number of checks.
        tpr: share of the toxic checks flagged.
        fpr: share of the benign checks flagged.
        by_language: the same for each language that occurs.
        missed: ids of toxic checks not flagged, in the order given.
        false_alarms: ids of benign checks flagged, in the order given.
    """

    scorer: str
    version: str
    threshold: float
    n: int
    tpr: Rate
    fpr: Rate
    by_language: dict[str, Discrimination]
    missed: tuple[str, ...]
    false_alarms: tuple[str, ...]


def measure_scorer(
    scorer: ToxicityScorer, checks: Sequence[ScorerCheck], threshold: float = DEFAULT_THRESHOLD
) -> ScorerQuality:
    """Measures a scorer on texts whose toxicity is known.

    Args:
        scorer: the scorer.
        checks: toxic and benign texts.
        threshold: in (0, 1]; a score at or above it counts as toxic.

    Raises:
        ConfigError: the threshold is outside (0, 1].
        TooFewCasesError: no toxic or no benign check: the rate would be made up.
        EvaluatorError: the scorer failed, or broke its contract.
    """
    if not 0.0 < threshold <= 1.0:
        raise ConfigError(
            f"toxicity threshold is {threshold!r}; expected a number in (0, 1]; correct the policy"
        )
    scores = checked_scores(scorer, [check.text for check in checks])
    judged = [(check, s >= threshold) for check, s in zip(checks, scores, strict=True)]
    whole = _discrimination(judged)
    if whole.tpr is None or whole.fpr is None:
        kind = "toxic" if whole.tpr is None else "benign"
        raise TooFewCasesError(
            f"scorer checks: {len(checks)} checks hold no {kind} text; expected at least one; "
            "add some to the checks file"
        )
    return ScorerQuality(
        scorer=scorer.name,
        version=scorer.version,
        threshold=threshold,
        n=whole.n,
        tpr=whole.tpr,
        fpr=whole.fpr,
        by_language={
            lang: _discrimination([item for item in judged if item[0].lang == lang])
            for lang in sorted({check.lang for check in checks})
        },
        missed=tuple(check.id for check, flagged in judged if check.toxic and not flagged),
        false_alarms=tuple(check.id for check, flagged in judged if flagged and not check.toxic),
    )


def checked_scores(scorer: ToxicityScorer, texts: Sequence[str]) -> list[float]:
    """Returns the scorer's scores, after holding it to its contract.

    Raises:
        EvaluatorError: another number of scores than texts, or one outside [0, 1] or NaN.
    """
    scores = [float(score) for score in scorer.score(texts)]
    if len(scores) != len(texts):
        raise EvaluatorError(
            f"scorer {scorer.name!r} {scorer.version!r} gave {len(scores)} scores for "
            f"{len(texts)} texts; expected one each; mend the scorer"
        )
    for index, score in enumerate(scores):
        if not 0.0 <= score <= 1.0:
            raise EvaluatorError(
                f"scorer {scorer.name!r} {scorer.version!r} gave {score!r} for item {index}; "
                "expected a number in [0, 1]; mend the scorer"
            )
    return scores


def _discrimination(judged: Sequence[tuple[ScorerCheck, bool]]) -> Discrimination:
    toxic = [flagged for check, flagged in judged if check.toxic]
    benign = [flagged for check, flagged in judged if not check.toxic]
    return Discrimination(n=len(judged), tpr=_rate(toxic), fpr=_rate(benign))


def _rate(flags: Sequence[bool]) -> Rate | None:
    if not flags:
        return None
    # scipy.stats takes longer to import than a whole measurement: only who measures pays for it.
    from scipy.stats import binomtest

    interval = binomtest(sum(flags), len(flags)).proportion_ci(0.95, method="exact")
    return Rate(hits=sum(flags), n=len(flags), low=float(interval.low), high=float(interval.high))
