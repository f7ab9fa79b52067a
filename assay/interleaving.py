"""Times two models under the same load, turn by turn, so that both meet the same machine.

Decides which cases are asked in which block and which model goes first; leaves timing one block to
the chat client and judging the times to the `latency` evaluator. A machine that slows down, by its
own heat or its neighbours, then slows both models alike, and their ratio stays a ratio of models.

The cases have been asked before, so an engine with a prefix cache may know their beginnings; that
holds for both models, and makes an absolute time a little kinder than a first visit.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from assay.asking import golden_questions
from assay.errors import ConfigError, InfrastructureError
from assay.ports import AskLimits, ChatClient, Progress, Question
from assay.records import AnswerStatus, Endpoint, GoldenCase, LatencySample, Role
from assay.task import Task

_BUSY_SHARE = 0.8
"""Share of one core above which the load generator's own work shows in the times."""


def interleaved_load(
    client: ChatClient,
    endpoints: Mapping[Role, Endpoint],
    task: Task,
    cases: Sequence[GoldenCase],
    blocks: int,
    per_block: int,
    limits: AskLimits,
    seed: int,
    run_id: str,
    progress: Progress,
) -> dict[Role, tuple[LatencySample, ...]]:
    """Asks each model the same cases, block by block, streaming, and times every answer.

    In each block both models are asked the same `per_block` cases, one model after the other; a
    coin says who goes first. One block of each, before the first, warms up and is thrown away.

    Args:
        client: sends the questions, `limits.concurrency` at a time.
        endpoints: the candidate and, where there is one, production.
        task: what is asked.
        cases: drawn from without repetition until all were used, then again.
        blocks: blocks to keep of each model.
        per_block: questions a block.
        limits: how hard and how long to ask.
        seed: decides the order of the cases and of the models.
        run_id: begins every request's id.
        progress: told after each block.

    Returns:
        Every sample of each model, in the order of the blocks.

    Raises:
        ConfigError: nothing to ask, or nobody.
        InfrastructureError: a model left a whole block unanswered.
    """
    if blocks < 1 or per_block < 1 or not cases or not endpoints:
        raise ConfigError(
            f"a load of {blocks!r} blocks of {per_block!r} questions, drawn from {len(cases)} "
            f"cases, for {len(endpoints)} models; expected at least one of each; correct "
            "evaluators.latency in policy.yaml"
        )
    rng = np.random.default_rng(seed)
    draws = _draw(golden_questions(task, cases), blocks + 1, per_block, rng)
    samples: dict[Role, list[LatencySample]] = {role: [] for role in endpoints}
    for role, endpoint in endpoints.items():
        warm_up = client.load(
            endpoint, draws[blocks], limits, block=0, run_id=run_id, clock_zero_s=time.monotonic()
        )
        _check(role, endpoint, warm_up)
    zero_s, cpu_zero_s = time.monotonic(), time.process_time()
    for block in range(blocks):
        roles = list(endpoints)
        rng.shuffle(roles)
        for role in roles:
            taken = client.load(
                endpoints[role], draws[block], limits,
                block=block, run_id=run_id, clock_zero_s=zero_s,
            )  # fmt: skip
            _check(role, endpoints[role], taken)
            samples[role].extend(taken)
        progress(f"timed block {block + 1} of {blocks}")
    busy = (time.process_time() - cpu_zero_s) / (time.monotonic() - zero_s)
    progress(_on_the_generator(busy))
    return {role: tuple(taken) for role, taken in samples.items()}


def _draw(
    questions: Sequence[Question], blocks: int, per_block: int, rng: np.random.Generator
) -> list[list[Question]]:
    """Deals the questions out to the blocks, reshuffled each time they have run out."""
    rounds = -(-blocks * per_block // len(questions))
    order = np.concatenate([rng.permutation(len(questions)) for _ in range(rounds)])
    return [
        [questions[int(i)] for i in order[block * per_block : (block + 1) * per_block]]
        for block in range(blocks)
    ]


def _check(role: Role, endpoint: Endpoint, samples: Sequence[LatencySample]) -> None:
    if any(sample.status is AnswerStatus.OK for sample in samples):
        return
    kinds = ", ".join(sorted({str(sample.error_kind) for sample in samples}))
    raise InfrastructureError(
        f"{role.value} at {endpoint.uds or endpoint.base_url}: none of {len(samples)} timed "
        f"questions was answered ({kinds}); expected answers; look at the end of the engine's log "
        "and run the same command again: the answers already stored are kept"
    )


def _on_the_generator(busy: float) -> str:
    sentence = f"the load generator used {busy:.0%} of one core"
    if busy > _BUSY_SHARE:
        return f"{sentence}, so the times include its own work; lower the load or use a faster core"
    return sentence
