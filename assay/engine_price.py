"""What a timed load says about money: throughput, and the price of a request and of a token.

Decides the arithmetic and its bounds; leaves prices and limits to the `cost` evaluator. The engine
is paid by the hour, so the cost of a request is the price of an hour over the requests of an hour
at the rate that was measured. A load that leaves the engine idle makes its requests dearer: the
rate is what the load reached, not what the engine could have done.

Bounds come from whole blocks drawn again, as for the percentiles (`assay.latency_ratio`): the
requests in a block share what the machine was doing.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.errors import TooFewCasesError
from assay.latency_ratio import MINIMUM_BLOCKS
from assay.records import AnswerStatus, LatencySample

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """What each block of a load got done: answered requests, their tokens, and the seconds it took.

    `tokens` is None where the engine did not count those of every answer.
    """

    requests: Floats
    seconds: Floats
    tokens: Floats | None

    @property
    def requests_per_s(self) -> float:
        """Answered requests over the time in which the blocks ran."""
        return float(self.requests.sum() / self.seconds.sum())

    @property
    def tokens_per_s(self) -> float | None:
        """Prompt and completion tokens over the same time; None where they were not counted."""
        return None if self.tokens is None else float(self.tokens.sum() / self.seconds.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A value with one-sided bounds, each at confidence 1 − alpha."""

    value: float
    lower: float
    upper: float


def throughput(load: Sequence[LatencySample]) -> Throughput:
    """Returns what a load got done, block by block.

    Raises:
        TooFewCasesError: fewer than `MINIMUM_BLOCKS` blocks have an answer.
    """
    blocks: dict[int, list[LatencySample]] = defaultdict(list)
    for sample in load:
        blocks[sample.block].append(sample)
    rows = [row for block in sorted(blocks) if (row := _block(blocks[block])) is not None]
    if len(rows) < MINIMUM_BLOCKS:
        raise TooFewCasesError(
            f"throughput needs {MINIMUM_BLOCKS} timed blocks with answers; found {len(rows)}; "
            "time more of them (evaluators.latency in policy.yaml)"
        )
    counted = [tokens for _, _, tokens in rows]
    return Throughput(
        requests=np.array([requests for requests, _, _ in rows], dtype=float),
        seconds=np.array([seconds for _, seconds, _ in rows], dtype=float),
        tokens=None
        if any(tokens is None for tokens in counted)
        else np.array(counted, dtype=float),
    )


def _block(block: Sequence[LatencySample]) -> tuple[int, float, int | None] | None:
    answered = [s for s in block if s.status is AnswerStatus.OK and s.e2e_ms is not None]
    if not answered:
        return None
    end_s = max(s.started_s + (s.e2e_ms or 0.0) / 1e3 for s in answered)
    seconds = end_s - min(s.started_s for s in block)
    if seconds <= 0:
        return None
    tokens = 0
    for sample in answered:
        if sample.prompt_tokens is None or sample.completion_tokens is None:
            return len(answered), seconds, None
        tokens += sample.prompt_tokens + sample.completion_tokens
    return len(answered), seconds, tokens


def price_of(
    price_per_hour: float,
    done: Floats,
    seconds: Floats,
    *,
    alpha: float,
    replicates: int,
    seed: np.random.SeedSequence,
) -> Bounded:
    """Returns the price of one thing done, with its bounds.

    Args:
        price_per_hour: of the engine's machine.
        done: things done in each block.
        seconds: each block's time.
        alpha: one-sided error rate of each bound.
        replicates: draws.
        seed: of the draws.

    Raises:
        TooFewCasesError: nothing was done in some draw, so there is no price.
    """
    value = price_per_hour / 3600 * seconds.sum() / done.sum() if done.sum() > 0 else math.inf
    draws = _draws(len(done), replicates, seed)
    with np.errstate(divide="ignore"):
        prices = price_per_hour / 3600 * (draws @ seconds) / (draws @ done)
    return _bounded(float(value), prices, alpha)


def price_ratio(
    candidate: Throughput,
    production: Throughput,
    *,
    alpha: float,
    replicates: int,
    seed: np.random.SeedSequence,
) -> Bounded:
    """Returns the candidate's price of a request over production's, from paired blocks.

    Both are paid the same by the hour, so the price itself does not matter.

    Raises:
        TooFewCasesError: the two have different blocks, or nothing was answered in some draw.
    """
    if len(candidate.requests) != len(production.requests):
        raise TooFewCasesError(
            f"the candidate answered in {len(candidate.requests)} blocks and production in "
            f"{len(production.requests)}; expected the same blocks; run the gate again"
        )
    value = production.requests_per_s / candidate.requests_per_s
    draws = _draws(len(candidate.requests), replicates, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        ours = (draws @ candidate.seconds) / (draws @ candidate.requests)
        theirs = (draws @ production.seconds) / (draws @ production.requests)
    return _bounded(value, ours / theirs, alpha)


def _draws(blocks: int, replicates: int, seed: np.random.SeedSequence) -> Floats:
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=replicates)
    return drawn.astype(float)


def _bounded(value: float, draws: Floats, alpha: float) -> Bounded:
    if not math.isfinite(value) or not np.isfinite(draws).all():
        raise TooFewCasesError("too little was answered to have a price; time more requests")
    lower, upper = np.quantile(draws, [alpha, 1 - alpha])
    return Bounded(value=value, lower=float(lower), upper=float(upper))
