"""How the alias `production` moves: the same rules for every registry.

::

    promote   production is still what the verdict was computed against?  no ─▶ refused
                 yes ─▶ note the intent ─▶ previous-production ─▶ production ─▶ read back

Decides when a move is refused, in which order things are written, and what a repeated call means:
the order is such that a process killed at any point leaves `production` at the old or the new
version, and that the same call made again finishes the move instead of undoing it. That only one
process at a time is in here is the registry's own care.
"""

from typing import Protocol

from assay.errors import ConfigError, InfrastructureError
from assay.records import ArtifactRef, PromotionOutcome, RegisteredVersion, SettingsMove

PRODUCTION = "production"
PREVIOUS = "previous-production"
CANDIDATE = "candidate"

PROMOTED_BY = "assay.promoted_by"
"""Tag of a version: the gate run that moved, or was about to move, `production` to it."""

SETTINGS = "assay.engine_settings"
"""Tag of a version: the engine settings that its latest promotion was judged with."""

ROLLED_BACK = "assay.rolled_back"
"""Tag of a version: who moved `production` away from it, and why."""


class AliasTable(Protocol):
    """What a registry must be able to do for its aliases to be moved."""

    def named(self, model: str, alias: str) -> RegisteredVersion | None:
        """Returns the version an alias names, or None where there is no such alias."""
        ...

    def registered(self, ref: ArtifactRef) -> RegisteredVersion | None:
        """Returns the registered version of an artifact, or None."""
        ...

    def point(self, model: str, alias: str, number: str) -> None:
        """Makes an alias name a version."""
        ...

    def tag(self, version: RegisteredVersion, key: str, value: str) -> None:
        """Sets a tag of a version."""
        ...

    def tagged(self, version: RegisteredVersion, key: str) -> str | None:
        """Returns a tag of a version, or None."""
        ...


def promote(
    table: AliasTable,
    ref: ArtifactRef,
    *,
    expected: ArtifactRef | None,
    gate_run: str,
    settings: SettingsMove | None = None,
) -> PromotionOutcome:
    """Moves `production` to `ref`, unless it is no longer `expected`.

    Where `ref` is in production already and only its engine settings were judged, these move.

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
    current = table.named(ref.model, PRODUCTION)
    if current is not None and _is(current, target):
        return _settle(table, current, gate_run, settings) or _already(table, current, gate_run)
    if (current and current.digest) != (expected and expected.digest):
        return PromotionOutcome(
            moved=False,
            reason=f"production is now {_say(current)}, but the verdict was computed against "
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
    table.tag(target, PROMOTED_BY, gate_run)
    if settings is not None:
        table.tag(target, SETTINGS, settings.to)
    _move(table, current, target)
    return PromotionOutcome(
        moved=True,
        reason=f"production moved from {_say(current)} to {target.version}",
        production=target,
        previous=current,
    )


def move_back(
    table: AliasTable, model: str, to_version: str | None, *, reason: str, who: str
) -> PromotionOutcome:
    """Moves `production` back to what `previous-production` names, which stays where it is.

    So moving back twice does not bring the bad version back. `to_version` only makes sure: anything
    but the previous version has to pass a gate.

    Raises:
        ConfigError: there is nothing to move back from or to.
        InfrastructureError: the alias does not read back as it was written.
    """
    current = table.named(model, PRODUCTION)
    target = table.named(model, PREVIOUS)
    if current is None:
        raise ConfigError(f"registry: {model} has no alias {PRODUCTION!r}; nothing to move back")
    if target is None or (to_version is not None and target.version != to_version):
        raise ConfigError(
            f"registry: {model} can move back to {_say(target)} only, which the alias {PREVIOUS!r} "
            f"names; expected that version, found {to_version!r}; to promote another one, gate it"
        )
    if _is(current, target):
        return PromotionOutcome(
            moved=False,
            reason=f"production already is {current.version}",
            production=current,
            previous=target,
        )
    table.tag(current, ROLLED_BACK, f"{who}: {reason}")
    _move(table, None, target)
    return PromotionOutcome(
        moved=True,
        reason=f"production moved back from {current.version} to {target.version}: {reason}",
        production=target,
        previous=current,
    )


def _move(table: AliasTable, leaving: RegisteredVersion | None, target: RegisteredVersion) -> None:
    """Writes `previous-production` first: were `production` first, a kill would lose the way back.

    Read back at the end, since registries have no compare-and-set and the last writer wins.
    """
    if leaving is not None:
        table.point(target.model, PREVIOUS, leaving.number)
    table.point(target.model, PRODUCTION, target.number)
    after = table.named(target.model, PRODUCTION)
    if after is None or not _is(after, target):
        raise InfrastructureError(
            f"registry: the alias {PRODUCTION!r} of {target.model} was set to {target.version} but "
            f"reads back as {_say(after)}; something else moves it at the same time: find out "
            "what, then run the same command again"
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
            reason=f"production moved from {_say(previous)} to {current.version}",
            production=current,
            previous=previous,
        )
    return PromotionOutcome(
        moved=False,
        reason=f"production already is {current.version}; nothing is left to move",
        production=current,
        previous=previous,
    )


def _is(one: RegisteredVersion, other: RegisteredVersion) -> bool:
    """Whether both are the same artifact; a registry may hold one under two numbers."""
    return (one.digest, one.version) == (other.digest, other.version)


def _say(version: RegisteredVersion | None) -> str:
    return "nothing" if version is None else version.version
