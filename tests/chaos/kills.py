"""One kill of a gate, and everything that must hold afterwards.

What a resumed run must have in common with an undisturbed one is its whole verdict document
(verdict, findings with every number, inputs, metrics, seed, engine, problems) but for the run's
id, its times (also those of the candidate's answers, hence their digest), and the notes, which say
that answers were taken from before.
"""

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

from tests.chaos import tally
from tests.chaos.machine import BETTER, PRODUCTION, Ended, Machine
from tests.chaos.warm_gate import Moment

INTERRUPTED = 130
DEADLY = {signal.SIGKILL: "SIGKILL", signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: a signal, at a moment or (None) at a random time that follows from a seed."""

    number: signal.Signals
    moment: Moment | None = None
    seed: str = ""

    def __str__(self) -> str:
        if self.moment is None:
            return f"{DEADLY[self.number]} at random, {self.seed}"
        kind, which, when = self.moment
        where = f"{when} {kind} {which}"
        return f"{DEADLY[self.number]} {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A machine, and how an undisturbed release goes on it."""

    machine: Machine
    verdict: dict[str, Any]
    seconds: float

    @classmethod
    def of(cls, machine: Machine) -> Self:
        """Does one release without any disturbance."""
        machine.restore()
        began = time.monotonic()
        ended = machine.run(*machine.gate(BETTER))
        seconds = time.monotonic() - began
        assert ended.status == 0, ended.said
        assert machine.check_alias() == BETTER
        assert machine.leftovers() == []
        assert set(machine.questions().values()) == {1}
        return cls(machine=machine, verdict=machine.verdict(machine.runs()[-1]), seconds=seconds)


def survive(lane: Lane, kill: Kill) -> None:
    """Kills a gate, looks at what is left, goes on, and looks again."""
    machine = lane.machine
    machine.restore()
    paid_before = machine.stored()
    ended = do(lane, kill)
    alias = machine.check_alias()
    assert alias in (PRODUCTION, BETTER)
    if ended.status == INTERRUPTED:
        left = machine.leftovers()
        assert left == [], f"{left}\n{ended.said}"
    runs = machine.runs()
    run = runs[-1] if runs and machine.states(runs[-1]) else None
    paid = machine.stored() - paid_before
    asked = machine.questions()

    resumed = machine.run(*(machine.gate(BETTER) if run is None else ("gate", "--resume", run)))
    assert resumed.status == 0, f"{kill}\n{ended.said}\n--- resumed ---\n{resumed.said}"
    left = machine.leftovers()
    assert left == [], f"{left}\n{resumed.said}"
    assert machine.check_alias() == BETTER
    run = machine.runs()[-1]
    differing = [
        name for name, value in machine.verdict(run).items() if value != lane.verdict[name]
    ]
    assert differing == [], [(machine.verdict(run)[name], lane.verdict[name]) for name in differing]
    assert machine.states(run)[-1] == "finished"
    check_nothing_is_asked_again(machine.questions() - asked, paid)


def do(lane: Lane, kill: Kill) -> Ended:
    """Starts a release and kills it; a random kill may come too soon or too late."""
    machine = lane.machine
    if kill.moment is not None:
        running = machine.start(*machine.gate(BETTER), moments=[(kill.moment, kill.number)])
        ended = running.end()
        assert ended.status != 0, f"{kill}: the gate never came by this moment\n{ended.said}"
    else:
        running = machine.start(*machine.gate(BETTER))
        time.sleep(random.Random(kill.seed).uniform(0, lane.seconds))
        running.signal(kill.number)
        ended = running.end()
    expected = -signal.SIGKILL if kill.number == signal.SIGKILL else INTERRUPTED
    missed = kill.moment is None and ended.status in (0, -kill.number) and not at_work(machine)
    assert missed or ended.status == expected, f"{kill}: {ended.status}\n{ended.said}"
    assert "Traceback" not in ended.said, ended.said
    tally.kill(DEADLY[kill.number])
    return ended


def at_work(machine: Machine) -> bool:
    """Whether the last gate has begun and not finished."""
    states = [machine.states(run) for run in machine.runs()[-1:]]
    return any(one[-1:] != ["finished"] for one in states)


def check_nothing_is_asked_again(
    asked: Counter[tuple[str, str]], paid: set[tuple[str, str]]
) -> None:
    """No case whose answer was on the disk is asked again, and production's were all there."""
    answered = {case for _, case in paid}
    again = [(model, case) for model, case in asked if model != "b" or case in answered]
    assert again == []
