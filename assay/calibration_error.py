"""Does a model's confidence mean what it says? Expected calibration error, and its difference.

Decides the error of one model (bins of equal mass, Naeini et al. 2015; equal mass after Nguyen &
O'Connor 2015) and confidence bounds of it and of the paired difference of two models. What error is
acceptable is left to the `calibration` evaluator.

The absolute value makes the plain bootstrap of the error biased upwards, so bounds come from the
spread of the replicates around their own mean. Bins are fixed before resampling and the error is
then linear in what each case adds to them, so that above `GROUPS` cases whole random groups are
resampled and the cost stops growing with the number of cases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.cells import Floats
from assay.errors import TooFewCasesError
from assay.intervals import Estimate

GROUPS = 2000
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidences:
    """One model's confidence in each answer, in [0, 1], and whether it was right (1) or not (0)."""

    confidence: Floats
    right: Floats


def confidence_of(label: str, logprobs: Mapping[str, float], labels: Sequence[str]) -> float | None:
    """The probability of the answered label among the task's labels, or None if it is unknown.

    Args:
        label: the answer.
        logprobs: label → natural-log probability, finite; need not sum to 1.
        labels: the task's labels.
    """
    if any(name not in logprobs for name in labels):
        return None
    values = np.array([logprobs[name] for name in labels])
    weights = np.exp(values - values.max())
    return float(weights[list(labels).index(label)] / weights.sum())


def calibration_error(found: Confidences, *, bins: int) -> float:
    """Expected calibration error: mean over bins of |accuracy − confidence|, weighted by cases.

    Raises:
        TooFewCasesError: fewer cases than bins.
    """
    return float(np.abs(_gaps(found, bins).sum(axis=0)).sum() / len(found.confidence))


def calibration_estimate(
    found: Confidences, *, bins: int, alpha: float, replicates: int, seed: np.random.SeedSequence
) -> Estimate:
    """One model's error with one-sided bounds, each at confidence 1 − alpha."""
    errors = _resampled([found], bins, replicates, seed)[0]
    return _bounded(calibration_error(found, bins=bins), errors, alpha)


def calibration_difference(
    candidate: Confidences,
    production: Confidences,
    *,
    bins: int,
    alpha: float,
    replicates: int,
    seed: np.random.SeedSequence,
) -> Estimate:
    """Candidate's error minus production's on the same cases, in the same order, with bounds."""
    first, second = _resampled([candidate, production], bins, replicates, seed)
    observed = calibration_error(candidate, bins=bins) - calibration_error(production, bins=bins)
    return _bounded(observed, first - second, alpha)


def reliability(found: Confidences, *, bins: int) -> list[dict[str, float]]:
    """The reliability diagram: mean confidence, accuracy and cases of each bin, rising."""
    order = np.argsort(found.confidence, kind="stable")
    return [
        {
            "confidence": float(found.confidence[part].mean()),
            "accuracy": float(found.right[part].mean()),
            "n": len(part),
        }
        for part in np.array_split(order, bins)
    ]


def _bounded(observed: float, replicates: Floats, alpha: float) -> Estimate:
    spread = replicates - replicates.mean()
    low, high = np.quantile(spread, [alpha, 1 - alpha])
    return Estimate(value=observed, lower=observed + float(low), upper=observed + float(high))


def _gaps(found: Confidences, bins: int) -> Floats:
    """What each case adds to each bin: right − confidence, shape (cases, bins)."""
    n = len(found.confidence)
    if n < bins:
        raise TooFewCasesError(
            f"{n} answers with label log-probabilities cannot fill {bins} bins; expected at least "
            "as many; ask for log-probabilities, or use fewer bins"
        )
    order = np.argsort(found.confidence, kind="stable")
    owner = np.empty(n, dtype=np.int64)
    owner[order] = np.arange(n) * bins // n
    gaps = np.zeros((n, bins))
    gaps[np.arange(n), owner] = found.right - found.confidence
    return gaps


def _resampled(
    models: Sequence[Confidences], bins: int, replicates: int, seed: np.random.SeedSequence
) -> list[Floats]:
    """Replicates of each model's error; replicate i of all models draws the same cases."""
    rng = np.random.default_rng(seed)
    n = len(models[0].confidence)
    groups = min(n, GROUPS)
    members = rng.permutation(np.arange(n) * groups // n)
    sums = []
    for model in models:
        total = np.zeros((groups, bins))
        np.add.at(total, members, _gaps(model, bins))
        sums.append(total)
    errors = [np.empty(replicates) for _ in models]
    for start in range(0, replicates, _CHUNK):
        size = min(_CHUNK, replicates - start)
        weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=size).astype(float)
        for error, total in zip(errors, sums, strict=True):
            error[start : start + size] = np.abs(weights @ total).sum(axis=1) / n
    return errors
