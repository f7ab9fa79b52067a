"""Tells people what became of a release, when that is decided and on the disk.

::

    verdict recorded, alias settled ─▶ notice ─▶ every channel that wants it, all at the same time
                                                 └─ told, or a note why not ─▶ notifications.jsonl

Decides what is told when, how long it may take in all, and that nothing that goes wrong here
changes a verdict, an alias or an exit code: it becomes a note in the run's log and a line in
`<home>/notifications.jsonl`. Whoever tells says what a kill in between means: a gate that goes on
tells again, under the same id, unless its journal says that it has.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from assay.errors import AssayError
from assay.notifications.configuration import (
    AppriseChannel,
    Channel,
    EmailChannel,
    Notifications,
    WebhookChannel,
    load_notifications,
)
from assay.notifications.notice import Notice
from assay.ports import Progress
from flows.settings import Settings

LOG = "notifications.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of a notice on one channel; `note` says why it was not delivered."""

    channel: str
    kind: str
    delivered: bool
    note: str | None = None


def tell(notice: Notice, settings: Settings, progress: Progress) -> tuple[Delivery, ...]:
    """Tells every channel that wants the notice; never raises, and takes `timeout_s` at most.

    Args:
        notice: what happened.
        settings: where the channels are configured; nothing is sent where they are not.
        progress: receives a sentence for every channel that could not be told.
    """
    if settings.notifications is None:
        return ()
    try:
        configured = load_notifications(settings.notifications)
        wanted = [channel for channel in configured.channels if notice.event in channel.events]
        done = send(notice, configured, wanted, os.environ)
        _write_down(notice, done, settings.home / LOG)
    except (AssayError, OSError) as error:
        progress(f"nobody was told (this changes no verdict): {error}")
        return ()
    for one in done:
        if not one.delivered:
            progress(f"not told (this changes no verdict): {one.note}")
    return done


def send(
    notice: Notice,
    configured: Notifications,
    channels: list[Channel],
    environment: Mapping[str, str],
) -> tuple[Delivery, ...]:
    """Sends a notice to channels at the same time, and waits no longer than `timeout_s`.

    Each is told in a thread of its own that nobody waits for once the time is over: a server may
    answer one byte at a time, which no library's own limit ends.
    """
    end = time.monotonic() + configured.timeout_s
    tellings = [_Telling(notice, channel, configured, environment) for channel in channels]
    for telling in tellings:
        telling.start()
    for telling in tellings:
        telling.join(max(0.0, end - time.monotonic()))
    return tuple(telling.delivery(configured.timeout_s) for telling in tellings)


class _Telling(threading.Thread):
    """One channel being told."""

    def __init__(
        self,
        notice: Notice,
        channel: Channel,
        configured: Notifications,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(daemon=True, name=f"notify-{channel.name}")
        self._notice, self._channel, self._configured = notice, channel, configured
        self._environment = environment
        self._outcome: Delivery | None = None

    def run(self) -> None:
        try:
            _send(self._notice, self._channel, self._configured, self._environment)
        except AssayError as error:
            note: str | None = str(error)
        except Exception as error:  # a service's library may raise anything; nobody is told, is all
            note = f"channel {self._channel.name!r}: {type(error).__name__} while it was told"
        else:
            note = None
        self._outcome = self._delivery(note)

    def delivery(self, timeout_s: float) -> Delivery:
        """Returns what became of it so far."""
        name = self._channel.name
        late = f"channel {name!r}: no answer within {timeout_s:g} s; see that its server is well"
        return self._outcome or self._delivery(late)

    def _delivery(self, note: str | None) -> Delivery:
        channel = self._channel
        return Delivery(channel=channel.name, kind=channel.kind, delivered=note is None, note=note)


def _send(
    notice: Notice, channel: Channel, configured: Notifications, environment: Mapping[str, str]
) -> None:
    limit, templates = configured.timeout_s, configured.templates
    if isinstance(channel, WebhookChannel):
        from assay.adapters.notifier_webhook import send_webhook

        send_webhook(channel, notice, environment=environment, timeout_s=limit)
        return
    from assay.adapters import notifier_apprise as adapter  # apprise takes a while to import

    if isinstance(channel, EmailChannel):
        adapter.send_email(
            channel, notice, environment=environment, timeout_s=limit, templates=templates
        )
    elif isinstance(channel, AppriseChannel):
        adapter.send_apprise(
            channel, notice, environment=environment, timeout_s=limit, templates=templates
        )
    else:
        adapter.send_slack(
            channel, notice, environment=environment, timeout_s=limit, templates=templates
        )


def _write_down(notice: Notice, done: tuple[Delivery, ...], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"at": notice.at, "notice": notice.id, "event": notice.event, "run_id": notice.run_id}
    lines = (json.dumps(head | asdict(one), ensure_ascii=False) + "\n" for one in done)
    with path.open("a", encoding="utf-8") as log:
        log.write("".join(lines))
