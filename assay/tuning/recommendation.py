"""The best settings, by how much they are better, and how sure that is; or: keep what you have.

Decides which trial is the best, what the fresh, alternating measurements of it and of the present
settings show, and the sentence that says so. The best of many trials looks better than it is (it
was chosen for looking so), so its gain is computed from the confirmations alone, never from the
search.

The gain is a ratio of highest rates. Each pair of ramps brackets it: a ramp knows a rate that met
the objectives and the next that did not. The interval joins the brackets with a Student interval of
the pairs' mean logarithm, so that neither a coarse ramp nor an unsteady machine makes it narrower
than what is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from assay.errors import TooFewCasesError
from assay.tuning.trials import RampResult, TrialRecord, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The present settings and the best ones, measured one after the other."""

    present: RampResult
    best: RampResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How many times the present goodput the best settings reach.

    `lower` and `upper` are one-sided bounds, each at confidence 1 − alpha; `upper` is infinite
    where a ramp ended without a rate that was missed.
    """

    ratio: float
    lower: float
    upper: float
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to do with the settings; `number` is the trial to change to, None to keep them."""

    number: int | None
    gain: Gain | None
    reason: str


def best_trial(trials: Sequence[TrialRecord], present: TrialRecord) -> TrialRecord | None:
    """Returns the measured trial of the highest goodput.

    Among equals it is the one that changes the fewest settings of `present`, so that no setting is
    changed which gained nothing; then the one with the soonest first word.
    """

    def merit(trial: TrialRecord) -> tuple[float, int, float, int]:
        result = trial.result
        if result is None:  # not measured: never chosen
            return (-math.inf, 0, 0.0, 0)
        names = trial.point.keys() | present.point.keys()
        changed = sum(trial.point.get(name) != present.point.get(name) for name in names)
        first_word = math.inf if result.ttft_p99_ms is None else result.ttft_p99_ms
        return result.goodput_per_s, -changed, -first_word, -trial.number

    measured = [trial for trial in trials if trial.state is TrialState.MEASURED]
    return max(measured, key=merit, default=None)


def pareto(trials: Sequence[TrialRecord]) -> tuple[int, ...]:
    """Returns the numbers of the trials that no other beats in both goodput and first word."""
    points = [
        (trial.number, trial.result.goodput_per_s, trial.result.ttft_p99_ms)
        for trial in trials
        if trial.result is not None and trial.result.ttft_p99_ms is not None
    ]

    def beaten(goodput: float, first_word: float) -> bool:
        return any(
            g >= goodput and t <= first_word and (g > goodput or t < first_word)
            for _, g, t in points
        )

    return tuple(number for number, g, t in points if not beaten(g, t))


def gain(pairs: Sequence[Pair], *, alpha: float = 0.05) -> Gain:
    """Returns the gain that pairs of fresh ramps show.

    Raises:
        TooFewCasesError: fewer than two pairs say nothing about how steady they are.
    """
    if len(pairs) < 2:
        raise TooFewCasesError(
            f"{len(pairs)} pairs of ramps; expected 2 at least; raise confirmations in tune.yaml"
        )
    middle = [_log_ratio(one.best.goodput_per_s, one.present.goodput_per_s) for one in pairs]
    # What is known of each ratio: the best met one rate while the present missed another.
    low = [_log_ratio(one.best.goodput_per_s, _beyond(one.present)) for one in pairs]
    high = [_log_ratio(_beyond(one.best), one.present.goodput_per_s) for one in pairs]
    quantile = float(special.stdtrit(len(pairs) - 1, 1 - alpha))
    spread = quantile * float(np.std(middle, ddof=1)) / math.sqrt(len(pairs))
    return Gain(
        ratio=math.exp(float(np.mean(middle))),
        lower=math.exp(float(np.mean(low)) - spread),
        upper=math.exp(float(np.mean(high)) + spread),
        pairs=len(pairs),
    )


def _log_ratio(over: float, under: float) -> float:
    if math.isinf(under):
        return -math.inf
    return math.inf if math.isinf(over) else math.log(over / under)


def _beyond(result: RampResult) -> float:
    return math.inf if result.missed_per_s is None else result.missed_per_s


def recommend(
    trials: Sequence[TrialRecord],
    present: TrialRecord,
    pairs: Sequence[Pair],
    *,
    changes: str,
    unsteady: str = "",
    alpha: float = 0.05,
) -> Recommendation:
    """Returns what to do, with its reason in one sentence.

    Args:
        trials: all of them.
        present: the one that measured the settings as they are.
        pairs: fresh measurements of the present and the best settings; none where either has no
            goodput to compare, or the present ones are the best.
        changes: the best trial's changes, in words.
        unsteady: what went wrong when the two were measured again, empty where nothing did.
        alpha: of each bound of the gain.
    """
    best = best_trial(trials, present)
    if best is None:
        return _keep(
            f"none of {len(trials)} settings, the present ones among them, met the objectives at "
            "the lowest rate, so none is known to be better."
        )
    if best.number == present.number:
        return _keep(
            f"none of {len(trials) - 1} other settings met the objectives at a higher rate than "
            f"the present ones do, {_rate(best)}."
        )
    if unsteady:
        return _keep(f"the best settings found ({changes}) could not be confirmed: {unsteady}")
    if present.state is TrialState.PRUNED:
        return Recommendation(
            number=best.number,
            gain=None,
            reason=f"Change {changes}: these settings meet the objectives at up to {_rate(best)}, "
            f"and the present ones at no rate that was tried ({present.reason.rstrip('.')}).",
        )
    found = gain(pairs, alpha=alpha)
    shown = (
        f"{_percent(found.ratio)} goodput in {found.pairs} fresh measurements of each, in turn, "
        f"between {_percent(found.lower)} and {_percent(found.upper)} at "
        f"{100 * (1 - alpha):g} % confidence each way"
    )
    if found.lower <= 1:
        reason = f"the best settings found ({changes}) gave {shown}, which noise explains."
        return _keep(reason, found)
    return Recommendation(number=best.number, gain=found, reason=f"Change {changes}: {shown}.")


def _keep(why: str, found: Gain | None = None) -> Recommendation:
    return Recommendation(number=None, gain=found, reason=f"Keep what you have: {why}")


def _rate(trial: TrialRecord) -> str:
    if trial.result is None:
        return "no known rate"
    return f"{trial.result.goodput_per_s:.3g} requests a second"


def _percent(ratio: float) -> str:
    return "any gain" if math.isinf(ratio) else f"{100 * (ratio - 1):+.0f} %"
