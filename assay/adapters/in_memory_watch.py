"""Watches that keep what they are told, pass it on to several, or do nothing with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.gate_events import GateEvent
from assay.ports import GateWatch


@dataclass(slots=True)
class InMemoryWatch:
    """Keeps every event, in order."""

    events: list[GateEvent] = field(default_factory=list)
    is_closed: bool = False

    def told(self, event: GateEvent) -> None:
        """Keeps the event."""
        self.events.append(event)

    def close(self) -> None:
        """Takes note that no more will come."""
        self.is_closed = True


@dataclass(frozen=True, slots=True)
class Watches:
    """Tells several watches, one after the other; with none, nobody."""

    watches: Sequence[GateWatch] = ()

    def told(self, event: GateEvent) -> None:
        """Passes the event on."""
        for watch in self.watches:
            watch.told(event)

    def close(self) -> None:
        """Closes all of them."""
        for watch in self.watches:
            watch.close()
