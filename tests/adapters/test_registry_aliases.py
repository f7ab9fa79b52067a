"""Moving aliases: what a process killed at any point leaves behind, and what others may do."""

from pathlib import Path

import pytest

from assay.adapters.in_memory_registry import InMemoryRegistry
from assay.adapters.registry_aliases import CANDIDATE, PREVIOUS, PRODUCTION
from assay.errors import InfrastructureError
from assay.records import RegisteredVersion
from tests.registry_rig import MODEL, gate, ref


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Mortal(InMemoryRegistry):
    """Dies before its `lives`-th write."""

    lives = 10**6

    def _spend(self) -> None:
        if self.lives == 0:
            raise Killed
        self.lives -= 1

    def point(self, model: str, alias: str, number: str) -> None:
        self._spend()
        super().point(model, alias, number)

    def tag(self, version: RegisteredVersion, key: str, value: str) -> None:
        self._spend()
        super().tag(version, key, value)


class Contested(InMemoryRegistry):
    """Somebody else sets `production` right after us, by hand."""

    rival: str | None = None

    def point(self, model: str, alias: str, number: str) -> None:
        won = alias == PRODUCTION and self.rival is not None
        super().point(model, alias, self.rival if won and self.rival else number)


def with_production(registry: InMemoryRegistry, folder: Path) -> str:
    """Puts 1.0.0 into production, records a gate of 1.1.0, returns that gate's run."""
    first = registry.record(gate(folder, "1.0.0", run_id="first"))
    registry.promote(ref("1.0.0"), expected=None, gate_run=first)
    return registry.record(gate(folder, "1.1.0", against=ref("1.0.0"), run_id="second"))


@pytest.mark.parametrize("writes", range(4))
def test_a_promotion_killed_at_any_write_is_finished_by_the_same_call(
    tmp_path: Path, writes: int
) -> None:
    registry = Mortal()
    run = with_production(registry, tmp_path)
    registry.lives = writes
    killed = False
    try:
        registry.promote(ref("1.1.0"), expected=ref("1.0.0"), gate_run=run)
    except Killed:
        killed = True
    assert killed == (writes < 3)
    registry.lives = 10**6
    held = registry.production(MODEL)
    assert held is not None
    assert held.version == ("1.0.0" if killed else "1.1.0")
    outcome = registry.promote(ref("1.1.0"), expected=ref("1.0.0"), gate_run=run)
    assert outcome.moved
    names = {alias: registry.named(MODEL, alias) for alias in (PRODUCTION, PREVIOUS, CANDIDATE)}
    versions = {alias: found and found.version for alias, found in names.items()}
    assert versions == {PRODUCTION: "1.1.0", PREVIOUS: "1.0.0", CANDIDATE: "1.1.0"}


def test_an_alias_that_does_not_read_back_is_an_error_and_no_promotion(tmp_path: Path) -> None:
    registry = Contested()
    run = with_production(registry, tmp_path)
    registry.rival = "1"
    with pytest.raises(InfrastructureError, match=r"reads back as 1\.0\.0"):
        registry.promote(ref("1.1.0"), expected=ref("1.0.0"), gate_run=run)
