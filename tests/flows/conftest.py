"""Servers that can be told of things, and the file that names them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.settings import Settings
from tests.mail_and_hooks import SECRET, HookServer, MailServer


@pytest.fixture
def prefect_api() -> Iterator[None]:
    """A real Prefect server for flows that run in this process."""
    from prefect.events.worker import EventsWorker
    from prefect.testing.utilities import prefect_test_harness

    # What sends events is kept for the process: one of an earlier server would go on calling it.
    EventsWorker.drain_all(timeout=10)
    with prefect_test_harness(server_startup_timeout=180):
        yield


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
