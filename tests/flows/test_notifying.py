"""Real local servers are told; whatever those do is a note, in time, that quotes no secret."""

import base64
import email
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.notifications.configuration import load_notifications
from flows.notices import sample_notice
from flows.notifying import Delivery, tell
from flows.settings import Settings
from tests.mail_and_hooks import SECRET, WEBHOOK, HookServer, MailServer


def told(settings: Settings) -> tuple[list[str], tuple[Delivery, ...], float]:
    """Tells of a block; returns what was said, what came of it, and the seconds it took."""
    said: list[str] = []
    started = time.monotonic()
    done = tell(sample_notice("blocked", "ada"), settings, said.append)
    return said, done, time.monotonic() - started


SLACK = "{kind: slack, name: team, url_env: HOOK}"


def mail_channel(port: int, more: str = "") -> str:
    return (
        f"{{kind: email, name: owners, host: 127.0.0.1, port: {port}, security: none, "
        f"sender: assay@example.org, to: [ada@example.org, bob@example.org]{more}}}"
    )


def test_a_receiver_can_prove_who_sent_a_webhook_and_when(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings]
) -> None:
    server = hooks()
    said, done, _ = told(configure(WEBHOOK, HOOK=server.url))
    assert (said, [one.delivered for one in done]) == ([], [True])
    (got,) = server.posted
    stamp, identity = got.headers["webhook-timestamp"], got.headers["webhook-id"]
    assert abs(int(stamp) - time.time()) < 60
    signed = f"{identity}.{stamp}.".encode() + got.body
    code = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{code}"
    document = json.loads(got.body)
    assert (document["event"], document["test"], document["id"]) == ("blocked", True, identity)


def test_slack_gets_a_text_and_nothing_it_does_not_know(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings]
) -> None:
    server = hooks()
    _, done, _ = told(configure(SLACK, HOOK=server.url))
    assert [one.delivered for one in done] == [True]
    (got,) = server.posted
    assert got.path == "/hooks/T0-secret-path"
    document = json.loads(got.body)
    assert set(document) == {"text"}
    assert document["text"].startswith("*test: example-model 0.0.0 is blocked*\n")


def test_mail_reaches_every_address(
    post: Callable[..., MailServer], configure: Callable[..., Settings]
) -> None:
    server = post()
    _, done, _ = told(configure(mail_channel(server.port)))
    assert [one.delivered for one in done] == [True]
    assert {"ada@example.org" in line for line in server.recipients} == {True, False}
    assert len(server.mails) == 2
    mail = email.message_from_bytes(server.mails[0])
    assert mail["Subject"] == "[assay] test: example-model 0.0.0 is blocked"
    assert mail["From"] == "assay@example.org"
    text = mail if not mail.is_multipart() else mail.get_payload(0)
    assert "nothing has happened" in text.get_payload(decode=True).decode()


def test_any_service_of_apprise_is_told_by_its_url(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings]
) -> None:
    server = hooks()
    channel = "{kind: apprise, name: pager, url_env: PAGER}"
    _, done, _ = told(configure(channel, PAGER=f"json://127.0.0.1:{server.port}/x"))
    assert [one.delivered for one in done] == [True]
    assert json.loads(server.posted[0].body)["title"].startswith("[assay] test:")


@pytest.mark.parametrize("channel", [WEBHOOK, SLACK])
@pytest.mark.parametrize("manner", ["refuse", "hang", "drip", "gone", "redirect"])
def test_a_server_that_fails_becomes_a_note_in_time_that_quotes_no_secret(
    hooks: Callable[..., HookServer],
    configure: Callable[..., Settings],
    channel: str,
    manner: str,
) -> None:
    elsewhere = hooks()
    server = hooks(
        manner="well" if manner in ("gone", "redirect") else manner,
        location=elsewhere.url if manner == "redirect" else None,
    )
    url = "http://127.0.0.1:9/T0-secret-path" if manner == "gone" else server.url
    settings = configure(channel, timeout_s=1, HOOK=url)
    said, done, took_s = told(settings)
    assert took_s < 3
    assert [one.delivered for one in done] == [False]
    assert len(said) == 1
    assert "changes no verdict" in said[0]
    (line,) = (settings.home / "notifications.jsonl").read_text().splitlines()
    assert json.loads(line)["delivered"] is False
    assert "T0-secret" not in said[0] + line
    assert SECRET not in said[0] + line
    assert elsewhere.posted == []  # nothing follows a redirect


@pytest.mark.parametrize("manner", ["refuse", "hang", "gone"])
def test_a_mail_server_that_fails_becomes_a_note_in_time(
    post: Callable[..., MailServer], configure: Callable[..., Settings], manner: str
) -> None:
    server = post(manner="well" if manner == "gone" else manner)
    port = 9 if manner == "gone" else server.port
    said, done, took_s = told(configure(mail_channel(port), timeout_s=1))
    assert took_s < 3
    assert [one.delivered for one in done] == [False]
    assert "owners" in said[0]


def test_channels_are_told_at_the_same_time_and_one_that_hangs_keeps_none(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings]
) -> None:
    good, bad = hooks(), hooks(manner="hang")
    hanging = [SLACK.replace("team", f"t{n}").replace("HOOK", "BAD") for n in range(5)]
    settings = configure(*hanging, WEBHOOK, timeout_s=1.5, HOOK=good.url, BAD=bad.url)
    _, done, took_s = told(settings)
    assert took_s < 3
    assert [one.delivered for one in done] == [False] * 5 + [True]
    assert len(good.posted) == 1


def test_a_channel_is_told_only_of_what_it_wants(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings]
) -> None:
    server = hooks()
    wants = "{kind: slack, name: team, url_env: HOOK, events: [promoted, rolled_back]}"
    assert told(configure(wants, HOOK=server.url))[1] == ()
    assert server.posted == []


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        (WEBHOOK.replace("SIGNING", "UNSET"), "UNSET is not set"),
        ("{kind: apprise, name: pager, url_env: HOOK}", "apprise cannot use"),
        ("{kind: email, name: m, host: h, sender: a@b.org, to: [nodomain@x]}", "no address"),
    ],
)
def test_what_is_not_configured_is_said(
    configure: Callable[..., Settings], channel: str, words: str
) -> None:
    said, done, _ = told(configure(channel, HOOK="https:nonsense"))
    assert [one.delivered for one in done] in ([False], [])
    assert words in said[0] or "HOOK" in said[0]


def test_a_file_that_cannot_be_read_is_said_and_stops_nothing(
    configure: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = configure(SLACK)
    (tmp_path / "notifications.yaml").write_text("schema_version: 9\n")
    said, done, _ = told(settings)
    assert done == ()
    assert "notifications.yaml" in said[0]
    assert told(replace(settings, notifications=None))[0] == []


GUIDE = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()


def test_the_guides_example_is_one_that_is_read(tmp_path: Path) -> None:
    example = GUIDE.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "notifications.yaml").write_text(example)
    found = load_notifications(tmp_path / "notifications.yaml")
    assert [one.kind for one in found.channels] == ["webhook", "slack", "email", "apprise"]


def test_the_guides_receiver_tells_a_genuine_message_from_another(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings]
) -> None:
    server = hooks()
    told(configure(WEBHOOK, HOOK=server.url))
    names: dict[str, Any] = {}
    exec(GUIDE.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own guide's code
    (got,) = server.posted
    assert names["is_genuine"](got.headers, got.body, SECRET.encode())
    assert not names["is_genuine"](got.headers, got.body + b" ", SECRET.encode())
    late = got.headers | {"webhook-timestamp": "1"}
    assert not names["is_genuine"](late, got.body, SECRET.encode())
