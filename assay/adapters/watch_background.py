"""Tells a watch in the background, so that nothing it talks to can delay or change a gate.

Decides that a gate waits for no collector: an event is put in a queue and handled by a thread of
its own, whatever goes wrong there is said once and forgotten, and the end of the process waits for
it no longer than `linger_s`. What is done with the events is the inner watch's.
"""

import atexit
import logging
import queue
import threading
from collections.abc import Callable

from assay.gate_events import GateBegun, GateEnded, GateEvent
from assay.ports import GateWatch

LINGER_S = 3.0
"""How long a process that is done waits for its telemetry: after the verdict, never before it."""

_log = logging.getLogger(__name__)


class BackgroundWatch:
    """One thread a gate: from its beginning to its end, or to the end of the process.

    Args:
        name: what is exported, for the log.
        make: makes the inner watch, in the thread, because its libraries take long to import.
        linger_s: how long `close` waits.
    """

    def __init__(
        self, name: str, make: Callable[[], GateWatch], *, linger_s: float = LINGER_S
    ) -> None:
        self._name, self._make, self._linger_s = name, make, linger_s
        self._events: queue.SimpleQueue[GateEvent | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def told(self, event: GateEvent) -> None:
        """Hands the event over and returns at once."""
        if isinstance(event, GateBegun):
            self._events = queue.SimpleQueue()
            self._thread = threading.Thread(
                target=self._run, args=(self._events,), name=f"watch-{self._name}", daemon=True
            )
            self._thread.start()
        self._events.put(event)

    def close(self) -> None:
        """Waits until all is told, as long as it may."""
        atexit.unregister(self.close)
        thread, self._thread = self._thread, None
        if thread is None or not thread.is_alive():
            return
        self._events.put(None)
        thread.join(self._linger_s)
        if thread.is_alive():
            _log.warning(
                "%s: not all was sent within %g s, and the rest is dropped; look at the server "
                "that it goes to",
                self._name,
                self._linger_s,
            )

    def _run(self, events: "queue.SimpleQueue[GateEvent | None]") -> None:
        try:
            self._tell(self._make(), events)
        except Exception as error:  # a broken exporter must not touch the gate
            _log.warning(
                "%s: %s: %s; the gate goes on without it", self._name, type(error).__name__, error
            )

    def _tell(self, watch: GateWatch, events: "queue.SimpleQueue[GateEvent | None]") -> None:
        try:
            while (event := events.get()) is not None:
                watch.told(event)
                if isinstance(event, GateEnded):
                    return
        finally:
            watch.close()
