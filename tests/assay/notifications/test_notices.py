"""What a notice says, and what `notifications.yaml` may say."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from assay.errors import ConfigError
from assay.notifications.configuration import WebhookChannel, load_notifications, read_url
from assay.notifications.notice import EVENTS, Notice
from assay.notifications.rendering import render_slack, render_text, render_title
from assay.notifications.webhook import body_of, read_secret, signed_headers

NOTICE = Notice(
    id="msg_1",
    event="blocked",
    at="2026-11-23T10:00:00Z",
    model="emotion",
    version="1.2.0",
    summary="F1 of `fear` is worse <!channel> & so on.",
    details=("production stays 1.1.0",),
    next_steps=("Train it again.",),
    run_id="run-1",
    report="reports/run-1/report.html",
    who="ada",
)
SLACK = "{kind: slack, name: team, url_env: HOOK}"


def configured(folder: Path, channels: str, more: str = "") -> Path:
    path = folder / "notifications.yaml"
    path.write_text(f"schema_version: 1\n{more}\nchannels:\n  - {channels}\n")
    return path


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_has_words(event: str) -> None:
    notice = Notice(
        id="m", event=event, at="now", model="emotion", version="1.0.0", summary="So it is."
    )
    assert render_title(notice).startswith("[assay] ")
    for text in (render_text(notice), render_slack(notice)):
        assert notice.headline in text
        assert "So it is." in text
        assert "None" not in text


def test_a_mail_says_why_what_next_and_where() -> None:
    text = render_text(NOTICE)
    for words in ("emotion 1.2.0 is blocked", "Train it again.", "run-1", "report.html", "ada"):
        assert words in text


def test_what_a_field_holds_is_no_mark_of_slack() -> None:
    assert "&lt;!channel&gt; &amp; so on" in render_slack(NOTICE)


def test_a_title_is_one_line_whatever_the_template_says(tmp_path: Path) -> None:
    (tmp_path / "notice_title.txt.j2").write_text("a\r\nBcc: x@y.org\n{{ model }}")
    assert render_title(NOTICE, tmp_path) == "a Bcc: x@y.org emotion"


def test_a_team_replaces_one_template_and_keeps_the_others(tmp_path: Path) -> None:
    (tmp_path / "notice_slack.txt.j2").write_text("{{ event }}: <https://wiki|{{ version }}>")
    assert render_slack(NOTICE, tmp_path) == "blocked: <https://wiki|1.2.0>"
    assert "Train it again." in render_text(NOTICE, tmp_path)


@pytest.mark.parametrize(
    "template",
    ["{{ nonsense }}", "{% if %}", "{{ model.__class__.__mro__ }}", "{{ 1 // 0 }}",
     "{% include '/etc/passwd' %}"],
)  # fmt: skip
def test_a_template_that_reaches_further_or_breaks_is_named(tmp_path: Path, template: str) -> None:
    (tmp_path / "notice_text.txt.j2").write_text(template)
    with pytest.raises(ConfigError, match=r"notice_text\.txt\.j2.*correct the template"):
        render_text(NOTICE, tmp_path)


def test_a_webhook_is_signed_as_the_standard_says() -> None:
    body = body_of(NOTICE)
    headers = signed_headers("msg_1", 1700000000, body, b"k" * 24)
    assert json.loads(body)["event"] == "blocked"
    expected = hmac.new(b"k" * 24, b"msg_1.1700000000." + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"


def test_the_standards_own_example_is_reproduced() -> None:
    # From the test vectors of the reference libraries.
    secret = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "here")
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', secret
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "short", "whsec_####", "whsec_c2hvcnQ="])
def test_a_weak_secret_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_secret(secret, "HOOK")
    assert secret == "" or secret.removeprefix("whsec_") not in str(caught.value)


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ("{kind: slack, name: team, url: 'https://x'}", "url"),
        ("{kind: pigeon, name: team}", "pigeon"),
        ("{kind: slack, name: team, url_env: HOOK, events: [exploded]}", "exploded"),
        (f"{SLACK}\n  - {SLACK}", "more than once"),
        ("{kind: email, name: m, host: h, sender: a@b.org, to: [x]}", "to"),
        ("{kind: email, name: m, host: h, sender: a@b.org, to: [a@b.org], security: none, "
         "user_env: U, password_env: P}", "security: none"),
        ("{kind: email, name: m, host: h, sender: a@b.org, to: [a@b.org], user_env: U}", "both"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused(tmp_path: Path, channels: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_notifications(configured(tmp_path, channels))


def test_a_folder_of_templates_lies_beside_the_file(tmp_path: Path) -> None:
    path = configured(tmp_path, SLACK, "templates: words")
    with pytest.raises(ConfigError, match="no folder"):
        load_notifications(path)
    (tmp_path / "words").mkdir()
    assert load_notifications(path).templates == tmp_path / "words"


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://hooks.example.org/x", True),
        ("http://127.0.0.1:8065/hooks/x", True),
        ("http://hooks.example.org/secret-x", False),
        ("ftp://hooks.example.org/secret-x", False),
        ("http://[::1/secret-x", False),
        ("secret-x", False),
        ("", False),
    ],
)
def test_a_url_that_would_leak_is_refused_and_not_quoted(url: str, fits: bool) -> None:
    channel = WebhookChannel(kind="webhook", name="ci", url_env="HOOK", secret_env="S")
    if fits:
        assert read_url(channel, {"HOOK": url}) == url
        return
    with pytest.raises(ConfigError, match="HOOK") as caught:
        read_url(channel, {"HOOK": url})
    assert "secret-x" not in str(caught.value)
