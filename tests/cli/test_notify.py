"""`assay notify test`: every channel is tried, and says what came of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.conftest import Assay
from tests.mail_and_hooks import HookServer


@pytest.fixture
def servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[HookServer, HookServer]]:
    """One that takes what it is sent and one that refuses, configured as `team` and `ci`."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "ASSAY_NOTIFICATIONS"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        good = stack.enter_context(HookServer())
        bad = stack.enter_context(HookServer(manner="refuse"))
        monkeypatch.setenv("TEAM_URL", good.url)
        monkeypatch.setenv("CI_URL", bad.url)
        monkeypatch.setenv("CI_SECRET", "x" * 24)
        (tmp_path / "notifications.yaml").write_text(
            "schema_version: 1\nchannels:\n"
            "  - {kind: slack, name: team, url_env: TEAM_URL, events: [promoted]}\n"
            "  - {kind: webhook, name: ci, url_env: CI_URL, secret_env: CI_SECRET}\n"
        )
        yield good, bad


def test_each_channel_is_tried_whatever_it_wants_and_says_why_not(
    assay: Assay, servers: tuple[HookServer, HookServer]
) -> None:
    good, bad = servers
    done = assay("notify", "test", "--event", "blocked")
    assert done.code == 12
    assert "✓ team (slack): told" in done.out
    assert "✗ ci (webhook): not told: channel 'ci': answered HTTP 403" in done.out
    assert [len(good.posted), len(bad.posted)] == [1, 1]
    assert b"test: example-model 0.0.0 is blocked" in good.posted[0].body


def test_one_channel_alone_is_tried_and_json_says_so(
    assay: Assay, servers: tuple[HookServer, HookServer]
) -> None:
    done = assay("notify", "test", "--channel", "team", "--json")
    assert done.code == 0
    assert done.document == {
        "told": True,
        "channels": [{"channel": "team", "kind": "slack", "delivered": True, "note": None}],
    }
    assert servers[1].posted == []


def test_a_channel_that_is_not_there_and_a_missing_file_are_usage_errors(
    assay: Assay, servers: tuple[HookServer, HookServer]
) -> None:
    unknown = assay("notify", "test", "--channel", "tema")
    assert unknown.code == 2
    assert "expected one of team, ci" in unknown.err
    Path("notifications.yaml").unlink()
    missing = assay("notify", "test")
    assert missing.code == 2
    assert "docs/notifications.md" in missing.err
