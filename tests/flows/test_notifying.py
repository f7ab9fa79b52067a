"""People are told by real local servers; whatever those do, the gate's result stays what it is."""

import base64
import email
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from assay.records import VerdictKind
from flows.notices import sample_notice
from flows.notifying import Delivery, tell
from flows.settings import Settings
from tests.gate_rig import Rig, make_rig
from tests.mail_and_hooks import HookServer, MailServer

SECRET = "a secret of more than 24 bytes"


@pytest.fixture
def hooks() -> Iterator[Callable[..., HookServer]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(HookServer(**options))


@pytest.fixture
def post() -> Iterator[Callable[..., MailServer]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(MailServer(**options))


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Writes notifications.yaml and the variables that it names; returns settings that name it."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIGNING", SECRET)

    def write(*channels: str, timeout_s: float = 5, **variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        listed = "".join(f"  - {channel}\n" for channel in channels)
        path = tmp_path / "notifications.yaml"
        path.write_text(f"schema_version: 1\ntimeout_s: {timeout_s}\nchannels:\n{listed}")
        return Settings(
            home=tmp_path / "home", store="", trust=tmp_path / "t", tracking_uri="", who="ada",
            notifications=path,
        )  # fmt: skip

    return write


def told(settings: Settings) -> tuple[list[str], tuple[Delivery, ...], float]:
    """Tells of a block; returns what was said, what came of it, and the seconds it took."""
    said: list[str] = []
    started = time.monotonic()
    done = tell(sample_notice("blocked", "ada"), settings, said.append)
    return said, done, time.monotonic() - started


WEBHOOK = "{kind: webhook, name: ci, url_env: HOOK, secret_env: SIGNING}"
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


@dataclass
class NotifiedRig(Rig):
    """A gate's rig whose settings name the channels."""

    channels: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The rig's, with channels."""
        found = Settings(
            home=self.folder / "home", store="in-memory", trust=self.folder / "trust.yaml",
            tracking_uri="in-memory", who="tester",
        )  # fmt: skip
        return replace(found, notifications=self.channels and self.channels.notifications)


@pytest.fixture
def rig(tmp_path: Path) -> NotifiedRig:
    folder = tmp_path / "rig"
    folder.mkdir()
    plain = make_rig(folder)
    return NotifiedRig(**{one.name: getattr(plain, one.name) for one in fields(plain)})


def events(server: HookServer) -> list[tuple[Any, ...]]:
    found = [json.loads(one.body) for one in server.posted]
    return [(one["event"], one["model"], one["version"]) for one in found]


def test_a_gate_tells_of_each_verdict_once_when_it_is_on_the_disk(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings], rig: NotifiedRig
) -> None:
    server = hooks()
    rig.channels = configure(WEBHOOK, HOOK=server.url)
    rig.gate("1.0.0")
    blocked = rig.gate("1.2.0")
    assert events(server) == [
        ("promoted", "emotion", "1.0.0"),
        ("blocked", "emotion", "1.2.0"),
    ]
    document = json.loads(server.posted[1].body)
    assert Path(document["report"]).is_file()
    assert document["summary"] == blocked.verdict.summary
    assert document["next_steps"]
    rig.gate("1.2.0")  # the recorded verdict, again
    rig.resume(blocked.verdict.context.run_id)
    assert len(server.posted) == 2
    assert all(b"secret text" not in one.body for one in server.posted)


def test_a_gate_that_could_not_measure_tells_so(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings], rig: NotifiedRig
) -> None:
    server = hooks()
    rig.channels = configure(WEBHOOK, HOOK=server.url)
    rig.cases = rig.cases[:0]
    assert rig.gate("1.0.0").verdict.verdict is VerdictKind.INVALID
    assert events(server) == [("invalid", "emotion", "1.0.0")]


@pytest.mark.parametrize("manner", ["hang", "refuse"])
def test_a_failing_channel_changes_neither_verdict_nor_alias(
    hooks: Callable[..., HookServer],
    configure: Callable[..., Settings],
    rig: NotifiedRig,
    manner: str,
) -> None:
    server = hooks(manner=manner)
    rig.channels = configure(WEBHOOK, timeout_s=0.5, HOOK=server.url)
    result = rig.gate("1.0.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert result.promotion.moved
    assert server.connections == 1
    assert any("not told (this changes no verdict)" in line for line in rig.said)
