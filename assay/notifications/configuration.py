"""Who is told of what (`notifications.yaml`): channels, events, and names of variables.

Decides what the file may say. Addresses that are secrets (a Slack or webhook URL, a password) never
stand in it: it names the environment variables that hold them, read when something is sent.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from assay.documents import Document, read_yaml
from assay.errors import ConfigError
from assay.notifications.notice import EVENTS, Event

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Address = Annotated[str, Field(pattern=r"^[^@\s<>,;]{1,64}@[^@\s<>,;]{1,255}$")]
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class _Channel(Document):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="By which logs name it.")
    events: tuple[Event, ...] = Field(
        default=EVENTS, min_length=1, description="What it is told of; everything by default."
    )


class _UrlChannel(_Channel):
    url_env: Variable = Field(description="Environment variable that holds the URL.")
    plain_http: bool = Field(
        default=False, description="Whether http:// is accepted beyond this machine itself."
    )


class WebhookChannel(_UrlChannel):
    """A JSON document by POST, signed as Standard Webhooks are."""

    kind: Literal["webhook"]
    secret_env: Variable = Field(description="Environment variable that holds the signing secret.")


class SlackChannel(_UrlChannel):
    """An incoming webhook of Slack, or of what speaks its language (Mattermost, Rocket.Chat)."""

    kind: Literal["slack"]


class EmailChannel(_Channel):
    """Mail by SMTP."""

    kind: Literal["email"]
    host: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "ssl", "none"] = "starttls"
    sender: Address
    to: tuple[Address, ...] = Field(min_length=1, max_length=50)
    user_env: Variable | None = None
    password_env: Variable | None = None

    @model_validator(mode="after")
    def _keeps_its_password(self) -> Self:
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError("user_env and password_env are given both or neither")
        if self.password_env is not None and self.security == "none":
            raise ValueError("a password is not sent with security: none; use starttls or ssl")
        return self


class AppriseChannel(_Channel):
    """Any service that the library apprise knows, by its URL."""

    kind: Literal["apprise"]
    url_env: Variable = Field(description="Environment variable that holds apprise's URL.")


Channel = Annotated[
    WebhookChannel | SlackChannel | EmailChannel | AppriseChannel, Field(discriminator="kind")
]


class Notifications(Document):
    """The whole of `notifications.yaml`."""

    schema_version: Literal[1]
    timeout_s: float = Field(
        default=10,
        gt=0,
        le=60,
        description="How long all channels together may take, being told at the same time.",
    )
    templates: Path | None = Field(
        default=None,
        description="Folder of templates that replace the package's, relative to this file.",
    )
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [channel.name for channel in self.channels]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"channel names must differ, found {twice[0]!r} more than once")
        return self


def load_notifications(path: Path) -> Notifications:
    """Reads and validates `notifications.yaml`.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    found = read_yaml(path, Notifications)
    if found.templates is None:
        return found
    folder = path.parent / found.templates
    if not folder.is_dir():
        raise ConfigError(
            f"{path}: templates: {str(found.templates)!r} is no folder; expected one beside this "
            "file; make it, or leave the field out"
        )
    return found.model_copy(update={"templates": folder})


def variables(channel: Channel) -> tuple[str, ...]:
    """Returns the names of the environment variables that a channel needs."""
    if isinstance(channel, EmailChannel):
        named = (channel.user_env, channel.password_env)
        return tuple(name for name in named if name is not None)
    if isinstance(channel, WebhookChannel):
        return (channel.url_env, channel.secret_env)
    return (channel.url_env,)


def read_variable(name: str, environment: Mapping[str, str], channel: str) -> str:
    """Returns what an environment variable holds.

    Raises:
        ConfigError: it is not set, or empty.
    """
    value = environment.get(name, "").strip()
    if not value:
        raise ConfigError(
            f"channel {channel!r}: the environment variable {name} is not set; expected its secret "
            "there; set it where the gate runs"
        )
    return value


def read_url(channel: _UrlChannel, environment: Mapping[str, str]) -> str:
    """Returns a channel's URL, which may be a secret: no message quotes it.

    Raises:
        ConfigError: not set, no such URL, or one that would send the notice in the clear.
    """
    url = read_variable(channel.url_env, environment, channel.name)
    where = f"channel {channel.name!r}: the environment variable {channel.url_env}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(
            f"{where} holds no URL of a server; expected https://HOST/PATH; correct it"
        )
    if parts.scheme == "http" and host not in _LOOPBACK and not channel.plain_http:
        raise ConfigError(
            f"{where} holds an http:// URL, which anybody on the way can read; expected https://; "
            "correct it, or say plain_http: true in notifications.yaml"
        )
    return url
