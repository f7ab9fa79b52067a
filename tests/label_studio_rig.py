"""A real Label Studio server for tests, in an environment of its own, with people who label.

Its environment (0.8 GB) is kept outside the clone between runs, like the demonstration's models;
its database is new in each session. It listens on 127.0.0.1 only and tells nobody about itself.
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock

VERSION = "1.23.2"
UV = Path(sys.executable).with_name("uv")  # the gate's environment has one, a machine may not
CACHE = Path(os.environ.get("ASSAY_TEST_CACHE") or Path.home() / ".cache" / "assay-tests")
_EMPTY = CACHE / f"label-studio-{VERSION}" / "empty.sqlite3"
OWNER = "owner@example.org"
PASSWORD = "a-secret-of-a-test-1"
_QUIET = {
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "DJANGO_DB": "sqlite",
}
_INSTALL_TIMEOUT_S = 600
_START_TIMEOUT_S = 240


def environment() -> Path:
    """Returns the folder of Label Studio's programs, installed once for all clones."""
    folder = CACHE / f"label-studio-{VERSION}"
    done = folder / "installed"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "label-studio.lock", timeout=_INSTALL_TIMEOUT_S):
        if not done.exists():
            subprocess.run(
                [UV, "venv", "--clear", "--python", sys.executable, folder],
                check=True,
                timeout=_INSTALL_TIMEOUT_S,
            )
            subprocess.run(
                [UV, "pip", "install", "--python", folder, f"label-studio=={VERSION}"],
                check=True,
                timeout=_INSTALL_TIMEOUT_S,
            )
            done.touch()
    return folder / "bin"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in, as a browser is."""

    email: str
    browser: httpx.Client

    def annotate(
        self,
        task: Mapping[str, Any],
        label: str | None,
        *,
        question: str = "emotion",
        skip: bool = False,
        lead_time_s: float = 4.0,
    ) -> None:
        """Submits an annotation: a label, an empty one (None), or a skipped one."""
        answer = {
            "from_name": question,
            "to_name": "text",
            "type": "choices",
            "value": {"choices": [label]},
        }
        body: dict[str, Any] = {
            "result": [] if label is None else [answer],
            "was_cancelled": skip,
            "lead_time": lead_time_s,
        }
        if task.get("predictions"):
            body["prediction"] = task["predictions"][0]
        reply = self.browser.post(
            f"/api/tasks/{task['id']}/annotations/",
            json=body,
            headers={"X-CSRFToken": self.browser.cookies["csrftoken"]},
        )
        assert reply.status_code == 201, reply.text


@dataclass(frozen=True, slots=True)
class LabelStudioServer:
    """Where the server answers, and the owner's token."""

    url: str
    token: str
    owner: httpx.Client

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """Tasks of a project with their predictions, in the order in which people meet them."""
        page = self.owner.get(
            "/api/tasks/", params={"project": project, "page_size": 1000, "fields": "all"}
        )
        assert page.status_code == 200, page.text
        found: list[dict[str, Any]] = page.json()["tasks"]
        return sorted(found, key=lambda task: int(task["id"]))

    def export(self, project: int, kind: str = "JSON") -> bytes:
        """What the button "Export" downloads."""
        reply = self.owner.get(
            f"/api/projects/{project}/export",
            params={"exportType": kind, "download_all_tasks": "true"},
        )
        assert reply.status_code == 200, reply.text
        return reply.content

    def invite(self, name: str) -> Person:
        """Somebody follows the owner's invitation, signs up and is logged in."""
        link = self.owner.get("/api/invite").json()["invite_url"]
        email = f"{name}@example.org"
        browser = httpx.Client(base_url=self.url, timeout=30)
        browser.get(link)
        form = {
            "email": email,
            "password": PASSWORD,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        reply = browser.post(link, data=form, headers={"Referer": f"{self.url}{link}"})
        assert reply.status_code == 302, reply.text[:2000]
        assert browser.get("/api/current-user/whoami").json()["email"] == email
        return Person(email, browser)


@contextmanager
def label_studio_server(folder: Path) -> Iterator[LabelStudioServer]:
    """Starts a server whose database knows the owner alone; its log lies in the folder."""
    program = environment() / "label-studio"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "data" / "label_studio.sqlite3"
    database.parent.mkdir()
    if _EMPTY.is_file():
        shutil.copyfile(_EMPTY, database)
    token = "0123456789abcdef0123456789abcdef01234567"
    command = [
        *(str(program), "start", "--no-browser", "--internal-host", "127.0.0.1"),
        *("--port", str(port), "--data-dir", str(folder / "data")),
        *("--username", OWNER, "--password", PASSWORD, "--user-token", token),
    ]
    quiet = os.environ | _QUIET | {"LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data")}
    url = f"http://127.0.0.1:{port}"
    with (folder / "label_studio.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=quiet, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
        try:
            _wait(url, process, folder / "label_studio.log")
            _keep_empty(database)
            headers = {"Authorization": f"Token {token}"}
            with httpx.Client(base_url=url, headers=headers, timeout=30) as owner:
                yield LabelStudioServer(url, token, owner)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _keep_empty(database: Path) -> None:
    """Keeps the first database, which knows the owner alone: its migrations take half a minute."""
    if _EMPTY.is_file():
        return
    partial = _EMPTY.with_name(f"{_EMPTY.name}.{os.getpid()}")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
    partial.replace(_EMPTY)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"Label Studio did not start: {log.read_text(errors='replace')[-2000:]}")
