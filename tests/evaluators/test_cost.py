from dataclasses import replace

import numpy as np
import pytest

from assay.errors import ConfigError
from assay.records import AnswerStatus, LatencySample, VerdictKind
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


def load(rate: float, *, blocks: int = 20, tokens: int | None = 50, seed: int = 1):
    """A load of `blocks` blocks of 10 requests at about `rate` requests a second."""
    rng = np.random.default_rng(seed)
    samples = []
    for block in range(blocks):
        speed = rate * float(np.exp(rng.normal(0, 0.05)))
        samples += [
            LatencySample(
                block=block, case_id=f"c{i}", started_s=100.0 * block + i / speed,
                status=AnswerStatus.OK, error_kind=None, ttft_ms=1.0, e2e_ms=1e3 / speed,
                prompt_tokens=tokens, completion_tokens=tokens and 2, request_id="",
            )
            for i in range(10)
        ]  # fmt: skip
    return tuple(samples)


def hourly(candidate, production=None, **options):
    answers_of = {"candidate": candidate, "production": production or load(10.0, seed=2)}
    return judged(
        GOLD,
        TRUTH,
        TRUTH,
        policy=policy({"cost": {"price_per_hour": 3.6} | options}, first_release="allow"),
        **{
            role: RawAnswers(predictions=priced(1), latency=samples)
            for role, samples in answers_of.items()
        },
    ).verdict


def of(verdict, metric):
    [found] = [f for f in verdict.findings if f.metric == f"cost/{metric}" and f.unit == "money"]
    return found


def test_the_price_of_an_hour_over_what_was_done_is_the_price_of_a_request():
    found = hourly(load(10.0), max_per_request=0.00012).metrics["candidate"]
    assert found["cost/requests_per_s"] == pytest.approx(10.0, rel=0.05)
    assert found["cost/per_request"] == pytest.approx(0.001 / found["cost/requests_per_s"])
    assert found["cost/per_million_tokens"] == pytest.approx(1e6 * found["cost/per_request"] / 52)


@pytest.mark.parametrize(
    ("budget", "kind"),
    [(0.00012, VerdictKind.PROMOTE), (0.0001, VerdictKind.INCONCLUSIVE), (8e-5, VerdictKind.BLOCK)],
)
def test_a_budget_of_a_request_decides(budget, kind):
    found = hourly(load(10.0), max_per_request=budget)
    assert found.verdict is kind
    assert "A request costs" in of(found, "per_request").reason


@pytest.mark.parametrize(
    ("rate", "kind"),
    [(10.0, VerdictKind.PROMOTE), (9.05, VerdictKind.INCONCLUSIVE), (7.0, VerdictKind.BLOCK)],
)
def test_a_slower_engine_is_a_dearer_one(rate, kind):
    found = hourly(load(rate), max_hourly_ratio=1.1)
    assert found.verdict is kind
    assert of(found, "per_request").difference == pytest.approx(10 / rate, rel=0.05)


def test_expected_traffic_says_how_many_machines_and_how_idle_they_are():
    found = hourly(load(10.0), expected_requests_per_s=25.0).metrics["candidate"]
    assert found["cost/machines"] == 3
    capacity = 3 * found["cost/requests_per_s"]
    assert found["cost/idle_share"] == pytest.approx(1 - 25 / capacity)
    assert found["cost/per_request_expected"] == pytest.approx(3 * 0.001 / 25)


def test_tokens_that_the_load_did_not_count_have_no_price():
    found = hourly(load(10.0, tokens=None), max_per_million_tokens=99.0)
    assert found.verdict is VerdictKind.INCONCLUSIVE
    assert "cost/per_million_tokens" not in found.metrics["candidate"]
    assert "has no price" in of(found, "per_million_tokens").reason


def test_a_price_by_the_hour_needs_a_load_of_enough_blocks():
    untimed = verdict(priced(1), price_per_hour=1.0, max_per_request=1.0)
    assert untimed.verdict is VerdictKind.INCONCLUSIVE
    assert "was not timed" in untimed.findings[0].reason
    short = hourly(load(10.0, blocks=5), max_per_request=1.0)
    assert short.verdict is VerdictKind.INCONCLUSIVE
    assert "throughput needs 10" in short.findings[0].reason


def test_a_budget_by_the_hour_without_a_price_is_refused():
    with pytest.raises(ConfigError, match="price_per_hour is not set"):
        verdict(priced(1), max_per_request=1.0)
