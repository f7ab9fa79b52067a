"""Runs one load on the running event loop: each request on time, each outcome timed and handed on.

Decides when a request is sent and what its times are; leaves the wire to `send`, and what to make
of the outcomes to whoever takes them. Starts are absolute times, so a slow server does not slow the
arrivals; in a closed loop the next request starts when one ends.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable

from assay.adapters.chat_wire import Failure, Timing
from assay.adapters.event_loop import Alarm
from assay.load.samples import GeneratorRun, TimedRequest
from assay.ports import LoadPlan
from assay.records import AnswerStatus

Send = Callable[[int, str], Awaitable[Timing | Failure]]
"""Sends question number i under a request id, once, and never raises for what a server does."""


class LoadLoop:
    """One load; `run` it once.

    Args:
        plan: what is sent when.
        send: puts a question on the wire.
        take: gets each request as it ends; a sentence that it returns ends the load.
        run_id: begins every request's id.
        zero_s: the monotonic time that all times count from; now if None.
    """

    def __init__(
        self,
        plan: LoadPlan,
        send: Send,
        take: Callable[[TimedRequest], str | None],
        *,
        run_id: str,
        zero_s: float | None = None,
    ) -> None:
        self._plan = plan
        self._send = send
        self._take = take
        self._zero_s = time.monotonic() if zero_s is None else zero_s
        self._began_s, self._cpu_began_s = time.monotonic(), time.thread_time()
        self._starts = plan.starts_s
        self._planned = plan.requests if self._starts is None else len(self._starts)
        self._prefix = f"{run_id}-{secrets.token_hex(3)}"
        self._tags = [hashlib.sha256(q.case_id.encode()).hexdigest()[:16] for q in plan.questions]
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = self._measured = self._in_flight = self._most_in_flight = 0
        self._place_free_s = 0.0
        self._stopped: str | None = None

    async def run(self) -> None:
        """Runs the load to its end; cancelling it drops what is in flight.

        Raises:
            Whatever `take` raises.
        """
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._alarm = Alarm(self._pump)
        try:
            self._pump()
            await self._over
        finally:
            self._alarm.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self, reason: str) -> None:
        """Ends the load now; what is in flight is dropped."""
        if not self._over.done():
            self._stopped = reason
            self._over.set_result(None)

    def report(self, *, interrupted: bool = False) -> GeneratorRun:
        """Returns what this load says about itself so far."""
        return GeneratorRun(
            planned=self._planned,
            sent=self._sent,
            unsent=0 if self._starts is None else self._due(self._now()) - self._sent,
            wall_s=time.monotonic() - self._began_s,
            cpu_s=time.thread_time() - self._cpu_began_s,
            most_in_flight=self._most_in_flight,
            interrupted=interrupted,
            stopped=self._stopped,
        )

    def _now(self) -> float:
        return time.monotonic() - self._zero_s

    def _due(self, now_s: float) -> int:
        return 0 if self._starts is None else int(self._starts.searchsorted(now_s, side="right"))

    def _pump(self) -> None:
        """Sends all that is due and has a place; sets the alarm for the next."""
        if self._over.done():
            return
        now_s = self._now()
        while self._in_flight < self._plan.most_in_flight and self._is_due(now_s):
            self._launch(now_s)
        if self._is_finished(now_s):
            if not self._in_flight:
                self._over.set_result(None)
        elif self._starts is not None and self._in_flight < self._plan.most_in_flight:
            self._alarm.set(self._zero_s + float(self._starts[self._sent]))

    def _is_due(self, now_s: float) -> bool:
        if self._is_finished(now_s):
            return False
        return self._starts is None or bool(self._starts[self._sent] <= now_s)

    def _is_finished(self, now_s: float) -> bool:
        """Tells whether there is nothing more to send."""
        if self._starts is not None:
            return self._sent >= len(self._starts)
        plan = self._plan
        enough = plan.requests is not None and self._measured >= plan.requests
        return enough or (plan.duration_s is not None and now_s >= plan.duration_s)

    def _launch(self, now_s: float) -> None:
        index, self._sent = self._sent, self._sent + 1
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        intended_s = now_s if self._starts is None else float(self._starts[index])
        self._measured += intended_s >= self._plan.warm_up_s
        # Its place became free only after it was meant to start: that wait is the cap's doing.
        held_s = 0.0 if self._starts is None else max(0.0, self._place_free_s - intended_s)
        task = asyncio.get_running_loop().create_task(self._ask(index, intended_s, held_s))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _ask(self, index: int, intended_s: float, held_s: float) -> None:
        question = index % len(self._tags)
        identity = f"{self._prefix}-{self._tags[question]}-{index}"
        started_s = self._now()
        if self._starts is None:
            intended_s = started_s
        outcome = await self._send(question, identity)
        reason = self._take(self._timed(index, identity, intended_s, started_s, held_s, outcome))
        if reason is not None:
            self.stop(reason)

    def _timed(
        self,
        index: int,
        identity: str,
        intended_s: float,
        started_s: float,
        held_s: float,
        outcome: Timing | Failure,
    ) -> TimedRequest:
        ended_s = self._now()
        answer = outcome if isinstance(outcome, Timing) else None
        failure = outcome if isinstance(outcome, Failure) else None
        return TimedRequest(
            index=index,
            case_id=self._plan.questions[index % len(self._tags)].case_id,
            request_id=identity,
            intended_s=intended_s,
            started_s=started_s,
            held_s=held_s,
            first_token_s=None if outcome.ttft_ms is None else started_s + outcome.ttft_ms / 1e3,
            ended_s=ended_s if answer is None else started_s + answer.e2e_ms / 1e3,
            gaps_ms=() if answer is None else answer.gaps_ms,
            prompt_tokens=None if answer is None else answer.prompt_tokens,
            completion_tokens=None if answer is None else answer.completion_tokens,
            status=AnswerStatus.ERROR if answer is None else AnswerStatus.OK,
            error_kind=None if failure is None else failure.kind,
            retry_after_s=None if failure is None else failure.retry_after_s,
            warm_up=intended_s < self._plan.warm_up_s,
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Frees the place of a request, and gives it to the next."""
        self._tasks.discard(task)
        if self._in_flight == self._plan.most_in_flight:
            self._place_free_s = self._now()
        self._in_flight -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._over.done():
            self._over.set_exception(error)
        self._pump()
