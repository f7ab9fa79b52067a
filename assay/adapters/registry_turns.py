"""One gate of a model at a time: a lock of this machine's file, or a lease on a tracking server.

::

    create "Gate of <model>" ──taken──▶ watch its token and its beat ──▶ holder dead, or silent for
          │ mine                                    ▲      │              STALE_S: take it over
          ▼                                         └──────┘ tell, wait
    beat every BEAT_S ── … ──▶ still mine? (asked before a promotion) ──▶ delete

On a database file, a lock beside it is enough, and the kernel frees it whatever becomes of the
holder. On a server, MLflow offers one thing that only one caller can do: create a registered model
of a given name. The holder renews a tag of it; whoever waits measures the silence by a clock of its
own, so no two clocks have to agree. Where holder and waiter share a machine, a dead holder is seen
at once.

Limits, on purpose: a holder that is stopped for longer than `STALE_S` loses its turn without
noticing, and two waiters that take over at the same instant are kept apart by `registry_claim`, a
second such lock. Neither can move an alias wrongly: a promotion asks `still_held` and then compares
what is in production with what the verdict was computed against. The turn saves work; it is not
what makes promotion safe.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from assay.adapters import registry_claim, server_owner
from assay.adapters.registry_connection import MlflowConnection
from assay.errors import AssayError, InfrastructureError
from assay.ports import Progress

if TYPE_CHECKING:
    from mlflow import MlflowClient

BEAT_S = 10.0
STALE_S = 60.0
_POLL_S = 1.0
_BLIND_S = 10.0
"""A look that took longer than this says nothing about silence: the server may have been away."""
_TOKEN = "assay.turn"  # noqa: S105 - a tag's name
_BEAT = "assay.turn_beat"


class MlflowTurns:
    """Whose turn it is to gate a model, for one registry.

    Args:
        connection: the way to MLflow.
        beat_s, stale_s: how often the holder renews, and how long a silence means that it is gone.
    """

    def __init__(
        self, connection: MlflowConnection, *, beat_s: float = BEAT_S, stale_s: float = STALE_S
    ) -> None:
        self._mlflow = connection
        self._beat_s, self._stale_s = beat_s, stale_s
        self._held: dict[str, str] = {}

    @contextmanager
    def turn(self, model: str, run_id: str, progress: Progress) -> Iterator[None]:
        """Holds the turn for the length of the block (see `Registry.turn`)."""
        database = self._mlflow.database
        if database is not None:
            database.parent.mkdir(parents=True, exist_ok=True)
            with _file_turn(
                FileLock(f"{database}.gate-{model}.lock", thread_local=False), model, progress
            ):
                yield
            return
        token = f"{server_owner.this_process()}/{run_id}/{secrets.token_hex(8)}"
        with self._mlflow.reaching():
            self._acquire(model, token, progress)
        self._held[model] = token
        ended = threading.Event()
        beating = threading.Thread(target=self._keep, args=(model, token, ended), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join(self._beat_s)
            del self._held[model]
            with suppress(AssayError), self._mlflow.reaching():
                _delete(self._mlflow.client, model, token)

    def still_held(self, model: str) -> None:
        """Makes sure that a turn this process took is still its own; others need none.

        Raises:
            InfrastructureError: somebody took it over.
        """
        token = self._held.get(model)
        if token is None:
            return
        found = _look(self._mlflow.client, model)[0]
        if found != token:
            raise InfrastructureError(
                f"MLflow: this gate of {model} was taken for dead and its turn given to "
                f"{_say(found)}; wait for that one, then continue with --resume"
            )

    def _acquire(self, model: str, token: str, progress: Progress) -> None:
        client = self._mlflow.client
        seen: tuple[str, str] = ("", "")
        since = looked = time.monotonic()
        told = ""
        while not _create(client, model, token):
            found = _look(client, model)
            now = time.monotonic()
            if found != seen or now - looked > _BLIND_S:
                seen, since = found, now
            looked = now
            holder = found[0]
            if holder and (_is_dead(holder) or now - since > self._stale_s):
                progress(f"{_say(holder)} has ended without giving its turn back; taking it over")
                with registry_claim.claimed(client, model):
                    _delete(client, model, holder)
                continue
            if holder and holder != told:
                progress(f"{_say(holder)} holds the turn of {model}; waiting for it to finish")
                told = holder
            time.sleep(_POLL_S)

    def _keep(self, model: str, token: str, ended: threading.Event) -> None:
        """Renews the lease until the block ends; waits for a server that is away for a while."""
        connection = MlflowConnection(self._mlflow.uri)
        beat = 0
        while not ended.wait(self._beat_s):
            beat += 1
            with suppress(AssayError), connection.reaching():
                if _look(connection.client, model)[0] != token:
                    return  # taken over: `still_held` says so where it matters
                connection.client.set_registered_model_tag(_name(model), _BEAT, str(beat))


@contextmanager
def _file_turn(lock: FileLock, model: str, progress: Progress) -> Iterator[None]:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"another gate of {model} holds {lock.lock_file}; waiting for it to finish")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _name(model: str) -> str:
    return f"Gate of {model}"


def _create(client: "MlflowClient", model: str, token: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            _name(model),
            tags={_TOKEN: token, _BEAT: "0"},
            description=f"{_say(token)} is judging {model}; others wait",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # The answer to our own creation may have been lost, and the request sent again.
        return _look(client, model)[0] == token
    return True


def _look(client: "MlflowClient", model: str) -> tuple[str, str]:
    """Returns the holder's token and its latest beat; empty when nobody holds the turn."""
    from mlflow.exceptions import MlflowException

    try:
        tags = client.get_registered_model(_name(model)).tags
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return "", ""
    return str(tags.get(_TOKEN, "unknown")), str(tags.get(_BEAT, ""))


def _delete(client: "MlflowClient", model: str, token: str) -> None:
    from mlflow.exceptions import MlflowException

    if _look(client, model)[0] != token:
        return
    try:
        client.delete_registered_model(_name(model))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _is_dead(token: str) -> bool:
    return server_owner.is_dead(token.partition("/")[0])


def _say(token: str) -> str:
    owner, _, rest = token.partition("/")
    host, _, pid = owner.rpartition(":")[0].rpartition(":")
    return f"run {rest.partition('/')[0]} on {host} (process {pid})" if host else "another gate"
