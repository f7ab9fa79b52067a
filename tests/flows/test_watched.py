"""What a gate tells its watch, and that telling changes nothing about the gate."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from assay.adapters.in_memory_watch import InMemoryWatch
from assay.errors import ArtifactError, InfrastructureError
from assay.gate_events import (
    GateBegun,
    GateEnded,
    GateOutcome,
    StepBegun,
    StepEnded,
    StepOutcome,
    step_kind,
)
from flows.steps import PlainSteps
from flows.watched import WatchedSteps
from tests.gate_rig import MODEL, Rig, make_rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return make_rig(tmp_path)


def events(rig: Rig) -> list[object]:
    assert isinstance(rig.watch, InMemoryWatch)
    return list(rig.watch.events)


def ended(rig: Rig) -> GateEnded:
    last = events(rig)[-1]
    assert isinstance(last, GateEnded)
    return last


def test_a_gate_tells_its_beginning_every_step_and_its_verdict(rig: Rig) -> None:
    result = rig.gate("1.0.0")
    told = events(rig)
    begun, steps = told[0], [one.name for one in told if isinstance(one, StepEnded)]
    assert isinstance(begun, GateBegun)
    assert (begun.model, begun.version, begun.backend, begun.resumed) == (
        MODEL,
        "1.0.0",
        "docker",
        False,
    )
    assert {one.run_id for one in told} == {result.verdict.context.run_id}  # type: ignore[attr-defined]
    assert "pull and verify candidate 1.0.0" in steps
    assert {"ask candidate", "judge", "write the evidence", "move production"} <= set(steps)
    assert ended(rig).outcome is GateOutcome.PROMOTE
    assert sum(ended(rig).findings.values()) == len(result.verdict.findings) > 0


def test_steps_lie_within_the_gate_and_within_each_other(rig: Rig) -> None:
    rig.gate("1.0.0")
    open_steps: list[StepBegun] = []
    for event in events(rig)[1:-1]:
        if isinstance(event, StepBegun):
            open_steps.append(event)
        else:
            assert isinstance(event, StepEnded)
            begun = open_steps.pop()
            assert begun.name == event.name
            assert event.at_ns - begun.at_ns == pytest.approx(event.duration_s * 1e9, abs=1e3)
    assert open_steps == []


def test_a_block_is_an_outcome_and_no_trouble_of_the_gate(rig: Rig) -> None:
    rig.gate("1.0.0")
    rig.gate("1.2.0")
    assert ended(rig).outcome is GateOutcome.BLOCK
    assert not ended(rig).outcome.is_trouble
    assert ended(rig).findings[("emotion_f1", "failed")] >= 1


def test_what_kept_the_gate_from_measuring_is_trouble(rig: Rig) -> None:
    rig.gate("1.0.0", first="refuse")
    assert ended(rig).outcome is GateOutcome.INVALID
    assert ended(rig).outcome.is_trouble


def test_a_gate_that_is_interrupted_says_so_and_a_resumed_one_is_called_resumed(rig: Rig) -> None:
    rig.interrupt_at = ("judge", False)
    with pytest.raises(KeyboardInterrupt):
        rig.gate("1.0.0")
    assert ended(rig).outcome is GateOutcome.INTERRUPTED
    assert ended(rig).verdict is None
    judged = [one for one in events(rig) if isinstance(one, StepEnded)][-1]
    assert (judged.name, judged.outcome) == ("judge", StepOutcome.INTERRUPTED)
    rig.interrupt_at = None
    rig.resume()
    begun = [one for one in events(rig) if isinstance(one, GateBegun)]
    assert [one.resumed for one in begun] == [False, True]
    assert begun[0].run_id == begun[1].run_id
    assert ended(rig).outcome is GateOutcome.PROMOTE


def test_a_verdict_returned_again_is_called_reused(rig: Rig) -> None:
    rig.gate("1.0.0")
    rig.gate("1.1.0")
    rig.gate("1.2.0")
    assert not ended(rig).reused
    rig.gate("1.2.0")
    assert ended(rig).reused


def raising(*errors: Exception) -> Callable[[], str]:
    """Returns an action that raises each of these once, and then succeeds."""
    waiting = list(errors)

    def act() -> str:
        if waiting:
            raise waiting.pop(0)
        return "done"

    return act


def last_step(action: Callable[[], str], *, retries: int = 0) -> StepEnded:
    watch = InMemoryWatch()
    steps = WatchedSteps(PlainSteps(lambda line: None, wait_s=0.001), watch, "run")
    with suppress(ArtifactError, InfrastructureError, ValueError):
        steps.run("step", action, retries=retries)
    event = watch.events[-1]
    assert isinstance(event, StepEnded)
    return event


def test_a_step_tells_how_often_it_was_tried() -> None:
    event = last_step(raising(InfrastructureError("away")), retries=2)
    assert (event.outcome, event.attempts, event.error) == (StepOutcome.OK, 2, None)


def test_a_rejected_artifact_is_no_error_of_the_step() -> None:
    event = last_step(raising(ArtifactError("not what was signed")))
    assert (event.outcome, event.error_kind) == (StepOutcome.REJECTED, "ArtifactError")
    assert event.error == "not what was signed"


def test_of_an_error_that_is_not_ours_only_the_kind_is_told() -> None:
    event = last_step(raising(ValueError("secret text joy 3")))
    assert (event.outcome, event.error_kind, event.error) == (
        StepOutcome.ERROR,
        "ValueError",
        None,
    )


def test_steps_of_two_versions_are_of_one_kind() -> None:
    assert step_kind("pull and verify candidate 1.2.0rc1") == "pull and verify candidate"
    assert step_kind("ask production") == "ask production"
