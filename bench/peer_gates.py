"""The gates that are compared with: each says whether it would promote.

Decides nothing about which is right. Bootstraps resample the same counts, so they are as fast as
they can be; they are not handicapped.
"""

import logging

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from assay.rates import exact_sign_test
from bench.simulation import class_differences, f1_difference

Counts = NDArray[np.int64]


def bootstrap_bounds(
    eight: Counts, *, alpha: float, replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Lower bounds of ΔF1 by the percentile and by the BCa bootstrap (Efron 1987)."""
    n = int(eight.sum())
    drawn = rng.multinomial(n, eight.ravel() / n, size=replicates).reshape(-1, 2, 2, 2)
    values = np.sort(f1_difference(drawn.astype(float)))
    percentile = float(np.quantile(values, alpha))
    observed = float(f1_difference(eight.astype(float)))
    below = (values < observed).mean() + (values == observed).mean() / 2
    if below in (0.0, 1.0) or values[0] == values[-1]:
        return percentile, percentile
    bias, acceleration = float(ndtri(below)), _acceleration(eight)
    shifted = bias + float(ndtri(alpha))
    level = ndtr(bias + shifted / (1 - acceleration * shifted))
    return percentile, float(np.quantile(values, level))


def _acceleration(eight: Counts) -> float:
    """Jackknife acceleration; cases of one cell share their jackknife value."""
    without = np.repeat(eight.astype(float)[None], 8, axis=0).reshape(8, 8)
    without -= np.eye(8)
    weights = eight.ravel().astype(float)
    values = f1_difference(np.maximum(without, 0).reshape(8, 2, 2, 2))
    gaps = (weights @ values) / weights.sum() - values
    spread = float(weights @ gaps**2)
    return float(weights @ gaps**3) / (6 * spread**1.5) if spread > 0 else 0.0


def no_class_may_drop(counts: Counts) -> bool:
    """Promotes when no class scores below production, as a point estimate."""
    present = counts.sum(axis=(1, 2)) > 0
    return bool((class_differences(counts.astype(float))[present] >= 0).all())


def mcnemar_on_accuracy(counts: Counts, *, alpha: float) -> bool:
    """Promotes unless the candidate's accuracy is significantly lower (exact McNemar)."""
    right = np.arange(len(counts))
    both = counts[right, right, right].sum()
    production = counts[right, right, :].sum() - both
    candidate = counts[right, :, right].sum() - both
    return exact_sign_test(int(production), int(candidate)) > alpha


class MlflowThreshold:
    """`mlflow.validate_evaluation_results`: macro-F1 may not be lower than the baseline's.

    MLflow compares with a baseline only by `min_absolute_change`, which must be positive, so "not
    worse" is written as the smallest improvement; a candidate with the very same score fails.
    """

    def __init__(self, floor: float = 0.3) -> None:
        import mlflow  # three seconds, and only this gate needs it

        # It logs two lines a validation.
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        from mlflow.models import MetricThreshold
        from mlflow.models.evaluation import EvaluationResult
        from mlflow.models.evaluation.validation import ModelValidationFailedException

        self._validate, self._result = mlflow.validate_evaluation_results, EvaluationResult
        self._failed = ModelValidationFailedException
        self._thresholds = {
            "macro_f1": MetricThreshold(
                threshold=floor, min_absolute_change=1e-9, greater_is_better=True
            )
        }

    def promotes(self, candidate: float, production: float) -> bool:
        """Whether MLflow validates the candidate against the baseline."""
        try:
            self._validate(
                validation_thresholds=self._thresholds,
                candidate_result=self._result(metrics={"macro_f1": candidate}, artifacts={}),
                baseline_result=self._result(metrics={"macro_f1": production}, artifacts={}),
            )
        except self._failed:
            return False
        return True
