from dataclasses import replace

import numpy as np
import pytest

from assay.records import VerdictKind
from evaluators.judgement import RawAnswers
from tests.judgement_cases import answers, balanced, judged, policy

GOLD = balanced(100)
TRUTH = [case.label for case in GOLD.cases]


def priced(factor: float, *, missing: int = 0, noise: float = 0.05):
    rng = np.random.default_rng(1)
    tokens = rng.integers(40, 120, GOLD.size)
    wobble = rng.normal(1, noise, GOLD.size)
    rows = [
        replace(p, prompt_tokens=round(int(t) * factor * w), completion_tokens=2)
        for p, t, w in zip(answers(GOLD, TRUTH), tokens, wobble, strict=True)
    ]
    return [replace(p, prompt_tokens=None) if i < missing else p for i, p in enumerate(rows)]


def verdict(candidate, production=None, **options):
    production = priced(1) if production is None else production
    return judged(
        GOLD,
        TRUTH,
        TRUTH,
        policy=policy({"cost": options}, first_release="allow"),
        candidate=RawAnswers(predictions=candidate),
        production=RawAnswers(predictions=production) if production else None,
    ).verdict


@pytest.mark.parametrize(
    ("factor", "kind"),
    [(1.0, VerdictKind.PROMOTE), (1.1, VerdictKind.INCONCLUSIVE), (1.3, VerdictKind.BLOCK)],
)
def test_the_ratio_to_production_decides(factor, kind):
    found = verdict(priced(factor, noise=0.3))
    assert found.verdict is kind
    assert found.findings[0].unit == "tokens"


def test_prices_weigh_prompt_and_completion():
    found = verdict(priced(1), prompt_price=1.0, completion_price=1000.0)
    mean = np.mean([(p.prompt_tokens or 0) + 1000 * 2 for p in priced(1)])
    assert found.metrics["candidate"]["cost/per_1000"] == pytest.approx(mean * 1000 / 1e6)
    assert found.findings[0].unit == "money"


def test_a_limit_judges_a_first_release_too():
    cheap = verdict(priced(1), production=[], max_cost=1e6)
    dear = verdict(priced(1), production=[], max_cost=10.0)
    assert (cheap.verdict, dear.verdict) == (VerdictKind.PROMOTE, VerdictKind.BLOCK)
    assert verdict(priced(1), production=[]).verdict is VerdictKind.INCONCLUSIVE


def test_tokens_that_were_not_counted_are_not_free():
    found = verdict(priced(1, missing=1))
    assert found.verdict is VerdictKind.INCONCLUSIVE
    assert "tokens were counted for 299 of 300 questions" in found.summary
