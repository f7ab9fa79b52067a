"""Tells a server that is gone from one that fails now and then.

Decides when to stop asking; without it, a dead engine would cost every question all its retries.
"""

from assay.adapters.chat_wire import Failure, Reply
from assay.errors import InfrastructureError
from assay.ports import AskLimits
from assay.records import Endpoint

GONE_AFTER = 8
"""Questions in a row, all attempts of which went unheard, after which the server is gone."""


class Pulse:
    """Watches the outcomes of one server's requests, in the order in which they end."""

    def __init__(self, endpoint: Endpoint, limits: AskLimits, questions: int) -> None:
        self._where = f"{endpoint.uds or endpoint.base_url} (model {endpoint.model!r})"
        self._answered = False
        self._given_up = 0
        self._timeouts = 0
        self._patience = min(GONE_AFTER, questions)
        # A stalled engine holds every slot: all of them waiting in vain twice over is no accident.
        self._most_timeouts = max(GONE_AFTER, 2 * limits.concurrency)
        self._timeout_s = limits.request_timeout_s

    def beat(self, outcome: Reply | Failure) -> None:
        """Notes how one request ended.

        Raises:
            InfrastructureError: the server has stopped answering, or refuses the gate.
        """
        if isinstance(outcome, Reply):
            self._answered = True
            self._given_up = self._timeouts = 0
        elif outcome.refused and not self._answered:
            raise InfrastructureError(
                f"{self._where}: refuses every question with HTTP {outcome.status}; expected 200; "
                "check the address, the API key and the model's name"
            )
        elif not outcome.unheard:
            self._given_up = self._timeouts = 0
        elif outcome.kind == "timeout":
            self._timeouts += 1
            if self._timeouts >= self._most_timeouts:
                self._raise_gone(f"requests in a row that timed out: {self._timeouts}")

    def gave_up(self, outcome: Failure) -> None:
        """Notes that a question has used up its attempts.

        Raises:
            InfrastructureError: so have all of the last several; the server is gone.
        """
        if outcome.unheard:
            self._given_up += 1
            if self._given_up >= self._patience:
                self._raise_gone(
                    f"questions in a row without an answer: {self._given_up} ({outcome.kind})"
                )

    def _raise_gone(self, found: str) -> None:
        raise InfrastructureError(
            f"{self._where}: the server went away: {found} (limit {self._timeout_s:g} s a request);"
            " expected answers; look at the end of the engine's log, start it again and run the "
            "same command: answers already stored are kept"
        )
