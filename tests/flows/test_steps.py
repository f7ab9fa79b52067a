"""One step: its name is told, its time is kept, and only the world's failures are tried again."""

from collections.abc import Callable

import pytest

from assay.errors import ArtifactError, ConfigError, InfrastructureError
from flows.steps import PlainSteps


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.calls, self.failures, self.error = 0, failures, error

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


@pytest.fixture
def told() -> list[str]:
    return []


def steps(told: list[str]) -> PlainSteps:
    return PlainSteps(told.append, wait_s=0.001)


def test_a_step_is_told_done_and_timed(told: list[str]) -> None:
    one = steps(told)
    assert one.run("pull", lambda: 7) == 7
    assert told == ["pull"]
    assert one.timings_s["pull"] >= 0


def test_a_server_that_was_away_for_a_moment_is_asked_again(told: list[str]) -> None:
    action = Flaky(2, InfrastructureError("away"))
    assert steps(told).run("pull", action, retries=2) == "done"
    assert action.calls == 3
    assert told == ["pull", "pull: trying again", "pull: trying again"]


def test_a_server_that_stays_away_is_reported_as_it_was(told: list[str]) -> None:
    action = Flaky(9, InfrastructureError("away"))
    with pytest.raises(InfrastructureError, match="away"):
        steps(told).run("pull", action, retries=2)
    assert action.calls == 3


def test_without_retries_it_is_asked_once(told: list[str]) -> None:
    action = Flaky(1, InfrastructureError("away"))
    with pytest.raises(InfrastructureError):
        steps(told).run("move production", action)
    assert action.calls == 1


@pytest.mark.parametrize(
    "error", [ConfigError("edit"), ArtifactError("forged"), ValueError("bug"), KeyboardInterrupt()]
)
def test_what_will_not_mend_itself_is_never_tried_again(
    told: list[str], error: BaseException
) -> None:
    calls: list[int] = []

    def action() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        steps(told).run("pull", action, retries=5)
    assert len(calls) == 1


def test_a_step_that_fails_is_timed_too_and_times_of_a_name_add_up(told: list[str]) -> None:
    one = steps(told)
    with pytest.raises(ConfigError):
        one.run("pull", Flaky(1, ConfigError("edit")))
    first = one.timings_s["pull"]
    one.run("pull", _wait_a_moment())
    assert one.timings_s["pull"] >= first + 0.01


def _wait_a_moment() -> Callable[[], None]:
    import time

    return lambda: time.sleep(0.01)
