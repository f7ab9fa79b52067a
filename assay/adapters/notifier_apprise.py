"""Sends a notice through apprise: Slack and what speaks its language, mail, and any other service.

Decides how a channel becomes one of apprise's. Apprise answers yes or no and logs the reason: what
it logs is the error's text, without anything that is secret.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import apprise

from assay.errors import ConfigError, InfrastructureError
from assay.notifications.configuration import (
    AppriseChannel,
    EmailChannel,
    SlackChannel,
    read_url,
    read_variable,
)
from assay.notifications.notice import Notice
from assay.notifications.rendering import render_slack, render_text, render_title

_MODES = {"starttls": "starttls", "ssl": "ssl", "none": "insecure"}
_ONLY_TEXT = {"message": "text", "version": "", "title": "", "type": "", "attachments": ""}
"""Of apprise's JSON, what Slack's incoming webhooks take."""
_QUOTED = 300


def send_slack(
    channel: SlackChannel,
    notice: Notice,
    *,
    environment: Mapping[str, str],
    timeout_s: float,
    templates: Path | None,
) -> None:
    """Posts a message to an incoming webhook.

    Raises:
        ConfigError: the URL is not set or not usable, or a template cannot be rendered.
        InfrastructureError: it was not accepted in time.
    """
    url = read_url(channel, environment)
    parts = urlsplit(url)
    service = {
        "schema": "jsons" if parts.scheme == "https" else "json",
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "password": parts.password,
        "fullpath": parts.path,
        "params": dict(parse_qsl(parts.query)),
        "payload": _ONLY_TEXT,
    }
    text = render_slack(notice, templates)
    _send(channel.name, _made(channel.name, service, timeout_s), text, "", secrets=[url])


def send_email(
    channel: EmailChannel,
    notice: Notice,
    *,
    environment: Mapping[str, str],
    timeout_s: float,
    templates: Path | None,
) -> None:
    """Sends a mail to every address of a channel.

    Raises:
        ConfigError: a variable is not set, an address is none, or a template cannot be rendered.
        InfrastructureError: the server did not take it in time.
    """
    user = password = None
    if channel.user_env is not None and channel.password_env is not None:
        user = read_variable(channel.user_env, environment, channel.name)
        password = read_variable(channel.password_env, environment, channel.name)
    service = {
        "schema": "mailto" if channel.security == "none" else "mailtos",
        "host": channel.host,
        "smtp_host": channel.host,
        "port": channel.port,
        "secure_mode": _MODES[channel.security],
        "from_addr": channel.sender,
        "targets": list(channel.to),
        "user": user,
        "password": password,
        "format": "text",
    }
    sender = _made(channel.name, service, timeout_s)
    taken = {address for _, address in sender.targets}
    if refused := [address for address in channel.to if address not in taken]:
        raise ConfigError(
            f"channel {channel.name!r}: {refused[0]!r} is no address that mail is sent to; "
            "expected name@domain; correct notifications.yaml"
        )
    title, text = render_title(notice, templates), render_text(notice, templates)
    _send(channel.name, sender, text, title, secrets=[password or ""])


def send_apprise(
    channel: AppriseChannel,
    notice: Notice,
    *,
    environment: Mapping[str, str],
    timeout_s: float,
    templates: Path | None,
) -> None:
    """Tells any service that apprise knows.

    Raises:
        ConfigError: the URL is not set or not one of apprise's, or a template cannot be rendered.
        InfrastructureError: it was not accepted in time.
    """
    url = read_variable(channel.url_env, environment, channel.name)
    title, text = render_title(notice, templates), render_text(notice, templates)
    _send(channel.name, _made(channel.name, url, timeout_s), text, title, secrets=[url])


def _made(name: str, service: dict[str, Any] | str, timeout_s: float) -> Any:
    asset = apprise.AppriseAsset(app_id="assay", app_desc="assay", http_redirects=False)
    with _heard():  # its complaint may quote what is secret
        made = apprise.Apprise.instantiate(service, asset=asset)
    if made is None:
        raise ConfigError(
            f"channel {name!r}: apprise cannot use what is configured; expected one of its "
            "services, complete; correct the variable that the channel names"
        )
    made.socket_connect_timeout = made.socket_read_timeout = timeout_s
    return made


def _send(name: str, sender: Any, text: str, title: str, *, secrets: list[str]) -> None:
    group = apprise.Apprise()
    group.add(sender)
    with _heard() as said:
        done = group.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT)
    if done:
        return
    reason = _without(secrets, "; ".join(said))[:_QUOTED] or "no reason was given"
    raise InfrastructureError(
        f"channel {name!r}: not delivered ({reason}); see that the service listens, can be reached "
        "from here and takes what is configured"
    )


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collects what apprise complains of in this thread, and keeps it from being shown."""
    said: list[str] = []
    here = threading.get_ident()
    logger = logging.getLogger("apprise")

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here:
                said.append(" ".join(record.getMessage().split()))

    ear = Ear(level=logging.WARNING)
    logger.addHandler(ear)
    try:
        yield said
    finally:
        logger.removeHandler(ear)


def _without(secrets: list[str], text: str) -> str:
    """Masks what is secret: each as a whole, and each part of a URL but its server."""
    for secret in filter(None, secrets):
        parts = urlsplit(secret) if "://" in secret else urlsplit("")
        held = [secret, parts.username or "", parts.password or "", *parts.path.split("/")]
        held += [value for _, value in parse_qsl(parts.query)]
        for word in sorted({form for one in held for form in (one, unquote(one))}, key=len)[::-1]:
            if len(word) > 3:
                text = text.replace(word, "***")
    return text
