"""When each request of an open loop is meant to start: fixed before the first one is sent.

Decides the intended start times, in seconds from the start of the load, ascending; leaves being on
time to the generator. A seed gives the same times to two models, so that both meet the same bursts.
"""

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError

Seconds = NDArray[np.float64]


def constant(rate_per_s: float, duration_s: float) -> Seconds:
    """One request every 1 / rate seconds, the first at 0."""
    return np.arange(max(1, round(rate_per_s * duration_s)), dtype=np.float64) / rate_per_s


def poisson(rate_per_s: float, duration_s: float, rng: np.random.Generator) -> Seconds:
    """Independent users: exponential gaps, so that the count in any second is a Poisson one."""
    return gamma(rate_per_s, duration_s, 1.0, rng)


def gamma(rate_per_s: float, duration_s: float, shape: float, rng: np.random.Generator) -> Seconds:
    """Gaps of a gamma law with mean 1 / rate: shape 1 is Poisson, below 1 comes in bursts.

    The squared coefficient of variation of the gaps is 1 / shape.
    """
    expected = rate_per_s * duration_s
    # Beyond the expected count by six standard deviations of it, then more if even that is short.
    size = int(expected + 6 * np.sqrt(expected / shape) + 16)
    times = np.cumsum(rng.gamma(shape, 1 / (shape * rate_per_s), size))
    while times[-1] < duration_s:
        more = np.cumsum(rng.gamma(shape, 1 / (shape * rate_per_s), size)) + times[-1]
        times = np.concatenate([times, more])
    return times[: int(np.searchsorted(times, duration_s))]


def ramp(from_per_s: float, to_per_s: float, duration_s: float) -> Seconds:
    """A rate that changes evenly: request k starts when the area under the rate reaches k."""
    total = round((from_per_s + to_per_s) / 2 * duration_s)
    count = np.arange(max(1, total), dtype=np.float64)
    slope = (to_per_s - from_per_s) / duration_s
    if slope == 0:
        return count / from_per_s
    # slope/2 · t² + from · t = k, by the root that is exact for a small slope as well.
    root = np.sqrt(np.maximum(from_per_s**2 + 2 * slope * count, 0.0))
    return np.asarray(2 * count / (from_per_s + root))


def spike(
    rate_per_s: float, duration_s: float, times: float, share: float, rng: np.random.Generator
) -> Seconds:
    """Poisson arrivals whose rate is `times` as high for the middle `share` of the duration."""
    before = duration_s * (1 - share) / 2
    during = duration_s * share
    parts = [
        poisson(rate_per_s, before, rng),
        before + poisson(rate_per_s * times, during, rng),
        before + during + poisson(rate_per_s, before, rng),
    ]
    return np.concatenate(parts)


def replay(times_s: Seconds, where: str) -> Seconds:
    """A recorded trace of start times, moved to begin at 0.

    Raises:
        ConfigError: it holds no time, or times that are not finite or run backwards.
    """
    times = np.asarray(times_s, dtype=np.float64)
    if not times.size or not np.isfinite(times).all():
        raise ConfigError(
            f"{where}: {times.size} arrival times, not all of them finite numbers; expected at "
            "least one, in seconds; correct the trace"
        )
    backwards = np.flatnonzero(np.diff(times) < 0)
    if backwards.size:
        raise ConfigError(
            f"{where}: arrival {int(backwards[0]) + 2} starts before the one above it "
            f"({times[backwards[0] + 1]!r} after {times[backwards[0]]!r}); expected times in "
            "order; sort the trace"
        )
    return np.asarray(times - times[0])
