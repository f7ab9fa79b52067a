import math
from dataclasses import replace

import numpy as np
import pytest

from assay.calibration_error import (
    Confidences,
    calibration_difference,
    calibration_error,
    calibration_estimate,
    confidence_of,
    reliability,
)
from assay.errors import TooFewCasesError
from assay.records import VerdictKind
from evaluators.judgement import RawAnswers
from tests.judgement_cases import LABELS, answers, balanced, judged, noisy, policy

SEED = np.random.SeedSequence(1)


def model(n: int, bias: float, number: int) -> Confidences:
    """Right with probability `confidence − bias`."""
    rng = np.random.default_rng(number)
    confidence = rng.uniform(0.4, 1.0, n)
    right = (rng.random(n) < confidence - bias).astype(float)
    return Confidences(confidence=confidence, right=right)


def test_the_error_is_the_bias_of_the_confidence():
    assert calibration_error(model(200_000, 0.2, 1), bins=15) == pytest.approx(0.2, abs=0.005)
    assert calibration_error(model(200_000, 0.0, 1), bins=15) < 0.01


def test_the_error_is_the_textbook_sum():
    found = Confidences(
        confidence=np.array([0.9, 0.6, 0.8, 0.5]), right=np.array([1.0, 0.0, 0.0, 1.0])
    )
    # Bins {0.5, 0.6} and {0.8, 0.9}: accuracy ½ each, confidence 0.55 and 0.85.
    assert calibration_error(found, bins=2) == pytest.approx((0.05 + 0.35) / 2)
    assert [row["n"] for row in reliability(found, bins=2)] == [2, 2]


def test_fewer_cases_than_bins_is_refused():
    with pytest.raises(TooFewCasesError, match="10 answers"):
        calibration_error(model(10, 0, 1), bins=15)


@pytest.mark.parametrize("n", [400, 5000])
def test_bounds_hold_the_true_error_about_as_often_as_they_say(n):
    options = {"bins": 10, "alpha": 0.05, "replicates": 200}
    above = below = 0
    for number in range(100):
        found = calibration_estimate(
            model(n, 0.2, number), seed=np.random.SeedSequence(number), **options
        )
        above += found.lower > 0.2
        below += found.upper < 0.2
    assert above <= 0.10 * 100
    assert below <= 0.10 * 100


def test_the_paired_difference_is_bounded_and_mirrors():
    one, other = model(2000, 0.1, 1), model(2000, 0.0, 2)
    options = {"bins": 15, "alpha": 0.05, "replicates": 4000, "seed": SEED}
    gap = calibration_difference(one, other, **options)
    mirrored = calibration_difference(other, one, **options)
    assert gap.lower < gap.value < gap.upper
    assert gap.value == pytest.approx(-mirrored.value)
    assert gap.lower == pytest.approx(-mirrored.upper, abs=0.2 * (gap.upper - gap.lower))
    assert gap.lower > 0


def test_confidence_is_renormalised_over_the_labels_and_never_guessed():
    logprobs = {"joy": math.log(0.4), "anger": math.log(0.1), "fear": -50.0}
    assert confidence_of("joy", logprobs, LABELS) == pytest.approx(0.8)
    assert confidence_of("joy", {"joy": -0.1}, LABELS) is None


GOLD = balanced(200)
SAID = noisy(GOLD, 0.7, 5)


def confident(level: float):
    """Answers that give their label this much, and the rest to the others."""
    rest = math.log((1 - level) / (len(LABELS) - 1))
    return [
        replace(p, label_logprobs={k: math.log(level) if k == p.label else rest for k in LABELS})
        for p in answers(GOLD, SAID)
    ]


def calibrated(production, candidate, **options):
    return judged(
        GOLD,
        SAID,
        SAID,
        policy=policy({"calibration": options}),
        production=RawAnswers(predictions=production),
        candidate=RawAnswers(predictions=candidate),
    ).verdict


def test_an_overconfident_candidate_blocks_and_an_equal_one_promotes():
    # With a constant confidence the order within bins is arbitrary, so one bin says it all.
    right = np.mean([a == c.label for a, c in zip(SAID, GOLD.cases, strict=True)])
    honest, boastful = confident(float(right)), confident(0.999)
    assert calibrated(honest, boastful, bins=2).verdict is VerdictKind.BLOCK
    assert calibrated(honest, honest, bins=2).verdict is VerdictKind.PROMOTE
    blocked = calibrated(boastful, boastful, bins=2, max_error=0.05)
    assert blocked.verdict is VerdictKind.BLOCK


@pytest.mark.parametrize(
    "spoil", [None, {}, {"joy": math.nan}, {"joy": -0.1}], ids=["none", "empty", "nan", "partial"]
)
def test_missing_or_not_finite_probabilities_are_undecided(spoil):
    rows = [replace(p, label_logprobs=spoil) for p in confident(0.8)]
    verdict = calibrated(confident(0.8), rows)
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert "600 of 600 valid answers carry no finite" in verdict.summary
