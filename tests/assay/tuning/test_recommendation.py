"""What is recommended: a gain that fresh measurements show, or to keep what is there."""

import math

import pytest

from assay.errors import TooFewCasesError
from assay.tuning.recommendation import Pair, best_trial, gain, pareto, recommend
from assay.tuning.trials import RampResult, RampStep, TrialRecord, TrialState, ramp_result


def result(goodput: float, ttft_ms: float | None = 50.0, missed: float | None = -1.0) -> RampResult:
    return RampResult(
        goodput_per_s=goodput,
        missed_per_s=1.1 * goodput if missed == -1.0 else missed,
        ttft_p99_ms=ttft_ms,
        output_tokens_per_s=4 * goodput,
    )


def trial(number: int, found: RampResult | None, **point: object) -> TrialRecord:
    state = TrialState.PRUNED if found is None else TrialState.MEASURED
    return TrialRecord(
        number=number,
        point=point,  # type: ignore[arg-type]
        state=state,
        result=found,
        reason="" if found else "the p99 of TTFT is 900 ms",
    )


def pairs(*ratios: float) -> list[Pair]:
    return [Pair(present=result(10.0), best=result(10.0 * ratio)) for ratio in ratios]


def test_a_large_and_steady_gain_is_recommended_with_its_interval() -> None:
    trials = [trial(0, result(10.0)), trial(1, result(21.0))]
    said = recommend(trials, trials[0], pairs(2.0, 2.1, 2.0), changes="--a 1 → 2")
    assert said.number == 1
    assert said.gain is not None
    assert 1.5 < said.gain.lower < 2.03 < said.gain.upper < 2.6
    assert said.reason.startswith("Change --a 1 → 2: +103 % goodput")


def test_what_looked_better_and_is_not_is_not_recommended() -> None:
    """The best of many trials was chosen for looking good: only fresh measurements count."""
    trials = [trial(0, result(10.0)), trial(1, result(15.0))]
    said = recommend(trials, trials[0], pairs(1.0, 1.05, 0.98), changes="--a 1 → 2")
    assert said.number is None
    assert "noise explains" in said.reason


def test_a_gain_within_one_step_of_the_ramp_is_noise() -> None:
    """Every pair says 5 % more, but a ramp cannot tell rates 10 % apart."""
    said = gain(pairs(1.05, 1.05, 1.05))
    assert said.ratio == pytest.approx(1.05)
    assert said.lower < 1


def test_an_unsteady_machine_widens_the_interval() -> None:
    steady, unsteady = gain(pairs(2.0, 2.0, 2.0)), gain(pairs(1.0, 2.0, 4.0))
    assert unsteady.ratio == pytest.approx(steady.ratio)
    assert unsteady.lower < 1 < steady.lower


def test_a_ramp_without_an_end_bounds_nothing() -> None:
    open_end = [Pair(present=result(10.0, missed=None), best=result(20.0)) for _ in range(3)]
    assert gain(open_end).lower == 0
    above = [Pair(present=result(10.0), best=result(20.0, missed=None)) for _ in range(3)]
    assert gain(above).upper == math.inf
    assert gain(above).lower > 1


def test_one_pair_says_nothing_of_noise() -> None:
    with pytest.raises(TooFewCasesError, match="1 pairs"):
        gain(pairs(2.0))


def test_the_bound_is_kept_at_its_level() -> None:
    """Equal settings, noisy ramps: a change may be recommended in 5 % of searches at most."""
    import random

    draw = random.Random(1)
    wrong = 0
    for _ in range(400):
        noisy = [
            Pair(present=result(10 * draw.lognormvariate(0, 0.1)),
                 best=result(10 * draw.lognormvariate(0, 0.1)))
            for _ in range(3)
        ]  # fmt: skip
        wrong += gain(noisy).lower > 1
    assert wrong <= 0.05 * 400


def test_the_present_settings_may_be_the_best() -> None:
    trials = [trial(0, result(10.0)), trial(1, result(8.0)), trial(2, None)]
    said = recommend(trials, trials[0], [], changes="")
    assert said.number is None
    assert "none of 2 other settings" in said.reason


def test_settings_that_work_replace_settings_that_do_not() -> None:
    trials = [trial(0, None), trial(1, result(8.0))]
    said = recommend(trials, trials[0], [], changes="--a 1 → 2")
    assert said.number == 1
    assert "the present ones at no rate that was tried" in said.reason


def test_nothing_that_meets_the_objectives_is_nothing_to_recommend() -> None:
    trials = [trial(0, None), trial(1, None)]
    assert recommend(trials, trials[0], [], changes="").number is None


def test_what_could_not_be_confirmed_is_not_recommended() -> None:
    trials = [trial(0, result(10.0)), trial(1, result(20.0))]
    said = recommend(trials, trials[0], [], changes="--a 1 → 2", unsteady="it died.")
    assert said.number is None
    assert "could not be confirmed: it died." in said.reason


def test_among_equals_the_fewest_changes_win() -> None:
    trials = [
        trial(0, result(10.0), a=1, b=1),
        trial(1, result(20.0, ttft_ms=10.0), a=2, b=2),
        trial(2, result(20.0, ttft_ms=30.0), a=2, b=1),
    ]
    found = best_trial(trials, trials[0])
    assert found is not None
    assert found.number == 2


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    trials = [
        trial(0, result(10.0, 50.0)),
        trial(1, result(20.0, 80.0)),
        trial(2, result(9.0, 60.0)),
        trial(3, None),
        trial(4, result(5.0, None)),
    ]
    assert pareto(trials) == (0, 1)


def step(rate: float, *, met: bool) -> RampStep:
    return RampStep(rate_per_s=rate, met=met, ttft_p99_ms=10.0 * rate, output_tokens_per_s=rate)


def test_a_rate_met_above_a_rate_missed_does_not_count() -> None:
    found = ramp_result([step(2, met=True), step(4, met=False), step(8, met=True)])
    assert found is not None
    assert (found.goodput_per_s, found.missed_per_s, found.ttft_p99_ms) == (2, 4, 20.0)


def test_a_ramp_that_met_nothing_has_no_goodput() -> None:
    assert ramp_result([step(2, met=False)]) is None


def test_cost_is_unknown_without_a_price_or_tokens() -> None:
    assert result(10.0).cost_per_million_tokens(None) is None
    assert result(10.0).cost_per_million_tokens(3.6) == pytest.approx(25.0)
    none = RampResult(
        goodput_per_s=1, missed_per_s=None, ttft_p99_ms=None, output_tokens_per_s=None
    )
    assert none.cost_per_million_tokens(3.6) is None
