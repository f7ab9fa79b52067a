"""How the alias `production` moves: the same rules for every registry.

::

    repair ─▶ production is still what is expected?  no ─▶ refused
                yes ─▶ intent noted ─▶ previous-production ─▶ production ─▶ read back ─▶ confirmed

Decides when a move is refused, in which order things are written, and what a repeated call means.
A process killed at any point leaves `production` at the old or the new version and an intent that
was not confirmed; the next call, of whoever, repairs that first (`registry_moves`): a move that
happened is confirmed, one that did not is taken back. That only one process at a time is in here is
the registry's own care.
"""

from collections.abc import Callable
from typing import Protocol

from assay.adapters.registry_moves import (
    PREVIOUS,
    PRODUCTION,
    PROMOTED_BY,
    ROLLED_BACK,
    MoveTable,
    Moving,
    is_same,
    repair,
    say,
)
from assay.errors import ConfigError
from assay.records import (
    ArtifactRef,
    PromotionOutcome,
    RegisteredVersion,
    SettingsMove,
    WayBack,
)
from assay.warrant import Gatekeeper, Refusal, Warrant

__all__ = ["PREVIOUS", "PRODUCTION", "PROMOTED_BY", "ROLLED_BACK", "repair"]

CANDIDATE = "candidate"

SETTINGS = "assay.engine_settings"
"""Tag of a version: the engine settings that its latest promotion was judged with."""


class AliasTable(MoveTable, Protocol):
    """What a registry must be able to do for its aliases to be moved."""

    def registered(self, ref: ArtifactRef) -> RegisteredVersion | None:
        """Returns the registered version of an artifact, or None."""
        ...

    def called(self, model: str, version: str) -> RegisteredVersion | None:
        """Returns the registered version of this name, the latest of several; or None."""
        ...


def promote(
    table: AliasTable,
    ref: ArtifactRef,
    *,
    expected: ArtifactRef | None,
    gate_run: str,
    warrant: Warrant,
    gatekeeper: Gatekeeper,
    keep: Callable[[], None],
    settings: SettingsMove | None = None,
) -> PromotionOutcome:
    """Moves `production` to `ref`, unless it is no longer `expected` or the warrant does not hold.

    Where `ref` is in production already and only its engine settings were judged, these move.

    Args:
        table: where versions and aliases are kept.
        ref: the artifact that is to be in production.
        expected: the artifact that the verdict was computed against.
        gate_run: the registry's run of that verdict.
        warrant: what the promotion rests on.
        gatekeeper: whose signatures count.
        keep: stores the warrant with the gate's run; called right before anything moves.
        settings: the engine settings that move with it.

    Raises:
        ConfigError: `ref` is not registered.
        InfrastructureError: the alias does not read back as it was written.
    """
    target = table.registered(ref)
    if target is None:
        raise ConfigError(
            f"registry: {ref.model} {ref.version} ({ref.digest}) is not a registered version; "
            "run its gate first, which records it"
        )
    repair(table, ref.model)
    current = table.named(ref.model, PRODUCTION)
    refusal = gatekeeper.why_not(warrant, ref, expected)
    if current is not None and is_same(current, target):
        if refusal is not None and settings is not None:
            return _refused(refusal, current)
        return _settle(table, current, gate_run, settings) or _already(table, current, gate_run)
    if (current and current.digest) != (expected and expected.digest):
        return PromotionOutcome(
            moved=False,
            reason=f"production is now {say(current)}, but the verdict was computed against "
            f"{expected.version if expected else 'no production'}; run the gate again, which "
            "compares with what is in production now",
            production=current,
            previous=None,
        )
    rolled_back = table.tagged(target, ROLLED_BACK)
    if rolled_back is not None:
        return PromotionOutcome(
            moved=False,
            reason=f"{target.version} was in production and was moved back from ({rolled_back}); "
            "mend it and publish it as a new version",
            production=current,
            previous=None,
        )
    if refusal is not None:
        return _refused(refusal, current)
    keep()
    if settings is not None:
        table.tag(target, SETTINGS, settings.to)
    Moving(kind="promote", run=gate_run).move(table, current, target)
    return PromotionOutcome(
        moved=True,
        reason=f"production moved from {say(current)} to {target.version}",
        production=target,
        previous=current,
    )


def way_back(table: AliasTable, model: str, to_version: str | None) -> WayBack:
    """Returns where `production` may go back to: `previous-production`, or a version by name.

    Raises:
        ConfigError: there is nothing to move back from or to, or that version was moved back from
            itself.
    """
    current = table.named(model, PRODUCTION)
    if current is None:
        raise ConfigError(f"registry: {model} has no alias {PRODUCTION!r}; nothing to move back")
    if to_version is None:
        target = table.named(model, PREVIOUS)
        if target is None:
            raise ConfigError(
                f"registry: {model} has no alias {PREVIOUS!r}, so {current.version} is its first "
                "release; name the version to go back to (--to VERSION)"
            )
    else:
        target = table.called(model, to_version)
        if target is None:
            raise ConfigError(
                f"registry: {model} {to_version!r} is not a registered version; expected one that "
                "a gate has recorded; name another one"
            )
    rolled_back = table.tagged(target, ROLLED_BACK)
    if rolled_back is not None and not is_same(current, target):
        raise ConfigError(
            f"registry: {model} {target.version} was itself moved back from ({rolled_back}); "
            "expected a version that was not; name another one"
        )
    promoted_by = table.tagged(target, PROMOTED_BY)
    return WayBack(
        current=current,
        target=target,
        evidence_run=promoted_by or target.gate_run,
        was_production=promoted_by is not None,
    )


def move_back(
    table: AliasTable, way: WayBack, *, reason: str, who: str, run: str
) -> PromotionOutcome:
    """Moves `production` back to a target that was found by `way_back` and verified since.

    `previous-production` stays where it is, so moving back twice does not bring the bad version
    back. Refused (not moved) when `production` is no longer what it was then.

    Raises:
        InfrastructureError: the alias does not read back as it was written.
    """
    current, target = way.current, way.target
    repair(table, current.model)
    found = table.named(current.model, PRODUCTION)
    if found is not None and is_same(found, target):
        return PromotionOutcome(
            moved=False,
            reason=f"production already is {found.version}",
            production=found,
            previous=table.named(current.model, PREVIOUS),
        )
    if found is None or not is_same(found, current):
        return PromotionOutcome(
            moved=False,
            reason=f"production is now {say(found)}, and was {current.version} when this began; "
            "look at who moved it, then run the same command again",
            production=found,
            previous=None,
        )
    Moving(kind="move_back", run=run, who=who, why=reason).move(table, current, target)
    return PromotionOutcome(
        moved=True,
        reason=f"production moved back from {current.version} to {target.version}: {reason}",
        production=target,
        previous=current,
    )


def _settle(
    table: AliasTable, current: RegisteredVersion, gate_run: str, settings: SettingsMove | None
) -> PromotionOutcome | None:
    """Moves production's engine settings; None where they are not what is to be moved."""
    if settings is None or current.settings == settings.to:
        return None
    moved = current.settings == settings.expected
    if moved:
        table.tag(current, PROMOTED_BY, gate_run)
        table.tag(current, SETTINGS, settings.to)
        reason = f"production stays {current.version}; its engine settings are now those judged"
    else:
        reason = (
            f"production {current.version} is not recorded with the engine settings that the "
            "verdict was computed against; run the gate again, without --production-serving"
        )
    return PromotionOutcome(moved=moved, reason=reason, production=current, previous=None)


def _already(table: AliasTable, current: RegisteredVersion, gate_run: str) -> PromotionOutcome:
    """A repeated call, after an answer that was lost, has moved; any other has nothing to move."""
    previous = table.named(current.model, PREVIOUS)
    if table.tagged(current, PROMOTED_BY) == gate_run:
        return PromotionOutcome(
            moved=True,
            reason=f"production moved from {say(previous)} to {current.version}",
            production=current,
            previous=previous,
        )
    return PromotionOutcome(
        moved=False,
        reason=f"production already is {current.version}; nothing is left to move",
        production=current,
        previous=previous,
    )


def _refused(refusal: Refusal, current: RegisteredVersion | None) -> PromotionOutcome:
    return PromotionOutcome(
        moved=False, reason=refusal.reason, production=current, previous=None, waits=refusal.waits
    )
