"""How far people agree: Krippendorff's alpha for nominal labels, with a bootstrap interval.

Decides the figure; leaves what it must be to whoever reads it.

Source: Krippendorff, *Content Analysis*, 4th ed. (2019), ch. 12, written with the labels each unit
received (n_uc of m_u, N in all; units with fewer than two labels pair with nothing and are left
out)::

    alpha = 1 - (N - 1) · Σ_u (m_u² - Σ_c n_uc²) / (m_u - 1)  /  (N² - Σ_c n_c²)

The bootstrap draws units with replacement. Units with the same counts are alike, so the draws are
multinomial over the distinct rows of counts: exact, and as cheap for a million units as for a
hundred.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Labels each unit received: units × labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Alpha with its interval. `alpha` is None where nothing pairs, or one label is all there is.

    Attributes:
        alpha: at most 1; 0 is chance, None is not defined.
        interval: (lower, upper) at the level asked for, or None.
        units: units with at least two labels.
        labels: labels on those units.
    """

    alpha: float | None
    interval: tuple[float, float] | None
    units: int
    labels: int


def krippendorff_alpha(
    counts: Counts, *, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> Agreement:
    """Returns alpha of the counts.

    Args:
        counts: units × labels, how many people gave each.
        replicates: draws of the bootstrap; 0 for no interval.
        level: of the interval (percentile method).
        seed: of the draws.
    """
    paired = counts[counts.sum(axis=1) >= 2]
    if not len(paired):
        return Agreement(alpha=None, interval=None, units=0, labels=0)
    kinds, times = np.unique(paired, axis=0, return_counts=True)
    alpha = _alpha(times[None, :].astype(float), kinds)[0]
    drawn = np.random.default_rng(seed).multinomial(
        len(paired), times / times.sum(), size=replicates
    )
    resampled = _alpha(drawn.astype(float), kinds)
    resampled = resampled[np.isfinite(resampled)]
    tail = (1 - level) / 2
    defined = np.isfinite(alpha)
    interval = None
    if defined and len(resampled):
        low, high = np.quantile(resampled, (tail, 1 - tail))
        interval = (float(low), float(high))
    return Agreement(
        alpha=float(alpha) if defined else None,
        interval=interval,
        units=len(paired),
        labels=int(paired.sum()),
    )


def alpha_by_label(
    counts: Counts, labels: tuple[str, ...], *, replicates: int = 1000, seed: int = 0
) -> dict[str, Agreement]:
    """Returns, for each label, alpha of "this label or another" (a column each, in order)."""
    totals = counts.sum(axis=1)
    return {
        label: krippendorff_alpha(
            np.stack([counts[:, at], totals - counts[:, at]], axis=1),
            replicates=replicates,
            seed=seed,
        )
        for at, label in enumerate(labels)
    }


def _alpha(weights: NDArray[np.float64], kinds: Counts) -> NDArray[np.float64]:
    """Alpha for each row of weights over the distinct rows of counts; NaN where undefined."""
    sizes = kinds.sum(axis=1)
    unlike = (sizes**2 - (kinds**2).sum(axis=1)) / (sizes - 1)
    observed = weights @ unlike
    of_label = weights @ kinds.astype(float)
    total = of_label.sum(axis=1)
    expected = total**2 - (of_label**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - (total - 1) * observed / expected)
