"""A gate that is watched: whoever runs its steps, each is told to the gate's watch.

Decides what is told and when; leaves running steps to the `Steps` inside (plain calls or Prefect
tasks), and what becomes of an event to the watch. Nothing of it touches the gate: the same actions
run, the same errors come out.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from assay.gate_events import (
    GateBegun,
    GateEnded,
    GateOutcome,
    StepBegun,
    StepEnded,
    step_outcome,
    what_went_wrong,
)
from assay.ports import GateWatch
from flows.conclude import GateResult
from flows.request import GateRequest
from flows.steps import Steps

T = TypeVar("T")


class WatchedSteps:
    """Tells a watch about every step that other steps run.

    Args:
        steps: whoever runs them.
        watch: is told.
        run_id: the gate whose steps they are.
    """

    def __init__(self, steps: Steps, watch: GateWatch, run_id: str) -> None:
        self.timings_s = steps.timings_s
        self._steps, self._watch, self._run_id = steps, watch, run_id

    def run(self, name: str, action: Callable[[], T], *, retries: int = 0) -> T:
        """Runs `action` as the steps inside do, and tells how it went."""
        attempts = 0

        def counted() -> T:
            nonlocal attempts
            attempts += 1
            return action()

        clock = _Clock()
        self._watch.told(StepBegun(run_id=self._run_id, at_ns=clock.began_ns, name=name))
        raised: BaseException | None = None
        try:
            return self._steps.run(name, counted, retries=retries)
        except BaseException as error:
            raised = error
            raise
        finally:
            kind, message = what_went_wrong(raised)
            at_ns, duration_s = clock.stop()
            self._watch.told(
                StepEnded(
                    run_id=self._run_id,
                    at_ns=at_ns,
                    name=name,
                    duration_s=duration_s,
                    attempts=attempts,
                    outcome=step_outcome(raised),
                    error_kind=kind,
                    error=message,
                )
            )


def watch_gate(
    watch: GateWatch,
    run_id: str,
    request: GateRequest,
    *,
    backend: str,
    resumed: bool,
    gate: Callable[[], GateResult],
) -> GateResult:
    """Runs a whole gate, and tells how it began and ended.

    Raises:
        BaseException: whatever the gate raises, after it was told.
    """
    clock, model = _Clock(), request.model
    watch.told(
        GateBegun(
            run_id=run_id,
            at_ns=clock.began_ns,
            model=model,
            version=request.version,
            profile=request.profile,
            backend=backend,
            resumed=resumed,
        )
    )
    try:
        result = gate()
    except BaseException as error:
        kind, message = what_went_wrong(error)
        at_ns, duration_s = clock.stop()
        watch.told(
            GateEnded(
                run_id=run_id,
                at_ns=at_ns,
                model=model,
                duration_s=duration_s,
                outcome=GateOutcome.ERROR
                if isinstance(error, Exception)
                else GateOutcome.INTERRUPTED,
                error_kind=kind,
                error=message,
            )
        )
        raise
    at_ns, duration_s = clock.stop()
    watch.told(_ended(run_id, model, result, at_ns=at_ns, duration_s=duration_s))
    return result


def outcome_of(result: GateResult) -> GateOutcome:
    """Returns what became of a gate that came to its verdict."""
    verdict = GateOutcome(result.verdict.verdict.value)
    if result.not_promoted is not None:
        return GateOutcome.NOT_PROMOTED
    moved = result.promotion is not None and result.promotion.moved
    return GateOutcome.OVERRIDDEN if moved and verdict is not GateOutcome.PROMOTE else verdict


def _ended(
    run_id: str, model: str, result: GateResult, *, at_ns: int, duration_s: float
) -> GateEnded:
    counted = Counter((one.evaluator, one.status.value) for one in result.verdict.findings)
    return GateEnded(
        run_id=run_id,
        at_ns=at_ns,
        model=model,
        duration_s=duration_s,
        outcome=outcome_of(result),
        verdict=result.verdict.verdict.value,
        reused=result.reused,
        findings=dict(counted),
    )


class _Clock:
    """When something began, by the wall, and how long it took, by a clock nobody sets."""

    def __init__(self) -> None:
        self.began_ns, self._zero_ns = time.time_ns(), time.monotonic_ns()

    def stop(self) -> tuple[int, float]:
        """Returns when it ended, and the seconds it took."""
        elapsed_ns = time.monotonic_ns() - self._zero_ns
        return self.began_ns + elapsed_ns, elapsed_ns / 1e9
