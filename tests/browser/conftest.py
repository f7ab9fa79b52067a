"""One Chromium a module, and pages opened in it that must keep quiet."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import DESK

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM to one")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    home = tmp_path_factory.mktemp("chromium-home")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=ARGUMENTS,
            # Playwright gives the browser a fresh profile; its other files go here.
            env={**os.environ, "HOME": str(home)},
        )
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any, reports: dict[str, Path]) -> Iterator[Any]:
    """Opens one of a module's `reports`; at the end, insists on a quiet console and network."""
    contexts, said, asked = [], [], []

    def open_report(name: str, **options: Any) -> Any:
        made = browser.new_context(**{"viewport": DESK, **options})
        contexts.append(made)
        page = made.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(reports[name].as_uri())
        return page

    yield open_report
    for made in contexts:
        made.close()
    assert said == []
    assert [url for url in asked if not url.startswith("file://")] == []
    assert len(asked) == len(contexts)
