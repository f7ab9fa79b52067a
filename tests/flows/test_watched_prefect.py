"""A gate whose steps are Prefect tasks is watched like any other."""

import pytest

from assay.adapters.in_memory_watch import InMemoryWatch
from assay.errors import InfrastructureError
from assay.gate_events import StepBegun, StepEnded, StepOutcome
from flows.watched import WatchedSteps


@pytest.mark.prefect_server
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_api")
def test_tasks_within_tasks_are_told_in_order_with_their_retries() -> None:
    from prefect import flow

    from flows.gate_release import PrefectSteps

    watch, failures = InMemoryWatch(), [InfrastructureError("away for a moment")]

    def flaky() -> str:
        if failures:
            raise failures.pop()
        return "answered"

    @flow
    def gate() -> str:
        steps = WatchedSteps(PrefectSteps(expected=2), watch, "run-1")
        return steps.run("outer", lambda: steps.run("inner 1.0.0", flaky, retries=1))

    assert gate() == "answered"
    told = [(type(event), event.name) for event in watch.events]  # type: ignore[union-attr]
    assert told == [
        (StepBegun, "outer"),
        (StepBegun, "inner 1.0.0"),
        (StepEnded, "inner 1.0.0"),
        (StepEnded, "outer"),
    ]
    inner = watch.events[2]
    assert isinstance(inner, StepEnded)
    assert (inner.outcome, inner.attempts) == (StepOutcome.OK, 2)
