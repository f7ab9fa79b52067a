"""All checks over one golden set.

Decides their order and which tables the report rests on; each check is its own module's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from assay.golden_checks import EVALUATOR
from assay.golden_health.answers import ModelAnswers, answer_checks, answerability
from assay.golden_health.composition import composition
from assay.golden_health.coverage import coverage
from assay.golden_health.drift import Sample, telling_words
from assay.golden_health.health import Check, Health, judged, named, unknown
from assay.golden_health.label_noise import (
    agreement,
    agreement_checks,
    rank_labels,
    ranking_check,
)
from assay.golden_health.near_pairs import NearPairs, near_pairs
from assay.golden_health.provenance import Provenance, manifest_check
from assay.golden_health.rules import HealthRules
from assay.golden_health.support import Demand, power_by_class, power_table, support_checks
from assay.golden_health.wear import age_check, luck, use_check
from assay.golden_set import GoldenSet
from assay.golden_stats import stats
from assay.records import Finding

SUSPECTS = 20
PAIRS = 20
"""Rows of a table that the report shows at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known beside the set; None (or empty) where nothing was given.

    Attributes:
        structure: findings of the golden set's validator.
        demand: what the policy asks of each class.
        uses: gates that used this version of the set.
        dates: version of the set → day it came to be.
        today: the day of the check, UTC.
        models: stored answers that belong to these cases.
        probabilities: for each model, case id → label → probability.
        traffic: a sample of what users send.
        provenance: who published the set.
    """

    structure: Sequence[Finding]
    today: date
    demand: Demand | None = None
    uses: int | None = None
    dates: Mapping[str, date] = field(default_factory=dict)
    models: Sequence[ModelAnswers] = ()
    probabilities: Sequence[Mapping[str, Mapping[str, float]]] = ()
    traffic: Sample | None = None
    provenance: Provenance | None = None


def assess(golden: GoldenSet, labels: Sequence[str], known: Known, rules: HealthRules) -> Health:
    """Returns the health of a golden set.

    Args:
        golden: the set; where texts are known by their digests only, what needs them is undecided.
        labels: the task's.
        known: what is known beside the set.
        rules: what counts as healthy.
    """
    pairs = _pairs(golden)
    core = Counter(case.label for case in golden.cases if case.stratum == "core")
    power = power_by_class(core, known.demand) if known.demand else ()
    annotated = agreement(golden.cases)
    suspects = rank_labels(golden.cases, known.probabilities)
    answered = answerability(golden.cases, known.models, rules.models)
    traffic_checks, compared = coverage(golden, known.traffic, rules)
    checks = (
        manifest_check(known.provenance),
        *map(_structural, known.structure),
        _duplicate_check(golden, pairs, rules),
        *composition(golden, labels, rules),
        *support_checks(power, known.demand),
        *agreement_checks(annotated, rules),
        ranking_check(suspects),
        *answer_checks(answered, rules, len(known.models)),
        age_check(golden, known.dates, known.today, rules),
        use_check(known.uses, golden, rules),
        *traffic_checks,
    )
    words = next((one for one in compared if one.aspect == "words"), None)
    tables = {
        "counts": stats(golden).to_json(),
        "power": power_table(power),
        "near_duplicates": None if pairs is None else _pair_rows(golden, pairs),
        "agreement": None if annotated is None else asdict(annotated),
        "suspects": [asdict(suspect) for suspect in suspects[:SUSPECTS]],
        "answers": None if answered is None else asdict(answered),
        "versions": {version: day.isoformat() for version, day in sorted(known.dates.items())},
        "uses": None if known.uses is None else _uses(known.uses, golden),
        "drift": [one.to_json() for one in compared if one.aspect != "words"],
        "words": [] if words is None else telling_words(words),
    }
    return Health(
        digest=golden.digest,
        revision=golden.revision,
        cases=golden.size,
        checks=checks,
        tables={name: value for name, value in tables.items() if value},
    )


def _structural(finding: Finding) -> Check:
    name = finding.metric.removeprefix(f"{EVALUATOR}/")
    return Check(name=f"structure/{name}", status=finding.status, says=finding.reason)


def _pairs(golden: GoldenSet) -> NearPairs | None:
    texts = [case.text for case in golden.cases if case.text is not None]
    return near_pairs(texts) if len(texts) == golden.size else None


def _duplicate_check(golden: GoldenSet, pairs: NearPairs | None, rules: HealthRules) -> Check:
    name = "structure/near_duplicates"
    if pairs is None:
        return unknown(
            name,
            "Whether cases repeat each other is not known: only digests of texts are at hand.",
            "Check the set itself, not evidence.",
        )
    share = pairs.repeating / golden.size
    ids = [golden.cases[second].id for _, second, _ in pairs.pairs]
    names = f": {named(list(dict.fromkeys(ids)))}" if ids else ""
    long = (
        f"; {pairs.long_runs} groups of alike texts are too large to compare in full"
        if pairs.long_runs
        else ""
    )
    return judged(
        name,
        share <= rules.most_near_duplicates,
        f"{pairs.repeating} of {golden.size} cases ({share:.2%}; up to "
        f"{rules.most_near_duplicates:.0%} is expected) say what another one says{names}{long}.",
        "Remove one of each two: it counts one case twice, and makes the set look larger than it "
        "is.",
        value=share,
    )


def _pair_rows(golden: GoldenSet, pairs: NearPairs) -> list[dict[str, Any]]:
    return [
        {
            "first": golden.cases[first].id,
            "second": golden.cases[second].id,
            "similarity": ratio,
            "same_label": golden.cases[first].label == golden.cases[second].label,
        }
        for first, second, ratio in pairs.pairs[:PAIRS]
    ]


def _uses(uses: int, golden: GoldenSet) -> dict[str, Any]:
    return {"gates": uses, "luck": luck(uses, golden.size)}
