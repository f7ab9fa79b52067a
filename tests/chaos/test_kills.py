"""The gate is killed, everywhere: nothing is left, nothing is half-done, and it goes on."""

import signal
from collections.abc import Mapping
from concurrent.futures import Future

import pytest

from tests.chaos import tally
from tests.chaos.kills import Kill

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = (
    "remove what dead gates left",
    "repair an interrupted promotion",
    "load the golden set",
    "check the golden set",
    "read production's alias",
    "pull and verify candidate 1.1.0",
    "pull and verify production 1.0.0",
    "look for a recorded verdict",
    "count the golden set's uses",
    "launch the engines",
    "wait for candidate's engine",
    "wait for production's engine",
    "ask candidate",
    "ask production",
    "time both, interleaved",
    "judge",
    "write the evidence",
    "record in MLflow",
    "move production",
)
EVENTS = (
    *("opened", "gathered", "verified", "measured", "judged", "sealed", "recorded", "promoting"),
    *("settled", "told", "finished"),
)
WRITES = range(1, 6)
"""A promotion's changes of the registry: intent, previous-production, production, tag, done."""
POLITE = (signal.SIGTERM, signal.SIGINT)
RANDOM = 14

AT_STEPS = [
    *(Kill(signal.SIGKILL, ("step", name, "before")) for name in STEPS),
    *(Kill(POLITE[n % 2], ("step", name, "after")) for n, name in enumerate(STEPS)),
    *(Kill(POLITE[n % 2 - 1], ("step", name, "before")) for n, name in enumerate(STEPS[9:15])),
]
AT_EVENTS = [Kill(signal.SIGKILL, ("event", state, "after")) for state in EVENTS]
AT_WRITES = [Kill(signal.SIGKILL, ("write", str(n), "after")) for n in WRITES]
AT_RANDOM = [
    Kill((signal.SIGKILL, *POLITE)[n % 3], seed=f"{tally.SEED}-{n}") for n in range(RANDOM)
]


@pytest.mark.parametrize("kill", [*AT_STEPS, *AT_EVENTS, *AT_WRITES, *AT_RANDOM], ids=str)
def test_a_killed_release_goes_on_and_ends_as_if_nothing_had_happened(
    survived: Mapping[Kill, Future[None]], kill: Kill
) -> None:
    survived[kill].result()
