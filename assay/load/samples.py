"""One timed request of a load, and what the generator says about its own work.

Decides what a time is counted from; leaves sending to the generators and judging to `summary`.
"""

from dataclasses import dataclass

from assay.records import AnswerStatus, LatencySample

TIMEOUT = "timeout"
"""The error kind of a request that was given up: its time is known to be longer, not how long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRequest:
    """What became of one request of a load.

    Seconds count from the start of the load, on a monotonic clock.

    Args:
        index: the request's place in the load, from 0.
        case_id: which question was asked.
        request_id: what the server was told.
        intended_s: when it was meant to start. In a closed loop that is when it did.
        started_s: when it was sent.
        held_s: how much of the time between the two it waited for a free place under the cap of
            requests in flight; the rest is the generator's own lag.
        first_token_s: when the first word came; None when none did.
        ended_s: when the answer, or the hope of one, ended.
        gaps_ms: between one piece of the answer and the next, in order.
        prompt_tokens, completion_tokens: the engine's own count; None where it gave none.
        status: `ok` or `error`.
        error_kind: `timeout`, `connection`, `broken`, `garbage` or `http_<status>`.
        retry_after_s: when the server asked to be left alone for so long.
        warm_up: True for a request that is sent to warm up and is not measured.
    """

    index: int
    case_id: str
    request_id: str
    intended_s: float
    started_s: float
    ended_s: float
    status: AnswerStatus
    held_s: float = 0.0
    first_token_s: float | None = None
    gaps_ms: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error_kind: str | None = None
    retry_after_s: float | None = None
    warm_up: bool = False

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.status is AnswerStatus.OK

    @property
    def timed_out(self) -> bool:
        """Whether the answer was given up, so that its time is a lower bound."""
        return self.error_kind == TIMEOUT

    @property
    def ttft_ms(self) -> float | None:
        """From the intended start to the first word."""
        return None if self.first_token_s is None else (self.first_token_s - self.intended_s) * 1e3

    @property
    def e2e_ms(self) -> float:
        """From the intended start to the end, of the answer or of the attempt."""
        return (self.ended_s - self.intended_s) * 1e3

    @property
    def wire_ttft_ms(self) -> float | None:
        """From sending to the first word: what the server's own clock can be compared with."""
        return None if self.first_token_s is None else (self.first_token_s - self.started_s) * 1e3

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token after the first, from the first word to the answer's end.

        Not to its last words: the token that ends an answer has none, and the engine counts it.
        None where it cannot be known: no token count, a single token, or an answer in one piece.
        """
        if not self.ok or not self.gaps_ms or (self.completion_tokens or 0) < 2:
            return None
        if self.first_token_s is None:
            return None
        return (self.ended_s - self.first_token_s) * 1e3 / ((self.completion_tokens or 0) - 1)

    @property
    def lag_ms(self) -> float:
        """How late the generator was, by its own doing."""
        return max(0.0, (self.started_s - self.intended_s - self.held_s) * 1e3)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorRun:
    """What a generator says about a load it has run.

    Args:
        planned: requests the plan asks for; None where only time ends it.
        sent: requests that were sent, with those of the warm-up.
        unsent: requests that were due and were not sent, because the run was stopped.
        wall_s: from the start of the load to the end of its last request.
        cpu_s: the generator's own CPU time meanwhile.
        most_in_flight: requests in flight at the same time, at most.
        interrupted: whether Ctrl-C ended it.
        stopped: the sentence that says why it ended early; None where it did not.
    """

    planned: int | None
    sent: int
    unsent: int = 0
    wall_s: float
    cpu_s: float
    most_in_flight: int
    interrupted: bool = False
    stopped: str | None = None

    @property
    def cpu_share(self) -> float:
        """CPU time over time: at 1.0 the generator filled a core and measured itself."""
        return self.cpu_s / self.wall_s if self.wall_s > 0 else 0.0


def latency_sample(
    request: TimedRequest, *, block: int, begun_s: float = 0.0, open_loop: bool = False
) -> LatencySample:
    """Returns a timed request as the gate's evidence stores it.

    Its times start when it was sent; in an open loop it also says when it was meant to be, and
    whoever judges it counts from there.

    Args:
        request: one of a load's.
        block: the block it belongs to.
        begun_s: when that block began, in seconds from the start of the whole load.
        open_loop: whether a schedule decided when it was sent.
    """
    sent = (request.ended_s - request.started_s) * 1e3
    return LatencySample(
        block=block,
        case_id=request.case_id,
        started_s=max(0.0, begun_s + request.started_s),
        status=request.status,
        error_kind=request.error_kind,
        ttft_ms=request.wire_ttft_ms if request.ok else None,
        e2e_ms=sent if request.ok else None,
        prompt_tokens=request.prompt_tokens,
        completion_tokens=request.completion_tokens,
        request_id=request.request_id,
        intended_s=max(0.0, begun_s + request.intended_s) if open_loop else None,
    )
