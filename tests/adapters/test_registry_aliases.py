"""Moving aliases: what a process killed at any point leaves behind, and what others may do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.adapters.in_memory_registry import InMemoryRegistry
from assay.adapters.registry_aliases import CANDIDATE, PREVIOUS, PRODUCTION
from assay.adapters.registry_moves import PROMOTED_BY, ROLLED_BACK, latest_move
from assay.errors import InfrastructureError
from assay.records import PromotionOutcome, RegisteredVersion
from tests.registry_rig import GATEKEEPER, MODEL, gate, ref, warrant


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Mortal(InMemoryRegistry):
    """Dies before its `lives`-th write."""

    lives = 10**6

    def _spend(self) -> None:
        if self.lives == 0:
            raise Killed
        self.lives -= 1

    def point(self, model: str, alias: str, number: str | None) -> None:
        self._spend()
        super().point(model, alias, number)

    def note(self, model: str, key: str, value: str) -> None:
        self._spend()
        super().note(model, key, value)

    def tag(self, version: RegisteredVersion, key: str, value: str) -> None:
        self._spend()
        super().tag(version, key, value)


class Contested(InMemoryRegistry):
    """Somebody else sets `production` right after us, by hand."""

    rival: str | None = None

    def point(self, model: str, alias: str, number: str | None) -> None:
        won = alias == PRODUCTION and self.rival is not None
        super().point(model, alias, self.rival if won and self.rival else number)


def with_production(registry: InMemoryRegistry, folder: Path) -> str:
    """Puts 1.0.0 into production, records a gate of 1.1.0, returns that gate's run."""
    first = registry.record(gate(folder, "1.0.0", run_id="first"))
    registry.promote(
        ref("1.0.0"), expected=None, gate_run=first, warrant=warrant(folder, ref("1.0.0"))
    )
    return registry.record(gate(folder, "1.1.0", against=ref("1.0.0"), run_id="second"))


WRITES = 6
"""Intent, previous-production, production, who promoted it, the model's history, done."""


def aliases(registry: InMemoryRegistry) -> dict[str, str | None]:
    names = {alias: registry.named(MODEL, alias) for alias in (PRODUCTION, PREVIOUS, CANDIDATE)}
    return {alias: found and found.version for alias, found in names.items()}


def killed_after(registry: Mortal, writes: int, action: Callable[[], object]) -> bool:
    registry.lives = writes
    try:
        action()
    except Killed:
        return True
    finally:
        registry.lives = 10**6
    return False


@pytest.mark.parametrize("writes", range(WRITES + 1))
def test_a_promotion_killed_at_any_write_is_finished_by_the_same_call(
    tmp_path: Path, writes: int
) -> None:
    registry = Mortal(GATEKEEPER)
    run = with_production(registry, tmp_path)

    def promote() -> PromotionOutcome:
        return registry.promote(
            ref("1.1.0"),
            expected=ref("1.0.0"),
            gate_run=run,
            warrant=warrant(tmp_path, ref("1.1.0")),
        )

    assert killed_after(registry, writes, promote) == (writes < WRITES)
    held = registry.production(MODEL)
    assert held is not None
    assert held.version == ("1.0.0" if writes < 3 else "1.1.0")
    assert promote().moved
    assert aliases(registry) == {PRODUCTION: "1.1.0", PREVIOUS: "1.0.0", CANDIDATE: "1.1.0"}


@pytest.mark.parametrize("writes", range(WRITES + 1))
def test_a_promotion_killed_at_any_write_is_repaired_by_whoever_comes_next(
    tmp_path: Path, writes: int
) -> None:
    registry = Mortal(GATEKEEPER)
    run = with_production(registry, tmp_path)
    killed_after(
        registry,
        writes,
        lambda: registry.promote(
            ref("1.1.0"),
            expected=ref("1.0.0"),
            gate_run=run,
            warrant=warrant(tmp_path, ref("1.1.0")),
        ),
    )
    said = registry.repair(MODEL)
    move = latest_move(registry, MODEL)
    moved = writes >= 3
    assert aliases(registry)[PRODUCTION] == ("1.1.0" if moved else "1.0.0")
    assert aliases(registry)[PREVIOUS] == ("1.0.0" if moved else None)
    assert (said is None) == (writes in (0, WRITES))
    assert move is not None
    if 0 < writes < 3:
        assert move.state == "taken_back"
    elif moved:
        assert move.state == "done"
        target = registry.registered(ref("1.1.0"))
        assert target is not None
        assert registry.tagged(target, PROMOTED_BY) == run
    assert registry.repair(MODEL) is None


@pytest.mark.parametrize("writes", range(5))
def test_a_move_back_killed_at_any_write_leaves_who_and_why_or_nothing(
    tmp_path: Path, writes: int
) -> None:
    registry = Mortal(GATEKEEPER)
    run = with_production(registry, tmp_path)
    registry.promote(
        ref("1.1.0"), expected=ref("1.0.0"), gate_run=run, warrant=warrant(tmp_path, ref("1.1.0"))
    )
    way = registry.way_back(MODEL, None)
    killed_after(
        registry, writes, lambda: registry.move_back(way, reason="slow", who="ada", run="b")
    )
    registry.repair(MODEL)
    moved = writes >= 2
    assert aliases(registry)[PRODUCTION] == ("1.0.0" if moved else "1.1.0")
    assert registry.tagged(way.current, ROLLED_BACK) == ("ada: slow" if moved else None)


def test_a_move_that_somebody_overtook_by_hand_is_left_as_it_is(tmp_path: Path) -> None:
    registry = Mortal(GATEKEEPER)
    run = with_production(registry, tmp_path)
    killed_after(
        registry,
        1,
        lambda: registry.promote(
            ref("1.1.0"),
            expected=ref("1.0.0"),
            gate_run=run,
            warrant=warrant(tmp_path, ref("1.1.0")),
        ),
    )
    registry.record(gate(tmp_path, "1.2.0", against=ref("1.0.0"), run_id="third"))
    other = registry.registered(ref("1.2.0"))
    assert other is not None
    registry.point(MODEL, PRODUCTION, other.number)
    said = registry.repair(MODEL)
    assert said is not None
    assert "overtaken: production is 1.2.0" in said
    assert aliases(registry)[PRODUCTION] == "1.2.0"


def test_an_alias_that_does_not_read_back_is_an_error_and_no_promotion(tmp_path: Path) -> None:
    registry = Contested(GATEKEEPER)
    run = with_production(registry, tmp_path)
    registry.rival = "1"
    with pytest.raises(InfrastructureError, match=r"reads back as 1\.0\.0"):
        registry.promote(
            ref("1.1.0"),
            expected=ref("1.0.0"),
            gate_run=run,
            warrant=warrant(tmp_path, ref("1.1.0")),
        )
